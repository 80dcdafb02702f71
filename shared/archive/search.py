"""Searches the files of one tenant, with DuckDB: in threads of its own, with bounded time and memory.

1. A search goes through time in steps (`spans.py`), until it has as many events as were asked for. What was found in
   the steps that were done in time is an answer.
2. Of a step the files are read whose footers say that they may have something, a group of rows at a time, and of it
   only what is looked at; DuckDB finds which rows are wanted, and which come first. Then these are read whole.
3. Files are merged meanwhile: what a larger file names is passed over, and where one went while it was looked for, the
   step is begun anew.

The statements are constants, and what is asked for are their parameters. DuckDB itself may open neither file nor
network: it is handed rows. Whose files are read is in their path.
"""

import asyncio
import enum
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client import Counter, Histogram

from shared.archive import names
from shared.archive.asked import Answer, Asked, AskedNumbers, Numbers, Row, SearchFailed, TooSlow
from shared.archive.counted import Counting
from shared.archive.facts import fact_of
from shared.archive.schema import MERGED, SCHEMA, merged_of
from shared.archive.spans import Span, days_of, spans
from shared.archive.target import Stored, Target, searched
from shared.net.remembered import Remembered
from shared.redis.tenants import is_name
from shared.words import public
from shared.words.errors import OperatorFault

