"""The mail that nobody understood, for those who run the place: a list, newest first, and each mail as it came.

    GET /v1/kept-mail?after=<cursor>&limit=<n>
    GET /v1/kept-mail/{id}

A key of scope `admin` sees what concerns messages of its tenant; one that also has the scope `operator` sees
everything, also what names no message.
"""

import re
from typing import Protocol

import msgspec
from aiohttp import web

from services.bounces import mail
from services.bounces.kept import KeptMail
from shared.http import api
from shared.words.errors import Fault, Problem, ProblemDocument
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

    id: str
    kept_at: str
    reason: str
    sender: str = msgspec.field(name="from")
    to: list[str]
    peer: str
    subject: str
    size_bytes: int
    excerpt: str


class KeptMailPage(msgspec.Struct, frozen=True):
    """`next` is what `after` takes to go on; null at the end."""

    mails: list[KeptMailSummary]
    next: str | None


class Reader(Protocol):
    async def newest(self, before: str | None, limit: int) -> list[tuple[str, KeptMail]]: ...

    async def one(self, mail_id: str) -> KeptMail | None: ...


def routes(kept: Reader) -> list[api.Route]:
    async def list_mails(request: web.Request) -> web.StreamResponse:
        limit = _limit(request)
        found = await _visible(kept, request[api.PRINCIPAL], _cursor(request), limit + 1)
        page = KeptMailPage(
            [_summary(mail_id, one) for mail_id, one in found[:limit]],
            found[limit - 1][0] if len(found) > limit else None,
        )
        return api.json_answer(page)

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
            answers={200: KeptMailPage, 422: ProblemDocument},
            query={"after": "the `next` of the page before", "limit": f"at most {MAX_LIMIT}, else {DEFAULT_LIMIT}"},
        ),
        api.Route(
            "GET",
            "/v1/kept-mail/{id}",
            show_mail,
            "One such mail as it was received, cut at 256 kB",
            scope="admin",
            answers={200: "message/rfc822", 404: ProblemDocument},
        ),
    ]


async def _visible(kept: Reader, principal: api.Principal, after: str | None, most: int) -> list[tuple[str, KeptMail]]:
    """The next ones that he may see, past any number of others': there are not many in all (`kept.MAX_MAILS`)."""
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


def _cursor(request: web.Request) -> str | None:
    after = request.query.get("after")
    if after is not None and not _ID.fullmatch(after):
        raise Problem("invalid_query", "the cursor is none of ours", [Fault("?after", "not a cursor")])
    return after


def _limit(request: web.Request) -> int:
    said = request.query.get("limit", str(DEFAULT_LIMIT))
    if not (said.isascii() and said.isdigit() and len(said) <= 4 and 1 <= int(said) <= MAX_LIMIT):
        raise Problem("invalid_query", "the limit is out of bounds", [Fault("?limit", f"expected 1 to {MAX_LIMIT}")])
    return int(said)
