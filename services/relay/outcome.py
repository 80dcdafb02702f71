"""What an answer, or the lack of one, means for a message: delivered, tried again, or bounced. Pure.

Unknown failures are temporary. A refusal for good that is about us (reputation, block lists, policy, and whatever is
said before a recipient was named) is a bounce of kind `block`: it is recorded, and never suppresses the address.
"""

import re
from dataclasses import dataclass
from typing import Literal

from services.relay.reply import ConnectFailed, ConnectionLost, Reply
from services.relay.route import NoRoute
from shared import replies

#: "Greylisted for 300 seconds", "please try again in 5 minutes": postgrey, rspamd and others say it in numbers.
_RETRY_AFTER = re.compile(r"\b(?:in|for|after|within|wait)\s+(?:about\s+)?([0-9]{1,6})\s*(s|m|h)(?:\b|ec|in|our)", re.I)
_UNIT_S = {"s": 1, "m": 60, "h": 3600}
#: More than this is not believed: the message would expire on a host's word.
MAX_RETRY_AFTER_S = 3600


@dataclass(frozen=True, slots=True)
class Deliver:
    """The host has taken responsibility."""


@dataclass(frozen=True, slots=True)
class Defer:
    """Not now, and not sooner than the host said, if it did. `reason` is a word of `replies.REASONS`, or one of the
    failures below."""

    reason: str
    retry_after_s: int = 0


@dataclass(frozen=True, slots=True)
class Bounce:
    """Never."""

    kind: Literal["hard", "soft", "block"]
    reason: str


def outcome(answer: Reply | ConnectFailed | ConnectionLost | NoRoute) -> Deliver | Defer | Bounce:
    """What happens to the message after this answer."""
    match answer:
        case Reply():
            return _of_reply(answer)
        case ConnectFailed():
            return _of_no_connection(answer)
        case ConnectionLost():
            return Defer("unknown_end" if answer.sent_final_dot else "connection_lost")
        case NoRoute():
            return Bounce("hard", answer.reason) if answer.final else Defer(answer.reason)


def _of_reply(reply: Reply) -> Deliver | Defer | Bounce:
    if reply.code < 300 and reply.stage == "dot":
        return Deliver()
    said = replies.classify(reply.code, reply.enhanced or None, reply.text)
    if reply.code < 500:
        return Defer(said.reason, retry_after_s(reply.text))
    # Before RCPT the host does not know for whom the message is: it speaks of the sender.
    about_us = said.kind == "hard" and reply.stage == "mail"
    return Bounce("block" if about_us else said.kind, said.reason)


def _of_no_connection(failed: ConnectFailed) -> Defer:
    """A greeting of 554 (RFC 5321 section 3.1) is about us or about the host's state, never about a recipient: another
    host, or another day, may say otherwise."""
    if failed.reply is None:
        return Defer("connection_failed")
    return Defer(replies.classify(failed.reply.code, failed.reply.enhanced or None, failed.reply.text).reason)


def retry_after_s(text: str) -> int:
    """The seconds that a refusal asks to wait, within an hour; 0 where it does not say."""
    asked = _RETRY_AFTER.search(text)
    return min(int(asked[1]) * _UNIT_S[asked[2].lower()], MAX_RETRY_AFTER_S) if asked else 0
