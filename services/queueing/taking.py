"""Takes a job: from the bytes of a request to a job that is stored, whoever brings them."""

import zlib
from collections.abc import Callable
from hashlib import blake2b
from typing import Annotated, Any, Protocol

import msgspec
import structlog
from prometheus_client import Counter

from services.queueing import jobs, lacking, own_files, reading, recipients, undefined, windows
from services.queueing.aside import Aside
from services.queueing.compile import Limits
from services.queueing.jobs import Draft
from services.queueing.quotas import Room
from services.queueing.store import JobStore, Stored, counted_bytes
from services.queueing.templates import Kept, Used, filled
from shared.http import api
from shared.mail import addresses
from shared.mail.domain_names import InvalidDomain
from shared.net.requests import current_id, current_trace
from shared.redis.jobs import New, Start
from shared.redis.ready import LANES
from shared.redis.result_sets import ResultSets
from shared.redis.sending_domains import DomainTaken, NotShown
from shared.words import content, ids, result_sets, targets, timing
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.principal import refused_domain
from shared.words.result_sets import Expression
from shared.words.targets import Target

JOBS = Counter("estafette_queueing_jobs_total", "Jobs by how their request ended", ["result"])


class RejectedRecipient(msgspec.Struct, frozen=True):
    """A recipient that will not be mailed, and why, in one word."""

    index: Annotated[int, says("The place in `recipients`, or in `to`, `cc` and `bcc` as one list, from 0.", 3)]
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
    state: Annotated[str, says("`queueing`, `selecting`, `scheduled` or `open`.", "queueing")]
    accepted: Annotated[int, says("How many recipients will be mailed.", 1)]
    rejected: Annotated[list[RejectedRecipient], says("Who will not be, and why.")]
    messages: Annotated[list[NamedMessage], says("The messages, in the order of the recipients.")]
    warnings: Annotated[list[Fault], says("What is hardly meant so.")]


class Tenants(Protocol):
    async def get(self, name: str) -> Any: ...


class SendingDomains(Protocol):
    async def for_sending(self, tenant: str, domain: str, *, any_from_domain: bool, most: int | None = None) -> Any: ...


class Compiler(Protocol):
    """`compiling`."""

    async def compile(self, draft: Draft, limits: Limits, tenant: str) -> content.CompiledContent | list[Fault]: ...


class Contacts(Protocol):
    async def is_here(self) -> bool:
        """Whether this installation has contacts."""
        ...


class Templates(Protocol):
    async def whole(self, tenant: str, name: str, number: int | None = None) -> tuple[Kept, Used] | None:
        """A template in its layout, the newest version or that one. LookupError: the layout is not there."""
        ...


