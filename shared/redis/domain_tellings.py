"""What of a sending domain's checks has been told (DomainChecked), so that what is no news is not told again."""

import msgspec

from shared.redis.return_paths import Store
from shared.words.sending_domain import SendingDomain


class Tellings:
    """Of sending domains, whose store is `shared.redis.sending_domains`: `store` makes a change to what a tenant has
    there."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def note(self, tenant: str, domain: str, outcome: str) -> None:
        """This outcome has been told. LookupError, InvalidDomain, RedisAway."""

        async def noted(found: SendingDomain) -> SendingDomain:
            if found.told == outcome:
                return found
            return msgspec.structs.replace(found, told=outcome, times_told=found.times_told + 1)

        await self._store(tenant, domain, noted)
