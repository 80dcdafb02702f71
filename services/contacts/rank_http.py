"""The routes of the activity rank: what counts as activity, how many contacts have each note, and a run on demand."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from aiohttp import web

from services.contacts.base import store
from services.contacts.base.database import Database
from services.contacts.base.store import Tenant
from services.contacts.http import here
from services.contacts.rank.asked import Asked
from services.contacts.rank.run import Rank, Run
from shared.http import api
from shared.words.described import says
from shared.words.errors import Problem
from shared.words.times import rfc3339

_WHEN = "2026-01-31T09:05:00.123Z"


class ActivityRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run."""

    at: Annotated[str, says("When it was.", _WHEN)]
    settings: Annotated[Asked, says("What counted in it.")]
    active: Annotated[int, says("Contacts that it gave a note of 1 to 10.", 1_203)]


class ActivityBands(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts by band; each is in one."""

    not_addressable: Annotated[int, says("Whose e-mail address is hard, or who unsubscribed, whatever their note.", 7)]
    none: Annotated[int, says("Of note 0.", 8_000)]
    low: Annotated[int, says("Of notes 1 to 3.", 360)]
    medium: Annotated[int, says("Of notes 4 to 7.", 482)]
    high: Annotated[int, says("Of notes 8 to 10.", 361)]


class ActivityShown(msgspec.Struct, frozen=True, kw_only=True):
    """The rank of a tenant's contacts."""

    settings: Annotated[Asked, says("What counts from the next run on.")]
    last_run: Annotated[ActivityRun | None, says("The last run; null: there was none.")]
    next_run: Annotated[str, says("When the next one is due.", _WHEN)]
    notes: Annotated[list[int], says("How many contacts have each note, from 0 to 10.", [8_007, *[120] * 10])]
    bands: Annotated[ActivityBands, says("How many are in each band.")]


def routes(database: Database | None, now_ms: Callable[[], int]) -> list[api.Route]:
    """None: this installation has no contacts."""
    handlers = _Routes(database, now_ms)
    return [
        api.Route(
            "GET",
            "/v1/activity",
            handlers.show,
            "How active contacts are, from 0 to 10; what counts, and when that was found out last",
            scope="read",
            name="get_activity",
            tag="contacts",
            answers={200: ActivityShown},
            problems=("contacts_disabled",),
        ),
        api.Route(
            "PUT",
            "/v1/activity",
            handlers.set,
            "Say what counts as activity, from the next run on",
            scope="admin",
            body=Asked,
            name="set_activity",
            tag="contacts",
            answers={200: ActivityShown},
            problems=("invalid_activity", "contacts_disabled"),
        ),
        api.Route(
            "POST",
            "/v1/activity/run",
            handlers.run,
            "Give every contact its note anew, now",
            scope="admin",
            name="run_activity",
            tag="contacts",
            answers={200: ActivityShown},
            problems=("contacts_disabled",),
        ),
    ]


class _Routes:
    def __init__(self, database: Database | None, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._rank = None if database is None else Rank(database)
        self._now_ms = now_ms

    async def show(self, request: web.Request) -> web.StreamResponse:
        return api.json_answer(await self._shown(await self._tenant(request)))

    async def set(self, request: web.Request) -> web.StreamResponse:
        rank = here(self._rank)
        asked = await api.read_json(request, Asked)
        tenant = await self._tenant(request)
        if faults := await rank.set(tenant.number, asked):
            raise Problem("invalid_activity", "nothing was set", faults)
        return api.json_answer(await self._shown(tenant))

    async def run(self, request: web.Request) -> web.StreamResponse:
        rank, tenant = here(self._rank), await self._tenant(request)
        await rank.run(tenant.number, self._now_ms())
        return api.json_answer(await self._shown(tenant))

    async def _tenant(self, request: web.Request) -> Tenant:
        async with here(self._database).transaction() as sql:
            return await store.tenant(sql, request[api.PRINCIPAL].tenant)

    async def _shown(self, tenant: Tenant) -> ActivityShown:
        rank = here(self._rank)
        standing, histogram = await rank.standing(tenant.number), await rank.histogram(tenant.number)
        return ActivityShown(
            settings=standing.asked,
            last_run=None if standing.last is None else _run(standing.last),
            next_run=rfc3339(standing.due_ms),
            notes=list(histogram.notes.values()),
            bands=ActivityBands(**{str(band): count for band, count in histogram.bands.items()}),
        )


def _run(run: Run) -> ActivityRun:
    return ActivityRun(at=rfc3339(run.at_ms), settings=run.asked, active=sum(run.contacts))
