"""Tracking against a real Redis that is slow, stopped or killed: a click answered is a click recorded."""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.settings import load
from services.tracking import http, parts
from shared.http import api
from shared.process import master_secret
from shared.redis import keys, redis
from shared.redis.bus import Publisher
from shared.redis.recipients import Recipients
from shared.redis.untracked import Told, Untracked, UntrackedList
from shared.words import events, ids
from shared.words.events import (
    Clicked,
    Fact,
    Opened,
    Unsubscribed,
)
from shared.words.tokens import TokenKeys
from tests.servers import ANY_METRICS_PORT, RedisCluster, RedisServer, free_port, stop

PARTITIONS = 8
KEYS = TokenKeys(b"k" * 32)
#: A job in each partition.
JOBS = [ids.new_job_id(1_750_000_000_000, bytes((number,)) * 6, PARTITIONS, number) for number in range(8)]
URL = "https://exemple.fr/soldes"
#: For what is asserted of the stream: a disk on which Redis waits for seconds would send the facts to the spool, which
#: is #: as right, and another test. The client's own time-out (5 s) makes such a call again.
NO_SPOOL_MS = "60000"

Client = TestClient[web.Request, web.Application]


class NoKeys:
    async def verify(self, text: str) -> None:
        return None


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def click_path(number: int) -> str:
    return f"/c/{KEYS.click(JOBS[number % len(JOBS)], number, 'demo', 'ana@example.fr', 0, URL)}"


@contextlib.asynccontextmanager
async def serving(url: str, folder: Path, **environ: str) -> AsyncIterator[Client]:
    """The routes of tracking in this process, with its spool in `folder`."""
    settings = load({"ESTAFETTE_DATA_DIR": str(folder), **environ}, None)
    client: Any = redis.connect(url)
    publisher = Publisher(client, PARTITIONS, lambda: secrets.token_hex(8))
    untracked, stopping = Untracked(client), asyncio.Event()
    name = secrets.token_hex(6)
    tracking = parts.tracking(settings, publisher, KEYS, Recipients(client, PARTITIONS), untracked, name)
    await tracking.start()
    following = asyncio.create_task(untracked.run(stopping))
    app = api.application(http.routes(tracking, now_ms), NoKeys(), max_body_bytes=65536)
    try:
        async with TestClient(TestServer(app)) as browser:
            yield browser
    finally:
        await tracking.close()
        stopping.set()
        await following
        await redis.close(client)


async def recorded(url: str) -> list[Fact]:
    """All facts of all partitions."""
    client: Any = redis.connect(url)
    try:
        facts = []
        for partition in range(PARTITIONS):
            entries: Any = await client.xrange(keys.events(partition))
            for _, fields in entries:
                fact = events.decode(fields[b"t"].decode(), fields[b"b"])
                assert isinstance(fact, Fact)
                assert not fact.job or ids.job_partition(fact.job, PARTITIONS) == partition
                facts.append(fact)
        return facts
    finally:
        await redis.close(client)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - what is waited for is a file, and tells nobody
            await asyncio.sleep(0.01)


def spooled(folder: Path) -> list[Path]:
    return list((folder / "spool").glob("*.frames"))


async def test_what_recipients_do_is_on_the_stream_when_they_are_answered(any_redis_url: str, tmp_path: Path) -> None:
    headers = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
    async with serving(any_redis_url, tmp_path, ESTAFETTE_TRACKING_SPOOL_AFTER_MS=NO_SPOOL_MS) as browser:
        await browser.get(f"/o/{KEYS.open(JOBS[0], 1, 'demo', 'ana@example.fr')}", headers=headers)
        opened = await recorded(any_redis_url)
        await browser.get(click_path(2), headers=headers, allow_redirects=False)
        await browser.post(
            f"/u/{KEYS.unsubscribe(JOBS[1], 3, 'demo', 'ana@example.fr')}", data={"List-Unsubscribe": "One-Click"}
        )
        facts = await recorded(any_redis_url)

    assert [(type(fact), fact.job, fact.ordinal) for fact in opened] == [(Opened, JOBS[0], 1)]
    assert {(type(fact), fact.job, fact.ordinal) for fact in facts} == {
        (Opened, JOBS[0], 1),
        (Clicked, JOBS[2], 2),
        (Unsubscribed, JOBS[1], 3),
    }


