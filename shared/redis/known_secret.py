"""Whether this process has the installation's master secret: its fingerprint is in Redis, and another one is refused.

With two secrets (two data directories beside one Redis) nothing fails at once: links and return paths of the one
process are forgeries to the other, and its DKIM keys cannot be opened, so that mail waits until it is over.

The fingerprint is an HMAC-SHA256 of a fixed text, with the secret as its key: whoever reads Redis could tell the secret
if they had it, and learns nothing else of 32 random bytes.

    first start             this secret's fingerprint is stored
    the same secret         goes on
    a former one is stored  that of `secret.previous_key_files`: the secret was changed, and the new one is stored
    any other               WrongSecret

A process that is refused ends, and tells nothing any more: so it leaves a word in Redis, which is told as a metric
(`services.reports.survey`) until a process of its name starts with the right one.

While a change is rolled out, processes with the new secret and its predecessor may meet those that have been told both
the other way round (`key_file` the old one, `previous_key_files` the new one): each goes on, and stores its own.
"""

import hmac
from contextlib import suppress
from hashlib import sha256

from shared.process.lifecycle import Lifecycle, pause
from shared.process.master_secret import MasterSecret, NoSecret
from shared.process.settings import Settings
from shared.redis import keys, redis
from shared.redis.redis import Client, Script

#: Nothing else is derived from the secret with this text.
_LABEL = b"estafette: fingerprint of the master secret, 1"
#: Half of it is enough to tell two secrets apart, in characters of hex.
_CHARS = 32
#: Between two looks for a Redis that is away.
RETRY_SECONDS = 0.5
#: For so long a refusal is told: longer than any supervisor waits before it tries again (Kubernetes: five minutes).
REFUSED_MS = 600_000

_KNOW = Script.of(__file__, "known_secret_know", kept=True)


class WrongSecret(NoSecret):
    """Redis was used with another master secret than this process has. The message says what to do."""


def fingerprint(secret: bytes) -> str:
    return hmac.new(secret, _LABEL, sha256).hexdigest()[:_CHARS]


async def check(client: Client, settings: Settings, secret: MasterSecret) -> None:
    """WrongSecret, RedisAway."""
    own = fingerprint(secret.current)
    stored = await _KNOW(client, [keys.master_secret()], [own, *map(fingerprint, secret.previous)])
    if (stored.decode() if isinstance(stored, bytes) else stored) != own:
        raise WrongSecret(
            f"secret.key_file (ESTAFETTE_SECRET_KEY_FILE): {settings.secret_file.absolute()} holds another master"
            " secret than this Redis was used with: links, return paths and DKIM keys of the two exclude each other."
            " Name the same file everywhere (a copy of the first one's). If the secret was changed on purpose, name the"
            " former file in secret.previous_key_files. If that is lost: `estafette secret accept`"
        )


async def accept(client: Client, secret: MasterSecret) -> None:
    """From now on this is the installation's, whatever was before. RedisAway."""
    await client.set(keys.master_secret(), fingerprint(secret.current))


async def is_known(life: Lifecycle, client: Client, secret: MasterSecret) -> bool:
    """True once Redis answers and knows the secret; False if the process is to stop before that. WrongSecret."""
    while not life.stopping.is_set():
        try:
            await _check_and_tell(client, life, secret)
        except redis.RedisAway:
            await pause(life.stopping, RETRY_SECONDS)
        else:
            return True
    return False


async def _check_and_tell(client: Client, life: Lifecycle, secret: MasterSecret) -> None:
    """As `check`; a refusal is told by the name of the process, and the end of it as well."""
    try:
        await check(client, life.settings, secret)
    except WrongSecret:
        with suppress(redis.RedisAway):  # why it was refused is worth more
            await client.set(keys.refused_secret(life.name), "1", px=REFUSED_MS)
        raise
    await client.delete(keys.refused_secret(life.name))
