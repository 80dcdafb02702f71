"""Rules of who must not be mailed, through the front door: at queueing, and for what was queued before."""

import pytest

from tests.flows.stack import Stack, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUED = 1_000


async def test_a_rule_is_asked_when_a_job_is_queued(stack: Stack) -> None:
    for pattern in ("contact@*", "*@competitor.test", "*@*.competitor.test"):
        assert (await stack.call("PUT", f"/v1/suppression-rules/{pattern}"))[0] in (200, 201)

    job_id = await stack.send("Contact@rules.test", "a@competitor.test", "b@mail.Competitor.test", "ana@rules.test")
    report = await stack.done(job_id)
    timeline = (await stack.message(f"{job_id}.0"))["timeline"]

    assert report["counts"]["suppressed"]["total"] == 3
    assert report["counts"]["delivered"] == 1
    assert [(one["type"], one["details"]["reason"]) for one in timeline] == [("message.suppressed", "rule")]


async def test_a_rule_that_is_made_while_a_thousand_are_queued_holds_at_the_relay(stack: Stack) -> None:
    content = {name: value for name, value in job().items() if name != "recipients"}
    job_id = (await stack.call("POST", "/v1/jobs?state=open", content))[1]["id"]
    rows = "email\n" + "".join(f"r{at}@held.test\n" for at in range(QUEUED)) + "ana@free.test\n"
    await stack.call("POST", f"/v1/jobs/{job_id}/recipients", data=rows.encode(), headers={"Content-Type": "text/csv"})
    await stack.call("POST", f"/v1/jobs/{job_id}/pause")
    await stack.relay_knows_stop(f"job:{job_id}")
    await stack.call("POST", f"/v1/jobs/{job_id}/start")

    async def queued() -> bool:
        return bool((await stack.report(job_id))["counts"]["accepted"] == QUEUED + 1)

    await stack.until(queued)
    put, _ = await stack.call("PUT", "/v1/suppression-rules/*@held.test")
    resumed, _ = await stack.call("POST", f"/v1/jobs/{job_id}/resume")
    report = await stack.done(job_id)

    assert (put, resumed) == (201, 200)
    assert report["counts"]["suppressed"]["at_attempt"] == QUEUED
    assert report["counts"]["delivered"] == 1
    assert await stack.mails("r0@held.test") == []


async def test_what_an_operator_rules_out_no_tenant_mails_and_none_changes(stack: Stack) -> None:
    operators = await stack.new_key("house", "operator")
    path = "/v1/installation/suppression-rules/*@court.test"
    put = await stack.call("PUT", path, {"note": "court order"}, key=operators)

    job_id = await stack.send("ana@court.test", "ana@open.test")
    report = await stack.done(job_id)
    of_tenant = await stack.call("DELETE", "/v1/suppression-rules/*@court.test")
    as_operator = await stack.call("DELETE", path)
    timeline = (await stack.message(f"{job_id}.0"))["timeline"]

    assert put[0] == 201
    assert report["counts"]["suppressed"]["total"] == 1
    assert [one["details"]["reason"] for one in timeline] == ["compliance"]
    assert (of_tenant[0], as_operator[0]) == (404, 403)
    assert (await stack.call("DELETE", path, key=operators))[0] == 204


async def test_rules_are_typed_at_the_console(stack: Stack) -> None:
    put = await stack.console("rules", "put", "*@typed.test", "--tenant", "demo", "--note", "by telephone")
    job_id = await stack.send("ana@typed.test")
    report = await stack.done(job_id)

    assert put == "added: *@typed.test\n"
    assert report["counts"]["suppressed"]["total"] == 1
    assert "by telephone" in await stack.console("rules", "test", "ana@typed.test", "--tenant", "demo")
