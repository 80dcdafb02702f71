"""With this folder on PYTHONPATH mails to some addresses are poison: making one kills the process that makes it
(`poison…@`), or holds it for ever (`hang…@`). What a fault in native code does, the same each time."""

import os
import signal
import time
from typing import Any

from services.relay.making import mails
from shared.words import events

_make = mails.Mails.make


async def _make_or_die(self: mails.Mails, ready: events.Ready, *, signed: bool = True) -> Any:
    if ready.email.startswith("poison"):
        os.kill(os.getpid(), signal.SIGKILL)
    if ready.email.startswith("hang"):
        time.sleep(10**6)  # noqa: ASYNC251 - that is the point: this loop does not turn any more
    return await _make(self, ready, signed=signed)


mails.Mails.make = _make_or_die  # type: ignore[method-assign]
