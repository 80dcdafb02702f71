"""A batch of entries becomes tables, one a tenant and day, and a table the bytes of a Parquet file.

Facts of one kind are decoded together, as one array, and a column is made of all of them at once, whosever they are:
both cost a fraction of doing it fact by fact, or tenant by tenant. Then rows are brought together by tenant and day.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.archive.store import Raw, Unreadable
from shared.archive.columns import DETAILS, DETAILS_OF, PERSONAL
from shared.archive.names import DAY_MS, day_of
from shared.archive.schema import SCHEMA
from shared.words import events, public

#: Rows that a reader takes or leaves together, by the least and the greatest of each column.
ROWS_TOGETHER = 50_000

_VERSION = str(events.MAJOR_VERSION).encode()
_decoders: dict[str, Any] = {name: msgspec.msgpack.Decoder(list[kind]) for name, kind in events.FACTS.items()}  # type: ignore[valid-type]
#: Of a detail that is a time, 0 says that there is none.
_TIMES = frozenset(name for name, kind in DETAILS.items() if kind == "time")


class Row(NamedTuple):
    """A fact, and where it lay."""

    fact: events.Fact
    ms: int
    number: int


@dataclass(slots=True)
class Facts:
    """The facts of a batch by their names."""

    by_name: dict[str, list[Row]] = field(default_factory=dict)
    unreadable: list[Unreadable] = field(default_factory=list)

    def nameless(self) -> dict[str, list[int]]:
        """Job → ordinals of the facts that name the message alone."""
        found: dict[str, list[int]] = defaultdict(list)
        for rows in self.by_name.values():
            for fact, _, _ in rows:
                if fact.email is None and fact.job and fact.ordinal is not None:
                    found[fact.job].append(fact.ordinal)
        return found

    def jobs(self) -> set[str]:
        """Those that facts are about."""
        return {fact.job for rows in self.by_name.values() for fact, _, _ in rows if fact.job}

    def addresses(self) -> set[tuple[str, str]]:
        """Tenant and address of each fact that has one."""
        return {(fact.tenant, fact.email) for rows in self.by_name.values() for fact, _, _ in rows if fact.email}

    def erased(self) -> list[events.Erased]:
        """Who was erased, as the batch tells."""
        return [row.fact for row in self.by_name.get("Erased", ()) if isinstance(row.fact, events.Erased)]


class JobKind(NamedTuple):
    """What a job was made as."""

    stream: str
    list: str
    tags: Sequence[str]


class Known(NamedTuple):
    """What is known of people: addresses of messages by job and ordinal, "" of one who was erased; and the tenants and
    addresses, as facts spell them, that were. Of jobs, those that are still kept."""

    emails: Mapping[tuple[str, int | None], str]
    erased: Collection[tuple[str, str]]
    jobs: Mapping[str, JobKind]


def decoded(entries: Iterable[Raw]) -> Facts:
    """What can be read, and what cannot, with the reason."""
    by_name: dict[str, list[Raw]] = defaultdict(list)
    found = Facts()
    for raw in entries:
        by_name[raw.name].append(raw)
    for name, raws in by_name.items():
        rows: list[Row] = []
        if name in _decoders and all(raw.version == _VERSION for raw in raws):
            try:
                facts = _decoders[name].decode(_array([raw.body for raw in raws]))
                rows = [Row(fact, raw.ms, raw.number) for fact, raw in zip(facts, raws, strict=True)]
            except ValueError:
                rows = []
        if not rows:
            rows = _one_by_one(raws, found.unreadable)
        if rows:
            found.by_name[name] = rows
    return found


def _array(bodies: Sequence[bytes]) -> bytes:
    """They, as one msgpack array."""
    return b"\xdd" + len(bodies).to_bytes(4, "big") + b"".join(bodies)


def _one_by_one(raws: Iterable[Raw], unreadable: list[Unreadable]) -> list[Row]:
    rows = []
    for raw in raws:
        try:
            fact = raw.entry.message()
        except Exception as fault:
            unreadable.append(Unreadable(raw, str(fault)))
            continue
        if isinstance(fact, events.Fact):
            rows.append(Row(fact, raw.ms, raw.number))
        else:
            unreadable.append(Unreadable(raw, f"{raw.name} is no fact"))
    return rows


def tables(partition: int, facts: Facts, known: Known) -> dict[tuple[str, str], Any]:
    """A `pyarrow.Table` for each tenant and day (UTC). Each event is there once, however often it was published."""
    seen: set[str] = set()
    parts: dict[tuple[str, int], int] = {}
    batches, part_of = [], []
    for name, rows in facts.by_name.items():
        firsts = []
        for row in rows:
            fact = row.fact
            if fact.event_id not in seen:
                seen.add(fact.event_id)
                firsts.append(row)
                part_of.append(parts.setdefault((fact.tenant, fact.occurred_at // DAY_MS), len(parts)))
        if firsts:
            batches.append(_batch(partition, name, firsts, known))
    table = pa.Table.from_batches(batches, SCHEMA)
    if len(parts) > 1:
        table = table.take(pc.array_sort_indices(pa.array(part_of, pa.int32()))).combine_chunks()
    sizes = Counter(part_of)
    found, begin = {}, 0
    for (tenant, day), part in parts.items():
        found[tenant, day_of(day * DAY_MS)] = table.slice(begin, sizes[part])
        begin += sizes[part]
    return found


def _batch(partition: int, name: str, rows: Sequence[Row], known: Known) -> Any:
    """Facts of one kind."""
    facts = [row.fact for row in rows]
    emails, gone = _people(facts, known)
    has_job = public.type_of(name, "job")
    has_none = public.type_of(name, "")
    columns: dict[str, list[Any]] = {
        "event_id": [fact.event_id for fact in facts],
        "type": [has_job if fact.job else has_none for fact in facts],
        "occurred_at": [fact.occurred_at for fact in facts],
        "job": [fact.job or None for fact in facts],
        "ordinal": [fact.ordinal for fact in facts],
        "email": emails,
        "sequence": [fact.sequence for fact in facts],
        "stream_partition": [partition] * len(facts),
        "stream_ms": [row.ms for row in rows],
        "stream_number": [row.number for row in rows],
    }
    of_jobs = [known.jobs.get(fact.job) for fact in facts]
    if any(of_jobs):
        columns["job_stream"] = [None if one is None else one.stream for one in of_jobs]
        columns["job_list"] = [None if one is None else one.list or None for one in of_jobs]
        columns["job_tags"] = [None if one is None else one.tags for one in of_jobs]
    for detail in DETAILS_OF[name]:
        values = [getattr(fact, detail) for fact in facts]
        columns[detail] = [value or None for value in values] if detail in _TIMES else values
    for place in gone:
        for column in PERSONAL:
            if column in columns:
                columns[column][place] = None
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(len(facts), field.type)
        for field in SCHEMA
    ]
    return pa.record_batch(arrays, schema=SCHEMA)


def _people(facts: Sequence[events.Fact], known: Known) -> tuple[list[str | None], list[int]]:
    """The address of each, and the places of those who were erased."""
    found = known.emails
    emails = [fact.email or found.get((fact.job, fact.ordinal)) for fact in facts]
    gone = [at for at, email in enumerate(emails) if email == ""]
    if known.erased:
        gone += [
            at for at, fact in enumerate(facts) if fact.email is not None and (fact.tenant, fact.email) in known.erased
        ]
    return emails, gone


def parquet(table: Any) -> Any:
    """The bytes of a file, as a `pyarrow.Buffer`."""
    sink = pa.BufferOutputStream()
    how = WRITING if len(table) > FEW_ROWS else WRITING_FEW
    pq.write_table(table, sink, row_group_size=ROWS_TOGETHER, **how)
    return sink.getvalue()


#: How files are written; zstd makes them half as large as snappy at the same speed.
WRITING: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "version": "2.6"}
#: Of so few rows that costs twice the time, for zstd and dictionaries begin anew with each column, and gains nothing:
#: the file is merged into a larger one within hours. Searches ask for these statistics (`shared.archive.search`).
FEW_ROWS = 1_000
WRITING_FEW: dict[str, Any] = {
    "compression": "snappy",
    "version": "2.6",
    "use_dictionary": False,
    "write_statistics": ["stream_ms", "job"],
}
