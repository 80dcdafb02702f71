"""A tenant's statistics of a month as a file: its numbers, and how some of its days are put in the place of what was
there of them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.archive.tables import ROWS_TOGETHER, WRITING
from shared.archive.columns import NumberKind
from shared.archive.schema import STATISTICS_SCHEMA
from shared.redis.statistics import Group, OfDay, is_seen

HOURS = 24
_NOBODY = Group("", "", "", "", ())
#: A day and a partition as one number: partitions are fewer.
_PLACES = 65_536


class Day(NamedTuple):
    """What Redis keeps of a tenant's day since 1970, in a partition."""

    day: int
    partition: int
    found: OfDay


def table(days: Iterable[Day]) -> Any:
    """Their numbers, a row each."""
    columns: dict[str, list[Any]] = defaultdict(list)
    for day in days:
        for row in _rows(day):
            for name, value in zip(STATISTICS_SCHEMA.names, row, strict=True):
                columns[name].append(value)
    return pa.table(
        {field.name: pa.array(columns[field.name], field.type) for field in STATISTICS_SCHEMA},
        schema=STATISTICS_SCHEMA,
    )


def _rows(day: Day) -> Iterator[tuple[Any, ...]]:
    p, first, found = day.partition, day.day * HOURS, day.found
    for (group, hour, code), number in found.hours.items():
        yield _row("hour", hour, p, code, number, group)
    for (group, code, provider, source), number in found.places.items():
        yield _row("place", first, p, code, number, group, provider, source)
    for (group, code, detail), number in found.details.items():
        if is_seen(code):
            device, _, client = detail.partition("/")
            yield _row("detail", first, p, code, number, group, device=device, client=client or device)
        else:
            yield _row("detail", first, p, code, number, group, reason=detail)
    for (hour, code, name), number in found.providers.items():
        yield _row("provider", hour, p, code, number, provider=name)
    for (hour, code, name), number in found.sources.items():
        yield _row("source", hour, p, code, number, source=name)


def _row(
    kind: NumberKind,
    hour: int,
    partition: int,
    code: int,
    number: int,
    group: Group = _NOBODY,
    provider: str | None = None,
    source: str | None = None,
    device: str | None = None,
    client: str | None = None,
    reason: str | None = None,
) -> tuple[Any, ...]:
    """In the order of the columns."""
    return kind, hour, partition, code, number, *group, provider, source, device, client, reason


def rewrite(before: Any, scratch: Path, days: Collection[Day]) -> int:
    """Writes the file of a month to `scratch`: the old one (open, or None) but for these days, and these. How many rows
    it has."""
    schema = STATISTICS_SCHEMA
    if before is not None:
        before = pq.ParquetFile(before)
        # What a newer archive has appended stays.
        schema = pa.schema([*schema, *(one for one in before.schema_arrow if one.name not in schema.names)])
    rows = 0
    with pq.ParquetWriter(str(scratch), schema, **WRITING) as writer:
        for batch in _left(before, days):
            rows += len(batch)
            writer.write_batch(_conformed(batch, schema))
        for batch in table(days).to_batches(ROWS_TOGETHER):
            rows += len(batch)
            writer.write_batch(_conformed(batch, schema))
    return rows


def _left(before: Any, days: Collection[Day]) -> Iterator[Any]:
    """What the old file has of other days and partitions."""
    if before is None:
        return
    replaced = pa.array([day.day * _PLACES + day.partition for day in days], pa.int64())
    for batch in before.iter_batches(batch_size=ROWS_TOGETHER):
        hours, partitions = batch.column("hour").cast(pa.int64()), batch.column("stream_partition").cast(pa.int64())
        places = pc.add(pc.multiply(pc.divide(hours, HOURS), _PLACES), partitions)
        kept = batch.filter(pc.invert(pc.is_in(places, value_set=replaced)))
        if len(kept):
            yield kept


def _conformed(batch: Any, schema: Any) -> Any:
    arrays = [
        batch.column(field.name) if field.name in batch.schema.names else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.record_batch(arrays, schema=schema)
