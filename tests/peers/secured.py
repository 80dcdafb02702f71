"""Domains that say how their mail hosts are to be encrypted to, by DANE or by MTA-STS, in all the ways there are.

Each row of CASES is a domain with one mail host of its own (an address of one Postfix, with a certificate of its own),
and what becomes of mail for it. The zones are on nsd, asked through a validating unbound; policies of MTA-STS are on a
web server.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.fakes.certificates import Authority, Issued
from tests.fakes.web_server import Answer, WebServer
from tests.peers import postfix, signed_zone
from tests.peers.postfix import Domains, Postfix
from tests.peers.signed_zone import Served, tlsa

SIGNED, PLAIN = "signed.test", "plain.test"
#: Each is at every domain.
USERS = ("ana", "ben", "cleo", "reports")
#: Where each domain wants its TLS reports.
REPORTS_TO = f"reports@none.{SIGNED}"

#: Who signed the host's certificate: the authority that we believe, one that nobody knows, or it offers no STARTTLS.
Shows = Literal["trusted", "unknown", "clear"]


@dataclass(frozen=True)
class Case:
    """`tlsa`: each `usage selector matching` of what the host shows, or `wrong` for what it does not. `spoilt`: the
    record type whose signature is wrong. `sts`: mode of the policy, and whether it names the host. `ends`: the word for
    what the mail left under, or the reason for which it waits. `failure`: the result type of RFC 8460, if any."""

    name: str
    zone: str
    shows: Shows
    ends: str
    tlsa: tuple[str, ...] = ()
    spoilt: str = ""
    sts: str = ""
    named: bool = True
    certified_name: str = ""
    failure: str = ""

    @property
    def domain(self) -> str:
        return f"{self.name}.{self.zone}"

    @property
    def host(self) -> str:
        return f"mx-{self.name}.{self.zone}"

    @property
    def waits(self) -> bool:
        return self.ends in ("tls_policy", "connection_failed", "dns_unavailable")


CASES = (
    # DANE: what is proven binds.
    Case("good", SIGNED, "unknown", "dane", tlsa=("3 1 1",)),
    Case("whole", SIGNED, "unknown", "dane", tlsa=("3 0 2",)),
    Case("above", SIGNED, "unknown", "dane", tlsa=("2 0 1",)),
    Case("rollover", SIGNED, "unknown", "dane", tlsa=("wrong", "3 1 1")),
    Case("named-else", SIGNED, "unknown", "dane", tlsa=("3 1 1",), certified_name="elsewhere.test"),
    Case("wrong", SIGNED, "trusted", "connection_failed", tlsa=("wrong",), failure="certificate-not-trusted"),
    Case("stripped", SIGNED, "clear", "connection_failed", tlsa=("3 1 1",), failure="starttls-not-supported"),
    Case("bogus", SIGNED, "unknown", "tls_policy", tlsa=("3 1 1",), spoilt="TLSA", failure="dnssec-invalid"),
    Case("bogus-a", SIGNED, "unknown", "dns_unavailable", tlsa=("3 1 1",), spoilt="A"),
    Case("bogus-mx", SIGNED, "unknown", "dns_unavailable", spoilt="MX"),
    # … and nothing else does.
    Case("none", SIGNED, "unknown", "opportunistic"),
    Case("none-clear", SIGNED, "clear", "opportunistic", failure="starttls-not-supported"),
    Case("useless", SIGNED, "unknown", "dane", tlsa=("1 1 1",)),
    Case("unsigned", PLAIN, "unknown", "opportunistic", tlsa=("wrong",)),
    # MTA-STS.
    Case("enforced", PLAIN, "trusted", "mta-sts", sts="enforce"),
    Case("unknown", PLAIN, "unknown", "connection_failed", sts="enforce", failure="certificate-not-trusted"),
    Case(
        "other", PLAIN, "trusted", "connection_failed",
        sts="enforce", certified_name="elsewhere.test", failure="certificate-host-mismatch",
    ),
    Case("downgraded", PLAIN, "clear", "connection_failed", sts="enforce", failure="starttls-not-supported"),
    Case("stranger", PLAIN, "trusted", "tls_policy", sts="enforce", named=False, failure="validation-failure"),
    Case("testing", PLAIN, "trusted", "opportunistic", sts="testing"),
    Case("tested", PLAIN, "unknown", "opportunistic", sts="testing", failure="certificate-not-trusted"),
    Case("unserved", PLAIN, "unknown", "opportunistic", sts="unserved", failure="sts-policy-fetch-error"),
    Case("unread", PLAIN, "unknown", "opportunistic", sts="unread", failure="sts-policy-invalid"),
    # Both: DANE has the say (RFC 8461 section 2).
    Case("both", SIGNED, "unknown", "dane", tlsa=("3 1 1",), sts="enforce", named=False),
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """What the cases are made of, running. `shown`: hosts' certificates; `ca_file`: the authority that is trusted."""

    postfix: Postfix
    served: Served
    web: WebServer
    shown: Mapping[Case, Issued]
    ca_file: str

    def mails(self, user: str, case: Case) -> list[bytes]:
        return self.postfix.mails(f"{user}@{case.domain}")

    def mail(self, user: str, case: Case) -> bytes:
        """The last one, once there is one."""
        return self.postfix.mail(f"{user}@{case.domain}")

    def sessions(self, case: Case) -> list[str]:
        """What each connection to the host of this case had said when it ended: `ehlo=2 starttls=1 mail=1 …`."""
        lines = [line for line in self.postfix.log().splitlines() if f" {case.name}/smtpd[" in line]
        return [line.partition("] ")[2] for line in lines if "disconnect from" in line]


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[World]:
    trusted, unknown = Authority("Trusted"), Authority("Unknown")
    shown = {case: _certificate(case, trusted, unknown) for case in CASES}
    names = [f"mta-sts.{case.domain}" for case in CASES if case.sts]
    with ExitStack() as started:
        host = started.enter_context(
            postfix.running(
                Domains(
                    accepting=(),
                    strict=_domains(),
                    users=[f"{user}@{domain}" for domain in _domains() for user in USERS],
                ),
                {},
                listeners={_address(case): _parameters(case, shown[case], folder) for case in CASES},
            )
        )
        served = started.enter_context(
            signed_zone.serving(SIGNED, _zone(SIGNED, shown, host.port), (PLAIN, _zone(PLAIN, shown, host.port)))
        )
        for case in CASES:
            if case.spoilt:
                served.forge(*_spoilt(case, host.port))
        async with WebServer(trusted.issue(*names).server_context()) as web:
            for case in CASES:
                if case.sts and case.sts != "unserved":
                    web.answers[f"//mta-sts.{case.domain}/.well-known/mta-sts.txt"] = Answer(_policy(case))
            yield World(host, served, web, shown, trusted.write(folder))


