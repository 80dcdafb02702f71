"""An event as everybody outside sees it, in reports and wherever else it is told: a type, a time, the message, and what
this type of event has besides.

On the streams it is a fact (`shared.words.events`); its public form is made of the fact and of nothing else. Every type
and every detail is described here, and the documents of the API are made of that.
"""

from typing import Annotated, Any

import msgspec

from shared.words import events, ids
from shared.words.described import says
from shared.words.times import rfc3339

#: The fields that all facts share; what follows them are the details of the type.
_COMMON = len(events.Fact.__struct_fields__)

#: What facts are called that have no job: an address enters the list, the bulk of a tenant is stopped and goes on.
_WITHOUT_JOB = {
    "Suppressed": "address.suppressed",
    "Stopped": "tenant.stopped",
    "Resumed": "tenant.resumed",
    "DocumentOpened": "address.document_opened",
}
#: Every type there is → the name of the fact on the stream.
TYPES: dict[str, str] = {
    **{fact.topic: name for name, fact in events.FACTS.items()},
    **{topic: name for name, topic in _WITHOUT_JOB.items()},
}

#: Every type there is, in a sentence.
SENTENCES: dict[str, str] = {
    "message.accepted": "The message is queued for its host: from now on it will have an end.",
    "message.rejected": "The message was never queued, for a reason that lies in the job. Final.",
    "message.suppressed": "The message was not sent, because its address is on the suppression list. Final.",
    "message.delivered": "The receiving host took responsibility for the message. Final, but for a late bounce.",
    "message.deferred": "An attempt failed for now, and another one will be made.",
    "message.bounced": "The message will not arrive; `late` if a report said so after a host had taken it. Final.",
    "message.expired": "The time of the message ran out before a host took it. Final.",
    "message.failed": "The engine could not make or send the message; nothing is said about the address. Final.",
    "message.cancelled": "The message was cancelled before it was sent, by its tenant or an operator. Final.",
    "message.opened": "The picture of the message was fetched.",
    "message.clicked": "A link of the message was followed.",
    "message.document_opened": "A tracked document of the message was opened.",
    "message.page_viewed": "Who followed a link of the message looked at a page of the tenant's site, by consent.",
    "message.visitor_acted": "Who followed a link of the message did something on the tenant's site, by consent.",
    "message.visitor_consented": "Who followed a link agreed to be followed on the tenant's site, or took it back.",
    "message.unsubscribed": "The recipient asked to be left alone; the address enters the suppression list.",
    "message.complained": "The recipient's provider reported a complaint (RFC 5965).",
    "message.auto_replied": "An automatic answer to the message came back.",
    "message.replied": "A person answered the message, to its return path.",
    "address.document_opened": "A tracked document was opened whose link was made for an address, and for no message.",
    "address.suppressed": "An address entered the suppression list.",
    "address.reactivated": "An address left the suppression list.",
    "address.erased": "What was kept of an address is gone, but for the keyed hash that keeps it suppressed.",
    "address.retention_near": "Nothing has come from an address for long: it will be erased. `/v1/retention`.",
    "address.opted_in": "The recipient agreed to be written to or called for marketing, on one channel.",
    "address.stated": "The base of contacts says that the address opted in or out of e-mail, or works, or does not.",
    "address.preferences_changed": "The recipient said what they want: lists, channels, tracking, prospecting.",
    "job.stopped": "The job is not sent for now.",
    "job.resumed": "The job goes on.",
    "job.finished": "Every message of the job has its end. Once for each job; late bounces change its report alone.",
    "tenant.stopped": "The bulk mail of the tenant is not sent for now.",
    "tenant.resumed": "The bulk mail of the tenant goes on.",
    "operator.acted": "An operator did something to the installation; in the feed of the operator's own tenant.",
    "webhook.disabled": "An endpoint is told nothing any more: it failed for too long, or is gone. `/v1/webhooks`.",
    "domain.checked": "DNS was asked for a sending domain's records, and showed something else than when told last.",
    "contact.added": "A contact is new in the base.",
    "contact.updated": "Something of a contact is another than before, by a request or an import.",
    "contact.at_risk": "A contact has come to be at risk: its address is gone, or it was quiet long. `/v1/at-risk`.",
    "activity.ranked": "Every contact has its note of activity anew. `/v1/activity`.",
    "tenant.warned": "The figures of the tenant are bad, and its bulk will be stopped if they get worse. Once a day.",
}

