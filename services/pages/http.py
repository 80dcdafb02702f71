"""The routes of pages: what the browser says becomes an `Asked`, and an `Answer` what it gets.

The cookie has chance and nothing else. Its name begins with `__Host-` where the browser came by https: no other host of
the domain can set it then (RFC 6265bis section 4.1.3.2).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated
from urllib.parse import parse_qsl

import msgspec
from aiohttp import BodyPartReader, web

from services.pages import (
    activity,
    contacts,
    domains,
    imports,
    jobs,
    mails,
    messages,
    report_links,
    segments,
    statistics,
    stops,
    suppressions,
    webhooks,
)
from services.pages.api import Body, BrokeOff
from services.pages.asked import Answer, Asked, Upload
from services.pages.pages import Pages, View, answered
from shared.http import api
from shared.http.api import Route, whole_list
from shared.net.client_ip import client_ip
from shared.words.described import says
from shared.words.errors import Problem

COOKIE, HOST_COOKIE = "estafette-console", "__Host-estafette-console"
#: No form of ours is larger.
MAX_FORM_BYTES = 512 * 1024
#: Each column of a file that is imported is one, and there are 500.
MAX_FIELDS = 1_100
#: Of a file that is passed on at a time.
_PIECE_BYTES = 65_536
_URL_ENCODED, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
_HTML = {200: "text/html"}

Call = Callable[[Asked], Awaitable[Answer]]

#: What is there for who is signed in: method, path, the page that it belongs to, what it does, and in words.
CONSOLE: tuple[tuple[str, str, str, View, str], ...] = (
    ("GET", "/console/jobs", "jobs", jobs.jobs, "The page of a tenant's jobs"),
    ("GET", "/console/jobs/{job}", "jobs", jobs.job, "The page of a job's report"),
    (
        "GET",
        "/console/jobs/{job}/mail",
        "jobs",
        mails.mail,
        "The mail of a job with the clicks of each link, for a frame",
    ),
    ("GET", "/console/jobs/{job}/recipients.csv", "jobs", mails.recipients, "The addresses of a result set, as a file"),
    ("POST", "/console/jobs/{job}/pause", "jobs", stops.pause_job, "Pause a job from its page"),
    ("POST", "/console/jobs/{job}/resume", "jobs", stops.resume_job, "Resume a job from its page"),
    ("POST", "/console/jobs/{job}/report-links", "jobs", report_links.add, "Make a link to a report from its page"),
    ("POST", "/console/jobs/{job}/report-links/{link}/remove", "jobs", report_links.remove, "Take a link back"),
    ("GET", "/console/statistics", "statistics", statistics.statistics, "The page of a tenant's statistics"),
    ("GET", "/console/contacts", "contacts", contacts.contacts, "The page of a tenant's contacts"),
    ("GET", "/console/contacts/one", "contacts", contacts.contact, "The page of a contact"),
    ("POST", "/console/contacts/erase", "contacts", contacts.erase, "Erase a contact from its page"),
    ("GET", "/console/segments", "segments", segments.segments, "The page of a tenant's segments"),
    ("GET", "/console/segments/new", "segments", segments.new, "The page to build a segment on"),
    ("POST", "/console/segments/new", "segments", segments.build, "Build a segment, count it, save it"),
    ("GET", "/console/segments/{segment}", "segments", segments.segment, "The page of a segment"),
    ("POST", "/console/segments/{segment}", "segments", segments.build, "Change a segment from its page"),
    ("POST", "/console/segments/{segment}/archive", "segments", segments.archive, "Archive a segment from its page"),
    ("GET", "/console/imports", "imports", imports.imports, "The page of a tenant's imports"),
    ("POST", "/console/imports", "imports", imports.upload, "Look at a file of contacts, or import it"),
    ("GET", "/console/imports/{import}", "imports", imports.one, "The page of an import and its report"),
    ("GET", "/console/imports/{import}/report.csv", "imports", imports.report, "The report of an import, as a file"),
    ("GET", "/console/activity", "activity", activity.activity, "The page of the activity rank"),
    ("POST", "/console/activity", "activity", activity.change, "Say what counts as activity from its page"),
    ("POST", "/console/activity/run", "activity", activity.run, "Rank all contacts now from the page"),
    ("GET", "/console/messages/{message}", "recipients", messages.message, "The page of a message's timeline"),
    ("GET", "/console/recipients", "recipients", messages.recipients, "The page of what is known of an address"),
    ("GET", "/console/suppressions", "suppressions", suppressions.suppressions, "The page of the suppression list"),
    ("POST", "/console/suppressions", "suppressions", suppressions.add, "Add to the suppression list from its page"),
    ("POST", "/console/suppressions/remove", "suppressions", suppressions.remove, "Take off the suppression list"),
    ("GET", "/console/domains", "domains", domains.domains, "The page of the sending domains"),
    ("POST", "/console/domains/check", "domains", domains.check, "Have DNS asked about a domain from its page"),
    ("GET", "/console/webhooks", "webhooks", webhooks.webhooks, "The page of the endpoints of other systems"),
    ("GET", "/console/webhooks/{webhook}", "webhooks", webhooks.webhook, "The page of an endpoint and its log"),
    ("POST", "/console/webhooks/{webhook}/test", "webhooks", webhooks.test, "Send an endpoint an example"),
    ("POST", "/console/webhooks/{webhook}/replay", "webhooks", webhooks.replay, "Send an endpoint something again"),
    ("POST", "/console/webhooks/{webhook}/switch", "webhooks", webhooks.switch, "Switch an endpoint on or off"),
    ("GET", "/console/stops", "stops", stops.stops, "The page of what is stopped"),
    ("POST", "/console/stops", "stops", stops.resume, "Resume what is stopped from its page"),
)


class Key(msgspec.Struct, frozen=True):
    """The key of the request: whose it is, and what it may do."""

    id: Annotated[str, says("Its id, which stands in its text behind `est_`.", "k3v9x2m1qa")]
    tenant: Annotated[str, says("The name of the tenant whose it is.", "acme")]
    scopes: Annotated[list[str], says("What it may do.", ["read", "send"])]
    networks: Annotated[list[str], says("From where it may be used; empty: from everywhere.", ["192.0.2.0/24"])]
    domains: Annotated[
        list[str], says("The sending domains that it may write from; empty: all of the tenant's.", ["exemple.fr"])
    ]


def routes(pages: Pages, *, hours: int, forwarded_hops: int, is_https: bool) -> list[Route]:
    """`hours` a cookie is kept; `is_https`: everybody comes by https; else who a proxy says so of."""
    edge = _Edge(pages, hours, forwarded_hops, is_https)
    return [
        Route(
            "GET",
            "/v1/key",
            _key,
            "Whose the key of the request is, and what it may do",
            scope="read",
            name="get_key",
            tag="process",
            answers={200: Key},
        ),
        edge.page("GET", "/", "home", pages.home, "The first page"),
        edge.page("GET", "/assets/{name}", "style", pages.style, "The style of all pages"),
        edge.page("GET", "/docs", "docs", pages.document, "The page of the documents"),
        edge.page("GET", "/docs/{name}", "docs", pages.document, "The page of a document"),
        edge.page("GET", "/docs/{folder}/{name}", "docs", pages.document, "The page of a document in a folder"),
        edge.page("GET", "/r/{token}", "linked_report", pages.linked_report, "The page of a report, by a link to it"),
        edge.page("GET", "/console", "sign_in", pages.sign_in_page, "The page to sign in on"),
        edge.page("POST", "/console", "sign_in", pages.sign_in, "Sign in at the console"),
        edge.page("POST", "/console/sign-out", "sign_out", pages.sign_out, "Sign out of the console"),
        *(
            edge.page(method, path, name, partial(pages.console, name, view), summary)
            for method, path, name, view, summary in CONSOLE
        ),
    ]


async def _key(request: web.Request) -> web.StreamResponse:
    principal = request[api.PRINCIPAL]
    networks, domains = [str(network) for network in principal.networks], list(principal.domains)
    return api.json_answer(Key(principal.key, principal.tenant, sorted(principal.scopes), networks, domains))


class _Edge:
    def __init__(self, pages: Pages, hours: int, forwarded_hops: int, is_https: bool) -> None:
        self._pages = pages
        self._hours = hours
        self._hops = forwarded_hops
        self._is_https = is_https

    def page(self, method: str, path: str, name: str, call: Call, summary: str) -> Route:
        async def answer(request: web.Request) -> web.StreamResponse:
            asked = await self._asked(request)
            found = await answered(self._pages, name, call, asked)
            if found.stream is not None:
                return await _streamed(request, found, found.stream)
            return self._response(found, asked)

        return Route(method, path, answer, summary, any_query=True, trailing_slash=path != "/", is_page=True)

    async def _asked(self, request: web.Request) -> Asked:
        # A proxy's word is taken whoever says it: a browser that lies only makes its own cookie a secure one.
        is_https = self._is_https or request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"
        form, upload = await _form(request) if request.method == "POST" else ({}, None)
        return Asked(
            request.method,
            request.path,
            dict(request.match_info),
            dict(request.query),
            form,
            request.cookies.get(HOST_COOKIE if is_https else COOKIE, ""),
            is_https,
            # RFC 9110 has no word for it; browsers say it of every request (Fetch Metadata).
            request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none"),
            client_ip(request.remote or "", whole_list(request, "X-Forwarded-For"), self._hops),
            upload,
        )

    def _response(self, answer: Answer, asked: Asked) -> web.Response:
        response = web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        if answer.secret is not None:
            response.set_cookie(
                HOST_COOKIE if asked.is_https else COOKIE,
                answer.secret,
                max_age=self._hours * 3600 if answer.secret else 0,
                path="/",
                secure=asked.is_https,
                httponly=True,
                samesite="Strict",
            )
        return response


async def _streamed(request: web.Request, answer: Answer, body: Body) -> web.StreamResponse:
    """As it comes. Of what breaks off the browser sees that it has no end."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    try:
        await response.prepare(request)
        async for piece in body.pieces():
            await response.write(piece)
        await response.write_eof()
    except BrokeOff:
        if request.transport is not None:
            request.transport.abort()
    finally:
        body.close()
    return response


