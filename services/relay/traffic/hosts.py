"""What this process has found out of the hosts it dials: over how many connections at once, and when again. Pure.

A host that refuses a connection, or ends one with 421, says that there is too much of us or too little of it, whatever
its words. Which of the two shows in what is open at that moment:

- Other connections are open: then they are as many as it takes, and no more are opened (its *room*). A place more is
  tried after a while, alone, by whoever needs one: after `GROW_S`, and after twice that each time that it was one too
  many. So a host that takes nine is asked for a tenth connection every five minutes, and one that takes more again is
  found out.
- Nothing is open: then nobody dials for a while (its *pause*), which doubles each time up to a minute where the host
  answers, to five where it does not. When it is over one connection is tried, and as it gets mail through, one more for
  each mail, up to the room that was known.

By host and source address, because hosts count by address; not by site, because the customers of one provider have
hosts of their own. A host that took mail a moment ago, and refuses a connection although it has taken as many before,
speaks of our pace: that is for the gate to lower.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf

from services.relay.words.hop import Hop
from services.relay.words.reply import ConnectFailed

#: Pauses of a host that does not answer, and of one that answers 4xx: the first, and the longest.
SILENT_S, SILENT_MOST_S = 5.0, 300.0
BUSY_S, BUSY_MOST_S = 1.0, 60.0
#: A connection more than the host took is tried after so long at first, and at last.
GROW_S, GROW_MOST_S = 15.0, 300.0
#: Who finds the host's room taken, or somebody on the way to see whether it is back, asks again after this.
FULL_S = 0.5
#: A host that took a mail so long ago at most is one that takes mail.
LATELY_S = 60.0
#: After so long without a refusal a host is like any other.
FORGOTTEN_S = 1_800.0
#: Hosts remembered, if not more are in use; beyond, the one that was not dialled for longest is forgotten first. About
#: 1 kB each.
MOST_HOSTS = 10_000


@dataclass(frozen=True, slots=True)
class Shut:
    """The host may not be dialled for so long, because of that. `is_busy`: it answers, or has connections open; it will
    take mail soon."""

    wait_s: float
    why: ConnectFailed
    is_busy: bool


@dataclass(slots=True)
class _Host:
    """`room` is how many connections it takes, as far as is known (0: it is not), as of `room_at_s`; `start` the part
    of it that may be used after a pause. `failures` in a row while nothing was open."""

    dialling: int = 0
    open: int = 0
    room: int = 0
    room_at_s: float = 0.0
    grow_s: float = GROW_S
    start: float = inf
    failures: int = 0
    until_s: float = 0.0
    failed_at_s: float = -inf
    why: ConnectFailed | None = None
    took_at_s: float = -inf

    @property
    def is_answering(self) -> bool:
        return self.why is not None and _is_busy(self.why)

    def most(self, now_s: float) -> float:
        room = self.room + int((now_s - self.room_at_s) / self.grow_s) if self.room else inf
        return max(1, min(self.start, room))


class Hosts:
    """One for all workers of a process. `monotonic` in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        #: In the order in which they were dialled last.
        self._hosts: OrderedDict[tuple[Hop, str], _Host] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hosts)

    def shut(self, hop: Hop, source: str) -> Shut | None:
        """Why the host is not to be dialled now; None if it may be."""
        host = self._hosts.get((hop, source))
        if host is None or host.why is None:
            return None
        now_s = self._monotonic()
        if now_s - host.failed_at_s > FORGOTTEN_S:
            host.why, host.room, host.failures, host.start, host.grow_s = None, 0, 0, inf, GROW_S
            return None
        if host.failures and not host.open:
            if now_s < host.until_s:
                return Shut(host.until_s - now_s, host.why, host.is_answering)
            if host.dialling:
                return Shut(FULL_S, host.why, is_busy=True)
        elif host.open + host.dialling >= host.most(now_s):
            return Shut(FULL_S, host.why, is_busy=True)
        return None

    def is_in_use(self, hop: Hop, source: str) -> bool:
        """A connection of this process is open, or may be in a moment."""
        host = self._hosts.get((hop, source))
        return host is not None and host.open + host.dialling > 0

    # What happens to a connection: dialling, then failed or given up, or opened, then closed

    def dialling(self, hop: Hop, source: str) -> None:
        self._last(hop, source).dialling += 1

    def gave_up(self, hop: Hop, source: str) -> None:
        """The host had no part in it."""
        self._of(hop, source).dialling -= 1

    def opened(self, hop: Hop, source: str) -> None:
        host = self._of(hop, source)
        host.dialling -= 1
        host.open += 1
        if host.room and host.open > host.room:
            host.room, host.room_at_s = host.open, self._monotonic()
            host.grow_s = max(GROW_S, host.grow_s / 2)

    def failed(self, hop: Hop, source: str, failed: ConnectFailed) -> bool:
        """The connection was not to be had. Whether that is about our pace."""
        host = self._last(hop, source)
        host.dialling -= 1
        return self._refused(host, failed)

    def closed(self, hop: Hop, source: str) -> None:
        self._of(hop, source).open -= 1

    # What is said over it

    def took(self, hop: Hop, source: str) -> None:
        """The host took a mail."""
        host = self._of(hop, source)
        host.failures, host.took_at_s = 0, self._monotonic()
        if host.open + host.dialling + 1 >= host.start:
            host.start += 1

    def refused(self, hop: Hop, source: str, failed: ConnectFailed) -> bool:
        """The host ended a fresh connection with 421, which is closed by now. Whether that is about our pace."""
        self._refused(self._last(hop, source), failed)
        return self._takes(self._last(hop, source))

    def forgive(self, routes: Collection[str]) -> None:
        """These routes lead elsewhere now, or by another login: what was refused before says nothing of that."""
        for (hop, _), host in self._hosts.items():
            if hop.route in routes and hop.route:
                host.why, host.failures, host.until_s, host.start = None, 0, 0.0, inf

    # Inside

    def _refused(self, host: _Host, failed: ConnectFailed) -> bool:
        now_s = self._monotonic()
        host.failed_at_s = now_s
        # A new one, because what was raised holds on to everything on its way.
        host.why = ConnectFailed(failed.stage, failed.host, failed.reason, failed.reply, failed.tls_failure)
        has_room = host.open < host.room or not (host.open or host.dialling)
        if host.open or host.dialling:  # of those that are dialled together the last one knows
            if host.room and host.open >= host.room:
                host.grow_s = min(host.grow_s * 2, GROW_MOST_S)
            host.room, host.room_at_s = max(1, host.open), now_s
        else:
            if now_s >= host.until_s:
                first_s, most_s = (BUSY_S, BUSY_MOST_S) if host.is_answering else (SILENT_S, SILENT_MOST_S)
                host.failures += 1
                host.until_s = now_s + min(first_s * 2 ** min(host.failures - 1, 20), most_s)
            host.start = 1
        return has_room and self._takes(host)

    def _takes(self, host: _Host) -> bool:
        return self._monotonic() - host.took_at_s < LATELY_S

    def _of(self, hop: Hop, source: str) -> _Host:
        return self._hosts.get((hop, source)) or self._hosts.setdefault((hop, source), _Host())

    def _last(self, hop: Hop, source: str) -> _Host:
        """The host, moved behind all others; where there are too many the first is forgotten, or moved there too if it
        is in use. One at a time: a few that are always in use would be looked through with every connection."""
        host = self._of(hop, source)
        self._hosts.move_to_end((hop, source))
        if len(self._hosts) > MOST_HOSTS:
            name, first = self._hosts.popitem(last=False)
            if first.open or first.dialling or first is host:
                self._hosts[name] = first
        return host


def _is_busy(failed: ConnectFailed) -> bool:
    return failed.reply is not None and 400 <= failed.reply.code < 500
