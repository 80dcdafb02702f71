"""The pages of the mailbox and their JSON: mounted only while mail goes to the mailbox, open to whoever gets here."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec
from aiohttp import web

from services.local.mailbox import dkim, message, pages
from services.local.mailbox.store import Kept, Reader, is_message_id
from shared.http import api, paging
from shared.http.query import Read
from shared.net.peers import is_address
from shared.words.described import says
from shared.words.errors import Problem

ROWS = 50
#: Reading a mail takes a millisecond; the recipients' links, which this process answers too, shall not wait for more.
READ_TOGETHER = 20
#: A larger one is read in a thread.
READ_AT_ONCE_BYTES = 64 * 1024

#: Whether a signature holds, by its key and the clock.
VerdictOf = Callable[[dkim.Signature], Awaitable[dkim.Verdict]]


#: An id as the mailbox gives them.
_ID = "1769850300123-0"


class MailboxMessage(msgspec.Struct, frozen=True):
    """One kept message, for scripts. `links` are those of its HTML, in source order; `dkim_domains` those that its
    signatures name, whether they hold or not."""

    id: Annotated[str, says("The id under which it is kept.", _ID)]
    to: Annotated[list[str], says("The recipients of its envelope.", ["ana@exemple.fr"])]
    return_path: Annotated[str, says("The sender of its envelope.", "b-0a1b2c@bounces.exemple.fr")]
    sender: Annotated[str, says("Its header From.", "Chouette <news@exemple.fr>")] = msgspec.field(name="from")
    subject: Annotated[str, says("Its header Subject.", "Bonjour Ana")]
    received_at: Annotated[str, says("When the mailbox took it.", "2026-01-31T09:05:00.123Z")]
    message_id: Annotated[str, says("Its header Message-ID.", "<068vjfm5s9m2rc1jqqrg.0@exemple.fr>")]
    size_bytes: Annotated[int, says("How large it is.", 18_230)]
    links: Annotated[list[str], says("The links of its HTML, in source order.", ["http://127.0.0.1:8080/c/AbyDEu8"])]
    list_unsubscribe: Annotated[
        list[str], says("The addresses in List-Unsubscribe.", ["http://127.0.0.1:8080/u/AbyDEu8"])
    ]
    one_click: Annotated[
        str | None, says("Where one click unsubscribes (RFC 8058).", "http://127.0.0.1:8080/u/AbyDEu8")
    ]
    dkim_domains: Annotated[list[str], says("The domains that its signatures name.", ["exemple.fr"])]


class MailboxMessages(msgspec.Struct, frozen=True):
    """`next` is what `after` takes to go on; the same as before when nothing came."""

    messages: Annotated[list[MailboxMessage], says("The messages of this page, oldest first.")]
    next: Annotated[str, says("What `after` takes to go on, at the end too.", _ID)]


def _cursor(text: str) -> str:
    if not is_message_id(text):
        raise paging.InvalidCursor
    return text


class MailboxQuery(msgspec.Struct, frozen=True):
    """Which messages the page lists."""

    q: Annotated[str, says("A part of an address of the envelope.", "ana@")] = ""
    before: Annotated[str, says("The id of a message: those before it.", _ID), Read(_cursor)] = ""


class MailboxMessageQuery(msgspec.Struct, frozen=True):
    """How the page shows a message."""

    show: Annotated[
        Literal["html", "text", "headers", "source"] | None, says("What is shown of it; else the best it has.", "text")
    ] = None


class MailboxMessagesQuery(msgspec.Struct, frozen=True):
    """Which messages are listed for scripts."""

    after: Annotated[str, paging.after(_ID), Read(_cursor)] = ""
    to: Annotated[str, says("A recipient of the envelope.", "ana@exemple.fr")] = ""
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT


async def nobody_asked(signature: dkim.Signature) -> dkim.Verdict:
    """Where nobody is asked for keys."""
    return signature.faulty or "unavailable"


def routes(
    reader: Reader, nonce: Callable[[], str], hosts: Iterable[str] = (), *, verdict_of: VerdictOf = nobody_asked
) -> list[api.Route]:
    """`nonce` gives a new unguessable text per page (Content-Security-Policy). `hosts` are names of this host, beside
    its addresses and localhost. `verdict_of` finds the key of a signature and looks at it."""
    handlers = _Routes(reader, nonce, verdict_of)
    html = {200: "text/html", 404: "text/html"}
    found = [
        api.Route(
            "GET",
            "/mailbox",
            handlers.show_list,
            "The messages that the catch-all mailbox keeps, newest first, as a page",
            name="show_mailbox",
            answers={200: "text/html"},
            query=MailboxQuery,
        ),
        api.Route(
            "GET",
            "/mailbox/messages.json",
            handlers.list_messages,
            "The kept messages, oldest first, for scripts",
            name="list_mailbox_messages",
            answers={200: MailboxMessages},
            query=MailboxMessagesQuery,
        ),
        api.Route(
            "GET",
            "/mailbox/{id}",
            handlers.show_message,
            "One message as a page",
            name="show_mailbox_message",
            answers=html,
            query=MailboxMessageQuery,
        ),
        api.Route(
            "GET",
            "/mailbox/{id}/html",
            handlers.show_html,
            "The HTML of a message, sandboxed: scripts never run",
            name="get_mailbox_html",
            answers=html,
        ),
        api.Route(
            "GET",
            "/mailbox/{id}/source",
            handlers.show_source,
            "A message as it was received",
            name="get_mailbox_source",
            answers={200: "text/plain", 404: "text/html"},
        ),
        api.Route(
            "GET",
            "/mailbox/{id}/parts/{number}",
            handlers.download_part,
            "One part of a message, as a file",
            name="get_mailbox_part",
            answers={200: "*/*", 404: "text/html"},
        ),
        api.Route(
            "DELETE", "/mailbox", handlers.delete_all, "Empty the mailbox", name="empty_mailbox", answers={204: None}
        ),
        api.Route(
            "GET",
            "/mailbox/empty",
            handlers.ask_to_empty,
            "Asks whether to empty the mailbox",
            name="ask_to_empty_mailbox",
            answers={200: "text/html"},
        ),
        api.Route(
            "POST",
            "/mailbox/empty",
            handlers.empty_by_button,
            "Empty the mailbox, as the page's button does",
            name="empty_mailbox_by_button",
            answers={303: None},
        ),
    ]
    names = frozenset(host.lower().removesuffix(".") for host in hosts)
    said = {
        "id": says("The id of the message.", _ID),
        "number": says("Which attachment or picture: its number on the page of the mail.", "2"),
    }
    return [
        replace(
            route,
            call=_from_here(route.call, names),
            tag="mailbox",
            # Whoever changes something has to come from its own page.
            problems=["other_host"] if route.method == "GET" else ["other_host", "other_site"],
            in_path=said,
        )
        for route in found
    ]


def _from_here(call: api.Call, hosts: frozenset[str]) -> api.Call:
    """The page has no key, so whoever a browser takes for this host reads it. A name that somebody made lead here (DNS
    rebinding) is refused, as is a change that another site asks for."""

    async def called(request: web.Request) -> web.StreamResponse:
        if not is_this_host(request.host, hosts):
            raise Problem("other_host", "the mailbox is read at an address of this host, or by its name")
        headers = request.headers
        if request.method not in ("GET", "HEAD") and not is_own_change(
            request.host, headers.getall("Origin", []), headers.getall("Sec-Fetch-Site", [])
        ):
            raise Problem("other_site", "the mailbox is changed from its own page")
        return await call(request)

    return called


def is_this_host(host: str, names: Collection[str]) -> bool:
    """Whether that header Host is an address, `localhost`, or one of the names (small letters, no dot at the end)."""
    found = _AUTHORITY.fullmatch(host)
    if found is None:
        return False
    if found["v6"] is not None:
        return is_address(found["v6"])
    name = found["name"].lower().removesuffix(".")
    return is_address(name) or name == "localhost" or name in names


def is_own_change(host: str, origins: Sequence[str], sites: Sequence[str]) -> bool:
    """No other site asks for it. A browser of today says where a request comes from (`sites`, Sec-Fetch-Site), whatever
    it says of the origin; older ones say the origin of what changes something. Our page sends no referrer, so its own
    form's origin is `null`, and then the site has to be told. What is not a browser says neither."""
    if len(origins) > 1 or len(sites) > 1:
        return False
    if sites and sites[0] not in ("same-origin", "none"):
        return False
    if not origins:
        return True
    if origins[0] == "null":
        return bool(sites) and sites[0] == "same-origin"
    scheme, _, authority = origins[0].partition("://")
    if scheme not in _DEFAULT_PORTS:
        return False
    asked, asking = _host_and_port(host, scheme), _host_and_port(authority, scheme)
    return asked is not None and asked == asking


