"""What is known of a tenant's imports while they run and for some days afterwards: how far, what became of the lines.

Whoever runs an import says so every second. One that has not been heard of for a minute has ended with its process:
what it had applied stays, and the file may be sent again.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import msgspec

from shared.redis import keys
from shared.redis.redis import Client, Script
from shared.words.errors import Fault
from shared.words.ids import name_partition

#: What is known of an import is kept so long.
KEPT_MS = 7 * 86_400_000
#: Imports of a tenant that are kept.
MOST_KEPT = 20
#: It says so often how far it is, in seconds.
TELL_S = 1.0
#: And is over when nothing was heard for so long.
SILENT_MS = 60_000
#: A report is handed out in pieces of about so many bytes.
_PIECE_BYTES = 65_536
#: Rows of a report that are packed in one go.
_ROWS_IN_A_GO = 500

_BEGIN = Script.of(__file__, "imports_begin", kept=True)

#: `reading`: the file comes in, nothing is changed yet. `applying`: the list is being changed. `done`. `refused`:
#: nothing was changed. `interrupted`: the upload broke off, or the process ended; what was applied stays.
State = Literal["reading", "applying", "done", "refused", "interrupted"]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """`counts` by the words of `telling.Word`; `told` lines belong into the report."""

    id: str
    state: State
    dry_run: bool
    format: str
    encoding: str
    started_ms: int
    updated_ms: int
    lines: int
    counts: dict[str, int]
    told: int
    warnings: list[Fault]
    detail: str = ""


_decoder = msgspec.msgpack.Decoder(Progress)


class Imports:
    """Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._partitions = partitions
        self._now_ms = now_ms

    async def begin(self, tenant: str, progress: Progress) -> bool:
        """Whether it has begun: False if there is one of its id."""
        p = self._partition(tenant)
        names = [keys.import_(p, tenant, progress.id), keys.imports(p, tenant)]
        prefixes = [keys.imports_prefix(p, tenant), keys.import_reports_prefix(p, tenant)]
        packed = msgspec.msgpack.encode(progress)
        args: list[str | bytes | int] = [progress.id, packed, progress.started_ms, KEPT_MS, MOST_KEPT, *prefixes]
        return bool(await _BEGIN(self._client, names, args))

    async def save(self, tenant: str, progress: Progress) -> None:
        name = keys.import_(self._partition(tenant), tenant, progress.id)
        await self._client.set(name, msgspec.msgpack.encode(progress), px=KEPT_MS)

    async def save_report(self, tenant: str, name: str, rows: Iterable[str]) -> None:
        packer = zlib.compressobj(1)
        packed = bytearray()
        for number, row in enumerate(rows):
            packed += packer.compress(row.encode())
            if number % _ROWS_IN_A_GO == 0:
                await asyncio.sleep(0)
        packed += packer.flush()
        await self._client.set(keys.import_report(self._partition(tenant), tenant, name), bytes(packed), px=KEPT_MS)

    async def get(self, tenant: str, name: str) -> Progress | None:
        """None if there is none of that id, or not any more."""
        packed = await self._client.get(keys.import_(self._partition(tenant), tenant, name))
        return None if packed is None else self._heard(_decoder.decode(packed))

    async def last(self, tenant: str) -> list[Progress]:
        """Those that are kept, the latest first."""
        ids = await self._client.zrange(keys.imports(self._partition(tenant), tenant), 0, -1)
        found = [await self.get(tenant, name.decode()) for name in reversed(ids)]
        return [one for one in found if one is not None]

    async def report(self, tenant: str, name: str) -> Iterator[bytes]:
        """The report in pieces; none where there is no report (yet)."""
        packed = await self._client.get(keys.import_report(self._partition(tenant), tenant, name))
        return _pieces(packed or b"")

    def _heard(self, progress: Progress) -> Progress:
        if progress.state in ("reading", "applying") and self._now_ms() - progress.updated_ms > SILENT_MS:
            return msgspec.structs.replace(progress, state="interrupted", detail="its process has ended")
        return progress

    def _partition(self, tenant: str) -> int:
        return name_partition(tenant, self._partitions)


def _pieces(packed: bytes) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    while packed and not unpacker.eof:
        yield unpacker.decompress(packed, _PIECE_BYTES)
        packed = unpacker.unconsumed_tail
