"""A rolling upgrade: processes of two versions work side by side on one Redis; nothing is lost, buried or uncounted.

The older version is this code. The newer one is a copy of it in which messages have another field, and which writes a
kind of fact that the older one has never heard of. What writes is upgraded before what reads it here, which is against
the order of docs/operations.md: so every reader of the older version meets messages of the newer one.
"""

import asyncio
import secrets
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgpack

from shared.redis import keys
from tests.fakes.smtp_server import SmtpServer
from tests.flows.stack import START_SECONDS, Stack
from tests.servers import RedisServer, free_port, stop

ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = 2
READERS = ("suppression", "reports", "breakers")
#: What the next version has: by file, what stands there today, and what is there then.
NEWER: dict[str, tuple[tuple[str, str], ...]] = {
    "shared/words/events.py": (
        # A field more of a job's recipient as it waits, and of a fact; never the default of an older reader.
        (
            '    files: str = ""\n    once: str = ""\n',
            '    files: str = ""\n    once: str = ""\n    priority: int = 5\n',
        ),
        ('    tls_policy: str = ""\n', '    tls_policy: str = ""\n    queue_ms: int = 7\n'),
        (
            "class Expired(Fact",
            "class Greeted(Fact, frozen=True, array_like=True, kw_only=True):\n"
            '    topic: ClassVar[str] = "message.greeted"\n    words: str = ""\n\n\nclass Expired(Fact',
        ),
        ("Cancelled, Acted, ", "Cancelled, Acted, Greeted, "),
    ),
    "shared/words/public.py": (
        ('    "message.deferred":', '    "message.greeted": "It was greeted.",\n    "message.deferred":'),
        ('    "of": (', '    "words": ("The words.", "hello"),\n    "queue_ms": ("How long.", 7),\n    "of": ('),
    ),
    "services/reports/state.py": (
        ("    BURST_CLICKED = 23\n", "    BURST_CLICKED = 23\n    GREETED = 63\n"),
        ('    "Opened": Code.OPENED,\n', '    "Opened": Code.OPENED,\n    "Greeted": Code.GREETED,\n'),
    ),
    "shared/redis/bus.py": (
        (
            "        for fact in facts:\n            by_partition",
            "        facts = [*facts, *map(_greeting, (one for one in facts if isinstance(one, events.Delivered)))]\n"
            "        for fact in facts:\n            by_partition",
        ),
        (
            "BatchCall = ",
            "def _greeting(fact: events.Fact) -> events.Fact:\n"
            "    other = '1' if fact.event_id[-1] == '0' else '0'\n"
            "    return events.Greeted(event_id=fact.event_id[:-1] + other, tenant=fact.tenant, job=fact.job,\n"
            "        occurred_at=fact.occurred_at + 1, ordinal=fact.ordinal, sequence=fact.sequence, words='hello')\n"
            "\n\nBatchCall = ",
        ),
        ("CLAIM_AFTER_MS = 30_000", "CLAIM_AFTER_MS = 1_000"),  # so that the test need not wait for half a minute
    ),
}


def newer(code: Path) -> Path:
    """The next version."""
    for folder in ("services", "shared"):
        shutil.copytree(ROOT / folder, code / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, changes in NEWER.items():
        text = (code / name).read_text("utf-8")
        for before, after in changes:
            assert before in text, f"{name} has no {before!r} any more"
            text = text.replace(before, after, 1)
        (code / name).write_text(text, "utf-8")
    return code


class Fleet(Stack):
    """A process for each service (`estafette serve`), each of its version, on one Redis."""

    def __init__(self, directory: Path, environ: Mapping[str, str], redis: RedisServer) -> None:
        super().__init__(directory, {**environ, "ESTAFETTE_REDIS_URL": redis.url})
        self._redis = redis
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._metrics: dict[str, str] = {}

    @classmethod
    @asynccontextmanager
    async def of(cls, directory: Path, environ: Mapping[str, str]) -> AsyncIterator["Fleet"]:
        redis = RedisServer(directory / "redis")
        redis.start()
        fleet = cls(directory, environ, redis)
        fleet._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120))
        try:
            yield fleet
        finally:
            await fleet.session.close()
            for process in fleet._running.values():
                await asyncio.to_thread(stop, process, 40)
            redis.stop()
        assert fleet.secrets_in_logs() == []

    async def serve(self, service: str, code: Path, name: str = "") -> None:
        """Until it is ready. `name` is what this test calls it."""
        name = name or service
        port = free_port()
        self._running[name] = self._spawned(service, code, name, port)
        self._metrics[name] = f"http://127.0.0.1:{port}"

        async def is_ready() -> bool:
            assert self._running[name].poll() is None, self.log()
            try:
                async with self.session.get(f"{self._metrics[name]}/readyz") as answer:
                    return answer.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False

        await self.until(is_ready, START_SECONDS)

    def _spawned(self, service: str, code: Path, name: str, port: int) -> subprocess.Popen[bytes]:
        (self.directory / "logs").mkdir(exist_ok=True)
        environ = {**self._environ, "PYTHONPATH": str(code), f"ESTAFETTE_{service.upper()}_METRICS_PORT": str(port)}
        command = [sys.executable, "-m", "services.console.console", "serve", service]
        with (self.directory / "logs" / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ, cwd=code)

    async def end(self, *names: str) -> None:
        """SIGTERM, and a good end."""
        for name in names:
            assert await asyncio.to_thread(stop, self._running.pop(name), 40) == 0, self.log()

    async def replaced(self, service: str, code: Path) -> None:
        """On one host consumers are called after it: the older one ends before the newer one begins."""
        await self.end(service)
        await self.serve(service, code)

    async def delivered(self, word: str, recipients: int = 20) -> str:
        """A job that ends with every mail delivered, and a report that says so."""
        job = await self.send(*(f"{word}{number}@x.test" for number in range(recipients)))
        report = await self.done(job)
        assert (report["counts"]["accepted"], report["counts"]["delivered"]) == (recipients, recipients), report
        return job

    def written(self, kind: str, job: str) -> list[list[Any]]:
        """Of this kind about that job, as they lie on the streams: read by none of our code."""
        with self._redis.client() as client:
            entries = [one for p in range(PARTITIONS) for _, one in client.xrange(keys.events(p))]
        found = [msgpack.unpackb(one[b"b"]) for one in entries if one[b"t"] == kind.encode()]
        return [fact for fact in found if fact[3] == job]

    def dead(self) -> int:
        with self._redis.client() as client:
            return sum(client.xlen(name) for name in client.scan_iter("*.dead", count=1000))

    def pending(self) -> Counter[str]:
        """What each group has read and not handled."""
        found: Counter[str] = Counter()
        with self._redis.client() as client:
            for p in range(PARTITIONS):
                for group in client.xinfo_groups(keys.events(p)):
                    found[group["name"].decode()] += group["pending"]
        return +found


