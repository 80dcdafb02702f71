"""What queueing writes of a job is what each of its readers reads."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from services.breakers.figures import Saw, Seen
from services.breakers.store import FigureStore
from services.queueing.store import Head, JobStore
from services.relay.checks.stops import Stops
from services.relay.making.mails import Mails, Origin
from services.relay.message.mail import Unmade
from services.relay.signing.dkim import Draft
from services.reports import job_record
from services.reports import store as reports
from shared.mail.dkim_keys import Vault
from shared.redis import jobs, keys, redis, stops
from shared.redis.lua import named
from shared.redis.recipients import Recipients, Waiting, pack_waiting
from shared.redis.sending_domains import SendingDomains
from shared.redis.stops import COMPLAINT_RATE, Stop, StopList
from shared.words import content, events, ids
from shared.words.content import CompiledContent, Subject, TrackedLink
from shared.words.timing import Timing
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys
from tests.fakes.rendering import RenderingHere
from tests.jobs import new_job

P = 4
NOW_MS = 1_790_000_000_123
JOB = ids.new_job_id(NOW_MS, b"chance", P, 2)
LINKS = [TrackedLink(0, "https://a.example/")]
COMPILED = CompiledContent(
    stream="bulk",
    from_value="News <news@exemple.fr>",
    from_domain="exemple.fr",
    subject=Subject(("Bonjour",)),
    body_fields=[],
    body=[],
    links=LINKS,
)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#: Nothing at the value that an absent field has.
WHOLE = new_job(
    content=content.encode(COMPILED),
    total=2,
    send_at_ms=NOW_MS + 1_000,
    expires_at_ms=NOW_MS + 2_000,
    rate="50000/h",
    at_most_once=True,
    test=True,
    sandbox=True,
    viewable=True,
    request="order-4711",
    trace=TRACE,
    list="newsletter",
    category="promotion",
    tags=("soldes", "été"),
    language="fr",
    purpose="offers",
    template="welcome 3 frame 7",
    selection=b"{}",
    undefined=b"{}",
    source=b"packed",
    timing=b"\x90",
    seeds_of=ids.seeds_job(JOB, P),
    dsn=b"asked",
    dsn_of=f"{JOB}.0",
    once="autumn-2026",
)


@pytest.fixture
async def asked(client: Any, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the fields that were read of the job, which queueing has stored."""
    chunk = (0, pack_waiting(0, [Waiting(email="a@x.example"), Waiting(email="b@x.example")]))
    stored = await JobStore(client, P, max_intake_chunks=5).store(JOB, WHOLE, [chunk], "queueing")
    assert stored.word == "stored"
    names: set[str] = set()

    async def read(client: Any, partitions: int, job: str, fields: Sequence[jobs.Field[Any]]) -> jobs.Job:
        names.update(field.name for field in fields)
        return await of_jobs(client, partitions, job, fields)

    of_jobs = jobs.read
    monkeypatch.setattr(jobs, "read", read)
    return names


class NoSignatures:
    async def fields(self, draft: Draft, lane: int = 0) -> bytes:
        return b""


async def hash_of(client: Any) -> dict[str, bytes]:
    return {name.decode(): value for name, value in (await client.hgetall(keys.job(2, JOB))).items()}


def of(names: Iterable[str], found: dict[str, bytes]) -> jobs.Job:
    fields = [jobs.FIELDS[name] for name in names]
    return jobs.Job(fields, [found.get(field.name) for field in fields])


async def test_a_stored_job_has_every_field_and_no_other(client: redis.Client, asked: set[str]) -> None:
    of_a_set = {"unselected", "unselected_detail", "segment", "awaited"}  # that is read, or cannot be
    later = {"changes", "changed_at", "started_at"}
    of_files = {"file_bytes"}  # that single recipients get
    assert set(await hash_of(client)) == set(jobs.FIELDS) - of_a_set - later - of_files


def test_a_job_that_is_not_traced_and_has_no_page_to_be_seen_on_carries_nothing_of_it() -> None:
    of_some = {
        "trace", "sandbox", "viewable", "language", "purpose", "selection", "undefined", "source", "timing", "template",
        "seeds_of", "dsn", "dsn_of", "once",
    }  # fmt: skip
    assert jobs.written(WHOLE).keys() - jobs.written(new_job()).keys() == of_some


async def test_what_is_written_comes_back_as_it_was(client: redis.Client, asked: set[str]) -> None:
    found = of(jobs.FIELDS, await hash_of(client))

    assert (found[jobs.STATE], found[jobs.QUEUED], found[jobs.TOTAL]) == ("queueing", 0, 2)
    assert found[jobs.HELD] > 0
    assert (found[jobs.SEND_AT], found[jobs.MAX_AGE_MS]) == (NOW_MS + 1_000, 86_400_000)
    assert (found[jobs.TAGS], found[jobs.AT_MOST_ONCE], found[jobs.CONTENT]) == (WHOLE.tags, True, WHOLE.content)


