"""Whether hostile templates hurt anybody: thousands through the API of a running instance, and others meanwhile.

    python -m loadtests.hostile_templates [--templates 10000] [--rounds 10]

Jobs with templates from `tests.hostile_templates` are posted for one tenant by a few clients, while another tenant's
client posts honest jobs, with and without logic, and is timed: in turns beside as many clients that post honest jobs,
and beside the hostile ones. Told are answers by status, workers that were replaced in `http` and in the relay, the
resident memory of both and of their workers, and the other tenant's p99. The last line is JSON.
"""

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from urllib.error import HTTPError

from loadtests.bench_relay import demo_key, environ_of, post
from loadtests.processes import Processes, metric
from services.queueing.trial import MAX_TRIED
from tests.hostile_templates import FOR_ONE, generated

CLIENTS = 2
PAUSE_S = 0.01
GOAL = 1.25
HONEST = ("<p>Bonjour {{ prenom }}</p>", "<p>Bonjour{% if prenom %} {{ prenom }}{% endif %}</p>")


class _Instance:
    def __init__(self, environ: dict[str, str], tenant: str, domain: str, *, whole: bool = True) -> None:
        self._environ = environ
        self._key = demo_key(environ, tenant, domain)
        self._from = f"news@{domain}"
        self._whole = whole
        self.statuses: Counter[int] = Counter()
        #: Seconds that answers took, while all is honest and beside what is not.
        self.calm: list[float] = []
        self.beside: list[float] = []

    def post(self, html: str) -> float:
        """How long the answer took, in seconds."""
        # What is tried with the first ones is tried with others than the last one.
        emails = [*(f"u{number}@exemple.com" for number in range(MAX_TRIED)), f"{FOR_ONE}@exemple.com"]
        recipients = [{"email": email} for email in (emails if self._whole else emails[-1:])]
        job = {"from": self._from, "subject": "x", "html": html, "recipients": recipients}
        began = time.monotonic()
        try:
            post(self._environ, self._key, "/v1/jobs", json.dumps(job).encode())
            self.statuses[202] += 1
        except HTTPError as error:
            self.statuses[error.code] += 1
        except OSError:
            self.statuses[0] += 1
        return time.monotonic() - began

    def honest(self, took: list[float], until: threading.Event) -> None:
        while not until.is_set():
            took.append(self.post(HONEST[len(took) % len(HONEST)]))
            time.sleep(PAUSE_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=10, help="turns of as many honest and hostile ones")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estafette-hostile-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with Processes(Path(folder)) as processes:
            _measure(processes, options)


def _measure(processes: Processes, options: argparse.Namespace) -> None:
    environ = environ_of(processes.directory, processes.redis(), processes.sink(), dkim=False)
    http, http_port = processes.service("http", environ)
    processes.service("queueing", environ)
    relay, relay_port = processes.service("relay", environ)
    hostile = _Instance(environ, "hostile", "hostile.test")
    honest = _Instance(environ, "honest", "honest.test")
    others = _Instance(environ, "others", "others.test", whole=False)
    sources = list(generated(Random(options.seed), options.templates))
    most_kb = [0, 0]
    _beside(honest, _honest(100), others, [])  # warm
    others.statuses.clear()
    rss_before = [_rss_kb(http.pid), _rss_kb(relay.pid)]
    for number in range(options.rounds):
        slice_ = sources[number :: options.rounds]
        _beside(honest, _honest(len(slice_)), others, others.calm)
        _beside(hostile, slice_, others, others.beside)
        workers = [_workers_rss_kb(http.pid), _workers_rss_kb(relay.pid)]
        most_kb = [max(pair) for pair in zip(most_kb, workers, strict=True)]
        print(f"{number}: p99 {_p99(others.calm):.3f} and {_p99(others.beside):.3f} s so far", flush=True)
    result = {
        "bench": "hostile_templates",
        "templates": sum(hostile.statuses.values()),
        "statuses": {str(status): count for status, count in sorted(hostile.statuses.items())},
        "others_statuses": {str(status): count for status, count in sorted(others.statuses.items())},
        "services_died": [name for name, one in (("http", http), ("relay", relay)) if one.poll() is not None],
        "restarts": {name: _restarts(port) for name, port in (("http", http_port), ("relay", relay_port))},
        "rss_kb_before": rss_before,
        "rss_kb_after": [_rss_kb(http.pid), _rss_kb(relay.pid)],
        "workers_rss_kb_at_most": most_kb,
        "others_requests": [len(others.calm), len(others.beside)],
        "others_p99_ms": [round(_p99(others.calm) * 1000, 1), round(_p99(others.beside) * 1000, 1)],
        "others_p99_ratio": round(_p99(others.beside) / _p99(others.calm), 3),
        "goal": GOAL,
    }
    for name, value in result.items():
        print(f"{name:<18} {value}")
    print(json.dumps(result))


def _honest(count: int) -> list[str]:
    return [HONEST[number % len(HONEST)] for number in range(count)]


def _beside(posting: _Instance, sources: Sequence[str], others: _Instance, took: list[float]) -> None:
    """Others' jobs, and how long they took, while these are posted."""
    done = threading.Event()
    watching = threading.Thread(target=others.honest, args=(took, done))
    clients = [
        threading.Thread(target=lambda mine: [posting.post(one) for one in mine], args=(sources[first::CLIENTS],))
        for first in range(CLIENTS)
    ]
    for thread in (watching, *clients):
        thread.start()
    for thread in clients:
        thread.join()
    done.set()
    watching.join()


def _restarts(port: int) -> dict[str, int]:
    program = "http" if metric(port, 'estafette_sandbox_processes{program="http"}') else "relay"
    causes = ("processor_time", "rendering_time", "wall_time", "memory", "crash", "error", "used_up", "ended")
    start = 'estafette_sandbox_restarts_total{cause="%s",program="%s"}'
    return {cause: int(count) for cause in causes if (count := metric(port, start % (cause, program)))}


def _rss_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _workers_rss_kb(pid: int) -> int:
    """Of all processes below this one."""
    below = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text("ascii").split()
    ]
    return sum(_rss_kb(child) + _workers_rss_kb(child) for child in below if Path(f"/proc/{child}").exists())


def _p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)] if took else 0.0


if __name__ == "__main__":
    main()
