"""The routes of drops: what is taken, what is refused and why, and what is shown."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import test_utils

from services.reports.drops import http, ssh_keys
from services.reports.drops.drop import State
from services.reports.drops.periods import HOUR_MS, SETTLE_MS
from services.reports.drops.ssh_keys import SEALED_AS
from services.reports.drops.store import Store
from shared.http import api
from shared.mail.dkim_keys import Vault
from shared.net.outside import Policy
from shared.redis import keys, redis
from shared.redis.tenants import Tenants

NINE = int(datetime(2026, 1, 31, 9, tzinfo=UTC).timestamp() * 1000)
VAULT = Vault(bytes(32))
HOST_KEY = ssh_keys.public(ssh_keys.make()).removesuffix(" estafette")
SFTP = {"kind": "events", "target": "sftp://est@sftp.exemple.fr/in", "host_key": HOST_KEY}
FOLDER = {"kind": "events", "target": "crm/in"}


class Site:
    """The routes with two tenants."""

    def __init__(self, client: redis.Client) -> None:
        self.client = client
        self.store = Store(client, "me")
        self.now_ms = NINE + 5 * 60_000
        self.http: test_utils.TestClient[Any, Any]
        self.keys: dict[str, str] = {}

    async def call(self, method: str, path: str, body: object = None, key: str = "acme") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.keys[key]}"}
        async with self.http.request(method, path, json=body, headers=headers) as answer:
            return answer.status, (await answer.json(content_type=None) if answer.status != 204 else None)

    async def put(self, body: object, name: str = "events") -> tuple[int, Any]:
        return await self.call("PUT", f"/v1/drops/{name}", body)

    async def refused(self, body: object, name: str = "events") -> set[str]:
        status, problem = await self.put(body, name)
        assert (status, problem["type"]) == (422, "urn:estafette:problem:invalid_drop"), problem
        return {fault["at"] for fault in problem["faults"]}


async def opened(client: redis.Client, **options: bool) -> AsyncIterator[Site]:
    site, tenants = Site(client), Tenants(client)
    for name in ("acme", "other"):
        await tenants.create(name)
        site.keys[name] = (await tenants.create_key(name, ["read", "admin"]))[1]
    site.keys["reader"] = (await tenants.create_key("acme", ["read"]))[1]
    chance = iter(range(1, 10_000))
    routes = http.routes(
        site.store, VAULT, Policy.of("", "22"), 3, lambda: site.now_ms,
        lambda size: next(chance).to_bytes(size, "big"), **{"has_folder": True, "enabled": True, **options},
    )  # fmt: skip
    app = api.application(routes, tenants, max_body_bytes=100_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as site.http:
        yield site


@pytest.fixture
async def site(client: redis.Client) -> AsyncIterator[Site]:
    async for one in opened(client):
        yield one


@pytest.fixture
async def bare(client: redis.Client) -> AsyncIterator[Site]:
    """Of an installation that has neither folders nor drops."""
    async for one in opened(client, has_folder=False, enabled=False):
        yield one


async def test_a_drop_begins_with_the_period_that_is_under_way(site: Site) -> None:
    status, made = await site.put(FOLDER)

    assert status == 201
    assert made["next_period"] == "2026-01-31T09:00:00.000Z"
    assert made["next_file"] == "2026-01-31T10:01:00.000Z"
    assert (made["state"], made["last_file"], made["files"], made["public_key"]) == ("waiting", None, 0, None)


async def test_a_drop_begins_where_it_is_told_to_once(site: Site) -> None:
    _, made = await site.put({**FOLDER, "since": "2026-01-30T12:30:00Z"})
    status, again = await site.put({**FOLDER, "since": "2025-01-01T00:00:00Z"})

    assert made["next_period"] == "2026-01-30T12:00:00.000Z"
    assert (status, again["next_period"], again["state"]) == (200, "2026-01-30T12:00:00.000Z", "late")


async def test_a_key_is_made_and_its_private_half_is_shown_by_nothing(site: Site) -> None:
    status, made = await site.put(SFTP)

    drop = await site.store.get("acme", "events")
    assert status == 201
    assert drop is not None
    private = VAULT.open(drop.sealed, "acme/events", SEALED_AS)
    assert made["public_key"] == ssh_keys.public(private)
    assert made["host_key"] == HOST_KEY
    _, shown = await site.call("GET", "/v1/drops/events")
    assert "PRIVATE" not in str(shown)
    stored = [*await site.client.hvals(keys.drops("acme")), *await site.client.hvals(keys.drop_state("acme", "events"))]
    assert private.splitlines()[2].encode() not in b"".join(stored)


async def test_a_key_stays_until_another_is_brought(site: Site) -> None:
    _, made = await site.put(SFTP)
    _, changed = await site.put({"kind": "events", "target": "sftp://est@other.exemple.fr/in", "schedule": "daily"})
    mine = ssh_keys.make()
    _, brought = await site.put({**SFTP, "private_key": mine})

    assert (changed["public_key"], changed["host_key"]) == (made["public_key"], HOST_KEY)
    assert brought["public_key"] == ssh_keys.public(mine)


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({**FOLDER, "target": "../etc"}, {"$.target"}),
        ({**SFTP, "target": "sftp://a@127.0.0.1/x"}, {"$.target"}),
        ({**SFTP, "target": "sftp://a@sftp.exemple.fr:2222/x"}, {"$.target"}),
        ({**SFTP, "host_key": None}, {"$.host_key"}),
        ({**SFTP, "host_key": "none", "private_key": "none"}, {"$.host_key", "$.private_key"}),
        ({**FOLDER, "host_key": HOST_KEY, "private_key": "x"}, {"$.host_key", "$.private_key"}),
        ({**FOLDER, "types": ["message.delivered", "nothing"], "columns": ["email", "x", "y"]},
         {"$.types[1]", "$.columns[1]", "$.columns[2]"}),
        ({**FOLDER, "job": "x", "recipient": "nobody"}, {"$.job", "$.recipient"}),
        ({**FOLDER, "kind": "suppressions", "types": ["message.delivered"], "list": "a"}, {"$.types", "$.list"}),
    ],
)  # fmt: skip
async def test_all_that_is_wrong_is_told_at_once(site: Site, body: dict[str, Any], at: set[str]) -> None:
    assert await site.refused(body) == at
    assert await site.store.get("acme", "events") is None


@pytest.mark.parametrize("name", ["Events", "a.b", "-a", "a" * 41])
async def test_no_name_that_could_be_a_path_is_taken(site: Site, name: str) -> None:
    assert await site.refused(FOLDER, name) == {"drop"}


@pytest.mark.parametrize(
    "body", [{**FOLDER, "hour": 24}, {**FOLDER, "schedule": "weekly"}, {**FOLDER, "password": "x"}]
)
async def test_what_is_no_drop_at_all_is_refused(site: Site, body: dict[str, Any]) -> None:
    assert (await site.put(body))[0] == 422


async def test_a_tenant_has_so_many_drops(site: Site) -> None:
    for name in ("a", "b", "c"):
        assert (await site.put(FOLDER, name))[0] == 201

    status, problem = await site.put(FOLDER, "d")

    assert (status, problem["type"]) == (409, "urn:estafette:problem:too_many_drops")
    assert [one["name"] for one in (await site.call("GET", "/v1/drops"))[1]["drops"]] == ["a", "b", "c"]


async def test_another_tenant_and_a_key_that_only_reads_change_nothing(site: Site) -> None:
    await site.put(FOLDER)

    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/run")):
        assert (await site.call(method, f"/v1/drops/events{path}", key="other"))[0] == 404
    assert (await site.call("GET", "/v1/drops", key="other"))[1] == {"drops": []}
    assert (await site.call("PUT", "/v1/drops/events", FOLDER, key="reader"))[0] == 403
    assert (await site.call("GET", "/v1/drops/events", key="reader"))[0] == 200


async def test_what_was_written_and_what_goes_wrong_is_shown(site: Site) -> None:
    await site.put(FOLDER)
    changes: dict[str, str | int] = {
        "failures": 2, "failing_since": NINE, "retry_at": NINE + 1, "why": "full", "detail": "No space", "missed": 1,
    }  # fmt: skip
    for name, value in changes.items():
        await site.client.hset(keys.drop_state("acme", "events"), name, value)

    _, shown = await site.call("GET", "/v1/drops/events")

    assert (shown["state"], shown["why"], shown["detail"]) == ("failing", "full", "No space")
    assert (shown["failures"], shown["missed"]) == (2, 1)
    assert shown["failing_since"] == "2026-01-31T09:00:00.000Z"


async def test_run_tries_what_is_due_and_else_writes_the_last_period_again(site: Site) -> None:
    await site.put(FOLDER)
    status, first = await site.call("POST", "/v1/drops/events/run")
    drop = await site.store.get("acme", "events")
    assert drop is not None
    again = (await site.store.state(drop)).again

    site.now_ms = NINE + HOUR_MS + SETTLE_MS
    _, second = await site.call("POST", "/v1/drops/events/run")

    assert (status, first["file"]) == (202, "acme-events-2026-01-31T08.csv")
    assert NINE - HOUR_MS <= again < NINE
    assert second["file"] == "acme-events-2026-01-31T09.csv"
    assert await site.store.state(drop) == State(next=NINE)


async def test_run_writes_a_period_that_has_ended_and_no_other(site: Site) -> None:
    await site.put(FOLDER)

    status, asked = await site.call("POST", "/v1/drops/events/run", {"time": "2026-01-29T17:59:59Z"})
    refused, problem = await site.call("POST", "/v1/drops/events/run", {"time": "2026-01-31T09:00:00Z"})

    assert (status, asked["file"]) == (202, "acme-events-2026-01-29T17.csv")
    assert (refused, problem["faults"][0]["at"]) == (422, "$.time")
    _, shown = await site.call("GET", "/v1/drops/events")
    assert shown["asked_for"] == "2026-01-29T17:59:59.000Z"


async def test_what_is_disabled_is_not_run(site: Site) -> None:
    await site.put({**FOLDER, "enabled": False})

    status, problem = await site.call("POST", "/v1/drops/events/run")

    assert (status, problem["type"]) == (409, "urn:estafette:problem:drop_disabled")
    assert (await site.call("GET", "/v1/drops/events"))[1]["state"] == "disabled"


async def test_a_drop_that_was_removed_is_gone(site: Site) -> None:
    await site.put(FOLDER)

    assert (await site.call("DELETE", "/v1/drops/events"))[0] == 204
    assert (await site.call("GET", "/v1/drops/events"))[0] == 404
    assert not await site.client.exists(keys.drop_state("acme", "events"))


async def test_an_installation_without_drops_says_so(bare: Site) -> None:
    status, problem = await bare.put(FOLDER)

    assert (status, problem["type"]) == (409, "urn:estafette:problem:drops_disabled")
    assert (await bare.call("GET", "/v1/drops"))[1] == {"drops": []}


async def test_where_there_are_no_folders_none_is_taken(client: redis.Client) -> None:
    async for site in opened(client, has_folder=False):
        assert await site.refused(FOLDER) == {"$.target"}
        assert (await site.put(SFTP))[0] == 201
