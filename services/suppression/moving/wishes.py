"""What a line of a file asks for, whatever file it is. Pure."""

from typing import Literal

import msgspec

#: `list`: the address gets an entry. `resubscribe`: it has not left marketing any more. `soft`: a soft bounce is
#: counted. `valid`: it works, whatever bounces said.
Verb = Literal["list", "resubscribe", "soft", "valid"]


class Act(msgspec.Struct, frozen=True, array_like=True):
    """One thing asked for. The rest is of an entry, 0 and "" where the file does not say: times in ms since the epoch,
    `said` what was said about the address."""

    verb: Verb
    reason: str = ""
    scope: str = ""
    channel: str = "email"
    said: str = ""
    since_ms: int = 0
    last_ms: int = 0
    expires_at_ms: int = 0
    source: str = ""


class Wish(msgspec.Struct, frozen=True, array_like=True):
    """What a line asks for. `address` as lists spell it; `slot` tells apart lines about one address that do not replace
    each other, since each is another entry of it."""

    address: str
    acts: tuple[Act, ...]
    slot: str = ""


RESUBSCRIBE = Act("resubscribe")
SOFT = Act("soft")
VALID = Act("valid")
