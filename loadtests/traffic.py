"""The traffic of 40 sites: who gets which share of the mail, from what MX hosts, and how each of them behaves.

The shares are those of a French list of consumers with some companies, as senders publish them: Gmail a third, the
French providers another, then a long tail. A site behaves well, at its own pace, or in one of the ways in which sites
are bad. All paces follow from one number, the messages a second that all good sites take together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from loadtests import content
from shared.words.rates import Rate

#: 127.0.1.1 is the first host of the first site.
NETWORK = "127.0.1"
#: Of its connections a host needs so many to be at its pace: the rest is what a sender may lose between two mails.
BUSY_SHARE = 0.7
#: A window of a second starts anywhere, so a burst comes on top of the rate (GCRA): a tenth of a second's worth.
BURST_SHARE = 0.1


@dataclass(frozen=True)
class Manner:
    """How a host answers. `greeting_s`, `reply_s`: before the greeting, and before each other reply. `greeting`,
    `rcpt`: what it says. `closes`: when it hangs up without a word. `listens`: `full` is a host whose queue of
    connections is full, so that nobody gets an answer. `caps`: it answers 421 above a share of its pace, which nobody
    was told."""

    words: str
    good: bool = False
    greeting_s: float = 0.0
    reply_s: float = 0.0
    greeting: str = "220 sink.example ESMTP"
    rcpt: str = "250 2.1.5 ok"
    closes: str = ""
    listens: str = "yes"
    caps: float = 0.0


TAKES = Manner("takes mail at its pace", good=True)
TARPITS = Manner("answers after seconds", greeting_s=3.0, reply_s=4.0)
DEFERS = Manner("defers every recipient", rcpt="451 4.7.1 Greylisted, please come back later")
CAPS = Manner("answers 421 above a pace that it does not tell", caps=0.5)
REFUSES = Manner("refuses connections", listens="no")
UNREACHABLE = Manner("never answers a connection", listens="full")
TURNS_AWAY = Manner("greets with 554", greeting="554 5.7.1 No SMTP service here")
HANGS_UP_FIRST = Manner("closes in place of a greeting", closes="connect")
HANGS_UP_LAST = Manner("closes in place of its answer to a mail", closes="dot")


@dataclass(frozen=True)
class Site:
    """`share` is in percent of all mail. `connections` is its limit. With `rated`, it is its pace that is limited, in
    the operator's shaping file too; without, it is as fast as its pace however many connections there are."""

    name: str
    share: float
    connections: int
    hosts: tuple[str, ...]
    domains: tuple[str, ...]
    manner: Manner = TAKES
    rated: bool = False
    addresses: tuple[str, ...] = field(default=())

    @property
    def good(self) -> bool:
        return self.manner.good


def _company(name: str, share: float, manner: Manner = TAKES, *, rated: bool = False, connections: int = 2) -> Site:
    return Site(f"mx.{name}.example", share, connections, (f"mx.{name}.example",), (f"{name}.example",), manner, rated)


_TABLE = (
    Site("gmail", 33.3, 20, ("gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com"), ("gmail.com",)),
    Site("outlook.com", 12.0, 10, ("hotmail-com.olc.protection.outlook.com",), ("hotmail.com",), TAKES, True),
    Site("orange", 11.0, 4, ("smtp-in.orange.fr",), ("orange.fr", "wanadoo.fr"), DEFERS),
    Site("free", 7.5, 6, ("mx1.free.fr", "mx2.free.fr"), ("free.fr",), TAKES, True),
    Site("yahoo", 6.0, 10, ("mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net"), ("yahoo.com", "yahoo.fr"), CAPS),
    Site("sfr", 5.5, 4, ("smtp-in.sfr.fr",), ("sfr.fr", "neuf.fr"), TAKES, True),
    Site("laposte", 4.5, 4, ("smtpz4.laposte.net",), ("laposte.net",), TARPITS),
    Site("microsoft365", 4.0, 8, ("contoso-com.mail.protection.outlook.com",), ("contoso.com",)),
    Site("icloud", 3.5, 6, ("mx01.mail.icloud.com", "mx02.mail.icloud.com"), ("icloud.com", "me.com")),
    Site("bouygues", 1.6, 3, ("mx1.bbox.fr", "mx2.bbox.fr"), ("bbox.fr",), TAKES, True),
    Site("ovh", 1.4, 4, ("mx1.mail.ovh.net", "mx2.mail.ovh.net"), ("atelier.fr", "boutique.fr")),
    Site("ionos", 1.0, 4, ("mx00.ionos.fr", "mx01.ionos.fr"), ("cabinet.fr",)),
    Site("gmx", 0.8, 4, ("mx00.emig.gmx.net", "mx01.emig.gmx.net"), ("gmx.de", "gmx.net")),
    Site("t-online", 0.5, 3, ("mx00.t-online.de",), ("t-online.de",)),
    Site("mimecast", 0.5, 3, ("eu-smtp-inbound-1.mimecast.com",), ("notaires.example",)),
    Site("proofpoint", 0.5, 3, ("mx0a-00000101.pphosted.com",), ("banque.example",)),
    Site("barracuda", 0.4, 3, ("d174024a.ess.barracudanetworks.com",), ("mairie.example",)),
    Site("comcast", 0.2, 2, ("mx1.mxge.comcast.net",), ("comcast.net",)),
    Site("qq", 0.2, 2, ("mx1.qq.com", "mx2.qq.com"), ("qq.com",)),
    Site("163", 0.2, 2, ("163mx01.mxmail.netease.com",), ("163.com",), TAKES, True),
    _company("hopital", 0.6, REFUSES),
    _company("garage", 0.5, HANGS_UP_FIRST),
    _company("assurance", 0.5, connections=3),
    _company("imprimerie", 0.4, HANGS_UP_LAST),
    _company("transport", 0.4, UNREACHABLE),
    _company("ecole", 0.4, TURNS_AWAY),
    _company("universite", 0.4),
    _company("architecte", 0.3),
    _company("librairie", 0.3, rated=True),
    _company("musee", 0.2),
    _company("theatre", 0.2),
    _company("syndicat", 0.2),
    _company("clinique", 0.2),
    _company("hotel", 0.15),
    _company("camping", 0.15),
    _company("fleuriste", 0.1),
    _company("boulangerie", 0.1),
    _company("opticien", 0.1),
    _company("pharmacie", 0.1),
    _company("vigneron", 0.1),
)  # fmt: skip


