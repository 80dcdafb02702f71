"""Sessions of the console in Redis: who signed in, until when, and their key, sealed (`session_keys`)."""

from collections.abc import Callable

import msgspec

from services.pages.session_keys import NONCE_BYTES, SECRET_BYTES, SessionKeys
from shared.redis import keys
from shared.redis.redis import Client

HOUR_MS = 3_600_000


class Session(msgspec.Struct, frozen=True, array_like=True):
    """`sealed` is the key. Its repr shows nothing of it."""

    tenant: str
    key_id: str
    scopes: tuple[str, ...]
    sealed: bytes

    def __repr__(self) -> str:
        return f"Session({self.tenant}, {self.key_id})"


class SignedIn(msgspec.Struct, frozen=True):
    """A session, as the request that belongs to it needs it: `secret` is what the cookie holds, `key` the text of the
    API key."""

    secret: str
    tenant: str
    key_id: str
    scopes: tuple[str, ...]
    key: str

    def __repr__(self) -> str:
        return f"SignedIn({self.tenant}, {self.key_id})"


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Session)


class Sessions:
    """`chance(n)` gives n unpredictable bytes. Every coroutine raises RedisAway."""

    def __init__(self, client: Client, session_keys: SessionKeys, hours: int, chance: Callable[[int], bytes]) -> None:
        self._client = client
        self._keys = session_keys
        self._hours = hours
        self._chance = chance

    def new_secret(self) -> str:
        """Of a session that nobody has signed in to yet: it has no record."""
        return self._chance(SECRET_BYTES).hex()

    async def begin(self, key: str, tenant: str, key_id: str, scopes: tuple[str, ...]) -> str:
        """The secret of a new session, which no cookie from before has (session fixation)."""
        secret = self.new_secret()
        sealed = self._keys.seal(key, secret, self._chance(NONCE_BYTES))
        record = _encoder.encode(Session(tenant, key_id, scopes, sealed))
        await self._client.set(keys.page_session(self._keys.names(secret)[0]), record, px=self._hours * HOUR_MS)
        return secret

    async def find(self, secret: str) -> SignedIn | None:
        """Whose it is; None if nobody is signed in, or not any more."""
        for name in self._keys.names(secret):
            record = await self._client.get(keys.page_session(name))
            if record is None:
                continue
            found = _decoder.decode(record)
            key = self._keys.open(found.sealed, secret)
            if key is not None:
                return SignedIn(secret, found.tenant, found.key_id, found.scopes, key)
        return None

    async def end(self, secret: str) -> None:
        for name in self._keys.names(secret):
            await self._client.delete(keys.page_session(name))
