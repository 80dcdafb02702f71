"""Each recipient of an operation gets one message, of whichever jobs, whatever dies in between (D7)."""

import asyncio
from collections.abc import Sequence
from secrets import token_hex
from typing import Any

import pytest

from services.queueing.queueing import Queueing
from services.queueing.recipients import seen_digest
from services.queueing.store import JobStore
from services.suppression.erasing import Erasing
from services.suppression.store import Addition, Lists
from shared.redis import bus, keys
from shared.redis.cancels import Cancel, CancelList, Cancels
from shared.redis.histories import Histories
from shared.redis.once import Held, Mark, Once
from shared.redis.pressure import Pressure, Reached
from shared.redis.ready import ReadyQueues
from shared.redis.recipients import Waiting, pack_slim, pack_waiting, pack_waiting_row
from shared.redis.suppression import SuppressionList
from shared.words import events, ids, once, pressure
from shared.words.once import LIFETIME_S
from shared.words.pressure import Rule
from tests.redis.test_pressure_gate import Plans
from tests.redis.test_queueing import NOW_MS, Crash, P, Publisher, Sites, _entries, _facts, _job_id, _new, _ready
from tests.redis.test_queueing import store as store

ANA, BO, CY = "ana@x.test", "bo@x.test", "cy@x.test"
NAME = "autumn-2026"


async def queueing(client: Any, store: JobStore, publisher: Publisher | None = None, now_ms: int = NOW_MS) -> Queueing:
    cancels = Cancels(CancelList(client))
    await cancels.load()
    return Queueing(
        store,
        ReadyQueues(client, "email"),
        SuppressionList(client, P),
        Sites(),
        publisher or bus.Publisher(client, P, lambda: token_hex(8)),
        cancels,
        P,
        lambda: now_ms,
        pressure=Pressure(client, P, lambda: now_ms, lambda: 0.0),
        once=Once(client, P),
    )


def people(*emails: str, keys: Sequence[str] = ()) -> list[Waiting]:
    return [Waiting(email=email, key=keys[at] if keys else "") for at, email in enumerate(emails)]


async def stored(store: JobStore, number: int, rows: Sequence[Waiting], name: str = NAME, **fields: Any) -> str:
    new = _new(len(rows), once=name, **fields)
    await store.store(_job_id(number), new, [(0, pack_waiting(0, rows))], "queueing")
    return _job_id(number)


async def take(client: Any, store: JobStore, *, lane: int = 1, now_ms: int = NOW_MS) -> None:
    made = await queueing(client, store, now_ms=now_ms)
    for entry in await _entries(client, 2, lane):
        await made.take(2, [entry])


async def rejected(client: Any) -> list[tuple[str, str | None, str]]:
    return sorted((fact.job, fact.email, fact.reason) for fact in await _facts(client, "Rejected"))


async def who_has_a_place(client: Any, tenant: str = "acme") -> list[str]:
    kept = Once(client, P)
    return [address for address in (ANA, BO, CY) if await kept.sent_s(tenant, address)]


async def test_who_got_the_first_job_of_an_operation_is_excluded_from_the_second(client: Any, store: JobStore) -> None:
    await stored(store, 1, people(ANA, BO))
    second = await stored(store, 2, people("Ana@X.test", CY))
    await stored(store, 3, people(ANA), name="winter-2026")
    await stored(store, 4, people(ANA), name="")

    await take(client, store)

    assert await _ready(client) == [ANA, ANA, ANA, BO, CY]
    assert await rejected(client) == [(second, "Ana@X.test", "already_sent")]


async def test_two_jobs_that_are_queued_at_the_same_moment_reach_everybody_once(client: Any, store: JobStore) -> None:
    everybody = [f"p{number}@x.test" for number in range(60)]
    for number in range(1, 5):
        await stored(store, number, people(*(everybody if number % 2 else reversed(everybody))))
    entries = await _entries(client, 2)
    processes = [await queueing(client, store) for _ in entries]

    await asyncio.gather(*(made.take(2, [entry]) for made, entry in zip(processes, entries, strict=True)))

    assert await _ready(client) == sorted(everybody)
    assert len(await rejected(client)) == 3 * len(everybody)


async def test_a_recipient_is_known_by_the_key_that_the_job_gives(client: Any, store: JobStore) -> None:
    await stored(store, 1, people(ANA, ANA, BO, keys=("order-1", "order-2", "")))
    second = await stored(store, 2, people(CY, ANA, BO, keys=("order-1", "order-3", "order-4")))

    await take(client, store)

    assert await _ready(client) == [ANA, ANA, ANA, BO, BO]
    assert await rejected(client) == [(second, CY, "already_sent")]


