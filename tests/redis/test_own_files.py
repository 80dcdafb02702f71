"""Files of single recipients, from the request to their mails: each gets their own, and none goes without."""

import json
import os
from base64 import b64encode
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from services.queueing.queueing import Queueing
from services.relay.making.mails import Mails, Origin
from services.relay.message.mail import Made, Unmade
from services.reports.finishing import Finishing
from services.suppression.mentions import Mentions
from shared.mail.dkim_keys import Vault
from shared.process.settings import Quotas
from shared.redis import bus, keys
from shared.redis.cancels import CancelList, Cancels
from shared.redis.ready import ReadyQueues
from shared.redis.sending_domains import SendingDomains
from shared.redis.suppression import SuppressionList
from shared.words import events, ids
from shared.words.own_files import unpacked
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys
from tests.fakes.rendering import RenderingHere
from tests.redis.test_jobs import NoSignatures
from tests.redis.test_queueing import Crash, Publisher, Sites
from tests.redis.test_templates import NOW_MS, Front, P

ONE, TWO, TERMS = b"%PDF for one" + bytes(range(256)), b"%PDF for two" * 500, b"terms for both"


def file(name: str, content: bytes) -> dict[str, str]:
    return {"filename": name, "content_type": "application/pdf", "content": b64encode(content).decode()}


ANA = {"email": "ana@x.test", "attachments": [file("facture.pdf", ONE), file("cgv.pdf", TERMS)]}
BO = {"email": "bo@x.test", "attachments": [file("facture.pdf", TWO), file("agb.pdf", TERMS)]}
CEM = {"email": "cem@x.test"}
CONTENT = {"from": "news@acme.test", "subject": "s", "html": "<p>h</p>", "text": "t", "stream": "transactional"}


