"""Result sets in a real Redis and a real cluster, and over HTTP: against plain sets, streamed, and apart by tenant."""

import csv
import io
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from aiohttp import test_utils

from services.reports import results_http
from services.reports.reports import Reports
from services.reports.store import ReportReader, ReportStore
from shared.http import api
from shared.redis import bus, keys, result_sets
from shared.redis.recipients import Waiting, pack_slim, pack_viewable, pack_waiting, read, without
from shared.redis.result_sets import Member, ResultSets
from shared.redis.tenants import Tenants
from shared.words import events, ids
from shared.words import result_sets as language
from shared.words.joined import TooMany
from tests.jobs import job_hash
from tests.redis.test_reports import CONTENT

P = 3
MADE_MS = 1_700_000_000_000
A, B, C = (ids.new_job_id(MADE_MS + n, bytes([n]) * 6, P) for n in (1, 2, 3))


def person(who: int) -> Waiting:
    return Waiting(email=f"Person{who}@Example.org", metadata={"crm_id": str(who)})


class House:
    """Jobs, their recipients and what happened to them."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.sets = ResultSets(client, P)
        self._partitions: set[int] = set()

    async def job(
        self,
        job: str,
        people: Sequence[Waiting],
        *,
        tenant: str = "acme",
        pack: Callable[[int, Sequence[Waiting]], bytes] = pack_slim,
        chunk: int = 500,
    ) -> None:
        p = ids.job_partition(job, P)
        fields = job_hash(tenant=tenant, state="queued", total=len(people), stream="bulk", content=CONTENT)
        await self.client.hset(keys.job(p, job), mapping=fields)
        for first in range(0, len(people), chunk):
            await self.client.zadd(keys.job_recipients(p, job), {pack(first, people[first : first + chunk]): first})

    async def happens(self, job: str, fact: type[events.Fact], ordinal: int, tenant: str = "acme", **more: Any) -> None:
        """Counted as any fact is."""
        p = ids.job_partition(job, P)
        stream = keys.events(p)
        if p not in self._partitions:
            self._partitions.add(p)
            await self.client.xgroup_create(stream, keys.GROUP_REPORTS, id="0", mkstream=True)
            await self.client.hset(keys.readers(stream), f"silent:{keys.GROUP_REPORTS}", 0)
        about = events.about_message(tenant, job, ordinal, MADE_MS, f"{fact.__name__}{more}")
        body = events.encode(fact(**about, **more))
        await self.client.xadd(stream, {"t": fact.__name__, "v": 1, "b": body})

    async def count(self) -> None:
        for p in self._partitions:
            while True:
                found = await self.client.xreadgroup(keys.GROUP_REPORTS, "one", {keys.events(p): ">"}, count=200)
                if not found:
                    break
                entries = [bus.entry(number, fields) for _, some in found for number, fields in some]
                await Reports(ReportStore(self.client), lambda: 0).count(p, entries)

    async def who(self, given: Any, tenant: str = "acme", sets: ResultSets | None = None) -> list[Member]:
        expression, faults = language.read(given)
        assert expression is not None, faults
        reader = sets or self.sets
        named, missing = await reader.named(tenant, expression)
        assert not missing, missing
        return [one async for some in reader.recipients(named, expression.node, b"chance") for one in some]

    async def numbers(self, given: Any) -> list[int]:
        return sorted(int((one.recipient.metadata or {})["crm_id"]) for one in await self.who(given))

    async def messages(self, job: str, state: str, after: int = -1, **narrowed: Any) -> list[int]:
        one = language.Set(job, state, **narrowed)
        named, missing = await self.sets.named("acme", language.Expression(one, {one: "?"}))
        assert not missing, missing
        return [found.ordinal async for some in self.sets.messages(named[0], one, after) for found in some]


@pytest.fixture
def house(client: Any) -> House:
    return House(client)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that a small job has several of."""
    monkeypatch.setattr(result_sets, "WINDOW", 64)
    monkeypatch.setattr(result_sets, "TOGETHER", 3)


