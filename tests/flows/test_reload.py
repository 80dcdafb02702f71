"""SIGHUP in a running instance: other limits, addresses and log level hold at once; what is wrong changes nothing."""

import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services import catalogue
from tests.fakes.smtp_server import SmtpServer
from tests.flows.stack import Stack
from tests.servers import free_port

SLOW = '[route]\nrate = "1/h burst 0"\n'
FAST = '[route]\nrate = "1000/s"\n'
SERVICES = [service.name for service in catalogue.of_an_instance("mx")]
A1 = '[source.a1]\naddress = "127.0.0.2"\nhelo = "a1.estafette.example"\n'
A2 = '[source.a2]\naddress = "127.0.0.3"\nhelo = "a2.estafette.example"\n'


class Reloaded:
    """An instance whose files the test writes, and what its relay says."""

    def __init__(self, stack: Stack, folder: Path, metrics_port: int) -> None:
        self.stack = stack
        self.folder = folder
        self._metrics = f"http://127.0.0.1:{metrics_port}/metrics"

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, "utf-8")

    def hang_up(self) -> None:
        assert self.stack._process is not None
        os.kill(self.stack._process.pid, signal.SIGHUP)

    async def reload(self, **files: str) -> list[str]:
        """Files by their names, with `_` for the dot: what the relay says that changed by them."""
        for name, text in files.items():
            self.write(name.replace("_", "."), text)
        before = len(self.stack.logged("relay", "reloaded"))
        self.hang_up()

        async def reloaded() -> bool:
            return len(self.stack.logged("relay", "reloaded")) > before

        await self.stack.until(reloaded)
        return list(self.stack.logged("relay", "reloaded")[-1]["changes"])

    async def metric(self, name: str) -> float:
        """Of the relay; 0 if it has none of it yet."""
        _, page = await self.stack.call("GET", self._metrics)
        found = re.search(rf"^{re.escape(name)} (\S+)$", page.decode(), re.M)
        return float(found[1]) if found else 0.0

    async def limited(self, more_than: float = 0) -> float:
        """How often the limit of the site made a mail wait, once that is more than it was."""

        async def has_refused() -> float:
            count = await self.metric('estafette_relay_limited_total{limit="site"}')
            return count if count > more_than else 0.0

        return await self.stack.until(has_refused)


@asynccontextmanager
async def running(folder: Path, sink: SmtpServer, **files: str) -> AsyncIterator[Reloaded]:
    port = free_port()
    environ = {
        "ESTAFETTE_SETTINGS_FILE": str(folder / "estafette.toml"),
        "ESTAFETTE_RELAY_METRICS_PORT": str(port),
        "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}",
    }
    relay = [f'{name}_file = "{folder / name}.toml"' for name in ("shaping", "egress")]
    text = {"estafette_toml": "[relay]\n" + "\n".join(relay) + "\n", "shaping_toml": "", "egress_toml": "", **files}
    for name, said in text.items():
        (folder / name.replace("_", ".")).write_text(said, "utf-8")
    async with Stack.running(folder / "run", environ) as stack:
        yield Reloaded(stack, folder, port)


def addresses(word: str, count: int) -> list[str]:
    return [f"{word}{number}@x.test" for number in range(count)]


async def test_the_rate_at_the_receiver_follows_the_file_and_a_wrong_file_changes_nothing(tmp_path: Path) -> None:
    async with SmtpServer() as sink, running(tmp_path, sink, shaping_toml=SLOW) as it:
        stack = it.stack
        first = await stack.send(*addresses("one", 20))
        refused = await it.limited()
        assert len(sink.envelopes) <= 1

        changes = await it.reload(shaping_toml=FAST)
        report = await stack.done(first)
        assert changes == ["[route]: rate 1/h burst 0 is now 1000/s"]
        assert report["counts"]["delivered"] == 20

        # A key that is none: one line names file, table and key, and the limit of before holds.
        it.write("shaping.toml", SLOW.replace("rate", "ratee"))
        it.hang_up()

        async def is_refused() -> bool:
            return bool(stack.logged("relay", "reload_refused"))

        await stack.until(is_refused)
        (said,) = stack.logged("relay", "reload_refused")
        (fault,) = said["faults"]
        assert all(word in fault for word in (str(tmp_path / "shaping.toml"), "[route]", "ratee", "did you mean rate"))
        assert await it.metric("estafette_reload_failed") == 1
        assert fault in (await stack.console("settings", "--check"))
        assert "reload_refused" in (tmp_path / "run" / "run.log").read_text()
        await stack.done(await stack.send(*addresses("two", 20)))

        # And back to the slow one: it holds at once, over what was counted before.
        assert await it.reload(shaping_toml=SLOW) == ["[route]: rate 1000/s is now 1/h burst 0"]
        assert await it.metric("estafette_reload_failed") == 0
        assert (await stack.console("settings", "--check")).startswith("right: ")
        await stack.send(*addresses("three", 20))
        await it.limited(refused)

        taken = Counter(envelope.rcpts[0] for envelope in sink.envelopes)
        assert len(taken) <= 41
        assert set(taken.values()) == {1}


