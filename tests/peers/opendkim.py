"""A real opendkim: as a mail filter of Postfix it verifies what arrives, with keys it looks up, and writes its verdict
into the header `Authentication-Results` of what Postfix stores; in its test mode it verifies files. Debian's knows
Ed25519 (`opendkim -V` says so of 2.11)."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.mail import dkim_keys
from tests.servers import free_port, need, stop

START_SECONDS = 30.0
AUTHENTICATION_SERVER = "opendkim.peer.test"

# No mode, no key: it signs nothing. The resolver inside is unbound, which takes its servers from a file.
_CONF = """\
Mode v
Socket inet:{port}@127.0.0.1
AuthservID {server}
ResolverConfiguration {resolver}
Syslog no
Background no
AlwaysAddARHeader yes
# Else it would leave alone what comes from 127.0.0.1, which all mail of tests does.
InternalHosts 192.0.2.1
PeerList 192.0.2.1
"""


class OpenDkim:
    """`unbound_conf` says whom it asks for keys."""

    def __init__(self, directory: Path, unbound_conf: Path) -> None:
        self._program = need("opendkim")
        self._directory = directory
        self._unbound_conf = unbound_conf
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it listens."""
        conf = self._directory / "opendkim.conf"
        conf.write_text(
            _CONF.format(port=self.port, server=AUTHENTICATION_SERVER, resolver=self._unbound_conf.resolve())
        )
        self._process = subprocess.Popen([self._program, "-f", "-x", str(conf)], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("opendkim does not start")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)

    def _listens(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2):
                return True
        except OSError:
            return False


@contextmanager
def filtering(unbound_conf: Path) -> Iterator[OpenDkim]:
    with TemporaryDirectory(prefix="estafette-opendkim-") as directory:
        opendkim = OpenDkim(Path(directory), unbound_conf)
        try:
            opendkim.start()
            yield opendkim
        finally:
            opendkim.stop()


def verdicts(stored: bytes) -> list[str]:
    """What opendkim says of each signature of a stored mail: `pass (2048-bit key; …) header.d=…`, `fail reason=…`."""
    fields = message_from_bytes(stored).get_all("Authentication-Results", [])
    return in_results([field for field in fields if field.strip().startswith(AUTHENTICATION_SERVER)])


def in_results(fields: Sequence[str]) -> list[str]:
    """The verdicts on DKIM signatures in fields of Authentication-Results (RFC 8601)."""
    ours = " ".join(" ".join(field.split()) for field in fields)
    # A semicolon ends one, but for one in a comment.
    return [found.strip() for found in re.findall(r"\bdkim=((?:\([^)]*\)|[^;(])*)", ours)]


def tested(mails: Sequence[bytes], domain: str, pems: Mapping[str, str], directory: Path) -> list[list[str]]:
    """What opendkim says of each signature of each mail, one mail after the other in its test mode. There is neither a
    mail server nor DNS: the records of the keys, which come by selector, are in a file."""
    keys = directory / "keys"
    keys.write_text(
        "".join(f"{selector}._domainkey.{domain} {dkim_keys.record(pem)}\n" for selector, pem in pems.items())
    )
    conf = directory / "test.conf"
    conf.write_text(
        f"Mode v\nSyslog no\nAlwaysAddARHeader yes\nAuthservID {AUTHENTICATION_SERVER}\nTestPublicKeys {keys}\n"
    )
    files = [directory / f"{number}.eml" for number in range(len(mails))]
    for file, mail in zip(files, mails, strict=True):
        file.write_bytes(mail)
    printed = subprocess.run(
        [need("opendkim"), "-x", str(conf), "-vv", "-t", ",".join(map(str, files))],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,  # it says so, too, where a mail does not verify
    )
    fields = re.findall(r"hname='Authentication-Results' hvalue='([^']*)'", printed.stdout.decode("utf-8", "replace"))
    assert len(fields) == len(mails), printed.stdout[-2000:] + printed.stderr[-2000:]
    return [in_results([field]) for field in fields]
