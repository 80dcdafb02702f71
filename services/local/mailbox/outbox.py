"""The SMTP edge out: what recipients send back goes to the return path, by the bounce service's port. At best."""

import asyncio
import smtplib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog
from prometheus_client import Counter

from services.local.mailbox import notices
from services.local.mailbox.notices import HOST, Sent
from shared.words.behaviours import Notice

NOTICES = Counter("estafette_mailbox_notices_total", "Bounces and complaints, by what became of them", ["result"])
_sent, _refused, _dropped = (NOTICES.labels(result) for result in ("sent", "refused", "dropped"))

#: Waiting notices; what comes on top is dropped and counted. Each holds its message.
MAX_WAITING = 1_000
#: Sent over one connection.
BATCH = 50
#: "Later": after the relay has recorded the delivery, before a newcomer loses patience.
DELAY_SECONDS = 1.0
#: While the bounce service starts. Then the notices are dropped: a receiving host is not ours to imitate in everything.
RETRY_SECONDS = (0.0, 2.0, 10.0)
#: The peer is on this machine or on the next.
TIMEOUT_SECONDS = 5.0

_WRITERS = {"bounce": notices.bounce, "complaint": notices.complaint}


class Outgoing(NamedTuple):
    kind: Notice
    about: Sent


class Outbox:
    """`now` tells the time, `boundary` a new unguessable name of letters and digits per notice."""

    def __init__(
        self,
        host: str,
        port: int,
        now: Callable[[], datetime],
        boundary: Callable[[], str],
        delay_seconds: float = DELAY_SECONDS,
    ) -> None:
        self._host = host
        self._port = port
        self._now = now
        self._boundary = boundary
        self._delay_seconds = delay_seconds
        self._waiting: asyncio.Queue[Outgoing] = asyncio.Queue(MAX_WAITING)

    def put(self, kind: Notice, about: Sent) -> None:
        """Sends it after a while, at best."""
        try:
            self._waiting.put_nowait(Outgoing(kind, about))
        except asyncio.QueueFull:
            _dropped.inc()

    async def run(self) -> None:
        """Sends what waits, until cancelled."""
        while True:
            batch = [await self._waiting.get()]
            await asyncio.sleep(self._delay_seconds)
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await self._send([(notice.about.return_path, self._written(notice)) for notice in batch])

    def _written(self, notice: Outgoing) -> bytes:
        return _WRITERS[notice.kind](notice.about, self._now(), self._boundary())

    async def _send(self, batch: list[tuple[str, bytes]]) -> None:
        for pause in RETRY_SECONDS:
            await asyncio.sleep(pause)
            try:
                # smtplib in a thread rather than a second client library: it is best effort, a few at a time.
                await asyncio.to_thread(_post, self._host, self._port, batch)
            except (OSError, smtplib.SMTPException) as failure:
                error = failure
            else:
                return
        _dropped.inc(len(batch))
        structlog.get_logger("mailbox").warning("notices_dropped", count=len(batch), error=type(error).__name__)


def _post(host: str, port: int, batch: list[tuple[str, bytes]]) -> None:
    """Sends from the empty reverse path; removes from `batch` what was answered: a repeat sends the rest only."""
    with smtplib.SMTP(host, port, local_hostname=HOST, timeout=TIMEOUT_SECONDS) as connection:
        while batch:
            return_path, content = batch[0]
            try:
                connection.sendmail("", [return_path], content, _options(connection, content))
                _sent.inc()
            except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, UnicodeEncodeError):
                _refused.inc()
            del batch[0]


def _options(connection: smtplib.SMTP, content: bytes) -> Sequence[str]:
    connection.ehlo_or_helo_if_needed()
    return () if content.isascii() or not connection.has_extn("8bitmime") else ("BODY=8BITMIME",)
