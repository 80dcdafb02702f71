"""How many HTTP connections a process has, and whose place a newcomer gets while there is none.

A connection has a place in up to three rooms: its peer's (an IPv4 address, or an IPv6 /64), its listener's, and the
process's. In a room that is full the one that has been idle longest goes first; without one, that whose peer keeps us
waiting (it brings its request, or takes its answer, drop by drop); and only where all others are being served the
newcomer is refused. The port of metrics has places of its own, so that a flood at the other port hides no process from
those who ask whether it is alive.
"""

import collections
import resource
from collections.abc import Iterator
from typing import Protocol

#: Descriptors that are for all else: Redis, files, listeners, children.
OTHER_DESCRIPTORS = 300
#: Connections to the port of metrics: some Prometheus, and what asks for /healthz and /readyz.
PROBES = 50


class Connection(Protocol):
    """What has a place. `is_idle`: between two requests; `is_awaited`: we wait for its peer, in a request or answer."""

    @property
    def is_idle(self) -> bool: ...
    @property
    def is_awaited(self) -> bool: ...
    def give_way(self) -> None:
        """Closed at once, since another needs its place."""


class Room:
    """Places for `most`, and those in it that would give theirs up: the longest idle first, then the slow."""

    __slots__ = ("_idle", "_slow", "most", "taken")

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._idle: dict[Connection, None] = {}
        self._slow: dict[Connection, None] = {}

    def idle(self, connection: Connection) -> None:
        self._slow.pop(connection, None)
        self._idle[connection] = None

    def slow(self, connection: Connection) -> None:
        self._slow[connection] = None

    def busy(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self._slow.pop(connection, None)

    def has_place(self) -> bool:
        """If need be that of another."""
        if self.taken < self.most:
            return True
        victim = next(self._giving_way(), None)
        if victim is None:
            return False
        victim.give_way()
        return self.taken < self.most

    def _giving_way(self) -> Iterator[Connection]:
        """What has changed since it was noted is crossed out, so each look costs what was noted before it, once."""
        while self._idle:
            connection = next(iter(self._idle))
            if connection.is_idle:
                yield connection
            self._idle.pop(connection, None)
        while self._slow:
            connection = next(iter(self._slow))
            if connection.is_awaited:
                yield connection
            self._slow.pop(connection, None)


class Places:
    """Those of one listener. `most_of_peer`: of one peer; 0: any number."""

    def __init__(self, process: Room, most: int, most_of_peer: int) -> None:
        self._process, self._listener = process, Room(most)
        self._most_of_peer = most_of_peer
        self._peers: dict[str, Room] = {}
        self._rooms: dict[Connection, tuple[tuple[Room, ...], str]] = {}

    def enter(self, connection: Connection, peer: str) -> str:
        """Why there is no place for it, `peer` or `full`; "" if there is."""
        rooms: tuple[Room, ...] = (self._listener, self._process)
        if self._most_of_peer and peer:
            of_peer = self._peers.get(peer) or Room(self._most_of_peer)
            if not of_peer.has_place():
                return "peer"
            rooms = (of_peer, *rooms)
        if not (self._listener.has_place() and self._process.has_place()):
            return "full"
        if len(rooms) == 3:
            self._peers[peer] = rooms[0]
        for room in rooms:
            room.taken += 1
        self._rooms[connection] = (rooms, peer)
        return ""

    def leave(self, connection: Connection) -> None:
        """May be said twice."""
        rooms, peer = self._rooms.pop(connection, ((), ""))
        for room in rooms:
            room.busy(connection)
            room.taken -= 1
        if len(rooms) == 3 and not rooms[0].taken:
            del self._peers[peer]

    def rooms(self, connection: Connection) -> tuple[Room, ...]:
        return self._rooms.get(connection, ((), ""))[0]

    def taken(self) -> collections.Counter[str]:
        """Connections by peer, of those that are bounded by peer."""
        return collections.Counter({peer: room.taken for peer, room in self._peers.items()})


class Connections:
    """Of a process: `callers` are for what it serves, `probes` for the port of metrics. `descriptors` is its limit of
    open files (RLIM_INFINITY: none)."""

    def __init__(self, most: int = 10_000, most_of_peer: int = 0, descriptors: int | None = None) -> None:
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if descriptors is None else descriptors
        self.most = fitting(most + PROBES, allowed)
        probes = max(1, min(PROBES, self.most // 4))
        self._process = Room(self.most)
        self.callers = self.listener(max(1, min(most, self.most - probes)), most_of_peer)
        self.probes = self.listener(probes)

    def listener(self, most: int, most_of_peer: int = 0) -> Places:
        """Places of one more listener, out of all those of the process."""
        return Places(self._process, most, most_of_peer)

    @property
    def taken(self) -> int:
        return self._process.taken


def fitting(most: int, descriptors: int) -> int:
    """So many connections, or as many as the open files allow that are left for them."""
    if descriptors == resource.RLIM_INFINITY or descriptors < 0:
        return most
    return min(most, max(descriptors - OTHER_DESCRIPTORS, descriptors // 4, 1))
