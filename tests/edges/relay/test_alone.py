"""A hangup reaches the child that tries messages alone once it listens, and not before: it would be its end."""

import asyncio
import os
import sys
from typing import Any, cast

import pytest

from services.relay import alone as module
from services.relay.alone import Alone

#: Beats after a while, and ends with code 7 at a hangup.
CHILD = """
import os, signal, sys, time
time.sleep(0.3)
signal.signal(signal.SIGHUP, lambda *_: os._exit(7))
while True:
    os.write(int(sys.argv[1]), b".")
    time.sleep(0.02)
"""


async def test_a_hangup_is_passed_on_to_the_child_after_its_first_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    alone = Alone("r1", 2, 1_000, 60.0, cast(Any, None), lambda taken_over: None, lambda: 0)
    heard, told = os.pipe()
    os.set_blocking(heard, False)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, str(told), pass_fds=(told,))
    os.close(told)
    ended = asyncio.create_task(alone._ended(child, heard, asyncio.Event()))

    await asyncio.sleep(0)
    alone.hang_up()
    async with asyncio.timeout(60):
        code = await ended

    os.close(heard)
    assert code == 7
