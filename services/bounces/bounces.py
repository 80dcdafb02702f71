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

A fact is believed by what we signed, never by what can be guessed or looked up: by the address of the envelope, or, in
a report to a fixed address, by an address, a link, a CFBL-Feedback-ID or a Message-ID of ours inside. The one exception
are feedback loops that the operator names by their networks: some providers strip all of that from their reports.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, Protocol

import msgspec
from prometheus_client import Counter

from services.bounces import facts, mail, verdict
from services.bounces.arf import Feedback
from services.bounces.facts import Message
from services.bounces.mail import Mail
from services.bounces.verdict import Answer, Complaint, Failed, Nothing, Unrecognised, Verdict
from shared.process import logs
from shared.redis.recipients import Recipient
from shared.words import events, ids
from shared.words.content import MAX_COPIES
from shared.words.tokens import InvalidToken, TokenKeys
from shared.words.verp import InvalidVerp, Verp, VerpKeys

FACTS = Counter("estafette_bounces_facts_total", "Facts found in received mail", ["fact", "reason"])
KEPT = Counter("estafette_bounces_kept_mail_total", "Mail kept for inspection", ["reason"])
IGNORED = Counter("estafette_bounces_ignored_total", "Reports that call for nothing (delays, not-spam)", ["reason"])

#: Local parts that mail systems and people write to (RFC 2142), and where feedback loops are told to report.
FIXED_LOCAL_PARTS = frozenset(("postmaster", "abuse", "fbl"))
#: Why an address is ours: we signed it, or everybody knows it.
Accepted = Literal["signed", "fixed"]

_log = logs.get_logger()


