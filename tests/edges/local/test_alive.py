"""A container is healthy while what runs in it is alive, whichever service it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.local.alive import answers, verdict
from services.settings import load
from shared.process import metrics
from tests.servers import ANY_METRICS_PORT, free_port


async def ready() -> str | None:
    return None


@asynccontextmanager
async def here(why_not: str | None = None) -> AsyncIterator[int]:
    server = await metrics.serve("127.0.0.1", 0, ready, liveness=lambda: why_not)
    try:
        yield server.port
    finally:
        await server.close()


async def told(**ports: int) -> dict[str, str | None]:
    environ = {f"ESTAFETTE_{name.upper()}_METRICS_PORT": str(port) for name, port in ports.items()}
    settings = load({**ANY_METRICS_PORT, **environ}, None)
    return await asyncio.to_thread(lambda: dict(answers(settings)))


async def test_who_listens_and_says_200_is_alive_and_others_are_not_here() -> None:
    async with here() as port:
        assert await told(relay=port, http=free_port()) == {"relay": None}


async def test_who_hangs_is_told_with_the_reason() -> None:
    async with here("leases were not renewed for 40 s") as port, here() as other:
        found = await told(relay=port, reports=other)

    assert verdict(found) == "relay: leases were not renewed for 40 s"


async def test_where_nobody_is_nobody_is_alive() -> None:
    assert verdict(await told(relay=free_port())) == "no process listens on a metrics port"
