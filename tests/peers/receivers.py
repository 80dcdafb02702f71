"""What receiving hosts of several makes have in common in tests: addresses, domains, users, limits.

Each make listens on one address for each variant, all on the same port, because the relay has one port for all hosts:

    whole   STARTTLS, PIPELINING and SMTPUTF8, where the make has them
    clear   without STARTTLS
    bare    without PIPELINING and SMTPUTF8

and is there for one domain a variant: `ana@bare.exim.test` is in the maildir of Exim, and came over its bare address.
"""

from collections.abc import Sequence
from typing import Protocol

VARIANTS = ("whole", "clear", "bare")
MAKES = ("postfix", "exim", "opensmtpd")
#: What a host announces with SIZE.
SIZE_LIMIT_BYTES = 200_000
#: Then a host says 421, or closes.
MAILS_PER_CONNECTION = 6
#: For more connections than the relay opens by itself to so many.
CROWD = 4 * MAILS_PER_CONNECTION + 1
#: Greylisted once: whose address begins like this. Nobody: whose begins with `unknown`.
GREY = "grey"
USERS = (
    *("ana", "ben", "cleo", "dora", "emil", "fay", "gus", "hana", "zoë", f"{GREY}-1", f"{GREY}-2"),
    *(f"m-{number}" for number in range(CROWD)),
)


class Receiver(Protocol):
    """A running host. `mails` are as they were stored, the oldest first: with LF, and the host's own fields above."""

    make: str
    port: int

    def encrypts(self) -> bool:
        """Whether the handshakes that it offers succeed."""

    def mails(self, address: str) -> list[bytes]: ...
    def log(self) -> str: ...


def domain(make: str, variant: str) -> str:
    return f"{variant}.{make}.test"


def domains(make: str) -> list[str]:
    return [domain(make, variant) for variant in VARIANTS]


def address(make: str, variant: str) -> str:
    """Where it listens: all of 127/8 is loopback."""
    return f"127.0.{25 + MAKES.index(make)}.{1 + VARIANTS.index(variant)}"


def host(make: str, variant: str) -> str:
    return f"mx-{domain(make, variant)}"


def records(make: str) -> Sequence[str]:
    """Their lines in a zone file of `test`."""
    mx = [f"{domain(make, variant)}. MX 10 {host(make, variant)}." for variant in VARIANTS]
    return [*mx, *(f"{host(make, variant)}. A {address(make, variant)}" for variant in VARIANTS)]