async def test_another_tenants_operation_of_that_name_is_another(client: Any, store: JobStore) -> None:
    await stored(store, 1, people(ANA))
    await stored(store, 2, people(ANA), tenant="zeta")
    entries = await _entries(client, 2)

    made = await queueing(client, store)
    for entry in entries:
        await made.take(2, [entry])

    assert await _ready(client) == [ANA, ANA]


async def test_a_test_is_neither_excluded_nor_counted_and_any_stream_is(client: Any, store: JobStore) -> None:
    await stored(store, 1, people(ANA), test=True)
    await take(client, store)
    assert await who_has_a_place(client) == []

    await stored(store, 2, people(ANA), stream="transactional")
    await take(client, store, lane=0)
    await stored(store, 3, people(ANA), test=True, sandbox=True)
    await stored(store, 4, people(ANA))
    await take(client, store)

    assert await who_has_a_place(client) == [ANA]
    assert [reason for _, _, reason in await rejected(client)] == ["already_sent"]


async def test_after_ninety_days_an_operation_knows_nobody(client: Any, store: JobStore) -> None:
    await stored(store, 1, people(ANA))
    await take(client, store)
    for number, later_s in ((2, LIFETIME_S - 1), (3, LIFETIME_S)):
        await stored(store, number, people(ANA))
        await take(client, store, now_ms=NOW_MS + later_s * 1000)

    assert await _ready(client) == [ANA, ANA]
    for name in [name async for name in client.scan_iter("est:*:once:*")]:
        assert LIFETIME_S - 5 <= await client.ttl(name) <= LIFETIME_S


async def test_who_is_stopped_for_another_reason_is_told_that_and_has_no_place(client: Any, store: JobStore) -> None:
    await Lists(client, P).add([Addition("acme", ANA, "unsubscribed", 1)])
    await stored(store, 1, [*people(ANA, "c@gone.test"), Waiting(email=BO, rejected="not_opted_in")])

    await take(client, store)

    assert [reason for _, _, reason in await rejected(client)] == ["not_opted_in", "no_mail_host"]
    assert await who_has_a_place(client) == []


async def test_pressure_counts_nobody_who_is_excluded_and_gives_a_place_back(client: Any, store: JobStore) -> None:
    await Pressure(client, P, lambda: NOW_MS, lambda: 0.0).rules.put("acme", (Rule(2, 1),))
    for number in (1, 2, 3):
        await stored(store, number, people(ANA))
    await stored(store, 4, people(ANA), name="winter-2026")
    await stored(store, 5, people(ANA), name="spring-2027")
    await take(client, store)

    assert await _ready(client) == [ANA, ANA]
    assert [reason for _, _, reason in await rejected(client)] == ["already_sent", "already_sent", "pressure"]
    assert len(await Reached(client, P).sent_s("acme", ANA)) == 2
    assert len(await Once(client, P).sent_s("acme", ANA)) == 2


@pytest.mark.parametrize("crash", ["plan", "before", "after"])
async def test_a_chunk_that_is_queued_again_excludes_none_of_its_own(client: Any, store: JobStore, crash: str) -> None:
    plans, publisher = Plans(client, P, max_intake_chunks=5), Publisher(client)
    await stored(store, 1, people(ANA, BO, ANA, keys=("", "", "k")))
    plans.dies = crash == "plan"
    publisher.crashes = [] if crash == "plan" else [crash]
    with pytest.raises(Crash):
        await (await queueing(client, plans, publisher)).take(2, await _entries(client, 2))

    await (await queueing(client, plans, publisher)).take(2, await _entries(client, 2))

    assert await _ready(client) == [ANA, ANA, BO]
    assert await rejected(client) == []


async def test_who_had_a_place_by_a_process_that_died_and_is_cancelled_gives_it_back(
    client: Any, store: JobStore
) -> None:
    plans = Plans(client, P, max_intake_chunks=5)
    job = await stored(store, 1, people(ANA, BO))
    plans.dies = True
    with pytest.raises(Crash):
        await (await queueing(client, plans)).take(2, await _entries(client, 2))
    assert await who_has_a_place(client) == [ANA, BO]

    await CancelList(client).add(f"job:{job}", Cancel("acme", NOW_MS, "tenant"))
    await take(client, plans)

    assert len(await _facts(client, "Cancelled")) == 2
    assert await who_has_a_place(client) == []


async def test_what_a_relay_gives_back_goes_in_the_next_job_and_nothing_else_does(client: Any, store: JobStore) -> None:
    first = await stored(store, 1, people(ANA, BO, CY, keys=("", "", "order-1")))
    await take(client, store)
    leases = [(await ReadyQueues(client, "email").lease(p, "r", 60_000, 1000, 1000)).leases for p in range(P)]
    readies = [events.decode("Ready", lease.body) for found in leases for lease in found]
    places = {one.ordinal: one.once for one in readies if isinstance(one, events.Ready)}

    for _ in range(2):
        await Once(client, P).give_back("acme", first, [Mark(0, places[0]), Mark(2, places[2]), Mark(9, places[1])])
    await stored(store, 2, people(ANA, BO, CY, keys=("", "", "order-1")))
    await take(client, store)

    assert await _ready(client) == [ANA, CY]
    assert [(email, reason) for _, email, reason in await rejected(client)] == [(BO, "already_sent")]


