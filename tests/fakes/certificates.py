"""An authority and the certificates it writes: good, expired, for somebody else.

authority = Authority()
good = authority.issue("mx.example.net")
SmtpServer(tls=good.server_context())
Path(…).write_text(authority.pem)           # what `tls.ca_file` names
good.der, authority.der                     # what TLSA records are made of
"""

import datetime
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """A certificate, its key, and those above it that a server shows (its authority's last)."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[x509.Certificate, ...]

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def chain(self) -> list[bytes]:
        return [one.public_bytes(serialization.Encoding.DER) for one in (self.certificate, *self.above)]

    @property
    def pem(self) -> str:
        """The certificate and those above it."""
        return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in (self.certificate, *self.above))

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def write(self, folder: Path) -> tuple[str, str]:
        """The files of the certificate and of its key."""
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        certificate.write_text(self.pem, "ascii")
        key.write_text(self.key_pem, "ascii")
        return str(certificate), str(key)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            context.load_cert_chain(*self.write(Path(folder)))
        return context


class Authority:
    """`above`: who signed it; None: itself."""

    def __init__(
        self,
        name: str = "Test Authority",
        above: "Authority | None" = None,
        *,
        ca: bool = True,
        length: int | None = None,
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.above = above
        self.certificate = (
            _builder(self.name, above.name if above else self.name, self.key, (-DAY, 30 * DAY))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=length), critical=True)
            .sign(above.key if above else self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        return (self.certificate, *(self.above.chain if self.above else ()))

    def write(self, folder: Path) -> str:
        """The file of its certificate."""
        file = folder / "authority.pem"
        file.write_text(self.pem, "ascii")
        return str(file)

    def issue(
        self,
        *names: str,
        valid: tuple[datetime.timedelta, datetime.timedelta] = (-DAY, 30 * DAY),
        common_name: str = "somebody",
        addresses: tuple[str, ...] = (),
        usage: x509.ObjectIdentifier | None = None,
    ) -> Issued:
        """For these DNS names (none: for the common name alone), valid from and until, counted from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        builder = _builder(subject, self.name, key, valid)
        alternatives = [*map(x509.DNSName, names), *(x509.IPAddress(ipaddress.ip_address(one)) for one in addresses)]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return Issued(builder.sign(self.key, hashes.SHA256()), key, self.chain)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    valid: tuple[datetime.timedelta, datetime.timedelta],
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + valid[0])
        .not_valid_after(now + valid[1])
    )
