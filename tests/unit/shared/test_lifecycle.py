"""A process starts, is ready, drains within its deadline, closes in order, and says by its exit code how it went."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.settings import load
from shared.process.lifecycle import BEAT_SECONDS, Lifecycle, beside, cancelled

ROOT = Path(__file__).resolve().parents[3]
IMPORTS = "from services.settings import read\nfrom shared.process.lifecycle import run\n"


def life(drain_seconds: int = 5, grace_seconds: int = 0) -> Lifecycle:
    lifecycle = {"DRAIN": str(drain_seconds), "GRACE": str(grace_seconds)}
    return Lifecycle(
        "test", load({f"ESTAFETTE_LIFECYCLE_{name}_SECONDS": said for name, said in lifecycle.items()}, None)
    )


async def unready(it: Lifecycle) -> None:
    """Returns once /readyz says 503."""
    while await it.readiness() is None:  # noqa: ASYNC110 - nothing tells of it but the answer
        await asyncio.sleep(0)


async def test_sigterm_lets_main_and_tasks_finish_and_then_closes_the_last_pushed_first() -> None:
    told: list[str] = []

    async def work(it: Lifecycle) -> None:
        await it.stopping.wait()
        await asyncio.sleep(0)
        told.append("task")

    async def aclose() -> None:
        told.append("client")

    async def main(it: Lifecycle) -> None:
        it.push_close(aclose)
        it.push_close(lambda: told.append("server"))
        it.spawn(work(it), "work")
        it.ready()
        os.kill(os.getpid(), signal.SIGTERM)
        await it.stopping.wait()
        assert await it.readiness() == "draining"
        told.append("main")

    code = await life().live(main)

    assert code == 0
    assert told == ["main", "task", "server", "client"]


async def test_what_is_not_done_at_the_deadline_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def main(it: Lifecycle) -> None:
        it.ready()
        it.stop("test")
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    assert await life(drain_seconds=0).live(main) == 0
    assert cancelled.is_set()


async def test_a_second_signal_does_not_wait_for_the_deadline() -> None:
    async def main(it: Lifecycle) -> None:
        it.ready()
        os.kill(os.getpid(), signal.SIGINT)
        await it.stopping.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    async with asyncio.timeout(30):
        assert await life(drain_seconds=3600).live(main) == 0


async def test_who_keeps_serving_is_not_ready_at_once_and_stops_when_its_grace_is_over() -> None:
    seen: list[tuple[str | None, bool]] = []

    async def main(it: Lifecycle) -> None:
        it.keep_serving()
        it.ready()
        os.kill(os.getpid(), signal.SIGTERM)
        await unready(it)
        seen.append((await it.readiness(), it.stopping.is_set()))
        await it.stopping.wait()
        seen.append((await it.readiness(), it.stopping.is_set()))

    async with asyncio.timeout(30):
        assert await life(grace_seconds=1).live(main) == 0
    assert seen == [("draining", False), ("draining", True)]


async def test_a_second_signal_does_not_wait_for_the_grace_and_who_does_not_serve_has_none() -> None:
    async def serving(it: Lifecycle) -> None:
        it.keep_serving()
        it.ready()
        os.kill(os.getpid(), signal.SIGTERM)
        await unready(it)
        os.kill(os.getpid(), signal.SIGTERM)
        await it.stopping.wait()

    async def other(it: Lifecycle) -> None:
        it.ready()
        os.kill(os.getpid(), signal.SIGTERM)
        await it.stopping.wait()

    async with asyncio.timeout(30):
        assert await life(grace_seconds=3600).live(serving) == 0
        assert await life(grace_seconds=3600).live(other) == 0


async def test_neither_a_crash_nor_an_unready_process_waits_for_the_grace() -> None:
    async def crashing(it: Lifecycle) -> None:
        it.keep_serving()
        it.ready()
        raise ValueError("broken")

    async def starting(it: Lifecycle) -> None:
        it.keep_serving()
        os.kill(os.getpid(), signal.SIGTERM)
        await it.stopping.wait()

    async with asyncio.timeout(30):
        assert await life(grace_seconds=3600).live(crashing) == 1
        assert await life(grace_seconds=3600).live(starting) == 0


async def test_a_process_that_never_was_ready_does_not_drain() -> None:
    async def main(it: Lifecycle) -> None:
        it.stop("test")
        await asyncio.Event().wait()

    async with asyncio.timeout(30):
        assert await life(drain_seconds=3600).live(main) == 0


@pytest.mark.parametrize("where", ["main", "task"])
async def test_a_crash_of_any_part_stops_the_process_with_exit_code_1(where: str) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    async def main(it: Lifecycle) -> None:
        it.ready()
        if where == "main":
            await fail()
        it.spawn(fail(), "part")
        await it.stopping.wait()

    assert await life().live(main) == 1


async def test_a_close_that_fails_does_not_keep_the_others_from_closing() -> None:
    closed: list[str] = []

    def broken() -> None:
        raise OSError("gone")

    async def main(it: Lifecycle) -> None:
        it.push_close(lambda: closed.append("first"))
        it.push_close(broken)

    assert await life().live(main) == 0
    assert closed == ["first"]


async def test_readyz_tells_why_not_and_asks_what_was_added() -> None:
    answers: list[tuple[int, str]] = []
    other: list[str | None] = ["relay: 503"]

    async def check() -> str | None:
        return other[0]

    async def main(it: Lifecycle) -> None:
        it.also_check(check)
        async with it.serving(0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

            async def ask(path: str) -> None:
                async with session.get(path) as answer:
                    answers.append((answer.status, (await answer.text()).split("\n")[0]))

            await ask("/readyz")
            it.ready()
            await ask("/readyz")
            other[0] = None
            await ask("/readyz")
            it.not_ready("redis does not answer")
            await ask("/readyz")
            await ask("/healthz")
            it.stop("test")
            await ask("/readyz")

    await life().live(main)

    assert answers == [
        (503, "starting"),
        (503, "relay: 503"),
        (200, "ready"),
        (503, "redis does not answer"),
        (200, "alive"),
        (503, "draining"),
    ]


def test_wrong_settings_end_the_process_with_all_their_faults() -> None:
    code = f"{IMPORTS}async def main(life): pass\nrun(main, 'x', read)"
    environ = {**os.environ, "ESTAFETTE_HTTP_PORT": "x", "ESTAFETTE_NO_SUCH": "1"}

    ended = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 2
    assert "ESTAFETTE_HTTP_PORT" in ended.stderr
    assert "ESTAFETTE_NO_SUCH" in ended.stderr


HANGUP = """
import asyncio, os, signal
from pathlib import Path
from prometheus_client import REGISTRY
from services.settings import read
from shared.process import logs
from shared.process.lifecycle import run
from shared.process.reload import Prepared
from shared.process.settings import SettingsError

