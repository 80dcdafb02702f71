"""Tries messages alone that relays died with in hand: in a child process that has nothing else, and whose death counts.

    relay ──starts, watches──→ child: a whole relay, `python -m services.relay --alone <name> --beat <fd>`
                                      leases from `ReadyQueues.alone`, one at a time, and ends when there is none

The child counts in all limits, as any relay does. Its death is seen at once, and its hanging when it has not beaten for
a while: then what it had in hand was taken over for the last time (`shared.redis.ready`), and ends as failed. A child
whose relay is gone (its stdin ends) goes on for a while: else one that dies again and again would keep all from being
tried. Then, as at SIGTERM, it puts back what it has in an orderly way, and that counts nothing.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from shared.process.lifecycle import Lifecycle, pause
from shared.redis.ready import ReadyQueues, TakenOver
from shared.redis.redis import RedisAway

#: How often a relay looks whether something waits to be tried alone.
LOOK_S = 1.0
#: A child that found nothing so often, a third of a second apart, ends.
IDLE_LOOKS = 6
IDLE_LOOK_S = 0.3
#: A child goes on for so long without its relay.
LINGER_S = 30.0
#: The first beat of a child may take so much longer: it has much to import.
START_S = 60.0
#: After a child that died without a message in its hand: it is not the message then. Twice as long each time.
LONGEST_BACK_OFF_S = 30.0

LONERS = Counter("estafette_relay_lone_processes_total", "Processes that tried messages alone, by end", ["end"])


@dataclass(frozen=True)
class Lone:
    """What a child is told: the name that it leases by, and where it beats."""

    name: str
    beat_fd: int

    @classmethod
    def told(cls, arguments: Sequence[str]) -> "Lone | None":
        """None for a relay that is nobody's child."""
        match arguments:
            case ["--alone", name, "--beat", fd]:
                return cls(name, int(fd))
            case []:
                return None
            case _:
                raise SystemExit("usage: python -m services.relay")

    def beat(self) -> None:
        with suppress(OSError):  # its relay is gone, or did not look for long
            os.write(self.beat_fd, b".")


async def end_when_idle(
    life: Lifecycle,
    partitions: int,
    queues: ReadyQueues,
    dead_before_ms: Callable[[], int],
    is_idle: Callable[[], bool],
) -> None:
    """In the child: until nothing is left to try, or its relay is gone."""
    loop = asyncio.get_running_loop()

    def heard() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            loop.call_later(LINGER_S, life.stop, "its relay is gone")

    loop.add_reader(0, heard)
    looks = 0
    while not life.stopping.is_set():
        try:
            waits = not is_idle() or await _waits(partitions, queues, dead_before_ms())
        except RedisAway:
            waits = True
        looks = 0 if waits else looks + 1
        if looks >= IDLE_LOOKS:
            life.stop("nothing is left to be tried alone")
        await pause(life.stopping, IDLE_LOOK_S)
    loop.remove_reader(0)


async def _waits(partitions: int, queues: ReadyQueues, dead_before_ms: int) -> bool:
    for partition in range(partitions):
        if await queues.waits(partition, dead_before_ms):
            return True
    return False


class Alone:
    """The children of the relay `name`, one after the other. `queues` are those of what is tried alone; `tell` is told
    what was taken over from a child."""

    def __init__(
        self,
        name: str,
        partitions: int,
        lease_ms: int,
        hang_s: float,
        queues: ReadyQueues,
        tell: Callable[[Sequence[TakenOver]], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._name = name
        self._partitions = partitions
        self._lease_ms = lease_ms
        self._hang_s = hang_s
        self._queues = queues
        self._tell = tell
        self._now_ms = now_ms
        self._back_off_s = LOOK_S
        self._hangups = 0
        self._log = structlog.get_logger("relay")

    def hang_up(self) -> None:
        """SIGHUP for the child, if there is one, once it listens."""
        self._hangups += 1

    async def run(self, stopping: asyncio.Event) -> None:
        number = 0
        while not stopping.is_set():
            await pause(stopping, LOOK_S)
            try:
                if stopping.is_set() or not await _waits(
                    self._partitions, self._queues, self._now_ms() - self._lease_ms
                ):
                    continue
                number += 1
                await self._one(f"{self._name}-alone{number}", stopping)
            except RedisAway as away:
                self._log.warning("redis_away", reason=str(away))
            except Exception:  # ours, or no process can be had: others wait for nothing here
                self._log.exception("alone_failed")

    async def _one(self, name: str, stopping: asyncio.Event) -> None:
        """One child, from its start to its end."""
        heard, told = os.pipe()
        os.set_blocking(heard, False)
        os.set_blocking(told, False)
        environ = os.environ | {"ESTAFETTE_RELAY_METRICS_PORT": "0", "ESTAFETTE_RELAY_SIGNING_PROCESSES": "0"}
        command = (sys.executable, "-m", "services.relay", "--alone", name, "--beat", str(told))
        try:
            child = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, pass_fds=(told,), env=environ
            )
        finally:
            os.close(told)
        self._log.warning("tries_alone", child=child.pid, relay=name)
        try:
            code = await self._ended(child, heard, stopping)
        finally:
            os.close(heard)  # cancelled: the child has been asked to end, and does
        LONERS.labels("done" if code == 0 else "died").inc()
        if code != 0:
            await self._died(name, code, stopping)
        else:
            self._back_off_s = LOOK_S

    async def _ended(self, child: asyncio.subprocess.Process, heard: int, stopping: asyncio.Event) -> int:
        """Its exit code. It is killed when it hangs, and asked to end when this relay shall; a relay that is in a hurry
        leaves it to its own end."""
        waiting = asyncio.create_task(child.wait())
        asked = False
        silent_s, patience_s = 0.0, self._hang_s + START_S
        hangups = self._hangups
        while not (await asyncio.wait([waiting], timeout=LOOK_S))[0]:
            if stopping.is_set() and not asked:
                asked = True  # once: a second signal is for those in a hurry
                child.terminate()
            try:
                beats = os.read(heard, 4096)
            except BlockingIOError:
                beats = b""
            silent_s, patience_s = (0.0, self._hang_s) if beats else (silent_s + LOOK_S, patience_s)
            if beats and hangups != self._hangups:
                hangups = self._hangups
                child.send_signal(signal.SIGHUP)
            if silent_s > patience_s:
                self._log.error("hangs", child=child.pid)
                child.kill()
        return waiting.result()

    async def _died(self, name: str, code: int, stopping: asyncio.Event) -> None:
        taken_over: list[TakenOver] = []
        for partition in range(self._partitions):
            with suppress(RedisAway):  # its lease will be over
                taken_over += await self._queues.died(partition, name)
        self._log.error("died_alone", relay=name, code=code, messages=len(taken_over))
        self._tell(taken_over)
        if taken_over:
            self._back_off_s = LOOK_S
        else:
            await pause(stopping, self._back_off_s)
            self._back_off_s = min(2 * self._back_off_s, LONGEST_BACK_OFF_S)
