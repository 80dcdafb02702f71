"""The first line of a list of recipients: which columns are ours, and which are of no use. Pure.

Letters and digits of a name count, in any case (`shared.tabular.headings`). Where a column is called just as we call
it, it is that one, and another with a name like it is a variable.
"""

import re
from collections.abc import Sequence

import msgspec

from shared.mail.addresses import AROUND
from shared.tabular.headings import EMAIL, MAX_NAMES_SHOWN, NoHeading, no_heading, plain, shown
from shared.words import content

#: What a column of ours may be called, beside its own name: letters and digits alone.
ALIASES = {
    "email": EMAIL,
    "name": frozenset(("name",)),
    "kind": frozenset(("kind",)),
    "optin": frozenset(("optin", "optinemail", "emailoptin")),
    "tracking_consent": frozenset(("trackingconsent",)),
    "recipient_key": frozenset(("recipientkey",)),
}
METADATA_PREFIX = "metadata."
#: Names that a template reads as something else, and those that are set for each mail.
_TAKEN = frozenset(("true", "false", "none", "True", "False", "None", "not", *content.PAGES))


class Columns(msgspec.Struct, frozen=True):
    """Where in a row is what: our own fields, metadata and variables, by name. `unused` says of columns that no
    template can name why, and what to call them."""

    count: int
    own: dict[str, int]
    metadata: dict[str, int]
    variables: dict[str, int]
    unused: tuple[str, ...]


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
        numbers = ", ".join(nameless[:MAX_NAMES_SHOWN]) + (", …" if len(nameless) > MAX_NAMES_SHOWN else "")
        unused.append(f"columns without a name are not read: {numbers}")
    return Columns(len(names), own, metadata, variables, tuple(unused))


def _own(names: Sequence[str]) -> dict[str, int]:
    spelt = [plain(name) for name in names]
    own: dict[str, int] = {}
    for name, aliases in ALIASES.items():
        # The name itself, else any spelling of it, else another word for it.
        ways = (
            [index for index, given in enumerate(names) if given == name],
            [index for index, given in enumerate(spelt) if given == plain(name)],
            [index for index, given in enumerate(spelt) if given in aliases],
        )
        found = next((way for way in ways if way), [])
        if len(found) > 1:
            raise NoHeading(f"the heading has a column twice: {shown(names[index] for index in found)} are '{name}'")
        if found:
            own[name] = found[0]
    if "email" not in own:
        what = f"the heading has no column 'email'; it has {shown(names)}"
        raise NoHeading(what + no_heading(names))
    return own


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
