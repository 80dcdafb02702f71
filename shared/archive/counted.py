"""Adds up what the files of statistics have, with DuckDB: a file a month, read whole, so it is as it was at one moment.

The statement is one constant, and what is asked for are its parameters. It says of a number what `services.reports`
says of one that Redis still has.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.archive import names
from shared.archive.asked import AskedNumbers, Numbers, TooSlow
from shared.archive.schema import STATISTICS_SCHEMA
from shared.archive.target import Target

HOURS = 24
#: A day and a partition as one number, as the statement has it.
_PLACES = 65_536
_WANTED = """
    from found
    where kind = $kind and hour between $first and $last
      and not list_contains($known::bigint[], (hour // 24)::bigint * 65536 + stream_partition)
      and ($stream is null or stream = $stream)
      and ($domain is null or domain = $domain)
      and ($list is null or "list" = $list)
      and ($category is null or category = $category)
      and ($tag is null or list_contains(tags, $tag))
"""
_ROWS = f"""
    select key, begins, code, cast(sum(number) as bigint) as number from (
        select code, number, unnest(case $by
            when 'stream' then [nullif(stream, '')]
            when 'domain' then [nullif(domain, '')]
            when 'list' then [nullif("list", '')]
            when 'category' then [nullif(category, '')]
            when 'tag' then case when len(tags) > 0 then tags else [null] end
            when 'provider' then [nullif(provider, '')]
            when 'source' then [nullif(source, '')]
            when 'device' then [device]
            when 'client' then [client]
            when 'reason' then [reason]
            else [null] end) as key,
            case $interval when 'hour' then hour when 'day' then hour // 24 * 24 else -1 end as begins
        {_WANTED})
    where $kind <> 'detail' or key is not null
    group by all limit $limit
"""  # noqa: S608 - of constants
_TOTAL = f"select code, cast(sum(number) as bigint) as number {_WANTED} group by all"


class Counting:
    """One question, and until when it may take (by the monotonic clock)."""

    def __init__(self, target: Target, cursor: Any, asked: AskedNumbers, deadline_s: float) -> None:
        self._target = target
        self._cursor = cursor
        self._asked = asked
        self._deadline_s = deadline_s
        self._is_late = False

    def numbers(self) -> Numbers:
        """TooSlow; OSError, and what DuckDB and Arrow raise."""
        asked = self._asked
        wanted: dict[str, Any] = {
            "first": asked.first_hour,
            "last": asked.last_hour,
            "known": [day * _PLACES + partition for day, partition in asked.known],
            **{name: asked.filters.get(name) for name in ("stream", "domain", "list", "category", "tag")},
        }
        more = {"kind": asked.kind, "by": asked.by, "interval": asked.interval, "limit": asked.limit}
        try:
            rows: dict[tuple[str | None, int], Counter[int]] = {}
            for row in self._asked_of(_ROWS, wanted | more):
                rows.setdefault((row["key"], row["begins"]), Counter())[row["code"]] += row["number"]
            total = Counter({row["code"]: row["number"] for row in self._asked_of(_TOTAL, wanted | {"kind": "hour"})})
        except Exception:  # whatever the reader raises, DuckDB makes its own
            if self._is_late:
                raise TooSlow("the search took too long: ask for fewer days") from None
            raise
        return Numbers(rows, total)

    def _asked_of(self, statement: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = pa.RecordBatchReader.from_batches(STATISTICS_SCHEMA, self._batches())
        self._cursor.register("found", found)
        try:
            rows: list[dict[str, Any]] = self._cursor.sql(statement, params=parameters).to_arrow_table().to_pylist()
            return rows
        finally:
            self._cursor.unregister("found")

    def _batches(self) -> Iterator[Any]:
        first_day, last_day = self._asked.first_hour // HOURS, self._asked.last_hour // HOURS
        for month in sorted({names.month_of(day) for day in range(first_day, last_day + 1)}):
            self._in_time()
            try:
                whole = self._target.whole(names.statistics(self._asked.tenant, month))
            except FileNotFoundError:
                continue
            opened = pq.ParquetFile(pa.BufferReader(whole))
            for at in range(opened.num_row_groups):
                self._in_time()
                yield from opened.read_row_group(at, columns=STATISTICS_SCHEMA.names, use_threads=False).to_batches()

    def _in_time(self) -> None:
        if time.monotonic() > self._deadline_s:
            self._is_late = True
            raise TimeoutError
