"""The base of contacts that a platform targets from: fields, imports, segments and the activity rank."""
