"""How fast jobs are handed over, how soon a single one goes out, and Postfix beside it with the same promise.

    python -m loadtests.bench_api [--recipients 1000000]

1. A job of 10,000 recipients and one of a million, each in one streamed request: recipients a second in, and a second
   queued by one process; the memory of each process, and what a recipient takes in Redis.
2. Jobs of one recipient: as fast as one `http` process answers them with nobody else at work, then through the whole
   pipeline to smtp-sink, then at half of that pace. Each is on the disk before its 202 (`appendfsync always`).
3. Postfix' `smtp-source` into Postfix' queue, where each is on the disk before its 250.
4. From a request to the host's MAIL FROM: while nothing else is sent, and while as many bulk mails as in 1 wait for the
   same site, which takes so many a second.

CPU a job is told by process: a better guide than any pace on a machine that others use. The last line is JSON.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median
from typing import Any

from redis import Redis

from loadtests.bench_neighbours import p99
from loadtests.bench_relay import DELIVERED, QUEUED, campaign, demo_key, environ_of
from loadtests.bench_sites import cpu_s
from loadtests.content import recipient
from loadtests.postfix import Postfix
from loadtests.posting import job
from loadtests.processes import START_S, Processes, free_port, metric, python, until
from loadtests.uploading import Uploaded, most_mb, uploaded

#: The smaller job: the pace of the larger one is a part of its.
FEW = 10_000
#: How often the smaller job is sent; the median counts.
TURNS = 3
#: Of as many callers as wait for an answer at a time.
CONNECTIONS = 32
#: Jobs before anything is measured.
WARM = 300
#: Of a mail as `posting.job` makes it, on the wire: what Postfix is given.
MAIL_BYTES = 2_000
#: Mails that are timed one by one, so many a second, and what the site takes meanwhile of everything.
TIMED, TIMED_PER_S, SITE_PER_S = 200, 20, 200
#: Every process that is told of, in the order in which a job meets them.
Pids = Mapping[str, int]


def main() -> None:
    options = _options()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # Postfix and smtp-sink run as others
        found |= _uploads(Path(folder) / "upload", options.recipients)
        found |= _singles(Path(folder) / "single", options.jobs)
        if not options.no_postfix:
            found |= _postfix(Path(folder), options.postfix_messages, found["jobs_per_s"])
        found |= _soon(Path(folder) / "idle", 0, "idle")
        found |= _soon(Path(folder) / "beside", options.recipients, "beside_bulk")
    print(json.dumps({"bench": "api", "recipients": options.recipients, **found}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipients", type=int, default=1_000_000, help="of the large job, and who wait in the end")
    parser.add_argument("--jobs", type=int, default=10_000, help="of one recipient each")
    parser.add_argument("--postfix-messages", type=int, default=6_000)
    parser.add_argument("--no-postfix", action="store_true")
    return parser.parse_args()


def settings(folder: Path, redis_url: str, port: int) -> dict[str, str]:
    """Of all processes; one tenant asks for more than tenants may."""
    return environ_of(folder, redis_url, port, dkim=False) | {
        "ESTAFETTE_QUOTAS_REQUESTS_PER_SECOND": "100000",
        "ESTAFETTE_QUOTAS_REQUESTS_UNDER_WAY": "1000",
        "ESTAFETTE_LIFECYCLE_DRAIN_SECONDS": "1",
    }


# 1. Recipients


def _uploads(folder: Path, recipients: int) -> dict[str, Any]:
    with Processes(folder) as processes:
        url, server = processes.redis_process()
        environ = settings(folder, url, processes.sink())
        http, _ = processes.service("http", environ)
        key = demo_key(environ)
        queueing, port = processes.service("queueing", environ)
        redis: Any = Redis.from_url(url)
        processes.callback(redis.close)
        few = [uploaded(environ, key, min(FEW, recipients), port, redis) for _ in range(TURNS)]
        many = uploaded(environ, key, recipients, port, redis)
        memory = {"http": most_mb(http), "queueing": most_mb(queueing)}
        for one in (*few, many):
            _tell(one)
        print(
            f"the most memory: {', '.join(f'{name} {mb:.0f} MB' for name, mb in memory.items())}; "
            f"Redis itself {most_mb(server):,.0f} MB",
            flush=True,
        )
    return {
        "upload_per_s": round(many.upload_per_s),
        "queued_per_s": round(many.queued_per_s),
        "upload_flat": round(many.upload_per_s / median(one.upload_per_s for one in few), 3),
        "queued_flat": round(many.queued_per_s / median(one.queued_per_s for one in few), 3),
        "most_mb": round(max(memory.values())),
        "redis_bytes": round(many.redis_bytes),
    }


def _tell(one: Uploaded) -> None:
    print(
        f"{one.recipients:>9,} recipients: in {one.upload_per_s:,.0f}/s, queued {one.queued_per_s:,.0f}/s, "
        f"{one.redis_bytes:,.0f} bytes of Redis each",
        flush=True,
    )


# 2. Single jobs


def _singles(folder: Path, jobs: int) -> dict[str, Any]:
    with Processes(folder) as processes:
        url, server = processes.redis_process()
        environ = settings(folder, url, processes.sink())
        http, _ = processes.service("http", environ)
        key = demo_key(environ)
        pids = {"http": http.pid, "Redis": server.pid}
        posted(processes, environ, key, WARM)
        alone, _ = _paced("http alone", pids, jobs, lambda: posted(processes, environ, key, jobs))
        queueing, queued_port = processes.service("queueing", environ)
        until(lambda: metric(queued_port, QUEUED) >= WARM + jobs, 600, "queueing", 0.5)
        relay, port = processes.service("relay", environ)
        sent = WARM + jobs
        until(lambda: metric(port, DELIVERED) >= sent, 600, "the relay", 0.5)
        pids |= {"queueing": queueing.pid, "relay": relay.pid}

        def through() -> dict[str, Any]:
            found = posted(processes, environ, key, jobs)
            until(lambda: metric(port, DELIVERED) >= sent + jobs, 600, "the relay", 0.5)
            return found

        whole, _ = _paced("the whole pipeline", pids, jobs, through)
        half = int(max(10, jobs // 2))
        _, times = _paced(
            f"at {whole / 2:,.0f}/s", pids, half, lambda: posted(processes, environ, key, half, pace=whole / 2)
        )
    return {
        "jobs_per_s": round(alone),
        "pipeline_jobs_per_s": round(whole),
        "p50_ms": round(median(times) * 1000, 1),
        "p99_ms": round(p99(times) * 1000, 1),
    }


def _paced(words: str, pids: Pids, jobs: int, run: Callable[[], dict[str, Any]]) -> tuple[float, Sequence[float]]:
    """Jobs a second from the first request to when it was over, and how long each request took."""
    before, began = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    found = run()
    pace = jobs / (time.monotonic() - began)
    each = {name: (cpu_s(pid) - before[name]) * 1000 / jobs for name, pid in pids.items()}
    took = found["took"]
    print(
        f"{words}: {pace:,.0f} jobs/s, requests p50 {median(took) * 1000:.1f} ms, p99 {p99(took) * 1000:.1f} ms; "
        f"CPU a job {', '.join(f'{name} {ms:.2f}' for name, ms in each.items())}: {sum(each.values()):.2f} ms",
        flush=True,
    )
    return pace, took


def posted(
    processes: Processes, environ: Mapping[str, str], key: str, jobs: int, *, pace: float = 0.0
) -> dict[str, Any]:
    """So many jobs of one recipient by a process of its own; RuntimeError if one was not answered with 202."""
    into = processes.directory / "posted.json"
    words = [environ["ESTAFETTE_HTTP_PORT"], key, str(jobs), str(CONNECTIONS), str(pace), str(into)]
    subprocess.run([*python("loadtests.posting"), *words], check=True)
    found = dict(json.loads(into.read_text("ascii")))
    if found["wrong"]:
        raise RuntimeError(f"{len(found['wrong'])} of {jobs} jobs were not taken: {found['wrong'][:3]}")
    return found


# 3. Postfix


def _postfix(folder: Path, messages: int, jobs_per_s: float) -> dict[str, Any]:
    with Processes(folder / "postfix-sink") as processes:
        pace = Postfix(folder / "postfix", processes.sink()).accepted(messages, MAIL_BYTES)
    print(f"smtp-source into Postfix' queue: {pace:,.0f} messages/s", flush=True)
    return {"postfix_per_s": round(pace), "ratio_to_postfix": round(jobs_per_s / pace, 2)}


# 4. How soon


def _soon(folder: Path, waiting: int, name: str) -> dict[str, Any]:
    """Milliseconds from the request to MAIL FROM, at the median, beside so many bulk mails that wait."""
    record = folder / "record.json"
    with Processes(folder) as processes, ExitStack() as hosts:
        port = free_port()
        host = hosts.enter_context(Processes(folder))
        host.start([*python("loadtests.many_hosts"), str(port), str(record)], name="host")
        until(record.with_suffix(".ready").exists, START_S, "the host")
        shaping = folder / "shaping.toml"
        shaping.write_text(f'[default]\nconnections = 20\nrate = "{SITE_PER_S}/s"\n', "utf-8")
        environ = settings(folder, processes.redis(), port) | {"ESTAFETTE_RELAY_SHAPING_FILE": str(shaping)}
        processes.service("http", environ)
        key = demo_key(environ)
        _, queueing = processes.service("queueing", environ)
        if waiting:
            campaign(environ, key, waiting, _bulk)
            until(lambda: metric(queueing, QUEUED) >= waiting, 60 + waiting / 500, "queueing", 0.5)
        _, relay = processes.service("relay", environ)
        began = 0 if not waiting else SITE_PER_S  # what is waiting is being sent
        until(lambda: metric(relay, DELIVERED) >= began, 60, "the relay", 0.2)
        found = posted(processes, environ, key, TIMED, pace=TIMED_PER_S)
        sent = {f"reset{number}": at for number, at in enumerate(found["sent"])}
        time.sleep(2)  # the last ones are on their way
        left = waiting + TIMED - metric(relay, DELIVERED)
        hosts.close()
    begun = json.loads(record.read_text("ascii"))["begun"]
    took = [begun[name] - at for name, at in sent.items() if name in begun]
    missing = len(sent) - len(took)
    print(
        f"from the request to MAIL FROM, {name}: median {median(took) * 1000:.1f} ms, mean {mean(took) * 1000:.1f}, "
        f"p99 {p99(took) * 1000:.1f}; {left:,.0f} mails were still waiting"
        + (f"; {missing} NOT SENT" if missing else ""),
        flush=True,
    )
    return {f"{name}_ms": round(median(took) * 1000, 1)}


def _bulk(count: int, number: int) -> dict[str, Any]:
    """The body of a bulk job for as many recipients."""
    people = [recipient(n, f"domain{number}.example") for n in range(count)]
    return {**job("nobody@domain.example"), "stream": "bulk", "recipients": people}


if __name__ == "__main__":
    main()
