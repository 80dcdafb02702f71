"""The messages on the streams, field by field in the order of `proto/v1/*.proto`.

Facts are past participles. The first seven fields of each fact are the same, so that a reader can route, count and
order facts without knowing all of them:

    event_id     derived from what happened, so that a repeat of the same fact is the same event
    occurred_at  ms since the epoch, UTC
    tenant       the tenant's name
    job          the job's id, "" for a fact about an address or a tenant alone
    ordinal      of the recipient in the job; None for a fact about an address alone, a job or a tenant
    sequence     ms from the job's creation (its id carries it) to the fact: orders the facts of one message
    email        the recipient's address where the writer knows it (bounces, openings and clicks name the message alone)

The bytes are a msgpack array; fields are only ever appended, with a default.
"""

from typing import ClassVar

import msgspec

from shared.words.abouts import About as About
from shared.words.abouts import about as about
from shared.words.abouts import about_message as about_message
from shared.words.abouts import event_id as event_id
from shared.words.abouts import sequence as sequence

MAJOR_VERSION = 1


class Message(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Anything that travels on a stream. `__struct_fields__` is in the order of the field numbers."""


class Fact(Message, frozen=True, array_like=True, kw_only=True):
    event_id: str
    occurred_at: int
    tenant: str
    job: str = ""
    ordinal: int | None = None
    sequence: int = 0
    email: str | None = None

    #: The name in webhooks and in the API: `message.bounced`.
    topic: ClassVar[str] = ""


class Accepted(Fact, frozen=True, array_like=True, kw_only=True):
    """The recipient is in a ready queue: from now on the relay owes it an end."""

    topic: ClassVar[str] = "message.accepted"
    site: str = ""


class Rejected(Fact, frozen=True, array_like=True, kw_only=True):
    """The recipient was never queued: `reason` is a word of `invalid_address`, `duplicate_address`, `no_mail_host` …"""

    topic: ClassVar[str] = "message.rejected"
    reason: str = ""


class Suppressed(Fact, frozen=True, array_like=True, kw_only=True):
    """With a job: this message was not sent. Without: the address entered the list, for that channel and scope
    (`shared.words.scopes`). `where` says who found it."""

    topic: ClassVar[str] = "message.suppressed"
    reason: str = ""
    where: str = ""
    channel: str = "email"
    scope: str = ""


class Delivered(Fact, frozen=True, array_like=True, kw_only=True):
    """The receiving host took responsibility (2xx to the final dot)."""

    topic: ClassVar[str] = "message.delivered"
    attempt: int = 1
    site: str = ""
    host: str = ""
    reply: str = ""
    tls: str | None = None
    size_bytes: int = 0
    duration_ms: int = 0
    source: str = ""
    tls_cipher: str = ""
    tls_policy: str = ""


class Deferred(Fact, frozen=True, array_like=True, kw_only=True):
    """An attempt failed for now; `retry_at` (ms) is when the next one is due."""

    topic: ClassVar[str] = "message.deferred"
    attempt: int = 1
    site: str = ""
    host: str = ""
    reply: str = ""
    reason: str = ""
    retry_at: int = 0
    source: str = ""


class Bounced(Fact, frozen=True, array_like=True, kw_only=True):
    """The message will not arrive. `kind` is `hard` (the address is bad), `soft` (it may be good later) or `block` (it
    is about us). `late` when a report came after the receiving host had taken it."""

    topic: ClassVar[str] = "message.bounced"
    attempt: int = 0
    site: str = ""
    host: str = ""
    reply: str = ""
    reason: str = ""
    kind: str = "soft"
    late: bool = False
    source: str = ""


class Expired(Fact, frozen=True, array_like=True, kw_only=True):
    """Its time ran out before a host took it; `reply` is the last one seen."""

    topic: ClassVar[str] = "message.expired"
    attempt: int = 0
    site: str = ""
    host: str = ""
    reply: str = ""


class Failed(Fact, frozen=True, array_like=True, kw_only=True):
    """The engine could not send it and gave up: `render_failed`; `empty_subject` or `empty_body`, when nothing would be
    shown; `brought_relay_down`, when each attempt ended the process that made it; `may_have_been_sent`, when an
    older copy of Redis was put back that still had it to send; or `lost_attachment`, when a file of its recipient is
    not kept any more. Nothing is said about the address, so it is no bounce. `detail` is for people."""

    topic: ClassVar[str] = "message.failed"
    attempt: int = 0
    site: str = ""
    reason: str = ""
    detail: str = ""


class Opened(Fact, frozen=True, array_like=True, kw_only=True):
    """`machine` names what fetched the pixel where that was no person's program, and `reason` says what told it
    (`services/tracking/machines.py`)."""

    topic: ClassVar[str] = "message.opened"
    user_agent: str = ""
    ip: str = ""
    machine: str = ""
    reason: str = ""

    @property
    def is_by_person(self) -> bool:
        """An image proxy fetches what its person has open."""
        return self.machine in ("", "image_proxy")


class Clicked(Fact, frozen=True, array_like=True, kw_only=True):
    """`position` is the link's place in the source of the HTML, from 0. `machine` names what was no person, or "", and
    `reason` says what told it."""

    topic: ClassVar[str] = "message.clicked"
    position: int = 0
    url: str = ""
    user_agent: str = ""
    ip: str = ""
    machine: str = ""
    reason: str = ""

    @property
    def is_by_person(self) -> bool:
        return not self.machine


class DocumentOpened(Fact, frozen=True, array_like=True, kw_only=True):
    """A tracked document was opened: `document` is its name, `url` where it is. `position` is its link's place in the
    mail, from 0, and None if the link was in none (`POST /v1/documents`). `machine` and `reason` as of Clicked."""

    topic: ClassVar[str] = "message.document_opened"
    document: str = ""
    url: str = ""
    position: int | None = None
    user_agent: str = ""
    ip: str = ""
    machine: str = ""
    reason: str = ""

    @property
    def is_by_person(self) -> bool:
        return not self.machine


class Unsubscribed(Fact, frozen=True, array_like=True, kw_only=True):
    """`by` is `one_click` (RFC 8058), `page` or `mail`. `scope` is what was left: `list` (`list` is its name),
    `marketing` or `all`; "" where nothing else was said than to leave: the job's list if it has one, else marketing.
    `reason` is why, in one word, where they said so: `too_many`, `not_relevant`, `never_asked` or `other`."""

    topic: ClassVar[str] = "message.unsubscribed"
    by: str = ""
    user_agent: str = ""
    ip: str = ""
    scope: str = ""
    list: str = ""
    reason: str = ""


class Complained(Fact, frozen=True, array_like=True, kw_only=True):
    """A feedback report (RFC 5965); `feedback_type` is its own word, mostly `abuse`."""

    topic: ClassVar[str] = "message.complained"
    feedback_type: str = ""
    reporter: str = ""


class AutoReplied(Fact, frozen=True, array_like=True, kw_only=True):
    """An automatic answer: `kind` is `vacation`, `challenge`, `read_receipt` or `other`."""

    topic: ClassVar[str] = "message.auto_replied"
    kind: str = ""
    subject: str = ""


class Reactivated(Fact, frozen=True, array_like=True, kw_only=True):
    """The address left the suppression list for that channel and scope ("": for all); `reason` says on whose word."""

    topic: ClassVar[str] = "address.reactivated"
    reason: str = ""
    channel: str = "email"
    scope: str = ""


class Erased(Fact, frozen=True, array_like=True, kw_only=True):
    """What was kept of an address is gone, but for the keyed hash that keeps it suppressed, which is `digest`; so many
    `messages` had it as their recipient. `by` is `request` or `retention`. The fact has no address."""

    topic: ClassVar[str] = "address.erased"
    digest: str = ""
    messages: int = 0
    by: str = ""


class RetentionNear(Fact, frozen=True, array_like=True, kw_only=True):
    """Nothing has come from the address since `last_at`; if nothing does, it is erased from `erase_at` on (ms)."""

    topic: ClassVar[str] = "address.retention_near"
    last_at: int = 0
    erase_at: int = 0


class AddressStated(Fact, frozen=True, array_like=True, kw_only=True):
    """The tenant's base of contacts says of the address whether it opted in to e-mail (`state`: `opted_in`,
    `opted_out`, "" for nothing said) and whether it works (`kind`: `valid`, `hard`, ""). `source` is `api`, or `import`
    with a number."""

    topic: ClassVar[str] = "address.stated"
    state: str = ""
    kind: str = ""
    source: str = ""


class OptedIn(Fact, frozen=True, array_like=True, kw_only=True):
    """The recipient agreed to be written to or called for marketing, on `channel`, perhaps as a member of `list`. `by`
    is `button`, `page`, `double_opt_in` or `api`; `text` names the text under which they agreed, `purpose` what for."""

    topic: ClassVar[str] = "address.opted_in"
    channel: str = ""
    list: str = ""
    purpose: str = ""
    text: str = ""
    by: str = ""
    user_agent: str = ""
    ip: str = ""


class PreferencesChanged(Fact, frozen=True, array_like=True, kw_only=True):
    """What else the recipient said of what they want: lists that they `joined` and `left`, channels that they opted
    out of (`opted_out`), each a line; `tracking` and `objected` (to prospecting) are `yes`, `no`, `unknown` or "" where
    nothing was said of it. `by` and `text` as of OptedIn. `marks`: by which trackers know the recipient, in hex with
    blanks between, where `tracking` was said (`shared.words.tokens`). `undone`: they take back that they left by this
    message. `most` mails in `days` is what they want at most; -1 in both where they want any number again, 0 where
    nothing was said of it."""

    topic: ClassVar[str] = "address.preferences_changed"
    joined: str = ""
    left: str = ""
    opted_out: str = ""
    tracking: str = ""
    objected: str = ""
    by: str = ""
    text: str = ""
    user_agent: str = ""
    ip: str = ""
    marks: str = ""
    undone: bool = False
    most: int = 0
    days: int = 0


class PageViewed(Fact, frozen=True, array_like=True, kw_only=True):
    """Who followed a link of the message looked at a page of the tenant's site, and agreed there to be followed. `url`
    is its address without query and fragment; `machine` and `reason` as of Clicked."""

    topic: ClassVar[str] = "message.page_viewed"
    url: str = ""
    machine: str = ""
    reason: str = ""

    @property
    def is_by_person(self) -> bool:
        return not self.machine


class VisitorActed(Fact, frozen=True, array_like=True, kw_only=True):
    """The same did something there: `name` says what (`basket`, `purchase` …). `value` is an amount of `currency` (ISO
    4217), a decimal as text, both "" where there is none; `properties` an object of JSON, "" for none."""

    topic: ClassVar[str] = "message.visitor_acted"
    name: str = ""
    url: str = ""
    value: str = ""
    currency: str = ""
    properties: str = ""
    machine: str = ""
    reason: str = ""

    @property
    def is_by_person(self) -> bool:
        return not self.machine


class VisitorConsented(Fact, frozen=True, array_like=True, kw_only=True):
    """The same agreed on the page `url` to be followed on that site, in that browser; or, not `given`, took it back."""

    topic: ClassVar[str] = "message.visitor_consented"
    given: bool = False
    url: str = ""


class Stopped(Fact, frozen=True, array_like=True, kw_only=True):
    """A job is not sent for now; without a job, the tenant's bulk. `reason` is `invalid_rate`, `complaint_rate`,
    `render_failed`, `paused` or `suspended`, `by` is `engine`, `tenant` or `operator`; `bad` of `of` messages are the
    figures of a breaker (`shared.redis.stops`)."""

    topic: ClassVar[str] = "job.stopped"
    reason: str = ""
    by: str = ""
    bad: int = 0
    of: int = 0


class Resumed(Fact, frozen=True, array_like=True, kw_only=True):
    """What was stopped for that reason goes on, on the word of `by`."""

    topic: ClassVar[str] = "job.resumed"
    reason: str = ""
    by: str = ""


class Warned(Fact, frozen=True, array_like=True, kw_only=True):
    """`bad` of `of` messages of the tenant: more, and its bulk is stopped. Once a day."""

    topic: ClassVar[str] = "tenant.warned"
    reason: str = ""
    bad: int = 0
    of: int = 0


class Cancelled(Fact, frozen=True, array_like=True, kw_only=True):
    """It will not be sent: `by` is `tenant` or `operator`, who cancelled its job or what waited; `attempt` is how many
    attempts were made. `site` is "" if it had not been queued yet."""

    topic: ClassVar[str] = "message.cancelled"
    attempt: int = 0
    site: str = ""
    by: str = ""
    why: str = ""


class Acted(Fact, frozen=True, array_like=True, kw_only=True):
    """An operator did something to the installation: `action` to `target`, `who` (a key's id, or who sat at the
    console), `why`, until when (ms; 0: until it is undone), and of how many messages, where that is known. The tenant
    is the operator's own, "" at the console."""

    topic: ClassVar[str] = "operator.acted"
    action: str = ""
    target: str = ""
    who: str = ""
    why: str = ""
    until_at: int = 0
    messages: int = 0


