"""What one tenant that is at its quota costs the others: their p99 alone, and while it asks for more, in turns.

    python -m loadtests.bench_neighbours [--pace 80] [--rounds 4] [--slice 2] [--attacks requests,uploads]

A whole instance (`estafette run`) serves neighbours who send ordinary requests at a steady pace: transactional jobs,
reads and clicks. Beside them one tenant (`loadtests.attack`), whose quotas are small, so that it is at them from the
beginning, goes on in each of several ways. A request counts from the moment it was due, so that one that waits behind
others counts with its wait. The last line is JSON.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from loadtests.attack import ATTACKS
from loadtests.processes import START_S, Processes, console, free_port, python, until
from services import catalogue
from shared.redis import redis
from shared.redis.tenants import CACHE_SECONDS, Tenants

NEIGHBOURS = 4
GOAL = 1.25
#: At the beginning of each slice: what the one before has left is worked off, and does not count.
SETTLE_S = 0.25
#: The attacker's. All of this runs on one machine, so what it may ask for is a quarter of what the neighbours ask for
#: together; it asks for as much as it is answered.
SMALL = {
    "requests_per_second": 20,
    "requests_under_way": 8,
    "open_jobs": 20,
    "stored_bytes": 4_000_000,
    "domains": 3,
    "idempotency_keys": 100,
}
#: What the neighbours do, one after the other.
MIX = ("job", "read", "click", "read", "job", "click", "events", "read")


@dataclass
class Neighbour:
    """A tenant, a job that it sent and a link in its mail."""

    name: str
    key: str
    job: str = ""
    link: str = ""


@dataclass
class Times:
    """Seconds from when a request was due until it was answered; what was answered otherwise than it should."""

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def ratio(self) -> float:
        return p99(self.beside) / p99(self.alone)


def p99(times: Sequence[float]) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * 0.99))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pace", type=float, default=80.0, help="requests a second of all neighbours together")
    parser.add_argument("--rounds", type=int, default=4, help="slices alone, and as many beside each attack")
    parser.add_argument("--slice", type=float, default=2.0, help="seconds of each slice")
    parser.add_argument("--attacks", default=",".join(ATTACKS))
    options = parser.parse_args()
    attacks = options.attacks.split(",")
    with (
        tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder,
        Processes(Path(folder)) as processes,
    ):
        found = asyncio.run(measured(started(processes), attacks, options))
    for name, times in found.items():
        print(
            f"{name:<17} p99 alone {p99(times.alone) * 1000:6.1f} ms, beside {p99(times.beside) * 1000:6.1f} ms, "
            f"ratio {times.ratio():.2f}, {len(times.alone)} and {len(times.beside)} requests"
        )
    alone = [one for times in found.values() for one in times.alone]
    beside = [one for times in found.values() for one in times.beside]
    wrong = sum(sum(times.wrong.values()) for times in found.values())
    result = {
        "bench": "neighbours",
        "worst_p99_ratio": round(max(times.ratio() for times in found.values()), 3),
        "p99_ratio": round(p99(beside) / p99(alone), 3),
        "p99_alone_ms": round(p99(alone) * 1000, 1),
        "p99_ratios": {name: round(times.ratio(), 3) for name, times in found.items()},
        "goal": GOAL,
        "wrong_answers": wrong,
    }
    print(json.dumps(result))
    sys.exit(1 if wrong else 0)


def started(processes: Processes, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A whole instance, ready; its settings, of which `more` are those that somebody wants otherwise."""
    environ = {
        **{f"ESTAFETTE_{name.upper()}_METRICS_PORT": "0" for name in catalogue.SERVED},
        "ESTAFETTE_DATA_DIR": str(processes.directory / "data"),
        "ESTAFETTE_HTTP_PORT": str(free_port()),
        "ESTAFETTE_BOUNCES_PORT": str(free_port()),
        "ESTAFETTE_MAILBOX_PORT": str(free_port()),
        "ESTAFETTE_SUBMISSION_PORT": str(free_port()),
        "ESTAFETTE_SUBMISSION_TLS_PORT": str(free_port()),
        "ESTAFETTE_DNS_SERVERS": "127.0.0.1:1",
        "ESTAFETTE_LOGS_LEVEL": "warning",
        **(more or {}),
    }
    processes.start([*python("services.console.console"), "run"], environ, "run")
    log = processes.directory / "run.log"
    until(lambda: b"Estafette is up" in log.read_bytes(), START_S, "the instance")
    return environ


async def tenant(environ: Mapping[str, str], tenants: Tenants, name: str) -> str:
    """A tenant with a sending domain of its name, which an operator gives to it; its key."""
    await tenants.create(name)
    _, key = await tenants.create_key(name, ["send", "read", "admin"])
    await asyncio.to_thread(console, environ, "domains", "add", "--tenant", name, f"{name}.test")
    return key


