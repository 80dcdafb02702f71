"""Drops from the streams to a folder: each period has one whole file, whoever dies and wherever."""

import asyncio
import csv
import io
import itertools
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from services.reports.drops import drop as deciding
from services.reports.drops import drops as path
from services.reports.drops import periods
from services.reports.drops.drop import Drop, Failed, State
from services.reports.drops.drops import Drops, Limits
from services.reports.drops.folder import FolderPlace
from services.reports.drops.periods import DAY_MS, HOUR_MS, SETTLE_MS
from services.reports.drops.places import Places
from services.reports.drops.sources import Sources
from services.reports.drops.store import Store, TooMany
from services.reports.feed.feed import Feed
from services.suppression.store import Addition, Lists
from shared.mail.dkim_keys import Vault
from shared.net.outside import Policy
from shared.redis import keys
from shared.redis.leases import Lease
from shared.redis.recipients import Recipients
from shared.redis.suppression_file import SuppressionFile
from shared.words import events, ids
from tests.feeds import catch_up

P = 2
#: Three whole hours before now: the first that tests look at.
BEGIN = periods.containing("hourly", 0, int(time.time() * 1000)).begin_ms - 4 * HOUR_MS
_chance = itertools.count(1)


class Died(BaseException):
    """In the place of a kill -9: nothing that follows happens."""


class Dying:
    """A place whose process dies, or that fails, at a step: `before` or `after` it."""

    def __init__(self, place: FolderPlace, house: "House") -> None:
        self._place = place
        self._house = house

    async def has(self, name: str) -> bool:
        return await self._place.has(name)

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        if self._house.at == "half":
            (self._house.folder / name).write_bytes(b"event_id,ty")
            raise Died
        size = await self._place.write(name, pieces)
        self._house.comes_to("written")
        return size

    async def rename(self, name: str, to: str) -> None:
        self._house.comes_to("noted")
        await self._place.rename(name, to)
        self._house.comes_to("renamed")


class House:
    """Drops of one tenant into a folder, and a clock. `at`: where the process dies."""

    def __init__(self, client: Any, root: Path) -> None:
        self.client = client
        self.root = root
        self.folder = root / "acme" / "crm"
        self.now_ms = BEGIN + 2 * HOUR_MS
        self.at = ""
        self.fails: Failed | None = None
        self.sources = Sources(
            client, P, Feed(client, P, Recipients(client, P), time.monotonic), SuppressionFile(client, P)
        )

    def comes_to(self, step: str) -> None:
        if self.at == step:
            raise Died

    @asynccontextmanager
    async def opened(self, drop: Drop) -> AsyncIterator[Dying]:
        if self.fails is not None:
            raise self.fails
        places = Places(self.root, None, Policy(), Vault(bytes(32)))
        async with places.opened(drop) as place:
            assert isinstance(place, FolderPlace)
            yield Dying(place, self)

    async def process(self, owner: str = "me") -> Drops:
        """A process, which has the lease if nobody else has."""
        store = Store(self.client, owner)
        lease = Lease(store, time.monotonic)
        await lease.renew()
        limits = Limits(4, 2)
        return Drops(store, self.sources, self.opened, lease, limits, lambda: self.now_ms, Random(1))

    async def put(self, drop: Drop, next_ms: int = BEGIN, moved: bool = False) -> Drop:
        await Store(self.client).put(drop, os.urandom(4).hex(), next_ms, 10, moved=moved)
        return drop

    async def state(self, drop: Drop) -> State:
        return await Store(self.client).state(drop)

    async def written(self, owner: str = "me") -> None:
        """All that is due now, by a process that lives, or dies."""
        await catch_up(self.client, P)
        process = await self.process(owner)
        await process.look()
        while tasks := [one.task for one in process._known.values() if one.task is not None]:
            done, _ = await asyncio.wait(tasks)
            if any(isinstance(task.exception(), Died) for task in done):
                return
            await asyncio.sleep(0)
            await process.look()
            if not [one for one in process._known.values() if one.drop.enabled and one.at_ms <= self.now_ms]:
                return

    def files(self) -> list[str]:
        return sorted(file.name for file in self.folder.iterdir()) if self.folder.exists() else []

    def rows(self, name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO((self.folder / name).read_bytes().decode(), newline=""), strict=True))


@pytest.fixture
def house(client: Any, tmp_path: Path) -> House:
    return House(client, tmp_path)


