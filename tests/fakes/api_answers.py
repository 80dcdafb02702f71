"""What the API answers, as its documents show it: for the pages that ask it."""

from typing import Any

from services.contacts.segments import checking, language


def engagement(unique: int, total: int, machine: int) -> dict[str, Any]:
    return {"unique": unique, "total": total, "machine": {"unique": machine, "total": machine}}


COUNTS: dict[str, Any] = {
    "accepted": 985,
    "rejected": 5,
    "suppressed": {"total": 12, "at_queueing": 10, "at_attempt": 2},
    "delivered": 945,
    "bounced": {"total": 31, "hard": 24, "soft": 5, "block": 2, "late": 1},
    "expired": 3,
    "failed": 0,
    "cancelled": {"total": 0, "at_queueing": 0, "later": 0},
    "pending": 4,
    "deferred": {"current": 4, "unique": 57, "total": 83},
    "opens": engagement(412, 655, 91),
    "clicks": engagement(92, 120, 33),
    "documents": engagement(41, 58, 12),
    "complaints": 1,
    "unsubscriptions": 7,
    "auto_replies": 18,
    "replies": 3,
}
RATES = {
    "delivered": 0.9594, "bounced": 0.0315, "opened": 0.436, "clicked": 0.0974, "complained": 0.0011,
    "unsubscribed": 0.0074,
}  # fmt: skip
JOB: dict[str, Any] = {
    "id": "068vjfm5s9m2rc1jqqrg", "state": "queued", "stopped": None, "stream": "bulk", "rate": None,
    "from": "Chouette <news@exemple.fr>", "subject": "Bonjour <b>{{ prenom }}</b>", "list": "newsletter",
    "category": None, "tags": ["soldes"], "test": False, "created_at": "2026-01-31T09:05:00.123Z",
    "contacts": None, "awaited": None, "unselected": None, "unselected_detail": None,
    "send_at": None, "expires_at": "2026-02-04T07:00:00.000Z", "total": 1000, "counts": COUNTS, "rates": RATES,
    "links": [{"url": "https://exemple.fr/<x>", "positions": [0, 2], "unique": 92, "total": 120, "machine_total": 3}],
    "positions": [
        {"position": 0, "url": "https://exemple.fr/<x>", "name": "", "unique": 50, "total": 60, "machine_total": 1},
        {"position": 2, "url": "https://exemple.fr/<x>", "name": "bouton", "unique": 50, "total": 60,
         "machine_total": 2},
    ],
    "documents": [{"name": None, "positions": [], "unique": 41, "total": 58, "machine_total": 12}],
}  # fmt: skip

#: As a customer writes it, and worse.
MAIL = """<!doctype html><html><head><title>x</title><style>h1{color:#a3231c} p{margin:0 0 12px}</style>
<meta http-equiv="refresh" content="0;url=https://evil.example/"><link rel="stylesheet" href="https://evil.example/a">
<script>document.title = 'ran'</script></head><body style="background:#f4f4f4" onload="document.title='ran'">
<table width="100%"><tr><td align="center"><img src="https://evil.example/p.gif" alt="Chouette" width="120">
<h1>Bonjour {{ prenom }}</h1><p>{% if vip %}Pour vous seule : {% endif %}<a href="#link-0">Les soldes</a></p>
<p><a href="#link-2" style="background:#174a7a;color:#fff;padding:8px">Tout voir</a>
<a href="javascript:x">nulle part</a></p>
<form action="https://evil.example/"><button>non</button><input name="x"></form>
<iframe src="https://evil.example/"></iframe></td></tr></table></body></html>"""
#: A job of nearly everybody alive, whose words have no place to break.
LARGE: dict[str, Any] = {
    **JOB, "id": "068vjfm5s9m2rc1jqqrh", "subject": 120 * "ä", "from": f"{60 * 'x'}@{60 * 'x'}.example.org",
    "list": 64 * "l", "category": 64 * "c", "tags": [64 * "t", 64 * "u"], "total": 8_123_456_789,
    "counts": {
        **COUNTS, "accepted": 8_123_456_789, "delivered": 8_023_456_789, "pending": 123_456_789,
        "opens": engagement(4_123_456_789, 9_123_456_789, 3_123_456_789),
        "clicks": engagement(1_123_456_789, 2_123_456_789, 1_123_456_789),
    },
    "links": [
        {**JOB["links"][0], "url": f"https://exemple.fr/{200 * 'x'}", "unique": 1_123_456_789, "total": 2_123_456_789}
    ],
    "positions": [
        {**one, "name": 64 * "n", "url": f"https://exemple.fr/{200 * 'x'}", "unique": 1_123_456_789,
         "total": 1_123_456_789}
        for one in JOB["positions"]
    ],
    "documents": [{**JOB["documents"][0], "name": 64 * "d", "unique": 1_123_456_789, "total": 1_123_456_789}],
}  # fmt: skip