SEARCHES = Counter("estafette_archive_searches_total", "Searches of the archive, by how they ended", ["outcome"])
SEARCH_SECONDS = Histogram(
    "estafette_archive_search_seconds",
    "Time of a search of the archive, without waiting for its turn",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
READ_ROWS = Counter("estafette_archive_searched_rows_total", "Rows that searches of the archive have read")

#: Footers that are remembered: a file a day, 300 bytes each.
FOOTERS = 20_000
#: How often a step is begun anew because files went while they were read.
ATTEMPTS = 3
T = TypeVar("T")
#: What a thread does, with the files, a cursor, and until when it may take (by the monotonic clock).
Work: TypeAlias = Callable[[Target, Any, float], T]

_PLACE = ("stream_partition", "stream_ms", "stream_number")
_LOOKED_AT = (*_PLACE, "type", "job", "ordinal", "email", "job_stream", "job_list", "job_tags")
#: What is handed to DuckDB: times are ms.
_KINDS = {field.name: pa.int64() if pa.types.is_timestamp(field.type) else field.type for field in SCHEMA}
_WANTED = """
    from found join places on found.stream_partition = places.partition
    where (stream_ms, stream_number) > (after_ms, after_number)
      and (stream_ms, stream_number) <= (upto_ms, upto_number)
      and stream_ms >= $begin and stream_ms < $end
      and list_contains($types, type)
      and ($job is null or job = $job)
      and ($ordinal is null or ordinal = $ordinal)
      and ($email is null or lower(email) = $email)
      and ($list is null or job_list = $list)
      and ($streams is null or list_contains($streams, job_stream))
      and ($tag is null or list_contains(job_tags, $tag))
"""
_FIND = {
    False: f"select stream_partition, stream_ms, stream_number {_WANTED} order by 2, 3, 1 limit $limit",
    True: f"select stream_partition, stream_ms, stream_number {_WANTED} order by 2 desc, 3 desc, 1 desc limit $limit",
}
_FETCH = "select found.* from found semi join chosen using (stream_partition, stream_ms, stream_number)"


class Group(NamedTuple):
    """Rows of a file that lie together: their place in it, and from when to when they were recorded, and of which job
    to which."""

    at: int
    first_ms: int
    last_ms: int
    first_job: str | None
    last_job: str | None


class Footer(NamedTuple):
    groups: tuple[Group, ...]
    merged: frozenset[str]


class _Gone(Exception):
    """A file was merged or made anew meanwhile."""


class _Late(Exception):
    pass


class _Change(enum.Enum):
    """What became of listed files meanwhile. Parts come all the time: they have what is new. Others came because parts
    were merged into them."""

    WENT = enum.auto()
    REPLACED = enum.auto()
    CAME = enum.auto()


class Search:
    """`target` and what follows it are settings; `memory_mb` is for all searches together."""

    def __init__(
        self, target: str, scratch: Path, endpoint: str, region: str, seconds: float, at_a_time: int, memory_mb: int
    ) -> None:
        self._where = (target, scratch, endpoint, region)
        self._seconds = seconds
        self._memory_mb = memory_mb
        self._turns = asyncio.Semaphore(at_a_time)
        self._threads = ThreadPoolExecutor(at_a_time, thread_name_prefix="archive-search")
        self._footers: Remembered[Stored, Footer] = Remembered(FOOTERS)
        self._opened: tuple[Target, Any] | None = None

    async def find(self, asked: Asked) -> Answer:
        """The first `limit` events that are wanted. SearchFailed: the archive cannot be read, or this took too long."""

        def search(target: Target, cursor: Any, deadline_s: float) -> Answer:
            return _Step(target, cursor, self._footers, asked, deadline_s).through_time()

        def is_done(answer: Answer) -> bool:
            return answer.is_whole or len(answer.rows) == asked.limit

        return await self._in_turn(asked.tenant, search, is_done)

    async def numbers(self, asked: AskedNumbers) -> Numbers:
        """What statistics say that only files have. SearchFailed as above."""

        def count(target: Target, cursor: Any, deadline_s: float) -> Numbers:
            return Counting(target, cursor, asked, deadline_s).numbers()

        return await self._in_turn(asked.tenant, count, lambda _: True)

    async def _in_turn(self, tenant: str, work: Work[T], is_done: Callable[[T], bool]) -> T:
        if not is_name(tenant):
            raise ValueError(f"{tenant!r:.60} is no name of a tenant")
        try:
            async with asyncio.timeout(self._seconds):
                await self._turns.acquire()
        except TimeoutError:
            SEARCHES.labels("busy").inc()
            raise TooSlow("too many searches are under way") from None
        try:
            under_way = asyncio.get_running_loop().run_in_executor(self._threads, self._timed, work)
        except BaseException:
            self._turns.release()
            raise
        # Whoever stops waiting does not end the thread: its turn is over when it is done.
        under_way.add_done_callback(lambda _: self._turns.release())
        outcome = "failed"
        try:
            answer = await asyncio.shield(under_way)
            outcome = "done" if is_done(answer) else "short"
            return answer
        except TooSlow:
            outcome = "slow"
            raise
        except (OSError, OperatorFault, duckdb.Error, pa.ArrowException) as fault:
            raise SearchFailed(f"the archive cannot be read: {type(fault).__name__}") from fault
        finally:
            SEARCHES.labels(outcome).inc()

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _timed(self, work: Work[T]) -> T:
        """In a thread."""
        deadline_s = time.monotonic() + self._seconds
        with SEARCH_SECONDS.time():
            if self._opened is None:
                self._opened = searched(*self._where), _database(self._memory_mb)
            target, database = self._opened
            return work(target, database.cursor(), deadline_s)


def _database(memory_mb: int) -> Any:
    """It may open nothing, and nothing of that can be changed by a statement."""
    return duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_mb}MB",
            "threads": 1,
            "max_temp_directory_size": "0KB",
            "enable_external_access": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "lock_configuration": True,
        },
    )