def with_secret(data: Path) -> Path:
    """A new data directory: processes that start together are to have one secret."""
    data.mkdir(mode=0o700)
    (data / "secret.key").touch(0o600)
    (data / "secret.key").write_text(secrets.token_hex(32), "ascii")
    return data


@asynccontextmanager
async def of_older_version(data: Path, sink: SmtpServer) -> AsyncIterator[Fleet]:
    """Everything runs, and has delivered a first job."""
    environ = {
        "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}",
        "ESTAFETTE_REDIS_PARTITIONS": str(PARTITIONS),
        "ESTAFETTE_RELAY_SIGNING_PROCESSES": "0",
        "ESTAFETTE_RELAY_RENDERING_PROCESSES": "1",
        "ESTAFETTE_HTTP_COMPILING_PROCESSES": "1",
    }
    async with Fleet.of(with_secret(data), environ) as fleet:
        for service in ("http", "queueing", "relay", *READERS):
            await fleet.serve(service, ROOT)
        await fleet.console("tenants", "add", "acme", "--any-from-domain")
        fleet.key = await fleet.new_key("acme", "send,read")
        yield fleet


async def writers_are_newer(fleet: Fleet, newer_code: Path, sink: SmtpServer) -> dict[str, str]:
    """Of each step a job, by its word. Readers of the older version have read all that they can."""
    jobs = {"older": await fleet.delivered("older")}

    # An older relay is handed messages with a field that it does not know, and puts one of them back.
    await fleet.replaced("queueing", newer_code)
    sink.script["RCPT"] = ["451 4.7.1 Greylisted, try again", "250 ok"]
    jobs["work"] = await fleet.delivered("work")
    assert len(fleet.written("Deferred", jobs["work"])) == 1

    # Relays of both versions share what is to be sent; then there is the newer one alone.
    await fleet.serve("relay", newer_code, "relay.newer")
    jobs["both"] = await fleet.delivered("both", 200)
    await fleet.end("relay")
    jobs["facts"] = await fleet.delivered("facts")

    async def the_rest_is_left() -> bool:
        return all(fleet.pending()[service] >= 20 for service in READERS)

    await fleet.until(the_rest_is_left)
    lengths = [{len(fact) for fact in fleet.written("Delivered", jobs[word])} for word in ("older", "facts")]
    assert lengths == [{17}, {18}]
    for service in READERS:
        assert {line["message_name"] for line in fleet.logged(service, "left_for_newer")} == {"Greeted"}
    return jobs


async def types_of(fleet: Fleet, job: str) -> list[str]:
    """Of what happened to the first message of the job, as its timeline tells it."""
    timeline = (await fleet.message(f"{job}.0"))["timeline"]
    return [fact["type"].removeprefix("message.") for fact in timeline]


async def test_two_versions_side_by_side_lose_bury_and_miss_nothing(tmp_path: Path) -> None:
    newer_code = newer(tmp_path / "newer")
    async with SmtpServer() as sink, of_older_version(tmp_path / "data", sink) as fleet:
        jobs = await writers_are_newer(fleet, newer_code, sink)

        # Newer readers take what was left for them; an older http has no word for it, and tells the rest.
        for service in READERS:
            await fleet.replaced(service, newer_code)

        async def nothing_is_left() -> bool:
            return not fleet.pending()

        await fleet.until(nothing_is_left)
        assert await types_of(fleet, jobs["facts"]) == ["accepted", "delivered"]

        # One goes back, and newer readers meet what an older relay writes; then all are newer.
        await fleet.end("relay.newer")
        await fleet.serve("relay", ROOT)
        jobs["back"] = await fleet.delivered("back")
        await fleet.replaced("http", newer_code)
        await fleet.replaced("relay", newer_code)
        jobs["newer"] = await fleet.delivered("newer")
        await fleet.until(nothing_is_left)

        assert await types_of(fleet, jobs["facts"]) == ["accepted", "delivered", "greeted"]
        assert await types_of(fleet, jobs["back"]) == ["accepted", "delivered"]
        told = [fact["type"] for fact in await fleet.events(jobs["facts"])]
        in_feed = Counter(kind for kind in told if kind.startswith("message."))
        assert in_feed == {"message.accepted": 20, "message.delivered": 20, "message.greeted": 20}
        counts = [(await fleet.report(job))["counts"] for job in jobs.values()]
        assert [one["delivered"] for one in counts] == [one["accepted"] for one in counts] == [20, 20, 200, 20, 20, 20]
        assert fleet.dead() == 0
        taken = Counter(envelope.rcpts[0] for envelope in sink.envelopes)
        assert (len(taken), set(taken.values())) == (300, {1})
