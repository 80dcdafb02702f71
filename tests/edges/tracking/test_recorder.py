"""Facts become durable in batches: on the bus, else in the spool; whoever waits is told the truth."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.tracking import frames
from services.tracking import recorder as recorder_module
from services.tracking.frames import Batch
from services.tracking.recorder import IN_FLIGHT, MAX_BATCH, REPLAYED_AT_ONCE, Recorder
from services.tracking.spool import Spool
from services.tracking.tracking import NotRecorded
from shared.redis.bus import BusUnavailable
from shared.words.events import Fact, Opened
from tests.fakes.untracked import Said

JOB = "0cm9ug6jmd7m8000001g"
#: Long enough that a busy machine never reaches it, where it must not be reached.
NEVER_MS = 60_000


def fact(number: int) -> Opened:
    return Opened(event_id=str(number), occurred_at=number, tenant="demo", job=JOB, ordinal=number)


class Bus:
    """Stores each batch name once, as the real one does; `say` decides what happens before."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.stored: dict[str, tuple[str, ...]] = {}
        self.say: Callable[[], Awaitable[None]] = self.yes

    async def publish(self, facts: Sequence[Fact], patience_s: float, batch: str) -> None:
        called = tuple(one.event_id for one in facts)
        self.calls.append(called)
        await self.say()
        self.stored.setdefault(batch, called)

    async def yes(self) -> None:
        pass

    async def no(self) -> None:
        raise BusUnavailable("away")

    async def silence(self) -> None:
        await asyncio.Event().wait()

    @property
    def facts(self) -> list[str]:
        return [one for batch in self.stored.values() for one in batch]


@asynccontextmanager
async def recording(
    bus: Bus,
    folder: Path,
    *,
    name: str = "one",
    after_ms: int = NEVER_MS,
    max_waiting: int = 10_000,
    max_bytes: int = 10**6,
    view: Said | None = None,
) -> AsyncIterator[Recorder]:
    recorder = Recorder(
        bus, Spool(folder, name, max_bytes), view or Said(), name, spool_after_ms=after_ms, max_waiting=max_waiting
    )
    await recorder.start()
    try:
        yield recorder
    finally:
        await recorder.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - what is waited for is a file or a call, and tells nobody
            await asyncio.sleep(0.005)


def spooled(folder: Path) -> int:
    return len(list(folder.glob("*.frames")))


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_lone_fact_is_published_at_once(tmp_path: Path) -> None:
    bus = Bus()
    async with recording(bus, tmp_path) as recorder:
        await recorder.record(fact(1))

        assert bus.facts == ["1"]
    assert spooled(tmp_path) == 0


async def test_a_fact_does_not_wait_for_the_batch_before_and_what_comes_while_all_are_under_way_is_the_next_one(
    tmp_path: Path,
) -> None:
    bus = Bus()
    go = asyncio.Event()

    async def when_told() -> None:
        await go.wait()

    bus.say = when_told
    async with recording(bus, tmp_path) as recorder:
        first = []
        for number in range(IN_FLIGHT):
            first.append(asyncio.ensure_future(recorder.record(fact(number))))
            await until(lambda: len(bus.calls) == len(first))
        after = range(IN_FLIGHT, IN_FLIGHT + MAX_BATCH + 4)
        others = [asyncio.ensure_future(recorder.record(fact(number))) for number in after]
        await asyncio.sleep(0)
        assert not any(one.done() for one in first)

        go.set()
        await asyncio.gather(*first, *others)

    assert [len(call) for call in bus.calls] == [*[1] * IN_FLIGHT, MAX_BATCH, 4]
    assert sorted(map(int, bus.facts)) == list(range(IN_FLIGHT + MAX_BATCH + 4))


@pytest.mark.parametrize("saying", ["no", "silence"])
async def test_a_bus_that_fails_or_is_silent_is_replaced_by_the_spool_and_gets_all_later(
    tmp_path: Path, saying: str
) -> None:
    bus = Bus()
    bus.say = getattr(bus, saying)
    async with recording(bus, tmp_path, after_ms=20) as recorder:
        await asyncio.gather(*(recorder.record(fact(number)) for number in range(3)))
        await recorder.record(fact(3))
        assert bus.facts == []
        assert spooled(tmp_path) > 0

        bus.say = bus.yes
        if saying == "no":
            await until(lambda: len(bus.facts) == 4)
            await until(lambda: spooled(tmp_path) == 0)

    if saying == "silence":  # what was left lies there for the next process
        async with recording(bus, tmp_path, name="two"):
            await until(lambda: spooled(tmp_path) == 0)
    assert bus.facts == ["0", "1", "2", "3"]


