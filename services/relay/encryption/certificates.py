"""Whether the certificates that a host showed are those that its TLSA records name (RFC 6698, RFC 7671, RFC 7672).

OpenSSL's own DANE cannot be reached from Python, so a handshake is made without verification, and the chain is looked
at here before anything else is said.

- DANE-EE(3): the leaf is named. Neither its names nor its dates matter (RFC 7672 section 3.1.1).
- DANE-TA(2): a certificate above it is named; it is the one root from which the leaf has to be proven, for one of the
  names, today. The host has to send it (section 3.1.2), unless the record holds it whole.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256, sha512

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.relay.words.tls import (
    DANE_EE,
    DANE_TA,
    EXACT,
    FULL_CERTIFICATE,
    SHA2_256,
    Tlsa,
    TlsFailure,
)

#: OpenSSL takes 100 certificates at most; verifying is cheap, loading a hundred for each of a hundred records is not.
MAX_CHAIN = 20


def good_until_s(pem: bytes) -> float:
    """When the first certificate of a PEM file is over (seconds since the epoch). ValueError if there is none."""
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()


def mismatch(
    chain: Sequence[bytes], tlsa: Sequence[Tlsa], names: Sequence[str], now: datetime
) -> tuple[TlsFailure, str] | None:
    """Why the chain (DER, the leaf first) is none that one of the records names; None if it is."""
    if not chain:
        return "certificate-not-trusted", "the host showed no certificate"
    try:
        leaf = x509.load_der_x509_certificate(chain[0])
        if any(record.usage == DANE_EE and _names(record, leaf) for record in tlsa):
            return None
        above = [x509.load_der_x509_certificate(der) for der in chain[1:MAX_CHAIN]]
        return _mismatch_of_anchors(leaf, above, [one for one in tlsa if one.usage == DANE_TA], names, now)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return "certificate-not-trusted", f"a certificate that cannot be read: {str(error)[:200]}"


def _mismatch_of_anchors(
    leaf: x509.Certificate,
    above: list[x509.Certificate],
    tlsa: Sequence[Tlsa],
    names: Sequence[str],
    now: datetime,
) -> tuple[TlsFailure, str] | None:
    anchors = [one for one in above if any(_names(record, one) for record in tlsa)]
    anchors += filter(None, map(_whole, tlsa))
    if not anchors:
        return "certificate-not-trusted", "no certificate of the host matches its TLSA records"
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        return "certificate-expired", f"the certificate is valid until {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if not any(_is_for(leaf, name) for name in names):
        return "certificate-host-mismatch", f"the certificate is not for {' or '.join(names)}"
    builder = (
        verification.PolicyBuilder()
        .store(verification.Store(anchors))
        .time(now)
        .extension_policies(ca_policy=_ISSUERS, ee_policy=_LEAF)
    )
    try:
        # The verifier for servers insists on alternative names, which are looked at above; this one proves the chain.
        builder.build_client_verifier().verify(leaf, above)
    except verification.VerificationError as error:
        return "certificate-not-trusted", f"not proven from the TLSA trust anchor: {str(error)[:200]}"
    return None


def _may_issue(
    _policy: verification.Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints
) -> None:
    if not constraints.ca:
        raise ValueError("not the certificate of an authority")


def _may_sign(_policy: verification.Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("its key may not sign certificates")


def _may_serve(
    _policy: verification.Policy, _certificate: x509.Certificate, usages: x509.ExtendedKeyUsage | None
) -> None:
    if usages is not None and not _SERVERS & set(usages):
        raise ValueError("not the certificate of a server")


_SERVERS = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
#: Private authorities write certificates that the web would not take (no key usage, no authority key identifier): of
#: extensions only what decides is asked for, that is who may sign, and what for.
_ISSUERS = (
    verification.ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, _may_issue)
    .may_be_present(x509.KeyUsage, verification.Criticality.AGNOSTIC, _may_sign)
)
_LEAF = verification.ExtensionPolicy.permit_all().may_be_present(
    x509.ExtendedKeyUsage, verification.Criticality.AGNOSTIC, _may_serve
)


def _whole(record: Tlsa) -> x509.Certificate | None:
    """The certificate that a record holds, if it holds one."""
    if record.selector != FULL_CERTIFICATE or record.matching != EXACT:
        return None
    try:
        return x509.load_der_x509_certificate(record.data)
    except ValueError:
        return None


def _names(record: Tlsa, certificate: x509.Certificate) -> bool:
    if record.selector == FULL_CERTIFICATE:
        selected = certificate.public_bytes(Encoding.DER)
    else:
        selected = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if record.matching == EXACT:
        return selected == record.data
    return (sha256 if record.matching == SHA2_256 else sha512)(selected).digest() == record.data


def _is_for(leaf: x509.Certificate, name: str) -> bool:
    """By its DNS names, else, where it has none, by its common names (RFC 7672 section 3.2.3)."""
    try:
        own = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )
    except x509.ExtensionNotFound:
        own = []
    own = own or [str(one.value) for one in leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    patterns = {pattern.lower().removesuffix(".") for pattern in own}
    _, _, above = name.partition(".")
    return name in patterns or ("." in above and f"*.{above}" in patterns)
