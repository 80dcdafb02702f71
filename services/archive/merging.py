"""Small files become one: the parts of an hour once it is over, and all of a day once that is over.

The merged file is made beside, brought to its place whole, and then what it was made of is removed. It names that in
its metadata (`estafette.merged`), so who died in between is gone on after: what a merged file names is removed at the
next look. An event that was published twice is there once afterwards.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.archive.tables import ROWS_TOGETHER, WRITING
from shared.archive import names
from shared.archive.schema import MERGED, SCHEMA, merged_of
from shared.archive.target import Stored, Target

#: Beyond so many rows repeats are not looked for: their ids would not fit into memory, 60 bytes each.
MOST_LOOKED_AT = 5_000_000
#: A day is merged when it has been over for so long, and may get more events later still.
DAY_OVER_MS = 2 * names.HOUR_MS


def schema_of(file: Any) -> Any:
    """Our columns, and behind them what a newer archive has appended."""
    more = [field for field in file.schema_arrow if field.name not in SCHEMA.names]
    return pa.schema([*SCHEMA, *more], metadata=SCHEMA.metadata)


def conformed(batch: Any, schema: Any) -> Any:
    """A batch with the columns of the schema: null where it is older than they are."""
    arrays = [
        batch.column(field.name).cast(field.type)
        if field.name in batch.schema.names
        else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.record_batch(arrays, schema=schema)


def merged_in(target: Target, path: str) -> list[str]:
    """The names of those that a file was made of; none of a part."""
    with target.open(path) as source:
        return merged_of(pq.read_metadata(source).metadata)


def is_merged(name: str) -> bool:
    return name == names.OF_A_DAY or names.is_of_hour(name)


def left_over(target: Target, files: Sequence[Stored]) -> list[Stored]:
    """Files of a folder whose events are in another one as well, for they were merged into it."""
    there = {file.name: file for file in files}
    found: dict[str, Stored] = {}
    for file in files:
        if is_merged(file.name):
            for name in merged_in(target, file.path):
                if name != file.name and name in there:
                    found[name] = there[name]
    return list(found.values())


def groups(folder: str, files: Sequence[Stored], now_ms: int, settle_ms: int) -> list[tuple[str, list[Stored]]]:
    """What is to be merged in the folder of a day: the name of the file to be made, and of what."""
    settled = [file for file in files if file.written_ms <= now_ms - settle_ms]
    known = names.parse_folder(folder)
    if known is None:
        return []
    if now_ms >= names.day_begins_ms(known[1]) + names.DAY_MS + DAY_OVER_MS:
        return [(names.OF_A_DAY, settled)] if _are_worth_it(settled) else []
    hours: dict[int, list[Stored]] = defaultdict(list)
    for file in settled:
        if (part := names.parse_part(file.name)) is not None and part.hour < now_ms // names.HOUR_MS:
            hours[part.hour].append(file)
    return [(names.of_hour(hour, [file.name for file in some]), some) for hour, some in hours.items() if len(some) > 1]


def _are_worth_it(files: Sequence[Stored]) -> bool:
    return len(files) > 1 or any(file.name != names.OF_A_DAY for file in files)


def merge(target: Target, folder: str, name: str, files: Sequence[Stored], require: Callable[[], None]) -> int:
    """Makes a file of those, and removes them; how many rows it has. OSError; what `require` raises, if this process is
    not to go on: nothing has changed then, or the rest is done at the next look."""
    scratch = target.scratch()
    try:
        rows = _write(target, files, scratch, [file.name for file in files if file.name != name])
        require()
        target.move(scratch, f"{folder}/{name}")
    finally:
        scratch.unlink(missing_ok=True)
    for file in files:
        if file.name != name:
            target.delete(file.path)
    return rows


def _write(target: Target, files: Sequence[Stored], scratch: Path, merged: list[str]) -> int:
    sources = [target.open(file.path) for file in files]
    try:
        opened = [pq.ParquetFile(source) for source in sources]
        schema = pa.unify_schemas([schema_of(file) for file in opened])
        schema = schema.with_metadata({**SCHEMA.metadata, MERGED: json.dumps(merged).encode()})
        first = _firsts(opened)
        rows, at = 0, 0
        with pq.ParquetWriter(str(scratch), schema, **WRITING) as writer:
            for batch in _batches(opened):
                kept = batch if first is None else batch.filter(first.slice(at, len(batch)))
                at += len(batch)
                rows += len(kept)
                if len(kept):
                    writer.write_batch(conformed(kept, schema))
        return rows
    finally:
        for source in sources:
            source.close()


def _batches(opened: Iterable[Any]) -> Iterable[Any]:
    for file in opened:
        yield from file.iter_batches(batch_size=ROWS_TOGETHER)


def _firsts(opened: Sequence[Any]) -> Any:
    """For each row whether it is the first of its event; None if all are, or they are too many to be looked at."""
    total = sum(file.metadata.num_rows for file in opened)
    if total > MOST_LOOKED_AT:
        return None
    ids = pa.concat_arrays(
        [batch.column(0) for file in opened for batch in file.iter_batches(ROWS_TOGETHER, columns=["event_id"])]
        or [pa.array([], pa.string())]
    )
    if pc.count_distinct(ids).as_py() == total:
        return None
    table = pa.table({"id": ids, "at": pa.array(range(total), pa.int64())})
    firsts = table.group_by("id").aggregate([("at", "min")])["at_min"]
    return pc.is_in(table["at"].combine_chunks(), value_set=firsts.combine_chunks())