async def test_an_address_that_is_taken_away_carries_no_further_mail_and_nothing_goes_twice(tmp_path: Path) -> None:
    sink = SmtpServer({"DOT": (0.1, "250 2.0.0 Ok")})
    async with sink, running(tmp_path, sink, egress_toml=A1 + A2) as it:
        stack = it.stack
        first = await stack.send(*addresses("one", 200))

        async def both_have_sent() -> bool:
            return {envelope.peer for envelope in sink.envelopes} == {"127.0.0.2", "127.0.0.3"}

        await stack.until(both_have_sent)
        changes = await it.reload(egress_toml=A1)
        await stack.done(first)
        before = len(sink.envelopes)
        second = await stack.done(await stack.send(*addresses("two", 40)))

        assert changes == ["source a2 is gone", "pool default: sources a1, a2 is now a1"]
        assert second["counts"]["delivered"] == 40
        assert {envelope.peer for envelope in sink.envelopes[before:]} == {"127.0.0.2"}
        assert set(Counter(envelope.rcpts[0] for envelope in sink.envelopes).values()) == {1}
        assert len(sink.envelopes) == 240


async def test_a_stream_that_gets_a_pool_of_its_own_leaves_by_it_what_waits_too(tmp_path: Path) -> None:
    usual = A1 + A2 + '[pool.default]\nsources = ["a1"]\n'
    other = usual + '[pool.codes]\nsources = ["a2"]\n[streams]\nbulk = "codes"\n'
    async with (
        SmtpServer() as sink,
        running(tmp_path, sink, shaping_toml='[source.a1]\nrate = "1/h burst 0"', egress_toml=usual) as it,
    ):
        job = await it.stack.send(*addresses("one", 30))

        async def has_sent_one() -> bool:
            return len(sink.envelopes) == 1

        await it.stack.until(has_sent_one)
        changes = await it.reload(egress_toml=other)
        report = await it.stack.done(job)

        assert changes == ["pool codes is new: sources a2", "stream bulk is new: pool codes"]
        assert report["counts"]["delivered"] == 30
        assert Counter(envelope.peer for envelope in sink.envelopes) == {"127.0.0.2": 1, "127.0.0.3": 29}

        async def operators_know_it() -> bool:
            said = await it.stack.console("queue", "move", "gmail", "codes", "--why", "a test")
            return "no relay knows" not in said

        await it.stack.until(operators_know_it)


async def test_the_level_of_the_log_is_that_of_the_file_in_every_process(tmp_path: Path) -> None:
    async with SmtpServer() as sink, running(tmp_path, sink) as it:
        stack, settings = it.stack, (tmp_path / "estafette.toml").read_text("utf-8")
        await stack.done(await stack.send("ana@x.test"))

        async def is_quiet(level: str) -> bool:
            change = [f"logs.level: '{'info' if level == 'warning' else 'warning'}' is now '{level}'"]
            return all(change in [one["changes"] for one in stack.logged(name, "reloaded")] for name in SERVICES)

        it.write("estafette.toml", settings + "[logs]\nlevel = 'warning'\n[http]\nmax_connections = 77\n")
        it.hang_up()
        await stack.until(lambda: is_quiet("warning"))
        before = {
            name: len(stack.logged(name, word)) for name, word in (("queueing", "queued"), ("relay", "delivered"))
        }
        await stack.done(await stack.send("bo@x.test"))
        quiet = {name: len(stack.logged(name, word)) for name, word in (("queueing", "queued"), ("relay", "delivered"))}
        it.write("estafette.toml", settings)
        it.hang_up()
        await stack.until(lambda: is_quiet("info"))
        await stack.done(await stack.send("zoe@x.test"))

        assert quiet == before
        assert all(stack.logged(name, "needs_restart")[0]["settings"] == ["http.max_connections"] for name in SERVICES)

        async def is_heard() -> bool:
            return len(stack.logged("relay", "delivered")) > before["relay"]

        await stack.until(is_heard)
