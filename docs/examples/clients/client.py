#!/usr/bin/env python3
"""A client of Estafette in Python 3.9 or newer, with nothing but its standard library.

MAIL_URL=https://mail.example  MAIL_KEY=est_…     a key with the scopes send, read and admin

client.py register URL          names an endpoint that is told what happens; prints its id and its secret
client.py listen PORT FILE      receives at that port, and appends each event to FILE (WEBHOOK_SECRET=whsec_…)
client.py send FILE             sends to the recipients in FILE, a line of JSON each; prints the job
client.py not-opened JOB        prints who has the mail and did not open it
client.py again JOB             sends another mail to these; prints the job
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

#: An older request is somebody's recording.
TOLERANCE_S = 300
MOST_TRIES = 8


def asked(method: str, path: str, body: object = None):
    """The open answer. What may be repeated is, under one Idempotency-Key, so that it is done once."""
    headers = {"Authorization": f"Bearer {os.environ['MAIL_KEY']}", "Idempotency-Key": str(uuid.uuid4())}
    data = None
    if body is not None:
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    request = urllib.request.Request(os.environ["MAIL_URL"] + path, data, headers, method=method)
    for attempt in range(MOST_TRIES):
        try:
            return urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as problem:
            if problem.code not in (429, 503) or attempt == MOST_TRIES - 1:
                raise SystemExit(f"{problem.code}: {problem.read().decode()}") from None
            wait_s = float(problem.headers.get("Retry-After", 2**attempt))
        except OSError as fault:
            if attempt == MOST_TRIES - 1:
                raise SystemExit(f"no answer: {fault}") from None
            wait_s = 2**attempt
        time.sleep(wait_s)
    raise AssertionError


def answer(method: str, path: str, body: object = None):
    with asked(method, path, body) as response:
        return json.load(response)


def register(url: str) -> None:
    types = ["message.delivered", "message.bounced", "message.opened", "message.clicked"]
    made = answer("POST", "/v1/webhooks", {"url": url, "types": types, "batch": 100})
    print(made["id"], made["secret"])


def send(file: str) -> None:
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    recipients = [json.loads(line) for line in lines if line.strip()]
    job = {
        "from": os.environ["MAIL_FROM"],
        "subject": "Our programme, {{ name }}",
        "html": '<p>Hello {{ name }}, <a href="https://chouette.example/programme">here it is</a>.</p>'
        '<p><a href="{{ unsubscribe_url }}">Leave</a></p>',
        "recipients": recipients,
    }
    print(answer("POST", "/v1/jobs", job)["id"])


def not_opened(job: str) -> None:
    with asked("GET", f"/v1/jobs/{urllib.parse.quote(job)}/messages?state=not_opened") as lines:
        try:
            for line in lines:
                print(json.loads(line)["email"])
        except http.client.IncompleteRead:
            raise SystemExit("the answer broke off, so it is not the whole set: ask again") from None


def again(job: str) -> None:
    follow_up = {
        "from": os.environ["MAIL_FROM"],
        "subject": "Our programme once more",
        "text": "Did you miss it? https://chouette.example/programme\n\nTo leave: {{ unsubscribe_url }}\n",
        "recipients_from": {"job": job, "state": "not_opened"},
    }
    print(answer("POST", "/v1/jobs", follow_up)["id"])


def is_genuine(secret: str, headers, body: bytes) -> bool:
    """After Standard Webhooks 1.0; its library `standardwebhooks` does the same."""
    number, at, given = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not at.isdigit() or abs(time.time() - int(at)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{number}.{at}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    # While a secret is changed there are two signatures.
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in given.split(" "))


def listen(port: str, file: str) -> None:
    secret, known, one_at_a_time = os.environ["WEBHOOK_SECRET"], set(), Lock()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not is_genuine(secret, self.headers, body):
                self.reply(401)
                return
            told = json.loads(body)
            events = told["data"] if told["type"] == "events" else [told]
            with one_at_a_time, Path(file).open("a", encoding="utf-8") as lines:
                number = self.headers["webhook-id"]
                if number not in known:  # it comes twice where our answer was lost
                    lines.writelines(json.dumps(event) + "\n" for event in events)
                    known.add(number)
            self.reply(204)

        def reply(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver).serve_forever()


COMMANDS = {"register": register, "listen": listen, "send": send, "not-opened": not_opened, "again": again}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        raise SystemExit(__doc__)
    COMMANDS[sys.argv[1]](*sys.argv[2:])
