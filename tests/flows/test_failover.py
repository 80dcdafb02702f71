"""A master of Redis is killed under load: what is promised for each set-up holds, and all goes on by itself.

The set-ups are a cluster of three masters with a replica each, and a master with two replicas that three Sentinels
watch; each without and with `redis.wait_replicas`. With it nothing that was answered is lost. Without it a fail-over
may forget what the master had not yet told its replicas: here at most what was under way within a second before.

`FAILOVERS=3` in the environment kills three masters in each test, one after the other, instead of one.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shared.redis import keys
from tests.failover import FailingCluster, FailingMaster, until
from tests.flows.accounting import Sink, addresses, done, recorded, submitted
from tests.flows.stack import Stack

KILLS = int(os.environ.get("FAILOVERS", "1"))
RECIPIENTS = 100
#: In each load: a master is killed when a quarter of it has been delivered.
JOBS = 8
CONNECTIONS = 10
#: Longer than a fail-over takes here: a relay that lives keeps what it has in hand.
LEASE_MS = 30_000
#: What a replica may not have yet, at most.
BEHIND_S = 1.0


class Watched:
    """What `/readyz` said, and how many mails had been taken, several times a second."""

    def __init__(self, stack: Stack, sink: Sink) -> None:
        self._stack = stack
        self._sink = sink
        self.said: list[tuple[float, int, str]] = []
        self.taken: list[tuple[float, int]] = []

    async def run(self) -> None:
        while True:
            self.taken.append((time.monotonic(), len(self._sink.envelopes)))
            try:
                async with self._stack.session.get(f"{self._stack.base}/readyz") as answer:
                    self.said.append((time.monotonic(), answer.status, await answer.text()))
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.05)

    def refusals(self, since: float) -> list[str]:
        return [text for at, status, text in self.said if at >= since and status == 503]

    def taken_within(self, seconds: float, until: float) -> int:
        """Mails that the sink took in the time before."""
        before = [count for at, count in self.taken if at < until - seconds]
        return max(count for at, count in self.taken if at <= until) - max(before, default=0)


@asynccontextmanager
async def watching(stack: Stack, sink: Sink) -> AsyncIterator[Watched]:
    watched = Watched(stack, sink)
    task = asyncio.create_task(watched.run())
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("replicas", [0, "all"])
@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
async def test_promise_1_a_master_that_is_killed_loses_what_is_told_for_its_set_up_and_no_more(
    tmp_path: Path, kind: str, replicas: int | str
) -> None:
    redis: Any = FailingCluster(tmp_path / "redis") if kind == "cluster" else FailingMaster(tmp_path / "redis")
    waits = {"cluster": 1, "sentinel": 2}[kind] if replicas else 0
    in_flight, at_risk, jobs = 0, 0, list[str]()
    async with Sink() as sink:
        with redis:
            environ = {
                "ESTAFETTE_REDIS_URL": redis.url,
                "ESTAFETTE_REDIS_WAIT_REPLICAS": str(waits),
                "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}",
                "ESTAFETTE_RELAY_CONNECTIONS_PER_SITE": str(CONNECTIONS),
                "ESTAFETTE_RELAY_LEASE_MS": str(LEASE_MS),
            }
            async with Stack.running(tmp_path / "run", environ) as stack, watching(stack, sink) as watched:
                for kill in range(KILLS):
                    answered: list[float] = []
                    submitting = asyncio.create_task(load(stack, kill * JOBS, answered))
                    await stack.until(partial(sink.has_taken, len(sink.envelopes) + JOBS * RECIPIENTS // 4))

                    killed_at, killed_at_ms = time.monotonic(), time.time_ns() // 1_000_000
                    taken = len(sink.envelopes)
                    killed = redis.kill_master(key := keys.probe(kill % 4))
                    await stack.until(partial(not_ready, watched, killed_at))
                    await asyncio.to_thread(until, partial(redis.has_master, key))
                    if not waits:  # else those that are left are too few
                        await stack.until(stack.is_ready)
                    await asyncio.to_thread(redis.start_again, killed)
                    await stack.until(stack.is_ready)

                    jobs += await submitting
                    await asyncio.to_thread(until, redis.is_whole)
                    in_flight += CONNECTIONS + max(0, taken - await recorded(redis.url, killed_at_ms))
                    at_risk += watched.taken_within(BEHIND_S, killed_at)
                    at_risk += RECIPIENTS * sum(killed_at - BEHIND_S <= at for at in answered if at <= killed_at)
                reports = [await ended(stack, job_id, sink, bool(waits)) for job_id in jobs]

    wanted = {address for number in range(len(jobs)) for address in addresses(number, RECIPIENTS)}
    delivered = sink.delivered()
    lost = wanted - set(delivered)
    doubled = sum(count - 1 for count in delivered.values())
    on_record = sum(report["counts"].get("delivered", 0) for report in reports)
    print(f"failover: {kind}, {waits} waited for, {KILLS} killed: lost {len(lost)}, doubled {doubled} of {len(wanted)},"
          f" in flight {in_flight}, not on record {len(wanted) - on_record}")  # fmt: skip

    assert set(delivered) <= wanted
    if waits:
        assert lost == set()
        assert on_record == len(wanted)
        assert doubled <= in_flight
    else:
        assert len(lost) + len(wanted) - on_record <= at_risk
        assert doubled <= in_flight + at_risk


async def load(stack: Stack, first: int, answered: list[float]) -> list[str]:
    jobs = []
    for number in range(first, first + JOBS):
        jobs.append(await submitted(stack, number, RECIPIENTS))
        answered.append(time.monotonic())
    return jobs


async def not_ready(watched: Watched, since: float) -> bool:
    """It says that Redis is why."""
    return any("redis" in text for text in watched.refusals(since))


async def ended(stack: Stack, job_id: str, sink: Sink, for_certain: bool) -> dict[str, Any]:
    """The report once it is final; where some of it may be lost, once nothing of it has moved for a while."""
    if for_certain:
        return await stack.until(partial(done, stack, job_id), 300)
    before: tuple[int, Any] = (-1, None)
    still = 0
    while (report := await done(stack, job_id)) is None and still < 20:
        now = (len(sink.envelopes), (await stack.report(job_id))["counts"])
        still = still + 1 if now == before else 0
        before = now
        await asyncio.sleep(0.5)
    return report or await stack.report(job_id)
