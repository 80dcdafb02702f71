"""Recipients → tracking, bounce mail → bounces, events ⇒ suppression: who opens, clicks, bounces, complains, leaves."""

import re
from functools import partial
from typing import Any

import pytest

from tests.flows.stack import Stack, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}


async def _suppression(stack: Stack, address: str) -> str | None:
    status, answer = await stack.call("GET", f"/v1/suppressions/{address}")
    return answer["reason"] if status == 200 else None


async def _has_fact(stack: Stack, message_id: str, fact: str) -> bool:
    """Whether reports have counted it. They and the suppression list read the same facts, and neither waits."""
    return fact in await stack.facts(message_id)


async def test_opens_and_clicks_are_counted_by_recipient_and_by_position(stack: Stack) -> None:
    job_id = await stack.send("reader@clicks.test")
    mail = await stack.mail("reader@clicks.test")
    html = (await stack.source(mail)).decode().replace("=\r\n", "").replace("=3D", "=")
    pixel = re.search(r'<img src="([^"]*/o/[^"]+)"', html)
    assert pixel

    opened = await stack.call("GET", pixel[1], headers=PERSON)
    clicked = [
        await stack.call("GET", link, headers=PERSON, allow_redirects=False)
        for link in (mail["links"][0], mail["links"][0], mail["links"][1])
    ]

    async def counted() -> dict[str, Any] | None:
        report = await stack.report(job_id)
        return report if report["counts"]["clicks"]["total"] == 3 and report["counts"]["opens"]["total"] == 1 else None

    report = await stack.until(counted)
    assert opened[0] == 200
    assert [status for status, _ in clicked] == [302] * 3
    assert report["counts"]["opens"]["unique"] == 1
    assert report["counts"]["clicks"]["unique"] == 1
    assert {(at["position"], at["url"], at["total"]) for at in report["positions"]} >= {
        (0, "https://exemple.fr/a?x=1&y=2", 2),
        (1, "https://exemple.fr/b", 1),
    }


async def test_a_click_leads_to_the_signed_destination_and_a_forged_one_nowhere(stack: Stack) -> None:
    await stack.send("forger@clicks.test")
    link = (await stack.mail("forger@clicks.test"))["links"][0]

    async with stack.session.get(link, allow_redirects=False, headers=PERSON) as good:
        location = good.headers["Location"]
    forged = link[:-1] + ("A" if link[-1] != "A" else "B")
    status, _ = await stack.call("GET", forged, allow_redirects=False)

    assert location == "https://exemple.fr/a?x=1&y=2"
    assert status == 404


async def test_promise_4_one_click_unsubscribes_for_good(stack: Stack) -> None:
    job_id = await stack.send("leaver@leave.test")
    mail = await stack.mail("leaver@leave.test")

    page = await stack.call("GET", mail["one_click"])
    still_there = await _suppression(stack, "leaver@leave.test")
    left = await stack.call("POST", mail["one_click"], data={"List-Unsubscribe": "One-Click"})
    await stack.until(lambda: _suppression(stack, "leaver@leave.test"))
    second = await stack.send("leaver@leave.test", "stayer@leave.test")
    report = await stack.done(second)

    assert (page[0], still_there, left[0]) == (200, None, 200)
    assert await _suppression(stack, "leaver@leave.test") == "unsubscribed"
    assert report["counts"]["suppressed"]["total"] == 1
    assert report["counts"]["delivered"] == 1
    assert len(await stack.mails("leaver@leave.test")) == 1
    await stack.until(lambda: _has_fact(stack, f"{job_id}.0", "unsubscribed"))


async def test_promise_4_who_leaves_while_a_mail_waits_gets_none(stack: Stack) -> None:
    # A mailbox that is full each time: the mail waits, and is tried again, for as long as this takes.
    first = await stack.send("full-leaver@late.test")
    await stack.until(lambda: _has_fact(stack, f"{first}.0", "deferred"))
    status, _ = await stack.call("PUT", "/v1/suppressions/full-leaver@late.test", json={})

    report = await stack.done(first)

    assert status in (200, 201)
    assert report["counts"]["suppressed"]["at_attempt"] == 1
    assert (await stack.facts(f"{first}.0"))[-1] == "suppressed"
    assert await stack.mails("full-leaver@late.test") == []