class WebhookDisabled(Fact, frozen=True, array_like=True, kw_only=True):
    """An endpoint is told nothing any more: `reason` is `gone` (410), or `failing`, since `failing_since_at` (ms)."""

    topic: ClassVar[str] = "webhook.disabled"
    endpoint: str = ""
    url: str = ""
    reason: str = ""
    failing_since_at: int = 0


class Replied(Fact, frozen=True, array_like=True, kw_only=True):
    """A person answered the message, to its return path; `subject` is that of the answer."""

    topic: ClassVar[str] = "message.replied"
    subject: str = ""


class Finished(Fact, frozen=True, array_like=True, kw_only=True):
    """Every message of the job has its end: once for each job. `total` is the sum of what follows it. What is found out
    later, as a bounce that comes by report, changes the job's report and not this."""

    topic: ClassVar[str] = "job.finished"
    total: int = 0
    delivered: int = 0
    bounced: int = 0
    expired: int = 0
    failed: int = 0
    suppressed: int = 0
    rejected: int = 0
    cancelled: int = 0


class DomainChecked(Fact, frozen=True, array_like=True, kw_only=True):
    """DNS was asked for the records of a sending domain, and the outcome is another than the last that was told.
    `state` and `waits_for` (here "" for nothing) as `shared.words.sending_domain` has them; of `of` records DNS showed
    `published`; `wrong` has the others, each a line: type, name, and what DNS showed."""

    topic: ClassVar[str] = "domain.checked"
    domain: str = ""
    state: str = ""
    waits_for: str = ""
    published: int = 0
    of: int = 0
    wrong: str = ""


