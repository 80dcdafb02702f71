"""A signed zone on a real nsd, and a real unbound that validates it: what DANE stands on.

    with signed_zone.serving("signed.test", ["mx1.signed.test. A 127.0.0.25"], plain=("plain.test", [])) as served:
        served.resolver                     # "127.0.0.27:14042": answers, says AD where it validated, else SERVFAIL
        served.signed.add("signed.test. MX 10 mx1.signed.test.")
        served.publish_tlsa("mx1.signed.test", 25, certificate)     # answered when this returns
        served.forge("mx2.signed.test", "TLSA")                     # its signature is none any more

Keys and signatures are dnspython's (ECDSA P-256, NSEC), the opinion on them is unbound's. The zone's key is the trust
anchor, so nothing above it is asked; `plain` is a zone without signatures beside it.
"""

import hashlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import dns.dnssec
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.rdtypes.ANY.RRSIG import RRSIG

from tests.fakes.certificates import Issued
from tests.peers.zone import GLANCE_SECONDS, START_SECONDS, Zone
from tests.servers import free_port, need, stop

#: Not 127.0.0.1, where authoritative servers of tests are, so that a test sees whom it asked.
RESOLVER_ADDRESS = "127.0.0.27"
_SIGNED_FOR_S = 86_400
_HASHES: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: lambda part: hashlib.sha256(part).digest(),
    2: lambda part: hashlib.sha512(part).digest(),
}

# The zones are asked of their servers; about the rest of the world nobody is. Reloading (SIGHUP) empties the cache.
_UNBOUND_CONF = """\
server:
    interface: {address}@{port}
    access-control: 127.0.0.0/8 allow
    username: ""
    chroot: ""
    directory: "{directory}"
    pidfile: "{directory}/unbound.pid"
    logfile: "{directory}/unbound.log"
    use-syslog: no
    do-daemonize: no
    num-threads: 1
    do-ip6: no
    do-not-query-localhost: no
    module-config: "validator iterator"
    val-log-level: 2
    local-zone: "." refuse
{zones}
{anchors}
remote-control:
    control-enable: no
{stubs}
"""
_STUB = """\
stub-zone:
    name: "{name}."
    stub-addr: 127.0.0.1@{port}
"""


class SignedZone(Zone):
    """Signed anew whenever it is written. `forged`: (name, type) of records whose signatures are spoilt."""

    def __init__(self, directory: Path, name: str, records: Sequence[str]) -> None:
        super().__init__(directory, name, records)
        self._key = ec.generate_private_key(ec.SECP256R1())
        # One key for both purposes (RFC 4033 knows no other difference than the operator's): 257 is a key signing key.
        self._dnskey = dns.dnssec.make_dnskey(self._key.public_key(), "ECDSAP256SHA256", flags=257)
        self._forged: set[tuple[str, str]] = set()

    @property
    def trust_anchor(self) -> str:
        return f"{self.name}. IN DNSKEY {self._dnskey.to_text()}"

    def forge(self, name: str, record_type: str) -> None:
        self._forged.add((f"{name.rstrip('.')}.", record_type))
        self._publish()

    def _finished(self, text: str) -> str:
        zone = dns.zone.from_text(text, origin=f"{self.name}.", relativize=False)
        now = int(time.time())
        dns.dnssec.sign_zone(
            zone, keys=[(self._key, self._dnskey)], inception=now - 3600, expiration=now + _SIGNED_FOR_S
        )
        for name, record_type in self._forged:
            rdataset = zone.find_rdataset(name, "RRSIG", covers=record_type)
            for signature in list(rdataset):
                assert isinstance(signature, RRSIG)
                rdataset.remove(signature)  # type: ignore[no-untyped-call] # dnspython's
                spoilt = bytes([signature.signature[0] ^ 1]) + signature.signature[1:]
                rdataset.add(signature.replace(signature=spoilt))
        return zone.to_text(relativize=False) + "\n"


