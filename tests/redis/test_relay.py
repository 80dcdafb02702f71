"""The relay's main path: a real Redis on one side, a real mail host on the other, and what has died in between."""

import asyncio
import itertools
import math
import quopri
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import RedisCluster

from services.relay import aside as aside_module
from services.relay import held as held_module
from services.relay import lines as lines_module
from services.relay import relay as relay_module
from services.relay import workers as workers_module
from services.relay.checks.admission import Admission
from services.relay.checks.begun import Begun
from services.relay.delivery.connection import Connection
from services.relay.delivery.courier import Courier
from services.relay.delivery.dial import Timeouts
from services.relay.held import URGENT_PART, Limits
from services.relay.lines import KEPT
from services.relay.making import mails as mails_module
from services.relay.making import making
from services.relay.making.mails import Mails, Origin
from services.relay.making.making import Making
from services.relay.message.line import FRESH_S
from services.relay.message.mail import Made, Unmade
from services.relay.message.retry import Retries
from services.relay.relay import Relay
from services.relay.signing.signatures import Signatures
from services.relay.traffic.egress import Source
from services.relay.traffic.hosts import Hosts
from services.relay.wiring import main_path
from services.relay.words.hop import Hop
from services.relay.words.notnow import NotNow, Scope
from services.relay.words.outlet import Outlet
from services.relay.words.tls import NEVER
from services.suppression.store import Addition, Lists
from shared.mail import dkim_keys
from shared.mail.dkim_keys import Vault
from shared.redis import (
    bus,
    keys,
    redis,
)
from shared.redis import ready as ready_module
from shared.redis.bus import ends_message
from shared.redis.ready import (
    BULK,
    SHARE,
    Lease,
    Queued,
    ReadyQueues,
    Recorded,
    Taken,
)
from shared.redis.sending_domains import CACHE_SECONDS, SendingDomains
from shared.redis.suppression import SuppressionList
from shared.redis.untracked import Told, Untracked, UntrackedList
from shared.words import content, events, ids, own_files
from shared.words.generations import Known
from shared.words.own_files import OwnFile
from shared.words.sending_domain import INSTALLATION
from shared.words.tokens import InvalidToken, TokenKeys
from shared.words.verp import Verp, VerpKeys
from tests.fakes.passage import FreeGate, FreePassage, Sessions, Unstopped
from tests.fakes.rendering import RenderingHere
from tests.fakes.smtp_server import SILENT, Envelope, Script, SmtpServer
from tests.jobs import compile_job, job_hash
from tests.servers import RedisServer
from tests.tasks import gone

P = 2
CREATED_MS = 1_790_000_000_000
SECRET = b"0" * 32
TENANT = "acme"
HTML = '<p>Bonjour {{ prenom }}</p><a href="https://exemple.fr/a">A</a> <a href="{{ unsubscribe_url }}">out</a>'
SCOPES: tuple[Scope, ...] = ("slot", "site", "source", "queue")
#: Between attempts.
RETRY_S = 0.2


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relays notice sooner that a test is over, and that a bug has been waited out."""
    monkeypatch.setattr(held_module, "WAIT_MS", 50)
    monkeypatch.setattr(relay_module, "FAULT_PAUSE_S", 0.01)


async def until(condition: Callable[[], Any]) -> None:
    """Waits for what must come; the test fails after half a minute."""
    async with asyncio.timeout(60):
        while not (await done if asyncio.iscoroutine(done := condition()) else done):  # noqa: ASYNC110 - Redis's state
            await asyncio.sleep(0.01)


class NoChance(Random):
    """Waits are not stretched."""

    def random(self) -> float:
        return 0.0


class Clock:
    """Real time and more: `ahead_s` is what a test puts the relays forward by. Redis has its own."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_ms(self) -> int:
        return int((time.time() + self.ahead_s) * 1000)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


class Gate:
    """Holds what comes through, from the first on, until it is opened."""

    def __init__(self) -> None:
        self.waiting = 0
        self._open = asyncio.Event()

    async def __call__(self) -> None:
        self.waiting += 1
        await self._open.wait()

    def open(self) -> None:
        self._open.set()


class House:
    """What all relays of a test share: one Redis, the hosts by domain, and the jobs."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.queues = ReadyQueues(client, "email")
        self.clock = Clock()
        self.domains = SendingDomains(client, Vault(SECRET), make_key=lambda _: dkim_keys.make("ed25519-sha256"))
        self.hops: dict[str, Hop] = {}
        self.gate: FreeGate = FreeGate()
        self.passage: Callable[[], FreePassage] = FreePassage
        self.stops = Unstopped()
        self.untracked = Untracked(client)
        self._names = itertools.count()
        self._jobs = itertools.count(1)
        self.publisher = bus.Publisher(client, P, lambda: f"house{next(self._names)}")

    # What is sent

    async def job(self, html: str = HTML, domain: str = "exemple.fr", *, own: bool = True) -> str:
        """A job with its content as queueing stores it; its domain is the tenant's unless it shall not be `own`."""
        job = ids.new_job_id(CREATED_MS, (next(self._jobs) << 16).to_bytes(6, "big"), P)
        compiled = compile_job(
            from_=f"News <news@{domain}>", subject="Bonjour {{ prenom }}", html=html, variables={"prenom": "x"}
        )
        assert isinstance(compiled, content.CompiledContent), compiled
        fields = job_hash(tenant=TENANT, content=content.encode(compiled))
        await self.client.hset(keys.job(ids.job_partition(job, P), job), mapping=fields)
        if own:
            await self.domains.give(TENANT, domain)
        return job

    async def enqueue(
        self,
        job: str,
        ordinals: Iterable[int],
        site: str = "a.test",
        queue: str = TENANT,
        lane: int = BULK,
        **fields: Any,
    ) -> None:
        """Recipients `u<ordinal>@<site>`; the site's name is their domain."""
        rows = []
        for ordinal in ordinals:
            ready = events.Ready(tenant=TENANT, job=job, ordinal=ordinal, email=f"u{ordinal}@{site}", **fields)
            rows.append((lane, site, events.encode(ready)))
        await self.enqueue_rows(job, site, rows, queue, fields.get("expires_at", 0))

    async def enqueue_rows(
        self,
        job: str,
        site: str,
        rows: Sequence[tuple[int, str, bytes]],
        queue: str = TENANT,
        expires_at: int = 0,
    ) -> None:
        queued = [Queued(lane, its_site, queue, body, expires_at) for lane, its_site, body in rows]
        await self.queues.enqueue(ids.name_partition(site, P), job, next(self._names), queued)

    async def suppress(self, email: str) -> None:
        await Lists(self.client, P).add([Addition(TENANT, email, "unsubscribed", CREATED_MS, is_told=False)])

    # Who sends it

    async def _hops(self, domain: str) -> Sequence[Hop]:
        return [self.hops[domain]]

    def mails(self, client: Any = None) -> Mails:
        origin = Origin(
            "https://t.exemple.fr", "bounces.exemple.fr", TokenKeys(SECRET), VerpKeys(SECRET), SECRET, "estafette"
        )
        signatures = Signatures(0, time.monotonic)
        return Mails(
            client or self.client, P, self.domains, origin, signatures, RenderingHere(), self.clock.now_ms,
            untracked=self.untracked,
        )  # fmt: skip

    def relay(
        self,
        name: str = "r1",
        *,
        connections: int = 4,
        in_flight: int = 200,
        batch: int = 50,
        lease_ms: int = 60_000,
        mails: Any = None,
        queues: ReadyQueues | None = None,
        admission: Admission | None = None,
        before_connecting: Callable[[], Awaitable[None]] | None = None,
        retry_s: float = RETRY_S,
        quit_s: float = 1,
    ) -> Relay:
        async def open_connection(hop: Hop, source: Source) -> Connection:
            if before_connecting is not None:
                await before_connecting()
            timeouts = Timeouts(quit=quit_s)
            return await Connection.open(hop.host, hop.port, helo="relay.example", tls=NEVER, timeouts=timeouts)

        class Routes:
            hops = staticmethod(self._hops)

        found = Hosts(self.clock.monotonic)

        def new_courier(site: str, outlet: Outlet) -> Courier:
            return Courier(Routes(), self.passage(), open_connection, found, Sessions())

        names = itertools.count()
        return main_path(
            name,
            P,
            Limits(in_flight=in_flight, batch=batch, connections_per_site=connections, lease_ms=lease_ms),
            queues=queues or self.queues,
            publisher=bus.Publisher(self.client, P, lambda: f"{name}.{next(names)}"),
            admission=admission or Admission(self.client, P, SuppressionList(self.client, P)),
            stops=self.stops,
            begun=Begun(self.client, P),
            gate=self.gate,
            making=Making(mails or self.mails(), self.clock.monotonic),
            new_courier=new_courier,
            retries=Retries(NoChance(), (retry_s,)),
            clock=self.clock,
        )

    # What became of it

    async def facts(self) -> list[Any]:
        """All that is on the streams, in the order of each partition."""
        found = []
        for partition in range(P):
            entries: Any = await self.client.xrange(keys.events(partition))
            for number, fields in entries:
                found.append(bus.entry(number, fields).message())
        return found

    async def words(self) -> dict[int, list[str]]:
        """The facts of each ordinal, in their order; tests with one job use it."""
        words: dict[int, list[str]] = defaultdict(list)
        for fact in await self.facts():
            words[fact.ordinal].append(type(fact).__name__)
        return words

    async def has_ended(self, messages: int) -> bool:
        return sum(map(ends_message, await self.facts())) >= messages

    async def _keys(self, prefix: str) -> list[bytes]:
        found: Any = (
            await self.client.keys(prefix + "*", target_nodes=RedisCluster.PRIMARIES)
            if isinstance(self.client, RedisCluster)
            else await self.client.keys(prefix + "*")
        )
        return list(found)

    async def left(self) -> dict[str, int]:
        """What is not at rest: messages by where they are, and records of sites."""
        left: Counter[str] = Counter()
        for p in range(P):
            for name, prefix in (("ready", keys.ready_prefix(p, "email")), ("leased", keys.leased_prefix(p, "email"))):
                for key in await self._keys(prefix):
                    if not key.endswith(b".dead"):
                        left[name] += await (self.client.xlen(key) if name == "ready" else self.client.hlen(key))
            left["retry"] += await self.client.zcard(keys.retry(p, "email"))
            left["parked"] += await self.client.zcard(keys.parked_jobs(p, "email"))
            left["queues"] += await self.client.zcard(keys.expiries(p, "email")) + len(
                await self._keys(keys.turns_prefix(p, "email"))
            )
            left["sites"] += await self.client.zcard(keys.sites(p, "email")) + len(
                await self._keys(keys.site_prefix(p, "email"))
            )
        return {name: count for name, count in left.items() if count}


