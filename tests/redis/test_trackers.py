"""Processes of tracking that are killed, alone or several on one port: an answered click is in the streams, once.

The account is kept from outside: who clicks notes each redirect that came back, and a `Follower` each click that was
ever in the streams, also where they are trimmed as soon as they are read.
"""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from loadtests.clicking import Account
from services.settings import load
from shared.process import master_secret
from shared.redis import keys, redis
from shared.words import events
from shared.words.events import Clicked
from shared.words.tokens import TokenKeys
from tests.redis.test_tracking import JOBS, PARTITIONS, URL, Process, spooled, until
from tests.servers import RedisServer, free_port, stop


class Follower:
    """How often each click was added to the streams, by its number; with `trims` nothing is left there that it read."""

    def __init__(self, url: str, *, trims: bool = False) -> None:
        self._url, self._trims = url, trims
        self._client: Any = None
        self._last = dict.fromkeys(map(keys.events, range(PARTITIONS)), b"0-0")
        self.clicks: Counter[int] = Counter()
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._client = redis.connect(self._url)
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._following is not None
        self._following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._following
        await redis.close(self._client)

    async def all(self) -> Counter[int]:
        """Everything up to now. No entry was gone before it was read."""
        assert self._following is not None
        self._following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._following
        while await self._read():
            pass
        added = 0
        for stream in self._last:
            if await self._client.exists(stream):
                added += (await self._client.xinfo_stream(stream))["entries-added"]
        assert added == self.clicks.total()
        return self.clicks

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(redis.RedisAway, *redis.FOREIGN):
                await self._read()
            await asyncio.sleep(0.02)

    async def _read(self) -> int:
        read = 0
        for stream, last in self._last.items():
            entries: Any = await self._client.xrange(stream, f"({last.decode()}", "+", count=1000)
            for _, fields in entries:
                fact = events.decode(fields[b"t"].decode(), fields[b"b"])
                assert isinstance(fact, Clicked)
                assert fact.ordinal is not None
                self.clicks[fact.ordinal] += 1
            if entries:
                self._last[stream] = entries[-1][0]
                read += len(entries)
                if self._trims:
                    await self._client.xtrim(stream, minid=_after(entries[-1][0]), approximate=False)
        return read


def _after(entry: bytes) -> str:
    ms, _, number = entry.decode().partition("-")
    return f"{ms}-{int(number) + 1}"