def told(name: str | None, delivered: int, opened: int, clicked: int) -> dict[str, Any]:
    """What statistics say of something."""
    seen = {"machine": {"unique": 0, "total": 0}, "raw": {"unique": 0, "total": 0}}
    counts = {
        "accepted": delivered + 31, "rejected": 5, "suppressed": 12, "delivered": delivered,
        "deferred": {"unique": 7, "total": 8},
        "bounced": {"total": 31, "hard": 24, "soft": 5, "block": 2, "late": 1},
        "expired": 3, "failed": 0, "cancelled": 0,
        "opens": {"unique": opened, "total": opened, **seen}, "clicks": {"unique": clicked, "total": clicked, **seen},
        "documents": {"unique": 0, "total": 0, **seen}, "unsubscriptions": {"unique": 7, "total": 8},
        "complaints": {"unique": 1, "total": 1}, "auto_replies": {"unique": 7, "total": 8},
    }  # fmt: skip
    rates = {**RATES, "invalid": 0.0244, "click_to_open": None}
    return {"name": name, "key": name, "time": None, "counts": counts, "rates": rates}


def hour(time: str, delivered: int, opened: int, clicked: int) -> dict[str, Any]:
    return {**told(None, delivered, opened, clicked), "time": time}


def job_statistics(**fields: Any) -> dict[str, Any]:
    return {
        "job": JOB["id"], "total": 1000,
        "hours": [
            hour("2026-01-31T09:00:00.000Z", 900, 120, 20), hour("2026-01-31T10:00:00.000Z", 45, 180, 52),
            hour("2026-01-31T12:00:00.000Z", 0, 70, 15), hour("2026-02-01T08:00:00.000Z", 0, 42, 5),
        ],
        "providers": [told("gmail", 500, 250, 60), told("orange", 400, 160, 32), told(None, 45, 2, 0)],
        "sources": [], "devices": [told("mobile", 0, 300, 50), told("desktop", 0, 112, 42)],
        "clients": [told("apple <mail>", 0, 200, 40)],
        "reasons": [
            {"type": "message.bounced", "reason": "unknown_user", "total": 24},
            {"type": "message.bounced", "reason": "mailbox_<full>", "total": 8},
            {"type": "message.deferred", "reason": "", "total": 40},
        ],
        **fields,
    }  # fmt: skip


STATISTICS: dict[str, Any] = {
    "from": "2026-01-24T09:00:00.000Z", "to": "2026-01-31T10:00:00.000Z", "by": "day",
    "rows": [hour("2026-01-29T00:00:00.000Z", 945, 412, 92), hour("2026-01-31T00:00:00.000Z", 12_945, 2_412, 592)],
    "total": told(None, 13_890, 2_824, 684),
}  # fmt: skip
WEBHOOK: dict[str, Any] = {
    "id": "wh_8f2c0a61d94be735", "url": "https://crm.exemple.fr/estafette", "types": ["message.delivered"],
    "lists": ["news <letter>"], "tags": [], "streams": [], "fields": [], "batch": 100,
    "description": "contacts of the <CRM>", "algorithm": "hmac-sha256", "public_key": None,
    "created": JOB["created_at"], "state": "failing", "why": None, "disabled": None,
    "failing_since": JOB["created_at"], "next_attempt": JOB["created_at"], "last_delivered": JOB["created_at"],
    "last_failed": JOB["created_at"], "waiting": 1200, "delivered": 12000, "given_up": 3, "kept_failures": 3,
    "dropped": 0, "missed": 0,
}  # fmt: skip


