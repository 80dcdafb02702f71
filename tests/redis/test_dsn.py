"""The end of a message becomes one report to the sender who asked for it, and to nobody else, however often it is
read."""

from typing import Any

import msgspec
import pytest

from services.queueing import dsn, given
from services.queueing.dsn_telling import PASSED, Telling
from services.queueing.dsn_wanted import FAILURE, REPORT_BYTES, SUCCESS, Wanted
from services.queueing.store import JobStore
from shared.redis import bus, jobs, keys
from shared.redis.recipients import Waiting, pack_slim, pack_waiting
from shared.words import content, events, ids
from tests.jobs import new_job

P = 4
NOW_MS = 1_790_000_000_000
JOB = ids.new_job_id(NOW_MS, b"chance", P, 2)
MAIL = b"From: news@exemple.fr\r\nTo: ana@x.test\r\nSubject: Bonjour\r\n\r\nBonjour\r\n"
WANTED = Wanted("app@exemple.fr", "e", False, [(FAILURE, ""), (SUCCESS, ""), (0, ""), (FAILURE | SUCCESS, "")])
WAITING = [Waiting(email=f"{name}@x.test") for name in ("ana", "bo", "cy", "di")]


def packed_mail() -> bytes:
    read = given.read(MAIL)
    assert isinstance(read, given.Given)
    return content.encode(read.compiled)


async def stored(client: Any, **fields: Any) -> JobStore:
    store = JobStore(client, P, max_intake_chunks=1)
    more: dict[str, Any] = {"dsn": msgspec.msgpack.encode(WANTED), "stream": "transactional", "request": "r1"}
    new = new_job(content=packed_mail(), total=len(WAITING), **(more | fields))
    await store.store(JOB, new, [(0, pack_waiting(0, WAITING))], "queueing")
    return store


def entry(end: type[events.Fact], ordinal: int, number: int = 1, **fields: Any) -> bus.Entry:
    about = events.about_message("acme", JOB, ordinal, NOW_MS + 5, end.__name__)
    return bus.Entry(f"{number}-0", end.__name__, events.MAJOR_VERSION, events.encode(end(**about, **fields)))


async def told(client: Any, *entries: bus.Entry) -> dict[str, jobs.Job]:
    """The reports after these were read, twice, each time by a process that knows nothing; by what they are of."""
    for _ in range(2):
        await Telling(client, P, "mx.us.test", lambda: NOW_MS, lambda: 0.0).take(2, entries)
    found = {}
    for partition in range(P):
        for name, _ in await client.zrange(keys.jobs(partition), 0, -1, withscores=True):
            job = await jobs.read(client, P, name.decode(), tuple(jobs.FIELDS.values()))
            if job[jobs.DSN_OF]:
                found[f"{job[jobs.DSN_OF]} {content.decode(job[jobs.CONTENT]).subject.pieces[0]}"] = job
    return found


def of(ordinal: int, what: str) -> str:
    return f"{JOB}.{ordinal} {what}: Bonjour"


async def test_a_message_is_told_of_once_and_as_it_was_asked(client: Any) -> None:
    store = await stored(client)

    found = await told(
        client,
        entry(events.Bounced, 0, reply="550 5.1.1 unknown", host="mx"),
        entry(events.Bounced, 1, reply="550 5.1.1 unknown", host="mx"),
        entry(events.Bounced, 2, reply="550 5.1.1 unknown", host="mx"),
        entry(events.Delivered, 0, reply="250 ok", host="mx"),
        entry(events.Delivered, 1, reply="250 ok", host="mx"),
    )

    assert set(found) == {of(0, "Not delivered"), of(1, "Handed on")}
    job = found[of(0, "Not delivered")]
    assert (job[jobs.TENANT], job[jobs.STREAM], job[jobs.STATE]) == ("acme", "transactional", "queueing")
    assert (job[jobs.DSN], job[jobs.REQUEST], job[jobs.TOTAL]) == (b"", "r1", 1)
    assert (job[jobs.SENDER], job[jobs.EXPIRES_AT]) == ("MAILER-DAEMON@exemple.fr", NOW_MS + 86_400_000)
    assert content.decode(job[jobs.CONTENT]).null_sender
    chunk = await store.chunk(ids.dsn_job(f"{JOB}.0", "failed", P), 0)
    assert chunk is not None
    assert [one.email for one in chunk.waiting()] == ["app@exemple.fr"]


