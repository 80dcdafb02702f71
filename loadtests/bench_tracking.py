"""How many clicks a second one tracker records, beside nginx that only redirects; and what it does without Redis.

    python -m loadtests.bench_tracking [--seconds 5] [--turns 3] [--redis-away 30] [--no-candidates]
    python -m loadtests.bench_tracking --candidates | --pipeline

wrk, nginx, Redis and the tracker share the cores. In turns: nginx `return 302`, and one tracker process, whose clicks
are each on a link of its own, signed, and in Redis (`appendfsync always`) before they are answered. Then other ways to
serve; the tracker at half of that; with every answer looked for in the stream; with all that reads the stream beside
it, reports counting; with Redis stopped, and killed; and killed itself. A part that fails does not keep the others from
being run. The last line is JSON.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from loadtests import clicking, content, edges
from loadtests.bench_relay import demo_key, environ_of, post
from loadtests.clicking import Account, Clicks, Load, cpu_s
from loadtests.processes import START_S, Processes, listens, metric, python, until
from shared.redis import redis

CONNECTIONS = 50
#: At half load nobody waits for another: so many come, each with a pause.
CALM_CONNECTIONS = 100
JOBS, RECIPIENTS = 8, 8_000
#: More clicks than any tracker records in a second: a run shall not come to the end of its links.
MOST_PER_S = 40_000
COUNTED = "estafette_reports_counted_facts_total"
QUEUED = 'estafette_queueing_recipients_total{fact="accepted"}'
READERS = ("reports", "suppression", "breakers")
#: The goals.
MIN_RATIO, MIN_PIPELINE_RATIO, MAX_P99_MS, MAX_AWAY_P99_MS = 0.15, 0.08, 10.0, 100.0


class Check(msgspec.Struct):
    """Of clicks that were answered: how many the streams lack, and how many they have more than once. And which parts
    failed, and which goals were missed."""

    lost: int = 0
    doubled: int = 0
    failed: list[str] = []
    missed: list[str] = []

    def goal(self, what: str, is_met: bool) -> None:
        if not is_met:
            self.missed.append(what)


def main() -> None:
    options = _options()
    began_s = time.monotonic()
    print(f"machine: {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with Processes(Path(folder)) as processes:
            bench = Bench(processes, Path(folder))
            if options.candidates:
                candidates(bench, options.turns, options.seconds)
                return
            if options.pipeline:
                pipelines(bench, options.turns, options.seconds)
                return
            result = _measured(bench, options)
    check = bench.check
    print(f"took {time.monotonic() - began_s:.0f} s; parts that failed: {', '.join(check.failed) or 'none'}")
    print(f"goals that were missed: {', '.join(check.missed) or 'none'}")
    print(json.dumps(result))
    sys.exit(1 if check.lost or check.doubled or check.failed else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--candidates", action="store_true", help="other ways to serve, beside ours, and nothing else")
    parser.add_argument("--no-candidates", action="store_true", help="all but those")
    parser.add_argument("--pipeline", action="store_true", help="the whole pipeline, and nothing else")
    parser.add_argument(
        "--redis-away", type=int, default=30, metavar="S", help="for how long Redis is stopped, and killed; 0: not"
    )
    return parser.parse_args()


class Bench:
    """An instance with jobs, and what was clicked and recorded so far."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.processes = processes
        self.redis_url, self.redis = processes.redis_process()
        self.environ = environ_of(folder, self.redis_url, 1, dkim=False)
        self.port = int(self.environ["ESTAFETTE_HTTP_PORT"])
        self.clicks = Clicks(self.environ, _jobs(processes, self.environ), RECIPIENTS)
        self.account = Account(self.redis_url)
        self.check = Check()
        self._known = self._metrics_port = 0

    def tracker(self, processes: Processes) -> "subprocess.Popen[bytes]":
        """Once it listens."""
        process, self._metrics_port = processes.service("tracking", self.environ)
        until(lambda: listens(self.port), START_S, "tracker")
        return process

    def redis_again(self) -> None:
        """After it was killed, where it was, with what it kept."""
        self.redis.wait()
        _, self.redis = self.processes.redis_process(int(self.redis_url.rpartition(":")[2].partition("/")[0]))

    def replayed(self) -> None:
        """Returns once nothing is in the spool, where a slow Redis may have sent it: a click there is recorded, and not
        in the streams yet."""
        until(lambda: not metric(self._metrics_port, "estafette_tracking_spool_bytes"), 120, "replaying")

    def checked(self, answered: int, numbers: set[int] | None = None) -> int:
        """How many clicks are new in the streams. What was under way at the end is recorded, and not answered: so where
        only the number of answers is known as many may be missing unseen, and each answer is looked for apart."""
        found = self.account.brought_up_to_date()
        new = len(found) - self._known
        lost = max(0, answered - new) if numbers is None else len(numbers - found.keys())
        doubled = found.total() - len(found) - self.check.doubled
        self._known = len(found)
        self.check.lost += lost
        self.check.doubled += doubled
        print(f"    {answered:,} answered, {new:,} in the streams; lost {lost}, doubled {doubled}", flush=True)
        return new


