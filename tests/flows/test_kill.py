"""Promises 1 and 2 under kill -9: each process dies under load, and every mail is accounted for.

Counted: submitted (answered 202), delivered (taken by the sink), recorded (the reports). Lost is what was submitted and
never delivered; doubled is what the sink took twice: at most what was in flight, that is between MAIL FROM and the
record of its outcome, when the process died.
"""

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from tests.flows.accounting import Sink, addresses, done, recorded, submitted
from tests.flows.stack import Stack

JOBS = 8
RECIPIENTS = 250
CONNECTIONS = 10
#: A lease that ends while the one who has it lives is another matter: a machine may be busy for longer than the lease
#: of a `Stack`. The victim's must end soon.
LEASE_MS = 15_000


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
            await stack.until(lambda: sink.has_taken(JOBS * RECIPIENTS // 8))

            await stack.until(partial(_runs, stack, victim))  # a signing process starts last
            stack.kill(victim)
            killed_at_ms, taken = time.time_ns() // 1_000_000, len(sink.envelopes)

            jobs = await submitting
            reports = [await stack.until(partial(done, stack, job_id), 300) for job_id in jobs]
            # What had been taken and was not on record when the process died.
            url = (stack.directory / "redis.url").read_text().strip()
            in_flight = CONNECTIONS + taken - await recorded(url, killed_at_ms)

    delivered = sink.delivered()
    wanted = {address for number in range(JOBS) for address in addresses(number, RECIPIENTS)}
    lost = wanted - set(delivered)
    doubled = sum(count - 1 for count in delivered.values())
    on_record = sum(report["counts"]["delivered"] for report in reports)
    accepted = sum(report["counts"]["accepted"] for report in reports)

    assert len(set(jobs)) == JOBS
    assert lost == set()
    assert set(delivered) <= wanted
    assert doubled <= (in_flight if victim in ("relay", "redis") else 0)
    assert (accepted, on_record) == (len(wanted), len(wanted))
    assert {envelope.message.count(b"DKIM-Signature: ") for envelope in sink.envelopes} == {2}


async def _submit_all(stack: Stack) -> list[str]:
    jobs = []
    for number in range(JOBS):
        jobs.append(await submitted(stack, number, RECIPIENTS))
        await asyncio.sleep(0.1)
    return jobs


async def _runs(stack: Stack, name: str) -> bool:
    try:
        return stack.pid_of(name) > 0
    except LookupError:
        return False
