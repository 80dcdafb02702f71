"""Generations of a tenant's link keys: which one signs new links, and which are revoked, as a process knows.

Each generation is a key of its own, made of the master secret, the tenant and the generation's number
(`shared.words.tokens`), so nothing has to be known of one to read its tokens. What is known here is what an operator
changed: a tenant of whom nothing is known signs with the first, and has none revoked. The table is small, is read by
every click, and waits for nobody; `shared.redis.link_keys` keeps it fresh.
"""

from collections.abc import Mapping

import msgspec

#: Tokens that were made before tenants had keys of their own, under one key for all of them.
COMMON = 0
FIRST = 1
#: Two bytes of a token.
MAX_GENERATION = 65_535

_NONE: frozenset[int] = frozenset()


class Known(msgspec.Struct, frozen=True):
    """Of one tenant: the generation that signs, and those whose links lead nowhere any more."""

    current: int = FIRST
    revoked: frozenset[int] = _NONE


_UNTOUCHED = Known()


class Generations:
    """What a process knows of all tenants. Reading it is a look into a dict."""

    def __init__(self) -> None:
        self._tenants: Mapping[str, Known] = {}
        self._revoked: frozenset[tuple[str, int]] = frozenset()

    def current(self, tenant: str) -> int:
        """The one that signs."""
        return self._tenants.get(tenant, _UNTOUCHED).current

    def is_revoked(self, tenant: str, generation: int) -> bool:
        return (tenant, generation) in self._revoked

    def learn(self, tenants: Mapping[str, Known]) -> None:
        """All that is known, in place of what was."""
        self._tenants = tenants
        self._revoked = frozenset((name, number) for name, known in tenants.items() for number in known.revoked)
