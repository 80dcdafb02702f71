"""How many bytes of Redis a recipient takes: queued, and once his job is done.

    python -m loadtests.bench_memory [--recipients 50000]

Jobs of recipients with 200 bytes of variables go in through the API. Measured is what Redis itself says it uses, less
what it used before; the event streams, which keep what happened for `events.retention_days`, are told apart. The last
line is JSON. The promise is 600 bytes queued and 100 bytes done, the events besides.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from redis import Redis

from loadtests.bench_relay import demo_key, environ_of, submit
from loadtests.processes import Processes, metric, until
from shared.redis import keys

#: Variables of a recipient, as msgpack.
VARIABLES_BYTES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipients", type=int, default=50_000)
    recipients = parser.parse_args().recipients
    with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with Processes(Path(folder)) as processes:
            queued, done, kept = measure(processes, Path(folder), recipients)
    print(f"queued:                 {queued:,.0f} bytes a recipient")
    print(f"done:                   {done:,.0f} bytes a recipient, besides the events")
    print(f"events (7 days):        {kept:,.0f} bytes a recipient")
    result = {"bench": "memory", "queued_bytes": round(queued), "done_bytes": round(done), "event_bytes": round(kept)}
    print(json.dumps(result))


def measure(processes: Processes, folder: Path, recipients: int) -> tuple[float, float, float]:
    url = processes.redis()
    environ = environ_of(folder, url, processes.sink(), dkim=False)
    redis: Any = Redis.from_url(url)
    processes.callback(redis.close)
    processes.service("http", environ)
    key = demo_key(environ)
    _, queueing = processes.service("queueing", environ)
    before = redis.info("memory")["used_memory"]
    submit(environ, key, recipients, job)
    until(lambda: metric(queueing, 'estafette_queueing_recipients_total{fact="accepted"}') >= recipients, 300, "queue")
    events_queued = _event_bytes(redis)
    queued = redis.info("memory")["used_memory"] - before - events_queued
    processes.service("suppression", environ)
    _, reports = processes.service("reports", environ)
    _, relay = processes.service("relay", environ)
    until(lambda: metric(relay, 'estafette_relay_attempts_total{fact="Delivered"}') >= recipients, 900, "relay", 0.5)
    until(lambda: _applied(reports) >= 2 * recipients, 300, "reports", 0.5)
    until(lambda: redis.zcard(keys.sites(0, "email")) == 0, 30, "the end")
    kept = _event_bytes(redis)
    done = redis.info("memory")["used_memory"] - before - kept
    return queued / recipients, done / recipients, kept / recipients


def _applied(port: int) -> float:
    return metric(port, 'estafette_bus_handled_total{group="reports",stream="events"}')


def _event_bytes(redis: Any) -> int:
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
