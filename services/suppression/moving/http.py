"""The routes by which a whole list comes in and goes out, and by which an import is followed."""

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from services.suppression.moving import formats, forms
from services.suppression.moving.exporting import DELIMITERS, Delimiter, Pages, pieces
from services.suppression.moving.forms import Asked
from services.suppression.moving.importing import NotAList
from services.suppression.moving.imports import Progress, State
from services.suppression.moving.running import Run, Runs, Source
from shared.http import api
from shared.http.query import Read
from shared.process import logs
from shared.process.lifecycle import cancelled
from shared.redis.redis import RedisAway
from shared.tabular.encodings import UnknownCharset
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.times import rfc3339

#: What is read of a body at a time: about 2 ms of lines.
READ_BYTES = 16_384
#: Imports of one process at once; each has some 30 MB in hand.
MOST_AT_ONCE = 4
#: An import that is applied in that time is answered with its end, any other goes on behind the answer. Proxies give up
#: on an answer after 60 s or more.
WAIT_S = 20.0
#: Of the faults of a file that is none.
_MAX_FAULTS = 100
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CSV = "Email;Opt-In Email\nana@exemple.fr;Non\nbo@exemple.fr;Oui\n"
_JSON = {"Suppressions": [{"EmailAddress": "ana@exemple.fr", "SuppressionReason": "HardBounce", "Origin": "Recipient"}]}

_log = logs.get_logger()


def _import_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError("expected 1 to 64 letters, digits, `.`, `_` and `-`, the first a letter or a digit")
    return text


def _mapping(text: str) -> dict[str, str]:
    try:
        found = msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise ValueError('expected JSON such as {"email": "Mél", "optin": "Newsletter"}') from None
    forms.asked_of("", found, "")
    return found


Format = Literal[formats.Name, "estafette"]
Meant = Literal["unsubscribed", "complaint", "hard_bounce", "manual"]


class ImportQuery(msgspec.Struct, frozen=True):
    """What the file is, where its heading does not say it, and what is to become of it."""

    id: Annotated[
        str,
        says("What the import is called, so that it can be followed while it runs; else an id is made.", "move-1"),
        Read(_import_id),
    ] = ""
    dry_run: Annotated[bool, says("Says what would become of each line, and changes nothing.", True)] = False
    format: Annotated[Format | None, says("Whose file it is; without it the heading says so.", "sendgrid-bounces")] = (
        None
    )
    mapping: Annotated[
        dict[str, str],
        says(
            "JSON: what the columns `email`, `optin` and `status` are called in this file.",
            '{"email": "Mél", "optin": "Newsletter"}',
        ),
        Read(_mapping),
    ] = {}
    reason: Annotated[Meant | None, says("What all lines of a list of mere addresses mean.", "unsubscribed")] = None
    charset: Annotated[
        str, says("The encoding of the file, where Content-Type does not say it.", "windows-1252", max_length=40)
    ] = ""
    delimiter: Annotated[
        Delimiter | None, says("What stands between the cells; without it the heading shows it.", "semicolon")
    ] = None


class Dumped(msgspec.Struct, frozen=True):
    """What another engine answers as JSON: one of these lists, or an array by itself, as SendGrid has it. Each object
    in it is an address, and what is known of it, under the names that the engine gives."""

    Suppressions: Annotated[list[dict[str, Any]], says("Postmark's.", _JSON["Suppressions"])] = []
    items: Annotated[list[dict[str, Any]], says("Mailgun's.", [{"address": "ana@exemple.fr", "tags": ["*"]}])] = []
    SuppressedDestinationSummaries: Annotated[
        list[dict[str, Any]], says("Those of SES.", [{"EmailAddress": "ana@exemple.fr", "Reason": "BOUNCE"}])
    ] = []


class ImportCounts(msgspec.Struct, frozen=True):
    """What became of the lines; each line that is not empty is in one of them once the import is done."""

    listed: Annotated[int, says("Addresses that are on the list now as the line says, and were not so before.", 98_000)]
    unchanged: Annotated[int, says("Lines that changed nothing.", 1_200)]
    reactivated: Annotated[int, says("Addresses from which something that stopped mail was taken off.", 3)]
    counted: Annotated[int, says("Soft bounces that were counted.", 500)]
    kept: Annotated[int, says("Addresses that stay stopped against the line: they complained, say.", 1)]
    replaced: Annotated[int, says("Lines that a later one about the same address replaced.", 290)]
    refused: Annotated[int, says("Lines that cannot be read.", 6)]


