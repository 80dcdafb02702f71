"""The SMTP and LMTP edges: aiosmtpd's protocol on the loop of this process. They decide nothing but when to say which
reply.

250 to the final dot means that the facts are stored, or the mail is kept. While the bus or Redis is away it is 451, and
the peer brings the mail again. Whoever talks garbage gets an error reply, and nobody gets a traceback.

By LMTP a mail server in front of us brings what others brought to it: it is held off for nobody's guesses.
"""

import time
from pathlib import Path

from prometheus_client import Counter, Gauge

from services.bounces import ways
from services.bounces.bounces import Received
from services.bounces.misses import Misses
from services.bounces.ways import Bounces
from shared.net import lmtp_in, smtp_hooks, smtp_in
from shared.process import logs

RECIPIENTS = Counter("estafette_bounces_recipients_total", "RCPT TO commands answered, by reply code", ["code"])
MAILS = Counter("estafette_bounces_mails_total", "Mails received, by reply code to the final dot", ["code"])
SESSIONS = Gauge("estafette_bounces_sessions", "Open SMTP sessions")
LMTP_SESSIONS = Gauge("estafette_bounces_lmtp_sessions", "Open LMTP sessions")
REFUSED = Counter("estafette_bounces_refused_sessions_total", "Sessions refused or closed for others", ["reason"])
STARTTLS = Counter(
    "estafette_bounces_starttls_total",
    "Sessions that were to be encrypted: done, or failed in the handshake",
    ["outcome"],
)
MISSES = Counter("estafette_bounces_misses_total", "What names no message of ours: addresses, reports", ["what"])
TURNED_AWAY = Counter("estafette_bounces_turned_away_total", "Recipients refused for a while to peers that missed")

#: Recipients of one mail (RFC 5321 section 4.5.3.1.8 asks for 100). A report has one.
MAX_RECIPIENTS = 100

_counted = smtp_hooks.Counted(RECIPIENTS, MAILS, SESSIONS, REFUSED, STARTTLS)
_counted_lmtp = smtp_hooks.Counted(RECIPIENTS, MAILS, LMTP_SESSIONS, REFUSED)
_log = logs.get_logger()


class Listener(smtp_in.Listener):
    """Listens from `open` to `close`; `port` is the real one where 0 was asked for. `hostname` is its own name.
    `command_timeout_s` is for a command, and for all of a mail's data; `spare_s` and `tls` see `shared.net.smtp_in`.
    `misses` counts what peers bring that names no message."""

    def __init__(
        self,
        bounces: Bounces,
        host: str,
        port: int,
        hostname: str,
        *,
        max_sessions: int = 50,
        max_sessions_per_peer: int = 10,
        max_mail_bytes: int = 10 * 1024 * 1024,
        command_timeout_s: float = 300.0,
        spare_s: float = 10.0,
        misses: Misses | None = None,
        tls: smtp_in.Tls = smtp_in.no_tls,
    ) -> None:
        super().__init__(
            smtp_hooks.Hooks(
                _Answers(bounces, Misses(time.monotonic) if misses is None else misses, "smtp"),
                _counted,
                MAX_RECIPIENTS,
            ),
            host,
            port,
            hostname=hostname,
            ident="ESMTP Estafette",
            bounds=smtp_in.Bounds(max_mail_bytes, max_sessions, max_sessions_per_peer, command_timeout_s, spare_s),
            watch=_counted,
            tls=tls,
        )


class LmtpListener(lmtp_in.Listener):
    """Listens from `open` to `close` at that place (`shared.net.places.place_of`)."""

    def __init__(
        self,
        bounces: Bounces,
        place: tuple[str, int] | Path,
        hostname: str,
        *,
        max_sessions: int = 50,
        max_mail_bytes: int = 10 * 1024 * 1024,
        command_timeout_s: float = 300.0,
    ) -> None:
        super().__init__(
            smtp_hooks.Hooks(_Answers(bounces, Misses(time.monotonic, 0), "lmtp"), _counted_lmtp, MAX_RECIPIENTS),
            place,
            hostname=hostname,
            ident="LMTP Estafette",
            bounds=smtp_in.Bounds(max_mail_bytes, max_sessions, max_sessions, command_timeout_s),
            watch=_counted_lmtp,
        )


class _Answers:
    """See `smtp_hooks.Answers`."""

    def __init__(self, bounces: Bounces, misses: Misses, way: ways.Way) -> None:
        self._bounces = bounces
        self._misses = misses
        self._way = way

    def recipient(self, peer: str, address: str) -> str:
        kind = self._bounces.accepts(address)
        if kind != "signed" and self._misses.are_too_many(peer):
            # What we signed is taken from anybody: a lockout must not cost a bounce that is true.
            TURNED_AWAY.inc()
            return "451 4.7.1 Too much of yours names no message of ours, please try again later"
        if kind is None:
            self._miss(peer, "address")
            return "550 5.1.1 No such address here"
        return "250 2.1.5 OK"

    async def mail(self, arrived: smtp_hooks.Arrived) -> str:
        received = Received(arrived.sender, arrived.recipients, arrived.raw, arrived.peer)
        taken = await ways.take(self._bounces, received, self._way)
        if taken.missed:
            self._miss(received.peer, "report")
        return REPLIES[taken.outcome]

    def _miss(self, peer: str, reason: str) -> None:
        MISSES.labels(reason).inc()
        if self._misses.count(peer):
            _log.warning("peer_held_off", peer=peer)


#: What is said to the final dot.
REPLIES: dict[ways.Outcome, str] = {
    "stored": "250 2.0.0 OK",
    "deferred": "451 4.3.0 Cannot store this now, please try again later",
    "failed": "451 4.3.0 Local error",
}
