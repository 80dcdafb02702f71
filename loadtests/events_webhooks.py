"""Webhooks: how many events a second one process of the service brings to a receiver, from the streams on.

All of it is measured together: reading, choosing, rendering with the recipient's metadata, queueing in Redis, signing,
sending over loopback, and writing down what was taken. The receiver is another process that only counts
(`loadtests.webhook_receiver`); its CPU, and that of Redis, are told beside the sender's.
"""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.request import urlopen

import uvloop

from services.webhooks import delivering, signing
from services.webhooks.abouts import JobAbouts
from services.webhooks.book import SEALED_AS, Book
from services.webhooks.delivering import Clock, Deliveries, Limits
from services.webhooks.endpoints import Endpoint, Secret
from services.webhooks.sender import Sender
from services.webhooks.settings import Webhooks as Settings
from services.webhooks.store import Store
from services.webhooks.webhooks import BATCH, Webhooks
from shared.mail.dkim_keys import NONCE_BYTES, Vault
from shared.net.dns import DnsUnavailable
from shared.process.lifecycle import settle
from shared.redis import bus, keys, redis
from shared.redis.recipients import Recipients, Waiting, pack_slim
from shared.words import events, ids
from tests.jobs import job_hash

PARTITIONS = 8
TENANT = "acme"
#: Recipients of a job, and of a chunk as queueing makes them.
RECIPIENTS, CHUNK = 50_000, 500
TOGETHER = 5_000
#: Events of one request, where several go together.
TOGETHER_SENT = 500
#: Of a run with an event a request, which takes as long as ten times as many that go together.
SINGLE_SHARE = 0.1
#: After a flood: events that come one by one, and how far from each other.
PROBES, PROBE_S = 20, 0.1
HOUR_MS = 3_600_000
VAULT = Vault(bytes(32))


def measure(url: str, number: int) -> dict[str, float]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(url, number))


class Took(NamedTuple):
    """A run: seconds of the clock, and of the CPU of sender, receiver and Redis."""

    seconds: float
    sender_s: float
    receiver_s: float
    redis_s: float


async def _measure(url: str, number: int) -> dict[str, float]:
    client: Any = redis.connect(url)
    single = max(1_000, int(number * SINGLE_SHARE))
    try:
        with _receiver() as (pid, port):
            taken, hangs = f"http://127.0.0.1:{port}/taken", f"http://127.0.0.1:{port}/hangs"
            pids = pid, int((await client.info("server"))["process_id"])
            await _fill(client, number)
            bare_per_s = await _bare(client, number)
            settle()
            lags: list[float] = []
            batched = await _run(client, number, pids, [_endpoint(taken, batch=TOGETHER_SENT)], lags)
            await client.flushall()
            await _fill(client, single)
            alone = await _run(client, single, pids, [_endpoint(taken)])
            await client.flushall()
            await _fill(client, single)
            beside = await _run(client, single, pids, [_endpoint(taken), _endpoint(hangs, "wh_hangs")])
            requests = await asyncio.to_thread(_requests, port)
            assert requests >= 2 * single + number // TOGETHER_SENT
    finally:
        await redis.close(client)
    return {
        "webhooks_batched_per_s": number / batched.seconds,
        "webhooks_batched_of_bare_loop": number / batched.seconds / bare_per_s,
        "webhooks_single_per_s": single / alone.seconds,
        "webhooks_single_of_bare_loop": single / alone.seconds / bare_per_s,
        "webhooks_bare_loop_per_s": bare_per_s,
        "webhooks_beside_dead_of_alone": alone.seconds / beside.seconds,
        "webhooks_beside_dead_cpu_of_alone": beside.sender_s / alone.sender_s,
        "webhooks_lag_after_flood_s": max(lags),
        **_cpu("batched", batched, number),
        **_cpu("single", alone, single),
    }


def _requests(port: int) -> int:
    """How many the receiver has taken."""
    with urlopen(f"http://127.0.0.1:{port}/count") as answer:
        return int(answer.read().split()[0])


def _cpu(name: str, took: Took, number: int) -> dict[str, float]:
    """µs of each process for an event."""
    return {
        f"webhooks_{name}_sender_us": took.sender_s / number * 1e6,
        f"webhooks_{name}_receiver_us": took.receiver_s / number * 1e6,
        f"webhooks_{name}_redis_us": took.redis_s / number * 1e6,
    }


def _endpoint(url: str, name: str = "wh_taken", batch: int = 1) -> Endpoint:
    secret = signing.make("hmac-sha256", secrets.token_bytes(signing.SECRET_BYTES))
    sealed = Secret(VAULT.seal(secret, name, SEALED_AS, secrets.token_bytes(NONCE_BYTES)))
    return Endpoint(name, TENANT, url, batch=batch, secrets=(sealed,), created_ms=1)


class _NoNames:
    """Endpoints here are addresses: no name is asked for."""

    async def addresses(self, host: str) -> list[str] | DnsUnavailable:
        return DnsUnavailable(host, "nobody is asked")


async def _run(
    client: redis.Client, number: int, pids: tuple[int, int], endpoints: list[Endpoint], lags: list[float] | None = None
) -> Took:
    """Until the good endpoint has all; with `lags`, then also how long single events take."""
    before = _delivered()
    async with _service(client, number, endpoints):
        began_s, cpu = time.perf_counter(), _cpus(pids)
        await _until(before + number, began_s + 600)
        took = Took(time.perf_counter() - began_s, *(now - then for now, then in zip(_cpus(pids), cpu, strict=True)))
        if lags is not None:
            lags += [await _lag(client, before + number + at + 1) for at in range(PROBES)]
    return took


