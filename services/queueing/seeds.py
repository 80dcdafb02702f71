"""The seed list of a tenant: addresses of theirs that get a copy of each job of `bulk`, to see what arrives, and where.

The copy is a job of its own, with the content of the first and the variables of one of its recipients. It is marked as
a test, so it counts in its own report alone, and as a copy (`seeds_of`). Its id is a function of the first job's, and
it is made before the first chunk of that is finished: whoever queues the chunk again finds it there.
"""

from collections.abc import Callable, Sequence

import msgspec
import structlog
from prometheus_client import Counter

from services.queueing.recipients import chunks
from services.queueing.store import Head, JobStore
from shared.net.remembered import Remembered
from shared.redis import jobs, keys
from shared.redis.recipients import Waiting
from shared.redis.redis import Client
from shared.words import ids
from shared.words.consent import MARKETING_STREAM

MOST = 100
#: How old the list may be: a change holds within a second.
LIST_S = 0.5
TENANTS_KEPT = 10_000
#: The chunk of a copy waits however much else does: the job that it is a copy of was let in.
ANY_NUMBER = 2**31

COPIES = Counter("estafette_queueing_seed_copies_total", "Copies of mails handed over for seed lists, an address each")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, ...]).decode
#: What a copy has of the job.
_COPIED = (
    jobs.CONTENT, jobs.MAX_AGE_MS, jobs.SENDER, jobs.SUBJECT, jobs.LIST, jobs.CATEGORY, jobs.TAGS, jobs.LANGUAGE,
)  # fmt: skip


class SeedLists:
    """`monotonic` is a clock in seconds. Raises RedisAway."""

    def __init__(self, client: Client, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._known = Remembered[str, tuple[str, ...]](TENANTS_KEPT, monotonic)

    async def of(self, tenant: str) -> tuple[str, ...]:
        """Half a second old at most."""
        known = self._known.known(tenant)
        if known is None:
            stored = await self._client.hget(keys.seed_lists(), tenant)
            known = () if stored is None else _decode(stored)
            self._known.keep(tenant, known, LIST_S)
        return known

    async def put(self, tenant: str, addresses: Sequence[str]) -> None:
        if addresses:
            await self._client.hset(keys.seed_lists(), tenant, _encode(addresses))
        else:
            await self._client.hdel(keys.seed_lists(), tenant)
        self._known.forget(tenant)


class Seeds:
    """Raises RedisAway."""

    def __init__(self, client: Client, partitions: int, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._partitions = partitions
        self._lists = SeedLists(client, monotonic)
        self._store = JobStore(client, partitions, ANY_NUMBER)
        self._log = structlog.get_logger("queueing")

    async def copy(self, job: str, head: Head, example: Waiting) -> None:
        """Sends it to the seed list, once, as `example` gets it."""
        if head.stream != MARKETING_STREAM or head.test or head.sandbox:
            return
        seeds = await self._lists.of(head.tenant)
        if not seeds:
            return
        found = await jobs.read(self._client, self._partitions, job, _COPIED)
        copy = ids.seeds_job(job, self._partitions)
        # Files of one person are theirs, and are kept with the first job.
        theirs = {"name": "", "metadata": None, "files": "", "key": ""}
        waiting = [msgspec.structs.replace(example, email=one, **theirs) for one in seeds]
        new = copied(job, head, found, len(waiting))
        stored = await self._store.store(copy, new, chunks(waiting), "queueing")
        if stored.word == "stored":
            COPIES.inc(len(waiting))
            self._log.info("seeds_sent", job=job, copy=copy, recipients=len(waiting), request=head.request)


def copied(job: str, head: Head, found: jobs.Job, recipients: int) -> jobs.New:
    """The job by which the seed list gets this one."""
    return jobs.New(
        tenant=head.tenant,
        stream="bulk",
        content=found[jobs.CONTENT],
        total=recipients,
        send_at_ms=0,
        expires_at_ms=head.expires_at_ms,
        max_age_ms=found[jobs.MAX_AGE_MS],
        rate=head.rate,
        at_most_once=head.at_most_once,
        test=True,
        viewable=head.viewable,
        request=head.request,
        sender=found[jobs.SENDER],
        subject=found[jobs.SUBJECT],
        list=found[jobs.LIST],
        category=found[jobs.CATEGORY],
        tags=found[jobs.TAGS],
        language=found[jobs.LANGUAGE],
        seeds_of=job,
    )