file = Path("estafette.toml")

async def hang_up(outcome):
    before = count(outcome)
    os.kill(os.getpid(), signal.SIGHUP)
    while count(outcome) == before:
        await asyncio.sleep(0.01)

def count(outcome):
    return REGISTRY.get_sample_value("estafette_reloads_total", {"outcome": outcome})

def is_refused():
    return REGISTRY.get_sample_value("estafette_reload_failed")
"""


def after(code: str, folder: Path, settings: str = "") -> list[dict[str, Any]]:
    """The lines of a process with this `main`, which began with those settings, but for those of every process."""
    (folder / "estafette.toml").write_text(settings, "utf-8")
    ran = subprocess.run(
        [sys.executable, "-c", HANGUP + code + "\nrun(main, 'x', read)"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    return [line for line in lines if line["event"] not in ("started", "ready", "stopping", "stopped")]


def test_a_hangup_ends_no_process_and_one_that_comes_before_it_listens_is_heard(tmp_path: Path) -> None:
    code = """
def read_hung_up(read=read):
    found = read()
    if not count("done"):
        os.kill(os.getpid(), signal.SIGHUP)
    return found
read = read_hung_up

async def main(life):
    life.ready()
    while not count("done"):
        await asyncio.sleep(0.01)
"""

    lines = after(code, tmp_path)

    assert [(line["event"], line["changes"]) for line in lines][:1] == [("reloaded", [])]


def test_a_hangup_takes_the_level_and_names_what_needs_a_restart(tmp_path: Path) -> None:
    code = """
