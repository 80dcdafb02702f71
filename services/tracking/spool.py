"""The spool: files of this process in a folder, to which batches go while Redis does not answer. Blocking; one thread.

    <folder>/lock                              held while somebody enters or looks round
    <folder>/tracking-<name>.lock              held as long as the process of that name lives
    <folder>/tracking-<name>.<number>.frames   `frames`, in the order of the numbers

Rules:

- `append` returns after fdatasync, of the folder too for a new file: what it took is there after a kill -9 and after a
  power cut.
- One file is being written; the others are sealed. Only sealed files are read, and only whole ones removed: a crash in
  the middle of reading one means that it is read again.
- A lock that can be taken is that of a dead process. Whoever enters, or looks round, takes it, and with it the files
  that it left: what one of several trackers leaves is not kept waiting until another one begins.
- A write that fails is cut off again and its file sealed. After a failed fsync nobody knows what the disk has
  (the kernel forgets the pages), so its file is sealed too and the frame counts as not written.
- All files of this process together, and those taken over, stay below `max_bytes`.
"""

import contextlib
import fcntl
import os
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Gauge

from services.tracking import frames

SPOOL_BYTES = Gauge("estafette_tracking_spool_bytes", "Size of the spool files that wait to be replayed")

#: Small enough to be read at once, and to be read twice after a crash; some thousand facts.
FILE_BYTES = 1024 * 1024
_FRAMES = re.compile(r"tracking-([0-9A-Za-z_]+)\.(\d+)\.frames")
_LOCK = re.compile(r"tracking-([0-9A-Za-z_]+)\.lock")


class SpoolRefused(Exception):
    """The frame is not in the spool: it is full, or the disk refuses."""


class Spool:
    """See the module. `name` is this process's own, never used before: letters and digits."""

    def __init__(self, folder: Path, name: str, max_bytes: int, file_bytes: int = FILE_BYTES) -> None:
        if not _LOCK.fullmatch(f"tracking-{name}.lock"):
            raise ValueError(f"not a name for a spool: {name!r:.40}")
        self._folder = folder
        self._name = name
        self._max_bytes = max_bytes
        self._file_bytes = file_bytes
        self._locks: dict[str, int] = {}
        self._sealed: deque[Path] = deque()
        self._sizes: dict[Path, int] = {}
        self._current: tuple[Path, int] | None = None
        self._number = 0

    def open(self) -> None:
        """Enters the folder and takes over what dead processes left there. OSError if that cannot be."""
        # Facts hold addresses on the network: nobody else's business.
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            mine = self._lock(self._name)
            if mine is None:
                raise FileExistsError(f"{self._folder}: another process is called {self._name}")
            self._locks[self._name] = mine
            self._take_over_all()
        self._measure()

    def look_round(self) -> bool:
        """Takes over what processes have left that died since; whether there was something."""
        if not self._names() - self._locks.keys():
            return False
        before = len(self._sealed)
        with self._alone():
            self._take_over_all()
        self._measure()
        return len(self._sealed) > before

    def close(self) -> None:
        """Leaves. What was not read stays, for the next process that enters."""
        self._seal()
        with self._alone():
            for name in list(self._locks):
                self._leave(name)

    def append(self, frame: bytes) -> None:
        """Returns when the frame is on the disk. SpoolRefused if it is not."""
        if self.size + len(frame) > self._max_bytes:
            raise SpoolRefused(f"the spool has {self.size} bytes, {self._max_bytes} is its limit")
        try:
            path, descriptor = self._current or self._begin()
        except OSError as fault:
            raise SpoolRefused(str(fault)) from fault
        before = self._sizes[path]
        try:
            _write(descriptor, frame)
            os.fdatasync(descriptor)
        except OSError as fault:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, before)
            self._seal()
            raise SpoolRefused(str(fault)) from fault
        self._sizes[path] = before + len(frame)
        self._measure()
        if self._sizes[path] >= self._file_bytes:
            self._seal()

    def oldest(self) -> Path | None:
        """The file to be replayed next, sealed; None if there is nothing."""
        if not self._sealed:
            self._seal()
        return self._sealed[0] if self._sealed else None

    def read(self, path: Path) -> frames.Reading:
        return frames.read(path.read_bytes())

    def remove(self, path: Path, *, keep_copy: bool) -> None:
        """What the file held is durable elsewhere. With `keep_copy` it stays under another name, for inspection."""
        if keep_copy:
            path.rename(path.with_suffix(".damaged"))
        else:
            path.unlink(missing_ok=True)
        self._sealed.remove(path)
        del self._sizes[path]
        self._measure()
        name = _owner(path)
        if name != self._name and not any(_owner(left) == name for left in self._sealed):
            self._leave(name)

    @property
    def size(self) -> int:
        return sum(self._sizes.values())

    # Files

    def _begin(self) -> tuple[Path, int]:
        path = self._folder / f"tracking-{self._name}.{self._number:08}.frames"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._number += 1
        try:
            _sync_folder(self._folder)
        except OSError:
            os.close(descriptor)
            raise
        self._current = path, descriptor
        self._sizes[path] = 0
        return self._current

    def _seal(self) -> None:
        if self._current is None:
            return
        path, descriptor = self._current
        self._current = None
        with contextlib.suppress(OSError):
            os.close(descriptor)
        if self._sizes[path]:
            self._sealed.append(path)
        else:
            del self._sizes[path]
            with contextlib.suppress(OSError):
                path.unlink()

    def _measure(self) -> None:
        SPOOL_BYTES.set(self.size)

    # Locks

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Between making a lock file and locking it nobody else may look: it would seem to be a dead process's."""
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _names(self) -> set[str]:
        found = (_LOCK.fullmatch(path.name) or _FRAMES.fullmatch(path.name) for path in self._folder.iterdir())
        return {match[1] for match in found if match}

    def _lock(self, name: str) -> int | None:
        descriptor = os.open(self._folder / f"tracking-{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

    def _take_over_all(self) -> None:
        for name in sorted(self._names() - self._locks.keys()):
            self._take_over(name)

    def _take_over(self, name: str) -> None:
        descriptor = self._lock(name)
        if descriptor is None:
            return
        self._locks[name] = descriptor
        for path in sorted(self._folder.glob(f"tracking-{name}.*.frames")):
            self._sealed.append(path)
            self._sizes[path] = path.stat().st_size
        if not any(_owner(path) == name for path in self._sealed):
            self._leave(name)

    def _leave(self, name: str) -> None:
        """Gives the lock back; its file goes too unless frames of that name remain, which another will take over."""
        descriptor = self._locks.pop(name)
        if not any(_owner(path) == name for path in self._sealed):
            (self._folder / f"tracking-{name}.lock").unlink(missing_ok=True)
        os.close(descriptor)


def _owner(path: Path) -> str:
    match = _FRAMES.fullmatch(path.name)
    return match[1] if match else ""


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
