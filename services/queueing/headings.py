"""The first line of a CSV: what stands between its fields, which column is the address, and which are of no use. Pure.

Spreadsheets and other engines write `Email`, `E-Mail Address` or `Adresse e-mail`: letters and digits count, in any
case. Where a column is called just as we call it, it is that one, and another with a name like it is a variable.
"""

import re
from collections.abc import Iterable, Sequence

import msgspec

from shared.mail.addresses import AROUND
from shared.words import content

#: What may stand between the fields of a row.
DELIMITERS = ",;\t|"
#: Those of them that no address has, but in quotes.
BETWEEN = ",;\t"
#: What a column of ours may be called, beside its own name: letters and digits alone.
ALIASES = {
    "email": frozenset(
        (
            "email", "emailaddress", "emailadress", "adresseemail", "adressemail", "adresseélectronique",
            "adresseelectronique", "courriel", "adressecourriel", "emailadresse", "emailadres",
            "correoelectrónico", "correoelectronico",
            "indirizzoemail", "endereçodeemail", "enderecodeemail", "email1", "email1value", "recipientemail",
        )
    ),
    "name": frozenset(("name",)),
    "kind": frozenset(("kind",)),
    "optin": frozenset(("optin", "optinemail", "emailoptin")),
    "tracking_consent": frozenset(("trackingconsent",)),
}  # fmt: skip
METADATA_PREFIX = "metadata."
#: No column of ours is called longer.
_MAX_OWN_CHARS = 80
#: Names that a template reads as something else, and those that are set for each mail.
_TAKEN = frozenset(("true", "false", "none", "True", "False", "None", "not", *content.PAGES))
#: Shown of an invalid heading.
_MAX_NAMES_SHOWN = 12
_MAX_NAME_SHOWN = 40
_SEP = re.compile(r'\s*"?sep=(.)\1*"?\s*', re.IGNORECASE)


class NoHeading(ValueError):
    """Its message says what is missing, and quotes what is there."""


class Columns(msgspec.Struct, frozen=True):
    """Where in a row is what: our own fields, metadata and variables, by name. `unused` says of columns that no
    template can name why, and what to call them."""

    count: int
    own: dict[str, int]
    metadata: dict[str, int]
    variables: dict[str, int]
    unused: tuple[str, ...]


def separator(line: str) -> str | None:
    """What Excel's line before the heading (`sep=;`) says, None if this is not such a line."""
    found = _SEP.fullmatch(line)
    return None if found is None or found[1].isalnum() or found[1] in "\"'" else found[1]


def shown(names: Iterable[str]) -> str:
    """Names or cells as they are quoted."""
    listed = [repr(name[:_MAX_NAME_SHOWN]) for name in names]
    more = f" and {len(listed) - _MAX_NAMES_SHOWN} more" if len(listed) > _MAX_NAMES_SHOWN else ""
    return ", ".join(listed[:_MAX_NAMES_SHOWN]) + more


def has_address(fields: Sequence[str]) -> bool:
    """Whether one of the columns is the address, whatever it is called."""
    return any(_plain(field) in ALIASES["email"] for field in fields)


def read(fields: Sequence[str]) -> Columns:
    """The columns that a heading names. NoHeading."""
    names = [field.strip(AROUND) for field in fields]
    own = _own(names)
    metadata: dict[str, int] = {}
    variables: dict[str, int] = {}
    unused: list[str] = []
    for index, name in enumerate(names):
        if index in own.values() and not (name != "name" and own.get("name") == index):
            continue
        is_metadata = name[: len(METADATA_PREFIX)].lower() == METADATA_PREFIX
        kind, key = (metadata, name[len(METADATA_PREFIX) :]) if is_metadata else (variables, name)
        if not name:
            continue  # its cells are read by nobody
        if key in kind:
            raise NoHeading(f"the heading has a column twice: {shown([name])}")
        kind[key] = index
        if not is_metadata and (why := _unused(name)) is not None:
            unused.append(why)
    if nameless := [str(index + 1) for index, name in enumerate(names) if not name]:
        numbers = ", ".join(nameless[:_MAX_NAMES_SHOWN]) + (", …" if len(nameless) > _MAX_NAMES_SHOWN else "")
        unused.append(f"columns without a name are not read: {numbers}")
    return Columns(len(names), own, metadata, variables, tuple(unused))


def _own(names: Sequence[str]) -> dict[str, int]:
    plain = [_plain(name) for name in names]
    own: dict[str, int] = {}
    for name, aliases in ALIASES.items():
        # The name itself, else any spelling of it, else another word for it.
        ways = (
            [index for index, given in enumerate(names) if given == name],
            [index for index, given in enumerate(plain) if given == _plain(name)],
            [index for index, given in enumerate(plain) if given in aliases],
        )
        found = next((way for way in ways if way), [])
        if len(found) > 1:
            raise NoHeading(f"the heading has a column twice: {shown(names[index] for index in found)} are '{name}'")
        if found:
            own[name] = found[0]
    if "email" not in own:
        what = f"the heading has no column 'email'; it has {shown(names)}"
        raise NoHeading(what + _no_heading(names))
    return own


def _no_heading(names: Sequence[str]) -> str:
    return ". The first line has to name the columns" if any("@" in name for name in names) else ""


def _plain(name: str) -> str:
    return "".join(char for char in name[:_MAX_OWN_CHARS].casefold() if char.isalnum())


def _unused(name: str) -> str | None:
    """Why no template can name it, None if one can."""
    if name.isidentifier() and name not in _TAKEN:
        return None
    what = f"the column {shown([name])} can never be used: "
    if name in content.PAGES:
        return what + "the engine sets it for each mail"
    better = re.sub(r"\W+", "_", re.sub(r"^variables\.", "", name[:200], flags=re.IGNORECASE)).strip("_")
    if not better.isidentifier() or better in _TAKEN:
        better = f"x_{better}"
    return what + f"no template can name it; call it {shown([better])}"