class Unbound:
    """A resolver that knows the zones of tests and nothing else, and validates what an anchor makes it validate."""

    def __init__(self, directory: Path, zones: Sequence[Zone]) -> None:
        self._program = need("unbound")
        self._directory = directory
        self._zones = zones
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def address(self) -> str:
        return f"{RESOLVER_ADDRESS}:{self.port}"

    def start(self) -> None:
        """Returns when it answers."""
        anchors = [zone.trust_anchor for zone in self._zones if isinstance(zone, SignedZone)]
        names = [zone.name for zone in self._zones]
        conf = self._directory / "unbound.conf"
        conf.write_text(
            _UNBOUND_CONF.format(
                address=RESOLVER_ADDRESS,
                port=self.port,
                directory=self._directory,
                zones="\n".join(f'    local-zone: "{name}." transparent' for name in names),
                anchors="\n".join(f'    trust-anchor: "{anchor}"' for anchor in anchors),
                stubs="\n".join(_STUB.format(name=zone.name, port=zone.port) for zone in self._zones),
            )
        )
        self._process = subprocess.Popen([self._program, "-d", "-p", "-c", str(conf)], stdin=subprocess.DEVNULL)
        self._answers()

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)

    def forget(self) -> None:
        """Empties its cache. Returns when it answers again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)
        self._answers()

    def ask(self, name: str, record_type: str, patience_s: float = 15.0) -> dns.message.Message:
        """What it answers to a client that wants to know whether it validated."""
        question = dns.message.make_query(name, record_type, use_edns=True, want_dnssec=True)
        question.flags |= dns.flags.AD
        return dns.query.udp(question, RESOLVER_ADDRESS, port=self.port, timeout=patience_s)

    def log(self) -> str:
        file = self._directory / "unbound.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self._is_answering():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"unbound does not answer: {self.log()[-2000:]}")
            time.sleep(0.02)

    def _is_answering(self) -> bool:
        try:
            return all(self._serial(zone) == zone.serial for zone in self._zones)
        except (dns.exception.DNSException, OSError):
            return False

    def _serial(self, zone: Zone) -> int:
        answer = self.ask(f"{zone.name}.", "SOA", GLANCE_SECONDS)
        return next((row.serial for rrset in answer.answer for row in rrset if row.rdtype == dns.rdatatype.SOA), 0)


class Served:
    """Both zones and the resolver. What is published here is answered by the resolver when the call returns."""

    def __init__(self, signed: SignedZone, plain: Zone | None, unbound: Unbound) -> None:
        self.signed = signed
        self.plain = plain
        self.unbound = unbound

    @property
    def resolver(self) -> str:
        """As ESTAFETTE_DNS_SERVERS takes it."""
        return self.unbound.address

    def publish(self, *records: str) -> None:
        """In the signed zone, in the form of a zone file without TTL and class."""
        self.signed.add(*records)
        self.unbound.forget()

    def publish_plain(self, *records: str) -> None:
        assert self.plain is not None
        self.plain.add(*records)
        self.unbound.forget()

    def publish_tlsa(
        self, host: str, port: int, certificate: Issued, usage: int = 3, selector: int = 1, matching: int = 1
    ) -> None:
        """A TLSA record that this certificate fits (RFC 6698): DANE-EE, its public key, SHA-256, unless said."""
        self.publish(f"_{port}._tcp.{host}. TLSA {tlsa(certificate, usage, selector, matching)}")

    def forge(self, name: str, record_type: str) -> None:
        """From now on the signature of these records is wrong, as after an attack or an operator's mistake."""
        self.signed.forge(name, record_type)
        self.unbound.forget()


def tlsa(certificate: Issued, usage: int = 3, selector: int = 1, matching: int = 1) -> str:
    """The data of the record: `3 1 1 <hash in hex>`."""
    part = certificate.spki if selector else certificate.der
    return f"{usage} {selector} {matching} {digest(part, matching).hex()}"


def digest(part: bytes, matching: int) -> bytes:
    """What a TLSA record has of a certificate or key (RFC 6698 section 2.1.3)."""
    return _HASHES[matching](part)


@contextmanager
def serving(name: str, records: Sequence[str], plain: tuple[str, Sequence[str]] | None = None) -> Iterator[Served]:
    with ExitStack() as started:

        def begun(served: Zone | SignedZone | Unbound) -> None:
            started.callback(served.stop)
            served.start()

        def folder() -> Path:
            return Path(started.enter_context(TemporaryDirectory(prefix="estafette-signed-")))

        signed = SignedZone(folder(), name, records)
        beside = Zone(folder(), *plain) if plain else None
        zones = [zone for zone in (signed, beside) if zone is not None]
        unbound = Unbound(folder(), zones)
        for zone in zones:
            begun(zone)
        begun(unbound)
        yield Served(signed, beside, unbound)
