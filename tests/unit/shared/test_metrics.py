"""Each process serves its counters on a port of its own."""

import aiohttp
import prometheus_client
import pytest

from shared.process import metrics


async def ready() -> str | None:
    return None


async def test_a_free_port_is_found_and_what_was_counted_is_served() -> None:
    registry = prometheus_client.CollectorRegistry()
    counter = prometheus_client.Counter("estafette_test_things", "Things.", registry=registry)
    counter.inc(3)

    server = await metrics.serve("127.0.0.1", 0, ready, registry)
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{server.port}/metrics") as answer:
            text = await answer.text()
    finally:
        await server.close()

    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "estafette_test_things_total 3.0" in text


async def test_a_taken_port_is_an_error_and_leaves_nothing_open() -> None:
    server = await metrics.serve("127.0.0.1", 0, ready)
    try:
        with pytest.raises(OSError, match=str(server.port)):
            await metrics.serve("127.0.0.1", server.port, ready)
    finally:
        await server.close()
