"""The main path: a recipient is answered as the table says, a message is stored, and some answer later."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from services.local.mailbox.notices import Sent, sent
from shared.words.behaviours import ORDINARY, Behaviour, Notice, behaviour

TAKEN = "250 2.0.0 OK, kept for the page"
NOT_STORED = "451 4.3.0 The store of this mailbox does not answer, please try again later"
#: How many addresses the mailbox remembers to have greylisted; the oldest is forgotten first.
MAX_GREYLISTED = 10_000


class Mail(msgspec.Struct, frozen=True):
    """One message as it came: the envelope, and the bytes between DATA and the final dot."""

    return_path: str
    recipients: Sequence[str]
    raw: bytes


class StoreAway(Exception):
    """The store does not answer: the message was not taken."""


class Store(Protocol):
    async def keep(self, mail: Mail) -> None:
        """Returns when the mail is stored. StoreAway when it may not be."""


class Outbox(Protocol):
    def put(self, kind: Notice, about: Sent) -> None:
        """Sends it after a while, at best."""


class Mailbox:
    def __init__(self, store: Store, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._greylisted: dict[str, None] = {}

    def recipient(self, address: str) -> str:
        """The reply to RCPT TO."""
        known = behaviour(address)
        if known.first_time_only and not self._is_first_time(address.casefold()):
            return ORDINARY.reply
        return known.reply

    async def message(self, mail: Mail) -> str:
        """The reply to the final dot."""
        try:
            await self._store.keep(mail)
        except StoreAway:
            return NOT_STORED
        for address in mail.recipients:
            self._answer_later(behaviour(address), address, mail)
        return TAKEN

    def _answer_later(self, known: Behaviour, address: str, mail: Mail) -> None:
        # A message without return path is itself a notice: answering it would start a loop (RFC 5321 section 6.2).
        if known.notice and mail.return_path:
            self._outbox.put(known.notice, sent(mail.return_path, address, mail.raw))

    def _is_first_time(self, address: str) -> bool:
        if address in self._greylisted:
            return False
        if len(self._greylisted) >= MAX_GREYLISTED:
            del self._greylisted[next(iter(self._greylisted))]
        self._greylisted[address] = None
        return True
