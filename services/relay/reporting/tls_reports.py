"""Counts TLS sessions by recipient domain and day, and sends the day's reports (RFC 8460).

Theory of operation. `note` counts in memory; every `FLUSH_S` what was counted goes to Redis, but only for domains that
want reports: the others cost one look-up of their record, which the resolver remembers. After the day, each domain's
report is sent at a moment of its own. A lock lets one process try, and is left to expire: so the next try, by whoever
is there, is `RETRY_MS` later. What could not be sent within a day is dropped.

Reports leave even if the domain cannot be encrypted to (section 3): that may be what they say.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec
from prometheus_client import Counter

from services.relay.delivery.courier import Courier, Parcel
from services.relay.reporting.tls_report import (
    DAY_S,
    GIVE_UP_S,
    Report,
    Reporter,
    Session,
    day_of,
    due_at,
    mail,
    mailbox,
    make,
    receivers,
    session,
)
from services.relay.signing.dkim import Signer, sign
from services.relay.words.hop import Hop
from services.relay.words.notnow import NotNow
from services.relay.words.reply import Reply
from services.relay.words.tls import TlsFailure, TlsPolicy
from shared.mail.addresses import domain_of
from shared.mail.dkim_keys import CannotOpen, InvalidKey
from shared.mail.domain_names import InvalidDomain
from shared.net.dns import DnsUnavailable
from shared.process import logs
from shared.process.lifecycle import cancelled, pause
from shared.redis import keys
from shared.redis.redis import (
    Client,
    RedisAway,
    Script,
)
from shared.redis.sending_domains import SendingDomains
from shared.words import ids

FLUSH_S = 5.0
SEND_S = 60.0
#: From one try of a report to the next.
RETRY_MS = 1_800_000
#: Kinds of sessions counted between two flushes, about 500 bytes each; what does not fit is not reported.
MAX_LINES = 50_000
#: Kinds of sessions in one report: hosts and addresses times failures.
MAX_REPORT_LINES = 1_000
#: Longer than a report is tried.
KEPT_S = 4 * DAY_S
LOOK_UPS = 50
SENDING = 5
DOMAINS_A_CALL = 100
_SENT = b"sent "

SESSIONS = Counter("estafette_relay_tls_sessions_total", "Connections to mail hosts by TLS", ["policy", "result"])
REPORTS = Counter("estafette_relay_tls_reports_total", "TLS reports", ["result"])
UNCOUNTED = Counter("estafette_relay_tls_sessions_uncounted_total", "Sessions that found no room in the counts")

_ADD = Script.of(__file__, "tls_reports_add")

#: Takes a mail: sender, recipient, message; why it could not be delivered, or None.
Deliver = Callable[[str, str, bytes], Awaitable[str | None]]


class Resolver(Protocol):
    async def texts(self, name: str) -> list[str] | DnsUnavailable: ...


class Web(Protocol):
    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Sending:
    """How reports leave, and in whose name; `signers` gives the DKIM keys of a domain, if it has any."""

    by: Reporter
    web: Web
    deliver: Deliver
    signers: Callable[[str], Awaitable[Sequence[Signer]]]


class TlsReports:
    """`now_s` is the time of day; `sending` None: sessions are counted, and not reported."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        resolver: Resolver,
        now_s: Callable[[], float],
        sending: Sending | None = None,
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._resolver = resolver
        self._now_s = now_s
        self._sending = sending
        self._counts: dict[tuple[int, str, Session], int] = {}
        self._log = logs.get_logger()

    def note(
        self,
        domain: str,
        policy: TlsPolicy,
        hop: Hop,
        failure: TlsFailure | Literal[""],
        source_ip: str = "",
        reason: str = "",
    ) -> None:
        """A connection for a domain's mail was made, or failed at its encryption, for this `reason`. Costs
        microseconds."""
        if policy.level == "never":
            return
        SESSIONS.labels(policy.word, failure or "ok").inc()
        if domain.startswith("["):
            return
        line = (day_of(self._now_s()), domain, session(policy, failure, hop.host, hop.address, source_ip, reason))
        if line not in self._counts and len(self._counts) >= MAX_LINES:
            UNCOUNTED.inc()
            return
        self._counts[line] = self._counts.get(line, 0) + 1

    async def run(self, closed: asyncio.Event) -> None:
        """Until the last connection is `closed`; what has been counted by then is in Redis when it returns."""
        sending = asyncio.create_task(self._send_on(closed)) if self._sending is not None else None
        try:
            while not closed.is_set():
                await pause(closed, FLUSH_S)
                await self._flush_or_keep()
        finally:
            if sending is not None:
                await cancelled((sending,))  # a report that was on its way is tried again when its lock is over

    async def _flush_or_keep(self) -> None:
        try:
            await self.flush()
        except RedisAway:
            pass
        except Exception:  # ours: counts are not worth a relay
            self._log.exception("tls_counts_not_kept")

    async def _send_on(self, closed: asyncio.Event) -> None:
        while not closed.is_set():
            try:
                await self.send_due()
            except RedisAway:
                pass
            except Exception:
                self._log.exception("tls_reports_failed")
            await pause(closed, SEND_S)

    # Count

    async def flush(self) -> None:
        """What has been counted goes to Redis, for those domains that want reports. RedisAway: it is kept, and some of
        it may be counted twice."""
        counts, self._counts = self._counts, {}
        lines: dict[tuple[int, str], dict[Session, int]] = defaultdict(dict)
        for (day, domain, one), count in counts.items():
            lines[day, domain][one] = count
        try:
            wanted = await self._wanted({domain for _, domain in lines})
            places: dict[tuple[int, int], list[str]] = defaultdict(list)
            for day, domain in lines:
                if domain in wanted:
                    places[ids.name_partition(domain, self._partitions), day].append(domain)
            for (partition, day), domains in places.items():
                for at in range(0, len(domains), DOMAINS_A_CALL):
                    await self._add(
                        partition, day, {name: lines[day, name] for name in domains[at : at + DOMAINS_A_CALL]}
                    )
        except BaseException:
            for line, count in counts.items():
                if line in self._counts or len(self._counts) < MAX_LINES:
                    self._counts[line] = self._counts.get(line, 0) + count
            raise

    async def _wanted(self, domains: set[str]) -> set[str]:
        """Those that ask for reports, or of which nobody could tell."""
        room = asyncio.Semaphore(LOOK_UPS)

        async def is_wanted(domain: str) -> bool:
            async with room:
                texts = await self._resolver.texts(f"_smtp._tls.{domain}")
            return isinstance(texts, DnsUnavailable) or bool(receivers(texts))

        names = list(domains)
        answers = await asyncio.gather(*map(is_wanted, names))
        return {name for name, wanted in zip(names, answers, strict=True) if wanted}

    async def _add(self, partition: int, day: int, counts: Mapping[str, Mapping[Session, int]]) -> None:
        names = [keys.tls_reported(partition, day), *(keys.tls_report(partition, day, domain) for domain in counts)]
        args: list[str | bytes | int] = [MAX_REPORT_LINES, KEPT_S]
        for domain, of_domain in counts.items():
            args += [domain, len(of_domain)]
            for one, count in of_domain.items():
                args += [msgspec.json.encode(one), count]
        await _ADD(self._client, names, args)

    # Send

    async def send_due(self) -> None:
        """Tries every report whose time has come and that nobody tries or tried a moment ago. RedisAway."""
        now_s = self._now_s()
        room = asyncio.Semaphore(SENDING)
        for day in (day_of(now_s) - 1, day_of(now_s) - 2):
            for partition in range(self._partitions):
                packed = await self._client.smembers(keys.tls_reported(partition, day))
                domains = [name.decode("utf-8") for name in packed]
                due = [domain for domain in domains if due_at(day, domain) <= now_s]
                await asyncio.gather(*(self._try(room, partition, day, domain) for domain in due))

    async def _try(self, room: asyncio.Semaphore, partition: int, day: int, domain: str) -> None:
        async with room:
            lock = keys.tls_report_lock(partition, day, domain)
            if self._sending is None or not await self._client.set(lock, b"1", nx=True, px=RETRY_MS):
                return
            if await self._is_over(self._sending, partition, day, domain):
                await self._client.delete(keys.tls_report(partition, day, domain))
                await self._client.srem(keys.tls_reported(partition, day), domain)

    async def _is_over(self, sending: Sending, partition: int, day: int, domain: str) -> bool:
        """Sends the report to those who have not got it. Whether nothing is left to do about it."""
        key = keys.tls_report(partition, day, domain)
        fields: Mapping[bytes, bytes] = await self._client.hgetall(key)
        counts = {_session(name): int(count) for name, count in fields.items() if not name.startswith(_SENT)}
        texts = await self._resolver.texts(f"_smtp._tls.{domain}")
        late = self._now_s() >= due_at(day, domain) + GIVE_UP_S
        if not isinstance(texts, DnsUnavailable) and counts:
            report = make(domain, day, counts, sending.by)
            left = [uri for uri in receivers(texts) if _SENT + uri.encode() not in fields]
            for uri in list(left):
                if await self._send(sending, report, uri):
                    await self._client.hset(key, _SENT + uri.encode(), 1)
                    left.remove(uri)
            if not left:
                return True
        if late:
            REPORTS.labels("dropped").inc()
            self._log.error("tls_report_dropped", domain=domain, day=day)
        return late or not counts

    async def _send(self, sending: Sending, report: Report, uri: str) -> bool:
        try:
            why = await self._submit(sending, report, uri)
        except Exception as fault:  # whatever it is, the report is tried again
            why = f"{type(fault).__name__}: {fault}"
        REPORTS.labels("failed" if why else "sent").inc()
        if why:
            self._log.warning("tls_report_not_sent", domain=report.domain, day=report.day, to=uri, reason=why[:300])
        else:
            self._log.info("tls_report_sent", domain=report.domain, day=report.day, to=uri)
        return not why

    async def _submit(self, sending: Sending, report: Report, uri: str) -> str | None:
        if (address := mailbox(uri)) is None:
            return await sending.web.post(uri, report.gzipped, {"Content-Type": "application/tlsrpt+gzip"})
        now_s = int(self._now_s())
        fields, body = mail(report, sending.by, address, now_s)
        signature = sign(await sending.signers(sending.by.submitter), fields, body, now_s)
        message = signature + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n" + body
        return await sending.deliver(sending.by.sender, address, message)


