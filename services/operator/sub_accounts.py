"""The routes of sub-accounts: a tenant makes them, gives them keys, suspends them and goes on.

They are of the tenant of the key alone, by its scope `admin`; the operator's own routes are about any tenant. What is
asked as a sub-account (`Estafette-Tenant`) has none of its own.
"""

from dataclasses import replace
from datetime import datetime
from typing import Annotated

import msgspec
from aiohttp import web

from services.operator.http import Acted, Because, Suspension, act_of, acted
from services.operator.operator import Act, Operator
from shared.http import api
from shared.redis.stops import SUSPENDED, Stop, StopList, of_tenant
from shared.redis.tenants import ApiKey, Rights, Tenant, TenantError, Tenants
from shared.words.described import says
from shared.words.errors import Problem
from shared.words.principal import SCOPES
from shared.words.times import rfc3339

#: Of one tenant, and keys of each: what is made over the API has an end.
MOST_SUB_ACCOUNTS, MOST_KEYS = 1_000, 100
_NAME = says("Its name: that of its tenant, a hyphen, and more; 32 characters at most.", "acme-lyon")
_IN_PATH = {"sub_account": _NAME, "api_key": says("The id of the key.", "k3v9x2m1qa")}
#: What a tenant gives its sub-accounts is never the installation's.
_GIVEN = tuple(scope for scope in SCOPES if scope != "operator")


class SubAccount(msgspec.Struct, frozen=True):
    """A tenant that belongs to another one."""

    name: Annotated[str, _NAME]
    created_at: Annotated[str, says("When it was made.", "2026-01-31T09:05:00.123Z")]
    suspended: Annotated[bool, says("Whether nothing of its bulk is sent for now, whoever stopped it.", False)]


class SubAccounts(msgspec.Struct, frozen=True):
    """The sub-accounts of the tenant, by name."""

    sub_accounts: Annotated[list[SubAccount], says("All of them.")]


class NewSubAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sub-account to be made."""

    name: Annotated[str, _NAME]


class KeyOfSubAccount(msgspec.Struct, frozen=True):
    """A key of a sub-account; its text is shown once, when it is made."""

    id: Annotated[str, says("Its id, which stands in its text behind `est_`.", "k3v9x2m1qa")]
    scopes: Annotated[list[str], says("What it may do.", ["send", "read"])]
    created_at: Annotated[str, says("When it was made.", "2026-01-31T09:05:00.123Z")]
    name: Annotated[str, says("The user or the program that has it.", "shop, orders")]
    networks: Annotated[list[str], says("From where it may be used; empty: from everywhere.", ["192.0.2.0/24"])]
    domains: Annotated[list[str], says("What it may send from; empty: all its domains.", ["lyon.acme.example"])]
    expires_at: Annotated[str | None, says("Until when it may be used; null: for ever.", "2026-12-31T00:00:00.000Z")]
    sandbox: Annotated[bool, says("Whether what it sends goes to no host of the world.", False)]


class KeysOfSubAccount(msgspec.Struct, frozen=True):
    """The keys of a sub-account, the oldest first."""

    keys: Annotated[list[KeyOfSubAccount], says("All of them.")]


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made; of its scopes the key of the request has each."""

    scopes: Annotated[
        list[str], says("What it may do.", ["send", "read"], schema={"items": {"type": "string", "enum": list(_GIVEN)}})
    ]
    name: Annotated[str, says("The user or the program that has it.", "shop, orders")] = ""
    networks: Annotated[list[str], says("From where it may be used; empty: from everywhere.", ["192.0.2.0/24"])] = []
    domains: Annotated[list[str], says("What it may send from; empty: all its domains.", ["lyon.acme.example"])] = []
    expires_at: Annotated[
        Annotated[datetime, msgspec.Meta(tz=True)] | None,
        says("Until when it may be used; null: for ever.", "2099-12-31T00:00:00Z"),
    ] = None
    sandbox: Annotated[bool, says("Whether what it sends goes to no host of the world.", False)] = False