class RunningRelay:
    def __init__(self, relay: Relay) -> None:
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(relay.run(self._stopping))

    def ask_to_stop(self) -> None:
        self._stopping.set()

    async def stop(self) -> None:
        """SIGTERM: it drains."""
        self._stopping.set()
        if not self._task.cancelled():
            async with asyncio.timeout(60):
                await self._task

    async def die(self) -> None:
        """kill -9, as far as others can see: nothing is recorded or given back any more."""
        with suppress(Exception):
            await gone(self._task)


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[RunningRelay]:
    run = RunningRelay(relay)
    try:
        yield run
        await run.stop()
    finally:
        await run.die()


@pytest.fixture
async def house(any_redis_url: str) -> AsyncIterator[House]:
    client = redis.connect(any_redis_url)
    yield House(client)
    await redis.close(client)


#: For what has nothing to do with where Redis keeps it.
on_one_server = pytest.mark.parametrize("any_redis_url", ["single"], indirect=True)


@asynccontextmanager
async def host(house: House, *sites: str, script: Script | None = None) -> AsyncIterator[SmtpServer]:
    """The mail host of these sites (`a.test` if none is named)."""
    async with SmtpServer(script) as server:
        for site in sites or ("a.test",):
            house.hops[site] = Hop("127.0.0.1", server.port)
        yield server


def recipient(envelope: Envelope) -> str:
    return envelope.rcpts[0].partition("<")[2].partition(">")[0]


def taken(server: SmtpServer) -> Counter[str]:
    return Counter(map(recipient, server.envelopes))


def once(ordinals: Iterable[int], site: str = "a.test") -> Counter[str]:
    return Counter(f"u{ordinal}@{site}" for ordinal in ordinals)


class GatedMails:
    """Makes mails behind a gate, and fails for some."""

    def __init__(self, mails: Mails, gate: Gate | None = None, faulty: Iterable[int] = ()) -> None:
        self.made = 0
        self._mails = mails
        self._gate = gate
        self._faulty = set(faulty)

    async def make(self, ready: events.Ready, *, signed: bool = True) -> Made | Unmade:
        if self._gate is not None:
            await self._gate()
        if ready.ordinal in self._faulty:
            self._faulty.remove(ready.ordinal)
            raise ZeroDivisionError("a bug of ours")
        self.made += 1
        return await self._mails.make(ready)

    def size_bytes(self, ready: events.Ready) -> None:
        """Nothing is made before its turn."""

    def is_withdrawn(self, ready: events.Ready) -> bool:
        return self._mails.is_withdrawn(ready)


# Sending


async def test_promise_1_what_is_enqueued_is_delivered_and_nothing_is_left(house: House) -> None:
    async with host(house, "a.test", "b.test", "c.test") as server:
        job = await house.job()
        for at, site in enumerate(("a.test", "b.test", "c.test")):
            await house.enqueue(job, range(at * 20, at * 20 + 20), site)

        async with running(house.relay()):
            await until(lambda: house.has_ended(60))

        assert taken(server) == once(range(20)) + once(range(20, 40), "b.test") + once(range(40, 60), "c.test")
        assert await house.words() == {ordinal: ["Delivered"] for ordinal in range(60)}
        assert await house.left() == {}


@on_one_server
async def test_a_mail_is_personal_signed_and_comes_back_to_us(house: House) -> None:
    async with host(house) as server:
        job = await house.job()
        variables = b"\x81\xa6prenom\xa3Ana"
        await house.enqueue(job, [7], variables=msgspec.Raw(variables), name="Ana")

        async with running(house.relay()):
            await until(lambda: house.has_ended(1))

        (envelope,) = server.envelopes
        sender = envelope.mail.partition("<")[2].partition(">")[0]
        assert VerpKeys(SECRET).read(sender).ordinal == 7
        assert envelope.message.startswith(b"DKIM-Signature: v=1; a=ed25519-sha256;")
        assert b"\r\nSubject: Bonjour Ana\r\n" in envelope.message
        (fact,) = await house.facts()
        assert (fact.attempt, fact.site, fact.host, fact.reply) == (1, "a.test", "127.0.0.1", "250 2.0.0 queued")
        assert fact.size_bytes == len(envelope.message)


async def test_two_relays_share_what_there_is(house: House) -> None:
    async with host(house, "a.test", "b.test") as server:
        job = await house.job()
        await house.enqueue(job, range(80))
        await house.enqueue(job, range(80, 160), "b.test")

        async with running(house.relay("r1", batch=10)), running(house.relay("r2", batch=10)):
            await until(lambda: house.has_ended(160))

        assert taken(server) == once(range(80)) + once(range(80, 160), "b.test")
        assert await house.left() == {}


# Tried again, too late, not wanted