class _Step:
    """One search, and what it needs in each of its steps."""

    def __init__(
        self, target: Target, cursor: Any, footers: Remembered[Stored, Footer], asked: Asked, deadline_s: float
    ) -> None:
        self._target = target
        self._cursor = cursor
        self._footers = footers
        self._asked = asked
        self._deadline_s = deadline_s
        self._is_late = False

    def through_time(self) -> Answer:
        asked = self._asked
        begin = min(place.after[0] for place in asked.places.values())
        end = max(place.upto[0] for place in asked.places.values()) + 1
        rows: list[Row] = []
        known_ms = end if asked.is_newest else begin
        days = self._days()
        for span in spans(begin, end, days, asked.is_newest):
            try:
                self._in_time()
                rows += self._anew(span, asked.limit - len(rows))
            except (_Late, duckdb.Error, pa.ArrowException):
                if not self._is_late:
                    raise
                if span == next(spans(begin, end, days, asked.is_newest)):
                    raise TooSlow("the search took too long: ask for a shorter time, or for one job") from None
                return Answer(rows, known_ms, is_whole=False)
            known_ms = span.begin if asked.is_newest else span.end
            if len(rows) >= asked.limit:
                return Answer(rows, known_ms, is_whole=False)
        return Answer(rows, begin if asked.is_newest else end, is_whole=True)

    def _in_time(self) -> None:
        if time.monotonic() > self._deadline_s:
            self._is_late = True
            raise _Late

    def _days(self) -> list[str]:
        folder = names.tenant_folder(self._asked.tenant)
        found = (names.parse_folder(path) for path in self._target.folders(folder))
        return [one[1] for one in found if one is not None]

    def _anew(self, span: Span, limit: int) -> list[Row]:
        for attempt in range(ATTEMPTS):
            try:
                return self._rows(span, limit)
            except _Gone:
                if attempt == ATTEMPTS - 1:
                    raise OSError("files changed again and again while they were read") from None
        return []

    def _rows(self, span: Span, limit: int) -> list[Row]:
        days = days_of(span, self._days())
        listed = self._listed(days)
        rows: list[Row] = []
        try:
            files = self._of(span, listed)
            if files:
                chosen = self._chosen(span, files, limit)
                rows = self._fetched(files, chosen) if len(chosen) else []
        # A store says of what is gone while it is read nothing but that it cannot be read.
        except (duckdb.Error, pa.ArrowException, OSError):
            if self._is_late or not self._changes(days, listed):
                raise
            raise _Gone from None
        # What went after it was read was read; where it went to has come.
        if self._changes(days, listed) - {_Change.WENT}:
            raise _Gone
        return rows

    def _listed(self, days: Iterable[str]) -> list[Stored]:
        return [file for day in days for file in self._target.stored(names.folder(self._asked.tenant, day))]

    def _changes(self, days: Iterable[str], listed: Sequence[Stored]) -> set[_Change]:
        now = {file.path: file for file in self._listed(days)}
        before = {file.path for file in listed}
        changes = set()
        if not before <= now.keys():
            changes.add(_Change.WENT)
        if any(now.get(file.path, file) != file for file in listed):
            changes.add(_Change.REPLACED)
        if any(path not in before and names.parse_part(file.name) is None for path, file in now.items()):
            changes.add(_Change.CAME)
        return changes

    def _of(self, span: Span, listed: Sequence[Stored]) -> list[tuple[Stored, list[int]]]:
        """The files and their groups that may have something that is wanted."""
        made = [file for file in listed if names.parse_part(file.name) is None]
        footers = [(file, self._footer(file)) for file in made]
        merged = {(file.folder, name) for file, footer in footers for name in footer.merged if name != file.name}
        found = []
        for file in listed:
            # What was merged is not opened: it may go at any moment.
            if (file.folder, file.name) not in merged:
                groups = [group.at for group in self._footer(file).groups if self._may_have(group, span)]
                if groups:
                    found.append((file, groups))
        return found

    def _may_have(self, group: Group, span: Span) -> bool:
        job = self._asked.job
        if job is not None and not (group.first_job or "") <= job <= (group.last_job or job):
            return False
        return group.first_ms < span.end and group.last_ms >= span.begin

    def _footer(self, file: Stored) -> Footer:
        known = self._footers.known(file)
        if known is None:
            self._in_time()
            with self._target.open(file.path) as source:
                known = _footer(pq.read_metadata(source))
            self._footers.keep(file, known)
        return known

    def _chosen(self, span: Span, files: Sequence[tuple[Stored, list[int]]], limit: int) -> Any:
        """A table of the places of the first that are wanted."""
        asked = self._asked
        places = pa.table(
            {
                "partition": pa.array(asked.places, pa.int16()),
                **{
                    f"{name}_{what}": pa.array([getattr(one, name)[at] for one in asked.places.values()], pa.int64())
                    for name in ("after", "upto")
                    for at, what in enumerate(("ms", "number"))
                },
            }
        )
        self._cursor.register("places", places)
        wanted: Mapping[str, Any] = {
            "begin": span.begin,
            "end": span.end,
            # Of a type that only a newer program knows nothing can be told.
            "types": sorted(public.TYPES if asked.types is None else asked.types & public.TYPES.keys()),
            "job": asked.job,
            "ordinal": asked.ordinal,
            "email": asked.email,
            "list": asked.list,
            "streams": None if asked.streams is None else sorted(asked.streams),
            "tag": asked.tag,
            "limit": limit,
        }
        return self._asked_of(files, _LOOKED_AT, _FIND[asked.is_newest], wanted)

    def _fetched(self, files: Sequence[tuple[Stored, list[int]]], chosen: Any) -> list[Row]:
        """They whole, in the order of the search."""
        self._cursor.register("chosen", chosen)
        times = chosen.column("stream_ms").to_pylist()
        span = Span(min(times), max(times) + 1)
        near = [
            (file, [at for at in groups if self._may_have(self._footer(file).groups[at], span)])
            for file, groups in files
        ]
        found = self._asked_of(near, SCHEMA.names, _FETCH, {})
        rows = (
            Row((row["stream_ms"], row["stream_number"]), row["stream_partition"], fact_of(row, self._asked.tenant))
            for row in found.to_pylist()
        )
        return sorted(rows, key=lambda row: (row.at, row.partition), reverse=self._asked.is_newest)

    def _asked_of(
        self,
        files: Sequence[tuple[Stored, list[int]]],
        columns: Sequence[str],
        statement: str,
        parameters: Mapping[str, Any],
    ) -> Any:
        schema = pa.schema([pa.field(name, _KINDS[name]) for name in columns])
        self._cursor.register("found", pa.RecordBatchReader.from_batches(schema, self._batches(files, schema)))
        try:
            return self._cursor.sql(statement, params=parameters).to_arrow_table()
        finally:
            self._cursor.unregister("found")

    def _batches(self, files: Sequence[tuple[Stored, list[int]]], schema: Any) -> Iterator[Any]:
        for file, groups in files:
            with self._target.open(file.path) as source:
                opened = pq.ParquetFile(source)
                known = opened.schema_arrow.names
                there = [name for name in schema.names if name in known]
                for at in groups:
                    self._in_time()
                    table = opened.read_row_group(at, columns=there, use_threads=False)
                    READ_ROWS.inc(len(table))
                    for batch in table.to_batches():
                        yield _conformed(batch, schema)


def _conformed(batch: Any, schema: Any) -> Any:
    arrays = [
        batch.column(field.name).cast(field.type)
        if field.name in batch.schema.names
        else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.record_batch(arrays, schema=schema)


def _footer(metadata: Any) -> Footer:
    """What is asked of a file before it is read."""
    at = {metadata.schema.column(number).path: number for number in range(metadata.num_columns)}
    groups = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        times = group.column(at["stream_ms"]).statistics
        jobs = group.column(at["job"]).statistics
        has_jobs = jobs is not None and jobs.has_min_max
        groups.append(
            Group(
                number,
                times.min if times is not None and times.has_min_max else 0,
                times.max if times is not None and times.has_min_max else 2**62,
                jobs.min if has_jobs else None,
                jobs.max if has_jobs else None,
            )
        )
    merged = merged_of(metadata.metadata) if MERGED in (metadata.metadata or {}) else []
    return Footer(tuple(groups), frozenset(merged))