def _jobs(processes: Processes, environ: Mapping[str, str]) -> list[str]:
    """Their ids; their mails are queued, and wait."""
    with Processes(processes.directory) as filling:
        filling.service("http", environ)
        key = demo_key(environ)
        _, port = filling.service("queueing", environ)
        bodies = [json.dumps(content.job(RECIPIENTS, number, 2000)).encode() for number in range(JOBS)]
        jobs = [str(post(environ, key, "/v1/jobs", body)["id"]) for body in bodies]
        until(lambda: metric(port, QUEUED) >= JOBS * RECIPIENTS, 300, "queueing")
    return jobs


def _measured(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    seconds, away_s = options.seconds, options.redis_away
    theirs, ours = in_turns(bench, options.turns, seconds)
    whole = 0.0

    def counted() -> None:
        nonlocal whole
        whole = pipeline(bench, 2 * seconds)

    parts: dict[str, Callable[[], object]] = {
        "half load": lambda: at_half_load(bench, ours, seconds),
        "each answer": lambda: each_answer(bench, seconds),
        "pipeline": counted,
    }
    if away_s:
        parts["Redis stopped"] = lambda: without_redis(bench, ours, away_s, "stopped")
        parts["Redis killed"] = lambda: without_redis(bench, ours, away_s, "killed")
    parts["kill -9"] = lambda: killed(bench)
    parts["kill -9 without Redis"] = lambda: killed(bench, is_redis_stopped=True)
    if not options.no_candidates:
        parts["candidates"] = lambda: candidates(bench, 1, min(seconds, 3))
    for name, part in parts.items():
        _run(bench.check, name, part)
    bench.check.goal(f"{MIN_RATIO} of nginx", ours / theirs >= MIN_RATIO)
    bench.check.goal(f"{MIN_PIPELINE_RATIO} of nginx for the whole pipeline", whole / theirs >= MIN_PIPELINE_RATIO)
    return {
        "bench": "tracking",
        "clicks_per_s": round(ours),
        "ratio_to_nginx": round(ours / theirs, 3),
        "pipeline_ratio_to_nginx": round(whole / theirs, 3),
        "lost": bench.check.lost,
        "doubled": bench.check.doubled,
    }


def _run(check: Check, name: str, part: Callable[[], object]) -> None:
    try:
        part()
    except (OSError, RuntimeError, *redis.FOREIGN) as fault:  # TimeoutError is an OSError
        check.failed.append(name)
        print(f"{name}: failed: {fault!r}", flush=True)


def candidates(bench: Bench, turns: int, seconds: int) -> None:
    """Recorded clicks a second of each way to serve, in turns; nginx before each."""
    found: dict[str, list[float]] = {}
    names = [name for name in edges.NAMES if edges.is_installed(name)]
    print(f"other ways to serve; not installed: {', '.join(sorted({*edges.NAMES} - {*names})) or 'none'}", flush=True)
    with Processes(bench.processes.directory) as processes:
        _, port = clicking.nginx(processes)
        for _ in range(turns):
            for name in ("ours", *names):
                theirs = clicking.plain(port, CONNECTIONS, seconds).per_s
                found.setdefault(name, []).append(_candidate(bench, name, seconds) / theirs)
                print(f"    {found[name][-1]:.3f} of nginx, which did {theirs:,.0f}/s", flush=True)
    print(json.dumps({"bench": "tracking candidates"} | {name: round(median(of), 3) for name, of in found.items()}))


def _candidate(bench: Bench, name: str, seconds: int) -> float:
    with Processes(bench.processes.directory) as processes:
        if name == "ours":
            served = bench.tracker(processes)
        else:
            served = processes.start([*python("loadtests.edges"), name], bench.environ, name)
            until(lambda: listens(bench.port), START_S, name)
        cpu = Cpu({"its process": served.pid, "Redis": bench.redis.pid})
        said, _ = bench.clicks.wrk(bench.port, CONNECTIONS, seconds, MOST_PER_S * seconds)
        used = cpu.told(said.requests)
    # By now it has ended, and what it may have spooled is there for the next: ours replays it.
    with Processes(bench.processes.directory) as processes:
        bench.tracker(processes)
        bench.replayed()
    print(f"{name:<12} {said.per_s:>9,.0f}/s  {_latency(said)}; CPU a click: {used}", flush=True)
    bench.checked(said.requests - said.refused)
    return said.per_s


def in_turns(bench: Bench, turns: int, seconds: int) -> tuple[float, float]:
    """Redirects a second of nginx, and recorded clicks a second of a tracker: the medians."""
    theirs, ours = [], []
    with Processes(bench.processes.directory) as processes:
        _, port = clicking.nginx(processes)
        tracker = bench.tracker(processes)
        for _ in range(turns):
            theirs.append(clicking.plain(port, CONNECTIONS, seconds).per_s)
            print(f"nginx return 302:   {theirs[-1]:>9,.0f}/s", flush=True)
            cpu = Cpu({"tracker": tracker.pid, "Redis": bench.redis.pid})
            said, _ = bench.clicks.wrk(bench.port, CONNECTIONS, seconds, MOST_PER_S * seconds)
            used = cpu.told(said.requests)
            print(f"tracker, recorded:  {said.per_s:>9,.0f}/s  {_latency(said)}; CPU a click: {used}", flush=True)
            bench.replayed()
            new = bench.checked(said.requests - said.refused)
            ours.append(min(new, said.requests - said.refused) / said.duration_s)
    return median(theirs), median(ours)


def at_half_load(bench: Bench, per_s: float, seconds: int) -> None:
    """Each of the connections waits between two clicks."""
    pause_ms = max(1, round(CALM_CONNECTIONS / (per_s / 2) * 1000))
    with Processes(bench.processes.directory) as processes:
        bench.tracker(processes)
        said, _ = bench.clicks.wrk(bench.port, CALM_CONNECTIONS, seconds, MOST_PER_S * seconds, pause_ms)
        bench.replayed()
    print(f"at half load:       {said.per_s:>9,.0f}/s  {_latency(said)} (the goal: p99 < {MAX_P99_MS} ms)", flush=True)
    bench.check.goal(f"p99 < {MAX_P99_MS} ms at half load", said.p99_ms < MAX_P99_MS)
    bench.checked(said.requests - said.refused)


def each_answer(bench: Bench, seconds: int) -> None:
    """Every answer is noted, which slows wrk, and looked for."""
    with Processes(bench.processes.directory) as processes:
        bench.tracker(processes)
        said, numbers = bench.clicks.wrk(bench.port, CONNECTIONS, seconds, MOST_PER_S * seconds, told=True)
        bench.replayed()
    print(f"each answer noted:  {said.per_s:>9,.0f}/s  {_latency(said)}", flush=True)
    bench.checked(len(numbers), numbers)


def pipeline(bench: Bench, seconds: int) -> float:
    """Clicks a second that are counted in reports, all readers of the stream beside: from the first click until the
    last one is counted."""
    with Processes(bench.processes.directory) as processes:
        readers = {name: processes.service(name, bench.environ) for name in READERS}
        port = readers["reports"][1]
        # What was recorded before is read first, or it would be counted here.
        until(lambda: not bench.account.is_behind(READERS), 300, "reading what was there", 0.5)
        before = metric(port, COUNTED)
        tracker = bench.tracker(processes)
        cpu = Cpu(
            {"tracker": tracker.pid, "Redis": bench.redis.pid}
            | {name: process.pid for name, (process, _) in readers.items()}
        )
        began_s = time.monotonic()
        said, _ = bench.clicks.wrk(bench.port, CONNECTIONS, seconds, MOST_PER_S * seconds)
        answered = said.requests - said.refused
        until(lambda: metric(port, COUNTED) - before >= answered, 300, "counting", 0.05)
        took_s = time.monotonic() - began_s
        used = cpu.told(answered)
        bench.replayed()
    print(f"whole pipeline:     {answered / took_s:>9,.0f}/s  {_latency(said)}; CPU a click: {used}", flush=True)
    print(
        f"    {said.per_s:,.0f}/s were answered, and the last was counted after {took_s - said.duration_s:.1f} s more"
    )
    bench.checked(answered)
    return answered / took_s


def pipelines(bench: Bench, turns: int, seconds: int) -> None:
    """The whole pipeline in turns; nginx before each."""
    ratios = []
    with Processes(bench.processes.directory) as processes:
        _, port = clicking.nginx(processes)
        for _ in range(turns):
            theirs = clicking.plain(port, CONNECTIONS, seconds).per_s
            ratios.append(pipeline(bench, 2 * seconds) / theirs)
            print(f"    {ratios[-1]:.3f} of nginx, which did {theirs:,.0f}/s", flush=True)
    print(json.dumps({"bench": "tracking pipeline", "pipeline_ratio_to_nginx": round(median(ratios), 3)}))


def without_redis(bench: Bench, per_s: float, away_s: int, fault: str) -> None:
    """Redis is `stopped`, as by a machine that hangs, or `killed`, for so long in a run at a quarter of the load."""
    pause_ms = max(1, round(CALM_CONNECTIONS / (per_s / 4) * 1000))
    process = bench.redis
    stop, go = partial(process.send_signal, signal.SIGSTOP), partial(process.send_signal, signal.SIGCONT)
    faults: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "stopped": (stop, go),
        "killed": (process.kill, bench.redis_again),
    }
    away, back = faults[fault]
    with Processes(bench.processes.directory) as processes:
        bench.tracker(processes)
        said, numbers = bench.clicks.wrk(
            bench.port,
            CALM_CONNECTIONS,
            away_s,  # it ends while Redis is away: this is how the clicks fared meanwhile
            round(per_s * away_s),
            pause_ms,
            told=True,
            begins=[threading.Timer(1.0, away), threading.Timer(1.0 + away_s, back)],
        )
        began_s = time.monotonic()
        bench.replayed()
        took_s = time.monotonic() - began_s
    failed = said.refused + said.broken
    print(f"Redis {fault} {away_s} s: {said.per_s:>7,.0f}/s  {_latency(said)}; {failed} failed redirects", flush=True)
    print(f"    what was spooled was in Redis {took_s:.1f} s after it was back (the goal: p99 < {MAX_AWAY_P99_MS} ms)")
    bench.check.goal(f"p99 < {MAX_AWAY_P99_MS} ms while Redis is {fault}", said.p99_ms < MAX_AWAY_P99_MS)
    bench.check.goal(f"no failed redirect while Redis is {fault}", failed == 0)
    bench.checked(len(numbers), numbers)