def delivery(**fields: Any) -> dict[str, Any]:
    return {
        "time": JOB["created_at"], "webhook_id": "msg_5bd1e995a0c4f217", "attempt": 1, "events": 1,
        "url": WEBHOOK["url"], "outcome": "taken", "status": 204, "detail": "", "duration_ms": 38,
        "next_attempt": None, "request": '{"type":"message.delivered"}', "answer": "", **fields,
    }  # fmt: skip


def row(**fields: Any) -> dict[str, Any]:
    return {
        "id": JOB["id"], "tenant": "acme", "state": "queued", "stream": "bulk", "from": JOB["from"],
        "subject": JOB["subject"], "list": "news & co", "tags": ["a<b"], "created_at": JOB["created_at"],
        "total": 1000, "delivered": 945, "bounced": 31, "cancelled": 0, "pending": 4, **fields,
    }  # fmt: skip


ENTRY: dict[str, Any] = {
    "channel": "email",
    "scope": "marketing",
    "reason": "hard_bounce",
    "since": JOB["created_at"],
}
SUPPRESSED: dict[str, Any] = {
    "address": "ana@exemple.fr",
    "reason": "hard_bounce",
    "since": JOB["created_at"],
    "diagnostic": "550 5.1.1 <nobody>",
    "entries": [ENTRY],
}


def record(name: str, dns: str, key: str | None = None) -> dict[str, Any]:
    """A record of a domain."""
    return {
        "type": "TXT",
        "name": name,
        "value": "v=DKIM1; k=rsa; p=" + 390 * "A",
        "why": "the public RSA key that receivers check signatures with",
        "key": key,
        "keep_until": "2026-03-02T09:05:00.000Z" if key == "retiring" else None,
        "dns": dns,
        "detail": "" if dns == "published" else "there is no such name",
    }


def stop(**fields: Any) -> dict[str, Any]:
    """Why something is not sent for now."""
    return {
        "name": f"job:{JOB['id']}",
        "tenant": "acme",
        "job": JOB["id"],
        "reason": "complaint_rate",
        "by": "engine",
        "since": JOB["created_at"],
        "bad": 20,
        "of": 20_000,
        "needs_consent": True,
        "consented": None,
        "why": "a list that <was> bought",
        "until": None,
        **fields,
    }


def message(**fields: Any) -> dict[str, Any]:
    """As the list of messages shows one."""
    return {
        "id": f"{JOB['id']}.0",
        "job": JOB["id"],
        "created_at": JOB["created_at"],
        "email": "ana@exemple.fr",
        "metadata": {},
        "state": "delivered",
        "stream": "bulk",
        "subject": "<b>",
        "list": "news & co",
        "tags": [],
        **fields,
    }


def state(**fields: Any) -> dict[str, Any]:
    """A contact on a channel."""
    return {
        "optin": True, "status": "valid", "left": False, "opposed": False, "addressable": True, "why_not": None,
        "diagnostic": None, **fields,
    }  # fmt: skip


CONTACT: dict[str, Any] = {
    "id": 4217, "key": "ana@exemple.fr", "copy": 0, "email": "ana@exemple.fr", "mobile": "+33612345678",
    "telephone": None, "professional": False,
    "fields": {"first_name": "Ana", "last_name": "<Durand>", "tags": ["vip", "a<b"], "member": True, "points": 12.5},
    "channels": {
        "email": state(),
        "sms": state(optin=None, status=None, addressable=False, why_not="no_optin"),
        "phone": state(
            left=True, opposed=True, addressable=False, why_not="no_address", diagnostic="550 5.1.1 <nobody>"
        ),
    },
    "created_at": JOB["created_at"], "updated_at": JOB["created_at"], "last_action_at": None,
    "activity": 8,
}  # fmt: skip
OPERATION: dict[str, Any] = {"key": JOB["id"], "name": "Soldes <d'hiver>", "kind": "email"}


def moment(what: str, **fields: Any) -> dict[str, Any]:
    return {
        "at": JOB["created_at"], "what": what, "operation": None, "url": None, "position": None, "event": None,
        "bounce": None, "machine": False, **fields,
    }  # fmt: skip


