"""People who get one mail and see each other, over a real Redis: as it is taken, shown before it goes, and sent."""

from email import message_from_bytes
from email.policy import default
from typing import Any

from services.queueing.whom import Addressee
from services.suppression.store import Addition, Lists
from shared.redis import jobs, keys
from shared.redis.jobs import STARTED_AT
from shared.redis.ready import LANES
from shared.words import content, ids
from shared.words.verp import VerpKeys
from tests.fakes.smtp_server import Envelope
from tests.jobs import compile_job
from tests.redis.test_changing import HOUR_MS, at
from tests.redis.test_changing import House as Changed
from tests.redis.test_changing import house as changed
from tests.redis.test_quotas import P as CHANGED_P
from tests.redis.test_relay import (
    CREATED_MS,
    SECRET,
    TENANT,
    House,
    P,
    host,
    house,
    on_one_server,
    running,
    short_waits,
    until,
)
from tests.redis.test_templates import Front, front
from tests.redis.test_templates import P as FRONT_P

__all__ = ["changed", "front", "house", "short_waits"]  # fixtures
NAMED = {
    "to": [{"email": "ana@x.test", "name": "Ana"}, {"email": "zoe@x.test", "name": "Lefèvre, Zoé"}],
    "cc": [{"email": "bo@y.test"}],
    "bcc": [{"email": "chef@z.test"}],
}
SHOWN_TO = "Ana <ana@x.test>, =?utf-8?B?TGVmw6h2cmUsIFpvw6k=?= <zoe@x.test>"


def asked(**fields: Any) -> dict[str, Any]:
    body = {
        "from": "Chouette <news@acme.test>", "subject": "Bonjour", "stream": "transactional", "text": "À {{ heure }}",
        "variables": {"heure": "14:00"}, **NAMED,
    }  # fmt: skip
    return body | fields


async def stored(client: Any, job: str, partitions: int = FRONT_P) -> content.CompiledContent:
    return content.decode((await jobs.read(client, partitions, job, (jobs.CONTENT,)))[jobs.CONTENT])


# As it is taken


async def test_each_address_has_a_message_and_the_header_is_stored_once(front: Front) -> None:
    status, answer = await front.call("POST", "/v1/jobs", asked())

    assert status == 202, answer
    assert [one["email"] for one in answer["messages"]] == ["ana@x.test", "zoe@x.test", "bo@y.test", "chef@z.test"]
    assert [one["id"] for one in answer["messages"]] == [f"{answer['id']}.{ordinal}" for ordinal in range(4)]
    assert (answer["accepted"], answer["rejected"], answer["warnings"]) == (4, [], [])
    assert (await stored(front.client, answer["id"])).to_and_cc == [("To", SHOWN_TO), ("Cc", "bo@y.test")]


async def test_what_does_not_fit_is_a_422_and_changes_nothing(front: Front) -> None:
    before = await front.client.dbsize()

    wrong_ones: list[tuple[dict[str, Any], str]] = [
        ({"stream": "bulk"}, "$.stream"),
        ({"recipients": [{"email": "a@x.test"}]}, "$.recipients"),
        ({"bcc": [{"email": f"u{number}@x.test"} for number in range(48)]}, "$.to"),
        ({"bcc": [{"email": "ANA@x.test"}]}, "$.bcc[0].email"),
        ({"bcc": [{"email": "a@x.test", "name": "A\r\nBcc: b@x.test"}]}, "$.bcc[0].name"),
    ]
    for wrong, at_ in wrong_ones:
        status, problem = await front.call("POST", "/v1/jobs", asked(**wrong))
        assert (status, [fault["at"] for fault in problem["faults"]]) == (422, [at_]), problem
    status, problem = await front.call("POST", "/v1/jobs?state=open", asked())
    assert (status, [fault["at"] for fault in problem["faults"]]) == (422, ["$.to"])
    assert await front.client.dbsize() == before


async def test_a_template_is_one_mail_for_all_of_them(front: Front) -> None:
    await front.put("rdv", {"from": "Chouette <news@acme.test>", "subject": "Rendez-vous", "text": "À {{ heure }}"})
    body = {"template": "rdv", "stream": "one_to_one", "variables": {"heure": "14:00"}, **NAMED}

    status, answer = await front.call("POST", "/v1/jobs", body)

    assert status == 202, answer
    assert dict((await stored(front.client, answer["id"])).to_and_cc)["To"] == SHOWN_TO


