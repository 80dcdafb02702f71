"""The timeline of a contact through its route: what happened, the latest first, page by page, and of nobody else's."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import test_utils

from services.contacts import http, migrating, timeline_http
from services.contacts.base.database import Database
from services.contacts.contacts import Contacts
from shared.http import api, paging
from tests.behaviour_model import ADDRESSES
from tests.postgres.test_behaviour import URLS, House, made, told
from tests.postgres.test_contacts import Keys, Site, faults, word


@pytest.fixture
async def house(empty: Database) -> House:
    await migrating.migrate(empty, migrating.steps())
    house = await made(empty)
    async with empty.connection() as sql:
        await sql.execute("UPDATE contacts SET key = email_key WHERE tenant = $1", house.tenant)
    return house


async def opened(database: Database | None) -> AsyncIterator[Site]:
    contacts = None if database is None else Contacts(database)
    app = api.application([*http.routes(contacts), *timeline_http.routes(contacts)], Keys(), max_body_bytes=1_000_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as client:
        yield Site(client)


@pytest.fixture
async def site(house: House) -> AsyncIterator[Site]:
    async for one in opened(house.database):
        yield one


async def shown(site: Site, house: House, key: str, query: str = "") -> dict[str, Any]:
    status, found = await site.ask("GET", f"/v1/contact-timeline/{key}{query}", tenant=house.name)
    assert status == 200, found
    return dict(found)


ANA = ADDRESSES[0]


async def test_what_happened_is_shown_with_its_operation_its_link_and_whether_a_machine_did_it(
    house: House, site: Site
) -> None:
    await house.apply(
        told("delivered"),
        told("clicked", second=60, url=URLS[1], position=2),
        told("clicked", second=90, url=URLS[0], position=3, machine=True),
        told("event", second=120, detail="basket"),
        told("bounced", second=150, detail="hard"),
        told("opened", 1),
    )

    found = await shown(site, house, ANA)

    operation = {"key": "a", "name": "a", "kind": "email"}
    bare = {"operation": operation, "url": None, "position": None, "event": None, "bounce": None, "machine": False}
    assert found == {
        "moments": [
            {**bare, "at": "2026-11-28T12:02:30.000Z", "what": "bounced", "bounce": "hard"},
            {**bare, "at": "2026-11-28T12:02:00.000Z", "what": "event", "event": "basket"},
            {
                **bare,
                "at": "2026-11-28T12:01:30.000Z",
                "what": "clicked",
                "url": URLS[0],
                "position": 3,
                "machine": True,
            },
            {**bare, "at": "2026-11-28T12:01:00.000Z", "what": "clicked", "url": URLS[1], "position": 2},
            {**bare, "at": "2026-11-28T12:00:00.000Z", "what": "delivered"},
        ],
        "next": None,
    }


async def test_a_timeline_is_read_page_by_page_also_where_much_happened_at_once(house: House, site: Site) -> None:
    await house.apply(*(told("opened", second=at // 3, job=job) for at in range(12) for job in ("a", "b")))
    everything = (await shown(site, house, ANA))["moments"]

    pages, query = [], "?limit=3"
    while True:
        page = await shown(site, house, ANA, query)
        pages += page["moments"]
        if page["next"] is None:
            break
        query = f"?limit=3&after={page['next']}"

    assert pages == everything
    assert len(everything) == len({tuple(map(str, one.values())) for one in everything}) == 8


async def test_whoever_is_not_there_and_what_is_no_place_is_told(house: House, site: Site) -> None:
    assert word(await site.ask("GET", "/v1/contact-timeline/nobody@exemple.fr", tenant=house.name)) == (
        404,
        "unknown_contact",
    )
    assert word(await site.ask("GET", f"/v1/contact-timeline/{ANA}", tenant="zeta")) == (404, "unknown_contact")
    for after in ("x", paging.pack(7), paging.pack((-1, 0)), paging.pack((1, 2**63)), paging.pack((2**62, 1))):
        answer = await site.ask("GET", f"/v1/contact-timeline/{ANA}?after={after}", tenant=house.name)
        assert word(answer) == (422, "invalid_query")
        assert list(faults(answer)) == ["?after"]
    async for nobody in opened(None):
        assert word(await nobody.ask("GET", "/v1/contact-timeline/x")) == (409, "contacts_disabled")
