"""How yes and no are written in a cell, and what is known of an address, in lower case: tables. Pure."""

from collections.abc import Mapping
from typing import Literal

#: What people and spreadsheets of some languages write for yes and no.
FLAGS = dict.fromkeys(("1", "true", "yes", "y", "oui", "vrai", "wahr", "ja", "si", "sí", "verdadero", "vero"), True)
FLAGS |= dict.fromkeys(("0", "false", "no", "n", "non", "faux", "falsch", "nein", "nee", "falso"), False)

#: `hard`: is never mailed. `soft`: a soft bounce is counted. `valid`: bounces are forgiven.
Status = Literal["hard", "soft", "valid"]
#: By the plain form of the word (`shared.tabular.headings.plain`).
STATUSES: Mapping[str, Status] = {
    "hard": "hard",
    "hardbounce": "hard",
    "soft": "soft",
    "softbounce": "soft",
    "valide": "valid",
    "valid": "valid",
}