class Taking:
    """Every call raises Problem for what does not fit, and RedisAway."""

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
        sets: ResultSets,
        contacts: Contacts,
        templates: Templates,
    ) -> None:
        self._templates = templates
        self._sets = sets
        self._contacts = contacts
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

    async def take(
        self,
        principal: api.Principal,
        body: bytes,
        *,
        open_job: bool = False,
        key_digest: str = "",
        repeated: bool = False,
        purpose: str = "",
    ) -> tuple[Stored, bytes]:
        """What became of it, and the answer if it was stored. `key_digest` names the request, of which one answer is
        kept; `repeated`: one is. `purpose` is what an opt-in that the job asks for is for."""
        tenant, size = principal.tenant, len(body)
        now_ms = self._now_ms()
        draft = await self._aside.do(
            tenant,
            size,
            reading.read_draft,
            body,
            open_job=open_job,
            now_ms=now_ms,
            max_recipients=self._max_recipients,
        )
        draft = await self.with_template(tenant, draft)
        compiled = await self._compiler.compile(draft, Limits(), tenant)
        job = await self._aside.do(tenant, size, jobs.finish, draft, compiled)
        return await self.keep(
            principal, job, body, open_job=open_job, key_digest=key_digest, repeated=repeated, purpose=purpose
        )

    async def keep(
        self,
        principal: api.Principal,
        job: jobs.Job,
        body: bytes,
        *,
        open_job: bool = False,
        key_digest: str = "",
        repeated: bool = False,
        purpose: str = "",
        dsn: bytes = b"",
    ) -> tuple[Stored, bytes]:
        """As `take`, of a job that is whole. `body` is what a repeated request has to have in common with the first;
        `dsn` is what its sender wants to be told by mail."""
        tenant, own, size = principal.tenant, principal.quotas, len(body)
        wanted = {"stored_bytes": 1, "open_jobs": int(open_job), "idempotency_keys": int(bool(key_digest))}
        now_ms = self._now_ms()
        await self._check_selection(tenant, job)
        await self.check_from(principal, job.compiled.from_domain)
        partition = ids.name_partition(key_digest, self._partitions) if key_digest else None
        start: Start = "open" if open_job else "scheduled" if job.send_at_ms else "queueing"
        if start == "queueing" and job.selection is not None:
            start = "selecting"
        chunks = await self._aside.do(tenant, size, recipients.chunks, job.waiting)
        files = own_files.used(job.waiting, job.files)
        if start == "queueing":
            wanted[f"intake_chunks:{LANES[job.request.stream]}"] = len(chunks)
        while True:
            job_id = ids.new_job_id(now_ms, self._chance(6), self._partitions, partition)
            reply = await self._aside.do(tenant, size, _reply, job_id, start, job)
            idempotency = None
            if key_digest:
                told = await self._aside.do(tenant, size, _idempotency, body, start, reply)
                idempotency = (key_digest, *told)
            apart = principal.is_sandbox
            new = await self._aside.do(tenant, size, new_job, tenant, job, now_ms, start, purpose, apart, dsn)
            carried = sum(len(chunk) for _, chunk in chunks) + sum(len(file.content) for file in files)
            wanted["stored_bytes"] = counted_bytes(new) + carried
            async with self._room.taken(tenant, own, {} if repeated else wanted):
                stored = await self._store.store(job_id, new, chunks, start, job.send_at_ms, idempotency, files)
            if stored.word != "taken":
                break
        JOBS.labels(stored.word).inc()
        if stored.word == "stored":
            own_files.FILE_BYTES.inc(sum(len(file.content) for file in files))
        if stored.word == "stored":
            self._log.info("job_stored", job=job_id, tenant=tenant, recipients=len(job.waiting), state=start)
        return stored, reply

    async def with_template(self, tenant: str, draft: Draft) -> Draft:
        """The draft, with what the template has that it names. Problem 422 if there is none."""
        named = draft.request.template
        if named is None:
            return draft
        name, version = (named, None) if isinstance(named, str) else (named.name, named.version)
        try:
            found = await self._templates.whole(tenant, name, version)
            what = f"there is no template {name!r:.80}" + ("" if version is None else f" in version {version}")
        except LookupError as layout:
            found, what = None, f"the template stands in the layout {layout}, and there is none of that name"
        if found is None:
            raise Problem("invalid_job", "the job has one fault; nothing was stored", [Fault("$.template", what)])
        return filled(draft, *found)

    async def _check_selection(self, tenant: str, job: jobs.Job) -> None:
        """Problem 422 if its set names what is not there, 409 if it is contacts, and there are none."""
        if isinstance(job.selection, Target):
            if not await self._contacts.is_here():
                what = "`recipients_from` names contacts, and this installation has none (contacts.url), or not yet"
                raise Problem("contacts_disabled", what)
            return
        if job.selection is not None and (missing := (await self._sets.named(tenant, job.selection))[1]):
            number = "one fault" if len(missing) == 1 else f"{len(missing)} faults"
            raise Problem("invalid_job", f"the job has {number}; nothing was stored", missing)

    async def check_from(self, principal: api.Principal, domain: str) -> None:
        """Problem if it is not a domain that the caller may send from."""
        if (refused := refused_domain(principal, domain)) is not None:
            raise refused
        try:
            await self._check_domain(principal, domain)
        except InvalidDomain as fault:
            raise Problem("invalid_job", "the job has one fault", [Fault("$.from", str(fault))]) from fault
        except NotShown as fault:
            raise Problem("sending_domain_not_shown", str(fault), [Fault("$.from", str(fault))]) from fault
        except (DomainTaken, LookupError) as fault:
            what = f"{domain} is not a sending domain of this tenant: add it with POST /v1/domains"
            raise Problem("unknown_sending_domain", what, [Fault("$.from", what)]) from fault

    async def check_sender(self, principal: api.Principal, address: str, from_domain: str) -> None:
        """Problem if it is not an envelope sender that the caller may be told things at: at a domain that was shown to
        be theirs, or that of From, of which `keep` asks."""
        domain = addresses.parse(address).domain
        if domain == from_domain:
            return
        if (refused := refused_domain(principal, domain)) is not None:
            raise refused
        try:
            await self._domains.for_sending(principal.tenant, domain, any_from_domain=False)
        except (InvalidDomain, DomainTaken, LookupError) as fault:
            what = f"{domain} is no sending domain of this tenant that was shown to be theirs: no report can go there"
            raise Problem("unknown_sending_domain", what, [Fault("$.dsn.sender", what)]) from fault

    async def _check_domain(self, principal: api.Principal, domain: str) -> None:
        """Whose domain it is, is remembered. Who may write From any other is asked where that is not enough."""
        tenant = principal.tenant
        try:
            await self._domains.for_sending(tenant, domain, any_from_domain=False)
        except (DomainTaken, LookupError):
            found = await self._tenants.get(tenant)
            if found is None or not found.any_from_domain:
                raise
            most = self._room.limits(principal.quotas)["domains"]
            await self._domains.for_sending(tenant, domain, any_from_domain=True, most=most)


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


