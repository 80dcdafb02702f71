"""What an operator does, whether over HTTP or at the console. Each action is told as a fact: who, why, until when.

What is done is a mark that others obey: relays read stops twice a second, so a suspension takes effect within one, also
on what is in their hands. What is asked for twice is done once, and told twice.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog

from services.operator.sites import FOR_EVER_MS
from shared.redis import cancels, jobs, keys, moves, stops
from shared.redis.cancels import Cancel, CancelList
from shared.redis.dead import CannotReplay, Dead, DeadLetters
from shared.redis.link_keys import Generation, LinkKeys, NoneLeft, StillSigns
from shared.redis.moves import Move, MoveList
from shared.redis.ready import ReadyQueues
from shared.redis.redis import Client, Script
from shared.redis.stops import SUSPENDED, Stop, StopList
from shared.redis.tenants import Tenants
from shared.words import events, ids
from shared.words.errors import Problem
from shared.words.pace import EVERY_SOURCE

#: How long one request goes on with what waits; beyond, whoever asks is told that there is more.
BUDGET_S = 5.0

_FORGET = Script.of(__file__, "operator_forget")


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something, of which tenant (of the key; "" at the console), why, and until when (ms, 0: for ever)."""

    who: str
    tenant: str
    why: str
    until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """What was done to `target`; `messages` of how many, where that is known; `more`: there was no time for all."""

    action: str
    target: str
    act: Act
    messages: int = 0
    more: bool = False


class Publisher(Protocol):
    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 2.0, batch: str = "") -> None: ...


