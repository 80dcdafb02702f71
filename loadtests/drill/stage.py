"""An instance in which faults are tried, a Prometheus that scrapes it with the drill's rules, and a shell."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loadtests.drill.rules import quick_expression, quick_rules
from loadtests.drill.world import EGRESS, World
from tests.flows.stack import Stack
from tests.peers.prometheus import Prometheus, places_of, scraping
from tests.servers import RedisServer, free_port, need, stop

CHART = Path(__file__).resolve().parents[2] / "helm" / "estafette"
RULES: dict[str, Any] = yaml.safe_load((CHART / "alerts" / "estafette.yaml").read_text("utf-8"))
#: Each alert's runbook, by name.
RUNBOOKS: dict[str, str] = {
    rule["alert"]: (CHART / "runbooks" / rule["annotations"]["runbook"]).read_text("utf-8")
    for group in RULES["groups"]
    for rule in group["rules"]
}
#: Of the disk that root gives an instance: what Redis and logs take in a drill, many times.
DISK = "256m"
#: A sentinel that does nothing by itself, so that it is the operator's command that mends.
NEVER_MS = 3_600_000
#: What all instances of a drill are told. A frozen process is left to the operator for longer than a fault is tried.
SETTINGS = {
    "ESTAFETTE_RELAY_RETRY_SCHEDULE": "3",
    "ESTAFETTE_RELAY_LEASE_MS": "6000",  # Redis is slow in one of the faults
    "ESTAFETTE_RELAY_SIGNING_PROCESSES": "0",
    "ESTAFETTE_RELAY_RENDERING_PROCESSES": "1",
    "ESTAFETTE_LIFECYCLE_HANG_SECONDS": "120",
}


@dataclass(frozen=True)
class Panel:
    """Of a dashboard in the chart, by its title; `provider` is what is chosen there. It names a fault when a series
    with these labels is above, or below, a number."""

    dashboard: str
    title: str
    labels: Mapping[str, str]
    above: float | None = None
    below: float | None = None
    provider: str = ".*"

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.title}"

    def names(self, series: list[dict[str, Any]]) -> bool:
        return any(
            self._is_meant(float(one["value"][1])) and self.labels.items() <= one["metric"].items() for one in series
        )

    def _is_meant(self, value: float) -> bool:
        return (self.above is not None and value > self.above) or (self.below is not None and value < self.below)

    def expression(self) -> str:
        """LookupError: there is no such panel."""
        file = CHART / "dashboards" / f"{self.dashboard}.json"
        for panel in json.loads(file.read_text("utf-8"))["panels"]:
            if panel["title"] == self.title:
                return str(panel["targets"][0]["expr"]).replace("$provider", self.provider)
        raise LookupError(f"no panel {self}")


@dataclass(frozen=True)
class Alert:
    """One that fires with these labels among its own."""

    name: str
    labels: Mapping[str, str]

    def __str__(self) -> str:
        labels = ", ".join(self.labels.values())
        return f"{self.name}{{{labels}}}" if labels else self.name

    def expression(self) -> str:
        labels = {"alertname": self.name, "alertstate": "firing", **self.labels}
        return f"ALERTS{{{', '.join(f'{name}={json.dumps(value)}' for name, value in labels.items())}}}"


class Stage:
    """`root` is where commands are run: the instance's directory is `.run` there, as on a machine with one instance,
    and `bin/estafette` the program that is tried. `facts` fill the places of commands."""

    def __init__(
        self, root: Path, world: World, stack: Stack, prometheus: Prometheus, factor: float, facts: Mapping[str, str]
    ) -> None:
        self.root = root
        self.world = world
        self.stack = stack
        self.facts = dict(facts)
        self._prometheus = prometheus
        self._factor = factor
        self._programs = root / "bin"
        self._programs.mkdir()
        estafette = self._programs / "estafette"
        estafette.write_text(f'#!/bin/sh\nexec {sys.executable} -m services.console.console "$@"\n', "ascii")
        estafette.chmod(0o755)

    async def fires(self, alert: Alert) -> bool:
        return bool(await self._asked(alert.expression()))

    async def shows(self, panel: Panel) -> bool:
        return panel.names(await self._panel(panel))

    async def shown(self, panel: Panel) -> list[str]:
        """All that it shows, in words."""
        return [f"{one['metric']} {one['value'][1]}" for one in await self._panel(panel)]

    async def _panel(self, panel: Panel) -> list[dict[str, Any]]:
        return await self._asked(quick_expression(panel.expression(), self._factor))

    async def firing(self) -> list[str]:
        """The names of all alerts that fire now."""
        found = await self._asked('ALERTS{alertstate="firing"}')
        return sorted({one["metric"]["alertname"] for one in found})

    async def _asked(self, expression: str) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._prometheus.query, expression)

    async def shell(self, command: str) -> tuple[int, str]:
        """Exit code, and what the line prints, in a shell of whoever is on call."""
        environ = self.stack.environ
        environ["PATH"] = os.pathsep.join((str(self._programs), environ.get("PATH", "")))
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", command, cwd=self.root, env=environ, stdin=subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode(errors="replace").strip()


@asynccontextmanager
async def own(folder: Path, world: World, factor: float) -> AsyncIterator[Stage]:
    """An instance with a Redis of its own; its data is on a small disk where this process may mount one."""
    with _disk(folder / "machine") as root:
        (root / "shaping.toml").write_text("", "utf-8")
        environ = {"ESTAFETTE_RELAY_SHAPING_FILE": str(root / "shaping.toml")}
        async with _stage(root, folder, world, environ, factor, {}) as stage:
            yield stage


@asynccontextmanager
async def sentinel(folder: Path, world: World, factor: float) -> AsyncIterator[Stage]:
    """One whose Redis is a master with a replica, and a sentinel that leaves it to the operator to fail over. The
    master's pid is in its facts."""
    async with AsyncExitStack() as started:
        master = RedisServer(folder / "master")
        started.callback(master.stop)
        master.start()
        replica = RedisServer(folder / "replica", "--replicaof", "127.0.0.1", str(master.port))
        started.callback(replica.stop)
        replica.start()
        port = free_port()
        started.callback(stop, _sentinel(folder, port, master.port))
        environ = {"ESTAFETTE_REDIS_URL": f"redis+sentinel://127.0.0.1:{port}/main/0"}
        facts = {"HOST": "127.0.0.1", "PORT": str(port), "MASTER_PID": str(master.pid)}
        (folder / "machine").mkdir()
        yield await started.enter_async_context(_stage(folder / "machine", folder, world, environ, factor, facts))