async def main(life):
    life.ready()
    log = logs.get_logger()
    log.info("heard before")
    file.write_text("[logs]\\nlevel = 'warning'\\n[http]\\nport = 1234\\n")
    await hang_up("done")
    log.info("not heard")
    log.warning("heard after")
"""

    lines = after(code, tmp_path)

    assert [line["event"] for line in lines] == ["heard before", "reloaded", "needs_restart", "heard after"]
    assert lines[1]["changes"] == ["logs.level: 'info' is now 'warning'"]
    assert lines[2]["settings"] == ["http.port"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("[logs]\nlevel = \n", "line 2"),
        ("[logs]\nlevle = 'debug'\n", "unknown field logs.levle"),
        ("[logs]\nlevel = 'loud'\n", "logs.level"),
        ("[logs]\nlevel = 'debug'\n[bounces]\ndomain = 'x y'\n", "bounces.domain"),
        (None, "no such file"),
    ],
)
def test_what_is_wrong_is_one_line_and_the_old_settings_hold_until_it_is_mended(
    tmp_path: Path, wrong: str | None, named: str
) -> None:
    code = f"""
async def main(life):
    life.ready()
    log, wrong = logs.get_logger(), {wrong!r}
    file.unlink() if wrong is None else file.write_text(wrong)
    await hang_up("refused")
    log.info("still heard", is_refused=is_refused())
    log.debug("not heard")
    file.write_text("[logs]\\nlevel = 'debug'\\n")
    await hang_up("done")
    log.debug("heard", is_refused=is_refused())
"""

    lines = after(code, tmp_path, "[logs]\nlevel = 'info'\n")

    assert [line["event"] for line in lines] == ["reload_refused", "still heard", "reloaded", "heard"]
    assert (lines[0]["level"], len(lines[0]["faults"])) == ("error", 1)
    assert "estafette.toml" in lines[0]["faults"][0]
    assert named in lines[0]["faults"][0]
    assert [line["is_refused"] for line in (lines[1], lines[3])] == [1, 0]


def test_all_parts_change_together_or_none_does(tmp_path: Path) -> None:
    code = """
class Part:
    settings = frozenset(("relay.shaping_file",))

    def __init__(self, name):
        self.name, self.fault = name, ""

    def prepare(self, settings):
        if self.fault:
            raise SettingsError([self.fault])

        async def apply():
            logs.get_logger().info("applied", part=self.name, file=settings.relay.shaping_file)

        return Prepared([f"{self.name} changed"], apply)

async def main(life):
    one, two = Part("one"), Part("two")
    life.also_reload(one)
    life.also_reload(two)
    life.ready()
    Path("mine.toml").touch()
    file.write_text("[logs]\\nlevel = 'debug'\\n[relay]\\nshaping_file = 'mine.toml'\\n")
    one.fault, two.fault = "one is wrong", "two is wrong"
    await hang_up("refused")
    logs.get_logger().debug("not heard")
    one.fault = ""
    await hang_up("refused")
    two.fault = ""
    await hang_up("done")
"""

    lines = after(code, tmp_path)

    assert [line["event"] for line in lines] == [
        "reload_refused", "reload_refused", "applied", "applied", "reloaded",
    ]  # fmt: skip
    assert [line["faults"] for line in lines[:2]] == [["one is wrong", "two is wrong"], ["two is wrong"]]
    assert [(line["part"], line["file"]) for line in lines[2:4]] == [("one", "mine.toml"), ("two", "mine.toml")]
    assert lines[4]["changes"] == [
        "relay.shaping_file: '' is now 'mine.toml'", "logs.level: 'info' is now 'debug'", "one changed", "two changed",
    ]  # fmt: skip


def test_a_fault_of_ours_in_a_part_ends_nobody_and_changes_nothing(tmp_path: Path) -> None:
    code = """
