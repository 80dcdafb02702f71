"""The recipients of a job as they are stored, and the look-up from a message's ordinal to its recipient.

A job's recipients are chunks in one sorted set, each at its first ordinal. A chunk waits whole until it is queued
(`Waiting`); then it is packed slim, with what late facts still need: a link or a bounce names its message by ordinal
alone. Both forms hold the same addresses at the same ordinals, so what was once read stays true.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol, cast
from zlib import compress, decompress

import msgspec

from shared.net.remembered import Remembered
from shared.redis import jobs, keys
from shared.redis.redis import Client
from shared.words import ids, once, own_files

#: Level 1 halves addresses at 60 MB/s; level 6 saves 10 % more at a third of the speed.
_LEVEL = 1
#: Chunks kept after they were read: opens and clicks of a campaign come from all over it. A chunk of 1,000 is 100 kB.
CHUNKS_KEPT = 64
TENANTS_KEPT = 10_000
#: Looked up at a time: a transactional mail is a job of its own.
JOBS_AT_ONCE = 50


class Recipient(msgspec.Struct, frozen=True, array_like=True):
    """What a fact about a message needs to know of its recipient."""

    email: str
    metadata: dict[str, str] | None = None


#: In the place of one who was erased: a message keeps its ordinal, and nobody knows any more whose it was.
ERASED = Recipient("")


class Viewed(msgspec.Struct, frozen=True, array_like=True):
    """A row of a job whose mails can be shown in a browser: a Recipient, and what the mail was made with.
    `untracked`: nothing is recorded about them; `declared`: what the job says of consent, as `Waiting` has it. In other
    jobs, the row of a recipient of whom these two are to be known later."""

    email: str
    metadata: dict[str, str] | None = None
    name: str = ""
    variables: msgspec.Raw = msgspec.Raw(b"\x80")
    untracked: bool = False
    declared: int = 0


class Provided(Viewed, frozen=True, array_like=True):
    """The row of a recipient of whom something is kept elsewhere, which goes when they are erased: the files of their
    own, by their digests; and the place that they have under a key in the operation of the job (`shared.words.once`),
    which their address does not find. `filenames`: what these files were called, for whoever asks what they got."""

    digests: tuple[str, ...] = ()
    place: str = ""
    filenames: tuple[str, ...] = ()


class Waiting(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A recipient that waits to be queued. `rejected` is the reason why it never will be; `variables` a msgpack map;
    `declared` the code of what the job says of consent (`shared.words.consent.Declared`); `time_zone` is that of their
    clock, or ""; `files` are those that only they get (`shared.words.own_files`), `key` is what they are known by
    instead of their address, or "" (`shared.words.once`): neither is written where there is none."""

    email: str
    name: str = ""
    variables: msgspec.Raw = msgspec.Raw(b"\x80")
    metadata: dict[str, str] | None = None
    rejected: str | None = None
    untracked: bool = False
    declared: int = 0
    time_zone: str = ""
    files: str = ""
    key: str = ""


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Recipients with consecutive ordinals from `first_ordinal`. `body` is a msgpack list of `Waiting`, or, when slim,
    a zlib-compressed msgpack list of `Recipient`."""

    first_ordinal: int
    slim: bool
    body: bytes

    def waiting(self) -> list[Waiting]:
        """The recipients of a chunk that is not queued yet. ValueError if it is slim."""
        if self.slim:
            raise ValueError("a slim chunk has no variables")
        return _waiting_decoder.decode(self.body)

    def rows(self) -> list[msgspec.Raw]:
        """The recipients, undecoded."""
        return _rows_decoder.decode(decompress(self.body) if self.slim else self.body)

    def viewed(self) -> list[Viewed]:
        """The recipients of either form, with all that is kept of them."""
        return _viewed_decoder.decode(decompress(self.body)) if self.slim else [_viewed(one) for one in self.waiting()]

    def at(self, ordinals: Sequence[int]) -> dict[int, Recipient]:
        """Those of these ordinals that it has."""
        rows, first = self.rows(), self.first_ordinal
        return {
            ordinal: _recipient(rows[ordinal - first], self.slim)
            for ordinal in ordinals
            if first <= ordinal < first + len(rows)
        }

    def recipients(self) -> list[Recipient]:
        """The recipients of either form."""
        return [_recipient(row, self.slim) for row in self.rows()]


_encoder = msgspec.msgpack.Encoder()
#: Of a Waiting without its last element or two, each of which ends it with one byte where it is "".
_WITHOUT_KEY, _WITHOUT_BOTH = (bytes([0x90 + len(Waiting.__struct_fields__) - less]) for less in (1, 2))
_chunk_decoder = msgspec.msgpack.Decoder(Chunk)
_waiting_decoder = msgspec.msgpack.Decoder(list[Waiting])
_rows_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])
_slim_row_decoder = msgspec.msgpack.Decoder(Recipient)
_viewed_row_decoder = msgspec.msgpack.Decoder(Viewed)
_provided_row_decoder = msgspec.msgpack.Decoder(Provided)
_waiting_row_decoder = msgspec.msgpack.Decoder(Waiting)
_viewed_decoder = msgspec.msgpack.Decoder(list[Viewed])


def pack_waiting(first_ordinal: int, recipients: Sequence[Waiting]) -> bytes:
    """The member of the sorted set for recipients that wait."""
    body = _array_head(len(recipients)) + b"".join(map(pack_waiting_row, recipients))
    return _encoder.encode(Chunk(first_ordinal, False, body))


def pack_waiting_row(recipient: Waiting) -> bytes:
    """One recipient, as a script puts them into a chunk that waits. Most have neither files nor a key: theirs is two
    elements less."""
    row = _encoder.encode(recipient)
    if recipient.key:
        return row
    return _WITHOUT_KEY + row[1:-1] if recipient.files else _WITHOUT_BOTH + row[1:-2]


def pack_page(recipients: Sequence[Waiting]) -> bytes:
    """Up to 65,535 recipients, as a script puts them into a chunk: always an array16, so that it knows how many by the
    bytes at places 2 and 3."""
    return b"\xdc" + len(recipients).to_bytes(2, "big") + b"".join(map(pack_waiting_row, recipients))


def _array_head(count: int) -> bytes:
    """As msgpack writes it: an array of up to 15, of up to 65,535, or longer."""
    if count < 16:
        return bytes([0x90 + count])
    return b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")


def pack_slim(first_ordinal: int, recipients: Iterable[Waiting], operation: str = "") -> bytes:
    """The member of the sorted set for the same recipients once they are queued; `operation` is that of the job."""
    half = once.half(operation) if operation else b""
    rows = [_slim(one, half) for one in recipients]
    return _encoder.encode(Chunk(first_ordinal, True, compress(_encoder.encode(rows), _LEVEL)))


def pack_viewable(first_ordinal: int, recipients: Iterable[Waiting], operation: str = "") -> bytes:
    """The same, of a job whose mails can be shown in a browser. Who reads Recipients of it reads on over the rest."""
    half = once.half(operation) if operation else b""
    rows = [_provided(one, half, is_viewable=True) if _has_more(one, half) else _viewed(one) for one in recipients]
    return _encoder.encode(Chunk(first_ordinal, True, compress(_encoder.encode(rows), _LEVEL)))


def _slim(one: Waiting, operation: bytes) -> Recipient | Viewed:
    if _has_more(one, operation):
        return _provided(one, operation, is_viewable=False)
    if one.untracked or one.declared:
        return Viewed(one.email, one.metadata, untracked=one.untracked, declared=one.declared)
    return Recipient(one.email, one.metadata)


def _has_more(one: Waiting, operation: bytes) -> bool:
    return bool(one.files or (one.key and operation))


def _provided(one: Waiting, operation: bytes, *, is_viewable: bool) -> Provided:
    viewed = _viewed(one) if is_viewable else Viewed(one.email, one.metadata, untracked=one.untracked)
    files = own_files.unpacked(one.files)
    digests = tuple(sorted({file.digest for file in files}))
    names = tuple(file.filename for file in files)
    place = once.place(once.identity(one.email, one.key), operation) if one.key and operation else ""
    return Provided(
        one.email, one.metadata, viewed.name, viewed.variables, one.untracked, one.declared, digests, place, names
    )  # fmt: skip


def _viewed(one: Waiting) -> Viewed:
    return Viewed(one.email, one.metadata, one.name, one.variables, one.untracked, one.declared)


def without(chunk: Chunk, places: Collection[int]) -> bytes:
    """The member for a slim chunk whose recipients at these places are erased; the others' rows stay as they are."""
    erased = msgspec.Raw(_encoder.encode(ERASED))
    rows = [erased if at in places else row for at, row in enumerate(chunk.rows())]
    return _encoder.encode(Chunk(chunk.first_ordinal, True, compress(_encoder.encode(rows), _LEVEL)))


