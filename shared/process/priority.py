"""Who gives way to whom where processors are busy."""

import os
from contextlib import suppress
from pathlib import Path

#: What Linux gives a session as a whole (sched(7), "The autogroup feature"): where that is on, a process' own number
#: counts within its session alone, and each of ours has one of its own.
_AUTOGROUP = Path("/proc/self/autogroup")


def give_way(by: int) -> None:
    """This process and its session take less where others want to run: by so much (nice's number) than its parent;
    by 0, as much less as its parent does, which a new session does not inherit."""
    level = os.nice(by)
    if level > 0:
        with suppress(OSError):
            _AUTOGROUP.write_text(str(level), "ascii")
