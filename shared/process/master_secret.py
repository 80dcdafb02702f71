"""The master secret: 32 random bytes, from which the keys are derived that sign links and addresses and encrypt DKIM
keys; and the former ones, still honoured.

It is kept in `secret.key_file` as hex, or in `<data.dir>/secret.key`, which the first process to start makes. A file
that is named in the settings is never made: on a second machine that would be another secret, and every link of
the first one's mails would break.

A file that others of the machine can read, or that anybody but its owner can write, is refused: who has it can sign
links and open the DKIM keys. Its group may read it, for so a pod gets a secret (`defaultMode: 0440` and `fsGroup`).
Kubernetes mounts secrets with mode 0644 unless told otherwise, in a volume that one pod's containers alone see, and
where a mode protects nothing; such a volume is known by its layout, and its files are taken.
"""

import hmac
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import Gauge

from shared.process.settings import Settings
from shared.words.errors import OperatorFault

SINCE = Gauge("estafette_secret_since_timestamp_seconds", "When the file of the master secret was written")

SECRET_BYTES = 32
#: More is not a secret of ours; a file may be anything, a device too.
MAX_FILE_BYTES = 4096


class NoSecret(OperatorFault):
    """The file is missing or holds no secret. The message names the file, never its content."""


@dataclass(frozen=True)
class MasterSecret:
    """`current` signs; what `previous` signed (the latest first) is still read. Neither is in the repr."""

    current: bytes = field(repr=False)
    previous: tuple[bytes, ...] = field(default=(), repr=False)

    def derive(self, purpose: bytes) -> list[bytes]:
        """The keys of that purpose, 32 bytes each, the current one first: they lead neither to the secret nor to the
        keys of another purpose."""
        return [hmac.digest(master, purpose, "sha256") for master in (self.current, *self.previous)]


def load(settings: Settings, *, make: bool = True) -> MasterSecret:
    """The secrets that the settings name; NoSecret if one of them cannot be read. Who does not run an instance (the
    console) makes none: DKIM keys that it encrypted under a secret of its own would be lost to the relays."""
    if make and not settings.secret.key_file:
        _make_once(settings.secret_file)
    current = _read(settings.secret_file)
    with suppress(OSError):
        SINCE.set(settings.secret_file.stat().st_mtime)
    return MasterSecret(current, tuple(map(_read, settings.previous_secret_files)))


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            _check_mode(file, os.fstat(opened.fileno()).st_mode)
            secret = bytes.fromhex(opened.read(MAX_FILE_BYTES).decode("ascii").strip())
    except OSError as error:
        raise NoSecret(f"{file}: {error.strerror}") from None
    except ValueError:
        raise NoSecret(f"{file}: not a secret in hex") from None
    if len(secret) < SECRET_BYTES:
        raise NoSecret(f"{file}: shorter than {SECRET_BYTES} bytes")
    return secret


def _check_mode(file: Path, mode: int) -> None:
    """NoSecret if it is not a secret any more."""
    if not stat.S_ISREG(mode):
        raise NoSecret(f"{file}: no file")
    shown = f"{file} (mode {stat.S_IMODE(mode):04o})"
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NoSecret(f"{shown}: others can write it: chmod 600, and see whether it is still yours")
    if mode & stat.S_IRWXO and not _is_in_secret_volume(file):
        raise NoSecret(f"{shown}: others can read it: chmod 600 (640 for a group; in a pod defaultMode: 0440, fsGroup)")


def _is_in_secret_volume(file: Path) -> bool:
    """Where kubelet has written it: `..data` beside it is a link to a directory of a time, in which the file is."""
    current = file.parent / "..data"
    return current.is_symlink() and file.is_symlink() and file.resolve().is_relative_to(current.resolve())


def _make_once(file: Path) -> None:
    """Of processes that start together the first one's stays (link never replaces), and it appears whole."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=".secret-")  # mode 600
    try:
        with os.fdopen(descriptor, "w") as out:
            out.write(secrets.token_hex(SECRET_BYTES) + "\n")
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            return
        directory = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        Path(draft).unlink()
