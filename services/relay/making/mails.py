"""The mails of jobs: content loaded once a job, rendered and signed once a message."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import msgspec
import structlog
from prometheus_client import Counter, Histogram

from services.relay.making.own_files import LostFile, OwnFiles, added_bytes
from services.relay.message.mail import Made, Unmade
from services.relay.signing.dkim import Draft, Signer, draft, relaxed_body
from shared.mail.dkim_keys import CannotOpen, InvalidKey
from shared.mail.dkim_rotation import Key
from shared.mail.domain_names import InvalidDomain
from shared.mail.templates import Name, TemplateFailed
from shared.making import feedback
from shared.making.attaching import attached_to
from shared.making.render import Renderer, RenderFailed
from shared.making.rendering import Asked
from shared.net.remembered import Remembered
from shared.process.sandbox import Unavailable
from shared.redis import jobs
from shared.redis.ready import LANES
from shared.redis.redis import Client
from shared.redis.sending_domains import DomainTaken
from shared.words import content, events, ids
from shared.words.sending_domain import SendingDomain
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys

#: Jobs whose compiled content is kept, those used last. A campaign is one; transactional mails come one a job.
JOBS_KEPT = 200
#: And how large their contents may be together: one with attachments can have 14 MB.
CONTENT_BYTES_KEPT = 64 * 1024 * 1024
#: Contents that are remembered beyond their job, and how long one may be: transactional mails of one kind come as jobs
#: of the same bytes (`queueing.compiling`).
CONTENTS_KEPT, MOST_CONTENT_BYTES = 100, 65_536
#: Private keys are opened and loaded once.
SIGNERS_KEPT = 1000
#: How long a job goes on without asking again whose its domain is, and what signs for it: that is remembered already.
DOMAIN_MS = 1_000
#: A domain whose keys cannot be opened is logged so often, and so many of them are remembered.
TELL_AGAIN_MS = 60_000
DOMAINS_TOLD = 1_000

RENDERED = Counter("estafette_relay_rendered_mails_total", "Mails rendered, by result", ["result"])
_rendered, _rendered_elsewhere, _failed, _lost = map(
    RENDERED.labels, ("rendered", "rendered_elsewhere", "failed", "lost_attachment")
)
LOAD_SECONDS = Histogram("estafette_relay_content_load_seconds", "Time to load and prepare the content of a job")


class Domains(Protocol):
    """`shared.redis.sending_domains`."""

    async def for_sending(self, tenant: str, domain: str, *, any_from_domain: bool) -> SendingDomain: ...

    async def of_installation(self, domain: str) -> SendingDomain | None: ...

    def private_key(self, domain: str, key: Key) -> str: ...


class Returning(Protocol):
    """`returning`."""

    async def domain_of(self, sending: SendingDomain) -> str: ...


class Signatures(Protocol):
    """`signatures`."""

    async def fields(self, draft: Draft, lane: int = 0) -> bytes:
        """The DKIM-Signature fields of a mail."""


class Untracked(Protocol):
    """Who withdrew their consent to be tracked, as this process knows (`shared.redis.untracked`)."""

    def has_any(self, tenant: str) -> bool: ...

    def is_withdrawn(self, tenant: str, marks: Iterable[bytes]) -> bool: ...


class Rendering(Protocol):
    """`rendering`."""

    async def texts(self, asked: Asked, tenant: str) -> Mapping[Name, str]:
        """The parts that hold logic, rendered. TemplateFailed, Unavailable."""


class RendererOf(Protocol):
    def __call__(self, base_url: str, *, job: str) -> Renderer: ...


@dataclass(slots=True)
class Work:
    """What the mails of a job are made with. `signers` is empty where mails leave unsigned; `good_until` is when (ms)
    they have to be asked for again; `complaints`: one of them makes CFBL-Address valid; `size_bytes` is that of the
    compiled content; `rate` is the job's own, or empty; `return_domain` is that of the return paths. Links begin with
    `links` and are signed with that `generation` of the tenant's keys; `renderer_of` makes a renderer where either is
    another now. `dated_ms` is the Date of all mails, where they are copies of one; else 0. With `null_sender` nothing
    comes back."""

    job: str
    stream: str
    from_domain: str
    renderer: Renderer
    size_bytes: int
    rate: str = ""
    return_domain: str = ""
    signers: Sequence[Signer] = ()
    complaints: bool = False
    good_until: int = 0
    links: str = ""
    generation: int = 0
    renderer_of: RendererOf | None = None
    dated_ms: int = 0
    null_sender: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """What every mail of this installation carries: where links lead, where mail comes back to, and how both are
    signed; chance of this process for the marks in templates (`layout.Marks`); the last part of Feedback-ID; and
    whether mails get a DKIM signature (`relay.dkim`)."""

    base_url: str
    bounce_domain: str
    tokens: TokenKeys
    verp: VerpKeys
    marks_key: bytes
    sender_id: str = ""
    dkim: bool = True


class Mails:
    """Makes mails; see `relay.Mails`."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        domains: Domains,
        origin: Origin,
        signatures: Signatures,
        rendering: Rendering,
        now_ms: Callable[[], int],
        returning: Returning | None = None,
        untracked: Untracked | None = None,
    ) -> None:
        self._returning = returning
        self._untracked = untracked
        self._client = client
        self._partitions = partitions
        self._domains = domains
        self._origin = origin
        self._signatures = signatures
        self._rendering = rendering
        self._now_ms = now_ms
        self._own_files = OwnFiles(client, partitions)
        self._works: OrderedDict[str, Work] = OrderedDict()
        self._kept_bytes = 0
        self._loading: dict[str, asyncio.Task[Work | Unmade]] = {}
        self._signers = Remembered[tuple[str, str], Signer](SIGNERS_KEPT)
        self._alike = Remembered[tuple[str, bytes, bool], Work](CONTENTS_KEPT)
        self._told_until: dict[str, int] = {}
        self._log = structlog.get_logger("relay")

    async def make(self, ready: events.Ready, *, signed: bool = True) -> Made | Unmade:
        """The mail of a message, or why there is none; not `signed`: the host that takes it signs it, if anybody does.
        Raises RedisAway."""
        now_ms = self._now_ms()
        kept = self._works.get(ready.job)
        work = kept if kept is not None and now_ms < kept.good_until else await self._load(ready)
        if isinstance(work, Unmade):
            return work
        if not ready.untracked and self.is_withdrawn(ready):
            ready = msgspec.structs.replace(ready, untracked=True)
        try:
            renderer = work.renderer.of(ready)
            complaints = work.complaints and signed  # CFBL-Address is worth nothing without a signature
            asked, dated_ms = renderer.asked(ready), work.dated_ms or now_ms
            if asked is None:
                mail = renderer.render(ready, dated_ms, complaints=complaints)
            else:
                texts = await self._rendering.texts(asked, ready.tenant)
                mail = renderer.render(ready, dated_ms, complaints=complaints, texts=texts, pages=asked.pages)
        except Unavailable as away:
            return Unmade("rendering_unavailable", str(away), final=False)
        except (RenderFailed, TemplateFailed) as failed:
            _failed.inc()
            reason = failed.reason if isinstance(failed, RenderFailed) else "render_failed"
            return Unmade(reason, str(failed), final=True)
        if ready.files:
            try:
                mail = attached_to(mail, await self._own_files.of(ready))
            except LostFile as lost:
                _lost.inc()
                return Unmade(events.LOST_ATTACHMENT, str(lost), final=True)
        (_rendered if asked is None else _rendered_elsewhere).inc()
        signatures = b""
        if signed and (signers := work.signers):
            body = mail.body if mail.is_relaxed else relaxed_body(mail.body)
            drafted = draft(signers, mail.headers, body, now_ms // 1000)
            signatures = await self._signatures.fields(drafted, LANES[work.stream])
        named = not work.null_sender
        return_path = self._origin.verp.return_path(ready.job, ready.ordinal, work.return_domain) if named else ""
        message, wire_ready = mail.assemble(signatures), mail.is_wire_ready
        return Made(return_path, message, work.stream, mail.smtputf8, work.rate, wire_ready, not ready.untracked)

    def is_withdrawn(self, ready: events.Ready) -> bool:
        """Whether its recipient withdrew their consent to be tracked, since it was queued maybe."""
        untracked, tenant = self._untracked, ready.tenant
        if untracked is None or not untracked.has_any(tenant):
            return False
        return untracked.is_withdrawn(tenant, self._origin.tokens.marks(tenant, ready.email))

    def size_bytes(self, ready: events.Ready) -> int | None:
        """About how large the mail of a message is; None if its job is not known yet."""
        work = self._works.get(ready.job)
        return None if work is None else work.size_bytes + len(ready.variables) + added_bytes(ready)

    async def _load(self, ready: events.Ready) -> Work | Unmade:
        """Once, however many workers ask for the same job at the same time."""
        task = self._loading.get(ready.job)
        if task is None:
            task = self._loading[ready.job] = asyncio.create_task(self._renewed(ready.job, ready.tenant))
            task.add_done_callback(lambda _: self._loading.pop(ready.job, None))
        return await asyncio.shield(task)

    async def _renewed(self, job: str, tenant: str) -> Work | Unmade:
        """The job's, with a signer that may be used now."""
        work = self._works.get(job) or await self._prepare(job, tenant)
        if isinstance(work, Unmade):
            return work
        self._keep(job, work)
        try:
            await self._sign_with(work, tenant)
        except (InvalidDomain, DomainTaken, LookupError):
            # The tenant reads this in its events: whose else it is, it is not told.
            detail = f"{work.from_domain} is not a sending domain of {tenant}, or not shown to be theirs"
            return Unmade("unknown_sending_domain", detail, final=False)
        except (CannotOpen, InvalidKey) as unreadable:
            # Not sent unsigned, and not lost: with the right master secret it is signed at a later attempt.
            self._tell_unreadable(work.from_domain, str(unreadable))
            return Unmade("unreadable_dkim_key", str(unreadable), final=False)
        work.good_until = self._now_ms() + DOMAIN_MS
        return work

    def _tell_unreadable(self, domain: str, reason: str) -> None:
        """Loudly, for all mail of the domain waits; and not with each of them."""
        now_ms = self._now_ms()
        if now_ms >= self._told_until.get(domain, 0):
            if len(self._told_until) >= DOMAINS_TOLD:
                self._told_until.clear()
            self._told_until[domain] = now_ms + TELL_AGAIN_MS
            advice = "is this the master secret that it was made under? secret.previous_key_files names former ones"
            self._log.error("unreadable_dkim_key", domain=domain, reason=reason, advice=advice)

    def _keep(self, job: str, work: Work) -> None:
        if job not in self._works:
            self._kept_bytes += work.size_bytes
        self._works[job] = work
        self._works.move_to_end(job)
        while len(self._works) > JOBS_KEPT or (self._kept_bytes > CONTENT_BYTES_KEPT and len(self._works) > 1):
            _, oldest = self._works.popitem(last=False)
            self._kept_bytes -= oldest.size_bytes

    async def _prepare(self, job: str, tenant: str) -> Work | Unmade:
        with LOAD_SECONDS.time():
            wanted = (jobs.CONTENT, jobs.TEST, jobs.STARTED_AT)
            stored = await jobs.read(self._client, self._partitions, job, wanted)
            packed = stored[jobs.CONTENT]
            if not packed:
                return Unmade("no_such_job", f"job {job} is not stored", final=True)
            name = tenant, packed, stored[jobs.TEST]
            like = self._alike.known(name) if len(packed) <= MOST_CONTENT_BYTES else None
            if like is not None and (work := self._for_job(like, job, tenant)) is not None:
                return work
            compiled = content.decode(packed)
            origin = self._origin
            renderer_of = partial(_renderer, compiled, origin=origin, tenant=tenant, test=stored[jobs.TEST])
            renderer = renderer_of(origin.base_url, job=job)
            size_bytes, links = len(packed), origin.base_url
            work = Work(job, compiled.stream, compiled.from_domain, renderer, size_bytes, compiled.rate, links=links)
            work.renderer_of, work.generation = renderer_of, origin.tokens.generations.current(tenant)
            if compiled.to_and_cc:
                work.dated_ms = stored[jobs.STARTED_AT] or ids.job_created_ms(job)
            elif size_bytes <= MOST_CONTENT_BYTES:
                self._alike.keep(name, work)
            work.null_sender = compiled.null_sender
            return work

    def _for_job(self, like: Work, job: str, tenant: str) -> Work | None:
        """What the mails of another job with the same content are made with; None if it has to be made anew."""
        if like.generation != self._origin.tokens.generations.current(tenant):
            return None
        renderer = like.renderer.for_job(job)
        return None if renderer is None else replace(like, job=job, renderer=renderer, good_until=0)

    async def _sign_with(self, work: Work, tenant: str) -> None:
        """The keys of the From domain, which has to be the tenant's even where nothing is signed. CFBL-Address asks for
        one of the return path's domain too if that is another: just one, the one that all verifiers read, because it
        costs more than the rest of the mail."""
        domain = await self._domains.for_sending(tenant, work.from_domain, any_from_domain=False)
        ours = self._origin.bounce_domain
        links = domain.links or self._origin.base_url
        generation = self._origin.tokens.generations.current(tenant)
        if (links, generation) != (work.links, work.generation) and work.renderer_of is not None:
            renderer = work.renderer_of(links, job=work.job)
            work.renderer, work.links, work.generation = renderer, links, generation
        work.return_domain = ours if self._returning is None else await self._returning.domain_of(domain)
        if not self._origin.dkim:
            return
        signers = [self._signer(domain.domain, key) for key in domain.signing]
        covering = feedback.covering_domain(domain.domain, self._origin.bounce_domain.lower())
        if covering != domain.domain and work.stream in feedback.STREAMS:
            owned = await self._domains.of_installation(covering)
            signers += [self._signer(owned.domain, key) for key in owned.signing[:1]] if owned is not None else []
        work.signers = tuple(signers)
        work.complaints = any(signer.domain == covering for signer in signers)

    def _signer(self, domain: str, key: Key) -> Signer:
        name = (domain, key.selector)
        known = self._signers.known(name)
        if known is None:
            known = Signer(domain, key.selector, self._domains.private_key(domain, key))
            self._signers.keep(name, known)
        return known


def _renderer(
    compiled: content.CompiledContent, base_url: str, *, origin: Origin, job: str, tenant: str, test: bool
) -> Renderer:
    return Renderer(
        compiled,
        job=job,
        tenant=tenant,
        tokens=origin.tokens,
        verp=origin.verp,
        base_url=base_url,
        bounce_domain=origin.bounce_domain,
        marks_key=origin.marks_key,
        sender_id=origin.sender_id,
        test=test,
    )
