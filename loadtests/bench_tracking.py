"""How many clicks a second one tracker records, beside nginx that only redirects; and what it does without Redis.

    python -m loadtests.bench_tracking [--seconds 5] [--turns 3] [--away-s 30]

wrk, nginx, Redis and the tracker share the cores. In turns: nginx `return 302`, and one tracker process, whose clicks
are each on a link of its own, signed, and in Redis (`appendfsync always`) before they are answered. Then the tracker at
half of that; with every answer looked for in the stream; with all that reads the stream beside it, reports counting;
with Redis stopped; and killed. The last line is JSON.
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from loadtests import clicking, content, edges
from loadtests.bench_relay import demo_key, environ_of, post
from loadtests.clicking import Clicks, Load, cpu_s
from loadtests.processes import START_S, Processes, listens, metric, python, until

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
    """Of clicks that were answered: how many the streams lack, and how many they have more than once."""

    lost: int = 0
    doubled: int = 0


def main() -> None:
    options = _options()
    print(f"machine: {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        if options.candidates:
            candidates(Path(folder), options.turns, options.seconds)
            return
        result = _measured(Path(folder), options)
    print(json.dumps(result))
    sys.exit(0 if result["lost"] == result["doubled"] == 0 else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--candidates", action="store_true", help="other ways to serve, beside ours, and nothing else")
    parser.add_argument("--away-s", type=int, default=30, help="how long Redis is stopped; 0: not at all")
    return parser.parse_args()


class Bench:
    """An instance with jobs, and what was clicked and recorded so far."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.processes = processes
        self.redis_url, self.redis = processes.redis_process()
        self.environ = environ_of(folder, self.redis_url, 1, dkim=False)
        self.port = int(self.environ["ESTAFETTE_HTTP_PORT"])
        self.clicks = Clicks(self.environ, _jobs(processes, self.environ), RECIPIENTS)
        self.check = Check()
        self._known = self._metrics_port = 0

    def tracker(self, processes: Processes) -> "subprocess.Popen[bytes]":
        """Once it listens."""
        process, self._metrics_port = processes.service("tracking", self.environ)
        until(lambda: listens(self.port), START_S, "tracker")
        return process

    def replayed(self) -> None:
        """Returns once nothing is in the spool, where a slow Redis may have sent it."""
        until(lambda: not metric(self._metrics_port, "estafette_tracking_spool_bytes"), 60, "replaying")

    def checked(self, answered: int, numbers: set[int] | None = None) -> int:
        """How many clicks are new in the streams. What was under way at the end is recorded, and not answered."""
        found = clicking.recorded(self.redis_url)
        new = len(found) - self._known
        lost = max(0, answered - new) if numbers is None else len(numbers - found.keys())
        doubled = sum(found.values()) - len(found) - self.check.doubled
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


def _measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    with Processes(folder) as processes:
        bench = Bench(processes, folder)
        theirs, ours = in_turns(bench, options.turns, options.seconds)
        at_half_load(bench, ours, options.seconds)
        each_answer(bench, options.seconds)
        whole = pipeline(bench, 2 * options.seconds)
        if options.away_s:
            without_redis(bench, ours, options.away_s)
        killed(bench)
    return {
        "bench": "tracking",
        "clicks_per_s": round(ours),
        "ratio_to_nginx": round(ours / theirs, 3),
        "pipeline_ratio_to_nginx": round(whole / theirs, 3),
        "lost": bench.check.lost,
        "doubled": bench.check.doubled,
    }