class Readers:
    """Click without a pause, each time another link, over connections of their own, whoever answers or dies."""

    def __init__(self, port: int, secret: bytes) -> None:
        self._port = port
        self._tokens = TokenKeys(secret)
        self._next = iter(range(1_000_000))
        self.answered: set[int] = set()
        self.refused = 0
        self._going = [asyncio.create_task(self._click()) for _ in range(8)]

    async def more(self, count: int) -> None:
        goal = len(self.answered) + count
        await until(lambda: len(self.answered) >= goal)

    async def go_home(self) -> None:
        self._next = iter(())
        await asyncio.gather(*self._going)

    async def _click(self) -> None:
        while True:
            try:
                await self._some()
                return
            except OSError:  # whoever answered has died: this click was not answered
                await asyncio.sleep(0.02)

    async def _some(self) -> None:
        while (number := next(self._next, None)) is not None:
            job = JOBS[number % len(JOBS)]
            click = self._tokens.click(job, number, "demo", "ana@example.fr", 0, URL)
            if await self._status(f"/c/{click}") == 302:
                self.answered.add(number)
            else:
                self.refused += 1

    async def _status(self, path: str) -> int:
        """Of the answer. A new connection each click, so that of several processes each gets some; and by hand, for a
        library asks again by itself if whoever has recorded a click dies before the answer: then it is there twice.
        OSError."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            line = await reader.readline()
        finally:
            writer.close()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("no answer")
        return int(line.split()[1])


def secret_of(folder: Path) -> bytes:
    return master_secret.load(load({"ESTAFETTE_DATA_DIR": str(folder)}, None)).current


async def test_the_account_knows_what_is_missing_and_what_is_there_twice(mortal: RedisServer) -> None:
    async with Follower(mortal.url, trims=True) as follower:
        client: Any = redis.connect(mortal.url)
        for number in (1, 2, 2):
            fact = Clicked(event_id="e", occurred_at=1, tenant="demo", job=JOBS[0], ordinal=number, position=0, url=URL)
            await client.xadd(keys.events(0), {"t": "Clicked", "v": "1", "b": events.encode(fact)})

        clicks = await follower.all()

        await redis.close(client)
    assert ({1, 2, 3} - clicks.keys(), [number for number, count in clicks.items() if count > 1]) == ({3}, [2])


async def test_the_account_of_the_load_test_keeps_what_it_has_read_and_refuses_where_more_is_gone(
    mortal: RedisServer,
) -> None:
    client: Any = redis.connect(mortal.url)

    async def add(number: int) -> None:
        url = f"{URL}?n={number}&utm_source=x"
        fact = Clicked(event_id="e", occurred_at=1, tenant="demo", job=JOBS[0], ordinal=1, position=0, url=url)
        await client.xadd(keys.events(0), {"t": "Clicked", "v": "1", "b": events.encode(fact)})

    account = Account(mortal.url, PARTITIONS)
    for number in (1, 2, 2):
        await add(number)
    await asyncio.to_thread(account.brought_up_to_date)
    await client.xtrim(keys.events(0), maxlen=0, approximate=False)
    await add(3)

    clicks = dict(await asyncio.to_thread(account.brought_up_to_date))
    await add(4)
    await client.xtrim(keys.events(0), maxlen=0, approximate=False)

    assert clicks == {1: 1, 2: 2, 3: 1}
    with pytest.raises(RuntimeError, match="1 entries of the streams were gone"):
        await asyncio.to_thread(account.brought_up_to_date)
    await redis.close(client)


@pytest.mark.parametrize("trims", [False, True], ids=["whole", "trimmed"])
@pytest.mark.parametrize("fault", ["none", "stopped", "killed"])
async def test_promise_3_a_click_answered_before_kill_9_is_in_the_streams_once(
    mortal: RedisServer, tmp_path: Path, fault: str, trims: bool
) -> None:
    secret = secret_of(tmp_path)
    trackers = [Process(tmp_path, mortal.url)]
    port = trackers[0].port
    try:
        await trackers[0].answering()
        async with Follower(mortal.url, trims=trims) as follower:
            readers = Readers(port, secret)
            await readers.more(100)

            if fault == "stopped":
                os.kill(mortal.pid, signal.SIGSTOP)
            elif fault == "killed":
                mortal.kill()
            await readers.more(200)
            assert fault == "none" or spooled(tmp_path)
            kill_9(trackers[-1])
            if fault == "stopped":
                os.kill(mortal.pid, signal.SIGCONT)
            elif fault == "killed":
                mortal.start()
            # The next one is killed as it replays what the first has left, or soon after.
            trackers.append(Process(tmp_path, mortal.url, port))
            await readers.more(20)
            kill_9(trackers[-1])
            trackers.append(Process(tmp_path, mortal.url, port))
            await readers.more(100)
            await readers.go_home()
            await until(lambda: not spooled(tmp_path))

            clicks = await follower.all()
    finally:
        for tracker in trackers:
            stop(tracker.process)

    assert readers.answered - clicks.keys() == set()
    assert [number for number, count in clicks.items() if count > 1] == []
    assert readers.refused == 0


async def test_of_two_that_share_a_port_one_is_killed_and_the_other_answers_on_and_replays_what_it_left(
    mortal: RedisServer, tmp_path: Path
) -> None:
    secret, port = secret_of(tmp_path), free_port()
    metrics = [free_port(), free_port()]
    trackers = [
        Process(
            tmp_path,
            mortal.url,
            port,
            ESTAFETTE_HTTP_REUSE_PORT="true",
            ESTAFETTE_TRACKING_METRICS_PORT=str(metrics_port),
        )
        for metrics_port in metrics
    ]
    try:
        await asyncio.gather(*(ready(metrics_port) for metrics_port in metrics))
        async with Follower(mortal.url) as follower:
            readers = Readers(port, secret)
            await readers.more(200)
            answered = [await clicks_answered(metrics_port) for metrics_port in metrics]
            assert all(answered)

            os.kill(mortal.pid, signal.SIGSTOP)
            await until(lambda: len(owners(spooled(tmp_path))) == 2)
            await readers.more(100)
            kill_9(trackers[0])
            await readers.more(200)
            assert await clicks_answered(metrics[1]) > answered[1]
            os.kill(mortal.pid, signal.SIGCONT)
            await readers.more(100)
            await readers.go_home()
            await until(lambda: not spooled(tmp_path))

            clicks = await follower.all()
        assert stop(trackers[1].process) == 0
        assert [path.name for path in (tmp_path / "spool").iterdir()] == ["lock"]
    finally:
        for tracker in trackers:
            stop(tracker.process)

    assert readers.answered - clicks.keys() == set()
    assert [number for number, count in clicks.items() if count > 1] == []
    assert readers.refused == 0


def kill_9(tracker: Process) -> None:
    tracker.process.kill()
    tracker.process.wait()


def owners(files: Sequence[Path]) -> set[str]:
    return {path.name.split(".")[0] for path in files}


async def ready(metrics_port: int) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"http://127.0.0.1:{metrics_port}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


async def clicks_answered(metrics_port: int) -> float:
    """By one process."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{metrics_port}/metrics") as answer,
    ):
        text = await answer.text()
    name = 'estafette_tracking_answers_total{kind="click",status="302"} '
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))
