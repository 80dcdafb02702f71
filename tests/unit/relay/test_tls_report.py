"""TLS reports as RFC 8460 has them: who wants one, what is in it, and the mail around it."""

import email
import gzip
import json
from email import policy as email_policy

import dkim
import pytest

from services.relay.reporting.tls_report import (
    DAY_S,
    Session,
    day_of,
    due_at,
    mail,
    mailbox,
    make,
    receivers,
    reporter,
    session,
)
from services.relay.signing.dkim import Signer, sign
from services.relay.words.tls import (
    OPPORTUNISTIC,
    Tlsa,
    TlsFailure,
    TlsPolicy,
)
from shared.mail import dkim_keys

DAY = 16_892  # 2016-04-01, as in the RFC's example
BY = reporter("tlsrpt@mail.company-x.example", "Company-X", "sts-reporting@company-x.example")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["v=TLSRPTv1;rua=mailto:reports@example.com"], ("mailto:reports@example.com",)),
        (["v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt"], ("https://reporting.example.com/v1/tlsrpt",)),
        (["v=TLSRPTv1; rua=mailto:a@b.example , https://c.example/;"], ("mailto:a@b.example", "https://c.example/")),
        (["v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@b.example"], ("mailto:a@b.example",)),
        (["v=TLSRPTv1; other=1; rua=mailto:a@b.example; more=2"], ("mailto:a@b.example",)),
        (["v=TLSRPTv1; rua=mailto:a@b.example,mailto:a@b.example"], ("mailto:a@b.example",)),
        (["v=TLSRPTv1; rua=ftp://x.example,mailto:a@b.example"], ("mailto:a@b.example",)),
        (["v=TLSRPTv1; rua=" + ",".join(f"mailto:a{n}@b.example" for n in range(9))],
         tuple(f"mailto:a{n}@b.example" for n in range(5))),
        ([], ()),
        (["v=TLSRPTv1"], ()),
        (["v=TLSRPTv1;"], ()),
        (["v=TLSRPTv2; rua=mailto:a@b.example"], ()),
        (["v=tlsrptv1; rua=mailto:a@b.example"], ()),
        (["v=TLSRPTv1; rua=http://reporting.example.com/"], ()),
        (["v=TLSRPTv1; rua=https:///nowhere"], ()),
        (["v=TLSRPTv1; rua=https://me:pass@x.example/"], ()),
        (["v=TLSRPTv1; rua=mailto:"], ()),
        (["v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:c@d.example"], ()),
    ],
)  # fmt: skip
def test_a_record_says_where_reports_go(texts: list[str], expected: tuple[str, ...]) -> None:
    assert receivers(texts) == expected


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("mailto:a@b.example", "a@b.example"),
        ("MAILTO:a@b.example", "a@b.example"),
        ("mailto:a%2Bb@c.example", "a+b@c.example"),
        ("mailto:a@b.example?subject=x", "a@b.example"),
        ("mailto:a@b.example%0d%0aBcc:x@y.example", None),
        ("mailto:a@b.example,c@d.example", None),
        ("mailto:a b@c.example", None),
        ("mailto:a", None),
        ("https://a@b.example", None),
    ],
)
def test_a_mailto_is_one_address_and_no_more(uri: str, address: str | None) -> None:
    assert mailbox(uri) == address


PUBLISHED = ("version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400")
STS = TlsPolicy("verified", "mta-sts", ("*.mail.company-y.example",), published=PUBLISHED)
DANE = TlsPolicy("dane", "dane", ("mx.example.net",), (Tlsa(3, 1, 1, b"x" * 32),), published=("3 1 1 78",))


@pytest.mark.parametrize(
    ("policy", "failure", "expected"),
    [
        (OPPORTUNISTIC, "", Session("no-policy-found")),
        (TlsPolicy("required", "shaping"), "", Session("no-policy-found")),
        (STS, "", Session("sts", STS.published, STS.names)),
        (DANE, "", Session("tlsa", ("3 1 1 78",))),
        (
            DANE,
            "certificate-expired",
            Session(
                *("tlsa", ("3 1 1 78",), (), "certificate-expired"),
                *("192.0.2.9", "mx.example.net", "192.0.2.1", "it is old"),
            ),
        ),
    ],
)
def test_a_connection_is_counted_by_policy_and_result(
    policy: TlsPolicy, failure: TlsFailure, expected: Session
) -> None:
    reason = "it is old" if failure else ""

    assert session(policy, failure, "mx.example.net", "192.0.2.1", "192.0.2.9", reason) == expected


def counted() -> dict[Session, int]:
    """As in RFC 8460 appendix B."""
    applied = Session("sts", STS.published, STS.names).applied
    mx1, mx2 = "mx1.mail.company-y.example", "mx2.mail.company-y.example"
    return {
        Session(*applied): 5326,
        Session(*applied, "certificate-expired", "2001:db8:abcd:0012::1", mx1, ""): 100,
        Session(*applied, "starttls-not-supported", "2001:db8:abcd:0013::1", mx2, "203.0.113.56"): 200,
        Session(
            *applied,
            "validation-failure",
            "198.51.100.62",
            mx2,
            "203.0.113.58",
            "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
        ): 3,
    }


