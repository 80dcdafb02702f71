"""The messages of a site that wait for a connection here, by queue, and the workers that take them. Pure.

A line belongs to a site and a pool of source addresses: mails of another pool must not share its connections. Within
it the lanes come in order, and the queues of a lane (`shared.redis.ready`: a tenant's, or a job's with a pace of its
own) take turns. One that is at its limit is passed over until it may go on; the others do not wait for it.
"""

from collections import deque
from collections.abc import Iterator
from itertools import chain, islice, zip_longest
from math import inf
from typing import Generic, TypeVar

from services.relay.message.mail import Mail
from services.relay.words.outlet import Outlet
from shared.redis.ready import LANES

#: Messages in line that justify one more connection to the site.
MAILS_PER_CONNECTION = 10
#: How long an admission is good for. The promise is that an unsubscription takes effect within a second; half of it is
#: for the way to the list.
FRESH_S = 0.5
#: Messages next in line that are asked about together with one that has waited longer: at least, and at most.
FRESHENED_LEAST, FRESHENED_MOST = 10, 200

#: A queue in its lane.
Place = tuple[int, str]
W = TypeVar("W")


class Line(Generic[W]):
    """`workers` are whatever the relay runs them as; `idle` are those that wait for a message, `leaving` those that
    take no more and still have a connection to close. `full_until`: before then no further connection can be had. Times
    are monotonic seconds; a place None is all of them."""

    __slots__ = (
        "_count",
        "_lanes",
        "_pace",
        "_since",
        "_taken",
        "_until",
        "full_until",
        "idle",
        "leaving",
        "outlet",
        "site",
        "workers",
    )

    def __init__(self, site: str, outlet: Outlet) -> None:
        self.site, self.outlet = site, outlet
        self.workers: set[W] = set()
        self.idle = 0
        self.leaving = 0
        self.full_until = 0.0
        self._count = 0
        # Messages taken out since `_since` (monotonic s), and how many a second were taken before that.
        self._taken = 0
        self._since = inf
        self._pace = inf
        self._lanes: tuple[dict[Place, deque[Mail]], ...] = tuple({} for _ in {*LANES.values()})
        self._until: dict[Place | None, float] = {}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Mail]:
        return chain.from_iterable(mails for queues in self._lanes for mails in queues.values())

    @property
    def places(self) -> list[Place]:
        """Those that have messages here."""
        return [place for queues in self._lanes for place in queues]

    def put(self, mail: Mail) -> None:
        self._queue(mail).append(mail)

    def put_first(self, mail: Mail) -> None:
        """It was taken and may not go yet."""
        self._queue(mail).appendleft(mail)

    def take(self, now: float) -> Mail | None:
        """The next message that may go; its queue has had its turn."""
        if self._count == 0 or self._until.get(None, 0.0) > now:
            return None
        for queues in self._lanes:
            for place, mails in queues.items():
                if self._until.get(place, 0.0) <= now:
                    mail = mails.popleft()
                    self._count -= 1
                    self._taken += 1
                    del queues[place]
                    if mails:
                        queues[place] = mails
                    return mail
        return None

    def next(self, most: int, now: float) -> list[Mail]:
        """Those whose turn comes first, as it looks now."""
        if self._until.get(None, 0.0) > now:
            return []
        return list(islice(self._in_turn(most, now), most))

    def _in_turn(self, most: int, now: float) -> Iterator[Mail]:
        """At least so many, if there are."""
        for queues in self._lanes:
            may_go = (mails for place, mails in queues.items() if self._until.get(place, 0.0) <= now)
            going = list(islice(may_go, most))
            if len(going) == 1:
                yield from going[0]
            else:
                yield from (mail for turn in zip_longest(*going) for mail in turn if mail is not None)

    def wait_s(self, now: float) -> float | None:
        """How long until a message that waits may go: 0 is now, None is that there is none."""
        if self._count == 0:
            return None
        first = min(self._until.get(place, 0.0) for place in self.places)
        return max(0.0, max(first, self._until.get(None, 0.0)) - now)

    def block(self, place: Place | None, until: float, now: float) -> None:
        """Nothing of this place goes before then. Of workers that were refused together each was told an interval later
        than the one before: the first of these times is when the next message goes. Where another limit says later,
        that is heard when it is asked again."""
        self._until = {one: at for one, at in self._until.items() if at > now}
        self._until[place] = min(until, self._until.get(place, inf))

    def reopen(self) -> None:
        """Limits are others now: whatever waited for one is asked again."""
        self._until.clear()
        self.full_until = 0.0

    def soon(self, now: float) -> list[Mail]:
        """Those that have their turn before an answer about them is old, and as many again: a slow site would otherwise
        ask about the same messages four times a second for minutes."""
        if now - self._since >= FRESH_S:
            self._pace = self._taken / (now - self._since)
            self._taken, self._since = 0, now
        self._since = min(self._since, now)
        return list(islice(self, int(min(max(FRESHENED_LEAST, 2 * FRESH_S * self._pace), FRESHENED_MOST))))

    def waiting(self, place: Place | None) -> int:
        """Messages of this place."""
        return self._count if place is None else len(self._lanes[place[0]].get(place, ()))

    def give_back(self, place: Place | None, keep: int) -> list[Mail]:
        """Takes out what waits in this place behind its first `keep` messages; of all places, each keeps its share."""
        places = self.places if place is None else [place]
        share = -(-max(0, keep) // max(1, len(places)))
        out: list[Mail] = []
        for one in places:
            mails = self._lanes[one[0]].get(one, deque())
            while len(mails) > share:
                out.append(mails.pop())
            if not mails:
                self._lanes[one[0]].pop(one, None)
        self._count -= len(out)
        return out

    def workers_wanted(self, limit: int, now: float) -> int:
        """How many more workers this line deserves now, of `limit` in all."""
        if self._until.get(None, 0.0) > now or (self.full_until > now and self.workers):
            return 0
        wanted = min(limit - self.leaving, -(-self._count // MAILS_PER_CONNECTION))
        return max(0, wanted - len(self.workers) + self.leaving) if self.idle < wanted else 0

    def _queue(self, mail: Mail) -> deque[Mail]:
        queues = self._lanes[mail.place[0]]
        self._count += 1
        found = queues.get(mail.place)
        if found is None:
            found = queues[mail.place] = deque()
        return found
