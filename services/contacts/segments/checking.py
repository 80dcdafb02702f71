"""What a tree of criteria means to a tenant: whether its fields exist, values fit, its segments close no circle. Pure.

All that is wrong is found at once. What passes can be compiled.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from math import isfinite
from typing import Literal, NamedTuple

from services.contacts.segments.language import (
    MAX_FAULTS,
    Criterion,
    OnActivity,
    OnBehaviour,
    OnField,
    OnOperations,
    OnSegments,
    walked,
)  # fmt: skip
from shared.words.errors import Fault

FieldKind = Literal["text", "number", "date", "choice", "choices", "yes_no"]

#: Segments may use segments to this depth, and have so many criteria together.
MAX_CHAIN = 8
MAX_CRITERIA = 400

_EMPTINESS = ("empty", "not_empty")
_TEXT = (
    "equals", "differs", "one_of", "begins_with", "not_begins_with", "ends_with", "not_ends_with", "contains",
    "not_contains",
)  # fmt: skip
_DAYS = ("in_last_days", "in_next_days", "birthday_in_days")
_LISTS = ("one_of", "none_of", "all_of")
#: Which tests there are for each kind of field.
TESTS: Mapping[FieldKind, tuple[str, ...]] = {
    "text": (*_TEXT, *_EMPTINESS),
    "number": ("equals", "differs", "greater", "at_least", "less", "at_most", *_EMPTINESS),
    "date": ("equals", "differs", "before", "on_or_before", "after", "on_or_after", *_DAYS, *_EMPTINESS),
    "choice": ("equals", "differs", "one_of", "none_of", *_EMPTINESS),
    "choices": ("equals", "differs", "one_of", "none_of", "all_of", *_EMPTINESS),
    "yes_no": ("equals", "differs", *_EMPTINESS),
}
#: By whom a thing that narrows operations may be said.
_NARROWED: Mapping[str, tuple[str, ...]] = {
    "url": ("clicked", "not_clicked"),
    "position": ("clicked", "not_clicked"),
    "reason": ("excluded",),
    "bounce": ("bounced",),
    "machines": ("opened", "not_opened", "clicked", "not_clicked"),
}
_CHOSEN = ("tag", "category", "operation_kind", "since", "until", "last_days")


class Field(NamedTuple):
    """A field of a tenant. `slot`: its place, from 1, in the array of its kind; None for what is chosen, and for what
    is a column (`COLUMNS`), whose number is 0."""

    number: int
    kind: FieldKind
    slot: int | None


#: What every contact has as a column: the name, its kind, and the column as SQL.
COLUMNS: Mapping[str, tuple[FieldKind, str]] = {
    "email": ("text", "c.email_key"),
    "mobile": ("text", "c.mobile"),
    "telephone": ("text", "c.telephone"),
    "created_on": ("date", "(c.created_at at time zone 'UTC')::date"),
    "updated_on": ("date", "(c.updated_at at time zone 'UTC')::date"),
}
_COLUMN_FIELDS = {name: Field(0, kind, None) for name, (kind, _) in COLUMNS.items()}


class Known(NamedTuple):
    """What a tenant has: fields by name, and segments by number, each with the criteria that are in force."""

    fields: Mapping[str, Field]
    segments: Mapping[int, Criterion]

    def field(self, name: str) -> Field | None:
        return _COLUMN_FIELDS.get(name) or self.fields.get(name)


def check(criterion: Criterion, known: Known, own: int | None = None) -> list[Fault]:
    """All that is wrong with a tree for this tenant. `own` is the number of the segment that it is to be."""
    return (misfits(criterion, known) or _circles(criterion, known, own))[:MAX_FAULTS]


def misfits(criterion: Criterion, known: Known) -> list[Fault]:
    """What is wrong with its criteria by themselves."""
    return [fault for path, node in walked(criterion) for fault in _checked(path, node, known)]


def used(criterion: Criterion) -> list[int]:
    """The segments that it names, in order."""
    return sorted({number for _, node in walked(criterion) if isinstance(node, OnSegments) for number in node.segments})


def all_used(criterion: Criterion, known: Known) -> list[int]:
    """The segments that it names, those that these name, and so on."""
    found: dict[int, None] = {}
    waiting = used(criterion)
    while waiting:
        number = waiting.pop()
        if number in known.segments and number not in found:
            found[number] = None
            waiting += used(known.segments[number])
    return list(found)


def _checked(path: str, node: Criterion, known: Known) -> Iterator[Fault]:
    match node:
        case OnField():
            yield from _field(path, node, known)
        case OnSegments():
            for index, number in enumerate(node.segments):
                if number not in known.segments:
                    yield Fault(f"{path}.segments[{index}]", "no such segment")
        case OnOperations():
            yield from _operations(path, node)
        case OnBehaviour():
            yield from _behaviour(path, node)
        case OnActivity():
            if node.at_least > node.at_most:
                yield Fault(f"{path}.at_least", "more than `at_most`: nobody has such a note")
        case _:
            pass


# Fields


def _field(path: str, node: OnField, known: Known) -> Iterator[Fault]:
    field = known.field(node.field)
    if field is None:
        yield Fault(f"{path}.field", "no such field")
        return
    if node.test not in TESTS[field.kind]:
        yield Fault(f"{path}.test", f"a field of kind {field.kind} has {', '.join(TESTS[field.kind])}")
        return
    wanted = _wanted(node.test)
    for name, given in (("value", node.value), ("values", node.values), ("days", node.days)):
        if (given is None) == (name == wanted):
            yield Fault(f"{path}.{name}", f"required by `{node.test}`" if given is None else f"not with `{node.test}`")
            return
    if not node.accents and (field.kind != "text" or wanted is None):
        yield Fault(f"{path}.accents", "of comparisons of text alone")
    if node.value is not None and (what := _wrong_value(field.kind, node.value)):
        yield Fault(f"{path}.value", what)
    for index, value in enumerate(node.values or ()):
        if what := _wrong_value("text", value):
            yield Fault(f"{path}.values[{index}]", what)


def _wanted(test: str) -> str | None:
    if test in _EMPTINESS:
        return None
    return "days" if test in _DAYS else "values" if test in _LISTS else "value"


def _wrong_value(kind: FieldKind, value: str | float | bool) -> str:
    """What is wrong with it, or ""."""
    if kind == "number":
        return "" if not isinstance(value, str | bool) and isfinite(value) else "not a number"
    if kind == "yes_no" and isinstance(value, bool):
        return ""
    if not isinstance(value, str):
        return "not a text"
    if kind == "date":
        return "" if day(value) else "not a date: `2026-01-31`"
    if kind == "yes_no":
        return "" if value in ("yes", "no") else "not `yes` or `no`"
    return wrong_text(value)


def wrong_text(value: str) -> str:
    """Of what PostgreSQL can hold, or ""."""
    if not value:
        return "empty; there is `empty` and `not_empty`"
    return (
        "has a character that no text has" if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value) else ""
    )


def day(text: str) -> date | None:
    """`2026-01-31`, and no other way to write it."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if found.isoformat() == text else None


