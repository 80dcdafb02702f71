"""Escalation in a real Redis and a real cluster: counted, listed, revived, and set over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import test_utils

from services.suppression import escalation_http, http
from services.suppression.counts import Change, Counts
from services.suppression.escalated import escalation
from services.suppression.escalating import Sign
from services.suppression.escalation import Count, Rule, Rules, Soft
from services.suppression.moving.wishes import Act
from services.suppression.rule_book import RuleBook
from services.suppression.softs import Softs
from services.suppression.store import Addition, Lists
from shared.http import api
from shared.redis import bus, keys
from shared.redis.recipients import Waiting, pack_slim
from shared.redis.suppression import SuppressionList
from shared.redis.tenants import Tenants
from shared.words import events, ids

PARTITIONS = 3
DAY_MS = 86_400_000
NOW_MS = 1_700_000_000_000
JOB = ids.new_job_id(NOW_MS, b"chance", PARTITIONS)
RULES = Rules(soft_bounces=Rule(3, 2), mailbox_full=Rule(2, 2, 10_000))


class Parts:
    def __init__(self, client: Any) -> None:
        self.client = client
        self.lists, self.lookup = Lists(client, PARTITIONS), SuppressionList(client, PARTITIONS)
        self.counts, self.book = Counts(client, PARTITIONS), RuleBook(client, RULES, lambda: 0.0)
        self.escalation = escalation(client, PARTITIONS, self.lists, self.book)

    async def apply(self, *facts: events.Fact) -> None:
        await self.escalation.apply(
            [bus.Entry("1-0", type(fact).__name__, events.MAJOR_VERSION, events.encode(fact)) for fact in facts]
        )

    async def reasons(self, address: str = "a@b.example", tenant: str = "acme") -> list[str]:
        (one,) = await self.lookup.listed(tenant, [address])
        return [entry.reason for entry in one.entries]

    async def told(self) -> list[str]:
        return sorted(
            [
                fields[b"t"].decode()
                for partition in range(PARTITIONS)
                for _, fields in await self.client.xrange(keys.events(partition))
            ]
        )


@pytest.fixture
def parts(client: Any) -> Parts:
    return Parts(client)


def about(day: int, email: str | None = "a@b.example") -> dict[str, Any]:
    named = {"event_id": f"e{day}", "tenant": "acme", "job": JOB, "ordinal": day}
    return {**named, "occurred_at": NOW_MS + day * DAY_MS, "email": email}


def bounced(day: int, reason: str = "system_unavailable") -> events.Bounced:
    return events.Bounced(**about(day), kind="soft", reason=reason, reply="450 4.3.0 not now")


async def listed(parts: Parts) -> None:
    await parts.apply(bounced(1), bounced(2), bounced(3))
    assert await parts.reasons() == ["soft_bounces"]


async def test_soft_bounces_in_a_row_list_their_address_for_all_and_say_by_what(parts: Parts) -> None:
    await listed(parts)

    (one,) = await parts.lookup.listed("acme", ["a@b.example"])
    (entry,) = one.entries
    said = one.said_of(entry)
    assert (entry.scope, entry.channel, entry.source, entry.expires_ms) == ("all", "email", "rule", 0)
    assert (said.job, said.ordinal, said.event, said.diagnostic) == (JOB, 3, "e3", "450 4.3.0 not now")
    assert await parts.told() == ["Suppressed"]


async def test_a_batch_that_comes_again_tells_and_lists_nothing_again(parts: Parts) -> None:
    await listed(parts)

    await parts.apply(bounced(1), bounced(2), bounced(3))

    assert await parts.told() == ["Suppressed"]


async def test_soft_bounces_of_a_file_are_counted_with_those_of_mails_one_a_day(parts: Parts) -> None:
    softs = Softs(parts.escalation)
    yesterday = [("a@b.example", Act("soft", last_ms=NOW_MS + 3 * DAY_MS))]

    await parts.apply(bounced(1))
    await softs.count("acme", yesterday * 3, NOW_MS + 4 * DAY_MS)
    await softs.count("acme", yesterday, NOW_MS + 4 * DAY_MS)
    assert await parts.reasons() == []

    await softs.count("acme", [("a@b.example", Act("soft"))], NOW_MS + 4 * DAY_MS)
    assert await parts.reasons() == ["soft_bounces"]


async def test_who_is_said_to_be_valid_begins_anew(parts: Parts) -> None:
    await parts.apply(bounced(1), bounced(2))

    await Softs(parts.escalation).forgive("acme", ["a@b.example", "nobody@b.example"], NOW_MS + 3 * DAY_MS)
    await parts.apply(bounced(4))

    assert await parts.reasons() == []
    assert await parts.counts.get_many([("acme", "nobody@b.example")]) == [None]


async def test_a_full_mailbox_is_listed_for_a_time(parts: Parts) -> None:
    await parts.apply(bounced(1, "mailbox_full"), bounced(3, "mailbox_full"))

    (one,) = await parts.lookup.listed("acme", ["a@b.example"])
    assert [entry.expires_ms for entry in one.entries] == [NOW_MS + 10_003 * DAY_MS]


async def test_a_later_delivery_takes_the_entry_away_and_tells_of_it(parts: Parts) -> None:
    await listed(parts)

    await parts.apply(events.Delivered(**about(4)))
    await parts.apply(events.Delivered(**about(4)))

    assert await parts.reasons() == []
    assert await parts.told() == ["Reactivated", "Suppressed"]


async def test_a_persons_click_does_and_a_machines_does_not(parts: Parts) -> None:
    rows = [Waiting(email="x@y.example") for _ in range(4)] + [Waiting(email="A@b.example")]
    key = keys.job_recipients(ids.job_partition(JOB, PARTITIONS), JOB)
    await parts.client.zadd(key, {pack_slim(0, rows): 0})
    await listed(parts)

    await parts.apply(events.Clicked(**about(4, None), machine="scanner"))
    assert await parts.reasons() == ["soft_bounces"]
    await parts.apply(events.Clicked(**about(4, None)))
    assert await parts.reasons() == []


@pytest.mark.parametrize("reason", ["hard_bounce", "unsubscribed", "complaint", "manual"])
async def test_no_sign_of_life_takes_away_what_is_stronger(parts: Parts, reason: Any) -> None:
    await listed(parts)
    await parts.lists.add([Addition("acme", "a@b.example", reason, NOW_MS, scope="all")])

    await parts.apply(events.Delivered(**about(4)), events.Opened(**about(5)))

    assert await parts.reasons() == [reason]


async def test_two_answers_that_nobody_has_that_name_are_a_hard_bounce_that_stays(parts: Parts) -> None:
    await parts.apply(bounced(1, "unknown_user"), bounced(2, "unknown_user"), events.Delivered(**about(3)))

    assert await parts.reasons() == ["hard_bounce"]


async def test_what_was_imported_as_soft_counts(parts: Parts) -> None:
    for day in (1, 2, 3):
        soft = Soft(NOW_MS + day * DAY_MS, f"import {day}", "soft_bounces")
        await parts.escalation.count([Sign("acme", "a@b.example", soft)])

    assert await parts.reasons() == ["soft_bounces"]


async def test_a_count_changes_only_if_it_is_what_was_read(parts: Parts) -> None:
    one, two = Count(cleared_s=1), Count(cleared_s=2)
    await parts.counts.change([Change("acme", "a@b.example", None, one)])

    assert await parts.counts.change([Change("acme", "a@b.example", None, two)]) == [False]
    assert await parts.counts.change([Change("acme", "a@b.example", one, two)]) == [True]
    assert await parts.counts.get_many([("acme", "a@b.example"), ("acme", "b@b.example")]) == [two, None]


async def test_counts_that_say_nothing_any_more_are_swept(parts: Parts) -> None:
    await parts.apply(*(events.Bounced(**about(day, f"r{day}@b.example"), kind="soft") for day in range(200)))

    assert await parts.counts.sweep("acme", NOW_MS + 300 * DAY_MS) == 120
    left = await parts.counts.get_many([("acme", "r0@b.example"), ("acme", "r199@b.example")])
    assert [count is None for count in left] == [True, False]


@pytest.fixture
async def api_client(parts: Parts) -> AsyncIterator[test_utils.TestClient[Any, Any]]:
    tenants = Tenants(parts.client)
    await tenants.create("acme")
    _, key = await tenants.create_key("acme", ("read", "suppress", "admin"))
    desk = http.Desk(parts.lists, parts.lookup, PARTITIONS, lambda: NOW_MS, lambda: "r", parts.counts.forget)
    routes = [*http.routes(desk), *escalation_http.routes(parts.book, RULES)]
    app = api.application(routes, tenants, max_body_bytes=100_000)
    async with test_utils.TestClient(test_utils.TestServer(app), headers={"Authorization": f"Bearer {key}"}) as found:
        yield found


async def test_a_tenant_sets_its_rules_and_those_it_leaves_out_are_the_installations(
    parts: Parts, api_client: test_utils.TestClient[Any, Any]
) -> None:
    before = await (await api_client.get("/v1/escalation")).json()
    put = await api_client.put("/v1/escalation", json={"soft_bounces": {"bounces": 2, "days": 1}})
    after = await (await api_client.get("/v1/escalation")).json()
    await parts.apply(bounced(1), bounced(2))

    assert (before["own"], before["soft_bounces"]["bounces"]) == (False, 3)
    assert put.status == 200
    assert (after["own"], after["soft_bounces"]) == (True, {"bounces": 2, "days": 1, "expires_after_days": 0})
    assert after["mailbox_full"] == {"bounces": 2, "days": 2, "expires_after_days": 10_000}
    assert await parts.reasons() == ["soft_bounces"]

    assert (await api_client.delete("/v1/escalation")).status == 204
    assert (await (await api_client.get("/v1/escalation")).json())["own"] is False


@pytest.mark.parametrize(
    "body",
    [
        {"soft_bounces": {"bounces": 8, "days": 15}},
        {"mailbox_full": {"bounces": 5, "days": 15}},
        {"inactive": {"bounces": 1, "days": 366}},
        {"inactive": {"bounces": 1}},
        {"soft": {"bounces": 1, "days": 1}},
    ],
)
async def test_rules_that_cannot_be_kept_are_refused_and_named(
    api_client: test_utils.TestClient[Any, Any], body: dict[str, Any]
) -> None:
    answer = await api_client.put("/v1/escalation", json=body)

    assert answer.status == 422
    assert (await answer.json())["faults"]
    assert (await (await api_client.get("/v1/escalation")).json())["own"] is False


async def test_who_is_taken_off_the_list_by_hand_begins_anew(
    parts: Parts, api_client: test_utils.TestClient[Any, Any]
) -> None:
    await listed(parts)

    assert (await api_client.delete("/v1/suppressions/a@b.example")).status == 204
    await parts.apply(bounced(4), bounced(5))
    assert await parts.reasons() == []

    await parts.apply(bounced(6))
    assert await parts.reasons() == ["soft_bounces"]