async def test_while_the_bus_is_known_to_be_away_nobody_waits_for_it(tmp_path: Path) -> None:
    bus = Bus()
    bus.say = bus.silence
    async with recording(bus, tmp_path, after_ms=20) as recorder:
        await recorder.record(fact(1))
        # From here on one call at most is under way: the replayer's, which waits.
        await until(lambda: len(bus.calls) == 2)

        for number in range(2, 20):
            await recorder.record(fact(number))

        assert bus.calls == [("1",), ("1",)]


async def test_once_a_replay_succeeds_facts_go_to_the_bus_again(tmp_path: Path) -> None:
    bus = Bus()
    bus.say = bus.no
    async with recording(bus, tmp_path) as recorder:
        await recorder.record(fact(1))
        bus.say = bus.yes
        await until(lambda: bus.facts == ["1"])
        await until(lambda: spooled(tmp_path) == 0)

        await recorder.record(fact(2))

        assert bus.facts == ["1", "2"]
        assert spooled(tmp_path) == 0


async def test_a_batch_stored_after_it_was_given_up_is_not_stored_twice(tmp_path: Path) -> None:
    bus = Bus()

    async def stored_but_silent() -> None:
        bus.stored["one.1"] = ("1",)
        bus.say = bus.yes
        await asyncio.Event().wait()

    bus.say = stored_but_silent
    async with recording(bus, tmp_path, after_ms=20) as recorder:
        await recorder.record(fact(1))
        await until(lambda: len(bus.calls) == 2 and spooled(tmp_path) == 0)

    assert bus.facts == ["1"]


async def test_an_unknown_failure_of_the_bus_loses_nothing(tmp_path: Path) -> None:
    bus = Bus()

    async def broken() -> None:
        bus.say = bus.yes
        raise RuntimeError("a bug")

    bus.say = broken
    async with recording(bus, tmp_path) as recorder:
        await recorder.record(fact(1))
        await until(lambda: bus.facts == ["1"])


async def test_when_neither_takes_it_whoever_waits_is_told(tmp_path: Path) -> None:
    bus = Bus()
    bus.say = bus.no
    async with recording(bus, tmp_path, max_bytes=1) as recorder:
        with pytest.raises(NotRecorded):
            await recorder.record(fact(1))

        bus.say = bus.yes
        await recorder.record(fact(2))

    assert bus.facts == ["2"]


async def test_a_full_queue_refuses_at_once(tmp_path: Path) -> None:
    bus = Bus()
    bus.say = bus.silence
    async with recording(bus, tmp_path, max_waiting=2, after_ms=2000) as recorder:
        first = asyncio.ensure_future(recorder.record(fact(0)))
        await until(lambda: bool(bus.calls))
        waiting = [asyncio.ensure_future(recorder.record(fact(number))) for number in (1, 2)]
        await asyncio.sleep(0)

        with pytest.raises(NotRecorded):
            await recorder.record(fact(3))

        await asyncio.gather(first, *waiting)


async def test_one_who_goes_away_takes_nothing_from_the_others(tmp_path: Path) -> None:
    bus = Bus()
    go = asyncio.Event()

    async def when_told() -> None:
        await go.wait()

    bus.say = when_told
    async with recording(bus, tmp_path) as recorder:
        waiting = [asyncio.ensure_future(recorder.record(fact(number))) for number in range(3)]
        await until(lambda: bool(bus.calls))
        waiting[1].cancel()
        go.set()

        ends = await asyncio.gather(*waiting, return_exceptions=True)

    assert isinstance(ends[1], asyncio.CancelledError)
    assert (ends[0], ends[2]) == (None, None)
    assert bus.facts == ["0", "1", "2"]


async def test_closing_stores_what_waits_and_takes_nothing_more(tmp_path: Path) -> None:
    bus = Bus()
    async with recording(bus, tmp_path) as recorder:
        waiting = [asyncio.ensure_future(recorder.record(fact(number))) for number in range(MAX_BATCH * 2)]
        await asyncio.sleep(0)
        await recorder.close()

        await asyncio.gather(*waiting)
        with pytest.raises(NotRecorded):
            await recorder.record(fact(-1))

    assert len(bus.facts) == MAX_BATCH * 2


