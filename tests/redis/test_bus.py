"""The bus against a real Redis and a real cluster: stored once, handled, taken over, given up, trimmed, killed."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from shared.redis import bus as bus_module
from shared.redis import keys, redis
from shared.redis.bus import (
    BusUnavailable,
    Consumer,
    DeadLetter,
    Entry,
    Publisher,
)
from shared.redis.trimming import trim
from shared.words import events, ids
from tests.servers import RedisServer
from tests.tasks import gone

PARTITIONS = 3
GROUP = "readers"
RETENTION_MS = 7 * 86_400_000
JOB = ids.new_job_id(1_700_000_000_000, b"chance", PARTITIONS, 1)


@pytest.fixture(autouse=True)
def short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers notice sooner that a test is over."""
    monkeypatch.setattr(bus_module, "BLOCK_MS", 50)


def publisher(client: Any) -> Publisher:
    names = (f"batch{number}" for number in itertools.count())
    return Publisher(client, PARTITIONS, lambda: next(names))


def opened(number: int) -> events.Opened:
    return events.Opened(event_id=f"{number:016x}", occurred_at=number, tenant="t", job=JOB, ordinal=number)


def delivered(ordinal: int, event_id: str = "d") -> events.Delivered:
    return events.Delivered(event_id=event_id, occurred_at=5, tenant="t", job=JOB, ordinal=ordinal)


async def stored(client: Any, partition: int = 1) -> list[Entry]:
    """What is on the stream, or on its dead-letter stream with `dead`."""
    found = await client.xrange(keys.events(partition))
    return [Entry(number.decode(), f[b"t"].decode(), int(f[b"v"]), f[b"b"]) for number, f in found]


async def until(condition: Callable[[], Any]) -> None:
    """Waits for what must come; the test fails after half a minute."""
    async with asyncio.timeout(60):
        while not (await done if asyncio.iscoroutine(done := condition()) else done):  # noqa: ASYNC110 - Redis's state
            await asyncio.sleep(0.01)


class Reader:
    """A running consumer whose handler is `call`, or keeps what it is handed."""

    def __init__(self, client: Any, name: str = "one", *, call: Any = None, **options: Any) -> None:
        self.handled: list[Entry] = []
        self.batches: list[int] = []
        self._stopping = asyncio.Event()
        self.consumer = Consumer(
            client, PARTITIONS, keys.events, GROUP, name, call or self._keep, **{"claim_after_ms": 60_000, **options}
        )
        self._task: asyncio.Task[None] | None = None

    async def _keep(self, _partition: int, entries: Sequence[Entry]) -> None:
        self.batches.append(len(entries))
        self.handled += entries

    @property
    def numbers(self) -> list[int]:
        return [entry.message().ordinal for entry in self.handled]  # type: ignore[attr-defined]

    async def __aenter__(self) -> "Reader":
        await self.consumer.create_groups()
        self._task = asyncio.create_task(self.consumer.run(self._stopping))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._stopping.set()
        await self._task

    async def die(self) -> None:
        assert self._task is not None
        await gone(self._task)


async def pending(client: Any, partition: int = 1) -> int:
    return int((await client.xpending(keys.events(partition), GROUP))["pending"])


async def test_facts_are_stored_in_their_order_in_the_partition_of_their_job_or_address(client: Any) -> None:
    address = events.Suppressed(event_id="s", occurred_at=1, tenant="t", email="a@b.example", reason="manual")
    far = ids.name_partition("t/a@b.example", PARTITIONS)

    await publisher(client).publish([opened(1), address, opened(2)])

    mails = [entry for entry in await stored(client) if entry.name == "Opened"]
    assert [entry.message() for entry in mails] == [opened(1), opened(2)]
    assert [entry.message() for entry in await stored(client, far) if entry.name == "Suppressed"] == [address]