class Part:
    settings = frozenset()

    def prepare(self, settings):
        raise KeyError("ours")

async def main(life):
    life.also_reload(Part())
    life.ready()
    file.write_text("[logs]\\nlevel = 'debug'\\n")
    await hang_up("failed")
    logs.get_logger().debug("not heard")
    logs.get_logger().info("heard", is_refused=is_refused())
"""

    lines = after(code, tmp_path)

    assert [(line["event"], line.get("is_refused")) for line in lines] == [("reload_failed", None), ("heard", 1)]


@pytest.mark.parametrize(("error", "code"), [("OperatorFault", 2), ("OSError", 2), ("KeyError", 1)])
def test_what_an_operator_has_to_mend_is_said_without_a_traceback(error: str, code: int) -> None:
    program = f"""
from shared.words.errors import OperatorFault
from services.settings import read
from shared.process.lifecycle import run
async def main(life): raise {error}("the reason")
run(main, 'x', read)
"""

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert ended.returncode == code
    assert ("the reason" in ended.stderr) or code == 1
    assert ('"exception"' in ended.stderr) is (code == 1)
    assert ("cannot_run" in ended.stderr) is (code == 2)


async def test_what_the_machine_refuses_a_process_that_was_ready_is_a_crash() -> None:
    async def main(it: Lifecycle) -> None:
        it.ready()
        raise OSError("the disk is gone")

    assert await life().live(main) == 1


def test_a_whole_run_logs_its_steps_as_json_lines() -> None:
    code = f"{IMPORTS}async def main(life): life.ready()\nrun(main, 'x', read)"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert ended.returncode == 0
    words = [line.split('"event":"')[1].split('"')[0] for line in ended.stderr.splitlines()]
    assert words == ["started", "ready", "stopping", "stopped"]


async def test_a_loop_that_turns_beats_unless_a_part_of_it_hangs() -> None:
    beats: list[int] = []
    reason: list[str | None] = [None]
    settings = load({"ESTAFETTE_LIFECYCLE_DRAIN_SECONDS": "1"}, None)
    life = Lifecycle("test", settings, lambda: beats.append(1))
    life.also_alive(lambda: reason[0])
    seen: list[tuple[int, int]] = []

    async def main(life: Lifecycle) -> None:
        async with life.serving(0) as port, aiohttp.ClientSession() as session:
            while not beats:  # noqa: ASYNC110 - nothing tells that it beat
                await asyncio.sleep(0.01)
            for reason[0] in (None, "its leases are over"):
                async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                    before = len(beats)
                    await asyncio.sleep(2.5 * BEAT_SECONDS)
                    seen.append((answer.status, len(beats) > before))

    assert await life.live(main) == 0

    assert seen == [(200, True), (503, False)]


async def test_what_runs_beside_runs_until_it_is_told_to_stop() -> None:
    ended: list[str] = []

    def runs(name: str) -> Any:
        async def run(stopping: asyncio.Event) -> None:
            await stopping.wait()
            ended.append(name)

        return run

    stopping = asyncio.Event()
    task = asyncio.create_task(beside(runs("a"), runs("b"))(stopping))
    await asyncio.sleep(0)
    assert ended == []
    stopping.set()
    await task

    assert sorted(ended) == ["a", "b"]


async def test_what_swallows_a_cancellation_is_cancelled_again_and_a_failure_is_looked_at() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(600)

    async def failing() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            raise ValueError("at its end")

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(failing())]
    await asyncio.sleep(0)

    await cancelled(tasks, again_after_s=0.001)

    assert (swallowed, tasks[0].cancelled(), type(tasks[1].exception())) == (2, True, ValueError)
