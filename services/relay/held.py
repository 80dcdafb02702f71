"""What this relay has in hand: leased for a time, the lease renewed while it is here, and given back or recorded.

Rules:

- What is in hand is bounded (`Limits.in_flight`), per site too (the lease script sees to that, over all
  relays together). A part of the room is kept for what people wait for: bulk mail that fills the rest, or is stuck in
  it, does not hold that up.
- Nothing is attempted on a lease that may be over: `_held_until` is the monotonic time up to which each partition's
  leases hold for certain, and an epoch ends whenever it passed before they were renewed: what was taken in an earlier
  epoch may be another's. What was dropped for that reason comes back by `_recover`, if it is still ours.
- What a relay had in hand when it died counts as taken over (`shared.redis.ready`); so does what was in hand while this
  loop did not turn for as long as a lease.
"""

import asyncio
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import structlog
from prometheus_client import Counter, Gauge

from services.relay.limits.slots import TRUSTED
from services.relay.message.mail import End, Mail
from shared.process.lifecycle import pause
from shared.redis.ready import (
    BULK,
    HOPELESS,
    SUSPECT,
    Avoided,
    Lease,
    ReadyQueues,
    Taken,
    TakenOver,
)
from shared.redis.redis import RedisAway
from shared.words import events, ids

#: The longest wait for something to become due; leases are renewed at least so often.
WAIT_MS = 1000
#: What people wait for (lane 0 of `shared.redis.ready`) has this part of `in_flight` to itself.
URGENT_PART = 8
#: While there is room for nothing else it is asked for so often; nobody is woken for it then.
URGENT_WAIT_MS = 100
#: After Redis was away.
AWAY_PAUSE_S = 0.2
#: It is seen so often whether this loop turns.
TURN_S = 1.0

IN_HAND = Gauge("estafette_relay_in_hand_messages", "Messages leased and not yet recorded")
TAKEN_OVER = Counter(
    "estafette_relay_taken_over_messages_total", "Messages that a relay had in hand when it died, or hung"
)


@dataclass(frozen=True)
class Limits:
    """`in_flight`, `batch`: messages. `site_in_hand`: of one site over all relays. `lease_ms`: as in
    `shared.redis.ready`."""

    in_flight: int
    batch: int
    connections_per_site: int
    lease_ms: int
    #: Messages are tried one by one, each with nothing else in hand; one that may not go now is put back.
    alone: bool = False

    @property
    def kept(self) -> int:
        """Messages of `in_flight` that are never of bulk."""
        return self.in_flight // URGENT_PART

    @property
    def site_in_hand(self) -> int:
        return self.connections_per_site * 25


@dataclass(frozen=True, slots=True)
class Room:
    """For how many messages there is room in hand, and how many of them one call asks for (`limit`); `urgent…`: how
    many more, if people wait for them."""

    room: int
    limit: int
    urgent_room: int
    urgent_limit: int

    @property
    def asked_for(self) -> int:
        return self.limit + self.urgent_limit


class Clock(Protocol):
    """The time of day, and one that only goes forward (in seconds)."""

    def now_ms(self) -> int: ...
    def monotonic(self) -> float: ...


#: Leases are renewed, and nothing is taken.
NO_ROOM = Room(0, 0, 0, 0)


