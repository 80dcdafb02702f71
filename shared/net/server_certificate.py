"""The certificate that a server of ours shows: read from files, or made here where nobody has named one.

A host that brings mail encrypts without looking whose certificate it is (RFC 7435), so that one made here keeps out who
listens. Who looks (a policy of MTA-STS, an authority of one's own) is shown a certificate that somebody has signed.
"""

import datetime
import os
import ssl
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

#: One that is made here is made anew at each start; a process lives for less.
SELF_MADE_DAYS = 3650
#: Behind us: the clocks of others.
BEFORE = datetime.timedelta(days=1)
#: RFC 5280 appendix A.1: what a common name has room for.
MAX_COMMON_NAME_CHARS = 64


class CertificateFault(ValueError):
    """What is wrong with the files, in words that follow their name."""


class Shown(NamedTuple):
    """`until_s` is when the certificate is over (seconds since 1970), `fingerprint` names it."""

    context: ssl.SSLContext
    until_s: float
    fingerprint: str


def read(certificate: Path, key: Path) -> Shown:
    """From PEM files: the certificate with those above it, and its key, which may stand in one file. CertificateFault
    if they cannot be read, do not belong together, or the certificate is over."""
    try:
        first = x509.load_pem_x509_certificate(certificate.read_bytes())
    except OSError as error:
        raise CertificateFault(f"{certificate}: {(error.strerror or str(error)).lower()}") from None
    except ValueError:
        raise CertificateFault(f"{certificate}: there is no certificate in it (PEM)") from None
    try:
        context = _context(str(certificate), str(key))
    except ssl.SSLError as error:
        raise CertificateFault(f"{key}: not the key of {certificate} ({error.reason or 'unreadable'})") from None
    except (OSError, ValueError) as error:
        raise CertificateFault(f"{key}: {str(error).lower()}") from None
    shown = _shown(context, first)
    if first.not_valid_after_utc <= datetime.datetime.now(datetime.UTC):
        raise CertificateFault(f"{certificate}: it was valid until {first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    return shown


def self_made(name: str) -> Shown:
    """A certificate for this host, signed by itself. Its key is nowhere but in this process."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:MAX_COMMON_NAME_CHARS])])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + datetime.timedelta(days=SELF_MADE_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # The library reads files alone. This one is in memory, and has no name that others could open.
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, pem)
        file = f"/proc/self/fd/{descriptor}"
        return _shown(_context(file, file), made)
    finally:
        os.close(descriptor)


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    # An encrypted key would be asked for at the terminal.
    context.load_cert_chain(certificate, key, password=_no_password)
    return context


def _no_password() -> str:
    raise ValueError("it is encrypted, and nobody is there to type its password")


def _shown(context: ssl.SSLContext, certificate: x509.Certificate) -> Shown:
    until_s = certificate.not_valid_after_utc.timestamp()
    return Shown(context, until_s, certificate.fingerprint(hashes.SHA256()).hex())
