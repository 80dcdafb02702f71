"""Sites: in which queue the mail of a domain waits. Queueing writes the name, the relay takes by it.

A site is one of:

    gmail                          a named provider, when *all* MX hosts of the domain are its own
    (alt1|alt2)?.mx.example.net    the set of MX hosts, with what they end in written once
    4f0c….example.net              the same, shortened by a digest where it would be too long
    [192.0.2.1]                    an address literal
    route:127.0.0.1:2526           everything, when the route is fixed
    route:ses                      what goes by a route that the operator named (`shared.process.routing`)

So all domains of one provider share one queue, one set of limits. They need not share their hosts (each customer of
Microsoft 365 has its own), so a kept connection belongs to a host, never to a site.

Different sets of hosts never get the same name: otherwise whoever publishes MX records could put a domain in another
one's queue. That is why only the common end is factored out, and not every label.
"""

from collections.abc import Sequence
from hashlib import blake2b
from urllib.parse import urlsplit

import msgspec

#: Names are parts of Redis keys, of labels and of lines that people read.
MAX_SITE_CHARS = 200
SMTP_PORT = 25


class Provider(msgspec.Struct, frozen=True):
    """`hosts` are MX host names; one that begins with a dot stands for all names below it, one that begins with `*.`
    for the names one label below. Only what the provider alone can name belongs here: not `.comcast.net` nor
    `.bbox.fr`, where each customer's line has a name (`….dsl.sta.abo.bbox.fr`). `example` is a real set."""

    name: str
    hosts: tuple[str, ...]
    example: tuple[str, ...]