async def test_many_at_once_are_each_recorded_once(any_redis_url: str, tmp_path: Path) -> None:
    async with serving(any_redis_url, tmp_path, ESTAFETTE_TRACKING_SPOOL_AFTER_MS=NO_SPOOL_MS) as browser:
        answers = await asyncio.gather(
            *(browser.get(click_path(number), allow_redirects=False) for number in range(300))
        )

    assert {answer.status for answer in answers} == {302}
    assert sorted(fact.ordinal or 0 for fact in await recorded(any_redis_url)) == list(range(300))


class Crowd:
    """Clicks without a pause, each time another link, and keeps what was answered."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._next = iter(range(1_000_000))
        self.answered: list[int] = []
        self.statuses: Counter[int] = Counter()
        self._going = [asyncio.ensure_future(self._click()) for _ in range(6)]

    async def more(self, count: int) -> None:
        goal = len(self.answered) + count
        await until(lambda: len(self.answered) >= goal)

    async def go_home(self) -> None:
        self._next = iter(())
        await asyncio.gather(*self._going)

    async def _click(self) -> None:
        while (number := next(self._next, None)) is not None:
            async with self._browser.get(click_path(number), allow_redirects=False) as answer:
                self.statuses[answer.status] += 1
                if answer.status == 302:
                    assert answer.headers["Location"] == URL
                    self.answered.append(number)


@pytest.mark.parametrize("fault", ["stopped", "killed"])
async def test_promise_3_a_click_answered_is_a_click_recorded(mortal: RedisServer, tmp_path: Path, fault: str) -> None:
    async with serving(mortal.url, tmp_path) as browser:
        crowd = Crowd(browser)
        await crowd.more(100)

        if fault == "stopped":
            os.kill(mortal.pid, signal.SIGSTOP)
        else:
            mortal.kill()
        await crowd.more(300)
        assert spooled(tmp_path)
        if fault == "stopped":
            os.kill(mortal.pid, signal.SIGCONT)
        else:
            mortal.start()
        await crowd.more(100)
        await crowd.go_home()
        await until(lambda: not spooled(tmp_path))

    facts = await recorded(mortal.url)
    assert crowd.statuses == {302: len(crowd.answered)}
    # Not one is missing, and none is there twice although batches were given up and published again.
    assert sorted(fact.ordinal or 0 for fact in facts) == sorted(crowd.answered)
    assert len({fact.event_id for fact in facts}) == len(facts)


async def test_promise_3_holds_while_one_node_of_a_cluster_is_away(tmp_path: Path) -> None:
    cluster = RedisCluster(tmp_path / "cluster")
    try:
        cluster.start()
        node = cluster.nodes[1]
        async with serving(cluster.url, tmp_path) as browser:
            crowd = Crowd(browser)
            await crowd.more(100)

            os.kill(node.pid, signal.SIGSTOP)
            await crowd.more(200)
            assert spooled(tmp_path)
            os.kill(node.pid, signal.SIGCONT)
            await crowd.more(100)
            await crowd.go_home()
            await until(lambda: not spooled(tmp_path))

        facts = await recorded(cluster.url)
        assert crowd.statuses == {302: len(crowd.answered)}
        assert sorted(fact.ordinal or 0 for fact in facts) == sorted(crowd.answered)
    finally:
        for each in cluster.nodes:
            with contextlib.suppress(ProcessLookupError, AssertionError):
                os.kill(each.pid, signal.SIGCONT)
        cluster.stop()


async def test_links_work_when_redis_was_never_there(mortal: RedisServer, tmp_path: Path) -> None:
    mortal.stop()

    async with serving(mortal.url, tmp_path) as browser:
        answers = [await browser.get(click_path(number), allow_redirects=False) for number in range(20)]
        left = await browser.post(f"/u/{KEYS.unsubscribe(JOBS[0], 50, 'demo', 'ana@example.fr')}", data={"by": "page"})
        assert {answer.status for answer in answers} == {302}
        assert left.status == 200

        mortal.start()
        await until(lambda: not spooled(tmp_path))

    assert sorted(fact.ordinal or 0 for fact in await recorded(mortal.url)) == [*range(20), 50]


async def test_with_redis_away_and_the_spool_full_nobody_is_answered_as_if(mortal: RedisServer, tmp_path: Path) -> None:
    mortal.stop()

    async with serving(mortal.url, tmp_path, ESTAFETTE_TRACKING_SPOOL_MAX_BYTES="1000") as browser:
        answers = [await browser.get(click_path(number), allow_redirects=False) for number in range(12)]
        statuses = [answer.status for answer in answers]
        assert set(statuses) == {302, 503}
        assert all("Location" not in answer.headers for answer in answers if answer.status == 503)

        mortal.start()
        await until(lambda: not spooled(tmp_path))
        again = await browser.get(click_path(100), allow_redirects=False)
        assert again.status == 302
        await until(lambda: not spooled(tmp_path))  # where a Redis that has just started took its time

    answered = [number for number, status in enumerate(statuses) if status == 302]
    assert sorted(fact.ordinal or 0 for fact in await recorded(mortal.url)) == [*answered, 100]


# Processes of their own


class Process:
    """`python -m services.tracking`, as Kubernetes runs it."""

    def __init__(self, folder: Path, redis_url: str, port: int = 0, **more: str) -> None:
        self.port = port or free_port()
        environ = {
            **os.environ,
            **ANY_METRICS_PORT,
            **more,
            "ESTAFETTE_DATA_DIR": str(folder),
            "ESTAFETTE_REDIS_URL": redis_url,
            "ESTAFETTE_HTTP_PORT": str(self.port),
        }
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "services.tracking"], env=environ, stderr=log)

    async def answering(self) -> None:
        async with aiohttp.ClientSession() as session, asyncio.timeout(60):
            while self.process.poll() is None:
                with contextlib.suppress(aiohttp.ClientError):
                    await session.get(f"http://127.0.0.1:{self.port}/u/none")
                    return
                await asyncio.sleep(0.05)
        raise AssertionError("it ended")

    async def click(self, keys: TokenKeys, numbers: range) -> None:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.port}") as session:
            for number in numbers:
                path = f"/c/{keys.click(JOBS[0], number, 'demo', 'ana@example.fr', 0, URL)}"
                async with session.get(path, allow_redirects=False) as answer:
                    assert answer.status == 302


async def test_what_two_killed_processes_spooled_is_replayed_by_the_next(mortal: RedisServer, tmp_path: Path) -> None:
    secret = master_secret.load(load({"ESTAFETTE_DATA_DIR": str(tmp_path)}, None))
    token_keys = TokenKeys(secret.current)
    mortal.stop()
    processes = [Process(tmp_path, mortal.url), Process(tmp_path, mortal.url)]
    try:
        for process in processes:
            await process.answering()
        await asyncio.gather(processes[0].click(token_keys, range(10)), processes[1].click(token_keys, range(10, 25)))
        for process in processes:
            process.process.kill()
            process.process.wait()
        torn = spooled(tmp_path)[0]
        torn.write_bytes(torn.read_bytes() + b"\0\0\1\0torn")

        mortal.start()
        processes.append(Process(tmp_path, mortal.url))
        await processes[-1].answering()
        await processes[-1].click(token_keys, range(25, 30))
        await until(lambda: not spooled(tmp_path))

        assert sorted(fact.ordinal or 0 for fact in await recorded(mortal.url)) == list(range(30))
        assert stop(processes[-1].process) == 0
        assert [path.name for path in (tmp_path / "spool").iterdir()] == ["lock"]
    finally:
        for process in processes:
            stop(process.process)


async def test_a_process_refuses_data_of_another_number_of_partitions(redis_url: str, tmp_path: Path) -> None:
    client: Any = redis.connect(redis_url)
    await client.set(keys.partitions(), PARTITIONS + 1)
    await redis.close(client)

    process = Process(tmp_path, redis_url)

    assert await asyncio.to_thread(process.process.wait, 30) == 2


async def test_a_withdrawn_consent_holds_in_a_tracker_that_runs_and_in_one_that_begins_and_ends_when_it_is_given_again(
    redis_url: str, tmp_path: Path
) -> None:
    client: Any = redis.connect(redis_url)
    names, view = UntrackedList(client), Untracked(client)
    (mark,) = KEYS.marks("demo", "ana@example.fr")

    await names.tell([Told("demo", mark, True, 1_000)])
    async with serving(redis_url, tmp_path) as browser, browser.get(click_path(1), allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, URL)
    assert await recorded(redis_url) == []

    await names.tell([Told("demo", mark, False, 2_000)])
    async with serving(redis_url, tmp_path) as browser, browser.get(click_path(2), allow_redirects=False) as answer:
        assert answer.status == 302
    assert [fact.ordinal for fact in await recorded(redis_url)] == [2]
    await view.load()
    assert not view.is_withdrawn("demo", [mark])
    await redis.close(client)


# What nobody signed costs nothing


async def commands(url: str) -> int:
    """How many commands of clients the server has carried out, but for those that ask for it."""
    client: Any = redis.connect(url)
    try:
        found = await client.info("commandstats")
        return sum(row["calls"] for name, row in found.items() if name not in UNCOUNTED)
    finally:
        await redis.close(client)


#: What a connection begins with, and what `commands` does itself.
UNCOUNTED = {"cmdstat_info", "cmdstat_hello", "cmdstat_auth", "cmdstat_client|setinfo", "cmdstat_client|setname",
             "cmdstat_select", "cmdstat_ping", "cmdstat_quit", "cmdstat_command"}  # fmt: skip


async def test_a_token_that_is_forged_foreign_or_cut_short_gets_a_neutral_page_and_asks_redis_nothing(
    redis_url: str, tmp_path: Path
) -> None:
    foreign = TokenKeys(b"f" * 32)
    signed = {
        "o": KEYS.open(JOBS[0], 1, "demo", "ana@example.fr"),
        "c": KEYS.click(JOBS[0], 1, "demo", "ana@example.fr", 0, URL),
        "u": KEYS.unsubscribe(JOBS[0], 1, "demo", "ana@example.fr"),
        "p": KEYS.for_job(JOBS[0], "demo").addressed("preferences", 1, "ana@example.fr").decode(),
        "a": KEYS.for_job(JOBS[0], "demo").addressed("opt_in", 1, "ana@example.fr").decode(),
        "d": KEYS.document_for("demo", "ana@example.fr", URL, "Devis"),
    }
    abroad = {
        "o": foreign.open(JOBS[0], 1, "demo", "ana@example.fr"),
        "u": foreign.unsubscribe(JOBS[0], 1, "d", "a@b.fr"),
        "d": foreign.document(JOBS[0], 1, "demo", "ana@example.fr", URL, "Devis"),
    }
    answers = set()

    async with following_nobody(redis_url, tmp_path) as browser:
        before = await commands(redis_url)
        for kind, token in signed.items():
            flipped = token[:-3] + ("A" if token[-3] != "A" else "B") + token[-2:]
            of_another_kind = signed["c" if kind != "c" else "u"]
            for bad in (flipped, token[:-5], token[:20], "x", abroad.get(kind, abroad["o"]), of_another_kind):
                for method in ("GET", "HEAD", "POST"):
                    if method == "POST" and kind in "ocd":
                        continue
                    async with browser.request(method, f"/{kind}/{bad}", allow_redirects=False) as answer:
                        answers.add((answer.status, await answer.read() if method != "HEAD" else b""))
        after = await commands(redis_url)

    assert after == before
    assert {status for status, _ in answers} == {404}
    assert len({body for _, body in answers if body}) == 1
    assert await recorded(redis_url) == []


@contextlib.asynccontextmanager
async def following_nobody(url: str, folder: Path) -> AsyncIterator[Client]:
    """As `serving`, but that nothing runs beside the requests, so that every command is one of theirs."""
    settings = load({"ESTAFETTE_DATA_DIR": str(folder)}, None)
    client: Any = redis.connect(url)
    publisher = Publisher(client, PARTITIONS, lambda: secrets.token_hex(8))
    tracking = parts.tracking(settings, publisher, KEYS, Recipients(client, PARTITIONS), Untracked(client), "edge")
    await tracking.start()
    app = api.application(http.routes(tracking, now_ms), NoKeys(), max_body_bytes=65536)
    try:
        async with TestClient(TestServer(app)) as browser:
            yield browser
    finally:
        await tracking.close()
        await redis.close(client)


async def test_head_asks_redis_nothing_either(redis_url: str, tmp_path: Path) -> None:
    async with following_nobody(redis_url, tmp_path) as browser:
        before = await commands(redis_url)
        async with browser.head(click_path(0), allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, URL)
        after = await commands(redis_url)
        async with browser.get(click_path(0), allow_redirects=False) as answer:
            assert answer.status == 302
        clicked = await commands(redis_url)

    assert after == before
    assert clicked > after
    assert len(await recorded(redis_url)) == 1