class ContactAdded(Fact, frozen=True, array_like=True, kw_only=True):
    """A contact is new in the tenant's base: its number `contact`, and its `key` where that is a field of the tenant's
    own. `by` is `api` or `import`, then with its `import_number`."""

    topic: ClassVar[str] = "contact.added"
    contact: int = 0
    key: str = ""
    by: str = ""
    import_number: int = 0


class ContactUpdated(Fact, frozen=True, array_like=True, kw_only=True):
    """Something of a contact is another, as of ContactAdded; `changed` names the fields, each a line."""

    topic: ClassVar[str] = "contact.updated"
    contact: int = 0
    key: str = ""
    by: str = ""
    import_number: int = 0
    changed: str = ""


class ContactAtRisk(Fact, frozen=True, array_like=True, kw_only=True):
    """A contact has come to be at risk; `contact` and `key` as of ContactAdded. `reason`: `hard`, the address was given
    up, or `quiet`, nothing was opened or clicked in `days`. Once for each time."""

    topic: ClassVar[str] = "contact.at_risk"
    contact: int = 0
    key: str = ""
    reason: str = ""
    days: int = 0


class ActivityRanked(Fact, frozen=True, array_like=True, kw_only=True):
    """Every contact of a tenant has its note anew. `active` of `contacts` have 1 to 10; `notes` is how many have each
    note from 0 to 10, a list of JSON, and `settings` what counted, an object of JSON."""

    topic: ClassVar[str] = "activity.ranked"
    active: int = 0
    contacts: int = 0
    notes: str = ""
    settings: str = ""


