"""The columns of the archive, version by version: their names and kinds.

A column never changes its name or kind and never goes; new ones are appended, and are null in files that are older than
they. Each detail of an event has a column of its own name, the same for all types that have it; a detail that a type
does not have is null there. `docs/archive.md` has this table for those who read the files.
"""

from typing import Literal

from shared.words import events

#: What stands in a column: text, a list of texts, whole numbers of so many bits, true or false, ms since 1970 (UTC).
Kind = Literal["text", "texts", "int16", "int32", "int64", "bool", "time"]

#: Counts the times that columns were appended. In the metadata of each file, as `estafette.columns`.
VERSION = 3
#: What every event has, in this order; then its details, in the order in which they came to the archive.
COMMON: dict[str, Kind] = {
    "event_id": "text",
    "type": "text",
    "occurred_at": "time",
    "job": "text",
    "ordinal": "int32",
    "email": "text",
    "sequence": "int64",
    "stream_partition": "int16",
    "stream_ms": "int64",
    "stream_number": "int64",
}
_FIRST_DETAILS: dict[str, Kind] = {
    "attempt": "int32", "site": "text", "host": "text", "reply": "text", "reason": "text", "kind": "text",
    "late": "bool", "source": "text", "retry_at": "time", "size_bytes": "int64", "duration_ms": "int64",
    "tls": "text", "tls_cipher": "text", "tls_policy": "text", "user_agent": "text", "ip": "text", "machine": "text",
    "position": "int32", "url": "text", "document": "text", "by": "text", "scope": "text", "list": "text",
    "channel": "text", "where": "text", "feedback_type": "text", "reporter": "text", "subject": "text",
    "detail": "text", "bad": "int64", "of": "int64", "action": "text", "target": "text", "who": "text", "why": "text",
    "until_at": "time", "messages": "int64", "digest": "text", "purpose": "text", "text": "text", "joined": "text",
    "left": "text", "opted_out": "text", "tracking": "text", "objected": "text", "marks": "text", "undone": "bool",
    "most": "int32", "days": "int32", "last_at": "time", "erase_at": "time", "name": "text", "value": "text",
    "currency": "text", "properties": "text", "given": "bool", "endpoint": "text", "failing_since_at": "time",
    "total": "int64", "delivered": "int64", "bounced": "int64", "expired": "int64", "failed": "int64",
    "suppressed": "int64", "rejected": "int64", "cancelled": "int64", "domain": "text", "state": "text",
    "waits_for": "text", "published": "int64", "wrong": "text",
}  # fmt: skip
#: Of the job, as queueing stores it; version 2.
OF_JOB: dict[str, Kind] = {"job_stream": "text", "job_list": "text", "job_tags": "texts"}
#: Of contacts; version 3.
_OF_CONTACTS: dict[str, Kind] = {
    "contact": "int64", "key": "text", "import_number": "int64", "changed": "text", "active": "int64",
    "contacts": "int64", "notes": "text", "settings": "text",
}  # fmt: skip
DETAILS: dict[str, Kind] = {**_FIRST_DETAILS, **_OF_CONTACTS}
COLUMNS: dict[str, Kind] = {**COMMON, **_FIRST_DETAILS, **OF_JOB, **_OF_CONTACTS}

#: What of an event is about the person, and goes with their erasure. What remains says what became of a message.
PERSONAL = (
    "email", "reply", "user_agent", "ip", "url", "document", "subject", "detail", "list", "joined", "left", "opted_out",
    "tracking", "objected", "marks", "purpose", "text", "properties", "value", "currency", "name", "key",
)  # fmt: skip

#: The details of each fact, in its order.
DETAILS_OF: dict[str, tuple[str, ...]] = {
    name: fact.__struct_fields__[len(events.Fact.__struct_fields__) :] for name, fact in events.FACTS.items()
}

#: The columns of the files of tenants' statistics, in their own folder: numbers by what tells facts apart, as Redis
#: keeps them (`shared.redis.statistics`). `kind` says which columns a number is told apart by, beside `code`; of
#: `place` and `detail` there are those of a day, in its first hour. `hour` is since 1970.
STATISTICS: dict[str, Kind] = {
    "kind": "text", "hour": "int32", "stream_partition": "int16", "code": "int16", "number": "int64",
    "stream": "text", "domain": "text", "list": "text", "category": "text", "tags": "texts",
    "provider": "text", "source": "text", "device": "text", "client": "text", "reason": "text",
}  # fmt: skip
#: Each kind, and what it is told apart by: the words of jobs (`stream` to `tags`), and more.
NumberKind = Literal["hour", "place", "detail", "provider", "source"]
