"""The operator's routes of dialogues: what is said in the next sessions with a site, asked for, read, and let be."""

import re
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from shared.http import api, paging
from shared.http.query import Read
from shared.redis.dialogues import LEAST_S, MOST_S, MOST_SESSIONS, Asked, DialogueList, Line
from shared.words.described import says
from shared.words.errors import Problem
from shared.words.times import rfc3339

_SITE = says("The name of the site; of a named provider its name.", "gmail")
_TRACE = says("The id of the trace.", "5f0c1d2e3a4b59687a8b")
_LINE = "1767225612345-0"
_PLACE = re.compile(r"[0-9]{1,15}-[0-9]{1,10}")


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many sessions, and how long they are waited for."""

    sessions: Annotated[
        int, msgspec.Meta(ge=1, le=MOST_SESSIONS, description="The next so many that begin.", examples=[3])
    ] = 3
    seconds: Annotated[
        int, msgspec.Meta(ge=LEAST_S, le=MOST_S, description="For how long it goes on at most.", examples=[300])
    ] = 300


class Trace(msgspec.Struct, frozen=True):
    """What relays tell from now on."""

    trace: Annotated[str, says("Its id.", "5f0c1d2e3a4b59687a8b")]
    site: Annotated[str, says("Of which site.", "gmail")]
    sessions: Annotated[int, says("How many sessions.", 3)]
    until: Annotated[str, says("When it ends by itself.", "2026-01-31T10:00:00.000Z")]


class Said(msgspec.Struct, frozen=True):
    """A line of a session. Secrets are masked, and of a mail there is its length alone."""

    session: Annotated[int, says("The number of the session, from 1.", 1)]
    time: Annotated[str, says("When it was said.", "2026-01-31T09:05:00.123Z")]
    kind: Annotated[
        Literal["sent", "received", "note", "end"],
        says("By us, by the host, or what happened; `end` is the last of its session.", "received"),
    ]
    text: Annotated[str, says("What was said.", "250 2.1.0 ok")]
    host: Annotated[str, says("The mail host.", "mx1.exemple.fr")]
    source: Annotated[str, says("The source of ours.", "a1")]
    relay: Annotated[str, says("The relay whose session it is.", "host1.4711.k3v9")]


class SaidPage(msgspec.Struct, frozen=True):
    """`next` is what `after` takes to go on: also where nothing more was said yet."""

    lines: Annotated[list[Said], says("The lines of this page.")]
    next: Annotated[str, says("What `after` takes to go on.", _LINE)]


class SaidQuery(msgspec.Struct, frozen=True):
    """Which lines are listed."""

    after: Annotated[str, paging.after(_LINE), Read(paging.matching(_PLACE))] = "0-0"
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT


def routes(dialogues: DialogueList) -> list[api.Route]:
    handlers = _Routes(dialogues)
    return [
        api.Route(
            "POST",
            "/v1/sites/{site}/trace",
            handlers.ask,
            "Follow the SMTP dialogues of the next sessions with a site",
            scope="operator",
            name="trace_site",
            tag="operator",
            body=Wanted,
            answers={201: Trace},
            in_path={"site": _SITE},
        ),
        api.Route(
            "GET",
            "/v1/traces/{trace}",
            handlers.read,
            "What was said in sessions that are followed, secrets masked",
            scope="operator",
            name="get_trace",
            tag="operator",
            answers={200: SaidPage},
            query=SaidQuery,
            problems=["unknown_trace"],
            in_path={"trace": _TRACE},
        ),
    ]


def said(line: Line) -> Said:
    """A line as it is shown."""
    return Said(line.session, rfc3339(line.at_ms), line.kind, line.text, line.host, line.source, line.relay)


def trace(site: str, asked: Asked) -> Trace:
    """A request as it is shown."""
    return Trace(asked.id, site, asked.sessions, rfc3339(asked.until_ms))


class _Routes:
    def __init__(self, dialogues: DialogueList) -> None:
        self._dialogues = dialogues

    async def ask(self, request: web.Request) -> web.StreamResponse:
        wanted = await api.read_json(request, Wanted)
        site = api.path_text(request, "site")
        asked = await self._dialogues.ask(site, wanted.sessions, wanted.seconds)
        return api.json_answer(trace(site, asked), 201)

    async def read(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, SaidQuery)
        name = api.path_text(request, "trace")
        if await self._dialogues.taken(name) is None:
            raise Problem("unknown_trace", f"there is no trace {name[:80]!r}")
        found = await self._dialogues.lines(name, query.after, query.limit)
        following = found[-1][0] if found else query.after
        return api.json_answer(SaidPage([said(line) for _, line in found], following))
