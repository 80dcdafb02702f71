"""What it costs that nobody gets an operation twice (`once`), and that people see each other (`to`, `cc`, `bcc`).

    python -m loadtests.bench_whom [--recipients 20000] [--turns 5]

Each beside the same job without it, in turns, in the same run:

1. Bulk jobs, from their start until one process has queued them: without `once`, with it, and with it again, when all
   of them have had the operation and are excluded. With it also by `key`.
2. Transactional jobs of 50, from the first request through `http`, queueing and a relay to smtp-sink: of `recipients`,
   who do not see each other, and of `to`, `cc` and `bcc`.

A ratio is that of two neighbouring turns, at the median; those of CPU, over all processes, hold where others use the
machine, too. The last line is JSON.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from redis import Redis

from loadtests import posting
from loadtests.bench_api import settings
from loadtests.bench_memory import job
from loadtests.bench_relay import DELIVERED, EVERY_S, PER_JOB, QUEUED, demo_key, post
from loadtests.bench_sites import cpu_s
from loadtests.processes import Processes, metric, until

#: Who see each other in one mail: the most that may, and how many of them are in `to`, in `cc`, and in `bcc`.
TOGETHER = 50
TO, CC = 20, 25
REJECTED = QUEUED.replace("accepted", "rejected")
#: Recipients a second at the worst, and what is waited besides.
SLOWEST_PER_S, PATIENCE_S = 100, 60.0
Pids = Mapping[str, int]


class Turn(NamedTuple):
    """Seconds, and seconds of CPU of each process."""

    took_s: float
    cpu_s: Mapping[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipients", type=int, default=20_000, help="of each turn")
    parser.add_argument("--turns", type=int, default=5, help="of each kind of job; the median counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # smtp-sink runs as another
        found = _once(Path(folder) / "once", options.recipients, options.turns)
        found |= _copies(Path(folder) / "copies", options.recipients, options.turns)
    print(json.dumps({"bench": "whom", "recipients": options.recipients, **found}))


# 1. Operations


def _once(folder: Path, recipients: int, turns: int) -> dict[str, float]:
    with Processes(folder) as processes:
        url, server = processes.redis_process()
        environ = settings(folder, url, processes.sink())
        processes.service("http", environ)
        key = demo_key(environ)
        queueing, port = processes.service("queueing", environ)
        pids = {"queueing": queueing.pid, "Redis": server.pid}
        redis: Any = Redis.from_url(url)
        processes.callback(redis.close)
        found: dict[str, list[Turn]] = defaultdict(list)
        for turn in range(turns + 1):  # the first one is not counted
            for kind, more, is_keyed in (
                ("plain", {}, False),
                ("once", {"once": f"operation {turn}"}, False),
                ("again", {"once": f"operation {turn}"}, False),
                ("once by key", {"once": f"operation {turn}"}, True),
            ):
                path = _opened(environ, key, recipients, more, is_keyed=is_keyed)
                found[kind].append(_queued(environ, key, path, pids, port, recipients))
        places = (turns + 1) * 2 * recipients
        each = sum(redis.memory_usage(name, samples=0) for name in redis.scan_iter("est:*:once:*", 10_000)) / places
    _tell(found, recipients, "queued")
    print(f"a place in an operation: {each:.0f} bytes of Redis", flush=True)
    return {
        **_ratios(found, "plain", {"once": "once", "once_again": "again", "once_by_key": "once by key"}),
        "once_bytes": round(each),
    }


def _opened(environ: Mapping[str, str], key: str, recipients: int, more: Mapping[str, str], *, is_keyed: bool) -> str:
    """The path of an open job that has all of its recipients."""
    content = {name: value for name, value in job(0, 0).items() if name != "recipients"}
    path = f"/v1/jobs/{post(environ, key, '/v1/jobs?state=open', json.dumps({**content, **more}).encode())['id']}"
    for number in range(-(-recipients // PER_JOB)):
        people = job(min(PER_JOB, recipients - number * PER_JOB), number)["recipients"]
        lines = (json.dumps({**one, "key": f"C-{one['email']}"} if is_keyed else one) for one in people)
        post(environ, key, f"{path}/recipients", "\n".join(lines).encode(), "application/x-ndjson")
    return path


def _queued(environ: Mapping[str, str], key: str, path: str, pids: Pids, port: int, recipients: int) -> Turn:
    """From its start until what becomes of everybody is decided."""

    def decided() -> float:
        return metric(port, QUEUED) + metric(port, REJECTED)

    before = decided()
    return _timed(
        pids, lambda: post(environ, key, f"{path}/start", b""), lambda: decided() - before >= recipients, recipients
    )


# 2. Copies


def _copies(folder: Path, recipients: int, turns: int) -> dict[str, float]:
    with Processes(folder) as processes:
        url, server = processes.redis_process()
        environ = settings(folder, url, processes.sink())
        http, _ = processes.service("http", environ)
        key = demo_key(environ)
        queueing, _ = processes.service("queueing", environ)
        relay, port = processes.service("relay", environ)
        pids = {"http": http.pid, "queueing": queueing.pid, "relay": relay.pid, "Redis": server.pid}
        found: dict[str, list[Turn]] = defaultdict(list)
        jobs = max(1, recipients // TOGETHER)
        for turn in range(turns + 1):  # the first one is not counted
            for kind, people in (("recipients", _apart), ("to, cc, bcc", _seen)):
                bodies = [_letter(people, turn * jobs + number) for number in range(jobs)]
                found[kind].append(_sent(environ, key, bodies, pids, port))
    _tell(found, jobs * TOGETHER, "sent")
    return _ratios(found, "recipients", {"copies": "to, cc, bcc"})


def _letter(people: Callable[[list[dict[str, str]]], dict[str, Any]], number: int) -> bytes:
    """A job of transactional, of which nothing differs from one recipient to the next."""
    example = posting.job("")
    (one,) = example.pop("recipients")
    addresses = [{"email": f"r{at}@letter{number}.example", "name": f"Ana Lefèvre {at}"} for at in range(TOGETHER)]
    return json.dumps({**example, "variables": one["variables"], **people(addresses)}).encode()


def _apart(people: list[dict[str, str]]) -> dict[str, Any]:
    return {"recipients": people}


def _seen(people: list[dict[str, str]]) -> dict[str, Any]:
    return {"to": people[:TO], "cc": people[TO : TO + CC], "bcc": people[TO + CC :]}


def _sent(environ: Mapping[str, str], key: str, bodies: list[bytes], pids: Pids, port: int) -> Turn:
    """From the first request until the host has all mails."""
    before, copies = metric(port, DELIVERED), len(bodies) * TOGETHER

    def asked() -> None:
        for body in bodies:
            post(environ, key, "/v1/jobs", body)

    return _timed(pids, asked, lambda: metric(port, DELIVERED) - before >= copies, copies, EVERY_S)


# Both


def _timed(
    pids: Pids, begin: Callable[[], object], is_done: Callable[[], bool], recipients: int, every_s: float = 0.05
) -> Turn:
    before, began = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    begin()
    ended = until(is_done, PATIENCE_S + recipients / SLOWEST_PER_S, "all of them", every_s)
    return Turn(ended - began, {name: cpu_s(pid) - before[name] for name, pid in pids.items()})


def _tell(found: Mapping[str, list[Turn]], recipients: int, word: str) -> None:
    for kind, turns in found.items():
        pace = recipients / median(turn.took_s for turn in turns[1:])
        each = {name: median(turn.cpu_s[name] for turn in turns[1:]) * 1e6 / recipients for name in turns[0].cpu_s}
        said = ", ".join(f"{name} {us:.1f}" for name, us in each.items())
        print(f"{kind:<12} {word} {pace:,.0f}/s; CPU a recipient in us: {said}: {sum(each.values()):.1f}", flush=True)


def _ratios(found: Mapping[str, list[Turn]], base: str, names: Mapping[str, str]) -> dict[str, float]:
    """Of each kind its pace, and its CPU, ÷ those of jobs without it in the same turn, at the median."""

    def median_of(of: Callable[[Turn, Turn], float], kind: str) -> float:
        return round(median(of(*turn) for turn in list(zip(found[kind], found[base], strict=True))[1:]), 2)

    paces = {f"{name}_ratio": median_of(_pace, kind) for name, kind in names.items()}
    return paces | {f"{name}_cpu_ratio": median_of(_cpu, kind) for name, kind in names.items()}


def _pace(one: Turn, base: Turn) -> float:
    return base.took_s / one.took_s


def _cpu(one: Turn, base: Turn) -> float:
    return sum(one.cpu_s.values()) / sum(base.cpu_s.values())


if __name__ == "__main__":
    main()
