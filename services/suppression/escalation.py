"""What soft bounces in a row come to for one address: a count as bytes, and what each fact makes of it. Pure.

A soft bounce says that a mail did not arrive and the next one may. So each is counted under the rule that its reason
leads to (`RULE_OF`), and an address is listed when the bounces of a rule since the last sign of life are enough, and
the first and the last of them far enough apart:

    rule           counts                                   default          the address is listed as
    soft_bounces   every soft bounce                        5 over 15 days   soft_bounces
    mailbox_full   no room in the mailbox                   4 over 30 days   mailbox_full, for 90 days
    inactive       a mailbox that is switched off for now   3 over 15 days   inactive, for 180 days
    unknown_user   nobody of that name, said not for good   2 over 1 day     hard_bounce

*n over d days* is: at least n bounces in a row, the last at least d days after the first. That is how those who hold
addresses in the field count (three over fifteen days is common): many failures of one bad afternoon are one incident,
and a mailbox that fails for weeks is a bad one. With the days alone two failures would do; with the number alone an
outage of a provider would empty lists.

What is a sign of life:

1. That a person opened or clicked (no machine) takes away every bounce before it.
2. A delivery takes away the bounces before it that hosts answered themselves. Those that came as a report, *after* a
   host had taken the mail, it takes away only when no such report follows it for `BELIEVED_S`: hosts that forward, or
   take everything and look later, deliver each mail and bounce each mail.
3. A sign of life after the address was listed revives it, if escalation listed it and not for `unknown_user`. Of an
   address that was listed by reports a delivery is none: a person has to show.
4. Where an entry expired, one more mail goes out: a bounce that the same rule counts lists the address again at once.

Facts may come twice, and out of order. A bounce counts once, however many reports there are about its message: it is
known by a hash of that. What a sign of life took away stays away, because its time is remembered (`cleared_s`,
`cleared_late_s`) for `REPEATED_S`. A bounce that is first seen after a later sign of life of the same address counts
only if nothing was known of the address then: who has no count costs nothing.

Of a run at most `KEPT` bounces are remembered: the first of each rule, and the last. More than that say no more.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal
from zlib import crc32

import msgspec

from shared.words.replies import COUNTS_TOWARDS_HARD
from shared.words.scopes import Reason

Name = Literal["soft_bounces", "mailbox_full", "inactive", "unknown_user"]
#: In the order in which a run is judged, the most certain first; the last counts every bounce. Their places are bytes
#: in Redis: a new one goes before the last only with a new form of the bytes.
NAMES: tuple[Name, ...] = ("unknown_user", "inactive", "mailbox_full", "soft_bounces")

#: Under which rule a soft bounce of that reason counts; of any other reason: `soft_bounces`. None: it says nothing
#: about the address. Reasons are words of `shared.words.replies`, of the relay and of reports.
RULE_OF: Mapping[str, Name | None] = {
    "mailbox_full": "mailbox_full",
    "mailbox_disabled": "inactive",
    "inactive": "inactive",
    # Nobody of that name, and yet no hard bounce: said for now alone (and then reported as failed after days), by a
    # host that ours was forwarded to, or by a carrier whose own filter answers so.
    "unknown_user": "unknown_user",
    **dict.fromkeys(COUNTS_TOWARDS_HARD, "unknown_user"),
    "bad_address": "unknown_user",
    "mailbox_moved": "unknown_user",
    "owner_changed": "unknown_user",
    # About the mail, about our pace, or about nobody.
    "content": None,
    "too_big": None,
    "no_smtputf8": None,
    "rate_limited": None,
    "greylisted": None,
    "unknown_outcome": None,
    "bounced_by_operator": None,
}
#: As what an address is listed by a rule.
LISTED_AS: dict[Name, Literal["soft_bounces", "mailbox_full", "inactive", "hard_bounce"]] = {
    "soft_bounces": "soft_bounces",
    "mailbox_full": "mailbox_full",
    "inactive": "inactive",
    "unknown_user": "hard_bounce",
}
#: What a sign of life takes off the list again: never what a host said for good, nor what a person said.
REVIVED: frozenset[Reason] = frozenset(("soft_bounces", "mailbox_full", "inactive"))

#: Bounces that are remembered of a run: with the times before them 62 bytes (`shared.redis.addressed` wants 64).
KEPT = 7
#: Most bounces that a rule may ask for: of the others the first of each is remembered as well.
MOST_BOUNCES = KEPT
MOST_BOUNCES_OF_A_REASON = KEPT - (len(NAMES) - 1)
MOST_DAYS = 365
_DAY_S = 86_400
#: A mail server gives up after four or five days at the latest (RFC 5321, 4.5.4.1): by then it would have reported.
BELIEVED_S = 5 * _DAY_S
#: Longer than anybody repeats a fact.
REPEATED_S = 8 * _DAY_S
#: After so long without a bounce the next one begins a new run.
STALE_S = 180 * _DAY_S

_HEAD = struct.Struct(">BIII")
_BOUNCE = struct.Struct(">IBH")
_ALL = len(NAMES) - 1
_LATE_BIT = 0x20
_LISTED_LATE_BIT = 0x08
_LISTED_MASK = 0x07


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """`bounces` in a row over at least `days` list an address; 0 bounces: the rule is off. The entry expires after
    `expires_after_days`; 0: never."""

    bounces: int
    days: int
    expires_after_days: int = 0


class Rules(msgspec.Struct, frozen=True, array_like=True):
    """Of a tenant."""

    soft_bounces: Rule = Rule(5, 15)
    mailbox_full: Rule = Rule(4, 30, 90)
    inactive: Rule = Rule(3, 15, 180)
    unknown_user: Rule = Rule(2, 1)

    def of(self, name: Name) -> Rule:
        return {
            "soft_bounces": self.soft_bounces,
            "mailbox_full": self.mailbox_full,
            "inactive": self.inactive,
            "unknown_user": self.unknown_user,
        }[name]


@dataclass(frozen=True, slots=True)
class Soft:
    """A mail to the address did not arrive, and the next one may. `about` names it: the message's id, or, where there
    is none, the event's. `late`: a report said so, after a host had taken it."""

    at_ms: int
    about: str
    rule: Name
    late: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """A host took a mail to the address."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody opened a mail to the address, or clicked in it."""

    at_ms: int


