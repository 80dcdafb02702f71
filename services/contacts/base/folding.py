"""How texts are compared: without case, and without accents where a criterion says so (E25). Pure.

The same form is written beside each text of a contact (`contacts.folded`): nothing depends on a server's locale.
"""

import re
import unicodedata

#: The marks that are taken off; SQL takes off the same (`segments/compiling.py`).
MARKS = "\u0300-\u036f"
_MARKS = re.compile(f"[{MARKS}]+")


def folded(text: str) -> str:
    """Without case, however a letter with an accent is put together: `É` as `é`, `Straße` as `strasse`."""
    return text.casefold() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


def without_accents(folded_text: str) -> str:
    """Of a folded text: `é` as `e`."""
    return _MARKS.sub("", unicodedata.normalize("NFD", folded_text))
