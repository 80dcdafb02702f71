"""How a recipient behaves, by the beginning of its local part: a table, so that demos and tests meet real trouble.

Agreed between the mailbox, and relays that answer as it does for messages of the sandbox where there is none.
"""

from typing import Literal

import msgspec

Notice = Literal["", "bounce", "complaint"]


class Behaviour(msgspec.Struct, frozen=True):
    """`reply` is the answer to RCPT TO; `notice` is what follows to the return path once the message was taken."""

    prefix: str
    meaning: str
    reply: str = "250 2.1.5 OK"
    #: The reply is given once for each address; after it the address is like any other.
    first_time_only: bool = False
    notice: Notice = ""


ORDINARY = Behaviour("", "Taken and shown here.")
BEHAVIOURS = (
    Behaviour("unknown", "Refused: there is no such user.", "550 5.1.1 User unknown"),
    Behaviour("full", "Refused for now, each time: the mailbox is full.", "452 4.2.2 Mailbox full"),
    Behaviour(
        "greylist",
        "Refused for now the first time, taken from the second on.",
        "451 4.7.1 Greylisted, please try again later",
        first_time_only=True,
    ),
    Behaviour("blocked", "Refused because of the sender.", "550 5.7.1 Your host is blocked using a block list"),
    Behaviour("bounce-later", "Taken; a bounce message (RFC 3464) follows to the return path.", notice="bounce"),
    Behaviour("complain", "Taken; a complaint (RFC 5965) follows to the return path.", notice="complaint"),
)


def behaviour(address: str) -> Behaviour:
    """What the table says of `local@domain`; ORDINARY where it says nothing."""
    local_part = address.rpartition("@")[0].casefold()
    return next((known for known in BEHAVIOURS if local_part.startswith(known.prefix)), ORDINARY)