def _session(packed: bytes) -> Session:
    return msgspec.json.decode(packed, type=Session)


def deliver_by(new_courier: Callable[[], Courier]) -> Deliver:
    """Delivers by a courier of its own. Its routes are those without TLS policies: a report may say that they fail."""

    async def deliver(mail_from: str, rcpt_to: str, message: bytes) -> str | None:
        courier = new_courier()
        try:
            parcel = Parcel(domain_of(rcpt_to).lower(), mail_from, rcpt_to, message)
            result = await courier.deliver(parcel, _wanted_still)
        finally:
            await courier.close()
        if isinstance(result, NotNow):
            return f"not now: {result.limit}"
        if result is None or (isinstance(result.answer, Reply) and result.answer.code < 300):
            return None
        return result.text or "it was not taken"

    return deliver


async def _wanted_still(_source: str) -> None:
    return None


def signers_of(domains: SendingDomains) -> Callable[[str], Awaitable[Sequence[Signer]]]:
    """The keys that sign for a domain, whoever owns it; none if they cannot be used: reports leave all the same."""

    async def signers(name: str) -> Sequence[Signer]:
        try:
            domain = await domains.find(name)
            if domain is None:
                return ()
            pems = [(key.selector, domains.private_key(domain.domain, key)) for key in domain.signing]
            return [Signer(domain.domain, selector, pem) for selector, pem in pems]
        except (InvalidDomain, CannotOpen, InvalidKey) as unusable:
            logs.get_logger().warning("tls_report_unsigned", domain=name, reason=str(unusable)[:300])
            return ()

    return signers
