"""A real zone on a real DNS server: Debian's nsd, on a free port of 127.0.0.1, authoritative for the zone and no more.

As in a test:

    with zone.serving("test", ["peer.test. MX 10 mx1.peer.test.", "mx1.peer.test. A 127.0.0.25"]) as served:
        served.address                  # "127.0.0.1:13042", as ESTAFETTE_DNS_SERVERS takes it
        served.add_txt("s1._domainkey.exemple.test", "v=DKIM1; …")      # answered when this returns
        served.txt("s1._domainkey.exemple.test")                        # asked of the server
        served.unbound_conf                 # the zone, for programs that resolve with unbound
"""

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dns.exception
import dns.resolver

from tests.servers import free_port, need, stop

START_SECONDS = 30.0
#: A server that is starting is asked often: over UDP it does not say that it is not there yet.
GLANCE_SECONDS = 0.2
#: A character-string of a TXT record holds as much (RFC 1035 section 3.3).
_TXT_CHARS = 255

_NSD_CONF = """\
server:
    ip-address: 127.0.0.1
    port: {port}
    username: ""
    chroot: ""
    zonesdir: "{directory}"
    pidfile: "{directory}/nsd.pid"
    database: ""
    xfrdfile: "{directory}/xfrd.state"
    zonelistfile: "{directory}/zone.list"
    xfrdir: "{directory}"
    logfile: "{directory}/nsd.log"
    server-count: 1
remote-control:
    control-enable: no
zone:
    name: "{name}"
    zonefile: "zone"
"""

# unbound answers for `test.` itself unless told otherwise, and asks nobody on loopback (RFC 6761 section 6.2).
_UNBOUND_CONF = """\
server:
    do-not-query-localhost: no
    do-ip6: no
    module-config: "iterator"
    local-zone: "{name}." nodefault
stub-zone:
    name: "{name}."
    stub-addr: 127.0.0.1@{port}
"""


class Zone:
    """One zone in `directory`, `records` in the form of a zone file without TTL and class."""

    def __init__(self, directory: Path, name: str, records: Sequence[str]) -> None:
        self._program = need("nsd")
        self._directory = directory
        self.name = name
        self._records = list(records)
        self.serial = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def unbound_conf(self) -> Path:
        return self._directory / "unbound.conf"

    def start(self) -> None:
        """Returns when it answers."""
        values = {"directory": self._directory, "name": self.name, "port": self.port}
        conf = self._directory / "nsd.conf"
        conf.write_text(_NSD_CONF.format(**values))
        self.unbound_conf.write_text(_UNBOUND_CONF.format(**values))
        self._write()
        # In the foreground, so that it is ours to stop.
        self._process = subprocess.Popen([self._program, "-d", "-c", str(conf)], stdin=subprocess.DEVNULL)
        self._answers()

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)

    def add(self, *records: str) -> None:
        """Publishes more records. Returns when they are answered."""
        self._records += records
        self._publish()

    def add_txt(self, name: str, value: str) -> None:
        parts = [value[at : at + _TXT_CHARS] for at in range(0, len(value), _TXT_CHARS)]
        quoted = " ".join('"' + re.sub(r'(["\\])', r"\\\1", part) + '"' for part in parts)
        self.add(f"{name.rstrip('.')}. TXT {quoted}")

    def _publish(self) -> None:
        assert self._process is not None
        self._write()
        self._process.send_signal(signal.SIGHUP)
        self._answers()

    def txt(self, name: str) -> str:
        """The TXT record of that name, its character-strings put together; "" if there is none."""
        rows = self._ask(name, "TXT")
        return b"".join(rows[0].strings).decode() if rows else ""

    def _write(self) -> None:
        self.serial += 1
        lines = [
            f"@ SOA ns.{self.name}. hostmaster.{self.name}. {self.serial} 3600 600 86400 5",
            f"@ NS ns.{self.name}.",
        ]
        lines += [f"ns.{self.name}. A 127.0.0.1", *self._records]
        new = self._directory / "zone.new"
        new.write_text(self._finished("\n".join([f"$ORIGIN {self.name}.", "$TTL 5", *lines, ""])))
        new.rename(self._directory / "zone")

    def _finished(self, text: str) -> str:
        """The zone file as it is served."""
        return text

    def _answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self._is_served():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nsd does not answer: {(self._directory / 'nsd.log').read_text()[-2000:]}")
            time.sleep(0.02)

    def _is_served(self) -> bool:
        try:
            return any(row.serial == self.serial for row in self._ask(f"{self.name}.", "SOA", GLANCE_SECONDS))
        except (dns.exception.DNSException, OSError):
            return False

    def _ask(self, name: str, record_type: str, patience_s: float = 10.0) -> list[Any]:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], self.port, patience_s
        try:
            return list(resolver.resolve(name.rstrip(".") + ".", record_type))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []


@contextmanager
def serving(name: str, records: Sequence[str]) -> Iterator[Zone]:
    with TemporaryDirectory(prefix="estafette-zone-") as directory:
        zone = Zone(Path(directory), name, records)
        try:
            zone.start()
            yield zone
        finally:
            zone.stop()
