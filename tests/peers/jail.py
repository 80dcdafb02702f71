"""A root directory of its own for a program that cannot be installed beside another: `chroot`, in a temporary folder.

Debian installs one mail host at a time. `.ci/setup peers` unpacks the others into `.peers`; a jail holds copies of
their files, the libraries that these ask for, and the users that they insist on, in an `/etc/passwd` of its own. So a
program finds what it was compiled to find (`/var/spool/smtpd`, the user `opensmtpd`), and the machine has none of it.

What runs in there has a process namespace of its own, which ends as a whole: with `stop`, and with the tests, however
they end. It shares the machine's network, and so loopback. Wants root.
"""

import os
import shutil
import smtplib
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tests.servers import missing, need

T = TypeVar("T")

UNPACKED = Path(__file__).resolve().parents[2] / ".peers"
#: Numbers that no system gives to anybody by itself (Debian policy 9.2.2: reserved).
FIRST_UID = 64_901
PATIENCE_SECONDS = 30.0
_DEVICES = {"null": (1, 3), "zero": (1, 5), "random": (1, 8), "urandom": (1, 9)}
#: Nobody is asked for the name of a client: what is not in here does not exist.
_ETC = {
    "hosts": "127.0.0.1 localhost\n",
    "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "shells": "/bin/sh\n",
    "services": "smtp 25/tcp\n",
}


class Jail:
    """`package` is in `.peers`; all its files are in the jail, beside `programs` of the machine (absolute paths).
    `users`: names of the users, each with a group of the same name, that there are besides root."""

    def __init__(self, package: str, users: Sequence[str], programs: Sequence[str] = ()) -> None:
        unpacked = UNPACKED / package
        # The first process of the namespace stays root: one that changes its user forgets whose death it dies of.
        self._wrap = [need("setpriv"), "--pdeathsig", "KILL", need("unshare"), "--pid", "--fork", "--kill-child"]
        self._wrap += ["sh", "-c", '"$@"; exit $?', "sh", need("chroot")]
        self._ldd = need("ldd")
        if not unpacked.exists():
            missing(f"{package}, which `.ci/setup peers` unpacks,")
        if os.geteuid() != 0:
            missing(f"root, which {package} wants,")
        self._uids = {name: FIRST_UID + number for number, name in enumerate(users)}
        self._process: subprocess.Popen[bytes] | None = None
        self.root = Path(tempfile.mkdtemp(prefix=f"estafette-{package}-"))
        self.root.chmod(0o755)
        self._furnish()
        self._copy(unpacked, programs)

    def start(self, *command: str) -> None:
        """Runs a program that stays in the foreground."""
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._wrap, str(self.root), *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                start_new_session=True,
            )  # fmt: skip

    def run(self, *command: str) -> str:
        """What a program prints, until it ends."""
        done = subprocess.run(
            [*self._wrap, str(self.root), *command], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        return (done.stdout + done.stderr).decode(errors="replace")

    def stop(self) -> None:
        """Returns when all that ran in there has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.root)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def path(self, inside: str) -> Path:
        return self.root / inside.lstrip("/")

    def write(self, inside: str, content: str | bytes, owner: str = "root", mode: int = 0o644) -> None:
        file = self.path(inside)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        self._give(file, owner, mode)

    def folder(self, inside: str, owner: str = "root", mode: int = 0o755, group: str = "") -> None:
        folder = self.path(inside)
        folder.mkdir(parents=True, exist_ok=True)
        self._give(folder, owner, mode, group)

    def log(self) -> str:
        """All that was said on the way, and what lies in /var/log."""
        files = [self.root / "log", *sorted(file for file in self.path("/var/log").rglob("*") if file.is_file())]
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')}" for file in files if file.exists())

    def until(self, call: Callable[[], T], patience_s: float = PATIENCE_SECONDS) -> T:
        """Asks until the answer is true, and returns it."""
        deadline = time.monotonic() + patience_s
        while not (found := call()):
            if not self.is_running or time.monotonic() > deadline:
                raise AssertionError(f"still {found!r}\n{self.log()[-8000:]}")
            time.sleep(0.05)
        return found

    def _furnish(self) -> None:
        passwd = ["root:x:0:0::/:/bin/sh", *(f"{name}:x:{uid}:{uid}::/:/bin/sh" for name, uid in self._uids.items())]
        group = ["root:x:0:", *(f"{name}:x:{uid}:" for name, uid in self._uids.items())]
        for name, text in {**_ETC, "passwd": _lines(passwd), "group": _lines(group)}.items():
            self.write(f"/etc/{name}", text)
        for folder in ("/dev", "/run", "/var/log", "/var/run", "/var/spool"):
            self.folder(folder)
        self.folder("/tmp", mode=0o1777)
        for name, (major, minor) in _DEVICES.items():
            device = self.path(f"/dev/{name}")
            os.mknod(device, stat.S_IFCHR, os.makedev(major, minor))
            device.chmod(0o666)

    def _copy(self, unpacked: Path, programs: Sequence[str]) -> None:
        for folder in ("etc", "lib", "usr/lib", "usr/libexec", "usr/bin", "usr/sbin"):
            if (unpacked / folder).exists():
                shutil.copytree(unpacked / folder, self.root / folder, symlinks=True, dirs_exist_ok=True)
        for program in programs:
            self._copy_file(Path(program))
        runnable = [file for file in self.root.rglob("*") if _is_program(file)]
        for library in sorted({library for file in runnable for library in self._libraries(file, unpacked)}):
            self._copy_file(library)

    def _copy_file(self, file: Path) -> None:
        inside = self.path(str(file))
        if not inside.exists():
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, inside)

    def _libraries(self, program: Path, unpacked: Path) -> list[Path]:
        """Those of the machine: its own came with the package."""
        own = sorted({str(file.parent) for file in unpacked.rglob("*.so*")})
        environ: Mapping[str, str] = {"LD_LIBRARY_PATH": ":".join(own)}
        told = subprocess.run(
            [self._ldd, str(program)], env=environ, capture_output=True, text=True, check=False
        ).stdout
        words = [word for line in told.splitlines() for word in line.split() if word.startswith("/")]
        return [Path(word) for word in words if not word.startswith(str(unpacked))]

    def _give(self, path: Path, owner: str, mode: int, group: str = "") -> None:
        uids = {"root": 0, **self._uids}
        os.chown(path, uids[owner], uids[group or owner])
        path.chmod(mode)


def _is_program(file: Path) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def greets(address: str, port: int) -> bool:
    try:
        with smtplib.SMTP(address, port, timeout=PATIENCE_SECONDS) as smtp:
            return smtp.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


def maildir(folder: Path) -> list[bytes]:
    """What lies in it, the oldest first. A file appears there whole."""
    new = folder / "new"
    files = sorted(new.iterdir(), key=lambda file: file.stat().st_mtime_ns) if new.exists() else []
    return [file.read_bytes() for file in files]
