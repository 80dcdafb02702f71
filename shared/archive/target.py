"""Where files of the archive are: a folder, or a prefix of an S3-compatible store.

A file is there whole or not at all. In a folder it is written under another name, brought to the disk, and renamed, and
then the folder is brought to the disk as well. A store shows an object once all of it was put.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from shared.archive.names import STATISTICS
from shared.words.errors import OperatorFault

#: In a folder: files that are not whole yet. What a dead process left there is removed when the next one starts.
INCOMING = "_incoming"


class NoTarget(OperatorFault):
    """`archive.target` is nothing that can be written to."""


class Stored(NamedTuple):
    """A file: its path below the target, its size, and when it was written (ms)."""

    path: str
    size_bytes: int
    written_ms: int

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Target:
    """Every method blocks, and raises OSError when the disk is full, the store away, or a file not there."""

    def __init__(self, files: Any, base: str) -> None:
        self.files = fs.SubTreeFileSystem(base, files)

    def put(self, path: str, whole: Any) -> None:
        """Writes or replaces a file with these bytes (a buffer)."""
        raise NotImplementedError

    def scratch(self) -> Path:
        """A new name for a local file which `move` takes."""
        raise NotImplementedError

    def move(self, scratch: Path, path: str) -> None:
        """Writes or replaces a file with a local one, which is gone then."""
        raise NotImplementedError

    def stored(self, folder: str = "") -> list[Stored]:
        """All files below a folder, by path; none where there is no such folder."""
        found = self.files.get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=True))
        return sorted(
            Stored(one.path, one.size, (one.mtime_ns or 0) // 1_000_000)
            for one in found
            if one.type == fs.FileType.File and one.path.endswith(".parquet")
        )

    def folders(self, folder: str = "") -> list[str]:
        """The paths of the folders in one that have events."""
        found = self.files.get_file_info(fs.FileSelector(folder, allow_not_found=True))
        return sorted(
            one.path
            for one in found
            if one.type == fs.FileType.Directory and one.base_name not in (INCOMING, STATISTICS)
        )

    def whole(self, path: str) -> Any:
        """The bytes of a file as they are at one moment, whoever replaces it meanwhile."""
        with self.files.open_input_stream(path, compression=None) as source:
            return source.read_buffer()

    def open(self, path: str) -> Any:
        """A file to be read at random."""
        return self.files.open_input_file(path)

    def delete(self, path: str) -> None:
        """Of what is not there it says nothing."""
        with suppress(FileNotFoundError):
            self.files.delete_file(path)

    def delete_folder(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self.files.delete_dir(path)


class Folder(Target):
    """`is_read`: by who only searches it, and makes nothing there."""

    def __init__(self, folder: Path, is_read: bool = False) -> None:
        self._folder = folder.resolve()
        if not is_read:
            (self._folder / INCOMING).mkdir(parents=True, exist_ok=True)
        elif not self._folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}")
        super().__init__(fs.LocalFileSystem(), str(self._folder))

    def clear(self) -> None:
        """Removes what dead processes began. Only for who holds the lease."""
        for left in (self._folder / INCOMING).iterdir():
            left.unlink(missing_ok=True)

    def scratch(self) -> Path:
        return self._folder / INCOMING / secrets.token_hex(8)

    def put(self, path: str, whole: Any) -> None:
        scratch = self.scratch()
        try:
            with scratch.open("wb") as file:
                file.write(whole)
            self.move(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)

    def move(self, scratch: Path, path: str) -> None:
        _sync(scratch)
        place = self._folder / path
        made = [one for one in place.parents if not one.exists()]
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch.rename(place)
        for folder in (place.parent, *(one.parent for one in made)):
            _sync(folder)


class Store(Target):
    def __init__(self, bucket: str, scratch: Path, endpoint: str, region: str) -> None:
        options: dict[str, Any] = {"region": region} if region else {}
        if endpoint:
            parts = urlsplit(endpoint)
            options |= {"endpoint_override": parts.netloc, "scheme": parts.scheme}
        files = fs.S3FileSystem(connect_timeout=5, request_timeout=30, background_writes=False, **options)
        super().__init__(files, bucket)
        self._scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        for left in self._scratch.iterdir():
            left.unlink(missing_ok=True)

    def scratch(self) -> Path:
        return self._scratch / secrets.token_hex(8)

    def whole(self, path: str) -> Any:
        # The store tells a file's size and then its bytes: those of another, if it was replaced in between.
        while True:
            before = self._stamp(path)
            found = super().whole(path)
            if self._stamp(path) == before:
                return found

    def _stamp(self, path: str) -> tuple[int | None, int | None]:
        info = self.files.get_file_info(path)
        return info.size, info.mtime_ns

    def put(self, path: str, whole: Any) -> None:
        # In one piece: a stream that is closed after a half of it would be an object of a half.
        stream = self.files.open_output_stream(path)
        stream.write(whole)
        stream.close()

    def move(self, scratch: Path, path: str) -> None:
        with pa.memory_map(str(scratch)) as file:
            self.put(path, file.read_buffer())
        scratch.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def searched(target: str, scratch: Path, endpoint: str = "", region: str = "") -> Target:
    """That target, for who only reads it. OSError, NoTarget."""
    if "://" not in target:
        return Folder(Path(target), is_read=True)
    store = opened(target, scratch, endpoint, region)
    bucket = store.files.base_path.partition("/")[0]
    if store.files.base_fs.get_file_info(bucket).type == fs.FileType.NotFound:
        raise FileNotFoundError(f"there is no bucket {bucket}")
    return store


def opened(target: str, scratch: Path, endpoint: str = "", region: str = "") -> Folder | Store:
    """What `archive.target` names; `scratch`: a local folder for files on their way into a store. NoTarget."""
    if target.startswith("s3://"):
        bucket = target.removeprefix("s3://").strip("/")
        if not bucket:
            raise NoTarget(f"archive.target: {target} names no bucket")
        return Store(bucket, scratch, endpoint, region)
    if "://" in target:
        raise NoTarget(f"archive.target: a folder, or s3://bucket/prefix, not {target.partition('://')[0]}://")
    try:
        return Folder(Path(target))
    except OSError as fault:
        raise NoTarget(f"archive.target: {fault}") from None
