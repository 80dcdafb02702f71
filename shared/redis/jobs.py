"""The hash of a job (`keys.job`): its fields, and how each is written and read.

    field         value                  written       read by
    tenant        text                   once          all: whose it is
    stream        text                   once          queueing, relays, breakers, reports: its lane, what may stop it
    state         one of `State`         by scripts    queueing, breakers, reports
    content       CompiledContent        once          relays: the mails; reports: the links (`shared.words.content`)
    total         number                 by scripts    queueing, breakers, reports: recipients taken so far
    queued        number                 by scripts    queueing: recipients decided so far
    held          number, bytes          by scripts    queueing: what of its recipients counts for the tenant's quota
    file_bytes    number                 by scripts    queueing: what the files of its recipients count for that quota
    send_at       number, ms; 0: none    once          reports
    expires_at    number, ms; 0: none    by scripts    queueing, reports; an open job gets it when it is started
    max_age_ms    number                 once          queueing: from its start to its expiry
    rate          text, "" for none      once          queueing, reports (`shared.words.rates`)
    at_most_once  flag                   once          queueing, reports
    test          flag                   once          breakers, queueing, relays, reports
    sandbox       flag                   once, if   queueing, reports: it was made with a key of the sandbox, and goes
                                         it is      to no host of the world (`shared.words.sites.SANDBOX`); a test, too
    viewable      flag                   once, if   queueing: a page shows its mails, so what each was made with is kept
                                         it is
    request_id    text                   once          queueing, reports: the id of the request that made it
    trace         text                   once, if   queueing: the span of that request (`shared.process.tracing`)
                                         traced
    from, subject, list, category: texts; tags: texts by lines. Written once, read by reports; from by queueing too.
    selection: JSON, of a job whose recipients are those of a set (`shared.words.result_sets`); written once, read by
    queueing. unselected: text, by queueing: why nobody else was taken from it; unselected_detail, that in words; read
    by reports.
    segment: JSON, of a job whose recipients are contacts: which ones (`shared.redis.targets.Meant`), by contacts; and
    awaited: text, whom the job waits for to have them, "" for nobody, by queueing and contacts; read by reports.
    source: bytes, of a job that may still be changed: what its content was made from, packed (`services.queueing`);
    changes, number: how often it was changed; changed_at, ms: when last; started_at, ms: when an open or scheduled job
    was started. All by queueing; changed_at is read by reports.
    timing: bytes, of a job with times of its own for each recipient (`shared.words.timing`); read by queueing.
    language: a tag, as the HTML has it in `lang`; written once where it has, read by the recipients' pages.
    template: text, of a job that named one: it, its version, and its layout with that one's version, if it stands in
    one (`welcome 3 frame 7`); written once, read by reports.
    once: text, of a job that names an operation of which each recipient gets one message (`shared.words.once`); written
    when the job is stored or changed, read by queueing and reports.
    undefined: JSON, of an open job that refuses variables which nobody has: what is said of each where its
    recipients lack it; written once, read by queueing at its start.
    purpose: text, of a job that asks for a double opt-in, what for; read by its page.
    dsn: bytes, of a mail whose sender wants to be told what became of it, by mail (`services.queueing.dsn_wanted`);
    read by queueing. dsn_of: text, of the job that tells it: the id of the message; read by reports.

"Once" is when queueing stores the job (`written`); the scripts are queueing's too. A script says `JOB.total` where it
means the name of a field (`NAMED`); no other file spells one. Numbers and flags (`1` or `0`) are decimal text, as
scripts count with them. When a job was made, its id says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

from shared.redis import keys, lua
from shared.redis.redis import Client, Script, together
from shared.words import ids
from shared.words.content import Stream

#: What a job is when it is stored.
Start = Literal["open", "scheduled", "selecting", "queueing"]
#: What it is later; `selecting` while its recipients are taken from a set, `queued` once each of them is decided.
State = Literal["open", "scheduled", "selecting", "queueing", "queued"]

T = TypeVar("T")
Stored = str | bytes | int


@dataclass(frozen=True, eq=False)
class Field(Generic[T]):
    """A field of the hash: its value where it is not there, and how it becomes bytes and comes back."""

    name: str
    absent: T
    write: Callable[[T], Stored]
    read: Callable[[bytes], T]


def _text(name: str) -> Field[str]:
    return Field(name, "", str, lambda stored: stored.decode("utf-8", "replace"))


def _number(name: str) -> Field[int]:
    return Field(name, 0, int, int)


def _flag(name: str) -> Field[bool]:
    return Field(name, False, int, lambda stored: stored == b"1")


def _lines(stored: bytes) -> tuple[str, ...]:
    return tuple(stored.decode("utf-8", "replace").split("\n")) if stored else ()


TENANT = _text("tenant")
STREAM = _text("stream")
STATE = _text("state")
CONTENT = Field("content", b"", bytes, bytes)
TOTAL = _number("total")
QUEUED = _number("queued")
HELD = _number("held")
FILE_BYTES = _number("file_bytes")
SEND_AT = _number("send_at")
EXPIRES_AT = _number("expires_at")
MAX_AGE_MS = _number("max_age_ms")
RATE = _text("rate")
AT_MOST_ONCE = _flag("at_most_once")
TEST = _flag("test")
SANDBOX = _flag("sandbox")
VIEWABLE = _flag("viewable")
REQUEST = _text("request_id")
TRACE = _text("trace")
SENDER = _text("from")
SUBJECT = _text("subject")
LIST = _text("list")
CATEGORY = _text("category")
LANGUAGE = _text("language")
PURPOSE = _text("purpose")
TEMPLATE = _text("template")
SELECTION = Field("selection", b"", bytes, bytes)
UNDEFINED = Field("undefined", b"", bytes, bytes)
UNSELECTED = _text("unselected")
UNSELECTED_DETAIL = _text("unselected_detail")
SEGMENT = Field("segment", b"", bytes, bytes)
AWAITED = _text("awaited")
SOURCE = Field("source", b"", bytes, bytes)
CHANGES = _number("changes")
CHANGED_AT = _number("changed_at")
STARTED_AT = _number("started_at")
TIMING = Field("timing", b"", bytes, bytes)
SEEDS_OF = _text("seeds_of")
DSN = Field("dsn", b"", bytes, bytes)
DSN_OF = _text("dsn_of")
ONCE = _text("once")
TAGS: Field[tuple[str, ...]] = Field("tags", (), "\n".join, _lines)

#: Every field there is, by its name.
FIELDS: dict[str, Field[Any]] = {
    field.name: field
    for field in (
        TENANT, STREAM, STATE, CONTENT, TOTAL, QUEUED, HELD, SEND_AT, EXPIRES_AT, MAX_AGE_MS, RATE,
        AT_MOST_ONCE, TEST, VIEWABLE, REQUEST, TRACE, SENDER, SUBJECT, LIST, CATEGORY, TAGS, LANGUAGE, PURPOSE,
        SELECTION, UNSELECTED, UNSELECTED_DETAIL, SEGMENT, AWAITED, UNDEFINED, SOURCE, CHANGES, CHANGED_AT,
        STARTED_AT, TIMING, SANDBOX, TEMPLATE, SEEDS_OF, FILE_BYTES, DSN, DSN_OF, ONCE,
    )
}  # fmt: skip
#: What scripts call `JOB.total` (`shared.redis.lua`).
NAMED = lua.fields(JOB=FIELDS)


class New(msgspec.Struct, frozen=True, kw_only=True):
    """A job as queueing stores it. `total` is the number of recipients that come with it. Times in ms, 0 for none:
    without `expires_at_ms` it expires `max_age_ms` after it is started."""

    tenant: str
    stream: Stream
    content: bytes
    total: int
    send_at_ms: int
    expires_at_ms: int
    max_age_ms: int
    rate: str
    at_most_once: bool
    test: bool
    sandbox: bool = False
    viewable: bool = False
    request: str = ""
    trace: str = ""
    sender: str
    subject: str
    list: str
    category: str
    tags: tuple[str, ...]
    language: str = ""
    purpose: str = ""
    template: str = ""
    selection: bytes = b""
    undefined: bytes = b""
    source: bytes = b""
    timing: bytes = b""
    #: The job that it is the copy of, for the seed list.
    seeds_of: str = ""
    #: What its sender wants to be told by mail; the message that it tells of.
    dsn: bytes = b""
    dsn_of: str = ""
    #: Of which operation its recipients get one message.
    once: str = ""


def written(new: New) -> dict[str, Stored]:
    """What the hash has of a job from the beginning; the rest is for scripts to count."""
    traced = (_written(TRACE, new.trace),) if new.trace else ()
    sandbox = (_written(SANDBOX, True),) if new.sandbox else ()
    viewable = (_written(VIEWABLE, True),) if new.viewable else ()
    spoken = (_written(LANGUAGE, new.language),) if new.language else ()
    selected = (_written(SELECTION, new.selection),) if new.selection else ()
    wanted = (_written(UNDEFINED, new.undefined),) if new.undefined else ()
    meant = (_written(PURPOSE, new.purpose),) if new.purpose else ()
    named = (_written(TEMPLATE, new.template),) if new.template else ()
    changeable = (_written(SOURCE, new.source),) if new.source else ()
    timed = (_written(TIMING, new.timing),) if new.timing else ()
    copied = (_written(SEEDS_OF, new.seeds_of),) if new.seeds_of else ()
    asked = (_written(DSN, new.dsn),) if new.dsn else ()
    telling = (_written(DSN_OF, new.dsn_of),) if new.dsn_of else ()
    of_one = (_written(ONCE, new.once),) if new.once else ()
    return dict(
        (
            *of_one,
            *named,
            *traced,
            *sandbox,
            *viewable,
            *spoken,
            *meant,
            *selected,
            *wanted,
            *changeable,
            *timed,
            *copied,
            *asked,
            *telling,
            _written(TENANT, new.tenant),
            _written(STREAM, new.stream),
            _written(CONTENT, new.content),
            _written(TOTAL, new.total),
            _written(SEND_AT, new.send_at_ms),
            _written(EXPIRES_AT, new.expires_at_ms),
            _written(MAX_AGE_MS, new.max_age_ms),
            _written(RATE, new.rate),
            _written(AT_MOST_ONCE, new.at_most_once),
            _written(TEST, new.test),
            _written(REQUEST, new.request),
            _written(SENDER, new.sender),
            _written(SUBJECT, new.subject),
            _written(LIST, new.list),
            _written(CATEGORY, new.category),
            _written(TAGS, new.tags),
        )
    )


#: What a change of a job leaves as it was: whose it is, and who gets it.
_KEPT = (TENANT, STREAM, TOTAL, REQUEST, TRACE, PURPOSE, SELECTION)
#: And what it may have before a change, and not afterwards.
_OF_SOME = (VIEWABLE, LANGUAGE, UNDEFINED, TIMING, ONCE, TEMPLATE)


def changed(new: New) -> tuple[dict[str, Stored], list[str]]:
    """What the hash has of a job that is changed, and the fields that it has no more."""
    kept = {field.name for field in _KEPT}
    fields = {name: value for name, value in written(new).items() if name not in kept}
    return fields, [field.name for field in _OF_SOME if field.name not in fields]


def _written(field: Field[T], value: T) -> tuple[str, Stored]:
    return field.name, field.write(value)


class Job:
    """What was read of a job, by field. Of a job that is not there every field is absent."""

    __slots__ = ("_stored",)

    def __init__(self, fields: Sequence[Field[Any]], stored: Sequence[bytes | None]) -> None:
        self._stored = dict(zip((field.name for field in fields), stored, strict=True))

    def __getitem__(self, field: Field[T]) -> T:
        stored = self._stored[field.name]
        return field.absent if stored is None else field.read(stored)


_HAS_ENDED = Script.of(__file__, "jobs_has_ended", names=NAMED)


async def has_ended(client: Client, partitions: int, job: str) -> bool:
    """Whether nothing of the job is left to be sent: every message has its end, or it is not kept. Raises RedisAway."""
    p = ids.job_partition(job, partitions)
    return bool(await _HAS_ENDED(client, [keys.job(p, job), keys.job_ended(p, job)], []))


async def read_many(client: Client, partitions: int, names: Sequence[str], fields: Sequence[Field[Any]]) -> list[Job]:
    """These fields of several jobs, in one round trip. Raises RedisAway."""
    if not names:
        return []
    wanted = [field.name for field in fields]
    asked = [("HMGET", keys.job(ids.job_partition(name, partitions), name), *wanted) for name in names]
    return [Job(fields, stored) for stored in await together(client, asked)]


async def read(client: Client, partitions: int, job: str, fields: Sequence[Field[Any]]) -> Job:
    """These fields of a job. Raises RedisAway."""
    key = keys.job(ids.job_partition(job, partitions), job)
    return Job(fields, await client.hmget(key, [field.name for field in fields]))
