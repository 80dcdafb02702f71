"""What is left of an erased address: a keyed hash, by which it is recognised when somebody brings it again, and nobody
reads it back. Without the key, which is derived from the master secret, a list of hashes of addresses is a list of
addresses: there are few enough of them to try all."""

import hmac
from collections.abc import Sequence

from shared.words.mac import Mac

#: Of a hash in hex: 128 bits, so that no two addresses meet.
DIGEST_CHARS = 32


class ErasureKeys:
    """Of the master secret and the former ones: what was hashed under those is still recognised."""

    def __init__(self, current: bytes, previous: Sequence[bytes] = ()) -> None:
        self._macs = [
            Mac(hmac.digest(master, b"estafette/erased-addresses", "sha256")) for master in (current, *previous)
        ]

    def digest(self, tenant: str, address: str) -> str:
        """Of a normalised address of the tenant: another tenant's is another."""
        return self.digests(tenant, address)[0]

    def digests(self, tenant: str, address: str) -> list[str]:
        """Under every key, the current one first."""
        text = f"{tenant}\n{address}".encode()
        return [mac.digest(text).hex()[:DIGEST_CHARS] for mac in self._macs]
