"""The suppression list in a real Redis and a real cluster: written, looked up, listed, and served over HTTP."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp import test_utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from services.suppression import http, operators
from services.suppression.store import Addition, Chosen, Lists, Removal
from services.suppression.suppression import Suppression
from shared.http import api
from shared.redis import bus, keys, redis
from shared.redis.addressed import Place
from shared.redis.recipients import Recipients, Waiting, pack_slim
from shared.redis.suppression import Asked, SuppressionList, normalised
from shared.redis.tenants import Tenants
from shared.words import events, ids, scopes
from shared.words.scopes import CHANNELS, REASONS, Entry, Reason

PARTITIONS = 3
NOW_MS = 1_700_000_000_123
JOB = ids.new_job_id(1_700_000_000_000, b"chance", PARTITIONS)


@pytest.fixture
def lists(client: Any) -> Lists:
    return Lists(client, PARTITIONS)


@pytest.fixture
def lookup(client: Any) -> SuppressionList:
    return SuppressionList(client, PARTITIONS)


async def _no_bounces(_tenant: str, _address: str) -> None:
    """Nobody has a count here."""


def addition(
    address: str,
    reason: Reason = "manual",
    event: str = "",
    tenant: str = "acme",
    at_ms: int = 5,
    said: str = "",
    scope: str = "all",
    **more: Any,
) -> Addition:
    event = event or f"{address}{reason}{scope}"
    return Addition(tenant, address, reason, at_ms, scope, event=event, diagnostic=said, **more)


async def removed(lists: Lists, address: str, tenant: str = "acme", **which: Any) -> list[tuple[str, str, str]]:
    """Channel, scope and reason of each entry that is gone."""
    (one,) = await lists.remove([Removal(tenant, address, 9, "api", "r", **which)])
    return [(entry.channel, entry.scope, entry.reason) for entry in one.gone]


async def shown(lookup: SuppressionList, address: str, tenant: str = "acme") -> list[tuple[str, str, str]]:
    (one,) = await lookup.listed(tenant, [address])
    return [(entry.channel, entry.scope, entry.reason) for entry in one.entries]


async def facts(client: Any) -> list[events.Fact]:
    """All events, over all partitions."""
    found = []
    for partition in range(PARTITIONS):
        for number, fields in await client.xrange(keys.events(partition)):
            fact = bus.entry(number, fields).message()
            assert isinstance(fact, events.Fact)
            assert bus.fact_partition(fact, PARTITIONS) == partition
            found.append(fact)
    return found


async def told(client: Any) -> list[tuple[str, str | None]]:
    """Name and address of the events about addresses, over all partitions."""
    return sorted(((type(fact).__name__, fact.email) for fact in await facts(client)), key=str)


def of(tenant: str, address: str) -> Asked:
    return Asked(tenant, address, "email", "bulk", "")


STREAMS = ("bulk", "transactional", "one_to_one")


async def stopped(lookup: SuppressionList, address: str, tenant: str = "acme") -> dict[tuple[str, str, str], str]:
    """By channel, stream and list the reason for which the address gets nothing, where it does."""
    everything = list(itertools.product(CHANNELS, STREAMS, ("", "news", "offers")))
    found = await lookup.check([Asked(tenant, address, *one) for one in everything])
    return {one: reason for one, reason in zip(everything, found, strict=True) if reason is not None}


async def test_who_left_a_list_gets_all_else_and_who_is_not_there_gets_nothing(
    lists: Lists, lookup: SuppressionList
) -> None:
    await lists.add([
        addition("left@b.example", "unsubscribed", scope="list:news"),
        addition("complained@b.example", "complaint", scope="marketing"),
        addition("nobody@b.example", "hard_bounce"),
        addition("called@b.example", "objected", scope="all", channel="phone"),
    ])  # fmt: skip

    bulk = {("email", "bulk", name) for name in ("", "news", "offers")}
    assert await stopped(lookup, "left@b.example") == {("email", "bulk", "news"): "unsubscribed"}
    assert await stopped(lookup, "complained@b.example") == dict.fromkeys(bulk, "complaint")
    assert len(await stopped(lookup, "nobody@b.example")) == 9
    assert {channel for channel, _, _ in await stopped(lookup, "called@b.example")} == {"phone"}


async def test_what_has_expired_stops_nothing_and_is_new_when_it_comes_again(client: Any) -> None:
    now_ms = int((await client.time())[0]) * 1000
    lookup = SuppressionList(client, PARTITIONS, lambda: now_ms + 2_000)
    lists = Lists(client, PARTITIONS)
    await lists.add([addition("a@b.example", "manual", "e1", expires_ms=now_ms + 60_000)])
    assert await lookup.check([of("acme", "a@b.example")]) == ["manual"]
    assert await lists.add([addition("a@b.example", "manual", "e2", expires_ms=now_ms + 1_000)]) == [False]

    later = SuppressionList(client, PARTITIONS, lambda: now_ms + 60_000)
    assert await later.check([of("acme", "a@b.example")]) == [None]
    assert (await later.listed("acme", ["a@b.example"]))[0].entries == ()
    assert await Lists(client, PARTITIONS, lambda: now_ms + 60_000).page("acme", Place(), 9) == ([], None)

    assert await lists.add([addition("c@d.example", "manual", expires_ms=now_ms - 1)]) == [False]
    assert await shown(lookup, "c@d.example") == []


async def test_an_entry_that_expired_is_new_and_told_when_it_comes_again(client: Any, lists: Lists) -> None:
    expires_s = int((await client.time())[0]) + 1
    await lists.add([addition("a@b.example", "manual", "e1", expires_ms=expires_s * 1000)])
    while (await client.time())[0] < expires_s:  # noqa: ASYNC110 - Redis's time
        await asyncio.sleep(0.02)

    assert await lists.add([addition("a@b.example", "hard_bounce", "e2", at_ms=7)]) == [True]

    (one,) = await SuppressionList(client, PARTITIONS).listed("acme", ["a@b.example"])
    assert [(entry.reason, entry.first_ms, entry.expires_ms) for entry in one.entries] == [("hard_bounce", 7, 0)]
    assert await told(client) == [("Suppressed", "a@b.example")] * 2


async def test_what_the_operator_lists_holds_for_every_tenant(client: Any, lists: Lists) -> None:
    await lists.add(
        [addition("a@b.example", "compliance", tenant=""), addition("a@b.example", "manual", tenant="acme")]
    )
    await lists.add([addition("c@d.example", "compliance", tenant="", scope="marketing")])

    lookup = SuppressionList(client, PARTITIONS)
    assert await lookup.check([of("acme", "A@b.example"), of("other", "a@b.example")]) == ["compliance"] * 2
    assert await lookup.check([of("other", "c@d.example"), of("other", "e@f.example")]) == ["compliance", None]
    assert await lookup.check([Asked("other", "c@d.example", "email", "transactional", "")]) == [None]
    assert await lists.page("other", Place(), 10) == ([], None)


async def test_what_the_operator_lists_first_holds_within_a_second(client: Any, lists: Lists) -> None:
    now_ms = 1_790_000_000_000
    lookup = SuppressionList(client, PARTITIONS, lambda: now_ms)
    assert await lookup.check([of("acme", "a@b.example")]) == [None]

    await lists.add([addition("a@b.example", "compliance", tenant="")])
    now_ms += 1000

    assert await lookup.check([of("acme", "a@b.example")]) == ["compliance"]


async def test_only_an_operator_takes_back_what_an_operator_said(lists: Lists, lookup: SuppressionList) -> None:
    await lists.add([addition("a@b.example", "compliance"), addition("a@b.example", "complaint", scope="marketing")])

    (one,) = await lists.remove([Removal("acme", "a@b.example", 9, "api", "r")])
    (two,) = await lists.remove([Removal("acme", "a@b.example", 9, "api", "r")])

    assert [[entry.reason for entry in some] for some in (one.gone, one.kept)] == [["complaint"], ["compliance"]]
    assert (two.gone, two.kept) == ((), one.kept)
    assert await removed(lists, "a@b.example", by_operator=True) == [("email", "all", "compliance")]
    assert await shown(lookup, "a@b.example") == []


async def test_what_is_removed_is_what_was_asked_for(client: Any, lists: Lists, lookup: SuppressionList) -> None:
    await lists.add([
        addition("a@b.example", "hard_bounce"),
        addition("a@b.example", "complaint", scope="marketing"),
        addition("a@b.example", "unsubscribed", scope="list:news"),
        addition("a@b.example", "unsubscribed", scope="list:offers"),
        addition("a@b.example", "objected", scope="marketing", channel="sms"),
    ])  # fmt: skip

    assert await removed(lists, "a@b.example", scope="list:news") == [("email", "list:news", "unsubscribed")]
    assert await removed(lists, "a@b.example", scope="list:news") == []
    assert await removed(lists, "a@b.example", channel="sms") == [("sms", "marketing", "objected")]
    gone = await removed(lists, "a@b.example", reasons=frozenset(("hard_bounce", "soft_bounces")))
    assert gone == [("email", "all", "hard_bounce")]
    assert await shown(lookup, "a@b.example") == [
        ("email", "marketing", "complaint"),
        ("email", "list:offers", "unsubscribed"),
    ]
    assert len(await removed(lists, "a@b.example")) == 2
    assert await told(client) == [("Reactivated", "a@b.example")] * 5 + [("Suppressed", "a@b.example")] * 5


async def test_many_are_added_and_removed_at_once_without_a_word_of_each(
    client: Any, lists: Lists, lookup: SuppressionList
) -> None:
    everybody = [f"r{number}@example.org" for number in range(3000)]
    wanted = [Addition("acme", one, "unsubscribed", 7, source="import", is_told=False) for one in everybody]

    assert await lists.add(wanted) == [True] * 3000
    assert await lists.add(wanted) == [False] * 3000
    gone = await lists.remove([Removal("acme", one, 9, "import", "r", is_told=False) for one in everybody[::2]])

    assert [len(one.gone) for one in gone] == [1] * 1500
    assert await lookup.check([of("acme", one) for one in everybody]) == [None, "unsubscribed"] * 1500
    assert await told(client) == []
    page, _ = await lists.page("acme", Place(), 1)
    assert [(entry.source, entry.first_ms) for entry in page[0].entries] == [("import", 7)]


async def test_a_scope_that_is_none_is_refused_before_anything_is_stored(lists: Lists, lookup: SuppressionList) -> None:
    with pytest.raises(ValueError, match="`marketing`"):
        await lists.add([addition("a@b.example"), addition("c@d.example", scope="some")])

    assert await shown(lookup, "a@b.example") == []


async def test_a_page_shows_whom_it_is_asked_for(lists: Lists) -> None:
    everybody = [f"r{number}@example.org" for number in range(300)]
    await lists.add([addition(one, "unsubscribed", scope="list:news") for one in everybody])
    await lists.add([addition(one, "complaint", scope="marketing") for one in everybody[::50]])
    await lists.add([addition(everybody[1], "objected", scope="all", channel="sms")])

    async def all_of(chosen: Chosen, limit: int) -> list[str]:
        found: list[str] = []
        place: Place | None = Place()
        while place is not None:
            page, place = await lists.page("acme", place, limit, chosen)
            assert len(page) <= limit
            found += [one.address for one in page]
        return sorted(found)

    for limit in (1, 7, 1000):
        assert await all_of(Chosen("complaint"), limit) == sorted(everybody[::50])
        assert await all_of(Chosen(None, "sms"), limit) == [everybody[1]]
        assert await all_of(Chosen("unsubscribed", "email", "list:news"), limit) == sorted(everybody)
        assert await all_of(Chosen("unsubscribed", None, "list:other"), limit) == []


async def test_who_is_listed_is_found_by_any_spelling_in_the_tenants_own_list(
    lists: Lists, lookup: SuppressionList
) -> None:
    await lists.add([addition("a@b.example", "hard_bounce"), addition("c@d.example", "complaint", tenant="other")])

    found = await lookup.check([
        of("acme", "A@B.example"), of("acme", "c@d.example"), of("other", "c@d.example"), of("other", "a@b.example"),
        of("nobody", "a@b.example"), of("acme", "a@b.example"),
    ])  # fmt: skip

    assert found == ["hard_bounce", None, "complaint", None, None, "hard_bounce"]
    assert await lookup.check([]) == []
    assert await shown(lookup, "A@b.example") == [("email", "all", "hard_bounce")]
    assert await shown(lookup, "A@b.example", "other") == []


async def test_thousands_are_looked_up_at_once(lists: Lists, lookup: SuppressionList) -> None:
    everybody = [f"r{number}@example.org" for number in range(3000)]

    entered = await lists.add([addition(address) for address in everybody[::3]])
    found = await lookup.check([of("acme", address) for address in everybody])

    assert entered == [True] * 1000
    assert found == ["manual", None, None] * 1000


async def test_entering_and_leaving_are_told_once_each(client: Any, lists: Lists, lookup: SuppressionList) -> None:
    assert await lists.add([addition("a@b.example", "unsubscribed", "e1")]) == [True]
    assert await lists.add([addition("a@b.example", "hard_bounce", "e2")]) == [False]
    assert await removed(lists, "a@b.example")
    assert not await removed(lists, "a@b.example")

    assert await told(client) == [("Reactivated", "a@b.example"), ("Suppressed", "a@b.example")]
    assert await lookup.check([of("acme", "a@b.example")]) == [None]
    assert await lists.page("acme", Place(), 10) == ([], None)


async def test_a_repeated_fact_does_not_list_again_who_was_removed_since(
    client: Any, lists: Lists, lookup: SuppressionList
) -> None:
    left = addition("a@b.example", "unsubscribed", "e1")
    await lists.add([left])
    await removed(lists, "a@b.example")

    assert await lists.add([left]) == [False]

    assert await lookup.check([of("acme", "a@b.example")]) == [None]
    assert len(await told(client)) == 2


async def test_who_leaves_again_by_the_same_link_is_listed_again(lists: Lists, lookup: SuppressionList) -> None:
    await lists.add([addition("a@b.example", "unsubscribed", "e1", at_ms=5)])
    await removed(lists, "a@b.example")

    assert await lists.add([addition("a@b.example", "unsubscribed", "e1", at_ms=20)]) == [True]

    assert await lookup.check([of("acme", "a@b.example")]) == ["unsubscribed"]


@pytest.mark.parametrize(("first", "second"), list(itertools.product(REASONS, REASONS)))
async def test_the_stronger_reason_holds_and_the_last_diagnostic(redis_url: str, first: Reason, second: Reason) -> None:
    client: Any = redis.connect(redis_url)
    stronger = max((first, second, "hard_bounce"), key=REASONS.index)
    by = {first: "e1", second: "e1" if first == second else "e2"}.get(stronger, "e3")

    await Lists(client, PARTITIONS).add([
        addition("a@b.example", first, "e1", at_ms=1_700_000_000_123, said="é first"),
        addition("a@b.example", second, "e2", at_ms=1_800_000_000_456, said="second"),
        addition("a@b.example", "hard_bounce", "e3", at_ms=1_900_000_000_000, said=""),
    ])  # fmt: skip
    (one,) = await SuppressionList(client, PARTITIONS).listed("acme", ["a@b.example"])
    await redis.close(client)

    (entry,) = one.entries
    assert (entry.reason, entry.first_ms, entry.last_ms) == (stronger, 1_700_000_000_123, 1_900_000_000_000)
    assert (one.said_of(entry).event, one.said_of(entry).diagnostic) == (by, "second")


async def test_the_last_diagnostic_of_who_was_taken_back_is_there_when_they_come_again(
    lists: Lists, lookup: SuppressionList
) -> None:
    await lists.add([addition("a@b.example", "hard_bounce", "e1", said="550 5.1.1 nobody")])
    await removed(lists, "a@b.example")

    await lists.add([Addition("acme", "a@b.example", "hard_bounce", 20, source="import")])

    (one,) = await lookup.listed("acme", ["a@b.example"])
    assert one.said_of(one.entries[0]).diagnostic == "550 5.1.1 nobody"
    assert one.said_of(one.entries[0]).event == ""


async def test_listing_shows_each_address_once_page_by_page(lists: Lists) -> None:
    everybody = {f"r{number}@example.org" for number in range(57)}
    await lists.add([addition(address) for address in everybody] + [addition("x@y.example", tenant="other")])

    for limit in (1, 7, 57, 1000):
        seen: list[str] = []
        place: Place | None = Place()
        while place is not None:
            page, place = await lists.page("acme", place, limit)
            assert len(page) <= limit
            seen += [listed.address for listed in page]
        assert sorted(seen) == sorted(everybody)


ADDRESSES = [f"{letter}@example.org" for letter in "abcdefghijklmnop"]
Step = tuple[str, int]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(["add", "remove", "page"]), st.integers(0, 15)), max_size=40),
    limit=st.integers(1, 5),
)
async def test_listing_is_stable_while_addresses_come_and_go(redis_url: str, steps: list[Step], limit: int) -> None:
    """Who is there from the first page to the last is shown exactly once, whatever else happens in between."""
    client: Any = redis.connect(redis_url)
    await client.flushall()
    lists, sources = Lists(client, PARTITIONS), itertools.count()
    there = set(ADDRESSES[::2])
    await lists.add([addition(address) for address in there])
    throughout, seen = set(there), []
    place: Place | None = Place()
    for word, number in steps:
        address = ADDRESSES[number]
        if word == "add":
            await lists.add([addition(address, event=f"again{next(sources)}")])
            there.add(address)
        elif word == "remove":
            assert bool(await removed(lists, address)) == (address in there)
            there.discard(address)
            throughout.discard(address)
        elif place is not None:
            page, place = await lists.page("acme", place, limit)
            seen += [listed.address for listed in page]
    while place is not None:
        page, place = await lists.page("acme", place, limit)
        seen += [listed.address for listed in page]
    await redis.close(client)

    assert len(seen) == len(set(seen))
    assert throughout <= set(seen)


SCOPES = ("all", "marketing", "list:news", "list:offers")
ADD = st.tuples(
    st.sampled_from(REASONS), st.sampled_from(SCOPES), st.sampled_from(CHANNELS), st.integers(1, 9), st.booleans()
)
REMOVE = st.tuples(st.sampled_from((None, *CHANNELS)), st.sampled_from((None, *SCOPES)))
Model = dict[tuple[str, str, str, str], Entry]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(("acme", "other", "")), st.integers(0, 3), st.one_of(ADD, REMOVE)), max_size=30
    ),
    repeats=st.lists(st.integers(0, 29), max_size=15),
)
async def test_the_lists_are_what_a_plain_model_says_under_any_repeats(
    redis_url: str, steps: list[tuple[str, int, Any]], repeats: list[int]
) -> None:
    """Of tenants that know nothing of each other, and of the operator, whose list holds for both."""
    client: Any = redis.connect(redis_url)
    await client.flushall()
    lists = Lists(client, PARTITIONS)
    model: Model = {}
    applied: set[str] = set()
    entered = left = 0
    for tenant, number, what in [*steps, *(steps[index] for index in repeats if index < len(steps))]:
        address = ADDRESSES[number]
        if len(what) == 2:
            gone = await removed(lists, address, tenant, channel=what[0], scope=what[1])
            left += len(gone)
            expected = [
                place
                for place, entry in model.items()
                if place[:2] == (tenant, address)
                if what[0] in (None, place[2]) and what[1] in (None, place[3]) and entry.reason != "compliance"
            ]
            assert sorted((channel, scope) for channel, scope, _ in gone) == sorted(place[2:] for place in expected)
            for place in expected:
                del model[place]
            continue
        reason, scope, channel, at_ms, is_fact = what
        event = f"{what}{tenant}{number}" if is_fact else ""
        added = Addition(tenant, address, reason, at_ms, scope, channel, event=event)
        (is_new,) = await lists.add([added])
        entered += is_new
        if event in applied:
            assert not is_new
            continue
        applied |= {event} if event else set()
        place = (tenant, address, channel, scope)
        made = scopes.entry(reason, scope, channel=channel, at_ms=at_ms)
        assert is_new == (place not in model)
        model[place] = scopes.merged(model[place], made, 100) if place in model else made
    found = {
        (tenant, one.address, entry.channel, entry.scope): entry
        for tenant in ("acme", "other", "")
        for one in (await lists.page(tenant, Place(), 1000))[0]
        for entry in one.entries
    }
    asked = [
        Asked(tenant, address, channel, stream, name)
        for tenant in ("acme", "other", "nobody") for address in ADDRESSES[:4]
        for channel in CHANNELS for stream in ("bulk", "transactional") for name in ("", "news", "offers")
    ]  # fmt: skip
    checked = await SuppressionList(client, PARTITIONS).check(asked)
    tellings = await told(client)
    await redis.close(client)

    assert found == model
    for one, reason in zip(asked, checked, strict=True):
        of_both = [entry for place, entry in model.items() if place[0] in (one.tenant, "") and place[1] == one.address]
        assert reason == scopes.stops(of_both, one.channel, one.stream, one.list, 100)
    assert (entered, left) == tuple(sum(name == word for name, _ in tellings) for word in ("Suppressed", "Reactivated"))


# The way from the stream to the list


async def test_who_leaves_is_on_the_list_within_a_second(client: Any, lists: Lists, lookup: SuppressionList) -> None:
    partition = ids.job_partition(JOB, PARTITIONS)
    await client.zadd(keys.job_recipients(partition, JOB), {pack_slim(0, [Waiting(email="A@b.example")] * 10): 0})
    await client.hset(keys.job(partition, JOB), mapping={"tenant": "acme", "list": "news", "stream": "bulk"})
    suppression = Suppression(lists, Recipients(client, PARTITIONS), lambda: 0)
    consumer = bus.Consumer(client, PARTITIONS, keys.events, keys.GROUP_SUPPRESSION, "one", suppression.apply)
    names = (f"batch{number}" for number in itertools.count())
    publisher = bus.Publisher(client, PARTITIONS, lambda: next(names))
    stopping = asyncio.Event()
    await consumer.create_groups()
    running = asyncio.create_task(consumer.run(stopping))

    await publisher.publish(
        [events.Unsubscribed(event_id="u", occurred_at=1, tenant="acme", job=JOB, ordinal=3, by="one_click")]
    )
    async with asyncio.timeout(60):
        while await lookup.check([Asked("acme", "a@b.example", "email", "bulk", "news")]) == [None]:  # noqa: ASYNC110 - Redis's state
            await asyncio.sleep(0.005)
    stopping.set()
    await running

    (one,) = await lookup.listed("acme", ["a@b.example"])
    (entry,) = one.entries
    assert entry == scopes.entry("unsubscribed", "list:news", at_ms=1)
    said = one.said_of(entry)
    assert (said.event, said.job, said.ordinal, said.diagnostic) == ("u", JOB, 3, "one_click")
    assert await lookup.check([of("acme", "a@b.example")]) == [None]
    assert await told(client) == [("Suppressed", "a@b.example"), ("Unsubscribed", None)]
    for p in range(PARTITIONS):
        assert (await client.xpending(keys.events(p), keys.GROUP_SUPPRESSION))["pending"] == 0


# HTTP


class Caller:
    def __init__(self, site: test_utils.TestClient[Any, Any], key: str) -> None:
        self._site = site
        self._headers = {"Authorization": f"Bearer {key}"}

    async def __call__(self, method: str, path: str | URL, **options: Any) -> tuple[int, Any]:
        async with self._site.request(method, path, headers=self._headers, **options) as answer:
            return answer.status, (await answer.json(content_type=None)) if answer.status != 204 else None


@pytest.fixture
async def callers(client: Any) -> AsyncIterator[dict[str, Caller]]:
    tenants = Tenants(client)
    made: dict[str, str] = {}
    for tenant in ("acme", "other"):
        await tenants.create(tenant)
        made[tenant] = (await tenants.create_key(tenant, ["read", "suppress"]))[1]
    made["reader"] = (await tenants.create_key("acme", ["read"]))[1]
    made["operator"] = (await tenants.create_key("other", ["operator"]))[1]
    numbers = itertools.count()
    lists, lookup = Lists(client, PARTITIONS, lambda: NOW_MS), SuppressionList(client, PARTITIONS, lambda: NOW_MS)
    desk = http.Desk(lists, lookup, PARTITIONS, lambda: NOW_MS, lambda: f"{next(numbers):016x}", _no_bounces)
    publisher = bus.Publisher(client, PARTITIONS, lambda: f"batch{next(numbers)}")
    app = api.application(
        [*http.routes(desk), *operators.routes(desk, tenants, publisher)], tenants, max_body_bytes=10_000
    )
    async with test_utils.TestClient(test_utils.TestServer(app)) as site:
        yield {name: Caller(site, key) for name, key in made.items()}


async def test_an_address_is_put_shown_and_deleted(client: Any, callers: dict[str, Caller]) -> None:
    acme = callers["acme"]
    expected = {
        "address": "ana+list@example.org",
        "reason": "manual",
        "since": "2023-11-14T22:13:20.123Z",
        "event_id": None,
        "message": None,
        "diagnostic": "asked by phone",
        "entries": [
            {
                "channel": "email",
                "scope": "all",
                "reason": "manual",
                "source": "api",
                "since": "2023-11-14T22:13:20.123Z",
                "last": "2023-11-14T22:13:20.123Z",
                "expires_at": None,
                "event_id": None,
                "message": None,
                "diagnostic": "asked by phone",
            }
        ],
    }

    status, problem = await acme("GET", "/v1/suppressions/ana%2Blist@example.org")
    assert (status, problem["type"]) == (404, "urn:estafette:problem:unknown_suppression")
    put = await acme("PUT", "/v1/suppressions/Ana%2BList%40EXAMPLE.org", json={"note": "asked by phone"})
    assert put == (201, expected)
    assert await acme("PUT", "/v1/suppressions/ana+list@example.org") == (200, expected)
    assert await acme("GET", "/v1/suppressions/ANA+list@example.org") == (200, expected)
    assert (await callers["other"]("GET", "/v1/suppressions/ana+list@example.org"))[0] == 404
    assert (await callers["other"]("DELETE", "/v1/suppressions/ana+list@example.org"))[0] == 404
    assert (await callers["reader"]("DELETE", "/v1/suppressions/ana+list@example.org"))[0] == 403
    assert (await callers["reader"]("GET", "/v1/suppressions/ana+list@example.org"))[0] == 200
    assert (await acme("DELETE", "/v1/suppressions/ana+list@example.org"))[0] == 204
    assert (await acme("DELETE", "/v1/suppressions/ana+list@example.org"))[0] == 404
    assert await told(client) == [("Reactivated", "ana+list@example.org"), ("Suppressed", "ana+list@example.org")]


async def test_an_address_is_listed_for_one_list_and_for_a_time_and_taken_off_it_alone(
    callers: dict[str, Caller], client: Any
) -> None:
    acme, path = callers["acme"], "/v1/suppressions/ana@example.org"
    of_list = {"reason": "unsubscribed", "scope": "list:news", "note": "by telephone"}
    for_a_time = {"channel": "sms", "expires_at": "2036-01-31T10:00:00Z"}

    assert (await acme("PUT", path, json=of_list))[0] == 201
    assert (await acme("PUT", path, json=for_a_time))[0] == 201
    assert (await acme("PUT", path, json={"reason": "complaint"}))[0] == 201
    status, found = await acme("GET", path)

    assert (status, found["reason"], found["diagnostic"]) == (200, "complaint", "")
    assert [(one["channel"], one["scope"], one["reason"], one["expires_at"]) for one in found["entries"]] == [
        ("email", "marketing", "complaint", None),
        ("email", "list:news", "unsubscribed", None),
        ("sms", "all", "manual", "2036-01-31T10:00:00.000Z"),
    ]
    assert (await acme("GET", "/v1/suppressions?scope=list:news"))[1]["suppressions"] == [found]
    assert (await acme("GET", "/v1/suppressions?reason=complaint&channel=sms"))[1]["suppressions"] == []
    assert (await acme("DELETE", f"{path}?scope=list:other"))[0] == 404
    assert (await acme("DELETE", f"{path}?channel=email&scope=list:news"))[0] == 204
    assert (await acme("DELETE", f"{path}?channel=sms"))[0] == 204
    assert [one["reason"] for one in (await acme("GET", path))[1]["entries"]] == ["complaint"]
    assert (await acme("DELETE", path))[0] == 204
    assert (await acme("GET", path))[0] == 404


async def test_what_an_operator_lists_for_all_is_shown_to_a_tenant_who_may_not_take_it_off(
    client: Any, callers: dict[str, Caller]
) -> None:
    acme, operator = callers["acme"], callers["operator"]
    path, of_all = "/v1/suppressions/ana@example.org", "/v1/installation/suppressions/ana@example.org"
    listed = f"{of_all}?tenant=acme"

    assert (await acme("PUT", of_all))[0] == 403
    status, put = await operator("PUT", of_all, json={"note": "letter of a lawyer"})
    assert (status, put["reason"], put["diagnostic"]) == (201, "compliance", "letter of a lawyer")
    status, found = await acme("GET", path)
    assert (status, found["reason"], found["diagnostic"]) == (200, "compliance", "")
    assert found["entries"][0]["source"] == "operator"
    assert (await acme("GET", "/v1/suppressions"))[1]["suppressions"] == []
    status, problem = await acme("DELETE", path)
    assert (status, problem["type"]) == (409, "urn:estafette:problem:suppression_protected")
    assert (await acme("DELETE", f"{path}?channel=sms"))[0] == 404
    assert (await operator("GET", "/v1/installation/suppressions"))[1]["suppressions"] == [put]
    assert (await operator("PUT", listed, json={"scope": "marketing"}))[0] == 201
    assert (await operator("DELETE", of_all))[0] == 204
    assert (await operator("DELETE", of_all))[0] == 404
    status, problem = await acme("DELETE", path)
    assert (status, problem["type"]) == (409, "urn:estafette:problem:suppression_protected")
    assert (await acme("GET", path))[1]["entries"][0]["scope"] == "marketing"
    assert (await operator("DELETE", f"{listed}&scope=marketing"))[0] == 204
    assert (await acme("GET", path))[0] == 404
    status, problem = await operator("GET", "/v1/installation/suppressions?tenant=nobody")
    assert (status, problem["type"]) == (422, "urn:estafette:problem:unknown_tenant")

    acted = [
        (fact.action, fact.target, fact.why)
        for fact in await facts(client)
        if isinstance(fact, events.Acted) and fact.tenant == "other" and fact.who.startswith("key:")
    ]
    assert sorted(acted) == [
        ("reactivate", "address:ana@example.org", ""),
        ("reactivate", "address:ana@example.org tenant:acme", ""),
        ("suppress", "address:ana@example.org", "letter of a lawyer"),
        ("suppress", "address:ana@example.org tenant:acme", ""),
    ]
    of_addresses = [one for one in await told(client) if one[0] != "Acted"]
    assert of_addresses == [("Reactivated", "ana@example.org"), ("Suppressed", "ana@example.org")]


async def test_addresses_with_unusual_signs_are_taken_from_the_path(callers: dict[str, Caller]) -> None:
    for path, address in (
        ("a%2Fb@example.org", "a/b@example.org"),
        ("%C3%A9@b%C3%BCcher.example", "é@xn--bcher-kva.example"),
        ("%22a%20b%22@example.org", '"a b"@example.org'),
    ):
        status, shown = await callers["acme"]("PUT", f"/v1/suppressions/{path}")
        assert (status, shown.get("address")) == (201, address)
        assert (await callers["acme"]("GET", f"/v1/suppressions/{path}"))[1]["address"] == normalised(address)


#: What stands in a path, and the address that it is.
UNUSUAL = {
    "{x}@example.org": "{x}@example.org",
    "%7Bx%7D@example.org": "{x}@example.org",
    "}{@example.org": "}{@example.org",
    "a/b@example.org": "a/b@example.org",
    "a%2fb@example.org": "a/b@example.org",
    "/@example.org": "/@example.org",
    "a%252Fb@example.org": "a%2fb@example.org",
    "50%25@example.org": "50%@example.org",
    "50%@example.org": "50%@example.org",
    "a+b@example.org": "a+b@example.org",
    "a%2Bb@example.org": "a+b@example.org",
    "a%3Fb@example.org": "a?b@example.org",
    "a%23b@example.org": "a#b@example.org",
    "a'b`c|d^e~@example.org": "a'b`c|d^e~@example.org",
    "a=b&c=d@example.org": "a=b&c=d@example.org",
    "%22a%20b%22@example.org": '"a b"@example.org',
    "%22a%5C%22b%22@example.org": '"a\\"b"@example.org',
    "%22a@b%22@example.org": '"a@b"@example.org',
    "%C3%A9%E4%BE%8B@b%C3%BCcher.example": "é例@xn--bcher-kva.example",
    "a..b@docomo.ne.jp": '"a..b"@docomo.ne.jp',
    "%22A..b%22@docomo.ne.jp": '"a..b"@docomo.ne.jp',
    "%20%09a@example.org%E2%80%8B%0A": "a@example.org",
    "a@[127.0.0.1]": "a@[127.0.0.1]",
}


@pytest.mark.parametrize("path", UNUSUAL)
async def test_whatever_an_address_may_have_in_it_can_be_asked_for(callers: dict[str, Caller], path: str) -> None:
    acme, where = callers["acme"], URL(f"/v1/suppressions/{path}", encoded=True)

    missing = await acme("GET", where)
    answers = [await acme(method, where) for method in ("PUT", "GET", "DELETE")]

    assert (missing[0], missing[1]["type"]) == (404, "urn:estafette:problem:unknown_suppression")
    assert [status for status, _ in answers] == [201, 200, 204]
    assert answers[0][1]["address"] == answers[1][1]["address"] == UNUSUAL[path]


@pytest.mark.parametrize(
    "rule",
    ["*@evil.example", "contact@*", "*", "*.evil.example", "%2A@evil.example", "a*b@evil.example",
     "%22*%22@evil.example", "%25@evil.example", "%3F%3F@evil.example", "*@*"],
)  # fmt: skip
async def test_a_rule_is_refused_with_words_and_not_stored(client: Any, callers: dict[str, Caller], rule: str) -> None:
    acme, where = callers["acme"], URL(f"/v1/suppressions/{rule}", encoded=True)

    status, problem = await acme("PUT", where)

    assert (status, problem["type"]) == (422, "urn:estafette:problem:invalid_address")
    assert "is a rule for many" in problem["detail"]
    assert await told(client) == []


async def test_a_rule_that_was_stored_once_is_shown_and_deleted(lists: Lists, callers: dict[str, Caller]) -> None:
    await lists.add([addition("*@evil.example")])

    assert (await callers["acme"]("GET", "/v1/suppressions/*@evil.example"))[0] == 200
    assert (await callers["acme"]("DELETE", "/v1/suppressions/*@evil.example"))[0] == 204


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("%E9@example.org", "not UTF-8"),
        ("a%FFb@example.org", "not UTF-8"),
        ("@evil.example", "nothing before the @"),
        ("evil.example", "no @"),
        ("a%00b@example.org", "control characters"),
        ("a%0Ab@example.org", "control characters"),
        ("a?b@example.org", "the query does not fit"),  # a question mark has to be percent-encoded
    ],
)
async def test_what_is_no_address_in_a_path_is_told_in_words(callers: dict[str, Caller], path: str, words: str) -> None:
    for method in ("PUT", "GET", "DELETE"):
        status, problem = await callers["acme"](method, URL(f"/v1/suppressions/{path}", encoded=True))

        assert status == 422
        assert words in problem["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("nobody", None, 422),
        ("a%0D%0Ab@example.org", None, 422),
        ("a" * 300 + "@example.org", None, 422),
        ("a@example.org", {"reason": "because"}, 422),
        ("a@example.org", {"reason": "compliance"}, 422),
        ("a@example.org", {"reason": "erased"}, 422),
        ("a@example.org", {"scope": "some"}, 422),
        ("a@example.org", {"scope": "list:"}, 422),
        ("a@example.org", {"channel": "fax"}, 422),
        ("a@example.org", {"expires_at": "tomorrow"}, 422),
        ("a@example.org", {"expires_at": "2020-01-01T00:00:00Z"}, 409),
        ("a@example.org", {"note": "x" * 1001}, 422),
        ("a@example.org", {"unknown": 1}, 422),
        ("a@example.org", [], 422),
    ],
)
async def test_what_does_not_fit_is_refused_and_changes_nothing(
    client: Any, callers: dict[str, Caller], path: str, body: Any, status: int
) -> None:
    options = {} if body is None else {"json": body}

    assert (await callers["acme"]("PUT", f"/v1/suppressions/{path}", **options))[0] == status

    assert await told(client) == []
    assert (await callers["acme"]("GET", "/v1/suppressions"))[1] == {"suppressions": [], "next": None}


async def test_a_body_that_is_not_json_is_refused(callers: dict[str, Caller]) -> None:
    headers = {"Content-Type": "application/json"}
    path = "/v1/suppressions/a@example.org"

    async with callers["acme"]._site.put(path, data=b"{", headers={**callers["acme"]._headers, **headers}) as answer:
        assert answer.status == 400


async def test_the_list_is_paged_by_an_opaque_cursor(callers: dict[str, Caller]) -> None:
    acme = callers["acme"]
    everybody = {f"r{number}@example.org" for number in range(25)}
    for address in everybody:
        await acme("PUT", f"/v1/suppressions/{address}")

    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        status, page = await acme("GET", "/v1/suppressions", params={"limit": 10, "after": after})
        assert status == 200
        seen += [one["address"] for one in page["suppressions"]]
        after = page["next"]

    assert sorted(seen) == sorted(everybody)
    assert (await callers["other"]("GET", "/v1/suppressions"))[1] == {"suppressions": [], "next": None}


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "after=x", "after=k_8", "after=é", "limit=-1",
     "scope=some", "channel=fax", "reason=because"],
)  # fmt: skip
async def test_a_query_that_does_not_fit_is_refused(callers: dict[str, Caller], query: str) -> None:
    status, problem = await callers["acme"]("GET", f"/v1/suppressions?{query}")

    assert status == 422
    assert problem["faults"][0]["at"] == "?" + query.partition("=")[0]


def test_the_routes_describe_themselves() -> None:
    unused: Any = None
    desk = http.Desk(unused, unused, 1, lambda: 0, lambda: "", _no_bounces)
    routes: Sequence[api.Route] = [*http.routes(desk), *operators.routes(desk, unused, unused)]

    assert set(api.openapi(routes)["paths"]) == {
        "/v1/suppressions", "/v1/suppressions/{address}",
        "/v1/installation/suppressions", "/v1/installation/suppressions/{address}",
    }  # fmt: skip
