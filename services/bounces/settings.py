"""What can be set of bounces."""

from collections.abc import Callable, Mapping
from typing import ClassVar

from shared.process import setting_checks
from shared.process.settings import AgreedBounces, Networks, NotNegative, Positive


class Bounces(AgreedBounces, frozen=True, kw_only=True):
    CHECKS: ClassVar[Mapping[str, Callable[[str], None]]] = {"feedback_loops": setting_checks.networks}

    #: Advertised by SIZE. A report returns the message at most once.
    max_mail_bytes: Positive = 10 * 1024 * 1024
    #: SMTP sessions at the same time; while all are taken, one that is idle or slow gives its place to a newcomer.
    max_sessions: Positive = 50
    #: Of one peer: an IPv4 address, or an IPv6 /64. Behind a mail relay of yours, which is one peer, raise it.
    max_sessions_per_peer: Positive = 10
    #: What a peer may bring in ten minutes that names no message of ours; then, until they are over, it gets 451 for
    #: all that we did not sign. 0: any number.
    max_misses_per_peer: NotNegative = 50
    #: Networks (CIDR, or addresses), separated by commas, of feedback loops that strip all that we sign: their reports
    #: are believed by an unsigned Message-ID and the recipient's address. Empty: none.
    feedback_loops: Networks = ""
    #: For a command, and for all of a mail's data (RFC 5321 section 4.5.3.2.7 asks for five minutes).
    command_timeout_seconds: Positive = 300
