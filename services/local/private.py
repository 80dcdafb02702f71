"""The data directory is ours alone: keys and everybody's addresses are in there, so nobody else of this machine reads
it, writes it, or has left something in it that we would follow.

What is too open is closed; what somebody else made, or could exchange, is refused with words. Only what an instance
itself keeps is looked at inside: a directory may hold other things of its owner.
"""

import fnmatch
import os
import stat
from collections.abc import Callable
from pathlib import Path

#: What an instance keeps (`services/local/run.py`, Redis), by pattern; the second are directories, with all that is in
#: them.
FILES = ("lock", "*.url", "*.key", ".secret-*", "*.rdb", "*.aof")
FOLDERS = ("logs", "spool", "appendonlydir")
OTHERS = 0o077
#: Whether a mode is of the kind that is wanted, and what that is called.
Kind = tuple[Callable[[int], bool], str]


class NotPrivate(Exception):
    """It was left as it is. The message says what to do."""


def own(directory: Path, uid: int | None = None) -> None:
    """Makes it, or takes it over if it belongs to this user (`uid`) and nobody else can exchange it. NotPrivate;
    OSError where the system refuses."""
    me = os.getuid() if uid is None else uid
    if directory.is_symlink():
        _check_link(directory, me)
    elif not directory.exists():
        directory.mkdir(parents=True, mode=0o700)
    opened = _open_directory(directory)
    try:
        found = os.fstat(opened)
        if found.st_uid != me:
            raise NotPrivate(f"{directory} belongs to another user (uid {found.st_uid}): name a directory of your own")
        _close_to_others(opened, directory)
        for name in _names(opened):
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in FILES):
                _own_entry(opened, name, directory / name, me, (stat.S_ISREG, "file"))
            elif name in FOLDERS:
                _own_entry(opened, name, directory / name, me, (stat.S_ISDIR, "directory"))
    finally:
        os.close(opened)


def _check_link(link: Path, me: int) -> None:
    """A link is followed if nobody else can make it lead elsewhere."""
    found, parent = link.lstat(), link.absolute().parent.stat()
    if found.st_uid not in (me, 0):
        raise NotPrivate(f"{link} is a link that another user made (uid {found.st_uid}): name where it leads to")
    if parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX:
        raise NotPrivate(f"{link} is a link that others can exchange: name where it leads to")
    if not link.exists():
        raise NotPrivate(f"{link} is a link that leads nowhere: make what it names, or remove it")


def _open_directory(directory: Path) -> int:
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError:
        raise NotPrivate(f"{directory} is no directory: name another, or move it away") from None


def _close_to_others(opened: int, path: Path) -> None:
    if stat.S_IMODE(os.fstat(opened).st_mode) & OTHERS:
        os.fchmod(opened, stat.S_IMODE(os.fstat(opened).st_mode) & 0o700)
    if stat.S_IMODE(os.fstat(opened).st_mode) & OTHERS:  # some file systems keep no modes
        raise NotPrivate(f"{path} can be read by others, and its file system changes no modes: name another place")


def _own_entry(folder: int, name: str, path: Path, me: int, kind: Kind) -> None:
    """One entry of an opened folder, and what is below it. Nothing is followed and nothing is opened twice by name, so
    it cannot be exchanged between the look and the change. What goes meanwhile (a running instance) is gone."""
    is_right, word = kind
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if found.st_uid != me:
        raise NotPrivate(f"{path} belongs to another user (uid {found.st_uid}): remove it, or name another directory")
    if stat.S_ISLNK(found.st_mode):
        raise NotPrivate(f"{path} is a link, and what we keep would go elsewhere: remove it")
    if not is_right(found.st_mode):
        raise NotPrivate(f"{path} is no {word}: remove it, or name another directory")
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return
    except PermissionError:
        raise NotPrivate(f"{path} cannot be read, not even by its owner: chmod u+rw, or remove it") from None
    try:
        _close_to_others(opened, path)
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            for below in _names(opened):
                _own_entry(opened, below, path / below, me, (_is_file_or_folder, "file"))
    finally:
        os.close(opened)


def _is_file_or_folder(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _names(opened: int) -> list[str]:
    return sorted(os.listdir(opened))
