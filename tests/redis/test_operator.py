"""What an operator sees and does: sites looked at, suspended, lifted and tried at once, against real ready queues."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.breakers.breakers import Breakers
from services.breakers.store import FigureStore
from services.operator.operator import Act, Operator
from services.operator.sites import Sites
from services.relay.checks.stops import Stops
from services.relay.limits.paces import Paces
from shared.redis import bus, keys, stops
from shared.redis.dead import Place
from shared.redis.heard import Heard, Said
from shared.redis.jobs import New
from shared.redis.moves import MoveList
from shared.redis.ready import Queued, ReadyQueues, Recorded
from shared.redis.stops import INVALID_RATE, Stop, StopList
from shared.redis.tenants import Tenants
from shared.words import events, ids
from shared.words.errors import Problem

P = 2
SITE = "gmail"
JOB = ids.new_job_id(int(time.time() * 1000) - 60_000, b"abcdef", P)
ACT = Act("key:k1", "house", "ticket 4711")
YEAR_MS = 366 * 86_400_000


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture
def operator(client: Any) -> Operator:
    return Operator(client, P, bus.Publisher(client, P, lambda: f"b{time.time_ns()}"), now_ms)


@pytest.fixture
def sites(client: Any) -> Sites:
    return Sites(client, P, now_ms)


def ready(ordinal: int, tenant: str = "acme", job: str = JOB) -> bytes:
    return events.encode(events.Ready(tenant=tenant, job=job, ordinal=ordinal, email=f"r{ordinal}@example.org"))


async def waits(client: Any, count: int, *, site: str = SITE, tenant: str = "acme", lane: int = 1) -> int:
    """So many messages wait at the site, whose partition it is."""
    partition = ids.name_partition(site, P)
    messages = [Queued(lane, site, tenant, ready(n, tenant), now_ms() + YEAR_MS) for n in range(count)]
    await ReadyQueues(client, "email").enqueue(partition, f"{tenant}{lane}{site}", 0, messages)
    return partition


async def deferred(client: Any, count: int, *, site: str = SITE) -> None:
    """So many more wait an hour for another attempt."""
    partition, queues = await waits(client, count, site=site, tenant="later"), ReadyQueues(client, "email")
    leases = (await queues.lease(partition, "r1", 60_000, count, count)).leases
    await queues.record(partition, "r1", [Recorded(one.number, now_ms() + 3_600_000, one.body) for one in leases])


async def leased(client: Any, partition: int) -> int:
    return len((await ReadyQueues(client, "email").lease(partition, "r9", 60_000, 100, 100)).leases)


async def acts(client: Any) -> list[events.Acted]:
    found = []
    for p in range(P):
        for _, fields in await client.xrange(keys.events(p), "-", "+"):
            message = events.decode(fields[b"t"].decode(), fields[b"b"])
            if isinstance(message, events.Acted):
                found.append(message)
    return found


async def refused(call: Awaitable[object]) -> str:
    with pytest.raises(Problem) as caught:
        await call
    return caught.value.word


# Seen


async def test_what_waits_at_a_site_is_seen_by_lane_and_tenant(client: Any, sites: Sites) -> None:
    await deferred(client, 4)
    await waits(client, 3)
    await waits(client, 2, tenant="beta", lane=0)
    await waits(client, 1, site="mx.example.net")

    all_of_them = {one.site: one for one in await sites.all()}
    gmail = all_of_them[SITE]

    assert set(all_of_them) == {SITE, "mx.example.net"}
    assert (gmail.is_provider, gmail.waiting, gmail.deferred, gmail.is_estimate) == (True, 5, 4, False)
    assert gmail.oldest is not None
    assert gmail.next_attempt is not None
    assert [(one.lane, one.tenant, one.waiting, one.deferred) for one in gmail.queues] == [
        ("first", "beta", 2, 0),
        ("bulk", "acme", 3, 0),
        ("bulk", "later", 0, 4),
    ]
    assert await sites.one(SITE) == gmail


async def test_of_very_many_that_wait_for_another_attempt_the_number_is_estimated(client: Any, sites: Sites) -> None:
    partition = ids.name_partition(SITE, P)
    at = now_ms() + 3_600_000
    names = {f"1{SITE}\nacme\n0\nbody {n}": float(at + n) for n in range(2_500)}
    await client.zadd(keys.retry(partition, "email"), names)

    gmail = await sites.one(SITE)

    assert gmail is not None
    assert (gmail.deferred, gmail.is_estimate) == (2_500, True)


async def test_what_holds_a_site_back_and_what_it_said_is_seen(client: Any, sites: Sites) -> None:
    paces, heard = Paces(client), Heard(client)
    await paces.tend()
    await paces.slow_down(SITE, "a1")
    await paces.rest(SITE, "a2", now_ms() + 60_000)
    heard.note(SITE, Said(now_ms(), "mx1.gmail.example", "a1", "421 4.7.28 too fast"))
    heard.note_limits(SITE, "20 connections")
    await heard.tend()

    gmail = await sites.one(SITE)

    assert gmail is not None
    assert [(one.kind, one.source) for one in gmail.holds] == [("rest", "a2")]
    assert [one.source for one in gmail.paces] == ["a1"]
    assert gmail.limits == "20 connections"
    assert [one.reply for one in gmail.replies] == ["421 4.7.28 too fast"]
    assert await sites.one("never.example") is None


# Done


async def test_a_suspended_site_hands_out_nothing_until_it_is_resumed(
    client: Any, operator: Operator, sites: Sites
) -> None:
    partition = await waits(client, 3)
    view = Stops(client, P, StopList(client))

    await operator.suspend_site(SITE, ACT)

    await view.load()
    assert view.holds_site(SITE)
    assert await leased(client, partition) == 0
    gmail = await sites.one(SITE)
    assert gmail is not None
    assert [(one.kind, one.until, one.who, one.why) for one in gmail.holds] == [
        ("suspended", None, "key:k1", "ticket 4711")
    ]
    await operator.resume_site(SITE, ACT)
    await view.load()
    assert not view.holds_site(SITE)
    assert await leased(client, partition) == 3


async def test_a_suspension_may_become_shorter_and_ends_by_itself(client: Any, operator: Operator) -> None:
    partition = await waits(client, 3)
    await operator.suspend_site(SITE, ACT)

    await operator.suspend_site(SITE, Act("key:k1", "house", "a moment", now_ms() + 60_000))

    (stop,) = await StopList(client).some([stops.of_site(SITE)])
    assert stop is not None
    assert stop.until_ms < now_ms() + 60_001
    later = Stops(client, P, StopList(client), lambda: now_ms() + 60_001)
    await later.load()
    assert not later.holds_site(SITE)
    assert await leased(client, partition) == 0


async def test_what_was_suspended_for_a_time_goes_on_and_its_tenant_is_told(client: Any, operator: Operator) -> None:
    await Tenants(client).create("acme")
    until_ms = now_ms() + 60_000
    await operator.suspend_tenant("acme", Act("key:k1", "house", "a moment", until_ms))
    await operator.suspend_site(SITE, Act("key:k1", "house", "a moment", until_ms))
    publisher = bus.Publisher(client, P, lambda: f"c{time.time_ns()}")
    stop_list, figures = StopList(client), FigureStore(client, P)

    await Breakers(figures, stop_list, publisher, now_ms).sweep()
    before = len(await stop_list.all())
    await Breakers(figures, stop_list, publisher, lambda: until_ms + 1).sweep()

    assert (before, await stop_list.all()) == (2, {})
    assert await facts(client, events.Resumed) == [("Resumed", "engine", "")]


async def test_a_source_is_suspended_at_one_site(client: Any, operator: Operator, sites: Sites) -> None:
    partition = await waits(client, 1)
    await operator.suspend_site(SITE, ACT, "a1")
    view = Stops(client, P, StopList(client))
    await view.load()

    gmail = await sites.one(SITE)

    assert view.holds_source(SITE, "a1")
    assert not view.holds_source(SITE, "a2")
    assert not view.holds_site(SITE)
    assert gmail is not None
    assert [(one.kind, one.source) for one in gmail.holds] == [("suspended", "a1")]
    assert await leased(client, partition) == 1


async def test_a_tenant_and_a_job_are_suspended_and_their_tenant_is_told(client: Any, operator: Operator) -> None:
    await Tenants(client).create("acme")
    await stored_job(client)
    view = Stops(client, P, StopList(client))

    await operator.suspend_tenant("acme", ACT)
    await operator.suspend_job(JOB, ACT)

    await view.load()
    assert view.reason(JOB, "acme", "transactional") == "suspended"
    assert view.reason("other", "acme", "bulk") == "suspended"
    assert view.reason("other", "acme", "transactional") is None
    await operator.resume_tenant("acme", ACT)
    await operator.resume_job(JOB, ACT)
    assert await StopList(client).all() == {}
    assert sorted(await facts(client, events.Stopped, events.Resumed)) == [
        ("Resumed", "operator", ""),
        ("Resumed", "operator", JOB),
        ("Stopped", "operator", ""),
        ("Stopped", "operator", JOB),
    ]


async def test_what_a_breaker_stopped_is_not_suspended_over_and_a_pause_is(client: Any, operator: Operator) -> None:
    await Tenants(client).create("acme")
    name = stops.of_tenant("acme")
    await StopList(client).add(name, Stop(INVALID_RATE, "acme", now_ms(), "engine", bad=1, of=2))

    assert await refused(operator.suspend_tenant("acme", ACT)) == "already_stopped"
    assert await refused(operator.resume_tenant("acme", ACT)) == "not_suspended"

    await client.delete(keys.stops())
    await StopList(client).add(name, Stop(stops.PAUSED, "acme", now_ms(), "tenant"))
    await operator.suspend_tenant("acme", ACT)
    (stop,) = await StopList(client).some([name])
    assert stop is not None
    assert (stop.reason, stop.needs_consent) == ("suspended", True)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda one: one.suspend_tenant("nobody", ACT), "unknown_tenant"),
        (lambda one: one.suspend_job("nonsense", ACT), "unknown_job"),
        (lambda one: one.suspend_job(JOB, ACT), "unknown_job"),
        (lambda one: one.resume_site(SITE, ACT), "not_suspended"),
        (lambda one: one.lift(SITE, ACT), "nothing_held"),
        (lambda one: one.suspend_site(SITE, Act("key:k1", "house", "why", 1)), "already_over"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_told_to_nobody(
    client: Any, operator: Operator, call: Callable[[Operator], Awaitable[object]], word: str
) -> None:
    assert await refused(call(operator)) == word
    assert await acts(client) == []
    assert await StopList(client).all() == {}


async def test_what_relays_found_out_is_lifted_and_an_operators_word_is_not(client: Any, operator: Operator) -> None:
    partition = await waits(client, 2)
    paces = Paces(client)
    await paces.tend()
    await paces.slow_down(SITE, "a1")
    await paces.rest(SITE, "a1", now_ms() + 60_000)
    await paces.rest("elsewhere", "a1", now_ms() + 60_000)
    await ReadyQueues(client, "email").hold(partition, SITE, now_ms() + 60_000)

    await operator.lift(SITE, ACT)

    await paces.tend()
    assert paces.pace(SITE, "a1") is None
    assert not paces.resting(SITE, "a1")
    assert paces.resting("elsewhere", "a1")
    await operator.suspend_site(SITE, ACT)
    await paces.rest(SITE, "a1", now_ms() + 60_000)
    await operator.lift(SITE, ACT)
    assert await leased(client, partition) == 0
    await operator.resume_site(SITE, ACT)
    assert await leased(client, partition) == 2


async def test_what_waits_for_another_attempt_is_due_at_once(client: Any, operator: Operator, sites: Sites) -> None:
    await deferred(client, 450)
    await deferred(client, 3, site="mx.example.net")

    done = await operator.requeue(SITE, ACT)

    assert (done.messages, done.more) == (450, False)
    gmail, other = await sites.one(SITE), await sites.one("mx.example.net")
    assert gmail is not None
    assert other is not None
    assert (gmail.waiting, gmail.deferred) == (450, 0)
    assert (other.waiting, other.deferred) == (0, 3)


async def test_each_action_is_an_event_that_says_who_and_why_and_until_when(client: Any, operator: Operator) -> None:
    until_ms = now_ms() + 60_000
    await operator.suspend_site(SITE, Act("key:k1", "house", "ticket 4711", until_ms))
    await operator.resume_site(SITE, Act("ana@host", "", "mended"))

    told = sorted(await acts(client), key=lambda one: one.occurred_at)

    assert [(one.action, one.target, one.who, one.why, one.until_at, one.tenant) for one in told] == [
        ("suspend", "site:gmail", "key:k1", "ticket 4711", until_ms, "house"),
        ("resume", "site:gmail", "ana@host", "mended", 0, ""),
    ]


async def stored_job(client: Any, job: str = JOB, tenant: str = "acme") -> None:
    from services.queueing.store import JobStore

    new = New(
        tenant=tenant,
        stream="bulk",
        content=b"",
        total=0,
        send_at_ms=0,
        expires_at_ms=now_ms() + YEAR_MS,
        max_age_ms=YEAR_MS,
        rate="",
        at_most_once=False,
        test=False,
        sender="a@acme.example",
        subject="Hello",
        list="",
        category="",
        tags=(),
    )
    await JobStore(client, P, 1_000).store(job, new, [], "open")


async def facts(client: Any, *kinds: type[events.Stopped | events.Resumed]) -> list[tuple[str, str, str]]:
    found = []
    for p in range(P):
        for _, fields in await client.xrange(keys.events(p), "-", "+"):
            message = events.decode(fields[b"t"].decode(), fields[b"b"])
            if isinstance(message, kinds):
                found.append((type(message).__name__, message.by, message.job))
    return found


# Dead entries


async def bury(client: Any, place: Place, name: str, body: bytes, origin: str = "somewhere", version: int = 1) -> str:
    """The name of a new dead entry."""
    fields = {"t": name, "v": version, "b": body, "reason": "too new", "origin": origin}
    return f"{place.name}.{(await client.xadd(place.dead, fields)).decode()}"


async def test_dead_entries_are_listed_in_pages_over_all_streams(client: Any, operator: Operator) -> None:
    delivered = events.Delivered(**events.about_message("acme", JOB, 0, now_ms(), "delivered"))
    names = [
        await bury(client, place, "Delivered", events.encode(delivered))
        for place in (Place("intake", 1, 0), Place("intake", 1, 1), Place("ready", 0), Place("events", 0))
        for _ in range(3)
    ]

    seen: list[str] = []
    while page := await operator.dead(None, seen[-1] if seen else "", 5):
        seen += [one.name for one in page]

    assert seen == names
    assert [one.name for one in await operator.dead("events", "", 10)] == names[-3:]
    entry = await operator.dead_entry(names[0])
    assert (entry.reason, entry.origin, entry.entry.message()) == ("too new", "somewhere", delivered)


async def test_a_dead_fact_is_put_back_for_all_readers_and_is_dead_no_more(client: Any, operator: Operator) -> None:
    fact = events.Delivered(**events.about_message("acme", JOB, 0, now_ms(), "delivered"))
    name = await bury(client, Place("events", 1), "Delivered", events.encode(fact))

    done = await operator.replay(name, ACT)

    assert done.messages == 1
    ((_, fields),) = [one for one in await client.xrange(keys.events(1), "-", "+") if one[1][b"t"] == b"Delivered"]
    assert fields == {b"t": b"Delivered", b"v": b"1", b"b": events.encode(fact)}
    assert await refused(operator.replay(name, ACT)) == "unknown_entry"
    assert await operator.dead(None, "", 10) == []


async def test_a_dead_message_goes_to_its_site_again_once(client: Any, operator: Operator) -> None:
    partition = ids.name_partition(SITE, P)
    await stored_job(client)
    name = await bury(client, Place("ready", partition), "Ready", ready(7), SITE)

    await operator.replay(name, ACT)

    (lease,) = (await ReadyQueues(client, "email").lease(partition, "r9", 60_000, 10, 10)).leases
    assert (lease.site, lease.lane, lease.queue, lease.body) == (SITE, 1, "acme", ready(7))
    assert await operator.dead(None, "", 10) == []


async def test_what_cannot_be_understood_is_not_replayed_and_may_be_dropped(client: Any, operator: Operator) -> None:
    newer = await bury(client, Place("events", 0), "Delivered", b"\x90", version=2)
    garbage = await bury(client, Place("intake", 0, 1), "Intake", b"\xc1")

    assert await refused(operator.replay(newer, ACT)) == "cannot_replay"
    assert await refused(operator.replay(garbage, ACT)) == "cannot_replay"
    assert [one.name for one in await operator.dead(None, "", 10)] == [garbage, newer]
    await operator.drop(newer, ACT)
    assert await refused(operator.drop(newer, ACT)) == "unknown_entry"
    assert [one.name for one in await operator.dead(None, "", 10)] == [garbage]


@pytest.mark.parametrize("name", ["", "events", "events.9.1-0", "events.0.1.1-0", "intake.0.1-0", "other.0.1-0"])
async def test_a_name_of_no_entry_is_unknown(operator: Operator, name: str) -> None:
    assert await refused(operator.dead_entry(name)) == "unknown_entry"


# Moved


async def test_mail_for_a_site_is_moved_to_a_pool_that_relays_know_and_back(client: Any, operator: Operator) -> None:
    await Tenants(client).create("acme")
    await MoveList(client).know_pools(["default", "reserve", "slow"])
    view = Stops(client, P, StopList(client))

    await operator.move(SITE, "reserve", ACT)
    await operator.move(SITE, "slow", Act("key:k1", "house", "why", now_ms() + 60_000), "acme")

    await view.load()
    assert (view.pool_of(SITE, "beta"), view.pool_of(SITE, "acme")) == ("reserve", "slow")
    assert view.pool_of("elsewhere.example", "acme") == ""
    later = Stops(client, P, StopList(client), lambda: now_ms() + 60_001)
    await later.load()
    assert later.pool_of(SITE, "acme") == "reserve"
    await operator.move_back(SITE, ACT)
    await view.load()
    assert view.pool_of(SITE, "beta") == ""
    assert await refused(operator.move_back(SITE, ACT)) == "not_moved"
    assert [one.target for one in await acts(client)] == [
        "site:gmail", "site:gmail tenant:acme", "site:gmail",
    ]  # fmt: skip


async def test_nothing_is_moved_to_a_pool_that_no_relay_knows(client: Any, operator: Operator) -> None:
    await MoveList(client).know_pools(["default"])

    assert await refused(operator.move(SITE, "reserve", ACT)) == "unknown_pool"
    assert await refused(operator.move(SITE, "default", ACT, "nobody")) == "unknown_tenant"
    assert await refused(operator.move(SITE, "default", Act("key:k1", "house", "why", 1))) == "already_over"
    assert await MoveList(client).all() == {}
