"""What an entry of the suppression list stops, and which reason is the stronger: the words, and the rules as functions.

An address may be on the list several times, once for each channel and scope; an entry says why. A scope is `all`
(nothing goes there by this channel), `marketing` (nothing of the stream `bulk`) or `list:<name>` (nothing of the stream
`bulk` that a job sends under that list). Who leaves a newsletter still gets the password that they ask for, and
what other lists send; who does not exist gets nothing. An entry that has expired stops nothing.
"""

from collections.abc import Iterable
from typing import Literal, get_args

import msgspec

#: By what somebody is reached.
Channel = Literal["email", "sms", "phone"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)

#: Why an address is on the list.
Reason = Literal[
    "soft_bounces", "inactive", "mailbox_full", "hard_bounce", "manual", "objected", "unsubscribed", "complaint",
    "erased", "compliance",
]  # fmt: skip
#: How strong each is: of two for the same channel and scope the stronger holds. What the recipient said outranks what
#: the tenant decided, and that outranks what hosts answered, which may change; what the law or an operator says
#: outranks all. The numbers are what is stored, so they never change; a new reason takes one between two others, and
#: none is above 127.
STRENGTH: dict[Reason, int] = {
    "soft_bounces": 10,  # too many in a row: may be good again
    "inactive": 20,  # a host said that nobody uses it
    "mailbox_full": 30,  # for too long
    "hard_bounce": 40,  # a host said that it is not there
    "manual": 50,  # the tenant put it there
    "objected": 60,  # to being prospected
    "unsubscribed": 70,
    "complaint": 80,  # to their provider
    "erased": 90,  # asked to be forgotten
    "compliance": 100,  # an operator's word, which no tenant takes back
}
#: From the weakest to the strongest.
REASONS: tuple[Reason, ...] = tuple(STRENGTH)
#: Entries for one of these are an operator's: no tenant makes or removes them.
PROTECTED: frozenset[Reason] = frozenset(("compliance",))
#: What who is back takes off: their own word against their own word. A complaint was said to somebody else, and is
#: taken off one by one, by somebody who knows what they do.
LEFT: frozenset[Reason] = frozenset(("unsubscribed", "objected"))
#: What an address that works takes off.
BOUNCED: frozenset[Reason] = frozenset(("soft_bounces", "inactive", "mailbox_full", "hard_bounce"))
#: What a tenant may give as a reason.
TenantReason = Literal["hard_bounce", "manual", "objected", "unsubscribed", "complaint"]

#: Who put an entry there: what happened to a message; a request; a file; a rule of escalation; an operator; an
#: objection that is noted as consent (`/v1/consents`), which goes when it is taken back there and no other way.
Source = Literal["event", "api", "import", "rule", "operator", "consent"]
SOURCES: tuple[Source, ...] = get_args(Source)

ALL = "all"
MARKETING = "marketing"
_LIST = "list:"
#: As long as the name of a job's list may be.
MAX_LIST_CHARS = 64
#: A scope as a pattern, for schemas.
PATTERN = rf"^(all|marketing|list:[\s\S]{{1,{MAX_LIST_CHARS}}})(?!\n)$"
#: Everything else is sent because of what its recipient did or is, and asks for no consent.
MARKETING_STREAMS = frozenset(("bulk",))
#: Of these the recipient spoke about what they are sent; the others are about the address.
_SAID_OF_MARKETING: frozenset[Reason] = frozenset(("objected", "unsubscribed", "complaint"))


