"""The live table of `estafette top`: the real application in Textual's own pilot, on what a real Redis holds."""

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from services.console import top
from services.console.top import Row, acted, lasting, look, ordered
from services.console.top_app import Top, Why
from shared.process.settings import Redis, Settings
from shared.redis import keys, stops
from shared.redis.ready import Queued, ReadyQueues, Recorded
from shared.redis.redis import RedisAway
from shared.redis.stops import StopList
from shared.words import events, ids
from shared.words.pace import BUCKET_MS
from tests.servers import ANY_METRICS_PORT

P = 2
SETTINGS = Settings(redis=Redis(partitions=P))
#: Longer than any test takes: the table is looked at when the test says so.
NEVER_S = 3_600.0
JOB = ids.new_job_id(int(time.time() * 1000) - 60_000, b"abcdef", P)


async def waits(client: Any, site: str, count: int) -> int:
    partition = ids.name_partition(site, P)
    at = int(time.time() * 1000) + 86_400_000
    rows = [
        Queued(1, site, "acme", events.encode(events.Ready(tenant="acme", job=JOB, ordinal=n, email="a@b.test")), at)
        for n in range(count)
    ]
    await ReadyQueues(client, "email").enqueue(partition, JOB, ids.name_partition(site, 10_000), rows)
    return partition


async def deferred(client: Any, site: str, count: int) -> None:
    partition, queues = await waits(client, site, count), ReadyQueues(client, "email")
    leases = (await queues.lease(partition, "r1", 60_000, count, count)).leases
    later = int(time.time() * 1000) + 3_600_000
    await queues.record(partition, "r1", [Recorded(one.number, later, one.body) for one in leases])


def app(client: Any) -> Top:
    async def act(site: str, action: Any, why: str) -> str:
        return await acted(client, SETTINGS, site, action, why)

    return Top(lambda: look(client, SETTINGS), act, NEVER_S)


def shown(pilot: Pilot[None]) -> list[list[str]]:
    """The rows that are on the screen."""
    table = pilot.app.query_one("#sites", DataTable)
    return [[str(cell) for cell in table.get_row_at(at)] for at in range(table.row_count)]


def head(pilot: Pilot[None]) -> str:
    return str(pilot.app.query_one("#head", Static).render())


async def test_sites_are_shown_with_what_waits_goes_and_holds_and_keys_sort_them(client: Any) -> None:
    await deferred(client, "yahoo", 5)
    await waits(client, "gmail", 3)
    await waits(client, "mx.example.net", 40)
    bucket = int(time.time() * 1000) // BUCKET_MS
    for one in range(bucket - 3, bucket + 3):
        await client.hset(keys.attempts(one), "gmail\na1", 10)
        await client.hset(keys.attempts(one), "gmail\na1\n-", 90)
    await StopList(client).add(stops.of_site("gmail"), stops.Stop("suspended", "", 1, "operator"))

    async with app(client).run_test(size=(120, 20)) as pilot:
        by_name = {}
        orders = {}
        for key in "wdtn":
            await pilot.press(key)
            orders[key] = [row[0] for row in shown(pilot)]
        for row in shown(pilot):
            by_name[row[0]] = row[2:]

    assert by_name == {
        "gmail": ["3", "0", "0", "2.0", "suspended"],
        "mx.example.net": ["40", "0", "0", "0.0", "-"],
        "yahoo": ["0", "5", "0", "0.0", "-"],
    }
    assert [orders[key][0] for key in "wdtn"] == ["mx.example.net", "yahoo", "gmail", "gmail"]


async def test_what_is_chosen_is_suspended_once_a_reason_is_given_and_resumed(client: Any) -> None:
    await waits(client, "gmail", 3)
    await waits(client, "mx.example.net", 40)

    async with app(client).run_test(size=(120, 20)) as pilot:
        await pilot.press("w", "down", "s")
        assert isinstance(pilot.app.screen, Why)
        await pilot.press("enter")  # without a reason nothing is done
        assert isinstance(pilot.app.screen, Why)
        await pilot.press("escape")
        before = await StopList(client).all()

        await pilot.press("s", *"ticket", "enter")
        await pilot.pause()
        suspended = await StopList(client).all()
        head_then, rows_then = head(pilot), {row[0]: row[-1] for row in shown(pilot)}
        await pilot.press("r", *"mended", "enter")
        await pilot.pause()
        after = await StopList(client).all()

    assert (before, after) == ({}, {})
    assert {name: stop.why for name, stop in suspended.items()} == {"site:gmail": "ticket"}
    assert "suspend: site:gmail" in head_then
    assert rows_then == {"gmail": "suspended", "mx.example.net": "-"}