async def test_promise_4_who_leaves_while_the_job_is_paused_gets_none(stack: Stack) -> None:
    content = {name: value for name, value in job().items() if name != "recipients"}
    job_id = (await stack.call("POST", "/v1/jobs?state=open", content))[1]["id"]
    ndjson = {"Content-Type": "application/x-ndjson"}
    line = b'{"email": "paused-leaver@late.test", "variables": {"prenom": "Ana"}}\n'
    await stack.call("POST", f"/v1/jobs/{job_id}/recipients", data=line, headers=ndjson)
    await stack.call("POST", f"/v1/jobs/{job_id}/pause")
    await stack.relay_knows_stop(f"job:{job_id}")
    await stack.call("POST", f"/v1/jobs/{job_id}/start")
    await stack.until(lambda: _has_fact(stack, f"{job_id}.0", "accepted"))
    await stack.call("PUT", "/v1/suppressions/paused-leaver@late.test", json={})

    resumed, _ = await stack.call("POST", f"/v1/jobs/{job_id}/resume")
    report = await stack.done(job_id)

    assert resumed == 200
    assert report["counts"]["suppressed"]["at_attempt"] == 1
    assert await stack.mails("paused-leaver@late.test") == []


async def test_a_bounce_that_comes_back_later_is_known_and_suppresses(stack: Stack) -> None:
    job_id = await stack.send("bounce-later-1@dsn.test")
    await stack.mail("bounce-later-1@dsn.test")

    await stack.until(lambda: _suppression(stack, "bounce-later-1@dsn.test"))
    for fact in ("delivered", "bounced"):  # in this order, but for a relay that is slow to go on after the final dot
        await stack.until(partial(_has_fact, stack, f"{job_id}.0", fact))
    report = await stack.done(job_id)

    assert sorted(await stack.facts(f"{job_id}.0")) == ["accepted", "bounced", "delivered"]
    assert report["counts"]["bounced"]["late"] == 1
    assert await _suppression(stack, "bounce-later-1@dsn.test") == "hard_bounce"


async def test_a_complaint_suppresses(stack: Stack) -> None:
    job_id = await stack.send("complain-1@arf.test")

    await stack.until(lambda: _suppression(stack, "complain-1@arf.test"))
    await stack.until(lambda: _has_fact(stack, f"{job_id}.0", "complained"))

    assert (await stack.report(job_id))["counts"]["complaints"] == 1
    assert await _suppression(stack, "complain-1@arf.test") == "complaint"


async def test_a_mail_to_the_unsubscribe_address_unsubscribes(stack: Stack) -> None:
    import aiosmtplib

    await stack.send("by-mail@leave.test")
    mail = await stack.mail("by-mail@leave.test")
    (address,) = [url.removeprefix("mailto:") for url in mail["list_unsubscribe"] if url.startswith("mailto:")]
    address = address.partition("?")[0]

    await aiosmtplib.send(
        b"From: by-mail@leave.test\r\nTo: " + address.encode() + b"\r\nSubject: unsubscribe\r\n\r\n",
        sender="by-mail@leave.test",
        recipients=[address],
        hostname="127.0.0.1",
        port=stack.bounces_port,
        validate_certs=False,  # as mail servers do that encrypt wherever they can
    )

    await stack.until(lambda: _suppression(stack, "by-mail@leave.test"))
    assert await _suppression(stack, "by-mail@leave.test") == "unsubscribed"


async def test_who_does_not_consent_gets_plain_links_and_no_pixel(stack: Stack) -> None:
    body = job("private@consent.test")
    body["recipients"][0]["tracking_consent"] = False
    status, _ = await stack.call("POST", "/v1/jobs", body)

    mail = await stack.mail("private@consent.test")

    assert status == 202
    assert mail["links"][:2] == ["https://exemple.fr/a?x=1&y=2", "https://exemple.fr/b"]
    assert "/o/" not in await stack.html(mail)


async def test_an_address_is_listed_shown_and_set_valid_again(stack: Stack) -> None:
    path = "/v1/suppressions/manual@list.test"

    await stack.call("PUT", path, json={})
    _, page = await stack.call("GET", "/v1/suppressions", params={"limit": "1000"})
    status, _ = await stack.call("DELETE", path)
    job_id = await stack.send("manual@list.test")

    assert "manual@list.test" in {row["address"] for row in page["suppressions"]}
    assert status in (200, 204)
    assert (await stack.done(job_id))["counts"]["delivered"] == 1