async def test_a_deferred_message_comes_back_as_its_second_attempt_when_it_is_due(house: House) -> None:
    async with host(house, script={"RCPT": ["450 4.2.0 try later", "250 ok"]}) as server:
        await house.enqueue(await house.job(), [0])

        async with running(house.relay()):
            await until(lambda: house.has_ended(1))

        deferred, delivered = await house.facts()
        assert (deferred.attempt, deferred.reply) == (1, "450 4.2.0 try later")
        assert deferred.retry_at == deferred.occurred_at + RETRY_S * 1000
        assert (type(delivered), delivered.attempt) == (events.Delivered, 2)
        assert delivered.occurred_at >= deferred.retry_at
        assert taken(server) == once([0])
        assert await house.left() == {}


@on_one_server
async def test_a_message_that_would_be_too_late_expires_instead_of_waiting(house: House) -> None:
    async with host(house, script={"RCPT": "450 4.2.0 try later"}):
        await house.enqueue(await house.job(), [0], expires_at=house.clock.now_ms() + 600_000)

        async with running(house.relay(retry_s=3600)):
            await until(lambda: house.has_ended(1))

        (fact,) = await house.facts()
        assert (type(fact), fact.attempt, fact.reply) == (events.Expired, 1, "450 4.2.0 try later")
        assert await house.left() == {}


@on_one_server
async def test_messages_whose_time_ends_while_they_are_in_line_expire_there(house: House) -> None:
    gate = Gate()
    async with host(house) as server:
        await house.enqueue(
            await house.job(), range(5), expires_at=house.clock.now_ms() + 600_000, last_reply="450 full"
        )

        async with running(house.relay(connections=1, mails=GatedMails(house.mails(), gate))):
            await until(lambda: gate.waiting)
            house.clock.ahead_s += 600
            gate.open()
            await until(lambda: house.has_ended(5))

        assert server.envelopes == []
        assert {(type(fact), fact.attempt, fact.reply) for fact in await house.facts()} == {
            (events.Expired, 0, "450 full")
        }
        assert await house.left() == {}


async def test_promise_4_who_leaves_while_a_mail_is_in_line_gets_none(house: House) -> None:
    gate = Gate()
    async with host(house) as server:
        await house.enqueue(await house.job(), range(5))

        async with running(house.relay(connections=1, mails=GatedMails(house.mails(), gate))):
            await until(lambda: gate.waiting)
            for ordinal in (0, 3):
                await house.suppress(f"u{ordinal}@a.test")
            house.clock.ahead_s += FRESH_S + 0.01
            gate.open()
            await until(lambda: house.has_ended(5))

        assert taken(server) == once([1, 2, 4])
        assert {fact.ordinal: fact.where for fact in await house.facts() if isinstance(fact, events.Suppressed)} == {
            0: "attempt",
            3: "attempt",
        }
        assert await house.left() == {}


@on_one_server
async def test_who_withdraws_their_consent_to_be_tracked_while_the_host_takes_its_time_gets_plain_links(
    house: House,
) -> None:
    greeting = Gate()
    async with host(house) as server:
        await house.enqueue(await house.job(), range(2))
        await house.untracked.load()
        async with running(house.relay(connections=1, before_connecting=greeting)):
            await until(lambda: greeting.waiting)  # the mail is made by now
            for ordinal in (0, 1):
                mark = TokenKeys(SECRET).marks(TENANT, f"U{ordinal}@a.test")[0]
                await UntrackedList(house.client).tell([Told(TENANT, mark, ordinal == 0, CREATED_MS)])
            await house.untracked.follow()
            greeting.open()
            await until(lambda: house.has_ended(2))

        sent = [quopri.decodestring(one.message) for one in server.envelopes]
        plain, tracked = sorted(sent, key=lambda message: b".fr/o/" in message)
        assert b".fr/o/" not in plain
        assert b'href="https://exemple.fr/a"' in plain
        assert b"To: u0@a.test" in plain
        assert b".fr/o/" in tracked
        assert b'href="https://exemple.fr/a"' not in tracked


@on_one_server
async def test_promise_4_who_leaves_while_the_host_takes_its_time_gets_none(house: House) -> None:
    gate = Gate()
    async with host(house) as server:
        await house.enqueue(await house.job(), [0])

        async with running(house.relay(before_connecting=gate)):
            await until(lambda: gate.waiting)
            await house.suppress("u0@a.test")
            house.clock.ahead_s += 30
            gate.open()
            await until(lambda: house.has_ended(1))

        assert await house.words() == {0: ["Suppressed"]}
        assert not any(command.startswith("MAIL") for command in server.commands)


async def test_who_has_left_before_is_not_even_put_in_line(house: House) -> None:
    async with host(house) as server:
        await house.enqueue(await house.job(), [0])
        await house.suppress("u0@a.test")

        async with running(house.relay()):
            await until(lambda: house.has_ended(1))

        assert await house.words() == {0: ["Suppressed"]}
        assert server.connections == 0
        assert await house.left() == {}


async def test_promise_2_a_message_whose_end_is_on_record_is_dropped(house: House) -> None:
    async with host(house) as server:
        job = await house.job()
        await house.publisher.publish(
            [events.Delivered(event_id="1", occurred_at=1, tenant=TENANT, job=job, ordinal=0)]
        )
        await house.enqueue(job, [0, 1])

        async with running(house.relay()):
            await until(lambda: house.has_ended(2))
            await until(lambda: _is_empty(house))

        assert taken(server) == once([1])
        assert await house.words() == {0: ["Delivered"], 1: ["Delivered"]}


async def _is_empty(house: House) -> bool:
    return not await house.left()


# What dies


async def test_promise_1_what_a_dead_relay_held_is_sent_by_another_once(house: House) -> None:
    gate = Gate()
    async with host(house, "a.test", "b.test") as server:
        job = await house.job()
        await house.enqueue(job, range(10))
        await house.enqueue(job, range(10, 20), "b.test")
        async with running(house.relay("dying", lease_ms=300, mails=GatedMails(house.mails(), gate))) as dying:
            await until(lambda: gate.waiting >= 2)
            await dying.die()

            async with running(house.relay("living")):
                await until(lambda: house.has_ended(20))

        assert taken(server) == once(range(10)) + once(range(10, 20), "b.test")
        assert await house.left() == {}


async def test_promise_2_a_relay_that_was_stopped_for_too_long_does_not_send_what_another_has_taken(
    house: House,
) -> None:
    class Stopped(ReadyQueues):
        """Stops answering once something was leased: the process is in the freezer."""

        async def lease(self, *args: Any, **options: Any) -> Taken:
            if self.frozen is not None:
                await self.frozen()
            found = await super().lease(*args, **options)
            if found.leases:
                self.frozen = thaw
            return found

        frozen: Gate | None = None

    gate, thaw = Gate(), Gate()
    async with host(house) as server:
        await house.enqueue(await house.job(), range(10))
        mails = GatedMails(house.mails(), gate)
        # Long enough for a first attempt on a busy machine: what is not begun in time is not attempted at all.
        queues = Stopped(house.client, "email")
        stopped = house.relay("stopped", lease_ms=2000, connections=1, mails=mails, queues=queues)
        async with running(stopped):
            await until(lambda: gate.waiting and thaw.waiting)
            async with running(house.relay("living")):
                await until(lambda: house.has_ended(10))
                assert not await _is_known(house, "stopped")

                thaw.open()
                await until(lambda: _is_known(house, "stopped"))
                gate.open()

        assert taken(server) == once(range(10))
        assert await house.left() == {}


async def _is_known(house: House, relay: str) -> bool:
    """It has renewed its lease in all partitions: another relay had taken it for dead before."""
    return all([await house.client.zscore(keys.relays(p, "email"), relay) is not None for p in range(P)])


