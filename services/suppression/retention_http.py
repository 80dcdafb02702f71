"""The routes of retention: a tenant's rule, who will be erased by it, and interactions that the tenant notes."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from services.suppression import retaining
from services.suppression.everybody import Everybody, Place
from services.suppression.interactions import Interactions, Noted
from services.suppression.retaining import RetentionRules
from services.suppression.retention import MOST_WARN_DAYS, MOST_YEARS, NEW_WARN_DAYS, Rule, day_of, near
from shared.http import api, paging
from shared.http.query import Read
from shared.mail import addresses
from shared.process import logs
from shared.words.described import says
from shared.words.errors import Fault, Problem

#: Of one call.
MAX_INTERACTIONS = 10_000
#: Clocks of two machines differ; what is said to come from further ahead is a mistake.
AHEAD_MS = 300_000
#: Pages of everybody that one request looks at, until it has found some who will go.
_LOOKS = 20
_CURSOR = "kqExkwAAoA"
_MOST_AHEAD_DAYS = 36_500

_log = logs.get_logger()


class RetentionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is erased because nothing came from them."""

    years: Annotated[
        int,
        says("So many years after the last interaction; 0: nobody is.", 3),
        Meta(ge=0, le=MOST_YEARS),
    ]
    warn_days: Annotated[
        int,
        says("So many days before there is an event `address.retention_near`.", 30),
        Meta(ge=1, le=MOST_WARN_DAYS),
    ] = NEW_WARN_DAYS
    dry_run: Annotated[
        bool, says("Nobody is warned about and nobody erased: the log says how many would be.", True)
    ] = False


