"""TLS reports (RFC 8460): what a domain asks to be sent, the report itself, and the mail that carries it. No I/O.

A session is one connection to a mail host of the domain. What it is counted by is `Session`; a day's counts of a domain
are a report.
"""

import gzip
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import groupby
from typing import Any, Literal
from urllib.parse import unquote, urlsplit
from zlib import crc32

import msgspec
import orjson

from services.relay.words.tls import TlsFailure, TlsPolicy
from shared.mail.addresses import domain_of

DAY_S = 86_400
#: When a day's reports begin to leave: what was counted at its end has reached Redis by then.
SETTLED_S = 600
#: And over which time: everybody's day ends at the same moment (section 4.1 asks for a delay of up to four hours).
SPREAD_S = 4 * 3600
#: Section 5.5 asks to try for at least a day.
GIVE_UP_S = DAY_S
#: Of why a session failed: OpenSSL's longest words are shorter.
REASON_CHARS = 200
#: Who names more gets the first ones.
MAX_URIS = 5

_RECORD = re.compile(r"v=TLSRPTv1(?:[ \t]*;[ \t]*[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[\x20-\x3a\x3c-\x7e]+)+[ \t]*;?[ \t]*")
_RUA = re.compile(r"[ \t]*;[ \t]*rua=([^;]*)")
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")

PolicyType = Literal["tlsa", "sts", "no-policy-found"]


class Session(msgspec.Struct, frozen=True, array_like=True):
    """What is counted as one line: a policy and a result. `result` is empty for a success, and so are then the rest."""

    policy_type: PolicyType
    policy: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()
    result: TlsFailure | Literal[""] = ""
    sending_ip: str = ""
    receiving_host: str = ""
    receiving_ip: str = ""
    reason: str = ""

    @property
    def applied(self) -> tuple[PolicyType, tuple[str, ...], tuple[str, ...]]:
        return self.policy_type, self.policy, self.mx


def session(
    policy: TlsPolicy,
    failure: TlsFailure | Literal[""],
    host: str,
    address: str | None,
    source_ip: str,
    reason: str = "",
) -> Session:
    """How a connection under this policy is counted."""
    kind: PolicyType = {"dane": "tlsa", "mta-sts": "sts"}.get(policy.by, "no-policy-found")  # type: ignore[assignment]
    mx = policy.names if kind == "sts" else ()
    if not failure:
        return Session(kind, policy.published, mx)
    return Session(kind, policy.published, mx, failure, source_ip, host, address or "", reason[:REASON_CHARS])


class Reporter(msgspec.Struct, frozen=True):
    """Who reports: `sender` is the address that reports come from, `submitter` its domain."""

    sender: str
    organization: str
    contact: str

    @property
    def submitter(self) -> str:
        return domain_of(self.sender).lower()


def reporter(sender: str, organization: str, contact: str) -> Reporter:
    """From the settings: what is empty follows from the sender."""
    return Reporter(sender, organization or domain_of(sender), contact or sender)


def receivers(texts: Sequence[str]) -> tuple[str, ...]:
    """Where the TXT records of `_smtp._tls.<domain>` ask reports to be sent: `mailto:` and `https:` URIs. Empty unless
    exactly one of them is a TLSRPT record, and well-formed (section 3)."""
    records = [text for text in texts if re.match(r"v=TLSRPTv1[ \t]*;", text)]
    if len(records) != 1 or not _RECORD.fullmatch(records[0]):
        return ()
    found = _RUA.search(records[0])
    uris = [uri.strip(" \t") for uri in found[1].split(",")] if found else []
    return tuple(dict.fromkeys(uri for uri in uris if mailbox(uri) or _is_https(uri)))[:MAX_URIS]


def mailbox(uri: str) -> str | None:
    """The address of a `mailto:` URI, which may have no more than that."""
    scheme, _, rest = uri.partition(":")
    address = unquote(rest.partition("?")[0])
    return address if scheme.lower() == "mailto" and _MAILBOX.fullmatch(address) else None


