"""What can be set of bounces."""

from collections.abc import Callable, Mapping
from typing import ClassVar

from shared.process import setting_checks
from shared.process.settings import AgreedBounces, Networks, NotNegative, Positive


class Bounces(AgreedBounces, frozen=True, kw_only=True):
    CHECKS: ClassVar[Mapping[str, Callable[[str], None]]] = {
        "feedback_loops": setting_checks.networks,
        "certificate": setting_checks.file,
        "key": setting_checks.file,
        "lmtp": setting_checks.socket_place,
        "maildir": setting_checks.file,
    }

    #: What STARTTLS shows to hosts that bring mail, PEM: the certificate with those above it. Empty: one is made at
    #: each start, which keeps out who listens and convinces nobody who looks. Read again at SIGHUP.
    certificate: str = ""
    #: Its key; empty: it stands in the same file. Read again at SIGHUP.
    key: str = ""
    #: Where a mail server of yours brings mail by LMTP: `host:port`, or `unix:/path` of a socket; empty: nowhere.
    #: Whoever reaches it is believed when it says who brought the mail (XFORWARD).
    lmtp: str = ""
    #: A Maildir in which mail is dropped; empty: none. What is stored is taken away, what is none goes to its `bad`.
    maildir: str = ""
    #: Whether what is stored goes to `cur` there, instead of being removed.
    maildir_keep: bool = False

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
