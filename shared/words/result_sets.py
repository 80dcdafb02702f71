"""Sets of recipients by what became of their messages: the language, and its algebra. Pure.

    {"and": [{"job": "A", "state": "delivered"}, {"not": {"job": "B", "state": "clicked", "url": "https://…"}}]}

A set of one job is named by a state; sets are joined by `and`, `or` and `not`. Of one job a set is a mask by ordinal;
over several jobs recipients are the same where their addresses are (`shared.words.joined`). `not` is what the jobs that
are named anywhere have besides: all that were selected. `not_opened` and `not_clicked` are narrower, of those who have
the mail: delivered, and not opened or not clicked.

A mask is a number whose bytes are ordinals, the lowest first: 1 for who is in, 0 for who is not.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Struct

from shared.words import ids, standing
from shared.words.consent import NOT_OPTED_IN
from shared.words.described import says
from shared.words.errors import Fault
from shared.words.once import ALREADY_SENT, DUPLICATE_KEY
from shared.words.pressure import PRESSURE
from shared.words.rules import TENANTS_REASON
from shared.words.scopes import REASONS as LISTED
from shared.words.standing import State
from shared.words.targets import TOO_LARGE

#: Sets of jobs that one expression names: as many bits as the record of a join has.
MAX_SETS = 32
#: How deep `and`, `or` and `not` stand in each other.
MAX_DEPTH = 8
#: An expression as JSON.
MAX_BYTES = 65_536
#: Links of one content have no more positions.
MAX_POSITION = 65_535
MAX_URL_CHARS = 8_192
_MAX_FAULTS = 100
_MAX_SHOWN_CHARS = 60

DUPLICATE = "duplicate_address"
#: Why a contact is not addressable, of a job that is sent to contacts.
OF_CONTACTS: tuple[str, ...] = ("no_address", "hard", "left", "opposed", "no_optin", TOO_LARGE)
#: Why somebody is left out: what the suppression list says, a rule, the gate, what is wrong with the recipient, that
#: they had as many mails as they may get, or one of that operation, or what is wrong with the contact.
REASONS: tuple[str, ...] = (
    *LISTED, TENANTS_REASON, NOT_OPTED_IN, "invalid_address", DUPLICATE, "no_mail_host", "empty_subject", "empty_body",
    PRESSURE, ALREADY_SENT, DUPLICATE_KEY, *OF_CONTACTS,
)  # fmt: skip


class Kind(NamedTuple):
    """A kind of set: those in one of these states (None: whatever theirs is) and, if `counters` has some, with one of
    these counted, or, if `without`, with none of them."""

    sentence: str
    states: tuple[State, ...] | None = None
    counters: tuple[str, ...] = ()
    without: bool = False


_BOUNCED = {
    "hard": (State.BOUNCED_HARD, State.LATE_HARD),
    "soft": (State.BOUNCED_SOFT, State.LATE_SOFT),
    "block": (State.BOUNCED_BLOCK, State.LATE_BLOCK),
}
_LEFT_OUT = (State.SUPPRESSED, State.REJECTED, State.CANCELLED)
_OPENED = (standing.OPENS, standing.IMPLIED_OPENS)
KINDS: dict[str, Kind] = {
    "selected": Kind("Everybody whom the job was to go to."),
    "recipient": Kind(
        "Selected, and not excluded.", tuple(state for state in State if state not in _LEFT_OUT)
    ),
    "excluded": Kind("Left out: suppressed, rejected or cancelled; of one `reason`, if it is given.", _LEFT_OUT),
    "suppressed": Kind("On the suppression list, under a rule, or opposed; of one `reason`.", (State.SUPPRESSED,)),
    "rejected": Kind(
        "Never queued, for a reason that lies in the job, for `pressure`, or `already_sent`; of one `reason`.",
        (State.REJECTED,),
    ),
    "cancelled": Kind("Cancelled before it was sent.", (State.CANCELLED,)),
    "pending": Kind("Without an end yet.", (State.NONE, State.DEFERRED)),
    "deferred": Kind("An attempt failed for now, and another one follows.", (State.DEFERRED,)),
    "delivered": Kind("Taken by a host, and not bounced afterwards.", (State.DELIVERED,)),
    "bounced": Kind("Will not arrive.", sum(_BOUNCED.values(), ())),
    "bounced_hard": Kind("The address is bad.", _BOUNCED["hard"]),
    "bounced_soft": Kind("The address may be good later.", _BOUNCED["soft"]),
    "bounced_block": Kind("The refusal was about the sender.", _BOUNCED["block"]),
    "expired": Kind("Its time ran out before a host took it.", (State.EXPIRED,)),
    "failed": Kind("The engine could not make or send it.", (State.FAILED,)),
    "opened": Kind("Opened by a person, or followed a link of.", None, _OPENED),
    "not_opened": Kind("Delivered, and no opening by a person is known.", (State.DELIVERED,), _OPENED, without=True),
    "clicked": Kind("A person clicked: any link, the one at `link`, or any to `url`.", None, (standing.CLICKS,)),
    "not_clicked": Kind(
        "Delivered, and no click by a person is known: on any link, the one at `link`, or any to `url`.",
        (State.DELIVERED,),
        (standing.CLICKS,),
        without=True,
    ),
    "document_opened": Kind("A person opened a tracked document.", None, (standing.DOCUMENTS,)),
    "unsubscribed": Kind("Left, by this mail.", None, (standing.UNSUBSCRIPTIONS,)),
    "complained": Kind("A provider reported a complaint about it.", None, (standing.COMPLAINTS,)),
    "auto_replied": Kind("An automatic answer came back.", None, (standing.AUTO_REPLIES,)),
    "replied": Kind("A person answered, to the return path.", None, (standing.REPLIES,)),
}  # fmt: skip
STATES: tuple[str, ...] = tuple(KINDS)
#: Those that one link narrows, and one reason.
LINKED = frozenset(("clicked", "not_clicked"))
REASONED = frozenset(("excluded", "suppressed", "rejected"))


#: What each state means, for the documents of the API.
ALL_STATES = " ".join(f"`{name}`: {kind.sentence}" for name, kind in KINDS.items())
_ONE = "Of a set: "


class ResultSet(Struct, frozen=True, forbid_unknown_fields=True, rename={"and_": "and", "or_": "or", "not_": "not"}):
    """A set of recipients: one of `and`, `or`, `not`, or a set of one job, with `job` and `state`. At most 8 levels and
    32 sets. `not` is what the jobs that are named have besides."""

    and_: Annotated[
        Annotated[list["ResultSet"], Meta(max_length=MAX_SETS)] | None, says("Who is in all of these.", [])
    ] = None
    or_: Annotated[
        Annotated[list["ResultSet"], Meta(max_length=MAX_SETS)] | None, says("Who is in any of these.", [])
    ] = None
    not_: Annotated["ResultSet | None", says("Who is not in this one.", None)] = None
    job: Annotated[str | None, says(f"{_ONE}the job.", "068vjfm5s9m2rc1jqqrg")] = None
    state: Annotated[str | None, says(f"{_ONE}which. {ALL_STATES}", "delivered", schema={"enum": [*STATES, None]})] = (
        None
    )
    link: Annotated[int | None, says(f"{_ONE}of `clicked` and `not_clicked`, the position of a link.", 2)] = None
    url: Annotated[
        str | None, says(f"{_ONE}of `clicked` and `not_clicked`, where links lead.", "https://exemple.fr/soldes")
    ] = None
    reason: Annotated[
        str | None,
        says(
            f"{_ONE}of `excluded`, `suppressed` and `rejected`, why.",
            "rule",
            schema={"enum": [*REASONS, None]},
        ),
    ] = None


#: An expression as somebody would send it.
EXAMPLE = {
    "and": [
        {"job": "068vjfm5s9m2rc1jqqrg", "state": "delivered"},
        {"not": {"job": "068vjfm5s9m2rc1jqqs0", "state": "clicked", "url": "https://exemple.fr/soldes"}},
    ]
}


class Set(NamedTuple):
    """Of one job."""

    job: str
    state: str
    link: int | None = None
    url: str | None = None
    reason: str | None = None


class Not(NamedTuple):
    of: "Node"


class And(NamedTuple):
    parts: tuple["Node", ...]


class Or(NamedTuple):
    parts: tuple["Node", ...]


Node = Set | Not | And | Or


class Expression(NamedTuple):
    """`sets` are those that are named, each once, with the path at which it is named first."""

    node: Node
    sets: Mapping[Set, str]

    @property
    def jobs(self) -> list[str]:
        """The latest first: ids sort by time."""
        return sorted({one.job for one in self.sets}, reverse=True)


def read(given: object, at: str = "$") -> tuple[Expression | None, list[Fault]]:
    """An expression as JSON gave it, and all that is wrong with it; None if anything is."""
    reading = _Reading()
    node = reading.node(given, at, 1)
    if len(reading.sets) > MAX_SETS:
        reading.fault(at, f"names {len(reading.sets)} sets; at most {MAX_SETS}")
    if reading.faults or node is None:
        return None, reading.faults[:_MAX_FAULTS]
    return Expression(node, reading.sets), []


def packed(node: Node) -> dict[str, Any]:
    """The expression as JSON has it."""
    match node:
        case Not(of):
            return {"not": packed(of)}
        case And(parts):
            return {"and": [packed(part) for part in parts]}
        case Or(parts):
            return {"or": [packed(part) for part in parts]}
        case Set():
            return {name: value for name, value in node._asdict().items() if value is not None}


class _Reading:
    def __init__(self) -> None:
        self.sets: dict[Set, str] = {}
        self.faults: list[Fault] = []

    def fault(self, at: str, what: str) -> Node | None:
        """Notes it; there is nothing then."""
        self.faults.append(Fault(at, what))
        return None

    def node(self, given: object, at: str, depth: int) -> Node | None:
        if not isinstance(given, dict):
            return self.fault(at, "not an object: a set, or one of `and`, `or`, `not`")
        given = {name: value for name, value in given.items() if value is not None}
        if depth > MAX_DEPTH:
            return self.fault(at, f"nested too deeply; at most {MAX_DEPTH} levels")
        if "job" in given or "state" in given:
            return self._set(given, at)
        if len(given) != 1 or not (given.keys() & {"and", "or", "not"}):
            return self.fault(at, "exactly one of `and`, `or`, `not`, or a set with `job` and `state`")
        ((name, of),) = given.items()
        if name == "not":
            negated = self.node(of, f"{at}.not", depth + 1)
            return None if negated is None else Not(negated)
        if not isinstance(of, list) or not of:
            return self.fault(f"{at}.{name}", "not a list of at least one expression")
        if len(of) > MAX_SETS:
            return self.fault(f"{at}.{name}", f"{len(of)} expressions; at most {MAX_SETS}")
        found = [self.node(one, f"{at}.{name}[{index}]", depth + 1) for index, one in enumerate(of)]
        parts = tuple(one for one in found if one is not None)
        return And(parts) if name == "and" else Or(parts)

    def _set(self, given: Mapping[Any, object], at: str) -> Set | None:
        before = len(self.faults)
        for name in given:
            if name not in Set._fields:
                self.fault(f"{at}.{name}"[:_MAX_SHOWN_CHARS], f"no such field; a set has {', '.join(Set._fields)}")
        job, state = given.get("job"), given.get("state")
        if not isinstance(job, str) or not ids.is_job_id(job):
            self.fault(f"{at}.job", "required" if job is None else "not the id of a job")
        if not isinstance(state, str) or state not in KINDS:
            self.fault(f"{at}.state", "required" if state is None else f"not one of {', '.join(STATES)}")
        faults, link, url, reason = narrowed(state, given.get("link"), given.get("url"), given.get("reason"))
        self.faults += [Fault(f"{at}.{name}", what) for name, what in faults]
        if len(self.faults) > before:
            return None
        found = Set(str(job), str(state), link, url, reason)
        self.sets.setdefault(found, at)
        return found


def narrowed(
    state: object, link: object, url: object, reason: object
) -> tuple[list[tuple[str, str]], int | None, str | None, str | None]:
    """What is wrong with what narrows a set (field, what), and the same as they are typed."""
    faults: list[tuple[str, str]] = []
    state = state if isinstance(state, str) else ""  # what it is instead is told of by itself, and may have no hash
    if link is not None and not (isinstance(link, int) and not isinstance(link, bool) and 0 <= link <= MAX_POSITION):
        faults.append(("link", f"not the position of a link, from 0 to {MAX_POSITION}"))
    if url is not None and not (isinstance(url, str) and 0 < len(url) <= MAX_URL_CHARS):
        faults.append(("url", f"not a text of 1 to {MAX_URL_CHARS} characters"))
    if reason is not None and reason not in REASONS:
        faults.append(("reason", f"not one of {', '.join(REASONS)}"))
    for name, value in (("link", link), ("url", url)):
        if value is not None and state in KINDS and state not in LINKED:
            faults.append((name, f"of {' and '.join(sorted(LINKED))} alone"))
    if reason is not None and state in KINDS and state not in REASONED:
        faults.append(("reason", f"of {', '.join(sorted(REASONED))} alone"))
    if link is not None and url is not None:
        faults.append(("url", "`link` or `url`, not both"))
    typed = (
        link if isinstance(link, int) else None,
        url if isinstance(url, str) else None,
        reason if isinstance(reason, str) else None,
    )
    return faults, *typed


# Masks


class Asked(NamedTuple):
    """What is looked up for a set: the bytes of states that count (256 times 0 or 1), bitmaps of which one has to have
    the bit, all of which (`also`), and whether none may have it."""

    states: bytes
    counters: tuple[str, ...]
    also: tuple[str, ...]
    without: bool


def asked(one: Set, positions: Sequence[int] = ()) -> Asked:
    """`positions`: of the links that lead to its `url`."""
    kind = KINDS[one.state]
    counters = kind.counters
    if one.link is not None or one.url is not None:
        counters = tuple(standing.click_counter(at) for at in (positions if one.link is None else (one.link,)))
    also = (standing.excluded_counter(one.reason),) if one.reason is not None else ()
    return Asked(_table(kind.states), counters, also, kind.without)


def _table(states: tuple[State, ...] | None) -> bytes:
    if states is None:
        return b"\x01" * 256
    return bytes((byte & ~standing.ACCEPTED) in states for byte in range(256))


def mask_of_states(states: bytes, table: bytes, size: int) -> int:
    """Of so many ordinals, of which the last may have no byte yet."""
    return int.from_bytes(states.ljust(size, b"\x00").translate(table), "little")


#: A byte of a bitmap as the eight bytes of a mask; its highest bit is the first.
_SPREAD = tuple(bytes(byte >> (7 - at) & 1 for at in range(8)) for byte in range(256))


def mask_of_bits(bits: bytes, size: int) -> int:
    """Of a bitmap that begins at the first ordinal."""
    return int.from_bytes(b"".join(map(_SPREAD.__getitem__, bits))[:size], "little")


def every(size: int) -> int:
    """The mask of all."""
    return int.from_bytes(b"\x01" * size, "little")


def mask(one: Asked, states: bytes, bits: Mapping[str, int], size: int) -> int:
    """Of a set; `bits`: the mask of each of its bitmaps."""
    found = mask_of_states(states, one.states, size)
    union = 0
    for name in one.counters:
        union |= bits[name]
    if one.without:
        found &= ~union
    elif one.counters:
        found &= union
    for name in one.also:
        found &= bits[name]
    return found


def evaluated(node: Node, masks: Mapping[Set, int], whole: int) -> int:
    """The mask of an expression, within `whole`."""
    match node:
        case Not(of):
            return whole & ~evaluated(of, masks, whole)
        case And(parts):
            found = whole
            for part in parts:
                found &= evaluated(part, masks, whole)
            return found
        case Or(parts):
            found = 0
            for part in parts:
                found |= evaluated(part, masks, whole)
            return found
        case Set():
            return masks[node]


def ordinals(found: int, first: int, size: int) -> Iterator[int]:
    """Who is in a mask that begins at that ordinal, in their order."""
    marks = found.to_bytes(size, "little")
    at = marks.find(1)
    while at >= 0:
        yield first + at
        at = marks.find(1, at + 1)