def _is_https(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        return parts.scheme.lower() == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def day_of(now_s: float) -> int:
    """The day in UTC, counted from 1970."""
    return int(now_s // DAY_S)


def due_at(day: int, domain: str) -> int:
    """When (seconds) the report of a day begins to be tried: a domain's own moment in the first hours after it."""
    return (day + 1) * DAY_S + SETTLED_S + crc32(domain.encode()) % (SPREAD_S - SETTLED_S)


class Report(msgspec.Struct, frozen=True):
    """`json` is the report as RFC 8460 section 4.4 has it."""

    id: str
    domain: str
    day: int
    json: bytes

    @property
    def gzipped(self) -> bytes:
        return gzip.compress(self.json, mtime=0)

    def file_name(self, submitter: str) -> str:
        """Section 5.1."""
        begin = self.day * DAY_S
        return f"{submitter}!{self.domain}!{begin}!{begin + DAY_S - 1}!1.json.gz"


def make(domain: str, day: int, counts: Mapping[Session, int], by: Reporter) -> Report:
    """The report of a day. A repeated one is the same, with the same id."""
    begin = datetime.fromtimestamp(day * DAY_S, UTC)
    end = begin + timedelta(days=1, seconds=-1)
    report_id = f"{begin:%Y-%m-%d}.{domain}@{by.submitter}"
    ordered = sorted(counts.items(), key=lambda one: msgspec.structs.astuple(one[0]))
    body = {
        "organization-name": by.organization,
        "date-range": {"start-datetime": f"{begin:%Y-%m-%dT%H:%M:%SZ}", "end-datetime": f"{end:%Y-%m-%dT%H:%M:%SZ}"},
        "contact-info": by.contact,
        "report-id": report_id,
        "policies": [
            _policy(domain, list(of_policy)) for _, of_policy in groupby(ordered, key=lambda one: one[0].applied)
        ],
    }
    return Report(report_id, domain, day, orjson.dumps(body))


def _policy(domain: str, counts: Sequence[tuple[Session, int]]) -> dict[str, Any]:
    kind, published, mx = counts[0][0].applied
    policy: dict[str, Any] = {"policy-type": kind, "policy-domain": domain}
    if published:
        policy["policy-string"] = list(published)
    if mx:
        policy["mx-host"] = list(mx)
    failed = [(one, count) for one, count in counts if one.result]
    found: dict[str, Any] = {
        "policy": policy,
        "summary": {
            "total-successful-session-count": sum(count for one, count in counts if not one.result),
            "total-failure-session-count": sum(count for _, count in failed),
        },
    }
    if failed:
        found["failure-details"] = [_failure(one, count) for one, count in failed]
    return found


def _failure(one: Session, count: int) -> dict[str, Any]:
    details: dict[str, Any] = {
        "result-type": one.result,
        "sending-mta-ip": one.sending_ip,
        "receiving-mx-hostname": one.receiving_host,
        "receiving-ip": one.receiving_ip,
    }
    count_and_why = {"failed-session-count": count} | ({"failure-reason-code": one.reason} if one.reason else {})
    return {name: value for name, value in details.items() if value} | count_and_why


Fields = list[tuple[bytes, bytes]]


def mail(report: Report, by: Reporter, to: str, now_s: int) -> tuple[Fields, bytes]:
    """Header fields and body of the mail that carries a report (section 5.3), the body in DKIM's relaxed form."""
    boundary = f"=_tlsrpt_{crc32(report.id.encode()):08x}"
    name = report.file_name(by.submitter)
    fields = [
        ("From", by.sender),
        ("To", to),
        ("Date", format_datetime(datetime.fromtimestamp(now_s, UTC))),
        ("Message-ID", f"<{report.id}>"),
        ("Subject", f"Report Domain: {report.domain}\r\n Submitter: {by.submitter}\r\n Report-ID: <{report.id}>"),
        ("TLS-Report-Domain", report.domain),
        ("TLS-Report-Submitter", by.submitter),
        ("Auto-Submitted", "auto-generated"),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/report; report-type="tlsrpt";\r\n boundary="{boundary}"'),
    ]
    attached = b64encode(report.gzipped).decode("ascii")
    date = datetime.fromtimestamp(report.day * DAY_S, UTC).date()
    lines = [
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        f"This is an aggregate TLS report (RFC 8460) on mail sent to {report.domain}",
        f"on {date}, UTC, from {by.submitter}.",
        "",
        f"--{boundary}",
        "Content-Type: application/tlsrpt+gzip",
        "Content-Transfer-Encoding: base64",
        f'Content-Disposition: attachment;\r\n filename="{name}"',
        "",
        *(attached[at : at + 76] for at in range(0, len(attached), 76)),
        f"--{boundary}--",
        "",
    ]
    return [(name.encode("ascii"), value.encode("utf-8")) for name, value in fields], "\r\n".join(lines).encode("utf-8")
