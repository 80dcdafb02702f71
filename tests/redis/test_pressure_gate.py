"""Queueing keeps away whom marketing has reached often enough, whatever dies in between (M5)."""

from collections.abc import Sequence
from typing import Any

import pytest

from services.queueing.queueing import Queueing
from services.queueing.store import JobStore
from services.suppression.store import Addition, Lists
from shared.redis.cancels import Cancel, CancelList, Cancels
from shared.redis.pressure import Pressure, Reached
from shared.redis.ready import ReadyQueues
from shared.redis.recipients import Waiting, pack_waiting
from shared.redis.suppression import SuppressionList
from shared.words.pressure import Rule
from tests.redis.test_queueing import (
    NOW_MS,
    Crash,
    P,
    Publisher,
    Sites,
    _entries,
    _facts,
    _job_id,
    _new,
    _ready,
    _waiting,
)
from tests.redis.test_queueing import store as store

ANA, BO = "ana@x.test", "bo@x.test"


class Plans(JobStore):
    """Crashes before the plan is written down, if told."""

    dies = False

    async def decide_plan(self, job: str, first_ordinal: int, plan: bytes) -> bytes:
        if self.dies:
            self.dies = False
            raise Crash
        return await super().decide_plan(job, first_ordinal, plan)


@pytest.fixture
async def pressure(client: Any) -> Pressure:
    made = Pressure(client, P, lambda: NOW_MS, lambda: 0.0)
    await made.rules.put("acme", (Rule(2, 1),))
    return made


def reached(client: Any) -> Reached:
    return Reached(client, P)


async def queueing(client: Any, store: JobStore, pressure: Pressure, publisher: Publisher | None = None) -> Queueing:
    cancels = Cancels(CancelList(client))
    await cancels.load()
    return Queueing(
        store,
        ReadyQueues(client, "email"),
        SuppressionList(client, P),
        Sites(),
        publisher or Publisher(client),
        cancels,
        P,
        lambda: NOW_MS,
        pressure=pressure,
    )


async def stored(store: JobStore, number: int, rows: Sequence[Waiting], stream: str = "bulk", **fields: Any) -> str:
    new = _new(len(rows), stream=stream, **fields)
    await store.store(_job_id(number), new, [(0, pack_waiting(0, rows))], "queueing")
    return _job_id(number)


async def rejected(client: Any) -> list[tuple[str, str | None, str]]:
    return sorted((fact.job, fact.email, fact.reason) for fact in await _facts(client, "Rejected"))


async def test_the_third_marketing_mail_of_a_day_is_rejected_with_its_reason(
    client: Any, store: JobStore, pressure: Pressure
) -> None:
    jobs = [await stored(store, number, _waiting(ANA) if number < 3 else _waiting(ANA, BO)) for number in (1, 2, 3)]

    made = await queueing(client, store, pressure)
    for entry in await _entries(client, 2):
        await made.take(2, [entry])

    assert await _ready(client) == [ANA, ANA, BO]
    assert await rejected(client) == [(jobs[2], ANA, "pressure")]


async def test_a_test_and_what_is_no_marketing_go_and_do_not_count(
    client: Any, store: JobStore, pressure: Pressure
) -> None:
    for number in (1, 2, 3):
        await stored(store, number, _waiting(ANA), test=True)
    await stored(store, 4, _waiting(ANA), stream="transactional")

    made = await queueing(client, store, pressure)
    await made.take(2, [*await _entries(client, 2), *await _entries(client, 2, lane=0)])

    assert await _ready(client) == [ANA] * 4
    assert await reached(client).sent_s("acme", ANA) == []


async def test_who_is_stopped_for_another_reason_is_told_that_reason_and_is_not_counted(
    client: Any, store: JobStore, pressure: Pressure
) -> None:
    await Lists(client, P).add([Addition("acme", ANA, "unsubscribed", 1)])
    rows = [*_waiting(ANA, "c@gone.test"), Waiting(email=BO, rejected="not_opted_in")]
    await stored(store, 1, rows)

    await (await queueing(client, store, pressure)).take(2, await _entries(client, 2))

    assert [fact.reason for fact in await _facts(client, "Suppressed") if fact.job] == ["unsubscribed"]
    assert [reason for _, _, reason in await rejected(client)] == ["not_opted_in", "no_mail_host"]
    assert [await reached(client).sent_s("acme", address) for address in (ANA, BO, "c@gone.test")] == [[], [], []]


@pytest.mark.parametrize("crash", ["plan", "before", "after"])
async def test_a_chunk_that_is_queued_again_counts_once(
    client: Any, store: JobStore, pressure: Pressure, crash: str
) -> None:
    plans, publisher = Plans(client, P, max_intake_chunks=5), Publisher(client)
    await stored(store, 1, _waiting(ANA, BO))
    plans.dies = crash == "plan"
    publisher.crashes = [] if crash == "plan" else [crash]
    with pytest.raises(Crash):
        await (await queueing(client, plans, pressure, publisher)).take(2, await _entries(client, 2))

    await (await queueing(client, plans, pressure, publisher)).take(2, await _entries(client, 2))

    assert await _ready(client) == [ANA, BO]
    assert [len(await reached(client).sent_s("acme", address)) for address in (ANA, BO)] == [1, 1]


async def test_who_was_counted_by_a_process_that_died_and_is_not_queued_after_all_is_given_back(
    client: Any, store: JobStore, pressure: Pressure
) -> None:
    plans = Plans(client, P, max_intake_chunks=5)
    job = await stored(store, 1, _waiting(ANA, BO))
    plans.dies = True
    with pytest.raises(Crash):
        await (await queueing(client, plans, pressure)).take(2, await _entries(client, 2))
    assert len(await reached(client).sent_s("acme", ANA)) == 1

    await CancelList(client).add(f"job:{job}", Cancel("acme", NOW_MS, "tenant"))
    await (await queueing(client, plans, pressure)).take(2, await _entries(client, 2))

    assert len(await _facts(client, "Cancelled")) == 2
    assert [await reached(client).sent_s("acme", address) for address in (ANA, BO)] == [[], []]


async def test_a_rejection_stays_one_when_its_chunk_is_queued_again_later(
    client: Any, store: JobStore, pressure: Pressure
) -> None:
    for number in (1, 2, 3):
        await stored(store, number, _waiting(ANA))
    publisher = Publisher(client)
    entries = await _entries(client, 2)
    for entry in entries[:2]:
        await (await queueing(client, store, pressure, publisher)).take(2, [entry])
    publisher.crashes = ["after"]
    with pytest.raises(Crash):
        await (await queueing(client, store, pressure, publisher)).take(2, entries[2:])
    await reached(client).forget("acme", ANA)  # as if a day had gone by

    await (await queueing(client, store, pressure, publisher)).take(2, entries[2:])

    assert await _ready(client) == [ANA, ANA]
    assert len(await rejected(client)) == 1