async def test_what_cannot_be_done_is_said(client: Any) -> None:
    await waits(client, "gmail", 3)

    async with app(client).run_test(size=(120, 20)) as pilot:
        await pilot.press("r", *"mended", "enter")
        await pilot.pause()

        assert "no operator suspended it" in head(pilot)


async def test_it_goes_on_by_itself_unless_it_is_paused_and_while_redis_is_away(client: Any) -> None:
    looks = 0
    is_away = False

    async def looking() -> list[Row]:
        nonlocal looks
        looks += 1
        if is_away:
            raise RedisAway("connection refused")
        return await look(client, SETTINGS)

    async def nothing(*_: object) -> str:
        return ""

    await waits(client, "gmail", 3)
    async with Top(looking, nothing, 0.01).run_test(size=(120, 20)) as pilot:
        while looks < 5:
            await pilot.pause(0.01)
        is_away = True
        while "Redis does not answer: connection refused" not in head(pilot):
            await pilot.pause(0.01)
        kept = [row[0] for row in shown(pilot)]
        await pilot.press("p")
        await pilot.pause()
        at_pause = looks
        await pilot.pause(0.1)

        assert kept == ["gmail"]
        assert "paused" in head(pilot)
        assert looks == at_pause


async def test_the_screen_has_table_keys_and_question(client: Any, tmp_path: Path) -> None:
    await waits(client, "gmail", 3)

    async with app(client).run_test(size=(120, 20)) as pilot:
        plain = words_of(pilot.app.export_screenshot())
        await pilot.press("s")
        await pilot.pause()
        asked = words_of(pilot.app.export_screenshot())
        assert pilot.app.screen.query_one(Input).has_focus

    for word in ("site", "oldest", "held by", "gmail", "1 sites, 3 waiting", "Suspend", "Resume", "Quit"):
        assert word in plain
    assert "Send nothing to gmail until somebody resumes it. Why?" in asked


def words_of(svg: str) -> str:
    """The text of a picture."""
    return re.sub(r"<[^>]+>", " ", svg).replace("&#160;", " ")


def test_where_there_is_no_terminal_the_table_is_printed_once(redis_url: str, tmp_path: Path) -> None:
    environ = {**ANY_METRICS_PORT, "ESTAFETTE_REDIS_URL": redis_url, "ESTAFETTE_DATA_DIR": str(tmp_path)}
    from redis import Redis as RedisClient

    with RedisClient.from_url(redis_url) as own:
        stop = stops._encoder.encode(stops.Stop("suspended", "", 1, "operator"))
        own.hset(keys.stops(), "site:gmail", stop)

    ended = subprocess.run(
        [sys.executable, "-m", "services.console.console", "top"],
        env=environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    heads, row = ended.stdout.splitlines()
    assert ended.returncode == 0
    assert heads.split() == ["site", "oldest", "waiting", "deferred", "in", "hand", "taken/s", "held", "by"]
    assert row.split() == ["gmail", "-", "0", "0", "0", "0.0", "suspended"]


def test_without_textual_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "textual.app", None)
    monkeypatch.delitem(sys.modules, "services.console.top_app", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    with pytest.raises(SystemExit) as ended:
        top.top.callback(2.0, False)  # type: ignore[misc]

    assert ended.value.code == 2
    assert "pip install 'estafette[top]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m00s"), (423, "7m03s"), (3_600, "1h00m"), (19_200, "5h20m"), (273_600, "3d04h")],
)
def test_a_time_is_told_in_its_two_largest_units(seconds: int, text: str) -> None:
    assert lasting(seconds) == text


def test_what_is_the_same_stands_in_the_order_of_names() -> None:
    rows = [Row(site, 0, waiting, 0, False, 0, 0.0, ()) for site, waiting in (("b", 1), ("c", 2), ("a", 1))]

    assert [row.site for row in ordered(rows, "waiting")] == ["c", "a", "b"]
    assert [row.site for row in ordered(rows, "oldest")] == ["c", "a", "b"]
    assert [row.site for row in ordered(rows, "site")] == ["a", "b", "c"]
