"""What every command begins and ends with: the settings in force, a client of Redis, a sentence where it fails."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

import click

from shared.process.settings import Settings, SettingsError

T = TypeVar("T")


def in_force() -> Settings:
    """The settings as they are read here and now."""
    from services import settings as joined

    try:
        return joined.read()
    except SettingsError as error:
        fail(str(error))


def with_redis(work: Callable[[Any, Settings], Awaitable[T]]) -> T:
    """Does `work` with a client of the Redis in force: that of the settings, or the one that `estafette run` runs."""
    from shared.mail.dkim_keys import CannotOpen
    from shared.redis import redis, start
    from shared.redis.sending_domains import DomainHeld, DomainTaken

    settings = in_force()
    running = settings.data.path / "redis.url"
    url = settings.redis.url or (running.read_text("ascii").strip() if running.exists() else "")
    if not url:
        fail(f"no Redis: set redis.url, or start `estafette run` in {settings.data.path.resolve()}")

    async def working() -> T:
        client = redis.connect(url, start.wants(settings))
        try:
            return await work(client, settings)
        finally:
            await redis.close(client)

    try:
        return asyncio.run(working())
    except redis.NotLetIn as error:
        fail(str(error))
    except redis.RedisAway as error:
        fail(f"Redis does not answer: {error}")
    except redis.Refused as error:
        fail(f"Redis refuses a command: {error}")
    except (CannotOpen, DomainHeld, DomainTaken) as error:
        fail(str(error))
    except (ValueError, LookupError) as error:
        fail(str(error.args[0]) if isinstance(error, KeyError) else str(error))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def address_key(address: str) -> str:
    """An address that somebody typed, as lists spell it."""
    from shared.mail import addresses

    try:
        return addresses.parse(address).key
    except addresses.InvalidAddress as fault:
        fail(f"{address!r:.100} is not an address: {fault}")


async def need_tenant(client: Any, tenant: str) -> None:
    """LookupError if there is none of that name."""
    from shared.redis.tenants import Tenants

    if await Tenants(client).get(tenant) is None:
        raise LookupError(f"there is no tenant {tenant}")


def day(at_ms: int) -> str:
    """The day of a time, in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


def minute(at_ms: int) -> str:
    """A time to the minute, in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")


def fail(message: str) -> NoReturn:
    """Ends the command with a sentence and exit code 2."""
    click.echo(f"estafette: {message}", err=True)
    raise SystemExit(2)
