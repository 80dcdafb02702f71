"""Lists of a tenant in a real Redis and a real cluster: joining, leaving, and what else stops somebody."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import test_utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from services.suppression import memberships_http
from services.suppression.memberships import Joined, Memberships
from services.suppression.store import Addition, Lists, Removal
from shared.http import api
from shared.process.settings import Quotas
from shared.redis import bus, keys, redis
from shared.redis.addressed import Place
from shared.redis.members import Counts, Member, Members, State
from shared.redis.suppression import Asked, SuppressionList
from shared.redis.tenants import Tenants
from shared.words import events, scopes
from shared.words.errors import Problem

PARTITIONS = 3
NOW_MS = 1_700_000_000_123
QUOTAS = {**Quotas().by_name(), "lists": 3}


class Parts:
    """What a test needs of one installation."""

    def __init__(self, client: Any) -> None:
        chance = itertools.count()
        self.client = client
        self.lookup = SuppressionList(client, PARTITIONS, lambda: NOW_MS)
        self.lists = Lists(client, PARTITIONS, lambda: NOW_MS)
        self.members = Members(client, PARTITIONS)
        self.memberships = Memberships(
            self.members, self.lists, self.lookup, lambda: NOW_MS, lambda: f"{next(chance):016x}"
        )

    async def join(self, *addresses: str, name: str = "a", tenant: str = "acme") -> list[Joined]:
        return await self.memberships.join(tenant, name, addresses, 3)

    async def leave(self, *addresses: str, name: str = "a", tenant: str = "acme") -> int:
        return await self.memberships.leave(tenant, name, addresses)

    async def counts(self, name: str = "a", tenant: str = "acme") -> Counts:
        (found,) = await self.members.counts(tenant, [name])
        return found

    async def reason(self, address: str, name: str = "a", stream: str = "bulk", tenant: str = "acme") -> str | None:
        (found,) = await self.lookup.check([Asked(tenant, address, "email", stream, name)])
        return found

    async def told(self) -> list[tuple[str, str | None, str]]:
        """Name, address and scope of the facts about addresses."""
        found = []
        for partition in range(PARTITIONS):
            for number, fields in await self.client.xrange(keys.events(partition), "-", "+"):
                fact = bus.entry(number, fields).message()
                assert isinstance(fact, events.Suppressed | events.Reactivated)
                found.append((type(fact).__name__, fact.email, fact.scope))
        return found


@pytest.fixture
def parts(client: Any) -> Parts:
    return Parts(client)


def left_by_link(address: str, scope: str, at_ms: int = NOW_MS) -> Addition:
    """As the service reads it of a fact."""
    return Addition("acme", address, "unsubscribed", at_ms, scope=scope, event=f"{address}{at_ms}")


async def test_who_left_one_list_gets_nothing_of_it_and_everything_else(parts: Parts) -> None:
    await parts.join("ana@a.example", name="a")
    await parts.join("ana@a.example", name="b")

    assert await parts.leave("ana@a.example", name="a") == 1
    assert await parts.leave("ana@a.example", name="a") == 0

    assert [await parts.reason("ana@a.example", name) for name in ("a", "b", "")] == ["unsubscribed", None, None]
    assert await parts.reason("ana@a.example", "a", "transactional") is None
    assert (await parts.counts("a"), await parts.counts("b")) == (Counts(0, 1), Counts(1, 0))
    assert await parts.told() == [("Suppressed", "ana@a.example", "list:a")]


async def test_joining_takes_away_that_they_left_this_list_and_tells_of_it(parts: Parts) -> None:
    await parts.leave("ana@a.example", name="a")
    await parts.leave("ana@a.example", name="b")

    joined = await parts.join("ana@a.example", "bo@b.example", name="a")
    again = await parts.join("ana@a.example", name="a")

    assert joined == [Joined(True, True, None), Joined(True, False, None)]
    assert again == [Joined(False, False, None)]
    assert [await parts.reason("ana@a.example", name) for name in ("a", "b")] == [None, "unsubscribed"]
    assert await parts.counts("a") == Counts(2, 0)
    assert ("Reactivated", "ana@a.example", "list:a") in await parts.told()
    assert [word for word, _, _ in await parts.told()].count("Reactivated") == 1


@pytest.mark.parametrize(
    ("reason", "scope"),
    [("unsubscribed", "marketing"), ("complaint", "marketing"), ("hard_bounce", "all"), ("manual", "all")],
)
async def test_what_else_stops_them_stays_and_is_said(parts: Parts, reason: scopes.Reason, scope: str) -> None:
    await parts.lists.add([Addition("acme", "ana@a.example", reason, NOW_MS, scope=scope)])
    await parts.leave("ana@a.example")

    joined = await parts.join("ana@a.example")

    assert joined == [Joined(True, True, reason)]
    assert await parts.reason("ana@a.example") == reason


async def test_an_entry_of_the_list_that_they_did_not_make_keeps_them_off(parts: Parts) -> None:
    await parts.lists.add([Addition("acme", "ana@a.example", "manual", NOW_MS, scope="list:a")])

    assert await parts.join("ana@a.example") == [Joined(None, False, "manual")]
    assert await parts.counts() == Counts(0, 1)


async def test_who_leaves_by_a_link_is_off_the_list_in_the_same_step(parts: Parts) -> None:
    await parts.join("ana@a.example", "bo@b.example")

    await parts.lists.add([left_by_link("ana@a.example", "list:a")])
    left = await parts.members.find("acme", "a", "ana@a.example")
    await parts.lists.add([left_by_link("bo@b.example", "marketing")])

    assert left == Member("ana@a.example", "left", NOW_MS)
    assert await parts.counts() == Counts(1, 1)


async def test_a_repeated_fact_takes_nobody_off_who_joined_again(parts: Parts) -> None:
    fact = left_by_link("ana@a.example", "list:a")
    await parts.lists.add([fact])
    await parts.join("ana@a.example")

    await parts.lists.add([fact])

    assert await parts.counts() == Counts(1, 0)
    assert await parts.reason("ana@a.example") is None


async def test_whose_entry_is_removed_has_neither_joined_nor_left(parts: Parts) -> None:
    await parts.leave("ana@a.example")

    await parts.lists.remove([Removal("acme", "ana@a.example", NOW_MS, "api", "e")])

    assert await parts.members.find("acme", "a", "ana@a.example") is None
    assert await parts.members.names("acme") == []


async def test_leaving_by_sms_leaves_the_list_of_mail_alone(parts: Parts) -> None:
    await parts.join("ana@a.example")

    await parts.lists.add([Addition("acme", "ana@a.example", "unsubscribed", NOW_MS, scope="list:a", channel="sms")])
    await parts.lists.remove([Removal("acme", "ana@a.example", NOW_MS, "api", "e", channel="sms")])

    assert await parts.counts() == Counts(1, 0)


async def test_one_tenants_lists_are_not_anothers(parts: Parts) -> None:
    await parts.join("ana@a.example", tenant="acme")
    await parts.leave("ana@a.example", tenant="other")

    assert await parts.counts(tenant="acme") == Counts(1, 0)
    assert await parts.counts(tenant="other") == Counts(0, 1)
    assert await parts.reason("ana@a.example", tenant="acme") is None
    assert await parts.members.names("nobody") == []


async def test_names_of_lists_may_have_any_characters(parts: Parts) -> None:
    names = ["a", "a:1", "a:joined", "{p0}", "é/ü ", "*"]
    for name in names:
        await parts.memberships.join("acme", name, [f"r{at}@a.example" for at in range(90)], 10)
        await parts.leave("ana@a.example", name=name)

    assert await parts.members.names("acme") == sorted(names)
    assert await parts.members.counts("acme", names) == [Counts(90, 1)] * len(names)


async def test_thousands_join_and_are_shown_once_page_by_page(parts: Parts) -> None:
    everybody = [f"r{at}é@a.example" for at in range(3000)]
    await parts.join(*everybody)
    await parts.leave(*everybody[::10])

    seen: dict[State, list[str]] = {"joined": [], "left": []}
    for state, found in seen.items():
        place: Place | None = Place()
        while place is not None:
            page, place = await parts.members.page("acme", "a", state, place, 400)
            assert {member.state for member in page} <= {state}
            found += [member.address for member in page]

    assert sorted(seen["left"]) == sorted(everybody[::10])
    assert sorted(seen["joined"]) == sorted(set(everybody) - set(everybody[::10]))
    assert await parts.counts() == Counts(2700, 300)


async def test_more_lists_than_the_quota_are_refused_and_leaving_never_is(parts: Parts) -> None:
    for name in ("a", "b", "c"):
        await parts.join("ana@a.example", name=name)

    with pytest.raises(Problem, match="the quota lists"):
        await parts.join("ana@a.example", name="d")
    await parts.join("bo@b.example", name="c")
    await parts.leave("ana@a.example", name="d")
    await parts.join("ana@a.example", name="d")

    assert await parts.members.names("acme") == ["a", "b", "c", "d"]


async def test_an_address_is_found_on_all_its_lists_and_forgotten(parts: Parts) -> None:
    await parts.join("ana@a.example", "bo@b.example", name="a")
    await parts.leave("ana@a.example", name="b")

    found = await parts.members.lists_of("acme", "ana@a.example")
    forgotten = await parts.members.forget("acme", "ana@a.example")

    assert [(name, member.state) for name, member in found] == [("a", "joined"), ("b", "left")]
    assert forgotten == 2
    assert await parts.members.lists_of("acme", "ana@a.example") == []
    assert await parts.members.names("acme") == ["a"]
    assert await parts.reason("ana@a.example", "b") == "unsubscribed"


WHO, WHICH = ["ana@a.example", "bo@b.example"], ["a", "b"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "link", "marketing", "remove"]), st.sampled_from(WHO), st.sampled_from(WHICH)
    ),
    max_size=14,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_after_any_steps_the_lists_are_what_a_model_says(
    redis_url: str, steps: list[tuple[str, str, str]]
) -> None:
    client: Any = redis.connect(redis_url)
    await client.flushall()
    parts = Parts(client)
    state: dict[tuple[str, str], str] = {}
    of_marketing: set[str] = set()
    for at, (word, who, name) in enumerate(steps):
        match word:
            case "join":
                (joined,) = await parts.join(who, name=name)
                assert joined.is_new is (state.get((who, name)) != "joined")
                assert joined.came_back is (state.get((who, name)) == "left")
                state[who, name] = "joined"
            case "leave":
                await parts.leave(who, name=name)
                state[who, name] = "left"
            case "link":
                await parts.lists.add([left_by_link(who, f"list:{name}", NOW_MS + at)])
                state[who, name] = "left"
            case "marketing":
                await parts.lists.add([left_by_link(who, "marketing", NOW_MS + at)])
                of_marketing.add(who)
            case "remove":
                await parts.lists.remove([Removal("acme", who, NOW_MS, "api", f"e{at}")])
                of_marketing.discard(who)
                state = {key: one for key, one in state.items() if key[0] != who or one == "joined"}

        for person, list_ in itertools.product(WHO, WHICH):
            found = await parts.members.find("acme", list_, person)
            assert (found.state if found is not None else None) == state.get((person, list_))
            stopped = person in of_marketing or state.get((person, list_)) == "left"
            assert await parts.reason(person, list_) == ("unsubscribed" if stopped else None)
        for list_ in WHICH:
            words = [one for (_, of), one in state.items() if of == list_]
            assert await parts.counts(list_) == Counts(words.count("joined"), words.count("left"))
    assert await parts.members.names("acme") == sorted({name for _, name in state})
    await redis.close(client)


# Over HTTP


class Served:
    """The routes on a server of their own, and the keys of two tenants."""

    def __init__(self, client: test_utils.TestClient[Any, Any], keys_: dict[str, str]) -> None:
        self._client = client
        self._keys = keys_

    async def call(self, who: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._keys[who]}"}
        async with self._client.request(method, URL(path, encoded=True), headers=headers, json=body) as answer:
            return answer.status, await (answer.json() if answer.content_type.endswith("json") else answer.text())


@pytest.fixture
async def served(parts: Parts) -> AsyncIterator[Served]:
    tenants = Tenants(parts.client)
    made = {}
    for name in ("acme", "other"):
        await tenants.create(name)
        _, made[name] = await tenants.create_key(name, ["read", "suppress"])
    routes = memberships_http.routes(parts.memberships, PARTITIONS, QUOTAS)
    app = api.application(routes, tenants, max_body_bytes=8_000_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as http:
        yield Served(http, made)


ANA = "/v1/lists/news%2Fletter/members/Ana@a.example"


async def test_somebody_joins_is_shown_and_leaves(served: Served) -> None:
    joined = await served.call("acme", "PUT", ANA)
    again = await served.call("acme", "PUT", ANA)
    lists = await served.call("acme", "GET", "/v1/lists")
    left = await served.call("acme", "DELETE", ANA)
    shown = await served.call("acme", "GET", ANA)
    others = [await served.call("other", "GET", path) for path in (ANA, "/v1/lists")]

    member = {"address": "ana@a.example", "since": "2023-11-14T22:13:20.123Z"}
    assert joined == (201, {**member, "state": "joined", "stopped": None})
    assert again == (200, joined[1])
    assert lists == (200, {"lists": [{"name": "news/letter", "members": 1, "left": 0}], "next": None})
    assert left == (204, "")
    assert shown == (200, {**member, "state": "left", "stopped": "unsubscribed"})
    assert others[0][0] == 404
    assert others[0][1]["type"] == "urn:estafette:problem:unknown_member"
    assert others[1] == (200, {"lists": [], "next": None})


async def test_joining_says_that_something_else_stops_them(served: Served, parts: Parts) -> None:
    await parts.lists.add([Addition("acme", "ana@a.example", "complaint", NOW_MS)])

    status, member = await served.call("acme", "PUT", ANA)

    assert (status, member["state"], member["stopped"]) == (201, "joined", "complaint")


async def test_ten_thousand_join_in_one_call_and_what_is_no_address_is_named(served: Served, parts: Parts) -> None:
    await parts.lists.add([Addition("acme", "r1@a.example", "hard_bounce", NOW_MS)])
    await parts.leave("r2@a.example")
    await parts.lists.add([Addition("acme", "r3@a.example", "manual", NOW_MS, scope="list:a")])
    everybody = [f"R{at}@a.example" for at in range(9_998)]

    answer = await served.call(
        "acme", "POST", "/v1/lists/a/members", {"addresses": [*everybody, "nobody", "r0@a.example"]}
    )
    again = await served.call("acme", "POST", "/v1/lists/a/members", {"addresses": everybody[:10]})

    assert answer == (
        200,
        {
            "joined": 9_997,
            "already": 0,
            "came_back": 1,
            "stopped": [
                {"address": "r1@a.example", "reason": "hard_bounce"},
                {"address": "r3@a.example", "reason": "manual"},
            ],
            "rejected": [{"index": 9_998, "address": "nobody", "reason": "it has no @"}],
        },
    )
    assert (again[1]["joined"], again[1]["already"]) == (0, 9)


async def test_members_are_shown_page_by_page(served: Served) -> None:
    everybody = {f"r{at}@a.example" for at in range(25)}
    await served.call("acme", "POST", "/v1/lists/a/members", {"addresses": sorted(everybody)})

    seen, after = [], ""
    while True:
        _, page = await served.call("acme", "GET", f"/v1/lists/a/members?limit=10&after={after}")
        seen += [member["address"] for member in page["members"]]
        if page["next"] is None:
            break
        after = page["next"]

    assert sorted(seen) == sorted(everybody)
    assert (await served.call("acme", "GET", "/v1/lists/a/members?state=left"))[1]["members"] == []


async def test_lists_are_shown_page_by_page(served: Served) -> None:
    for name in ("c", "a", "b"):
        await served.call("acme", "PUT", f"/v1/lists/{name}/members/ana@a.example")

    _, first = await served.call("acme", "GET", "/v1/lists?limit=2")
    _, rest = await served.call("acme", "GET", f"/v1/lists?limit=2&after={first['next']}")

    assert [[one["name"] for one in page["lists"]] for page in (first, rest)] == [["a", "b"], ["c"]]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("PUT", "/v1/lists/a/members/nobody", None, 422, "no @"),
        ("PUT", f"/v1/lists/{'x' * 65}/members/ana@a.example", None, 422, "64"),
        ("GET", "/v1/lists/%FF/members", None, 422, "UTF-8"),
        ("POST", "/v1/lists/a/members", {"addresses": []}, 422, "addresses"),
        ("POST", "/v1/lists/a/members", {"addresses": ["a@b.example"] * 10_001}, 422, "addresses"),
        ("POST", "/v1/lists/a/members", {"people": []}, 422, "people"),
        ("GET", "/v1/lists/a/members?state=lost", None, 422, "state"),
        ("GET", "/v1/lists?after=x", None, 422, "cursor"),
    ],
)
async def test_what_cannot_be_is_refused_by_its_name(
    served: Served, method: str, path: str, body: Any, status: int, words: str
) -> None:
    answered, problem = await served.call("acme", method, path, body)

    assert answered == status
    assert words in str(problem)


async def test_who_is_kept_off_is_not_joined_by_one_call(served: Served, parts: Parts) -> None:
    await parts.lists.add([Addition("acme", "ana@a.example", "manual", NOW_MS, scope="list:a")])

    status, problem = await served.call("acme", "PUT", "/v1/lists/a/members/ana@a.example")

    assert (status, problem["type"]) == (409, "urn:estafette:problem:kept_off_list")
    assert "manual" in problem["detail"]
