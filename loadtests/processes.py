"""Processes of a measurement: started in a directory of their own on free ports, stopped by their own id."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

from services import catalogue

SYSTEM_DIRS = "/usr/sbin:/sbin:/usr/lib/postfix/sbin"
START_S = 120.0


class Missing(Exception):
    """A program that the measurement needs is not installed."""


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_DIRS}")
    if found is None:
        raise Missing(name)
    return found


def python(module: str) -> list[str]:
    """The command that runs a module of ours."""
    return [sys.executable, "-m", module]


def console(environ: Mapping[str, str], *words: str) -> str:
    """What a command of ours at the console says."""
    command = [*python("services.console.console"), *words]
    ran = subprocess.run(command, env={**os.environ, **environ}, capture_output=True, check=True)
    return ran.stdout.decode()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(call: Callable[[], bool], patience_s: float, what: str, every_s: float = 0.05) -> float:
    """Waits until `call` is true; when it was."""
    deadline = time.monotonic() + patience_s
    while not call():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {patience_s} s")
        time.sleep(every_s)
    return time.monotonic()


def listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


class Processes(ExitStack):
    """Stops on exit all that it started, the last one first."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        #: Each, in that order.
        self.started: list[subprocess.Popen[bytes]] = []
        directory.mkdir(parents=True, exist_ok=True)

    def start(
        self, command: Sequence[str], environ: Mapping[str, str] | None = None, name: str = ""
    ) -> subprocess.Popen[bytes]:
        log = (self.directory / f"{name or Path(command[0]).name}.log").open("ab")
        self.callback(log.close)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(environ or {})}
        )
        self.callback(stop, process)
        self.started.append(process)
        return process

    def redis(self) -> str:
        """A Redis as `make run` starts it; its URL."""
        return self.redis_process()[0]

    def redis_process(self, port: int = 0) -> "tuple[str, subprocess.Popen[bytes]]":
        """The same, and its process; at a port that it had before it has what it kept."""
        port = port or free_port()
        command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        process = self.start([*command, "--appendonly", "yes", "--appendfsync", "always", "--save", ""])
        until(lambda: listens(port), START_S, "redis")
        return f"redis://127.0.0.1:{port}/0", process

    def sink(self) -> int:
        """Postfix's smtp-sink, which takes every mail and forgets it; its port."""
        port = free_port()
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.start([program("smtp-sink"), *user, f"127.0.0.1:{port}", "1000"])
        until(lambda: listens(port), START_S, "smtp-sink")
        return port

    def service(self, name: str, environ: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int]:
        """The process of a service (`http`: all routes), once it is ready; its process and its metrics port."""
        return self.services(name, environ, 1)[0]

    def services(self, name: str, environ: Mapping[str, str], count: int) -> list[tuple[subprocess.Popen[bytes], int]]:
        """So many at the same time, once all are ready."""
        module = catalogue.BY_NAME[name].module
        started = []
        for _ in range(count):
            port = free_port()
            settings = {**environ, f"ESTAFETTE_{name.upper()}_METRICS_PORT": str(port)}
            started.append((self.start(python(module), settings, name), port))
        until(lambda: all(_ready(port) for _, port in started), START_S, name, 0.02)
        return started


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def metric(port: int, line_start: str) -> float:
    """The value of the first sample that begins so; 0 if there is none yet."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(line_start):
                return float(line.rpartition(" ")[2])
    return 0.0
