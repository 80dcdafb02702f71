"""Who brings what names no message of ours, and how much of it: a guesser is held off for a while, per peer.

A mail host errs now and then; who tries addresses or invents reports does nothing else. Peers are counted in periods:
from the miss beyond the bound to the end of its period a peer gets 451 for everything but what we signed. The table is
bounded: the peer whose period began first is forgotten first, so that a flood of addresses costs memory once.
"""

from collections.abc import Callable

from shared.net.peers import peer_of

#: Peers that are counted at the same time: some 2 MB.
MAX_PEERS = 10_000


class Misses:
    """`now_s` is a clock that never goes back. `limit` misses in `period_s` are allowed; 0: any number."""

    def __init__(
        self, now_s: Callable[[], float], limit: int = 50, period_s: float = 600.0, max_peers: int = MAX_PEERS
    ) -> None:
        self._now_s = now_s
        self._limit = limit
        self._period_s = period_s
        self._max_peers = max_peers
        self._peers: dict[str, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def count(self, address: str) -> bool:
        """One more; whether it is the one that makes them too many."""
        peer = peer_of(address)
        began_s, count = self._peers.get(peer, (self._now_s(), 0))
        if self._now_s() - began_s >= self._period_s:
            self._peers.pop(peer)
            began_s, count = self._now_s(), 0
        if peer not in self._peers and len(self._peers) >= self._max_peers:
            del self._peers[next(iter(self._peers))]
        self._peers[peer] = (began_s, count + 1)
        return self._limit > 0 and count + 1 == self._limit

    def are_too_many(self, address: str) -> bool:
        began_s, count = self._peers.get(peer_of(address), (0.0, 0))
        return 0 < self._limit <= count and self._now_s() - began_s < self._period_s
