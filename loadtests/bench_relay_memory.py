"""Whether the memory of a relay process stays what it is, over many messages.

    python -m loadtests.bench_relay_memory [--messages 200000]

One relay drains a full queue to smtp-sink, without DKIM (with `--dkim` it takes longer and proves the same). Every
second its resident set (RSS), what of it is nobody else's (USS) and what of it is no file (its heap) are read from
/proc. The heap decides, because the libraries' share moves with what other processes run. What counts is from a tenth
of the queue on: until then contents are loaded and pools filled. The last line is JSON; the exit status is 1 if the
heap grew by more than MAX_GROWTH.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, mean
from typing import Any

from loadtests import content
from loadtests.bench_relay import DELIVERED, FROM, campaign, environ_of, queued
from loadtests.processes import Processes, metric, until

EVERY_S = 1.0
#: From after the warm-up to the end. An allocator's noise is 2 to 3 %; 100 bytes lost a message are 18 MB, or 40 %.
MAX_GROWTH = 0.05
MB = 1e6


@dataclass(frozen=True)
class Sample:
    at_s: float
    messages: float
    rss_bytes: int
    uss_bytes: int
    heap_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--size-bytes", type=int, default=12_000)
    parser.add_argument("--dkim", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with Processes(Path(folder)) as processes:
            samples = watched(processes, Path(folder), options)
    sys.exit(0 if told(samples, options.messages) else 1)


def watched(processes: Processes, folder: Path, options: argparse.Namespace) -> list[Sample]:
    environ = environ_of(folder, processes.redis(), processes.sink(), dkim=options.dkim)
    messages: int = options.messages
    print(f"queueing {messages:,} messages", flush=True)

    def job(count: int, number: int) -> dict[str, Any]:
        return content.job(count, number, options.size_bytes)

    # One job: the contents of jobs are kept, up to a bound, and would look like a leak as long as there are few.
    queued(processes, environ, messages, lambda key: campaign(environ, key, messages, job))
    relay, port = processes.service("relay", environ)
    samples: list[Sample] = []

    def sampled() -> bool:
        samples.append(Sample(time.monotonic(), metric(port, DELIVERED), *memory(relay.pid)))
        return samples[-1].messages >= messages

    until(sampled, 3600, "the drain", EVERY_S)
    return samples


def memory(pid: int) -> tuple[int, int, int]:
    """Bytes resident; of these the ones that the process shares with nobody; and those that are no file's."""
    rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:])
    size = {row[0]: int(row[1]) * 1024 for row in rows}
    return size["Rss:"], size["Private_Clean:"] + size["Private_Dirty:"], size["Anonymous:"]


def told(samples: list[Sample], messages: int) -> bool:
    """Prints what was seen; whether the memory was flat."""
    warm = [sample for sample in samples if sample.messages >= messages * FROM]
    first, last = warm[0], warm[-1]
    # Ends against ends, each the mean of a tenth of the samples: one alone is the allocator's luck.
    some = max(1, len(warm) // 10)
    began, ended = (mean(sample.heap_bytes for sample in part) for part in (warm[:some], warm[-some:]))
    slope = linear_regression([s.messages for s in warm], [s.heap_bytes for s in warm]).slope if len(warm) > 2 else 0.0
    growth = ended / began - 1
    flat = growth <= MAX_GROWTH
    most = max(sample.rss_bytes for sample in samples)
    print(f"{(last.messages - first.messages) / max(last.at_s - first.at_s, 1e-9):,.0f} messages/s")
    for word, of in (("after the warm-up", first), ("at the end", last)):
        print(
            f"{word:<18} RSS {of.rss_bytes / MB:6.1f} MB, USS {of.uss_bytes / MB:6.1f} MB, "
            f"heap {of.heap_bytes / MB:6.1f} MB"
        )
    print(f"{'at most':<18} RSS {most / MB:6.1f} MB")
    print(f"heap: {slope:+.1f} bytes a message; from beginning to end {growth:+.1%}: {'flat' if flat else 'NOT FLAT'}")
    result = {
        "bench": "relay-memory",
        "messages": messages,
        "rss_warm_mb": round(first.rss_bytes / MB, 1),
        "rss_end_mb": round(last.rss_bytes / MB, 1),
        "rss_max_mb": round(most / MB, 1),
        "uss_warm_mb": round(first.uss_bytes / MB, 1),
        "uss_end_mb": round(last.uss_bytes / MB, 1),
        "heap_warm_mb": round(began / MB, 1),
        "heap_end_mb": round(ended / MB, 1),
        "heap_bytes_per_message": round(slope, 1),
        "growth": round(growth, 4),
        "flat": flat,
    }
    print(json.dumps(result))
    return flat


if __name__ == "__main__":
    main()
