"""The master secret: 32 random bytes, from which the keys are derived that sign links and addresses and encrypt DKIM
keys; and the former ones, still honoured.

It is kept in `secret.key_file` as hex, or in `<data.dir>/secret.key`, which the first process to start makes. A file
that is named in the settings is never made: on a second machine that would be another secret, and every link of
the first one's mails would break.
"""

import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from shared.settings import Settings

SECRET_BYTES = 32


class NoSecret(Exception):
    """The file is missing or holds no secret. The message names the file, never its content."""


@dataclass(frozen=True)
class MasterSecret:
    """`current` signs; what `previous` signed (the latest first) is still read. Neither is in the repr."""

    current: bytes = field(repr=False)
    previous: tuple[bytes, ...] = field(default=(), repr=False)


def load(settings: Settings, *, make: bool = True) -> MasterSecret:
    """The secrets that the settings name; NoSecret if one of them cannot be read. Who does not run an instance (the
    console) makes none: DKIM keys that it encrypted under a secret of its own would be lost to the relays."""
    if make and not settings.secret.key_file:
        _make_once(settings.secret_file)
    return MasterSecret(_read(settings.secret_file), tuple(map(_read, settings.previous_secret_files)))


def _read(file: Path) -> bytes:
    try:
        secret = bytes.fromhex(file.read_text("ascii").strip())
    except OSError as error:
        raise NoSecret(f"{file}: {error.strerror}") from None
    except ValueError:
        raise NoSecret(f"{file}: not a secret in hex") from None
    if len(secret) < SECRET_BYTES:
        raise NoSecret(f"{file}: shorter than {SECRET_BYTES} bytes")
    return secret


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
