"""How mail for a domain would be encrypted: by shaping, the MTA-STS policy that relays keep, and the TLSA records that
DNS proves, decided as a relay decides it."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from shared.process.settings import Settings
from shared.words.times import rfc3339

if TYPE_CHECKING:
    from services.relay.encryption.dane import LeftOut, NoAnswer
    from services.relay.encryption.sts_policies import Kept
    from services.relay.words.tls import Level, TlsPolicy


class Encryption(NamedTuple):
    """In `words`, a line each; `why_not`: why no host may be used now, "" if one may."""

    words: list[str]
    why_not: str


async def encryption_of(
    client: Any, settings: Settings, domain: str, hosts: Sequence[str], level: "Level", records: Sequence[str]
) -> Encryption:
    """Of the mail for a domain with these mail hosts; `level` is shaping's, `records` the TXT records of the domain's
    MTA-STS. Fetches no policy: what relays have not fetched is not known here. RedisAway."""
    from services.relay.encryption.dane import NoAnswer
    from services.relay.encryption.policies import least_of, policy_for
    from services.relay.words.tls import TlsPolicy

    words = [f"shaping: {level}"]
    if level == "never":
        return Encryption(words, "")
    kept = await _kept(client, settings, domain) if settings.tls.mta_sts else None
    words += _of_sts(settings, kept, records)
    tlsa = await _tlsa(settings, domain, hosts)
    words += _of_dane(settings, tlsa)
    if isinstance(tlsa, NoAnswer):
        return Encryption(words, tlsa.reason)
    sts = None if kept is None else kept.policy
    decided = {host: policy_for(host, least_of(level), tlsa.get(host), sts) for host in hosts}
    refused = [one.reason for one in decided.values() if not isinstance(one, TlsPolicy)]
    for host, one in decided.items():
        words.append(f"{host}: {_said(one) if isinstance(one, TlsPolicy) else f'not used: {one.reason}'}")
    return Encryption(words, refused[0] if refused and len(refused) == len(hosts) else "")


async def _kept(client: Any, settings: Settings, domain: str) -> "Kept | None":
    """The policy that relays have fetched and keep in Redis."""
    from services.relay.encryption.sts_policies import Kept
    from shared.process.clock import now_ms
    from shared.redis import keys
    from shared.words import ids

    packed = await client.get(keys.mta_sts(ids.name_partition(domain, settings.redis.partitions), domain))
    kept = msgspec.msgpack.decode(packed, type=Kept) if packed else None
    return kept if kept is not None and now_ms() < kept.expires_at else None


def _of_sts(settings: Settings, kept: "Kept | None", records: Sequence[str]) -> list[str]:
    from services.relay.encryption.mta_sts import policy_id

    if not settings.tls.mta_sts:
        return ["MTA-STS: off (tls.mta_sts)"]
    name = policy_id(records)
    words = [f"MTA-STS record: {one}" for one in records if one.startswith("v=STSv1")]
    if kept is None:
        return [*words, "MTA-STS policy: a relay fetches it with the next mail"] if name is not None else words
    held = f"fetched {rfc3339(kept.fetched_at)}, in force until {rfc3339(kept.expires_at)}"
    words.append(f"MTA-STS policy: {kept.policy.mode}, for {', '.join(kept.policy.mx) or 'no host'}; {held}")
    if name is not None and name != kept.id:
        words.append(f"MTA-STS policy: there is another one, {name}, which a relay fetches with the next mail")
    return words


async def _tlsa(
    settings: Settings, domain: str, hosts: Sequence[str]
) -> "Mapping[str, TlsPolicy | LeftOut] | NoAnswer":
    """What the records of the hosts ask for, by host; empty where DANE is off."""
    from services.relay.encryption.dane import Dane
    from services.relay.encryption.dnssec import ValidatingResolver

    if not settings.tls.dane_resolver or not hosts:
        return {}
    resolver = ValidatingResolver(settings.tls.dane_resolver, settings.dns.timeout_ms, time.monotonic)
    try:
        return await Dane(resolver).policies(domain, hosts, settings.relay.mx_port)
    finally:
        await resolver.close()


def _of_dane(settings: Settings, tlsa: "Mapping[str, TlsPolicy | LeftOut] | NoAnswer") -> list[str]:
    from services.relay.encryption.dane import NoAnswer
    from services.relay.words.tls import TlsPolicy

    if not settings.tls.dane_resolver:
        return ["DANE: off (tls.dane_resolver)"]
    if isinstance(tlsa, NoAnswer):
        return [f"DANE: {tlsa.reason}"]
    found = [(host, one) for host, one in tlsa.items() if isinstance(one, TlsPolicy)]
    return [f"TLSA of {host}: {record}" for host, one in found for record in one.published]


def _said(policy: "TlsPolicy") -> str:
    """`dane`, `mta-sts`, `required` …, as the events of a mail call it, and what that is."""
    means = {
        "never": "in clear",
        "opportunistic": "encrypted where that works",
        "required": "encrypted, to whoever answers",
        "verified": "encrypted, to a host whose certificate is good for its name",
        "dane": "encrypted, to a host whose certificate its TLSA records name",
    }
    tested = "; the policy is tried, and only reported on" if policy.testing else ""
    return f"{policy.word}: {means[policy.level]}{tested}"
