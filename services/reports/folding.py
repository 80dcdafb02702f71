"""What batches of facts added up to is put away in statistics, many batches at a time.

A batch that is counted leaves what it adds in a list, in the step that acknowledges it: one command, however many
numbers it changes. Each second they are added up over all batches that wait, and each number is written once. So the
cost is by number and second, and not by fact, and statistics are a second or two behind.

Nothing is put away twice or lost: the script that writes (`folding_apply.lua`) takes the batches out of the list, and
does nothing if somebody else has taken out any since they were read.
"""

import asyncio
import re
from collections import Counter as Sums
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from prometheus_client import Counter, Gauge

from services.reports.cells import MOST_GROUPS
from services.reports.state import Code
from shared.net.remembered import Remembered
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import jobs, keys, unarchived, usage
from shared.redis.redis import Client, RedisAway, Script
from shared.redis.statistics import OTHER_GROUP, Group, Numbers, day_fields, days_of, group_words, job_fields, part

FOLDED = Counter("estafette_reports_folded_batches_total", "Batches of facts put away in statistics")
WAITING = Gauge("estafette_reports_waiting_batches", "Batches of facts that waited when we looked")
WRITTEN = Counter("estafette_reports_statistics_numbers_total", "Numbers of statistics written")

#: Between two looks, where nothing is left.
EVERY_S = 1.0
#: Batches that are read at a time, and different numbers from which on no further one is added: Redis is busy with
#: what they come to for some ms.
TOGETHER, ENOUGH = 400, 4_000
DAY_MS = 86_400_000
JOBS_KEPT = 10_000

_GROUPS = Script.of(__file__, "folding_groups")
_APPLY = Script.of(__file__, "folding_apply")
_WAITING = msgspec.msgpack.Decoder(list[Any])
_OF_JOB = (jobs.TENANT, jobs.STREAM, jobs.SENDER, jobs.LIST, jobs.CATEGORY, jobs.TAGS, jobs.TEST)
#: What of it a tenant is told as used (`shared.redis.usage`): each message counts once under each.
_METERED = {int(Code.ACCEPTED): "accepted", int(Code.DELIVERED): "delivered"}
_DOMAIN = re.compile(r"@([^@<>\s]+)>?\s*$")

_log = logs.get_logger()


class Owner(NamedTuple):
    """Whose numbers a job's are. `group`: None of a test, which is no part of its tenant's statistics."""

    tenant: str
    group: Group | None


class Hash(NamedTuple):
    """Its name, what is added to its fields, until when (ms) it is kept (0: as long as its job), its field among the
    marks of what is to be in the archive ("": it is not), and the key without which nothing is added."""

    name: str
    fields: Mapping[bytes, int]
    until_ms: int
    mark: str
    needs: str


class Taken(NamedTuple):
    """So many batches, and what they add to each job."""

    batches: int
    numbers: Mapping[str, Sums[int]]


