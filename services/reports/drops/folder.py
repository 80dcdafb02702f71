"""A folder of this machine as the place of a drop: below the tenant's own, and never beyond it.

Whoever may write into a tenant's folder could put a link there that leads out of it. So folders are opened one by one,
each inside of the one before, and none through a link.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from services.reports.drops.drop import Failed

T = TypeVar("T")
#: Whoever is of the group may read files, and take them.
_MODE, _FOLDER_MODE = 0o640, 0o770
_WHY = {
    errno.ENOSPC: "full", errno.EDQUOT: "full", errno.EFBIG: "full", errno.EROFS: "read_only", errno.EACCES: "refused",
    errno.EPERM: "refused", errno.EISDIR: "refused", errno.ENOENT: "no_folder", errno.ENOTDIR: "no_folder",
    errno.ELOOP: "no_folder",
}  # fmt: skip


@asynccontextmanager
async def opened(root: Path, parts: Sequence[str]) -> AsyncIterator["FolderPlace"]:
    """The folder at these steps below the root, which must be there; the others are made. Failed."""
    place = FolderPlace(await _in_thread(lambda: _opened(root, parts)))
    try:
        yield place
    finally:
        place.close()


class FolderPlace:
    """Every method raises Failed."""

    def __init__(self, folder: int) -> None:
        self._folder = folder

    async def has(self, name: str) -> bool:
        return await _in_thread(lambda: self._has(name))

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        """A file of that name, anew: whole and durable when it returns. How many bytes."""
        file = await _in_thread(lambda: self._created(name))
        written = 0
        try:
            try:
                async for piece in pieces:
                    await _in_thread(partial(_write, file, piece))
                    written += len(piece)
                await _in_thread(lambda: os.fsync(file))
            finally:
                os.close(file)
        except BaseException:
            # A half of a file on a full disk would keep it full.
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._folder)
            raise
        return written

    async def rename(self, name: str, to: str) -> None:
        """Over what is there under that name."""
        await _in_thread(lambda: self._rename(name, to))

    def close(self) -> None:
        os.close(self._folder)

    def _has(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _created(self, name: str) -> int:
        # Another file of that name: who had it open, and stood still meanwhile, writes into one that nobody sees.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._folder)
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _MODE, dir_fd=self._folder)
        os.fchmod(file, _MODE)
        return file

    def _rename(self, name: str, to: str) -> None:
        os.rename(name, to, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        os.fsync(self._folder)


def _opened(root: Path, parts: Sequence[str]) -> int:
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for part in parts:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=folder)
                os.chmod(part, _FOLDER_MODE, dir_fd=folder)
                os.fsync(folder)
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder


def _write(file: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(file, rest) :]


async def _in_thread(do: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(do)
    except OSError as fault:
        raise Failed(_WHY.get(fault.errno or 0, "error"), fault.strerror or type(fault).__name__) from None
