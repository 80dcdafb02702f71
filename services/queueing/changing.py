"""Changes a job that was not started yet: what it sends, and when.

What is asked is laid over what the job was made from, and the whole is read, compiled and tried as if it had come so.
It is written in one step, which does nothing once the job was started: so a job that comes due meanwhile is sent whole
as it was before or as it is afterwards. Two who change it at a time do it one after the other.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, get_type_hints

import msgspec
import structlog
from msgspec import UNSET

from services.queueing import jobs, reading, starting, whom
from services.queueing.aside import Aside
from services.queueing.compile import Limits
from services.queueing.jobs import Draft, JobRequest
from services.queueing.pieces import pieces, refused
from services.queueing.quotas import Room
from services.queueing.store import Changeable, JobStore
from services.queueing.taking import JOBS, Compiler, Taking, new_job
from services.queueing.taking import wanted as names_needed
from services.queueing.trial import MAX_TRIED, Tried
from shared.http import api
from shared.redis.jobs import New, Start
from shared.redis.recipients import Chunk
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.principal import refused_to_sandbox
from shared.words.times import rfc3339

#: How often a change is made anew because somebody else was faster.
TIMES = 4
#: What a job keeps, with the reason.
KEPT = {
    "recipients": "recipients are appended to an open job, and stay",
    "recipients_from": "recipients are appended to an open job, and stay",
    **dict.fromkeys(whom.FIELDS, "whom it goes to stays: cancel the job, and make another"),
    "stream": "it decides how recipients were taken: make another job",
}


def _change() -> Any:
    """The fields of a job, each of which may be left out: how they are described, for they are read by `jobs`."""
    hints = get_type_hints(JobRequest, include_extras=True)
    fields = [
        (field.name, hints[field.name], msgspec.field(default=UNSET, name=field.encode_name))
        for field in msgspec.structs.fields(JobRequest)
        if field.encode_name not in KEPT
    ]
    shape = msgspec.defstruct("JobChange", fields, frozen=True, forbid_unknown_fields=True, kw_only=True)
    shape.__doc__ = """What is to be another from now on, as in `POST /v1/jobs`; what is left out stays. Whom it goes
    to and `stream` cannot be changed. With `send_at` null, or in the past, a scheduled job starts now;
    an open one is started by its own request."""
    return shape


JobChange = _change()


class JobChanged(msgspec.Struct, frozen=True):
    """The job, as it is from now on."""

    id: Annotated[str, says("The id of the job.", "068vjfm5s9m2rc1jqqrg")]
    state: Annotated[str, says("`open` or `scheduled`.", "scheduled")]
    changed_at: Annotated[str, says("When it was changed.", "2026-01-31T09:05:00.123Z")]
    send_at: Annotated[str | None, says("When it is to be queued.", "2026-02-01T07:00:00.000Z")]
    expires_at: Annotated[
        str | None, says("When its messages expire; null of an open job that does not say.", "2026-02-04T07:00:00.000Z")
    ]
    warnings: Annotated[list[Fault], says("What is hardly meant so.")]


class Changing:
    """Every call raises Problem for what does not fit, and RedisAway."""

    def __init__(
        self,
        store: JobStore,
        taking: Taking,
        compiler: Compiler,
        room: Room,
        aside: Aside,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._taking = taking
        self._compiler = compiler
        self._room = room
        self._aside = aside
        self._now_ms = now_ms
        self._log = structlog.get_logger("queueing")

    async def check(self, principal: api.Principal, job: str) -> None:
        """Before the body is read: Problem 404, 409, or 429 where the quota is used up."""
        self._checked(principal, await self._store.changeable(job))
        await self._room.check(principal.tenant, principal.quotas, {"stored_bytes": 1})

    async def change(self, principal: api.Principal, job: str, body: bytes) -> JobChanged:
        for _ in range(TIMES):
            seen = self._checked(principal, await self._store.changeable(job))
            now_ms = self._now_ms()
            wanted, new, asks_time = await self._changed(principal, job, body, seen, now_ms)
            more = len(new.content) + len(new.source) - len(seen.content) - len(seen.source)
            # One that is a test from now on has no time of its own.
            is_moved = seen.state == "scheduled" and (asks_time or wanted.request.test)
            at_ms = (new.send_at_ms or now_ms) if is_moved else None
            async with self._room.taken(principal.tenant, principal.quotas, {"stored_bytes": max(0, more)}):
                word = await self._store.change(job, new, seen, now_ms, at_ms)
            if word == "changed":
                break
            if word != "again":
                raise _not_changeable(word)
        else:
            raise Problem("changed_meanwhile", "others change the job all the time; nothing was changed")
        JOBS.labels("changed").inc()
        self._log.info("job_changed", job=job, tenant=principal.tenant, state=seen.state)
        return JobChanged(
            id=job,
            state=seen.state,
            changed_at=rfc3339(now_ms),
            send_at=rfc3339(new.send_at_ms) if new.send_at_ms else None,
            expires_at=rfc3339(new.expires_at_ms) if new.expires_at_ms else None,
            warnings=wanted.warnings,
        )

    def _checked(self, principal: api.Principal, found: Changeable) -> Changeable:
        if found.tenant != principal.tenant:
            raise api.unknown_job()
        refused = refused_to_sandbox(principal, "the job is none of the sandbox")
        if refused is not None and not found.sandbox:
            raise refused
        if found.state not in ("open", "scheduled"):
            raise _not_changeable(found.state)
        if not found.source:
            raise Problem(
                "not_changeable", "the job came as a whole mail, or is of before; cancel it, and make another"
            )
        return found

    async def _changed(
        self, principal: api.Principal, job: str, body: bytes, seen: Changeable, now_ms: int
    ) -> tuple[jobs.Job, New, bool]:
        """The job as it is to be, that as it is stored, and whether its time was asked for."""
        tenant, size = principal.tenant, len(body) + len(seen.source)
        whole, faults, asks_time = await self._aside.do(tenant, size, laid_over, seen, body)
        draft = await self._aside.do(tenant, size, _draft, whole, faults, now_ms)
        chunk = await self._store.first_chunk(job)
        if chunk is not None and not chunk.slim:
            draft = replace(draft, stored=tried(chunk))
        draft = await self._taking.with_template(tenant, draft)
        compiled = await self._compiler.compile(draft, Limits(), tenant)
        wanted = await self._aside.do(tenant, size, jobs.finish, draft, compiled)
        # Those of an open job are looked at when it is started.
        needed = names_needed(wanted) if seen.state == "scheduled" else {}
        if lacking := await starting.had_by_nobody(self._store, self._aside, tenant, job, needed):
            raise refused(lacking)
        await self._taking.check_from(principal, wanted.compiled.from_domain)
        start: Start = "open" if seen.state == "open" else "scheduled"
        new = await self._aside.do(tenant, size, new_job, tenant, wanted, now_ms, start, "", seen.sandbox)
        return wanted, new, asks_time


def _not_changeable(state: str) -> Problem:
    what = f"the job is {state}: it was started or cancelled, and only an open or scheduled job is changed"
    return Problem("not_changeable", what)


def laid_over(seen: Changeable, body: bytes) -> tuple[bytes, list[Fault], bool]:
    """The request that makes the job as it is to be; what cannot be asked; and whether the time of sending is."""
    asked = pieces(body)
    faults = [Fault(f"$.{name}", f"cannot be changed: {why}") for name, why in KEPT.items() if name in asked]
    changes = {name: piece.json for name, piece in asked.items() if name not in KEPT}
    fields: dict[str, Any] = msgspec.json.decode(zlib.decompress(seen.source), type=dict[str, msgspec.Raw])
    if seen.state == "scheduled":  # which may be another time than it was made with: it may have been started later
        fields["send_at"] = msgspec.json.encode(rfc3339(seen.send_at_ms))
    fields |= changes
    pairs = (msgspec.json.encode(name) + b":" + bytes(memoryview(value)) for name, value in fields.items())
    return b"{" + b",".join(pairs) + b"}", faults, "send_at" in changes


def _draft(whole: bytes, faults: Sequence[Fault], now_ms: int) -> Draft:
    """Problem 422 with these faults, too, where fields do not fit."""
    try:
        draft = reading.read_draft(whole, open_job=True, now_ms=now_ms, max_recipients=0, kept=True)
    except Problem as problem:
        problem.faults = [*faults, *problem.faults]
        raise
    return replace(draft, faults=[*faults, *draft.faults])


def tried(chunk: Chunk) -> list[Tried]:
    """Those that the content is tried with: the first that are not rejected."""
    accepted = [one for one in chunk.waiting() if one.rejected is None]
    return [Tried(one.email, one.name, one.variables) for one in accepted[:MAX_TRIED]]
