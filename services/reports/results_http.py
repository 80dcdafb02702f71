"""The routes of result sets: the messages of a job in one state, and the recipients of any expression, streamed."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
import structlog
from aiohttp import web
from prometheus_client import Counter

from services.reports import results
from services.reports.results import Format
from shared.http import api
from shared.http.query import Read
from shared.redis.redis import RedisAway
from shared.redis.result_sets import Member, ResultSets
from shared.words import ids, result_sets
from shared.words.described import says
from shared.words.errors import NOT_JSON, Fault, Problem
from shared.words.joined import TooMany
from shared.words.result_sets import Expression, Set

ROWS = Counter("estafette_reports_result_rows_total", "Rows of result sets that were sent", ["route"])
BROKEN = Counter("estafette_reports_result_sets_broken_total", "Result sets that broke off, since Redis went away")
#: Expressions over several jobs that a process joins at once: each may take 90 MB.
MOST_JOINED_AT_ONCE = 2
_KEY_BYTES = 16
_log = structlog.get_logger("reports")


def _state(text: str) -> str:
    if text not in result_sets.KINDS:
        raise ValueError(f"not one of {', '.join(result_sets.STATES)}")
    return text


def _reason(text: str) -> str:
    if text not in result_sets.REASONS:
        raise ValueError(f"not one of {', '.join(result_sets.REASONS)}")
    return text


_FORMAT = says("`ndjson`: a line of JSON each; `csv`: with a heading, in cells that are safe in a spreadsheet.", "csv")


class MessagesQuery(msgspec.Struct, frozen=True):
    """Which messages of the job are listed."""

    state: Annotated[
        str,
        says(f"Which set. {result_sets.ALL_STATES}", "not_opened"),
        Read(_state, {"enum": list(result_sets.STATES)}),
    ] = "selected"
    link: Annotated[
        int | None,
        says("Of `clicked` and `not_clicked`: the link at this position.", 2),
        msgspec.Meta(ge=0, le=result_sets.MAX_POSITION),
    ] = None
    url: Annotated[
        str | None,
        says("Of `clicked` and `not_clicked`: any link that leads there.", "https://exemple.fr/soldes"),
        msgspec.Meta(max_length=result_sets.MAX_URL_CHARS),
    ] = None
    reason: Annotated[
        str | None,
        says("Of `excluded`, `suppressed` and `rejected`: left out for this reason alone.", "unsubscribed"),
        Read(_reason, {"enum": list(result_sets.REASONS)}),
    ] = None
    behind: Annotated[
        int | None,
        says("Behind the message of this number (the part of its id after the dot).", 41_999),
        msgspec.Meta(ge=0, le=100_000_000),
    ] = None
    format: Annotated[Literal["ndjson", "csv"], _FORMAT] = "ndjson"


class ResultsQuery(msgspec.Struct, frozen=True):
    """How the recipients are listed."""

    format: Annotated[Literal["ndjson", "csv"], _FORMAT] = "ndjson"


def routes(sets: ResultSets, chance: Callable[[int], bytes]) -> list[api.Route]:
    """`chance` gives so many bytes."""
    handlers = _Routes(sets, chance)
    return [
        api.Route(
            "GET",
            "/v1/jobs/{job}/messages",
            handlers.messages,
            "The messages of a job in one state, in the order of its recipients, streamed",
            scope="read",
            name="list_messages_of_job",
            tag="results",
            answers={200: ("application/x-ndjson", "text/csv")},
            query=MessagesQuery,
            problems=["unknown_job"],
        ),
        api.Route(
            "POST",
            "/v1/results",
            handlers.results,
            "Who is in a set of recipients, over any of the tenant's jobs: each address once, streamed",
            scope="read",
            body=result_sets.ResultSet,
            name="list_results",
            sandbox=True,
            tag="results",
            answers={200: ("application/x-ndjson", "text/csv")},
            query=ResultsQuery,
            problems=["invalid_result_set", "result_set_too_large", "results_busy"],
            examples={"application/json": result_sets.EXAMPLE},
        ),
    ]


class _Routes:
    def __init__(self, sets: ResultSets, chance: Callable[[int], bytes]) -> None:
        self._sets = sets
        self._chance = chance
        self._joining = 0

    # GET /v1/jobs/{job}/messages

    async def messages(self, request: web.Request) -> web.StreamResponse:
        query, job = api.query_of(request, MessagesQuery), request.match_info["job"]
        if not ids.is_job_id(job):
            raise api.unknown_job()
        faults, link, url, reason = result_sets.narrowed(query.state, query.link, query.url, query.reason)
        if faults:
            raise Problem("invalid_query", "the query does not fit", [Fault(f"?{name}", what) for name, what in faults])
        one = Set(job, query.state, link, url, reason)
        named, missing = await self._sets.named(request[api.PRINCIPAL].tenant, Expression(one, {one: "?"}))
        if not named:
            raise api.unknown_job()
        if missing:
            shown = [Fault(fault.at.replace("?.", "?"), fault.what) for fault in missing]
            raise Problem("invalid_query", "the query does not fit", shown)
        after = -1 if query.behind is None else query.behind
        found = self._sets.messages(named[0], one, after)
        return await _streamed(request, found, query.format, f"{job}-{query.state}", "messages")

    # POST /v1/results

    async def results(self, request: web.Request) -> web.StreamResponse:
        query, tenant = api.query_of(request, ResultsQuery), request[api.PRINCIPAL].tenant
        expression = _read(await api.read_json_bytes(request))
        named, missing = await self._sets.named(tenant, expression)
        if missing:
            raise _refused(missing)
        joins = len(named) > 1
        if joins and self._joining >= MOST_JOINED_AT_ONCE:
            raise Problem("results_busy", "other sets are being joined; try again", headers={"Retry-After": "5"})
        self._joining += joins
        try:
            found = self._sets.recipients(named, expression.node, self._chance(_KEY_BYTES))
            return await _streamed(request, found, query.format, "results", "results")
        except TooMany as fault:
            raise Problem("result_set_too_large", str(fault)) from fault
        finally:
            self._joining -= joins


def _read(body: bytes) -> Expression:
    if len(body) > result_sets.MAX_BYTES:
        raise _refused([Fault("$", f"{len(body)} bytes; at most {result_sets.MAX_BYTES}")])
    try:
        given: Any = msgspec.json.decode(body)
    except NOT_JSON as fault:
        raise Problem("malformed_json", f"the body is not JSON: {fault}") from fault
    expression, faults = result_sets.read(given)
    if expression is None:
        raise _refused(faults)
    return expression


def _refused(faults: Sequence[Fault]) -> Problem:
    number = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
    return Problem("invalid_result_set", f"the set has {number}", faults)


async def _streamed(
    request: web.Request, found: AsyncIterator[list[Member]], format: Format, name: str, route: str
) -> web.StreamResponse:
    """Nothing of it is sent before its first members are there: what goes wrong until then has an answer of its own."""
    head, written = results.WRITTEN[format]
    nobody: list[Member] = []
    first = await anext(found, nobody)
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}.{format}"'})
    response.content_type, response.charset = results.MEDIA[format], "utf-8"
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    rows = ROWS.labels(route)
    try:
        await response.write(head + written(first))
        rows.inc(len(first))
        async for some in found:
            await response.write(written(some))
            rows.inc(len(some))
    except RedisAway:
        # The answer has begun: who reads it has to see that it has no end.
        BROKEN.inc()
        _log.warning("result_set_broke_off", tenant=request[api.PRINCIPAL].tenant)
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response
