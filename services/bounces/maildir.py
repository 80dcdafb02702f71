"""A Maildir in which mail is dropped: each file of `new` is read, and taken away once it is stored.

    new/<name> ── locked, read, facts stored or mail kept ──→ removed, or cur/<name>:2,S
         ╰──────── no mail, too large, a fault of ours ─────→ bad/<name>, for somebody to look at

A file is locked (flock) while it is read, so that any number of processes may share one Maildir, and a process that
dies lets go of its files. Between the facts and the removal nothing is lost: the same mail again is the same events.
While Redis is away all stays where it is.

Whoever drops a file there writes it in `tmp` and moves it, whole, as every Maildir asks (https://cr.yp.to/proto/maildir.html).
A mail in a Maildir has the line ends of files; it is read with those of mail, so that it is the same mail by every way.
"""

import asyncio
import errno
import fcntl
import os
import stat
from enum import Enum
from pathlib import Path

from prometheus_client import Counter, Gauge

from services.bounces import envelope, ways
from services.bounces.bounces import Received
from services.bounces.ways import Bounces
from shared.process import logs
from shared.process.lifecycle import pause
from shared.words.errors import OperatorFault

WAITING = Gauge("estafette_bounces_maildir_waiting", "Files in the Maildir when it was looked at last; up to 1,000")
BAD = Counter(
    "estafette_bounces_maildir_bad_total", "Files of the Maildir that were put aside, by the reason", ["reason"]
)
UNREADABLE = Gauge("estafette_bounces_maildir_unreadable", "1: the Maildir cannot be read, or not be changed")

#: Between two looks at a folder in which there was nothing.
LOOK_S = 1.0
#: After a look at which nothing could be stored.
AWAY_S = 5.0
#: Files of one look; a folder may have a million.
FILES_AT_A_LOOK = 1_000
#: Mails under way together. Their bytes are in memory.
AT_A_TIME = 8

#: What opening a file says of that file alone: a link, closed to us, a socket.
_NOT_TO_BE_READ = (errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO)

_log = logs.get_logger()


class _End(Enum):
    """What became of a file."""

    DONE = "done"
    #: Another process has it, or had it.
    ANOTHERS = "another's"
    #: It stays where it is, to be tried again.
    LATER = "later"


class _Bad(Exception):
    """The file is no mail for us; the reason in one word."""


class Maildir:
    """`keep`: what is stored goes to `cur` and is not removed. OperatorFault if there can be no Maildir."""

    def __init__(self, bounces: Bounces, folder: Path, *, max_mail_bytes: int, keep: bool = False) -> None:
        self._bounces = bounces
        self._folder = folder
        self._max_mail_bytes = max_mail_bytes
        self._keep = keep
        self._is_unreadable = False
        try:
            for name in ("tmp", "new", "cur", "bad"):
                (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OperatorFault(f"bounces.maildir: {folder}: {(error.strerror or str(error)).lower()}") from None

    async def run(self, stopping: asyncio.Event) -> None:
        """Until the process shall stop: then what is under way ends, and no more is begun."""
        while not stopping.is_set():
            await pause(stopping, await self.look(stopping))

    async def look(self, stopping: asyncio.Event) -> float:
        """Takes what lies there now, and says for how many seconds to wait."""
        try:
            names = await asyncio.to_thread(self._names)
        except OSError as error:
            self._unreadable(error)
            return AWAY_S
        WAITING.set(len(names))
        waiting = iter(names)
        ends: list[_End] = []

        async def take_on() -> None:
            for name in waiting:
                if stopping.is_set() or _End.LATER in ends:
                    return
                ends.append(await self._take(name))

        await asyncio.gather(*(take_on() for _ in range(AT_A_TIME)))
        if _End.LATER in ends:
            return AWAY_S
        self._readable()
        return 0.0 if _End.DONE in ends and len(names) == FILES_AT_A_LOOK else LOOK_S

    def _names(self) -> list[str]:
        """Some of what lies there. A name with a dot in front is nobody's mail yet."""
        names = []
        with os.scandir(self._folder / "new") as found:
            for one in found:
                if not one.name.startswith("."):
                    names.append(one.name)
                if len(names) == FILES_AT_A_LOOK:
                    break
        return sorted(names)  # by the time of arrival, as Maildir names begin with it

    async def _take(self, name: str) -> _End:
        descriptor: int | None = None
        try:
            try:
                descriptor = _locked(self._folder / "new" / name)
                if descriptor is None:
                    return _End.ANOTHERS
                raw = await asyncio.to_thread(_read, descriptor, self._max_mail_bytes)
                taken = await ways.take(self._bounces, self._received(raw), "maildir")
                if taken.outcome == "deferred":
                    return _End.LATER
                if taken.outcome == "failed":
                    raise _Bad("failed")
            except _Bad as bad:
                self._put_aside(name, str(bad))
            else:
                self._put_away(name)
            return _End.DONE
        except OSError as error:
            self._unreadable(error)
            return _End.LATER
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _received(self, raw: bytes) -> Received:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        header = envelope.fields(raw)
        return Received(envelope.sender(header), envelope.recipients(header, self._bounces.accepts), raw)

    def _put_away(self, name: str) -> None:
        if self._keep:
            (self._folder / "new" / name).rename(self._folder / "cur" / f"{name.partition(':')[0]}:2,S")
        else:
            (self._folder / "new" / name).unlink()

    def _put_aside(self, name: str, reason: str) -> None:
        (self._folder / "new" / name).rename(self._folder / "bad" / name)
        BAD.labels(reason).inc()
        _log.warning("file_put_aside", file=name, reason=reason)

    def _unreadable(self, error: OSError) -> None:
        UNREADABLE.set(1)
        if not self._is_unreadable:
            _log.error("maildir_unreadable", why=str(error))
        self._is_unreadable = True

    def _readable(self) -> None:
        UNREADABLE.set(0)
        self._is_unreadable = False


def _locked(file: Path) -> int | None:
    """The open file, ours until it is closed; None if it is another process's, or gone. _Bad if nobody can read it."""
    try:
        # Neither what a link names, nor a wait for who writes into a pipe.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _NOT_TO_BE_READ:
            raise _Bad("unreadable") from None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking another one may have been done with it.
        if os.path.samestat(os.fstat(descriptor), file.lstat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _read(descriptor: int, max_bytes: int) -> bytes:
    """_Bad if it is no file, or too large."""
    known = os.fstat(descriptor)
    if not stat.S_ISREG(known.st_mode):
        raise _Bad("no_file")
    if known.st_size > max_bytes:
        raise _Bad("too_large")
    if not known.st_size:
        raise _Bad("empty")
    pieces = []
    while piece := os.read(descriptor, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)
