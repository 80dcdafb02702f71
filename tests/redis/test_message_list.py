"""The messages of a tenant in a real Redis and a real cluster: found by address, job, state, metadata and time."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import test_utils

from services.reports import http
from services.reports.feed.indexing import Indexing, Kept
from services.reports.message_list import BLOCK, MessageList, MessageQuery, packed
from services.suppression.erasing import Erasing
from shared.http import api
from shared.redis import bus, histories, keys, redis
from shared.redis.histories import Histories
from shared.redis.recipients import Recipients, Waiting, pack_slim
from shared.redis.tenants import Tenants
from shared.words import events, ids
from shared.words.erased import ErasureKeys
from shared.words.standing import ACCEPTED, State
from tests.feeds import SECRETS, catch_up, message_list
from tests.jobs import job_hash

P = 3
DAY_MS = 86_400_000
#: The latest jobs are made then.
NOW_MS = 1_700_000_000_000
ANA = "ana@example.org"
DELIVERED, BOUNCED = State.DELIVERED | ACCEPTED, State.BOUNCED_HARD | ACCEPTED


class House:
    """Jobs as queueing stores them, and their first facts on the stream."""

    def __init__(self, client: Any) -> None:
        self.client, self.jobs = client, 0
        self.list = message_list(client, P, NOW_MS)
        self.indexing = Indexing(client, P, Kept(7 * DAY_MS, 118 * DAY_MS, 100), SECRETS, lambda: NOW_MS)

    async def job(
        self,
        *emails: str,
        tenant: str = "acme",
        ago_ms: int = 0,
        states: bytes | None = None,
        metadata: dict[int, dict[str, str]] | None = None,
        chunk: int = 400,
        fact: type[events.Fact] = events.Accepted,
    ) -> str:
        self.jobs += 1
        job = ids.new_job_id(NOW_MS - ago_ms, self.jobs.to_bytes(6, "big"), P, self.jobs % P)
        p = ids.job_partition(job, P)
        fields = job_hash(tenant=tenant, state="queued", total=len(emails), subject=f"Mail {self.jobs}", list="news")
        await self.client.hset(keys.job(p, job), mapping=fields)
        await self.client.zadd(keys.tenant_jobs(p, tenant), {job: 0})
        people = [Waiting(email=email, metadata=(metadata or {}).get(at)) for at, email in enumerate(emails)]
        for first in range(0, len(people), chunk):
            await self.client.zadd(
                keys.job_recipients(p, job), {pack_slim(first, people[first : first + chunk]): first}
            )
        await self.client.set(keys.job_states(p, job), bytes([DELIVERED]) * len(emails) if states is None else states)
        pipeline = self.client.pipeline(transaction=False)
        for ordinal, email in enumerate(emails):
            about = events.about_message(tenant, job, ordinal, NOW_MS, "x", email=email)
            more = {"where": "queueing"} if fact is events.Suppressed else {}
            pipeline.execute_command(
                "XADD", keys.events(p), "*", "t", fact.__name__, "v", 1, "b", events.encode(fact(**about, **more))
            )
        await pipeline.execute()
        return job

    async def whole(self, tenant: str = "acme", by: MessageList | None = None, **query: Any) -> list[str]:
        """Page by page; each is full, but for the last one."""
        await catch_up(self.client, P, self.indexing)
        found: list[str] = []
        after = ""
        limit = query.pop("limit", 100)
        while True:
            page = await (by or self.list).page(tenant, MessageQuery(after=after, limit=limit, **query))
            found += [message.id for message in page.messages]
            if page.next is None:
                return found
            assert len(page.messages) == limit
            after = page.next


@pytest.fixture
def house(client: Any) -> House:
    return House(client)


def ids_of(job: str, *ordinals: int) -> list[str]:
    return [ids.message_id(job, ordinal) for ordinal in ordinals]


async def test_what_was_sent_to_an_address_is_found_in_whatever_job_and_case_the_latest_first(house: House) -> None:
    old = await house.job("Ana@Example.org", ago_ms=80 * DAY_MS)
    large = await house.job(*(f"r{at}@example.org" for at in range(900)), ANA, ago_ms=40 * DAY_MS)
    await house.job("na@example.org", "ana@example.or")
    refused = await house.job(ANA, ANA, ago_ms=5, fact=events.Rejected)
    stopped = await house.job("x@example.org", ANA, fact=events.Suppressed)

    expected = [*ids_of(stopped, 1), *ids_of(refused, 0, 1), *ids_of(large, 900), *ids_of(old, 0)]
    for limit in (1, 2, 100):
        assert await house.whole(recipient=ANA, limit=limit) == expected
    page = await house.list.page("acme", MessageQuery(recipient=ANA))
    first = page.messages[0]
    assert (first.email, first.state, first.subject, first.list) == (ANA, "delivered", "Mail 5", "news")
    assert await house.whole(recipient="nobody@example.org") == []


async def test_another_tenants_messages_are_never_seen(house: House) -> None:
    ours = await house.job(ANA)
    theirs = await house.job(ANA, tenant="other")

    assert await house.whole(recipient=ANA) == await house.whole() == await house.whole(job=ours) == ids_of(ours, 0)
    assert await house.whole("other", recipient=ANA) == ids_of(theirs, 0)
    assert await house.whole(job=theirs) == await house.whole(job=theirs, recipient=ANA) == []
    assert await house.whole("nobody", recipient=ANA) == await house.whole("nobody") == []


async def test_a_job_that_was_removed_is_not_shown_though_its_history_is_left(house: House) -> None:
    gone, kept = await house.job(ANA, ago_ms=1), await house.job(ANA)
    await house.whole(recipient=ANA)
    p = ids.job_partition(gone, P)
    await house.client.delete(keys.job(p, gone))
    await house.client.delete(keys.job_recipients(p, gone))
    await house.client.zrem(keys.tenant_jobs(p, "acme"), gone)

    assert await house.whole(recipient=ANA) == await house.whole() == ids_of(kept, 0)


async def test_any_search_shows_what_a_plain_model_says(house: House) -> None:
    chance = random.Random(5)
    model: list[tuple[str, int, str, int, dict[str, str], int]] = []
    for number in range(40):
        size = chance.choice([1, 1, 3, 60])
        emails = [f"r{chance.randrange(30)}@example.org" for _ in range(size)]
        states = [chance.choice([0, int(DELIVERED), int(BOUNCED)]) for _ in range(size)]
        metadata = {at: {"crm": str(chance.randrange(4))} for at in range(size) if chance.random() < 0.7}
        ago_ms = (40 - number) * 3 * DAY_MS
        job = await house.job(*emails, states=bytes(states), metadata=metadata, ago_ms=ago_ms, chunk=25)
        model += [
            (job, at, email, states[at], metadata.get(at, {}), NOW_MS - ago_ms) for at, email in enumerate(emails)
        ]
    words = {0: "waiting", int(DELIVERED): "delivered", int(BOUNCED): "bounced"}

    for _ in range(40):
        by: dict[str, Any] = {
            "recipient": chance.choice([None, "r3@example.org", "r4@example.org"]),
            "job": chance.choice([None, None, chance.choice(model)[0]]),
            "state": chance.choice([None, frozenset({"bounced"}), frozenset({"waiting", "delivered"})]),
            "since": chance.choice([None, moment(NOW_MS - 100 * DAY_MS)]),
            "until": chance.choice([None, moment(NOW_MS - 30 * DAY_MS)]),
        }
        by["metadata"] = (
            chance.choice([None, ("crm", "2")]) if any(by[one] for one in ("job", "recipient", "since")) else None
        )

        expected = [
            (job, at)
            for job, at, email, state, metadata, made_ms in model
            if by["recipient"] in (None, email)
            and by["job"] in (None, job)
            and (by["state"] is None or words[state] in by["state"])
            and (by["metadata"] is None or metadata.get("crm") == "2")
            and (by["since"] is None or made_ms >= NOW_MS - 100 * DAY_MS)
            and (by["until"] is None or made_ms < NOW_MS - 30 * DAY_MS)
        ]
        expected.sort(key=lambda one: one[1])
        expected.sort(key=lambda one: one[0], reverse=True)
        found = await house.whole(limit=chance.choice([1, 7, 1_000]), **by)
        assert found == [ids.message_id(*one) for one in expected], by


def moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


async def test_a_job_larger_than_a_block_is_listed_whole_and_searched_by_state(house: House) -> None:
    states = bytearray([DELIVERED]) * (2 * BLOCK + 10)
    states[1_500] = states[2 * BLOCK + 9] = BOUNCED
    job = await house.job(*(f"r{at}@example.org" for at in range(len(states))), states=bytes(states))
    other = await house.job("x@example.org", states=bytes([BOUNCED]), ago_ms=1)

    assert await house.whole(limit=500) == [*ids_of(job, *range(len(states))), *ids_of(other, 0)]
    assert await house.whole(job=job, limit=1_000) == ids_of(job, *range(len(states)))
    assert await house.whole(state=frozenset({"bounced"})) == [*ids_of(job, 1_500, 2 * BLOCK + 9), *ids_of(other, 0)]


async def test_a_search_whose_time_is_over_goes_on_where_it_was(house: House) -> None:
    """Each look at the clock takes a minute: each page ends with what was looked at, and none is missed."""
    jobs = [await house.job(ANA, f"r{at}@example.org", ago_ms=at * 20 * DAY_MS) for at in range(5)]
    await house.whole()
    clock = iter(range(0, 10**9, 60))
    slow = MessageList(house.client, P, Histories(house.client, P, 90), SECRETS, lambda: NOW_MS, lambda: next(clock))
    for query in ({"recipient": ANA}, {"state": frozenset({"delivered"})}):
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            page = await slow.page("acme", MessageQuery(after=after, limit=3, **query))
            found += [message.id for message in page.messages]
            after = page.next
        ordinals = (0,) if "recipient" in query else (0, 1)
        assert found == [one for job in jobs for one in ids_of(job, *ordinals)]


# How histories are stored


async def buckets(client: Any) -> dict[str, list[bytes]]:
    names = [name async for name in client.scan_iter(match="*:history:*", count=1000)]
    return {name.decode(): await client.lrange(name, 0, -1) for name in names}


async def test_a_message_told_twice_is_found_once(house: House) -> None:
    job = await house.job(ANA)
    p = ids.job_partition(job, P)
    (entry,) = await house.client.xrange(keys.events(p))
    await house.client.xadd(keys.events(p), entry[1])

    assert await house.whole(recipient=ANA) == ids_of(job, 0)


async def test_what_comes_after_the_first_fact_about_a_message_adds_nothing(house: House) -> None:
    job = await house.job(ANA)
    p = ids.job_partition(job, P)
    about = events.about_message("acme", job, 0, NOW_MS, "y", email=ANA)
    later = [
        events.Suppressed(**about, where="relay"),
        events.Cancelled(**about, site="example.org"),
        events.Delivered(**about),
    ]
    for fact in later:
        await house.client.xadd(keys.events(p), {"t": type(fact).__name__, "v": 1, "b": events.encode(fact)})
    await house.whole()

    assert [[len(record) for record in bucket] for bucket in (await buckets(house.client)).values()] == [[22]]


async def test_full_buckets_are_split_and_every_message_is_found(house: House) -> None:
    emails = [f"r{at}@example.org" for at in range(3_000)]
    job = await house.job(*emails)
    await house.whole(limit=1_000)

    stored = await buckets(house.client)
    assert sum(len(bucket) for bucket in stored.values() if bucket != [b"/"]) == 3_000
    assert max(map(len, stored.values())) <= 256
    assert len(stored) > 16
    for at in range(0, 3_000, 37):
        assert await house.whole(recipient=emails[at]) == ids_of(job, at)
    for name in stored:
        assert 117 * DAY_MS < await house.client.pttl(name) <= 118 * DAY_MS


async def test_an_address_that_gets_very_much_is_bounded_to_the_last_of_it(house: House, monkeypatch: Any) -> None:
    jobs = [await house.job(*[ANA] * 300, "x@example.org", ago_ms=9 - at) for at in range(6)]
    assert await house.whole(recipient=ANA, limit=1_000) == [
        one for job in reversed(jobs) for one in ids_of(job, *range(300))
    ]

    monkeypatch.setattr(histories, "MOST_LOOKED_AT", 200)
    found = await house.whole(recipient=ANA, limit=1_000)
    assert found == [one for job in reversed(jobs[-P:]) for one in ids_of(job, *range(100, 300))]
    monkeypatch.undo()
    assert await house.whole(recipient="x@example.org") == [one for job in reversed(jobs) for one in ids_of(job, 300)]


async def test_who_is_erased_is_taken_out_and_nobody_else(house: House) -> None:
    before = await house.job(ANA, "x@example.org", ago_ms=30 * DAY_MS)
    after = await house.job(ANA, "x@example.org")
    await house.whole()
    sent = Histories(house.client, P, 90)
    digests = SECRETS.digests("acme", ANA)

    assert await sent.forget("other", digests, NOW_MS) == 0
    assert await sent.forget("acme", digests, NOW_MS - DAY_MS) == 1
    assert await house.whole(recipient=ANA) == ids_of(after, 0)
    assert await sent.forget("acme", digests, NOW_MS) == 1
    assert await sent.forget("acme", digests, NOW_MS) == 0

    assert await house.whole(recipient=ANA) == []
    assert await house.whole(recipient="x@example.org") == [*ids_of(after, 1), *ids_of(before, 1)]
    last = bytes.fromhex(digests[0][:12])
    assert not any(last in record for bucket in (await buckets(house.client)).values() for record in bucket)


async def test_an_erasure_takes_out_what_was_sent_before_it_also_under_a_former_secret(house: House) -> None:
    job = await house.job(ANA)
    new = ErasureKeys(b"n" * 32, [b"k" * 32])
    publisher = bus.Publisher(house.client, P, lambda: "b")
    sent = Histories(house.client, P, 90)
    rotated = MessageList(house.client, P, sent, new, lambda: NOW_MS, lambda: 0.0)
    assert await house.whole(by=rotated, recipient=ANA) == ids_of(job, 0)

    erasing = Erasing(house.client, P, publisher, lambda: NOW_MS, lambda: "v", sent)
    await erasing.begin("acme", ANA, new.digests("acme", ANA))

    assert await house.whole(by=rotated, recipient=ANA) == await house.whole(recipient=ANA) == []
    assert await buckets(house.client) == {}


async def test_a_history_costs_about_thirty_bytes_a_message(redis_url: str) -> None:
    client: Any = redis.connect(redis_url)
    house = House(client)
    for number in range(6):
        await house.job(*(f"r{number}.{at}@example.org" for at in range(5_000)))
    await catch_up(client, P, house.indexing)
    names = [name async for name in client.scan_iter(match="*:history:*", count=1000)]
    size = sum([await client.memory_usage(name) for name in names])
    await redis.close(client)

    assert 22 < size / 30_000 < 36


# Over HTTP


@pytest.fixture
async def site(client: Any, house: House) -> AsyncIterator[Any]:
    tenants = Tenants(client)
    unused: Any = None
    made = {}
    for tenant in ("acme", "other"):
        await tenants.create(tenant)
        made[tenant] = (await tenants.create_key(tenant, ["read"]))[1]
    routes = http.routes(unused, unused, unused, Recipients(client, P), unused, house.list, P)
    app = api.application(routes, tenants, max_body_bytes=10_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as web:

        async def call(by: str = "acme", **query: Any) -> tuple[int, Any]:
            await catch_up(client, P, house.indexing)
            headers = {"Authorization": f"Bearer {made[by]}"}
            async with web.get("/v1/messages", params=query, headers=headers) as answer:
                return answer.status, await answer.json()

        yield call


async def test_messages_over_http_page_by_page(house: House, site: Any) -> None:
    job = await house.job(ANA, ANA, "x@example.org", metadata={1: {"crm_id": "17"}})

    status, page = await site(recipient="ANA@example.org", limit=1)
    _, second = await site(recipient=ANA, limit=1, after=page["next"])
    _, by_metadata = await site(job=job, metadata="crm_id=17", state="delivered,bounced", since="2023-01-01T00:00:00Z")

    assert (status, [one["id"] for one in page["messages"]]) == (200, ids_of(job, 0))
    assert ([one["id"] for one in second["messages"]], second["next"]) == (ids_of(job, 1), None)
    assert [one["id"] for one in by_metadata["messages"]] == ids_of(job, 1)
    assert by_metadata["messages"][0]["metadata"] == {"crm_id": "17"}
    assert (await site("other", recipient=ANA, after=page["next"]))[0] == 422
    assert (await site("other", recipient=ANA))[1] == {"messages": [], "next": None}


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ({"metadata": "crm_id=17"}, ["?metadata"]),
        ({"metadata": "crm_id=17", "state": "bounced", "until": "2026-01-01T00:00:00Z"}, ["?metadata"]),
        ({"metadata": "crm_id", "job": "x"}, ["?job", "?metadata"]),
        ({"recipient": "nobody"}, ["?recipient"]),
        ({"state": "gone"}, ["?state"]),
        ({"since": "yesterday", "limit": "0"}, ["?limit", "?since"]),
        ({"after": "x"}, ["?after"]),
        ({"after": packed((ids.new_job_id(0, bytes(6), P), 0), "other")}, ["?after"]),  # type: ignore[arg-type]
    ],
)
async def test_all_that_is_wrong_with_a_query_is_said(site: Any, query: dict[str, str], at: list[str]) -> None:
    status, problem = await site(**query)

    assert status == 422
    assert sorted(fault["at"] for fault in problem["faults"]) == at
