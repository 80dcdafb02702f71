"""How the hosts of a domain have to be encrypted to, from all who may ask for it: shaping, MTA-STS and DANE.

- A level that shaping sets is the least; `never` is the operator's word, and nothing is asked then.
- A host with TLSA records of use is bound by them, and MTA-STS has no say about it (RFC 8461 section 2).
- An MTA-STS policy that is enforced leaves out the hosts that it does not name, and has the others prove themselves.
- If no host is left there is nowhere to go, for now.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from services.relay.encryption.dane import LeftOut, NoAnswer
from services.relay.encryption.mta_sts import StsPolicy
from services.relay.encryption.sts_policies import NotFetched
from services.relay.words.hop import Hop, NoRoute
from services.relay.words.tls import (
    NEVER,
    OPPORTUNISTIC,
    REQUIRED,
    Level,
    TlsFailure,
    TlsPolicy,
)

_VERIFIED = TlsPolicy("verified", "shaping")
_LEAST: dict[Level, TlsPolicy] = {
    "opportunistic": OPPORTUNISTIC,
    "required": REQUIRED,
    "verified": _VERIFIED,
    "dane": _VERIFIED,  # whatever has no TLSA records
}


class Dane(Protocol):
    async def policies(
        self, domain: str, hosts: Sequence[str], port: int
    ) -> Mapping[str, TlsPolicy | LeftOut] | NoAnswer: ...


class Sts(Protocol):
    async def policy(self, domain: str) -> StsPolicy | NotFetched | None: ...
    def oldest_ms(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Refused:
    """The host may not be used: why, as a report names it (`policy`, `failure`) and in words."""

    policy: TlsPolicy
    failure: TlsFailure
    reason: str


#: What is reported of a mail that could go nowhere: domain, policy, host, failure.
Note = Callable[[str, TlsPolicy, Hop, TlsFailure], None]


class Policies:
    """`dane` and `sts` are None where they are off; `note` is told of mails that could go nowhere."""

    def __init__(self, dane: Dane | None, sts: Sts | None, note: Note | None = None) -> None:
        self._dane = dane
        self._sts = sts
        self._note = note

    def oldest_ms(self) -> int:
        """When the oldest MTA-STS policy in use was fetched (ms); 0: there is none."""
        return 0 if self._sts is None else self._sts.oldest_ms()

    async def secured(
        self, domain: str, hops: Sequence[Hop], level: Level = "opportunistic"
    ) -> Sequence[Hop] | NoRoute:
        """The hops for a domain's mail, each with the policy that holds for it; `level` is shaping's. RedisAway."""
        if level == "never":
            return [Hop(hop.host, hop.port, hop.address, NEVER) for hop in hops]
        least = _LEAST[level]
        if self._dane is None and self._sts is None:
            return hops if least is OPPORTUNISTIC else [Hop(hop.host, hop.port, hop.address, least) for hop in hops]
        sts = await self._sts.policy(domain) if self._sts is not None else None
        tlsa: Mapping[str, TlsPolicy | LeftOut] | NoAnswer = {}
        if self._dane is not None and hops:
            tlsa = await self._dane.policies(domain, list(dict.fromkeys(hop.host for hop in hops)), hops[0].port)
        if isinstance(tlsa, NoAnswer):
            return self._nowhere(domain, hops[0], Refused(TlsPolicy("dane", "dane"), "dnssec-invalid", tlsa.reason))
        decided = {hop.host: policy_for(hop.host, least, tlsa.get(hop.host), sts) for hop in hops}
        usable = [
            Hop(hop.host, hop.port, hop.address, policy)
            for hop in hops
            if isinstance(policy := decided[hop.host], TlsPolicy)
        ]
        refused = [(hop, why) for hop in hops if isinstance(why := decided[hop.host], Refused)]
        if usable or not refused:
            return usable
        return self._nowhere(domain, *refused[0])

    def _nowhere(self, domain: str, hop: Hop, why: Refused) -> NoRoute:
        if self._note is not None:
            self._note(domain, why.policy, hop, why.failure)
        return NoRoute("tls_policy", f"{domain}: {why.reason}", final=False)


def least_of(level: Level) -> TlsPolicy:
    """What a level of shaping asks for where nobody else asks for anything; `never` has none."""
    return _LEAST[level]


def policy_for(
    host: str, least: TlsPolicy, tlsa: TlsPolicy | LeftOut | None, sts: StsPolicy | NotFetched | None
) -> TlsPolicy | Refused:
    """What holds for one host."""
    match tlsa:
        case LeftOut(reason=reason):
            return Refused(TlsPolicy("dane", "dane"), "dnssec-invalid", reason)
        case TlsPolicy(level="dane"):
            return tlsa
        case TlsPolicy() if least.level == "opportunistic":
            least = tlsa  # records of no use: encrypted, to whoever answers
        case _:
            pass
    match sts:
        case StsPolicy(mode="none") | None:
            return least
        case StsPolicy():
            return _of_sts(sts, sts.names(host), least, host)
        case NotFetched(failure=failed):
            return TlsPolicy(least.level, "mta-sts", failure=failed)


@lru_cache(4096)
def _of_sts(sts: StsPolicy, named: bool, least: TlsPolicy, host: str) -> TlsPolicy | Refused:
    """Remembered: it is the same for each mail of a domain."""
    if sts.mode == "enforce":
        policy = TlsPolicy("verified", "mta-sts", sts.mx, published=sts.published)
        if named:
            return policy
        return Refused(policy, "validation-failure", f"its MTA-STS policy does not name its mail host {host}")
    failure: TlsFailure | Literal[""] = "" if named else "validation-failure"
    return TlsPolicy(least.level, "mta-sts", sts.mx, testing=True, failure=failure, published=sts.published)