#: What a detail means and an example, wherever an event has one of that name.
_DETAILS: dict[str, tuple[str, Any]] = {
    "action": (
        "`suspend`, `resume`, `cancel`, `bounce`, `move`, `move back`, `requeue`, `lift`, `replay`, `drop`, "
        "`put rules` or `delete rules`.",
        "suspend",
    ),
    "active": ("How many contacts have a note of 1 to 10.", 1_203),
    "attempt": ("Which attempt it was, from 1; 0 where nobody knows.", 1),
    "bad": ("How many of the messages went wrong.", 20),
    "changed": ("The names of the fields that are others, each a line.", "last_name\ntags"),
    "channel": ("By what the address is reached: `email`, `sms` or `phone`.", "email"),
    "contact": ("The contact's number: `id` of `/v1/contacts`.", 4_217),
    "contacts": ("How many contacts there are.", 9_203),
    "by": ("On whose word: `engine`, `tenant` or `operator`.", "engine"),
    "detail": ("What happened, for people.", "a template took too long"),
    "document": ("The name of the document.", "Devis 2026-113"),
    "duration_ms": ("From MAIL FROM to the reply to the final dot, in ms.", 412),
    "feedback_type": ("The word of the report, mostly `abuse`.", "abuse"),
    "host": ("The host that answered; empty where none was reached.", "mx1.exemple.fr"),
    "import_number": ("The number of the import; 0 if it was none.", 12),
    "ip": ("The address that asked for it.", "192.0.2.33"),
    "key": (
        "The contact's key where that is a field of the tenant's own; empty where it is the address, which `email` "
        "has, or the telephone.",
        "C-10482",
    ),
    "kind": ("What kind it is.", "vacation"),
    "late": ("Whether a report said it after the host had taken the message.", False),
    "list": ("The list that was left, where `scope` is `list`.", "newsletter"),
    "machine": ("What asked for it where that was no person; empty for a person.", ""),
    "messages": ("How many messages it was about, where that is known.", 120_000),
    "notes": (
        "How many contacts have each note from 0 to 10: a list of JSON.",
        "[8000,120,120,120,120,120,120,120,121,121,121]",
    ),
    "of": ("Of how many that were looked at.", 400),
    "position": ("The link's place in the source of the HTML, from 0.", 2),
    "reason": ("Why, in one word.", "unknown_user"),
    "reply": ("What the host said, lines joined by LF.", "250 2.0.0 Ok: queued as 4bX1"),
    "reporter": ("Who reports it.", "feedback.exemple.net"),
    "retry_at": ("When the next attempt is due.", "2026-01-31T09:20:00.000Z"),
    "scope": ("What is stopped: `all`, `marketing` or `list:<name>`.", "marketing"),
    "settings": (
        "What counted in this run: an object of JSON, as `/v1/activity` has it.",
        '{"period":{"count":2,"unit":"months"},"least":1,"counts":{"email":["opened","clicked"]}}',
    ),
    "site": ("The set of mail hosts whose queue it was in.", "exemple.fr"),
    "size_bytes": ("What was sent after DATA, in bytes.", 18_230),
    "source": ("The address or name of ours that it left by; empty where nobody knows.", "default"),
    "subject": ("The subject of the answer.", "Absence du bureau"),
    "target": ("What it was done to.", "site:gmail"),
    "tls": ("The protocol of the connection; null for clear text.", "TLSv1.3"),
    "tls_cipher": ("The cipher of the connection; empty for clear text.", "TLS_AES_256_GCM_SHA384"),
    "tls_policy": (
        "What asked for encryption: `opportunistic`, `required`, `mta-sts`, `dane`, `none`.",
        "opportunistic",
    ),
    "until_at": ("When it ends by itself; null if it does not.", "2026-01-31T10:00:00.000Z"),
    "url": ("Where the link led.", "https://exemple.fr/soldes"),
    "user_agent": ("The program that asked for it, as it calls itself.", "Mozilla/5.0 (X11; Linux x86_64)"),
    "where": ("Who found the address on the list.", "queueing"),
    "who": ("Who did it: the id of a key, or who sat at the console.", "key:k3v9x2p0qa"),
    "why": ("Why, in their words.", "blocks our range, ticket 4711"),
}
#: And where an event means something of its own.
_DETAILS_OF: dict[tuple[str, str], tuple[str, Any]] = {
    ("Suppressed", "reason"): (
        "Why the address is on the list; `rule`: a rule of the tenant concerns it, `compliance`: one of the operator.",
        "hard_bounce",
    ),
    ("Rejected", "reason"): ("Why it was rejected.", "invalid_address"),
    ("Deferred", "reply"): ("What the host said, lines joined by LF.", "451 4.7.1 Greylisted, try again"),
    ("Deferred", "reason"): ("Why it failed for now, in one word.", "greylisted"),
    ("Bounced", "kind"): ("`hard`: the address is bad; `soft`: it may be good later; `block`: it is about us.", "hard"),
    ("Bounced", "reply"): ("The host's reply, or the diagnostic of a report.", "550 5.1.1 No such user here"),
    ("Expired", "attempt"): ("How many attempts were made.", 9),
    ("Expired", "reply"): ("The last reply that was seen.", "451 4.3.0 Try again later"),
    ("Failed", "reason"): (
        "`render_failed`, `empty_subject`, `empty_body`, `lost_attachment` where a file of its recipient is gone, as"
        " after an erasure, `brought_relay_down` after the attempts that did, or `may_have_been_sent` where an older"
        " copy of Redis was put back that still had it to send.",
        "render_failed",
    ),
    ("Cancelled", "attempt"): ("How many attempts were made.", 0),
    ("Cancelled", "site"): ("The set of mail hosts whose queue it was in; empty before it was queued.", "exemple.fr"),
    ("Cancelled", "by"): ("On whose word: `tenant` or `operator`.", "operator"),
    ("Unsubscribed", "by"): ("How: `one_click` (RFC 8058), `page` or `mail`.", "one_click"),
    ("Unsubscribed", "scope"): (
        "What was left: `list`, `marketing` or `all`; empty: the list of the job if it has one, else marketing.",
        "list",
    ),
    ("Unsubscribed", "reason"): (
        "Why, where they said so: `too_many`, `not_relevant`, `never_asked` or `other`.",
        "too_many",
    ),
    ("Suppressed", "scope"): ("What is stopped: `all`, `marketing` or `list:<name>`; empty of a message.", "marketing"),
    ("AutoReplied", "kind"): ("`vacation`, `challenge`, `read_receipt` or `other`.", "vacation"),
    ("Reactivated", "reason"): ("On whose word.", "api"),
    ("Erased", "digest"): ("The keyed hash of the address, in hex.", "6b3f0e9c2d4a8175f0c9e1b2a3d4c5f6"),
    ("Erased", "messages"): ("How many messages had the address as their recipient, and have lost it.", 12),
    ("Erased", "by"): ("Why: `request`, or `retention` (`/v1/retention`).", "request"),
    ("RetentionNear", "last_at"): ("The day of the last interaction (UTC).", "2023-01-01T00:00:00.000Z"),
    ("RetentionNear", "erase_at"): (
        "From when on it is erased if nothing comes from it.",
        "2026-01-01T00:00:00.000Z",
    ),
    ("Opened", "reason"): (
        "What told the machine: `agent:…`, `network:…`, `purpose:…`; empty for a person.",
        "",
    ),
    ("Clicked", "reason"): (
        "What told the machine: `agent:…`, `network:…`, `purpose:…` or `trap`; empty for a person.",
        "",
    ),
    ("DocumentOpened", "url"): ("Where the document is.", "https://exemple.fr/devis/113.pdf"),
    ("DocumentOpened", "position"): ("Its link's place in the mail, from 0; null if the link was in none.", 2),
    ("DocumentOpened", "reason"): (
        "What told the machine: `agent:…`, `network:…` or `purpose:…`; empty for a person.",
        "",
    ),
    ("AddressStated", "state"): ("Of e-mail: `opted_in`, `opted_out`; empty: nothing was said.", "opted_out"),
    ("AddressStated", "kind"): ("Whether the address works: `valid`, `hard`; empty: nothing was said.", "hard"),
    ("AddressStated", "source"): ("What said it: `api`, or `import` with its number.", "import 12"),
    ("OptedIn", "channel"): ("On which channel: `email`, `sms` or `phone`.", "email"),
    ("OptedIn", "list"): ("Which list they joined with it; empty for none.", "newsletter"),
    ("OptedIn", "purpose"): ("What they agreed to, in the tenant's words.", "offers by e-mail"),
    ("OptedIn", "text"): ("The name of the text under which they agreed.", "newsletter-2026-02"),
    ("OptedIn", "by"): ("How: `button`, `page`, `double_opt_in` or `api`.", "button"),
    ("PreferencesChanged", "joined"): ("Lists that they joined, each a line.", "newsletter"),
    ("PreferencesChanged", "left"): ("Lists that they left, each a line.", "offers\nevents"),
    ("PreferencesChanged", "opted_out"): ("Channels that they opted out of, each a line.", "sms"),
    ("PreferencesChanged", "tracking"): (
        "Whether openings and clicks may be recorded about them: `yes`, `no`, `unknown`; empty: nothing was said.",
        "no",
    ),
    ("PreferencesChanged", "objected"): (
        "Whether they object to prospecting: `yes`, `no`, `unknown`; empty: nothing was said of it.",
        "yes",
    ),
    ("PreferencesChanged", "by"): ("How: `page` or `api`.", "page"),
    ("PreferencesChanged", "text"): ("The name of the text under which they said so.", "preferences-fr-1"),
    ("PreferencesChanged", "marks"): (
        "By which trackers know the recipient, where tracking was said: keyed digests.",
        "5f0c2a9be417",
    ),
    ("PreferencesChanged", "undone"): ("Whether they take back that they left by this message.", False),
    ("PreferencesChanged", "most"): (
        "At most how many mails they want in `days`; -1: any number again, 0: nothing was said of it.",
        3,
    ),
    ("PreferencesChanged", "days"): ("In how many days; -1 and 0 as of `most`.", 7),
    ("PageViewed", "url"): ("Which page, without query and fragment.", "https://www.exemple.fr/chaussures"),
    ("VisitorActed", "name"): ("What they did, by one of the names that the tenant lists.", "purchase"),
    ("VisitorActed", "url"): ("On which page, without query and fragment.", "https://www.exemple.fr/merci"),
    ("VisitorActed", "value"): ("An amount, as a decimal; empty for none.", "59.90"),
    ("VisitorActed", "currency"): ("Of which currency (ISO 4217); empty for none.", "EUR"),
    ("VisitorActed", "properties"): ("What else the page said: an object of JSON, or empty.", '{"category":"shoes"}'),
    ("VisitorConsented", "given"): ("Whether they agreed; false: they took it back.", True),
    ("VisitorConsented", "url"): ("On which page, without query and fragment.", "https://www.exemple.fr/"),
    ("PageViewed", "reason"): ("What told the machine, as of `message.clicked`; empty for a person.", ""),
    ("VisitorActed", "reason"): ("What told the machine, as of `message.clicked`; empty for a person.", ""),
    ("Stopped", "reason"): (
        "`invalid_rate`, `complaint_rate`, `render_failed`, `paused` or `suspended`.",
        "complaint_rate",
    ),
    ("Resumed", "reason"): ("Why it had been stopped.", "paused"),
    ("Resumed", "by"): ("On whose word.", "tenant"),
    ("WebhookDisabled", "endpoint"): ("The id of the endpoint.", "wh_3k9x2p0qa7d5m1zc"),
    ("WebhookDisabled", "url"): ("Where it is.", "https://crm.exemple.fr/estafette"),
    ("WebhookDisabled", "reason"): ("Why: it is `gone` (it answered 410), or `failing` for too long.", "failing"),
    ("WebhookDisabled", "failing_since_at"): ("Since when it has taken nothing.", "2026-01-26T09:05:00.000Z"),
    ("Finished", "total"): ("How many messages the job had: the sum of the others.", 1_000),
    ("Finished", "delivered"): ("How many a host took, and no report had said otherwise by then.", 940),
    ("Finished", "bounced"): ("How many bounced.", 31),
    ("Finished", "expired"): ("Of how many the time ran out.", 3),
    ("Finished", "failed"): ("How many the engine could not make or send.", 0),
    ("Finished", "suppressed"): ("How many were not sent, because the address is on the suppression list.", 22),
    ("Finished", "rejected"): ("How many were never queued.", 4),
    ("Finished", "cancelled"): ("How many were cancelled.", 0),
    ("DomainChecked", "domain"): ("Its name.", "exemple.fr"),
    ("DomainChecked", "state"): ("`pending`, `verified`, `by_use` or `taken_back`.", "verified"),
    ("DomainChecked", "waits_for"): (
        "What has to happen before it may be sent from: `dns`, `operator`; empty for nothing.",
        "",
    ),
    ("DomainChecked", "published"): ("How many of its records DNS shows.", 3),
    ("DomainChecked", "of"): ("How many records there are.", 4),
    ("DomainChecked", "wrong"): (
        "The others, each a line: type, name, and `missing`, `differs`, `unavailable` or `unchecked`.",
        "TXT _dmarc.exemple.fr missing",
    ),
    ("ContactAdded", "by"): ("By what it came: `api` or `import`.", "import"),
    ("ContactUpdated", "by"): ("By what it changed: `api` or `import`.", "api"),
    ("ContactUpdated", "import_number"): ("The number of the import; 0 if it was none.", 0),
    ("ContactAtRisk", "reason"): (
        "`hard`: the address was given up; `quiet`: nothing was opened or clicked for long.",
        "quiet",
    ),
    ("ContactAtRisk", "days"): ("For how many days nothing puts a contact at risk.", 180),
    ("Warned", "reason"): ("Which figure: `complaint_rate`.", "complaint_rate"),
}