async def test_a_scheduled_one_is_changed_and_still_names_them_and_they_stay(changed: Changed) -> None:
    send_at = at(changed.clock.now_ms() + HOUR_MS)
    _, answer, _ = await changed.call("/v1/jobs", asked(**{"send_at": send_at, "from": "news@acme.test"}))
    job = answer["id"]

    assert (await changed.change(job, {"subject": "Autre"}))[0] == 200
    refused = [await changed.change(job, {"to": []}), await changed.change(job, {"window": {"from": "09:00"}})]

    compiled = await stored(changed.client, job, CHANGED_P)
    assert compiled.subject.pieces == ("Autre",)
    assert compiled.to_and_cc == [("To", SHOWN_TO), ("Cc", "bo@y.test")]
    assert changed.compiling.tried == ["ana@x.test", "zoe@x.test", "bo@y.test", "chef@z.test"]
    assert [(status, [fault["at"] for fault in problem["faults"]]) for status, problem in refused] == [
        (422, ["$.to"]),
        (422, ["$.window"]),
    ]


# As it is shown before it goes


async def test_a_preview_shows_the_header_of_each_copy(front: Front) -> None:
    first, hidden = [(await front.call("POST", f"/v1/preview?recipient={at_}", asked()))[1] for at_ in (0, 3)]
    _, alone = await front.call("POST", "/v1/preview", asked(to=[], cc=[], bcc=[]))

    assert first["to"] == hidden["to"] == "Ana <ana@x.test>, Lefèvre, Zoé <zoe@x.test>"
    assert {one["name"]: one["value"] for one in first["headers"]}["Cc"] == "bo@y.test"
    assert "chef@z.test" not in hidden["message"]
    assert alone["to"] == "Somebody <somebody@example.com>"


# As it is sent

PEOPLE = [Addressee(f"u{ordinal}@a.test", name) for ordinal, name in enumerate(("Ana", "Zoé", ""))]


async def copies(house: House, **fields: Any) -> str:
    """A job that is queued to three who see each other and one whom they do not see."""
    job = await house.job()
    compiled = compile_job(
        from_="News <news@exemple.fr>", html='<a href="https://exemple.fr/">A</a>', stream="transactional",
        to=PEOPLE[:2], cc=PEOPLE[2:], bcc=[Addressee("u3@a.test")],
    )  # fmt: skip
    assert isinstance(compiled, content.CompiledContent), compiled
    mapping = {"content": content.encode(compiled), **fields}
    await house.client.hset(keys.job(ids.job_partition(job, P), job), mapping=mapping)
    await house.enqueue(job, range(4), lane=LANES["transactional"], stream="transactional")
    return job


def header(envelope: Envelope) -> dict[str, str]:
    found = message_from_bytes(envelope.message, policy=default)
    return {name: str(found[name]) for name in ("To", "Cc", "Bcc", "Date", "Message-ID")}


async def test_copies_name_whom_their_readers_may_see_and_each_ends_for_itself(house: House) -> None:
    def taken(argument: str) -> str:
        return "550 5.1.1 User unknown" if "u2@" in argument else "250 2.1.5 ok"

    async with host(house, script={"RCPT": taken}) as server:
        listed = Addition(TENANT, "u1@a.test", "hard_bounce", CREATED_MS, is_told=False)
        await Lists(house.client, P).add([listed])
        job = await copies(house)
        async with running(house.relay()):
            await until(lambda: house.has_ended(4))

    assert await house.words() == {0: ["Delivered"], 1: ["Suppressed"], 2: ["Bounced"], 3: ["Delivered"]}
    sent = {
        VerpKeys(SECRET).read(one.mail.partition("<")[2].partition(">")[0]).ordinal: one for one in server.envelopes
    }
    assert set(sent) == {0, 3}
    assert (
        header(sent[0])
        == header(sent[3])
        == {
            "To": "Ana <u0@a.test>, Zoé <u1@a.test>",
            "Cc": "u2@a.test",
            "Bcc": "None",
            "Date": "Mon, 21 Sep 2026 14:13:20 +0000",
            "Message-ID": f"<{job}@exemple.fr>",
        }
    )
    assert b"u3@a.test" not in sent[3].message
    assert sent[0].message.rpartition(b"/c/")[2] != sent[3].message.rpartition(b"/c/")[2]


@on_one_server
async def test_copies_are_dated_when_their_job_was_started(house: House) -> None:
    async with host(house) as server:
        await copies(house, **{STARTED_AT.name: CREATED_MS + HOUR_MS})
        async with running(house.relay()):
            await until(lambda: house.has_ended(4))

    assert {header(one)["Date"] for one in server.envelopes} == {"Mon, 21 Sep 2026 15:13:20 +0000"}
    assert len(server.envelopes) == 4