async def _a_job_of_ten(house: House) -> None:
    await house.job(A, [person(n) for n in range(10)], chunk=4)
    for ordinal in range(8):
        await house.happens(A, events.Accepted, ordinal)
    for ordinal in range(6):
        await house.happens(A, events.Delivered, ordinal)
    await house.happens(A, events.Opened, 0)
    await house.happens(A, events.Clicked, 1, position=0)
    await house.happens(A, events.Clicked, 2, position=1)
    await house.happens(A, events.Clicked, 3, position=2)
    await house.happens(A, events.Opened, 4, machine="proxy")
    await house.happens(A, events.Bounced, 5, kind="soft", late=True)
    await house.happens(A, events.Bounced, 6, kind="hard")
    await house.happens(A, events.Suppressed, 7, reason="unsubscribed", where="attempt")
    await house.happens(A, events.Rejected, 8, reason="invalid_address")
    await house.happens(A, events.Rejected, 9, reason="duplicate_address")
    await house.happens(A, events.Unsubscribed, 0)
    await house.happens(A, events.Complained, 3)
    await house.count()


@pytest.mark.parametrize(
    ("state", "narrowed", "ordinals"),
    [
        ("selected", {}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("recipient", {}, [0, 1, 2, 3, 4, 5, 6]),
        ("excluded", {}, [7, 8, 9]),
        ("excluded", {"reason": "unsubscribed"}, [7]),
        ("rejected", {"reason": "duplicate_address"}, [9]),
        ("suppressed", {"reason": "rule"}, []),
        ("delivered", {}, [0, 1, 2, 3, 4]),
        ("bounced", {}, [5, 6]),
        ("bounced_soft", {}, [5]),
        ("opened", {}, [0, 1, 2, 3]),
        ("not_opened", {}, [4]),
        ("clicked", {}, [1, 2, 3]),
        ("clicked", {"link": 2}, [3]),
        ("clicked", {"url": "https://a.example/"}, [1, 3]),
        ("not_clicked", {"url": "https://a.example/"}, [0, 2, 4]),
        ("not_clicked", {}, [0, 4]),
        ("unsubscribed", {}, [0]),
        ("complained", {}, [3]),
    ],
)
async def test_each_set_of_a_job_has_whom_it_says(
    house: House, state: str, narrowed: dict[str, Any], ordinals: list[int]
) -> None:
    await _a_job_of_ten(house)

    assert await house.messages(A, state, **narrowed) == ordinals
    assert await house.messages(A, state, after=3, **narrowed) == [one for one in ordinals if one > 3]


async def test_expressions_over_several_jobs_come_to_what_plain_sets_do(house: House) -> None:
    chance = random.Random(13)
    facts: dict[tuple[str, str], set[int]] = defaultdict(set)
    for job in (A, B, C):
        people = chance.sample(range(200), 150)
        await house.job(job, [person(who) for who in people], chunk=20)
        for ordinal, who in enumerate(people):
            facts[job, "selected"].add(who)
            await house.happens(job, events.Accepted, ordinal)
            if chance.random() < 0.8:
                await house.happens(job, events.Delivered, ordinal)
                facts[job, "delivered"].add(who)
            if chance.random() < 0.4:
                await house.happens(job, events.Clicked, ordinal, position=0)
                facts[job, "clicked"].add(who)
    await house.count()

    def one(job: str, state: str) -> Any:
        return {"job": job, "state": state}

    every = facts[A, "selected"] | facts[B, "selected"]
    assert await house.numbers({"and": [one(A, "delivered"), {"not": one(B, "clicked")}]}) == sorted(
        facts[A, "delivered"] - facts[B, "clicked"]
    )
    assert await house.numbers({"or": [one(A, "clicked"), one(B, "clicked"), one(C, "clicked")]}) == sorted(
        facts[A, "clicked"] | facts[B, "clicked"] | facts[C, "clicked"]
    )
    assert await house.numbers({"and": [one(A, "delivered"), one(B, "delivered"), one(C, "delivered")]}) == sorted(
        facts[A, "delivered"] & facts[B, "delivered"] & facts[C, "delivered"]
    )
    assert await house.numbers({"not": {"or": [one(A, "clicked"), one(B, "clicked")]}}) == sorted(
        every - facts[A, "clicked"] - facts[B, "clicked"]
    )
    assert await house.numbers({"not": one(A, "clicked")}) == sorted(facts[A, "selected"] - facts[A, "clicked"])


async def test_who_is_in_several_jobs_is_there_once_as_the_latest_of_the_named_sets_has_them(house: House) -> None:
    await house.job(A, [Waiting(email="Ana@Example.org", metadata={"from": "A"})])
    await house.job(B, [Waiting(email="ana@example.ORG", metadata={"from": "B"})])

    found = await house.who({"or": [{"job": A, "state": "selected"}, {"job": B, "state": "selected"}]})
    older = await house.who({"and": [{"job": A, "state": "selected"}, {"not": {"job": B, "state": "clicked"}}]})

    assert [(one.job, one.recipient.email, one.recipient.metadata) for one in found] == [
        (B, "ana@example.ORG", {"from": "B"})
    ]
    assert [one.job for one in older] == [A]


async def test_who_stands_in_a_job_twice_is_in_a_set_of_recipients_as_the_first_of_them(house: House) -> None:
    await house.job(A, [person(0), person(1), person(0)])
    await house.job(B, [person(0)])
    await house.happens(A, events.Delivered, 0)
    await house.happens(A, events.Opened, 0)
    await house.happens(A, events.Rejected, 2, reason="duplicate_address")
    await house.count()
    not_opened = {"not": {"job": A, "state": "opened"}}

    assert await house.numbers(not_opened) == [1]
    assert await house.numbers({"and": [not_opened, {"not": {"job": B, "state": "opened"}}]}) == [1]
    assert await house.messages(A, "rejected") == [2]


@pytest.mark.parametrize("pack", [pack_slim, pack_viewable, pack_waiting])
async def test_what_is_kept_of_recipients_comes_with_them(house: House, pack: Any) -> None:
    people = [
        Waiting(email="a@example.org", name="Ana", metadata={"crm_id": "1"}, untracked=True, declared=5),
        Waiting(email="b@example.org"),
    ]
    await house.job(A, people, pack=pack)

    ana, bo = await house.who({"job": A, "state": "selected"})

    assert (ana.recipient.email, ana.recipient.metadata) == ("a@example.org", {"crm_id": "1"})
    assert (ana.recipient.untracked, ana.recipient.declared) == (True, 5)
    assert (bo.recipient.untracked, bo.recipient.declared) == (False, 0)


async def test_who_was_erased_is_in_no_set_of_recipients(house: House) -> None:
    await house.job(A, [person(0), person(1)])
    await house.job(B, [person(1)])
    key = keys.job_recipients(ids.job_partition(A, P), A)
    [member] = await house.client.zrangebyscore(key, 0, 0)
    await house.client.zrem(key, member)
    await house.client.zadd(key, {without(read(member), {0}): 0})

    assert await house.numbers({"job": A, "state": "selected"}) == [1]
    assert await house.numbers({"or": [{"job": A, "state": "selected"}, {"job": B, "state": "selected"}]}) == [1]


async def test_more_than_are_joined_at_once_are_refused_before_any_comes(house: House) -> None:
    await house.job(A, [person(n) for n in range(3)])
    await house.job(B, [person(n) for n in range(3)])
    small = ResultSets(house.client, P, most_joined=5)

    with pytest.raises(TooMany):
        await house.who({"or": [{"job": A, "state": "selected"}, {"job": B, "state": "selected"}]}, sets=small)
    assert (
        len(await house.who({"and": [{"job": A, "state": "selected"}, {"job": B, "state": "bounced"}]}, sets=small))
        == 0
    )


async def test_a_job_counts_why_recipients_were_left_out(house: House) -> None:
    await _a_job_of_ten(house)

    counters = await ReportReader(house.client, P).counts(A)

    assert {name: int(number) for name, number in counters.items() if name.startswith("excluded-")} == {
        f"excluded-{reason}:{what}": 1
        for reason in ("unsubscribed", "invalid_address", "duplicate_address")
        for what in ("total", "unique")
    }


# Over HTTP


@pytest.fixture
async def door(client: Any) -> AsyncIterator[tuple[test_utils.TestClient[Any, Any], dict[str, dict[str, str]]]]:
    tenants = Tenants(client)
    headers = {}
    for tenant in ("acme", "beta"):
        await tenants.create(tenant)
        _, key = await tenants.create_key(tenant, ["read"])
        headers[tenant] = {"Authorization": f"Bearer {key}"}
    routes = results_http.routes(ResultSets(client, P), bytes)
    server = test_utils.TestServer(api.application(routes, tenants, max_body_bytes=1_000_000))
    async with test_utils.TestClient(server) as found:
        yield found, headers


async def test_messages_of_a_job_are_lines_of_json_or_rows_of_csv(house: House, door: Any) -> None:
    http, headers = door
    await _a_job_of_ten(house)

    async with http.get(f"/v1/jobs/{A}/messages?state=excluded", headers=headers["acme"]) as answer:
        assert answer.content_type == "application/x-ndjson"
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]
    async with http.get(f"/v1/jobs/{A}/messages?state=clicked&format=csv", headers=headers["acme"]) as answer:
        assert answer.content_type == "text/csv"
        rows = list(csv.DictReader(io.StringIO(await answer.text())))

    assert lines[0] == {
        "id": f"{A}.7",
        "email": "Person7@Example.org",
        "state": "suppressed",
        "reason": "unsubscribed",
        "opened": False,
        "clicked": False,
        "metadata": {"crm_id": "7"},
    }
    assert [line["reason"] for line in lines] == ["unsubscribed", "invalid_address", "duplicate_address"]
    assert [(row["id"], row["opened"], row["clicked"]) for row in rows] == [
        (f"{A}.{n}", "true", "true") for n in (1, 2, 3)
    ]


