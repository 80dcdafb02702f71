"""The routes of webhooks: a tenant names endpoints, chooses what they are told, tries them, and sees what was sent."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from services.webhooks import rendering, signing
from services.webhooks.book import SEALED_AS, opened
from services.webhooks.destination import Policy, Refused, parse
from services.webhooks.endpoints import (
    FIELDS,
    MOST_OF_BATCH,
    NOTHING,
    TYPES,
    Endpoint,
    Secret,
    Stream,
    is_field,
    type_of,
)
from services.webhooks.store import MOST_SHOWN, Batch, Replay, Standing, Store, packed
from services.webhooks.window import Attempt, Event
from shared.http import api, paging
from shared.mail.dkim_keys import NONCE_BYTES, Vault
from shared.process import logs
from shared.words import events
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.times import rfc3339

#: For how long the former secret signs too, unless the caller says.
OVERLAP_HOURS = 24
MOST_OVERLAP_HOURS = 168
#: Names that an endpoint may choose of each kind.
MOST_CHOSEN = 100
_ID_BYTES = 8
_ID = "wh_8f2c0a61d94be735"

_log = logs.get_logger()

Names = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, max_length=200)]], msgspec.Meta(max_length=MOST_CHOSEN)
]
Time = Annotated[datetime, msgspec.Meta(tz=True)]
_TYPES = says(
    "Which types of events it is told; empty: all.", ["message.delivered", "message.bounced"],
    schema={"items": {"type": "string", "enum": sorted(TYPES)}},
)  # fmt: skip
_LISTS = says("Only what is about jobs of these lists; empty: of all.", ["newsletter"])
_TAGS = says("Only what is about jobs that have one of these tags; empty: of all.", ["winter-2026"])
_STREAMS = says("Only what is about jobs of these streams; empty: of all.", ["bulk"])
_FIELDS = says(
    f"What an event has in `data`: of {', '.join(FIELDS)}, or one detail as `details.reply`; `event_id` is always "
    "there. Empty: all.",
    ["message", "email", "metadata", "details.reply"],
)
_URL = says("Where it is: https, a plain URL without user and fragment.", "https://crm.exemple.fr/estafette")
_BATCH = Annotated[
    int,
    msgspec.Meta(
        ge=1, le=MOST_OF_BATCH, examples=[100],
        description="How many events one request has at most; 1: each event is a request of its own.",
    ),
]  # fmt: skip
_MEANT = says("What it is for, in your words.", "contacts of the CRM")
_DESCRIPTION = says("What it is for, in your words.", "contacts of the CRM", max_length=500)
_ALGORITHM = says("What signs: a shared secret, or a key pair of which you get the public half.", "hmac-sha256")


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An endpoint that is to be told."""

    url: Annotated[str, _URL]
    types: Annotated[Names, _TYPES] = []
    lists: Annotated[Names, _LISTS] = []
    tags: Annotated[Names, _TAGS] = []
    streams: Annotated[list[Stream], _STREAMS] = []
    fields: Annotated[Names, _FIELDS] = []
    batch: _BATCH = 1
    description: Annotated[str, _DESCRIPTION] = ""
    enabled: Annotated[bool, says("Whether it is told anything.", True)] = True
    algorithm: Annotated[Literal["hmac-sha256", "ed25519"], _ALGORITHM] = "hmac-sha256"
    secret: Annotated[
        Annotated[str, msgspec.Meta(max_length=200)] | None,
        says("A secret of your own, `whsec_` and base64 of 24 to 64 bytes; null: one is made.", None),
    ] = None


class WebhookChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be otherwise; what is left out, or null, stays. `enabled: true` also lets an endpoint that was
    disabled be asked again, at once."""

    url: Annotated[str | None, _URL] = None
    types: Annotated[Names | None, _TYPES] = None
    lists: Annotated[Names | None, _LISTS] = None
    tags: Annotated[Names | None, _TAGS] = None
    streams: Annotated[list[Stream] | None, _STREAMS] = None
    fields: Annotated[Names | None, _FIELDS] = None
    batch: Annotated[_BATCH | None, says("As of a new one.", 100)] = None
    description: Annotated[Annotated[str, msgspec.Meta(max_length=500)] | None, _MEANT] = None
    enabled: Annotated[bool | None, says("Whether it is told anything.", True)] = None


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how long both secrets sign."""

    overlap_hours: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=MOST_OVERLAP_HOURS, description="Hours for which the former secret signs too.", examples=[24]
        ),
    ] = OVERLAP_HOURS


class TestRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent for a trial."""

    type: Annotated[str, says("Of which type the event is.", "message.delivered", schema={"enum": sorted(TYPES)})] = (
        "message.delivered"
    )


class ReplayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is told again: `failures`, all that was given up; or else the events of a period."""

    failures: Annotated[bool, says("What was given up, instead of a period.", False)] = False
    since: Annotated[Time | None, says("From when on.", "2026-01-31T09:00:00Z")] = None
    until: Annotated[Time | None, says("Until when; null: until now.", "2026-01-31T10:00:00Z")] = None


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint, and how it fares. `state` is `enabled`; `failing` while what was sent last was not taken; `disabled`
    where it is told nothing: `why` is `tenant`, `gone` (it answered 410), or `failing` for too long."""

    id: Annotated[str, says("Its id.", _ID)]
    url: Annotated[str, _URL]
    types: Annotated[list[str], _TYPES]
    lists: Annotated[list[str], _LISTS]
    tags: Annotated[list[str], _TAGS]
    streams: Annotated[list[str], _STREAMS]
    fields: Annotated[list[str], _FIELDS]
    batch: Annotated[int, says("How many events one request has at most.", 1)]
    description: Annotated[str, says("What it is for.", "contacts of the CRM")]
    algorithm: Annotated[str, _ALGORITHM]
    public_key: Annotated[
        str | None, says("By what `v1a` signatures are verified; null where a shared secret signs.", None)
    ]
    created: Annotated[str, says("When it was made.", "2026-01-31T09:05:00.123Z")]
    state: Annotated[Literal["enabled", "failing", "disabled"], says("How it fares.", "enabled")]
    why: Annotated[str | None, says("Why it is disabled.", None)]
    disabled: Annotated[str | None, says("Since when it is disabled, but by its tenant.", None)]
    failing_since: Annotated[str | None, says("Since when it has taken nothing.", None)]
    next_attempt: Annotated[str | None, says("Until when it is left alone, where it failed too often.", None)]
    last_delivered: Annotated[str | None, says("When it took something last.", "2026-01-31T09:05:01.000Z")]
    last_failed: Annotated[str | None, says("When it did not, last.", None)]
    waiting: Annotated[int, says("How many events wait for it.", 0)]
    delivered: Annotated[int, says("How many it has taken in all.", 12_000)]
    given_up: Annotated[int, says("How many were given up after the last attempt.", 0)]
    kept_failures: Annotated[int, says("How many of these can be replayed.", 0)]
    dropped: Annotated[int, says("How many were dropped because too many waited.", 0)]
    missed: Annotated[int, says("How many came while it was disabled, and were not kept for it.", 0)]


class NewWebhookShown(Webhook, frozen=True, kw_only=True):
    """With its secret, which no other answer shows."""

    secret: Annotated[
        str | None,
        says("The secret that signs; null of a key pair.", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwZXhhbXBsZS4="),
    ]


class Webhooks(msgspec.Struct, frozen=True):
    """The oldest first."""

    webhooks: Annotated[list[Webhook], says("The endpoints of the tenant.")]


class Queued(msgspec.Struct, frozen=True):
    """It will be sent like any other event; `deliveries` shows what became of it."""

    webhook_id: Annotated[str, says("The `webhook-id` under which it is sent.", "msg_5bd1e995a0c4f217")]


class ReplayStarted(msgspec.Struct, frozen=True):
    """What is told again, under the ids that the events had. Another request takes its place."""

    failures: Annotated[bool, says("Whether it is what was given up.", False)]
    since: Annotated[str | None, says("From when on.", "2026-01-31T09:00:00.000Z")]
    until: Annotated[str | None, says("Until when.", "2026-01-31T10:00:00.000Z")]


class DeliveryShown(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. The log has about the last 500 that were not taken, and as many that were; of thousands a second,
    some."""

    time: Annotated[str, says("When it had ended.", "2026-01-31T09:05:01.000Z")]
    webhook_id: Annotated[str, says("The id of what was sent, the same at each attempt.", "msg_5bd1e995a0c4f217")]
    attempt: Annotated[int, says("Which attempt it was, from 1.", 1)]
    events: Annotated[int, says("How many events it had.", 1)]
    url: Annotated[str, _URL]
    outcome: Annotated[
        str,
        says(
            "`taken`, `status`, `redirect`, `timeout`, `reset`, `unreachable`, `unresolved`, `tls`, `garbled`, or "
            "`inside`: the name led to an address that is not asked.",
            "taken",
        ),
    ]
    status: Annotated[int | None, says("The status of the answer; null where there was none.", 204)]
    detail: Annotated[str, says("What went wrong, for people.", "")]
    duration_ms: Annotated[int, says("How long it took.", 38)]
    next_attempt: Annotated[str | None, says("When it goes again; null: never.", None)]
    request: Annotated[str, says("The beginning of the first event's body.", '{"type":"message.delivered"}')]
    answer: Annotated[str, says("The beginning of what was answered.", "")]


