"""The language of segments: a tree of criteria, as JSON, as types and as JSON Schema. Pure.

A node has a `kind`. `all`, `any` and `none` join others (E21); the rest are criteria. `read` finds every fault of form
at once, each with its path; whether fields exist and values fit them is decided in `checking.py`.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from shared.words.described import says
from shared.words.errors import Fault

#: How deep `all`, `any` and `none` stand in each other, and how many nodes there are.
MAX_DEPTH = 8
MAX_NODES = 200
#: Operations, segments, imports or values that one criterion names.
MAX_NAMED = 100
MAX_TEXT_CHARS = 1_000
MAX_URL_CHARS = 8_192
MAX_FAULTS = 100
MAX_DAYS = 36_600
MAX_EVENTS = 1_000_000
MAX_NUMBER = 2**31 - 1
MAX_POSITION = 65_535

Number = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
Numbers = Annotated[list[Number], Meta(min_length=1, max_length=MAX_NAMED)]
Days = Annotated[int, Meta(ge=0, le=MAX_DAYS)]
Events = Annotated[int, Meta(ge=0, le=MAX_EVENTS)]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS)]
Url = Annotated[str, Meta(min_length=1, max_length=MAX_URL_CHARS)]
Note = Annotated[int, Meta(ge=0, le=10)]
Since = Annotated[datetime, Meta(tz=True)]

FieldTest = Literal[
    "equals", "differs", "one_of", "none_of", "all_of", "empty", "not_empty", "begins_with", "not_begins_with",
    "ends_with", "not_ends_with", "contains", "not_contains", "greater", "at_least", "less", "at_most", "before",
    "on_or_before", "after", "on_or_after", "in_last_days", "in_next_days", "birthday_in_days",
]  # fmt: skip
Channel = Literal["email", "sms", "phone"]
ChannelTest = Literal[
    "addressable", "not_addressable", "opted_in", "refused", "optin_unknown", "valid", "soft", "hard", "unsubscribed",
    "opposed",
]  # fmt: skip
Fate = Literal[
    "selected", "recipient", "excluded", "delivered", "opened", "not_opened", "clicked", "not_clicked", "bounced",
    "unsubscribed", "complained",
]  # fmt: skip
Deed = Literal["received", "received_marketing", "opened", "clicked", "page_seen", "event"]
_LEAF = {"kind": "field", "field": "postcode", "test": "begins_with", "value": "75"}
_BY_MACHINES = "Whether what machines did counts as well. Without it, only what people did."


class All(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="all"):
    """Who meets every one of these (*tous les critères*)."""

    of: Annotated[list["Criterion"], says("Criteria, or more such nodes.", [_LEAF])]


class AnyOf(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="any"):
    """Who meets at least one of these (*au moins un*)."""

    of: Annotated[list["Criterion"], says("Criteria, or more such nodes.", [_LEAF])]


class NoneOf(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="none"):
    """Who meets none of these."""

    of: Annotated[list["Criterion"], says("Criteria, or more such nodes.", [_LEAF])]


class OnField(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="field"):
    """What a field holds. Of text, number and date, `differs` and all `not_…` hold where the field is empty; of
    choices, `differs` and `none_of` hold only where there is a value. What has an order never holds for an empty
    field."""

    field: Annotated[Text, says("The name of the field.", "postcode")]
    test: Annotated[FieldTest, says("How it is compared. Which of these there are depends on the kind of field.")]
    value: Annotated[
        str | int | float | bool | None, says("With what: a text, a number, a date (`2026-01-31`), a choice.", "75")
    ] = None
    values: Annotated[
        Annotated[list[str], Meta(min_length=1, max_length=MAX_NAMED)] | None,
        says("Of `one_of`, `none_of` and `all_of`: with what.", ["Lille", "Roubaix"]),
    ] = None
    days: Annotated[Days | None, says("Of tests that end in `_days`: how many.", 30)] = None
    accents: Annotated[bool, says("Of text: whether `é` differs from `e`.", True)] = True


class OnChannel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="channel"):
    """The state of a contact on a channel."""

    channel: Annotated[Channel, says("Which.", "email")]
    test: Annotated[
        ChannelTest,
        says(
            "What holds. `addressable` is all that lets a marketing message go; `refused` and `optin_unknown` are the "
            "opt-in; `valid`, `soft` and `hard` the last that is known of the address.",
            "addressable",
        ),
    ]


class OnSegments(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="segment"):
    """Who is in other segments: in at least one of them, or in none."""

    test: Annotated[Literal["in", "not_in"], says("Whether they are in one of them, or in none.", "in")]
    segments: Annotated[Numbers, says("Which: their numbers.", [3])]


class OnImports(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="import"):
    """Whom imports brought: at least one of them, or none."""

    test: Annotated[
        Literal["included", "added", "updated", "not_included", "not_added", "not_updated"],
        says("`included`: in its file. `added`: new by it. `updated`: there before, and changed by it.", "added"),
    ]
    imports: Annotated[Numbers, says("Which: their numbers.", [12])]


class OnOperations(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="operation"):
    """What became of somebody in operations: in those that are named, or in all that fit `tag`, `category`,
    `operation_kind` and when they began. `not_opened` and `not_clicked` are those who were delivered and did not."""

    was: Annotated[Fate, says("What happened to them, or what they did.", "opened")]
    match: Annotated[Literal["one", "all"], says("Whether in one of the operations or in each of them.", "one")] = "one"
    operations: Annotated[
        Annotated[list[Text], Meta(min_length=1, max_length=MAX_NAMED)] | None,
        says("Which: a job's id, or the word that jobs share.", ["068vjfm5s9m2rc1jqqrg"]),
    ] = None
    tag: Annotated[Text | None, says("All with this tag.", "soldes")] = None
    category: Annotated[Text | None, says("All of this category.", "promotion")] = None
    operation_kind: Annotated[Text | None, says("All of this kind: `email`, `sms`, `survey`, `form`.", "email")] = None
    since: Annotated[Since | None, says("All that began then or later.", "2026-01-01T00:00:00Z")] = None
    until: Annotated[Since | None, says("All that began before then.", "2026-02-01T00:00:00Z")] = None
    last_days: Annotated[Days | None, says("All that began in the last so many days.", 30)] = None
    url: Annotated[
        Url | None,
        says("Of `clicked` and `not_clicked`: one of the addresses, wherever it stands.", "https://exemple.fr/soldes"),
    ] = None
    position: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_POSITION)] | None,
        says("Of `clicked` and `not_clicked`: one of the links, by its place in the HTML, from 0.", 2),
    ] = None
    reason: Annotated[Text | None, says("Of `excluded`: why.", "unsubscribed")] = None
    bounce: Annotated[Literal["hard", "soft", "block"] | None, says("Of `bounced`: which kind.", "hard")] = None
    machines: Annotated[bool, says(_BY_MACHINES, False)] = False


class OnBehaviour(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="behaviour"):
    """How often somebody did something, within a period or at all: exactly one of `at_least`, `at_most`, `exactly`."""

    did: Annotated[
        Deed,
        says(
            "What is counted. `received`: mails that were delivered; `received_marketing`: of these the ones of the "
            "stream `bulk`.",
            "opened",
        ),
    ]
    at_least: Annotated[Events | None, says("So often or more.", 3)] = None
    at_most: Annotated[Events | None, says("So often or less; never counts as well.", 2)] = None
    exactly: Annotated[Events | None, says("Just so often.", 0)] = None
    name: Annotated[Text | None, says("Of `event`: which; without it, events of any name.", "purchase")] = None
    since: Annotated[Since | None, says("From then on.", "2026-01-01T00:00:00Z")] = None
    until: Annotated[Since | None, says("Before then.", "2026-02-01T00:00:00Z")] = None
    last_days: Annotated[Days | None, says("In the last so many times 24 hours.", 60)] = None
    machines: Annotated[bool, says(_BY_MACHINES, False)] = False


class OnActivity(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="activity"):
    """The note of the last run of the activity rank, from 0 (inactive) to 10."""

    at_least: Annotated[Note, says("This note or a higher one.", 8)] = 0
    at_most: Annotated[Note, says("This note or a lower one.", 10)] = 10


class OnRisk(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="at_risk"):
    """Who is at risk: whose address was given up, or who got mail long ago, has not left, and opened and clicked
    nothing in as many days as the tenant says (`/v1/at-risk`)."""

    why: Annotated[Literal["any", "hard", "quiet"], says("Whichever it is, or one of them.", "quiet")] = "any"


Group = All | AnyOf | NoneOf
Criterion = Group | OnField | OnChannel | OnSegments | OnImports | OnOperations | OnBehaviour | OnActivity | OnRisk

GROUPS: dict[str, type[All] | type[AnyOf] | type[NoneOf]] = {"all": All, "any": AnyOf, "none": NoneOf}
LEAVES: dict[str, Any] = {
    "field": OnField,
    "channel": OnChannel,
    "segment": OnSegments,
    "import": OnImports,
    "operation": OnOperations,
    "behaviour": OnBehaviour,
    "activity": OnActivity,
    "at_risk": OnRisk,
}
KINDS = (*GROUPS, *LEAVES)
#: What platforms of the field offer and nobody can honestly know here (E20): refused, and never guessed.
UNKNOWABLE = {
    "forwarded": "whether a mail was forwarded is not known",
    "reading_time": "for how long a mail was read is not known",
    "preferred_channel": "which channel somebody prefers is not known",
}


class At(NamedTuple):
    """A node with its path, as faults name it: `$.of[2]`."""

    path: str
    node: Criterion


def read(given: object) -> tuple[Criterion | None, list[Fault]]:
    """A tree as JSON gave it, and all that is wrong with its form; None if anything is."""
    reading = _Reading()
    node = reading.node(given, "$", 1)
    if reading.nodes > MAX_NODES:
        reading.faults.insert(0, Fault("$", f"{reading.nodes} nodes; at most {MAX_NODES}"))
    if reading.faults or node is None:
        return None, reading.faults[:MAX_FAULTS]
    return node, []


def packed(node: Criterion) -> bytes:
    """The tree as JSON, without what is left at its default; `read` reads it again."""
    return msgspec.json.encode(_shown(msgspec.to_builtins(node)))


def walked(node: Criterion, path: str = "$") -> list[At]:
    """Every criterion of the tree, with its path."""
    if not isinstance(node, Group):
        return [At(path, node)]
    return [one for index, part in enumerate(node.of) for one in walked(part, f"{path}.of[{index}]")]


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the language, with a sentence for everything."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Criterion)}


def _shown(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _shown(value) for name, value in node.items() if value is not None}
    return [_shown(one) for one in node] if isinstance(node, list) else node


class _Reading:
    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.nodes = 0

    def node(self, given: object, path: str, depth: int) -> Criterion | None:
        self.nodes += 1
        kind = given.get("kind") if isinstance(given, dict) else None
        if not isinstance(given, dict) or not isinstance(kind, str):
            self._fault(path, f"not an object with a `kind`, which is one of {', '.join(KINDS)}")
            return None
        if kind in GROUPS:
            return self._group(GROUPS[kind], given, path, depth)
        if kind not in LEAVES:
            self._fault(f"{path}.kind", UNKNOWABLE.get(kind, f"not one of {', '.join(KINDS)}"))
            return None
        if kind == "operation" and (word := given.get("was")) and isinstance(word, str) and word in UNKNOWABLE:
            self._fault(f"{path}.was", UNKNOWABLE[word])
            return None
        try:
            leaf: Criterion = msgspec.convert(given, LEAVES[kind])
        except msgspec.ValidationError as error:
            what, _, place = str(error).partition(" - at `$")
            self._fault(path + place.rstrip("`"), what)
            return None
        return leaf

    def _group(
        self, group: type[All] | type[AnyOf] | type[NoneOf], given: dict[Any, object], path: str, depth: int
    ) -> Criterion | None:
        of = given.get("of")
        for name in given.keys() - {"kind", "of"}:
            self._fault(path, f"no such field; it has `kind` and `of`, not `{str(name)[:40]}`")
        if depth > MAX_DEPTH:
            self._fault(path, f"nested too deeply; at most {MAX_DEPTH} levels")
            return None
        if not isinstance(of, list) or not of:
            self._fault(f"{path}.of", "not a list of at least one criterion")
            return None
        if self.nodes + len(of) > MAX_NODES:  # counted, and not read: `read` tells of it
            self.nodes += len(of)
            return None
        parts = [self.node(one, f"{path}.of[{index}]", depth + 1) for index, one in enumerate(of)]
        return group([part for part in parts if part is not None])

    def _fault(self, path: str, what: str) -> None:
        self.faults.append(Fault(path, what))
