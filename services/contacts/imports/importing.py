"""The main path of imports: the oldest one that nobody works on is read and written, and goes on where it stood.

A file is read whole, which changes nothing; then its batches are written, some at a time, but for those that were done.
Whoever works on an import says so; where nobody has said so for `store.LEASE_S`, it is taken over. That two work on one
for a moment does no harm: a batch counts once (`writing.py`). Without PostgreSQL nothing goes on, and nothing is lost.
"""

import asyncio
from collections import deque
from contextlib import closing
from time import monotonic

from prometheus_client import Counter, Gauge

from services.contacts.base.database import DatabaseAway
from services.contacts.imports.reading import NoContacts, Reading
from services.contacts.imports.store import LEASE_S, Imports, Taken, TooManyWords
from services.contacts.imports.writing import Batch, Writer
from shared.process import logs
from shared.process.lifecycle import cancelled, pause
from shared.tabular.encodings import UnknownCharset

LINES = Counter("estafette_contacts_import_lines_total", "Lines of imports by what became of them", ["result"])
ENDED = Counter(
    "estafette_contacts_imports_total", "Imports by how they ended, dry runs too: done, refused, failed", ["end"]
)
RUNNING = Gauge("estafette_contacts_imports_running", "Imports that this process reads or writes")

#: Batches that are written at the same time: while PostgreSQL works on some, the next ones are made.
UNDER_WAY = 3
#: What PostgreSQL says of a transaction that it ended because of another one: it may begin again at once.
ROLLED_BACK = "rolled back"
_TRIES = 5
#: Lines that are read in one go: some 2 ms of the loop, then others have their turn.
_LINES_IN_A_GO = 100
#: Bytes of a piece that are read in one go.
_READ_BYTES = 16_384
#: Between two looks for an import.
_LOOK_S = 1.0
#: And for uploads that ended with their process.
_SILENT_LOOK_S = 60.0

_log = logs.get_logger()


class Importing:
    """Of one process."""

    def __init__(self, imports: Imports, writer: Writer) -> None:
        self._imports = imports
        self._writer = writer

    async def work(self, stopping: asyncio.Event) -> None:
        """One import after the other, until it is to stop."""
        looked_s = 0.0
        while not stopping.is_set():
            try:
                if monotonic() - looked_s > _SILENT_LOOK_S:
                    looked_s = monotonic()
                    await self._imports.forget_silent()
                if (taken := await self._imports.take()) is not None:
                    await self._run_or_give_up(taken, stopping)
                    continue
            except DatabaseAway:
                pass  # what was done is done, and somebody goes on when it is back
            await pause(stopping, _LOOK_S)

    async def _run_or_give_up(self, taken: Taken, stopping: asyncio.Event) -> None:
        """An import that fails for a fault of ours is not tried for ever: others wait behind it. DatabaseAway."""
        try:
            await self.run(taken, stopping)
        except DatabaseAway:
            raise
        except Exception as error:
            _log.exception(
                "contacts_import_failed", tenant_number=taken.tenant, number=taken.import_, error=repr(error)
            )
            ENDED.labels("failed").inc()
            detail = "it failed in a way that its operator has to look at; what was written stays"
            await self._imports.end(taken.tenant, taken.import_, "interrupted", detail)

    async def run(self, taken: Taken, stopping: asyncio.Event | None = None) -> None:
        """To its end, or until it is to stop. DatabaseAway."""
        with RUNNING.track_inprogress():
            try:
                with closing(Reading(taken.asked)) as reading:
                    if await self._read(taken, reading, stopping) and await self._write(taken, reading, stopping):
                        await self._end(taken, reading)
                        return
                await self._imports.let_go(taken)
            except (UnknownCharset, TooManyWords) as fault:
                await self._refuse(taken, str(fault), None)

    async def _read(self, taken: Taken, reading: Reading, stopping: asyncio.Event | None) -> bool:
        """Whether all of the file was read, and may be written."""
        lease = _Lease(self._imports, taken)
        try:
            async for piece in self._imports.pieces(taken):
                for at in range(0, len(piece), _READ_BYTES):
                    await _in_turns(reading, piece[at : at + _READ_BYTES])
                await lease.renew()
                if stopping is not None and stopping.is_set():
                    return False
            await _in_turns(reading, b"", last=True)
        except NoContacts as fault:
            await self._refuse(taken, str(fault), reading)
            return False
        found = reading.warnings()
        await self._imports.was_read(taken, reading.encoding, reading.lines, reading.refused, found, reading.told)
        return True

    async def _write(self, taken: Taken, reading: Reading, stopping: asyncio.Event | None) -> bool:
        """Whether all batches were written."""
        lease = _Lease(self._imports, taken)
        done = await self._imports.done(taken)
        learned = None if taken.dry_run else await self._imports.learn(taken.tenant, reading.new_words)
        under_way: deque[asyncio.Task[bool]] = deque()
        try:
            for batch in reading.batches(
                taken.tenant, taken.import_, dry_run=taken.dry_run, only_new=taken.only_new, learned=learned
            ):
                if batch.number in done:
                    await asyncio.sleep(0)
                    continue
                if len(under_way) == UNDER_WAY:
                    await under_way.popleft()
                    await lease.renew()
                if stopping is not None and stopping.is_set():
                    return False
                under_way.append(asyncio.create_task(self._write_one(batch)))
                await asyncio.sleep(0)
            while under_way:
                await under_way.popleft()
        finally:
            await cancelled(under_way)
        return True

    async def _write_one(self, batch: Batch) -> bool:
        """DatabaseAway, unless somebody else's transaction was in the way for once."""
        for _ in range(_TRIES):
            try:
                return await self._writer.write(batch)
            except DatabaseAway as away:
                if away.why != ROLLED_BACK:
                    raise
        return await self._writer.write(batch)

    async def _refuse(self, taken: Taken, why: str, reading: Reading | None) -> None:
        encoding, told = (reading.encoding, reading.told) if reading is not None else ("", [])
        detail = f"nothing was changed: {why}"
        await self._imports.end(taken.tenant, taken.import_, "refused", detail, encoding, told)
        ENDED.labels("refused").inc()
        _log.info("contacts_import_refused", tenant_number=taken.tenant, number=taken.import_)

    async def _end(self, taken: Taken, reading: Reading) -> None:
        await self._imports.end(taken.tenant, taken.import_, "done", "", reading.encoding)
        found = await self._imports.get(taken.tenant, taken.import_)
        ENDED.labels("done").inc()
        if found is not None:
            results = ("added", "updated", "unchanged", "replaced", "refused")
            counts = {result: getattr(found, result) for result in results}
            for result, count in counts.items():
                LINES.labels(result).inc(count)
            _log.info(
                "contacts_imported", tenant_number=taken.tenant, number=taken.import_, lines=found.lines, **counts
            )


async def _in_turns(reading: Reading, received: bytes, *, last: bool = False) -> None:
    for count, _ in enumerate(reading.read(received, last=last), 1):
        if count % _LINES_IN_A_GO == 0:
            await asyncio.sleep(0)


class _Lease:
    """Says that an import is worked on, thrice as often as is needed."""

    def __init__(self, imports: Imports, taken: Taken) -> None:
        self._imports = imports
        self._taken = taken
        self._renewed_s = monotonic()

    async def renew(self) -> None:
        if monotonic() - self._renewed_s > LEASE_S / 3:
            self._renewed_s = monotonic()
            await self._imports.renew(self._taken)
