"""The columns of the archive as Arrow has them."""

import json
from typing import Any

import pyarrow as pa

from shared.archive.columns import COLUMNS, STATISTICS, VERSION, Kind

TYPES: dict[Kind, Any] = {
    "text": pa.string(),
    "texts": pa.list_(pa.string()),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "time": pa.timestamp("ms", tz="UTC"),
}
SCHEMA = pa.schema(
    [pa.field(name, TYPES[kind], nullable=name not in ("event_id", "type")) for name, kind in COLUMNS.items()],
    metadata={"estafette.columns": str(VERSION)},
)
#: In the metadata of a merged file: the names of those it was made of.
MERGED = b"estafette.merged"


def merged_of(metadata: Any) -> list[str]:
    """The names of those that a file was made of, by the metadata of its footer; none of a part."""
    found = json.loads((metadata or {}).get(MERGED, b"[]"))
    return [name for name in found if isinstance(name, str)]


STATISTICS_SCHEMA = pa.schema([pa.field(name, TYPES[kind]) for name, kind in STATISTICS.items()])
