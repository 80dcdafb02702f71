"""Where links in a tenant's mails lead instead of to the installation's host: agreed by who sets it (sending domains)
and who makes the mails (relays)."""

import msgspec

from shared.mail.dkim_rotation import Check
from shared.redis.return_paths import Store
from shared.words.sending_domain import LINKS, SendingDomain


class OwnLinks:
    """Of sending domains, whose store is `shared.redis.sending_domains`: `store` makes a change to what a tenant has
    there. RedisAway."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def set(self, tenant: str, domain: str, links: str) -> SendingDomain:
        """Links of its mails begin with that URL from now on, "" for the installation's; those that were sent keep
        theirs. LookupError, InvalidDomain; ValueError if links cannot begin so."""
        wanted = links.rstrip("/")
        if wanted and not LINKS.fullmatch(wanted):
            raise ValueError(f"{links!r:.100} is nothing that links begin with: expected https:// and a host")

        async def with_links(found: SendingDomain) -> SendingDomain:
            if found.links == wanted:
                return found
            return msgspec.structs.replace(found, links=wanted, leads=Check())

        return await self._store(tenant, domain, with_links)