class Received(msgspec.Struct, frozen=True):
    """A mail as it came: `sender` is "" for the null reverse-path, `peer` the address of the host that brought it."""

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
    """`is_ours` says whether a domain (in lower case) is one that we receive for; `now_ms` is the clock. `is_loop` says
    whether the host at that address is a feedback loop, whose word is enough; `tokens` reads the links of our mails."""

    def __init__(
        self,
        keys: VerpKeys,
        is_ours: Callable[[str], bool],
        jobs: Jobs,
        bus: Bus,
        keep: Keep,
        now_ms: Callable[[], int],
        *,
        tokens: TokenKeys | None = None,
        is_loop: Callable[[str], bool] = lambda peer: False,
    ) -> None:
        self._tokens = tokens
        self._is_loop = is_loop
        self._keys = keys
        self._is_ours = is_ours
        self._jobs = jobs
        self._bus = bus
        self._keep = keep
        self._now_ms = now_ms

    def accepts(self, address: str) -> Accepted | None:
        """Why mail to this address is ours: a signed one or a fixed one, at a domain of ours. None if it is not."""
        local_part, _, domain = address.rpartition("@")
        if not local_part:
            return "fixed" if address.lower() == "postmaster" else None  # RFC 5321 section 4.5.1: without a domain too
        if not self._is_ours(domain.lower()):
            return None
        if local_part.lower() in FIXED_LOCAL_PARTS:
            return "fixed"
        return "signed" if self._signed(address) is not None else None

    async def receive(self, received: Received) -> bool:
        """Facts stored, or mail kept; whether it was a report that names no message of ours. RedisAway or
        BusUnavailable: the peer must bring the mail again."""
        opened = mail.read(received.raw)
        found_facts: dict[str, events.Fact] = {}
        kept: dict[tuple[str, str], None] = {}
        for address in dict.fromkeys(received.recipients):
            for found in await self._understand(opened, address, received):
                if isinstance(found, events.Fact):
                    found_facts[found.event_id] = found
                else:
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
        is_loop = self._is_loop(received.peer)
        return not is_loop and any(reason == "no_name" for reason, _ in kept)

    async def _understand(self, opened: Mail, address: str, received: Received) -> "Sequence[events.Fact | _Kept]":
        """What the mail means for the one it was sent to; nothing if it means nothing."""
        named = self._signed(address)
        to = named.kind if named and named.kind != "message" else "fixed"  # a Message-ID is not an address
        found = verdict.judge(opened, to, null_reverse_path=not received.sender)
        if isinstance(found, Nothing):
            IGNORED.labels(found.word).inc()
            about = {"message": ids.message_id(named.job, named.ordinal), "job": named.job} if named else {}
            _log.info("report_ignored", **about, reason=found.word)
            return ()
        if named is not None:
            message = await self._message(named.job, named.ordinal)
        else:
            message = await self._named_inside(found, is_loop=self._is_loop(received.peer))
        if isinstance(found, Unrecognised):
            return (_Kept(found.reason, message.tenant if message else ""),)
        if message is None:
            return (_Kept("unknown_job" if named else "no_name", ""),)
        fact = facts.fact(found, message, opened.digest, self._now_ms())
        return (fact, _Kept("not_a_report", message.tenant)) if isinstance(found, Answer) else (fact,)

    async def _named_inside(self, found: Verdict, *, is_loop: bool) -> Message | None:
        """The message that a report to a fixed address is about: by what we signed. A feedback loop's word is enough,
        if it knows the recipient as well: who has one mail of a job could name all others by an unsigned id."""
        if isinstance(found, Failed):
            return await self._first_signed(found.names)
        if isinstance(found, Complaint):
            feedback = found.feedback
            signed = await self._first_signed(feedback.signed) or await self._first_link(feedback.tokens)
            return signed or (await self._by_message_id(feedback) if is_loop else None)
        return None

    async def _first_signed(self, names: Sequence[str]) -> Message | None:
        named = next((found for name in names if (found := self._signed(name) or self._signed_id(name))), None)
        return await self._message(named.job, named.ordinal) if named is not None else None

    async def _first_link(self, texts: Sequence[str]) -> Message | None:
        if self._tokens is None:
            return None
        for text in texts:
            try:
                token = self._tokens.read(text)
            except InvalidToken:
                continue
            message = await self._message(token.job, token.ordinal)
            if message is None and token.address:
                return Message(token.tenant, token.job, token.ordinal, token.address)
            if message is not None and message.tenant == token.tenant:
                return message
        return None

    async def _by_message_id(self, feedback: Feedback) -> Message | None:
        for job, ordinal in feedback.unsigned:
            recipient = (await self._jobs.find(job, [ordinal])).get(ordinal)
            if recipient is not None and mail.unquoted(recipient.email) in feedback.recipients:
                return await self._message(job, ordinal)
        for job in feedback.copies_of:
            if (copy := await self._copy_to(job, feedback.recipients)) is not None:
                return await self._message(job, copy)
        return None

    async def _copy_to(self, job: str, addresses: Collection[str]) -> int | None:
        """The ordinal of the one copy of a mail that went to any of these; None if there is none, or several."""
        named = []
        for ordinal in range(MAX_COPIES):
            recipient = (await self._jobs.find(job, [ordinal])).get(ordinal)
            if recipient is None:
                break
            if mail.unquoted(recipient.email) in addresses:
                named.append(ordinal)
        return named[0] if len(named) == 1 else None

    async def _message(self, job: str, ordinal: int) -> Message | None:
        tenant = await self._jobs.tenant_of(job)
        return Message(tenant, job, ordinal) if tenant is not None else None

    def _signed(self, address: str) -> Verp | None:
        try:
            return self._keys.read(address)
        except InvalidVerp:
            return None

    def _signed_id(self, message_id: str) -> Verp | None:
        try:
            return self._keys.read_message_id(message_id)
        except InvalidVerp:
            return None


def _tell(fact: events.Fact) -> None:
    log = _log.bind(message=ids.message_id(fact.job, fact.ordinal or 0), job=fact.job)
    match fact:
        case events.Bounced(reason=reason, kind=kind):
            log.info("bounced", kind=kind, reason=reason, late=True)
        case events.Complained(feedback_type=reason):
            log.info("complained", feedback_type=reason)
        case events.AutoReplied(kind=reason):
            log.info("auto_replied", kind=reason)
        case events.Replied():
            reason = ""
            log.info("replied")
        case events.Unsubscribed(by=reason):
            log.info("unsubscribed", by=reason)
        case _:
            raise TypeError(f"not a fact of this service: {fact!r}")
    FACTS.labels(type(fact).__name__, reason).inc()
