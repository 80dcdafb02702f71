"""What facts come to, said once more in plain Python: what the tables have is held to it.

It has all facts at once and knows no batches, no rows and no bits. A message is its job and its ordinal, which here is
the place of its recipient in `ADDRESSES`; behind those are the messages to addresses that were in the job before.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from services.contacts.behaviour.operations import About
from shared.redis import bus
from shared.redis.recipients import Recipient
from shared.words import events
from tests.segment_model import Base, Happened, Operation, Person

#: The last one is in no base.
ADDRESSES = ("ana@exemple.fr", "bo@exemple.fr", "cy@exemple.fr", "di@exemple.fr", "nobody@exemple.fr")
#: Each job's operation, and whether it shares that.
JOBS = {"a": ("a", False), "b": ("b", False), "t1": ("c'", True), "t2": ("c'", True)}
TAGS = {"a": ("soldes",), "b": ("soldes", "été"), "c'": ()}
CATEGORIES = {"a": "été", "b": "", "c'": "c'"}
STARTED = {
    "a": datetime(2026, 11, 1, tzinfo=UTC),
    "b": datetime(2026, 1, 1, tzinfo=UTC),
    "c'": datetime(2026, 11, 28, tzinfo=UTC),
}
_BY_SOMEBODY = ("opened", "clicked", "page_seen", "event")
_TRAP = 65_535
#: A person's click is judged by deliveries until so long after it.
_KEEP = timedelta(minutes=10)


@dataclass(frozen=True)
class Told:
    """A fact. `has_address`: it says whose it is."""

    what: str
    who: int
    job: str
    at: datetime
    machine: bool = False
    url: str = ""
    position: int = 0
    detail: str = ""
    has_address: bool = False

    @property
    def event_id(self) -> str:
        what = (self.what, self.who, self.job, self.at, self.machine, self.url, self.position, self.detail)
        return sha256(repr(what).encode()).hexdigest()[:16]

    def entry(self, tenant: str) -> bus.Entry:
        about: dict[str, Any] = {
            "event_id": self.event_id,
            "occurred_at": round(self.at.timestamp() * 1000),
            "tenant": tenant,
            "job": self.job,
            "ordinal": self.who + (len(ADDRESSES) if self.detail == "duplicate_address" else 0),
            "email": ADDRESSES[self.who].upper() if self.has_address else None,
        }
        about |= {"machine": "scanner" if self.machine else ""} if self.what in _BY_SOMEBODY else {}
        made: events.Fact
        match self.what:
            case "recipient":
                made = events.Accepted(**about)
            case "rejected":
                made = events.Rejected(**about, reason=self.detail)
            case "suppressed":
                made = events.Suppressed(**about, reason=self.detail)
            case "delivered":
                made = events.Delivered(**about)
            case "bounced":
                made = events.Bounced(**about, kind=self.detail)
            case "opened":
                made = events.Opened(**about)
            case "clicked":
                made = events.Clicked(**about, url=self.url, position=self.position)
            case "page_seen":
                made = events.PageViewed(**about, url=self.url)
            case "event":
                made = events.VisitorActed(**about, name=self.detail)
            case "unsubscribed":
                made = events.Unsubscribed(**about)
            case _:
                made = events.Complained(**about)
        return bus.Entry("1-0", type(made).__name__, 1, events.encode(made))


class Sent:
    """Redis, as far as following asks it."""

    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]:
        return {ordinal: Recipient(ADDRESSES[ordinal % len(ADDRESSES)]) for ordinal in ordinals}

    async def list_of(self, job: str) -> str:
        return ""

    async def about(self, jobs: Sequence[str]) -> dict[str, About]:
        return {job: _about(*JOBS.get(job, (job, False))) for job in jobs}


def _about(key: str, shared: bool) -> About:
    stream = "transactional" if shared else "bulk"
    started = STARTED.get(key, datetime(2026, 1, 1, tzinfo=UTC))
    return About(key, shared, key, stream, CATEGORIES.get(key, ""), TAGS.get(key, ()), started)


def late(facts: Iterable[Told]) -> set[Told]:
    """Clicks of people that are a machine's after all, of one contact in one operation."""
    everything = set(facts)
    clicks = [one for one in everything if one.what == "clicked" and (not one.machine or one.position == _TRAP)]
    found: set[Told] = set()
    for click in clicks:
        for other in everything:
            if other.what == "delivered" and click.at < other.at + timedelta(seconds=1):
                is_shared = JOBS[click.job][1]
                if other.at <= (click.at if is_shared else click.at + _KEEP):
                    found.add(click)
        window = [one for one in clicks if click.at - timedelta(seconds=2) <= one.at <= click.at]
        positions = {one.position for one in window}
        if _TRAP in positions or len(positions) >= 3:
            found.update(window)
    return found


def happened(facts: Iterable[Told], contacts: Mapping[int, int]) -> Iterator[Happened]:
    """Of those who are in `contacts`: the place of an address, and its contact."""
    groups: dict[tuple[int, str], set[Told]] = {}
    for one in facts:
        if one.who in contacts:
            groups.setdefault((one.who, JOBS[one.job][0]), set()).add(one)
    for (who, operation), group in groups.items():
        contact, machines = contacts[who], late(group)
        # The same fact is told with the address and without: it is one.
        once = {one.event_id: one for one in group}.values()
        excluded = {_reason(one) for one in once if one.what in ("rejected", "suppressed") and _reason(one)}
        yield from (Happened(contact, "excluded", operation, detail=reason) for reason in excluded)
        if any(one.what in ("recipient", "rejected", "suppressed", "delivered", "bounced") for one in once):
            yield Happened(contact, "selected", operation)
        if any(one.what in ("recipient", "delivered", "bounced") for one in once) and (
            not excluded or JOBS[next(iter(group)).job][1]
        ):
            yield Happened(contact, "recipient", operation)
        for one in once:
            if one.what not in ("recipient", "rejected", "suppressed"):
                is_machine = one.machine or any(one.event_id == other.event_id for other in machines)
                yield Happened(contact, one.what, operation, one.at, is_machine, one.url, one.position, one.detail)


def _reason(told: Told) -> str:
    """An address that is twice in a job is that of a recipient (E16)."""
    return "" if told.detail == "duplicate_address" else told.detail


def base(people: Sequence[Person], facts: Iterable[Told], contacts: Mapping[int, int], now: datetime) -> Base:
    found = list(happened(facts, contacts))
    keys = dict.fromkeys(one.operation for one in found)
    operations = [
        Operation(
            key, "email", CATEGORIES[key], TAGS[key], STARTED[key], _about(key, (key, True) in JOBS.values()).stream
        )
        for key in keys
    ]
    there = set(contacts.values())
    return Base([one for one in people if one.number in there], operations, found, now=now)
