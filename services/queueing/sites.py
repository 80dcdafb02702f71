"""In which site's queue a recipient waits: the relay's fixed route, or what DNS says of their domain."""

from shared.net import dns
from shared.words import sites


class FixedSite:
    """Everything goes one way, and no name is looked up."""

    def __init__(self, site: str) -> None:
        self._site = site

    async def site_of(self, domain: str) -> str | None:
        return self._site


class DnsSites:
    """The site of the domain's MX hosts. None if the domain takes no mail; while DNS does not answer, a queue of the
    domain's own, in which the relay asks again."""

    def __init__(self, resolver: dns.Resolver) -> None:
        self._resolver = resolver

    async def site_of(self, domain: str) -> str | None:
        match await self._resolver.mail_hosts(domain):
            case dns.MailHosts() as hosts:
                return sites.site_name(hosts.names)
            case dns.DnsUnavailable():
                return f"domain:{domain}"
            case dns.NoMail() | dns.NoDomain():
                return None
