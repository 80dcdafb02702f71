"""Pages of the console: how many a second, beside the answers of the API that each is made of.

    make bench-pages
    make bench-pages BENCH_ARGS='--seconds 2 --turns 1'    # a quick look

One process of `http` serves both, against a Redis of its own with the statistics of six jobs. A page asks the API as
any client does, so what it costs beside is its session, its template and its charts. The last line is JSON.
"""

import argparse
import asyncio
import json
import random
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from loadtests.clicking import cpu_s
from loadtests.processes import Processes, console, free_port
from loadtests.statistics import PARTITIONS, TENANT, generated, job_names, prepare, put, run
from shared.process import logs
from shared.redis import redis

#: As many people look at the same time.
PEOPLE = 4
JOB = job_names()[0]
#: Of each page: where it is, and what it asks the API, one after the other.
PAGES = {
    "report": (
        f"/console/jobs/{JOB}",
        (f"/v1/jobs/{JOB}", f"/v1/jobs/{JOB}/report-links", f"/v1/jobs/{JOB}/statistics"),
    ),
    "statistics": ("/console/statistics", ("/v1/statistics?by=day",)),
}


class Pace(NamedTuple):
    """Pages a second, or all the answers of one; and CPU of the process for each."""

    per_s: float
    cpu_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=int, default=40_000, help="that the statistics are of")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a turn")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    logs.configure("bench", "warning")
    with (
        tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder,
        Processes(Path(folder)) as processes,
    ):
        url, port = processes.redis(), free_port()
        asyncio.run(_fill(url, given.facts))
        environ = {
            "ESTAFETTE_REDIS_URL": url,
            "ESTAFETTE_REDIS_PARTITIONS": str(PARTITIONS),
            "ESTAFETTE_DATA_DIR": str(Path(folder) / "data"),
            "ESTAFETTE_HTTP_PORT": str(port),
            "ESTAFETTE_LOGS_LEVEL": "warning",
            "ESTAFETTE_QUOTAS_REQUESTS_PER_SECOND": "100000",
        }
        server, _ = processes.service("http", environ)
        console(environ, "tenants", "add", TENANT)
        key = console(environ, "keys", "create", "--tenant", TENANT, "--scope", "read,send").split()[-1]
        found = asyncio.run(_measured(f"http://127.0.0.1:{port}", key, server, given.seconds, given.turns))
    print(json.dumps({"bench": "pages", **found}))


async def _fill(url: str, facts: int) -> None:
    """Counted as `reports` does."""
    client: Any = redis.connect(url)
    try:
        await prepare(client)
        await put(client, list(generated(facts, random.Random(1))))
        await run(client, "with")
    finally:
        await redis.close(client)


async def _measured(
    base: str, key: str, server: subprocess.Popen[bytes], seconds: float, turns: int
) -> dict[str, float]:
    found: dict[str, float] = {}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as visitor,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as program,
    ):
        await _sign_in(visitor, base, key)
        for name, (page, asked) in PAGES.items():
            found[f"{name}_bytes"] = len(await _get(visitor, base + page))
            loads = {"page": (visitor, [base + page]), "api": (program, [base + path for path in asked])}
            paces: dict[str, list[Pace]] = {what: [] for what in loads}
            for _ in range(turns):
                for what, (session, urls) in loads.items():
                    paces[what].append(await _pace(session, urls, server.pid, seconds))
            per_s = {what: statistics.median(one.per_s for one in some) for what, some in paces.items()}
            cpu_ms = {what: statistics.median(one.cpu_ms for one in some) for what, some in paces.items()}
            found[f"{name}_pages_per_s"] = round(per_s["page"], 1)
            found[f"{name}_ratio_to_api"] = round(per_s["page"] / per_s["api"], 3)
            found[f"{name}_page_cpu_ms"] = round(cpu_ms["page"], 2)
            found[f"{name}_api_cpu_ms"] = round(cpu_ms["api"], 2)
    for name, value in found.items():
        print(f"{name:<28} {value:,}")
    return found


async def _pace(session: aiohttp.ClientSession, urls: Sequence[str], pid: int, seconds: float) -> Pace:
    """Of `PEOPLE` who look again and again."""
    whole = 0

    async def look() -> None:
        nonlocal whole
        while time.perf_counter() < end:
            for url in urls:
                await _get(session, url)
            whole += 1

    before_s, began = cpu_s(pid), time.perf_counter()
    end = began + seconds
    await asyncio.gather(*(look() for _ in range(PEOPLE)))
    return Pace(whole / (time.perf_counter() - began), (cpu_s(pid) - before_s) / whole * 1000)


async def _get(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url, allow_redirects=False) as answer:
        body = await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{url}: {answer.status} {body[:300]!r}")
        return body


async def _sign_in(visitor: aiohttp.ClientSession, base: str, key: str) -> None:
    form = re.findall(rb'name="form" value="(\w+)"', await _get(visitor, f"{base}/console"))[0].decode()
    async with visitor.post(f"{base}/console", data={"form": form, "key": key}, allow_redirects=False) as answer:
        if answer.status != 303:
            raise RuntimeError(f"the sign-in was answered {answer.status}")


if __name__ == "__main__":
    main()
