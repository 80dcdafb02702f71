"""Marketing pressure through the front door (M5): the third mail of a day is excluded, and everybody is told why."""

import json
from typing import Any

import pytest

from tests.flows.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANA = "ana@pressure.test"


async def _used(stack: Stack, address: str) -> int:
    _, found = await stack.call("GET", f"/v1/pressure/{address}")
    return int(found["rules"][0]["used"]) if found["rules"] else 0


async def _limit(stack: Stack, most: int) -> None:
    """Until mails count."""
    key = await stack.new_key("demo", "admin")
    status, said = await stack.call("PUT", "/v1/pressure", {"rules": [{"most": most, "days": 1}]}, key=key)
    assert (status, said) == (200, {"rules": [{"most": most, "days": 1}]})
    tries = iter(range(1000))

    async def counts() -> bool:
        address = f"try-{next(tries)}-{most}@pressure.test"
        await stack.done(await stack.send(address))
        return await _used(stack, address) == 1

    await stack.until(counts)


async def _free(stack: Stack) -> None:
    key = await stack.new_key("demo", "admin")
    assert (await stack.call("PUT", "/v1/pressure", {"rules": []}, key=key))[0] == 200


async def _lines(stack: Stack, path: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {stack.key}"}
    async with stack.session.get(stack.base + path, headers=headers) as answer:
        return [json.loads(line) for line in (await answer.text()).splitlines()]


async def test_the_third_marketing_mail_of_a_day_is_excluded_and_the_report_says_why(stack: Stack) -> None:
    try:
        await _limit(stack, 2)
        firsts = [await stack.done(await stack.send(address)) for address in (ANA, "Ana@Pressure.test")]
        third = await stack.send(ANA, "bo@pressure.test")
        report = await stack.done(third)
        password = await stack.done(await stack.send(ANA, stream="transactional"))
    finally:
        await _free(stack)

    assert [one["counts"]["delivered"] for one in (*firsts, password)] == [1, 1, 1]
    assert (report["counts"]["delivered"], report["counts"]["rejected"]) == (1, 1)
    excluded = await _lines(stack, f"/v1/jobs/{third}/messages?state=excluded&reason=pressure")
    assert [(one["email"], one["state"], one["reason"]) for one in excluded] == [(ANA, "rejected", "pressure")]

    async def counted() -> bool:
        _, statistics = await stack.call("GET", f"/v1/jobs/{third}/statistics")
        return "pressure" in json.dumps(statistics)

    await stack.until(counted)
    (told,) = await stack.events(third, "message.rejected")
    assert told["details"]["reason"] == "pressure"
    assert len(await stack.mails(ANA)) + len(await stack.mails("Ana@pressure.test")) >= 3


async def test_what_is_cancelled_before_it_is_sent_does_not_count(stack: Stack) -> None:
    people = [f"cancelled-{n}@pressure.test" for n in range(12)]
    try:
        await _limit(stack, 1)
        slow = await stack.send(*people, rate="1/h")

        async def begun() -> bool:
            return bool((await stack.report(slow))["counts"]["delivered"])

        await stack.until(begun)
        before = [await _used(stack, address) for address in people]
        status, said = await stack.call("POST", f"/v1/jobs/{slow}/cancel", {"why": "wrong price"})
        assert status == 202, said
        report = await stack.done(slow)
        after = [await _used(stack, address) for address in people]
        again = await stack.done(await stack.send(*people))
    finally:
        await _free(stack)

    sent = report["counts"]["delivered"]
    assert report["counts"]["cancelled"]["total"] == len(people) - sent > 0
    assert (before, sum(after)) == ([1] * len(people), sent)
    assert (again["counts"]["delivered"], again["counts"]["rejected"]) == (len(people) - sent, sent)


async def test_rules_are_refused_with_all_that_is_wrong(stack: Stack) -> None:
    key = await stack.new_key("demo", "admin")
    twice = {"rules": [{"most": 2, "days": 1}, {"most": 3, "days": 1}]}

    status, problem = await stack.call("PUT", "/v1/pressure", twice, key=key)

    assert (status, [fault["at"] for fault in problem["faults"]]) == (422, ["$.rules[1].days"])
    for wrong in ({"most": 0, "days": 1}, {"most": 1, "days": 0}, {"most": 1, "days": 367}, {"most": 1}):
        assert (await stack.call("PUT", "/v1/pressure", {"rules": [wrong]}, key=key))[0] == 422
    assert (await stack.call("GET", "/v1/pressure"))[1] == {"rules": []}
    assert (await stack.call("GET", "/v1/pressure/nobody"))[1]["type"].endswith("invalid_address")
