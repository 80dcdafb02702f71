"""The mail that nobody understood, for those who run the place: a list, newest first, and each mail as it came.

    GET /v1/kept-mail?after=<cursor>&limit=<n>
    GET /v1/kept-mail/{id}

A key of scope `admin` sees what concerns messages of its tenant; one that also has the scope `operator` sees
everything, also what names no message.
"""

import re
from typing import Annotated, Protocol

import msgspec
from aiohttp import web

from services.bounces import mail
from services.bounces.kept import KeptMail
from shared.http import api, paging
from shared.http.query import Read
from shared.words.described import says
from shared.words.errors import Problem
from shared.words.times import rfc3339

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
#: Mails read at a time, each of up to 256 kB.
ROUND = 20
#: Of a mail's beginning, in the list: its header, and of most reports all that matters.
EXCERPT_CHARS = 4_000

_ID = re.compile(r"[0-9]{1,15}-[0-9]{1,10}")


class KeptMailSummary(msgspec.Struct, frozen=True):
    """`excerpt` is the beginning of the mail as text; the whole is at `/v1/kept-mail/{id}`."""

    id: Annotated[str, says("The id under which it is kept.", "1767171900123-0")]
    kept_at: Annotated[str, says("When it was received.", "2026-01-31T09:05:00.123Z")]
    reason: Annotated[str, says("Why it was kept, in one word.", "no_name")]
    sender: Annotated[str, says("The envelope sender, empty for a notification.", "")] = msgspec.field(name="from")
    to: Annotated[list[str], says("The recipients of the envelope.", ["b-0a1b2c@bounces.exemple.fr"])]
    peer: Annotated[str, says("The address of the host that brought it.", "192.0.2.7")]
    subject: Annotated[str, says("Its subject, as the header has it.", "Undelivered Mail Returned to Sender")]
    size_bytes: Annotated[int, says("How large it was when it came; at most 256 kB of it are kept.", 4096)]
    excerpt: Annotated[str, says("Its beginning as text.", "From: MAILER-DAEMON@mx.exemple.net\nSubject: Undelivered")]


class KeptMailPage(msgspec.Struct, frozen=True):
    """`next` is what `after` takes to go on; null at the end."""

    mails: Annotated[list[KeptMailSummary], says("The mails of this page.")]
    next: Annotated[str | None, paging.following("1767171900123-0")]


class KeptMailQuery(msgspec.Struct, frozen=True):
    """Which of the kept mails are listed."""

    after: Annotated[str | None, paging.after("1767171900123-0"), Read(paging.matching(_ID))] = None
    limit: Annotated[int, paging.limit(MAX_LIMIT)] = DEFAULT_LIMIT


class Reader(Protocol):
    async def newest(self, before: str | None, limit: int) -> list[tuple[str, KeptMail]]: ...

    async def one(self, mail_id: str) -> KeptMail | None: ...


def routes(kept: Reader) -> list[api.Route]:
    async def list_mails(request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, KeptMailQuery)
        found = await _visible(kept, request[api.PRINCIPAL], query.after, query.limit + 1)
        page, following = paging.cut(found, query.limit, lambda one: one[0])
        return api.json_answer(KeptMailPage([_summary(mail_id, one) for mail_id, one in page], following))

    async def show_mail(request: web.Request) -> web.StreamResponse:
        mail_id = request.match_info["id"]
        found = await kept.one(mail_id) if _ID.fullmatch(mail_id) else None
        if found is None or not _may_see(request[api.PRINCIPAL], found):
            raise Problem("unknown_mail", "no mail of that id is kept")
        return web.Response(
            body=found.raw,
            content_type="message/rfc822",
            headers={"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"},
        )

    return [
        api.Route(
            "GET",
            "/v1/kept-mail",
            list_mails,
            "Received mail that was not understood, newest first",
            scope="admin",
            name="list_kept_mail",
            tag="kept mail",
            answers={200: KeptMailPage},
            query=KeptMailQuery,
        ),
        api.Route(
            "GET",
            "/v1/kept-mail/{id}",
            show_mail,
            "One such mail as it was received, cut at 256 kB",
            scope="admin",
            name="get_kept_mail",
            tag="kept mail",
            answers={200: "message/rfc822"},
            problems=["unknown_mail"],
            in_path={"id": says("The id of the mail.", "1767171900123-0")},
        ),
    ]


async def _visible(kept: Reader, principal: api.Principal, after: str | None, most: int) -> list[tuple[str, KeptMail]]:
    """The next ones to be shown, past any number of others': there are not many in all (`kept.MAX_MAILS`)."""
    visible: list[tuple[str, KeptMail]] = []
    while len(visible) < most:
        found = await kept.newest(after, ROUND)
        visible += [(mail_id, one) for mail_id, one in found if _may_see(principal, one)]
        if len(found) < ROUND:
            break
        after = found[-1][0]
    return visible[:most]


def _may_see(principal: api.Principal, one: KeptMail) -> bool:
    # What names no message may be about another tenant's recipients.
    return one.tenant == principal.tenant or "operator" in principal.scopes


def _summary(mail_id: str, one: KeptMail) -> KeptMailSummary:
    return KeptMailSummary(
        mail_id,
        rfc3339(one.at_ms),
        one.reason,
        one.sender,
        list(one.recipients),
        one.peer,
        mail.read(one.raw).fields.get("subject"),
        one.size_bytes,
        one.raw[:EXCERPT_CHARS].decode("utf-8", "replace"),
    )
