"""An upload stores a batch while it reads the next, one at a time and in their order."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from services.queueing import uploads
from services.queueing.attachments import OwnAttachment
from services.queueing.own_files import Batch
from services.queueing.recipients import Recipient
from services.queueing.uploads import Uploading
from shared.redis.recipients import Waiting
from shared.words.errors import Problem, StorageAway

ROWS = [(number, Recipient(f"u{number}@a.test")) for number in range(1, 8)]


class Storage:
    """Stores a batch when it is let, `word` of how it ends."""

    def __init__(self) -> None:
        self.let = asyncio.Semaphore(0)
        self.begun: list[list[str]] = []
        self.files: list[dict[str, bytes]] = []
        self.under_way = 0
        self.word = "appended"
        self.away = False

    async def append(self, batch: Sequence[tuple[bytes, bytes]], files: Batch) -> tuple[str, int]:
        self.files.append(dict(files.contents))
        self.under_way += 1
        assert self.under_way == 1
        self.begun.append([msgspec.msgpack.decode(row, type=Waiting).email.partition("@")[0] for _, row in batch])
        await self.let.acquire()
        self.under_way -= 1
        if self.away:
            raise StorageAway("away")
        return self.word, len(batch) - 1


@pytest.fixture(autouse=True)
def batches_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "APPEND_BATCH", 3)


async def test_a_batch_is_stored_while_the_next_is_read_and_no_more_than_one() -> None:
    storage = Storage()
    async with Uploading(storage.append, "bulk") as uploading:
        reading = asyncio.create_task(uploading.read(ROWS))
        await asyncio.sleep(0.01)

        assert storage.begun == [["u1", "u2", "u3"]]
        assert not reading.done()  # the second is full, and waits for the first
        for _ in range(3):
            storage.let.release()
        await reading
        await uploading.end()

    assert storage.begun == [["u1", "u2", "u3"], ["u4", "u5", "u6"], ["u7"]]
    assert (uploading.result([]).appended, uploading.result([]).duplicates) == (4, 3)


async def test_a_job_that_was_started_meanwhile_is_told_and_nothing_more_is_stored() -> None:
    storage = Storage()
    storage.word = "not_open"
    storage.let.release()
    with pytest.raises(Problem, match="was started"):
        async with Uploading(storage.append, "bulk") as uploading:
            await uploading.read(ROWS)

    assert storage.begun == [["u1", "u2", "u3"]]


async def test_what_breaks_off_waits_for_what_is_under_way_and_tells_its_own_fault() -> None:
    storage = Storage()
    storage.away = True

    async def broken() -> None:
        async with Uploading(storage.append, "bulk") as uploading:
            await uploading.read(ROWS[:3])
            await asyncio.sleep(0)
            storage.let.release()
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await broken()
    assert (storage.under_way, len(storage.begun)) == (0, 1)


async def test_a_storage_that_is_away_fails_the_upload() -> None:
    storage = Storage()
    storage.away = True
    storage.let.release()
    async with Uploading(storage.append, "bulk") as uploading:
        await uploading.read(ROWS[:2])
        with pytest.raises(StorageAway):
            await uploading.end()


@pytest.mark.parametrize(("bound", "most"), [("BATCH_BYTES", 2), ("BATCH_FILES", 1)])
async def test_files_go_with_the_batch_of_their_recipients_and_end_it_where_they_are_much(
    monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(uploads, bound, most)
    storage = Storage()
    contents = {1: "YWE=", 2: "YWE=", 3: "Yg=="}
    rows = [(n, Recipient(f"u{n}@a.test", attachments=[OwnAttachment("a", one)])) for n, one in contents.items()]
    async with Uploading(storage.append, "bulk") as uploading:
        for _ in range(3):
            storage.let.release()
        await uploading.read([*rows[:1], ROWS[3], *rows[1:]])
        await uploading.end()

    assert storage.begun == [["u1"], ["u4", "u2"], ["u3"]]
    assert [list(files.values()) for files in storage.files] == [[b"aa"], [b"aa"], [b"b"]]