Seen = Soft | Delivery | Person


@dataclass(frozen=True, slots=True, order=True)
class Bounce:
    """As it is remembered: `mark` is a hash of what it is about, `rule` a place in NAMES."""

    at_s: int
    rule: int
    late: bool
    mark: int


@dataclass(frozen=True, slots=True)
class Count:
    """Of one address: the run in the order of time, until when bounces (of hosts, of reports) are taken away, the first
    delivery that no report has followed, and the rule that listed the address, whose last bounce is then the first of
    the run. Times in seconds since 1970, 0 for none."""

    bounces: tuple[Bounce, ...] = ()
    cleared_s: int = 0
    cleared_late_s: int = 0
    delivered_s: int = 0
    listed: Name | None = None
    listed_late: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What a fact comes to: the new count (None: nothing needs to be remembered), whether the address is to be listed,
    by which rule, or to be revived."""

    count: Count | None
    lists: Name | None = None
    revives: bool = False


_NOTHING = Count()


def step(count: Count | None, seen: Seen, rules: Rules) -> Step:
    """`count` is None for an address of which nothing is known. The same fact again changes nothing, and says again
    what it came to if it listed the address."""
    match seen:
        case Soft():
            return _bounced(count or _NOTHING, seen, rules)
        case Delivery(at_ms):
            return Step(None) if count is None else _delivered(count, at_ms // 1000)
        case Person(at_ms):
            return Step(None) if count is None else _shown(count, at_ms // 1000)


def _bounced(count: Count, soft: Soft, rules: Rules) -> Step:
    bounce = Bounce(soft.at_ms // 1000, NAMES.index(soft.rule), soft.late, crc32(soft.about.encode()) & 0x1FFFFF)
    marks = [one.mark for one in count.bounces]
    if bounce.mark in marks:
        return Step(count, lists=count.listed if bounce.mark == marks[0] else None)
    if bounce.at_s <= (count.cleared_late_s if soft.late else count.cleared_s):
        return Step(count)
    count = _believed(count, bounce.at_s)
    if count.bounces and bounce.at_s - count.bounces[-1].at_s > STALE_S:
        count = replace(count, bounces=count.bounces[:1] if count.listed else ())
    if soft.late and bounce.at_s > count.delivered_s:
        count = replace(count, delivered_s=0)
    run = tuple(sorted((*count.bounces, bounce)))
    if (name := _listing(count, bounce, run, rules)) is None:
        return Step(replace(count, bounces=_kept(run)))
    last_s = run[-1].at_s
    listed = Count((bounce,), max(last_s, count.cleared_s), max(last_s, count.cleared_late_s), 0, name, soft.late)
    return Step(listed, lists=name)


def _listing(count: Count, bounce: Bounce, run: tuple[Bounce, ...], rules: Rules) -> Name | None:
    """The rule by which the run lists the address."""
    if count.listed and rules.of(count.listed).bounces and _counts(bounce, count.listed):
        return count.listed
    for name in NAMES:
        rule = rules.of(name)
        if not 0 < rule.bounces <= len(run):
            continue
        times = [one.at_s for one in run if _counts(one, name)]
        if len(times) >= rule.bounces and times[-1] - times[0] >= rule.days * _DAY_S:
            return name
    return None


def _counts(bounce: Bounce, name: Name) -> bool:
    return bounce.rule == NAMES.index(name) or NAMES[_ALL] == name


def _delivered(count: Count, at_s: int) -> Step:
    count = _believed(count, at_s)
    if not count.bounces:
        return Step(None if at_s - max(count.cleared_s, count.cleared_late_s) > REPEATED_S else count)
    if count.listed:
        if count.listed_late or at_s <= count.bounces[0].at_s:
            return Step(count)
        return Step(_cleared(count, at_s), revives=LISTED_AS[count.listed] in REVIVED)
    left = tuple(bounce for bounce in count.bounces if bounce.late or bounce.at_s > at_s)
    reports = [bounce.at_s for bounce in left if bounce.late]
    follows = bool(reports) and reports[-1] <= at_s and not count.delivered_s
    return Step(
        replace(
            count,
            bounces=left,
            cleared_s=max(count.cleared_s, at_s),
            delivered_s=at_s if follows else count.delivered_s,
        )
    )


def _shown(count: Count, at_s: int) -> Step:
    if not count.bounces:
        return Step(None if at_s - max(count.cleared_s, count.cleared_late_s) > REPEATED_S else count)
    if count.listed and at_s <= count.bounces[0].at_s:
        return Step(count)
    revives = count.listed is not None and LISTED_AS[count.listed] in REVIVED
    return Step(_cleared(count, at_s), revives=revives)


def _cleared(count: Count, at_s: int) -> Count:
    """Without all that was before."""
    return Count(
        tuple(bounce for bounce in count.bounces if bounce.at_s > at_s),
        max(count.cleared_s, at_s),
        max(count.cleared_late_s, at_s),
        count.delivered_s if count.delivered_s > at_s else 0,
    )


def _believed(count: Count, now_s: int) -> Count:
    """A delivery that no report has followed for long stands, and takes away all bounces before it."""
    if not count.delivered_s or now_s < count.delivered_s + BELIEVED_S:
        return count
    return _cleared(count, count.delivered_s)


def _kept(run: tuple[Bounce, ...]) -> tuple[Bounce, ...]:
    """The run without the oldest that is not the first of its rule, where it is longer than is remembered."""
    if len(run) <= KEPT:
        return run
    seen: set[int] = {run[0].rule}
    for place, bounce in enumerate(run[1:], 1):
        if bounce.rule in seen:
            return run[:place] + run[place + 1 :]
        seen.add(bounce.rule)
    raise AssertionError("more rules than bounces are kept")


def is_over(count: Count, now_ms: int) -> bool:
    """Whether nothing of it says anything any more."""
    now_s = now_ms // 1000
    last_s = count.bounces[-1].at_s if count.bounces else 0
    cleared_s = max(count.cleared_s, count.cleared_late_s)
    return count.listed is None and now_s - last_s > STALE_S and now_s - cleared_s > REPEATED_S


def rule_of(reason: str) -> Name | None:
    """Under which rule a soft bounce of that reason counts; None: it says nothing about the address."""
    return RULE_OF.get(reason, "soft_bounces")


def pack(count: Count) -> bytes:
    """13 bytes and 7 a bounce: at most 62."""
    listed = 0 if count.listed is None else NAMES.index(count.listed) + 1
    head = listed | (_LISTED_LATE_BIT if count.listed_late else 0)
    return _HEAD.pack(head, count.cleared_s, count.cleared_late_s, count.delivered_s) + b"".join(
        _BOUNCE.pack(
            bounce.at_s,
            bounce.rule << 6 | (_LATE_BIT if bounce.late else 0) | bounce.mark >> 16,
            bounce.mark & 0xFFFF,
        )
        for bounce in count.bounces
    )


def unpack(stored: bytes) -> Count:
    """ValueError if it is no count."""
    try:
        head, cleared_s, cleared_late_s, delivered_s = _HEAD.unpack_from(stored)
        bounces = tuple(_bounce(*found) for found in _BOUNCE.iter_unpack(stored[_HEAD.size :]))
    except struct.error as error:
        raise ValueError(f"not a count: {error}") from None
    listed = head & _LISTED_MASK
    if listed > len(NAMES):
        raise ValueError(f"not a count: there is no rule {listed}")
    name = NAMES[listed - 1] if listed else None
    return Count(bounces, cleared_s, cleared_late_s, delivered_s, name, bool(head & _LISTED_LATE_BIT))


def _bounce(at_s: int, high: int, low: int) -> Bounce:
    return Bounce(at_s, high >> 6, bool(high & _LATE_BIT), (high & 0x1F) << 16 | low)
