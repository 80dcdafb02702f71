"""What a line of a file asks for, whatever file it is. Pure."""

from typing import Literal

import msgspec

from shared.words.scopes import Channel, Reason, Source

#: `list`: the address gets an entry. `resubscribe`: it has not left marketing any more. `soft`: a soft bounce is
#: counted. `valid`: it works, whatever bounces said.
Verb = Literal["list", "resubscribe", "soft", "valid"]


class Act(msgspec.Struct, frozen=True, array_like=True):
    """One thing asked for. The rest is of an entry that is listed: times in ms since the epoch, 0 where the file does
    not say them; `said` is what was said about the address."""

    verb: Verb
    reason: Reason = "manual"
    scope: str = ""
    channel: Channel = "email"
    said: str = ""
    since_ms: int = 0
    last_ms: int = 0
    expires_at_ms: int = 0
    source: Source = "import"


class Wish(msgspec.Struct, frozen=True, array_like=True):
    """What a line asks for. `address` as lists spell it; `slot` tells apart lines about one address that do not replace
    each other, since each is another entry of it. No acts: what it asks for is over."""

    address: str
    acts: tuple[Act, ...]
    slot: str = ""

    @property
    def lists_alone(self) -> bool:
        """Whether all that it asks for is that the address is listed."""
        return bool(self.acts) and all(act.verb == "list" for act in self.acts)


RESUBSCRIBE = Act("resubscribe")
SOFT = Act("soft")
VALID = Act("valid")