class Held:
    """The leases of one relay process, over all partitions. Once `draining` is set no more are taken."""

    def __init__(self, name: str, partitions: int, limits: Limits, queues: ReadyQueues, clock: Clock) -> None:
        self.draining = asyncio.Event()
        self.limits = limits
        self._name = name
        self._partitions = partitions
        self._queues = queues
        self._monotonic = clock.monotonic
        # Well within half a lease: who asks less often is not there to see that another has died
        # (`shared.redis.ready`).
        self._wait_ms = max(1, min(WAIT_MS, limits.lease_ms // 4))
        self._in_hand: dict[tuple[int, int], Mail] = {}
        self._per_partition: Tally[int] = Tally()
        self._asked_for = 0
        # The same of bulk alone.
        self._bulk_in_hand = 0
        self._bulk_asked_for = 0
        self._held_until = [0.0] * partitions
        self._epochs = [0] * partitions
        #: When each partition was last asked, well or in vain; empty while nobody asks.
        self._asked_at: list[float] = []
        self._hung = [False] * partitions
        self._has_room = asyncio.Event()
        self._log = structlog.get_logger("relay")

    # Whether it asks

    def begin(self) -> None:
        """From now on somebody asks."""
        self._asked_at = [self._monotonic()] * self._partitions

    def end(self) -> None:
        """And from now on nobody."""
        self._asked_at = []

    def silent_s(self) -> float:
        """For how long a partition has neither been asked with success nor in vain: an outage is no silence, for who is
        refused has asked."""
        return self._monotonic() - min(self._asked_at) if self._asked_at else 0.0

    async def watch(self) -> None:
        """Sees that this loop did not turn for as long as a lease: nobody else does where there is one relay alone."""
        clock = asyncio.get_running_loop().time
        while True:
            turned_at = clock()
            await asyncio.sleep(TURN_S)
            if clock() - turned_at > self.limits.lease_ms / 1000 + TURN_S:
                self._hung = [True] * self._partitions

    # How much of it there is

    @property
    def partitions(self) -> range:
        return range(self._partitions)

    @property
    def is_empty(self) -> bool:
        return not self._in_hand

    def count(self, partition: int) -> int:
        """Messages of this partition."""
        return self._per_partition[partition]

    def room(self) -> Room:
        """How many more messages may be asked for now. What is kept is asked for by all partitions side by side."""
        of_all = self._room()
        room = max(0, min(of_all, self._bulk_room()))
        limit, urgent_room = min(self.limits.batch, room), max(0, of_all - room)
        part = -(-urgent_room // self._partitions)
        return Room(room, limit, urgent_room, min(self.limits.batch - limit, part))

    def batch(self) -> int:
        """And in one call, of whichever lane."""
        return min(self.limits.batch, max(0, self._room()))

    async def wait_for_room(self) -> None:
        """Until bulk has some, or it is time to ask for what people wait for, or to renew."""
        wait_ms = min(self._wait_ms, URGENT_WAIT_MS) if self._room() > 0 else self._wait_ms
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_ms / 1000):
                while self.room().room == 0:
                    self._has_room.clear()
                    await self._has_room.wait()

    def _room(self) -> int:
        return self.limits.in_flight - len(self._in_hand) - self._asked_for

    def _bulk_room(self) -> int:
        return self.limits.in_flight - self.limits.kept - self._bulk_in_hand - self._bulk_asked_for

    # Lease

    @contextmanager
    def asking(self, partition: int, room: Room) -> Iterator[None]:
        """Messages are asked for, and have their room until they are in hand."""
        self._asked_for += room.asked_for
        self._bulk_asked_for += room.limit
        try:
            yield
        finally:
            self._asked_at[partition] = self._monotonic()
            self._asked_for -= room.asked_for
            self._bulk_asked_for -= room.limit
            if room.asked_for:
                self._has_room.set()

    async def lease(self, partition: int, room: Room, avoided: Sequence[Avoided]) -> tuple[Sequence[Lease], int]:
        """What is to be put in hand, and in how many ms the next message is due; what is held has a new lease.
        RedisAway."""
        if self._hung[partition]:
            await self._let_go_of_all(partition)
        expected = self._per_partition[partition]
        taken = await self._ask(partition, room, avoided)
        leases: Sequence[Lease] = taken.leases
        if taken.taken_over:
            self.tell(taken.taken_over)
        if taken.held > expected + len(leases):
            leases = [*leases, *await self._recover(partition, leases)]
        return leases, taken.due_in_ms

    async def renew(self, drained: asyncio.Event) -> None:
        """Nobody takes any more, and so nobody else renews."""
        while not drained.is_set():
            for partition in range(self._partitions):
                with suppress(RedisAway):
                    await self._ask(partition, NO_ROOM, ())
                self._asked_at[partition] = self._monotonic()
            await pause(drained, self.limits.lease_ms / 3000)

    async def wait_for_more(self, partition: int, woken: str, due_in_ms: int, stopping: asyncio.Event) -> str:
        """Until there may be more, or it is time to renew; what to hand in as `woken` the next time."""
        try:
            return await self._queues.wait(partition, woken, min(due_in_ms, self._wait_ms))
        except RedisAway:
            await pause(stopping, AWAY_PAUSE_S)
            return woken

    async def _ask(self, partition: int, room: Room, avoided: Sequence[Avoided]) -> Taken:
        """As many messages as there is room for, and a new lease on all that is held; an epoch ends if the old one was
        over before."""
        limits = self.limits
        asked_at = self._monotonic()
        taken = await self._queues.lease(
            partition,
            self._name,
            limits.lease_ms,
            room.limit,
            limits.site_in_hand,
            room.room,
            avoided,
            room.urgent_limit,
            room.urgent_room,
        )
        if self._monotonic() >= self._held_until[partition]:
            self._epochs[partition] += 1
        self._held_until[partition] = asked_at + limits.lease_ms / 1000 * TRUSTED
        return taken

    async def _recover(self, partition: int, leases: Sequence[Lease]) -> list[Lease]:
        """What is held in our name and not in hand: the answer that brought it was lost, or it was dropped here."""
        # Known before it is asked: what is recorded in the meantime is in the answer still, and in hand no more.
        known = {number for its_partition, number in self._in_hand if its_partition == partition}
        known.update(lease.number for lease in leases)
        found = [lease for lease in await self._queues.held(partition, self._name) if lease.number not in known]
        if found:
            self._log.info("recovered", partition=partition, messages=len(found))
        return found

    async def _let_go_of_all(self, partition: int) -> None:
        """After this loop hung: one of what it has in hand may be why. What was under way is recorded if it can be, and
        dropped by its epoch if not."""
        self._epochs[partition] += 1
        taken_over = await self._queues.died(partition, self._name)
        self._hung[partition] = False
        self.tell(taken_over)

    def tell(self, taken_over: Sequence[TakenOver]) -> None:
        """Names each in the log."""
        for one in taken_over:
            TAKEN_OVER.inc()
            try:
                ready = read(one.body)
            except ValueError:  # it is dead-lettered when it is leased
                continue
            self._log.warning(
                "taken_over",
                message=ids.message_id(ready.job, ready.ordinal),
                tenant=ready.tenant,
                job=ready.job,
                site=one.site,
                take_overs=one.take_overs,
                next="failed" if one.take_overs >= HOPELESS else "alone" if one.take_overs >= SUSPECT else "again",
            )

    # In hand, and out of it

    async def mails_of(self, leases: Sequence[Lease], checked_at: float) -> list[Mail]:
        """What was leased, as messages; what is none is buried. They are not in hand yet (`put`). RedisAway."""
        mails = []
        for lease in leases:
            try:
                ready = read(lease.body)
            except ValueError as fault:
                self._log.error(
                    "buried", entry=lease.number, partition=lease.partition, site=lease.site, reason=str(fault)[:200]
                )
                await self._queues.bury(lease, self._name, str(fault))
            else:
                mails.append(Mail(lease, ready, checked_at, self._epochs[lease.partition]))
        return mails

    def put(self, mails: Iterable[Mail]) -> None:
        for mail in mails:
            self._in_hand[mail.lease.partition, mail.lease.number] = mail
            self._per_partition[mail.lease.partition] += 1
            self._bulk_in_hand += mail.lease.lane == BULK
        IN_HAND.set(len(self._in_hand))

    def holds(self, mail: Mail) -> bool:
        """Its lease is not over for certain."""
        partition = mail.lease.partition
        return mail.epoch == self._epochs[partition] and self._monotonic() < self._held_until[partition]

    def forget(self, mail: Mail) -> None:
        """It is in hand no more."""
        if self._in_hand.pop((mail.lease.partition, mail.lease.number), None) is not None:
            self._per_partition[mail.lease.partition] -= 1
            self._bulk_in_hand -= mail.lease.lane == BULK
            IN_HAND.set(len(self._in_hand))
            self._has_room.set()

    def recorded(self, batch: Sequence[End]) -> None:
        for end in batch:
            self.forget(end.mail)

    def taken_out(self, mails: Iterable[Mail]) -> Mapping[int, Sequence[int]]:
        """The numbers of their leases, by partition. They are in hand no more."""
        numbers: dict[int, list[int]] = defaultdict(list)
        for mail in mails:
            numbers[mail.lease.partition].append(mail.lease.number)
            self.forget(mail)
        return numbers

    async def put_back(self, mails: Iterable[Mail]) -> None:
        """To the ready queues, untried."""
        for partition, numbers in self.taken_out(mails).items():
            await self._release(partition, numbers)

    async def release_all(self) -> None:
        """The relay ends: its leases are over."""
        for partition in range(self._partitions):
            await self._release(partition)

    async def _release(self, partition: int, numbers: Sequence[int] | None = None) -> None:
        try:
            await self._queues.release(partition, self._name, numbers)
        except RedisAway as away:  # they go back by themselves when the lease is over
            self._log.warning("not_released", reason=str(away), partition=partition)


def read(body: bytes) -> events.Ready:
    """A message as it waits in a ready queue. ValueError if it is nothing that could be sent and recorded."""
    ready = events.decode("Ready", body)
    if not isinstance(ready, events.Ready) or not 0 <= ready.ordinal <= ids.MAX_ORDINAL:
        raise ValueError("not a message of a job")
    ids.job_bytes(ready.job)
    return ready
