"""Clicks on signed links by wrk, nginx beside them, and what of it is in the streams."""

import asyncio
import subprocess
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

from loadtests.processes import START_S, Processes, free_port, listens, program, until
from services.settings import load
from shared.process import master_secret
from shared.redis import keys, redis
from shared.words import events
from shared.words.tokens import TokenKeys

SCRIPT = Path(__file__).with_name("clicks.lua")
PARTITIONS = 8
#: Of a mail: enough for all parts of a run, as what may have been asked is not asked again.
LINKS = 60
NGINX = """daemon off; master_process off; worker_processes 1; error_log stderr; pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port} backlog=1024; return 302 https://www.exemple.fr/soldes; }} }}
"""


class Load(msgspec.Struct, frozen=True):
    """What wrk saw. `refused`: answers of 400 and above; `broken`: connections that failed."""

    requests: int
    duration_s: float
    refused: int
    broken: int
    median_ms: float
    p99_ms: float
    most_ms: float

    @property
    def per_s(self) -> float:
        return self.requests / self.duration_s


def nginx(processes: Processes) -> tuple["subprocess.Popen[bytes]", int]:
    """One process that redirects everything to one place; and its port."""
    port, file = free_port(), processes.directory / "nginx.conf"
    file.write_text(NGINX.format(folder=processes.directory, port=port))
    started = processes.start([program("nginx"), "-c", str(file), "-p", str(processes.directory)])
    until(lambda: listens(port), START_S, "nginx")
    return started, port


def plain(port: int, connections: int, duration_s: int) -> Load:
    """One path of `nginx`, as fast as may be."""
    return _wrk(port, connections, duration_s, [])


class Clicks:
    """Links of jobs that nobody has clicked yet, each with a number of its own."""

    def __init__(self, environ: Mapping[str, str], jobs: Sequence[str], recipients: int, tenant: str = "bench") -> None:
        secret = master_secret.load(load(environ, None))
        self._paths = _paths(TokenKeys(secret.current), jobs, recipients, tenant)
        self._folder = Path(environ["ESTAFETTE_DATA_DIR"])
        self._runs = 0

    def wrk(
        self,
        port: int,
        connections: int,
        duration_s: int,
        most: int,
        pause_ms: int = 0,
        *,
        told: bool = False,
        begins: Sequence[threading.Timer] = (),
    ) -> tuple[Load, set[int]]:
        """Up to so many clicks in that time. With `told` the numbers of those that were answered, too. `begins` are
        started with wrk, and are over when it returns."""
        file, answers, links = self._prepared(most)
        for timer in begins:
            timer.start()
        said = _wrk(port, connections, duration_s, [str(file), str(pause_ms), *([str(answers)] if told else [])])
        for timer in begins:
            timer.join()
        if not said.broken:  # what was not asked is there for the next run
            self._paths = chain(links[said.requests + connections + 1 :], self._paths)
        return said, numbers(answers) if told else set()

    def _prepared(self, most: int) -> tuple[Path, Path, list[str]]:
        """A file of links, one for what is answered, and the links. More than there are is a fault of the bench."""
        self._runs += 1
        links = list(islice(self._paths, most))
        if len(links) < most:
            raise RuntimeError("there are no more links to click")
        file = self._folder / f"paths-{self._runs}"
        file.write_text("\n".join(links) + "\n")
        return file, self._folder / f"answered-{self._runs}", links


def numbers(file: Path) -> set[int]:
    """What was answered; a last line that is not whole was not told."""
    text = file.read_text() if file.exists() else ""
    return {int(line) for line in text[: text.rfind("\n") + 1].split()}


def _paths(token_keys: TokenKeys, jobs: Sequence[str], recipients: int, tenant: str) -> Iterator[str]:
    made = [token_keys.for_job(job, tenant) for job in jobs]
    number = 0
    for position in range(LINKS):
        for ordinal in range(recipients):
            for job in made:
                mark = job.mark(f"r{ordinal}@exemple.org")
                url = f"https://www.exemple.fr/soldes?n={number}&utm_source=lettre&utm_campaign=hiver"
                yield f"/c/{job.click(ordinal, mark, position, url).decode()}"
                number += 1


def _wrk(port: int, connections: int, duration_s: int, arguments: Sequence[str]) -> Load:
    command = [*wrk_command(port, connections, duration_s), *(["--", *arguments] if arguments else [])]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"wrk: {ran.stderr or ran.stdout}")
    return msgspec.json.decode(ran.stdout.strip().rpartition("\n")[2], type=Load)


def wrk_command(port: int, connections: int, duration_s: int) -> list[str]:
    command = [program("wrk"), "-t1", f"-c{connections}", f"-d{duration_s}s", "--timeout", "20s", "--latency"]
    return [*command, "-s", str(SCRIPT), f"http://127.0.0.1:{port}/"]


class Account:
    """How often each click was added to the streams, by its number. What was read once stays known, also where Redis
    has trimmed it since."""

    def __init__(self, redis_url: str, partitions: int = PARTITIONS) -> None:
        self._url = redis_url
        self._last = dict.fromkeys(map(keys.events, range(partitions)), "0-0")
        self._read = 0
        self.clicks: Counter[int] = Counter()

    def brought_up_to_date(self) -> Counter[int]:
        """RuntimeError if entries have gone that nobody here has read: then there is no account."""
        asyncio.run(self._follow())
        return self.clicks

    def is_behind(self, groups: Collection[str]) -> bool:
        """Whether there is something that a reader of one of these groups has not done yet, or no feed has."""
        return asyncio.run(self._is_behind(groups))

    async def _follow(self) -> None:
        client: Any = redis.connect(self._url)
        try:
            added = 0
            for stream in self._last:
                await self._follow_one(client, stream)
                if await client.exists(stream):
                    added += (await client.xinfo_stream(stream))["entries-added"]
        finally:
            await redis.close(client)
        if added != self._read:
            raise RuntimeError(f"{added - self._read} entries of the streams were gone before they were read")

    async def _follow_one(self, client: Any, stream: str) -> None:
        while entries := await client.xrange(stream, f"({self._last[stream]}", "+", count=5000):
            self._last[stream] = entries[-1][0].decode()
            self._read += len(entries)
            for _, fields in entries:
                if fields[b"t"] == b"Clicked":
                    fact = events.decode("Clicked", fields[b"b"])
                    assert isinstance(fact, events.Clicked)
                    self.clicks[int(fact.url.partition("?n=")[2].partition("&")[0])] += 1

    async def _is_behind(self, groups: Collection[str]) -> bool:
        client: Any = redis.connect(self._url)
        try:
            for partition, stream in enumerate(self._last):
                if not await client.exists(stream):
                    continue
                for group in await client.xinfo_groups(stream):
                    if group["name"].decode() in groups and (group["pending"] or group["lag"]):
                        return True
                last = (await client.xinfo_stream(stream))["last-generated-id"]
                if (await client.get(keys.feed_mark(partition)) or b"0-0") != last:
                    return True
            return False
        finally:
            await redis.close(client)


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process and those it has started have used, in the kernel too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / 100 + sum(cpu_s(int(child)) for child in children)