async def test_promise_1_what_an_answer_that_was_lost_had_leased_is_sent_once(house: House) -> None:
    class Losing(ReadyQueues):
        losses = 2

        async def lease(self, *args: Any, **options: Any) -> Taken:
            found = await super().lease(*args, **options)
            if found.leases and self.losses:
                self.losses -= 1
                raise redis.RedisAway("the answer was lost")
            return found

    async with host(house) as server:
        await house.enqueue(await house.job(), range(30))

        async with running(house.relay(batch=10, queues=Losing(house.client, "email"))):
            await until(lambda: house.has_ended(30))

        assert taken(server) == once(range(30))
        assert await house.left() == {}


@on_one_server
async def test_promise_2_what_is_recorded_while_the_relay_looks_for_the_lost_is_not_taken_for_lost(
    house: House,
) -> None:

    class Slow(ReadyQueues):
        """Loses the second answer, and tells what is held only after the first message has been recorded."""

        calls = 0

        async def lease(self, *args: Any, **options: Any) -> Taken:
            found = await super().lease(*args, **options)
            if found.leases:
                self.calls += 1
                if self.calls == 2:
                    raise redis.RedisAway("the answer was lost")
            return found

        async def held(self, partition: int, relay: str) -> list[Lease]:
            found = await super().held(partition, relay)
            gate.open()
            await until(lambda: house.client.zcard(keys.retry(partition, "email")))
            await asyncio.sleep(0.01)
            return found

    gate = Gate()
    async with host(house, script={"RCPT": ["450 4.2.0 try later", "250 ok"]}) as server:
        await house.enqueue(await house.job(), range(2))
        mails = GatedMails(house.mails(), gate)

        async with running(house.relay(batch=1, mails=mails, queues=Slow(house.client, "email"))):
            await until(lambda: house.has_ended(2))

        assert taken(server) == once(range(2))
        assert sorted((fact.ordinal, fact.attempt) for fact in await house.facts()) == [(0, 1), (0, 2), (1, 1)]


async def test_promise_2_redis_killed_while_sending_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    server.start()
    client = redis.connect(server.url)
    try:
        house = House(client)
        sites = [f"s{number}.test" for number in range(4)]
        async with host(house, *sites, script={"DOT": (0.002, "250 2.0.0 queued")}) as sink:
            job = await house.job()
            for at, site in enumerate(sites):
                await house.enqueue(job, range(at * 50, at * 50 + 50), site)

            async with running(house.relay(in_flight=60, batch=20)):
                for share in (40, 110):
                    await until(lambda share=share: len(sink.envelopes) >= share)  # type: ignore[misc]
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
                await until(lambda: _has_ended_again(house, 200))

        # Redis keeps what it acknowledged, and the relay what it has not recorded yet: not even what was in flight is
        # sent twice.
        assert taken(sink) == sum(
            (once(range(at * 50, at * 50 + 50), site) for at, site in enumerate(sites)), Counter()
        )
        assert await house.words() == {ordinal: ["Delivered"] for ordinal in range(200)}
        assert await house.left() == {}
    finally:
        await redis.close(client)
        server.stop()


async def _has_ended_again(house: House, messages: int) -> bool:
    try:
        return await house.has_ended(messages)
    except redis.RedisAway:
        return False


# Draining


async def test_a_relay_that_stops_puts_back_at_once_what_it_has_not_tried_and_finishes_what_it_has(
    house: House,
) -> None:
    gate = Gate()
    async with host(house) as server:
        await house.enqueue(await house.job(), range(20))
        async with running(house.relay(connections=2, mails=GatedMails(house.mails(), gate))) as draining:
            await until(lambda: gate.waiting == 2)

            draining.ask_to_stop()
            await until(lambda: _lies_ready(house, 18))
            assert server.envelopes == []
            gate.open()
            await draining.stop()

        assert len(server.envelopes) == 2
        assert await house.has_ended(2)
        left = await house.left()
        assert (left["ready"], left.get("leased")) == (18, None)
        assert [await house.client.zscore(keys.relays(p, "email"), "r1") for p in range(P)] == [None] * P

        async with running(house.relay("r2")):
            await until(lambda: house.has_ended(20))
        assert taken(server) == once(range(20))


async def _lies_ready(house: House, messages: int) -> bool:
    return (await house.left()).get("ready") == messages


@on_one_server
async def test_promise_2_a_drain_that_takes_longer_than_a_lease_keeps_it(house: House) -> None:
    gate = Gate()
    async with host(house) as server:
        await house.enqueue(await house.job(), [0])
        async with running(house.relay("slow", lease_ms=3000, mails=GatedMails(house.mails(), gate))) as draining:
            await until(lambda: gate.waiting)
            draining.ask_to_stop()

            async with running(house.relay("other")):
                await asyncio.sleep(3.6)  # longer than a lease
                assert server.envelopes == []
                gate.open()
                await draining.stop()

        assert taken(server) == once([0])
        assert await house.left() == {}


async def test_a_relay_with_nothing_to_do_stops(house: House) -> None:
    async with running(house.relay()) as idle:
        await idle.stop()


# One site and the others


async def test_promise_5_a_host_that_holds_every_message_holds_its_share_and_no_more(house: House) -> None:
    async with host(house, "slow.test", script={"DOT": SILENT}) as slow, host(house, "fast.test") as fast:
        job = await house.job()
        await house.enqueue(job, range(300), "slow.test")
        run = RunningRelay(house.relay(connections=2, in_flight=200))
        try:
            await until(lambda: slow.open_connections == 2)
            await house.enqueue(job, range(300, 400), "fast.test")
            await until(lambda: house.has_ended(100))

            assert taken(fast) == once(range(300, 400), "fast.test")
            assert (slow.open_connections, slow.envelopes) == (2, [])
            room = 200 - 200 // URGENT_PART
            share = math.ceil(room / SHARE)
            await until(lambda: _are_leased(house, share))  # the fast host's end a moment after their facts
        finally:
            await run.die()


@on_one_server
async def test_promise_5_there_is_room_for_the_next_site_however_many_are_stuck(house: House) -> None:
    stuck = [f"stuck{number}.test" for number in range(20)]
    async with host(house, *stuck, script={"DOT": SILENT}), host(house, "fast.test") as fast:
        job = await house.job()
        for at, site in enumerate(stuck):
            await house.enqueue(job, range(at * 30, at * 30 + 30), site)
        run = RunningRelay(house.relay(connections=2, in_flight=100))
        try:
            await until(lambda: _is_settled(house))
            await house.enqueue(job, range(600, 640), "fast.test")
            await until(lambda: house.has_ended(40))

            assert taken(fast) == once(range(600, 640), "fast.test")
        finally:
            await run.die()


async def _are_leased(house: House, messages: int) -> bool:
    return (await house.left()).get("leased", 0) == messages


async def _is_settled(house: House) -> bool:
    """What is in hand does not change any more."""
    before = (await house.left()).get("leased", 0)
    await asyncio.sleep(0.2)
    return 0 < before == (await house.left()).get("leased", 0)


async def test_promise_8_what_is_in_hand_is_bounded_over_all_partitions(house: House) -> None:
    sites = [f"stuck{number}.test" for number in range(12)]
    assert {ids.name_partition(site, P) for site in sites} == set(range(P))
    async with host(house, *sites, script={"DOT": SILENT}):
        job = await house.job()
        for at, site in enumerate(sites):
            await house.enqueue(job, range(at * 10, at * 10 + 10), site)
        run = RunningRelay(house.relay(in_flight=10, batch=10))
        try:
            await until(lambda: _are_leased(house, 9))
            await until(lambda: _is_settled(house))
            await house.enqueue(job, range(120, 140), "stuck0.test", lane=0)
            await until(lambda: _are_leased(house, 10))
            await until(lambda: _is_settled(house))

            assert (await house.left())["leased"] == 10
        finally:
            await run.die()