async def test_an_open_job_has_each_key_once_and_an_address_as_often_as_it_has_keys(
    client: Any, store: JobStore
) -> None:
    await store.store(_job_id(), _new(0), [], "open")
    rows = people(ANA, ANA, BO, ANA, ANA.upper(), keys=("k1", "k2", "k1", "", ""))

    batch = [(seen_digest(row), pack_waiting_row(row)) for row in rows]

    assert await store.append("acme", _job_id(), batch, NOW_MS) == ("appended", 3)


async def test_an_erased_address_has_no_place_in_any_operation_and_others_keep_theirs(client: Any) -> None:
    kept, jobs = Once(client, P), (_job_id(1), _job_id(2))
    for job, name in zip(jobs, (NAME, "winter-2026"), strict=True):
        marks = [Mark(at, once.place(once.identity(address), once.half(name))) for at, address in enumerate((ANA, BO))]
        assert await kept.count("acme", job, marks, NOW_MS) == [True, True]
    assert await kept.sent_s("acme", ANA) == [NOW_MS // 1000] * 2

    await kept.forget("acme", ANA)

    assert await who_has_a_place(client) == [BO]
    assert len(await kept.sent_s("acme", BO)) == 2


@pytest.mark.parametrize("viewable", [False, True])
async def test_an_erasure_takes_away_what_somebody_had_under_a_key_and_nothing_of_others(
    client: Any, store: JobStore, viewable: bool
) -> None:
    publisher, sent = bus.Publisher(client, P, lambda: token_hex(8)), Histories(client, P, 90)
    erasing = Erasing(client, P, publisher, lambda: NOW_MS + 1, lambda: "1", sent)
    await stored(store, 1, people(ANA, BO, ANA, ANA, keys=("order-1", "order-2", "order-3", "")), viewable=viewable)
    await stored(store, 2, people(ANA, keys=("order-2",)))  # BO had that, so it is not hers
    await take(client, store)

    await erasing.begin("acme", ANA, ["ab" * 16])
    assert await erasing.sweep() == 1

    left = [key async for name in client.scan_iter("est:*:once:*") for key in await client.hkeys(name) if key]
    assert left == [once.unpacked(once.place(once.identity(BO, "order-2"), once.half(NAME)))]
    await stored(store, 3, people(CY, CY, CY, keys=("order-1", "order-2", "order-3")))
    await take(client, store)
    assert (await _ready(client)).count(CY) == 2


async def test_a_key_is_kept_with_nobody_whose_job_names_no_operation(client: Any, store: JobStore) -> None:
    for number, fields in ((1, {"name": ""}), (2, {"test": True})):
        job = await stored(store, number, people(ANA, keys=("order-1",)), **fields)
        await take(client, store)
        members = await client.zrange(keys.job_recipients(ids.job_partition(job, P), job), 0, -1)
        assert members == [pack_slim(0, people(ANA))]


async def test_what_operations_hold_is_counted_by_name_and_a_place_tells_its_message(client: Any) -> None:
    kept, autumn, winter = Once(client, P), once.half(NAME), once.half("winter-2026")
    now_s = NOW_MS // 1000

    async def count(tenant: str, ordinal: int, who: str, operation: bytes, at_s: int) -> None:
        marks = [Mark(ordinal, once.place(who, operation))]
        assert await kept.count(tenant, _job_id(1), marks, at_s * 1000) == [True]

    await count("acme", 0, once.identity(ANA), autumn, now_s - once.LIFETIME_S)  # no more; it stays in its bucket
    await count("acme", 1, once.identity(ANA), winter, now_s - 20)
    await count("acme", 2, once.identity(BO), autumn, now_s - 10)
    await count("acme", 3, once.identity(BO, "order-1"), autumn, now_s)
    await count("zeta", 4, once.identity(BO), autumn, now_s)

    assert await kept.held("acme", now_s) == {
        autumn: Held(2, now_s - 10, now_s),
        winter: Held(1, now_s - 20, now_s - 20),
    }
    assert await kept.counted("acme", once.identity(ANA), autumn, now_s) is None
    assert await kept.counted("acme", once.identity(BO, "order-2"), autumn, now_s) is None
    found = await kept.counted("acme", once.identity(BO, "order-1"), autumn, now_s)
    assert found == (now_s, pressure.mark(pressure.first_mark(_job_id(1)), 3))
