"""The routes of sending domains, through HTTP, with real keys of two tenants."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp import test_utils

from services.domains import http as domains
from shared.http import api
from shared.mail import dkim_keys
from shared.mail.dkim_keys import Vault
from shared.redis import redis
from shared.redis.bus import BusUnavailable
from shared.redis.sending_domains import SendingDomains
from shared.redis.tenants import Tenants
from shared.words import events


class Caller:
    """Calls the running routes with one key, or none."""

    def __init__(self, http: test_utils.TestClient[Any, Any], key: str | None) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def __call__(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with self._http.request(method, path, json=body, headers=self._headers) as answer:
            return answer.status, (await answer.json(content_type=None) if answer.status != 204 else None)


class Zone:
    """What DNS shows: texts by name."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}

    async def __call__(self, names: Sequence[str]) -> dict[str, list[str]]:
        return {name: self.texts.get(name, []) for name in names}


@pytest.fixture
def zone() -> Zone:
    return Zone()


class Told:
    """A bus that remembers what it is told, by the names of batches, and may be away."""

    def __init__(self) -> None:
        self.batches: dict[str, Sequence[events.Fact]] = {}
        self.is_away = False

    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 2.0, batch: str = "") -> None:
        if self.is_away:
            raise BusUnavailable("away")
        self.batches.setdefault(batch, facts)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def callers(redis_url: str, zone: Zone, told: Told) -> AsyncIterator[dict[str, Caller]]:
    """By name: `acme`, `other` (another tenant), `reader` (acme without admin), `operator`, `nobody`."""
    client = redis.connect(redis_url)
    tenants = Tenants(client)
    texts: dict[str, str | None] = {"nobody": None}
    for name, tenant, scopes in (
        ("acme", "acme", ["admin", "read"]),
        ("other", "other", ["admin", "read"]),
        ("reader", "acme", ["read"]),
        ("operator", "house", ["operator"]),
    ):
        if await tenants.get(tenant) is None:
            await tenants.create(tenant)
        texts[name] = (await tenants.create_key(tenant, scopes))[1]
    # An RSA key takes its time.
    store = SendingDomains(client, Vault(b"k" * 32), make_key=lambda _: dkim_keys.make("ed25519-sha256"))
    routes = domains.routes(store, tenants, zone, lambda: 1_790_000_000_000, publisher=told)
    app = api.application(routes, tenants, max_body_bytes=10_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as http:
        yield {name: Caller(http, text) for name, text in texts.items()}
    await redis.close(client)


async def test_a_domain_is_added_shown_listed_and_removed(callers: dict[str, Caller]) -> None:
    acme = callers["acme"]

    status, added = await acme("POST", "/v1/domains", {"domain": "News.Example.org"})
    assert (status, added["domain"]) == (201, "news.example.org")
    assert added["rotating"] is False
    assert added["records"][0]["name"] == f"{added['selector']}._domainkey.news.example.org"
    assert "PRIVATE" not in str(added)

    assert await acme("POST", "/v1/domains", {"domain": "news.example.org"}) == (200, added)
    assert await acme("GET", "/v1/domains/news.example.org") == (200, added)
    assert await acme("GET", "/v1/domains") == (200, {"domains": [added], "next": None})
    assert await acme("DELETE", "/v1/domains/news.example.org") == (204, None)
    assert (await acme("DELETE", "/v1/domains/news.example.org"))[0] == 404
    assert await acme("GET", "/v1/domains") == (200, {"domains": [], "next": None})


async def test_a_long_list_comes_in_pages(callers: dict[str, Caller]) -> None:
    acme = callers["acme"]
    names = [f"{letter}.example.org" for letter in "abc"]
    for name in names:
        await acme("POST", "/v1/domains", {"domain": name})

    _, first = await acme("GET", "/v1/domains?limit=2")
    _, second = await acme("GET", f"/v1/domains?limit=2&after={first['next']}")

    assert [one["domain"] for one in first["domains"] + second["domains"]] == names
    assert second["next"] is None


async def test_bad_input_another_tenants_domain_and_weak_keys_change_nothing(callers: dict[str, Caller]) -> None:
    await callers["acme"]("POST", "/v1/domains", {"domain": "example.org"})

    for who, method, path, body, expected, word in (
        ("acme", "POST", "/v1/domains", {"domain": "a b"}, 422, "invalid_domain"),
        ("acme", "POST", "/v1/domains", {"domain": 1}, 422, "invalid_body"),
        ("acme", "POST", "/v1/domains", {"domain": "b.org", "pem": "x"}, 422, "invalid_body"),
        ("acme", "POST", "/v1/domains", {"domain": "co.uk"}, 422, "invalid_domain"),
        ("acme", "POST", "/v1/domains/example.org/give", {"tenant": "acme"}, 403, "missing_scope"),
        ("acme", "POST", "/v1/domains/example.org/take", None, 403, "missing_scope"),
        ("other", "GET", "/v1/domains/example.org", None, 404, "unknown_domain"),
        ("other", "DELETE", "/v1/domains/example.org", None, 404, "unknown_domain"),
        ("acme", "GET", "/v1/domains/%0d%0a", None, 404, "unknown_domain"),
        ("reader", "POST", "/v1/domains", {"domain": "b.org"}, 403, "missing_scope"),
        ("reader", "DELETE", "/v1/domains/example.org", None, 403, "missing_scope"),
        ("nobody", "GET", "/v1/domains", None, 401, "no_key"),
        ("acme", "POST", "/v1/domains/example.org/activate", None, 409, "nothing_waiting"),
        ("acme", "POST", "/v1/domains/example.org/activate", {"force": 1}, 422, "invalid_body"),
        ("acme", "POST", "/v1/domains/%0d%0a/rotate", None, 404, "unknown_domain"),
        *(
            (who, "POST", f"/v1/domains/example.org/{verb}", None, expected, word)
            for verb in ("check", "rotate", "activate")
            for who, expected, word in (("other", 404, "unknown_domain"), ("reader", 403, "missing_scope"))
        ),
    ):
        status, problem = await callers[who](method, path, body)
        assert (status, problem["type"]) == (expected, f"urn:estafette:problem:{word}")

    assert [one["domain"] for one in (await callers["acme"]("GET", "/v1/domains"))[1]["domains"]] == ["example.org"]
    assert (await callers["other"]("GET", "/v1/domains"))[1]["domains"] == []


def shown(domain: dict[str, Any]) -> list[tuple[str | None, str]]:
    """Of each record: the state of its key, and what DNS shows."""
    return [(record["key"], record["dns"]) for record in domain["records"]]


async def test_keys_are_rotated_published_checked_and_activated(callers: dict[str, Caller], zone: Zone) -> None:
    acme, path = callers["acme"], "/v1/domains/example.org"
    await acme("POST", "/v1/domains", {"domain": "example.org"})

    _, rotated = await acme("POST", f"{path}/rotate")
    status, refused = await acme("POST", f"{path}/activate")

    new = [record for record in rotated["records"] if record["key"] == "waiting"]
    assert (rotated["rotating"], len(new)) == (True, 2)
    assert (status, refused["type"]) == (409, "urn:estafette:problem:not_published")
    assert [fault["at"] for fault in refused["faults"]] == [record["name"] for record in new]
    assert all("missing" in fault["what"] and "publish v=DKIM1" in fault["what"] for fault in refused["faults"])

    zone.texts = {record["name"]: [record["value"]] for record in rotated["records"]}
    zone.texts[new[1]["name"]] = ["v=DKIM1; k=ed25519; p=AAAA"]
    _, checked = await acme("POST", f"{path}/check")
    status, refused = await acme("POST", f"{path}/activate", {})

    assert shown(checked)[2:] == [
        ("waiting", "published"),
        ("waiting", "differs"),
        (None, "published"),
        (None, "published"),
    ]
    assert all(record["checked_at"] for record in checked["records"])
    assert (status, [fault["at"] for fault in refused["faults"]]) == (409, [new[1]["name"]])
    assert (await acme("GET", path))[1]["selector"] == rotated["selector"]

    zone.texts[new[1]["name"]] = [new[1]["value"]]
    status, activated = await acme("POST", f"{path}/activate", {"force": False})

    assert status == 200
    assert activated["rotating"] is False
    assert [record["key"] for record in activated["records"]] == [
        "retiring",
        "retiring",
        "signing",
        "signing",
        None,
        None,
    ]
    assert all(record["keep_until"] for record in activated["records"][:2])
    assert activated["selector"] in {record["name"].partition(".")[0] for record in new}
    assert (await acme("GET", path))[1] == activated


async def test_who_answers_for_dns_may_force(callers: dict[str, Caller]) -> None:
    acme = callers["acme"]
    await acme("POST", "/v1/domains", {"domain": "example.org"})
    await acme("POST", "/v1/domains/example.org/rotate")

    status, activated = await acme("POST", "/v1/domains/example.org/activate", {"force": True})

    assert (status, activated["rotating"]) == (200, False)


async def test_a_domain_that_another_has_is_added_just_as_a_free_one(callers: dict[str, Caller], zone: Zone) -> None:
    """Nothing in the answers tells them apart, but for what is each tenant's own: keys, token and times."""
    _, first = await callers["acme"]("POST", "/v1/domains", {"domain": "example.org"})
    zone.texts = {record["name"]: [record["value"]] for record in first["records"]}
    _, verified = await callers["acme"]("POST", "/v1/domains/example.org/check")
    other = callers["other"]

    answers = []
    for name in ("example.org", "example.net"):
        await other("POST", "/v1/domains", {"domain": name})
        checked = await other("POST", f"/v1/domains/{name}/check")
        answers.append(
            (
                checked[0],
                checked[1]["state"],
                checked[1]["waits_for"],
                [record["type"] for record in checked[1]["records"]],
                await other("POST", f"/v1/domains/{name}/activate")
                == await other("POST", f"/v1/domains/{name}/activate"),
                (await other("POST", f"/v1/domains/{name}/rotate"))[0],
                (await other("DELETE", f"/v1/domains/{name}"))[0],
            )
        )

    assert (first["state"], first["waits_for"]) == ("pending", "dns")
    assert (verified["state"], verified["waits_for"]) == ("verified", None)
    assert answers[0] == answers[1]
    assert answers[0][:3] == (200, "pending", "dns")
    assert (await callers["acme"]("GET", "/v1/domains/example.org"))[1]["state"] == "verified"


async def test_an_operator_gives_and_takes_back(callers: dict[str, Caller], zone: Zone) -> None:
    operator, acme, path = callers["operator"], callers["acme"], "/v1/domains/example.org"

    status, given = await operator("POST", f"{path}/give", {"tenant": "acme"})
    assert (status, given["tenant"], given["state"]) == (200, "acme", "verified")
    assert (await acme("GET", path))[1]["state"] == "verified"
    status, refused = await operator("POST", f"{path}/give", {"tenant": "other"})
    assert (status, refused["type"]) == (409, "urn:estafette:problem:domain_taken")

    status, taken = await operator("POST", f"{path}/take")
    assert (status, taken["tenant"], taken["state"]) == (200, "acme", "taken_back")
    zone.texts = {record["name"]: [record["value"]] for record in taken["records"]}
    assert (await acme("POST", f"{path}/check"))[1]["state"] == "taken_back"
    assert (await acme("DELETE", path))[0] == 409
    assert (await operator("POST", f"{path}/give", {"tenant": "other"}))[1]["tenant"] == "other"

    for body, expected in (
        ({"tenant": "nobody-there"}, "unknown_tenant"),
        ({"tenant": "acme", "x": 1}, "invalid_body"),
    ):
        status, refused = await operator("POST", f"{path}/give", body)
        assert (status, refused["type"]) == (422, f"urn:estafette:problem:{expected}")
    assert (await operator("POST", "/v1/domains/com/give", {"tenant": "acme"}))[0] == 422
    assert (await operator("POST", "/v1/domains/free.example/take"))[0] == 404
    assert (await operator("POST", "/v1/domains/%0d%0a/take"))[0] == 404


async def test_a_check_is_told_once_until_it_shows_something_else(
    callers: dict[str, Caller], zone: Zone, told: Told
) -> None:
    acme = callers["acme"]
    _, added = await acme("POST", "/v1/domains", {"domain": "told.example"})
    [token] = [one for one in added["records"] if one["name"].startswith("_estafette.")]

    async def check() -> list[tuple[str, str, int]]:
        assert (await acme("POST", "/v1/domains/told.example/check"))[0] == 200
        facts = [fact for batch in told.batches.values() for fact in batch]
        assert len({fact.event_id for fact in facts}) == len(facts)
        return [
            (fact.state, fact.waits_for, fact.published) for fact in facts if isinstance(fact, events.DomainChecked)
        ]

    assert await check() == [("pending", "dns", 0)]
    assert await check() == [("pending", "dns", 0)]
    zone.texts[token["name"]] = [token["value"]]
    assert (await check())[1:] == [("verified", "", 1)]
    del zone.texts[token["name"]]
    assert (await check())[2:] == [("verified", "", 0)]
    zone.texts[token["name"]] = [token["value"]]
    assert (await check())[3:] == [("verified", "", 1)]  # as once before, and news all the same
    wrong = next(iter(list(told.batches.values())[-1]))
    assert isinstance(wrong, events.DomainChecked)
    assert len(wrong.wrong.splitlines()) == wrong.of - 1


async def test_a_check_that_could_not_be_told_is_told_by_the_next(callers: dict[str, Caller], told: Told) -> None:
    acme = callers["acme"]
    await acme("POST", "/v1/domains", {"domain": "away.example"})
    told.is_away = True
    assert (await acme("POST", "/v1/domains/away.example/check"))[0] == 503
    assert not told.batches
    told.is_away = False

    await acme("POST", "/v1/domains/away.example/check")

    assert len(told.batches) == 1