#: A channel and a kind of scope as one number, which is stored: the channel's place, times three.
_KINDS: dict[Channel, int] = {channel: 3 * at for at, channel in enumerate(CHANNELS)}
_OF_ALL, _OF_MARKETING, _OF_A_LIST = 0, 1, 2
_REASONS: dict[int, Reason] = {number: reason for reason, number in STRENGTH.items()}


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """An address is on the list: for a channel and scope, for a reason. `entry` makes one of words.

    It is stored as it is: numbers for words, ten million times. `first_ms` is when it entered for that channel and
    scope, `lasted_ms` how long after that was said last, `expires_ms` from when on it stops nothing (0: never); `list`
    is that of a scope of one list. Scripts keep these arrays, too.
    """

    kind: int
    strength: int
    origin: int
    first_ms: int
    lasted_ms: int = 0
    expires_ms: int = 0
    list: str = ""

    @property
    def channel(self) -> Channel:
        return CHANNELS[self.kind // 3]

    @property
    def scope(self) -> str:
        return (ALL, MARKETING, of_list(self.list))[self.kind % 3]

    @property
    def reason(self) -> Reason:
        return _REASONS[self.strength]

    @property
    def source(self) -> Source:
        return SOURCES[self.origin]

    @property
    def last_ms(self) -> int:
        return self.first_ms + self.lasted_ms

    @property
    def place(self) -> tuple[int, str]:
        """Channel and scope: no address has two entries of one place."""
        return self.kind, self.list


def entry(
    reason: Reason,
    scope: str = ALL,
    *,
    channel: Channel = "email",
    source: Source = "event",
    at_ms: int = 0,
    expires_ms: int = 0,
) -> Entry:
    """The entry of an address that enters at that time. ValueError if it is no scope."""
    kind, list_ = place_of(channel, scope)
    return Entry(kind, STRENGTH[reason], SOURCES.index(source), at_ms, 0, expires_ms, list_)


def place_of(channel: Channel, scope: str) -> tuple[int, str]:
    """`Entry.place` of that channel and scope. ValueError if it is no scope."""
    parse(scope)
    list_ = list_of(scope)
    return _KINDS[channel] + (_OF_A_LIST if list_ else _OF_MARKETING if scope == MARKETING else _OF_ALL), list_


def of_list(name: str) -> str:
    """The scope of one list."""
    return _LIST + name


def list_of(scope: str) -> str:
    """The list that a scope is of, "" if it is no list's."""
    return scope[len(_LIST) :] if scope.startswith(_LIST) else ""


def parse(text: str) -> str:
    """A scope that somebody wrote. ValueError says what it may be."""
    if text in (ALL, MARKETING) or 1 <= len(list_of(text)) <= MAX_LIST_CHARS:
        return text
    raise ValueError(f"`{ALL}`, `{MARKETING}`, or `{_LIST}` and the name of a list (1 to {MAX_LIST_CHARS} characters)")


def usual(reason: Reason, list_: str = "") -> str:
    """The scope of an entry for that reason where nothing else is said. `list_`: of the job that it is about, "" for
    none."""
    if reason == "unsubscribed" and list_:
        return of_list(list_)
    return MARKETING if reason in _SAID_OF_MARKETING else ALL


def has_expired(entry: Entry, now_ms: int) -> bool:
    """Whether it is as if the entry were not there."""
    return 0 < entry.expires_ms <= now_ms


def stops(entries: Iterable[Entry], channel: Channel, stream: str, list_: str, now_ms: int) -> Reason | None:
    """The strongest reason for which an address gets nothing by that channel, in that stream, under that list ("" for
    none); None if it may."""
    of_channel, is_marketing, strongest = _KINDS[channel], stream in MARKETING_STREAMS, 0
    for one in entries:
        kind = one.kind - of_channel
        if (
            (
                kind == _OF_ALL
                or (is_marketing and (kind == _OF_MARKETING or (kind == _OF_A_LIST and one.list == list_)))
            )
            and one.strength > strongest
            and not has_expired(one, now_ms)
        ):
            strongest = one.strength
    return _REASONS[strongest] if strongest else None


def stronger(one: Reason | None, other: Reason | None) -> Reason | None:
    """The stronger of two reasons; None is the weakest."""
    if one is None or other is None:
        return other or one
    return one if STRENGTH[one] >= STRENGTH[other] else other


def alive(entries: Iterable[Entry], now_ms: int) -> tuple[Entry, ...]:
    """Those that have not expired, the strongest first."""
    return tuple(sorted((one for one in entries if not has_expired(one, now_ms)), key=lambda one: -one.strength))


def is_left(entry: Entry) -> bool:
    """Whether the recipient wants no marketing by that channel, by their own word."""
    return entry.reason in _SAID_OF_MARKETING and entry.scope in (ALL, MARKETING)


def is_protected(entry: Entry) -> bool:
    """Whether no tenant takes it off the list: an operator's word, or an objection that stands."""
    return entry.reason in PROTECTED or (entry.reason == "objected" and entry.source == "consent")


def merged(old: Entry, new: Entry, now_ms: int) -> Entry:
    """Two entries of one place are one: for the stronger reason, from the first time to the last, and never for a
    shorter time than either: who takes somebody back says so by removing. (`store_add.lua` does the same.)"""
    if has_expired(new, now_ms):
        return old
    if has_expired(old, now_ms):
        return new
    stronger = new if new.strength > old.strength else old
    first_ms = min(old.first_ms, new.first_ms)
    return Entry(
        kind=old.kind,
        strength=stronger.strength,
        origin=stronger.origin,
        first_ms=first_ms,
        lasted_ms=max(old.last_ms, new.last_ms) - first_ms,
        expires_ms=max(old.expires_ms, new.expires_ms) if old.expires_ms and new.expires_ms else 0,
        list=old.list,
    )
