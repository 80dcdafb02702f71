"""How the contacts that a job is sent to get from the service that has them to the one that queues jobs.

    queueing: the job is `selecting` ──→ `targets` ──due──→ contacts: who they are, at that moment, is written down
    contacts: pages, in the order of numbers ──→ `target_pages` ──→ queueing: each becomes a chunk of the job

A page is handed over in one script with the number behind which the next one comes, and taken in one script with the
chunk that it becomes: so whoever dies, and however often, nobody is handed over or taken twice, and nobody is left out.
As many pages wait as `MOST_PAGES`; more are refused until some were taken.

All keys are in the partition of the job. The hash `keys.target` has

    asked      ms      when queueing asked first
    heard      ms      when contacts did something about it last
    position   number  of the contact that was handed over last
    handed     number  how many were
    done       text    all are handed over, or for that reason (`shared.words.targets`) nobody else is
    detail     text    that reason in words
"""

import msgspec

from shared.redis import due, jobs, keys
from shared.redis.redis import Client, Script
from shared.words import ids

#: Pages that wait to be taken: 20,000 recipients, a second's worth.
MOST_PAGES = 40
#: Recipients of a page, and so of a chunk: what queueing decides in one go.
PAGE = 500
#: A job of which nothing was heard for so long is taken up by another process.
CLAIM_MS = 10_000
#: Of what is left over.
LIFETIME_MS = 30 * 86_400_000
#: What a job waits for, besides `contacts`, of which nothing is heard (`services/queueing/selecting_take.lua`).
DATABASE = "database"
#: How long the contacts count as there after they were there last.
HERE_MS = 3_600_000

_HAND = Script.of(__file__, "targets_hand", names=jobs.NAMED, kept=True)
_TELL = Script.of(__file__, "targets_tell", names=jobs.NAMED)


class Meant(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which contacts a job is sent to, as the job keeps it: the segment with its version, or neither, of criteria that
    nobody saved. `selected` is how many belonged at the start."""

    selected: int
    segment: int | None = None
    version: int | None = None
    name: str = ""


class Asked(msgspec.Struct, frozen=True):
    """A job that waits for contacts. `selection` is JSON (`shared.words.targets`), `content` as it is stored;
    `position` is the number of the contact that was handed over last."""

    id: str
    tenant: str
    stream: str
    selection: bytes
    content: bytes
    subject: str
    category: str
    tags: tuple[str, ...]
    position: int


_FIELDS = (
    jobs.STATE, jobs.TENANT, jobs.STREAM, jobs.SELECTION, jobs.CONTENT, jobs.SUBJECT, jobs.CATEGORY, jobs.TAGS,
)  # fmt: skip


class Targets:
    """What contacts do of it. Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int, most_pages: int = MOST_PAGES) -> None:
        self._client = client
        self._partitions = partitions
        self._most_pages = most_pages

    async def tell_here(self) -> None:
        """There are contacts in this installation."""
        await self._client.set(keys.contacts_here(), b"1", px=HERE_MS)

    async def is_here(self) -> bool:
        return bool(await self._client.exists(keys.contacts_here()))

    async def claim(self, partition: int, now_ms: int) -> str | None:
        """A job that waits for somebody; None if none does."""
        return await due.claim(self._client, keys.targets(partition), now_ms, now_ms + CLAIM_MS)

    async def put_off(self, job: str, until_ms: int) -> None:
        """Others may take it up from then on, if it takes somebody still."""
        p = ids.job_partition(job, self._partitions)
        await self._client.zadd(keys.targets(p), {job: until_ms}, xx=True)

    async def leave(self, job: str) -> None:
        """It is none that waits for contacts."""
        await self._client.zrem(keys.targets(ids.job_partition(job, self._partitions)), job)

    async def asked(self, job: str) -> Asked | None:
        """None if it takes nobody any more."""
        found = await jobs.read(self._client, self._partitions, job, _FIELDS)
        if found[jobs.STATE] != "selecting":
            return None
        p = ids.job_partition(job, self._partitions)
        position = await self._client.hget(keys.target(p, job), "position")
        return Asked(
            job,
            found[jobs.TENANT],
            found[jobs.STREAM],
            found[jobs.SELECTION],
            found[jobs.CONTENT],
            found[jobs.SUBJECT],
            found[jobs.CATEGORY],
            found[jobs.TAGS],
            int(position or 0),
        )

    async def hand(
        self, job: str, after: int, last: int, pages: list[bytes], count: int, now_ms: int, *, is_end: bool
    ) -> str:
        """Contacts behind the number `after`, up to `last`, as pages (`recipients.pack_page`). Answers `handed`,
        `full`, `moved` (another process did) or `ended` (the job takes nobody any more)."""
        p = ids.job_partition(job, self._partitions)
        names = [keys.job(p, job), keys.target(p, job), keys.target_pages(p, job), keys.targets(p)]
        args: list[str | bytes | int] = [
            now_ms, now_ms + CLAIM_MS, self._most_pages, LIFETIME_MS, after, last, int(is_end), count, *pages,
        ]  # fmt: skip
        found: bytes = await _HAND(self._client, names, args)
        return found.decode()

    async def tell(
        self,
        job: str,
        now_ms: int,
        *,
        meant: Meant | None = None,
        awaited: str = "",
        why: str = "",
        detail: str = "",
        until_ms: int = 0,
    ) -> bool:
        """Which contacts are meant, for whom the job waits, or why nobody else comes. False: it takes nobody."""
        p = ids.job_partition(job, self._partitions)
        names = [keys.job(p, job), keys.target(p, job), keys.targets(p)]
        packed = b"" if meant is None else msgspec.json.encode(meant)
        args: list[str | bytes | int] = [
            now_ms, until_ms or now_ms + CLAIM_MS, LIFETIME_MS, packed, awaited, why, detail,
        ]  # fmt: skip
        return bool(await _TELL(self._client, names, args))
