"""Mail kept for inspection, in Redis: the newest `MAX_MAILS`, each cut at `MAX_MAIL_BYTES`, all within `MAX_BYTES`.

Anybody may write to postmaster@, so the bound on all of them together is what protects Redis; the oldest go first.
"""

from collections.abc import Callable

import msgspec

from services.bounces.bounces import Received
from shared.redis import keys
from shared.redis.redis import Client, Script

MAX_MAILS = 10_000
MAX_MAIL_BYTES = 256 * 1024
MAX_BYTES = 64 * 1024 * 1024

_KEEP = Script.of(__file__, "kept_keep", kept=True)


class KeptMail(msgspec.Struct, frozen=True, array_like=True):
    """`raw` is the mail, cut at MAX_MAIL_BYTES; `size_bytes` what it was. `tenant` is "" where the mail names nobody's
    message."""

    at_ms: int
    reason: str
    tenant: str
    peer: str
    sender: str
    recipients: tuple[str, ...]
    size_bytes: int
    raw: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(KeptMail)


class KeptMails:
    """Both sides: `keep` for the service, `newest` and `one` for inspection. All raise RedisAway."""

    def __init__(
        self, client: Client, now_ms: Callable[[], int], max_mails: int = MAX_MAILS, max_bytes: int = MAX_BYTES
    ) -> None:
        self._client = client
        self._now_ms = now_ms
        self._bounds = (max_mails, max_bytes)

    async def keep(self, reason: str, received: Received, tenant: str) -> None:
        mail = KeptMail(
            self._now_ms(),
            reason,
            tenant,
            received.peer,
            received.sender,
            received.recipients,
            len(received.raw),
            received.raw[:MAX_MAIL_BYTES],
        )
        packed = _encoder.encode(mail)
        await _KEEP(self._client, [keys.kept_mail(), keys.kept_mail_bytes()], [len(packed), packed, *self._bounds])

    async def newest(self, before: str | None, limit: int) -> list[tuple[str, KeptMail]]:
        """At most `limit` with their ids, newest first; those older than the mail `before` where one is given."""
        last = f"({before}" if before else "+"
        found = await self._client.xrevrange(keys.kept_mail(), last, "-", count=limit)
        return [(entry_id.decode(), _decoder.decode(fields[b"m"])) for entry_id, fields in found]

    async def one(self, mail_id: str) -> KeptMail | None:
        found = await self._client.xrange(keys.kept_mail(), mail_id, mail_id)
        return _decoder.decode(found[0][1][b"m"]) if found else None