class Intake(Message, frozen=True, array_like=True, kw_only=True):
    """A chunk of a job waits to be queued: it is stored with the job at `first_ordinal`."""

    tenant: str
    job: str
    first_ordinal: int


class Ready(Message, frozen=True, array_like=True, kw_only=True):
    """One recipient, due at a site. Everything else that its mail needs is in the job's compiled content."""

    tenant: str
    job: str
    ordinal: int
    email: str
    name: str = ""
    variables: msgspec.Raw = msgspec.Raw(b"\x80")
    attempt: int = 1
    expires_at: int = 0
    untracked: bool = False
    last_reply: str = ""
    stream: str = "bulk"
    at_most_once: bool = False
    trace: str | None = None
    list: str = ""
    window: str = ""
    not_before: int = 0
    files: str = ""
    once: str = ""


#: Every fact by its name; the stream entry's `t` field.
FACTS: dict[str, type[Fact]] = {
    fact.__name__: fact
    for fact in (
        Accepted, Rejected, Suppressed, Delivered, Deferred, Bounced, Expired, Opened, Clicked, Unsubscribed,
        Complained, AutoReplied, Reactivated, Stopped, Resumed, Warned, Failed, Cancelled, Acted, Erased, OptedIn,
        PreferencesChanged, RetentionNear, DocumentOpened, PageViewed, VisitorActed, VisitorConsented, WebhookDisabled,
        Replied, Finished, DomainChecked, AddressStated, ContactAdded, ContactUpdated, ActivityRanked, ContactAtRisk,
    )
}  # fmt: skip
#: Every message by its name.
MESSAGES: dict[str, type[Message]] = {**FACTS, "Intake": Intake, "Ready": Ready}
#: Reasons of `Failed` that say that no mail could be made of content and data.
UNMADE_REASONS = frozenset(("render_failed", "empty_subject", "empty_body"))
#: Another: a file that only its recipient gets is gone. It says nothing of the content.
LOST_ATTACHMENT = "lost_attachment"
#: Facts after which a message has no other end. A late bounce may follow Delivered: it is a report, the end stays.
FINAL_FACTS = ("Delivered", "Bounced", "Expired", "Suppressed", "Rejected", "Failed", "Cancelled")

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[str, msgspec.msgpack.Decoder[Message]] = {
    name: msgspec.msgpack.Decoder(message) for name, message in MESSAGES.items()
}


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


def decode(name: str, body: bytes) -> Message:
    """The message of that name. ValueError (msgspec's own is one) if the name is unknown or the bytes do not fit."""
    decoder = _decoders.get(name)
    if decoder is None:
        raise ValueError(f"unknown message {name!r:.40}")
    return decoder.decode(body)
