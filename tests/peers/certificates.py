"""Certificates for the servers of tests: signed by themselves, or by a certificate authority of the test's own."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=2)


@dataclass(frozen=True)
class Certificate:
    """A certificate, with its key, in both cases what a server reads: PEM."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def der(self) -> bytes:
        """The whole certificate, as a TLSA record of selector 0 means it."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def spki(self) -> bytes:
        """Its public key alone (SubjectPublicKeyInfo), as a TLSA record of selector 1 means it."""
        return self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def write(self, certificate: Path, key: Path) -> None:
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key_pem)
        key.chmod(0o600)


@dataclass(frozen=True)
class Authority:
    """Its certificate is what clients are told to trust."""

    root: Certificate = field(default_factory=lambda: _made("Estafette test authority", (), None, authority=True))

    def issue(self, *names: str, expired: bool = False) -> Certificate:
        """For these host names, the first one being its subject."""
        return _made(names[0], names, self.root, expired=expired)


def self_signed(*names: str) -> Certificate:
    """As that of most hosts out there."""
    return _made(names[0], names, None)


def _made(
    subject: str,
    names: tuple[str, ...],
    issuer: Certificate | None,
    *,
    authority: bool = False,
    expired: bool = False,
) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    signer = issuer.key if issuer else key
    from_ = datetime.now(UTC) - timedelta(days=1) - (LIFETIME * 2 if expired else timedelta())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(from_)
        .not_valid_after(from_ + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    return Certificate(builder.sign(signer, hashes.SHA256()), key)
