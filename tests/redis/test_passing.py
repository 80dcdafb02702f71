"""Messages that a group has no use for are passed over in Redis; what it wants is handled as ever."""

import asyncio
from typing import Any

from shared.redis import bus as bus_module
from shared.redis import keys, passing
from shared.redis.bus import Consumer, Entry, Publisher, register
from shared.words import events, ids

PARTITIONS = 3
GROUP = "readers"
JOB = ids.new_job_id(1_700_000_000_000, b"chance", PARTITIONS, 1)
STREAM = keys.events(1)


def fact(kind: type[events.Fact], number: int) -> events.Fact:
    about = {"event_id": f"{number:016x}", "occurred_at": number, "tenant": "t", "job": JOB, "ordinal": number}
    return kind(**about)  # type: ignore[arg-type]


async def publish(client: Any, *kinds: type[events.Fact]) -> None:
    facts = [fact(kind, number) for number, kind in enumerate(kinds)]
    await Publisher(client, PARTITIONS, lambda: "batch").publish(facts)


async def read(client: Any, name: str = "one", count: int = 100) -> tuple[int, list[str]]:
    passed, found = await passing.read(client, STREAM, GROUP, name, count, ("Clicked", "Opened"))
    return passed, [fields[b"t"].decode() for _, fields in found]


async def test_what_is_passed_over_is_in_nobodys_hand_and_the_rest_is(client: Any) -> None:
    await register(client, STREAM, GROUP)
    await publish(client, events.Clicked, events.Delivered, events.Opened, events.Complained, events.Clicked)

    assert await read(client, count=2) == (1, ["Delivered"])
    assert await read(client) == (2, ["Complained"])
    assert await read(client) == (0, [])

    in_hand = await client.xpending_range(STREAM, GROUP, "-", "+", 10)
    assert [one["consumer"] for one in in_hand] == [b"one", b"one"]
    groups = await client.xinfo_groups(STREAM)
    (newest,) = await client.xrevrange(STREAM, count=1)
    assert groups[0]["last-delivered-id"] == newest[0]


async def test_of_a_newer_version_nothing_is_passed_over(client: Any) -> None:
    await register(client, STREAM, GROUP)
    await client.xadd(STREAM, {"t": "Clicked", "v": events.MAJOR_VERSION + 1, "b": b""})
    await client.xadd(STREAM, {"t": "ClickedTwice", "v": events.MAJOR_VERSION, "b": b""})

    assert await read(client) == (0, ["Clicked", "ClickedTwice"])


async def test_a_consumer_handles_all_but_what_it_passes_over_and_a_dead_ones_hand_is_taken_over(
    client: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(bus_module, "BLOCK_MS", 50)
    handled: list[str] = []
    stopping = asyncio.Event()

    async def keep(_partition: int, entries: Any) -> None:
        handled.extend(one.name for one in entries if isinstance(one, Entry))

    await register(client, STREAM, GROUP)
    await publish(client, events.Clicked, events.Delivered, events.Clicked)
    await read(client, "dead")
    consumer = Consumer(
        client, PARTITIONS, keys.events, GROUP, "one", keep, passes=("Clicked",), claim_after_ms=1, batch=2
    )
    await consumer.create_groups()
    running = asyncio.create_task(consumer.run(stopping))
    try:
        async with asyncio.timeout(60):
            while "Delivered" not in handled:  # noqa: ASYNC110 - Redis's state
                await asyncio.sleep(0.01)
            await Publisher(client, PARTITIONS, lambda: "next").publish(
                [fact(kind, 10) for kind in (events.Clicked, events.Clicked, events.Complained, events.Clicked)]
            )
            while "Complained" not in handled:  # noqa: ASYNC110 - Redis's state
                await asyncio.sleep(0.01)
            while (await client.xpending(STREAM, GROUP))["pending"]:  # noqa: ASYNC110 - Redis's state
                await asyncio.sleep(0.01)
    finally:
        stopping.set()
        await running

    # The first after a pause may be one that is passed over.
    assert [name for name in handled if name != "Clicked"] == ["Delivered", "Complained"]
