"""Where messages are kept: a Redis stream of envelopes and headers, and beside it a hash of the whole messages.

The SMTP process writes, the HTTP process reads. Lists need envelopes and headers only, so that paging through a
thousand mails with attachments stays cheap. A message's id is its stream entry's: it sorts by time, and says when it
came.
"""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from services.local.mailbox.mailbox import Mail, StoreAway
from services.local.mailbox.notices import head
from shared.process.together import Together
from shared.redis import keys
from shared.redis.commands import Entries
from shared.redis.redis import (
    Client,
    RedisAway,
    Script,
)

#: All messages together: what a newcomer's Redis can spare. The oldest go first.
KEEP_BYTES = 64 * 1024 * 1024
#: Of a header, what lists have at hand. Ours have some 2 kB.
MAX_HEAD_BYTES = 8 * 1024
#: In one script call; Redis serves nobody else while it runs.
MAX_BATCH_MESSAGES = 200
MAX_BATCH_BYTES = 1024 * 1024
#: Entries read at a time while searching for an address.
SCAN = 200

_KEEP = Script.of(__file__, "store_keep")


class Kept(msgspec.Struct, frozen=True):
    """One message in a list: its envelope and the beginning of its header."""

    id: str
    return_path: str
    recipients: list[str]
    head: bytes
    size_bytes: int

    @property
    def received_ms(self) -> int:
        return int(self.id.partition("-")[0])

    def concerns(self, address: str) -> bool:
        """Whether the text is part of an address of the envelope; any letter case."""
        sought = address.casefold()
        return any(sought in known.casefold() for known in (self.return_path, *self.recipients))

    def is_to(self, address: str) -> bool:
        return address.casefold() in (known.casefold() for known in self.recipients)


class Writer:
    """Stores messages, all that wait in one script call: under load a message is not a round trip."""

    def __init__(self, client: Client, keep: int, keep_bytes: int = KEEP_BYTES) -> None:
        self._client = client
        self._limits = (keep, keep_bytes)
        self._together = Together(
            self._write,
            most=MAX_BATCH_MESSAGES,
            weight=lambda mail: len(mail.raw),
            heaviest=MAX_BATCH_BYTES,
            name="mailbox",
        )

    async def keep(self, mail: Mail) -> None:
        """Returns when the mail is stored. StoreAway when it may not be."""
        await self._together.ask(mail)

    async def _write(self, mails: Sequence[Mail]) -> list[None]:
        args: list[str | bytes | int] = list(self._limits)
        for mail in mails:
            args += (mail.return_path, "\n".join(mail.recipients), head(mail.raw)[:MAX_HEAD_BYTES], mail.raw)
        try:
            await _KEEP(self._client, _all_keys(), [_bytes(arg) if isinstance(arg, str) else arg for arg in args])
        except RedisAway as away:
            raise StoreAway(str(away)) from away
        except Exception as refused:  # out of memory, read-only …: whoever waits must be answered in any case
            raise StoreAway(f"{type(refused).__name__}: {refused}") from refused
        return [None] * len(mails)


class Reader:
    """What the page and its JSON read. Every method raises RedisAway when Redis does not answer."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def count(self) -> int:
        return await self._client.xlen(keys.mailbox_messages())

    async def newest(self, before: str, address: str, limit: int) -> tuple[list[Kept], bool]:
        """Messages before that id ("": from the newest on) that concern the address, and whether there are more."""
        found: list[Kept] = []
        async for kept in self._backwards(f"({before}" if before else "+"):
            if not address or kept.concerns(address):
                if len(found) == limit:
                    return found, True
                found.append(kept)
        return found, False

    async def since(self, after: str, to: str, limit: int) -> tuple[list[Kept], str]:
        """Messages after that id ("": from the oldest on) to that recipient, oldest first, and where to go on."""
        found: list[Kept] = []
        position = after
        async for kept in self._forwards(f"({after}" if after else "-"):
            position = kept.id
            if not to or kept.is_to(to):
                found.append(kept)
                if len(found) == limit:
                    break
        return found, position

    async def one(self, message_id: str) -> tuple[Kept, bytes] | None:
        """The message and all its bytes; None when it is not, or no longer, kept."""
        entries = _entries(await self._client.xrange(keys.mailbox_messages(), message_id, message_id))
        raw = await self.raw([message_id])
        return (entries[0], raw[0]) if entries and raw[0] else None

    async def raw(self, message_ids: Sequence[str]) -> list[bytes]:
        """The bytes of those messages; empty for one that is gone."""
        if not message_ids:
            return []
        found = await self._client.hmget(keys.mailbox_bodies(), list(message_ids))
        return [raw or b"" for raw in found]

    async def empty(self) -> None:
        await self._client.delete(*_all_keys())

    async def _backwards(self, position: str) -> AsyncIterator[Kept]:
        while found := await self._client.xrevrange(keys.mailbox_messages(), position, "-", count=SCAN):
            entries = _entries(found)
            for kept in entries:
                yield kept
            position = f"({entries[-1].id}"

    async def _forwards(self, position: str) -> AsyncIterator[Kept]:
        while found := await self._client.xrange(keys.mailbox_messages(), position, "+", count=SCAN):
            entries = _entries(found)
            for kept in entries:
                yield kept
            position = f"({entries[-1].id}"


def is_message_id(text: str) -> bool:
    """Whether it is the id of a stream entry as Redis writes it: two numbers of 64 bits."""
    numbers = text.split("-")
    return (
        len(numbers) == 2
        and all(number.isascii() and number.isdigit() and len(number) <= 20 for number in numbers)
        and all(int(number) < 2**64 for number in numbers)
    )


def _all_keys() -> list[str]:
    return [keys.mailbox_messages(), keys.mailbox_bodies(), keys.mailbox_bytes()]


def _entries(found: Entries) -> list[Kept]:
    return [_kept(entry_id, fields) for entry_id, fields in found]


def _kept(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Kept:
    return Kept(
        id=entry_id.decode(),
        return_path=fields[b"f"].decode("utf-8", "replace"),
        recipients=fields[b"t"].decode("utf-8", "replace").split("\n"),
        head=fields[b"h"],
        size_bytes=int(fields[b"s"]),
    )


def _bytes(text: str) -> bytes:
    """SMTP commands come with the bytes that are not UTF-8 as surrogates."""
    return text.encode("utf-8", "surrogateescape")