def drop(**fields: Any) -> Drop:
    return msgspec.structs.replace(Drop("acme", "events", "events", "crm", "hourly"), **fields)


def named(hour: int) -> str:
    period = periods.containing("hourly", 0, BEGIN + hour * HOUR_MS)
    return periods.file_name("acme", "events", "hourly", period)


async def recorded(client: Any, at_ms: int, count: int = 1, tenant: str = "acme", **fields: Any) -> list[str]:
    """Facts that lie in the streams since then; their ids."""
    made: list[str] = []
    for _ in range(count):
        number = next(_chance)
        job = ids.new_job_id(at_ms, (number << 20).to_bytes(6, "big"), P)
        fact = events.Delivered(
            **events.about_message(tenant, job, 0, at_ms, "delivered", number, email=f"u{number}@a.test"),
            **{"site": "a.test", **fields},
        )
        body = {b"t": b"Delivered", b"v": str(events.MAJOR_VERSION).encode(), b"b": events.encode(fact)}
        await client.xadd(keys.events(ids.job_partition(job, P)), body, id=f"{at_ms}-{number}")
        made.append(fact.event_id)
    return made


async def test_each_hour_has_a_file_with_its_events_and_no_others(house: House) -> None:
    one = await house.put(drop())
    first = await recorded(house.client, BEGIN, 3)
    await recorded(house.client, BEGIN + 5, 2, tenant="other")
    second = await recorded(house.client, BEGIN + HOUR_MS, 2)
    house.now_ms = BEGIN + 2 * HOUR_MS + SETTLE_MS

    await house.written()

    assert house.files() == [named(0), named(1)]
    assert sorted(row["event_id"] for row in house.rows(named(0))) == sorted(first)
    assert sorted(row["event_id"] for row in house.rows(named(1))) == sorted(second)
    state = await house.state(one)
    assert (state.next, state.written, state.placing) == (BEGIN + 2 * HOUR_MS, 2, "")
    assert (state.last_file, state.last_rows) == (named(1), 2)
    assert state.last_bytes == (house.folder / named(1)).stat().st_size


async def test_an_hour_without_events_has_a_file_with_the_heading_alone(house: House) -> None:
    await house.put(drop(columns=("event_id", "type")))
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS

    await house.written()

    assert (house.folder / named(0)).read_bytes() == b"event_id,type\r\n"


