"""Takes a person out of the files of a tenant: those that say something of them are made anew, under the same name.

All that is known of somebody who was erased is a keyed hash of their address, so the addresses in the files are
hashed and compared. Messages that were theirs are found as well by job and ordinal, where an event of them has no
address. What remains of an event says what became of a message, and not whose it was (`columns.PERSONAL`).
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.archive.merging import conformed, schema_of
from services.archive.tables import ROWS_TOGETHER, WRITING
from shared.archive.columns import PERSONAL
from shared.archive.target import Stored, Target
from shared.redis.suppression import normalised
from shared.words.erased import ErasureKeys

#: What is read to find somebody.
_FINDING = ["email", "job", "ordinal"]


class Person:
    """How those who were erased are known: addresses as the files spell them, and messages."""

    def __init__(self) -> None:
        self.emails: set[str] = set()
        self.messages: set[str] = set()

    def mask(self, batch: Any) -> Any:
        """The rows that are about them."""
        by_email = pc.is_in(batch.column("email"), value_set=pa.array(sorted(self.emails), pa.string()))
        by_message = pc.is_in(_messages(batch), value_set=pa.array(sorted(self.messages), pa.string()))
        return pc.or_(by_email, by_message)


def forget(
    target: Target,
    files: Sequence[Stored],
    tenant: str,
    digests: AbstractSet[str],
    secrets: ErasureKeys,
    require: Callable[[], None],
) -> int:
    """Makes the files anew that have one of these people; how many that were. OSError; what `require` raises."""
    person = Person()
    for file in files:
        for batch in _read(target, file, _FINDING):
            _find(batch, tenant, digests, secrets, person)
    made = 0
    for file in files if person.emails or person.messages else ():
        if any(pc.any(person.mask(batch)).as_py() for batch in _read(target, file, _FINDING)):
            scratch = target.scratch()
            try:
                _rewrite(target, file, scratch, person)
                require()
                target.move(scratch, file.path)
            finally:
                scratch.unlink(missing_ok=True)
            made += 1
    return made


def _find(batch: Any, tenant: str, digests: AbstractSet[str], secrets: ErasureKeys, person: Person) -> None:
    emails = batch.column("email")
    theirs = [
        email
        for email in pc.unique(emails).to_pylist()
        if email and not digests.isdisjoint(secrets.digests(tenant, normalised(email)))
    ]
    if theirs:
        person.emails.update(theirs)
        mask = pc.is_in(emails, value_set=pa.array(theirs, pa.string()))
        person.messages.update(name for name in _messages(batch.filter(mask)).to_pylist() if name is not None)


def _messages(batch: Any) -> Any:
    """job.ordinal of each row, null where it has none."""
    return pc.binary_join_element_wise(batch.column("job"), batch.column("ordinal").cast(pa.string()), ".")


def _read(target: Target, file: Stored, columns: list[str] | None = None) -> Any:
    with target.open(file.path) as source:
        yield from pq.ParquetFile(source).iter_batches(batch_size=ROWS_TOGETHER, columns=columns)


def _rewrite(target: Target, file: Stored, scratch: Path, person: Person) -> None:
    with target.open(file.path) as source:
        found = pq.ParquetFile(source)
        schema = schema_of(found).with_metadata(found.schema_arrow.metadata)
        with pq.ParquetWriter(str(scratch), schema, **WRITING) as writer:
            for batch in found.iter_batches(batch_size=ROWS_TOGETHER):
                writer.write_batch(_without(conformed(batch, schema), person))


def _without(batch: Any, person: Person) -> Any:
    mask = person.mask(batch)
    arrays = [
        pc.if_else(mask, pa.scalar(None, field.type), batch.column(field.name)) if field.name in PERSONAL else
        batch.column(field.name)
        for field in batch.schema
    ]  # fmt: skip
    return pa.record_batch(arrays, schema=batch.schema)