# Operations and behaviour


def _operations(path: str, node: OnOperations) -> Iterator[Fault]:
    for name, fates in _NARROWED.items():
        given = getattr(node, name)  # a position is 0 and there, where False is not
        if given is not None and given is not False and node.was not in fates:
            yield Fault(f"{path}.{name}", f"of {' and '.join(fates)} alone")
    if node.url is not None and node.position is not None:
        yield Fault(f"{path}.position", "`url` or `position`, not both")
    chosen = [name for name in _CHOSEN if getattr(node, name) is not None]
    if node.operations is None and not chosen:
        yield Fault(f"{path}.operations", f"required, or one of {', '.join(_CHOSEN)}")
    if node.operations is not None:
        for name in chosen:
            yield Fault(f"{path}.{name}", "not with `operations`, which are named")
    texts = [(f"operations[{index}]", text) for index, text in enumerate(node.operations or ())]
    for name, text in (
        *texts,
        *((name, getattr(node, name)) for name in ("tag", "category", "operation_kind", "url", "reason")),
    ):
        if text is not None and (what := wrong_text(text)):
            yield Fault(f"{path}.{name}", what)
    yield from _period(path, node)


def _behaviour(path: str, node: OnBehaviour) -> Iterator[Fault]:
    said = [name for name in ("at_least", "at_most", "exactly") if getattr(node, name) is not None]
    if len(said) != 1:
        yield Fault(path, "exactly one of `at_least`, `at_most`, `exactly`")
    if node.name is not None and node.did != "event":
        yield Fault(f"{path}.name", "of `event` alone")
    if node.name is not None and (what := wrong_text(node.name)):
        yield Fault(f"{path}.name", what)
    if node.machines and node.did in ("received", "received_marketing"):
        yield Fault(f"{path}.machines", "machines receive nothing")
    yield from _period(path, node)