CRITERIA: dict[str, Any] = {
    "kind": "all",
    "of": [
        {"kind": "field", "field": "postcode", "test": "begins_with", "value": "75", "values": None, "accents": False},
        {"kind": "operation", "was": "not_opened", "tag": "sol<des", "operations": None, "match": "one"},
        {
            "kind": "any",
            "of": [
                {"kind": "behaviour", "did": "clicked", "at_least": 3, "last_days": 60},
                {"kind": "segment", "test": "not_in", "segments": [1, 99]},
                {"kind": "field", "field": "birthday", "test": "birthday_in_days", "days": 7},
                {"kind": "import", "test": "added", "imports": [12]},
                {"kind": "none", "of": [{"kind": "channel", "channel": "sms", "test": "opted_in"}]},
            ],
        },
        {"kind": "activity", "at_least": 8},
    ],
}
SEGMENT: dict[str, Any] = {
    "segment": 3, "name": "Paris, did not <open>", "version": 2, "criteria": CRITERIA, "uses": [1],
    "changed": JOB["created_at"], "built_in": False,
}  # fmt: skip
BUILT_IN: dict[str, Any] = {
    **SEGMENT, "segment": 1, "name": "all active", "criteria": {"kind": "activity", "at_least": 1, "at_most": 10},
    "uses": [], "built_in": True, "version": 1,
}  # fmt: skip


def field(name: str, kind: str, *choices: str, label: str = "") -> dict[str, Any]:
    return {"name": name, "kind": kind, "label": label, "choices": list(choices)}


SEGMENT_SCHEMA: dict[str, Any] = {
    "language": language.schema(),
    "tests": {kind: list(known) for kind, known in checking.TESTS.items()},
    "fields": [
        field("email", "text"), field("postcode", "text", label="Postcode"), field("birthday", "date"),
        field("points", "number"), field("colour", "choice", "red", "b<lue"), field("tags", "choices", "vip", "a b"),
        field("member", "yes_no"),
    ],
}  # fmt: skip


def contact_import(**fields: Any) -> dict[str, Any]:
    return {
        "id": 12, "name": "Salon <2026>", "state": "done", "dry_run": False, "mode": "update", "charset": "utf-8",
        "bytes": 1_048_576, "lines": 10_000,
        "results": {
            "added": 9_000, "updated": 800, "unchanged": 190, "replaced": 4, "refused": 6, "reactivated": 1,
        },
        "warnings": [{"at": "line 1", "what": "the column '<Age>' is no field and was not read"}], "detail": "",
        "created_at": JOB["created_at"], "updated_at": JOB["created_at"], "ended_at": JOB["created_at"], **fields,
    }  # fmt: skip


APPLYING = contact_import(
    id=13, name="", state="applying", ended_at=None,
    results={"added": 100, "updated": 0, "unchanged": 0, "replaced": 0, "refused": 0, "reactivated": 0},
)  # fmt: skip
REPORT = (
    "line,key,result,detail\r\n"
    "7,,refused,\"line 7.Adresse Email: no address, '<x>'\"\r\n"
    "9,bo@exemple.fr,replaced,line 12 is about the same contact\r\n"
    "10,'=cy@exemple.fr,reactivated,\r\n"
)
PREVIEW: dict[str, Any] = {
    "charset": "windows-1252", "delimiter": ";",
    "columns": [
        {"heading": "Adresse <Email>", "target": "email"}, {"heading": "Prénom", "target": "first_name"},
        {"heading": "Âge", "target": None},
    ],
    "targets": ["email", "first_name", "town", "opt_in_email"],
    "lines": [
        {"line": 2, "cells": ["ana@exemple.fr", "Ana", "37"], "fault": ""},
        {"line": 3, "cells": ["bo", "<Bo>", ""], "fault": "line 3.Adresse <Email>: no address"},
        {"line": 4, "cells": [], "fault": "line 4: 2 fields, but the heading has 3"},
    ],
    "problem": "",
}  # fmt: skip
COUNTED: dict[str, Any] = {"contacts": 12_480, "email": 11_902, "sms": 5_200, "phone": 3_114}
_ACTIVITY_SETTINGS: dict[str, Any] = {
    "period": {"count": 2, "unit": "months"}, "least": 1,
    "counts": {"email": ["opened", "clicked"], "sms": ["clicked"]},
}  # fmt: skip
ACTIVITY: dict[str, Any] = {
    "settings": _ACTIVITY_SETTINGS,
    "last_run": {
        "at": JOB["created_at"], "active": 1_203, "settings": {**_ACTIVITY_SETTINGS, "counts": {"email": ["opened"]}},
    },
    "next_run": "2026-03-02T09:05:00.000Z",
    "notes": [8_007, *[120] * 9, 123],
    "bands": {"not_addressable": 7, "none": 8_000, "low": 360, "medium": 482, "high": 361},
}  # fmt: skip

