"""Statistics through the front door: a job is sent, read and clicked, and its numbers are there by hour and by list."""

from typing import Any

import pytest

from tests.flows.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_happens_to_a_job_is_in_the_statistics_of_its_tenant(stack: Stack) -> None:
    job = await stack.send("reader@statistics.test", list="statistics", tags=["monday"])
    await stack.done(job)
    await stack.mail("reader@statistics.test")

    async def is_counted() -> bool:
        status, answer = await stack.call("GET", "/v1/statistics?by=list&list=statistics")
        assert status == 200, answer
        return [row["counts"]["delivered"] for row in answer["rows"]] == [1]

    await stack.until(is_counted)

    shown: Any = (await stack.call("GET", f"/v1/jobs/{job}/statistics"))[1]
    assert [(hour["counts"]["accepted"], hour["counts"]["delivered"]) for hour in shown["hours"]] == [(1, 1)]
    assert [step["messages"] for step in shown["funnel"]] == [1, 1, 1, 0, 0]
    tagged = (await stack.call("GET", "/v1/statistics?by=tag&interval=hour&list=statistics"))[1]
    assert [(row["key"], row["rates"]["delivered"]) for row in tagged["rows"]] == [("monday", 1.0)]