Details = dict[str, str | int | bool | None]


def detail_schemas() -> list[dict[str, Any]]:
    """The details of each type of event as JSON Schema, titled with the type."""
    return [_schema(kind, name) for kind, name in TYPES.items()]


def _schema(kind: str, name: str) -> dict[str, Any]:
    fields = msgspec.structs.fields(events.FACTS[name])[_COMMON:]
    return {
        "title": kind,
        "description": SENTENCES[kind],
        "type": "object",
        "properties": {field.name: _detail_schema(name, field) for field in fields},
        "required": [field.name for field in fields],
    }


def _detail_schema(fact: str, field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    sentence, example = _DETAILS_OF.get((fact, field.name)) or _DETAILS[field.name]
    if field.name.endswith("_at"):
        schema: dict[str, Any] = {"type": ["string", "null"]}
    else:
        schema = msgspec.json.schema(field.type)
    return {**schema, "description": sentence, "examples": [example]}


def example_details(kind: str) -> Details:
    """The details of an event of that type, as they may be."""
    name = TYPES[kind]
    fields = msgspec.structs.fields(events.FACTS[name])[_COMMON:]
    return {one.name: _detail_schema(name, one)["examples"][0] for one in fields}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. `details` are the fields of its type; `job` and `message` are null where it is about an
    address or a tenant alone."""

    event_id: Annotated[str, says("The same for every repeat of the same event.", "9f86d081884c7d65")]
    type: Annotated[str, says("What happened.", "message.delivered", schema={"enum": sorted(TYPES)})]
    time: Annotated[str, says("When it happened.", "2026-01-31T09:05:00.123Z")]
    job: Annotated[str | None, says("The job it belongs to.", "068vjfm5s9m2rc1jqqrg")]
    message: Annotated[str | None, says("The message it is about.", "068vjfm5s9m2rc1jqqrg.0")]
    email: Annotated[str | None, says("The address it is about.", "ana@exemple.fr")]
    details: Annotated[
        Details,
        says(
            "What an event of this type has besides.",
            example_details("message.delivered"),
            schema={"anyOf": detail_schemas()},
        ),
    ]


def type_of(name: str, job: str) -> str:
    """The type of a fact by its name and its job."""
    return events.FACTS[name].topic if job else _WITHOUT_JOB.get(name, events.FACTS[name].topic)


def event(fact: events.Fact, email: str | None) -> Event:
    """`email` is the recipient's address where the fact does not carry it."""
    return Event(
        event_id=fact.event_id,
        type=type_of(type(fact).__name__, fact.job),
        time=rfc3339(fact.occurred_at),
        job=fact.job or None,
        message=ids.message_id(fact.job, fact.ordinal) if fact.job and fact.ordinal is not None else None,
        email=fact.email or email,
        details=details(fact),
    )


def details(fact: events.Fact) -> Details:
    """What the kind of fact has besides what all have; times as RFC 3339."""
    names, times = _NAMES[type(fact)]
    found: Details = {name: getattr(fact, name) for name in names}
    for name in times:
        value = getattr(fact, name)
        found[name] = rfc3339(value) if value else None
    return found


#: Of each fact its details, and which of them are times: looked up once, since every event that is told needs them.
_NAMES = {
    fact: (names := fact.__struct_fields__[_COMMON:], tuple(name for name in names if name.endswith("_at")))
    for fact in events.FACTS.values()
}
