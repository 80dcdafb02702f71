"""A child process as its parent has it: what is asked goes to its stdin, what it answers comes from its stdout.

Each way frames (`shared.process.frames`). Who uses it says what an answer means, and what becomes of what was asked
when the child is gone; so a question is never left waiting for an answer that nobody will give.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from shared.process.frames import Broken, Frames

#: How long an end is waited for; first of its own accord, then of a kill.
CLOSE_S = 2.0


class Child(asyncio.SubprocessProtocol):
    """`ended` is done when nothing more can come of it. `heard_at` is when it said something last."""

    def __init__(self, monotonic: Callable[[], float], most_answer_bytes: int) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_gone = False
        self.heard_at = 0.0
        self._monotonic = monotonic
        self._frames = Frames(most_answer_bytes)

    # Of whoever uses it

    def answered(self, body: bytes) -> None:
        """One answer."""
        raise NotImplementedError

    def all_answered(self) -> None:
        """All answers that came at once."""
        raise NotImplementedError

    def lost(self) -> None:
        """It will answer nothing more. Called once."""
        raise NotImplementedError

    # What can be done with it

    @property
    def code(self) -> int | None:
        """Its exit code, once it has one."""
        return self._transport.get_returncode()

    def write(self, frames: bytes) -> None:
        cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0)).write(frames)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._transport.kill()

    async def close(self, *, kill: bool = False) -> None:
        """It has ended when this returns: of its own accord where it ends with its stdin, and else, or with `kill`, at
        once, because it is killed."""
        self._lose()
        if not kill:
            if (stdin := self._transport.get_pipe_transport(0)) is not None:
                stdin.close()
            await asyncio.wait((self.ended,), timeout=CLOSE_S)
        if not self.ended.done():
            self.kill()
            await asyncio.wait((self.ended,), timeout=CLOSE_S)
        self._transport.close()

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, _fd: int, data: bytes) -> None:
        if self.is_gone:
            return
        self.heard_at = self._monotonic()
        try:
            for body in self._frames.feed(data):
                self.answered(body)
        except Broken:
            self.kill()
            return
        self.all_answered()

    def pipe_connection_lost(self, _fd: int, _exc: Exception | None) -> None:
        self._lose()

    def process_exited(self) -> None:
        self._lose()
        if not self.ended.done():
            self.ended.set_result(None)

    def _lose(self) -> None:
        if not self.is_gone:
            self.is_gone = True
            self.lost()
