"""What an answer, or the lack of one, means for a message: delivered, tried again, or bounced. Pure.

Unknown failures are temporary. A refusal for good that is about us (reputation, block lists, policy) is a bounce of
kind `block`: it is recorded, and never suppresses the address.
"""

from dataclasses import dataclass
from typing import Literal

from services.relay.reply import ConnectFailed, ConnectionLost, Reply
from services.relay.route import NoRoute
from shared import replies


@dataclass(frozen=True, slots=True)
class Deliver:
    """The host has taken responsibility."""


@dataclass(frozen=True, slots=True)
class Defer:
    """Not now. `reason` is a word of `replies.REASONS`, or one of the failures below."""

    reason: str


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
    if reply.code >= 500:
        return Bounce(said.kind, said.reason)
    return Defer(said.reason)


def _of_no_connection(failed: ConnectFailed) -> Defer:
    """A greeting of 554 (RFC 5321 section 3.1) is about us or about the host's state, never about a recipient: another
    host, or another day, may say otherwise."""
    if failed.reply is None:
        return Defer("connection_failed")
    return Defer(replies.classify(failed.reply.code, failed.reply.enhanced or None, failed.reply.text).reason)
