"""Ends are recorded: facts before leases, together, and for as long as it takes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.relay import recorder as recorder_module
from services.relay.message.mail import End, Mail
from services.relay.recorder import Recorder
from shared.redis.bus import BusUnavailable
from shared.redis.ready import Lease, Recorded
from shared.redis.redis import RedisAway
from shared.words import events

JOB = "06h006mus2uer1pplc9g"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here waits for the clock; what is repeated is repeated at once."""
    monkeypatch.setattr(recorder_module, "GATHER_S", 0)
    monkeypatch.setattr(recorder_module, "MAX_PAUSE_S", 0)
    monkeypatch.setattr(recorder_module, "FIRST_PAUSE_S", 0)


class Store:
    """What the recorder writes to: a publisher and queues in one, and the order in which they were called. Each call
    waits while `gate` is closed, and fails with the next of `failures`, if there is one."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.batches: list[str] = []
        self.failures: list[Exception | None] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.lost = 0

    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 2.0, batch: str = "") -> None:
        self.batches.append(batch)
        await self._call("publish", [fact.ordinal for fact in facts])

    async def record(self, partition: int, relay: str, ends: Sequence[Recorded]) -> int:
        await self._call(f"record {partition} {relay}", list(ends))
        return self.lost

    async def _call(self, what: str, of: object) -> None:
        self.calls.append((what, of))
        await self.gate.wait()
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure

    async def called(self, times: int) -> None:
        await until(lambda: len(self.calls) >= times)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0)


@asynccontextmanager
async def recording(store: Store) -> AsyncIterator[tuple[Recorder, list[Sequence[End]]]]:
    done: list[Sequence[End]] = []
    recorder = Recorder(store, store, "r1", done.append)
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder, done
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def end(ordinal: int, partition: int = 2, *, fact: bool = True, retry_at: int | None = None) -> End:
    ready = events.Ready(tenant="acme", job=JOB, ordinal=ordinal, email="ana@example.net")
    mail = Mail(Lease(partition, 100 + ordinal, "example.net", events.encode(ready)), ready)
    delivered = events.Delivered(event_id=f"{ordinal}", occurred_at=1, tenant="acme", job=JOB, ordinal=ordinal)
    return End(mail, delivered if fact else None, retry_at, b"again" if retry_at else b"")


async def test_facts_are_stored_before_leases_end_and_then_the_message_is_done() -> None:
    store = Store()
    async with recording(store) as (recorder, done):
        first = end(0)
        recorder.add(first)
        await recorder.flushed()

        assert store.calls == [("publish", [0]), ("record 2 r1", [Recorded(100)])]
        assert done == [[first]]


async def test_no_lease_ends_while_its_fact_is_on_the_way() -> None:
    store = Store()
    store.gate.clear()
    async with recording(store) as (recorder, done):
        recorder.add(end(0))
        await store.called(1)

        assert (store.calls, done) == ([("publish", [0])], [])
        store.gate.set()
        await recorder.flushed()
        assert len(store.calls) == 2


async def test_what_comes_together_is_recorded_together_by_partition() -> None:
    store = Store()
    async with recording(store) as (recorder, done):
        for ordinal in range(6):
            recorder.add(end(ordinal, partition=ordinal % 2, retry_at=9 if ordinal == 3 else None))
        await recorder.flushed()

        assert store.calls == [
            ("publish", [0, 1, 2, 3, 4, 5]),
            ("record 0 r1", [Recorded(100), Recorded(102), Recorded(104)]),
            ("record 1 r1", [Recorded(101), Recorded(103, 9, b"again"), Recorded(105)]),
        ]
        assert len(done) == 1


async def test_an_end_that_is_on_record_already_only_ends_the_lease() -> None:
    store = Store()
    async with recording(store) as (recorder, _):
        recorder.add(end(0, fact=False))
        recorder.add(end(1))
        await recorder.flushed()

        assert store.calls == [("publish", [1]), ("record 2 r1", [Recorded(100), Recorded(101)])]


async def test_ends_that_come_during_a_flush_go_with_the_next() -> None:
    store = Store()
    store.gate.clear()
    async with recording(store) as (recorder, done):
        recorder.add(end(0))
        await store.called(1)
        recorder.add(end(1))
        recorder.add(end(2))
        store.gate.set()
        await recorder.flushed()

        assert [what for what in store.calls if what[0] == "publish"] == [("publish", [0]), ("publish", [1, 2])]
        assert [len(batch) for batch in done] == [1, 2]


@pytest.mark.parametrize(
    "failure",
    [BusUnavailable("away"), RedisAway("away"), ValueError("OOM command not allowed"), KeyError("a bug")],
    ids=repr,
)
async def test_facts_that_cannot_be_stored_are_stored_later_under_the_same_name(failure: Exception) -> None:
    store = Store()
    store.failures = [failure, failure, failure]
    async with recording(store) as (recorder, done):
        recorder.add(end(0))
        await recorder.flushed()
        recorder.add(end(1))
        await recorder.flushed()

        assert store.calls[:4] == [("publish", [0])] * 4
        assert len(set(store.batches[:4])) == 1
        assert store.batches[4] not in store.batches[:4]
        assert [len(batch) for batch in done] == [1, 1]


@pytest.mark.parametrize("failure", [RedisAway("away"), ValueError("MISCONF no disk")], ids=repr)
async def test_leases_that_cannot_be_ended_are_ended_later_and_facts_not_stored_again(failure: Exception) -> None:
    store = Store()
    store.failures = [None, failure, failure]
    async with recording(store) as (recorder, done):
        recorder.add(end(0))
        await recorder.flushed()

        assert store.calls == [("publish", [0]), *[("record 2 r1", [Recorded(100)])] * 3]
        assert len(done) == 1


async def test_one_partition_that_is_away_does_not_make_the_others_end_their_leases_twice() -> None:
    store = Store()
    store.failures = [None, None, RedisAway("away")]
    async with recording(store) as (recorder, _):
        recorder.add(end(0, partition=0))
        recorder.add(end(1, partition=1))
        await recorder.flushed()

        assert [what for what, _ in store.calls] == ["publish", "record 0 r1", "record 1 r1", "record 1 r1"]


async def test_leases_lost_to_another_relay_are_counted_and_done_with() -> None:
    before = REGISTRY.get_sample_value("estafette_relay_lost_leases_total") or 0
    store = Store()
    store.lost = 1
    async with recording(store) as (recorder, done):
        recorder.add(end(0))
        await recorder.flushed()

        assert REGISTRY.get_sample_value("estafette_relay_lost_leases_total") == before + 1
        assert len(done) == 1


async def test_names_of_batches_are_never_used_again_nor_by_another_relay() -> None:
    store = Store()
    async with recording(store) as (recorder, _):
        for ordinal in range(3):
            recorder.add(end(ordinal))
            await recorder.flushed()

    assert len(set(store.batches)) == 3
    assert all(batch.startswith("r1.") for batch in store.batches)


# Flushed


async def test_nothing_to_record_is_flushed_at_once() -> None:
    async with recording(Store()) as (recorder, _):
        async with asyncio.timeout(30):
            await recorder.flushed()


async def test_flushed_returns_when_the_last_end_is_recorded_and_not_before() -> None:
    store = Store()
    store.gate.clear()
    async with recording(store) as (recorder, done):
        recorder.add(end(0))
        flushing = asyncio.create_task(recorder.flushed())
        await store.called(1)
        recorder.add(end(1))
        assert not flushing.done()

        store.gate.set()
        await flushing
        assert [len(batch) for batch in done] == [1, 1]


async def test_flushed_can_be_waited_for_again() -> None:
    store = Store()
    async with recording(store) as (recorder, done):
        for ordinal in range(3):
            recorder.add(end(ordinal))
            await recorder.flushed()
            assert len(done) == ordinal + 1


async def test_each_fact_is_a_line_in_the_log_that_names_the_message_and_not_its_recipient() -> None:
    with capture_logs() as lines:
        async with recording(Store()) as (recorder, done):
            recorder.add(end(7))
            recorder.add(end(8, fact=False))
            await until(lambda: sum(map(len, done)) == 2)

    (line,) = lines
    assert (line["event"], line["log_level"], line["job"], line["message"]) == ("delivered", "info", JOB, f"{JOB}.7")
    assert "ana@example.net" not in str(line)


async def test_ends_that_cannot_be_recorded_for_long_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "BEHIND_S", -1.0)
    store = Store()
    store.gate.clear()
    async with recording(store) as (recorder, _):
        assert not recorder.is_behind()
        recorder.add(end(0))
        await store.called(1)

        assert recorder.is_behind()
        store.gate.set()
        await recorder.flushed()
        assert not recorder.is_behind()