async def test_queueing_reads_what_it_says_of_each_recipient(client: redis.Client, asked: set[str]) -> None:
    expected = Head(
        "acme", "bulk", NOW_MS + 2_000, True, "50000/h", "order-4711", TRACE, "newsletter", True, True, True,
        "News <news@exemple.fr>", 0, Timing(), "autumn-2026",
    )  # fmt: skip
    assert await JobStore(client, P, 5).head(JOB) == expected


async def test_reports_read_what_is_shown(client: redis.Client, asked: set[str]) -> None:
    reader = reports.ReportReader(client, P)

    assert await reader.job(JOB) == job_record.Job(
        id=JOB,
        tenant="acme",
        state="queueing",
        stream="bulk",
        sender="News <news@exemple.fr>",
        subject="Bonjour",
        list="newsletter",
        category="promotion",
        tags=("soldes", "été"),
        test=True,
        sandbox=True,
        seeds_of=ids.seeds_job(JOB, P),
        dsn_of=f"{JOB}.0",
        created_at=NOW_MS,
        send_at=NOW_MS + 1_000,
        expires_at=NOW_MS + 2_000,
        total=2,
        rate="50000/h",
        at_most_once=True,
        request="order-4711",
        template="welcome 3 frame 7",
        once="autumn-2026",
        timing=b"\x90",
    )
    assert await reader.links(JOB) == LINKS
    assert asked == {field.name for field in job_record.FIELDS} | {"content", "state"}


async def test_who_finds_recipients_reads_the_tenant(client: redis.Client, asked: set[str]) -> None:
    assert await Recipients(client, P).tenant_of(JOB) == "acme"


async def test_a_relay_reads_what_may_stop_a_job(client: redis.Client, asked: set[str]) -> None:
    stop_list = StopList(client)
    await stop_list.add(stops.of_tenant("acme"), Stop(COMPLAINT_RATE, "acme", NOW_MS, "engine"))
    view = Stops(client, P, stop_list)
    await view.load()

    assert await view.lifted([JOB]) == []
    assert asked == {"tenant", "stream"}


async def test_a_relay_reads_what_its_mails_are_made_of(client: redis.Client, asked: set[str]) -> None:
    domains = SendingDomains(client, Vault(b"m" * 32))
    origin = Origin("https://t.example", "b.example", TokenKeys(b"m" * 32), VerpKeys(b"m" * 32), b"chance")
    mails = Mails(client, P, domains, origin, NoSignatures(), RenderingHere(), lambda: NOW_MS)

    found = await mails.make(events.Ready(tenant="acme", job=JOB, ordinal=0, email="a@x.example"))

    # Its content was read: what is wrong is that the domain in it is nobody's.
    assert isinstance(found, Unmade)
    assert (found.reason, asked) == ("unknown_sending_domain", {"content", "test", "started_at"})


async def test_breakers_read_that_tests_do_not_count(client: Any, asked: set[str]) -> None:
    seen = [Seen("acme", JOB, 0, Saw.INVALID, 1)]
    figures = FigureStore(client, P)

    of_a_test = (await figures.count(2, seen)).jobs
    await client.hset(keys.job(2, JOB), jobs.TEST.name, jobs.TEST.write(False))
    of_another = (await figures.count(2, seen)).jobs[JOB]

    assert (of_a_test, of_another.bad) == ({}, 1)


@pytest.mark.parametrize("name", sorted(jobs.FIELDS))
def test_a_field_that_is_absent_reads_as_what_it_says(name: str) -> None:
    field = jobs.FIELDS[name]

    assert jobs.Job([field], [None])[field] == field.absent


def test_a_script_that_names_no_field_is_refused() -> None:
    assert named("redis.call('HGET', KEYS[1], JOB.total)", jobs.NAMED) == "redis.call('HGET', KEYS[1], 'total')"
    with pytest.raises(KeyError):
        named("redis.call('HGET', KEYS[1], JOB.totl)", jobs.NAMED)


def test_a_change_takes_an_operation_away_and_names_another() -> None:
    fields, gone = jobs.changed(new_job(once="winter-2026"))
    assert (fields["once"], "once" in gone) == ("winter-2026", False)

    fields, gone = jobs.changed(new_job())
    assert ("once" in fields, "once" in gone) == (False, True)


def test_a_change_leaves_nothing_that_the_job_does_not_say_any_more() -> None:
    """But for whose it is, and what no job that can be changed has or loses."""
    of_the_job = {"trace", "purpose", "selection", "sandbox", "source"}
    of_no_such_job = {"seeds_of", "dsn", "dsn_of"}

    _, gone = jobs.changed(new_job())

    assert set(gone) == jobs.written(WHOLE).keys() - jobs.written(new_job()).keys() - of_the_job - of_no_such_job