async def test_promise_5_what_people_wait_for_goes_while_bulk_fills_all_that_it_may(house: House) -> None:
    stuck = [f"stuck{number}.test" for number in range(12)]
    async with host(house, *stuck, script={"DOT": SILENT}), host(house, "fast.test") as fast:
        job = await house.job()
        for at, site in enumerate(stuck):
            await house.enqueue(job, range(at * 10, at * 10 + 10), site)
        await house.enqueue(job, range(120, 130), "fast.test")
        run = RunningRelay(house.relay(in_flight=16, batch=16))
        try:
            await until(lambda: _is_settled(house))
            await house.enqueue(job, range(130, 140), "fast.test", lane=0)

            await until(lambda: once(range(130, 140), "fast.test") <= taken(fast))
        finally:
            await run.die()


async def test_a_site_that_has_reached_its_limit_goes_on_when_it_can(house: House) -> None:
    async with host(house) as server:
        await house.enqueue(await house.job(), range(120))

        async with running(house.relay(connections=1, in_flight=20)):
            await until(lambda: house.has_ended(120))

        assert taken(server) == once(range(120))
        assert server.connections == 1


# Held back, put aside


class SlowGate(FreeGate):
    """Some may not go: `held` says of a message what holds it back."""

    def __init__(self, held: Callable[[str, events.Ready], NotNow | None]) -> None:
        super().__init__()
        self.held = held

    async def permit(self, site: str, source: str, ready: events.Ready, rate: str) -> NotNow | None:
        return self.held(site, ready) or await super().permit(site, source, ready, rate)


async def test_a_mail_that_could_not_go_is_kept_for_a_while_and_made_again_after_that(house: House) -> None:
    mails = GatedMails(house.mails())
    refused: list[int] = []

    def held(site: str, ready: events.Ready) -> NotNow | None:
        refused.append(ready.ordinal)
        if len(refused) == 3:
            house.clock.ahead_s += making.GOOD_S
        return NotNow(20, "site", "site:a.test") if len(refused) <= 3 else None

    house.gate = SlowGate(held)
    async with host(house) as server:
        await house.enqueue(await house.job(), range(1))

        async with running(house.relay(mails=mails)):
            await until(lambda: house.has_ended(1))

        assert taken(server) == once(range(1))
        assert refused == [0, 0, 0, 0]
        assert mails.made == 2


async def test_what_a_limit_refuses_waits_and_goes_later(house: House) -> None:
    async with host(house) as server:
        house.gate.refusals = [NotNow(wait_ms, scope, "limit") for wait_ms in (20, 300) for scope in SCOPES]
        await house.enqueue(await house.job(), range(30))

        async with running(house.relay()):
            await until(lambda: house.has_ended(30))

        assert taken(server) == once(range(30))
        assert sorted(ordinal for _, _, ordinal in house.gate.permitted) == list(range(30))


async def test_promise_5_a_queue_at_its_limit_does_not_delay_others_of_its_site(house: House) -> None:
    slow = NotNow(60_000, "queue", "job:1")
    house.gate = SlowGate(lambda site, ready: slow if ready.ordinal < 300 else None)
    async with host(house) as server:
        job = await house.job()
        await house.enqueue(job, range(300), queue="acme/slow")
        await house.enqueue(job, range(300, 400))

        run = RunningRelay(house.relay(in_flight=60, batch=20))
        try:
            await until(lambda: house.has_ended(100))

            assert taken(server) == once(range(300, 400))
            await until(lambda: _wait(house, 300, in_hand=60))
        finally:
            await run.die()


async def test_promise_5_a_site_at_its_limit_keeps_a_few_messages_in_hand_and_the_rest_waits(house: House) -> None:
    slow = NotNow(60_000, "site", "site:slow.test")
    house.gate = SlowGate(lambda site, ready: slow if site == "slow.test" else None)
    async with host(house, "slow.test"), host(house, "fast.test") as fast:
        job = await house.job()
        await house.enqueue(job, range(300), "slow.test")
        await house.enqueue(job, range(300, 400), "fast.test")

        run = RunningRelay(house.relay(in_flight=400))
        try:
            await until(lambda: house.has_ended(100))

            assert taken(fast) == once(range(300, 400), "fast.test")
            await until(lambda: _wait(house, 300, in_hand=KEPT))
        finally:
            await run.die()


async def test_under_other_limits_what_the_old_ones_held_back_is_asked_again_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "LONGEST_BLOCK_S", 3600.0)
    monkeypatch.setattr(lines_module, "LONGEST_BLOCK_S", 3600.0)
    slow = [NotNow(3_600_000, "site", "site:a.test")]
    house.gate = SlowGate(lambda site, ready: slow[0] if slow else None)
    async with host(house) as server:
        await house.enqueue(await house.job(), range(100))
        relay = house.relay()

        async with running(relay):
            await until(lambda: _wait(house, 100, in_hand=KEPT))
            slow.clear()
            await relay.reconsider()
            await until(lambda: house.has_ended(100))

        assert taken(server) == once(range(100))
        assert set(house.gate.told) == {"a.test"}
        assert await house.left() == {}


async def test_what_leaves_by_other_addresses_from_now_on_comes_anew_and_goes_once(house: House) -> None:
    hour = NotNow(3_600_000, "source", "pool:default")
    asked = asyncio.Event()

    def held(site: str, ready: events.Ready) -> NotNow | None:
        """What a worker has when pools change ends as it began."""
        asked.set()
        return None if house.gate.pools else hour

    house.gate = SlowGate(held)
    async with host(house) as server:
        await house.enqueue(await house.job(), range(60))
        relay = house.relay(connections=2)

        async with running(relay):
            await asked.wait()
            house.gate.pools[TENANT] = "other"
            in_line = sum(len(line) for line in relay.lines)
            await relay.reconsider()
            left = sum(len(line) for line in relay.lines if line.outlet.pool == "default")
            await until(lambda: house.has_ended(60))
            pools = {line.outlet.pool for line in relay.lines}

        assert (in_line > 0, left) == (True, 0)
        assert "other" in pools
        assert taken(server) == once(range(60))
        assert await house.left() == {}


async def test_a_message_that_a_worker_has_when_pools_change_and_that_may_not_go_comes_anew(house: House) -> None:
    gate = Gate()

    class Changing(FreeGate):
        """A limit refuses what the pool that is gone asks for; the answer comes after the change."""

        async def permit(self, site: str, source: str, ready: events.Ready, rate: str) -> NotNow | None:
            if not gate.waiting:
                await gate()
                return NotNow(3_600_000, "source", "pool:default")
            return await super().permit(site, source, ready, rate)

    house.gate = Changing()
    async with host(house) as server:
        await house.enqueue(await house.job(), range(1))
        relay = house.relay()

        async with running(relay):
            await until(lambda: gate.waiting)
            house.gate.pools[TENANT] = "other"
            await relay.reconsider()
            gate.open()
            await until(lambda: house.has_ended(1))

        assert taken(server) == once(range(1))
        assert await house.left() == {}


async def _wait(house: House, messages: int, in_hand: int) -> bool:
    """Whether so many are not sent yet, and no more than `in_hand` of them leased."""
    left = await house.left()
    leased = left.get("leased", 0)
    return leased + left.get("ready", 0) == messages and leased <= in_hand


async def _few_leased(house: House, most: int) -> bool:
    return (await house.left()).get("leased", 0) <= most


async def test_workers_without_a_slot_leave_the_messages_to_those_that_have_one(house: House) -> None:
    passages: list[FreePassage] = []

    def passage() -> FreePassage:
        passages.append(made := FreePassage())
        if len(passages) > 1:
            made.refusals["default"] = [NotNow(100, "slot", "site:a.test")] * 1000
        return made

    house.passage = passage
    async with host(house) as server:
        await house.enqueue(await house.job(), range(100))

        async with running(house.relay()):
            await until(lambda: house.has_ended(100))

        assert taken(server) == once(range(100))
        assert server.connections == 1


