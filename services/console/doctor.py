"""`estafette doctor`: what of the installation is not as it should be, as far as Redis and the settings tell."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import click

from services.console.session import with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.settings import Settings

#: A group of readers that has not been heard of for so long does not run.
SILENT_MS = 120_000


class Finding(NamedTuple):
    """What was looked at, whether it is as it should be, and what was found."""

    check: str
    is_well: bool
    found: str


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Look at the installation: storage, secret, readers, relays, dead entries, what is held. Exit code 1 if something
    is not as it should be."""

    async def look(client: Any, settings: Settings) -> list[Finding]:
        return [one async for one in _findings(client, settings)]

    found = with_redis(look)
    if as_json:
        show_json([one._asdict() for one in found])
    else:
        show_table(("check", "", "found"), [(one.check, "ok" if one.is_well else "LOOK", one.found) for one in found])
    if not all(one.is_well for one in found):
        raise SystemExit(1)


async def _findings(client: Any, settings: Settings) -> AsyncIterator[Finding]:
    from shared.redis import redis

    partitions = await redis.stored_partitions(client)
    same = partitions in (0, settings.redis.partitions)
    yield Finding("partitions", same, f"{partitions} in Redis, {settings.redis.partitions} in the settings")
    is_durable, why = await redis.durability(client)
    yield Finding("durable", is_durable, why)
    yield await _installation(client, settings)
    yield await _secret(client, settings)
    async for one in _readers(client, settings.redis.partitions):
        yield one
    yield await _relays(client, settings.redis.partitions)
    yield await _dead(client, settings.redis.partitions)
    yield await _held(client)


async def _installation(client: Any, settings: Settings) -> Finding:
    from shared.redis import installation, start

    try:
        await start.installation(client, settings).still()
    except installation.NotOurs as words:
        return Finding("installation", False, str(words))
    return Finding("installation", True, "the data is what is remembered here")


async def _secret(client: Any, settings: Settings) -> Finding:
    from shared.process import master_secret
    from shared.redis import known_secret

    try:
        await known_secret.check(client, settings, master_secret.load(settings, make=False))
    except (known_secret.WrongSecret, master_secret.NoSecret) as words:
        return Finding("master secret", False, str(words))
    return Finding("master secret", True, "Redis is used with the one that is named here")


async def _readers(client: Any, partitions: int) -> AsyncIterator[Finding]:
    """Of each group of readers of the events: whether it runs, and how much it has not acknowledged."""
    from shared.redis import keys

    pending: dict[str, int] = {}
    silent: dict[str, int] = {}
    for p in range(partitions):
        for name, ms in (await client.hgetall(keys.readers(keys.events(p)))).items():
            group = name.decode().removeprefix("silent:")
            if group != "looked":
                silent[group] = max(silent.get(group, 0), int(ms))
        for one in await client.xinfo_groups(keys.events(p)) if await client.exists(keys.events(p)) else ():
            group = one["name"].decode()
            pending[group] = pending.get(group, 0) + int(one["pending"]) + int(one.get("lag") or 0)
    for group in sorted({*pending, *silent}):
        ms = silent.get(group, 0)
        heard = f", not heard of for {ms // 1000} s" if ms > SILENT_MS else ""
        yield Finding(f"readers: {group}", ms <= SILENT_MS, f"{pending.get(group, 0)} events behind{heard}")


async def _relays(client: Any, partitions: int) -> Finding:
    from shared.process.clock import now_ms
    from shared.redis import keys

    alive: set[bytes] = set()
    for p in range(partitions):
        alive |= {*await client.zrangebyscore(keys.relays(p, "email"), now_ms(), "+inf")} - {b"(asked)"}
    found = f"{len(alive)} hold leases" if alive else "none holds a lease: no mail is sent"
    return Finding("relays", bool(alive), found)


async def _dead(client: Any, partitions: int) -> Finding:
    from shared.redis.dead import DeadLetters

    found = await DeadLetters(client, partitions).page(None, "", 1)
    return Finding("dead entries", not found, "`estafette dead list` shows them" if found else "none")


async def _held(client: Any) -> Finding:
    """What is stopped is somebody's decision, and no fault."""
    from shared.redis.cancels import CancelList
    from shared.redis.moves import MoveList
    from shared.redis.stops import StopList

    stops, cancels, moves = await StopList(client).all(), await CancelList(client).all(), await MoveList(client).all()
    found = f"{len(stops)} stopped, {len(cancels)} being cancelled, {len(moves)} moved"
    return Finding("on somebody's word", True, found)
