"""The hours at which people react, in a real Redis and a real cluster: noted from facts, gone by when a job is queued,
and taken away from who withdraws or is erased."""

from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.queueing.queueing import Queueing
from services.queueing.store import JobStore
from services.suppression.consent_store import ConsentStore
from services.suppression.consents import Saying
from services.suppression.reactions import Reactions
from shared.redis import bus, keys
from shared.redis.cancels import CancelList, Cancels
from shared.redis.consents import ConsentRules, Consents, Entry
from shared.redis.ready import ReadyQueues
from shared.redis.recipients import Recipient, Waiting, pack_waiting
from shared.redis.suppression import SuppressionList
from shared.redis.usual_hours import UsualHoursList
from shared.words import consent, events, ids, timing
from shared.words.consent import Topic
from shared.words.timing import Timing
from shared.words.usual_hours import HOUR_MS, UsualHours
from tests.jobs import job_hash, new_job
from tests.redis.test_queueing import Crash, Publisher, Sites, _entries
from tests.redis.test_timing import later

P = 4
#: A Monday, 13:33 in UTC.
NOW_MS = 1_790_000_000_000
DAY_MS = 24 * HOUR_MS
TODAY_MS = NOW_MS // DAY_MS * DAY_MS
DAYS = 100
ANA, BO = "ana@x.test", "bo@x.test"
PEOPLE = {1: "Ana@X.test", 2: BO}


def job_of(number: int, partition: int = 2) -> str:
    return ids.new_job_id(NOW_MS, (number << 16).to_bytes(6, "big"), P, partition)


BULK, TEST, WAITED_FOR, GONE, OTHER = (job_of(number) for number in range(1, 6))
TENANTS = {OTHER: "other"}


class Recipients:
    """Ana and Bo, of every job."""

    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]:
        return {ordinal: Recipient(PEOPLE[ordinal]) for ordinal in ordinals if ordinal in PEOPLE}


@pytest.fixture
async def reactions(client: Any) -> Reactions:
    for job, stream, test in ((BULK, "bulk", False), (OTHER, "bulk", False), (TEST, "bulk", True)):
        await client.hset(keys.job(2, job), mapping=job_hash(stream=stream, test=test))
    await client.hset(keys.job(2, WAITED_FOR), mapping=job_hash(stream="transactional", test=False))
    return Reactions(client, P, Recipients(), DAYS, lambda: NOW_MS)


def entry(fact: events.Fact) -> bus.Entry:
    return bus.Entry("1000-0", type(fact).__name__, events.MAJOR_VERSION, events.encode(fact))


def about(days_ago: int, hour: int, ordinal: int = 1, job: str = BULK) -> events.About:
    at_ms = TODAY_MS - days_ago * DAY_MS + hour * HOUR_MS + 90_000
    return events.about_message(TENANTS.get(job, "acme"), job, ordinal, at_ms, "test", ordinal)


def clicks(*when: tuple[int, int], ordinal: int = 1, job: str = BULK) -> list[bus.Entry]:
    return [entry(events.Clicked(**about(*one, ordinal, job))) for one in when]


async def counts(client: Any, address: str = ANA, tenant: str = "acme") -> dict[int, int]:
    return dict((await UsualHoursList(client, P).of(tenant, [address]))[0].counts)