async def test_many_pages_are_one_file(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.reports.drops.sources.PAGE", 7)
    await house.put(drop())
    made = await recorded(house.client, BEGIN + 10, 100)
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS

    await house.written()

    assert sorted(row["event_id"] for row in house.rows(named(0))) == sorted(made)


async def test_only_what_a_filter_chooses_is_in_the_file(house: House) -> None:
    await house.put(drop(types=("message.bounced",)))
    await recorded(house.client, BEGIN, 3)
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS

    await house.written()

    assert house.rows(named(0)) == []


async def test_nothing_is_written_before_the_feed_has_all_of_the_period(house: House) -> None:
    one = await house.put(drop())
    await catch_up(house.client, P)
    made = await recorded(house.client, BEGIN, 3)
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS
    process = await house.process()

    await process.look()
    await process.settled()

    assert house.files() == []
    assert (await house.state(one)).failures == 0
    await house.written()
    assert sorted(row["event_id"] for row in house.rows(named(0))) == sorted(made)


async def test_what_is_late_is_made_up_for_in_order(house: House) -> None:
    await house.put(drop())
    made = [await recorded(house.client, BEGIN + hour * HOUR_MS, 1) for hour in range(3)]
    house.now_ms = BEGIN + 3 * HOUR_MS + SETTLE_MS
    house.fails = Failed("full", "No space left on device")
    await house.written()
    assert house.files() == []

    house.fails = None
    house.now_ms += 70_000
    await house.written()

    assert house.files() == [named(hour) for hour in range(3)]
    assert [[row["event_id"] for row in house.rows(named(hour))] for hour in range(3)] == made


async def test_a_failure_is_told_and_rests_longer_each_time(house: House) -> None:
    one = await house.put(drop())
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS
    house.fails = Failed("read_only", "Read-only file system")
    begun = house.now_ms

    await house.written()
    first = await house.state(one)
    await house.written()
    assert await house.state(one) == first
    house.now_ms = first.retry_at
    await house.written()
    second = await house.state(one)

    assert (first.failures, first.why, first.detail) == (1, "read_only", "Read-only file system")
    assert (first.failing_since, second.failing_since, second.failures) == (begun, begun, 2)
    assert second.retry_at - house.now_ms > first.retry_at - begun
    house.fails, house.now_ms = None, second.retry_at
    await house.written()
    last = await house.state(one)
    assert (last.failures, last.why, last.failing_since, last.retry_at) == (0, "", 0, 0)
    assert house.files() == [named(0)]


@pytest.mark.parametrize("at", ["half", "written", "noted", "renamed"])
async def test_whoever_dies_and_wherever_the_file_is_whole_and_placed_once(house: House, at: str) -> None:
    one = await house.put(drop())
    made = await recorded(house.client, BEGIN, 3)
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS
    house.at = at
    await house.written()
    assert (named(0) in house.files()) == (at == "renamed")
    if at == "renamed":
        (house.folder / named(0)).unlink()  # its receiver was quick

    house.at = ""
    await house.client.delete(keys.drops_lease())
    await house.written("another")

    assert house.files() == ([] if at == "renamed" else [named(0)])
    if at != "renamed":
        assert sorted(row["event_id"] for row in house.rows(named(0))) == sorted(made)
    state = await house.state(one)
    assert (state.next, state.written, state.last_rows) == (BEGIN + HOUR_MS, 1, 3)


async def test_whoever_lost_the_lease_notes_nothing_and_places_nothing(house: House) -> None:
    one = await house.put(drop())
    await recorded(house.client, BEGIN, 1)
    await catch_up(house.client, P)
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS
    slow = await house.process("slow")
    await house.client.set(keys.drops_lease(), "another")

    await slow.look()
    await slow.settled()

    assert named(0) not in house.files()
    assert await house.state(one) == State(next=BEGIN)


async def test_only_one_process_writes_and_another_stands_by(house: House) -> None:
    await house.put(drop())
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS
    await catch_up(house.client, P)
    await house.process("one")
    other = await house.process("other")

    await other.look()
    await other.settled()

    assert house.files() == []


async def test_a_part_that_somebody_took_away_is_written_anew(house: House) -> None:
    one = await house.put(drop())
    made = await recorded(house.client, BEGIN, 2)
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS
    gone = asyncio.Event()

    def comes_to(step: str) -> None:
        if step == "noted" and not gone.is_set():
            (house.folder / f"{named(0)}.part").unlink()
            gone.set()

    house.comes_to = comes_to  # type: ignore[method-assign]
    await house.written()
    assert (await house.state(one)).placing == ""
    house.now_ms += 70_000
    await house.written()

    assert [row["event_id"] for row in house.rows(named(0))] == made


async def test_an_hour_that_was_asked_for_is_written_again_and_the_next_stays_the_next(house: House) -> None:
    one = await house.put(drop(), next_ms=BEGIN + HOUR_MS)
    made = await recorded(house.client, BEGIN, 2)
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS

    await Store(house.client).ask(one, "v", BEGIN + 5)
    await house.written()

    assert house.files() == [named(0)]
    assert [row["event_id"] for row in house.rows(named(0))] == made
    state = await house.state(one)
    assert (state.next, state.again) == (BEGIN + HOUR_MS, -1)


async def test_what_was_asked_for_does_not_wait_for_its_retry(house: House) -> None:
    one = await house.put(drop())
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS
    house.fails = Failed("unreachable", "refused")
    await house.written()
    house.fails = None

    await Store(house.client).ask(one, "v", -1)
    await house.written()

    assert house.files() == [named(0)]


async def test_events_that_are_not_kept_any_more_are_told_and_not_waited_for(house: House) -> None:
    one = await house.put(drop())
    house.now_ms = BEGIN + 2 * HOUR_MS + SETTLE_MS
    for p in range(P):
        await house.client.set(keys.trimmed(p), f"{BEGIN + HOUR_MS - 10}-0")

    await house.written()

    assert house.files() == [named(1)]
    state = await house.state(one)
    assert (state.missed, state.written, state.next) == (1, 1, BEGIN + 2 * HOUR_MS)


async def test_a_changed_schedule_goes_on_where_the_last_file_ended(house: House) -> None:
    one = await house.put(drop())
    made = await recorded(house.client, BEGIN, 1)
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS
    await house.written()

    hour = (BEGIN // HOUR_MS + 2) % 24
    await house.put(msgspec.structs.replace(one, schedule="daily", hour=hour))
    later = await recorded(house.client, BEGIN + HOUR_MS + 7, 2)
    house.now_ms = BEGIN + 2 * HOUR_MS + SETTLE_MS
    await house.written()

    assert house.files() == [named(0), named(1)]
    assert [row["event_id"] for row in house.rows(named(0)) + house.rows(named(1))] == made + later


async def test_what_was_noted_at_another_place_is_written_at_the_new_one(house: House) -> None:
    one = await house.put(drop())
    made = await recorded(house.client, BEGIN, 1)
    house.now_ms, house.at = BEGIN + HOUR_MS + SETTLE_MS, "noted"
    await house.written()

    house.at = ""
    await house.put(msgspec.structs.replace(one, target="warehouse"), moved=True)
    await house.written()

    house.folder = house.root / "acme" / "warehouse"
    assert [row["event_id"] for row in house.rows(named(0))] == made


async def test_a_drop_that_is_disabled_writes_nothing_and_makes_up_for_it(house: House) -> None:
    one = await house.put(drop(enabled=False))
    house.now_ms = BEGIN + 2 * HOUR_MS + SETTLE_MS
    await house.written()
    assert house.files() == []

    await house.put(msgspec.structs.replace(one, enabled=True))
    await house.written()

    assert house.files() == [named(0), named(1)]


async def test_a_drop_that_fails_delays_no_other(house: House) -> None:
    await house.put(drop(name="bad", target="../x"))
    await house.put(drop())
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS

    await house.written()

    assert house.files() == [named(0)]
    assert (await house.state(drop(name="bad"))).why == "inside"


async def test_a_drop_that_was_removed_leaves_nothing_behind(house: House) -> None:
    one = await house.put(drop())
    house.now_ms = BEGIN + HOUR_MS + SETTLE_MS
    process = await house.process()
    await process.look()
    await Store(house.client).remove(one, "v2")

    await process.look()
    await process.settled()

    assert await Store(house.client).get("acme", "events") is None
    assert not await house.client.exists(keys.drop_state("acme", "events"))


async def test_suppressions_are_the_list_as_it_stood_at_the_end_of_the_day(house: House) -> None:
    lists = Lists(house.client, P, lambda: house.now_ms)
    day = periods.containing("daily", 6, BEGIN)
    await lists.add(
        [
            Addition("acme", "ana@exemple.fr", "manual", day.begin_ms - DAY_MS, is_told=False),
            Addition("acme", "=bo@exemple.fr", "manual", day.end_ms - 1, is_told=False),
            Addition("acme", "late@exemple.fr", "manual", day.end_ms, is_told=False),
            Addition("other", "eve@exemple.fr", "manual", day.begin_ms, is_told=False),
        ]
    )
    one = await house.put(drop(name="stops", kind="suppressions", schedule="daily", hour=6), next_ms=day.begin_ms)
    house.now_ms = day.end_ms + SETTLE_MS + HOUR_MS

    await house.written()

    name = periods.file_name("acme", "stops", "daily", day)
    assert house.files() == [name]
    assert sorted(row["address"] for row in house.rows(name)) == ["'=bo@exemple.fr", "ana@exemple.fr"]
    assert (await house.state(one)).last_rows == 2


async def test_how_late_files_are_is_told(house: House) -> None:
    await house.put(drop())
    await house.put(drop(name="off", enabled=False))
    house.now_ms = BEGIN + 3 * HOUR_MS + SETTLE_MS
    house.fails = Failed("auth", "no")
    await house.written()

    assert path.LATE._value.get() == 2 * 3_600
    assert path.FAILING._value.get() == 1


async def test_a_tenant_has_so_many_drops_and_no_more(house: House) -> None:
    store = Store(house.client)
    assert await store.put(drop(name="a"), "1", BEGIN, 2, moved=False)
    assert await store.put(drop(name="b"), "2", BEGIN, 2, moved=False)

    with pytest.raises(TooMany):
        await store.put(drop(name="c"), "3", BEGIN, 2, moved=False)
    assert not await store.put(drop(name="b"), "4", BEGIN + HOUR_MS, 2, moved=False)
    assert (await store.state(drop(name="b"))).next == BEGIN
    assert deciding.due_ms(drop(name="b"), await store.state(drop(name="b"))) == BEGIN + HOUR_MS + SETTLE_MS
