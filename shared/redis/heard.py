"""What mailbox providers said last when they took no mail, and under which limits it is sent there. Relays tell,
operators read.

Each relay gathers and tells every half second, so that a reply costs no round trip of its own; of many replies in that
time the last few are kept, which is what somebody looks at who wants to know what a provider says now.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from shared.redis import keys
from shared.redis.redis import Client, Script

#: Replies kept of each site, and for how long.
KEPT = 5
LIFETIME_MS = 7 * 86_400_000
#: Sites told, or asked, in one step.
TOGETHER = 200
#: What is kept of a reply.
MAX_CHARS = 300

_TELL = Script.of(__file__, "heard_tell")
_LAST = Script.of(__file__, "heard_last")


class Said(msgspec.Struct, frozen=True):
    """A reply that refused something, by this host to this source of ours, at `at_ms`."""

    at_ms: int
    host: str
    source: str
    reply: str


class Known(NamedTuple):
    """`limits` in words, "" if no relay has sent there lately; `replies`, the latest first."""

    limits: str
    replies: list[Said]


_decoder = msgspec.json.Decoder(Said)


class Heard:
    """What this process has heard and not told yet; and what all have told."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._replies: dict[str, list[Said]] = {}
        self._limits: dict[str, str] = {}
        self._told_limits: dict[str, str] = {}

    def note(self, site: str, said: Said) -> None:
        """A reply of the site: told with the next `tend`."""
        replies = self._replies.setdefault(site, [])
        replies.append(said)
        if len(replies) > KEPT:
            del replies[0]

    def note_limits(self, site: str, limits: str) -> None:
        """Under which limits it is sent there: told once, and when it changes."""
        if self._told_limits.get(site) != limits:
            self._limits[site] = limits

    async def tend(self) -> None:
        """Tells. To be called every half second. RedisAway: it is told later."""
        while sites := list({**self._replies, **self._limits})[:TOGETHER]:
            told = [
                [
                    self._limits.get(site, ""),
                    *(msgspec.json.encode(one).decode() for one in self._replies.get(site, ())),
                ]
                for site in sites
            ]
            await _TELL(self._client, _names(sites), [KEPT, LIFETIME_MS, msgspec.msgpack.encode(told)])
            for site in sites:
                self._replies.pop(site, None)
                if site in self._limits:
                    if len(self._told_limits) >= 10_000:
                        self._told_limits.clear()
                    self._told_limits[site] = self._limits.pop(site)

    async def last(self, sites: Sequence[str]) -> list[Known]:
        """Of each of these sites. RedisAway."""
        found: list[Known] = []
        for begin in range(0, len(sites), TOGETHER):
            rows = await _LAST(self._client, _names(sites[begin : begin + TOGETHER]), [])
            found += (
                Known(rows[at].decode(), [_decoder.decode(one) for one in rows[at + 1]])
                for at in range(0, len(rows), 2)
            )
        return found


def _names(sites: Sequence[str]) -> list[str]:
    return [key for site in sites for key in (keys.last_replies(site), keys.limits_of(site))]