#: Named providers. The order does not matter: no host belongs to two.
PROVIDERS: tuple[Provider, ...] = (
    Provider(
        "gmail",
        (
            ".gmail-smtp-in.l.google.com", "gmail-smtp-in.l.google.com", ".aspmx.l.google.com", "aspmx.l.google.com",
            "smtp.google.com", ".googlemail.com",
        ),
        ("aspmx.l.google.com", "alt1.aspmx.l.google.com", "aspmx2.googlemail.com"),
    ),
    Provider("outlook.com", (".olc.protection.outlook.com",), ("hotmail-com.olc.protection.outlook.com",)),
    Provider(
        "microsoft365",
        (
            ".mail.protection.outlook.com", ".mx.microsoft", ".mail.eo.outlook.com", ".mail.protection.office365.us",
            ".mail.protection.partner.outlook.cn",
        ),
        ("contoso-com.mail.protection.outlook.com",),
    ),
    Provider("yahoo", (".yahoodns.net",), ("mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net", "mta7.am0.yahoodns.net")),
    Provider("icloud", (".mail.icloud.com",), ("mx01.mail.icloud.com", "mx02.mail.icloud.com")),
    # Orange and Wanadoo.
    Provider(
        "orange",
        ("smtp-in.orange.fr", "smtp-in1.orange.fr", "smtp-in2.orange.fr", "smtp-in.wanadoo.fr"),
        ("smtp-in.orange.fr", "smtp-in2.orange.fr"),
    ),
    Provider("free", ("mx1.free.fr", "mx2.free.fr"), ("mx1.free.fr", "mx2.free.fr")),
    # SFR and what it took over (Neuf, Cegetel, Club Internet, Numericable): mail for all of them goes to the hosts of
    # sfr.fr; the other names are there for domains whose records still say them. Their customers' lines have names
    # further down (`….rev.numericable.fr`).
    Provider(
        "sfr",
        ("*.sfr.fr", "*.neuf.fr", "*.cegetel.net", "*.club-internet.fr", "*.numericable.fr", "*.numericable.com"),
        ("smtp-in.sfr.fr",),
    ),
    Provider("laposte", (".laposte.net",), ("smtpz4.laposte.net",)),
    # What their records say could not be looked up; whatever it is, a name right below these is theirs.
    Provider("bouygues", ("*.bbox.fr", "*.bouyguestelecom.fr"), ("mx1.bbox.fr", "mx2.bbox.fr")),
    # GMX, WEB.DE and mail.com are one platform with one postmaster page.
    Provider(
        "gmx",
        (".gmx.net", ".gmx.com", "*.web.de", "mx00.mail.com", "mx01.mail.com"),
        ("mx00.emig.gmx.net", "mx01.emig.gmx.net"),
    ),
    Provider(
        "t-online",
        ("mx00.t-online.de", "mx01.t-online.de", "mx02.t-online.de", "mx03.t-online.de"),
        ("mx00.t-online.de", "mx01.t-online.de", "mx02.t-online.de", "mx03.t-online.de"),
    ),
    Provider(
        "comcast",
        (".mxge.comcast.net", "mx1.comcast.net", "mx2.comcast.net", "mx1h1.comcast.net", "mx2h1.comcast.net"),
        ("mx1.mxge.comcast.net", "mx2.mxge.comcast.net"),
    ),
    Provider(
        "mimecast",
        (".mimecast.com", ".mimecast.co.za", ".mimecast-offshore.com"),
        ("eu-smtp-inbound-1.mimecast.com", "eu-smtp-inbound-2.mimecast.com"),
    ),
    Provider(
        "proofpoint",
        (".pphosted.com", ".gpphosted.com", ".ppe-hosted.com"),
        ("mx0a-00000101.pphosted.com", "mx0b-00000101.pphosted.com"),
    ),
    Provider(
        "barracuda",
        (
            ".ess.barracudanetworks.com", ".ess.de.barracudanetworks.com", ".ess.uk.barracudanetworks.com",
            ".ess.ca.barracudanetworks.com", ".ess.au.barracudanetworks.com", ".ess.in.barracudanetworks.com",
        ),
        ("d174024a.ess.barracudanetworks.com", "d174024b.ess.barracudanetworks.com"),
    ),
    # Below ovh.net each rented server has a name, so only the mail hosts themselves.
    Provider(
        "ovh",
        (
            ".mail.ovh.net", ".mail.ovh.ca", "mx1.ovh.net", "mx2.ovh.net", "mx3.ovh.net", "mx4.ovh.net", "mxb.ovh.net",
        ),
        ("mx1.mail.ovh.net", "mx2.mail.ovh.net", "mx3.mail.ovh.net"),
    ),
    Provider(
        "ionos",
        (
            ".ionos.com", ".ionos.co.uk", ".ionos.de", ".ionos.es", ".ionos.fr", ".ionos.it", ".kundenserver.de",
            ".1and1.com", ".1and1.co.uk", ".1and1.es", ".1and1.fr", ".1and1.it", ".perfora.net",
        ),
        ("mx00.ionos.fr", "mx01.ionos.fr"),
    ),
    # qq.com, foxmail.com and the companies of Tencent Exmail (mxbiz1.qq.com).
    Provider("qq", (".qq.com",), ("mx1.qq.com", "mx2.qq.com", "mx3.qq.com")),
    # 163.com, 126.com, yeah.net and the companies that NetEase hosts.
    Provider(
        "163",
        (".mxmail.netease.com", "mx.ym.163.com"),
        ("163mx01.mxmail.netease.com", "163mx02.mxmail.netease.com", "163mx03.mxmail.netease.com"),
    ),
)  # fmt: skip

_EXACT = {host: provider.name for provider in PROVIDERS for host in provider.hosts if host[0] not in "*."}
_ONE_BELOW = {host[2:]: provider.name for provider in PROVIDERS for host in provider.hosts if host.startswith("*.")}
_BELOW = {host[1:]: provider.name for provider in PROVIDERS for host in provider.hosts if host.startswith(".")}
#: What listens at any address is reached on this machine.
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
_NAMES = frozenset(provider.name for provider in PROVIDERS)
_ROUTE = "route:"


def named_site(route: str) -> str:
    """The site of a route that the operator named."""
    return f"{_ROUTE}{route}"


def route_name(site: str) -> str:
    """The name of the route whose site it is; "" if it is no named one's. A fixed route has a port behind a colon."""
    name = site.removeprefix(_ROUTE)
    return "" if name == site or ":" in name else name


