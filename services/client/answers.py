"""What the API answers, as far as the client names it: fields that are not here are passed over. Pure."""

from typing import Any

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a request: where, and what."""

    at: str
    what: str


class NotMailed(msgspec.Struct, frozen=True):
    """A recipient whose address is none, or that was there twice."""

    email: str = ""
    reason: str = ""


class Named(msgspec.Struct, frozen=True):
    """The message of a recipient."""

    id: str
    email: str


class Accepted(msgspec.Struct, frozen=True):
    """The job is stored."""

    id: str
    state: str
    accepted: int = 0
    rejected: list[NotMailed] = []
    messages: list[Named] = []
    warnings: list[Fault] = []


class Appended(msgspec.Struct, frozen=True):
    appended: int
    duplicates: int
    rejected_total: int = 0
    faults_total: int = 0
    faults: list[Fault] = []
    stopped: str | None = None


class Started(msgspec.Struct, frozen=True):
    id: str
    state: str


class Bounces(msgspec.Struct, frozen=True):
    total: int = 0
    hard: int = 0
    soft: int = 0
    block: int = 0


class Counts(msgspec.Struct, frozen=True):
    """The figures of a job by the end of its messages; `Report.all` has every other one."""

    accepted: int = 0
    delivered: int = 0
    bounced: Bounces = Bounces()
    expired: int = 0
    failed: int = 0
    pending: int = 0


class Report(msgspec.Struct, frozen=True):
    """What became of a job; `all` is the whole answer."""

    id: str
    state: str
    stream: str
    total: int
    counts: Counts
    subject: str = ""
    send_at: str | None = None
    all: dict[str, Any] = {}

    @property
    def is_done(self) -> bool:
        """Every message has its end."""
        return self.state == "done"


class Event(msgspec.Struct, frozen=True):
    """Something that happened. A repeat has the same `event_id`."""

    event_id: str
    type: str
    time: str
    job: str | None = None
    message: str | None = None
    email: str | None = None
    details: dict[str, Any] = {}


class Page(msgspec.Struct, frozen=True):
    """Of the feed. Keep `next` once these events are dealt with: it is where to go on after a restart."""

    events: list[Event]
    next: str
    more: bool = False


class Message(msgspec.Struct, frozen=True):
    id: str
    job: str
    email: str | None
    state: str
    timeline: list[Event] = []


class Suppression(msgspec.Struct, frozen=True):
    address: str
    reason: str
    since: str
    diagnostic: str = ""


class Used(msgspec.Struct, frozen=True):
    """Of a day, or of all days that were asked for (`day` is "" then)."""

    accepted: int = 0
    delivered: int = 0
    calls: int = 0
    stored_bytes: int = 0
    day: str = ""


class Usage(msgspec.Struct, frozen=True):
    days: list[Used]
    total: Used


class Check(msgspec.Struct, frozen=True):
    """What is wrong with a mail, or could be: `level` is `error`, `warning` or `info`."""

    name: str
    level: str
    what: str
    part: str | None = None
    at: int | None = None


class PreviewAttachment(msgspec.Struct, frozen=True):
    """A file of the mail, without what base64 adds."""

    filename: str
    content_type: str
    size_bytes: int


class Preview(msgspec.Struct, frozen=True):
    """The mail of one recipient, as it would be sent; `checks` begin with the worst."""

    subject: str
    message: str
    html: str | None = None
    text: str | None = None
    language: str | None = None
    template: str | None = None
    size_bytes: int = 0
    warnings: list[Fault] = []
    checks: list[Check] = []
    attachments: list[PreviewAttachment] = []


class TemplatePut(msgspec.Struct, frozen=True):
    name: str
    version: int
    changed: bool
    uses: list[str] = []


class Template(msgspec.Struct, frozen=True):
    """A version of a template; `content` is as it was put."""

    name: str
    version: int
    content: dict[str, Any]
