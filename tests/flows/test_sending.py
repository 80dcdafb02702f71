"""Other systems → queueing ⇒ relay → providers, events ⇒ reports: a job goes in, mail comes out, and it is known."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import orjson
import pytest

from services.queueing.trial import MAX_TRIED
from tests.flows.stack import Stack, job
from tests.hostile_templates import BEHIND_A_CONDITION, DEEP, FOR_ONE

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_job_goes_in_and_a_personal_signed_mail_comes_out(stack: Stack) -> None:
    job_id = await stack.send("ana@sending.test", list="newsletter", headers={"X-Campaign": "42"})

    mail = await stack.mail("ana@sending.test")
    report = await stack.done(job_id)
    parsed = message_from_bytes(await stack.source(mail), policy=policy.default)

    assert mail["subject"] == "Bonjour ana"
    assert re.fullmatch(rf"<{job_id}\.0\.[0-9a-v]{{13}}@exemple\.fr>", mail["message_id"])
    assert mail["return_path"].startswith("b-")
    assert parsed["X-Campaign"] == "42"
    assert parsed["DKIM-Signature"]
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    html = parsed.get_body(("html",))
    assert html is not None
    assert "Bonjour ana" in html.get_content()
    assert report["counts"]["accepted"] == report["counts"]["delivered"] == 1
    assert await stack.facts(f"{job_id}.0") == ["accepted", "delivered"]


async def test_the_answer_names_each_message_and_each_rejected_recipient(stack: Stack) -> None:
    body = job("a@answer.test", "zut", "A@answer.test", "b@answer.test")

    status, answer = await stack.call("POST", "/v1/jobs", body)
    report = await stack.done(answer["id"])

    assert status == 202
    assert answer["accepted"] == 2
    assert answer["messages"] == [
        {"id": f"{answer['id']}.0", "email": "a@answer.test"},
        {"id": f"{answer['id']}.3", "email": "b@answer.test"},
    ]
    assert answer["rejected"] == [
        {"index": 1, "email": "zut", "reason": "invalid_address"},
        {"index": 2, "email": "A@answer.test", "reason": "duplicate_address"},
    ]
    assert (report["counts"]["rejected"], report["counts"]["delivered"]) == (2, 2)
    assert await stack.facts(f"{answer['id']}.1") == ["rejected"]


async def test_several_see_each_other_and_who_may_not_be_mailed_holds_up_nobody(stack: Stack) -> None:
    await stack.call("PUT", "/v1/suppressions/gone@seen.test", {"reason": "manual"})
    body = {
        **job(stream="transactional"),
        "to": [{"email": "ana@seen.test", "name": "Ana"}, {"email": "gone@seen.test", "name": "Zoé"}],
        "cc": [{"email": "bo@seen.test"}],
        "bcc": [{"email": "chef@seen.test"}],
    }
    del body["recipients"]

    status, answer = await stack.call("POST", "/v1/jobs", body)
    report = await stack.done(answer["id"])
    mails = [await stack.mail(to) for to in ("ana@seen.test", "bo@seen.test", "chef@seen.test")]
    parsed = [message_from_bytes(await stack.source(mail), policy=policy.default) for mail in mails]

    assert (status, report["counts"]["delivered"], report["counts"]["suppressed"]["total"]) == (202, 3, 1)
    assert {str(one["To"]) for one in parsed} == {"Ana <ana@seen.test>, Zoé <gone@seen.test>"}
    assert {(str(one["Cc"]), one["Bcc"]) for one in parsed} == {("bo@seen.test", None)}
    assert {mail["message_id"] for mail in mails} == {f"<{answer['id']}@exemple.fr>"}
    assert len({str(one["Date"]) for one in parsed}) == 1
    assert len({mail["return_path"] for mail in mails}) == 3
    assert await stack.facts(f"{answer['id']}.1") == ["suppressed"]


async def test_the_same_request_twice_is_one_job(stack: Stack) -> None:
    body = job("once@idempotent.test")
    headers = {"Idempotency-Key": "order 17"}

    answers = await asyncio.gather(*(stack.call("POST", "/v1/jobs", body, headers=headers) for _ in range(5)))
    other = await stack.call("POST", "/v1/jobs", job("other@idempotent.test"), headers=headers)
    await stack.done(answers[0][1]["id"])

    assert {status for status, _ in answers} == {202}
    assert len({answer["id"] for _, answer in answers}) == 1
    assert (other[0], other[1]["type"]) == (409, "urn:estafette:problem:idempotency_key_reused")
    assert len(await stack.mails("once@idempotent.test")) == 1
    assert await stack.mails("other@idempotent.test") == []


async def test_a_job_is_opened_appended_to_and_started(stack: Stack) -> None:
    content = {name: value for name, value in job().items() if name != "recipients"}
    _, opened = await stack.call("POST", "/v1/jobs?state=open", content)
    lines = b"\n".join(orjson.dumps({"email": f"u{n}@open.test", "variables": {"prenom": n}}) for n in range(1200))
    path = f"/v1/jobs/{opened['id']}/recipients"
    ndjson, csv = {"Content-Type": "application/x-ndjson"}, {"Content-Type": "text/csv"}

    _, first = await stack.call("POST", path, data=lines, headers=ndjson)
    _, again = await stack.call("POST", path, data=lines + b"\n{oops\n", headers=ndjson)
    _, more = await stack.call("POST", path, data=b"email;prenom\nlast@open.test;Zoe\nzut;x\n", headers=csv)
    early = await stack.mails("u1@open.test")
    started = await stack.call("POST", f"/v1/jobs/{opened['id']}/start")
    report = await stack.done(opened["id"])

    assert (first["appended"], first["duplicates"]) == (1200, 0)
    assert (again["appended"], again["duplicates"], again["faults_total"]) == (0, 1200, 1)
    assert (more["appended"], more["rejected_total"]) == (2, 1)
    assert early == []
    assert started == (202, {"id": opened["id"], "state": "queueing"})
    assert (report["counts"]["delivered"], report["counts"]["rejected"]) == (1201, 1)
    assert (await stack.call("POST", path, data=lines, headers=ndjson))[0] == 409
    assert (await stack.mail("last@open.test"))["subject"] == "Bonjour Zoe"


async def test_a_scheduled_job_is_sent_when_its_time_has_come(stack: Stack) -> None:
    at = datetime.now(UTC) + timedelta(seconds=3)
    much_later = at + timedelta(hours=1)

    await stack.send("later@schedule.test", send_at=at.isoformat())
    waiting = await stack.send("much-later@schedule.test", send_at=much_later.isoformat())
    mail = await stack.mail("later@schedule.test")

    assert (await stack.report(waiting))["state"] == "scheduled"
    assert await stack.mails("much-later@schedule.test") == []
    assert datetime.fromisoformat(mail["received_at"]) >= at - timedelta(milliseconds=50)


async def test_a_temporary_refusal_is_tried_again_and_both_are_known(stack: Stack) -> None:
    job_id = await stack.send("greylist-me@retry.test")

    report = await stack.done(job_id)
    timeline = (await stack.message(f"{job_id}.0"))["timeline"]

    assert [fact["type"] for fact in timeline] == ["message.accepted", "message.deferred", "message.delivered"]
    assert timeline[1]["details"]["reply"].startswith("451 4.7.1")
    assert timeline[2]["details"]["attempt"] == 2
    assert report["counts"]["deferred"] == {"current": 0, "unique": 1, "total": 1}


async def test_a_mail_that_is_never_taken_expires_with_the_last_reply(stack: Stack) -> None:
    at = datetime.now(UTC) + timedelta(seconds=8)  # enough for a first attempt on a machine that has much to do

    job_id = await stack.send("full-box@expiry.test", expires_at=at.isoformat())
    report = await stack.done(job_id)
    timeline = (await stack.message(f"{job_id}.0"))["timeline"]

    assert report["counts"]["expired"] == 1
    assert timeline[-1]["type"] == "message.expired"
    assert timeline[-1]["details"]["reply"].startswith("452 4.2.2")


async def test_a_refusal_for_good_bounces_and_one_about_us_does_not_suppress(stack: Stack) -> None:
    job_id = await stack.send("unknown-1@bounce.test", "blocked-1@bounce.test", "fine@bounce.test")

    report = await stack.done(job_id)
    await stack.until(lambda: _is_suppressed(stack, "unknown-1@bounce.test"))

    assert report["counts"]["bounced"] == {"total": 2, "hard": 1, "soft": 0, "block": 1, "late": 0}
    assert not await _is_suppressed(stack, "blocked-1@bounce.test")
    assert not await _is_suppressed(stack, "fine@bounce.test")


async def _is_suppressed(stack: Stack, address: str) -> bool:
    status, _ = await stack.call("GET", f"/v1/suppressions/{address}")
    return status == 200


async def test_all_that_happens_is_in_the_event_feed(stack: Stack) -> None:
    job_id = await stack.send("feed@events.test", "unknown-2@events.test")

    found = await stack.told(job_id)

    assert sorted((event["type"], event["message"]) for event in found if event["message"]) == [
        ("message.accepted", f"{job_id}.0"),
        ("message.accepted", f"{job_id}.1"),
        ("message.bounced", f"{job_id}.1"),
        ("message.delivered", f"{job_id}.0"),
    ]
    assert [event["type"] for event in found if not event["message"]] == ["job.finished"]


async def test_a_job_with_logic_is_rendered_for_each_recipient(stack: Stack) -> None:
    html = (
        "<p>{% if name %}Bonjour {{ name }}{% else %}Bonjour {{ email }}{% endif %}</p>"
        '<a href="https://exemple.fr/{{ email|upper }}">x</a><a href="{{ unsubscribe_url }}">u</a>'
    )
    job_id = await stack.send("a@logic.test", "b@logic.test", subject="{{ email|upper }}", html=html)

    mail = await stack.mail("b@logic.test")
    report = await stack.done(job_id)
    part = message_from_bytes(await stack.source(mail), policy=policy.default).get_body(("html",))
    assert part is not None
    body = part.get_content()

    assert mail["subject"] == "B@LOGIC.TEST"
    assert "Bonjour b@logic.test" in body
    assert "/c/" in body
    assert "/u/" in body
    assert report["counts"]["delivered"] == 2


async def test_a_hostile_job_fails_alone_while_others_are_delivered(stack: Stack) -> None:
    status, refused = await stack.call("POST", "/v1/jobs", job("a@deep.test", html=DEEP["minus"]))
    recipients = [f"{who}{n}@hostile.test" for who in ("u", FOR_ONE) for n in range(MAX_TRIED)]
    hostile = await stack.send(*recipients, html=BEHIND_A_CONDITION["join"])
    honest = await stack.send("a@honest.test", html="{% if email %}{{ email }}{% endif %}")

    report, ended = await stack.done(honest), await stack.done(hostile)

    assert status == 422
    assert refused["faults"][0]["at"] == "$.html"
    assert report["counts"]["delivered"] == 1
    assert ended["counts"]["delivered"] == MAX_TRIED
    assert ended["counts"]["failed"] == MAX_TRIED
