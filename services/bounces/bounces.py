"""The main path: a received mail becomes facts about messages, or is kept for inspection. Nothing is lost in between.

1. Each recipient of the envelope is an address of ours: a return path or unsubscribe address, which names its message
   under our signature, or a fixed one, where the mail itself must name it.
2. `verdict.py` says what the mail is.
3. What concerns a message of a job that exists becomes a fact; everything else is kept, with the reason.
4. `receive` returns when the facts are stored and the mail is kept. The SMTP edge answers 250 only then, so a crash or
   a Redis that is away costs the peer a repetition, and the same mail again is the same events (event_id, and the name
   of the batch).

A fact about a bounce does not carry an address: the report may speak of the one that ours is forwarded to. Job and
ordinal name the recipient.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
from prometheus_client import Counter

from services.bounces import facts, mail, verdict
from services.bounces.arf import Feedback
from services.bounces.facts import Message
from services.bounces.mail import Mail
from services.bounces.verdict import Complaint, Failed, Nothing, Unrecognised, Verdict
from shared import events, logs
from shared.recipients import Recipient
from shared.verp import InvalidVerp, Verp, VerpKeys

FACTS = Counter("estafette_bounces_facts_total", "Facts found in received mail", ["fact", "reason"])
KEPT = Counter("estafette_bounces_kept_mail_total", "Mail kept for inspection", ["reason"])
IGNORED = Counter("estafette_bounces_ignored_total", "Reports that call for nothing (delays, not-spam)", ["reason"])

#: Local parts that mail systems and people write to (RFC 2142), and where feedback loops are told to report.
FIXED_LOCAL_PARTS = frozenset(("postmaster", "abuse", "fbl"))

_log = logs.get_logger()


class Received(msgspec.Struct, frozen=True):
    """A mail as it came: `sender` is "" for the null sender, `peer` the address of the host that brought it."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    peer: str = ""


class Jobs(Protocol):
    """What a message's name leads to. May raise RedisAway."""

    async def tenant_of(self, job: str) -> str | None: ...

    async def find(self, job: str, ordinals: Sequence[int]) -> Mapping[int, Recipient]: ...


class Bus(Protocol):
    """Returns when the facts are stored; a batch of one name is stored once. May raise BusUnavailable."""

    async def publish(self, facts: Sequence[events.Fact], *, batch: str) -> None: ...


class Keep(Protocol):
    """Returns when the mail is stored. `tenant` is "" where nobody's message is concerned. May raise RedisAway."""

    async def keep(self, reason: str, received: Received, tenant: str) -> None: ...


class _Kept(msgspec.Struct, frozen=True):
    reason: str
    tenant: str


class Bounces:
    """`is_ours` says whether a domain (in lower case) is one that we receive for; `now_ms` is the clock."""

    def __init__(
        self,
        keys: VerpKeys,
        is_ours: Callable[[str], bool],
        jobs: Jobs,
        bus: Bus,
        keep: Keep,
        now_ms: Callable[[], int],
    ) -> None:
        self._keys = keys
        self._is_ours = is_ours
        self._jobs = jobs
        self._bus = bus
        self._keep = keep
        self._now_ms = now_ms

    def accepts(self, address: str) -> bool:
        """Whether mail to this address is ours: a signed one or a fixed one, at a domain of ours."""
        local_part, _, domain = address.rpartition("@")
        if not local_part:
            return address.lower() == "postmaster"  # RFC 5321 section 4.5.1: without a domain too
        return self._is_ours(domain.lower()) and (
            local_part.lower() in FIXED_LOCAL_PARTS or self._signed(address) is not None
        )

    async def receive(self, received: Received) -> None:
        """Facts stored, or mail kept. RedisAway or BusUnavailable: the peer must bring the mail again."""
        opened = mail.read(received.raw)
        found_facts: dict[str, events.Fact] = {}
        kept: dict[tuple[str, str], None] = {}
        for address in dict.fromkeys(received.recipients):
            found = await self._understand(opened, address, from_nobody=not received.sender)
            if isinstance(found, events.Fact):
                found_facts[found.event_id] = found
            elif isinstance(found, _Kept):
                kept[found.reason, found.tenant] = None
        if found_facts:
            await self._bus.publish(list(found_facts.values()), batch=events.event_id(*found_facts))
        for reason, tenant in kept:
            await self._keep.keep(reason, received, tenant)
        for fact in found_facts.values():
            _tell(fact)
        for reason, _ in kept:
            KEPT.labels(reason).inc()
            _log.info("mail_kept", reason=reason, peer=received.peer, size_bytes=len(received.raw))

    async def _understand(self, opened: Mail, address: str, from_nobody: bool) -> "events.Fact | _Kept | None":
        """What the mail means for the one it was sent to; None if it means nothing."""
        named = self._signed(address)
        found = verdict.judge(opened, named.kind if named else "fixed", from_nobody)
        if isinstance(found, Nothing):
            IGNORED.labels(found.word).inc()
            _log.info("report_ignored", reason=found.word)
            return None
        message = await self._message(named.job, named.ordinal) if named else await self._named_inside(found)
        if isinstance(found, Unrecognised):
            return _Kept(found.reason, message.tenant if message else "")
        if message is None:
            return _Kept("unknown_job" if named else "no_name", "")
        return facts.fact(found, message, opened.digest, self._now_ms())

    async def _named_inside(self, found: Verdict) -> Message | None:
        """The message that a report to a fixed address is about: by a signed name, else by its Message-ID if the report
        knows the recipient as well. Who has one mail of a job could name all others by Message-ID."""
        if isinstance(found, Failed):
            return await self._first_signed(found.names)
        if isinstance(found, Complaint):
            return await self._first_signed(found.feedback.signed) or await self._by_message_id(found.feedback)
        return None

    async def _first_signed(self, addresses: Sequence[str]) -> Message | None:
        named = next((found for address in addresses if (found := self._signed(address)) is not None), None)
        return await self._message(named.job, named.ordinal) if named is not None else None

    async def _by_message_id(self, feedback: Feedback) -> Message | None:
        for job, ordinal in feedback.unsigned:
            recipient = (await self._jobs.find(job, [ordinal])).get(ordinal)
            if recipient is not None and recipient.email.lower() in feedback.recipients:
                return await self._message(job, ordinal)
        return None

    async def _message(self, job: str, ordinal: int) -> Message | None:
        tenant = await self._jobs.tenant_of(job)
        return Message(tenant, job, ordinal) if tenant is not None else None

    def _signed(self, address: str) -> Verp | None:
        try:
            return self._keys.read(address)
        except InvalidVerp:
            return None


def _tell(fact: events.Fact) -> None:
    match fact:
        case events.Bounced(reason=reason, kind=kind):
            _log.info("bounced", job=fact.job, ordinal=fact.ordinal, kind=kind, reason=reason, late=True)
        case events.Complained(feedback_type=reason):
            _log.info("complained", job=fact.job, ordinal=fact.ordinal, feedback_type=reason)
        case events.AutoReplied(kind=reason):
            _log.info("auto_replied", job=fact.job, ordinal=fact.ordinal, kind=reason)
        case events.Unsubscribed(by=reason):
            _log.info("unsubscribed", job=fact.job, ordinal=fact.ordinal, by=reason)
        case _:
            raise TypeError(f"not a fact of this service: {fact!r}")
    FACTS.labels(type(fact).__name__, reason).inc()
