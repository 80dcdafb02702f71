"""The routes of sending domains, through HTTP, with real keys of two tenants."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import test_utils

from services.queueing import domains
from shared import api, dkim_keys, redis
from shared.sending_domains import SendingDomains
from shared.tenants import Tenants


class Caller:
    """Calls the running routes with one key, or none."""

    def __init__(self, http: test_utils.TestClient[Any, Any], key: str | None) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def __call__(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with self._http.request(method, path, json=body, headers=self._headers) as answer:
            return answer.status, (await answer.json(content_type=None) if answer.status != 204 else None)


@pytest.fixture(scope="module")
def pem() -> str:
    return dkim_keys.make()


@pytest.fixture
async def callers(redis_url: str, pem: str) -> AsyncIterator[dict[str, Caller]]:
    """By name: `acme`, `other` (another tenant), `reader` (acme without admin), `nobody`."""
    client = redis.connect(redis_url)
    tenants = Tenants(client)
    texts: dict[str, str | None] = {"nobody": None}
    for name, tenant, scopes in (
        ("acme", "acme", ["admin", "read"]),
        ("other", "other", ["admin", "read"]),
        ("reader", "acme", ["read"]),
    ):
        if await tenants.get(tenant) is None:
            await tenants.create(tenant)
        texts[name] = (await tenants.create_key(tenant, scopes))[1]
    routes = domains.routes(SendingDomains(client, make_key=lambda: pem))
    app = api.application(routes, tenants, max_body_bytes=10_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as http:
        yield {name: Caller(http, text) for name, text in texts.items()}
    await redis.close(client)


async def test_a_domain_is_added_shown_listed_and_removed(callers: dict[str, Caller]) -> None:
    acme = callers["acme"]

    status, added = await acme("POST", "/v1/domains", {"domain": "News.Example.org"})
    assert (status, added["domain"]) == (201, "news.example.org")
    assert added["records"][0]["name"] == f"{added['selector']}._domainkey.news.example.org"
    assert "PRIVATE" not in str(added)

    assert await acme("POST", "/v1/domains", {"domain": "news.example.org"}) == (200, added)
    assert await acme("GET", "/v1/domains/news.example.org") == (200, added)
    assert await acme("GET", "/v1/domains") == (200, {"domains": [added], "next": None})
    assert await acme("DELETE", "/v1/domains/news.example.org") == (204, None)
    assert (await acme("DELETE", "/v1/domains/news.example.org"))[0] == 404
    assert await acme("GET", "/v1/domains") == (200, {"domains": [], "next": None})


async def test_a_long_list_comes_in_pages(callers: dict[str, Caller], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains, "PAGE", 2)
    acme = callers["acme"]
    names = [f"{letter}.example.org" for letter in "abc"]
    for name in names:
        await acme("POST", "/v1/domains", {"domain": name})

    _, first = await acme("GET", "/v1/domains")
    _, second = await acme("GET", f"/v1/domains?after={first['next']}")

    assert [one["domain"] for one in first["domains"] + second["domains"]] == names
    assert second["next"] is None


async def test_bad_input_another_tenants_domain_and_weak_keys_change_nothing(callers: dict[str, Caller]) -> None:
    await callers["acme"]("POST", "/v1/domains", {"domain": "example.org"})

    for who, method, path, body, expected, word in (
        ("acme", "POST", "/v1/domains", {"domain": "a b"}, 422, "invalid_domain"),
        ("acme", "POST", "/v1/domains", {"domain": 1}, 422, "invalid_body"),
        ("acme", "POST", "/v1/domains", {"domain": "b.org", "pem": "x"}, 422, "invalid_body"),
        ("other", "POST", "/v1/domains", {"domain": "example.org"}, 409, "domain_taken"),
        ("other", "GET", "/v1/domains/example.org", None, 404, "unknown_domain"),
        ("other", "DELETE", "/v1/domains/example.org", None, 404, "unknown_domain"),
        ("acme", "GET", "/v1/domains/%0d%0a", None, 404, "unknown_domain"),
        ("reader", "POST", "/v1/domains", {"domain": "b.org"}, 403, "missing_scope"),
        ("reader", "DELETE", "/v1/domains/example.org", None, 403, "missing_scope"),
        ("nobody", "GET", "/v1/domains", None, 401, "no_key"),
    ):
        status, problem = await callers[who](method, path, body)
        assert (status, problem["type"]) == (expected, f"urn:estafette:problem:{word}")

    assert [one["domain"] for one in (await callers["acme"]("GET", "/v1/domains"))[1]["domains"]] == ["example.org"]
    assert (await callers["other"]("GET", "/v1/domains"))[1]["domains"] == []
