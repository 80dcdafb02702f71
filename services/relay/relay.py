"""The main path of the relay: lease what is due, admit it, attempt it, record its end.

    take ──→ admit ──→ a site's line ──→ attempt ──→ recorder
    one loop           by queue          workers,     one loop
    a partition        (`lines`)         one connection each

This is its life, and the way in. What it has in hand, and for how long, is in `held`; who attempts it in `workers`;
whether a message may go in `permission`.

Rules:

- What is stopped (a job, a tenant's bulk) is parked and comes back when the stop ends (`aside`).
- What was taken over too often ends here, untried.
- A bug in taking is waited out: what is known to have ended goes on being recorded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from services.relay.aside import Aside
from services.relay.cancelling import Cancelling
from services.relay.checks.admission import Admission
from services.relay.held import AWAY_PAUSE_S, Clock, Held, Room
from services.relay.lines import Lines, SiteLine
from services.relay.message import ends
from services.relay.message.mail import End, Mail
from services.relay.permission import Permission
from services.relay.recorder import Recorder
from services.relay.workers import Workers
from shared.process.lifecycle import cancelled, pause
from shared.redis.ready import HOPELESS, Lease
from shared.redis.redis import RedisAway

#: After a bug, or a server that refuses: not so often that its logs are all there is.
FAULT_PAUSE_S = 1.0
#: After a small batch the next is given time to gather; more, where a whole batch is in hand already.
GATHER_S = 0.003
GATHER_LONGER_S = 0.02
#: While something is avoided, leases are asked for so often: its line may be short again at any moment.
AVOIDING_WAIT_MS = 100


class Relay:
    """One relay process. `run` until `stopping`; then what was not tried is put back."""

    def __init__(
        self,
        held: Held,
        lines: Lines,
        workers: Workers,
        permission: Permission,
        admission: Admission,
        aside: Aside,
        recorder: Recorder,
        cancelling: Callable[[Callable[[], Awaitable[None]]], Cancelling],
        clock: Clock,
    ) -> None:
        self.held = held
        self.lines = lines
        self._workers = workers
        self._permission = permission
        self._admission = admission
        self._aside = aside
        self._recorder = recorder
        self._cancelling = cancelling(self._end_cancelled_in_line)
        self._now_ms = clock.now_ms
        self._monotonic = clock.monotonic
        self._log = structlog.get_logger("relay")

    # The life of the process

    async def run(self, stopping: asyncio.Event) -> None:
        held = self.held
        held.begin()
        try:
            async with asyncio.TaskGroup() as group:
                recording = group.create_task(self._recorder.run(), name="recorder")
                watching = group.create_task(held.watch(), name="watch")
                try:
                    taking = [
                        group.create_task(self._take(partition, stopping), name=f"take {partition}")
                        for partition in held.partitions
                    ]
                    minding = [
                        group.create_task(self._aside.sweep(held.batch, self._admit, held.draining), name="sweep"),
                        group.create_task(self._aside.bring_back(held.draining), name="bring back"),
                        group.create_task(self._cancelling.run(held.batch, self._admit, held.draining), name="cancel"),
                    ]
                    await asyncio.wait(taking)
                    held.draining.set()
                    await asyncio.wait(minding)
                    await self._drain()
                    held.end()
                finally:
                    # Cancelling once, as the group does, is not enough: a call of Redis that ends at that moment
                    # swallows it, because `asyncio.wait_for` does before Python 3.12.
                    held.draining.set()
                    await cancelled((recording, watching))
        finally:
            held.end()
            for line in self.lines:
                line.give_back(None, 0)
            await self._workers.cancel()

    async def _drain(self) -> None:
        """What was not tried goes back at once; workers finish the message they have, for which the lease is renewed;
        ends are recorded; then the lease is over."""
        self.held.draining.set()
        untried: list[Mail] = []
        for line in self.lines:
            untried += line.give_back(None, 0)
            line.arrived.set()
        drained = asyncio.Event()
        renewing = asyncio.create_task(self.held.renew(drained), name="renew")
        try:
            await self.held.put_back(untried)
            await self._workers.ended()
            await self._recorder.flushed()
        finally:
            drained.set()
        await renewing
        await self.held.release_all()

    async def reconsider(self) -> None:
        """Limits or source addresses are others now: what they held back is asked again, and what is to leave by others
        goes back to the ready queues."""
        for line in list(self.lines):
            await self.held.put_back(self._workers.reconsider(line))

    # Take

    async def _take(self, partition: int, stopping: asyncio.Event) -> None:
        """Leases what is due in one partition, as long as there is room, and renews what is held."""
        held = self.held
        woken = "0"
        while not (stopping.is_set() or held.draining.is_set()):
            room = held.room()
            with held.asking(partition, room):
                try:
                    count, due_in_ms = await self._lease(partition, room)
                except RedisAway as away:
                    self._log.warning("redis_away", reason=str(away), partition=partition)
                    await pause(stopping, AWAY_PAUSE_S)
                    continue
                except Exception:  # ours, or a server that refuses: what has been taken has to be sent and recorded
                    self._log.exception("take_failed", partition=partition)
                    await pause(stopping, FAULT_PAUSE_S)
                    continue
            if room.limit == 0 and count == 0:
                await held.wait_for_room()
            elif count == 0:
                woken = await held.wait_for_more(partition, woken, due_in_ms, stopping)
            elif count < held.limits.batch // 2:
                has_plenty = held.count(partition) >= held.limits.batch
                await asyncio.sleep(GATHER_LONGER_S if has_plenty else GATHER_S)

    async def _lease(self, partition: int, room: Room) -> tuple[int, int]:
        """How many messages came, and in how many ms to ask for the next."""
        avoided = self.lines.avoided(partition, self._monotonic())
        leases, due_in_ms = await self.held.lease(partition, room, avoided)
        if leases:
            await self._admit(leases)
        return len(leases), AVOIDING_WAIT_MS if avoided else due_in_ms

    # Admit

    async def _admit(self, leases: Sequence[Lease]) -> None:
        """Puts messages in line at their sites, unless they have ended, were stopped or their recipients have left."""
        checked_at = self._monotonic()
        mails = await self.held.mails_of(leases, checked_at)
        verdicts = await self._admission.check([mail.ready for mail in mails])
        self.held.put(mails)
        stopped: list[Mail] = []
        lines: set[SiteLine] = set()
        now_ms = self._now_ms()
        for mail, verdict in zip(mails, verdicts, strict=True):
            if (end := self._ended(mail, verdict, now_ms)) is not None:
                self._recorder.add(end)
            elif self._permission.is_stopped(mail):
                stopped.append(mail)
            elif (back := self._permission.early(mail, now_ms)) is not None:
                self._recorder.add(back)
            else:
                lines.add(self._workers.put_in_line(mail))
        await self._aside.put(self.held.taken_out(stopped))
        # These were on their way here when a limit refused.
        now = self._monotonic()
        for line in lines:
            for place, kept in line.slow_places(now):
                await self.held.put_back(line.give_back(place, kept))

    def _ended(self, mail: Mail, verdict: str | None, now_ms: int) -> End | None:
        """The end of a message that is not attempted, also of what is stopped, when it comes from aside."""
        if verdict is not None:
            return self._permission.unwanted(mail, verdict)
        if (end := self._permission.expired(mail, now_ms)) is not None:
            return end
        if (end := self._permission.cancelled(mail)) is not None:
            return end
        return ends.brought_down(mail, now_ms) if mail.lease.take_overs >= HOPELESS else None

    async def _end_cancelled_in_line(self) -> None:
        """What is cancelled may be in line where nothing goes: it ends now, and the rest of its line goes back."""
        for line in list(self.lines):
            if not any(self._permission.cancelled(mail) for mail in line):
                continue
            back: list[Mail] = []
            for mail in line.give_back(None, 0):
                end = self._permission.cancelled(mail)
                if end is None:
                    back.append(mail)
                else:
                    self._recorder.add(end)
            await self.held.put_back(back)
