"""A job whose first mails cannot be made is stopped, in a real Redis and a real cluster."""

import pytest

from services.breakers.renderings import Renderings
from shared.redis import keys
from shared.words import events, ids
from tests.redis.test_breakers import JOB, MAIL, OTHER, TRIAL, Bench, Caller, P, bench, callers

__all__ = ["bench", "callers"]


async def failed(bench: Bench, ordinals: range, job: str = JOB, reason: str = "render_failed") -> None:
    await bench.judge(*bench.facts(events.Failed, ordinals, job, reason=reason))


@pytest.mark.parametrize("job", [JOB, MAIL, TRIAL])
@pytest.mark.parametrize("reason", ["render_failed", "empty_subject", "empty_body"])
async def test_a_job_whose_first_mails_cannot_be_made_is_stopped_whatever_its_stream(
    bench: Bench, job: str, reason: str
) -> None:
    await failed(bench, range(9), job, reason)
    assert await bench.stopped() == []

    await failed(bench, range(9, 10), job, reason)

    assert await bench.stopped() == [f"job:{job}"]
    (fact,) = await bench.told()
    assert isinstance(fact, events.Stopped)
    assert (fact.tenant, fact.job, fact.reason, fact.by, fact.bad, fact.of) == (
        "acme", job, "render_failed", "engine", 10, 10
    )  # fmt: skip


async def test_a_fact_that_is_repeated_counts_once(bench: Bench) -> None:
    for _ in range(3):
        await failed(bench, range(9))

    assert await bench.figures.renderings(JOB) == Renderings(9, 9)
    assert await bench.stopped() == []


async def test_mails_that_came_as_far_as_a_host_were_made(bench: Bench) -> None:
    await bench.judge(*bench.facts(events.Deferred, range(6), host="mx.test", reason="greylisted"))
    await bench.judge(*bench.facts(events.Bounced, range(6, 10), host="mx.test", kind="hard"))
    await bench.judge(*bench.facts(events.Deferred, range(10, 30), reason="unknown_sending_domain"))
    await failed(bench, range(30, 40))

    assert await bench.figures.renderings(JOB) == Renderings(10, 20)
    assert await bench.stopped() == []  # half of them are not more than half

    await failed(bench, range(40, 41))

    assert await bench.stopped() == [f"job:{JOB}"]


async def test_what_fails_later_is_those_recipients_alone(bench: Bench) -> None:
    await bench.delivered(range(100))
    await failed(bench, range(100, 400))

    assert await bench.figures.renderings(JOB) == Renderings(0, 100)
    assert await bench.stopped() == []


async def test_what_is_no_fault_of_the_content_stops_nothing(bench: Bench) -> None:
    await failed(bench, range(50), reason="brought_relay_down")

    assert await bench.stopped() == []


async def test_a_failure_is_no_part_of_the_bounce_rate(bench: Bench) -> None:
    await failed(bench, range(30), OTHER)

    assert (await bench.figures.job(OTHER)).of == 0
    assert (await bench.stops.all())[f"job:{OTHER}"].reason == "render_failed"


async def test_a_job_that_has_ended_is_not_stopped(bench: Bench) -> None:
    await bench.job(OTHER, total=12)
    for ordinal in range(12):
        await bench.client.setbit(keys.job_ended(ids.job_partition(OTHER, P), OTHER), ordinal, 1)

    await failed(bench, range(12), OTHER)

    assert await bench.stopped() == []


async def test_its_tenant_resumes_it_alone_and_it_is_counted_anew(bench: Bench, callers: dict[str, Caller]) -> None:
    await failed(bench, range(10))
    status, shown = await callers["acme"]("GET", "/v1/stops")
    assert status == 200
    assert [(one["reason"], one["needs_consent"]) for one in shown["stops"]] == [("render_failed", False)]

    assert (await callers["acme"]("POST", f"/v1/jobs/{JOB}/resume"))[0] == 200
    assert await bench.stopped() == []
    assert await bench.figures.renderings(JOB) == Renderings(0, 0)

    await failed(bench, range(10, 19))
    assert await bench.stopped() == []
    await failed(bench, range(19, 20))
    assert await bench.stopped() == [f"job:{JOB}"]
