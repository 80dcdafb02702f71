"""What statistics promise, plainly: every fact once, message by message, with nothing added up beforehand."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.reports import state
from services.reports.agents import agent_of
from services.reports.cells import RAW, UNIQUE
from services.reports.late import Late
from services.reports.state import Code, State
from shared.redis.statistics import Group
from shared.words import events
from shared.words.sites import provider_label
from shared.words.tokens import TRAP_POSITION

_SEEN = (events.Opened, events.Clicked, events.DocumentOpened)
_TOLD = (Code.DEFERRED, Code.UNSUBSCRIBED, Code.COMPLAINED, Code.AUTO_REPLIED)
_LATE = (Code.LATE_HARD, Code.LATE_SOFT, Code.LATE_BLOCK)


class At(NamedTuple):
    """Where something counts."""

    hour: int
    provider: str
    source: str
    detail: str


@dataclass
class Click:
    """One that may be judged later."""

    at: At
    person: int
    time: int
    position: int
    is_judged: bool


@dataclass
class Message:
    """What is known of one message."""

    byte: int = 0
    place: tuple[str, str] = ("", "")
    delivered_ms: int | None = None
    bits: set[int] = field(default_factory=set)
    implied: At | None = None
    clicks: list[Click] = field(default_factory=list)
    #: Documents that were opened by links of no mail, which are never judged.
    others: int = 0
    firsts: dict[int, At] = field(default_factory=dict)


class Model:
    """`jobs` as their hashes are. `count` takes facts in the order in which they were written."""

    def __init__(self, jobs: Mapping[str, Mapping[str, str]], late: Late) -> None:
        self._jobs = jobs
        self._late = late
        self._known: set[str] = set()
        self._messages: dict[tuple[str, int], Message] = defaultdict(Message)
        self._counted: Counter[tuple[str, At, int]] = Counter()

    def numbers(self) -> int:
        """How many numbers there are."""
        return len(self._counted)

    def of_job(self, job: str, what: str) -> Counter[Any]:
        """As `fields.OfJob` has it."""
        found: Counter[Any] = Counter()
        for (of, at, code), number in self._counted.items():
            if of == job:
                found.update(dict.fromkeys(_keys_of_job(what, at, code), number))
        return found

    def of_tenant(self, what: str) -> Counter[Any]:
        """As `fields.OfDay` has it, all days together."""
        found: Counter[Any] = Counter()
        for (job, at, code), number in self._counted.items():
            fields = self._jobs[job]
            if fields["test"] != "1":
                found.update(dict.fromkeys(_keys_of_tenant(what, _group(fields), at, code), number))
        return found

    def count(self, fact: Any, written_ms: int) -> None:
        code = state.code_of(fact)
        if fact.event_id in self._known or code is None:
            return
        self._known.add(fact.event_id)
        message = self._messages[fact.job, fact.ordinal]
        at = self._at(message, fact, written_ms)
        before, message.byte = message.byte, state.after(message.byte, code)
        if code == Code.OTHER_DOCUMENT_OPENED:
            message.others += 1
            code = Code.DOCUMENT_OPENED
        if isinstance(fact, events.Opened):
            self._opened(fact.job, message, at, code)
        elif isinstance(fact, _SEEN):
            self._followed(fact, message, at, code)
        elif code in _TOLD:
            self._first_of(fact.job, message, at, code)
        elif before != message.byte:
            self._add(fact.job, at, code)
            if code in _LATE and before & ~state.ACCEPTED != State.DELIVERED:
                self._add(fact.job, at, Code.DELIVERED)
        if code == Code.DELIVERED and message.delivered_ms is None:
            message.delivered_ms = fact.occurred_at
            self._judge_soon(fact.job, message)

    def _at(self, message: Message, fact: Any, written_ms: int) -> At:
        hour = min(fact.occurred_at, written_ms) // 3_600_000
        if isinstance(fact, _SEEN):
            agent = agent_of(fact.user_agent)
            return At(hour, *message.place, f"{agent.device}/{agent.client}")
        site, source = getattr(fact, "site", ""), getattr(fact, "source", "")
        place = (provider_label(site) if site else "", source) if site or source else message.place
        if isinstance(fact, events.Delivered):
            message.place = place
        return At(hour, *place, getattr(fact, "reason", ""))

    def _add(self, job: str, at: At, code: int, number: int = 1) -> None:
        self._counted[job, at, int(code)] += number

    def _first_of(self, job: str, message: Message, at: At, code: int) -> bool:
        self._add(job, at, code)
        if code in message.bits:
            return False
        message.bits.add(code)
        self._add(job, at, code + UNIQUE)
        return True

    def _opened(self, job: str, message: Message, at: At, code: int) -> None:
        if code == Code.OPENED and message.implied is not None:
            message.implied = None  # it was counted with the click
            message.bits.add(code)
            return
        was_seen = bool(message.bits & {Code.OPENED, Code.MACHINE_OPENED}) or message.implied is not None
        if self._first_of(job, message, at, code) and not was_seen:
            self._add(job, at, Code.OPENED + RAW)

    def _followed(self, fact: Any, message: Message, at: At, code: int) -> None:
        is_click = isinstance(fact, events.Clicked)
        person, machine = (
            (Code.CLICKED, Code.MACHINE_CLICKED) if is_click else (Code.DOCUMENT_OPENED, Code.MACHINE_DOCUMENT_OPENED)
        )
        was_seen = bool(message.bits & {person, machine})
        if self._first_of(fact.job, message, at, code):
            message.firsts[code] = at
            if not was_seen:
                self._add(fact.job, at, person + RAW)
        is_trap = is_click and code == machine and fact.position == TRAP_POSITION
        if (code == person and fact.position is not None) or is_trap:
            if not is_trap:
                self._imply(fact.job, message, at)
            click = Click(at, person, fact.occurred_at, fact.position, is_trap)
            message.clicks.append(click)
            self._judge_soon(fact.job, message)
            self._judge_burst(fact.job, message, click)

    def _imply(self, job: str, message: Message, at: At) -> None:
        if Code.OPENED in message.bits or message.implied is not None:
            return
        message.implied = at
        self._add(job, at, Code.OPENED)
        self._add(job, at, Code.OPENED + UNIQUE)
        if Code.MACHINE_OPENED not in message.bits:
            self._add(job, at, Code.OPENED + RAW)

    def _judge_soon(self, job: str, message: Message) -> None:
        if message.delivered_ms is None or not self._late.soon_ms:
            return
        for click in message.clicks:
            if not click.is_judged and click.time < message.delivered_ms + self._late.soon_ms:
                self._take_back(job, message, click)

    def _judge_burst(self, job: str, message: Message, latest: Click) -> None:
        if not self._late.burst_links:
            return
        near = [one for one in message.clicks if abs(one.time - latest.time) <= self._late.burst_ms]
        positions = {one.position for one in near}
        if TRAP_POSITION in positions or len(positions) >= self._late.burst_links:
            for click in near:
                if not click.is_judged:
                    self._take_back(job, message, click)

    def _take_back(self, job: str, message: Message, click: Click) -> None:
        click.is_judged = True
        machine = Code.MACHINE_CLICKED if click.person == Code.CLICKED else Code.MACHINE_DOCUMENT_OPENED
        self._add(job, click.at, click.person, -1)
        self._first_of(job, message, click.at, machine)
        left = [one.person for one in message.clicks if not one.is_judged]
        others = message.others if click.person == Code.DOCUMENT_OPENED else 0
        if click.person not in left and not others:
            message.bits.discard(click.person)
            self._add(job, message.firsts.pop(click.person), click.person + UNIQUE, -1)
        if not left and message.implied is not None:
            for code in (Code.OPENED, Code.OPENED + UNIQUE):
                self._add(job, message.implied, code, -1)
            if Code.MACHINE_OPENED not in message.bits:
                self._add(job, message.implied, Code.OPENED + RAW, -1)
            message.implied = None


def _keys_of_job(what: str, at: At, code: int) -> Iterator[Any]:
    if what == "hours":
        yield at.hour, code
    if what == "places" and (at.provider or at.source):
        yield code, at.provider, at.source
    if what == "details" and at.detail:
        yield code, at.detail


def _keys_of_tenant(what: str, group: Group, at: At, code: int) -> Iterator[Any]:
    if what == "hours":
        yield group, at.hour, code
    if what == "places" and (at.provider or at.source):
        yield group, code, at.provider, at.source
    if what == "details" and at.detail:
        yield group, code, at.detail
    if what == "providers" and (at.provider or at.source):
        yield at.hour, code, at.provider
    if what == "sources" and (at.provider or at.source):
        yield at.hour, code, at.source


def _group(fields: Mapping[str, str]) -> Group:
    domain = fields["from"].rpartition("@")[2].rstrip(">")
    tags = tuple(fields["tags"].split("\n")) if fields["tags"] else ()
    return Group(fields["stream"], domain, fields["list"], fields["category"], tags)
