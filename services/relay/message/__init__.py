"""A message in hand: its line, what an attempt means, when it is tried again, how it ends."""