async def test_another_source_is_taken_where_one_is_held_back(house: House) -> None:
    class TwoSources(FreeGate):
        async def permit(self, site: str, source: str, ready: events.Ready, rate: str) -> NotNow | None:
            if source == "a1":
                resting.add("a1")
                return NotNow(60_000, "source", "warmup:a1")
            return await super().permit(site, source, ready, rate)

        def has_source(self, site: str, pool: str) -> bool:
            return True

    resting: set[str] = set()

    def passage() -> FreePassage:
        made = FreePassage("a1", "a2")
        made.resting = resting
        return made

    house.gate, house.passage = TwoSources(), passage
    async with host(house) as server:
        await house.enqueue(await house.job(), range(10))

        async with running(house.relay()):
            await until(lambda: house.has_ended(10))

        assert taken(server) == once(range(10))
        assert {fact.source for fact in await house.facts()} == {"a2"}


async def test_what_is_stopped_goes_aside_and_comes_back_when_it_may_go_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside_module, "ASIDE_S", 0.05)
    async with host(house) as server:
        stopped, other = await house.job(), await house.job()
        house.stops.stopped.add(stopped)
        await house.enqueue(stopped, range(40))
        await house.enqueue(other, range(40, 60))

        async with running(house.relay()):
            await until(lambda: house.has_ended(20))
            await until(lambda: _few_leased(house, 0))
            assert taken(server) == once(range(40, 60))
            house.stops.stopped.clear()
            await until(lambda: house.has_ended(60))

        assert taken(server) == once(range(60))


async def test_a_job_that_is_stopped_while_its_messages_are_in_line_sends_no_more(house: House) -> None:
    gate = Gate()
    async with host(house) as server:
        job = await house.job()
        await house.enqueue(job, range(40))

        async with running(house.relay(connections=2, before_connecting=gate)):
            await until(lambda: gate.waiting == 2)
            house.stops.stopped.add(job)
            gate.open()
            await until(lambda: _few_leased(house, 0))

        assert server.envelopes == []
        assert await house.facts() == []


async def test_what_expires_while_it_is_held_is_expired_where_it_waits(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside_module, "SWEEP_S", 0.05)
    monkeypatch.setattr(ready_module, "SWEEP_MS", 100)
    async with host(house) as server:
        job = await house.job()
        soon = int(time.time() * 1000) + 500
        await house.queues.hold(ids.name_partition("a.test", P), "a.test", soon + 3_600_000)
        await house.enqueue(job, range(5), expires_at=soon)
        await house.enqueue(job, range(5, 8))

        run = RunningRelay(house.relay())
        try:
            await until(lambda: house.has_ended(5))

            assert {type(fact) for fact in await house.facts()} == {events.Expired}
            assert server.envelopes == []
        finally:
            await run.die()


async def test_what_expires_while_it_is_stopped_is_expired_although_the_stop_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside_module, "SWEEP_S", 0.05)
    async with host(house) as server:
        job = await house.job()
        house.stops.stopped.add(job)
        await house.enqueue(job, range(5), expires_at=int(time.time() * 1000) + 1_000)

        async with running(house.relay()):
            await until(lambda: house.has_ended(5))

        assert {type(fact) for fact in await house.facts()} == {events.Expired}
        assert server.envelopes == []
        assert await house.left() == {}


@on_one_server
async def test_a_connection_without_mail_stays_open_for_as_long_as_its_site_lets_it(house: House) -> None:
    house.gate.idle = {"patient.test": 60, "busy.test": 0.05}
    async with host(house, "patient.test") as patient, host(house, "busy.test") as busy:
        job = await house.job()
        await house.enqueue(job, [0], "patient.test")
        await house.enqueue(job, [1], "busy.test")

        async with running(house.relay()):
            await until(lambda: house.has_ended(2))
            await until(lambda: busy.open_connections == 0)
            assert patient.open_connections == 1
            await house.enqueue(job, [2], "patient.test")
            await house.enqueue(job, [3], "busy.test")
            await until(lambda: house.has_ended(4))

        assert (patient.connections, busy.connections) == (1, 2)
        assert "QUIT" in patient.commands