async def test_closing_while_the_bus_is_silent_leaves_everything_in_the_spool(tmp_path: Path) -> None:
    bus = Bus()
    bus.say = bus.silence
    async with recording(bus, tmp_path, after_ms=20) as recorder:
        await asyncio.gather(*(recorder.record(fact(number)) for number in range(10)))

    bus.say = bus.yes
    async with recording(bus, tmp_path, name="two"):
        await until(lambda: len(bus.facts) == 10)


async def test_a_folder_that_cannot_be_used_is_told_at_start(tmp_path: Path) -> None:
    in_the_way = tmp_path / "spool"
    in_the_way.write_text("a file")

    with pytest.raises(OSError, match="spool"):
        async with recording(Bus(), in_the_way):
            pass


async def test_as_long_as_it_is_not_known_who_withdrew_openings_and_clicks_wait_in_the_spool(tmp_path: Path) -> None:
    bus, view = Bus(), Said(is_known=False)
    async with recording(bus, tmp_path, view=view) as recorder:
        await recorder.record(fact(1), b"mark 1")
        await recorder.record(fact(2), b"mark 2")
        await recorder.record(fact(3))
        assert bus.facts == ["3"]

        view.marks.add(b"mark 1")
        view.is_known = True
        await until(lambda: spooled(tmp_path) == 0)

    assert bus.facts == ["3", "2"]


async def test_who_withdraws_while_a_file_waits_is_not_told_of_when_another_process_replays_it(tmp_path: Path) -> None:
    bus = Bus()
    bus.say = bus.no
    async with recording(bus, tmp_path, view=Said()) as recorder:
        await recorder.record(fact(1), b"mark 1")
        await recorder.record(fact(2), b"mark 2")
    bus.say = bus.yes

    async with recording(bus, tmp_path, name="two", view=Said(b"mark 2")):
        await until(lambda: spooled(tmp_path) == 0)

    assert bus.facts == ["1"]


async def test_what_another_that_died_has_left_is_replayed_by_one_that_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "LOOK_ROUND_S", 0.02)
    bus, away = Bus(), Bus()
    away.say = away.no
    async with recording(bus, tmp_path, name="living") as living:
        async with recording(away, tmp_path, name="dying") as dying:
            await asyncio.gather(*(dying.record(fact(number)) for number in range(10)))

        await until(lambda: len(bus.facts) == 10)
        await living.record(fact(10))
        await until(lambda: spooled(tmp_path) == 0)

    assert sorted(map(int, bus.facts)) == list(range(11))
    assert names(tmp_path) == ["lock"]


async def test_while_redis_is_away_for_it_nobody_takes_over_what_another_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "LOOK_ROUND_S", 0.02)
    bus = Bus()
    bus.say = bus.no
    left = Spool(tmp_path, "left", 10**6)
    left.open()
    async with recording(bus, tmp_path, name="living", max_bytes=2_000) as living:
        await living.record(fact(1))
        left.append(frames.frame(Batch("theirs", tuple(fact(number) for number in range(100, 150)))))
        left.close()
        calls = len(bus.calls)
        await until(lambda: len(bus.calls) > calls + 1)

        await living.record(fact(2))  # there is room for it
        bus.say = bus.yes
        await until(lambda: spooled(tmp_path) == 0)

    assert sorted(map(int, bus.facts)) == [1, 2, *range(100, 150)]


async def test_the_first_batch_of_a_file_is_replayed_alone_the_others_several_at_a_time_and_all_once(
    tmp_path: Path,
) -> None:
    bus = Bus()
    left = Spool(tmp_path, "left", 10**6)
    left.open()
    for number in range(20):
        left.append(frames.frame(Batch(f"b{number}", (fact(number),))))
    left.close()
    go: list[asyncio.Event] = []

    async def when_told() -> None:
        go.append(asyncio.Event())
        await go[-1].wait()

    bus.say = when_told
    async with recording(bus, tmp_path):
        await until(lambda: len(go) == 1)
        await asyncio.sleep(0)
        assert bus.calls == [("0",)]

        go[0].set()
        await until(lambda: len(go) == 1 + REPLAYED_AT_ONCE)
        assert spooled(tmp_path) == 1
        bus.say = bus.yes
        for waiting in go:
            waiting.set()
        await until(lambda: spooled(tmp_path) == 0)

    assert sorted(map(int, bus.facts)) == list(range(20))
    assert len(bus.calls) == 20
