"""Where the links of a mail begin: at the own tracking host of the domain that it is from, or at the installation's."""

from typing import Protocol

from shared.mail.domain_names import InvalidDomain
from shared.redis.sending_domains import DomainTaken
from shared.words.sending_domain import SendingDomain


class Domains(Protocol):
    async def for_sending(self, tenant: str, domain: str, *, any_from_domain: bool) -> SendingDomain:
        """Remembered for some seconds. InvalidDomain, DomainTaken, LookupError, RedisAway."""


class OwnHosts:
    """`base_url` is where tracking of the installation answers. Raises RedisAway."""

    def __init__(self, domains: Domains, base_url: str) -> None:
        self._domains = domains
        self.base_url = base_url

    async def of(self, tenant: str, from_domain: str) -> str:
        """As the relay has it for the mails of that domain; that of the installation where it is not the tenant's any
        more."""
        try:
            found = await self._domains.for_sending(tenant, from_domain, any_from_domain=False)
        except (InvalidDomain, DomainTaken, LookupError):
            return self.base_url
        return found.links or self.base_url
