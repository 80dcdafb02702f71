"""How many bytes of Redis a recipient takes: queued, once the job is done, and once that is removed.

    python -m loadtests.bench_memory [--recipients 50000]

Jobs of recipients with 200 bytes of variables go in through the API. Measured is what Redis itself says it uses, less
what it used before; the event streams, which keep what happened for `events.retention_days`, are told apart. Then jobs
of one recipient each, as transactional mail is, of which each has content of its own; and what is left of all when
their retention is over. The last line is JSON. The promise is 600 bytes queued and 100 bytes done, the events besides.
"""

import argparse
import asyncio
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis

from loadtests.bench_relay import demo_key, environ_of, post, submit
from loadtests.processes import Processes, metric, until
from services.reports.reports import DAY_MS
from services.reports.retention import Retention
from shared.process.clock import now_ms
from shared.process.settings import Jobs
from shared.process.settings import Redis as RedisSettings
from shared.redis import keys
from shared.redis.redis import close, connect

#: Variables of a recipient, as msgpack.
VARIABLES_BYTES = 200
#: Jobs of one recipient, or as many as there are recipients.
SINGLES = 1_000
PARTITIONS = RedisSettings().partitions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipients", type=int, default=50_000)
    recipients = parser.parse_args().recipients
    with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with Processes(Path(folder)) as processes:
            found = measure(processes, Path(folder), recipients)
    print(f"queued:                 {found.queued_bytes:,} bytes a recipient")
    print(f"done:                   {found.done_bytes:,} bytes a recipient, besides the events")
    print(f"events (7 days):        {found.event_bytes:,} bytes a recipient, {found.perevent_bytes:,} an event")
    print(f"a job of one recipient: {found.single_job_bytes:,} bytes once done, besides the events")
    print(f"after {found.retention_days} days:          {found.left_bytes:,} bytes a recipient, besides the events")
    print(json.dumps({"bench": "memory", **found._asdict()}))


class Found(NamedTuple):
    """What is in the last line (`loadtests/README.md`)."""

    queued_bytes: int
    done_bytes: int
    event_bytes: int
    perevent_bytes: int
    single_job_bytes: int
    left_bytes: float
    retention_days: int


def measure(processes: Processes, folder: Path, recipients: int) -> Found:
    url = processes.redis()
    environ = environ_of(folder, url, processes.sink(), dkim=False) | {"ESTAFETTE_QUOTAS_REQUESTS_PER_SECOND": "5000"}
    redis: Any = Redis.from_url(url)
    processes.callback(redis.close)
    processes.service("http", environ)
    key = demo_key(environ)
    _, queueing = processes.service("queueing", environ)
    before, kept_before = redis.info("memory")["used_memory"], _kept_bytes(redis)
    submit(environ, key, recipients, job)
    until(lambda: metric(queueing, 'estafette_queueing_recipients_total{fact="accepted"}') >= recipients, 300, "queue")
    events_queued = event_bytes(redis)
    queued = redis.info("memory")["used_memory"] - before - events_queued
    processes.service("suppression", environ)
    _, reports = processes.service("reports", environ)
    _, relay = processes.service("relay", environ)
    until(lambda: metric(relay, 'estafette_relay_attempts_total{fact="Delivered"}') >= recipients, 900, "relay", 0.5)
    until(lambda: _applied(reports) >= 2 * recipients, 300, "reports", 0.5)
    until(lambda: redis.zcard(keys.sites(0, "email")) == 0, 30, "the end")
    _pass_by(redis, 600_000)
    kept = event_bytes(redis)
    done = redis.info("memory")["used_memory"] - before - kept
    singles = min(SINGLES, recipients)
    counted = _applied(reports)
    for number in range(singles):
        post(environ, key, "/v1/jobs", json.dumps(job(1, number)).encode())
    until(lambda: _applied(reports) >= counted + 2 * singles, 300, "reports", 0.5)
    until(lambda: all(redis.zcard(keys.sites(p, "email")) == 0 for p in range(PARTITIONS)), 30, "the end")
    _pass_by(redis, 600_000)
    single = redis.info("memory")["used_memory"] - before - done - event_bytes(redis)
    days = Jobs().retention_days
    asyncio.run(_remove(url, days))
    _pass_by(redis, days * DAY_MS)
    left = _kept_bytes(redis) - kept_before
    return Found(
        round(queued / recipients),
        round(done / recipients),
        round(kept / recipients),
        round(kept / recipients / 2),
        round(single / singles),
        round(left / (recipients + singles), 1),
        days,
    )


def _pass_by(redis: Any, ms: int) -> None:
    """What Redis would have forgotten by itself in that time is gone: marks of batches and chunks."""
    names = list(redis.scan_iter(match="est:*", count=10_000))
    for begin in range(0, len(names), 1_000):
        with redis.pipeline(transaction=False) as pipe:
            for name in names[begin : begin + 1_000]:
                pipe.pttl(name)
            left = pipe.execute()
        over = [name for name, pttl in zip(names[begin : begin + 1_000], left, strict=True) if 0 < pttl <= ms]
        if over:
            redis.unlink(*over)


async def _remove(url: str, days: int) -> None:
    """What the process of reports does, when all that time has passed."""
    client = connect(url)
    try:
        for later_days in (1, days + 30):
            later_ms = now_ms() + later_days * DAY_MS
            retention = Retention(client, PARTITIONS, days, partial(int, later_ms))
            while await retention.sweep():
                pass
    finally:
        await close(client)


def _applied(port: int) -> float:
    return metric(port, 'estafette_bus_handled_total{group="reports",stream="events"}')


def _kept_bytes(redis: Any) -> int:
    """What all keys take but the event streams."""
    names = [name for name in redis.scan_iter(match="est:*", count=10_000) if not name.endswith(b":events")]
    return sum(redis.memory_usage(name, samples=0) for name in names)


def event_bytes(redis: Any) -> int:
    """What the event streams take; every entry is looked at."""
    streams = redis.scan_iter(match="est:*:events", count=10_000)
    return sum(redis.memory_usage(stream, samples=0) for stream in streams)


def job(recipients: int, number: int) -> dict[str, Any]:
    """The body of a job whose recipients have 200 bytes of variables each."""
    filler = "x" * (VARIABLES_BYTES - 40)
    return {
        "from": "Chouette <news@exemple.fr>",
        "subject": "Bonjour {{ prenom }}",
        "html": "<p>Bonjour {{ prenom }}</p>",
        "recipients": [
            {"email": f"recipient{n}@domain{number}.example", "variables": {"prenom": f"Ana {n:07d}", "texte": filler}}
            for n in range(recipients)
        ],
    }


if __name__ == "__main__":
    main()