def _period(path: str, node: OnOperations | OnBehaviour) -> Iterator[Fault]:
    if node.last_days is not None and (node.since is not None or node.until is not None):
        yield Fault(f"{path}.last_days", "`last_days`, or `since` and `until`, not both")
    if node.since is not None and node.until is not None and node.since >= node.until:
        yield Fault(f"{path}.until", "not after `since`")


# Circles


def _circles(criterion: Criterion, known: Known, own: int | None) -> list[Fault]:
    """A segment that would use itself, with the way round (E26); chains that are too long, trees that are too large."""
    faults: list[Fault] = []
    for path, node in walked(criterion):
        for index, number in enumerate(node.segments if isinstance(node, OnSegments) else ()):
            at = f"{path}.segments[{index}]"
            way = _way_round(number, own, known)
            if way:
                named = " → ".join(str(one) for one in (own, *way))
                faults.append(Fault(at, f"a circle: {named}"))
    return faults or _too_large(criterion, known, own)


def _too_large(criterion: Criterion, known: Known, own: int | None) -> list[Fault]:
    """Also for those who use it: what they come to grows with it."""
    sizes = _Sizes({**known.segments, own or 0: criterion})
    for number in (own or 0, *known.segments):
        chain, criteria = sizes.of(number)
        which = "" if number in (own, 0) else f"segment {number}, which uses this one: "
        if chain > MAX_CHAIN:
            return [Fault("$", f"{which}segments that use segments, {chain} deep; at most {MAX_CHAIN}")]
        if criteria > MAX_CRITERIA:
            return [Fault("$", f"{which}{criteria} criteria with those of the segments in it; at most {MAX_CRITERIA}")]
    return []


def _way_round(start: int, own: int | None, known: Known) -> list[int]:
    """The shortest way from a segment to `own`, with both; nothing if there is none."""
    ways, seen = [[start]], {start}
    for way in ways:
        if way[-1] == own:
            return way
        for number in used(known.segments[way[-1]]) if way[-1] in known.segments else ():
            if number not in seen:
                seen.add(number)
                ways.append([*way, number])
    return []


class _Sizes:
    """How deep segments use segments, and how many criteria that comes to: each segment is looked at once."""

    def __init__(self, segments: Mapping[int, Criterion]) -> None:
        self._segments = segments
        self._found: dict[int, tuple[int, int]] = {}

    def of(self, number: int) -> tuple[int, int]:
        if number not in self._found:
            criterion = self._segments.get(number)
            leaves = [] if criterion is None else [node for _, node in walked(criterion)]
            named = [one for node in leaves if isinstance(node, OnSegments) for one in node.segments]
            sizes = [self.of(one) for one in named]
            self._found[number] = (
                max((chain + 1 for chain, _ in sizes), default=0),
                len(leaves) + sum(criteria for _, criteria in sizes),
            )
        return self._found[number]