class KeyMade(msgspec.Struct, frozen=True):
    """The key that was made. Keep its text: it is not shown again."""

    id: Annotated[str, says("Its id.", "k3v9x2m1qa")]
    key: Annotated[str, says("Its text.", "est_k3v9x2m1qa_…")]


def routes(operator: Operator, tenants: Tenants, stops: StopList) -> list[api.Route]:
    handlers = _Routes(operator, tenants, stops)
    one = "/v1/sub-accounts/{sub_account}"

    def route(
        method: str, path: str, call: api.Call, summary: str, name: str, *, problems: tuple[str, ...], **more: object
    ) -> api.Route:
        known = ("unknown_sub_account", *problems) if "{" in path else problems
        shared = {"scope": "admin", "tag": "sub-accounts", "in_path": _IN_PATH if "{" in path else {}}
        return api.Route(method, path, call, summary, name=name, problems=known, **shared, **more)  # type: ignore[arg-type]

    return [
        route(
            "GET", "/v1/sub-accounts", handlers.show, "The sub-accounts of the tenant", "list_sub_accounts",
            problems=(), answers={200: SubAccounts},
        ),
        route(
            "POST", "/v1/sub-accounts", handlers.create, "Make a sub-account", "create_sub_account",
            problems=("invalid_sub_account", "too_many_sub_accounts"), body=NewSubAccount, answers={201: SubAccount},
            examples={"application/json": {"name": "acme-lyon"}},
        ),
        route(
            "GET", f"{one}/keys", handlers.show_keys, "The keys of a sub-account", "list_sub_account_keys",
            problems=(), answers={200: KeysOfSubAccount},
        ),
        route(
            "POST", f"{one}/keys", handlers.create_key, "Make a key of a sub-account", "create_sub_account_key",
            problems=("invalid_api_key", "bound_key", "too_many_api_keys"), body=NewKey, answers={201: KeyMade},
            examples={"application/json": {"scopes": ["send", "read"], "name": "shop, orders"}},
        ),
        route(
            "DELETE", f"{one}/keys/{{api_key}}", handlers.revoke_key, "Revoke a key of a sub-account",
            "revoke_sub_account_key", problems=("unknown_api_key",), answers={204: None},
        ),
        route(
            "POST", f"{one}/suspend", handlers.suspend, "Send nothing of a sub-account's bulk", "suspend_sub_account",
            problems=("already_stopped", "already_over"), body=Suspension, answers={200: Acted},
        ),
        route(
            "POST", f"{one}/resume", handlers.resume, "End the suspension of a sub-account", "resume_sub_account",
            problems=("not_suspended",), body=Because, answers={200: Acted},
        ),
    ]  # fmt: skip