def killed(bench: Bench, *, is_redis_stopped: bool = False) -> None:
    """kill -9 of the tracker under load, with and without a Redis that answers: what was answered is recorded, at once
    or once the next tracker has replayed what this one left."""
    with Processes(bench.processes.directory) as processes:
        tracker = bench.tracker(processes)
        begins = [threading.Timer(2.0, tracker.kill)]
        if is_redis_stopped:
            begins.append(threading.Timer(1.0, bench.redis.send_signal, [signal.SIGSTOP]))
        try:
            said, numbers = bench.clicks.wrk(bench.port, CONNECTIONS, 3, 3 * MOST_PER_S, told=True, begins=begins)
        finally:
            bench.redis.send_signal(signal.SIGCONT)
        tracker.wait()
        bench.tracker(processes)
        bench.replayed()
    print(f"kill -9:            {said.requests:>9,} answered{', Redis stopped' * is_redis_stopped}", flush=True)
    bench.checked(len(numbers), numbers)


class Cpu:
    """What processes use from now on."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._before = {name: cpu_s(pid) for name, pid in pids.items()}

    def told(self, clicks: int) -> str:
        used = {name: (cpu_s(pid) - self._before[name]) / max(1, clicks) * 1e6 for name, pid in self._pids.items()}
        return ", ".join(f"{name} {us:.0f} µs" for name, us in used.items())


def _latency(said: Load) -> str:
    return f"median {said.median_ms:.1f} ms, p99 {said.p99_ms:.1f} ms, most {said.most_ms:.0f} ms"


if __name__ == "__main__":
    main()
