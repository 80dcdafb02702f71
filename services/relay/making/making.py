"""Makes mails: those next in line while others are on their way, so that no connection waits for a signature.

A mail that was made and could not go yet is good for a while: a signature is the dearest part of it. One whose
recipient withdrew their consent to be tracked since it was made is made again, without pixel and with plain links.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from services.relay.message.line import Line
from services.relay.message.mail import Made, Mail, Unmade
from shared.words import events

#: A mail is good for so long: its date, and its domain, which may be taken away.
GOOD_S = 5.0
#: And kept if it is no larger: two thousand with attachments would be more than the memory there is.
KEPT_BYTES = 131_072


class Mails(Protocol):
    async def make(self, ready: events.Ready, *, signed: bool = True) -> Made | Unmade:
        """The mail of a message, or why there is none; not `signed` where the host that takes it does that. Raises
        RedisAway."""

    def size_bytes(self, ready: events.Ready) -> int | None:
        """About how large its mail is; None if that is not known yet."""

    def is_withdrawn(self, ready: events.Ready) -> bool:
        """Whether its recipient withdrew their consent to be tracked, as far as is known here."""


class Outdated(Exception):
    """The mail was made for somebody who was tracked then, and is not any more."""


class Making:
    """One for a relay process. `monotonic` in seconds; `signs`: whether what goes to a site is signed here."""

    def __init__(
        self, mails: Mails, monotonic: Callable[[], float], signs: Callable[[str], bool] = lambda site: True
    ) -> None:
        self._mails = mails
        self._signs = signs
        self._monotonic = monotonic

    def ahead(self, line: Line[Any], now: float) -> None:
        """Begins to make those next in line: one for each worker, half of them at a time, so that their signatures are
        asked for together."""
        workers = len(line.workers)
        unmade = [mail for mail in line.next(workers, now) if mail.making is None and mail.made is None]
        if 2 * len(unmade) < workers:
            return
        for mail in unmade:
            size_bytes = self._mails.size_bytes(mail.ready)
            if size_bytes is not None and size_bytes <= KEPT_BYTES:
                mail.making = making = asyncio.create_task(self._make(mail), name="ahead")
                making.add_done_callback(_looked_at)

    async def made(self, mail: Mail) -> Made | Unmade:
        """The mail of a message whose turn it is. RedisAway."""
        if (making := mail.making) is not None:
            mail.making = None
            mail.made = await making
        if mail.made is None or self._monotonic() - mail.made[1] > GOOD_S or self._is_outdated(mail):
            mail.made = await self._make(mail)
        return mail.made[0]

    def check(self, mail: Mail) -> None:
        """The mail is about to leave. Outdated: it has to be made again."""
        if self._is_outdated(mail):
            raise Outdated

    def _is_outdated(self, mail: Mail) -> bool:
        made = mail.made[0] if mail.made is not None else None
        return isinstance(made, Made) and made.tracked and self._mails.is_withdrawn(mail.ready)

    def settle(self, mail: Mail, *, keep: bool) -> None:
        """Its attempt is over. `keep`: it could not go, and is made again only if it waits for long."""
        if not keep or (mail.made and isinstance(mail.made[0], Made) and len(mail.made[0].message) > KEPT_BYTES):
            mail.made = None

    async def _make(self, mail: Mail) -> tuple[Made | Unmade, float]:
        began = self._monotonic()
        return await self._mails.make(mail.ready, signed=self._signs(mail.lease.site)), began


def _looked_at(making: "asyncio.Task[tuple[Made | Unmade, float]]") -> None:
    """Retrieves the exception of a mail that nobody waits for any more, so that asyncio does not warn of it."""
    if not making.cancelled():
        making.exception()