class Operator:
    """Every method raises RedisAway; Problem where what is asked for cannot be."""

    def __init__(self, client: Client, partitions: int, publisher: Publisher, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._partitions = partitions
        self._publisher = publisher
        self._now_ms = now_ms
        self._queues = ReadyQueues(client, "email")
        self._stops = StopList(client)
        self._cancels = CancelList(client)
        self._moves = MoveList(client)
        self._letters = DeadLetters(client, partitions)
        self._tenants = Tenants(client)
        self._link_keys = LinkKeys(client, now_ms)
        self._log = structlog.get_logger("operator")

    # Suspend and resume

    async def suspend_site(self, site: str, act: Act, source: str = "") -> Done:
        """Nothing goes to the site, or to the site from this source of ours, until then."""
        name = stops.of_source(site, source) if source else stops.of_site(site)
        await self._suspend(name, "", act)
        if not source:
            partition = ids.name_partition(site, self._partitions)
            await self._queues.lift(partition, site)  # a hold never shrinks, and a suspension may
            await self._queues.hold(partition, site, act.until_ms or FOR_EVER_MS)
        return await self._told(Done("suspend", name, act))

    async def resume_site(self, site: str, act: Act, source: str = "") -> Done:
        """Problem `not_suspended`."""
        name = stops.of_source(site, source) if source else stops.of_site(site)
        await self._resume(name, act)
        if not source:
            await self._queues.lift(ids.name_partition(site, self._partitions), site)
        return await self._told(Done("resume", name, act))

    async def suspend_tenant(self, tenant: str, act: Act) -> Done:
        """Nothing of the tenant's bulk is sent. Problem `unknown_tenant`, `already_stopped`."""
        await self._known(tenant)
        name = stops.of_tenant(tenant)
        await self._suspend(name, tenant, act)
        return await self._told(Done("suspend", name, act))

    async def resume_tenant(self, tenant: str, act: Act) -> Done:
        """Problem `not_suspended`."""
        name = stops.of_tenant(tenant)
        await self._resume(name, act)
        return await self._told(Done("resume", name, act))

    async def suspend_job(self, job: str, act: Act) -> Done:
        """Nothing of the job is sent. Problem `unknown_job`, `already_stopped`."""
        name = stops.of_job(job)
        await self._suspend(name, await self.tenant_of(job), act)
        return await self._told(Done("suspend", name, act))

    async def resume_job(self, job: str, act: Act) -> Done:
        """Problem `unknown_job`, `not_suspended`."""
        name = stops.of_job(job)
        await self.tenant_of(job)
        await self._resume(name, act)
        return await self._told(Done("resume", name, act))

    async def tenant_of(self, job: str) -> str:
        """Whose job it is. Problem `unknown_job`."""
        if ids.is_job_id(job):
            found = await jobs.read(self._client, self._partitions, job, (jobs.TENANT,))
            if found[jobs.TENANT]:
                return found[jobs.TENANT]
        raise Problem("unknown_job", "there is no such job")

    async def _known(self, tenant: str) -> None:
        if await self._tenants.get(tenant) is None:
            raise Problem("unknown_tenant", f"there is no tenant {tenant[:40]!r}")

    async def _suspend(self, name: str, tenant: str, act: Act) -> None:
        now_ms = self._now_ms()
        if 0 < act.until_ms <= now_ms:
            raise Problem("already_over", "`until` has passed: nothing would be suspended")
        epoch = await self._stops.resumed(name)
        told_ms = 0 if tenant else now_ms  # a site is nobody's: who is told of it reads Acted
        stop = Stop(
            SUSPENDED, tenant, now_ms, "operator", epoch=epoch, told_ms=told_ms,
            who=act.who, why=act.why, until_ms=act.until_ms,
        )  # fmt: skip
        if not await self._stops.add(name, stop):
            raise Problem(
                "already_stopped", "a breaker stopped it already, and nothing of it is sent: see GET /v1/stops"
            )
        if tenant:
            fact = events.Stopped(**stops.about_stop(name, stop), reason=SUSPENDED, by="operator")
            await self._publisher.publish([fact], batch=f"stopped.{name}.{stop.since_ms}")
            await self._stops.tell(name, stop, now_ms)

    async def _resume(self, name: str, act: Act) -> None:
        (stop,) = await self._stops.some([name])
        if stop is None or stop.reason != SUSPENDED:
            raise Problem("not_suspended", "no operator suspended it; GET /v1/stops shows what is stopped, and by whom")
        if stop.tenant:
            about = stops.about_resume(name, stop, self._now_ms())
            fact = events.Resumed(**about, reason=SUSPENDED, by="operator")
            await self._publisher.publish([fact], batch=f"resumed.{name}.{stop.since_ms}")
        await self._stops.resume(name, stop)

    # Cancel and bounce

    async def cancel_job(self, job: str, by: str, act: Act) -> Done:
        """Nothing more of it is sent: each recipient who has no end gets Cancelled. `by` is `tenant` or `operator`.
        Problem `unknown_job`, `job_ended`."""
        await self.tenant_of(job)
        if await jobs.has_ended(self._client, self._partitions, job):
            raise Problem("job_ended", "every message of the job has its end; there is nothing to cancel")
        name = cancels.of_job(job)
        await self._cancels.add(name, Cancel("", self._now_ms(), by, act.why))
        done = Done("cancel", name, act)
        return done if by == "tenant" else await self._told(done)

    async def cancel_tenant(self, tenant: str, act: Act) -> Done:
        """The same of all bulk of the tenant that was posted until now. Problem `unknown_tenant`."""
        await self._known(tenant)
        name = cancels.of_tenant(tenant)
        await self._cancels.add(name, Cancel(tenant, self._now_ms(), "operator", act.why))
        return await self._told(Done("cancel", name, act))

    async def cancel_site(
        self, site: str, act: Act, tenant: str = "", how: Literal["cancel", "bounce"] = "cancel"
    ) -> Done:
        """What waits at the site, of all tenants or of one, of jobs that were posted until now. It ends as Cancelled,
        or as Bounced (`block`, which says nothing about addresses). Problem `unknown_tenant`."""
        if tenant:
            await self._known(tenant)
        ends: Literal["cancelled", "bounced"] = "cancelled" if how == "cancel" else "bounced"
        name = cancels.of_site(site, tenant)
        await self._cancels.add(name, Cancel(tenant, self._now_ms(), "operator", act.why, ends))
        return await self._told(Done(how, _at(site, tenant), act))

    # What relays found out, and what waits for later

    async def lift(self, site: str, act: Act, source: str = "") -> Done:
        """Forgets what relays found out of the site: paces, rests, single connections, and ends its holds but for an
        operator's own. Refusals bring them back."""
        forgotten = await _FORGET(
            self._client,
            [keys.pace_changes(), keys.paces(), keys.rests(), keys.single_connections()],
            [site, source],
        )
        (suspended,) = await self._stops.some([stops.of_site(site)])
        if not source and suspended is None:
            forgotten += await self._queues.lift(ids.name_partition(site, self._partitions), site)
        if not forgotten:
            raise Problem("nothing_held", "no pace, rest or hold is known of it: there is nothing to lift")
        return await self._told(Done("lift", stops.of_source(site, source or EVERY_SOURCE), act))

    async def requeue(self, site: str, act: Act) -> Done:
        """What waits for another attempt at the site is due now."""
        loop = asyncio.get_running_loop()
        partition, until = ids.name_partition(site, self._partitions), loop.time() + BUDGET_S
        rank = came = 0
        more = True
        while more and loop.time() < until:
            looked_at, back = await self._queues.requeue(partition, site, rank)
            rank += looked_at - back
            came += back
            more = looked_at > 0
        return await self._told(Done("requeue", stops.of_site(site), act, came, more))

    # Move

    async def move(self, site: str, pool: str, act: Act, tenant: str = "") -> Done:
        """What relays have not in hand yet for the site leaves by this pool of source addresses, of all tenants or of
        one. Problem `unknown_pool`, `unknown_tenant`, `already_over`."""
        now_ms = self._now_ms()
        if tenant:
            await self._known(tenant)
        known = await self._moves.pools()
        if pool not in known:
            raise Problem("unknown_pool", f"no relay knows a pool {pool[:40]!r}; they know {', '.join(sorted(known))}")
        if 0 < act.until_ms <= now_ms:
            raise Problem("already_over", "`until` has passed: nothing would be moved")
        await self._moves.add(moves.name_of(site, tenant), Move(pool, now_ms, act.who, act.why, act.until_ms))
        return await self._told(Done("move", _at(site, tenant), act))

    async def move_back(self, site: str, act: Act, tenant: str = "") -> Done:
        """By the usual pool again. Problem `not_moved`."""
        if not await self._moves.remove(moves.name_of(site, tenant)):
            raise Problem("not_moved", "its mail leaves by the usual pool")
        return await self._told(Done("move back", _at(site, tenant), act))

    # Keys of links

    async def link_keys(self, tenant: str) -> list[Generation]:
        """Their generations, the one that signs last. Problem `unknown_tenant`."""
        await self._known(tenant)
        return await self._link_keys.of(tenant)

    async def rotate_link_keys(self, tenant: str, act: Act) -> Done:
        """New links are signed with a new generation; the former ones lead where they led. Problem `unknown_tenant`,
        `no_generation_left`."""
        await self._known(tenant)
        try:
            begun = await self._link_keys.rotate(tenant)
        except NoneLeft:
            raise Problem("no_generation_left", f"{tenant} had as many as a link has room for") from None
        return await self._told(Done("rotate", _generation(tenant, begun), act))

    async def revoke_link_keys(self, tenant: str, generation: int, act: Act) -> Done:
        """Links of that generation lead nowhere. Problem `unknown_tenant`, `unknown_generation`, `generation_signs`."""
        await self._known(tenant)
        with _of_a_generation(tenant, generation):
            await self._link_keys.revoke(tenant, generation)
        return await self._told(Done("revoke", _generation(tenant, generation), act))

    async def honour_link_keys(self, tenant: str, generation: int, act: Act) -> Done:
        """They lead where they led again. Problem `unknown_tenant`, `unknown_generation`."""
        await self._known(tenant)
        with _of_a_generation(tenant, generation):
            await self._link_keys.honour(tenant, generation)
        return await self._told(Done("honour", _generation(tenant, generation), act))

    # Dead entries

    async def dead(self, stream: str | None, after: str, most: int) -> list[Dead]:
        """Up to so many, of one stream or of all, behind the one of that name."""
        return await self._letters.page(stream, after, most)

    async def dead_entry(self, name: str) -> Dead:
        """Problem `unknown_entry`."""
        found = await self._letters.get(name)
        if found is None:
            raise Problem("unknown_entry", f"there is no dead entry {name[:80]!r}")
        return found

    async def replay(self, name: str, act: Act) -> Done:
        """Puts it back where it came from. Problem `unknown_entry`, `cannot_replay`."""
        dead = await self.dead_entry(name)
        try:
            done = await self._letters.replay(dead)
        except CannotReplay as fault:
            raise Problem("cannot_replay", f"{name} cannot be understood: {fault}") from None
        if not done:
            raise Problem("unknown_entry", f"there is no dead entry {name[:80]!r} any more")
        return await self._told(Done("replay", name, act, 1))

    async def drop(self, name: str, act: Act) -> Done:
        """Gives it up. Problem `unknown_entry`."""
        if not await self._letters.drop(await self.dead_entry(name)):
            raise Problem("unknown_entry", f"there is no dead entry {name[:80]!r} any more")
        return await self._told(Done("drop", name, act, 1))

    # An older copy of the data

    async def restored(self, before: str, act: Act, messages: int) -> Done:
        """What may have been sent was ended (`services.queueing.restoring`)."""
        return await self._told(Done("restore", f"before:{before}", act, messages))

    async def _told(self, done: Done) -> Done:
        """Told as a fact, so that it can be audited."""
        now_ms, act = self._now_ms(), done.act
        fact = events.Acted(
            **events.about(act.tenant, now_ms, "operated", done.action, done.target, act.who, now_ms),
            action=done.action,
            target=done.target,
            who=act.who,
            why=act.why,
            until_at=act.until_ms,
            messages=done.messages,
        )
        await self._publisher.publish([fact])
        self._log.warning(
            "operated", action=done.action, target=done.target, who=act.who, why=act.why, messages=done.messages
        )
        return done


def _generation(tenant: str, number: int) -> str:
    """A generation of a tenant's link keys, as events name it."""
    return f"{stops.of_tenant(tenant)} link-keys:{number}"


@contextmanager
def _of_a_generation(tenant: str, number: int) -> Iterator[None]:
    """Problem `unknown_generation` or `generation_signs`, where it is either."""
    try:
        yield
    except LookupError:
        raise Problem("unknown_generation", f"{tenant} has no generation {number} of link keys") from None
    except StillSigns:
        raise Problem(
            "generation_signs", f"new links of {tenant} are signed with generation {number}: rotate first"
        ) from None


def _at(site: str, tenant: str) -> str:
    """What waits at a site, of all tenants or of one, as events name it."""
    return f"{stops.of_site(site)} {stops.of_tenant(tenant)}" if tenant else stops.of_site(site)
