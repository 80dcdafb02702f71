"""An operation of which each recipient gets one message, whichever job brings it (D7). Pure.

A job names an operation of its tenant (`once`). Who was queued for a message of that operation in the last 90 days is
excluded from a later job, and from the same one: known by their address, or by the key that the job gives them. What is
kept of them is a place, two digests of six bytes: of who they are, by which an erasure finds all of an address, and of
the operation's name. A message that ends without having been sent gives its place back.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

from shared.words.pressure import DAY_S, Rule

#: Why a message is not sent.
ALREADY_SENT = "already_sent"
#: Of a recipient whose key the job has already, at another address.
DUPLICATE_KEY = "duplicate_key"
#: For how long an operation knows who got it: as one takes a season at most, and a name may be used again next year.
DAYS = 90
LIFETIME_S = DAYS * DAY_S
RULE = Rule(1, DAYS)
#: Of either half of a place: by chance one in 2^48 is another's.
HALF_BYTES = 6


def identity(address: str, key: str = "") -> str:
    """Who a recipient is: their key, where they have one, else their address, in whatever case. No address has NUL."""
    return f"\x00{key}" if key else address.lower()


def half(text: str) -> bytes:
    """What stands for an identity, or for the name of an operation."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=HALF_BYTES).digest()


def place(who: str, operation: bytes) -> str:
    """Of an identity in an operation, of which `half` is given: sixteen characters, as a message has it."""
    return urlsafe_b64encode(half(who) + operation).decode("ascii")


def unpacked(place: str) -> bytes:
    """ValueError if it is none."""
    return urlsafe_b64decode(place)
