"""What the routes of webhooks take and show, each field described. Pure."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from services.webhooks.endpoints import FIELDS, MOST_OF_BATCH, TYPES, Endpoint
from services.webhooks.store import MOST_SHOWN, Standing
from services.webhooks.window import Attempt
from shared.http import paging
from shared.words.content import Stream
from shared.words.described import says
from shared.words.times import rfc3339

#: For how long the former secret signs too, unless the caller says.
OVERLAP_HOURS = 24
MOST_OVERLAP_HOURS = 168
#: Names that an endpoint may choose of each kind.
MOST_CHOSEN = 100
_ID = "wh_8f2c0a61d94be735"

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


def delivery(one: Attempt) -> DeliveryShown:
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