async def measured(environ: Mapping[str, str], attacks: Sequence[str], options: argparse.Namespace) -> dict[str, Times]:
    base = f"http://127.0.0.1:{environ['ESTAFETTE_HTTP_PORT']}"
    found = {name: Times() for name in attacks}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(base, connector=connector) as session:
        client = redis.connect((Path(environ["ESTAFETTE_DATA_DIR"]) / "redis.url").read_text().strip())
        tenants = Tenants(client)
        names = [f"n{number}" for number in range(NEIGHBOURS)]
        neighbours = [Neighbour(name, await tenant(environ, tenants, name)) for name in names]
        for number, one in enumerate(neighbours):
            await prepare(session, one, number)
        key = await tenant(environ, tenants, "attacker")
        for quota, limit in SMALL.items():
            await tenants.set_quota("attacker", quota, limit)
        await redis.close(client)
        await asyncio.sleep(CACHE_SECONDS)  # until the instance knows its quotas
        job = await opened(session, key)
        attacker = await asyncio.create_subprocess_exec(
            *python("loadtests.attack"), base, key, job, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            await steady(session, neighbours, options.pace, options.slice, [], Counter())  # warm
            for name, times in found.items():
                statuses: Counter[str] = Counter()
                # It comes to its quota before it counts.
                statuses.update(await attacked(attacker, name, steady(session, neighbours, 1, 1.5, [], Counter())))
                for _ in range(options.rounds):
                    await steady(session, neighbours, options.pace, options.slice, times.alone, times.wrong)
                    told = steady(session, neighbours, options.pace, options.slice, times.beside, times.wrong)
                    statuses.update(await attacked(attacker, name, told))
                print(
                    f"{name}: the attacker was answered {dict(statuses)}; others wrongly {dict(times.wrong)}",
                    flush=True,
                )
        finally:
            attacker.terminate()
            await attacker.wait()
    return found


async def attacked(attacker: asyncio.subprocess.Process, name: str, meanwhile: Awaitable[None]) -> dict[str, int]:
    """What the attacker was answered, by status, while the neighbours asked."""
    assert attacker.stdin is not None
    assert attacker.stdout is not None
    attacker.stdin.write(f"{name}\n".encode())
    await attacker.stdin.drain()
    await meanwhile
    attacker.stdin.write(b"stop\n")
    await attacker.stdin.drain()
    return dict(json.loads(await attacker.stdout.readline()))


async def prepare(session: aiohttp.ClientSession, one: Neighbour, number: int) -> None:
    """A job that was sent and a link in its mail."""
    status, body = await asked(session, one, "job", number)
    assert status == 202, body
    one.job = json.loads(body)["id"]
    deadline = time.monotonic() + START_S
    while not one.link:
        async with session.get("/mailbox/messages.json", params={"to": f"a{number}@x.test"}) as answer:
            mails = (await answer.json())["messages"]
        if mails:
            async with session.get(f"/mailbox/{mails[0]['id']}/html") as answer:
                link = re.search(r"/c/[\w-]+", await answer.text())
            one.link = link[0] if link else ""
        if time.monotonic() > deadline:
            raise TimeoutError("no mail with a link")
        await asyncio.sleep(0.1)


async def opened(session: aiohttp.ClientSession, key: str) -> str:
    content = {"from": "news@attacker.test", "subject": "s", "text": "t {{ unsubscribe_url }}"}
    headers = {"Authorization": f"Bearer {key}"}
    async with session.post("/v1/jobs?state=open", json=content, headers=headers) as answer:
        return str((await answer.json())["id"])


async def steady(
    session: aiohttp.ClientSession,
    neighbours: Sequence[Neighbour],
    pace: float,
    seconds: float,
    times: list[float],
    wrong: Counter[str],
) -> None:
    """Ordinary requests at a pace, for so long; how long each took after it was due."""
    begun = time.monotonic()
    asking = []

    async def ask(number: int, due: float) -> None:
        what = MIX[number % len(MIX)]
        one = neighbours[number // len(MIX) % len(neighbours)]
        try:
            status, _ = await asked(session, one, what, number)
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        if due - begun >= SETTLE_S:
            times.append(time.monotonic() - due)
        if status != {"job": 202, "click": 302}.get(what, 200):
            wrong[f"{what} {status}"] += 1

    for number in range(int(pace * seconds)):
        due = begun + number / pace
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        asking.append(asyncio.create_task(ask(number, due)))
    await asyncio.gather(*asking)


async def asked(session: aiohttp.ClientSession, one: Neighbour, what: str, number: int) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {one.key}"}
    method, path, body = "GET", "", None
    match what:
        case "job":
            method, path = "POST", "/v1/jobs"
            headers["Content-Type"] = "application/json"
            body = json.dumps(
                {
                    "from": f"news@{one.name}.test",
                    "stream": "transactional",
                    "subject": "Hello {{ name }}",
                    "html": '<p>Hello {{ name }}</p><a href="https://www.python.org/">A</a>',
                    "recipients": [{"email": f"a{number}@x.test", "variables": {"name": "Ana"}}],
                }
            ).encode()
        case "read":
            path = f"/v1/jobs/{one.job}"
        case "events":
            path = f"/v1/events?job={one.job}"
        case "click":
            path, headers = one.link, {}
    async with session.request(method, path, data=body, headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.read()


if __name__ == "__main__":
    main()