def test_a_report_is_the_one_of_the_rfc() -> None:
    report = make("company-y.example", DAY, counted(), BY)

    assert json.loads(report.json) == {
        "organization-name": "Company-X",
        "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
        "contact-info": "sts-reporting@company-x.example",
        "report-id": "2016-04-01.company-y.example@mail.company-x.example",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": [
                        "version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400",
                    ],
                    "policy-domain": "company-y.example",
                    "mx-host": ["*.mail.company-y.example"],
                },
                "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "2001:db8:abcd:0012::1",
                        "receiving-mx-hostname": "mx1.mail.company-y.example",
                        "failed-session-count": 100,
                    },
                    {
                        "result-type": "starttls-not-supported",
                        "sending-mta-ip": "2001:db8:abcd:0013::1",
                        "receiving-mx-hostname": "mx2.mail.company-y.example",
                        "receiving-ip": "203.0.113.56",
                        "failed-session-count": 200,
                    },
                    {
                        "result-type": "validation-failure",
                        "sending-mta-ip": "198.51.100.62",
                        "receiving-mx-hostname": "mx2.mail.company-y.example",
                        "receiving-ip": "203.0.113.58",
                        "failed-session-count": 3,
                        "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                    },
                ],
            }
        ],
    }  # fmt: skip


def test_each_policy_of_the_day_has_its_own_part() -> None:
    counts = {**counted(), Session("no-policy-found"): 7, Session("tlsa", ("3 1 1 78",)): 2}

    parts = json.loads(make("company-y.example", DAY, counts, BY).json)["policies"]

    assert [part["policy"]["policy-type"] for part in parts] == ["no-policy-found", "sts", "tlsa"]
    assert parts[0] == {
        "policy": {"policy-type": "no-policy-found", "policy-domain": "company-y.example"},
        "summary": {"total-successful-session-count": 7, "total-failure-session-count": 0},
    }


def test_a_repeated_report_is_the_same() -> None:
    counts = counted()
    again = dict(reversed(counts.items()))

    assert make("company-y.example", DAY, counts, BY) == make("company-y.example", DAY, again, BY)


def test_who_reports_follows_from_the_sender() -> None:
    by = reporter("tlsrpt@Example.org", "", "")

    assert (by.submitter, by.organization, by.contact) == ("example.org", "Example.org", "tlsrpt@Example.org")


def test_the_mail_carries_the_report_as_the_rfc_wants_it() -> None:
    report = make("company-y.example", DAY, counted(), BY)
    fields, body = mail(report, BY, "reports@company-y.example", 1_459_555_200)

    parsed = email.message_from_bytes(assembled(fields, body), policy=email_policy.SMTP)

    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "tlsrpt"
    assert parsed["TLS-Report-Domain"] == "company-y.example"
    assert parsed["TLS-Report-Submitter"] == "mail.company-x.example"
    assert parsed["Message-ID"] == f"<{report.id}>"
    assert parsed["Subject"] == (
        f"Report Domain: company-y.example Submitter: mail.company-x.example Report-ID: <{report.id}>"
    )
    text, attached = parsed.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    assert attached.get_filename() == ("mail.company-x.example!company-y.example!1459468800!1459555199!1.json.gz")
    assert gzip.decompress(attached.get_content()) == report.json
    assert not parsed.defects


def test_the_mail_can_be_signed_with_the_fields_that_make_it_a_report() -> None:
    pem = dkim_keys.make("ed25519-sha256")
    report = make("company-y.example", DAY, counted(), BY)
    fields, body = mail(report, BY, "reports@company-y.example", 1_459_555_200)

    signature = sign([Signer("mail.company-x.example", "s1", pem)], fields, body, 1_459_555_200)

    signed = signature + assembled(fields, body)
    record = dkim_keys.record(pem).encode()
    assert dkim.verify(signed, dnsfunc=lambda name, timeout=5: record)
    assert not dkim.verify(
        signed.replace(b"TLS-Report-Domain: c", b"TLS-Report-Domain: x"), dnsfunc=lambda *_, **__: record
    )


def assembled(fields: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    return b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n" + body


def test_reports_leave_in_the_first_hours_after_their_day_each_domain_at_its_own_moment() -> None:
    moments = {due_at(DAY, f"{number}.example") - (DAY + 1) * DAY_S for number in range(1000)}

    assert 600 <= min(moments) <= max(moments) < 4 * 3600
    assert len(moments) > 900
    assert day_of(DAY * DAY_S) == day_of((DAY + 1) * DAY_S - 0.001) == DAY