class Deliveries(msgspec.Struct, frozen=True):
    """The latest first."""

    deliveries: Annotated[list[DeliveryShown], says("The attempts.")]


class DeliveryQuery(msgspec.Struct, frozen=True):
    """Which attempts are shown."""

    limit: Annotated[int, paging.limit(MOST_SHOWN)] = paging.DEFAULT_LIMIT


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
        return api.json_answer(Deliveries([_delivery(one) for one in found]))

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


def shown(endpoint: Endpoint, standing: Standing, public_key: str | None) -> Webhook:
    """As the API shows it."""
    state = standing.state
    is_disabled = not endpoint.enabled or bool(state.disabled_at)
    return Webhook(
        id=endpoint.id,
        url=endpoint.url,
        types=list(endpoint.types),
        lists=list(endpoint.lists),
        tags=list(endpoint.tags),
        streams=list(endpoint.streams),
        fields=list(endpoint.fields),
        batch=endpoint.batch,
        description=endpoint.description,
        algorithm=endpoint.algorithm,
        public_key=public_key,
        created=rfc3339(endpoint.created_ms),
        state="disabled" if is_disabled else "failing" if state.failing_since else "enabled",
        why=("tenant" if not endpoint.enabled else state.why) if is_disabled else None,
        disabled=_time(state.disabled_at),
        failing_since=_time(state.failing_since),
        next_attempt=_time(state.rests_until),
        last_delivered=_time(state.last_taken),
        last_failed=_time(state.last_failed),
        waiting=standing.waiting,
        delivered=state.delivered,
        given_up=state.given_up,
        kept_failures=standing.given_up_kept,
        dropped=standing.dropped,
        missed=standing.missed,
    )


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


def _delivery(one: Attempt) -> DeliveryShown:
    return DeliveryShown(
        time=rfc3339(one.at_ms),
        webhook_id=one.key,
        attempt=one.attempt,
        events=one.events,
        url=one.url,
        outcome=one.error or "taken",
        status=one.status or None,
        detail=one.detail,
        duration_ms=one.duration_ms,
        next_attempt=_time(one.next_ms),
        request=one.request.decode("utf-8", "replace"),
        answer=one.answer.decode("utf-8", "replace"),
    )


def _time(ms: int) -> str | None:
    return rfc3339(ms) if ms else None


def _invalid(at: str, what: str) -> Problem:
    return Problem("invalid_webhook", what, [Fault(at, what)])
