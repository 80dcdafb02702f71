"""How a host has to be encrypted to, why, and what it is called when that fails: no I/O, no cryptography.

A level says what has to hold before a mail may leave:

    never           nothing is encrypted
    opportunistic   encrypted where that works, else in clear (RFC 7435)
    required        encrypted, to whoever answers
    verified        encrypted, to a host whose certificate PKIX proves for its name (RFC 8461 section 4.2)
    dane            encrypted, to a host whose certificate its TLSA records name (RFC 7672)

Only `opportunistic` falls back to clear text.
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal["never", "opportunistic", "required", "verified", "dane"]
#: Who asked for the level.
By = Literal["default", "shaping", "route", "mta-sts", "dane"]

#: RFC 8460 section 4.3: the result types of failed sessions.
TlsFailure = Literal[
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "tlsa-invalid",
    "dnssec-invalid",
    "dane-required",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
]

#: OpenSSL's X509_V_ERR_… (x509_vfy.h) for what has a word of its own; the rest of a chain is `certificate-not-trusted`.
_VERIFY_CODES: dict[int, TlsFailure] = {
    9: "certificate-expired",  # CERT_NOT_YET_VALID
    10: "certificate-expired",  # CERT_HAS_EXPIRED
    62: "certificate-host-mismatch",  # HOSTNAME_MISMATCH
    64: "certificate-host-mismatch",  # IP_ADDRESS_MISMATCH
}

DANE_TA, DANE_EE = 2, 3
FULL_CERTIFICATE, PUBLIC_KEY = 0, 1
EXACT, SHA2_256, SHA2_512 = 0, 1, 2
_DIGEST_BYTES = {SHA2_256: 32, SHA2_512: 64}


@dataclass(frozen=True, slots=True)
class Tlsa:
    """A TLSA record (RFC 6698 section 2.1): certificate usage, selector, matching type, association data."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def text(self) -> str:
        """As a zone has it (RFC 6698 section 2.2)."""
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"

    @property
    def usable(self) -> bool:
        """RFC 7672 section 3.1: PKIX-TA(0) and PKIX-EE(1) are not for SMTP; nor is what nobody has defined."""
        return (
            self.usage in (DANE_TA, DANE_EE)
            and self.selector in (FULL_CERTIFICATE, PUBLIC_KEY)
            and bool(self.data)
            and (self.matching == EXACT or len(self.data) == _DIGEST_BYTES.get(self.matching))
        )


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """`names` are those that a certificate may be for, the first being asked for (dane), or the patterns of hosts that
    the policy names (mta-sts); `tlsa` are the usable records. `testing`: an MTA-STS policy in mode `testing` is tried
    and reported on, and `level` is what counts when it fails; `failure` is what is known to be wrong before it is
    tried. `published` is the policy as a report quotes it, line by line."""

    level: Level = "opportunistic"
    by: By = "default"
    names: tuple[str, ...] = ()
    tlsa: tuple[Tlsa, ...] = ()
    testing: bool = False
    failure: TlsFailure | Literal[""] = ""
    published: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """What events call it: `none`, `opportunistic`, `required`, `mta-sts` or `dane`."""
        match self.level:
            case "never":
                return "none"
            case "opportunistic":
                return "opportunistic"
            case "dane":
                return "dane"
            case "verified" if self.by == "mta-sts":
                return "mta-sts"
            case _:
                return "dane" if self.by == "dane" else "required"

    def good_for(self, wanted: "TlsPolicy") -> bool:
        """Whether a connection that was opened under this policy may carry a mail that wants the other."""
        if self == wanted:
            return True
        if wanted.testing or self.level in ("never", "opportunistic"):
            return False
        return wanted.level in ("opportunistic", "required")


NEVER = TlsPolicy("never")
OPPORTUNISTIC = TlsPolicy()
REQUIRED = TlsPolicy("required", "shaping")


def strongest(records: tuple[Tlsa, ...]) -> tuple[Tlsa, ...]:
    """The usable records, of each usage and selector without the digests that a better one beside them makes
    needless (RFC 7671 section 9)."""
    usable = [record for record in records if record.usable]
    best = {
        (record.usage, record.selector): max(
            one.matching for one in usable if (one.usage, one.selector) == (record.usage, record.selector)
        )
        for record in usable
    }
    return tuple(record for record in usable if record.matching in (EXACT, best[record.usage, record.selector]))


def failure_of(verify_code: int) -> TlsFailure:
    """The result type for a chain that OpenSSL did not accept."""
    return _VERIFY_CODES.get(verify_code, "certificate-not-trusted")
