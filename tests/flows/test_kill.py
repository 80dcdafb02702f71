"""Promises 1 and 2 under kill -9: each process dies under load, and every mail is accounted for.

Counted: submitted (answered 202), delivered (taken by the sink), recorded (the reports). Lost is what was submitted and
never delivered; doubled is what the sink took twice: at most what was in flight, that is between MAIL FROM and the
record of its outcome, when the process died.
"""

import asyncio
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shared.redis import keys, redis
from tests.fakes.smtp_server import Envelope, SmtpServer
from tests.flows.stack import Stack, job

JOBS = 8
RECIPIENTS = 250
CONNECTIONS = 10
#: A lease that ends while the one who has it lives is another matter: a machine may be busy for longer than the lease
#: of a `Stack`. The victim's must end soon.
LEASE_MS = 15_000
#: Of a `Stack`.
PARTITIONS = 4


class Sink(SmtpServer):
    """Takes everything, a little slowly."""

    def __init__(self) -> None:
        super().__init__({"DOT": (0.02, "250 2.0.0 taken")})

    def delivered(self) -> Counter[str]:
        return Counter(_recipient(envelope) for envelope in self.envelopes)


def _recipient(envelope: Envelope) -> str:
    return envelope.rcpts[0].partition("<")[2].partition(">")[0]


async def _submit(stack: Stack, number: int) -> str:
    """As a careful caller does: the same key until there is an answer."""
    body = job(*(f"u{n}@j{number}.test" for n in range(RECIPIENTS)))
    headers = {"Idempotency-Key": f"job {number}"}
    deadline = time.monotonic() + 300
    while True:
        try:
            status, answer = await stack.call("POST", "/v1/jobs", body, headers=headers)
            if status == 202:
                return str(answer["id"])
            assert status in (429, 503), answer
        except (aiohttp.ClientError, TimeoutError):
            pass
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    "victim", ["queueing", "relay", "relay.signing", "suppression", "reports", "breakers", "bounces", "http", "redis"]
)
async def test_promise_1_kill_9_loses_nothing_and_doubles_at_most_what_was_in_flight(
    tmp_path: Path, victim: str
) -> None:
    async with Sink() as sink:
        environ = {
            "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}",
            "ESTAFETTE_RELAY_CONNECTIONS_PER_SITE": str(CONNECTIONS),
            **({} if victim == "relay" else {"ESTAFETTE_RELAY_LEASE_MS": str(LEASE_MS)}),
        }
        async with Stack.running(tmp_path / "run", environ) as stack:
            submitting = asyncio.create_task(_submit_all(stack))
            await stack.until(lambda: _has_taken(sink, JOBS * RECIPIENTS // 8))

            await stack.until(partial(_runs, stack, victim))  # a signing process starts last
            stack.kill(victim)
            killed_at_ms, taken = time.time_ns() // 1_000_000, len(sink.envelopes)

            jobs = await submitting
            reports = [await stack.until(partial(_done, stack, job_id), 300) for job_id in jobs]
            # What had been taken and was not on record when the process died.
            in_flight = CONNECTIONS + taken - await _recorded(stack, killed_at_ms)

    delivered = sink.delivered()
    submitted = {f"u{n}@j{number}.test" for number in range(JOBS) for n in range(RECIPIENTS)}
    lost = submitted - set(delivered)
    doubled = sum(count - 1 for count in delivered.values())
    recorded = sum(report["counts"]["delivered"] for report in reports)
    accepted = sum(report["counts"]["accepted"] for report in reports)

    assert len(set(jobs)) == JOBS
    assert lost == set()
    assert set(delivered) <= submitted
    assert doubled <= (in_flight if victim in ("relay", "redis") else 0)
    assert (accepted, recorded) == (len(submitted), len(submitted))
    assert {envelope.message.count(b"DKIM-Signature: ") for envelope in sink.envelopes} == {2}


async def _recorded(stack: Stack, until_ms: int) -> int:
    """The deliveries that were on record then."""
    client: Any = redis.connect((stack.directory / "redis.url").read_text().strip())
    try:
        streams = map(keys.events, range(PARTITIONS))
        entries: list[Any] = [await client.xrange(stream, max=str(until_ms)) for stream in streams]
    finally:
        await redis.close(client)
    return sum(fields[b"t"] == b"Delivered" for stream in entries for _, fields in stream)


async def _submit_all(stack: Stack) -> list[str]:
    jobs = []
    for number in range(JOBS):
        jobs.append(await _submit(stack, number))
        await asyncio.sleep(0.1)
    return jobs


async def _done(stack: Stack, job_id: str) -> dict[str, Any] | None:
    """The report once it is final; None as long as it is not, or cannot be had."""
    try:
        status, report = await stack.call("GET", f"/v1/jobs/{job_id}")
    except (aiohttp.ClientError, TimeoutError):
        return None
    assert status in (200, 503), report
    return dict(report) if status == 200 and report["state"] == "done" else None


async def _runs(stack: Stack, name: str) -> bool:
    try:
        return stack.pid_of(name) > 0
    except LookupError:
        return False


async def _has_taken(sink: Sink, number: int) -> bool:
    return len(sink.envelopes) >= number
