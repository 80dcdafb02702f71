"""What waits in the ready queues, looked at from outside: by queue, since when, what is held, what comes again later.

Nothing here changes anything, and each look costs Redis a bounded time, however much waits. So what waits for another
attempt is counted where it is little, and where it is much estimated from a sample: an operator wants to know whether
it is a thousand or half a million. (`expiries` names every ready queue: a job that is started has an expiry.)
"""

from typing import NamedTuple

from shared.redis import keys
from shared.redis.keys import Channel
from shared.redis.redis import Client, Script

#: Queues of which one script tells: 1.5 ms of the server's time.
PAGE = 200
#: Messages that wait for another attempt and are looked at in one step: about 5 ms.
SAMPLE = 1_000

_QUEUES = Script.of(__file__, "waiting_queues")
_RETRIES = Script.of(__file__, "waiting_retries")
_HOLDS = Script.of(__file__, "waiting_holds")


class Place(NamedTuple):
    """A ready queue: `queue` is a tenant, or tenant/job for a job with a rate of its own."""

    lane: int
    site: str
    queue: str

    @property
    def tenant(self) -> str:
        return self.queue.partition("/")[0]

    @property
    def job(self) -> str:
        return self.queue.partition("/")[2]


class Queue(NamedTuple):
    """`waiting` messages, the first since `since_ms`; `in_hand` are those of the whole site that relays have."""

    place: Place
    waiting: int
    since_ms: int
    in_hand: int


class Retries(NamedTuple):
    """What waits for another attempt at a place: `waiting` messages, `due_ms` is when the first that was seen is due.
    Of many it is an estimate."""

    place: Place
    waiting: int
    due_ms: int
    is_estimate: bool


class Waiting:
    """Of one channel. Every method is of one partition, and raises RedisAway."""

    def __init__(self, client: Client, channel: Channel) -> None:
        self._client = client
        self._channel = channel

    async def queues(self, partition: int) -> list[Queue]:
        """All that have messages, what is tried alone among them. A round trip for each `PAGE`."""
        found: dict[tuple[bool, Place], Queue] = {}
        for is_alone in (False, True):
            names = [
                keys.expiries(partition, self._channel),
                keys.ready_prefix(partition, self._channel),
                keys.site_prefix(partition, self._channel),
            ]
            if is_alone:
                names = [keys.alone(name) for name in names]
            first = 0
            while rows := await _QUEUES(self._client, names, [first, PAGE]):
                for at in range(0, len(rows), 4):
                    place = place_of(rows[at])
                    since_ms = int(rows[at + 2].partition(b"-")[0])
                    found[is_alone, place] = Queue(place, rows[at + 1], since_ms, rows[at + 3])
                first += PAGE
        return list(found.values())

    async def retries(self, partition: int) -> list[Retries]:
        """By place. One round trip."""
        total, seen, *rows = await _RETRIES(self._client, [keys.retry(partition, self._channel)], [SAMPLE])
        return [
            Retries(place_of(rows[at]), round(rows[at + 1] * total / seen), rows[at + 2], total > seen)
            for at in range(0, len(rows), 3)
        ]

    async def holds(self, partition: int, now_ms: int) -> dict[tuple[str, str], int]:
        """Site and queue ("": the whole site) → ms until when nothing of it is handed out. One round trip."""
        rows = await _HOLDS(self._client, [keys.holds(partition, self._channel)], [now_ms])
        return {
            (site, queue): rows[at + 1]
            for at in range(0, len(rows), 2)
            for site, _, queue in [rows[at].decode("utf-8", "replace").partition("\n")]
        }


def place_of(name: bytes) -> Place:
    """From `<lane><site>\\n<queue>`, as the ready queues write it."""
    site, _, queue = name[1:].decode("utf-8", "replace").partition("\n")
    return Place(int(name[:1]), site, queue)