@on_one_server
async def test_a_connection_without_mail_that_another_relay_wants_is_given_up_and_its_worker_ends(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wanted(FreePassage):
        def is_good(self, mails: int, *, idle: bool) -> bool:
            return not (idle and wanted)

    wanted: list[str] = []
    monkeypatch.setattr(workers_module, "UNCONNECTED_S", 0.05)
    monkeypatch.setattr(workers_module, "LOOK_ROUND_S", 0.05)
    house.gate.idle, house.passage = {"a.test": 60}, Wanted
    async with host(house) as server:
        await house.enqueue(await house.job(), [0])

        async with running(house.relay()):
            await until(lambda: house.has_ended(1))
            assert server.open_connections == 1
            wanted.append("a.test")
            await until(lambda: server.open_connections == 0)
            await until(lambda: REGISTRY.get_sample_value("estafette_relay_active_sites") == 0)


@on_one_server
async def test_a_host_that_does_not_answer_goodbyes_does_not_hold_up_the_next_message(house: House) -> None:
    house.gate.idle = {"a.test": 0.02}
    run = RunningRelay(house.relay(quit_s=60))
    try:
        async with host(house, script={"QUIT": SILENT}) as server:
            job = await house.job()
            await house.enqueue(job, [0])
            await until(lambda: "QUIT" in server.commands)
            await house.enqueue(job, [1])
            await until(lambda: house.has_ended(2))

            assert server.connections == 2
    finally:
        await run.die()


# Content and bugs


@on_one_server
async def test_content_that_fails_for_one_recipient_bounces_for_that_one_alone(house: House) -> None:
    async with host(house) as server:
        job = await house.job(html="<p>{% if true %}{{ 1 / n }}{% endif %}</p>")
        await house.enqueue(job, [0], variables=msgspec.Raw(b"\x81\xa1n\xa1x"))
        await house.enqueue(job, [1], variables=msgspec.Raw(b"\x81\xa1n\x02"))

        async with running(house.relay()):
            await until(lambda: house.has_ended(2))

        facts = {fact.ordinal: fact for fact in await house.facts()}
        assert (type(facts[0]), facts[0].reason) == (events.Failed, "render_failed")
        assert type(facts[1]) is events.Delivered
        assert taken(server) == once([1])


@on_one_server
async def test_a_file_of_one_recipient_comes_with_every_attempt_and_no_mail_goes_without_it(house: House) -> None:
    invoice, lost = OwnFile("d" * 20, "facture.pdf", "application/pdf", 5), OwnFile("e" * 20, "b.pdf", "a/b", 5)
    async with host(house, script={"RCPT": ["451 4.3.0 try later", "250 ok"]}) as server:
        job = await house.job()
        await house.client.hset(keys.job_files(ids.job_partition(job, P), job), invoice.digest, b"%PDF-")
        await house.enqueue(job, [0], files=own_files.packed([invoice]))
        async with running(house.relay()):
            await until(lambda: house.has_ended(1))
            await house.enqueue(job, [1], files=own_files.packed([invoice, lost]))
            await until(lambda: house.has_ended(2))

        assert await house.words() == {0: ["Deferred", "Delivered"], 1: ["Failed"]}
        [envelope] = server.envelopes
        assert b'filename="facture.pdf"\r\n\r\nJVBERi0=\r\n--' in envelope.message
        failed = (await house.facts())[-1]
        assert (failed.reason, failed.detail) == (
            "lost_attachment",
            "b.pdf of this recipient is not kept any more: the mail is not sent without it",
        )


@on_one_server
async def test_messages_of_a_job_that_is_gone_bounce(house: House) -> None:
    async with host(house) as server:
        await house.enqueue(ids.new_job_id(CREATED_MS, b"absent", P), [0])

        async with running(house.relay()):
            await until(lambda: house.has_ended(1))

        (fact,) = await house.facts()
        assert (type(fact), fact.kind, fact.reason) == (events.Bounced, "block", "no_such_job")
        assert server.connections == 0


@on_one_server
async def test_mails_of_a_domain_that_is_nobodys_wait_until_it_is_somebodys(house: House) -> None:
    async with host(house) as server:
        await house.enqueue(await house.job(own=False), [0])

        async with running(house.relay()):
            await until(lambda: _is_deferred(house, 0))
            assert server.connections == 0
            await house.domains.give(TENANT, "exemple.fr")
            await until(lambda: house.has_ended(1))

        first, *_, last = await house.facts()
        assert (type(first), first.reason) == (events.Deferred, "unknown_sending_domain")
        assert type(last) is events.Delivered


@on_one_server
async def test_promise_7_a_domain_that_is_taken_away_is_not_signed_for_any_more(house: House) -> None:
    async with host(house) as server:
        job = await house.job()
        async with running(house.relay()):
            await house.enqueue(job, [0])
            await until(lambda: house.has_ended(1))
            await house.domains.remove(TENANT, "exemple.fr")
            house.clock.ahead_s += mails_module.DOMAIN_MS / 1000
            await house.enqueue(job, [1])
            await until(lambda: _is_deferred(house, 1))

        assert taken(server) == once([0])


@on_one_server
async def test_a_mail_is_signed_with_every_key_that_signs_and_with_the_new_ones_after_a_rotation(house: House) -> None:
    async with host(house) as server:
        job = await house.job()
        async with running(house.relay()):
            await house.enqueue(job, [0])
            await until(lambda: house.has_ended(1))
            before = await house.domains.rotate(TENANT, "exemple.fr")
            house.clock.ahead_s += mails_module.DOMAIN_MS / 1000
            await house.enqueue(job, [1])
            await until(lambda: house.has_ended(2))
            after = await house.domains.activate(TENANT, "exemple.fr", None)
            house.clock.ahead_s += mails_module.DOMAIN_MS / 1000
            await house.enqueue(job, [2])
            await until(lambda: house.has_ended(3))

        old, new = ([key.selector for key in domain.signing] for domain in (before, after))
        assert len({*old, *new}) == 4
        assert [selectors(envelope) for envelope in server.envelopes] == [old, old, new]


def selectors(envelope: Envelope) -> list[str]:
    """Whose signatures a mail has, from the top."""
    fields = message_from_bytes(envelope.message).get_all("DKIM-Signature", [])
    return [tag.strip()[2:] for field in fields for tag in field.split(";") if tag.strip().startswith("s=")]


@on_one_server
async def test_complaints_are_asked_for_where_a_signature_covers_the_address(house: House) -> None:
    """The return path is at bounces.exemple.fr: below one From domain, and somebody else's for the other."""
    async with host(house) as server:
        ours, another = await house.job(), await house.job(domain="autre.fr")
        async with running(house.relay()):
            await house.enqueue(ours, [0])
            await house.enqueue(another, [1])
            await until(lambda: house.has_ended(2))
            own, _ = await house.domains.give(INSTALLATION, "bounces.exemple.fr")
            house.clock.ahead_s += CACHE_SECONDS
            await house.enqueue(another, [2])
            await until(lambda: house.has_ended(3))

        mails = {recipient(envelope): message_from_bytes(envelope.message) for envelope in server.envelopes}
        asked = {ordinal: mails[f"u{ordinal}@a.test"]["CFBL-Address"] for ordinal in range(3)}
        assert asked[1] is None
        assert [VerpKeys(SECRET).read(asked[at].partition(";")[0]) for at in (0, 2)] == [
            Verp("feedback", ours, 0),
            Verp("feedback", another, 2),
        ]
        last = next(envelope for envelope in server.envelopes if recipient(envelope) == "u2@a.test")
        assert selectors(last)[2:] == [own.selector]
        assert mails["u2@a.test"]["Feedback-ID"] == f"{another}:bulk.acme:acme:estafette"


@on_one_server
async def test_a_mail_whose_key_cannot_be_decrypted_waits_for_the_right_secret(house: House) -> None:
    async with host(house) as server:
        await house.enqueue(await house.job(), [0])
        right = house.domains
        house.domains = SendingDomains(house.client, Vault(b"1" * 32))

        async with running(house.relay()):
            await until(lambda: _is_deferred(house, 0))
        assert server.connections == 0
        house.domains = right
        async with running(house.relay("r2")):
            await until(lambda: house.has_ended(1))

        first, *_, last = await house.facts()
        assert (first.reason, "another master secret" in first.reply) == ("unreadable_dkim_key", True)
        assert type(last) is events.Delivered


async def _is_deferred(house: House, ordinal: int) -> bool:
    return "Deferred" in (await house.words())[ordinal]


@on_one_server
async def test_a_bug_in_one_attempt_defers_that_message_and_the_worker_lives_on(house: House) -> None:
    async with host(house) as server:
        await house.enqueue(await house.job(), range(5))

        async with running(house.relay(connections=1, mails=GatedMails(house.mails(), faulty=[1]))):
            await until(lambda: house.has_ended(5))

        assert {fact.ordinal: fact.reason for fact in await house.facts() if isinstance(fact, events.Deferred)} == {
            1: "internal_error"
        }
        assert taken(server) == once(range(5))
        assert server.connections == 1
        assert await house.left() == {}


@on_one_server
async def test_a_bug_while_taking_is_waited_out(house: House) -> None:

    class Faulty(Admission):
        faults = 2

        async def check(self, readies: Sequence[events.Ready], *, in_hand: bool = False) -> list[str | None]:
            if self.faults:
                self.faults -= 1
                raise ZeroDivisionError("a bug of ours")
            return await super().check(readies, in_hand=in_hand)

    async with host(house) as server:
        await house.enqueue(await house.job(), range(5))

        faulty = Faulty(house.client, P, SuppressionList(house.client, P))
        async with running(house.relay(admission=faulty)):
            await until(lambda: house.has_ended(5))

        assert taken(server) == once(range(5))
        assert await house.left() == {}


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        b"",
        events.encode(events.Intake(tenant=TENANT, job="x", first_ordinal=0)),
        events.encode(events.Ready(tenant=TENANT, job="not a job", ordinal=0, email="a@a.test")),
        events.encode(
            events.Ready(tenant=TENANT, job=ids.new_job_id(CREATED_MS, b"chance", P), ordinal=-1, email="a@a.test")
        ),
    ],
)
@on_one_server
async def test_what_cannot_be_read_is_buried_and_the_others_go_on(house: House, body: bytes) -> None:
    async with host(house) as server:
        job = await house.job()
        await house.enqueue_rows(job, "a.test", [(1, "a.test", body)])
        await house.enqueue(job, range(3))

        async with running(house.relay()):
            await until(lambda: house.has_ended(3))
            await until(lambda: _is_empty(house))

        assert taken(server) == once(range(3))
        prefix = keys.ready_prefix(ids.name_partition("a.test", P), "email")
        entries: Any = await house.client.xrange(keys.dead(prefix.rstrip(":")))
        ((_, dead),) = entries
        assert (dead[b"t"], dead[b"b"], dead[b"origin"]) == (b"Ready", body, b"a.test")
        assert dead[b"reason"]


# Contents in memory


