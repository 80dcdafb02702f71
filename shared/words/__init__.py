"""What services agree on: identifiers, facts, tokens, names of sites, replies, the words of errors."""
