"""A job is scheduled, changed and sent, or cancelled, while queueing is killed; the seed list gets a copy, and a test
says that it is one."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.flows.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEED = "check@seeds.test"


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_a_scheduled_job_is_changed_and_sent_once_though_queueing_is_killed(stack: Stack) -> None:
    admin = await stack.new_key("demo", "admin")
    cancelled = await stack.send("bo@when.test", send_at=_in(3600))
    changed = await stack.send("ana@when.test", send_at=_in(3600))
    try:
        assert (await stack.call("PUT", "/v1/seed-list", {"addresses": [SEED]}, key=admin))[0] == 200
        await stack.killed_and_back("queueing")
        status, said = await stack.call("PATCH", f"/v1/jobs/{changed}", {"subject": "Changed", "send_at": _in(2)})
        assert (status, said["state"]) == (200, "scheduled")
        assert (await stack.call("POST", f"/v1/jobs/{cancelled}/cancel"))[0] < 300
        stack.kill("queueing")

        report = await stack.done(changed)
        copy = await stack.done(report["seeds"])
    finally:
        assert (await stack.call("PUT", "/v1/seed-list", {"addresses": []}, key=admin))[0] == 200

    assert (report["counts"]["delivered"], copy["counts"]["delivered"], copy["seeds_of"]) == (1, 1, changed)
    assert [mail["subject"] for mail in await stack.mails("ana@when.test")] == ["Changed"]
    assert [mail["subject"] for mail in await stack.mails(SEED)] == ["Changed"]
    assert (await stack.done(cancelled))["counts"]["delivered"] == 0
    status, refused = await stack.call("PATCH", f"/v1/jobs/{changed}", {"subject": "Too late"})
    assert (status, refused["type"]) == (409, "urn:estafette:problem:not_changeable")


async def test_k24_a_test_says_that_it_is_one_and_lists_its_links(stack: Stack) -> None:
    job = await stack.send("eva@when.test", subject="Hello", html='<a href="https://a.example/x">x</a>', test=True)

    assert (await stack.done(job))["test"]
    source = await stack.source(await stack.mail("eva@when.test"))
    assert b"Subject: [Test] Hello" in source
    assert b"X-Estafette-Test: 1" in source
    assert b"0: a.example/x" in source