async def _form(request: web.Request) -> tuple[Mapping[str, str], Upload | None]:
    """The fields of a form, the last one of a name that comes twice, and its file, if it has one. Problem 413 or 415 of
    what is no form of ours."""
    if request.content_type == _MULTIPART:
        return await _with_file(request)
    if request.content_type != _URL_ENCODED:
        raise Problem("unsupported_media_type", f"expected {_URL_ENCODED}")
    if request.content_length is None or request.content_length > MAX_FORM_BYTES:
        raise Problem("body_too_large", f"a form has {MAX_FORM_BYTES} bytes at most")
    body = await api.read_body(request)
    try:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS)), None
    except ValueError as error:
        raise Problem("bad_request", "the form cannot be read") from error


async def _with_file(request: web.Request) -> tuple[Mapping[str, str], Upload | None]:
    """A file is the last field of our forms (RFC 7578): it is read by who wants it, when all others are known."""
    fields: dict[str, str] = {}
    size_bytes = 0
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or len(fields) == MAX_FIELDS:
                raise Problem("bad_request", "the form cannot be read")
            if part.filename is not None:
                return fields, Upload(part.filename, _pieces(part))
            text = bytearray()
            while piece := await part.read_chunk(_PIECE_BYTES):
                text += piece
                size_bytes += len(piece)
                if size_bytes > MAX_FORM_BYTES:
                    raise Problem("body_too_large", f"a form has {MAX_FORM_BYTES} bytes at most")
            fields[part.name or ""] = text.decode("utf-8")
    except ValueError as error:
        raise Problem("bad_request", "the form cannot be read") from error
    return fields, None


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(_PIECE_BYTES):
        yield piece