async def test_a_cell_is_no_formula_to_a_spreadsheet(house: House, door: Any) -> None:
    http, headers = door
    await house.job(A, [Waiting(email='"=cmd|x"@example.org'), Waiting(email="=1+1@example.org")])

    async with http.get(f"/v1/jobs/{A}/messages?format=csv", headers=headers["acme"]) as answer:
        rows = list(csv.reader(io.StringIO(await answer.text())))

    assert [row[1][0] for row in rows[1:]] == ['"', "'"]


async def test_an_empty_set_is_an_empty_answer(house: House, door: Any) -> None:
    http, headers = door
    await house.job(A, [])

    for query, body in (("", ""), ("?format=csv", "id,email,state,reason,opened,clicked,metadata\r\n")):
        async with http.get(f"/v1/jobs/{A}/messages{query}", headers=headers["acme"]) as answer:
            assert (answer.status, await answer.text()) == (200, body)


async def test_what_does_not_fit_is_said_with_where_it_stands(house: House, door: Any) -> None:
    http, headers = door
    await _a_job_of_ten(house)

    async def refused(path: str, body: Any = None) -> tuple[int, str, list[str]]:
        ask = (
            http.get(path, headers=headers["acme"])
            if body is None
            else http.post(path, json=body, headers=headers["acme"])
        )
        async with ask as answer:
            problem = await answer.json()
            return answer.status, problem["type"].rpartition(":")[2], [one["at"] for one in problem.get("faults", ())]

    messages = f"/v1/jobs/{A}/messages"
    assert await refused(f"{messages}?state=delighted&link=x") == (422, "invalid_query", ["?state", "?link"])
    assert await refused(f"{messages}?state=opened&link=1") == (422, "invalid_query", ["?link"])
    assert await refused(f"{messages}?state=clicked&link=7") == (422, "invalid_query", ["?link"])
    assert await refused(f"{messages}?state=clicked&url=https://c.example/") == (422, "invalid_query", ["?url"])
    assert await refused("/v1/results", {"and": [{"job": A}, {"job": C, "state": "x"}]}) == (
        422,
        "invalid_result_set",
        ["$.and[0].state", "$.and[1].state"],
    )
    assert await refused("/v1/results", {"not": {"job": C, "state": "opened"}}) == (
        422,
        "invalid_result_set",
        ["$.not.job"],
    )


