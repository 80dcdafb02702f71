"""What became of the rows of an upload: read a few at a time, stored in batches, counted, and told in one answer."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Annotated, Any, Self

import msgspec

from services.queueing import recipients
from services.queueing.appending import CsvRows, JsonRows, Row
from services.queueing.own_files import BATCH_BYTES, BATCH_FILES, FILE_BYTES, Batch
from services.queueing.pieces import MAX_FAULTS
from shared.redis.recipients import pack_waiting_row
from shared.tabular.encodings import UnknownCharset, charset
from shared.tabular.reader import MOST_BLANK_LINES, MOST_FAULTS
from shared.words.described import says
from shared.words.errors import Fault, Problem

#: Recipients appended in one round trip.
APPEND_BATCH = 500
#: What is read of an upload at a time, and lines of it that are looked at before others get their turn: about 2 ms. A
#: line with a recipient costs as much as ten with nothing.
APPEND_BYTES = 16_384
LINES_IN_A_GO = 500
LINES_OF_A_RECIPIENT = 10
#: Rejected lines and faults listed in one answer; they are counted beyond.
MAX_LISTED = 1000


class RejectedLine(msgspec.Struct, frozen=True):
    """A recipient that will not be mailed, the line they stood on, and why, in one word."""

    line: Annotated[int, says("The line of the body, from 1.", 4)]
    email: Annotated[str, says("The address as it was given.", "ana@exemple")]
    reason: Annotated[str, says("Why, in one word.", "invalid_address")]


class Appended(msgspec.Struct, frozen=True):
    """`appended` recipients are stored, `duplicates` were there already, `faults` could not be read. A request that
    broke off may be repeated whole: what it had stored is then counted as duplicates. `stopped` says why the rest was
    not read: `too_many_faults` or `too_many_blank_lines`; what came before is stored. `warnings` name columns of a CSV
    that are of no use, since no template can name them. Where there is nothing to store the request is refused with
    what was found."""

    appended: Annotated[int, says("How many recipients were stored.", 49_998)]
    duplicates: Annotated[int, says("How many were there already.", 1)]
    rejected: Annotated[list[RejectedLine], says("Who will not be mailed, up to 1,000 of them.")]
    rejected_total: Annotated[int, says("How many will not be.", 1)]
    faults: Annotated[list[Fault], says("Lines that could not be read, up to 1,000 of them.")]
    faults_total: Annotated[int, says("How many could not be.", 1)]
    stopped: Annotated[str | None, says("Why the rest was not read, if it was not.", None, "too_many_faults")] = None
    warnings: Annotated[list[Fault], says("Columns that are of no use.")] = []


class Uploading:
    """Collects rows into batches and counts what became of them. A batch is stored while the next one is read, one at a
    time and in their order; `async with` waits for the last."""

    def __init__(
        self,
        append: Callable[[Sequence[tuple[bytes, bytes]], Batch], Coroutine[Any, Any, tuple[str, int]]],
        stream: str,
    ) -> None:
        self._append = append
        self._stream = stream
        self._batch: list[tuple[bytes, bytes]] = []
        self._files = Batch()
        self._files_bytes = 0
        #: Of the batch before, and how many are in it.
        self._storing: asyncio.Task[tuple[str, int]] | None = None
        self._in_storing = 0
        self._appended = 0
        self._duplicates = 0
        self._rejected: list[RejectedLine] = []
        self._rejected_total = 0
        self._faults: list[Fault] = []
        self._faults_total = 0
        self._in_a_go = 0
        self._blank_lines = 0
        #: Why no more is read.
        self.stopped: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """What broke off leaves nothing under way; what became of it no longer matters."""
        if self._storing is not None:
            await asyncio.wait([self._storing])
            self._storing.cancelled() or self._storing.exception()

    async def read(self, rows: Iterable[Row]) -> None:
        """Whatever they are, the others' requests have their turn between some of them: a row that is stored waits for
        the storage, any other for nothing."""
        for number, row in rows:
            if row is not None:
                self._in_a_go += LINES_OF_A_RECIPIENT
                self._add(number, row)
                has_much = self._files_bytes >= BATCH_BYTES or len(self._files.uses) >= BATCH_FILES
                if len(self._batch) >= APPEND_BATCH or has_much:
                    await self.flush()
            else:
                self._in_a_go += 1
                self._blank_lines += 1
            if self._in_a_go >= LINES_IN_A_GO:
                self._in_a_go = 0
                await asyncio.sleep(0)
            if self._faults_total >= MOST_FAULTS:
                self.stopped = "too_many_faults"
                return
            if self._blank_lines >= MOST_BLANK_LINES:
                self.stopped = "too_many_blank_lines"
                return

    def _add(self, number: int, row: recipients.Recipient | Fault) -> None:
        at = f"line {number}"
        waiting = row if isinstance(row, Fault) else recipients.wait(row, self._stream, at, set())
        faults = [waiting] if isinstance(waiting, Fault) else []
        if not isinstance(row, Fault) and not isinstance(waiting, Fault) and row.attachments:
            waiting = recipients.with_files(waiting, row, at, self._files.contents, faults)
        if isinstance(waiting, Fault) or faults:
            self._faults_total += 1
            self._faults += faults[: MAX_LISTED - len(self._faults)]
            return
        if waiting.rejected is not None:
            self._rejected_total += 1
            if len(self._rejected) < MAX_LISTED:
                self._rejected.append(RejectedLine(number, waiting.email, waiting.rejected))
        self._batch.append((recipients.seen_digest(waiting), pack_waiting_row(waiting)))
        if waiting.files:
            self._files.add(len(self._batch), waiting.files)
            self._files_bytes = self._files.size_bytes

    async def flush(self) -> None:
        """Hands over what has been collected, once the batch before is stored. Problem 409 if that was not."""
        await self._stored()
        if self._batch:
            self._in_storing = len(self._batch)
            FILE_BYTES.inc(self._files_bytes)
            self._storing = asyncio.create_task(self._append(self._batch, self._files), name="append")
            self._batch, self._files, self._files_bytes = [], Batch(), 0

    async def _stored(self) -> None:
        if self._storing is None:
            return
        word, fresh = await self._storing
        self._storing = None
        if word != "appended":
            raise Problem("not_open", "the job was started; recipients can no longer be appended")
        self._appended += fresh
        self._duplicates += self._in_storing - fresh

    async def end(self) -> None:
        """Everything is stored when it returns."""
        await self.flush()
        await self._stored()

    def result(self, warnings: list[Fault]) -> Appended:
        """Problem 422 if nobody came by who can be stored."""
        if self._appended + self._duplicates == 0:
            raise self._nothing()
        return Appended(
            self._appended,
            self._duplicates,
            self._rejected,
            self._rejected_total,
            self._faults,
            self._faults_total,
            self.stopped,
            warnings[:MAX_LISTED],
        )

    def _nothing(self) -> Problem:
        number = "one line" if self._faults_total == 1 else f"{self._faults_total} lines"
        found = "the body has no recipient"
        if self._faults:
            found = f"{number} could not be read; {self._faults[0].at}: {self._faults[0].what}"
        stopped = f"; the rest was not read ({self.stopped})" if self.stopped else ""
        shown = self._faults[:MAX_FAULTS]
        return Problem("nothing_appended", f"nothing was appended: {found}{stopped}", shown)


def rows_of(content_type: str, charset_said: str | None) -> JsonRows | CsvRows:
    """Whoever reads a body of that kind. Problem 415."""
    try:
        said = charset(charset_said)
    except UnknownCharset as fault:
        raise Problem("unsupported_media_type", str(fault)) from fault
    match content_type:
        case "application/x-ndjson" | "application/ndjson" | "application/json-seq":
            return JsonRows(said)
        case "text/csv":
            return CsvRows(said)
        case "text/tab-separated-values":
            return CsvRows(said, "\t")
        case other:
            raise Problem("unsupported_media_type", f"expected application/x-ndjson or text/csv, got {other[:100]}")
