"""The rules of who must not be mailed, as everybody reads them: kept in the process, and read anew once they changed.

A tenant's rules are one hash; those of the operator, which hold for every tenant, are the rules of the tenant "". Each
change gives them another version. Whoever checks asks for the versions in the round trip of the check (`VERSIONS`
names the command), so a change is in force at the next check, and a tenant whose rules have not changed costs nothing
but that. Only the service `suppression`, and the console, change rules.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

from prometheus_client import Counter, Gauge

from shared.redis import keys
from shared.redis.redis import Client
from shared.words import rules
from shared.words.rules import Named, RuleSet

#: Whose rules hold for every tenant.
EVERYBODY = ""
#: Rules of all tenants that a process keeps at most, unless one tenant has more: about 35 MB. Beyond, those that were
#: asked about longest ago are dropped, and read anew when they are asked about again.
MAX_KEPT = 200_000

READ = Counter("estafette_rules_read_total", "Times that a tenant's rules were read, because they had changed")
KEPT = Gauge("estafette_rules_kept", "Rules of who must not be mailed that this process keeps")
MATCHED = Counter("estafette_rules_matched_total", "Addresses that a rule stopped", ["whose"])
_matched = {reason: MATCHED.labels(whose) for reason, whose in (("rule", "tenant"), ("compliance", "operator"))}


class Asked(Protocol):
    """Who is about to be mailed, by whom, and as what."""

    @property
    def tenant(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def channel(self) -> str: ...

    @property
    def stream(self) -> str: ...


async def all_rules(client: Client, tenant: str) -> list[Named]:
    """In the order of their patterns. Raises RedisAway."""
    found = await client.hgetall(keys.rules(tenant))
    return sorted(Named(pattern.decode(), rules.decode(stored)) for pattern, stored in found.items())


def tenants_of(asked: Sequence[Asked]) -> list[str]:
    """Whose versions a check needs: of each tenant once, and of the operator."""
    return [EVERYBODY, *dict.fromkeys(one.tenant for one in asked)]


class RuleBook:
    """The rules that this process knows. `stopped` raises RedisAway where they changed and cannot be read."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: OrderedDict[str, tuple[bytes, RuleSet]] = OrderedDict()
        self._number = 0

    async def stopped(
        self, asked: Sequence[Asked], addresses: Sequence[str], versions: Mapping[str, bytes | None]
    ) -> list[str | None]:
        """For each the reason if a rule stops it, or None. `addresses` are the same, normalised; `versions` those of
        `tenants_of`, None where somebody never had any rules."""
        sets = await self._sets(versions)
        if not sets:
            return [None] * len(asked)
        of_everybody = sets.get(EVERYBODY)
        found: list[str | None] = []
        for one, address in zip(asked, addresses, strict=True):
            own = sets.get(one.tenant)
            reason = None
            if of_everybody is not None and of_everybody.match(one.channel, one.stream, address) is not None:
                reason = rules.OPERATORS_REASON
            elif own is not None and own.match(one.channel, one.stream, address) is not None:
                reason = rules.TENANTS_REASON
            if reason is not None:
                _matched[reason].inc()
            found.append(reason)
        return found

    async def _sets(self, versions: Mapping[str, bytes | None]) -> dict[str, RuleSet]:
        """The rules of those who have any."""
        sets: dict[str, RuleSet] = {}
        changed: list[tuple[str, bytes]] = []
        for tenant, version in versions.items():
            if version is None:
                continue
            kept = self._kept.get(tenant)
            if kept is None or kept[0] != version:
                changed.append((tenant, version))
            else:
                self._kept.move_to_end(tenant)
                sets[tenant] = kept[1]
        if changed:
            read = await asyncio.gather(*(all_rules(self._client, tenant) for tenant, _ in changed))
            for (tenant, version), named in zip(changed, read, strict=True):
                sets[tenant] = RuleSet(named)
                # They are as new as the version, or newer: then its next check finds another one.
                self._keep(tenant, version, sets[tenant])
        return {tenant: one for tenant, one in sets.items() if len(one)}

    def _keep(self, tenant: str, version: bytes, found: RuleSet) -> None:
        READ.inc()
        before = self._kept.pop(tenant, None)
        self._number += len(found) - (len(before[1]) if before is not None else 0)
        self._kept[tenant] = (version, found)
        while self._number > MAX_KEPT and len(self._kept) > 1:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._number -= len(dropped)
        KEPT.set(self._number)
