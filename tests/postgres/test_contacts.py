"""Contacts and fields through their routes, over a real PostgreSQL: what comes again, what is refused, what changed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import test_utils

from services.contacts import fields_http, http, migrating
from services.contacts.base.database import Database
from services.contacts.contacts import Contacts
from services.contacts.field_book import FieldBook
from shared.http import api
from shared.words.principal import Principal
from tests.servers import free_port

ANA = "ana@exemple.fr"


class Keys:
    """A key is a tenant and what it may do: `acme:read`."""

    async def verify(self, text: str) -> Principal | None:
        tenant, _, scopes = text.partition(":")
        return Principal(tenant, frozenset(scopes.split(",")))


class Site:
    """The routes, as one tenant calls them that may do everything unless said otherwise."""

    def __init__(self, client: test_utils.TestClient[Any, Any]) -> None:
        self._client = client

    async def ask(
        self, method: str, path: str, body: Any = None, tenant: str = "acme", scopes: str = "read,send,admin"
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {tenant}:{scopes}"}
        async with self._client.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None) if answer.content_length else None

    async def put(self, key: str, tenant: str = "acme", **body: Any) -> tuple[int, Any]:
        return await self.ask("PUT", f"/v1/contacts/{quote(key)}", body, tenant)

    async def get(self, key: str, tenant: str = "acme") -> Any:
        status, found = await self.ask("GET", f"/v1/contacts/{quote(key)}", None, tenant)
        return found if status == 200 else status

    async def changes(self, key: str) -> list[Any]:
        status, found = await self.ask("GET", f"/v1/contact-changes/{quote(key)}")
        assert status == 200
        return [one["changes"] for one in found["changes"]]


async def opened(database: Database | None) -> AsyncIterator[Site]:
    routes = [
        *http.routes(None if database is None else Contacts(database)),
        *fields_http.routes(None if database is None else FieldBook(database)),
    ]
    app = api.application(routes, Keys(), max_body_bytes=http.MAX_BODY_BYTES)
    async with test_utils.TestClient(test_utils.TestServer(app)) as client:
        yield Site(client)


@pytest.fixture
async def made(empty: Database) -> Database:
    await migrating.migrate(empty, migrating.steps())
    return empty


@pytest.fixture
async def site(made: Database) -> AsyncIterator[Site]:
    async for one in opened(made):
        yield one


def word(answer: tuple[int, Any]) -> tuple[int, str]:
    status, problem = answer
    return status, problem["type"].rpartition(":")[2]


def faults(answer: tuple[int, Any]) -> dict[str, str]:
    return {fault["at"]: fault["what"] for fault in answer[1]["faults"]}


async def test_e2_a_contact_that_comes_again_under_its_key_is_the_same_contact(site: Site) -> None:
    status, first = await site.put(ANA, fields={"last_name": "Durand", "town": "Lyon"})
    assert status == 201

    status, again = await site.put("ANA@Exemple.FR", fields={"town": "Paris"})

    assert status == 200
    assert again["id"] == first["id"]
    assert again["fields"] == {"last_name": "Durand", "town": "Paris"}
    assert await site.changes(ANA) == [{"town": ["Lyon", "Paris"]}]


async def test_e8_and_e9_what_is_not_named_stays_and_what_is_null_is_emptied(site: Site) -> None:
    await site.put(ANA, mobile="+33 6 12 34 56 78", fields={"last_name": "Durand", "tags": ["vip", "new"]})

    _, found = await site.put(ANA, fields={"last_name": None, "first_name": " "})

    assert found["fields"] == {"tags": ["vip", "new"]}
    assert found["mobile"] == "+33612345678"


async def test_what_is_the_same_again_changes_nothing_and_leaves_no_history(site: Site) -> None:
    body: dict[str, Any] = {"fields": {"last_name": "Durand", "tags": ["vip"]}, "channels": {"email": {"optin": True}}}
    _, first = await site.put(ANA, **body)

    _, again = await site.put(ANA, **body)

    assert again == first
    assert await site.changes(ANA) == []


async def test_e4_every_kind_of_field_is_kept_and_shown_as_it_was_written(site: Site) -> None:
    for name, body in {
        "children": {"kind": "number"},
        "since": {"kind": "date"},
        "sector": {"kind": "choice", "choices": [{"value": "Retail", "label": "Commerce"}, {"value": "Industry"}]},
        "hobbies": {"kind": "choices", "choices": [{"value": "Wine"}, {"value": "Golf"}]},
        "vip": {"kind": "yes_no"},
        "note": {"kind": "text"},
    }.items():
        assert (await site.ask("PUT", f"/v1/fields/{name}", body))[0] == 201
    values = {
        "children": 2.5,
        "since": "2026-01-31",
        "sector": "Industry",
        "hobbies": ["Wine", "Golf"],
        "vip": False,
        "note": "L'été\n2 lignes",
        "birthday": "1980-02-29",
    }

    _, found = await site.put(ANA, fields=values)

    assert found["fields"] == values
    assert (await site.get(ANA))["fields"] == values


async def test_every_fault_of_a_contact_is_told_with_its_place(site: Site) -> None:
    answer = await site.put(
        ANA, mobile="0612345678", telephone="x", fields={"birthday": "yesterday", "nowhere": 1, "last_name": 3}
    )

    assert word(answer) == (422, "invalid_contact")
    assert set(faults(answer)) == {
        "$.mobile",
        "$.telephone",
        "$.fields.birthday",
        "$.fields.nowhere",
        "$.fields.last_name",
    }
    assert await site.get(ANA) == 404


async def test_e5_and_e6_the_state_on_a_channel_decides_who_is_addressable(site: Site) -> None:
    _, found = await site.put(ANA, mobile="+33612345678")
    assert found["channels"]["email"] == {
        "optin": None,
        "status": None,
        "left": False,
        "opposed": False,
        "addressable": False,
        "why_not": "no_optin",
        "diagnostic": None,
    }

    _, found = await site.put(ANA, channels={"email": {"optin": True, "status": "valid"}, "sms": {"optin": False}})

    assert found["channels"]["email"]["addressable"] is True
    assert found["channels"]["sms"]["why_not"] == "left"
    assert await addressable(site, "email") == [ANA]
    assert await addressable(site, "sms") == []
    _, found = await site.put(ANA, channels={"email": {"status": "hard"}})
    assert found["channels"]["email"]["why_not"] == "hard"
    assert await addressable(site, "email") == []


async def addressable(site: Site, channel: str) -> list[str]:
    _, page = await site.ask("GET", f"/v1/contacts?addressable={channel}")
    return [one["key"] for one in page["contacts"]]


async def test_e1_a_tenant_names_another_field_as_the_key_before_the_first_contact(site: Site) -> None:
    await site.ask("PUT", "/v1/fields/customer", {"kind": "text"})
    status, said = await site.ask("PUT", "/v1/contact-key", {"key_field": "customer"})
    assert (status, said) == (200, {"key_field": "customer", "duplicates": False})

    _, one = await site.put("C-1", email=ANA)
    _, other = await site.put("c-2", email=ANA)

    assert one["key"] == "c-1"
    assert one["fields"] == {"customer": "C-1"}
    assert one["id"] != other["id"]
    assert word(await site.ask("PUT", "/v1/contact-key", {"key_field": "email"})) == (409, "in_use")
    assert word(await site.ask("DELETE", "/v1/fields/customer")) == (409, "in_use")


async def test_a_key_field_is_one_that_is_there_and_is_text(site: Site) -> None:
    for name in ("nowhere", "birthday", "telephone"):
        assert word(await site.ask("PUT", "/v1/contact-key", {"key_field": name})) == (422, "invalid_field")
    assert (await site.ask("PUT", "/v1/contact-key", {"key_field": "mobile"}))[0] == 200

    status, found = await site.put("+33612345678")

    assert (status, found["mobile"]) == (201, "+33612345678")


async def test_e3_duplicates_are_contacts_each_where_the_tenant_allows_them(site: Site) -> None:
    twice = {"contacts": [{"email": ANA}, {"email": ANA}], "mode": "add"}
    assert word(await site.ask("POST", "/v1/contacts", twice)) == (409, "no_duplicates")
    await site.ask("PUT", "/v1/contact-key", {"duplicates": True})

    _, said = await site.ask("POST", "/v1/contacts", twice)

    assert (said["added"], len({one["id"] for one in said["contacts"]})) == (2, 2)
    status, other = await site.ask("PUT", f"/v1/contacts/{ANA}?copy=1", {"fields": {"town": "Paris"}})
    assert (status, other["copy"]) == (200, 1)
    assert (await site.get(ANA))["fields"] == {}
    assert word(await site.ask("PUT", f"/v1/contacts/{ANA}?copy=2", {})) == (422, "invalid_contact")
    assert word(await site.ask("PUT", "/v1/contact-key", {"duplicates": False})) == (409, "in_use")


async def test_another_key_in_the_body_becomes_the_key_unless_somebody_has_it(site: Site) -> None:
    _, ana = await site.put(ANA)
    await site.put("bo@exemple.fr")

    assert word(await site.put(ANA, email="bo@exemple.fr")) == (409, "contact_exists")
    status, found = await site.put(ANA, email="ana@exemple.net")

    assert (status, found["id"], found["key"]) == (200, ana["id"], "ana@exemple.net")
    assert await site.get(ANA) == 404
    assert faults(await site.put("nobody@exemple.fr", email="other@exemple.fr")).keys() == {"$.email"}
    assert faults(await site.put("ana@exemple.net", email=None)).keys() == {"$.email"}


async def test_of_many_those_that_fit_are_written_and_the_others_told(site: Site) -> None:
    await site.put(ANA, fields={"town": "Lyon"})
    contacts = [
        {"email": ANA, "fields": {"town": "Paris"}},
        {"email": "bo@exemple.fr", "fields": {"tags": ["a"]}},
        {"email": "nobody"},
        {"fields": {"town": "Nice"}},
        {"email": "bo@exemple.fr", "fields": {"tags": ["a", "b"]}},
        {"email": ANA},
    ]

    status, said = await site.ask("POST", "/v1/contacts", {"contacts": contacts})

    assert status == 200
    assert [one["result"] for one in said["contacts"]] == [
        *("updated", "added", "refused", "refused", "updated", "unchanged"),
    ]  # fmt: skip
    assert (said["added"], said["updated"], said["unchanged"], said["refused"]) == (1, 2, 1, 2)
    assert [one["at"] for one in said["contacts"][2]["faults"]] == ["$.contacts[2].email"]
    assert (await site.get(ANA))["fields"] == {"town": "Paris"}
    assert (await site.get("bo@exemple.fr"))["fields"] == {"tags": ["a", "b"]}


async def test_e10_who_exists_stays_as_they_are_where_only_new_ones_are_wanted(site: Site) -> None:
    await site.put(ANA, fields={"town": "Lyon"})
    contacts = [{"email": ANA, "fields": {"town": "Paris"}}, {"email": "bo@exemple.fr"}]

    _, said = await site.ask("POST", "/v1/contacts", {"contacts": contacts, "mode": "new_only"})

    assert [one["result"] for one in said["contacts"]] == ["unchanged", "added"]
    assert (await site.get(ANA))["fields"] == {"town": "Lyon"}


async def test_the_same_contacts_written_at_the_same_time_are_each_one_contact(site: Site) -> None:
    emails = [f"a{number}@exemple.fr" for number in range(20)]

    async def write(town: str, order: list[str]) -> dict[str, Any]:
        contacts = [{"email": email, "fields": {"town": town, "tags": [town]}} for email in order]
        status, said = await site.ask("POST", "/v1/contacts", {"contacts": contacts})
        assert status == 200
        return dict(said)

    said = await asyncio.gather(
        *(write(f"town {number}", emails if number % 2 else emails[::-1]) for number in range(6))
    )

    assert sum(one["added"] for one in said) == 20
    _, page = await site.ask("GET", "/v1/contacts")
    assert len(page["contacts"]) == 20
    assert len({one["fields"]["town"] for one in page["contacts"]}) >= 1
    assert all(one["fields"]["tags"] == [one["fields"]["town"]] for one in page["contacts"])


async def test_contacts_are_found_page_by_page(site: Site) -> None:
    contacts = [
        {"email": f"a{number}@exemple.fr", "fields": {"last_name": "Été" if number % 2 else "50%_", "tags": ["odd"]}}
        for number in range(5)
    ]
    await site.ask("POST", "/v1/contacts", {"contacts": contacts})

    async def keys(query: str) -> list[str]:
        found, after = [], ""
        while True:
            _, page = await site.ask("GET", f"/v1/contacts?limit=2&{query}{after}")
            found += [one["key"].partition("@")[0] for one in page["contacts"]]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    assert await keys("") == ["a0", "a1", "a2", "a3", "a4"]
    assert await keys("q=%C3%89T%C3%89") == ["a1", "a3"]
    assert await keys("q=50%25_") == ["a0", "a2", "a4"]
    assert await keys("q=%25") == ["a0", "a2", "a4"]
    assert await keys("email=A3@exemple.fr") == ["a3"]
    assert await keys("tag=ODD&q=a4") == ["a4"]
    assert await keys("tag=nowhere") == []


async def test_who_is_removed_is_gone_with_all_that_was_known(site: Site, made: Database) -> None:
    await site.put(ANA, fields={"town": "Lyon"})
    _, found = await site.put(ANA, fields={"town": "Paris"})
    async with made.connection() as sql:
        tenant = await sql.fetchval("SELECT tenant FROM tenants")
        await sql.execute(
            "INSERT INTO behaviours (tenant, contact, occurred_at, event, kind, name) VALUES ($1, $2, now(), 1, 20, 7)",
            tenant,
            found["id"],
        )
        for kind, name in ((20, 0), (20, 7), (120, 0)):
            await sql.execute("SELECT tally($1, $2, $3, $4, $5)", tenant, [kind], [name], [found["id"]], [1])
        await sql.execute("SELECT mark($1, $2, $3, $4, $5)", tenant, [5], [1], [0], [found["id"]])

    assert (await site.ask("DELETE", f"/v1/contacts/{ANA}"))[0] == 204

    assert await site.get(ANA) == 404
    assert (await site.ask("DELETE", f"/v1/contacts/{ANA}"))[0] == 404
    async with made.connection() as sql:
        for table in ("contacts", "changes", "behaviours", "tallies"):
            assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0, table
        assert await sql.fetchval("SELECT sum(bit_count(members))::int FROM sets") == 0
    _, new = await site.put(ANA)
    assert new["id"] > found["id"]


async def test_a_field_keeps_its_kind_and_its_words(site: Site) -> None:
    body = {"kind": "choice", "label": "Sector", "choices": [{"value": "Retail"}, {"value": "Industry"}]}
    _, made = await site.ask("PUT", "/v1/fields/sector", body)
    await site.put(ANA, fields={"sector": "Industry"})

    assert word(await site.ask("PUT", "/v1/fields/sector", {"kind": "text"})) == (409, "in_use")
    fewer = {"kind": "choice", "choices": [{"value": "Retail"}]}
    assert word(await site.ask("PUT", "/v1/fields/sector", fewer)) == (409, "in_use")
    more = {**body, "label": "Trade", "choices": [{"value": "Farming"}, *made["choices"][::-1]]}
    status, changed = await site.ask("PUT", "/v1/fields/sector", more)

    assert (status, changed["label"]) == (200, "Trade")
    assert [one["value"] for one in changed["choices"]] == ["Retail", "Industry", "Farming"]
    assert (await site.get(ANA))["fields"] == {"sector": "Industry"}


async def test_a_field_that_is_removed_is_gone_and_one_of_its_name_is_another(site: Site) -> None:
    await site.ask("PUT", "/v1/fields/note", {"kind": "text"})
    await site.put(ANA, fields={"note": "x"})

    assert (await site.ask("DELETE", "/v1/fields/note"))[0] == 204

    assert (await site.get(ANA))["fields"] == {}
    assert (await site.ask("PUT", "/v1/fields/note", {"kind": "text"}))[0] == 201
    assert (await site.get(ANA))["fields"] == {}
    assert word(await site.ask("DELETE", "/v1/fields/last_name")) == (409, "in_use")
    assert word(await site.ask("DELETE", "/v1/fields/nowhere")) == (404, "unknown_field")


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("Sector", {"kind": "text"}, "invalid_path"),
        ("email", {"kind": "text"}, "invalid_path"),
        ("a" * 61, {"kind": "text"}, "invalid_path"),
        ("sector", {"kind": "text", "choices": [{"value": "x"}]}, "invalid_field"),
        ("sector", {"kind": "choice", "choices": [{"value": "x"}, {"value": "X"}]}, "invalid_field"),
        ("sector", {"kind": "choice", "choices": [{"value": " "}]}, "invalid_field"),
        ("sector", {"kind": "colour"}, "invalid_body"),
    ],
)
async def test_a_field_that_cannot_be_is_refused(site: Site, name: str, body: Any, expected: str) -> None:
    assert word(await site.ask("PUT", f"/v1/fields/{name}", body)) == (422, expected)


async def test_one_tenant_never_sees_anothers(site: Site) -> None:
    await site.put(ANA, fields={"town": "Lyon", "tags": ["ours"]})
    await site.ask("PUT", "/v1/fields/sector", {"kind": "text"})

    assert await site.get(ANA, "zeta") == 404
    assert (await site.ask("GET", "/v1/contacts", tenant="zeta"))[1]["contacts"] == []
    assert (await site.ask("DELETE", f"/v1/contacts/{ANA}", tenant="zeta"))[0] == 404
    assert (await site.ask("GET", "/v1/fields/sector", tenant="zeta"))[0] == 404
    status, theirs = await site.put(ANA, "zeta", fields={"town": "Paris"})
    assert (status, theirs["fields"]) == (201, {"town": "Paris"})
    _, fields = await site.ask("GET", "/v1/fields", tenant="zeta")
    assert next(one for one in fields["fields"] if one["name"] == "tags")["choices"] == []
    assert (await site.get(ANA))["fields"] == {"town": "Lyon", "tags": ["ours"]}


async def test_what_a_tenant_writes_is_never_sql(site: Site) -> None:
    evil = "x'); DROP TABLE contacts; --"
    await site.ask("PUT", "/v1/fields/sector", {"kind": "choice", "label": evil, "choices": [{"value": evil}]})
    _, found = await site.put(ANA, evil, fields={"town": evil, "tags": [evil, '"$1"', "{a,b}"]})
    assert found["fields"] == {"town": evil, "tags": [evil, '"$1"', "{a,b}"]}

    _, page = await site.ask("GET", f"/v1/contacts?q={quote(evil)}&tag={quote(evil)}", tenant=evil)

    assert [one["key"] for one in page["contacts"]] == [ANA]
    assert (await site.get(evil, evil)) == 422
    assert await site.get(ANA) == 404


async def test_what_a_key_may_not_do_is_refused(site: Site) -> None:
    for method, path, body in (("PUT", f"/v1/contacts/{ANA}", {}), ("PUT", "/v1/fields/x", {"kind": "text"})):
        assert (await site.ask(method, path, body, scopes="read"))[0] == 403
    assert (await site.ask("DELETE", f"/v1/contacts/{ANA}", scopes="read,send"))[0] == 403


async def test_without_a_postgresql_there_are_no_contacts_and_one_that_is_away_is_503() -> None:
    async for site in opened(None):
        assert word(await site.ask("GET", "/v1/contacts")) == (409, "contacts_disabled")
        assert word(await site.ask("PUT", "/v1/fields/x", {"kind": "text"})) == (409, "contacts_disabled")
    database = Database(f"postgresql://estafette:x@127.0.0.1:{free_port()}/estafette", 2, 30)
    async for site in opened(database):
        assert word(await site.ask("GET", "/v1/contacts")) == (503, "unavailable")
