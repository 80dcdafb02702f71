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

from services.suppression import http
from services.suppression.store import Addition, Lists, Place
from services.suppression.suppression import Suppression
from shared.http import api
from shared.redis import bus, keys, redis
from shared.redis.recipients import Recipients, Waiting, pack_slim
from shared.redis.suppression import (
    REASONS,
    Asked,
    Reason,
    Record,
    SuppressionList,
    decode,
    encode,
    normalised,
)
from shared.redis.tenants import Tenants
from shared.words import events, ids

PARTITIONS = 3
JOB = ids.new_job_id(1_700_000_000_000, b"chance", PARTITIONS)


@pytest.fixture
def lists(client: Any) -> Lists:
    return Lists(client, PARTITIONS)


@pytest.fixture
def lookup(client: Any) -> SuppressionList:
    return SuppressionList(client, PARTITIONS)


def addition(
    address: str, reason: Reason = "manual", source: str = "", tenant: str = "acme", since_ms: int = 5, said: str = ""
) -> Addition:
    record = Record(reason=reason, since_ms=since_ms, source=source or f"{address}{reason}", diagnostic=said)
    return Addition(tenant, address, record)


async def told(client: Any) -> list[tuple[str, str | None]]:
    """Name and address of the events about addresses, over all partitions."""
    found = []
    for partition in range(PARTITIONS):
        for number, fields in await client.xrange(keys.events(partition)):
            entry = bus.entry(number, fields)
            fact = entry.message()
            assert isinstance(fact, events.Fact)
            assert bus.fact_partition(fact, PARTITIONS) == partition
            found.append((entry.name, fact.email))
    return sorted(found, key=str)


def of(tenant: str, address: str) -> Asked:
    return Asked(tenant, address, "email", "bulk", "")


async def test_a_listed_address_gets_nothing_in_no_stream_and_of_no_list(lists: Lists, lookup: SuppressionList) -> None:
    await lists.add([addition("a@b.example", "unsubscribed")])

    found = await lookup.check([
        Asked("acme", "a@b.example", "email", stream, name)
        for stream in ("bulk", "transactional") for name in ("", "news")
    ])  # fmt: skip

    assert found == ["unsubscribed"] * 4


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
    assert (await lookup.record("acme", "A@b.example")) is not None
    assert (await lookup.record("other", "A@b.example")) is None


async def test_thousands_are_looked_up_at_once(lists: Lists, lookup: SuppressionList) -> None:
    everybody = [f"r{number}@example.org" for number in range(3000)]

    entered = await lists.add([addition(address) for address in everybody[::3]])
    found = await lookup.check([of("acme", address) for address in everybody])

    assert entered == [True] * 1000
    assert found == ["manual", None, None] * 1000


async def test_entering_and_leaving_are_told_once_each(client: Any, lists: Lists, lookup: SuppressionList) -> None:
    assert await lists.add([addition("a@b.example", "unsubscribed", "e1")]) == [True]
    assert await lists.add([addition("a@b.example", "hard_bounce", "e2")]) == [False]
    assert await lists.remove("acme", "a@b.example", "api", 9, "e3")
    assert not await lists.remove("acme", "a@b.example", "api", 9, "e4")

    assert await told(client) == [("Reactivated", "a@b.example"), ("Suppressed", "a@b.example")]
    assert await lookup.check([of("acme", "a@b.example")]) == [None]
    assert await lists.page("acme", Place(), 10) == ([], None)


async def test_a_repeated_fact_does_not_list_again_who_was_removed_since(
    client: Any, lists: Lists, lookup: SuppressionList
) -> None:
    left = addition("a@b.example", "unsubscribed", "e1")
    await lists.add([left])
    await lists.remove("acme", "a@b.example", "api", 9, "e2")

    assert await lists.add([left]) == [False]

    assert await lookup.check([of("acme", "a@b.example")]) == [None]
    assert len(await told(client)) == 2


async def test_who_leaves_again_by_the_same_link_is_listed_again(lists: Lists, lookup: SuppressionList) -> None:
    await lists.add([addition("a@b.example", "unsubscribed", "e1", since_ms=5)])
    await lists.remove("acme", "a@b.example", "api", 9, "e2")

    assert await lists.add([addition("a@b.example", "unsubscribed", "e1", since_ms=20)]) == [True]

    assert await lookup.check([of("acme", "a@b.example")]) == ["unsubscribed"]