#: What POST answers, by its path.
POSTED: dict[str, Any] = {
    "/v1/segments/count": COUNTED,
    "/v1/segments/sample": {"contacts": [{"key": "ana@exemple.fr", "copy": 0, "email": "ana@exemple.fr"}]},
    "/v1/segments": {**SEGMENT, "segment": 4},
    "/v1/contact-imports/preview": PREVIEW,
    "/v1/contact-imports": contact_import(id=14, state="waiting"),
}

#: By the path that is asked.
ANSWERS: dict[str, Any] = {
    "/v1/jobs": {
        "jobs": [
            row(),
            row(id="068vjfm5s9m2rc1jqqrh", state="done", pending=0, subject="Votre facture", list=None, tags=[]),
            row(id="068vjfm5s9m2rc1jqqri", state="stopped", delivered=12, pending=900, subject="L" + 60 * "o" + "ng"),
            row(id="068vjfm5s9m2rc1jqqrj", state="open", delivered=0, bounced=0, pending=0, total=0),
        ],
        "next": "068vjfm5s9m2rc1jqqrj",
    },
    f"/v1/jobs/{JOB['id']}": JOB,
    f"/v1/jobs/{JOB['id']}/content": {"job": JOB["id"], "html": MAIL},
    f"/v1/jobs/{LARGE['id']}/content": {"job": LARGE["id"], "html": MAIL},
    f"/v1/jobs/{LARGE['id']}": LARGE,
    f"/v1/jobs/{LARGE['id']}/report-links": {"links": []},
    f"/v1/jobs/{JOB['id']}/report-links": {
        "links": [
            {
                "id": "9f86d081884c7d65",
                "path": "/r/AAAAAAAAAAEAaE7n0ZyQd2vHq8xWq0xjYw7kMDY4dmpmbTVzOW0ycmMxanFxcmc",
                "created_at": JOB["created_at"],
                "expires_at": "2026-03-02T09:05:00.000Z",
                "note": "for <the> board",
            }
        ]
    },
    "/r/known/report": {
        "expires_at": "2026-03-02T09:05:00.000Z",
        "report": JOB,
        "statistics": job_statistics(),
    },
    f"/v1/jobs/{JOB['id']}/statistics": job_statistics(),
    f"/v1/jobs/{LARGE['id']}/statistics": job_statistics(
        hours=[hour("2026-01-31T09:00:00.000Z", 8_123_456_789, 4_123_456_789, 1_123_456_789)],
        providers=[told(64 * "p", 8_123_456_789, 4_123_456_789, 1_123_456_789)],
        clients=[told(64 * "c", 0, 4_123_456_789, 1_123_456_789)],
        reasons=[{"type": "message.bounced", "reason": 64 * "r", "total": 1_123_456_789}],
    ),
    "/v1/statistics": STATISTICS,
    "/v1/webhooks": {
        "webhooks": [WEBHOOK, {**WEBHOOK, "id": "wh_1", "description": "", "state": "disabled", "why": "gone"}]
    },
    f"/v1/webhooks/{WEBHOOK['id']}": WEBHOOK,
    f"/v1/webhooks/{WEBHOOK['id']}/deliveries": {
        "deliveries": [
            delivery(
                outcome="status",
                status=500,
                detail="the <answer> was 500",
                next_attempt=JOB["created_at"],
                answer=f"<script>alert(1)</script>{400 * 'x'}",
                attempt=2,
            ),
            delivery(),
        ]
    },
    f"/v1/messages/{JOB['id']}.0": {
        "id": f"{JOB['id']}.0",
        "job": JOB["id"],
        "email": "ana@exemple.fr",
        "metadata": {"crm_id": "17", "<x>": "<y>"},
        "state": "delivered",
        "timeline": [
            {
                "event_id": "9f86d081884c7d65",
                "type": "message.deferred",
                "time": "2026-01-31T09:05:00.123Z",
                "details": {"attempt": 1, "host": "mx1.exemple.fr", "reply": "451 4.7.1 <later>", "tls": ""},
            },
            {
                "event_id": None,
                "type": "message.delivered",
                "time": "2026-01-31T09:15:00.123Z",
                "details": {"attempt": 2, "late": False, "names": ["a", "b"], "of": {"x": 1}},
            },
        ],
    },
    "/v1/people/ana@exemple.fr": {
        "address": "ana@exemple.fr",
        "suppressions": [ENTRY],
        "rules": [{"pattern": "*@exemple.fr"}],
        "lists": [{"list": "newsletter", "state": "joined", "since": JOB["created_at"]}],
        "messages": [],
        "next": "a/b",
    },
    "/v1/messages": {
        "messages": [message(), message(id=f"{JOB['id']}.1", state="bounced", list=None, subject=90 * "ü")],
        "next": "a/b+",
    },
    "/v1/suppressions": {"suppressions": [SUPPRESSED], "next": "kw=="},
    "/v1/suppressions/ana@exemple.fr": SUPPRESSED,
    "/v1/domains": {
        "domains": [
            {
                "domain": "exemple.fr",
                "state": "pending",
                "waits_for": "dns",
                "records": [
                    record("_estafette.exemple.fr", "missing"),
                    record("est1._domainkey.exemple.fr", "published", key="signing"),
                    record("est0._domainkey.exemple.fr", "missing", key="retiring"),
                ],
            },
            {
                "domain": "news.exemple.fr",
                "state": "verified",
                "waits_for": None,
                "records": [record("est1._domainkey.news.exemple.fr", "published", key="signing")],
            },
        ],
        "next": None,
    },
    "/v1/stops": {
        "stops": [
            stop(),
            stop(name="tenant:acme", job=None, reason="paused", by="tenant", of=0, bad=0, needs_consent=False),
        ],
        "next": None,
    },
    "/v1/contacts": {
        "contacts": [CONTACT, {**CONTACT, "key": 60 * "x" + "@exemple.fr", "copy": 1, "email": None, "fields": {}}],
        "next": "zQHq",
    },
    "/v1/contacts/ana@exemple.fr": CONTACT,
    "/v1/contact-timeline/ana@exemple.fr": {
        "moments": [
            moment("event", event="<purchase>"),
            moment("clicked", url="https://exemple.fr/<x>", position=2, machine=True, operation=OPERATION),
            moment("bounced", bounce="soft", operation={"key": "invoice", "name": "invoice", "kind": "email"}),
        ],
        "next": "zQHm",
    },
    "/v1/contact-changes/ana@exemple.fr": {
        "changes": [
            {"at": JOB["created_at"], "source": "api", "changes": {"postcode": ["69001", None], "tags": [[], ["vip"]]}},
            {"at": JOB["created_at"], "source": "import 12", "changes": {"member": [None, True]}},
        ],
        "next": "zQHr",
    },
    "/v1/fields": {
        "fields": [
            field("first_name", "text", label="First name"),
            field("last_name", "text"),
            field("tags", "choices"),
            field("member", "yes_no", label="M<ember"),
            field("points", "number"),
            field("postcode", "text"),
        ],
        "key_field": "email",
        "duplicates": False,
    },
    "/v1/segments": {"segments": [BUILT_IN, SEGMENT]},
    "/v1/segments/schema": SEGMENT_SCHEMA,
    "/v1/segments/1": BUILT_IN,
    "/v1/segments/1/versions": {
        "versions": [{"version": 1, "criteria": BUILT_IN["criteria"], "made_at": JOB["created_at"]}]
    },
    "/v1/segments/3": SEGMENT,
    "/v1/segments/3/versions": {
        "versions": [
            {"version": 2, "criteria": CRITERIA, "made_at": JOB["created_at"]},
            {"version": 1, "criteria": CRITERIA["of"][0], "made_at": JOB["created_at"]},
        ]
    },
    "/v1/contact-imports": {"imports": [contact_import(), APPLYING, contact_import(id=11, dry_run=True)], "next": "Kg"},
    "/v1/contact-imports/12": contact_import(),
    "/v1/contact-imports/13": APPLYING,
    "/v1/activity": ACTIVITY,
}
