"""Web tracking against a real Redis: what a tenant chose reaches trackers, and what visitors do is counted."""

import secrets
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from services.reports import visits
from services.reports.store import ReportReader, ReportStore
from services.reports.tally import change
from services.suppression import web_tracking_http
from services.suppression.web_tracking_http import WebTrackingBody
from shared.http import api
from shared.redis import keys
from shared.redis.redis import Client
from shared.redis.web_tracking import WebTrackingRules, WebTrackings
from shared.words import events, ids
from shared.words.principal import Principal
from shared.words.visits import OFF, WebTracking

P = 2
CREATED_MS = 1_750_000_000_000
JOB = ids.new_job_id(CREATED_MS, b"chance", P)
SHOP = WebTracking(("www.exemple.fr",), ("purchase",), ("EUR",))


async def test_what_a_tenant_chose_is_known_to_trackers_after_their_next_look(client: Client) -> None:
    rules, trackings = WebTrackingRules(client, secrets.token_bytes), WebTrackings(client)
    await trackings.look()
    assert (trackings.is_known, trackings.of("acme"), await rules.of("acme")) == (True, None, OFF)

    await rules.put("acme", SHOP)
    await rules.put("other", SHOP)
    await trackings.look()
    assert (trackings.of("acme"), await rules.of("acme")) == (SHOP, SHOP)

    await rules.put("acme", OFF)
    await trackings.look()
    assert (trackings.of("acme"), trackings.of("other")) == (None, SHOP)


async def test_a_tracker_reads_all_of_it_only_when_something_has_changed(client: Client) -> None:
    rules, trackings = WebTrackingRules(client, secrets.token_bytes), WebTrackings(client)
    await rules.put("acme", SHOP)
    await trackings.look()

    await client.hset(keys.web_tracking(), "acme", b"what nobody reads")  # behind its back
    await trackings.look()

    assert trackings.of("acme") == SHOP


class Keys:
    async def verify(self, text: str) -> Principal | None:
        return Principal(text, frozenset(("read", "admin")))


@pytest.mark.parametrize("body", [{"sites": ["www.exemple.fr"], "events": ["basket"], "currencies": ["EUR"]}, {}])
async def test_a_tenant_chooses_over_http_and_takes_it_back(client: Client, body: dict[str, Any]) -> None:
    routes = web_tracking_http.routes(WebTrackingRules(client, secrets.token_bytes))
    app = api.application(routes, Keys(), max_body_bytes=65536)
    acme, other = {"Authorization": "Bearer acme"}, {"Authorization": "Bearer other"}
    path = "/v1/web-tracking"
    nothing: dict[str, Any] = {"sites": [], "events": [], "currencies": []}
    async with TestClient(TestServer(app)) as asking:
        async with asking.put(path, json=body, headers=acme) as answer:
            assert (answer.status, await answer.json()) == (200, {**nothing, **body})
        async with asking.get(path, headers=acme) as answer:
            assert await answer.json() == {**nothing, **body}
        async with asking.get(path, headers=other) as answer:
            assert await answer.json() == nothing
        wrong = {"sites": ["https://a.fr"], "events": ["A"]}
        async with asking.put(path, json=wrong, headers=acme) as answer:
            assert (answer.status, [fault["at"] for fault in (await answer.json())["faults"]]) == (
                422, ["$.sites[0]", "$.events[0]"],
            )  # fmt: skip
        async with asking.delete(path, headers=acme) as answer:
            assert answer.status == 204
        async with asking.get(path, headers=acme) as answer:
            assert await answer.json() == nothing
    assert WebTrackingBody() == WebTrackingBody(sites=[], events=[], currencies=[])


# Counting


async def counted(client: Client, facts: list[events.Fact]) -> visits.Visits:
    """The report after these facts, each read from the stream as reports does."""
    p = ids.job_partition(JOB, P)
    await client.hset(keys.job(p, JOB), "x", b"1")  # the job is kept
    group, stream = keys.GROUP_REPORTS, keys.events(p)
    pipeline = client.pipeline(transaction=False)
    pipeline.execute_command("XGROUP", "CREATE", stream, group, "0", "MKSTREAM")
    for fact in facts:
        pipeline.execute_command(
            "XADD", stream, "*", "t", type(fact).__name__, "v", events.MAJOR_VERSION, "b", events.encode(fact)
        )
    pipeline.execute_command("XREADGROUP", "GROUP", group, "me", "COUNT", 1000, "STREAMS", stream, ">")
    names = [name.decode() for name in (await pipeline.execute())[1:-1]]
    await ReportStore(client).apply(p, [(name, change(fact, name)) for name, fact in zip(names, facts, strict=True)])
    return visits.of(await ReportReader(client, P).counts(JOB))


def about(number: int, ordinal: int = 3) -> dict[str, Any]:
    return {**events.about_message("acme", JOB, ordinal, CREATED_MS + number, number)}


async def test_visits_events_and_amounts_are_counted_once_and_machines_apart(client: Client) -> None:
    purchase: dict[str, Any] = {"name": "purchase", "currency": "EUR"}
    bought = events.VisitorActed(**about(3), **purchase, value="59.9")

    found = await counted(
        client,
        [
            events.PageViewed(**about(1)),
            events.PageViewed(**about(2)),
            events.PageViewed(**about(7, ordinal=4)),
            events.PageViewed(**about(8), machine="tool"),
            bought,
            bought,  # published twice
            events.VisitorActed(**about(4, ordinal=4), **purchase, value="100000000"),
            events.VisitorActed(**about(5), **purchase, value="5", machine="tool"),
            events.VisitorConsented(**about(6), given=True),
        ],
    )

    assert (found.unique, found.total, found.machine_total) == (2, 3, 1)
    (purchases,) = found.events
    assert (purchases.name, purchases.unique, purchases.total, purchases.machine_total) == ("purchase", 2, 2, 1)
    assert [(one.currency, one.total) for one in purchases.amounts] == [("EUR", "100000059.9")]
