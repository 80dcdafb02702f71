"""What signs and seals tokens: keys of a master secret, and those that are made of it for a tenant's generation.

What of a token is signed and sealed is in `shared.words.tokens`.

Each tenant has keys of its own, of which an operator begins a new generation (`shared.words.generations`). Both keys of
a generation, that of the MAC and that which seals, are one keyed BLAKE2b of its number and the tenant's name: whoever
reads a token makes them of what it says, and keeps them once the MAC was good; nothing is looked up. Who has them can
forge links of that tenant and generation, and no others; the master secret cannot be found from them. A generation
stands behind a 0, where older tokens have the length of a name, which is never 0: those were signed with one key for
all tenants, and are generation 0 where one is revoked. Marks are the master secret's and outlive generations: who
withdrew is known by them.

An address is sealed by a keystream, BLAKE2b (RFC 7693) under a key of its own over job, ordinal and the number of the
block: one block for nearly all addresses, in half the time of an HMAC.
The stream of a message is used for one text alone, its recipient's address, and the token's MAC holds what is sealed.
That of a document for an address is the stream of its digest, which is another for another text.
Older tokens end before it: theirs is "".
"""

import hmac
from hashlib import blake2b

from shared.words.generations import COMMON
from shared.words.mac import Mac

#: 96 bits: forging one takes 2^95 requests, and 80 is what the design asks for.
MAC_BYTES = 12
#: One withdrawal in a million is met by chance once in 2.8e8 recipients.
MARK_BYTES = 6
#: Of a master secret: signers of tenants that are kept made. 1 kB each; beyond, they are made again.
_SIGNERS_KEPT = 4096


class Signer:
    """Signs and seals: with the keys of one generation of a tenant, or, of older tokens, with those of all tenants."""

    def __init__(self, secret: bytes, sealing: bytes) -> None:
        self.mac = Mac(secret)
        self._stream = blake2b(key=sealing)

    def sealed(self, message: bytes, text: bytes) -> bytes:
        """The text sealed for that message (its job and ordinal), and a sealed one opened again."""
        stream = b""
        while len(stream) < len(text):
            block = self._stream.copy()
            block.update(message + len(stream).to_bytes(4, "big"))
            stream += block.digest()
        stream = stream[: len(text)]
        return (int.from_bytes(text, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(text), "big")

    def sign(self, message: bytes) -> bytes:
        return self.mac.digest(message)[:MAC_BYTES]


class MasterKey:
    """One master secret's key for tokens, and its id; `common` signed older tokens."""

    def __init__(self, master: bytes) -> None:
        secret = hmac.digest(master, b"estafette/tokens", "sha256")
        self.id = hmac.digest(secret, b"key id", "sha256")[:1]
        self.common = Signer(secret, hmac.digest(master, b"estafette/token addresses", "sha256"))
        self._tenants = blake2b(key=hmac.digest(master, b"estafette/tokens of tenants", "sha256"))
        self._marks = blake2b(digest_size=MARK_BYTES, key=hmac.digest(master, b"estafette/token marks", "sha256"))
        self._documents = blake2b(digest_size=16, key=hmac.digest(master, b"estafette/token documents", "sha256"))
        self._made: dict[tuple[bytes, int], Signer] = {}

    def marks(self, tenant: str) -> blake2b:
        """What becomes a mark of the tenant once the address is added to a copy."""
        begun = self._marks.copy()
        begun.update(tenant.encode() + b"\0")
        return begun

    def document(self, said: bytes) -> bytes:
        """What stands for job and ordinal where there is none: 16 bytes of all that the token says."""
        digest = self._documents.copy()
        digest.update(said)
        return digest.digest()

    def signer(self, tenant: bytes, generation: int) -> Signer:
        """That of a tenant's generation: 64 bytes are two keys."""
        if generation == COMMON:
            return self.common
        keys = self._tenants.copy()
        keys.update(generation.to_bytes(2, "big") + tenant)
        both = keys.digest()
        return Signer(both[:32], both[32:])

    def signed_by(self, signed: bytes, mac: bytes, tenant: bytes, generation: int) -> Signer | None:
        """The signer whose MAC this is; None if it is not this key's. Only a good one is kept: names that somebody
        makes up would push out those that are asked for."""
        known = self._made.get((tenant, generation))
        signer = known or self.signer(tenant, generation)
        if not hmac.compare_digest(signer.sign(signed), mac):
            return None
        if known is None:
            if len(self._made) >= _SIGNERS_KEPT:
                self._made.clear()
            self._made[tenant, generation] = signer
        return signer
