"""Sends jobs, follows them, reads events, sets of recipients and the suppression list.

    async with Client("https://mail.example", key) as mail:
        job = await mail.send({"from": "Chouette <news@exemple.fr>", "subject": "Bonjour", "text": "…",
                               "recipients": [{"email": "ana@exemple.fr"}]})
        report = await mail.report(job.id)

What may be repeated is repeated: after 429, 502, 503, 504 or no answer at all, no sooner than Retry-After says; where
that is longer than a minute (a quota of the day is used up) it is `Busy` at once, and the caller's to wait. A job has
one Idempotency-Key over all tries, so it is stored once. What is refused is a `Refused`, by its status one of the
classes below; `word` is what programs go by (docs/api.md lists them), `faults` is everything that is wrong.

Fields that a newer engine answers besides are passed over; a job is written as docs/api.md describes it, so that none
of its fields has to be known here.
"""

import asyncio
import json
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from .answers import (
    Accepted,
    Appended,
    Fault,
    Message,
    Page,
    Preview,
    Report,
    Started,
    Suppression,
    Template,
    TemplatePut,
    Usage,
)

#: Tries of a request, and the longest wait before the next: by then a restart of the engine is over.
TRIES = 8
LONGEST_WAIT_S = 60.0
#: For an answer; a stream may take as long as it goes on.
TIMEOUT_S = 60.0
#: Not there for now, whoever says so: the engine, or a proxy in front of it.
_LATER = (429, 502, 503, 504)
#: Recipients go out in pieces of about so much.
_PIECE_BYTES = 65_536
#: Between two looks at a feed that has nothing new.
POLL_S = 1.0
_URN = "urn:estafette:problem:"

T = TypeVar("T")
Job = Mapping[str, Any]


class Refused(Exception):
    """A problem+json (RFC 9457). `word` is the end of its type, as `unknown_job`; "" where a proxy answered."""

    #: After how long it may be tried again, where it said so.
    retry_after_s: float = 0.0

    def __init__(self, status: int, word: str, title: str, detail: str, faults: list[Fault]) -> None:
        said = "; ".join(f"{fault.at}: {fault.what}" for fault in faults) or detail
        super().__init__(f"{status} {word or title}: {said}")
        self.status, self.word, self.title, self.detail, self.faults = status, word, title, detail, faults


class NotAllowed(Refused):
    """401, 403: no key, an unknown one, or one that lacks a right."""


class NotFound(Refused):
    """404: it is not there, or another tenant's."""


class Conflict(Refused):
    """409: not as things stand."""


class Invalid(Refused):
    """400, 413, 415, 422: the request itself; `faults` lists all that is wrong."""


class Busy(Refused):
    """429, 503: not now, and after all tries still not; or not for longer than it waits (`retry_after_s`)."""


class NoAnswer(Exception):
    """Nothing came back, after all tries; or an answer broke off, and so is not whole."""


_CLASSES: Mapping[int, type[Refused]] = {
    400: Invalid, 401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Conflict, 413: Invalid, 415: Invalid,
    422: Invalid, 429: Busy, 502: Busy, 503: Busy, 504: Busy,
}  # fmt: skip