def _domains() -> list[str]:
    return [case.domain for case in CASES]


def _address(case: Case) -> str:
    return f"127.0.29.{1 + CASES.index(case)}"


def _certificate(case: Case, trusted: Authority, unknown: Authority) -> Issued:
    return (trusted if case.shows == "trusted" else unknown).issue(case.certified_name or case.host)


def _parameters(case: Case, shown: Issued, folder: Path) -> dict[str, str]:
    own = folder / case.name
    own.mkdir()
    certificate, key = shown.write(own)
    return {
        "syslog_name": case.name,
        "smtpd_tls_cert_file": certificate,
        "smtpd_tls_key_file": key,
        "smtpd_tls_security_level": "none" if case.shows == "clear" else "may",
    }


def _zone(zone: str, shown: Mapping[Case, Issued], port: int) -> list[str]:
    return [record for case in CASES if case.zone == zone for record in _records(case, shown[case], port)]


def _records(case: Case, shown: Issued, port: int) -> list[str]:
    records = [f"{case.domain}. MX 10 {case.host}.", f"{case.host}. A {_address(case)}"]
    records.append(f'_smtp._tls.{case.domain}. TXT "v=TLSRPTv1; rua=mailto:{REPORTS_TO}"')
    records += [f"_{port}._tcp.{case.host}. TLSA {_association(one, shown)}" for one in case.tlsa]
    if case.sts:
        records += [f'_mta-sts.{case.domain}. TXT "v=STSv1; id=1"', f"mta-sts.{case.domain}. A 127.0.0.1"]
    return records


def _association(told: str, shown: Issued) -> str:
    if told == "wrong":
        return tlsa(Authority().issue("somebody.test"))
    usage, selector, matching = (int(number) for number in told.split())
    if usage == 2:
        *_, above = shown.chain
        return f"2 {selector} {matching} {signed_zone.digest(above, matching).hex()}"
    return tlsa(shown, usage, selector, matching)


def _spoilt(case: Case, port: int) -> tuple[str, str]:
    owner = {"MX": case.domain, "A": case.host, "TLSA": f"_{port}._tcp.{case.host}"}
    return owner[case.spoilt], case.spoilt


def _policy(case: Case) -> bytes:
    if case.sts == "unread":
        return b"<html>Nothing here</html>"
    mx = case.host if case.named else "elsewhere.test"
    return f"version: STSv1\r\nmode: {case.sts}\r\nmx: {mx}\r\nmax_age: 86400\r\n".encode()
