"""The routes of jobs: post one whole, or open it, append to it and start it."""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Annotated, Literal

import msgspec
import structlog
from aiohttp import web

from services.queueing import jobs, starting, taking
from services.queueing.aside import Aside
from services.queueing.own_files import Batch
from services.queueing.pieces import refused
from services.queueing.quotas import Room
from services.queueing.store import Head, JobStore
from services.queueing.taking import JobAccepted, Taking
from services.queueing.uploads import APPEND_BYTES, Appended, Uploading, rows_of
from shared.http import api
from shared.words import ids
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.principal import refused_to_sandbox

MAX_IDEMPOTENCY_KEY_CHARS = 255


class StartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the job shall start."""

    send_at: Annotated[jobs.Moment | None, says("When it is queued; at once where null.", "2026-02-01T07:00:00Z")] = (
        None
    )


class JobStarted(msgspec.Struct, frozen=True):
    """The job is started."""

    id: Annotated[str, says("The id of the job.", "068vjfm5s9m2rc1jqqrg")]
    state: Annotated[str, says("`queueing`, `selecting` or `scheduled`.", "queueing")]


class NewJobQuery(msgspec.Struct, frozen=True):
    """How a job is posted."""

    state: Annotated[
        Literal["open"] | None, says("`open`: recipients are appended afterwards, and the job is started then.", "open")
    ] = None


_JOB_EXAMPLE = {
    "from": "Chouette <news@exemple.fr>",
    "subject": "Bonjour {{ prenom }}",
    "html": '<p>Bonjour {{ prenom }}, <a href="https://exemple.fr/soldes">les soldes</a> sont là.</p>',
    "variables": {"prenom": "vous"},
    "list": "newsletter",
    "recipients": [{"email": "ana@exemple.fr", "name": "Ana", "variables": {"prenom": "Ana"}}],
}
_LINES_EXAMPLE = '{"email": "ana@exemple.fr", "variables": {"prenom": "Ana"}}\n{"email": "bo@exemple.fr"}\n'
_CSV_EXAMPLE = "email,prenom\nana@exemple.fr,Ana\nbo@exemple.fr,Bo\n"


def routes(store: JobStore, room: Room, taken: Taking, aside: Aside, now_ms: Callable[[], int]) -> list[api.Route]:
    """`taken` takes the jobs."""
    handlers = _Routes(store, room, taken, aside, now_ms)
    return [
        api.Route(
            "POST",
            "/v1/jobs",
            handlers.post_job,
            "Send a job: content and up to 10,000 recipients or a set of them, or with state=open the content alone",
            scope="send",
            body=jobs.JobRequest,
            name="send_job",
            sandbox=True,
            tag="jobs",
            answers={202: JobAccepted},
            problems=[
                "invalid_job",
                "invalid_header",
                "unknown_sending_domain",
                "sending_domain_not_shown",
                "domain_not_allowed",
                "contacts_disabled",
                "idempotency_key_reused",
                "engine_full",
                "templates_penalised",
            ],
            query=NewJobQuery,
            headers={
                "Idempotency-Key": says(
                    "A request repeated with the same key within 24 hours is answered, not done again.",
                    "campaign-2026-02-01",
                    max_length=MAX_IDEMPOTENCY_KEY_CHARS,
                )
            },
            examples={"application/json": _JOB_EXAMPLE},
        ),
        api.Route(
            "POST",
            "/v1/jobs/{job}/recipients",
            handlers.append,
            "Append recipients to an open job, any number, any number of times, in UTF-8, UTF-16, or the charset that "
            "Content-Type says",
            scope="send",
            body_media=("application/x-ndjson", "text/csv", "text/tab-separated-values"),
            examples={
                "application/x-ndjson": _LINES_EXAMPLE,
                "text/csv": _CSV_EXAMPLE,
                "text/tab-separated-values": _CSV_EXAMPLE.replace(",", "\t"),
            },
            name="append_recipients",
            sandbox=True,
            tag="jobs",
            answers={200: Appended},
            problems=["unknown_job", "not_open", "nothing_appended"],
        ),
        api.Route(
            "POST",
            "/v1/jobs/{job}/start",
            handlers.start,
            "Start an open job, now or at a time",
            scope="send",
            body=StartRequest,
            body_optional=True,
            examples={"application/json": {"send_at": None}},
            name="start_job",
            sandbox=True,
            tag="jobs",
            answers={202: JobStarted},
            problems=["unknown_job", "not_open", "no_recipients", "invalid_job", "engine_full"],
        ),
    ]


class _Routes:
    def __init__(self, store: JobStore, room: Room, taken: Taking, aside: Aside, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._aside = aside
        self._room = room
        self._taking = taken
        self._now_ms = now_ms
        self._log = structlog.get_logger("queueing")

    # POST /v1/jobs

    async def post_job(self, request: web.Request) -> web.StreamResponse:
        tenant, own = request[api.PRINCIPAL].tenant, request[api.PRINCIPAL].quotas
        open_job = api.query_of(request, NewJobQuery).state == "open"
        key = idempotency_key(request)
        key_digest = digest_of(request[api.PRINCIPAL], key)
        # What was answered once is answered again, whatever the tenant has used up since.
        repeated = bool(key) and await self._store.knows(key_digest)
        wanted = {"stored_bytes": 1, "open_jobs": int(open_job), "idempotency_keys": int(bool(key))}
        if not repeated:
            await self._room.check(tenant, own, wanted)  # before the body is read
        if request.content_type not in ("application/json", "application/octet-stream"):
            raise Problem("unsupported_media_type", f"expected application/json, got {request.content_type[:100]}")
        body = await api.read_body(request)
        stored, reply = await self._taking.take(
            request[api.PRINCIPAL], body, open_job=open_job, key_digest=key_digest if key else "", repeated=repeated
        )
        return web.Response(body=taking.answered(stored, reply), status=202, content_type="application/json")

    # POST /v1/jobs/{job}/recipients

    async def append(self, request: web.Request) -> web.StreamResponse:
        tenant, own = request[api.PRINCIPAL].tenant, request[api.PRINCIPAL].quotas
        job = _job_id(request)
        rows = rows_of(request.content_type, request.charset)
        head = await self._store.head(job)
        if head is None or head.tenant != tenant:
            raise api.unknown_job()
        _keep_apart(request, head)
        await self._room.check(tenant, own, {"stored_bytes": 1})  # before the body is read

        async def append(batch: Sequence[tuple[bytes, bytes]], files: Batch) -> tuple[str, int]:
            wanted = {"stored_bytes": sum(len(row) for _, row in batch) + files.size_bytes}
            async with self._room.taken(tenant, own, wanted):
                return await self._store.append(tenant, job, batch, self._now_ms(), files)

        async with Uploading(append, head.stream) as appending:
            async for piece in request.content.iter_chunked(APPEND_BYTES):
                api.received(request, piece)
                await appending.read(rows.feed(piece))
                await asyncio.sleep(0)  # a few long lines cost as much as many short ones
                if appending.stopped or rows.is_over:
                    break
            else:
                await appending.read(rows.feed(b"", last=True))
            await appending.end()
        return api.json_answer(appending.result(rows.warnings))

    # POST /v1/jobs/{job}/start

    async def start(self, request: web.Request) -> web.StreamResponse:
        tenant, own = request[api.PRINCIPAL].tenant, request[api.PRINCIPAL].quotas
        job = _job_id(request)
        wanted = await api.read_json_or(request, StartRequest())
        at_ms = int(wanted.send_at.timestamp() * 1000) if wanted.send_at else None
        now_ms = self._now_ms()
        if at_ms is not None and at_ms > now_ms + jobs.HORIZON_MS:
            raise Problem("invalid_body", "the body does not fit", [Fault("$.send_at", "more than a year ahead")])
        head = await self._store.head(job)
        if head is None or head.tenant != tenant:
            raise api.unknown_job()
        _keep_apart(request, head)
        if faults := await starting.lacking(self._store, self._aside, tenant, job):
            raise refused(faults, "it is not started")
        if at_ms is not None and (at_ms <= now_ms or await starting.goes_at_once(self._store, self._aside, head, job)):
            at_ms = None
        chunks = 0 if at_ms else await self._store.chunks_to_start(job)
        async with self._room.taken(tenant, own, {f"intake_chunks:{head.lane}": chunks}):
            word, state = await self._store.start(tenant, job, now_ms, at_ms)
        match word:
            case "unknown":
                raise api.unknown_job()
            case "not_open":
                raise Problem("not_open", f"the job is {state}; only an open or scheduled job is started")
            case "empty":
                raise Problem("no_recipients", "the job has no recipients; append some, then start it")
            case "full":
                raise taking.full()
        self._log.info("job_started", job=job, tenant=tenant, state=word)
        return api.json_answer(JobStarted(job, word), 202)


def _keep_apart(request: web.Request, head: Head) -> None:
    """Problem 403 if a key of the sandbox is to touch a job that is none of it."""
    refused = refused_to_sandbox(request[api.PRINCIPAL], "the job is none of the sandbox")
    if refused is not None and not head.sandbox:
        raise refused


def apart(principal: api.Principal) -> str:
    """What tells the digest of a request that was tried in the sandbox from that of the same one outside."""
    return "\x00sandbox" if principal.is_sandbox else ""


def digest_of(principal: api.Principal, key: str) -> str:
    """By which an Idempotency-Key is known."""
    return sha256(f"{principal.tenant}\x00{key}{apart(principal)}".encode()).hexdigest()


def idempotency_key(request: web.Request) -> str:
    """Of the header; "" for none. Problem."""
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_IDEMPOTENCY_KEY_CHARS or not key.isprintable():
        what = f"at most {MAX_IDEMPOTENCY_KEY_CHARS} printable characters"
        raise Problem("invalid_header", "a header is wrong", [Fault("Idempotency-Key", what)])
    return key


def _job_id(request: web.Request) -> str:
    job = request.match_info["job"]
    if not ids.is_job_id(job):
        raise api.unknown_job()
    return job
