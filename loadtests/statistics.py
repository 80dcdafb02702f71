"""Statistics: what they cost, and whether they are what a plain count of the facts says.

python -m loadtests.statistics --check 1000000    generated facts through a process of reports that is killed and
                                                  started again, some of them twice; then the comparison, and that of
                                                  answers before and after their days are archived
python -m loadtests.statistics --events 200000    facts a second with and without statistics, and of a bare loop
                                                  that reads the stream and acknowledges
"""

import argparse
import asyncio
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from loadtests import statistics_archived
from loadtests.counting import Model
from loadtests.processes import Processes
from services.reports.folding import EVERY_S, Folding
from services.reports.late import Late
from services.reports.reports import Reports
from services.reports.store import ReportStore
from shared.redis import bus, keys, redis
from shared.redis.statistics import OfDay, names_of, of_day, of_job
from shared.words import events, ids

PARTITIONS = 2
TENANT = "acme"
#: The jobs are four days old: statistics of a day that is over long since are gone as soon as they are written.
BORN_MS = (int(time.time() * 1000) // 3_600_000 - 96) * 3_600_000
JOBS = 6
#: Messages of a job.
MESSAGES = 50_000
BATCH = 200
#: How often the process is killed, or about: after so many facts, not after a time, so it is the same on any machine.
KILLS = 16
AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.1.0",
    "",
)
SITES = ("gmail", "outlook.com", "yahoo", "orange", "mx.exemple.fr", "mx.example.org")
SOURCES = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
REASONS = ("unknown_user", "mailbox_full", "reputation")
LATE = Late(soon_ms=1_000, burst_links=3, burst_ms=2_000)
_HOUR_MS = 3_600_000
T = TypeVar("T")


def job_names() -> list[str]:
    """The jobs of a run, over all partitions."""
    return [ids.new_job_id(BORN_MS + one, bytes([one]) * 6, PARTITIONS, one % PARTITIONS) for one in range(JOBS)]


