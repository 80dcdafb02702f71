"""Limits, source addresses and named routes that are in force together, and what differs between two such sets. Pure.

When others come into force (SIGHUP), what is open stays open as far as the new ones would have it so (`may_stay`): the
source is still in its pool, with the same address and name, and the connection counts under every limit that there is
now, none of which has become lower. What may not stay is closed after the mail that is under way.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from services.relay.traffic import smarthosts
from services.relay.traffic.egress import Egress, Source, Warmup
from services.relay.traffic.limits_of import LimitsOf
from services.relay.traffic.shaping import Rule, Shape, Shaping, Share
from services.relay.traffic.smarthosts import Smarthosts

NO_SMARTHOSTS: Smarthosts = MappingProxyType({})


class Rules:
    """What the operator's files say. A set of them is compared by identity: `differences` tells what is another."""

    __slots__ = ("egress", "limits_of", "shaping", "smarthosts")

    def __init__(self, shaping: Shaping, egress: Egress, smarthosts: Smarthosts = NO_SMARTHOSTS) -> None:
        shaped = {site: one.shaped(shaping.of(site)) for site, one in smarthosts.items()}
        self.shaping = shaping.laid_over({site: shape for site, shape in shaped.items() if shape != shaping.of(site)})
        self.egress = egress
        self.smarthosts = smarthosts
        self.limits_of = LimitsOf(self.shaping)

    def signs(self, site: str) -> bool:
        """Whether what goes to this site is signed here, as far as its route says."""
        smarthost = self.smarthosts.get(site)
        return smarthost is None or smarthost.route.dkim


@dataclass(frozen=True, slots=True)
class Opened:
    """How a connection was opened: to which site, for which pool and tenant ("": everybody's), from which source."""

    rules: Rules
    site: str
    pool: str
    tenant: str
    source: Source

    def may_stay(self, now: Rules) -> bool:
        """Whether it may carry further mails where these rules are in force."""
        pool = now.egress.pools.get(self.pool)
        known = next((one for one in pool.sources if one.name == self.source.name), None) if pool else None
        if not self._leads_there(now):
            return False
        if known is None or (known.address, known.helo) != (self.source.address, self.source.helo):
            return False
        counted = self._connections(self.rules)
        return all(counted.get(name, 0) >= 1 and counted[name] <= most for name, most in self._connections(now).items())

    def _leads_there(self, now: Rules) -> bool:
        """A named route leads where it led, by the same login."""
        was, is_now = (rules.smarthosts.get(self.site) for rules in (self.rules, now))
        return (was and was.way) == (is_now and is_now.way)

    def _connections(self, rules: Rules) -> Mapping[str, int]:
        limits = rules.limits_of.connection(self.site, self.source, self.tenant)
        return {limit.name: limit.connections for limit in limits}


def pools_that_share_anew(before: Egress, after: Egress) -> list[str]:
    """Pools with other sources or weights: what each source sent before says nothing of its share from now on."""
    return [
        name
        for name, pool in after.pools.items()
        if name not in before.pools or _weights(before, name) != {one.name: one.weight for one in pool.sources}
    ]


def differences(before: Rules, after: Rules) -> list[str]:
    """In words, one for each value that is another."""
    old, new = before.shaping, after.shaping
    return [
        *_of_tables("", old.shapes, new.shapes, _shape_words),
        *_of_tables("limits of source ", old.sources, new.sources, _share_words),
        *_of_tables("limits of tenant ", old.tenants, new.tenants, _share_words),
        *_of_tables("rule ", _by_name(old), _by_name(new), _rule_words),
        *_order(old, new),
        *smarthosts.differences(before.smarthosts, after.smarthosts),
        *_of_tables("source ", before.egress.sources, after.egress.sources, _source_words),
        *_of_tables("pool ", _pool_words(before.egress), _pool_words(after.egress), dict),
        *_of_tables("stream ", _streams(before.egress), _streams(after.egress), dict),
    ]


def _of_tables(
    kind: str, before: Mapping[str, object], after: Mapping[str, object], words: Callable[..., Mapping[str, str]]
) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if name not in after:
            yield f"{kind}{name} is gone"
        elif name not in before:
            said = ", ".join(f"{key} {value}" for key, value in words(after[name]).items() if value)
            yield f"{kind}{name} is new" + (f": {said}" if said else "")
        elif before[name] != after[name]:
            was, now = words(before[name]), words(after[name])
            yield f"{kind}{name}: " + "; ".join(
                f"{key} {was[key] or 'none'} is now {now[key] or 'none'}" for key in now if was[key] != now[key]
            )


def _shape_words(shape: Shape) -> Mapping[str, str]:
    return {
        "connections": str(shape.connections or ""),
        "source_connections": str(shape.source_connections or ""),
        "rate": ", ".join(map(str, shape.rates)),
        "source_rate": ", ".join(map(str, shape.source_rates)),
        "messages_per_connection": str(shape.messages_per_connection or ""),
        "idle": f"{shape.idle_s}s" if shape.idle_s else "",
        "tls": shape.tls,
    }


def _share_words(share: Share) -> Mapping[str, str]:
    return {"connections": str(share.connections or ""), "rate": ", ".join(map(str, share.rates))}


def _rule_words(rule: Rule) -> Mapping[str, str]:
    return {one.name: str(getattr(rule, one.name)) for one in fields(rule) if one.name != "name"}


def _source_words(source: Source) -> Mapping[str, str]:
    return {
        "address": source.address,
        "helo": source.helo,
        "weight": str(source.weight),
        "warmup": _warmup_words(source.warmup) if source.warmup else "",
    }


def _warmup_words(warmup: Warmup) -> str:
    plans = {"": warmup.plan, **{f" at {site}": plan for site, plan in warmup.by_site.items()}}
    said = (f"{', '.join(map(str, plan)) or 'any number'} a day{at}" for at, plan in plans.items())
    return f"from {warmup.started}: {'; '.join(said)}"


def _by_name(shaping: Shaping) -> Mapping[str, Rule]:
    return {rule.name: rule for rule in shaping.rules}


def _order(before: Shaping, after: Shaping) -> Iterator[str]:
    """Of rules, where the first that matches wins."""
    old, new = ([rule.name for rule in one.rules] for one in (before, after))
    if old != new and sorted(old) == sorted(new):
        yield "rules are tried in another order"


def _pool_words(egress: Egress) -> Mapping[str, Mapping[str, str]]:
    return {name: {"sources": ", ".join(one.name for one in pool.sources)} for name, pool in egress.pools.items()}


def _streams(egress: Egress) -> Mapping[str, Mapping[str, str]]:
    """Which pool each stream uses, and of tenants that have others."""
    tables = {"": egress.of_stream, **{f" of {tenant}": streams for tenant, streams in egress.of_tenant.items()}}
    return {f"{stream}{of}": {"pool": pool} for of, streams in tables.items() for stream, pool in streams.items()}


def _weights(egress: Egress, pool: str) -> Mapping[str, int]:
    return {one.name: one.weight for one in egress.pools[pool].sources}
