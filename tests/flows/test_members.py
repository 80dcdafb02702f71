"""Lists through the front door: who left one is left out of its jobs, and of no other's."""

from typing import Any

import pytest

from tests.flows.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _counts(stack: Stack, name: str) -> dict[str, Any]:
    _, page = await stack.call("GET", "/v1/lists")
    return next((one for one in page["lists"] if one["name"] == name), {"members": 0, "left": 0})


async def _outcome(stack: Stack, address: str, **fields: Any) -> str:
    job_id = await stack.send(address, **fields)
    await stack.done(job_id)
    return (await stack.facts(f"{job_id}.0"))[-1]


async def test_a_job_of_a_list_leaves_out_who_left_it_and_not_who_left_another(stack: Stack) -> None:
    people = {"addresses": ["ana@lists-a.test", "bo@lists-a.test"]}
    for name in ("a", "b"):
        assert (await stack.call("POST", f"/v1/lists/{name}/members", people))[1]["joined"] == 2
    left = [
        await stack.call("DELETE", f"/v1/lists/{name}/members/{who}@lists-a.test")
        for name, who in (("a", "ana"), ("b", "bo"))
    ]

    job_id = await stack.send("ana@lists-a.test", "bo@lists-a.test", list="a")
    report = await stack.done(job_id)
    facts = [(await stack.facts(f"{job_id}.{at}"))[-1] for at in (0, 1)]

    assert [status for status, _ in left] == [204, 204]
    assert facts == ["suppressed", "delivered"]
    assert report["counts"]["suppressed"]["total"] == 1
    assert await _outcome(stack, "ana@lists-a.test", stream="transactional") == "delivered"
    assert (await _counts(stack, "a"))["members"] == 1


async def test_who_leaves_by_the_link_of_a_list_is_off_it_and_joins_again(stack: Stack) -> None:
    path = "/v1/lists/weekly/members/leaver@weekly.test"
    assert (await stack.call("PUT", path))[0] == 201
    await stack.send("leaver@weekly.test", list="weekly")
    mail = await stack.mail("leaver@weekly.test")

    await stack.call("POST", mail["one_click"], data={"List-Unsubscribe": "One-Click"})

    async def left() -> bool:
        return bool((await stack.call("GET", path))[1].get("state") == "left")

    await stack.until(left)
    counts = await _counts(stack, "weekly")
    without = [await _outcome(stack, "leaver@weekly.test", list=name) for name in ("weekly", "daily")]
    status, joined = await stack.call("PUT", path)
    again = await _outcome(stack, "leaver@weekly.test", list="weekly")

    assert (counts["members"], counts["left"]) == (0, 1)
    assert without == ["suppressed", "delivered"]
    assert (status, joined["state"], joined["stopped"]) == (201, "joined", None)
    assert again == "delivered"


async def test_one_tenants_lists_are_nobody_elses(stack: Stack) -> None:
    others = await stack.new_key("others", "read,suppress")
    path = "/v1/lists/own/members/ana@own.test"
    await stack.call("DELETE", path, key=others)

    shown = await stack.call("GET", path)
    outcome = await _outcome(stack, "ana@own.test", list="own")

    assert shown[0] == 404
    assert outcome == "delivered"


async def test_lists_are_seen_and_changed_at_the_console(stack: Stack) -> None:
    joined = await stack.console_ended("lists", "join", "demo", "typed", "Ana@typed.test", "bo@typed.test")
    await stack.console("lists", "leave", "demo", "typed", "bo@typed.test")

    listed = await stack.console("lists", "list", "demo", "--json")
    shown = await stack.console_ended("lists", "show", "demo", "bo@typed.test")

    assert joined[0] == 0
    assert '"name": "typed",\n    "members": 1,\n    "left": 1' in listed
    assert shown[0] == 0
    assert "unsubscribed" in shown[1]
