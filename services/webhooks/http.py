"""The routes of webhooks: a tenant names endpoints, chooses what they are told, tries them, and sees what was sent."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from services.webhooks import rendering, signing
from services.webhooks.book import SEALED_AS, opened
from services.webhooks.destination import parse
from services.webhooks.endpoints import (
    FIELDS,
    NOTHING,
    TYPES,
    Endpoint,
    Secret,
    is_field,
    type_of,
)
from services.webhooks.shown import (
    Deliveries,
    DeliveryQuery,
    NewWebhook,
    NewWebhookShown,
    Queued,
    ReplayRequest,
    ReplayStarted,
    Rotation,
    TestRequest,
    Webhook,
    WebhookChange,
    Webhooks,
    delivery,
    shown,
)  # fmt: skip
from services.webhooks.store import Batch, Replay, Store, packed
from services.webhooks.window import Event
from shared.http import api
from shared.mail.dkim_keys import NONCE_BYTES, Vault
from shared.net.outside import Policy, Refused
from shared.process import logs
from shared.words import events
from shared.words.errors import Fault, Problem
from shared.words.times import rfc3339

_ID_BYTES = 8

_log = logs.get_logger()


def routes(
    store: Store,
    vault: Vault,
    policy: Policy,
    most: int,
    now_ms: Callable[[], int],
    chance: Callable[[int], bytes],
) -> list[api.Route]:
    """`most`: endpoints of one tenant; `chance(n)` gives n unpredictable bytes."""
    handlers = _Routes(store, vault, policy, most, now_ms, chance)
    unknown = ["unknown_webhook"]

    def route(method: str, path: str, call: api.Call, sentence: str, name: str, **more: object) -> api.Route:
        scope = "read" if method == "GET" else "admin"
        return api.Route(method, path, call, sentence, scope=scope, name=name, tag="webhooks", **more)  # type: ignore[arg-type]

    one = "/v1/webhooks/{webhook}"
    return [
        route(
            "POST", "/v1/webhooks", handlers.create, "Name an endpoint that is told what happens", "create_webhook",
            body=NewWebhook, answers={201: NewWebhookShown}, problems=["invalid_webhook", "too_many_webhooks"],
        ),
        route(
            "GET", "/v1/webhooks", handlers.list_all, "The endpoints of the tenant, and how they fare",
            "list_webhooks", answers={200: Webhooks},
        ),
        route(
            "GET", one, handlers.show, "An endpoint, and how it fares", "get_webhook", answers={200: Webhook},
            problems=unknown,
        ),
        route(
            "PATCH", one, handlers.change, "Change an endpoint, or let it be asked again", "change_webhook",
            body=WebhookChange, answers={200: Webhook}, problems=[*unknown, "invalid_webhook"],
        ),
        route(
            "DELETE", one, handlers.remove, "Remove an endpoint, with all that waits for it", "delete_webhook",
            answers={204: None}, problems=unknown,
        ),
        route(
            "POST", f"{one}/test", handlers.test, "Send an example of an event, as it would be sent",
            "test_webhook", body=TestRequest, body_optional=True, answers={202: Queued},
            problems=[*unknown, "invalid_webhook", "webhook_disabled"],
        ),
        route(
            "POST", f"{one}/rotate", handlers.rotate, "Make a new secret; the former one signs too for a while",
            "rotate_webhook", body=Rotation, body_optional=True, answers={200: NewWebhookShown}, problems=unknown,
        ),
        route(
            "POST", f"{one}/replay", handlers.replay, "Tell it again what happened in a period, or what was given up",
            "replay_webhook", body=ReplayRequest, answers={202: ReplayStarted},
            problems=[*unknown, "invalid_webhook", "webhook_disabled"],
        ),
        route(
            "GET", f"{one}/deliveries", handlers.deliveries, "What was sent, and what was answered",
            "list_webhook_deliveries", answers={200: Deliveries}, query=DeliveryQuery, problems=unknown,
        ),
    ]  # fmt: skip


class _Routes:
    def __init__(
        self,
        store: Store,
        vault: Vault,
        policy: Policy,
        most: int,
        now_ms: Callable[[], int],
        chance: Callable[[int], bytes],
    ) -> None:
        self._store = store
        self._vault = vault
        self._policy = policy
        self._most = most
        self._now_ms = now_ms
        self._chance = chance

    async def create(self, request: web.Request) -> web.StreamResponse:
        wanted, tenant = await api.read_json(request, NewWebhook), request[api.PRINCIPAL].tenant
        self._check(wanted.url, wanted.types, wanted.fields, wanted.secret, wanted.algorithm)
        if len(await self._store.of_tenant(tenant)) >= self._most:
            raise Problem("too_many_webhooks", f"the tenant has {self._most} endpoints, as many as it may")
        name = f"wh_{self._chance(_ID_BYTES).hex()}"
        secret = wanted.secret or signing.make(wanted.algorithm, self._chance(signing.SECRET_BYTES))
        endpoint = Endpoint(
            name, tenant, wanted.url, tuple(wanted.types), tuple(wanted.lists), tuple(wanted.tags),
            tuple(wanted.streams), tuple(wanted.fields), wanted.batch, wanted.description, wanted.enabled,
            (self._sealed(name, secret),), self._now_ms(), wanted.algorithm,
        )  # fmt: skip
        await self._put(endpoint)
        _log.info("webhook_created", endpoint=name, tenant=tenant)
        return api.json_answer(await self._with_secret(endpoint, secret), 201)

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        found = await self._store.of_tenant(request[api.PRINCIPAL].tenant)
        return api.json_answer(Webhooks([await self._shown(one) for one in found]))

    async def show(self, request: web.Request) -> web.StreamResponse:
        return api.json_answer(await self._shown(await self._own(request)))

    async def change(self, request: web.Request) -> web.StreamResponse:
        wanted, endpoint = await api.read_json(request, WebhookChange), await self._own(request)
        self._check(wanted.url, wanted.types or (), wanted.fields or ())
        said = {
            name: tuple(value) if isinstance(value, list) else value
            for name in wanted.__struct_fields__
            if (value := getattr(wanted, name)) is not None
        }
        changed = msgspec.structs.replace(endpoint, **said)
        await self._put(changed)
        if wanted.enabled:
            await self._store.enable(endpoint.id, self._now_ms())
        return api.json_answer(await self._shown(changed))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        endpoint = await self._own(request)
        await self._store.remove(endpoint, self._version(), self._now_ms())
        _log.info("webhook_removed", endpoint=endpoint.id, tenant=endpoint.tenant)
        return web.Response(status=204)

    async def test(self, request: web.Request) -> web.StreamResponse:
        wanted, endpoint = await api.read_json_or(request, TestRequest()), await self._told(request)
        if wanted.type not in TYPES:
            raise _invalid("$.type", f"there is no type {wanted.type[:60]!r}; there are {', '.join(sorted(TYPES))}")
        now_ms = self._now_ms()
        fact = example(wanted.type, endpoint.tenant, now_ms, self._chance(8).hex())
        whole = rendering.data(fact, NOTHING, None, {"customer": "4711"})
        content = {**rendering.chosen(whole, endpoint.fields), "test": True}
        key = rendering.key_of(fact)
        event = packed(Event(b"", "", key, rendering.body(wanted.type, now_ms, content)))
        (taken,) = await self._store.enqueue([Batch(endpoint.id, "", "", "", [event])], now_ms)
        if not taken.queued:
            raise Problem("webhook_disabled", "nothing is sent to it for now")
        return api.json_answer(Queued(key), 202)

    async def rotate(self, request: web.Request) -> web.StreamResponse:
        wanted, endpoint = await api.read_json_or(request, Rotation()), await self._own(request)
        now_ms = self._now_ms()
        until_ms = now_ms + wanted.overlap_hours * 3_600_000
        secret = signing.make(endpoint.algorithm, self._chance(signing.SECRET_BYTES))  # type: ignore[arg-type]
        # Who rotates twice within the overlap has three secrets, the oldest as long as it was promised.
        former = [
            msgspec.structs.replace(one, until_ms=min(one.until_ms or until_ms, until_ms))
            for one in endpoint.secrets
            if wanted.overlap_hours and (not one.until_ms or one.until_ms > now_ms)
        ]
        changed = msgspec.structs.replace(endpoint, secrets=(self._sealed(endpoint.id, secret), *former[:4]))
        await self._put(changed)
        _log.info("webhook_rotated", endpoint=endpoint.id, tenant=endpoint.tenant)
        return api.json_answer(await self._with_secret(changed, secret))

    async def replay(self, request: web.Request) -> web.StreamResponse:
        wanted, endpoint = await api.read_json(request, ReplayRequest), await self._told(request)
        now_ms = self._now_ms()
        if wanted.failures and (wanted.since or wanted.until):
            raise _invalid("$.failures", "either what was given up, or a period")
        if not wanted.failures and wanted.since is None:
            raise _invalid("$.since", "say from when on, or failures: true")
        since_ms = int(wanted.since.timestamp() * 1000) if wanted.since else 0
        until_ms = min(now_ms, int(wanted.until.timestamp() * 1000)) if wanted.until else now_ms
        if not wanted.failures and not 0 <= since_ms <= until_ms:
            raise _invalid("$.until", "the period ends before it begins")
        await self._store.put_replay(Replay(endpoint.id, endpoint.tenant, since_ms, until_ms, wanted.failures))
        period = (None, None) if wanted.failures else (rfc3339(since_ms), rfc3339(until_ms))
        return api.json_answer(ReplayStarted(wanted.failures, *period), 202)

    async def deliveries(self, request: web.Request) -> web.StreamResponse:
        endpoint, query = await self._own(request), api.query_of(request, DeliveryQuery)
        found = await self._store.attempts(endpoint.id, query.limit)
        return api.json_answer(Deliveries([delivery(one) for one in found]))

    async def _own(self, request: web.Request) -> Endpoint:
        found = await self._store.get(request[api.PRINCIPAL].tenant, request.match_info["webhook"])
        if found is None:
            raise Problem("unknown_webhook", "there is no such endpoint")
        return found

    async def _told(self, request: web.Request) -> Endpoint:
        """One that is told something at all."""
        endpoint = await self._own(request)
        if not endpoint.enabled or (await self._store.standing(endpoint.id)).state.disabled_at:
            raise Problem("webhook_disabled", "it is told nothing for now: PATCH it with enabled: true first")
        return endpoint

    async def _put(self, endpoint: Endpoint) -> None:
        await self._store.put(endpoint, self._version())

    def _version(self) -> str:
        return self._chance(8).hex()

    def _sealed(self, endpoint: str, secret: str) -> Secret:
        return Secret(self._vault.seal(secret, endpoint, SEALED_AS, self._chance(NONCE_BYTES)))

    def _check(
        self,
        url: str | None,
        types: Sequence[str],
        fields: Sequence[str],
        secret: str | None = None,
        algorithm: str = "hmac-sha256",
    ) -> None:
        """All that is wrong at once. Problem."""
        faults: list[Fault] = []
        if url is not None:
            try:
                parse(url, self._policy)
            except Refused as refused:
                faults.append(Fault("$.url", str(refused)))
        faults += [
            Fault(f"$.types[{at}]", f"there is no type {one[:60]!r}")
            for at, one in enumerate(types)
            if one not in TYPES
        ]
        faults += [
            Fault(f"$.fields[{at}]", f"events have no {one[:60]!r}; they have {', '.join(FIELDS)}")
            for at, one in enumerate(fields)
            if not is_field(one)
        ]
        if secret is not None:
            try:
                if algorithm != "hmac-sha256":
                    raise signing.InvalidSecret("of a key pair none is brought: it is made here")
                signing.check(secret)
            except signing.InvalidSecret as fault:
                faults.append(Fault("$.secret", str(fault)))
        if faults:
            raise Problem("invalid_webhook", "the endpoint cannot be as asked", faults)

    async def _with_secret(self, endpoint: Endpoint, secret: str) -> NewWebhookShown:
        shown = await self._shown(endpoint)
        shared = secret if endpoint.algorithm == "hmac-sha256" else None
        return NewWebhookShown(**msgspec.structs.asdict(shown), secret=shared)

    async def _shown(self, endpoint: Endpoint) -> Webhook:
        standing = await self._store.standing(endpoint.id)
        public = None
        if endpoint.algorithm != "hmac-sha256" and endpoint.secrets:
            public = signing.public_key(opened(self._vault, endpoint.id, endpoint.secrets[0].sealed))
        return shown(endpoint, standing, public)


def example(kind: str, tenant: str, now_ms: int, chance: str) -> events.Fact:
    """A fact of that type, as it may be, about nobody."""
    name = TYPES[kind]
    fact = events.FACTS[name]
    values: dict[str, Any] = {
        field.name: _EXAMPLES.get(field.type, "") if not field.name.endswith("_at") else now_ms
        for field in msgspec.structs.fields(fact)[len(events.Fact.__struct_fields__) :]
    }
    job = "" if type_of(name, "") == kind and type_of(name, "x") != kind else "068vjfm5s9m2rc1jqqrg"
    return fact(
        event_id=chance,
        occurred_at=now_ms,
        tenant=tenant,
        job=job,
        ordinal=0 if job and kind.startswith("message.") else None,
        email="ana@exemple.fr",
        **values,
    )


_EXAMPLES: dict[object, object] = {str: "example", int: 1, bool: False}


def _invalid(at: str, what: str) -> Problem:
    return Problem("invalid_webhook", what, [Fault(at, what)])
