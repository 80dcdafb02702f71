"""The SMTP edge: aiosmtpd's protocol on the loop of this process. It decides nothing but when to say which reply.

250 to the final dot means that the facts are stored, or the mail is kept. While the bus or Redis is away it is 451, and
the peer brings the mail again. Whoever talks garbage gets an error reply, and nobody gets a traceback.
"""

import time
from typing import Protocol

from prometheus_client import Counter, Gauge

from services.bounces.bounces import Accepted, Received
from services.bounces.misses import Misses
from shared.net import smtp_hooks, smtp_in
from shared.process import logs
from shared.redis.bus import BusUnavailable
from shared.redis.redis import RedisAway

RECIPIENTS = Counter("estafette_bounces_recipients_total", "RCPT TO commands answered, by reply code", ["code"])
MAILS = Counter("estafette_bounces_mails_total", "Mails received, by reply code to the final dot", ["code"])
SESSIONS = Gauge("estafette_bounces_sessions", "Open SMTP sessions")
REFUSED = Counter("estafette_bounces_refused_sessions_total", "Sessions refused or closed for others", ["reason"])
MISSES = Counter("estafette_bounces_misses_total", "What names no message of ours: addresses, reports", ["what"])
TURNED_AWAY = Counter("estafette_bounces_turned_away_total", "Recipients refused for a while to peers that missed")

#: Recipients of one mail (RFC 5321 section 4.5.3.1.8 asks for 100). A report has one.
MAX_RECIPIENTS = 100

_counted = smtp_hooks.Counted(RECIPIENTS, MAILS, SESSIONS, REFUSED)
_log = logs.get_logger()


class Bounces(Protocol):
    """The two questions of SMTP. `receive` says whether the mail was a report that names no message of ours; it may
    raise RedisAway or BusUnavailable."""

    def accepts(self, address: str) -> Accepted | None: ...

    async def receive(self, received: Received) -> bool: ...


class Listener(smtp_in.Listener):
    """Listens from `open` to `close`; `port` is the real one where 0 was asked for. `hostname` is its own name.
    `command_timeout_s` is for a command, and for all of a mail's data; `spare_s` see `shared.net.smtp_in`. `misses`
    counts what peers bring that names no message."""

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
    ) -> None:
        super().__init__(
            smtp_hooks.Hooks(
                _Answers(bounces, Misses(time.monotonic) if misses is None else misses), _counted, MAX_RECIPIENTS
            ),
            host,
            port,
            hostname=hostname,
            ident="ESMTP Estafette",
            bounds=smtp_in.Bounds(max_mail_bytes, max_sessions, max_sessions_per_peer, command_timeout_s, spare_s),
            watch=_counted,
        )


class _Answers:
    """See `smtp_hooks.Answers`."""

    def __init__(self, bounces: Bounces, misses: Misses) -> None:
        self._bounces = bounces
        self._misses = misses

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
        try:
            missed = await self._bounces.receive(received)
        except (BusUnavailable, RedisAway) as away:
            _log.warning("mail_deferred", reason=str(away), peer=received.peer)
            return "451 4.3.0 Cannot store this now, please try again later"
        except Exception:
            _log.exception("mail_failed", peer=received.peer, recipients=len(received.recipients))
            return "451 4.3.0 Local error"
        if missed:
            self._miss(received.peer, "report")
        return "250 2.0.0 OK"

    def _miss(self, peer: str, reason: str) -> None:
        MISSES.labels(reason).inc()
        if self._misses.count(peer):
            _log.warning("peer_held_off", peer=peer)