class ImportShown(msgspec.Struct, frozen=True, kw_only=True):
    """An import. `format` is what the file was found to be, `list` of no other engine's."""

    id: Annotated[str, says("Its id.", "move-1")]
    state: Annotated[
        State,
        says(
            "`reading`: the file comes in, nothing is changed yet. `applying`: the list is being changed. `done`. "
            "`refused`: the file is none, nothing was changed. `interrupted`: what was applied stays; send it again.",
            "done",
        ),
    ]
    dry_run: Annotated[bool, says("Whether nothing is changed.", False)]
    format: Annotated[str, says("What the file was found to be.", "mailchimp-unsubscribed")]
    charset: Annotated[str, says("The encoding in which it was read.", "utf-8")]
    started: Annotated[str, says("When it began.", "2026-01-31T09:05:00.123Z")]
    updated: Annotated[str, says("When this was so.", "2026-01-31T09:05:04.560Z")]
    lines: Annotated[int, says("Lines that are not empty, as far as they were read; the heading is none.", 100_000)]
    results: Annotated[ImportCounts, says("What became of them.")]
    report_lines: Annotated[int, says("Lines that belong into the report, which has up to 50,000.", 300)]
    warnings: Annotated[list[Fault], says("What somebody should look at.")]
    detail: Annotated[str, says("Why it was refused or interrupted.", "")]


class ImportList(msgspec.Struct, frozen=True):
    """The last twenty of the tenant, of the last seven days."""

    imports: Annotated[list[ImportShown], says("The latest first.")]


class ExportQuery(msgspec.Struct, frozen=True):
    """How the file is written."""

    delimiter: Annotated[Delimiter | None, says("What stands between the cells; a comma where null.", "semicolon")] = (
        None
    )
    bom: Annotated[bool, says("A mark before all, by which Excel knows UTF-8.", True)] = False


def routes(moving: "Moving") -> list[api.Route]:
    named = {"import": says("The id of the import.", "move-1")}
    return [
        api.Route(
            "POST",
            "/v1/suppressions/import",
            moving.import_,
            "Applies a file of addresses to the suppression list: who left, bounced or is back, or what others "
            "wrote down; nothing is changed before all of it was read",
            scope="suppress",
            body=Dumped,
            body_media=("text/csv", "text/tab-separated-values", "application/x-ndjson"),
            examples={
                "text/csv": _CSV,
                "text/tab-separated-values": _CSV.replace(";", "\t"),
                "application/json": _JSON,
                "application/x-ndjson": '{"emailAddress": "ana@exemple.fr", "reason": "BOUNCE"}\n',
            },
            name="import_suppressions",
            tag="suppressions",
            answers={200: ImportShown, 202: ImportShown},
            problems=["invalid_import", "import_known", "imports_busy"],
            query=ImportQuery,
        ),
        api.Route(
            "GET",
            "/v1/suppressions/export",
            moving.export,
            "The whole suppression list as CSV, which the import reads back unchanged",
            scope="read",
            name="export_suppressions",
            tag="suppressions",
            answers={200: "text/csv"},
            query=ExportQuery,
        ),
        api.Route(
            "GET",
            "/v1/imports",
            moving.last,
            "The last imports of the suppression list",
            scope="read",
            name="list_imports",
            tag="suppressions",
            answers={200: ImportList},
        ),
        api.Route(
            "GET",
            "/v1/imports/{import}",
            moving.show,
            "How far an import is, and what became of its lines",
            scope="read",
            name="get_import",
            tag="suppressions",
            answers={200: ImportShown},
            problems=["unknown_import"],
            in_path=named,
        ),
        api.Route(
            "GET",
            "/v1/imports/{import}/report",
            moving.report,
            "The lines of an import that were refused, replaced, reactivated or kept, as CSV",
            scope="read",
            name="get_import_report",
            tag="suppressions",
            answers={200: "text/csv"},
            problems=["unknown_import"],
            in_path=named,
        ),
    ]