class Folding:
    """`days`: for how long a tenant's day is kept; 0: there are no statistics, and usage alone is put away.
    `is_archived`: there is to be an archive, so
    a day is kept until that has it, too."""

    def __init__(self, client: Client, partitions: int, days: int, is_archived: bool = False) -> None:
        self._client = client
        self._partitions = partitions
        self._days = days
        self._is_archived = is_archived
        self._owners = Remembered[str, Owner](JOBS_KEPT)

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`. Where one partition cannot be folded, the others are."""
        waiting = dict.fromkeys(range(self._partitions), 0)
        held = set() if self._is_archived else set(waiting)
        while not stopping.is_set():
            for p in waiting:
                try:
                    if p in held:
                        await self.release(p)
                        held.remove(p)
                    waiting[p] = await self._client.llen(keys.statistics_waiting(p))
                    WAITING.set(sum(waiting.values()))
                    while not stopping.is_set() and await self.fold(p):
                        pass
                except RedisAway as away:
                    _log.warning("folding_failed", partition=p, reason=str(away))
                except Exception:  # ours, or a server that refuses: counting goes on
                    _log.exception("folding_failed", partition=p)
            await pause(stopping, EVERY_S)

    async def fold(self, p: int) -> bool:
        """Puts away some of what waits in the partition; whether there was anything. RedisAway: it may have
        happened, and may be repeated."""
        known = await self._client.get(keys.statistics_folded(p))
        waiting = await self._client.lrange(keys.statistics_waiting(p), 0, TOGETHER - 1)
        if not waiting:
            return False
        taken = added_up(waiting)
        names = [keys.statistics_waiting(p), keys.statistics_folded(p), keys.statistics_unarchived(p)]
        args: list[str | bytes | int] = [int(known or 0), taken.batches]
        written = 0
        for name, fields, until_ms, mark, needs in await self._hashes(p, taken.numbers):
            names += [name, needs]
            args += [until_ms, mark, len(fields)]
            for field, number in fields.items():
                args += [field, number]
            written += len(fields)
        if await _APPLY(self._client, names, args):
            FOLDED.inc(taken.batches)
            WRITTEN.inc(written)
        return True

    async def release(self, p: int) -> None:
        """What waits for an archive waits no more: there is none. Raises RedisAway."""
        for day in await unarchived.marked(self._client, p):
            await unarchived.settle(self._client, p, day)

    async def _hashes(self, p: int, numbers: Mapping[str, Sums[int]]) -> list[Hash]:
        """What is added, hash by hash."""
        owners = await self._owners_of(list(numbers))
        found = self._usage(p, owners, numbers)
        if self._days == 0:
            return found
        found += [
            Hash(keys.job_statistics(p, job), job_fields(numbers[job]), 0, "", keys.job(p, job))
            for job, owner in owners.items()
            if owner.tenant
        ]
        days: dict[tuple[str, int], dict[Group, Sums[int]]] = {}
        for job, owner in owners.items():
            if owner.tenant and owner.group is not None:
                for day in days_of(numbers[job]):
                    groups = days.setdefault((owner.tenant, day), {})
                    groups.setdefault(owner.group, Sums()).update(numbers[job])
        for (tenant, day), groups in days.items():
            name, until_ms = keys.statistics(p, tenant, day), (day + 1 + self._days) * DAY_MS
            mark = unarchived.field(tenant, day) if self._is_archived else ""
            places = [name, keys.statistics_unarchived(p)]
            known = await _GROUPS(
                self._client, places, [MOST_GROUPS, OTHER_GROUP, until_ms, mark, *map(group_words, groups)]
            )
            sums: Sums[bytes] = Sums()
            for number, of_group in zip(known, groups.values(), strict=True):
                sums.update(day_fields(of_group, day, number))
            found.append(Hash(name, sums, until_ms, mark, keys.statistics_waiting(p)))
        return found

    def _usage(self, p: int, owners: Mapping[str, Owner], numbers: Mapping[str, Sums[int]]) -> list[Hash]:
        """What is added to what tenants used, and is kept whatever becomes of statistics."""
        used: dict[tuple[str, int], Sums[bytes]] = {}
        for job, owner in owners.items():
            if owner.tenant and owner.group is not None:
                for day, word, number in metered(numbers[job]):
                    sums = used.setdefault((owner.tenant, usage.window_of(day)), Sums())
                    sums[usage.field(word, day).encode()] += number
        return [
            Hash(keys.usage(p, tenant, window), sums, usage.until_ms(window), "", keys.statistics_waiting(p))
            for (tenant, window), sums in used.items()
        ]

    async def _owners_of(self, names: Sequence[str]) -> dict[str, Owner]:
        """Whose the jobs are; of one that is not kept any more nobody's, which is not remembered."""
        known = {name: self._owners.known(name) for name in names}
        unknown = [name for name, owner in known.items() if owner is None]
        read = await asyncio.gather(*(jobs.read(self._client, self._partitions, name, _OF_JOB) for name in unknown))
        for name, job in zip(unknown, read, strict=True):
            owner = known[name] = owner_of(job)
            if owner.tenant:
                self._owners.keep(name, owner)
        return {name: owner for name, owner in known.items() if owner is not None}


def metered(numbers: Numbers) -> Iterator[tuple[int, str, int]]:
    """What these add to usage: day, word and number."""
    for key, number in numbers.items():
        hour, _, _, _, code = part(key)
        if (word := _METERED.get(code)) is not None:
            yield hour // 24, word, number


def owner_of(job: jobs.Job) -> Owner:
    """From the fields of a job."""
    if job[jobs.TEST]:
        return Owner(job[jobs.TENANT], None)
    domain = _DOMAIN.search(job[jobs.SENDER])
    group = Group(
        job[jobs.STREAM], domain[1].lower() if domain else "", job[jobs.LIST], job[jobs.CATEGORY], job[jobs.TAGS]
    )
    return Owner(job[jobs.TENANT], group)


def added_up(waiting: Sequence[bytes]) -> Taken:
    """The first of these batches, as many as come to enough."""
    numbers: dict[str, Sums[int]] = {}
    different = 0
    for batches, packed in enumerate(waiting):
        if different >= ENOUGH:
            return Taken(batches, numbers)
        flat = _WAITING.decode(packed)
        for key, pairs in zip(flat[::2], flat[1::2], strict=True):
            sums = numbers.setdefault(key.rpartition(":")[2], Sums())
            before = len(sums)
            for cell, number in zip(pairs[::2], pairs[1::2], strict=True):
                sums[cell] += number
            different += len(sums) - before
    return Taken(len(waiting), numbers)