def sites() -> tuple[Site, ...]:
    """All of them, each host with an address of its own."""
    numbers = iter(range(1, 255))
    return tuple(
        Site(
            site.name, site.share, site.connections, site.hosts, site.domains, site.manner, site.rated,
            tuple(f"{NETWORK}.{next(numbers)}" for _ in site.hosts),
        )
        for site in _TABLE
    )  # fmt: skip


@dataclass(frozen=True)
class Pace:
    """`per_s` is what all good sites take together."""

    per_s: float

    def of(self, site: Site) -> float:
        """Messages a second: what a good site takes, what a bad one would get if it were good."""
        return site.share / sum(one.share for one in _TABLE if one.good) * self.per_s

    def rate(self, site: Site) -> Rate:
        """What the shaping file says of a site that is `rated`, in whole messages a second or a minute."""
        per_s = self.of(site)
        burst = max(1, round(per_s * BURST_SHARE))
        return Rate(round(per_s), 1000, burst) if per_s >= 10 else Rate(round(per_s * 60), 60_000, burst)

    def mails(self, site: Site, seconds: float) -> int:
        """How many keep a site busy for so long."""
        return max(1, round(self.of(site) * seconds))

    def answer_s(self, site: Site) -> float:
        """How long a mail takes in each of a host's `busy` places, so that they are full at its pace."""
        return busy(site) / self.of(site) if site.good and not site.rated else 0.02


def busy(site: Site) -> int:
    """Mails that a site works on at a time."""
    return site.connections if site.rated else max(1, int(site.connections * BUSY_SHARE))


def zone(of: Sequence[Site]) -> str:
    """The DNS records of all sites."""
    lines = ["example. 3600 IN SOA ns.example. dns.example. 1 3600 600 86400 60"]
    for site in of:
        for host, address in zip(site.hosts, site.addresses, strict=True):
            lines += [f"{domain}. 3600 IN MX 10 {host}." for domain in site.domains]
            lines.append(f"{host}. 3600 IN A {address}")
    return "\n".join(lines)


def shaping(of: Sequence[Site], pace: Pace) -> str:
    """The operator's shaping file: the limits of every site, as its postmaster told them."""
    return "\n".join(_section(site, pace) for site in of)


def _section(site: Site, pace: Pace) -> str:
    kind = "site" if site.name.endswith(".example") else "provider"
    # What is shipped for real providers is left aside, where it would hide what is tested: limits by address, and the
    # encryption that some of them are known to offer.
    lines = [
        f'[{kind}."{site.name}"]',
        f"connections = {site.connections}",
        f"source_connections = {site.connections}",
        'tls = "opportunistic"',
    ]
    if site.rated:
        lines.append(f'rate = "{pace.rate(site)}"')
    return "\n".join((*lines, ""))


def recipients(of: Sequence[Site], pace: Pace, seconds: float) -> list[dict[str, Any]]:
    """What keeps these sites busy for so long, well mixed, and the same each time."""
    found = [
        content.recipient(n, site.domains[n % len(site.domains)])
        for site in of
        for n in range(pace.mails(site, seconds))
    ]
    Random(1).shuffle(found)
    return found


def jobs(of: list[dict[str, Any]], each: int, size_bytes: int) -> Iterator[dict[str, Any]]:
    for at in range(0, len(of), each):
        yield content.job_for(of[at : at + each], size_bytes)