class Moving:
    """`new_id` gives a text that is nobody else's. `close` it when nobody asks any more."""

    def __init__(self, runs: Runs, pages: Pages, new_id: Callable[[], str], *, wait_s: float = WAIT_S) -> None:
        self._runs = runs
        self._imports = runs.imports
        self._pages = pages
        self._new_id = new_id
        self._wait_s = wait_s
        self._running = 0
        self._applying: set[asyncio.Task[Progress]] = set()

    async def close(self) -> None:
        """What is being applied ends here; what was applied stays."""
        await cancelled(tuple(self._applying))

    # POST /v1/suppressions/import

    async def import_(self, request: web.Request) -> web.StreamResponse:
        query, tenant = api.query_of(request, ImportQuery), request[api.PRINCIPAL].tenant
        source = _source(request, query)
        if self._running >= MOST_AT_ONCE:
            raise Problem("imports_busy", "other imports are under way; try again", headers={"Retry-After": "10"})
        name = query.id or self._new_id()
        asked = Asked(query.format or "", query.mapping, query.reason or "")
        try:
            run = self._runs.new(tenant, name, asked, source, dry_run=query.dry_run)
        except UnknownCharset as fault:
            raise Problem("unsupported_media_type", str(fault)) from fault
        self._running += 1
        task: asyncio.Task[Progress] | None = None
        try:
            if not await run.begin():
                raise Problem("import_known", f"there is an import {name!r} already: GET /v1/imports/{name}")
            await self._read(request, run)
            task = asyncio.create_task(run.apply())
            self._applying.add(task)
            task.add_done_callback(self._ended)
        finally:
            if task is None:
                run.import_.close()
                self._running -= 1
        await asyncio.wait({task}, timeout=self._wait_s)
        if not task.done():
            return api.json_answer(_shown(run.progress), 202)
        return api.json_answer(_shown(task.result()))

    async def _read(self, request: web.Request, run: Run) -> None:
        """Problem 422 if it is no list."""
        try:
            async for piece in request.content.iter_chunked(READ_BYTES):
                api.received(request, piece)
                await run.read(piece)
            await run.read(b"", last=True)
        except NotAList as fault:
            shown = fault.faults[:_MAX_FAULTS]
            raise Problem("invalid_import", f"nothing was changed: {fault}", shown) from fault
        except BaseException:
            await asyncio.shield(run.end("interrupted", "the upload broke off; nothing was changed"))
            raise

    def _ended(self, task: asyncio.Task[Progress]) -> None:
        self._running -= 1
        self._applying.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("import_failed", error=repr(error))

    # GET /v1/imports

    async def last(self, request: web.Request) -> web.StreamResponse:
        found = await self._imports.last(request[api.PRINCIPAL].tenant)
        return api.json_answer(ImportList([_shown(one) for one in found]))

    async def show(self, request: web.Request) -> web.StreamResponse:
        return api.json_answer(_shown(await self._known(request)))

    async def report(self, request: web.Request) -> web.StreamResponse:
        progress = await self._known(request)
        found = await self._imports.report(request[api.PRINCIPAL].tenant, progress.id)
        response = _csv(f"import-{progress.id}.csv")
        await response.prepare(request)
        for piece in found if request.method != "HEAD" else ():
            await response.write(piece)
        await response.write_eof()
        return response

    async def _known(self, request: web.Request) -> Progress:
        name = request.match_info["import"]
        found = await self._imports.get(request[api.PRINCIPAL].tenant, name) if _ID.fullmatch(name) else None
        if found is None:
            raise Problem("unknown_import", "there is no import of that id, or not any more")
        return found

    # GET /v1/suppressions/export

    async def export(self, request: web.Request) -> web.StreamResponse:
        query, tenant = api.query_of(request, ExportQuery), request[api.PRINCIPAL].tenant
        found = pieces(self._pages, tenant, DELIMITERS[query.delimiter or "comma"], self._runs.now_ms(), bom=query.bom)
        first = await anext(found)  # a storage that is away is said while an answer can say it
        response = _csv("suppressions.csv")
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        try:
            await response.write(first)
            async for piece in found:
                await response.write(piece)
        except RedisAway:
            # The answer has begun: who reads it has to see that it has no end.
            _log.warning("export_broke_off", tenant=tenant)
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write_eof()
        return response


def _source(request: web.Request, query: ImportQuery) -> Source:
    """Problem 415."""
    named = query.charset or request.charset or ""
    match request.content_type:
        case "text/csv" | "text/plain":
            return Source(False, named, DELIMITERS[query.delimiter] if query.delimiter else "")
        case "text/tab-separated-values":
            return Source(False, named, "\t")
        case "application/json" | "application/x-ndjson" | "application/ndjson":
            return Source(True)
        case other:
            raise Problem("unsupported_media_type", f"expected text/csv or application/json, got {other[:100]}")


def _csv(name: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
    response.content_type, response.charset = "text/csv", "utf-8"
    return response


def _shown(progress: Progress) -> ImportShown:
    return ImportShown(
        id=progress.id,
        state=progress.state,
        dry_run=progress.dry_run,
        format=progress.format,
        charset=progress.encoding,
        started=rfc3339(progress.started_ms),
        updated=rfc3339(progress.updated_ms),
        lines=progress.lines,
        results=ImportCounts(**progress.counts),
        report_lines=progress.told,
        warnings=progress.warnings,
        detail=progress.detail,
    )
