"""The routes of jobs: post one whole, or open it, append to it and start it."""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from hashlib import blake2b, sha256
from typing import Annotated, Any, Literal, Protocol

import msgspec
import structlog
from aiohttp import web
from prometheus_client import Counter

from services.queueing import jobs, recipients
from services.queueing.aside import Aside
from services.queueing.compile import Limits
from services.queueing.jobs import Draft
from services.queueing.quotas import Room
from services.queueing.store import JOB_BYTES, JobStore, Stored
from services.queueing.uploads import APPEND_BYTES, Appended, Uploading, rows_of
from shared.http import api
from shared.mail.domain_names import InvalidDomain
from shared.net.requests import current_id, current_trace
from shared.redis.jobs import New, Start
from shared.redis.ready import LANES
from shared.redis.sending_domains import DomainTaken, NotShown
from shared.words import content, ids
from shared.words.described import says
from shared.words.errors import Fault, Problem

MAX_IDEMPOTENCY_KEY_CHARS = 255

JOBS = Counter("estafette_queueing_jobs_total", "Jobs by how their request ended", ["result"])


class RejectedRecipient(msgspec.Struct, frozen=True):
    """A recipient that will not be mailed, and why, in one word."""

    index: Annotated[int, says("The place in `recipients`, from 0.", 3)]
    email: Annotated[str, says("The address as it was given.", "ana@exemple")]
    reason: Annotated[str, says("Why, in one word.", "invalid_address")]


class NamedMessage(msgspec.Struct, frozen=True):
    """The id by which a recipient's message is known from now on."""

    id: Annotated[str, says("The id of the message.", "068vjfm5s9m2rc1jqqrg.0")]
    email: Annotated[str, says("The recipient's address.", "ana@exemple.fr")]


class JobAccepted(msgspec.Struct, frozen=True):
    """The job is stored. `messages` names those of up to 10,000 recipients, in their order. `warnings` name what is
    hardly meant so, such as a variable that no recipient has; the job is sent all the same."""

    id: Annotated[str, says("The id of the job.", "068vjfm5s9m2rc1jqqrg")]
    state: Annotated[str, says("`queueing`, `scheduled` or `open`.", "queueing")]
    accepted: Annotated[int, says("How many recipients will be mailed.", 1)]
    rejected: Annotated[list[RejectedRecipient], says("Who will not be, and why.")]
    messages: Annotated[list[NamedMessage], says("The messages, in the order of the recipients.")]
    warnings: Annotated[list[Fault], says("What is hardly meant so.")]


class StartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the job shall start."""

    send_at: Annotated[jobs.Moment | None, says("When it is queued; at once where null.", "2026-02-01T07:00:00Z")] = (
        None
    )


class JobStarted(msgspec.Struct, frozen=True):
    """The job is started."""

    id: Annotated[str, says("The id of the job.", "068vjfm5s9m2rc1jqqrg")]
    state: Annotated[str, says("`queueing` or `scheduled`.", "queueing")]


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


class Tenants(Protocol):
    async def get(self, name: str) -> Any: ...


class SendingDomains(Protocol):
    async def for_sending(self, tenant: str, domain: str, *, any_from_domain: bool, most: int | None = None) -> Any: ...


class Compiler(Protocol):
    """`compiling`."""

    async def compile(self, draft: Draft, limits: Limits, tenant: str) -> content.CompiledContent | list[Fault]: ...


def routes(
    store: JobStore,
    tenants: Tenants,
    domains: SendingDomains,
    compiler: Compiler,
    room: Room,
    *,
    partitions: int,
    max_recipients: int,
    now_ms: Callable[[], int],
    chance: Callable[[int], bytes],
    aside: Aside | None = None,
) -> list[api.Route]:
    handlers = _Routes(
        store, tenants, domains, compiler, room, partitions, max_recipients, now_ms, chance, aside or Aside()
    )
    return [
        api.Route(
            "POST",
            "/v1/jobs",
            handlers.post_job,
            "Send a job: content and up to 10,000 recipients, or with state=open the content alone",
            scope="send",
            body=jobs.JobRequest,
            name="send_job",
            tag="jobs",
            answers={202: JobAccepted},
            problems=[
                "invalid_job",
                "invalid_header",
                "unknown_sending_domain",
                "sending_domain_not_shown",
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
            tag="jobs",
            answers={202: JobStarted},
            problems=["unknown_job", "not_open", "no_recipients", "engine_full"],
        ),
    ]


class _Routes:
    def __init__(
        self,
        store: JobStore,
        tenants: Tenants,
        domains: SendingDomains,
        compiler: Compiler,
        room: Room,
        partitions: int,
        max_recipients: int,
        now_ms: Callable[[], int],
        chance: Callable[[int], bytes],
        aside: Aside,
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._domains = domains
        self._compiler = compiler
        self._room = room
        self._partitions = partitions
        self._max_recipients = max_recipients
        self._now_ms = now_ms
        self._chance = chance
        self._aside = aside
        self._log = structlog.get_logger("queueing")

    # POST /v1/jobs

    async def post_job(self, request: web.Request) -> web.StreamResponse:
        tenant, own = request[api.PRINCIPAL].tenant, request[api.PRINCIPAL].quotas
        open_job = api.query_of(request, NewJobQuery).state == "open"
        key = _idempotency_key(request)
        key_digest = sha256(f"{tenant}\x00{key}".encode()).hexdigest()
        # What was answered once is answered again, whatever the tenant has used up since.
        repeated = bool(key) and await self._store.knows(key_digest)
        wanted = {"stored_bytes": 1, "open_jobs": int(open_job), "idempotency_keys": int(bool(key))}
        if not repeated:
            await self._room.check(tenant, own, wanted)  # before the body is read
        if request.content_type not in ("application/json", "application/octet-stream"):
            raise Problem("unsupported_media_type", f"expected application/json, got {request.content_type[:100]}")
        body = await api.read_body(request)
        now_ms = self._now_ms()
        size = len(body)
        draft = await self._aside.do(
            tenant, size, jobs.read_draft, body, open_job=open_job, now_ms=now_ms, max_recipients=self._max_recipients
        )
        compiled = await self._compiler.compile(draft, Limits(), tenant)
        job = await self._aside.do(tenant, size, jobs.finish, draft, compiled)
        await self._check_from(request[api.PRINCIPAL], job.compiled.from_domain)
        partition = ids.name_partition(key_digest, self._partitions) if key else None
        start: Start = "open" if open_job else "scheduled" if job.send_at_ms else "queueing"
        chunks = await self._aside.do(tenant, size, recipients.chunks, job.waiting)
        if start == "queueing":
            wanted[f"intake_chunks:{LANES[job.request.stream]}"] = len(chunks)
        while True:
            job_id = ids.new_job_id(now_ms, self._chance(6), self._partitions, partition)
            reply = await self._aside.do(tenant, size, _reply, job_id, start, job)
            idempotency = None
            if key:
                told = await self._aside.do(tenant, size, _idempotency, body, start, reply)
                idempotency = (key_digest, *told)
            new = _new_job(tenant, job, now_ms, start)
            wanted["stored_bytes"] = JOB_BYTES + len(new.content) + sum(len(chunk) for _, chunk in chunks)
            async with self._room.taken(tenant, own, {} if repeated else wanted):
                stored = await self._store.store(job_id, new, chunks, start, job.send_at_ms, idempotency)
            if stored.word != "taken":
                break
        JOBS.labels(stored.word).inc()
        if stored.word == "stored":
            self._log.info("job_stored", job=job_id, tenant=tenant, recipients=len(job.waiting), state=start)
        return _answer(stored, reply)

    async def _check_from(self, principal: api.Principal, domain: str) -> None:
        tenant, most = principal.tenant, self._room.limits(principal.quotas)["domains"]
        found = await self._tenants.get(tenant)
        try:
            any_from_domain = found is not None and found.any_from_domain
            await self._domains.for_sending(tenant, domain, any_from_domain=any_from_domain, most=most)
        except InvalidDomain as fault:
            raise Problem("invalid_job", "the job has one fault", [Fault("$.from", str(fault))]) from fault
        except NotShown as fault:
            raise Problem("sending_domain_not_shown", str(fault), [Fault("$.from", str(fault))]) from fault
        except (DomainTaken, LookupError) as fault:
            what = f"{domain} is not a sending domain of this tenant: add it with POST /v1/domains"
            raise Problem("unknown_sending_domain", what, [Fault("$.from", what)]) from fault

    # POST /v1/jobs/{job}/recipients

    async def append(self, request: web.Request) -> web.StreamResponse:
        tenant, own = request[api.PRINCIPAL].tenant, request[api.PRINCIPAL].quotas
        job = _job_id(request)
        rows = rows_of(request.content_type, request.charset)
        head = await self._store.head(job)
        if head is None or head.tenant != tenant:
            raise api.unknown_job()
        await self._room.check(tenant, own, {"stored_bytes": 1})  # before the body is read

        async def append(batch: Sequence[tuple[bytes, bytes]]) -> tuple[str, int]:
            async with self._room.taken(tenant, own, {"stored_bytes": sum(len(row) for _, row in batch)}):
                return await self._store.append(tenant, job, batch, self._now_ms())

        appending = Uploading(append, head.stream)
        async for piece in request.content.iter_chunked(APPEND_BYTES):
            api.received(request, piece)
            await appending.read(rows.feed(piece))
            await asyncio.sleep(0)  # a few long lines cost as much as many short ones
            if appending.stopped or rows.is_over:
                break
        else:
            await appending.read(rows.feed(b"", last=True))
        await appending.flush()
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
        at_ms = at_ms if at_ms and at_ms > now_ms else None
        head = await self._store.head(job)
        if head is None or head.tenant != tenant:
            raise api.unknown_job()
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
                raise _full()
        self._log.info("job_started", job=job, tenant=tenant, state=word)
        return api.json_answer(JobStarted(job, word), 202)


def _idempotency_key(request: web.Request) -> str:
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


def _full() -> Problem:
    return Problem("engine_full", "too much waits to be queued; try again", headers={"Retry-After": "5"})


def _accepted(job_id: str, state: str, job: jobs.Job) -> JobAccepted:
    return JobAccepted(
        id=job_id,
        state=state,
        accepted=len(job.waiting) - len(job.rejected),
        rejected=[RejectedRecipient(one.index, one.email, one.reason) for one in job.rejected],
        messages=[
            NamedMessage(ids.message_id(job_id, ordinal), one.email)
            for ordinal, one in enumerate(job.waiting)
            if one.rejected is None
        ],
        warnings=job.warnings,
    )


def _reply(job_id: str, start: Start, job: jobs.Job) -> bytes:
    return msgspec.json.encode(_accepted(job_id, start, job))


def _idempotency(body: bytes, start: Start, reply: bytes) -> tuple[bytes, bytes]:
    """The digest of a request, and its answer as it is kept."""
    digest = blake2b(body, digest_size=16)
    digest.update(start.encode())
    return digest.digest(), zlib.compress(reply, 1)


def _new_job(tenant: str, job: jobs.Job, now_ms: int, start: Start) -> New:
    request = job.request
    max_age_ms = jobs.MAX_AGE_MS[request.stream]
    expires_at_ms = job.expires_at_ms or (0 if start == "open" else (job.send_at_ms or now_ms) + max_age_ms)
    return New(
        tenant=tenant,
        stream=request.stream,
        content=content.encode(job.compiled),
        total=len(job.waiting),
        send_at_ms=job.send_at_ms,
        expires_at_ms=expires_at_ms,
        max_age_ms=max_age_ms,
        rate=job.compiled.rate,
        at_most_once=request.at_most_once,
        test=request.test,
        request=current_id(),
        trace=current_trace(),
        sender=request.from_[:320],
        subject=request.subject[:200],
        list=request.list_ or "",
        category=request.category or "",
        tags=tuple(request.tags),
        language=jobs.language_of(request.html or ""),
    )


def _answer(stored: Stored, reply: bytes) -> web.Response:
    match stored.word:
        case "reused":
            detail = "this Idempotency-Key was used with another request in the last 24 hours"
            raise Problem("idempotency_key_reused", detail)
        case "full":
            raise _full()
        case "repeated":
            reply = zlib.decompress(stored.answer)
    return web.Response(body=reply, status=202, content_type="application/json")