#: What a Host or an Origin names: a name or an IPv4 address, or an IPv6 address in brackets; and a port.
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def _host_and_port(authority: str, scheme: str) -> tuple[str, int] | None:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return None
    name = (found["v6"] or found["name"]).lower().removesuffix(".")
    return name, int(found["port"] or _DEFAULT_PORTS[scheme])


class _Routes:
    def __init__(self, reader: Reader, nonce: Callable[[], str], verdict_of: VerdictOf) -> None:
        self._reader = reader
        self._nonce = nonce
        self._verdict_of = verdict_of

    async def show_list(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, MailboxQuery)
        before, sought = query.before, query.q.strip()[:320]
        found, more = await self._reader.newest(before, sought, ROWS)
        nonce = self._nonce()
        page = pages.list_page(
            [_row(kept) for kept in found],
            total=await self._reader.count(),
            sought=sought,
            before=before,
            more=more,
            nonce=nonce,
        )
        return _html(page, nonce)

    async def show_message(self, request: web.Request) -> web.StreamResponse:
        nonce = self._nonce()
        found = await self._found(request)
        if found is None:
            return self._missing()
        kept, raw = found
        view = api.query_of(request, MailboxMessageQuery).show or ""
        checked = await self._checked(raw)
        page = pages.message_page(_row(kept), await _read(raw), raw, checked=checked, view=view, nonce=nonce)
        return _html(page, nonce)

    async def _checked(self, raw: bytes) -> list[pages.Checked]:
        if len(raw) <= READ_AT_ONCE_BYTES:
            found = dkim.signatures(raw)
        else:
            found = await asyncio.to_thread(dkim.signatures, raw)
        return [pages.Checked(one.domain, one.selector, await self._verdict_of(one)) for one in found]

    async def show_html(self, request: web.Request) -> web.StreamResponse:
        found = await self._found(request)
        read = await _read(found[1]) if found else None
        if found is None or read is None or read.html is None:
            return self._missing()
        body = message.framed(read.html, f"/mailbox/{found[0].id}/parts", read.attachments).encode("utf-8", "replace")
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=_headers(_MESSAGE_POLICY))

    async def show_source(self, request: web.Request) -> web.StreamResponse:
        found = await self._found(request)
        if found is None:
            return self._missing()
        return web.Response(
            body=found[1], content_type="text/plain", charset="utf-8", headers=_headers(_NOTHING_POLICY)
        )

    async def download_part(self, request: web.Request) -> web.StreamResponse:
        found = await self._found(request)
        number = request.match_info["number"]
        parts = (await _read(found[1])).attachments if found else []
        part = next((part for part in parts if str(part.number) == number), None)
        if part is None:
            return self._missing()
        name = quote(part.filename or f"part-{part.number}", safe="")
        headers = {
            **_headers(_NOTHING_POLICY),
            "Content-Type": _media_type(part.media_type),
            # Never shown in a tab of ours; images of the message are shown all the same (it is the frame that asks).
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        }
        return web.Response(body=part.content, headers=headers)

    async def list_messages(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, MailboxMessagesQuery)
        found, position = await self._reader.since(query.after, query.to, query.limit)
        listed = []
        for start in range(0, len(found), READ_TOGETHER):
            some = found[start : start + READ_TOGETHER]
            raws = await self._reader.raw([kept.id for kept in some])
            listed += [
                await asyncio.to_thread(_described, kept, raw) for kept, raw in zip(some, raws, strict=True) if raw
            ]
        return api.json_answer(MailboxMessages(listed, position))

    async def delete_all(self, request: web.Request) -> web.StreamResponse:
        await self._reader.empty()
        return web.Response(status=204)

    async def ask_to_empty(self, request: web.Request) -> web.StreamResponse:
        nonce = self._nonce()
        return _html(pages.empty_page(await self._reader.count(), nonce), nonce)

    async def empty_by_button(self, request: web.Request) -> web.StreamResponse:
        await self._reader.empty()
        return web.Response(status=303, headers={"Location": "/mailbox"})

    async def _found(self, request: web.Request) -> tuple[Kept, bytes] | None:
        message_id = request.match_info["id"]
        return await self._reader.one(message_id) if is_message_id(message_id) else None

    def _missing(self) -> web.Response:
        nonce = self._nonce()
        return _html(pages.missing_page(nonce), nonce, status=404)


