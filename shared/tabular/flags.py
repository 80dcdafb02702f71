"""How yes and no are written in a cell, in lower case: a table. Pure."""

#: What people and spreadsheets of some languages write for yes and no.
FLAGS = dict.fromkeys(("1", "true", "yes", "y", "oui", "vrai", "wahr", "ja", "si", "sí", "verdadero", "vero"), True)
FLAGS |= dict.fromkeys(("0", "false", "no", "n", "non", "faux", "falsch", "nein", "nee", "falso"), False)