def candidates(folder: Path, turns: int, seconds: int) -> None:
    """Recorded clicks a second of each way to serve, in turns; nginx before each turn."""
    found: dict[str, list[float]] = {}
    with Processes(folder) as processes:
        bench = Bench(processes, folder)
        _, port = clicking.nginx(processes)
        for _ in range(turns):
            theirs = clicking.plain(port, CONNECTIONS, seconds).per_s
            print(f"nginx return 302: {theirs:>9,.0f}/s", flush=True)
            for name in ("ours", *edges.NAMES):
                if name == "granian" and importlib.util.find_spec("granian") is None:
                    continue
                with Processes(processes.directory) as serving:
                    if name == "ours":
                        served = bench.tracker(serving)
                    else:
                        served = serving.start([*python("loadtests.edges"), name], bench.environ, name)
                        until(lambda: listens(bench.port), START_S, name)
                    cpu = Cpu({"its process": served.pid, "Redis": bench.redis.pid})
                    said, _ = bench.clicks.wrk(bench.port, CONNECTIONS, seconds, MOST_PER_S * seconds)
                    used = cpu.told(said.requests)
                found.setdefault(name, []).append(said.per_s / theirs)
                print(f"{name:<12} {said.per_s:>9,.0f}/s  {_latency(said)}; CPU a click: {used}", flush=True)
                bench.checked(said.requests - said.refused)
    print(json.dumps({"bench": "tracking candidates"} | {name: round(median(of), 3) for name, of in found.items()}))


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


def at_half_load(bench: Bench, per_s: float, seconds: int) -> Load:
    """Each of the connections waits between two clicks."""
    pause_ms = max(1, round(CALM_CONNECTIONS / (per_s / 2) * 1000))
    with Processes(bench.processes.directory) as processes:
        bench.tracker(processes)
        said, _ = bench.clicks.wrk(bench.port, CALM_CONNECTIONS, seconds, MOST_PER_S * seconds, pause_ms)
        bench.replayed()
    print(f"at half load:       {said.per_s:>9,.0f}/s  {_latency(said)} (the goal: p99 < {MAX_P99_MS} ms)", flush=True)
    bench.checked(said.requests - said.refused)
    return said


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
        before = _settled(port)
        tracker = bench.tracker(processes)
        cpu = Cpu(
            {"tracker": tracker.pid, "Redis": bench.redis.pid}
            | {name: process.pid for name, (process, _) in readers.items()}
        )
        began_s = time.monotonic()
        said, _ = bench.clicks.wrk(bench.port, CONNECTIONS, seconds, MOST_PER_S * seconds)
        answered = said.requests - said.refused
        until(lambda: metric(port, COUNTED) - before >= answered, 120, "counting", 0.05)
        took_s = time.monotonic() - began_s
        used = cpu.told(answered)
        print(f"whole pipeline:     {answered / took_s:>9,.0f}/s  {_latency(said)}; CPU a click: {used}", flush=True)
        bench.checked(answered)
    return answered / took_s


def _settled(port: int) -> float:
    """What reports have counted, once they have nothing left to count."""
    last = -1.0
    while (now := metric(port, COUNTED)) != last or not now:
        last = now
        time.sleep(1.5)
    return now


def without_redis(bench: Bench, per_s: float, away_s: int) -> Load:
    """Redis is stopped, as by a machine that hangs, for so long in the middle of a run at a quarter of the load."""
    pause_ms = max(1, round(CALM_CONNECTIONS / (per_s / 4) * 1000))
    with Processes(bench.processes.directory) as processes:
        bench.tracker(processes)
        stopping = threading.Timer(1.0, bench.redis.send_signal, [signal.SIGSTOP])
        going = threading.Timer(1.0 + away_s, bench.redis.send_signal, [signal.SIGCONT])
        # It ends when Redis is back: this is how the clicks fared meanwhile.
        said, numbers = bench.clicks.wrk(
            bench.port,
            CALM_CONNECTIONS,
            away_s,
            round(per_s * away_s),
            pause_ms,
            told=True,
            begins=[stopping, going],
        )
        bench.replayed()
    failed = said.refused + said.broken
    print(f"Redis stopped {away_s} s: {said.per_s:>9,.0f}/s  {_latency(said)}; {failed} failed", flush=True)
    bench.checked(len(numbers), numbers)
    bench.check.lost += failed
    return said


def killed(bench: Bench) -> None:
    """kill -9 of the tracker under load: what was answered is recorded."""
    with Processes(bench.processes.directory) as processes:
        tracker = bench.tracker(processes)
        kill = threading.Timer(2.0, tracker.kill)
        said, numbers = bench.clicks.wrk(bench.port, CONNECTIONS, 3, 3 * MOST_PER_S, told=True, begins=[kill])
        tracker.wait()
        bench.tracker(processes)  # it takes over what was spooled
        bench.replayed()
    print(f"kill -9:            {said.requests:>9,} answered", flush=True)
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