class Counting:
    """A client that counts what is loaded."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.loads = 0

    async def hmget(self, key: str, names: Any) -> Any:
        self.loads += 1
        return await self._client.hmget(key, names)


@on_one_server
async def test_promise_8_contents_are_kept_by_number_and_by_size_those_used_last(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:

    counting = Counting(house.client)
    mails = house.mails(counting)
    jobs = [await house.job() for _ in range(4)]

    async def make(*numbers: int) -> int:
        before = counting.loads
        for number in numbers:
            house.clock.ahead_s += mails_module.DOMAIN_MS / 1000
            ready = events.Ready(tenant=TENANT, job=jobs[number], ordinal=0, email="a@a.test")
            assert isinstance(await mails.make(ready), Made)
        return counting.loads - before

    monkeypatch.setattr(mails_module, "JOBS_KEPT", 3)
    assert await make(0, 1, 2, 0, 0, 3) == 4
    assert await make(0, 2, 3) == 0
    assert await make(1, 0) == 2  # 1 came last in use, and pushed 0 out

    monkeypatch.setattr(mails_module, "CONTENT_BYTES_KEPT", 1)
    assert await make(2, 2, 2, 0, 0) == 2


@on_one_server
async def test_workers_that_need_the_same_content_load_it_once(house: House) -> None:
    counting = Counting(house.client)
    mails = house.mails(counting)
    job = await house.job()

    await asyncio.gather(
        *(mails.make(events.Ready(tenant=TENANT, job=job, ordinal=n, email="a@a.test")) for n in range(10))
    )

    assert counting.loads == 1


# The share of a site


async def _lease(house: House, relay: str, limit: int, room: int, site: str = "a.test") -> list[Lease]:
    found = await house.queues.lease(ids.name_partition(site, P), relay, 60_000, limit, 1000, room)
    return found.leases


async def test_promise_5_a_site_has_an_eighth_of_the_room_of_who_asks(house: House) -> None:
    await house.enqueue(await house.job(), range(100))

    first = await _lease(house, "r1", limit=100, room=80)
    again = await _lease(house, "r1", limit=100, room=70)
    await house.queues.record(ids.name_partition("a.test", P), "r1", [Recorded(first[0].number)])
    after = await _lease(house, "r1", limit=100, room=80)

    assert (len(first), len(again), len(after)) == (10, 0, 1)


@on_one_server
async def test_a_site_without_anything_in_hand_gets_one_message_into_the_last_room(house: House) -> None:
    await house.enqueue(await house.job(), range(3))

    assert len(await _lease(house, "r1", limit=1, room=1)) == 1


# What brings relays down


async def _brought_down(house: House, relays: int) -> None:
    """So many relays die with all there is in hand, by name."""
    for number in range(relays):
        for p in range(P):
            await house.queues.lease(p, f"dead{number}", 60_000, 100, 100)
            await house.queues.died(p, f"dead{number}")


@on_one_server
async def test_what_was_taken_over_too_often_fails_and_is_not_tried_again(house: House) -> None:
    async with host(house) as server:
        await house.enqueue(await house.job(), range(3))
        await _brought_down(house, 2)
        alone = house.queues.alone()
        p = ids.name_partition("a.test", P)
        (lease,) = (await alone.lease(p, "child", 60_000, 1, 100)).leases
        await alone.died(p, "child")

        async with running(house.relay("x", in_flight=1, batch=1, queues=alone)):
            await until(lambda: house.has_ended(3))

        facts = await house.facts()
        failed = [fact for fact in facts if isinstance(fact, events.Failed)]
        assert [(fact.reason, fact.site) for fact in failed] == [("brought_relay_down", "a.test")]
        assert failed[0].ordinal == _ordinal(lease)
        assert taken(server) == once({0, 1, 2} - {_ordinal(lease)})


def _ordinal(lease: Lease) -> int:
    ready = events.decode("Ready", lease.body)
    assert isinstance(ready, events.Ready)
    return ready.ordinal


@on_one_server
async def test_what_is_tried_alone_is_left_by_ordinary_relays(house: House) -> None:
    async with host(house) as server:
        job = await house.job()
        await house.enqueue(job, range(3))
        await _brought_down(house, 2)
        await house.enqueue(job, range(3, 6))

        async with running(house.relay()):
            await until(lambda: house.has_ended(3))

        assert taken(server) == once(range(3, 6))


@on_one_server
async def test_a_loop_that_hung_for_longer_than_its_lease_has_lost_what_it_had(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_module, "TURN_S", 0.05)
    gate = Gate()
    async with host(house) as server:
        await house.enqueue(await house.job(), range(3))
        before = _taken_over()

        async with running(house.relay(lease_ms=1000, mails=GatedMails(house.mails(), gate))):
            await until(lambda: gate.waiting)
            time.sleep(1.5)  # noqa: ASYNC251 - as a rendering that does not end
            await until(lambda: _taken_over() == before + 3)
            gate.open()
            await until(lambda: house.has_ended(3))

        assert set(taken(server)) == set(once(range(3)))


def _taken_over() -> float:
    return REGISTRY.get_sample_value("estafette_relay_taken_over_messages_total") or 0


@on_one_server
async def test_a_relay_that_is_refused_by_its_server_is_not_silent_and_one_that_waits_for_ever_is(house: House) -> None:
    refused: defaultdict[int, list[float]] = defaultdict(list)

    class Away(ReadyQueues):
        is_hanging = False

        async def lease(self, partition: int, *_args: Any, **_fields: Any) -> Taken:
            if self.is_hanging:
                await asyncio.Event().wait()
            refused[partition].append(time.monotonic())
            raise redis.RedisAway("refused")

    queues = Away(house.client, "email")
    relay = house.relay(queues=queues)
    run = RunningRelay(relay)
    await until(lambda: all(len(times) > 2 for times in refused.values()) and len(refused) == P)
    # Measured from a refusal: a partition's last one, or the one before if the last is not noted yet.
    refused_s, since_s = relay.held.silent_s(), time.monotonic() - min(times[-2] for times in refused.values())
    queues.is_hanging = True
    await until(lambda: relay.held.silent_s() > refused_s + 1)
    await run.die()

    assert refused_s <= since_s
    assert relay.held.silent_s() == 0


@on_one_server
async def test_links_begin_with_the_host_of_the_domain_that_the_mail_is_from(house: House) -> None:
    own, other = await house.job(), await house.job(domain="autre.exemple.fr")
    await house.domains.links.set(TENANT, "exemple.fr", "https://liens.exemple.fr")
    mails = house.mails()

    made = [
        await mails.make(events.Ready(tenant=TENANT, job=job, ordinal=0, email="u0@a.test"))
        for job in (own, other, own)
    ]

    texts = [unfolded(one) for one in made]
    assert [text.count("https://liens.exemple.fr/") > 0 for text in texts] == [True, False, True]
    assert [text.count("https://t.exemple.fr/") > 0 for text in texts] == [False, True, False]


def unfolded(made: Made | Unmade) -> str:
    assert isinstance(made, Made)
    return made.message.decode().replace("=\r\n", "")


@on_one_server
async def test_jobs_of_the_same_content_have_mails_of_their_own(house: House) -> None:
    jobs = [await house.job() for _ in range(3)]
    messages = [events.Ready(tenant=TENANT, job=job, ordinal=0, email="u0@a.test") for job in jobs]
    tokens, mails = TokenKeys(SECRET), house.mails()
    rotated = {TENANT: Known(2, frozenset({1}))}

    texts = [unfolded(await mails.make(one)) for one in messages[:2]]
    mails._origin.tokens.generations.learn(rotated)
    texts.append(unfolded(await mails.make(messages[2])))
    tokens.generations.learn(rotated)
    opened = [re.findall(r"https://t\.exemple\.fr/o/([\w-]+)", text)[0] for text in texts]

    assert [tokens.read(one).job for one in opened[2:]] == jobs[2:]
    for one in opened[:2]:
        with pytest.raises(InvalidToken):
            tokens.read(one)
    assert [TokenKeys(SECRET).read(one).job for one in opened[:2]] == jobs[:2]
