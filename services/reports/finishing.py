"""Tells, once for each job, that every message of it has its end, and what became of them.

Whatever may end a job makes it be looked at: the count of a message's end (`store_apply.lua`), and queueing when it has
decided about the last recipient. Both note it in the script that does it, so nothing is forgotten whoever dies; who
looks takes the note away only if nothing was noted since. The mark that it was told, and the fact, are written in one
script: several processes may look, and one tells.

The figures are those of reports, whose sum is the total. A job from before an installation could tell has no note, and
is told of only if a message of it still gets its end.
"""

import asyncio
from collections.abc import Callable

from prometheus_client import Counter

from services.reports import state
from services.reports.state import ACCEPTED, State, Tally
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import jobs, keys
from shared.redis.redis import Client, RedisAway, Script
from shared.words import events

LOOK_S = 0.5
#: Jobs of a partition that one look takes up.
LOOKED_AT = 200
#: Every byte that a message may have.
_BYTES = [byte for one in State for byte in (int(one), int(one) | ACCEPTED)]
_STATES = [f"state:{byte}" for byte in _BYTES]

FINISHED = Counter("estafette_reports_finished_jobs_total", "Jobs of which it was told that they have ended")

_TELL = Script.of(__file__, "finishing_tell", kept=True)

_log = logs.get_logger()


class Finishing:
    """`now_ms` is the clock."""

    def __init__(self, client: Client, partitions: int, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._partitions = partitions
        self._now_ms = now_ms

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`."""
        while not stopping.is_set():
            try:
                await self.look()
            except RedisAway as away:
                _log.warning("finishing_failed", reason=str(away))
            except Exception:  # ours, or a server that refuses: counting goes on
                _log.exception("finishing_failed")
            await pause(stopping, LOOK_S)

    async def look(self) -> int:
        """At all that may have ended; of how many that was told. RedisAway."""
        return sum(await asyncio.gather(*map(self._look_at, range(self._partitions))))

    async def _look_at(self, p: int) -> int:
        found = await self._client.zrange(keys.finishing(p), 0, LOOKED_AT - 1, withscores=True)
        told = 0
        for name, happened in found:
            told += await self._tell(p, name.decode(), int(happened))
        return told

    async def _tell(self, p: int, name: str, happened: int) -> bool:
        job, counts = await asyncio.gather(
            jobs.read(self._client, self._partitions, name, (jobs.TENANT, jobs.STATE, jobs.TOTAL)),
            self._client.hmget(keys.job_counts(p, name), _STATES),
        )
        figures = state.tally({byte: int(number or 0) for byte, number in zip(_BYTES, counts, strict=True)})
        body = b""
        if job[jobs.STATE] == "queued" and figures.ended >= job[jobs.TOTAL]:
            body = events.encode(finished(name, job[jobs.TENANT], job[jobs.TOTAL], figures, self._now_ms()))
        names = [
            keys.job(p, name), keys.job_counts(p, name), keys.events(p), keys.finishing(p), keys.job_files(p, name),
            keys.job_file_uses(p, name),
        ]  # fmt: skip
        is_told = bool(await _TELL(self._client, names, [name, happened, events.MAJOR_VERSION, body]))
        if is_told:
            FINISHED.inc()
            _log.info("finished", job=name, tenant=job[jobs.TENANT], messages=job[jobs.TOTAL])
        return is_told


def finished(job: str, tenant: str, total: int, figures: Tally, now_ms: int) -> events.Finished:
    """The fact."""
    return events.Finished(
        **events.about(tenant, now_ms, "Finished", job, job=job),
        total=total,
        delivered=figures.delivered,
        bounced=figures.bounced,
        expired=figures.expired,
        failed=figures.failed,
        suppressed=figures.at_queueing + figures.at_attempt,
        rejected=figures.rejected,
        cancelled=figures.cancelled_at_queueing + figures.cancelled_later,
    )