def new_job(
    tenant: str,
    job: jobs.Job,
    now_ms: int,
    start: Start,
    purpose: str = "",
    sandbox: bool = False,
    dsn: bytes = b"",
) -> New:
    """As it is stored. Of one that may be changed before it starts with what it was made from."""
    request = job.request
    # Whoever tries a job wants to see it now.
    timed = None if request.test else windows.read(request.window, request.spread, request.best_hour)[0]
    max_age_ms = jobs.MAX_AGE_MS[request.stream] + windows.longer_ms(timed)
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
        test=request.test or sandbox,  # it counts nothing either
        sandbox=sandbox,
        viewable=content.is_viewable(job.compiled),
        request=current_id(),
        trace=current_trace(),
        sender=request.from_[:320],
        subject=request.subject[:200],
        list=request.list_ or "",
        once=request.once or "",
        category=request.category or "",
        tags=tuple(request.tags),
        language=jobs.language_of(request.html or request.mjml or ""),
        purpose=purpose,
        dsn=dsn,
        template=job.template,
        selection=_packed(job.selection),
        timing=timing.packed(timed),
        undefined=undefined.packed(needed) if start == "open" and (needed := wanted(job)) else b"",
        source=jobs.pack_source(job.own or request)
        if start in ("open", "scheduled") and not job.compiled.given
        else b"",
    )


def wanted(job: jobs.Job) -> dict[str, Fault]:
    """The variables that one of the job's recipients has to have, at least, with what is said if nobody does."""
    if job.request.undefined == "warn":
        return {}
    return jobs.wanted(job.request, lacking.without_default(job.compiled))


def _packed(selection: Expression | Target | None) -> bytes:
    match selection:
        case None:
            return b""
        case Target():
            return msgspec.json.encode(targets.packed(selection))
        case Expression(node):
            return msgspec.json.encode(result_sets.packed(node))


def answered(stored: Stored, reply: bytes) -> bytes:
    """What is answered. Problem if it was not stored."""
    match stored.word:
        case "reused":
            detail = "this Idempotency-Key was used with another request in the last 24 hours"
            raise Problem("idempotency_key_reused", detail)
        case "full":
            raise full()
        case "repeated":
            return zlib.decompress(stored.answer)
    return reply


def full() -> Problem:
    return Problem("engine_full", "too much waits to be queued; try again", headers={"Retry-After": "5"})
