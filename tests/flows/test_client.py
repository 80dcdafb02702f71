"""The client of this repository against an instance: a campaign from its upload to who did not open it."""

from email.utils import formatdate
from pathlib import Path

import pytest

from services.client.answers import Report
from services.client.client import Client, Invalid
from tests.flows.stack import HTML, Stack

CONTENT = {
    "from": "Chouette <news@exemple.fr>", "subject": "Bonjour {{ prenom }}", "html": HTML,
    "variables": {"prenom": "vous"},
}  # fmt: skip


async def is_counted(mail: Client) -> bool:
    """Calls are, once a second."""
    return (await mail.usage()).total.calls > 0


async def test_the_client_sends_a_campaign_follows_it_and_leaves_out_who_is_on_the_list(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "run") as stack:
        key = await stack.new_key("demo", "send,read,suppress,admin")
        async with Client(stack.base, key) as mail:
            await mail.suppress("cy@x.test", "unsubscribed")
            job = await mail.open(CONTENT, idempotency_key="campaign-1")
            assert (await mail.open(CONTENT, idempotency_key="campaign-1")).id == job.id
            people = [{"email": f"{name}@x.test", "variables": {"prenom": name}} for name in ("ana", "bo", "cy")]
            assert (await mail.append(job.id, people)).appended == 3
            await mail.change(job.id, subject="Salut {{ prenom }}")
            await mail.pause(job.id)
            await mail.resume(job.id)
            await mail.start(job.id)

            async def done() -> Report | None:
                report = await mail.report(job.id)
                return report if report.is_done else None

            report = await stack.until(done)
            assert (report.total, report.counts.delivered, report.counts.bounced.total) == (3, 2, 0)
            assert report.subject == "Salut {{ prenom }}"
            assert report.all["counts"]["suppressed"]["total"] == 1

            async def told() -> set[str]:
                pages = [page async for page in mail.event_pages(job=job.id, type="message.delivered")]
                found = {event.email or "" for page in pages for event in page.events}
                return found if len(found) == 2 else set()

            assert await stack.until(told) == {"ana@x.test", "bo@x.test"}
            assert {one["email"] async for one in mail.messages(job.id, "not_opened")} == {"ana@x.test", "bo@x.test"}
            wanted = {"and": [{"job": job.id, "state": "selected"}, {"not": {"job": job.id, "state": "delivered"}}]}
            assert [one["email"] async for one in mail.results(wanted)] == ["cy@x.test"]
            assert [(one["id"], one["subject"]) async for one in mail.jobs(state="done")] == [(job.id, report.subject)]
            assert [one["state"] async for one in mail.sent(recipient="cy@x.test")] == ["suppressed"]
            await stack.until(lambda: is_counted(mail))
            whole = f"From: news@exemple.fr\r\nTo: ana@x.test\r\nSubject: s\r\nDate: {formatdate()}\r\n\r\nt\r\n"
            assert (await mail.send_mail(whole.encode(), ["ana@x.test"])).accepted == 1
            message = await mail.message(f"{job.id}.2")
            assert (message.email, message.state) == ("cy@x.test", "suppressed")
            listed = await mail.suppressed("cy@x.test")
            assert listed is not None
            assert listed.reason == "unsubscribed"
            assert [one.address async for one in mail.suppressions(reason="unsubscribed")] == ["cy@x.test"]
            await mail.unsuppress("cy@x.test")
            assert await mail.suppressed("cy@x.test") is None

            await mail.put_template("hello", {"subject": "Bonjour {{ prenom }}", "html": HTML})
            assert not (await mail.put_template("hello", {"subject": "Bonjour {{ prenom }}", "html": HTML})).changed
            named = {"from": CONTENT["from"], "template": "hello", "recipients": people}
            seen = await mail.preview(named, recipient=1)
            assert (seen.subject, seen.template) == ("Bonjour bo", "hello 1")
            assert "Subject: Bonjour bo" in seen.message
            assert (await mail.template("hello", 1)).content["subject"] == "Bonjour {{ prenom }}"
            await mail.remove_template("hello")
            assert await mail.templates() == []

            with pytest.raises(Invalid) as wrong:
                await mail.send({**CONTENT, "subject": "{{", "recipients": [{"email": "ana@x.test"}]})
            assert wrong.value.word == "invalid_job"
            assert wrong.value.faults
