"""The relay's view of what is stopped: read twice a second, so that a stop takes effect within a second.

As long as Redis does not answer, what was known last holds; nothing is leased then either.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog
from prometheus_client import Gauge

from shared.net.remembered import Remembered
from shared.process import clock
from shared.process.lifecycle import pause
from shared.redis import jobs, moves, stops
from shared.redis.cancels import Cancel, CancelList, Cancels
from shared.redis.moves import Move, MoveList
from shared.redis.redis import Client, RedisAway
from shared.redis.stops import Stop
from shared.words import events

#: Twice within the promised second.
POLL_S = 0.5
#: Jobs whose tenant and stream are remembered.
JOBS_KNOWN = 10_000

STOPPED = Gauge("estafette_relay_stops", "Jobs and tenants whose mail is stopped, as this relay knows")


class StopList(Protocol):
    async def all(self) -> Mapping[str, Stop]: ...


class Stops:
    def __init__(
        self, client: Client, partitions: int, stop_list: StopList, now_ms: Callable[[], int] = clock.now_ms
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._list = stop_list
        self._now_ms = now_ms
        self._stops: Mapping[str, Stop] = {}
        self._move_list = MoveList(client)
        self._moves: Mapping[str, Move] = {}
        #: And what is cancelled.
        self.cancels = Cancels(CancelList(client))
        self._owners = Remembered[str, tuple[str, str]](JOBS_KNOWN)
        self._log = structlog.get_logger("relay")

    def reason(self, job: str, tenant: str, stream: str) -> str | None:
        """Why a message of this job is not to be sent now; None if it is."""
        if not self._stops or self.cancels.of(job, tenant, stream) is not None:
            return None  # what is cancelled is to end, stopped or not
        found = self._stops.get(stops.of_job(job))
        if found is None and stream == stops.STOPPED_STREAM:
            found = self._stops.get(stops.of_tenant(tenant))
        return None if found is None else found.reason

    def cancelled(self, ready: events.Ready, site: str) -> Cancel | None:
        """By what the message is cancelled that waits there; None if it is not."""
        return self.cancels.of(ready.job, ready.tenant, ready.stream, site)

    def holds_site(self, site: str) -> bool:
        """An operator suspended the site."""
        return bool(self._stops) and stops.of_site(site) in self._stops

    def holds_source(self, site: str, source: str) -> bool:
        """An operator suspended this source of ours at the site."""
        return bool(self._stops) and stops.of_source(site, source) in self._stops

    def pool_of(self, site: str, tenant: str) -> str:
        """The pool that an operator moved the tenant's mail for the site to; "" for the usual one."""
        if not self._moves:
            return ""
        found = self._moves.get(moves.name_of(site, tenant)) or self._moves.get(moves.name_of(site))
        return found.pool if found else ""

    async def lifted(self, jobs: Sequence[str]) -> list[str]:
        """Those of the jobs that are not stopped any more, or not kept any more: what is parked of them may go on.
        Raises RedisAway."""
        return [job for job in jobs if self.reason(job, *await self._owner(job)) is None]

    async def _owner(self, job: str) -> tuple[str, str]:
        """Tenant and stream of a job, which never change."""
        known = self._owners.known(job)
        if known is None:
            found = await jobs.read(self._client, self._partitions, job, (jobs.TENANT, jobs.STREAM))
            known = (found[jobs.TENANT], found[jobs.STREAM])
            self._owners.keep(job, known)
        return known

    async def load(self) -> None:
        """Reads what is stopped. Raises RedisAway."""
        await self.cancels.load()
        now_ms = self._now_ms()
        moved = await self._move_list.all()
        self._moves = {name: move for name, move in moved.items() if not 0 < move.until_ms <= now_ms}
        found = {name: stop for name, stop in (await self._list.all()).items() if not stop.is_over(now_ms)}
        for name in found.keys() - self._stops.keys():
            self._log.info("stopped", name=name, reason=found[name].reason)
        for name in self._stops.keys() - found.keys():
            self._log.info("resumed", name=name)
        self._stops = found
        STOPPED.set(len(found))

    async def run(self, closed: asyncio.Event) -> None:
        """Keeps the view fresh until the last connection is `closed`. `load` before anything is leased."""
        while not closed.is_set():
            try:
                await self.load()
            except RedisAway as away:
                self._log.warning("stops_unknown", reason=str(away))
            await pause(closed, POLL_S)