async def test_another_tenants_job_is_not_there(house: House, door: Any) -> None:
    http, headers = door
    await house.job(A, [person(0)])
    await house.job(B, [person(1)], tenant="beta")

    answers = []
    for job in (A, C):
        async with http.get(f"/v1/jobs/{job}/messages", headers=headers["beta"]) as answer:
            answers.append((answer.status, await answer.json()))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    body = {"or": [{"job": B, "state": "selected"}, {"job": A, "state": "selected"}]}
    async with http.post("/v1/results", json=body, headers=headers["beta"]) as answer:
        problem = await answer.json()
    assert (answer.status, [one["at"] for one in problem["faults"]]) == (422, ["$.or[1].job"])


async def test_recipients_over_jobs_are_streamed(house: House, door: Any) -> None:
    http, headers = door
    await house.job(A, [person(n) for n in range(150)], chunk=20)
    await house.job(B, [person(n) for n in range(100, 250)], chunk=20)
    body = {"or": [{"job": A, "state": "selected"}, {"job": B, "state": "selected"}]}

    async with http.post("/v1/results", json=body, headers=headers["acme"]) as answer:
        found = [json.loads(line)["metadata"]["crm_id"] for line in (await answer.text()).splitlines()]

    assert sorted(map(int, found)) == list(range(250))