class _Routes:
    def __init__(self, operator: Operator, tenants: Tenants, stops: StopList) -> None:
        self._operator = operator
        self._tenants = tenants
        self._stops = stops

    async def _of_caller(self, request: web.Request) -> str:
        """The name in the path. Problem 404: the same for one that is not there and one of somebody else."""
        found = await self._tenants.acting(request[api.PRINCIPAL], api.path_text(request, "sub_account"))
        if found is None:
            raise Problem("unknown_sub_account", "the tenant has no sub-account of that name")
        return found.tenant

    async def _shown(self, tenants: list[Tenant]) -> list[SubAccount]:
        found = await self._stops.some([of_tenant(one.name) for one in tenants]) if tenants else []
        return [
            SubAccount(one.name, rfc3339(one.created_at), stop is not None)
            for one, stop in zip(tenants, found, strict=True)
        ]

    async def show(self, request: web.Request) -> web.StreamResponse:
        tenants = await self._tenants.sub_accounts(request[api.PRINCIPAL].tenant)
        return api.json_answer(SubAccounts(await self._shown(tenants)))

    async def create(self, request: web.Request) -> web.StreamResponse:
        parent, wanted = request[api.PRINCIPAL].tenant, await api.read_json(request, NewSubAccount)
        # So whether a name is taken tells nothing of the other tenants.
        if not wanted.name.startswith(f"{parent}-"):
            raise Problem("invalid_sub_account", f"the name of a sub-account begins with {parent}-")
        if len(await self._tenants.sub_accounts(parent)) >= MOST_SUB_ACCOUNTS:
            raise Problem("too_many_sub_accounts", f"a tenant has at most {MOST_SUB_ACCOUNTS} sub-accounts")
        try:
            made = await self._tenants.create(wanted.name, parent=parent)
        except TenantError as fault:
            raise Problem("invalid_sub_account", str(fault)) from fault
        return api.json_answer((await self._shown([made]))[0], 201)

    async def show_keys(self, request: web.Request) -> web.StreamResponse:
        found = await self._tenants.keys_of(await self._of_caller(request))
        return api.json_answer(KeysOfSubAccount([shown_key(key) for key in found]))

    async def create_key(self, request: web.Request) -> web.StreamResponse:
        principal, tenant = request[api.PRINCIPAL], await self._of_caller(request)
        wanted = await api.read_json(request, NewKey)
        if principal.is_bound:
            raise Problem("bound_key", "the key of the request is bound, and one that it makes would not be")
        if beyond := sorted(set(wanted.scopes) & set(SCOPES) - principal.scopes | set(wanted.scopes) & {"operator"}):
            raise Problem("invalid_api_key", f"the key of the request lacks the scope {', '.join(beyond)} itself")
        until_ms = max(1, int(wanted.expires_at.timestamp() * 1000)) if wanted.expires_at is not None else 0
        if len(await self._tenants.keys_of(tenant)) >= MOST_KEYS:
            raise Problem("too_many_api_keys", f"a sub-account has at most {MOST_KEYS} keys: revoke one first")
        rights = Rights(wanted.name, tuple(wanted.networks), tuple(wanted.domains), until_ms, wanted.sandbox)
        try:
            key, text = await self._tenants.create_key(tenant, wanted.scopes, rights)
        except TenantError as fault:
            raise Problem("invalid_api_key", str(fault)) from fault
        return api.json_answer(KeyMade(key.id, text), 201)

    async def revoke_key(self, request: web.Request) -> web.StreamResponse:
        tenant, key = await self._of_caller(request), api.path_text(request, "api_key")
        if key not in {one.id for one in await self._tenants.keys_of(tenant)}:
            raise Problem("unknown_api_key", "the sub-account has no key of that id")
        await self._tenants.revoke_key(key)
        return web.Response(status=204)

    async def suspend(self, request: web.Request) -> web.StreamResponse:
        tenant = await self._of_caller(request)
        asked = await api.read_json(request, Suspension)
        act = _act_of(request, asked.why, asked.until)
        if (stop := await self._suspension(tenant)) is not None and stop.who != act.who:
            raise Problem("already_stopped", "an operator suspended it, and that stays as it is")
        return acted(await self._operator.suspend_tenant(tenant, act))

    async def resume(self, request: web.Request) -> web.StreamResponse:
        tenant = await self._of_caller(request)
        act = _act_of(request, (await api.read_json(request, Because)).why)
        if (stop := await self._suspension(tenant)) is None or stop.who != act.who:
            raise Problem(
                "not_suspended", "the tenant did not suspend it; what an operator stopped, an operator resumes"
            )
        return acted(await self._operator.resume_tenant(tenant, act))

    async def _suspension(self, tenant: str) -> Stop | None:
        (stop,) = await self._stops.some([of_tenant(tenant)])
        return stop if stop is not None and stop.reason == SUSPENDED else None


def _act_of(request: web.Request, why: str, until: datetime | None = None) -> Act:
    """Any key of the tenant may take back what another one did, and none what an operator did."""
    act = act_of(request, why, until)
    return replace(act, who=f"tenant:{act.tenant}")


def shown_key(key: ApiKey) -> KeyOfSubAccount:
    """As it is shown: never its text."""
    rights = key.rights
    return KeyOfSubAccount(
        id=key.id,
        scopes=list(key.scopes),
        created_at=rfc3339(key.created_at),
        name=rights.name,
        networks=list(rights.networks),
        domains=list(rights.domains),
        expires_at=rfc3339(rights.expires_at) if rights.expires_at else None,
        sandbox=rights.is_sandbox,
    )
