"""Whether hostile templates hurt anybody: thousands through the API of a running instance, and others meanwhile.

    python -m loadtests.hostile_templates [--templates 10000] [--seconds 600]

Jobs with templates from `tests.hostile_templates` are posted for one tenant by a few clients, while another tenant's
client posts honest jobs, with and without logic, and is timed: first beside as many clients that post honest jobs, then
beside the hostile ones. Told are answers by status, workers that were replaced in `http` and in the relay, their
resident memory before and after, and the other tenant's p99. The last line is JSON.
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
from tests.hostile_templates import generated

CLIENTS = 2
#: Honest jobs of each client before the hostile ones.
BEFORE = 400
PAUSE_S = 0.01
HONEST = ("<p>Bonjour {{ prenom }}</p>", "<p>{% if prenom %}Bonjour {{ prenom }}{% endif %}</p>")


class _Instance:
    def __init__(self, environ: dict[str, str], tenant: str, domain: str) -> None:
        self._environ = environ
        self._key = demo_key(environ, tenant, domain)
        self._from = f"news@{domain}"
        self.statuses: Counter[int] = Counter()

    def post(self, html: str) -> float:
        """How long the answer took, in seconds."""
        job = {"from": self._from, "subject": "x", "html": html, "recipients": [{"email": "ana@exemple.com"}]}
        began = time.monotonic()
        try:
            post(self._environ, self._key, "/v1/jobs", json.dumps(job).encode())
            self.statuses[202] += 1
        except HTTPError as error:
            self.statuses[error.code] += 1
        except OSError:
            self.statuses[0] += 1
        return time.monotonic() - began

    def honest(self, count: int, until: threading.Event) -> list[float]:
        took = []
        for number in range(count):
            if until.is_set():
                break
            took.append(self.post(HONEST[number % len(HONEST)]))
            time.sleep(PAUSE_S)
        return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=600, help="stop after so long with fewer")
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
    others = _Instance(environ, "others", "others.test")
    innocent = [HONEST[number % len(HONEST)] for number in range(BEFORE * CLIENTS)]
    calm = _beside(hostile, innocent, others, options.seconds)
    hostile.statuses.clear()
    rss_before = [_rss_kb(http.pid), _rss_kb(relay.pid)]
    beside = _beside(hostile, list(generated(Random(options.seed), options.templates)), others, options.seconds)
    posted = sum(hostile.statuses.values())
    result = {
        "bench": "hostile_templates",
        "templates": posted,
        "statuses": {str(status): count for status, count in sorted(hostile.statuses.items())},
        "others_statuses": {str(status): count for status, count in sorted(others.statuses.items())},
        "services_died": [name for name, one in (("http", http), ("relay", relay)) if one.poll() is not None],
        "restarts": {name: _restarts(port) for name, port in (("http", http_port), ("relay", relay_port))},
        "rss_kb_before": rss_before,
        "rss_kb_after": [_rss_kb(http.pid), _rss_kb(relay.pid)],
        "others_p99_ms": [round(_p99(calm) * 1000, 1), round(_p99(beside) * 1000, 1)],
        "others_p99_ratio": round(_p99(beside) / _p99(calm), 2),
    }
    for name, value in result.items():
        print(f"{name:<18} {value}")
    print(json.dumps(result))


def _beside(posting: _Instance, sources: Sequence[str], others: _Instance, seconds: float) -> list[float]:
    """How long others' jobs took while these were posted."""
    done = threading.Event()
    took: list[float] = []
    deadline = time.monotonic() + seconds

    def post_all(first: int) -> None:
        for source in sources[first::CLIENTS]:
            if time.monotonic() > deadline:
                return
            posting.post(source)

    watching = threading.Thread(target=lambda: took.extend(others.honest(1_000_000, done)))
    clients = [threading.Thread(target=post_all, args=(first,)) for first in range(CLIENTS)]
    for thread in (watching, *clients):
        thread.start()
    for thread in clients:
        thread.join()
    done.set()
    watching.join()
    return took


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


def _p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)] if took else 0.0


if __name__ == "__main__":
    main()
