"""What the routes of drops take and show, each field described. Pure."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from services.reports.drops import ssh_keys
from services.reports.drops.drop import WHY, Drop, Kind, State, due_ms
from services.reports.drops.periods import Schedule
from services.reports.drops.rows import COLUMNS, USUAL
from shared.words import public
from shared.words.content import Stream
from shared.words.described import says
from shared.words.times import rfc3339

#: Names that a drop may choose of each kind.
MOST_CHOSEN = 100
MAX_KEY_CHARS = 20_000
_HOST_KEY_LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG0wqq1rYAgBmzbBDw1hDbGZzAvxD5bqSWfLEbbbnx0Q"
_TARGET_TEXT = "sftp://estafette@sftp.exemple.fr:22/in"

Names = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, max_length=100)]], msgspec.Meta(max_length=MOST_CHOSEN)
]
Texts = list[str]
Streams = list[Stream]
Word = Annotated[str, msgspec.Meta(max_length=200)]
Time = Annotated[datetime, msgspec.Meta(tz=True)]
_KIND = says("What files have: `events` of a period, or the `suppressions` as the list stood at its end.", "events")
_TARGET = says(
    "Where files go: a folder below the tenant's own, as `crm/in`; or `sftp://user@host:port/path`, where `/~/path` is "
    "from where the user is after login.",
    _TARGET_TEXT,
)
_SCHEDULE = says("Whether a file has an hour, or a day.", "hourly")
_HOUR = Annotated[
    int,
    msgspec.Meta(
        ge=0, le=23, description="Of `daily`: at which hour (UTC) a day ends and the next begins.", examples=[6]
    ),
]  # fmt: skip
_TYPES = says(
    "Only events of these types; empty: of all.", ["message.delivered", "message.bounced"],
    schema={"items": {"type": "string", "enum": sorted(public.TYPES)}},
)  # fmt: skip
_COLUMNS = says(
    f"Which columns a file of events has, in this order; empty: {', '.join(USUAL)}. Each detail of an event has one of "
    "its name.",
    ["event_id", "time", "type", "email", "reason"],
    schema={"items": {"type": "string", "enum": list(COLUMNS)}},
)
_JOB = says("Only events of this job; empty: of any.", "")
_TAG = says("Only events of jobs with this tag; empty: of any.", "")
_LIST = says("Only events of jobs of this list; empty: of any.", "newsletter")
_STREAMS = says("Only events of jobs of these streams; empty: of all.", ["bulk"])
_RECIPIENT = says("Only events about this address; empty: about any.", "")
_DESCRIPTION = says("What it is for, in your words.", "warehouse", max_length=500)
_ENABLED = says("Whether files are written; what is missed meanwhile is made up for.", True)


class NewDrop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A drop as it is to be. Of one that is there already, `since` says nothing, and a `private_key` or `host_key` that
    is null stays as it is."""

    kind: Annotated[Kind, _KIND]
    target: Annotated[str, _TARGET]
    schedule: Annotated[Schedule, _SCHEDULE] = "hourly"
    hour: _HOUR = 0
    types: Annotated[Names, _TYPES] = []
    job: Annotated[Word, _JOB] = ""
    tag: Annotated[Word, _TAG] = ""
    list: Annotated[Word, _LIST] = ""
    streams: Annotated[Streams, _STREAMS] = []
    recipient: Annotated[Word, _RECIPIENT] = ""
    columns: Annotated[Names, _COLUMNS] = []
    host_key: Annotated[
        Annotated[str, msgspec.Meta(max_length=MAX_KEY_CHARS)] | None,
        says(
            "Of SFTP: by which key the server is known, as `ssh-keyscan` shows it; several, a line each.",
            _HOST_KEY_LINE,
        ),
    ] = None
    private_key: Annotated[
        Annotated[str, msgspec.Meta(max_length=MAX_KEY_CHARS)] | None,
        says("Of SFTP: a private key of your own, without a passphrase; null: one is made. It is never shown.", None),
    ] = None
    description: Annotated[str, _DESCRIPTION] = ""
    enabled: Annotated[bool, _ENABLED] = True
    since: Annotated[
        Time | None,
        says(
            "Of a new one: from when on there are files, as far back as events are kept; null: from the period on that "
            "is under way.",
            "2026-01-31T00:00:00Z",
        ),
    ] = None


class RunRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written now."""

    time: Annotated[
        Time | None,
        says(
            "A moment of the period that is to be written, again if there was a file of it; null: what is due, or, if "
            "nothing is, the last period that has ended.",
            "2026-01-31T09:00:00Z",
        ),
    ] = None


class DropShown(msgspec.Struct, frozen=True, kw_only=True):
    """A drop, and how far it is."""

    name: Annotated[str, says("Its name.", "events")]
    kind: Annotated[Kind, _KIND]
    target: Annotated[str, _TARGET]
    schedule: Annotated[Schedule, _SCHEDULE]
    hour: Annotated[int, says("At which hour (UTC) a day ends and the next begins.", 0)]
    types: Annotated[Texts, _TYPES]
    job: Annotated[str, _JOB]
    tag: Annotated[str, _TAG]
    list: Annotated[str, _LIST]
    streams: Annotated[Texts, _STREAMS]
    recipient: Annotated[str, _RECIPIENT]
    columns: Annotated[Texts, _COLUMNS]
    host_key: Annotated[
        str | None, says("By which keys the server is known, a line each; null of a folder.", _HOST_KEY_LINE)
    ]
    public_key: Annotated[
        str | None,
        says(
            "The key that we show, for `authorized_keys` of the server; null of a folder.",
            f"{_HOST_KEY_LINE} estafette",
        ),
    ]
    description: Annotated[str, says("What it is for.", "warehouse")]
    enabled: Annotated[bool, _ENABLED]
    created: Annotated[str, says("When it was made.", "2026-01-31T09:05:00.123Z")]
    state: Annotated[
        Literal["waiting", "late", "failing", "disabled"],
        says(
            "`waiting` for the end of a period; `late`: one is over that has no file; `failing`, see `why`.", "waiting"
        ),
    ]
    next_period: Annotated[str, says("Where the next period begins.", "2026-01-31T10:00:00.000Z")]
    next_file: Annotated[str, says("When its file is due.", "2026-01-31T11:01:00.000Z")]
    asked_for: Annotated[str | None, says("A moment of the period that was asked for and is not written yet.", None)]
    last_file: Annotated[str | None, says("What was written last.", "acme-events-2026-01-31T09.csv")]
    last_written: Annotated[str | None, says("When.", "2026-01-31T10:01:02.345Z")]
    last_rows: Annotated[int | None, says("How many rows it had, without the heading.", 18_204)]
    last_bytes: Annotated[int | None, says("How many bytes it had.", 3_112_450)]
    files: Annotated[int, says("How many files were written in all.", 412)]
    missed: Annotated[
        int,
        says("How many periods have no file, because their events were not kept any more when it could be written.", 0),
    ]
    failing_since: Annotated[str | None, says("Since when no attempt went well.", None)]
    failures: Annotated[int, says("How many attempts went wrong in a row.", 0)]
    retry: Annotated[str | None, says("When it is tried again.", None)]
    why: Annotated[
        str | None, says(f"What went wrong last: {'; '.join(f'`{word}`: {text}' for word, text in WHY.items())}.", None)
    ]
    detail: Annotated[str | None, says("The same for people, as the server or the system says it.", None)]


class DropList(msgspec.Struct, frozen=True):
    """By their names."""

    drops: Annotated[list[DropShown], says("The drops of the tenant.")]


class RunStarted(msgspec.Struct, frozen=True):
    """It is written within seconds, if nothing is in the way: the drop shows what became of it."""

    period: Annotated[str, says("Where the period begins that is written.", "2026-01-31T09:00:00.000Z")]
    file: Annotated[str, says("What its file is called.", "acme-events-2026-01-31T09.csv")]


def shown(drop: Drop, state: State, now_ms: int) -> DropShown:
    """As the API shows it."""
    due = due_ms(drop, state)
    fares: Literal["waiting", "late", "failing", "disabled"] = "late" if due <= now_ms else "waiting"
    if state.failures:
        fares = "failing"
    return DropShown(
        name=drop.name,
        kind=drop.kind,
        target=drop.target,
        schedule=drop.schedule,
        hour=drop.hour,
        types=list(drop.types),
        job=drop.job,
        tag=drop.tag,
        list=drop.list,
        streams=list(drop.streams),
        recipient=drop.recipient,
        columns=list(drop.columns),
        host_key=ssh_keys.shown(drop.host_keys) or None,
        public_key=drop.public_key or None,
        description=drop.description,
        enabled=drop.enabled,
        created=rfc3339(drop.created_ms),
        state=fares if drop.enabled else "disabled",
        next_period=rfc3339(state.next),
        next_file=rfc3339(due),
        asked_for=rfc3339(state.again) if state.again >= 0 else None,
        last_file=state.last_file or None,
        last_written=_time(state.last_at),
        last_rows=state.last_rows if state.last_file else None,
        last_bytes=state.last_bytes if state.last_file else None,
        files=state.written,
        missed=state.missed,
        failing_since=_time(state.failing_since),
        failures=state.failures,
        retry=_time(state.retry_at) if state.failures else None,
        why=state.why or None,
        detail=state.detail or None,
    )


def _time(ms: int) -> str | None:
    return rfc3339(ms) if ms else None