def _sentinel(folder: Path, port: int, master: int) -> subprocess.Popen[bytes]:
    config = folder / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor main 127.0.0.1 {master} 1\nsentinel down-after-milliseconds main {NEVER_MS}\n"
    )
    with (folder / "sentinel.log").open("wb") as log:
        return subprocess.Popen([need("redis-server"), str(config), "--sentinel"], stdout=log, stderr=log)


@asynccontextmanager
async def _stage(
    root: Path, folder: Path, world: World, environ: Mapping[str, str], factor: float, facts: Mapping[str, str]
) -> AsyncIterator[Stage]:
    (folder / "egress.toml").write_text(EGRESS, "utf-8")
    rules = folder / "rules.json"  # YAML, too
    rules.write_text(json.dumps(quick_rules(RULES, factor)), "utf-8")
    settings = {**SETTINGS, "ESTAFETTE_RELAY_EGRESS_FILE": str(folder / "egress.toml"), **world.environ, **environ}
    async with Stack.running(root / ".run", settings) as stack:
        places = await stack.until(lambda: _told(stack))
        with scraping(folder / "prometheus", places, [rules]) as prometheus:
            await stack.until(lambda: asyncio.to_thread(prometheus.is_ready))
            stage = Stage(root, world, stack, prometheus, factor, facts)
            await stack.until(lambda: asyncio.to_thread(prometheus.targets_up))
            await stack.until(lambda: _is_quiet(stage))
            yield stage


async def _told(stack: Stack) -> dict[str, str]:
    return places_of(stack.directory)


async def _is_quiet(stage: Stage) -> bool:
    """Nothing fires: all that waits was looked at once."""
    return not await stage.firing()


@contextmanager
def _disk(where: Path) -> Iterator[Path]:
    """A disk of its own, or without the right to mount one a folder."""
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(where)]
    is_mounted = os.geteuid() == 0 and not subprocess.run(mount, check=False, capture_output=True).returncode
    try:
        yield where
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(where)], check=True)


@contextmanager
def folder() -> Iterator[Path]:
    """For all that a drill leaves behind."""
    with tempfile.TemporaryDirectory(prefix="estafette-drill-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)
