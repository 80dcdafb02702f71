"""The seed list gets one copy of each job of `bulk`, which counts nowhere, and is named by the job's report."""

from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from services.queueing.plan import Decision, first_queued
from services.queueing.seeds import SeedLists, Seeds
from services.queueing.seeds_http import read
from services.queueing.store import Head, JobStore
from services.reports.store import ReportReader
from shared.redis import jobs, keys
from shared.redis.recipients import Waiting, pack_waiting
from shared.words import ids
from tests.jobs import new_job

P = 4
NOW_MS = 1_790_000_000_000
JOB = ids.new_job_id(NOW_MS, b"chance", P, 2)
COPY = ids.seeds_job(JOB, P)
VARIABLES = msgspec.Raw(msgspec.msgpack.encode({"prenom": "Ana"}))
ANA = Waiting(
    email="ana@exemple.fr", name="Ana", variables=VARIABLES, metadata={"crm": "17"}, time_zone="Asia/Tokyo", key="k"
)
SEEDS = ("check@gmail.example", "check@orange.example")


def clock() -> float:
    return 0.0


async def sent(client: Any, **fields: Any) -> JobStore:
    """A job that was stored, of a tenant with a seed list, and copied as often as its first chunk is queued: twice."""
    await SeedLists(client, clock).put("acme", SEEDS)
    store = JobStore(client, P, max_intake_chunks=1)
    await store.store(JOB, new_job(total=1, **fields), [(0, pack_waiting(0, [ANA]))], "queueing")
    head = await store.head(JOB)
    assert head is not None
    for _ in range(2):
        await Seeds(client, P, clock).copy(JOB, head, ANA)
    return store


async def test_each_seed_gets_what_a_recipient_gets_once_though_the_lane_is_full(client: Any) -> None:
    store = await sent(client, list="news", tags=("soldes",), viewable=True)

    found = await jobs.read(client, P, COPY, tuple(jobs.FIELDS.values()))
    assert (found[jobs.TENANT], found[jobs.STREAM], found[jobs.STATE]) == ("acme", "bulk", "queueing")
    assert (found[jobs.CONTENT], found[jobs.LIST], found[jobs.TAGS]) == (b"content", "news", ("soldes",))
    assert (found[jobs.TEST], found[jobs.VIEWABLE], found[jobs.SEEDS_OF]) == (True, True, JOB)
    chunk = await store.chunk(COPY, 0)
    assert chunk is not None
    assert [(one.email, one.name, one.variables, one.metadata, one.time_zone) for one in chunk.waiting()] == [
        (seed, "", VARIABLES, None, "Asia/Tokyo") for seed in SEEDS
    ]
    waiting = await client.xlen(keys.intake(ids.job_partition(COPY, P), 1))
    assert waiting == 1 + (ids.job_partition(COPY, P) == 2)


@pytest.mark.parametrize("fields", [{"stream": "transactional"}, {"test": True}, {"test": True, "sandbox": True}])
async def test_what_is_no_marketing_or_tried_has_no_copy(client: Any, fields: dict[str, Any]) -> None:
    await sent(client, **fields)

    assert not await client.exists(keys.job(ids.job_partition(COPY, P), COPY))


async def test_each_copy_is_counted_once(client: Any) -> None:
    before = REGISTRY.get_sample_value("estafette_queueing_seed_copies_total") or 0

    await sent(client)

    assert REGISTRY.get_sample_value("estafette_queueing_seed_copies_total") == before + len(SEEDS)


async def test_reports_of_both_name_each_other(client: Any) -> None:
    reader = ReportReader(client, P)
    await sent(client)

    job, copy = [await reader.job(one) for one in (JOB, COPY)]
    assert job is not None
    assert copy is not None
    assert (await reader.seeds(job), job.seeds_of, job.test) == (COPY, "", False)
    assert (await reader.seeds(copy), copy.seeds_of, copy.test) == ("", JOB, True)


async def test_a_list_that_is_taken_back_leaves_nothing(client: Any) -> None:
    lists = SeedLists(client, clock)
    await lists.put("acme", SEEDS)
    assert await lists.of("acme") == SEEDS
    await lists.put("acme", ())

    await Seeds(client, P, clock).copy(JOB, Head("acme", "bulk", 0), ANA)

    assert await client.keys("*") == []


def test_the_example_is_the_first_who_is_queued() -> None:
    bo = Waiting(email="bo@exemple.fr")

    assert first_queued([ANA, bo], [Decision(suppressed="unsubscribed"), Decision(site="a")]) is bo
    assert first_queued([ANA, bo], [Decision(rejected="x"), Decision(cancelled="y")]) is None


def test_a_list_is_refused_with_all_that_is_wrong_with_it() -> None:
    seeds, faults = read([" Check@Exemple.FR ", "zut", "check@exemple.fr", "b@exemple.fr"])

    assert [fault.at for fault in faults] == ["$.addresses[1]", "$.addresses[2]"]
    assert read(["Check@Exemple.FR"]) == (["Check@exemple.fr"], [])
    assert len(seeds) == 2
