"""What schemathesis loads (SCHEMATHESIS_HOOKS) to fuzz beyond the front door: half of its requests get ids that exist
and bodies that are taken, or nearly every answer would be a 404 or a 422. Every answer's status is written down, and
the word of its problem.

`API_KNOWN` is a file of JSON, {"<operation or path>": {"<parameter>": ["value", …]}}; `API_SEEN` the file to write to.
"""

import base64
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis

KNOWN: dict[str, dict[str, list[str]]] = json.loads(Path(os.environ["API_KNOWN"]).read_text(encoding="utf-8"))
SEEN = Path(os.environ["API_SEEN"])
#: What makes a job acceptable; everything else in it is whatever the fuzzer thought of.
GOOD_JOB: dict[str, Any] = {
    "from": "Chouette <news@exemple.fr>",
    "subject": "Bonjour {{ prenom }}",
    "html": '<p>Bonjour <a href="https://exemple.fr/">à vous</a></p>',
    "text": None,
    "reply_to": None,
    "headers": {},
    "attachments": [],
    "variables": {"prenom": "vous"},
    "send_at": None,
    "expires_at": None,
    "rate": "1000/s burst 10",
    "at_most_once": False,
    "recipients": [
        {"email": "fuzz@exemple.test", "attachments": [{"filename": "a.pdf", "content": "JVBERg=="}]},
        {"email": "not an address"},
    ],
}

GOOD_MAIL = b"From: Chouette <news@exemple.fr>\r\nTo: fuzz@exemple.test\r\nSubject: Bonjour\r\n\r\nBonjour\r\n"
IN_LYON: dict[str, Any] = {"kind": "field", "field": "town", "test": "equals", "value": "Lyon"}
#: Of other requests, a body that is taken.
GOOD_BODIES: dict[str, dict[str, Any]] = {
    "PATCH /v1/jobs/{job}": {"subject": "Bonjour {{ prenom }}", "rate": "1000/s"},
    "POST /v1/jobs/{job}/start": {"send_at": None},
    "POST /v1/mails": {"mail": base64.b64encode(GOOD_MAIL).decode(), "recipients": ["fuzz@exemple.test"]},
    "PUT /v1/seed-list": {"addresses": ["seed@exemple.test"]},
    "POST /v1/domains/{domain}/activate": {"force": True},
    "PUT /v1/drops/{drop}": {"kind": "suppressions", "target": "crm"},
    "POST /v1/drops/{drop}/run": {"time": None},
    "PUT /v1/contacts/{key}": {"fields": {"town": "Lyon"}},
    "POST /v1/contacts": {"contacts": [{"email": "fuzz@api.test", "fields": {"town": "Lyon"}}]},
    "PUT /v1/fields/{field}": {"kind": "text", "label": "Ville"},
    "POST /v1/sub-accounts": {"name": "demo-fuzz"},
    "POST /v1/sub-accounts/{sub_account}/keys": {"scopes": ["send", "read"], "name": "fuzz"},
    "PUT /v1/templates/{template}": {"subject": "Bonjour", "html": "<p>Bonjour {{ prenom }}</p>"},
    "POST /v1/preview": GOOD_JOB,
    "PUT /v1/consents/{address}": {"optin": {"email": "yes"}, "text": "newsletter-1", "who": "form"},
    "POST /v1/consents": {"consents": [{"email": "fuzz@api.test", "tracking": "no"}]},
    "POST /v1/webhooks": {"url": "https://hook.invalid/fuzz", "types": ["webhook.disabled"]},
    "PATCH /v1/webhooks/{webhook}": {"description": "fuzz", "batch": 10},
    "POST /v1/webhooks/{webhook}/test": {"type": "message.delivered"},
    "POST /v1/webhooks/{webhook}/rotate": {"overlap_hours": 1},
    "POST /v1/webhooks/{webhook}/replay": {"failures": True},
    "POST /v1/segments/count": {"criteria": IN_LYON},
    "POST /v1/segments/sample": {"criteria": IN_LYON, "limit": 3},
}
#: What makes rows of whatever follows.
BEGINNINGS = (
    "email,name\n", "email;name;metadata.crm_id\na@fuzz.test;A;1\n", 'email,name\n"', '{"email": "a@fuzz.test"}\n',
    '{"email": "b@fuzz.test", "variables": {"a": [', "{}\n" * 50, '"\n' * 50, "\n\r\n",
)  # fmt: skip
#: What makes a mail of whatever follows.
HEADERS = (
    "Subject: hello\r\n\r\n", "From: Mail Delivery System <MAILER-DAEMON@fuzz.test>\nSubject: Undeliverable: hello\n\n",
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n", "From fuzz\n",
)  # fmt: skip

#: Of sets of recipients.
STATES = ("selected", "delivered")

_chance = random.Random(1)
#: Requests by operation: every other one is made good, the first, which has the document's examples, among them.
_requests: Counter[str] = Counter()


@schemathesis.serializer("application/x-ndjson", "text/csv", "message/rfc822", "message/global")
def as_text(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "replace")


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: schemathesis.Case[Any], **_options: Any) -> None:
    _requests[case.operation.label] += 1
    if _requests[case.operation.label] % 2 == 0:
        return
    known = KNOWN.get(case.operation.label) or KNOWN.get(case.operation.path) or {}
    for name, values in known.items():
        place = case.path_parameters if f"{{{name}}}" in case.operation.path else case.query
        if place is not None:
            place[name] = _chance.choice(values)
    match case.operation.label, case.body:
        case "POST /v1/jobs/{job}/recipients", str(body):
            case.body = _chance.choice(BEGINNINGS) + body
        case "POST /v1/inbound", str(body):
            case.body = _chance.choice(HEADERS) + body
        case "POST /v1/jobs", dict(body):
            good = {**body, **GOOD_JOB} if _chance.random() < 0.5 else dict(GOOD_JOB)
            if (case.query or {}).get("state") == "open":
                del good["recipients"]  # they are appended
            case.body = good
        case "POST /v1/results", dict():
            one, other = ({"job": _chance.choice(KNOWN["/v1/jobs/{job}"]["job"]), "state": state} for state in STATES)
            made: list[dict[str, Any]] = [one, {"or": [one, other]}, {"and": [one, {"not": other}]}]
            case.body = _chance.choice(made)
        case "POST /v1/domains", dict():
            case.body = {"domain": f"fuzz-{_chance.randrange(40)}.test"}
        case (("POST /v1/segments" | "PUT /v1/segments/{segment}"), dict()):
            case.body = {"name": f"Lyon {_chance.randrange(10**9)}", "criteria": IN_LYON}
        case label, dict() if label in GOOD_BODIES:
            case.body = dict(GOOD_BODIES[label])


@schemathesis.hook
def after_call(
    _context: schemathesis.HookContext, case: schemathesis.Case[Any], response: schemathesis.Response
) -> None:
    is_problem = "application/problem+json" in response.headers.get("content-type", [])
    problem = response.json()["type"].rpartition(":")[2] if is_problem else None
    with SEEN.open("a", encoding="utf-8") as seen:
        seen.write(json.dumps([case.operation.label, response.status_code, problem]) + "\n")
