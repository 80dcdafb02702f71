"""Retention in a real Redis and a real cluster: who is heard of is noted, who is not is warned about and erased."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import test_utils

from services.suppression import retention_http
from services.suppression.erasing import Erasing
from services.suppression.everybody import Everybody, Place
from services.suppression.interactions import Interactions, Noted, Noting
from services.suppression.people import People
from services.suppression.retaining import Looked, Retaining, RetentionRules
from services.suppression.retention import DAY_MS, Rule, Seen, shown_day
from services.suppression.store import Addition, Lists
from shared.http import api
from shared.redis import bus, keys
from shared.redis.histories import Histories
from shared.redis.members import Members
from shared.redis.recipients import Recipient
from shared.redis.tenants import Tenants
from shared.words import events, ids
from shared.words.erased import ErasureKeys
from shared.words.tokens import TokenKeys

P = 3
TODAY = 20_000
LONG_AGO = TODAY - 4 * 366
RULE = Rule(3, 30)
JOB = ids.new_job_id(1_700_000_000_000, b"chance", P)


class Recipients:
    async def find(self, job: str, ordinals: Any) -> dict[int, Recipient]:
        return {ordinal: Recipient(f"R{ordinal}@b.example" if ordinal else "") for ordinal in ordinals if job == JOB}


class Parts:
    def __init__(self, client: Any) -> None:
        self.client, self.today = client, TODAY
        names = iter(range(100_000))
        publisher = bus.Publisher(client, P, lambda: f"b{next(names)}")
        self.lists, self.members, self.notes = Lists(client, P), Members(client, P), Interactions(client, P)
        self.everybody, self.rules = Everybody(client, P), RetentionRules(client, Rule())
        self.tenants = Tenants(client)
        erasing = Erasing(client, P, publisher, self.now_ms, lambda: f"v{next(names)}", Histories(client, P, 90))
        self.erasing = erasing
        self.people = People(client, P, ErasureKeys(b"k" * 32), TokenKeys(b"k" * 32), erasing, lambda: 0.0)
        self.retaining = Retaining(
            self.rules, self.everybody, self.people, self.notes, publisher, self.tenants.all, self.now_ms
        )

    def now_ms(self) -> int:
        return self.today * DAY_MS + 5

    async def all(self, limit: int = 500) -> dict[str, int]:
        found: list[tuple[str, int]] = []
        place: Place | None = Place()
        while place is not None:
            some, place = await self.everybody.page("acme", place, limit)
            found += [(one.address, one.last_day) for one in some]
        assert len(found) == len(dict(found)), "somebody was shown twice"
        return dict(found)

    async def facts(self, kind: type[events.Fact]) -> list[Any]:
        stored = [await self.client.xrange(keys.events(p)) for p in range(P)]
        facts = [bus.entry(number, fields).message() for some in stored for number, fields in some]
        return [fact for fact in facts if isinstance(fact, kind)]


@pytest.fixture
def parts(client: Any) -> Parts:
    return Parts(client)


def entry(fact: events.Fact) -> bus.Entry:
    return bus.Entry("1000-0", type(fact).__name__, events.MAJOR_VERSION, events.encode(fact))


def about(ordinal: int, day: int) -> events.About:
    return events.about_message("acme", JOB, ordinal, day * DAY_MS, "test", ordinal)


async def test_a_click_of_a_person_counts_and_an_opening_or_a_machine_does_not(parts: Parts) -> None:
    noting = Noting(parts.notes, Recipients())
    gone = events.Unsubscribed(**events.about("acme", 12 * DAY_MS, "left", email="Left@b.example"), by="page")

    await noting.apply(
        [
            entry(events.Clicked(**about(1, 10))),
            entry(events.Opened(**about(2, 10))),
            entry(events.Clicked(**about(3, 10), machine="scanner")),
            entry(events.Clicked(**about(0, 10))),  # who was erased has no address
            entry(events.Delivered(**about(4, 10))),
            bus.Entry("1001-0", "Clicked", events.MAJOR_VERSION, b"?"),
            entry(events.DocumentOpened(**about(5, 11), position=1)),
            entry(events.DocumentOpened(**about(6, 11), machine="scanner")),
            entry(events.DocumentOpened(**events.about("acme", 9 * DAY_MS, "read", email="sms@b.example"))),
            entry(gone),
        ]
    )

    assert await parts.all() == {
        "r1@b.example": 10,
        "left@b.example": 12,
        "r5@b.example": 11,
        "sms@b.example": 9,
    }


async def test_the_later_day_holds_in_whatever_order_it_comes(parts: Parts) -> None:
    assert await parts.notes.note([Noted("acme", "a@b.example", 7), Noted("acme", "a@b.example", 5)]) == 1
    assert await parts.notes.note([Noted("acme", "a@b.example", 6)]) == 0
    assert await parts.notes.note([Noted("acme", "a@b.example", 0, 9)]) == 1

    assert await parts.notes.get("acme", "a@b.example") == Seen(7, 9)
    assert await parts.notes.get("other", "a@b.example") == Seen()


async def test_everybody_is_shown_once_in_whatever_maps_they_are(parts: Parts) -> None:
    await parts.notes.note([Noted("acme", f"n{n}@b.example", 100 + n) for n in range(30)])
    await parts.members.join("acme", "news", [f"n{n}@b.example" for n in range(20, 50)], 200 * DAY_MS)
    await parts.members.join("acme", "offers", [f"n{n}@b.example" for n in range(45, 60)], 90 * DAY_MS)
    await parts.lists.add([Addition("acme", f"n{n}@b.example", "manual", 50 * DAY_MS) for n in range(55, 70)])
    await parts.lists.add([Addition("acme", "law@b.example", "compliance", 50 * DAY_MS)])
    await parts.notes.note([Noted("acme", "n60@b.example", 0, 300)])  # warned about, and known by the list alone
    await parts.notes.note([Noted("other", "x@b.example", 1)])

    expected = {
        f"n{n}@b.example": max(
            100 + n if n < 30 else 0, 200 if 20 <= n < 50 else 0, 90 if 45 <= n < 60 else 0, 50 if n >= 55 else 0
        )
        for n in range(70)
    }
    assert await parts.all() == await parts.all(limit=1) == await parts.all(limit=7) == expected


async def test_who_is_silent_for_years_is_warned_about_and_then_erased(parts: Parts) -> None:
    await parts.notes.note([Noted("acme", "old@b.example", LONG_AGO), Noted("acme", "new@b.example", TODAY - 5)])
    await parts.lists.add([Addition("acme", "old@b.example", "unsubscribed", LONG_AGO * DAY_MS)])

    first = await parts.retaining.look("acme", RULE)
    again = await parts.retaining.look("acme", RULE)
    parts.today += 30
    last = await parts.retaining.look("acme", RULE)
    assert await parts.erasing.sweep() == 1

    assert (first, again) == (Looked(1, 1), Looked(2))
    assert last == Looked(1, 0, 1)
    (warning,) = await parts.facts(events.RetentionNear)
    (erased,) = await parts.facts(events.Erased)
    assert (warning.email, warning.last_at, warning.erase_at) == (
        "old@b.example",
        LONG_AGO * DAY_MS,
        (TODAY + 30) * DAY_MS,
    )
    assert (erased.by, erased.email) == ("retention", None)
    assert await parts.all() == {"new@b.example": TODAY - 5}


async def test_who_shows_after_the_warning_stays(parts: Parts) -> None:
    await parts.notes.note([Noted("acme", "old@b.example", LONG_AGO)])
    await parts.retaining.look("acme", RULE)
    await parts.notes.note([Noted("acme", "old@b.example", TODAY + 3)])

    parts.today += 30

    assert await parts.retaining.look("acme", RULE) == Looked(1)


async def test_a_dry_run_counts_and_changes_nothing(parts: Parts) -> None:
    await parts.notes.note([Noted("acme", "old@b.example", LONG_AGO)])
    await parts.notes.note([Noted("acme", "due@b.example", LONG_AGO, TODAY - 30)])

    assert await parts.retaining.look("acme", Rule(3, 30, dry_run=True)) == Looked(0, 1, 1)

    assert await parts.facts(events.RetentionNear) == []
    assert len(await parts.all()) == 2


async def test_so_many_are_erased_at_a_time_and_the_others_later(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.suppression.retaining.MOST_PENDING", 2)
    await parts.notes.note([Noted("acme", f"n{n}@b.example", LONG_AGO, TODAY - 30) for n in range(3)])

    first, second = [await parts.retaining.look("acme", RULE) for _ in range(2)]
    await parts.erasing.sweep()
    third = await parts.retaining.look("acme", RULE)

    assert (first, second, third) == (Looked(0, 0, 2, 1), Looked(0, 0, 0, 1), Looked(0, 0, 1))


async def test_one_process_looks_in_an_hour_and_only_at_tenants_with_a_rule(parts: Parts) -> None:
    await parts.tenants.create("acme")
    await parts.tenants.create("other")
    await parts.rules.put("acme", RULE)
    for tenant in ("acme", "other"):
        await parts.notes.note([Noted(tenant, "old@b.example", LONG_AGO)])

    await parts.retaining.sweep()

    assert [fact.tenant for fact in await parts.facts(events.RetentionNear)] == ["acme"]
    assert [await parts.rules.is_my_turn() for _ in range(2)] == [True, False]
    await parts.rules.put("other", RULE)
    assert await parts.rules.is_my_turn()


@pytest.fixture
async def browser(parts: Parts) -> AsyncIterator[test_utils.TestClient[Any, Any]]:
    await parts.tenants.create("acme")
    _, key = await parts.tenants.create_key("acme", ("read", "admin", "suppress"))
    made = retention_http.routes(parts.rules, parts.everybody, parts.notes, P, parts.now_ms)
    app = api.application(made, parts.tenants, max_body_bytes=100_000)
    headers = {"Authorization": f"Bearer {key}"}
    async with test_utils.TestClient(test_utils.TestServer(app), headers=headers) as client:
        yield client


async def test_a_tenant_sets_its_rule_and_sees_who_will_go(
    parts: Parts, browser: test_utils.TestClient[Any, Any]
) -> None:
    await parts.notes.note([Noted("acme", f"old{n}@b.example", LONG_AGO) for n in range(3)])
    await parts.notes.note([Noted("acme", "new@b.example", TODAY)])

    before = await (await browser.get("/v1/retention")).json()
    nobody = await (await browser.get("/v1/retention/people")).json()
    put = await browser.put("/v1/retention", json={"years": 3, "warn_days": 60, "dry_run": True})
    found, after = [], ""
    while True:
        page = await (await browser.get(f"/v1/retention/people?days=60&limit=1{after and f'&after={after}'}")).json()
        found += page["people"]
        if (after := page["next"]) is None:
            break
    gone = await browser.delete("/v1/retention")

    assert before == {"own": False, "years": 0, "warn_days": 30, "dry_run": False}
    assert nobody == {"people": [], "next": None}
    assert await put.json() == {"own": True, "years": 3, "warn_days": 60, "dry_run": True}
    assert sorted(one["address"] for one in found) == [f"old{n}@b.example" for n in range(3)]
    assert (found[0]["last"], found[0]["warned"]) == (shown_day(LONG_AGO), None)
    assert found[0]["erased_from"] == shown_day(TODAY + 60)
    assert gone.status == 204
    assert (await (await browser.get("/v1/retention")).json())["own"] is False


async def test_what_came_from_somebody_elsewhere_is_noted_or_all_of_it_refused(
    parts: Parts, browser: test_utils.TestClient[Any, Any]
) -> None:
    good, bad = {"email": "Ana@b.example"}, [{"email": "none"}, {"email": "a@b.example", "at": "2999-01-01T00:00:00Z"}]

    refused = await browser.post("/v1/interactions", json={"interactions": [good, *bad]})
    nothing = await parts.all()
    stored = await browser.post("/v1/interactions", json={"interactions": [good]})

    assert (refused.status, nothing) == (422, {})
    faults = [fault["at"] for fault in (await refused.json())["faults"]]
    assert faults == ["$.interactions[1].email", "$.interactions[2].at"]
    assert await stored.json() == {"stored": 1}
    assert await parts.all() == {"ana@b.example": TODAY}
    assert (await browser.get("/v1/retention/people?after=x")).status == 422
    assert (await browser.put("/v1/retention", json={"years": 99})).status == 422
