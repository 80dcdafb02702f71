"""Two tenants of one installation: whatever one of them asks of any route, the other sees what it saw before."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import orjson
import pytest
from aiohttp import test_utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from services.contacts import migrating
from services.contacts import settings as contacts
from services.contacts.base.database import Database
from services.http.__main__ import mount, parts_of, routes_of
from services.reports.drops.settings import Drops
from services.settings import Settings
from shared.http import api
from shared.mail import dkim_keys
from shared.mail.dkim_keys import Vault
from shared.process.lifecycle import Lifecycle
from shared.process.master_secret import MasterSecret
from shared.process.settings import Data, Dns
from shared.redis.sending_domains import SendingDomains
from shared.redis.tenants import Tenants
from shared.words.principal import SCOPES
from tests.flows.stack import job

SECRET = b"k" * 32
OURS, THEIRS = "acme", "zeta"
ADDRESSES = ("ana@exemple.fr", "bo@exemple.fr", "contact@exemple.net")
#: What no tenant may do, and is no tenant's.
OF_TENANTS = [scope for scope in SCOPES if scope != "operator"]
#: Calls of one example.
CALLS = 40
#: Its answer has no end: tests/flows and tests/redis/test_live.py have who sees what there.
ENDLESS = "/v1/events/live"
#: How far the feed has been read is told of the events of all.
TELLS_OF_ALL = "next"


class House:
    """All routes over one Redis. `known` are the values that parameters of paths may have: those of both tenants."""

    def __init__(
        self, server: test_utils.TestClient[Any, Any], routes: list[api.Route], keys: Mapping[str, str]
    ) -> None:
        self._server = server
        self._keys = keys
        self.routes = [route for route in routes if route.scope in OF_TENANTS and route.path != ENDLESS]
        self.known: dict[str, list[str]] = {
            "address": list(ADDRESSES),
            "list": ["news", "offers"],
            "pattern": ["contact@*", "*@exemple.net"],
            "domain": ["zeta.example", "acme.example"],
            "job": [],
            "message": [],
            "import": [],
            "link": [],
            "webhook": [],
            "drop": ["stops"],
            "template": ["frame", "welcome"],
            "version": ["1", "2"],
            "name": [f"tenant:{THEIRS}", f"tenant:{OURS}"],
            "id": ["0123456789abcdef"],
            "key": list(ADDRESSES),
            "field": ["sector", "last_name"],
            "segment": [],
            "sub_account": [f"{THEIRS}-lyon", f"{OURS}-lyon"],
            "api_key": [],
        }

    async def ask(
        self, tenant: str, method: str, path: str, body: bytes | None = None, media: str = "application/json"
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._keys[tenant]}"}
        if body is not None:
            headers["Content-Type"] = media
        async with self._server.request(method, URL(path, encoded=True), data=body, headers=headers) as answer:
            said = await answer.read()
            is_json = answer.content_type in ("application/json", "application/problem+json")
            return answer.status, orjson.loads(said) if is_json and said else said

    async def fill(self, tenant: str) -> None:
        """A little of everything that a tenant may have."""
        json = orjson.dumps
        held = {key: value for key, value in job().items() if key != "recipients"} | {"from": f"a@{tenant}.example"}
        calls: list[tuple[str, str, Any]] = [
            ("PUT", "/v1/suppressions/ana@exemple.fr", {"reason": "unsubscribed", "scope": "list:news"}),
            ("PUT", "/v1/suppressions/bo@exemple.fr", {"reason": "hard_bounce"}),
            ("PUT", "/v1/suppression-rules/contact@*", {"note": "role"}),
            ("PUT", "/v1/lists/news/members/bo@exemple.fr", None),
            ("POST", "/v1/lists/offers/members", {"addresses": list(ADDRESSES)}),
            ("PUT", "/v1/consents/ana@exemple.fr", {"objected": "yes", "tracking": "no", "kind": "person"}),
            ("PUT", "/v1/consents/bo@exemple.fr", {"optin": {"email": "yes"}}),
            ("PUT", "/v1/consent-rules", {"gate": "required"}),
            ("PUT", "/v1/pressure", {"rules": [{"most": 2, "days": 1}]}),
            ("PUT", "/v1/templates/frame", {"html": f"<p>{tenant}</p>{{{{ content }}}}"}),
            ("PUT", "/v1/templates/welcome", {"subject": tenant, "html": f"<p>{tenant}</p>", "layout": "frame"}),
            ("PUT", "/v1/seed-list", {"addresses": [f"seed@{tenant}.example"]}),
            ("PUT", "/v1/drops/stops", {"kind": "suppressions", "target": "crm"}),
            ("PUT", "/v1/fields/sector", {"kind": "choice", "choices": [{"value": tenant}]}),
            ("PUT", "/v1/contacts/ana@exemple.fr", {"fields": {"sector": tenant, "tags": [tenant]}}),
            ("PUT", "/v1/contacts/ana@exemple.fr", {"channels": {"email": {"optin": True}}}),
            ("POST", "/v1/jobs?state=open", held),
        ]
        for method, path, body in calls:
            status, answer = await self.ask(tenant, method, path, None if body is None else json(body))
            assert status < 300, (path, answer)
            if path.startswith("/v1/jobs"):
                self.known["job"].append(answer["id"])
                self.known["message"].append(f"{answer['id']}.0")
        for path, body, name in (
            (f"/v1/jobs/{self.known['job'][-1]}/report-links", None, "link"),
            ("/v1/webhooks", {"url": f"https://hooks.{tenant}.example/"}, "webhook"),
        ):
            status, made = await self.ask(tenant, "POST", path, None if body is None else json(body))
            assert status == 201, (path, made)
            self.known[name].append(made["id"])
        everybody = {"kind": "field", "field": "town", "test": "empty"}
        status, saved = await self.ask(
            tenant, "POST", "/v1/segments", json({"name": f"of {tenant}", "criteria": everybody})
        )
        assert status == 201, saved
        self.known["segment"].append(str(saved["segment"]))
        status, brought = await self.ask(tenant, "POST", "/v1/contact-imports", b"email\nx@exemple.fr\n", "text/csv")
        assert status == 202, brought
        self.known["import"].append(str(brought["id"]))
        status, run = await self.ask(
            tenant, "POST", "/v1/suppressions/import", b"Adresse Email;Opt-In Email\ncy@exemple.fr;Non\n", "text/csv"
        )
        assert status < 300, run
        self.known["import"].append(run["id"])
        async with asyncio.timeout(60):
            while (await self.ask(tenant, "GET", f"/v1/imports/{run['id']}"))[1]["state"] != "done":  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def path(self, route: api.Route, chance: random.Random) -> str:
        """Of a route, about something of either tenant."""
        path = route.path
        for name in route.parameters:
            path = path.replace(f"{{{name}}}", quote(chance.choice(self.known[name]), safe="@"))
        return path

    async def attack(self, chance: random.Random) -> tuple[str, int]:
        """Any call of ours that there is, with a body as the documentation has it, about the same addresses."""
        route = chance.choice(self.routes)
        body, media = None, "application/json"
        if route.examples and chance.random() < 0.9:
            media = chance.choice(list(route.examples))
            body = _body(route.examples[media], chance)
        status, _ = await self.ask(OURS, route.method, self.path(route, chance), body, media)
        return f"{route.method} {route.path}", status

    async def seen_by(self, tenant: str) -> dict[str, Any]:
        """The answer to everything that the tenant may look at, about everything that there is."""
        seen: dict[str, Any] = {}
        for route in self.routes:
            if route.method != "GET":
                continue
            paths = [route.path]
            for name in route.parameters:
                paths = [
                    path.replace(f"{{{name}}}", quote(one, safe="@")) for path in paths for one in self.known[name]
                ]
            for path in paths:
                status, answer = await self.ask(tenant, "GET", path)
                assert status < 500, (path, answer)
                seen[path] = status, _own_part(answer)
        return seen


def _own_part(answer: Any) -> Any:
    return {key: value for key, value in answer.items() if key != TELLS_OF_ALL} if isinstance(answer, dict) else answer


def _body(example: Any, chance: random.Random) -> bytes:
    """The example, about addresses that the other tenant has, too."""
    if isinstance(example, str | bytes):
        return example.encode() if isinstance(example, str) else example
    words = orjson.dumps(example).decode().split('"')
    return '"'.join(chance.choice(ADDRESSES) if "@" in word and "{" not in word else word for word in words).encode()


@pytest.fixture
async def house(client: Any, postgres_url: str, tmp_path: Path) -> AsyncIterator[House]:
    known = Settings(  # type: ignore[call-arg]  # of a service
        data=Data(dir=str(tmp_path)),
        dns=Dns(servers="127.0.0.1:1"),  # nobody is there
        contacts=contacts.Contacts(url=postgres_url),
    )
    known = msgspec.structs.replace(known, drops=Drops(enabled=True, folder=str(tmp_path)))
    database = Database(postgres_url, 1, 30)
    await migrating.migrate(database, migrating.steps())
    await database.close()
    mounted = mount(parts_of(known, client, MasterSecret(SECRET)))
    tenants, keys, of_sub_accounts = Tenants(client), dict[str, str](), list[str]()
    domains = SendingDomains(client, Vault(SECRET), make_key=lambda _: dkim_keys.make("ed25519-sha256"))
    for tenant in (OURS, THEIRS):
        await tenants.create(tenant)
        await domains.give(tenant, f"{tenant}.example")
        await tenants.create(f"{tenant}-lyon", parent=tenant)
        below, _ = await tenants.create_key(f"{tenant}-lyon", ["read"])
        of_sub_accounts.append(below.id)
        _, keys[tenant] = await tenants.create_key(tenant, OF_TENANTS)
    routes = routes_of(mounted, Lifecycle("http", known))
    async with test_utils.TestClient(
        test_utils.TestServer(api.application(routes, tenants, max_body_bytes=10**7))
    ) as at:
        made = House(at, routes, keys)
        made.known["api_key"] = of_sub_accounts
        for tenant in (THEIRS, OURS):
            await made.fill(tenant)
        yield made
    for one in mounted:
        if one.close is not None:
            await one.close()


async def test_every_parameter_of_a_path_has_values_of_both_tenants(house: House) -> None:
    named = {name for route in house.routes for name in route.parameters}

    assert named <= set(house.known)
    seen = await house.seen_by(THEIRS)
    found = {path for path, (status, _) in seen.items() if status == 200}
    assert {"/v1/lists", "/v1/suppressions", "/v1/suppressions/export", "/v1/jobs", "/v1/consent-rules"} <= found
    assert "/v1/suppressions/ana@exemple.fr" in found
    assert "/v1/people/ana@exemple.fr" in found
    assert f"/v1/sub-accounts/{THEIRS}-lyon/keys" in found
    assert f"/v1/sub-accounts/{OURS}-lyon/keys" not in found
    assert {"/v1/contacts", "/v1/contacts/ana@exemple.fr", "/v1/contact-changes/ana@exemple.fr", "/v1/fields"} <= found


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chance=st.randoms(use_true_random=False))
async def test_whatever_one_tenant_asks_of_any_route_another_sees_what_it_saw_before(
    house: House, chance: random.Random
) -> None:
    before = await house.seen_by(THEIRS)

    asked = [await house.attack(chance) for _ in range(CALLS)]

    after = await house.seen_by(THEIRS)
    assert {path for path in before if before[path] != after[path]} == set(), asked
    assert [call for call, status in asked if status == 500] == []
