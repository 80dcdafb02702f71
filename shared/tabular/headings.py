"""The first line of a table: what stands between its fields, and which column is the address. Pure.

Spreadsheets and other engines write `Email`, `E-Mail Address` or `Adresse e-mail`: letters and digits count, in any
case.
"""

import re
from collections.abc import Iterable, Sequence

#: What may stand between the fields of a row.
DELIMITERS = ",;\t|"
#: Those of them that no address has, but in quotes.
BETWEEN = ",;\t"
#: What the column of the address may be called, letters and digits alone.
EMAIL = frozenset(
    (
        "email", "emailaddress", "emailadress", "adresseemail", "adressemail", "adresseélectronique",
        "adresseelectronique", "courriel", "adressecourriel", "emailadresse", "emailadres",
        "correoelectrónico", "correoelectronico",
        "indirizzoemail", "endereçodeemail", "enderecodeemail", "email1", "email1value", "recipientemail",
    )
)  # fmt: skip
#: What the column of an opt-in to e-mail may be called, and that of what is known of the address.
OPT_IN = frozenset(("optinemail", "optin", "emailoptin", "optinmail", "subscribed", "emailsubscribed", "abonné"))
STATUS = frozenset(("statutemail", "emailstatus", "statusemail", "statutdelemail", "statutadresseemail"))
#: The heading of a suppression list, as it is exported and dropped, and read back.
SUPPRESSIONS = ("address", "channel", "scope", "reason", "source", "diagnostic", "since", "last", "expires_at")
#: No column of ours is called longer.
_MAX_OWN_CHARS = 80
#: Shown of an invalid heading.
MAX_NAMES_SHOWN = 12
_MAX_NAME_SHOWN = 40
_SEP = re.compile(r'\s*"?sep=(.)\1*"?\s*', re.IGNORECASE)


class NoHeading(ValueError):
    """Its message says what is missing, and quotes what is there."""


def separator(line: str) -> str | None:
    """What Excel's line before the heading (`sep=;`) says, None if this is not such a line."""
    found = _SEP.fullmatch(line)
    return None if found is None or found[1].isalnum() or found[1] in "\"'" else found[1]


def shown(names: Iterable[str]) -> str:
    """Names or cells as they are quoted."""
    listed = [repr(name[:_MAX_NAME_SHOWN]) for name in names]
    more = f" and {len(listed) - MAX_NAMES_SHOWN} more" if len(listed) > MAX_NAMES_SHOWN else ""
    return ", ".join(listed[:MAX_NAMES_SHOWN]) + more


def plain(name: str) -> str:
    """What counts of the name of a column."""
    return "".join(char for char in name[:_MAX_OWN_CHARS].casefold() if char.isalnum())


def has_address(fields: Sequence[str]) -> bool:
    """Whether one of the columns is the address, whatever it is called."""
    return any(plain(field) in EMAIL for field in fields)


def no_heading(names: Sequence[str]) -> str:
    """What is said behind the names of a heading that looks like a row."""
    return ". The first line has to name the columns" if any("@" in name for name in names) else ""
