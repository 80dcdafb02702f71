"""What the heading of a file says that its lines mean, and each line in these terms. Pure.

A file is, in this order: what `format` says; what one of other engines writes (`formats.py`), or our own export, known
by its heading; or a list with an address and one of

    Opt-In Email    `Non`, `0` or nothing: has left marketing. `Oui` or `1`: is back
    Statut Email    `Hard`: is never mailed. `Soft`: a soft bounce is counted. `Valide`: bounces are forgiven

under these names, their English ones, or those that `mapping` gives. Where all lines mean the same, `reason` says what.
Other words refuse their line.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeGuard

import msgspec

from services.suppression.moving import formats
from services.suppression.moving.dates import exact_ms, moment_ms
from services.suppression.moving.wishes import RESUBSCRIBE, VALID, Act, Wish
from shared.mail import addresses
from shared.mail.addresses import AROUND
from shared.tabular import cells as safe_cells
from shared.tabular import headings
from shared.tabular.flags import FLAGS, STATUSES, Status
from shared.tabular.headings import NoHeading, plain, shown
from shared.words import scopes
from shared.words.errors import Fault
from shared.words.scopes import PROTECTED, Channel, Reason, Source

#: One line: an address and what was said about it.
MAX_LINE_BYTES = 65_536
#: Mailchimp's export has some forty, and a column for each field of the audience.
MAX_COLUMNS = 300
#: More of a reply or a note is of no use to anybody.
MAX_SAID_CHARS = 1000
#: Shown of a cell that is wrong.
_MAX_CELL_SHOWN = 40

#: What the columns of a list may be called: letters and digits alone, in lower case.
ROLES: dict[str, frozenset[str]] = {
    "email": headings.EMAIL | {"address", "adresse", "mail"},
    "optin": headings.OPT_IN,
    "status": headings.STATUS,
}
#: What a status asks for.
_ACTS_OF_STATUS: dict[Status, tuple[Act, ...]] = {"hard": formats.HARD, "soft": formats.COUNTED, "valid": (VALID,)}
#: What all lines of a list may mean, by the words of the list.
MEANINGS: dict[str, tuple[Act, ...]] = {
    "unsubscribed": formats.UNSUBSCRIBED,
    "complaint": formats.COMPLAINT,
    "hard_bounce": formats.HARD,
    "manual": formats.MANUAL,
}
#: The heading of our own export, in order.
OWN = headings.SUPPRESSIONS
OWN_NAME = "estafette"
_OWN_PLAIN = tuple(plain(name) for name in OWN)
#: Entries for these are nobody's to bring.
_NOBODYS: frozenset[Reason] = PROTECTED | {"erased"}


class Asked(msgspec.Struct, frozen=True):
    """What the request says of the file."""

    format: str = ""
    mapping: Mapping[str, str] = {}
    reason: str = ""


def asked_of(format: str, mapping: Mapping[str, str], reason: str) -> Asked:
    """As people write it. ValueError says what is wrong."""
    for what, word, known in (
        ("format", format, (*formats.BY_NAME, OWN_NAME)),
        ("reason", reason, tuple(MEANINGS)),
        *(("column", role, tuple(ROLES)) for role in mapping),
    ):
        if word and word not in known:
            raise ValueError(f"there is no {what} {word[:_MAX_CELL_SHOWN]!r}; there are {', '.join(known)}")
    return Asked(format, mapping, reason)


class Form:
    """Of one file (`shared.tabular.rows.Shape`). `name` is what it was found to be, once its heading was read."""

    max_line_bytes = MAX_LINE_BYTES
    max_columns = MAX_COLUMNS

    def __init__(self, asked: Asked, now_ms: int) -> None:
        self._asked = asked
        self._now_ms = now_ms
        self.name = ""

    def has_address(self, fields: Sequence[str]) -> bool:
        wanted = ROLES["email"] | {plain(self._asked.mapping[role]) for role in self._asked.mapping if role == "email"}
        return any(plain(field) in wanted or "@" in field for field in fields)

    def read(self, fields: Sequence[str]) -> "Meaning":
        """NoHeading."""
        names = [field.strip(AROUND) for field in fields]
        found = self._meaning(names)
        self.name = found.name
        return found

    def _meaning(self, names: Sequence[str]) -> "Meaning":
        columns = [plain(name) for name in names]
        if self._asked.format and self._asked.format != OWN_NAME:
            return _of_format(formats.BY_NAME[self._asked.format], names, columns, self._now_ms)
        if tuple(columns) == _OWN_PLAIN:
            return Meaning(OWN_NAME, len(names), 0, _own(self._now_ms), is_own=True)
        if self._asked.format:
            raise NoHeading(f"the heading of our own export is {', '.join(OWN)}; this one has {shown(names)}")
        if not self._asked.mapping and not self._asked.reason:
            if _is_headless(names):
                return _headless(len(names))
            if found := formats.recognised(columns):
                return _of_found(found, names, columns, self._now_ms)
        return _of_list(self._asked, names, columns)


class Meaning:
    """What the rows of a file stand for (`shared.tabular.rows.Table`)."""

    warnings: Sequence[str] = ()

    def __init__(
        self,
        name: str,
        count: int,
        address: int,
        acts: Callable[[list[str]], tuple[tuple[Act, ...], str] | Fault],
        *,
        is_headless: bool = False,
        is_own: bool = False,
    ) -> None:
        self.name = name
        self.count = count
        self.address = address
        self.is_headless = is_headless
        self._acts = acts
        self._is_own = is_own

    def row(self, cells: list[str], at: str) -> Wish | Fault | None:
        found = self._acts(cells)
        if isinstance(found, Fault):
            return Fault(f"{at}.{found.at}", found.what)
        try:
            cell = cells[self.address]
            return Wish(addresses.key_of(safe_cells.read(cell) if self._is_own else cell), *found)
        except addresses.InvalidAddress as fault:
            return Fault(at, f"not an address: {fault}: {shown([cells[self.address].strip(AROUND)])}")


def _of_found(found: list[formats.Format], names: Sequence[str], columns: Sequence[str], now_ms: int) -> Meaning:
    if len(found) > 1:
        ways = " or ".join(f"format={one.name}" for one in found)
        raise NoHeading(f"the heading is one of several kinds of files: say which: {ways}; it has {shown(names)}")
    return _of_format(found[0], names, columns, now_ms)


def _of_format(format: formats.Format, names: Sequence[str], columns: Sequence[str], now_ms: int) -> Meaning:
    if format.name == "ses" and _is_headless(names):
        return _headless(len(names))
    if missing := sorted(format.needs - set(columns)):
        what = f"the heading is none of {format.name}: it has no {', '.join(missing)}; it has {shown(names)}"
        raise NoHeading(what + headings.no_heading(names))
    places = {name: index for index, name in reversed(list(enumerate(columns))) if name}
    when = [places[name] for name in format.when if name in places]
    said = [places[name] for name in format.said if name in places]

    def acts(cells: list[str]) -> tuple[tuple[Act, ...], str] | Fault:
        given = {name: cells[index] for name, index in places.items()}
        found = format.acts(given)
        if found is None:
            at = next(name for name in ("suppressionreason", "reason", "tags") if name in places)
            return Fault(names[places[at]], f"not a word of {format.name}: {given[at][:_MAX_CELL_SHOWN]!r}")
        since_ms = next((ms for index in when if (ms := moment_ms(cells[index], now_ms))), 0)
        what = " ".join(filter(None, (cells[index].strip(AROUND) for index in said)))[:MAX_SAID_CHARS]
        if not since_ms and not what:
            return found, ""
        return tuple(msgspec.structs.replace(act, since_ms=since_ms, last_ms=since_ms, said=what) for act in found), ""

    return Meaning(format.name, len(names), places[format.email], acts)


def _is_headless(names: Sequence[str]) -> bool:
    """The file of an import job of SES has no heading."""
    return len(names) == 2 and "@" in names[0] and names[1].upper() in ("BOUNCE", "COMPLAINT")


def _headless(count: int) -> Meaning:
    format = formats.BY_NAME["ses"]

    def acts(cells: list[str]) -> tuple[tuple[Act, ...], str] | Fault:
        found = format.acts({"reason": cells[1]})
        return (found, "") if found else Fault("reason", f"not a word of ses: {cells[1][:_MAX_CELL_SHOWN]!r}")

    return Meaning("ses", count, 0, acts, is_headless=True)


def _of_list(asked: Asked, names: Sequence[str], columns: Sequence[str]) -> Meaning:
    places = {role: place for role in ROLES if (place := _place(role, asked.mapping, names, columns)) is not None}
    if "email" not in places:
        what = f"the heading has no column of the address, such as 'Adresse Email'; it has {shown(names)}"
        raise NoHeading(what + headings.no_heading(names))
    if asked.reason:
        meant = MEANINGS[asked.reason]
        return Meaning("list", len(names), places["email"], lambda _cells: (meant, ""))
    if len(places) == 1:
        raise NoHeading(
            "no column says what the addresses are: 'Opt-In Email' or 'Statut Email', or another one that `mapping` "
            f"names; if all of them are the same, say it: reason=unsubscribed. The heading has {shown(names)}"
        )
    return Meaning("list", len(names), places["email"], _List(places, names))


def _place(role: str, mapping: Mapping[str, str], names: Sequence[str], columns: Sequence[str]) -> int | None:
    """Which column has this role, None if none has. NoHeading."""
    if role in mapping:
        ways = (
            [index for index, name in enumerate(names) if name == mapping[role].strip(AROUND)],
            [index for index, name in enumerate(columns) if name == plain(mapping[role])],
        )
        found = next((way for way in ways if way), [])
        if not found:
            raise NoHeading(f"the heading has no column {shown([mapping[role]])}; it has {shown(names)}")
    else:
        found = [index for index, name in enumerate(columns) if name in ROLES[role]]
    if len(found) > 1:
        raise NoHeading(f"the heading has a column twice: {shown(names[index] for index in found)} are '{role}'")
    return found[0] if found else None


class _List:
    """The acts of a row with *Opt-In Email*, *Statut Email* or both."""

    def __init__(self, places: Mapping[str, int], names: Sequence[str]) -> None:
        self._optin = places.get("optin")
        self._status = places.get("status")
        self._names = names
        #: By the two cells as they are written: a file repeats a few.
        self._known: dict[tuple[str, str], tuple[tuple[Act, ...], str] | Fault] = {}

    def __call__(self, cells: list[str]) -> tuple[tuple[Act, ...], str] | Fault:
        written = (
            "" if self._optin is None else cells[self._optin],
            "" if self._status is None else cells[self._status],
        )
        found = self._known.get(written)
        if found is None:
            found = self._found(*written)
            if len(self._known) < _KNOWN_MOST:
                self._known[written] = found
        return found

    def _found(self, optin: str, status: str) -> tuple[tuple[Act, ...], str] | Fault:
        acts: tuple[Act, ...] = ()
        if self._status is not None:
            word = plain(status.strip(AROUND))
            if word in STATUSES:
                acts += _ACTS_OF_STATUS[STATUSES[word]]
            elif word or self._optin is None:
                return Fault(self._names[self._status], f"not Hard, Soft or Valide: {status[:_MAX_CELL_SHOWN]!r}")
        if self._optin is not None:
            word = optin.strip(AROUND).casefold()
            if word and word not in FLAGS:
                return Fault(self._names[self._optin], f"neither Oui nor Non: {optin[:_MAX_CELL_SHOWN]!r}")
            acts += (RESUBSCRIBE,) if FLAGS.get(word, False) else formats.UNSUBSCRIBED
        return acts, ""


#: Pairs of cells that are remembered: all that mean something, some times over.
_KNOWN_MOST = 1000


def _own(now_ms: int) -> Callable[[list[str]], tuple[tuple[Act, ...], str] | Fault]:
    """The acts of a row that is an entry as our own export writes it."""

    def acts(cells: list[str]) -> tuple[tuple[Act, ...], str] | Fault:
        _, channel, scope, reason, source, said, *times = map(safe_cells.read, cells[: len(OWN)])
        if not _is_channel(channel):
            return _unknown("channel", channel)
        if not _is_reason(reason) or reason in _NOBODYS:
            return _unknown("reason", reason, "; only an operator sets it" if reason in PROTECTED else "")
        if not _is_source(source):
            return _unknown("source", source)
        try:
            scopes.parse(scope)
        except ValueError as fault:
            return _unknown("scope", scope, f"; expected {fault}")
        found: list[int] = []
        for at, text in zip(OWN[-len(times) :], times, strict=True):
            ms = exact_ms(text)
            if ms is None:
                return Fault(at, f"not a time such as 2026-01-31T09:05:00.123Z: {text[:_MAX_CELL_SHOWN]!r}")
            found.append(ms)
        since_ms, last_ms, expires_at_ms = found
        slot = f"{channel} {scope}"
        if 0 < expires_at_ms <= now_ms:
            return (), slot
        act = Act("list", reason, scope, channel, said[:MAX_SAID_CHARS], since_ms, last_ms, expires_at_ms, source)
        return (act,), slot

    return acts


def _unknown(at: str, word: str, more: str = "") -> Fault:
    return Fault(at, f"not a word of the list: {word[:_MAX_CELL_SHOWN]!r}{more}")


def _is_channel(word: str) -> TypeGuard[Channel]:
    return word in scopes.CHANNELS


def _is_reason(word: str) -> TypeGuard[Reason]:
    return word in scopes.REASONS


def _is_source(word: str) -> TypeGuard[Source]:
    return word in scopes.SOURCES