async def test_what_people_open_and_click_counts_and_what_machines_fetch_does_not(
    client: Any, reactions: Reactions
) -> None:
    await reactions.apply(
        [
            entry(events.Opened(**about(9, 7))),
            entry(events.Opened(**about(8, 7), machine="image_proxy")),  # their program has it open
            entry(events.Clicked(**about(7, 8))),
            entry(events.DocumentOpened(**about(6, 8))),
            entry(events.Opened(**about(5, 3), machine="prefetch")),
            entry(events.Clicked(**about(5, 4), machine="scanner")),
            entry(events.DocumentOpened(**about(5, 5), machine="crawler")),
            entry(events.Delivered(**about(5, 6))),
            entry(events.Opened(**about(5, 9, ordinal=3))),  # who was erased has no address
            bus.Entry("1001-0", "Clicked", events.MAJOR_VERSION, b"?"),
            *clicks((5, 10), job=TEST),
            *clicks((5, 11), job=WAITED_FOR),
            *clicks((5, 12), job=GONE),
            *clicks((-2, 13)),  # by a clock that is wrong
        ]
    )

    (found,) = await UsualHoursList(client, P).of("acme", ["ANA@x.TEST"])
    assert found == UsualHours((TODAY_MS - 6 * DAY_MS) // HOUR_MS + 8, ((7, 2), (8, 2)))


async def test_an_hour_counts_once_and_what_is_read_again_not_at_all(client: Any, reactions: Reactions) -> None:
    batch = [*clicks((3, 8), (3, 8), (2, 8)), entry(events.Opened(**about(2, 8)))]

    for _ in range(3):
        await reactions.apply(batch)
    await reactions.apply(clicks((3, 8)))

    assert await counts(client) == {8: 2}


async def test_tenants_and_addresses_are_apart(client: Any, reactions: Reactions) -> None:
    await reactions.apply([*clicks((3, 8)), *clicks((3, 9), ordinal=2), *clicks((3, 10), job=OTHER)])

    assert (await counts(client), await counts(client, BO)) == ({8: 1}, {9: 1})
    assert (await counts(client, tenant="other"), await counts(client, BO, "other")) == ({10: 1}, {})


async def test_what_was_long_ago_fades(client: Any, reactions: Reactions) -> None:
    await reactions.apply(clicks((99, 20), *((day, 8) for day in range(98, 91, -1))))
    before = await counts(client)

    await reactions.apply(clicks((91, 8)))
    after = await counts(client)
    await reactions.apply(clicks(*((day, 0) for day in range(90, 50, -1))))

    assert (before, after) == ({20: 1, 8: 7}, {8: 4})
    assert set(await counts(client)) == {0}


def said(number: int, **answers: str) -> Saying:
    given: dict[Topic, str] = {topic: answers[topic] for topic in consent.TOPICS if topic in answers}
    entry = Entry(at_ms=number * 1000, event_id=f"e{number}", by="api", answers=dict(given.items()))
    return Saying("acme", ANA, f"e{number}", consent.change(given, number), entry)


async def test_who_withdraws_is_forgotten_and_not_noted_again_until_they_agree(
    client: Any, reactions: Reactions
) -> None:
    store = ConsentStore(client, P, ConsentRules(client, lambda: 0.0))
    await reactions.apply([*clicks((3, 8)), *clicks((3, 8), ordinal=2), *clicks((3, 8), job=OTHER)])

    await store.record([said(1, email="yes")])
    kept = await counts(client)
    await store.record([said(3, tracking="no")])
    await reactions.apply(clicks((2, 9)))  # what was on its way
    withdrawn = await counts(client)
    await store.record([said(2, tracking="yes")])  # told late: the later answer holds
    await reactions.apply(clicks((2, 10)))
    late = await counts(client)
    await store.record([said(4, tracking="yes")])
    await reactions.apply(clicks((1, 11)))

    assert (kept, withdrawn, late, await counts(client)) == ({8: 1}, {}, {}, {11: 1})
    assert (await counts(client, BO), await counts(client, tenant="other")) == ({8: 1}, {8: 1})


async def test_what_is_older_than_it_may_be_goes(client: Any, reactions: Reactions) -> None:
    await reactions.apply([*clicks((DAYS + 1, 8)), *clicks((DAYS - 1, 8), ordinal=2)])

    assert (await reactions.sweep("acme"), await reactions.sweep("other")) == (1, 0)

    assert (await counts(client), await counts(client, BO)) == ({}, {8: 1})


async def test_with_no_days_nothing_is_noted_and_what_there_is_goes(client: Any, reactions: Reactions) -> None:
    await reactions.apply(clicks((3, 8)))
    off = Reactions(client, P, Recipients(), 0, lambda: NOW_MS)

    await off.apply(clicks((2, 9)))
    kept = await counts(client)
    await off.sweep("acme")

    assert (kept, await counts(client)) == ({8: 1}, {})


# What queueing makes of it


def queueing(client: Any, store: JobStore, publisher: Publisher, hours: Any) -> Queueing:
    return Queueing(
        store,
        ReadyQueues(client, "email"),
        SuppressionList(client, P),
        Sites(),
        publisher,
        Cancels(CancelList(client)),
        P,
        lambda: NOW_MS,
        consents=Consents(client, P, lambda: 0.0),
        usual_hours=hours,
    )


async def stored(client: Any, asked: Timing, rows: Sequence[Waiting], tenant: str = "acme") -> JobStore:
    store = JobStore(client, P, max_intake_chunks=5)
    new = new_job(tenant=tenant, total=len(rows), timing=timing.packed(asked), expires_at_ms=NOW_MS + 3 * DAY_MS)
    assert (await store.store(BULK, new, [(0, pack_waiting(0, rows))], "queueing")).word == "stored"
    return store


class Asked(UsualHoursList):
    """Counts how often it is asked."""

    times = 0

    async def of(self, tenant: str, addresses: Sequence[str]) -> list[UsualHours]:
        self.times += 1
        return await super().of(tenant, addresses)


def counted(hour: str) -> float:
    return REGISTRY.get_sample_value("estafette_queueing_best_hours_total", {"hour": hour}) or 0


async def test_each_gets_it_in_their_hour_and_who_has_none_as_the_job_says(client: Any, reactions: Reactions) -> None:
    mornings, noons = ((9, 8), (8, 8), (7, 8)), ((9, 12), (8, 12))
    await reactions.apply([*clicks(*mornings), *clicks(*noons, ordinal=2)])  # Bo's are too few
    rows = [Waiting(email=email) for email in ("ANA@x.test", BO, "new@x.test")]
    await client.delete(keys.job(2, BULK))
    store = await stored(client, Timing(spread_ms=DAY_MS, best_hour=True), rows)
    before, hours = {word: counted(word) for word in ("known", "unknown")}, Asked(client, P)

    await queueing(client, store, Publisher(client), hours).take(2, await _entries(client, 2))

    waiting = await later(client)
    eight = TODAY_MS + DAY_MS + 8 * HOUR_MS
    assert (
        eight + int(HOUR_MS * timing.place(BULK, 0)) == waiting["ANA@x.test"][0] == waiting["ANA@x.test"][1].not_before
    )
    for ordinal, email in ((1, BO), (2, "new@x.test")):
        assert waiting[email][0] == NOW_MS + int(DAY_MS * timing.place(BULK, ordinal))
    assert {word: counted(word) - count for word, count in before.items()} == {"known": 1, "unknown": 2}
    assert hours.times == 1


async def test_of_whom_nothing_may_be_known_no_hour_is_taken(client: Any, reactions: Reactions) -> None:
    await reactions.apply([*clicks((9, 8), (8, 8), (7, 8)), *clicks((9, 8), (8, 8), (7, 8), ordinal=2)])
    no = consent.Declared(tracking=False).code
    rows = [Waiting(email=ANA, untracked=True), Waiting(email=BO, declared=no)]
    await ConsentStore(client, P, ConsentRules(client, lambda: 0.0)).record([said(1, email="yes")])
    await client.delete(keys.job(2, BULK))
    store = await stored(client, Timing(best_hour=True), rows)

    await queueing(client, store, Publisher(client), UsualHoursList(client, P)).take(2, await _entries(client, 2))

    assert await later(client) == {}


async def test_a_job_that_does_not_ask_and_another_tenant_go_by_no_hour(client: Any, reactions: Reactions) -> None:
    await reactions.apply(clicks((9, 8), (8, 8), (7, 8)))
    await client.delete(keys.job(2, BULK))
    hours = Asked(client, P)
    store = await stored(client, Timing(best_hour=True), [Waiting(email=ANA)], "other")

    await queueing(client, store, Publisher(client), hours).take(2, await _entries(client, 2))
    asked = hours.times
    await client.flushall()
    store = await stored(client, Timing(spread_ms=HOUR_MS), [Waiting(email=ANA)])
    await queueing(client, store, Publisher(client), hours).take(2, await _entries(client, 2))

    assert (asked, hours.times) == (1, 1)
    assert (await later(client))[ANA][0] <= NOW_MS + HOUR_MS


@pytest.mark.parametrize("crash", ["before", "after"])
async def test_what_died_while_it_queued_leaves_each_the_hour_that_was_decided(
    client: Any, reactions: Reactions, crash: str
) -> None:
    await reactions.apply(clicks((9, 8), (8, 8), (7, 8)))
    await client.delete(keys.job(2, BULK))
    store = await stored(client, Timing(best_hour=True), [Waiting(email=ANA)])
    publisher = Publisher(client)
    publisher.crashes = [crash]

    with pytest.raises(Crash):
        await queueing(client, store, publisher, UsualHoursList(client, P)).take(2, await _entries(client, 2))
    await client.hset(keys.job(2, BULK), mapping=job_hash(stream="bulk", test=False))
    await Reactions(client, P, Recipients(), DAYS, lambda: NOW_MS).apply(
        clicks(*((day, 20) for day in range(6, 0, -1)))
    )
    await queueing(client, store, publisher, UsualHoursList(client, P)).take(2, await _entries(client, 2))

    assert (await later(client))[ANA][0] // HOUR_MS == (TODAY_MS + DAY_MS) // HOUR_MS + 8
