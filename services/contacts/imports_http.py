"""The routes of imports: a file comes in, is followed while it is read and written, and reports what became of it."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from services.contacts.base import store
from services.contacts.base.database import Database, DatabaseAway
from services.contacts.base.store import Tenant
from services.contacts.http import here
from services.contacts.imports.columns import Fields, of_tenant
from services.contacts.imports.preview import MAX_BYTES as MAX_PREVIEW_BYTES
from services.contacts.imports.preview import preview
from services.contacts.imports.reading import Asked
from services.contacts.imports.store import PIECE_BYTES, Imports, Progress, State
from services.contacts.imports.writing import Told
from shared.http import api, paging
from shared.http.query import Read
from shared.tabular import cells
from shared.tabular.encodings import UnknownCharset, charset
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.times import rfc3339

Delimiter = Literal["comma", "semicolon", "tab"]
Mode = Literal["update", "new_only"]
_DELIMITERS: dict[Delimiter | None, str] = {None: "", "comma": ",", "semicolon": ";", "tab": "\t"}
#: What is read of a body at a time.
_READ_BYTES = 65_536
#: Lines of a report that are read at once.
_REPORT_LINES = 2000
_HEADING = ("line", "key", "result", "detail")
_MAX_NAME_CHARS = 200
_CURSOR = "Kg"
_CSV = "Adresse Email;Prénom;Opt-In Email\nana@exemple.fr;Ana;Oui\nbo@exemple.fr;;Non\n"
_IN_PATH = {"import": says("The number of the import.", "12")}


def _mapping(text: str) -> dict[str, str | None]:
    try:
        return msgspec.json.decode(text, type=dict[str, str | None])
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise ValueError('expected JSON such as {"Mél": "email", "Remarque": null}') from None


def _number(text: str) -> int:
    return paging.unpack(text, int)


class ContactPreviewQuery(msgspec.Struct, frozen=True):
    """How the file is read."""

    mapping: Annotated[
        dict[str, str | None] | None,
        says(
            "JSON: by heading the name of a field, `opt_in_email`, `status_email`, or null for nothing; columns that "
            "are not in it are not read. Without it headings in French and English are understood.",
            '{"Mél": "email", "Prénom usuel": "first_name"}',
        ),
        Read(_mapping),
    ] = None
    charset: Annotated[
        str, says("The encoding of the file, where Content-Type does not say it.", "windows-1252", max_length=40)
    ] = ""
    delimiter: Annotated[
        Delimiter | None, says("What stands between the cells; without it the heading shows it.", "semicolon")
    ] = None


class ContactImportQuery(ContactPreviewQuery, frozen=True):
    """How the file is read, and what is done with who exists."""

    name: Annotated[str, says("What people call it.", "Salon 2026", max_length=_MAX_NAME_CHARS)] = ""
    dry_run: Annotated[bool, says("Reports what would become of each line, and changes nothing.", True)] = False
    mode: Annotated[
        Mode,
        says(
            "`update`: a contact that exists gets the values of the mapped fields; an empty cell empties its field. "
            "`new_only`: who exists is left as they are.",
            "new_only",
        ),
    ] = "update"


class ContactImportCounts(msgspec.Struct, frozen=True):
    """What became of the lines; each that is not empty is in one of the first five once the import is done."""

    added: Annotated[int, says("Contacts that are new.", 9_000)]
    updated: Annotated[int, says("Contacts of which at least one value changed.", 800)]
    unchanged: Annotated[int, says("Contacts that are as they were.", 190)]
    replaced: Annotated[int, says("Lines that a later one about the same contact replaced.", 4)]
    refused: Annotated[int, says("Lines that cannot be read.", 6)]
    reactivated: Annotated[
        int,
        says(
            "Who had left, or whose address was given up, and is mailed again, in the base or on the suppression list: "
            "that is looked at a moment after the import is done.",
            1,
        ),
    ]


class ContactImport(msgspec.Struct, frozen=True, kw_only=True):
    """An import."""

    id: Annotated[int, says("Its number.", 12)]
    name: Annotated[str, says("What people call it.", "Salon 2026")]
    state: Annotated[
        State,
        says(
            "`receiving`: the file comes in. `waiting`: others are before it. `reading`: its lines are looked at, "
            "nothing is changed yet. `applying`: contacts are written. `done`. `refused`: it is no file of contacts, "
            "nothing was changed. `interrupted`: `detail` says by what.",
            "done",
        ),
    ]
    dry_run: Annotated[bool, says("Whether nothing is changed.", False)]
    mode: Annotated[Mode, says("What is done with who exists.", "update")]
    charset: Annotated[str, says("The encoding in which it was read; empty before.", "utf-8")]
    bytes: Annotated[int, says("How much of the file has come.", 1_048_576)]
    lines: Annotated[int, says("Lines that are not empty, once they were read; the heading is none.", 10_000)]
    results: Annotated[ContactImportCounts, says("What became of them, as far as they were written.")]
    warnings: Annotated[list[Fault], says("What somebody should look at.")]
    detail: Annotated[str, says("Why it was refused or interrupted.", "")]
    created_at: Annotated[str, says("When it began.", "2026-01-31T09:05:00.123Z")]
    updated_at: Annotated[str, says("When something of it changed last.", "2026-01-31T09:05:04.560Z")]
    ended_at: Annotated[str | None, says("When it ended; null while it has not.", "2026-01-31T09:05:04.560Z")]


class PreviewedColumn(msgspec.Struct, frozen=True):
    """A column of a table."""

    heading: Annotated[str, says("Its heading.", "Prénom")]
    target: Annotated[
        str | None, says("Which field it would be, or `opt_in_email`, `status_email`; null: it is not read.", "town")
    ]


class PreviewedLine(msgspec.Struct, frozen=True):
    """A line of a table."""

    line: Annotated[int, says("Its number in the file, from 1.", 2)]
    cells: Annotated[list[str], says("Its cells, as they stand; none if it is no row.", ["ana@exemple.fr", "Ana"])]
    fault: Annotated[str, says("Why it would be refused; empty if it would not.", "")]


class ContactImportPreview(msgspec.Struct, frozen=True, kw_only=True):
    """How a table would be read."""

    charset: Annotated[str, says("The encoding in which it was read.", "utf-8")]
    delimiter: Annotated[str, says("What stands between the cells.", ";")]
    columns: Annotated[list[PreviewedColumn], says("The columns, in their order.")]
    targets: Annotated[list[str], says("What a column may be.", ["email", "town", "opt_in_email"])]
    lines: Annotated[list[PreviewedLine], says("The first lines, ten at most.")]
    problem: Annotated[str, says("Why nothing of the file could be imported so; empty if it could.", "")]


class ContactImports(msgspec.Struct, frozen=True, kw_only=True):
    """The imports of a tenant."""

    imports: Annotated[list[ContactImport], says("The latest first.")]
    next: Annotated[str | None, paging.following(_CURSOR)]


class ContactImportsQuery(msgspec.Struct, frozen=True):
    """Which page."""

    after: Annotated[int | None, paging.after(_CURSOR), Read(_number)] = None
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT


def routes(database: Database | None) -> list[api.Route]:
    """None: this installation has no contacts."""
    handlers = _Routes(database)
    of_one = ("invalid_path", "unknown_import", "contacts_disabled")
    return [
        api.Route(
            "POST",
            "/v1/contact-imports",
            handlers.upload,
            "Import a file of contacts: it is kept, then read and written behind the answer",
            scope="admin",
            body_media=("text/csv", "text/tab-separated-values", "application/x-ndjson"),
            examples={
                "text/csv": _CSV,
                "text/tab-separated-values": _CSV.replace(";", "\t"),
                "application/x-ndjson": '{"email": "ana@exemple.fr", "first_name": "Ana"}\n',
            },
            name="import_contacts",
            tag="contacts",
            answers={202: ContactImport},
            problems=("contacts_disabled",),
            query=ContactImportQuery,
        ),
        api.Route(
            "POST",
            "/v1/contact-imports/preview",
            handlers.preview,
            "How the first lines of a table of contacts would be read: the first 256 KiB of the body are looked at, "
            "and nothing is kept",
            scope="read",
            body_media=("text/csv", "text/tab-separated-values"),
            examples={"text/csv": _CSV, "text/tab-separated-values": _CSV.replace(";", "\t")},
            name="preview_contact_import",
            tag="contacts",
            answers={200: ContactImportPreview},
            problems=("contacts_disabled",),
            query=ContactPreviewQuery,
        ),
        api.Route(
            "GET",
            "/v1/contact-imports",
            handlers.list_all,
            "The imports of contacts, the latest first",
            scope="read",
            name="list_contact_imports",
            tag="contacts",
            answers={200: ContactImports},
            problems=("contacts_disabled",),
            query=ContactImportsQuery,
        ),
        api.Route(
            "GET",
            "/v1/contact-imports/{import}",
            handlers.show,
            "How far an import of contacts is, and what became of each line",
            scope="read",
            name="get_contact_import",
            tag="contacts",
            in_path=_IN_PATH,
            answers={200: ContactImport},
            problems=of_one,
        ),
        api.Route(
            "GET",
            "/v1/contact-imports/{import}/report",
            handlers.report,
            "The lines that were refused or replaced, and those by which somebody is mailed again, as CSV",
            scope="read",
            name="get_contact_import_report",
            tag="contacts",
            in_path=_IN_PATH,
            answers={200: "text/csv"},
            problems=of_one,
        ),
    ]


class _Routes:
    def __init__(self, database: Database | None) -> None:
        self._database = database
        self._imports = None if database is None else Imports(database)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        imports, query = here(self._imports), api.query_of(request, ContactImportQuery)
        tenant, asked = await self._asked(request, query)
        only_new = query.mode == "new_only"
        by = request[api.PRINCIPAL].tenant
        number = await imports.create(
            tenant.number, asked, name=query.name, dry_run=query.dry_run, only_new=only_new, by=by
        )
        try:
            count = 0
            async for piece in _pieces(request):
                await imports.receive(tenant.number, number, count, piece)
                count += 1
        except BaseException:
            with suppress(DatabaseAway):  # who looks after uploads that are silent says it then
                await imports.end(tenant.number, number, "interrupted", "the upload broke off; nothing was changed")
            raise
        await imports.is_there(tenant.number, number)
        return api.json_answer(await self._shown(tenant.number, number), 202)

    async def preview(self, request: web.Request) -> web.StreamResponse:
        here(self._database)
        _, asked = await self._asked(request, api.query_of(request, ContactPreviewQuery))
        if asked.is_json:
            raise Problem("unsupported_media_type", "expected text/csv or text/tab-separated-values")
        received = bytearray()
        async for piece in request.content.iter_chunked(_READ_BYTES):
            api.received(request, piece)
            received += piece
            if len(received) >= MAX_PREVIEW_BYTES:
                break
        first = bytes(received[:MAX_PREVIEW_BYTES])
        found = preview(asked, first, is_all=len(received) < MAX_PREVIEW_BYTES)
        return api.json_answer(
            ContactImportPreview(
                charset=found.encoding,
                delimiter=found.delimiter,
                columns=[PreviewedColumn(*one) for one in zip(found.headings, found.targets, strict=True)],
                targets=Fields(asked.fields, asked.key).names(),
                lines=[PreviewedLine(*one) for one in found.lines],
                problem=found.problem,
            )
        )

    async def _asked(self, request: web.Request, query: ContactPreviewQuery) -> tuple[Tenant, Asked]:
        """Problem 415."""
        named = query.charset or request.charset or ""
        try:
            charset(named)
        except UnknownCharset as fault:
            raise Problem("unsupported_media_type", str(fault)) from fault
        delimiter = _DELIMITERS[query.delimiter]
        match request.content_type:
            case "text/csv" | "text/plain":
                is_json = False
            case "text/tab-separated-values":
                is_json, delimiter = False, "\t"
            case "application/json" | "application/x-ndjson" | "application/ndjson":
                is_json = True
            case other:
                raise Problem("unsupported_media_type", f"expected text/csv or application/x-ndjson, got {other[:100]}")
        async with here(self._database).transaction() as sql:
            tenant = await store.tenant(sql, request[api.PRINCIPAL].tenant)
            fields = await store.fields(sql, tenant.number)
        return tenant, Asked(tenant.key_field, of_tenant(fields.values()), is_json, named, delimiter, query.mapping)

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        imports, query = here(self._imports), api.query_of(request, ContactImportsQuery)
        tenant = await self._tenant(request)
        found = [] if tenant is None else await imports.last(tenant.number, query.after, query.limit + 1)
        page, following = paging.cut(found, query.limit, lambda one: paging.pack(one.import_))
        return api.json_answer(ContactImports(imports=[_shown(one) for one in page], next=following))

    async def show(self, request: web.Request) -> web.StreamResponse:
        tenant, number = await self._named(request)
        return api.json_answer(await self._shown(tenant.number, number))

    async def report(self, request: web.Request) -> web.StreamResponse:
        tenant, number = await self._named(request)
        await self._shown(tenant.number, number)
        response = web.StreamResponse(
            headers={"Content-Disposition": f'attachment; filename="contact-import-{number}.csv"'}
        )
        response.content_type, response.charset = "text/csv", "utf-8"
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        await response.write(_row(_HEADING))
        after = 0
        while found := await here(self._imports).report(tenant.number, number, after, _REPORT_LINES):
            await response.write(b"".join(_told(one) for one in found))
            after = found[-1].line
        await response.write_eof()
        return response

    async def _tenant(self, request: web.Request) -> Tenant | None:
        async with here(self._database).connection() as sql:
            return await store.known_tenant(sql, request[api.PRINCIPAL].tenant)

    async def _named(self, request: web.Request) -> tuple[Tenant, int]:
        """Problem 404."""
        text = request.match_info["import"]
        tenant = await self._tenant(request)
        if tenant is None or not (text.isascii() and text.isdigit() and len(text) < 10):
            raise _unknown()
        return tenant, int(text)

    async def _shown(self, tenant: int, number: int) -> ContactImport:
        """Problem 404."""
        found = await here(self._imports).get(tenant, number)
        if found is None:
            raise _unknown()
        return _shown(found)


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    """The body in pieces as they are kept."""
    waiting = bytearray()
    async for piece in request.content.iter_chunked(_READ_BYTES):
        api.received(request, piece)
        waiting += piece
        if len(waiting) >= PIECE_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _unknown() -> Problem:
    return Problem("unknown_import", "there is no import of that number")


def _told(one: Told) -> bytes:
    return _row((str(one.line), one.key, one.result, one.what))


def _row(texts: tuple[str, ...]) -> bytes:
    return (",".join(cells.quoted(text, ",") for text in texts) + "\r\n").encode()


def _shown(found: Progress) -> ContactImport:
    def moment(at: Any) -> str:
        return rfc3339(round(at.timestamp() * 1000))

    return ContactImport(
        id=found.import_,
        name=found.name,
        state=found.state,
        dry_run=found.dry_run,
        mode="new_only" if found.only_new else "update",
        charset=found.encoding,
        bytes=found.bytes,
        lines=found.lines,
        results=ContactImportCounts(
            found.added, found.updated, found.unchanged, found.replaced, found.refused, found.reactivated
        ),
        warnings=found.warnings,
        detail=found.detail,
        created_at=moment(found.created_at),
        updated_at=moment(found.updated_at),
        ended_at=None if found.ended_at is None else moment(found.ended_at),
    )