def job_fields(number: int) -> dict[str, str]:
    """The hash of one of them; the last is a test, which is no part of its tenant's statistics."""
    return {
        "tenant": TENANT,
        "state": "queued",
        "stream": ("bulk", "transactional")[number % 2],
        "from": f"Chouette <news@{('exemple.fr', 'example.org')[number % 2]}>",
        "list": ("newsletter", "")[number // 2 % 2],
        "category": ("", "promotion")[number % 2],
        "tags": ("soldes\nhiver", "soldes", "")[number % 3],
        "total": str(MESSAGES),
        "test": "1" if number == JOBS - 1 else "0",
    }


def generated(number: int, chance: random.Random, messages: int = MESSAGES, hours: int = 0) -> Iterator[events.Fact]:
    """So many facts, as they come: of any message in any order, some of them told twice. They happened in the order of
    time in so many hours; 0: at any time in three days."""
    jobs = job_names()
    told: list[events.Fact] = []
    for at in range(number):
        if told and chance.random() < 0.03:
            yield chance.choice(told)
            continue
        after_ms = int(at * hours * _HOUR_MS / number) if hours else int(chance.random() ** 2 * 70 * _HOUR_MS)
        fact = one_fact(at, chance, chance.choice(jobs), chance.randrange(messages), BORN_MS + after_ms)
        if len(told) < 500:
            told.append(fact)
        else:
            told[chance.randrange(500)] = fact
        yield fact


def one_fact(at: int, chance: random.Random, job: str, ordinal: int, happened: int) -> events.Fact:
    """A fact of that message, its kind by chance."""
    about = events.about_message(TENANT, job, ordinal, happened, at)
    site, source, reason = chance.choice(SITES), chance.choice(SOURCES), chance.choice(REASONS)
    agent = chance.choice(AGENTS)
    machine = chance.choice(("", "", "", "prefetch"))
    match chance.randrange(20):
        case 0 | 1 | 2 | 3:
            return events.Accepted(**about, site=site)
        case 4 | 5 | 6 | 7:
            return events.Delivered(**about, site=site, source=source)
        case 8 | 9:
            return events.Deferred(**about, site=site, source=source, reason=reason)
        case 10:
            kind, late = chance.choice(("hard", "soft", "block")), chance.random() < 0.3
            # A report that comes later names no host of ours.
            site, source = ("", "") if late else (site, source)
            return events.Bounced(**about, site=site, source=source, kind=kind, late=late, reason=reason)
        case 11:
            return events.Suppressed(**about, reason="hard_bounce", where="queueing")
        case 12:
            return events.Unsubscribed(**about, by="page", reason="too_many")
        case 13:
            return events.Complained(**about, feedback_type="abuse")
        case 14:
            position = chance.choice((None, 7))
            return events.DocumentOpened(**about, position=position, user_agent=agent, machine=machine)
        case 15 | 16 | 17:
            return events.Clicked(**about, position=chance.randrange(4), user_agent=agent, machine=machine)
    return events.Opened(**about, user_agent=agent, machine=machine)


async def put(client: Any, facts: Sequence[events.Fact]) -> None:
    """Onto the streams, as any publisher does; some of them twice where no answer came."""
    for first in range(0, len(facts), 1000):
        await _patiently(_put, client, facts[first : first + 1000])


async def _put(client: Any, facts: Sequence[events.Fact]) -> None:
    pipeline = client.pipeline(transaction=False)
    for fact in facts:
        body = events.encode(fact)
        pipeline.xadd(keys.events(bus.fact_partition(fact, PARTITIONS)), {"t": type(fact).__name__, "v": 1, "b": body})
    await pipeline.execute()


async def prepare(client: Any) -> None:
    """The jobs, and the group that reads."""
    for number, job in enumerate(job_names()):
        await client.hset(keys.job(ids.job_partition(job, PARTITIONS), job), mapping=job_fields(number))
    for p in range(PARTITIONS):
        await bus.register(client, keys.events(p), keys.GROUP_REPORTS)


async def differences(client: Any, model: Model) -> list[str]:
    """What is kept, and what a plain count says instead; nothing if they are equal."""
    wrong: list[str] = []
    days: dict[str, Counter[Any]] = {}
    for p in range(PARTITIONS):
        names = names_of(await client.hgetall(keys.statistics_names(p)))
        for job in job_names():
            if ids.job_partition(job, PARTITIONS) == p:
                stored = await client.hgetall(keys.job_statistics(p, job))
                for name, kept in of_job(stored, names)._asdict().items():
                    wrong += _unequal(f"{job} {name}", kept, model.of_job(job, name))
        first_day = BORN_MS // 86_400_000
        for day in range(first_day, first_day + 8):
            found = of_day(await client.hgetall(keys.statistics(p, TENANT, day)), names, day)
            for name, kept in found._asdict().items():
                days.setdefault(name, Counter()).update(kept)
    for name in OfDay._fields:
        wrong += _unequal(f"tenant {name}", days.get(name, Counter()), model.of_tenant(name))
    return wrong


def _unequal(what: str, kept: Counter[Any], counted: Counter[Any]) -> list[str]:
    return [
        f"{what} {key}: {kept[key]} is kept, {counted[key]} were counted"
        for key in sorted(kept.keys() | counted.keys(), key=str)
        if kept[key] != counted[key]
    ]


async def check(number: int, seed: int) -> list[str]:
    """Through a process of reports that is killed again and again, at any moment, and Redis every fourth time."""
    chance = random.Random(seed)
    model = Model({job: job_fields(at) for at, job in enumerate(job_names())}, LATE)
    with tempfile.TemporaryDirectory() as place, Processes(Path(place)) as processes:
        url, server = processes.redis_process()
        client: Any = redis.connect(url)
        await prepare(client)
        environ = {
            "ESTAFETTE_REDIS_URL": url,
            "ESTAFETTE_REDIS_PARTITIONS": str(PARTITIONS),
            "ESTAFETTE_DATA_DIR": str(Path(place) / "data"),
            "ESTAFETTE_LOGS_LEVEL": "warning",
            "ESTAFETTE_ARCHIVE_TARGET": str(Path(place) / "archive"),
        }
        await put(client, list(generated(number, chance)))
        kills = 0
        while True:
            process, _ = processes.service("reports", environ)
            left = await _patiently(_left, client)
            until = left - chance.randrange(2 * max(1, number // KILLS))
            while left and left > until:
                await asyncio.sleep(0.05)
                left = await _patiently(_left, client)
            if left and kills % 4 == 3:
                server.kill()
                server.wait()
                _, server = processes.redis_process(int(url.rpartition(":")[2].partition("/")[0]))
                await _patiently(client.ping)
                await asyncio.sleep(chance.random() * 3)  # the process goes on with what it had in hand
                left = await _patiently(_left, client)
            process.kill() if left else process.terminate()
            process.wait()
            if not left:
                break
            kills += 1
            print(f"killed, {left} left", file=sys.stderr)
        for stream in map(keys.events, range(PARTITIONS)):
            after = "-"
            while found := await _patiently(client.xrange, stream, after, "+", 10_000):
                after = f"({found[-1][0].decode()}"
                for stream_id, entered in found:
                    entry = bus.entry(stream_id, entered)
                    model.count(entry.message(), entry.written_ms)
        wrong = await _patiently(differences, client, model)
        archived = await statistics_archived.differences(client, PARTITIONS, TENANT, BORN_MS, Path(place) / "archive")
        figures = {"facts": number, "kills": kills, "numbers": model.numbers(), "wrong": len(wrong)}
        print(json.dumps(figures | {"answers_changed_by_archiving": len(archived)}))
        await redis.close(client)
    return [*wrong, *archived]


async def _patiently(call: Callable[..., Awaitable[T]], *given: Any) -> T:
    """The answer, once there is one: Redis was started again, or the machine is busy with others."""
    while True:
        try:
            return await redis.answer(call(*given))
        except redis.RedisAway:
            await asyncio.sleep(0.1)


async def _left(client: Any) -> int:
    """About: what a Redis that was started again says of `lag` is too much, until it has to be nothing."""
    left = 0
    for p in range(PARTITIONS):
        latest = (await client.xinfo_stream(keys.events(p)))["last-generated-id"]
        for group in await client.xinfo_groups(keys.events(p)):
            unread = 0 if group["last-delivered-id"] == latest else max(1, group["lag"] or 0)
            left += unread + group["pending"]
        left += await client.llen(keys.statistics_waiting(p))
    return left


async def rates(number: int, of_one_job: bool = True) -> dict[str, float]:
    """Facts a second, and CPU of Redis and of us in µs a fact: of a bare loop, without statistics, and with them."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place, Processes(Path(place)) as processes:
        client: Any = redis.connect(processes.redis())
        chance = random.Random(1)
        facts = list(generated(number, chance, hours=2))
        for name in ("bare", "without", "with", "with", "without", "bare"):
            await client.flushall()
            await prepare(client)
            await put(client, facts)
            before, redis_before = await cpu_s(client)
            began = time.perf_counter()
            await run(client, name)
            took = time.perf_counter() - began
            own, its = (now - then for now, then in zip(await cpu_s(client), (before, redis_before), strict=True))
            for key, value in ((f"{name}_per_s", number / took), (f"{name}_own_us", own / number * 1e6),
                               (f"{name}_redis_us", its / number * 1e6)):  # fmt: skip
                found[key] = (
                    max(found.get(key, 0), value) if key.endswith("_per_s") else min(found.get(key, 1e9), value)
                )
        await redis.close(client)
    return {name: round(value, 2) for name, value in found.items()} | {
        "ratio_to_bare": round(found["with_per_s"] / found["bare_per_s"], 3),
        "ratio_to_without": round(found["with_per_s"] / found["without_per_s"], 3),
    }


async def fold_all(folding: Folding, partitions: int) -> None:
    """Puts away all that waits. RedisAway: it may have happened, and may be repeated."""
    for p in range(partitions):
        while await folding.fold(p):
            pass


async def run(client: Any, name: str) -> None:
    """Reads all that is on the streams: `bare`, or counted `without` statistics or `with` them."""
    reports = Reports(ReportStore(client, late=LATE, has_statistics=name == "with"), lambda: 0)

    async def partition(p: int) -> None:
        stream = keys.events(p)
        while found := await client.xreadgroup(keys.GROUP_REPORTS, "one", {stream: ">"}, count=BATCH):
            entries = [bus.entry(number, fields) for number, fields in found[0][1]]
            if name == "bare":
                await client.xack(stream, keys.GROUP_REPORTS, *(entry.stream_id for entry in entries))
            else:
                await reports.count(p, entries)

    async def fold() -> None:
        while True:
            await fold_all(folding, PARTITIONS)
            await asyncio.sleep(EVERY_S)

    folding = Folding(client, PARTITIONS, 92)
    folds = asyncio.create_task(fold())
    await asyncio.gather(*(partition(p) for p in range(PARTITIONS)))
    await fold_all(folding, PARTITIONS)
    folds.cancel()


async def cpu_s(client: Any) -> tuple[float, float]:
    """What this process and Redis have used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = await client.info("cpu")
    return used.ru_utime + used.ru_stime, float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", type=int, default=0, help="compare so many facts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=100_000, help="measure so many facts")
    options = parser.parse_args()
    if options.check:
        wrong = asyncio.run(check(options.check, options.seed))
        print("\n".join(wrong[:40]))
        return 1 if wrong else 0
    print(json.dumps({"bench": "statistics", **asyncio.run(rates(options.events))}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