@asynccontextmanager
async def _service(client: redis.Client, number: int, endpoints: list[Endpoint]) -> AsyncIterator[None]:
    """A process of the service, as its `__main__` puts it together. A queue holds the whole flood: none is dropped."""
    settings = Settings(networks="127.0.0.0/8", plain_http=True, ports="", queue_events=2 * number)
    store = Store(client, PARTITIONS, queue_events=settings.queue_events, log_ms=24 * HOUR_MS)
    book = Book(store, VAULT, settings.policy())
    sender = Sender(
        _NoNames(), settings.policy(), timeout_s=settings.timeout_ms / 1000, now_ms=_now_ms, monotonic=time.monotonic
    )
    publisher = bus.Publisher(client, PARTITIONS, lambda: secrets.token_hex(8))
    limits = Limits(settings.concurrency, settings.disable_after_hours * HOUR_MS)
    clock = Clock(_now_ms, time.monotonic, Random())
    deliveries = Deliveries("one", store, book, sender, publisher, limits, clock)
    recipients, abouts = Recipients(client, PARTITIONS), JobAbouts(client, PARTITIONS)
    webhooks = Webhooks(book, store, recipients, abouts, _now_ms, deliveries.wake)
    consumer = bus.Consumer(
        client, PARTITIONS, keys.events, keys.GROUP_WEBHOOKS, "reader", webhooks.handle, batch=BATCH,
        turn=lambda partition: store.lead(partition, "one"),
    )  # fmt: skip
    for one in endpoints:
        await store.put(one, secrets.token_hex(4))
    await book.read()
    await consumer.create_groups()
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(one) for one in (consumer.run(stopping), deliveries.run(stopping))]
    try:
        yield
    finally:
        stopping.set()
        for task in tasks:  # what hangs is not waited for
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sender.close()


async def _until(delivered: int, deadline_s: float) -> None:
    while _delivered() < delivered:
        assert time.perf_counter() < deadline_s, f"{delivered - _delivered():.0f} are missing"
        await asyncio.sleep(0.005)


async def _lag(client: redis.Client, delivered: int) -> float:
    """Seconds from when an event is on the stream until it is taken."""
    await asyncio.sleep(PROBE_S)
    job = ids.new_job_id(_now_ms(), secrets.token_bytes(6), PARTITIONS)
    began_s = time.perf_counter()
    await _put(client, [_fact(job, 0, 0)], job)
    await _until(delivered, began_s + 60)
    return time.perf_counter() - began_s


def _delivered() -> int:
    return int(delivering.DELIVERED._value.get())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _cpus(pids: tuple[int, int]) -> list[float]:
    """Seconds of this process, the receiver, and Redis."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = [time.process_time()]
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found.append((int(fields[11]) + int(fields[12])) / ticks)
    return found


@contextmanager
def _receiver() -> Iterator[tuple[int, int]]:
    """Its pid and port."""
    process = subprocess.Popen([sys.executable, "-m", "loadtests.webhook_receiver"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


async def _fill(client: Any, number: int) -> None:
    """Jobs with recipients and their metadata, and of each message that it was accepted and delivered."""
    at_ms = _now_ms()
    jobs = [ids.new_job_id(at_ms, b"%06d" % at, PARTITIONS, at % PARTITIONS) for at in range(number // RECIPIENTS + 8)]
    each = -(-number // len(jobs))
    for job in jobs:
        p = ids.job_partition(job, PARTITIONS)
        stored = job_hash(tenant=TENANT, state="queued", total=each, stream="bulk", list="newsletter", tags=("sale",))
        await client.hset(keys.job(p, job), mapping=stored)
        for first in range(0, each // 2 + 1, CHUNK):
            people = [
                Waiting(email=f"r{at}@exemple.fr", metadata={"customer": f"c{at}", "shop": "lyon"})
                for at in range(first, first + CHUNK)
            ]
            await client.zadd(keys.job_recipients(p, job), {pack_slim(first, people): first})
    left = number
    for start in range(0, each, TOGETHER):
        for job in jobs:
            some = min(TOGETHER, each - start, left)
            left -= some
            await _put(client, [_fact(job, (start + at) // 2, (start + at) % 2) for at in range(some)], job)


def _fact(job: str, ordinal: int, kind: int) -> events.Fact:
    about = events.about_message(TENANT, job, ordinal, _now_ms(), kind)
    if not kind:
        return events.Accepted(**about, site="exemple.fr")
    return events.Delivered(
        **about,
        site="exemple.fr",
        host="mx1.exemple.fr",
        reply="250 2.0.0 Ok: queued as 4bX1",
        tls="TLSv1.3",
        size_bytes=18_230,
        duration_ms=412,
    )


async def _put(client: redis.Client, facts: list[events.Fact], job: str) -> None:
    stream = keys.events(ids.job_partition(job, PARTITIONS))
    for start in range(0, len(facts), 1_000):
        pipeline = client.pipeline(transaction=False)
        for fact in facts[start : start + 1_000]:
            pipeline.execute_command("XADD", stream, "*", "t", type(fact).__name__, "v", 1, "b", events.encode(fact))
        await redis.answer(pipeline.execute())


async def _bare(client: redis.Client, number: int) -> float:
    """Entries a second of a loop that reads the streams and does nothing."""
    began_s = time.perf_counter()
    for p in range(PARTITIONS):
        after = "-"
        while found := await client.xrange(keys.events(p), after, "+", count=1_000):
            after = f"({found[-1][0].decode()}"
    return number / (time.perf_counter() - began_s)