class Office(Front):
    """The front door, and behind it queueing and the maker of mails."""

    async def send(self, *people: dict[str, Any], **fields: Any) -> str:
        status, answer = await self.job(*people, **(CONTENT | fields))
        assert status == 202, answer
        return str(answer["id"])

    async def open(self) -> str:
        body = {**CONTENT, "attachments": [file("all.pdf", b"all")]}
        status, answer = await self.call("POST", "/v1/jobs?state=open", body)
        assert status == 202, answer
        return str(answer["id"])

    async def append(self, job: str, *people: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {self.keys['acme']}", "Content-Type": "application/x-ndjson"}
        lines = b"".join(json.dumps(one).encode() + b"\n" for one in people)
        async with self.http.post(f"/v1/jobs/{job}/recipients", data=lines, headers=headers) as answer:
            return await answer.json()

    async def queue(self, publisher: Publisher | None = None) -> None:
        """All that waits in the lanes, as a process does that reads what it had in hand first."""
        queueing = Queueing(
            self.jobs, ReadyQueues(self.client, "email"), SuppressionList(self.client, P), Sites(),
            publisher or Publisher(self.client), Cancels(CancelList(self.client)), P, lambda: NOW_MS,
        )  # fmt: skip
        for p in range(P):
            for lane in (0, 1):
                await queueing.take(p, await entries(self.client, p, lane))

    async def ready(self) -> dict[str, events.Ready]:
        """What relays have to send, by address."""
        queues = ReadyQueues(self.client, "email")
        leases = [lease for p in range(P) for lease in (await queues.lease(p, "r", 60_000, 1000, 1000)).leases]
        found = [events.decode("Ready", lease.body) for lease in leases]
        return {one.email: one for one in found if isinstance(one, events.Ready)}

    async def make(self, ready: events.Ready) -> Made | Unmade:
        origin = Origin(
            "https://t.example", "b.example", TokenKeys(b"m" * 32), VerpKeys(b"m" * 32), b"chance", dkim=False
        )
        domains = SendingDomains(self.client, Vault(b"k" * 32))
        return await Mails(self.client, P, domains, origin, NoSignatures(), RenderingHere(), lambda: NOW_MS).make(ready)

    async def files_of(self, ready: events.Ready) -> list[tuple[str | None, bytes]]:
        made = await self.make(ready)
        assert isinstance(made, Made), made
        return attached(made.message)

    async def kept(self, job: str) -> dict[bytes, int]:
        """The bytes that the job keeps, each with how many have them."""
        p = ids.job_partition(job, P)
        contents = await self.client.hgetall(keys.job_files(p, job))
        uses = await self.client.hgetall(keys.job_file_uses(p, job))
        assert contents.keys() == uses.keys()
        return {content: int(uses[digest]) for digest, content in contents.items()}

    async def stored_bytes(self) -> int:
        return (await self.jobs.use("acme", NOW_MS))["stored_bytes"]


async def entries(client: Any, p: int, lane: int) -> list[bus.Entry]:
    stream = keys.intake(p, lane)
    await bus.register(client, stream, keys.GROUP_QUEUEING)
    pending: Any = await client.xreadgroup(keys.GROUP_QUEUEING, "me", {stream: "0"})
    fresh: Any = await client.xreadgroup(keys.GROUP_QUEUEING, "me", {stream: ">"})
    return [bus.entry(number, fields) for found in (pending, fresh) for _, rows in found for number, fields in rows]


def attached(message: bytes) -> list[tuple[str | None, bytes]]:
    mail = message_from_bytes(message, policy=default)
    assert isinstance(mail, EmailMessage)
    return [(part.get_filename(), part.get_payload(decode=True)) for part in mail.iter_attachments()]  # type: ignore[misc]


@pytest.fixture
async def office(client: Any) -> AsyncIterator[Office]:
    async with Office(client, Quotas()) as open_office:
        yield open_office


async def test_each_recipient_gets_their_own_files_and_a_shared_one_is_kept_once(office: Office) -> None:
    job = await office.send(ANA, BO, CEM, attachments=[file("all.pdf", b"all")])
    assert await office.kept(job) == {ONE: 1, TWO: 1, TERMS: 2}

    await office.queue()
    ready = await office.ready()

    # Tried again it is the same: an attempt after a 4xx brings the same reference.
    for attempt in (1, 2):
        again = {email: events.decode("Ready", events.encode(one)) for email, one in ready.items()}
        found = {email: await office.files_of(one) for email, one in again.items() if isinstance(one, events.Ready)}
        assert found == {
            "ana@x.test": [("all.pdf", b"all"), ("facture.pdf", ONE), ("cgv.pdf", TERMS)],
            "bo@x.test": [("all.pdf", b"all"), ("facture.pdf", TWO), ("agb.pdf", TERMS)],
            "cem@x.test": [("all.pdf", b"all")],
        }, attempt
    # The bytes are in no other key, whatever passed by.
    assert len(events.encode(ready["bo@x.test"])) < 500
    assert ready["cem@x.test"].files == ""


async def test_a_queueing_that_dies_in_between_changes_no_file(office: Office) -> None:
    job = await office.send(ANA, BO)
    for crash in ("before", "after"):
        publisher = Publisher(office.client)
        publisher.crashes = [crash]
        with pytest.raises(Crash):
            await office.queue(publisher)

    await office.queue()

    ready = await office.ready()
    assert await office.files_of(ready["ana@x.test"]) == [("facture.pdf", ONE), ("cgv.pdf", TERMS)]
    assert await office.kept(job) == {ONE: 1, TWO: 1, TERMS: 2}


async def test_appended_recipients_bring_files_and_a_repeated_upload_none(office: Office) -> None:
    job = await office.open()
    before = await office.stored_bytes()

    for _ in range(2):
        answer = await office.append(job, ANA, BO, {"email": "-", "attachments": [file("x.pdf", b"of nobody")]})
    assert (answer["appended"], answer["duplicates"], answer["faults"]) == (0, 3, [])
    assert await office.append(job, {**CEM, "attachments": [file("agb.pdf", TERMS)]}) == {
        "appended": 1, "duplicates": 0, "rejected": [], "rejected_total": 0, "faults": [], "faults_total": 0,
        "stopped": None, "warnings": [],
    }  # fmt: skip

    assert await office.kept(job) == {ONE: 1, TWO: 1, TERMS: 3}
    grown = await office.stored_bytes() - before
    assert len(ONE + TWO + TERMS) < grown < len(ONE + TWO + TERMS) + 1_500
    assert (await office.call("POST", f"/v1/jobs/{job}/start"))[0] == 202
    assert await office.stored_bytes() - before == grown
    await office.queue()
    ready = await office.ready()
    assert await office.files_of(ready["cem@x.test"]) == [("all.pdf", b"all"), ("agb.pdf", TERMS)]


async def test_what_is_wrong_with_a_line_is_told_and_its_files_are_not_kept(office: Office) -> None:
    job = await office.open()
    bad = {**BO, "attachments": [file("../a", b"x"), {"filename": "b", "content": "%"}, file("c", b"good")]}

    answer = await office.append(job, ANA, bad)

    assert (answer["appended"], answer["faults_total"]) == (1, 1)
    assert [fault["at"] for fault in answer["faults"]] == [
        "line 2.attachments[0].filename",
        "line 2.attachments[1].content",
    ]
    assert await office.kept(job) == {ONE: 1, TERMS: 1}


async def test_an_open_job_that_nobody_starts_leaves_no_file_and_counts_none(office: Office) -> None:
    before = await office.stored_bytes()
    job = await office.open()
    await office.append(job, ANA)

    await office.jobs.expire_open(job)
    for p in range(P):
        await office.jobs.remove_open(p, NOW_MS)

    assert await office.kept(job) == {}
    assert await office.stored_bytes() == before


async def test_a_mail_whose_file_is_gone_is_not_sent_without_it(office: Office) -> None:
    job = await office.send(ANA, CEM)
    await office.queue()
    ready = await office.ready()
    p = ids.job_partition(job, P)

    await office.client.hset(keys.job_files(p, job), unpacked(ready["ana@x.test"].files)[0].digest, b"cut")
    damaged = await office.make(ready["ana@x.test"])
    await office.client.delete(keys.job_files(p, job))
    lost = await office.make(ready["ana@x.test"])

    for made in (damaged, lost):
        assert isinstance(made, Unmade)
        assert (made.reason, made.final) == ("lost_attachment", True)
        assert made.detail.startswith("facture.pdf of this recipient is not kept any more")
    assert isinstance(await office.make(ready["cem@x.test"]), Made)


@pytest.mark.parametrize("text", ["t", "t {{ view_url }}"])
async def test_who_is_erased_takes_their_files_along_but_for_those_of_others(office: Office, text: str) -> None:
    job = await office.send(ANA, BO, CEM, text=text)
    await office.queue()
    mentions = Mentions(office.client, P)
    [member] = await office.client.zrange(keys.job_recipients(ids.job_partition(job, P), job), 0, -1)

    assert await mentions.erase("acme", job, member, {"ana@x.test"}) == 1
    assert await office.kept(job) == {TWO: 1, TERMS: 1}
    assert await mentions.erase("acme", job, member, {"ana@x.test"}) == 0  # again, with what was read before
    assert await office.kept(job) == {TWO: 1, TERMS: 1}
    [member] = await office.client.zrange(keys.job_recipients(ids.job_partition(job, P), job), 0, -1)
    assert await mentions.erase("acme", job, member, {"bo@x.test", "cem@x.test"}) == 2
    assert await office.kept(job) == {}

    made = await office.make((await office.ready())["ana@x.test"])
    assert isinstance(made, Unmade)


async def test_files_go_when_every_message_of_the_job_has_its_end(office: Office) -> None:
    job = await office.send(ANA)
    await office.queue()
    p = ids.job_partition(job, P)
    finishing = Finishing(office.client, P, lambda: NOW_MS)
    assert await finishing.look() == 0
    assert await office.kept(job) == {ONE: 1, TERMS: 1}

    await office.client.hset(keys.job_counts(p, job), "state:4", 1)
    await office.client.zincrby(keys.finishing(p), 1, job)

    assert await finishing.look() == 1
    assert await office.kept(job) == {}


async def test_the_quota_of_stored_bytes_counts_files(client: Any) -> None:
    async with Office(client, Quotas(stored_bytes=1_000_000)) as office:
        big = {"email": "a@x.test", "attachments": [file("a.bin", os.urandom(700_000))]}
        await office.send(big)
        status, problem = await office.job(big, **CONTENT)

    assert (status, problem["type"].rpartition(":")[2]) == (429, "quota_exceeded")


async def test_a_job_with_a_bad_file_is_refused_with_all_that_is_wrong_and_stores_nothing(office: Office) -> None:
    bad = {**BO, "attachments": [file("a", b"x") | {"content_type": "a/b\nX: y"}, file("a", b"y"), file("c/d", b"z")]}

    status, problem = await office.job(ANA, bad, **CONTENT)

    at = "$.recipients[1].attachments"
    assert status == 422
    assert {fault["at"] for fault in problem["faults"]} == {
        f"{at}[0].content_type", f"{at}[1].filename", f"{at}[2].filename"
    }  # fmt: skip
    assert await office.stored_bytes() == 0
    assert [name async for name in office.client.scan_iter(match="*:files")] == []


async def test_a_preview_shows_the_files_of_its_recipient_and_counts_them(office: Office) -> None:
    body = {**CONTENT, "recipients": [ANA, BO], "attachments": [file("all.pdf", b"all")]}
    for index, own in enumerate((ONE, TWO)):
        status, shown = await office.call("POST", f"/v1/preview?recipient={index}", body)
        assert status == 200, shown
        assert attached(shown["message"].encode())[:2] == [("all.pdf", b"all"), ("facture.pdf", own)]
        assert [(one["filename"], one["size_bytes"]) for one in shown["attachments"]] == [
            ("all.pdf", 3), ("facture.pdf", len(own)), (("cgv.pdf", "agb.pdf")[index], len(TERMS))
        ]  # fmt: skip
        assert shown["size_bytes"] == len(shown["message"])
    assert await office.stored_bytes() == 0


@pytest.mark.parametrize("fields", [{}, {"test": True}])
async def test_a_preview_of_an_address_that_is_there_twice_shows_the_one_that_is_asked_for(
    office: Office, fields: dict[str, Any]
) -> None:
    orders: list[dict[str, Any]] = [
        {"variables": {"n": "first"}, "attachments": ANA["attachments"]},
        {"email": "nobody"},
        {"variables": {"n": "second"}},
        {"variables": {"n": "third"}, "attachments": BO["attachments"]},
    ]
    people = [{"email": "ana@x.test", "key": f"order-{at}", **one} for at, one in enumerate(orders)]
    for index, (name, files) in enumerate((("first", [ONE, TERMS]), ("second", []), ("third", [TWO, TERMS]))):
        body = {**CONTENT, "text": "t {{ n }}", "recipients": people, **fields}
        status, shown = await office.call("POST", f"/v1/preview?recipient={index}", body)

        assert status == 200, shown
        assert shown["text"].split()[-1] == name
        assert [content for _, content in attached(shown["message"].encode())] == files


async def test_a_preview_passes_over_whoever_would_get_an_empty_mail(office: Office) -> None:
    people = [{"email": "ana@x.test"}, {**BO, "variables": {"n": "Bo"}}]
    body = {**CONTENT, "subject": "{{ n }}", "recipients": people}

    _, shown = await office.call("POST", "/v1/preview", body)
    status, problem = await office.call("POST", "/v1/preview?recipient=1", body)

    assert shown["subject"] == "Bo"
    assert [content for _, content in attached(shown["message"].encode())] == [TWO, TERMS]
    assert status == 422
    assert problem["faults"] == [{"at": "?recipient", "what": "there are 1 recipients to preview; the first is 0"}]
