"""Events are in the files once, whoever dies and wherever; small files become one; who was erased is in none."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from services.archive import merging
from services.archive.archive import Archive, Due
from services.archive.kinds import JobKinds
from services.archive.statistics import Statistics
from services.archive.store import ArchiveStore, Batch
from services.archive.tending import Tending
from shared.archive import names
from shared.archive.target import Folder, NoTarget, Store, opened
from shared.redis import archived, bus, keys, trimming
from shared.redis.erased import Erased
from shared.redis.leases import Lease
from shared.redis.recipients import Recipients, Waiting, pack_slim
from shared.words import events, ids
from shared.words.erased import ErasureKeys
from shared.words.ids import job_partition
from tests.object_store import BUCKET, REGION, object_store

P = 2
DAY_MS = 86_400_000
SECRETS = ErasureKeys(b"0" * 32)
_chance = itertools.count(1)


class Died(Exception):
    """In the place of a kill -9: nothing that follows happens."""


class House:
    """A folder, what writes it, and a clock. `dies_after`: so many files are put before the process dies."""

    def __init__(self, client: Any, folder: Path, target: Folder | Store | None = None) -> None:
        self.client = client
        self.folder = folder
        self.now_ms = int(time.time() * 1000)
        self.target = target or Folder(folder)
        self.publisher = bus.Publisher(client, P, lambda: f"batch{next(_chance)}")
        self.dies_after: int | None = None
        self.store = ArchiveStore(client, P, "me")
        self.lease = Lease(self.store, time.monotonic)

    def put(self, path: str, whole: Any) -> None:
        if self.dies_after == 0:
            raise Died
        self.target.put(path, whole)
        if self.dies_after is not None:
            self.dies_after -= 1

    def archive(self, file_events: int = 50) -> Archive:
        return Archive(
            self.store,
            self,
            Recipients(self.client, P),
            Erased(self.client, P, SECRETS),
            JobKinds(self.client, P),
            self.lease,
            Due(3_600, file_events, lambda: self.now_ms),
            lambda: self.now_ms,
            1_000,
        )

    def tending(self) -> Tending:
        statistics = Statistics(self.client, P, self.target, self.lease, lambda: self.now_ms)
        return Tending(self.store, self.target, SECRETS, self.lease, lambda: self.now_ms, 1_000, statistics)

    async def begin(self) -> None:
        await self.store.register()
        assert await self.lease.renew()

    async def written(self, archive: Archive | None = None) -> None:
        """All that lies in the streams is in files."""
        archive = archive or self.archive()
        stopping = asyncio.Event()
        self.now_ms += 3_600_000
        working = asyncio.create_task(archive.run(P, stopping))
        async with asyncio.timeout(20):
            while await self.is_behind():  # noqa: ASYNC110 - Redis's state
                await asyncio.sleep(0.05)
        stopping.set()
        await working

    async def is_behind(self) -> bool:
        await self.lease.renew()
        return any([await archived.oldest_outside_ms(self.client, p) is not None for p in range(P)])

    def rows(self, what: str = "*", rest: str = "") -> list[tuple[Any, ...]]:
        source = f"read_parquet('{self.folder}/*/*/*.parquet', hive_partitioning=true, union_by_name=true)"
        return duckdb.execute(f"select {what} from {source} {rest}").fetchall()

    def ids(self) -> Counter[str]:
        return Counter(one for (one,) in self.rows("event_id"))


@pytest.fixture
async def house(client: Any, tmp_path: Path) -> House:
    made = House(client, tmp_path / "archive")
    await made.begin()
    return made


def job() -> str:
    return ids.new_job_id(int(time.time() * 1000), (next(_chance) << 20).to_bytes(6, "big"), P)


def facts(number: int, tenant: str = "acme", name: str = "", at_ms: int | None = None) -> list[events.Fact]:
    name = name or job()
    at_ms = at_ms or int(time.time() * 1000)
    return [
        events.Delivered(
            **events.about_message(tenant, name, at, at_ms + at, "delivered", email=f"u{at}@{tenant}.test"),
            site="a.test", reply=f"250 u{at}@{tenant}.test ok", size_bytes=at,
        )
        for at in range(number)
    ]  # fmt: skip


async def test_what_happened_is_in_the_files_of_its_tenant_and_day(house: House) -> None:
    await house.publisher.publish([*facts(60), *facts(5, "other")])

    await house.written()

    assert len(house.ids()) == 65
    today = names.day_of(house.now_ms - 3_600_000)
    assert house.rows("tenant, count(*), count(distinct site), min(type)", "group by tenant order by 1") == [
        ("acme", 60, 1, "message.delivered"),
        ("other", 5, 1, "message.delivered"),
    ]
    assert {file.folder for file in house.target.stored()} >= {names.folder("acme", today)}


@pytest.mark.parametrize("dies_after", [0, 1, 2])
async def test_who_dies_while_it_writes_is_gone_on_after_and_nothing_is_there_twice(
    house: House, dies_after: int
) -> None:
    made = [*facts(30), *facts(30, "other"), *facts(30, "third")]
    await house.publisher.publish(made)
    house.dies_after = dies_after
    with pytest.raises(Died):
        await _once(house)

    house.dies_after = None
    await house.publisher.publish(facts(10, "later"))
    await house.written(house.archive(file_events=1_000))

    assert set(house.ids().values()) == {1}
    assert len(house.ids()) == 100


async def _once(house: House) -> None:
    """Until it dies; where it has not died by then, between the last file and the commit."""
    for p in range(P):
        entries = await house.store.read(p, "0-0", "+", 1_000)
        if entries:
            batch = await house.store.plan(p, Batch("0-0", entries[-1].stream_id))
            facts_of = house.archive()
            commit = house.store.commit

            async def dead(*_args: Any, **_more: Any) -> bool:
                raise Died

            house.store.commit = dead  # type: ignore[method-assign]
            try:
                await facts_of.write(p, batch, entries)
            finally:
                house.store.commit = commit  # type: ignore[method-assign]


async def test_a_batch_is_one_whoever_planned_it(house: House) -> None:
    await house.publisher.publish(facts(40, name=(name := job())))
    p = job_partition(name, P)
    entries = await house.store.read(p, "0-0", "+", 1_000)

    first = await house.store.plan(p, Batch("0-0", entries[9].stream_id))
    second = await house.store.plan(p, Batch("0-0", entries[-1].stream_id))

    assert first == second == Batch("0-0", entries[9].stream_id)
    assert await house.store.commit(p, first)
    assert not await house.store.commit(p, first)
    assert await house.store.plan(p, Batch("0-0", entries[-1].stream_id)) == Batch(entries[9].stream_id, "")


async def test_what_is_in_no_file_stays_in_the_stream(house: House) -> None:
    await house.publisher.publish(facts(40))
    later_ms = int(time.time() * 1000) + DAY_MS

    kept = [await trimming.trim(house.client, p, later_ms, 7 * DAY_MS) for p in range(P)]
    await house.written()
    left = [len(await house.store.read(p, await archived.position(house.client, p), "+", 100)) for p in range(P)]

    assert kept == [0] * P
    assert left == [0] * P
    groups = [await house.client.xinfo_groups(keys.events(p)) for p in range(P)]
    places = [found["last-delivered-id"].decode() for some in groups for found in some]
    assert places == [await archived.position(house.client, p) for p in range(P)]


async def test_with_an_archive_to_be_no_silence_lets_the_stream_go(house: House) -> None:
    """A reader that is silent for longer than events are kept is passed over; the archive is not, where one is set."""
    await house.publisher.publish(facts(400))
    for p in range(P):
        await bus.register(house.client, keys.events(p), keys.GROUP_REPORTS)
        end = (await house.client.xinfo_stream(keys.events(p)))["last-generated-id"]
        await house.client.xgroup_setid(keys.events(p), keys.GROUP_REPORTS, end)
        await house.client.hset(keys.readers(keys.events(p)), f"silent:{keys.GROUP_ARCHIVE}", 8 * DAY_MS)
    later_ms = int(time.time() * 1000) + DAY_MS

    held = [await trimming.trim(house.client, p, later_ms, 7 * DAY_MS, is_archived=True) for p in range(P)]
    await house.written(house.archive(file_events=1_000))
    gone = [await trimming.trim(house.client, p, later_ms, 7 * DAY_MS, is_archived=True) for p in range(P)]

    assert held == [0] * P
    assert sum(gone) >= 100  # Redis goes by whole nodes
    assert len(house.ids()) == 400


async def test_a_full_target_loses_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.publisher.publish(facts(40))
    put, failing = house.put, [2]

    def full(path: str, whole: Any) -> None:
        if failing[0] > 0:
            failing[0] -= 1
            raise OSError(28, "No space left on device")
        put(path, whole)

    monkeypatch.setattr(house, "put", full)
    await house.written()

    assert len(house.ids()) == 40
    assert failing == [0]


async def test_what_names_its_message_alone_gets_its_address(house: House) -> None:
    name = job()
    p = job_partition(name, P)
    people = pack_slim(0, [Waiting(email="ana@exemple.fr"), Waiting(email="bo@exemple.fr")])
    await house.client.zadd(keys.job_recipients(p, name), {people: 0})
    about = events.about_message("acme", name, 1, int(time.time() * 1000), "opened", 1)
    await house.publisher.publish([events.Opened(**about, user_agent="Mozilla")])

    await house.written()

    assert house.rows("email, user_agent, ordinal") == [("bo@exemple.fr", "Mozilla", 1)]


async def test_what_cannot_be_read_is_buried_and_the_rest_archived(house: House) -> None:
    await house.publisher.publish(facts(3, name=(name := job())))
    p = job_partition(name, P)
    await house.client.xadd(keys.events(p), {"t": "Delivered", "v": 1, "b": b"\xc1"})

    await house.written()

    ((_, dead),) = await house.client.xrange(keys.dead(keys.events(p)), "-", "+")
    assert dead[b"origin"].endswith(b" archive")
    assert len(house.ids()) == 3


async def test_what_a_newer_program_wrote_is_waited_for(house: House) -> None:
    await house.publisher.publish(facts(3, name=(name := job())))
    p = job_partition(name, P)
    await house.client.xadd(keys.events(p), {"t": "Teleported", "v": 1, "b": b"\x90"})
    await house.publisher.publish(facts(2, name=name, at_ms=house.now_ms + 99))

    working = asyncio.create_task(house.written())
    await asyncio.wait((working,), timeout=2)
    working.cancel()

    assert len(house.ids()) <= 3
    assert await house.client.xlen(keys.dead(keys.events(p))) == 0


async def test_parts_become_one_file_a_day_in_which_each_event_is_once(house: House) -> None:
    yesterday_ms = house.now_ms // DAY_MS * DAY_MS - DAY_MS // 2
    made = facts(120, at_ms=yesterday_ms)
    await house.publisher.publish(made)
    await house.publisher.publish(made[:10])
    await house.written(house.archive(file_events=100))
    before = house.ids()
    house.now_ms += 3 * 3_600_000

    await house.lease.renew()
    await house.tending().sweep()

    assert [file.name for file in house.target.stored()] == [names.OF_A_DAY]
    assert set(house.ids()) == set(before)
    assert set(house.ids().values()) == {1}
    await house.tending().sweep()
    assert len(house.ids()) == 120


async def test_who_dies_between_a_merged_file_and_its_parts_leaves_nothing_twice_for_long(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.publisher.publish(facts(120, at_ms=house.now_ms // DAY_MS * DAY_MS - DAY_MS // 2))
    await house.written()
    house.now_ms += 3 * 3_600_000
    (folder,) = {file.folder for file in house.target.stored()}
    with monkeypatch.context() as patch:
        patch.setattr(house.target, "delete", _die)
        with pytest.raises(Died):
            house.tending().merge(folder)
    files = house.target.stored()
    assert {one.name for one in merging.left_over(house.target, files)} == {
        file.name for file in files if file.name != names.OF_A_DAY
    }

    await house.tending().sweep()

    assert set(house.ids().values()) == {1}
    assert len(house.ids()) == 120


def _die(_path: str) -> None:
    raise Died


async def test_who_was_erased_is_in_no_file(house: House) -> None:
    name = job()
    await house.publisher.publish(facts(60, name=name))
    nameless = events.about_message("acme", name, 7, int(time.time() * 1000), "opened", 1)
    await house.publisher.publish([events.Opened(**nameless, user_agent="Mozilla of u7", ip="192.0.2.7")])
    digest = SECRETS.digest("acme", "u7@acme.test")
    await house.publisher.publish(
        [events.Erased(**events.about("acme", house.now_ms, "erased", digest), digest=digest, messages=1, by="request")]
    )
    await house.written()
    house.now_ms += 10_000

    await house.lease.renew()
    await house.tending().sweep()

    assert await house.store.erasures() == {}
    text = b"".join(repr(row).encode() for row in house.rows("* exclude (event_id, digest)"))
    assert b"u7@" not in text
    assert b"192.0.2.7" not in text
    assert b"u8@acme.test" in text
    assert len(house.ids()) == 62
    assert house.rows("type, site, reply", "where ordinal = 7 and type = 'message.delivered'") == [
        ("message.delivered", "a.test", None)
    ]


async def test_a_tenant_that_is_removed_leaves_no_file(house: House) -> None:
    await house.publisher.publish([*facts(10), *facts(10, "other")])
    await house.written()
    await house.client.hset(keys.archive_removals(), "acme", house.now_ms)

    await house.lease.renew()
    await house.tending().sweep()

    assert {row for (row,) in house.rows("tenant")} == {"other"}
    assert not (house.folder / "tenant=acme").exists()
    assert await house.store.removals() == []


async def test_one_writes_and_another_stands_by(house: House) -> None:
    other = Lease(ArchiveStore(house.client, P, "other"), time.monotonic)

    assert not await other.renew()
    assert await house.lease.renew()


@pytest.fixture
def s3() -> Iterator[str]:
    with object_store() as url:
        yield url


async def test_a_store_has_the_same_files_as_a_folder(client: Any, tmp_path: Path, s3: str) -> None:
    target = opened(f"s3://{BUCKET}/of/us", tmp_path / "scratch", s3, REGION)
    house = House(client, tmp_path, target)
    await house.begin()
    await house.publisher.publish(facts(120, at_ms=house.now_ms // DAY_MS * DAY_MS - DAY_MS // 2))
    await house.publisher.publish(facts(3, "other"))
    await house.written()
    parts = target.stored()
    house.now_ms += 3 * 3_600_000
    await house.client.hset(keys.archive_removals(), "other", house.now_ms)

    await house.lease.renew()
    await house.tending().sweep()

    assert len(parts) > 2
    (day,) = target.stored()
    assert day.name == names.OF_A_DAY
    with target.open(day.path) as file:
        assert len(set(pq.read_table(file)["event_id"].to_pylist())) == 120


async def test_a_store_that_is_not_there_loses_nothing(client: Any, tmp_path: Path, s3: str) -> None:
    house = House(client, tmp_path, opened("s3://nothing", tmp_path / "scratch", s3, REGION))
    await house.begin()
    await house.publisher.publish(facts(5))

    working = asyncio.create_task(house.written())
    await asyncio.wait((working,), timeout=2)
    working.cancel()

    assert await house.is_behind()


@pytest.mark.parametrize("target", ["s3://", "ftp://there", "/proc/nobody/writes/here"])
def test_a_target_that_is_none_is_refused(target: str, tmp_path: Path) -> None:
    with pytest.raises(NoTarget, match=r"archive\.target"):
        opened(target, tmp_path)
