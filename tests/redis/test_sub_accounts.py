"""Sub-accounts: a tenant makes them and asks as them; they are apart, and together within the quotas of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import test_utils, web

from services.operator import sub_accounts
from services.operator.operator import Act, Operator
from services.queueing.quotas import Room
from services.reports import usage_http
from services.reports.usage import UsageReader
from shared.http import api
from shared.process.settings import Quotas
from shared.redis import usage
from shared.redis.bus import Publisher
from shared.redis.stops import StopList
from shared.redis.tenants import CACHE_SECONDS, Rights, TenantError, Tenants
from shared.words import ids
from shared.words.errors import Problem
from shared.words.quotas import Admission

P = 4
NOW_MS = 1_790_000_000_000
TODAY = NOW_MS // usage.DAY_MS


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class House:
    """The routes over one Redis, with `acme` and its two sub-accounts, and `zeta`, which has one as well."""

    def __init__(self, at: test_utils.TestClient[Any, Any], tenants: Tenants, operator: Operator, clock: Clock) -> None:
        self._at = at
        self.tenants = tenants
        self.operator = operator
        self.clock = clock

    async def key(self, tenant: str, *scopes: str, rights: Rights | None = None) -> str:
        return (await self.tenants.create_key(tenant, scopes, rights or Rights()))[1]

    async def ask(self, key: str, method: str, path: str, body: Any = None, acting: str = "") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key}"} | ({"Estafette-Tenant": acting} if acting else {})
        async with self._at.request(method, path, json=body, headers=headers) as answer:
            said = await answer.json() if answer.status != 204 else {}
            return answer.status, said.get("type", "").rpartition(":")[2] or said


@pytest.fixture
async def house(client: Any) -> AsyncIterator[House]:
    clock = Clock()
    tenants = Tenants(client, monotonic=clock)
    for name, parent in (("acme", ""), ("zeta", ""), ("acme-lyon", "acme"), ("acme-nice", "acme"), ("zeta-1", "zeta")):
        await tenants.create(name, parent=parent)
    operator = Operator(client, P, Publisher(client, P, lambda: "batch"), lambda: NOW_MS)

    async def who(request: web.Request) -> web.StreamResponse:
        return api.json_answer({"tenant": request[api.PRINCIPAL].tenant})

    routes = [
        *sub_accounts.routes(operator, tenants, StopList(client)),
        *usage_http.routes(UsageReader(client, P, lambda: NOW_MS), tenants),
        api.Route("GET", "/v1/who", who, "Who asks", scope="read"),
    ]
    admission = Admission(Quotas(requests_per_second=20).by_name(), clock)
    app = api.application(routes, tenants, max_body_bytes=10_000, admission=admission)
    async with test_utils.TestClient(test_utils.TestServer(app)) as at:
        yield House(at, tenants, operator, clock)


async def test_a_tenant_makes_sub_accounts_and_keys_of_theirs_and_takes_them_back(house: House) -> None:
    key = await house.key("acme", "admin", "read", "send")

    made = await house.ask(key, "POST", "/v1/sub-accounts", {"name": "acme-paris"})
    listed = await house.ask(key, "GET", "/v1/sub-accounts")
    status, given = await house.ask(
        key, "POST", "/v1/sub-accounts/acme-paris/keys", {"scopes": ["read"], "name": "shop", "networks": ["127.0.0.1"]}
    )
    theirs = await house.ask(given["key"], "GET", "/v1/who")
    shown = await house.ask(key, "GET", "/v1/sub-accounts/acme-paris/keys")
    revoked = await house.ask(key, "DELETE", f"/v1/sub-accounts/acme-paris/keys/{given['id']}")

    assert (made[0], made[1]["name"], made[1]["suspended"]) == (201, "acme-paris", False)
    assert [one["name"] for one in listed[1]["sub_accounts"]] == ["acme-lyon", "acme-nice", "acme-paris"]
    assert (status, theirs) == (201, (200, {"tenant": "acme-paris"}))
    assert [(one["name"], one["networks"], one["scopes"]) for one in shown[1]["keys"]] == [
        ("shop", ["127.0.0.1/32"], ["read"])
    ]
    assert given["key"] not in str(shown)
    assert revoked[0] == 204
    assert await house.ask(given["key"], "GET", "/v1/who") == (401, "unknown_key")


async def test_a_tenant_asks_as_its_own_sub_account_and_as_nobody_else(house: House) -> None:
    parent, child = await house.key("acme", "admin", "read"), await house.key("acme-lyon", "admin", "read")
    reader = await house.key("acme", "read")

    assert await house.ask(parent, "GET", "/v1/who", acting="acme-lyon") == (200, {"tenant": "acme-lyon"})
    assert await house.ask(parent, "GET", "/v1/who", acting="acme") == (200, {"tenant": "acme"})
    for key in (parent, child):
        for other in ("zeta", "zeta-1", "nobody", "acme-Lyon", "../x"):
            assert await house.ask(key, "GET", "/v1/who", acting=other) == (404, "unknown_sub_account")
    for other in ("acme", "acme-nice"):
        assert await house.ask(child, "GET", "/v1/who", acting=other) == (404, "unknown_sub_account")
    assert await house.ask(reader, "GET", "/v1/who", acting="acme-lyon") == (403, "missing_scope")


async def test_what_is_not_the_caller_s_to_change_is_refused_and_stays(house: House) -> None:
    parent, child = await house.key("acme", "admin", "read"), await house.key("acme-lyon", "admin")
    bound = await house.key("acme", "admin", "read", rights=Rights(networks=("127.0.0.0/8",)))
    theirs, _ = await house.tenants.create_key("zeta-1", ["read"])
    before = await house.tenants.keys_of()
    new, why = {"scopes": ["read"]}, {"why": "spam"}

    refused = [
        await house.ask(parent, "POST", "/v1/sub-accounts", {"name": "zeta-2"}),
        await house.ask(parent, "POST", "/v1/sub-accounts", {"name": "acme-lyon"}),
        await house.ask(child, "POST", "/v1/sub-accounts", {"name": "acme-lyon-2"}),
        await house.ask(parent, "POST", "/v1/sub-accounts", {"name": "acme-x-1"}, acting="acme-lyon"),
        await house.ask(parent, "POST", "/v1/sub-accounts/zeta-1/keys", new),
        await house.ask(parent, "DELETE", f"/v1/sub-accounts/acme-lyon/keys/{theirs.id}"),
        await house.ask(parent, "POST", "/v1/sub-accounts/zeta-1/suspend", why),
        await house.ask(parent, "POST", "/v1/sub-accounts/acme-lyon/keys", {"scopes": ["send"]}),
        await house.ask(parent, "POST", "/v1/sub-accounts/acme-lyon/keys", {"scopes": ["operator"]}),
        await house.ask(parent, "POST", "/v1/sub-accounts/acme-lyon/keys", {"scopes": ["fly"]}),
        await house.ask(bound, "POST", "/v1/sub-accounts/acme-lyon/keys", new),
    ]

    assert refused == [
        *[(422, "invalid_sub_account")] * 4,
        *[(404, "unknown_sub_account"), (404, "unknown_api_key"), (404, "unknown_sub_account")],
        *[(422, "invalid_api_key")] * 3,
        (403, "bound_key"),
    ]
    assert await house.tenants.keys_of() == before
    assert len(await house.tenants.all()) == 5
    with pytest.raises(TenantError, match="none of its own"):
        await house.tenants.create("acme-lyon-x", parent="acme-lyon")


async def test_a_tenant_suspends_a_sub_account_and_takes_back_only_what_it_did_itself(house: House) -> None:
    key, why = await house.key("acme", "admin"), {"why": "not paid"}
    path = "/v1/sub-accounts/acme-lyon"

    suspended = await house.ask(key, "POST", f"{path}/suspend", why)
    listed = await house.ask(key, "GET", "/v1/sub-accounts")
    resumed = await house.ask(key, "POST", f"{path}/resume", why)
    await house.operator.suspend_tenant("acme-lyon", Act("op@host", "", "spam"))

    assert (suspended[0], resumed[0]) == (200, 200)
    assert [one["suspended"] for one in listed[1]["sub_accounts"]] == [True, False]
    assert await house.ask(key, "POST", f"{path}/suspend", why) == (409, "already_stopped")
    assert await house.ask(key, "POST", f"{path}/resume", why) == (409, "not_suspended")


async def test_requests_of_sub_accounts_count_under_the_quota_of_their_tenant(house: House) -> None:
    lyon, nice = await house.key("acme-lyon", "read"), await house.key("acme-nice", "read")
    other = await house.key("zeta-1", "read")

    answers = [await house.ask(key, "GET", "/v1/who") for _ in range(12) for key in (lyon, nice)]

    assert [status for status, _ in answers].count(200) == 20
    assert (await house.ask(other, "GET", "/v1/who"))[0] == 200


async def test_what_sub_accounts_keep_counts_under_the_quota_of_their_tenant(house: House) -> None:
    class Store:
        async def use(self, tenant: str, now_ms: int) -> dict[str, int]:
            return {"open_jobs": {"acme-lyon": 3, "acme-nice": 4, "zeta-1": 9}.get(tenant, 0)}

    room = Room(Store(), Quotas(open_jobs=9).by_name(), lambda: NOW_MS, house.clock, house.tenants)
    await house.tenants.set_quota("acme", "open_jobs", 8)
    house.clock.seconds += CACHE_SECONDS

    async with room.taken("acme-lyon", {}, {"open_jobs": 1}):
        for tenant in ("acme-nice", "acme"):
            with pytest.raises(Problem) as refused:
                await room.check(tenant, {}, {"open_jobs": 1})
            assert refused.value.quota is not None
            assert (refused.value.quota.limit, refused.value.quota.used) == (8, 8)
    with pytest.raises(Problem):
        await room.check("zeta-1", {}, {"open_jobs": 1})
    await room.check("zeta-2", {}, {"open_jobs": 1})


async def test_a_tenant_sees_what_its_sub_accounts_used_together(client: Any, house: House) -> None:
    key, child = await house.key("acme", "read"), await house.key("acme-lyon", "read")
    for at, (tenant, calls) in enumerate({"acme": 1, "acme-lyon": 20, "acme-nice": 300, "zeta-1": 4_000}.items()):
        p = ids.name_partition(tenant, P)
        await usage.count_calls(client, p, f"process {at}", 1, {(tenant, TODAY): calls})

    totals = [
        (await house.ask(of, "GET", f"/v1/usage?sub_accounts={which}"))[1]["total"]["calls"]
        for of in (key, child)
        for which in ("false", "true")
    ]

    assert totals == [1, 321, 20, 20]