def digests(chunk: Chunk, places: Collection[int]) -> list[str]:
    """Of the files of the recipients of a slim chunk at these places, as often as one of them had it."""
    rows = chunk.rows()
    return [digest for at in places for digest in _provided_row_decoder.decode(rows[at]).digests]


def filenames(chunk: Chunk, at: int) -> list[str]:
    """Of the files that only the recipient at that place gets, or got."""
    row = chunk.rows()[at]
    if chunk.slim:
        return list(_provided_row_decoder.decode(row).filenames)
    return [file.filename for file in own_files.unpacked(_waiting_row_decoder.decode(row).files)]


def keyed(chunk: Chunk, places: Collection[int]) -> list[tuple[int, str]]:
    """Of the recipients of a slim chunk at these places who are known by a key in the operation of the job, the
    ordinals, and their places in that."""
    rows = chunk.rows()
    found = [(chunk.first_ordinal + at, _provided_row_decoder.decode(rows[at]).place) for at in places]
    return [one for one in found if one[1]]


def read(member: bytes) -> Chunk:
    """A member of the sorted set. ValueError if it is invalid."""
    return _chunk_decoder.decode(member)


def _recipient(row: msgspec.Raw, slim: bool) -> Recipient:
    if slim:
        return _slim_row_decoder.decode(row)
    waiting = _waiting_row_decoder.decode(row)
    return Recipient(waiting.email, waiting.metadata)