def is_route(site: str) -> bool:
    """A host that takes mail for everybody, because the operator says so."""
    return site.startswith(_ROUTE)


#: Where messages of jobs of the sandbox wait: no host is called so, and therefore no other mail waits there.
SANDBOX = "sandbox:mail"


class FixedRoute(msgspec.Struct, frozen=True):
    """All mail goes to this host, whatever its domain says."""

    host: str
    port: int

    @property
    def site(self) -> str:
        return f"{_ROUTE}{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def parse_route(text: str, mailbox_host: str, mailbox_port: int) -> FixedRoute | None:
    """The setting `relay.route`: `mailbox`, `smtp://host:port`, or `mx`, which is None: the recipient domain's hosts.
    ValueError in words for the operator."""
    if text == "mx":
        return None
    if text == "mailbox":
        return FixedRoute(_LOOPBACK.get(mailbox_host, mailbox_host), mailbox_port)
    shown = text.rpartition("@")[2]  # no password in a log
    wrong = f"a route is `mailbox`, `mx` or `smtp://host:port`, not {shown!r:.100}"
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ValueError(f"{wrong}: {error}") from None
    if url.scheme != "smtp" or not host or url.path or url.query or url.fragment or url.username is not None:
        raise ValueError(wrong)
    if port == 0:
        raise ValueError(f"{wrong}: port 0 is none")
    return FixedRoute(host, port or SMTP_PORT)


def is_provider(site: str) -> bool:
    """Whether the site is a named provider: its name says the same everywhere."""
    return site in _NAMES


def provider_name(mx_hosts: Sequence[str]) -> str | None:
    """The named provider that all of these hosts belong to, or None."""
    names = {_provider_of(host) for host in _normalised(mx_hosts)}
    return names.pop() if len(names) == 1 else None


def site_name(mx_hosts: Sequence[str]) -> str:
    """The site of a domain with these MX hosts, in any order and case. ValueError if there are none."""
    hosts = _normalised(mx_hosts)
    if not hosts:
        raise ValueError("a site has at least one host")
    if provider := provider_name(hosts):
        return provider
    name = _factored(hosts)
    # A host may be called like a provider without being one: `MX 0 outlook.com` is not the site outlook.com.
    return f"{name}." if name in _NAMES else name


def _normalised(mx_hosts: Sequence[str]) -> list[str]:
    return sorted({host.lower().rstrip(".") for host in mx_hosts} - {""})


def provider_label(site: str) -> str:
    """What metrics call the site: its name if it is that of a provider, else `other`. So they stay few."""
    return site if site in _NAMES else "other"


def _provider_of(host: str) -> str | None:
    if name := _EXACT.get(host) or _ONE_BELOW.get(host.partition(".")[2]):
        return name
    labels = host.split(".")
    below = (".".join(labels[start:]) for start in range(1, len(labels)))
    return next((_BELOW[suffix] for suffix in below if suffix in _BELOW), None)


def _factored(hosts: list[str]) -> str:
    """`(a|b)?.c.d` for the sorted hosts a.c.d, b.c.d and c.d."""
    if len(hosts) == 1 and len(hosts[0]) <= MAX_SITE_CHARS:
        return hosts[0]
    common = _common_end(hosts)
    rests = [host[: len(host) - len(common)].rstrip(".") for host in hosts]
    optional = "?" if "" in rests else ""
    name = f"({'|'.join(filter(None, rests))}){optional}" + (f".{common}" if common else "")
    return name if len(name) <= MAX_SITE_CHARS else _digested(hosts, common)


def _common_end(hosts: list[str]) -> str:
    """The labels that all hosts end in."""
    levels = zip(*(host.split(".")[::-1] for host in hosts), strict=False)
    common: list[str] = []
    for labels in levels:
        if len(set(labels)) > 1:
            break
        common.append(labels[0])
    return ".".join(reversed(common))


def _digested(hosts: list[str], common: str) -> str:
    digest = blake2b("|".join(hosts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    room = MAX_SITE_CHARS - len(digest) - 1
    return f"{digest}.{common[-room:].lstrip('.')}" if common else digest