class RetentionShown(RetentionRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rule in force."""

    own: Annotated[bool, says("Whether the tenant set it; else it is that of the installation.", True)]


class RetentionPerson(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who will be erased. Days are in UTC."""

    address: Annotated[str, says("The address.", "ana@exemple.fr")]
    last: Annotated[str, says("The day of the last interaction.", "2023-02-28")]
    warned: Annotated[str | None, says("The day of the warning; null if there was none yet.", "2026-01-29")]
    erased_from: Annotated[str, says("From which day on it is erased, if nothing comes from it.", "2026-02-28")]


class RetentionPage(msgspec.Struct, frozen=True, kw_only=True):
    """In an order that never changes; a page may have none, and yet a `next`."""

    people: Annotated[list[RetentionPerson], says("Those of this page.")]
    next: Annotated[str | None, paging.following(_CURSOR)]


class RetentionQuery(msgspec.Struct, frozen=True):
    """Who is shown."""

    after: Annotated[Place, paging.after(_CURSOR), Read(lambda text: paging.unpack(text, Place))] = Place()
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT
    days: Annotated[
        int,
        says("Those who are erased within so many days from today.", 90),
        Meta(ge=0, le=_MOST_AHEAD_DAYS),
    ] = NEW_WARN_DAYS


class InteractionNoted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something came from somebody, elsewhere: a purchase, a call."""

    email: Annotated[str, says("The address.", "ana@exemple.fr")]
    at: Annotated[Annotated[datetime, Meta(tz=True)] | None, says("When; now where null.", "2026-01-31T09:05:00Z")] = (
        None
    )


class InteractionsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """If anything of it does not fit, nothing is noted."""

    interactions: Annotated[
        list[InteractionNoted],
        Meta(min_length=1, max_length=MAX_INTERACTIONS, description="Of whom something came."),
    ]


class InteractionsStored(msgspec.Struct, frozen=True):
    """Everything is noted."""

    stored: Annotated[int, says("How many were later than what was known.", 2)]


def routes(
    rules: RetentionRules, everybody: Everybody, interactions: Interactions, partitions: int, now_ms: Callable[[], int]
) -> list[api.Route]:
    handlers = _Routes(rules, everybody, interactions, partitions, now_ms)
    return [
        api.Route(
            "GET",
            "/v1/retention",
            handlers.show,
            "After how many years without an interaction addresses are erased",
            scope="read",
            name="get_retention",
            tag="people",
            answers={200: RetentionShown},
        ),
        api.Route(
            "PUT",
            "/v1/retention",
            handlers.put,
            "Sets after how many years without an interaction addresses are erased; nobody is before they were warned "
            "about",
            scope="admin",
            body=RetentionRequest,
            examples={"application/json": {"years": 3, "warn_days": 30}},
            name="put_retention",
            tag="people",
            answers={200: RetentionShown},
        ),
        api.Route(
            "DELETE",
            "/v1/retention",
            handlers.delete,
            "Back to the rule of the installation",
            scope="admin",
            name="delete_retention",
            tag="people",
            answers={204: None},
        ),
        api.Route(
            "GET",
            "/v1/retention/people",
            handlers.people,
            "Who will be erased by that rule, and when: also by one with `dry_run`",
            scope="read",
            name="list_retention_people",
            tag="people",
            answers={200: RetentionPage},
            query=RetentionQuery,
        ),
        api.Route(
            "POST",
            "/v1/interactions",
            handlers.note,
            "Notes that something came from these addresses, so that they are kept, up to 10,000 at once",
            scope="suppress",
            body=InteractionsRequest,
            examples={"application/json": {"interactions": [{"email": "ana@exemple.fr"}]}},
            name="put_interactions",
            tag="people",
            answers={200: InteractionsStored},
        ),
    ]


class _Routes:
    def __init__(
        self,
        rules: RetentionRules,
        everybody: Everybody,
        interactions: Interactions,
        partitions: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._rules = rules
        self._everybody = everybody
        self._interactions = interactions
        self._partitions = partitions
        self._now_ms = now_ms

    async def show(self, request: web.Request) -> web.StreamResponse:
        own = await self._rules.own(request[api.PRINCIPAL].tenant)
        return api.json_answer(_shown(own or self._rules.default, own=own is not None))

    async def put(self, request: web.Request) -> web.StreamResponse:
        tenant = request[api.PRINCIPAL].tenant
        wanted = await api.read_json(request, RetentionRequest)
        rule = Rule(wanted.years, wanted.warn_days, wanted.dry_run)
        await self._rules.put(tenant, rule)
        _log.info("retention_set", tenant=tenant, years=rule.years, warn_days=rule.warn_days, dry_run=rule.dry_run)
        return api.json_answer(_shown(rule, own=True))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        tenant = request[api.PRINCIPAL].tenant
        if await self._rules.delete(tenant):
            _log.info("retention_unset", tenant=tenant)
        return web.Response(status=204)

    async def people(self, request: web.Request) -> web.StreamResponse:
        tenant, query = request[api.PRINCIPAL].tenant, api.query_of(request, RetentionQuery)
        rule, today = await self._rules.of(tenant), day_of(self._now_ms())
        if not 0 <= query.after.place.partition <= self._partitions:
            raise paging.refused(paging.InvalidCursor())
        found: list[RetentionPerson] = []
        place: Place | None = query.after if rule.years else None
        for _ in range(_LOOKS):
            if place is None or len(found) >= query.limit:
                break
            some, place = await self._everybody.page(tenant, place, query.limit - len(found))
            found += [
                msgspec.convert(retaining.shown(one, rule, today), RetentionPerson)
                for one in some
                if near(rule, one.last_day, one.warned_day, today).erase_day <= today + query.days
            ]
        return api.json_answer(RetentionPage(people=found, next=None if place is None else paging.pack(place)))

    async def note(self, request: web.Request) -> web.StreamResponse:
        tenant, now_ms = request[api.PRINCIPAL].tenant, self._now_ms()
        wanted = (await api.read_json(request, InteractionsRequest)).interactions
        noted: list[Noted] = []
        faults: list[Fault] = []
        for index, one in enumerate(wanted):
            at_ms = now_ms if one.at is None else int(one.at.timestamp() * 1000)
            if not 0 < at_ms <= now_ms + AHEAD_MS:
                faults.append(Fault(f"$.interactions[{index}].at", "in the future" if at_ms > 0 else "before 1970"))
            try:
                noted.append(Noted(tenant, addresses.parse(one.email).key, day_of(at_ms)))
            except addresses.InvalidAddress as fault:
                faults.append(Fault(f"$.interactions[{index}].email", f"not an address: {fault}"))
        if faults:
            raise Problem("invalid_body", "the body does not fit, and nothing was noted", faults[:100])
        return api.json_answer(InteractionsStored(await self._interactions.note(noted)))


def _shown(rule: Rule, *, own: bool) -> RetentionShown:
    return RetentionShown(own=own, years=rule.years, warn_days=rule.warn_days, dry_run=rule.dry_run)
