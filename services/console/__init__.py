"""The command line: `console.py` runs an instance and has the nouns, a module each; `session.py` is what all share."""