class Client:
    """One for a program: it keeps connections open. A session that is handed in is not closed here."""

    def __init__(self, url: str, key: str, *, session: aiohttp.ClientSession | None = None, tries: int = TRIES) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._given = session
        self._own: aiohttp.ClientSession | None = None
        self._tries = tries

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._own is not None:
            await self._own.close()
            self._own = None

    # Jobs

    async def send(self, job: Job, *, idempotency_key: str = "") -> Accepted:
        """Stores a job with its recipients. Name a key of your own to repeat it after a restart of yours, too."""
        return await self._job("/v1/jobs", job, idempotency_key)

    async def open(self, job: Job, *, idempotency_key: str = "") -> Accepted:
        """Stores a job without recipients, which are appended."""
        return await self._job("/v1/jobs?state=open", job, idempotency_key)

    async def send_mail(
        self, mail: bytes, recipients: list[str], *, dsn: Job | None = None, idempotency_key: str = ""
    ) -> Accepted:
        """Stores a whole mail (RFC 5322) as one job; `X-Estafette-` fields of its header say what a job says. `dsn`:
        who is told by mail what became of it."""
        told = {} if dsn is None else {"dsn": dsn}
        body = {"mail": b64encode(mail).decode("ascii"), "recipients": recipients, **told}
        return await self._job("/v1/mails", body, idempotency_key)

    async def append(self, job: str, recipients: Iterable[Job]) -> Appended:
        """Streams recipients to an open job, any number. What can be gone through again (a list) is repeated where the
        connection broke; an iterator is not, and then this is NoAnswer: appending them again counts who is there
        already as duplicates."""
        path = f"/v1/jobs/{quote(job)}/recipients"
        tries = 1 if iter(recipients) is recipients else self._tries
        for number in range(1, tries + 1):
            try:
                return await self._answered(
                    "POST", path, Appended, tries=1, pieces=recipients, content_type="application/x-ndjson"
                )
            except (NoAnswer, Busy) as failed:
                asked_s = failed.retry_after_s if isinstance(failed, Busy) else 0.0
                if number == tries or asked_s > LONGEST_WAIT_S:
                    raise
                await asyncio.sleep(max(asked_s, _retry_after_s("", number)))
        raise AssertionError

    async def start(self, job: str, *, send_at: str | None = None) -> Started:
        """Starts an open job, now or at a time (RFC 3339)."""
        try:
            return await self._answered("POST", f"/v1/jobs/{quote(job)}/start", Started, {"send_at": send_at})
        except Conflict as conflict:
            # A try whose answer was lost may have started it.
            report = await self.report(job)
            if conflict.word != "not_open" or report.state == "open":
                raise
            return Started(job, report.state)

    async def change(self, job: str, **fields: Any) -> None:
        """Of an open or scheduled job: what is named is another from now on. `from_` is `from`."""
        body = {"from" if name == "from_" else name: value for name, value in fields.items()}
        await self._answered("PATCH", f"/v1/jobs/{quote(job)}", dict[str, Any], body)

    async def pause(self, job: str) -> None:
        await self._answered("POST", f"/v1/jobs/{quote(job)}/pause", dict[str, Any])

    async def resume(self, job: str) -> None:
        await self._answered("POST", f"/v1/jobs/{quote(job)}/resume", dict[str, Any])

    async def cancel(self, job: str, *, why: str = "") -> None:
        """Who has no end yet gets none of it."""
        await self._answered("POST", f"/v1/jobs/{quote(job)}/cancel", dict[str, Any], {"why": why} if why else {})

    async def report(self, job: str) -> Report:
        found = await self._answered("GET", f"/v1/jobs/{quote(job)}", dict[str, Any])
        return msgspec.convert({**found, "all": found}, Report)

    def jobs(self, **query: str) -> AsyncIterator[dict[str, Any]]:
        """The latest first, by `state`, `stream`, `list`, `tag`."""
        return self._pages("/v1/jobs", "jobs", query)

    async def usage(self, **query: str) -> Usage:
        """Mails, calls and stored bytes day by day: of the last month, or from `since` until `until` (2026-01-31)."""
        return await self._answered("GET", "/v1/usage", Usage, query=query)

    # What a mail looks like, and templates

    async def preview(self, job: Job, *, recipient: int = 0) -> Preview:
        """The mail that a job would make for one of its recipients. Nothing is stored or sent."""
        return await self._answered("POST", "/v1/preview", Preview, job, query={"recipient": str(recipient)})

    async def put_template(self, name: str, template: Mapping[str, Any]) -> TemplatePut:
        """A new template, or a new version of it."""
        return await self._answered("PUT", f"/v1/templates/{quote(name)}", TemplatePut, template)

    async def template(self, name: str, version: int | None = None) -> Template:
        """The newest version, or that one."""
        path = f"/v1/templates/{quote(name)}" + (f"/versions/{version}" if version else "")
        return await self._answered("GET", path, Template)

    async def templates(self) -> list[dict[str, Any]]:
        found = await self._answered("GET", "/v1/templates", dict[str, Any])
        return list(found["templates"])

    async def remove_template(self, name: str) -> None:
        """With all its versions; jobs that were made of it keep what they have."""
        await self._answered("DELETE", f"/v1/templates/{quote(name)}", type(None))

    # Messages, sets, events

    async def message(self, message: str) -> Message:
        """One recipient's mail, and everything that happened to it."""
        return await self._answered("GET", f"/v1/messages/{quote(message)}", Message)

    def messages(self, job: str, state: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        """Who of a job is in this state (`not_opened`, `bounced`, `clicked` with `link=…`), as they come. NoAnswer if
        it breaks off: then it was not the whole set."""
        return self._lines("GET", f"/v1/jobs/{quote(job)}/messages", {"state": state, **query})

    def sent(self, **query: str) -> AsyncIterator[dict[str, Any]]:
        """What was sent to whom, of the latest job first, by `recipient`, `job`, `state`, `metadata`, `since`."""
        return self._pages("/v1/messages", "messages", query)

    def results(self, wanted: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Who is in a set over several jobs (`and`, `or`, `not`), each address once."""
        return self._lines("POST", "/v1/results", {}, wanted)

    async def event_pages(self, after: str = "", *, follow: bool = False, **query: str) -> AsyncIterator[Page]:
        """The feed from the oldest, or after a cursor (`now`: what comes from now on), page by page; `follow`: without
        end, waiting for what comes. Filter by `type`, `job`, `email`, … as the API does."""
        while True:
            asked = {**query, **({"after": after} if after else {})}
            page = await self._answered("GET", "/v1/events", Page, query=asked)
            if page.events:
                yield page
            after = page.next
            if not page.more:
                if not follow:
                    return
                await asyncio.sleep(POLL_S)

    # The suppression list

    async def suppressed(self, address: str) -> Suppression | None:
        """Why an address is not mailed; None if it may be."""
        try:
            return await self._answered("GET", f"/v1/suppressions/{quote(address, safe='')}", Suppression)
        except NotFound as unknown:
            if unknown.word != "unknown_suppression":
                raise
            return None

    async def suppress(self, address: str, reason: str = "manual", **fields: Any) -> Suppression:
        body = {"reason": reason, **fields}
        return await self._answered("PUT", f"/v1/suppressions/{quote(address, safe='')}", Suppression, body)

    async def unsuppress(self, address: str) -> None:
        """Nothing happens if it is not on the list."""
        try:
            await self._answered("DELETE", f"/v1/suppressions/{quote(address, safe='')}", type(None))
        except NotFound as unknown:
            if unknown.word != "unknown_suppression":
                raise

    async def suppressions(self, **query: str) -> AsyncIterator[Suppression]:
        """The whole list, or what of it has this `reason`, `channel`, `scope`."""
        async for one in self._pages("/v1/suppressions", "suppressions", query):
            yield msgspec.convert(one, Suppression)

    # Inside

    async def _job(self, path: str, job: Job, idempotency_key: str) -> Accepted:
        key = idempotency_key or secrets.token_hex(16)
        return await self._answered("POST", path, Accepted, job, headers={"Idempotency-Key": key})

    async def _answered(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: Job | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        pieces: Iterable[Job] | None = None,
        content_type: str = "application/json",
        tries: int = 0,
    ) -> T:
        data = None if body is None else json.dumps(body).encode()
        for number in range(1, (tries or self._tries) + 1):
            is_last = number == (tries or self._tries)
            try:
                async with self._session.request(
                    method,
                    self._url + path,
                    params=query,
                    data=data if pieces is None else _written(pieces),
                    headers=self._headers(headers, content_type if data or pieces is not None else ""),
                    timeout=aiohttp.ClientTimeout(total=None if pieces is not None else TIMEOUT_S, connect=TIMEOUT_S),
                ) as answer:
                    said = await answer.read()
                    if answer.status < 300:
                        return msgspec.json.decode(said or b"null", type=kind)
                    wait_s = _retry_after_s(answer.headers.get("Retry-After", ""), number)
                    if answer.status not in _LATER or is_last or wait_s > LONGEST_WAIT_S:
                        refused = _refusal(answer.status, said)
                        refused.retry_after_s = wait_s if answer.status in _LATER else 0.0
                        raise refused
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if is_last:
                    raise NoAnswer(f"{method} {path}: {error!r}") from None
                wait_s = _retry_after_s("", number)
            await asyncio.sleep(wait_s)
        raise AssertionError

    async def _pages(self, path: str, name: str, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """All that is listed, page by page."""
        after = ""
        while True:
            asked = {**query, **({"after": after} if after else {})}
            page = await self._answered("GET", path, dict[str, Any], query=asked)
            for one in page[name]:
                yield one
            if not (after := page["next"] or ""):
                return

    async def _lines(
        self, method: str, path: str, query: Mapping[str, str], body: Job | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """NDJSON as it comes. It is not repeated: what was handed out would be handed out again."""
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers(None, "application/json" if data else "")
        timeout = aiohttp.ClientTimeout(total=None, sock_read=TIMEOUT_S)
        try:
            async with self._session.request(
                method, self._url + path, params=query, data=data, headers=headers, timeout=timeout
            ) as answer:
                if answer.status != 200:
                    raise _refusal(answer.status, await answer.read())
                async for line in answer.content:
                    yield json.loads(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(f"{method} {path}: it broke off: {error!r}") from None

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = aiohttp.ClientSession()
        return self._own

    def _headers(self, more: Mapping[str, str] | None, content_type: str) -> dict[str, str]:
        typed = {"Content-Type": content_type} if content_type else {}
        return {"Authorization": f"Bearer {self._key}", **typed, **(more or {})}


async def _written(recipients: Iterable[Job]) -> AsyncIterator[bytes]:
    """NDJSON, in pieces."""
    piece = bytearray()
    for one in recipients:
        piece += json.dumps(one).encode() + b"\n"
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _refusal(status: int, said: bytes) -> Refused:
    try:
        problem = json.loads(said)
        faults = [msgspec.convert(one, Fault) for one in problem.get("faults", ())]
        word = str(problem.get("type", "")).removeprefix(_URN)
        words = word, str(problem.get("title", "")), str(problem.get("detail", ""))
    except (ValueError, AttributeError, msgspec.ValidationError):
        faults, words = [], ("", "no problem+json", said[:200].decode("utf-8", "replace"))
    return _CLASSES.get(status, Refused)(status, *words, faults)


def _retry_after_s(said: str, tried: int) -> float:
    """What the answer asks for, else twice as long each time."""
    if said.isascii() and said.isdigit():
        return float(said)
    return float(min(0.25 * 2**tried, LONGEST_WAIT_S))
