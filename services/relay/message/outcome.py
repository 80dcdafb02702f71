"""What an answer, or the lack of one, means for a message: delivered, tried again, or bounced. Pure.

Unknown failures are temporary. A refusal for good that is about us (reputation, block lists, policy, and whatever is
said before a recipient was named) is a bounce of kind `block`: it is recorded, and never suppresses the address. Where
a rule of `shaping.toml` says so, it is not a bounce at all: the message is tried again by another address, or later.
"""

import re
from dataclasses import dataclass
from typing import Literal

from services.relay.traffic.shaping import Rule
from services.relay.words.hop import NoRoute
from services.relay.words.our_name import is_about_our_name
from services.relay.words.reply import ConnectFailed, ConnectionLost, Reply
from shared.words import replies

#: "Greylisted for 300 seconds", "please try again in 5 minutes": postgrey, rspamd and others say it in numbers.
_RETRY_AFTER = re.compile(r"\b(?:in|for|after|within|wait)\s+(?:about\s+)?([0-9]{1,6})\s*(s|m|h)(?:\b|ec|in|our)", re.I)
_UNIT_S = {"s": 1, "m": 60, "h": 3600}
#: More than this is not believed: the message would expire on a host's word.
MAX_RETRY_AFTER_S = 3600


#: RFC 5321 section 4.5.3.1.10 asks to hear 552 as 452 here; others say it with other codes. We send one recipient at a
#: time: there are too many in an hour, or over a connection.
_TOO_MANY_RECIPIENTS = re.compile(r"too many (recipients|rcpts?)\b(?! (unknown|invalid))", re.I)
#: RFC 4954 section 6: the host wants a login, another one, or encryption before it. Where it is the operator's own host
#: that is for the operator to mend, and mail waits.
_LOGIN = frozenset((530, 534, 535, 538))
#: What it says of an address that its domain has nowhere to go for ever. A host inside is a fault of the domain's
#: records, which somebody will mend.
_NO_ROUTE: dict[str, Literal["hard", "soft"]] = {"no_mail_host": "hard", "loop": "soft"}


@dataclass(frozen=True, slots=True)
class Deliver:
    """The host has taken responsibility."""


@dataclass(frozen=True, slots=True)
class Defer:
    """Not now, and not sooner than the host or a rule said, if they did. `reason` is a word of `replies.REASONS`, or
    one of the failures below."""

    reason: str
    retry_after_s: int = 0


@dataclass(frozen=True, slots=True)
class Bounce:
    """Never."""

    kind: Literal["hard", "soft", "block"]
    reason: str


def outcome(
    answer: Reply | ConnectFailed | ConnectionLost | NoRoute, rule: Rule | None = None, *, by_route: bool = False
) -> Deliver | Defer | Bounce:
    """What happens to the message after this answer; `rule` is the one that the reply meets at this site, if any;
    `by_route`: the host is one that the operator named, and takes mail for everybody."""
    match answer:
        case Reply(code=code) if by_route and code in _LOGIN and answer.stage != "dot":
            return Defer("authentication")
        case Reply():
            return _of_reply(answer, rule)
        case ConnectFailed():
            return _of_no_connection(answer, rule)
        case ConnectionLost():
            return Defer("unknown_end" if answer.sent_final_dot else "connection_lost")
        case NoRoute():
            return Bounce(_NO_ROUTE[answer.reason], answer.reason) if answer.final else Defer(answer.reason)


def _of_reply(reply: Reply, rule: Rule | None) -> Deliver | Defer | Bounce:
    if reply.code < 300 and reply.stage == "dot":
        return Deliver()
    said = replies.classify(reply.code, reply.enhanced or None, reply.text, reply.stage, reply.host)
    is_for_now = is_about_our_name(reply) or _is_too_many_recipients(reply)
    if reply.code < 500 or (rule is not None and rule.defer) or is_for_now:
        # Greylisting has a schedule of its own (`retry`), which a rule would only lengthen.
        return Defer(said.reason, _wait_s(reply, rule if said.reason != "greylisted" else None))
    about_us = rule is not None and rule.about_us
    return Bounce("block" if said.kind == "hard" and about_us else said.kind, said.reason)


def _of_no_connection(failed: ConnectFailed, rule: Rule | None) -> Defer:
    """A greeting of 554 (RFC 5321 section 3.1) is about us or about the host's state, never about a recipient: another
    host, or another day, may say otherwise."""
    if failed.reply is None:
        return Defer("connection_failed")
    reply = failed.reply
    said = replies.classify(reply.code, reply.enhanced or None, reply.text, reply.stage, reply.host)
    return Defer(said.reason, _wait_s(reply, rule))


def _is_too_many_recipients(reply: Reply) -> bool:
    return reply.stage in ("rcpt", "data") and (
        reply.enhanced == "5.5.3" or _TOO_MANY_RECIPIENTS.search(reply.text) is not None
    )


def _wait_s(reply: Reply, rule: Rule | None) -> int:
    """What the host asked for, and what the rule asks of this message alone; a site or a source that is held is the
    queue's matter."""
    of_rule = rule.for_s if rule is not None and rule.action == "defer_recipient" else 0
    return max(retry_after_s(reply.text), of_rule)


def retry_after_s(text: str) -> int:
    """The seconds that a refusal asks to wait, within an hour; 0 where it does not say."""
    asked = _RETRY_AFTER.search(text)
    return min(int(asked[1]) * _UNIT_S[asked[2].lower()], MAX_RETRY_AFTER_S) if asked else 0