# Images and styles of a message come from anywhere, as in a mail program that loads them: the tracking pixel works.
_MESSAGE_POLICY = (
    f"sandbox {pages.SANDBOX}; default-src 'none'; img-src http: https: data:; media-src http: https: data:; "
    "font-src http: https: data:; style-src 'unsafe-inline' http: https:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
_NOTHING_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"


def _page_policy(nonce: str) -> str:
    """Scripts and styles of ours alone; forms may post to any web address, which is what "Unsubscribe" does."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; "
        "connect-src 'self'; frame-src 'self'; form-action 'self' http: https:; base-uri 'none'; frame-ancestors 'none'"
    )


def _headers(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _html(page: bytes, nonce: str, status: int = 200) -> web.Response:
    headers = _headers(_page_policy(nonce))
    return web.Response(body=page, status=status, content_type="text/html", charset="utf-8", headers=headers)


def _media_type(stated: str) -> str:
    """The part's own word for it, if it can stand in a header."""
    return stated if stated.isascii() and stated.isprintable() else "application/octet-stream"


def _row(kept: Kept) -> pages.Row:
    summary = message.summary(kept.head)
    return pages.Row(kept.id, kept.recipients, kept.return_path, kept.received_ms, kept.size_bytes, summary)


async def _read(raw: bytes) -> message.Message:
    """The message; a large one in a thread, for links and the API wait meanwhile."""
    return message.read(raw) if len(raw) <= READ_AT_ONCE_BYTES else await asyncio.to_thread(message.read, raw)


def _described(kept: Kept, raw: bytes) -> MailboxMessage:
    read = message.read(raw)
    at = datetime.fromtimestamp(kept.received_ms / 1000, UTC)
    return MailboxMessage(
        id=kept.id,
        to=kept.recipients,
        return_path=kept.return_path,
        sender=read.header("From"),
        subject=read.header("Subject"),
        received_at=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        message_id=read.header("Message-ID"),
        size_bytes=kept.size_bytes,
        links=message.links(read.html or ""),
        list_unsubscribe=read.unsubscribe,
        one_click=read.one_click,
        dkim_domains=[signature.domain for signature in read.signatures],
    )
