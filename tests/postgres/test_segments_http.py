"""Segments through their routes, over contacts that came through theirs."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import test_utils

from services.contacts import fields_http, http, migrating, segments_http
from services.contacts.base.database import Database
from services.contacts.contacts import Contacts
from services.contacts.field_book import FieldBook
from shared.http import api
from tests.postgres.test_contacts import Keys, Site, faults, word

IN_PARIS = {"kind": "field", "field": "town", "test": "equals", "value": "PARIS"}


async def opened(database: Database | None) -> AsyncIterator[Site]:
    contacts = None if database is None else Contacts(database)
    fields = None if database is None else FieldBook(database)
    routes = [
        *http.routes(contacts),
        *fields_http.routes(fields),
        *segments_http.routes(database, lambda: 1_796_000_000_000),
    ]
    app = api.application(routes, Keys(), max_body_bytes=http.MAX_BODY_BYTES)
    async with test_utils.TestClient(test_utils.TestServer(app)) as client:
        yield Site(client)


@pytest.fixture
async def site(empty: Database) -> AsyncIterator[Site]:
    await migrating.migrate(empty, migrating.steps())
    async for one in opened(empty):
        yield one


async def saved(site: Site, name: str, criteria: Any, tenant: str = "acme") -> int:
    status, found = await site.ask("POST", "/v1/segments", {"name": name, "criteria": criteria}, tenant)
    assert status == 201, found
    number: int = found["segment"]
    return number


async def count(site: Site, criteria: Any, tenant: str = "acme") -> tuple[int, Any]:
    return await site.ask("POST", "/v1/segments/count", {"criteria": criteria}, tenant)


async def test_a_segment_is_saved_counted_by_its_number_and_sampled_e30_e31(site: Site) -> None:
    await site.put("ana@exemple.fr", fields={"town": "Paris"}, channels={"email": {"optin": True}})
    await site.put("bob@exemple.fr", fields={"town": "Lyon"})
    number = await saved(site, "people of Paris", IN_PARIS)

    status, found = await count(site, {"kind": "segment", "test": "in", "segments": [number]})
    await site.put("bob@exemple.fr", fields={"town": "paris"})
    _, after = await count(site, {"kind": "segment", "test": "in", "segments": [number]})
    _, sample = await site.ask("POST", "/v1/segments/sample", {"criteria": IN_PARIS, "limit": 5})

    assert (status, found) == (200, {"contacts": 1, "email": 1, "sms": 0, "phone": 0})
    assert after["contacts"] == 2
    assert sorted(one["key"] for one in sample["contacts"]) == ["ana@exemple.fr", "bob@exemple.fr"]


async def test_a_segment_is_shown_as_it_was_written_and_changed_in_versions_e30(site: Site) -> None:
    number = await saved(site, "a", IN_PARIS)
    path = f"/v1/segments/{number}"

    _, before = await site.ask("GET", path)
    status, after = await site.ask("PUT", path, {"name": "b", "criteria": {"kind": "none", "of": [IN_PARIS]}})

    assert before["criteria"].items() >= IN_PARIS.items()
    assert (status, after["version"], after["name"]) == (200, 2, "b")
    assert (await site.ask("GET", path))[1] == after


async def test_every_version_is_kept_and_shown_until_the_segment_is_archived_e30(site: Site) -> None:
    number = await saved(site, "a", IN_PARIS)
    path = f"/v1/segments/{number}"
    await site.ask("PUT", path, {"name": "a", "criteria": {"kind": "none", "of": [IN_PARIS]}})

    _, found = await site.ask("GET", f"{path}/versions")
    others = await site.ask("GET", f"{path}/versions", tenant="other")
    await site.ask("DELETE", path)

    assert [(one["version"], one["criteria"]["kind"]) for one in found["versions"]] == [(2, "none"), (1, "field")]
    assert word(others) == (404, "unknown_segment")
    assert word(await site.ask("GET", f"{path}/versions")) == (404, "unknown_segment")
    assert word(await site.ask("GET", "/v1/segments/x/versions")) == (404, "unknown_segment")


async def test_a_screen_learns_what_segments_may_be_made_of(site: Site) -> None:
    choice = {"kind": "choice", "label": "Sector", "choices": [{"value": "retail"}]}
    await site.ask("PUT", "/v1/fields/sector", choice)

    status, found = await site.ask("GET", "/v1/segments/schema")
    _, theirs = await site.ask("GET", "/v1/segments/schema", tenant="other")

    fields = {one["name"]: one for one in found["fields"]}
    assert status == 200
    assert fields["sector"] == {"name": "sector", "kind": "choice", "label": "Sector", "choices": ["retail"]}
    assert fields["email"]["kind"] == "text"
    assert "sector" not in {one["name"] for one in theirs["fields"]}
    assert "one_of" in found["tests"]["choice"]
    assert {"All", "OnField", "OnActivity"} <= found["language"]["$defs"].keys()


async def test_the_built_in_segments_are_listed_and_stay_e38(site: Site) -> None:
    _, found = await site.ask("GET", "/v1/segments")
    active = found["segments"][0]
    path = f"/v1/segments/{active['segment']}"

    assert [(one["name"], one["built_in"]) for one in found["segments"]] == [
        ("all active", True),
        ("all inactive", True),
        ("at risk", True),
    ]
    assert word(await site.ask("PUT", path, {"name": "x", "criteria": IN_PARIS})) == (409, "segment_kept")
    assert word(await site.ask("DELETE", path)) == (409, "segment_kept")


async def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_saved(site: Site) -> None:
    criteria = {
        "kind": "all",
        "of": [
            {**IN_PARIS, "field": "no_such"},
            {**IN_PARIS, "test": "greater"},
            {"kind": "segment", "test": "in", "segments": [99]},
        ],
    }

    answer = await site.ask("POST", "/v1/segments", {"name": "a", "criteria": criteria})

    assert word(answer) == (422, "invalid_segment")
    assert list(faults(answer)) == ["$.criteria.of[0].field", "$.criteria.of[1].test", "$.criteria.of[2].segments[0]"]
    assert word(await count(site, {"kind": "nobody"})) == (422, "invalid_segment")
    assert word(await site.ask("POST", "/v1/segments", {"name": " ", "criteria": IN_PARIS})) == (422, "invalid_segment")
    assert word(await site.ask("POST", "/v1/segments", {"name": "\0", "criteria": IN_PARIS})) == (
        422,
        "invalid_segment",
    )
    assert word(await site.ask("POST", "/v1/segments", {"name": "a"})) == (422, "invalid_body")
    assert len((await site.ask("GET", "/v1/segments"))[1]["segments"]) == 3


async def test_a_circle_is_refused_with_the_way_round_e26(site: Site) -> None:
    first = await saved(site, "first", IN_PARIS)
    second = await saved(site, "second", {"kind": "segment", "test": "in", "segments": [first]})

    answer = await site.ask(
        "PUT",
        f"/v1/segments/{first}",
        {"name": "first", "criteria": {"kind": "segment", "test": "not_in", "segments": [second]}},
    )

    assert word(answer) == (422, "invalid_segment")
    assert faults(answer) == {"$.criteria.segments[0]": f"a circle: {first} → {second} → {first}"}


async def test_another_tenant_neither_sees_nor_uses_nor_changes_it(site: Site) -> None:
    await site.put("ana@exemple.fr", fields={"town": "Paris"})
    number = await saved(site, "mine", IN_PARIS)
    for name in "abc":  # theirs have the same numbers
        await saved(site, name, IN_PARIS, "other")
    mine = await site.ask("GET", f"/v1/segments/{number}")

    assert (await count(site, IN_PARIS, "other"))[1]["contacts"] == 0
    await site.ask("PUT", f"/v1/segments/{number}", {"name": "theirs", "criteria": IN_PARIS}, "other")
    await site.ask("DELETE", f"/v1/segments/{number}", None, "other")
    assert await site.ask("GET", f"/v1/segments/{number}") == mine


@pytest.mark.parametrize("number", ["99", "0", "x", "99999999999", "٣"])
async def test_what_is_no_segment_is_unknown(site: Site, number: str) -> None:
    for method, body in (("GET", None), ("DELETE", None), ("PUT", {"name": "a", "criteria": IN_PARIS})):
        assert word(await site.ask(method, f"/v1/segments/{number}", body)) == (404, "unknown_segment")


async def test_an_archived_segment_is_nowhere_and_one_in_use_stays(site: Site) -> None:
    used = await saved(site, "used", IN_PARIS)
    user = await saved(site, "user", {"kind": "segment", "test": "in", "segments": [used]})

    assert word(await site.ask("DELETE", f"/v1/segments/{used}")) == (409, "segment_kept")
    assert (await site.ask("DELETE", f"/v1/segments/{user}"))[0] == 204
    assert (await site.ask("DELETE", f"/v1/segments/{used}"))[0] == 204
    assert word(await site.ask("GET", f"/v1/segments/{used}")) == (404, "unknown_segment")


async def test_who_may_only_read_counts_and_saves_nothing(site: Site) -> None:
    assert (await site.ask("POST", "/v1/segments/count", {"criteria": IN_PARIS}, scopes="read"))[0] == 200
    answer = await site.ask("POST", "/v1/segments", {"name": "a", "criteria": IN_PARIS}, scopes="read")
    assert word(answer) == (403, "missing_scope")


async def test_without_contacts_that_is_said() -> None:
    async for site in opened(None):
        assert word(await site.ask("GET", "/v1/segments")) == (409, "contacts_disabled")
        assert word(await count(site, IN_PARIS)) == (409, "contacts_disabled")