async def test_a_batch_published_again_under_its_name_is_stored_once(client: Any) -> None:
    bus = publisher(client)

    for _ in range(3):
        await bus.publish([opened(1), opened(2)], batch="mine")
    await bus.publish([opened(1)], batch="another")

    assert [entry.message() for entry in await stored(client)] == [opened(1), opened(2), opened(1)]


async def test_more_facts_than_one_script_takes_are_all_stored(client: Any) -> None:
    await publisher(client).publish([opened(number) for number in range(1234)], batch="large")

    assert len(await stored(client)) == 1234


async def test_a_second_final_fact_of_a_message_is_dropped_and_a_late_bounce_is_not(client: Any) -> None:
    bus = publisher(client)
    bounced = events.Bounced(event_id="b", occurred_at=6, tenant="t", job=JOB, ordinal=7, kind="hard")
    late = events.Bounced(event_id="l", occurred_at=7, tenant="t", job=JOB, ordinal=7, kind="hard", late=True)

    await bus.publish([delivered(7), delivered(7, "again"), delivered(8)])
    await bus.publish([bounced, opened(7)])
    await bus.publish([late])

    assert [entry.message() for entry in await stored(client)] == [delivered(7), delivered(8), opened(7), late]


async def test_a_publisher_says_when_redis_is_away(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    client = redis.connect(server.url)
    bus = publisher(client)
    await bus.publish([opened(1)])

    server.kill()
    with pytest.raises(BusUnavailable):
        await bus.publish([opened(2)], patience_s=0.05, batch="later")
    server.start()
    await bus.publish([opened(2)], patience_s=60, batch="later")

    assert [entry.message() for entry in await stored(client)] == [opened(1), opened(2)]
    await redis.close(client)
    server.stop()


async def test_what_was_published_before_the_first_start_and_after_it_is_handled_in_order(client: Any) -> None:
    bus = publisher(client)
    await bus.publish([opened(number) for number in range(5)])

    async with Reader(client) as reader:
        await until(lambda: len(reader.handled) == 5)
        await bus.publish([opened(number) for number in range(5, 9)])
        await until(lambda: len(reader.handled) == 9)

    assert reader.numbers == list(range(9))
    assert await pending(client) == 0
    assert len(await stored(client)) == 9


async def test_each_entry_goes_to_one_reader_of_a_group(client: Any) -> None:
    async with Reader(client, "one", batch=3) as one, Reader(client, "two", batch=3) as two:
        await publisher(client).publish([opened(number) for number in range(60)])
        await until(lambda: len(one.handled) + len(two.handled) >= 60)

    assert sorted(one.numbers + two.numbers) == list(range(60))


async def test_acknowledged_work_is_removed_where_that_is_asked_for(client: Any) -> None:
    await publisher(client).publish([opened(1), opened(2)])

    async with Reader(client, remove=True) as reader:
        await until(lambda: len(reader.handled) == 2)

    assert await stored(client) == []


async def test_what_a_name_had_in_hand_when_it_died_comes_first_when_it_is_back(client: Any) -> None:
    reached = asyncio.Event()

    async def hang(_partition: int, _entries: Sequence[Entry]) -> None:
        reached.set()
        await asyncio.Event().wait()

    await publisher(client).publish([opened(1), opened(2)])
    dying = await Reader(client, call=hang).__aenter__()
    await reached.wait()
    await dying.die()
    await publisher(client).publish([opened(3)], batch="after")

    async with Reader(client) as reader:
        await until(lambda: len(reader.handled) == 3)

    assert reader.numbers == [1, 2, 3]


class Moments:
    """Stands for the time that a reader waits for what else comes: `goes_on` ends it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        self.goes_on = asyncio.Event()
        monkeypatch.setattr(bus_module, "pause", self._pause)

    async def _pause(self, _stopping: asyncio.Event, seconds: float) -> None:
        self.seconds.append(seconds)
        await self.goes_on.wait()


async def test_what_comes_next_is_gathered_and_what_comes_alone_is_read_at_once(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = Moments(monkeypatch)
    bus = publisher(client)

    async with Reader(client, gather_ms=500) as reader:
        await bus.publish([opened(1)])
        await until(lambda: moments.seconds)
        alone = list(reader.batches)
        for number in (2, 3, 4):
            await bus.publish([opened(number)])
        moments.goes_on.set()
        await until(lambda: len(reader.handled) == 4)

    assert alone == [1]
    assert reader.batches == [1, 3]
    assert all(0 < seconds <= 0.5 for seconds in moments.seconds)
    assert await pending(client) == 0


async def test_who_is_behind_waits_for_nothing(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = Moments(monkeypatch)
    await publisher(client).publish([opened(number) for number in range(6)])

    async with Reader(client, gather_ms=500, batch=2) as reader:
        await until(lambda: len(reader.handled) == 6)
        waited = list(moments.seconds)
        moments.goes_on.set()

    assert reader.batches == [2, 2, 2]
    assert waited == []


async def test_what_was_gathered_is_handled_by_the_next_one_where_a_reader_dies_with_it(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = Moments(monkeypatch)
    seen: list[int] = []
    reached = asyncio.Event()

    async def hang(_partition: int, entries: Sequence[Entry]) -> None:
        seen.append(len(entries))
        if len(entries) > 1:
            reached.set()
            await asyncio.Event().wait()

    dying = await Reader(client, call=hang, gather_ms=500).__aenter__()
    await publisher(client).publish([opened(1)])
    await until(lambda: moments.seconds)
    await publisher(client).publish([opened(2), opened(3)], batch="next")
    moments.goes_on.set()
    await reached.wait()
    await dying.die()

    async with Reader(client, gather_ms=500) as reader:
        await until(lambda: len(reader.handled) == 2)

    assert seen == [1, 2]
    assert reader.numbers == [2, 3]
    assert await pending(client) == 0


async def test_a_reader_that_gathers_stops_at_once(client: Any) -> None:
    await publisher(client).publish([opened(1)])

    async with asyncio.timeout(60), Reader(client, gather_ms=86_400_000) as reader:
        await until(lambda: len(reader.handled) == 1)

    assert reader.batches == [1]


async def test_a_dead_readers_entries_are_taken_over(client: Any) -> None:
    reached = asyncio.Event()

    async def hang(_partition: int, _entries: Sequence[Entry]) -> None:
        reached.set()
        await asyncio.Event().wait()

    await publisher(client).publish([opened(1), opened(2), opened(3)])
    dying = await Reader(client, "dead", call=hang).__aenter__()
    await reached.wait()
    await dying.die()

    async with Reader(client, "heir", claim_after_ms=100) as heir:
        await until(lambda: len(heir.handled) == 3)
        await until(lambda: _none_pending(client))

    assert heir.numbers == [1, 2, 3]


async def test_a_reader_that_is_gone_and_left_nothing_is_forgotten(client: Any) -> None:
    async with Reader(client, "gone"):
        pass
    await asyncio.sleep(0.3)

    async with Reader(client, "here", claim_after_ms=100, forget_after_ms=200):
        await until(lambda: _readers_are(client, {b"here"}))


async def _readers_are(client: Any, names: set[bytes]) -> bool:
    return {reader["name"] for reader in await client.xinfo_consumers(keys.events(1), GROUP)} == names


async def _none_pending(client: Any) -> bool:
    return await pending(client) == 0


@pytest.mark.parametrize("fault", [DeadLetter("nothing to be done"), ValueError("a bug")])
async def test_poison_is_buried_with_its_reason_and_holds_up_nobody(client: Any, fault: Exception) -> None:
    handled: list[int] = []

    async def call(_partition: int, entries: Sequence[Entry]) -> None:
        numbers = [entry.message().ordinal for entry in entries]  # type: ignore[attr-defined]
        if {3, 4} & set(numbers):
            raise fault
        handled.extend(numbers)

    bus = publisher(client)
    await bus.publish([opened(number) for number in range(10)])
    async with Reader(client, call=call):
        await until(lambda: len(handled) == 8)
        await bus.publish([opened(10)], batch="while poison waits")
        await until(lambda: 10 in handled)
        await until(lambda: _dead(client, 2))

    assert handled == [0, 1, 2, 5, 6, 7, 8, 9, 10]
    assert await pending(client) == 0
    entries = await stored(client)
    for (_, dead), number in zip(await client.xrange(keys.dead(keys.events(1))), (3, 4), strict=True):
        assert str(fault) in dead[b"reason"].decode()
        assert (dead[b"t"], dead[b"v"], dead[b"b"]) == (b"Opened", b"1", events.encode(opened(number)))
        assert dead[b"origin"].decode() == f"{keys.events(1)} {entries[number].stream_id} {GROUP}"


async def _dead(client: Any, number: int) -> bool:
    return bool(await client.xlen(keys.dead(keys.events(1))) == number)


async def test_a_failure_that_passes_is_repeated_and_not_buried(client: Any) -> None:
    handled: list[int] = []
    failures = iter([ValueError("once"), ValueError("twice"), ValueError("one of two alone")])

    async def call(_partition: int, entries: Sequence[Entry]) -> None:
        if fault := next(failures, None):
            raise fault
        handled.extend(entry.message().ordinal for entry in entries)  # type: ignore[attr-defined]

    await publisher(client).publish([opened(1), opened(2)])
    async with Reader(client, call=call):
        await until(lambda: len(handled) == 2)

    assert sorted(handled) == [1, 2]
    assert await client.xlen(keys.dead(keys.events(1))) == 0


async def test_redis_being_away_never_buries(client: Any) -> None:
    handled: list[int] = []
    away = iter([redis.RedisAway("away") for _ in range(6)])

    async def call(_partition: int, entries: Sequence[Entry]) -> None:
        if fault := next(away, None):
            raise fault
        handled.extend(entry.message().ordinal for entry in entries)  # type: ignore[attr-defined]

    await publisher(client).publish([opened(1)])
    async with Reader(client, call=call):
        await until(lambda: handled == [1])

    assert await client.xlen(keys.dead(keys.events(1))) == 0


NEWER = {"a name that is not known yet": ("Teleported", "1"), "a version that is not": ("Opened", "2")}


async def write(client: Any, name: str, version: str, number: str = "*") -> bytes:
    body = events.encode(opened(1))
    return cast(bytes, await client.xadd(keys.events(1), {"t": name, "v": version, "b": body}, id=number))


async def left(client: Any) -> list[bytes]:
    found = await client.xpending_range(keys.events(1), GROUP, "-", "+", 100, consumername=bus_module.LEFT)
    return [one["message_id"] for one in found]


@pytest.mark.parametrize("what", NEWER)
async def test_what_a_newer_program_wrote_is_left_for_a_newer_reader(client: Any, what: str) -> None:
    async with Reader(client) as reader:
        number = await write(client, *NEWER[what])
        await publisher(client).publish([opened(2)])

        await until(lambda: reader.numbers == [2])

        assert await left(client) == [number]
        assert await client.xlen(keys.dead(keys.events(1))) == 0


async def test_a_newer_reader_takes_what_older_ones_left(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Teleported(events.Fact, frozen=True, array_like=True, kw_only=True):
        pass

    async with Reader(client, "older", claim_after_ms=50):
        number = await write(client, "Teleported", "1")
        await until(lambda: left(client))
    monkeypatch.setitem(events.MESSAGES, "Teleported", Teleported)

    async with Reader(client, "newer", claim_after_ms=50) as newer:
        await until(lambda: newer.handled)
        await until(lambda: _none_pending(client))

    assert [(one.stream_id.encode(), one.name) for one in newer.handled] == [(number, "Teleported")]


async def test_what_no_newer_reader_came_for_in_three_days_is_buried(client: Any) -> None:
    async with Reader(client, now_ms=lambda: bus_module.NEWER_AFTER_MS + 1_000) as reader:
        young = await write(client, "Teleported", "1", "1001-1")
        await publisher(client).publish([opened(2)])
        await until(lambda: reader.numbers == [2])
        assert await left(client) == [young]
    async with Reader(client, now_ms=lambda: bus_module.NEWER_AFTER_MS + 1_001, claim_after_ms=50):
        await until(lambda: _none_pending(client))

    [(_, dead)] = await client.xrange(keys.dead(keys.events(1)))
    assert dead[b"t"] == b"Teleported"
    assert dead[b"reason"] == b"version 1 of Teleported is newer than every reader"


async def test_what_nobody_understands_is_hopeless() -> None:
    with pytest.raises(DeadLetter, match="version 2"):
        Entry("1-1", "Opened", 2, events.encode(opened(1))).message()
    with pytest.raises(DeadLetter, match="Teleported"):
        Entry("1-1", "Teleported", 1, b"\x90").message()
    with pytest.raises(DeadLetter, match="Opened"):
        Entry("1-1", "Opened", 1, b"\x01").message()


async def test_an_entry_deleted_while_in_hand_is_let_go(client: Any) -> None:
    await publisher(client).publish([opened(1), opened(2)])
    consumer = Reader(client).consumer
    await consumer.create_groups()
    await client.xreadgroup(GROUP, "one", {keys.events(1): ">"})
    await client.xdel(keys.events(1), (await stored(client))[0].stream_id)

    async with Reader(client) as reader:
        await until(lambda: len(reader.handled) == 1)
        await until(lambda: _none_pending(client))

    assert reader.numbers == [2]


async def test_a_consumer_goes_on_when_redis_was_killed_and_started_again(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    client = redis.connect(server.url)
    bus = publisher(client)
    try:
        async with Reader(client) as reader:
            await bus.publish([opened(1)])
            await until(lambda: len(reader.handled) == 1)
            await until(lambda: _none_pending(client))  # what is handled and not acknowledged would come again
            server.kill()
            server.start()
            await bus.publish([opened(2)], patience_s=60)
            await until(lambda: len(reader.handled) == 2)

        assert reader.numbers == [1, 2]
        assert await pending(client) == 0
    finally:
        await redis.close(client)
        server.stop()


async def test_a_group_that_was_lost_is_made_again(client: Any) -> None:
    async with Reader(client) as reader:
        await publisher(client).publish([opened(1)])
        await until(lambda: len(reader.handled) == 1)
        await client.delete(keys.events(1))
        await publisher(client).publish([opened(2)], batch="after")
        await until(lambda: len(reader.handled) == 2)

    assert reader.numbers == [1, 2]


# Trimming. Redis removes whole nodes of 100 entries.


async def fill(client: Any) -> list[str]:
    for start in range(0, 1000, 250):
        await publisher(client).publish([opened(number) for number in range(start, start + 250)], batch=str(start))
    return [entry.stream_id for entry in await stored(client)]


def ms(stream_id: str) -> int:
    return int(stream_id.partition("-")[0])


async def read(client: Any, group: str, count: int) -> None:
    """The group has read so many and acknowledged none."""
    await client.xreadgroup(group, "reader", {keys.events(1): ">"}, count=count)


async def register(client: Any, *groups: str) -> None:
    """As their readers do when they start."""

    async def nobody(_partition: int, _entries: Sequence[Entry]) -> None: ...

    for group in groups:
        await Consumer(client, PARTITIONS, keys.events, group, "reader", nobody).create_groups()


async def looked_ago(client: Any, ago_ms: int) -> None:
    """Whoever trims looked last so long ago."""
    readers = keys.readers(keys.events(1))
    now_ms = await client.eval("local t = redis.call('TIME') return t[1] * 1000", 1, readers)
    await client.hset(readers, "looked", now_ms - ago_ms)


async def test_what_is_old_and_read_by_all_is_trimmed(client: Any) -> None:
    await register(client, "a", "b")
    numbers = await fill(client)
    for group in ("a", "b"):
        await read(client, group, 1000)
        await client.xack(keys.events(1), group, *numbers)

    kept = await trim(client, 1, ms(numbers[0]), RETENTION_MS)
    removed = await trim(client, 1, ms(numbers[-1]) + 1000, RETENTION_MS)

    assert kept == 0
    assert removed >= 900
    assert len(await stored(client)) == 1000 - removed


async def test_nothing_that_a_group_has_yet_to_acknowledge_is_trimmed(client: Any) -> None:
    await register(client, "fast", "slow")
    numbers = await fill(client)
    await read(client, "fast", 1000)
    await client.xack(keys.events(1), "fast", *numbers)
    late = ms(numbers[-1]) + 1000

    assert await trim(client, 1, late, RETENTION_MS) == 0
    await read(client, "slow", 500)
    assert await trim(client, 1, late, RETENTION_MS) == 0
    await client.xack(keys.events(1), "slow", *numbers[:300])
    await trim(client, 1, late, RETENTION_MS)

    left = {entry.stream_id for entry in await stored(client)}
    assert left >= set(numbers[300:])
    assert len(left) < 1000


async def read_by(client: Any, group: str) -> int:
    """Something is on the stream and this group is done with all of it; a moment after which nothing was written."""
    numbers = await fill(client)
    await read(client, group, 1000)
    await client.xack(keys.events(1), group, *numbers)
    return ms(numbers[-1]) + 1000


async def test_a_service_that_was_never_started_stops_nothing_from_being_trimmed(client: Any) -> None:
    await register(client, "there")
    await client.xgroup_create(keys.events(1), "somebody's own", id="0")
    late = await read_by(client, "there")

    assert await trim(client, 1, late, RETENTION_MS) >= 900


async def test_nothing_is_trimmed_while_nobody_is_registered_or_a_registered_group_is_lost(client: Any) -> None:
    await client.xgroup_create(keys.events(1), "a", id="0", mkstream=True)
    late = await read_by(client, "a")

    assert await trim(client, 1, late, RETENTION_MS) == 0
    await register(client, "a", "b")
    await client.xgroup_destroy(keys.events(1), "b")
    assert await trim(client, 1, late, RETENTION_MS) == 0


async def test_a_group_that_was_silent_for_longer_than_facts_are_kept_holds_nothing_back(client: Any) -> None:
    await register(client, "there", "gone")
    late = await read_by(client, "there")
    await trim(client, 1, late, RETENTION_MS)

    for _ in range(2):
        await looked_ago(client, 50_000)
        await client.hset(keys.readers(keys.events(1)), "silent:there", 0)  # as its consumers do
        assert await trim(client, 1, late, 110_000) == 0
    await looked_ago(client, 50_000)
    await client.hset(keys.readers(keys.events(1)), "silent:there", 0)

    assert await trim(client, 1, late, 110_000) >= 900


async def test_what_stood_still_as_a_whole_finds_all_of_it_again(client: Any) -> None:
    await register(client, "there", "back later")
    late = await read_by(client, "there")
    await trim(client, 1, late, RETENTION_MS)

    await looked_ago(client, 10 * RETENTION_MS)

    assert await trim(client, 1, late, RETENTION_MS) == 0


async def test_a_group_whose_reader_starts_again_holds_back_again(client: Any) -> None:
    await register(client, "there", "back")
    await client.hset(keys.readers(keys.events(1)), "silent:back", 2 * RETENTION_MS)
    late = await read_by(client, "there")

    await register(client, "back")

    assert await trim(client, 1, late, RETENTION_MS) == 0


async def test_a_reader_is_heard_of_as_long_as_it_runs(client: Any) -> None:
    readers = keys.readers(keys.events(1))

    async def is_heard() -> bool:
        return bool(await client.hget(readers, f"silent:{GROUP}") == b"0")

    async with Reader(client, claim_after_ms=20):
        await client.hset(readers, f"silent:{GROUP}", 2 * RETENTION_MS)

        await until(is_heard)