async def test_what_was_handed_on_and_came_back_is_told_of_twice(client: Any) -> None:
    await stored(client)

    found = await told(
        client,
        entry(events.Delivered, 3, reply="250 ok"),
        entry(events.Bounced, 3, 2, reply="550 no", late=True),
        entry(events.Bounced, 3, 3, reply="550 no", late=True),
    )

    assert set(found) == {of(3, "Handed on"), of(3, "Not delivered")}


async def test_no_report_is_told_of(client: Any) -> None:
    await stored(client)
    await told(client, entry(events.Bounced, 0))
    report = ids.dsn_job(f"{JOB}.0", "failed", P)

    about = events.about_message("acme", report, 0, NOW_MS, "Bounced")
    bounce = bus.Entry("2-0", "Bounced", events.MAJOR_VERSION, events.encode(events.Bounced(**about)))

    assert len(await told(client, bounce)) == 1


@pytest.mark.parametrize("fields", [{"dsn": b""}, {"test": True, "sandbox": True}])
async def test_who_asked_for_nothing_is_told_nothing_and_the_sandbox_stays_apart(
    client: Any, fields: dict[str, Any]
) -> None:
    await stored(client, **fields)

    found = await told(client, entry(events.Rejected, 0, reason="no_mail_host"))

    assert len(found) == ("dsn" not in fields)
    assert all(job[jobs.TEST] and job[jobs.SANDBOX] for job in found.values())


async def test_who_was_erased_is_not_named_again(client: Any) -> None:
    await stored(client)
    place = keys.job_recipients(2, JOB)
    await client.delete(place)
    await client.zadd(place, {pack_slim(0, [Waiting(email="")] * len(WAITING)): 0})

    assert await told(client, entry(events.Bounced, 0, late=True)) == {}


async def test_a_job_that_is_gone_is_not_told_of(client: Any) -> None:
    assert await told(client, entry(events.Expired, 0)) == {}


async def test_what_the_reports_may_take_counts_with_the_mail(client: Any) -> None:
    """So that a tenant who is at its quota has no thousand reports to come."""
    store = await stored(client, once="")
    mail = await store.use("acme", NOW_MS)

    assert await told(client, entry(events.Expired, 0))

    assert mail["stored_bytes"] >= 3 * REPORT_BYTES
    assert (await store.use("acme", NOW_MS))["stored_bytes"] - mail["stored_bytes"] < 200  # its one recipient


async def test_a_mail_is_read_once_for_the_reports_of_all_its_recipients(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have 15 MB, and a thousand recipients; for those who are told nothing it is not read at all."""
    await stored(client)
    asked: list[str] = []

    async def read(client: Any, partitions: int, job: str, fields: Any) -> jobs.Job:
        asked.extend(field.name for field in fields)
        return await of_jobs(client, partitions, job, fields)

    of_jobs = jobs.read
    monkeypatch.setattr(jobs, "read", read)
    telling = Telling(client, P, "mx.us.test", lambda: NOW_MS, lambda: 0.0)
    await telling.take(2, [entry(events.Delivered, 0, reply="250 ok")])
    assert "content" not in asked
    await telling.take(2, [entry(events.Expired, 0), entry(events.Expired, 3, 2)])
    await telling.take(2, [entry(events.Delivered, 1, 3, reply="250 ok")])

    assert (asked.count("content"), asked.count("dsn")) == (1, 1)
    assert len(await told(client)) == 3


def test_only_ends_are_read() -> None:
    assert events.MESSAGES.keys() - PASSED == {end.__name__ for end in dsn.ENDS}
    assert {name for name in events.FINAL_FACTS if name not in PASSED} == set(events.FINAL_FACTS)