class Lookup(Protocol):
    async def find(self, job: str, ordinals: Sequence[int]) -> Mapping[int, Recipient]: ...


async def of_jobs(
    recipients: Lookup, ordinals: Mapping[str, Collection[int]]
) -> dict[tuple[str, int | None], Recipient]:
    """The recipients of many jobs, by job and ordinal; those that there are not are left out. Raises RedisAway."""
    jobs = list(ordinals)
    found: dict[tuple[str, int | None], Recipient] = {}
    for begin in range(0, len(jobs), JOBS_AT_ONCE):
        some = jobs[begin : begin + JOBS_AT_ONCE]
        answers = await asyncio.gather(*(recipients.find(job, sorted(ordinals[job])) for job in some))
        for job, of_job in zip(some, answers, strict=True):
            found.update({(job, ordinal): one for ordinal, one in of_job.items()})
    return found


class Recipients:
    """The look-up by ordinal. What it has read it keeps, within bounds: neither addresses nor tenants change."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._chunks: OrderedDict[tuple[str, int], tuple[bool, list[msgspec.Raw]]] = OrderedDict()
        self._tenants = Remembered[str, str](TENANTS_KEPT)
        self._lists = Remembered[str, str](TENANTS_KEPT)

    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]:
        """The recipients at these ordinals; those that the job does not have are left out. Raises RedisAway."""
        found: dict[int, Recipient] = {}
        if not ids.is_job_id(job):
            return found
        first, slim, rows = 0, False, cast(list[msgspec.Raw], [])
        for ordinal in sorted(set(ordinals)):
            if not first <= ordinal < first + len(rows):
                first, slim, rows = await self._chunk_of(job, ordinal)
            if first <= ordinal < first + len(rows):
                found[ordinal] = _recipient(rows[ordinal - first], slim)
        return found

    async def viewed(self, job: str, ordinal: int) -> Viewed | None:
        """What the mail of a message was made with, in a job whose mails can be shown; None if it is not kept. Always
        asked for anew: who was erased is gone. As long as it waits to be queued it is not decided whether anything is
        recorded about them: then nothing is. Raises RedisAway."""
        members = await self._client.zrevrangebyscore(self._key(job), ordinal, 0, start=0, num=1)
        if not members:
            return None
        chunk = read(members[0])
        rows, at = chunk.rows(), ordinal - chunk.first_ordinal
        if not at < len(rows):
            return None
        if chunk.slim:
            return _viewed_row_decoder.decode(rows[at])
        waiting = _waiting_row_decoder.decode(rows[at])
        return Viewed(waiting.email, waiting.metadata, waiting.name, waiting.variables, untracked=True)

    def _key(self, job: str) -> str:
        return keys.job_recipients(ids.job_partition(job, self._partitions), job)

    async def tenant_of(self, job: str) -> str | None:
        """Whose job it is, None if there is no such job. Raises RedisAway."""
        if not ids.is_job_id(job):
            return None
        known = self._tenants.known(job)
        if known is not None:
            return known
        tenant = (await jobs.read(self._client, self._partitions, job, (jobs.TENANT,)))[jobs.TENANT]
        if not tenant:
            return None
        self._tenants.keep(job, tenant)
        return tenant

    async def list_of(self, job: str) -> str:
        """The list under which a job is sent; "" if it has none, or is not there. Raises RedisAway."""
        if not ids.is_job_id(job):
            return ""
        known = self._lists.known(job)
        if known is None:
            known = (await jobs.read(self._client, self._partitions, job, (jobs.LIST,)))[jobs.LIST]
            self._lists.keep(job, known)
        return known

    async def _chunk_of(self, job: str, ordinal: int) -> tuple[int, bool, list[msgspec.Raw]]:
        for (kept_job, first), (slim, rows) in self._chunks.items():
            if kept_job == job and first <= ordinal < first + len(rows):
                self._chunks.move_to_end((job, first))
                return first, slim, rows
        members = await self._client.zrevrangebyscore(self._key(job), ordinal, 0, start=0, num=1)
        if not members:
            return 0, False, []
        chunk = read(members[0])
        rows = chunk.rows()
        self._chunks[job, chunk.first_ordinal] = chunk.slim, rows
        if len(self._chunks) > CHUNKS_KEPT:
            self._chunks.popitem(last=False)
        return chunk.first_ordinal, chunk.slim, rows
