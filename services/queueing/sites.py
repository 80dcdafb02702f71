"""In which site's queue a recipient waits: the relay's fixed route, or what DNS says of his domain."""

import asyncio

from shared import dns, sites

#: Look-ups at a time. A chunk names some hundred domains; resolvers drop what comes in larger bursts.
CONCURRENT = 100


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
        self._at_a_time = asyncio.Semaphore(CONCURRENT)

    async def site_of(self, domain: str) -> str | None:
        async with self._at_a_time:
            match await self._resolver.mail_hosts(domain):
                case dns.MailHosts() as hosts:
                    return sites.site_name(hosts.names)
                case dns.DnsUnavailable():
                    return f"domain:{domain}"
                case dns.NoMail() | dns.NoDomain():
                    return None
