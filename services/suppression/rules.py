"""Rules of who must not be mailed, in Redis: put, taken away, imported. Each change is one script: all or nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from shared.redis import keys, lua
from shared.redis.bus import Publisher
from shared.redis.redis import Client, Script
from shared.redis.rules import EVERYBODY, all_rules
from shared.words import events, quotas, rules
from shared.words.rules import Named, Rule

_PUT = Script.of(__file__, "rules_put", names=lua.places(RULE=Rule), kept=True)
_DELETE = Script.of(__file__, "rules_delete", kept=True)
#: To the quota `rules`: somebody has to take some away.
RETRY_AFTER_S = 60


class Changed(NamedTuple):
    """How many rules are new, other than before, the same as before, and gone."""

    added: int
    changed: int
    unchanged: int
    removed: int


class By(NamedTuple):
    """Who changes rules: the tenant, "" for who sits at the console, and their name. What is not their own is told in
    the feed of that tenant."""

    tenant: str
    who: str


class Rules:
    """Of all tenants; the tenant "" has those of the operator, which hold for every tenant. Every method raises
    RedisAway. `new_version` gives a text that no other change has."""

    def __init__(
        self, client: Client, publisher: Publisher, now_ms: Callable[[], int], new_version: Callable[[], str]
    ) -> None:
        self._client = client
        self._publisher = publisher
        self._now_ms = now_ms
        self._new_version = new_version

    async def all(self, tenant: str) -> list[Named]:
        """In the order of their patterns."""
        return await all_rules(self._client, tenant)

    async def get(self, tenant: str, pattern: str) -> Rule | None:
        stored = await self._client.hget(keys.rules(tenant), pattern)
        return None if stored is None else rules.decode(stored)

    async def matching(self, tenant: str, address: str) -> list[Named]:
        """Those that concern a normalised address, the narrowest first, whatever they are for."""
        patterns = list(rules.candidates(address))
        found = await self._client.hmget(keys.rules(tenant), patterns)
        return [Named(one, rules.decode(stored)) for one, stored in zip(patterns, found, strict=True) if stored]

    async def put(self, tenant: str, named: Sequence[Named], most: int, by: By, *, replace: bool = False) -> Changed:
        """Puts all of them, each with the time at which its pattern was put first; `replace`: and takes away all
        others. Problem `quota_exceeded`, and nothing is changed, if there would be more than `most`."""
        args: list[str | bytes | int] = [tenant, self._new_version(), most, int(replace)]
        for pattern, rule in named:
            args += [pattern, rules.encode(rule)]
        used, *found = await _PUT(self._client, [keys.rules(tenant), keys.rule_versions()], args)
        if not found:
            raise quotas.exceeded("rules", most, used, RETRY_AFTER_S)
        changed = Changed(*found)
        await self._told("put rules", tenant, [one.pattern for one in named], by, changed)
        return changed

    async def delete(self, tenant: str, pattern: str, by: By) -> bool:
        """Whether there was one."""
        key_names = [keys.rules(tenant), keys.rule_versions()]
        removed = bool(await _DELETE(self._client, key_names, [tenant, self._new_version(), pattern]))
        if removed:
            await self._told("delete rules", tenant, [pattern], by, Changed(0, 0, 0, 1))
        return removed

    async def _told(self, action: str, tenant: str, patterns: Sequence[str], by: By, changed: Changed) -> None:
        """What an operator does, to every tenant or to one, is told as a fact, so that it can be audited."""
        is_own = by.tenant == tenant and tenant != EVERYBODY
        if is_own or not (changed.added or changed.changed or changed.removed):
            return
        which = patterns[0] if len(patterns) == 1 else f"{len(patterns)} rules"
        target = which if tenant == EVERYBODY else f"tenant:{tenant} {which}"
        fact = events.Acted(
            **events.about(by.tenant, self._now_ms(), "operated", action, target, by.who, self._new_version()),
            action=action,
            target=target,
            who=by.who,
        )
        await self._publisher.publish([fact])


def shown(pattern: str, rule: Rule) -> Mapping[str, Any]:
    """A rule for scripts."""
    return {
        "pattern": pattern,
        "channels": list(rule.channels),
        "scope": rule.scope,
        "note": rule.note,
        "since_ms": rule.since_ms,
    }