@pytest.mark.parametrize(("first", "second"), list(itertools.product(REASONS, REASONS)))
async def test_the_stronger_reason_holds_and_the_last_diagnostic(redis_url: str, first: Reason, second: Reason) -> None:
    client: Any = redis.connect(redis_url)
    stronger = max((first, second), key=REASONS.index)

    await Lists(client, PARTITIONS).add([
        addition("a@b.example", first, "e1", since_ms=1_700_000_000_123, said="é first"),
        addition("a@b.example", second, "e2", since_ms=1_800_000_000_456, said="second"),
        addition("a@b.example", "hard_bounce", "e3", since_ms=1_900_000_000_000, said=""),
    ])  # fmt: skip
    record = await SuppressionList(client, PARTITIONS).record("acme", "a@b.example")
    await redis.close(client)

    assert record == Record(
        reason=stronger,
        since_ms=1_700_000_000_123,
        source="e1" if stronger == first else "e2",
        diagnostic="second",
    )


def test_a_record_is_read_as_it_was_written() -> None:
    record = Record(reason="complaint", since_ms=1, source="e", job=JOB, ordinal=7, diagnostic="é")

    assert decode(encode(record)) == record


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
            await lists.add([addition(address, source=f"again{next(sources)}")])
            there.add(address)
        elif word == "remove":
            assert await lists.remove("acme", address, "api", 1, "e") == (address in there)
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


Fact = tuple[str, int, int]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    facts=st.lists(st.tuples(st.sampled_from([*REASONS, "remove"]), st.integers(0, 3), st.integers(0, 8)), max_size=30),
    repeats=st.lists(st.integers(0, 29), max_size=15),
)
async def test_the_list_is_what_a_plain_model_says_under_any_repeats(
    redis_url: str, facts: list[Fact], repeats: list[int]
) -> None:
    client: Any = redis.connect(redis_url)
    await client.flushall()
    lists = Lists(client, PARTITIONS)
    model: dict[str, Reason] = {}
    applied: set[str] = set()
    entered = left = 0
    sequence = [*facts, *(facts[index] for index in repeats if index < len(facts))]
    for word, number, event in sequence:
        address = ADDRESSES[number]
        if word == "remove":
            left += await lists.remove("acme", address, "api", 1, "e")
            model.pop(address, None)
            continue
        reason: Reason = word  # type: ignore[assignment]
        source = f"{word}{number}{event}"
        entered += (await lists.add([addition(address, reason, source)]))[0]
        if source not in applied:
            applied.add(source)
            known = model.get(address)
            model[address] = reason if known is None else max((known, reason), key=REASONS.index)
    found = await SuppressionList(client, PARTITIONS).check([of("acme", address) for address in ADDRESSES])
    listed, _ = await lists.page("acme", Place(), 1000)
    tellings = await told(client)
    await redis.close(client)

    assert found == [model.get(address) for address in ADDRESSES]
    assert {one.address: one.record.reason for one in listed} == model
    assert (entered, left) == tuple(sum(name == word for name, _ in tellings) for word in ("Suppressed", "Reactivated"))


# The way from the stream to the list


async def test_who_leaves_is_on_the_list_within_a_second(client: Any, lists: Lists, lookup: SuppressionList) -> None:
    partition = ids.job_partition(JOB, PARTITIONS)
    await client.zadd(keys.job_recipients(partition, JOB), {pack_slim(0, [Waiting(email="A@b.example")] * 10): 0})
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
        while await lookup.check([of("acme", "a@b.example")]) == [None]:  # noqa: ASYNC110 - Redis's state
            await asyncio.sleep(0.005)
    stopping.set()
    await running

    record = await lookup.record("acme", "a@b.example")
    assert record == Record(reason="unsubscribed", since_ms=1, source="u", job=JOB, ordinal=3, diagnostic="one_click")
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
    numbers = itertools.count()
    routes = http.routes(
        Lists(client, PARTITIONS),
        SuppressionList(client, PARTITIONS),
        PARTITIONS,
        lambda: 1_700_000_000_123,
        lambda: f"{next(numbers):016x}",
    )
    app = api.application(routes, tenants, max_body_bytes=10_000)
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


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=x", "after=k_8", "after=é", "limit=-1"])
async def test_a_query_that_does_not_fit_is_refused(callers: dict[str, Caller], query: str) -> None:
    status, problem = await callers["acme"]("GET", f"/v1/suppressions?{query}")

    assert status == 422
    assert problem["faults"][0]["at"] == "?" + query.partition("=")[0]


def test_the_routes_describe_themselves() -> None:
    unused: Any = None
    routes: Sequence[api.Route] = http.routes(unused, unused, 1, lambda: 0, lambda: "")

    assert set(api.openapi(routes)["paths"]) == {"/v1/suppressions", "/v1/suppressions/{address}"}
