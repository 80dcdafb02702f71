"""Nobody gets an operation twice, through the front door (D7): over jobs, by address or key, after a cancellation."""

import asyncio
import json
from typing import Any

import pytest

from tests.flows.stack import Stack
from tests.flows.stack import job as body_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _lines(stack: Stack, path: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {stack.key}"}
    async with stack.session.get(stack.base + path, headers=headers) as answer:
        return [json.loads(line) for line in (await answer.text()).splitlines()]


async def test_two_jobs_of_an_operation_at_once_reach_everybody_once_and_say_whom_they_left_out(stack: Stack) -> None:
    people = [f"p{number}@once.test" for number in range(30)]

    jobs = await asyncio.gather(*(stack.send(*some, once="autumn") for some in (people[:20], people[10:])))
    reports = [await stack.done(one) for one in jobs]
    of_a_set = {**body_of(once="autumn"), "recipients_from": {"job": jobs[0], "state": "selected"}}
    of_a_set.pop("recipients")
    status, again = await stack.call("POST", "/v1/jobs", of_a_set)
    assert status == 202, again
    repeated = await stack.done(again["id"])

    assert [one["once"] for one in reports] == ["autumn", "autumn"]
    counts = [one["counts"] for one in (*reports, repeated)]
    assert [one["delivered"] + one["rejected"] for one in counts] == [20, 20, 20]
    assert [sum(one[word] for one in counts[:2]) for word in ("delivered", "rejected")] == [30, 10]
    assert counts[2]["rejected"] == 20
    reason = "messages?state=excluded&reason=already_sent"
    excluded = [line["email"] for one in jobs for line in await _lines(stack, f"/v1/jobs/{one}/{reason}")]
    assert sorted(excluded) == people[10:20]


async def test_an_upload_is_known_by_its_keys_and_what_is_cancelled_is_sent_by_the_next_job(stack: Stack) -> None:
    opened = body_of(once="orders", rate="1/h")
    opened.pop("recipients")
    _, answer = await stack.call("POST", "/v1/jobs?state=open", opened)
    rows = "email;recipient_key\n" + "".join(f"ana@once.test;order-{number}\n" for number in (*range(12), 3))
    headers = {"Authorization": f"Bearer {stack.key}", "Content-Type": "text/csv"}
    url = f"{stack.base}/v1/jobs/{answer['id']}/recipients"
    async with stack.session.post(url, data=rows.encode(), headers=headers) as appended:
        said = await appended.json()
    await stack.call("POST", f"/v1/jobs/{answer['id']}/start")

    async def begun() -> bool:
        return bool((await stack.report(answer["id"]))["counts"]["delivered"])

    await stack.until(begun)
    await stack.call("POST", f"/v1/jobs/{answer['id']}/cancel", {"why": "wrong price"})
    first = await stack.done(answer["id"])
    people = [{"email": "bo@once.test", "key": f"order-{number}"} for number in range(12)]
    second = await stack.done(await stack.send(once="orders", recipients=people))

    assert (said["appended"], said["duplicates"]) == (12, 1)
    sent = first["counts"]["delivered"]
    assert first["counts"]["cancelled"]["total"] == 12 - sent > 0
    assert (second["counts"]["delivered"], second["counts"]["rejected"]) == (12 - sent, sent)
