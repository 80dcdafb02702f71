"""What one relay sends to ever more busy sites: 10 to 10,000, each a host of its own, and what people wait for beside.

    python -m loadtests.bench_sites [--sites 10,100,1000,3000,10000]

The same relay drains a full queue of bulk mail for so many sites, each found by MX look-up in a zone of ours, each at
an address of its own (`loadtests.many_hosts`): ten messages a site from 1,000 sites on, and as many in all as to 1,000
where there are fewer. Meanwhile a transactional mail goes out twice a second through the front door, to any of the
sites; what counts is the time from its request to the host that takes it.

A message to one of many sites costs a tenth of a connection, of three look-ups and of a line of its own; to one of ten
sites next to nothing of that. So the fewest sites are measured a second time with a new connection for every ten
messages, and told beside; and once more at the end, because machines change their pace: the mean of the two counts.

The last line is JSON; the exit status is 1 if a goal was missed.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import mean, median
from typing import Any

from loadtests import content, many_hosts
from loadtests.bench_relay import (
    DELIVERED,
    EVERY_S,
    FROM,
    PER_JOB,
    QUEUED,
    TO,
    demo_key,
    environ_of,
    post,
)
from loadtests.processes import START_S, Processes, free_port, metric, python, until

#: Messages for each site, and in all where there are fewer sites than make so many.
EACH, LEAST = 10, 10_000
#: What is promised of the most sites beside the fewest, and of what people wait for.
MIN_RATIO, MAX_CPU_RATIO, MAX_TRANSACTIONAL_S = 0.5, 2.0, 1.0
#: Between two transactional mails.
PEOPLE_EVERY_S = 0.5
#: A drain of so many messages a second at the worst, and a minute.
SLOWEST_PER_S, PATIENCE_S = 100, 60.0


@dataclass(frozen=True)
class Figures:
    """Of one drain: messages a second, ms of the relay's processor a message, seconds until each transactional mail was
    taken, what the hosts counted, and how many mails were not delivered at the first attempt."""

    sites: int
    per_s: float
    cpu_ms: float
    waited_s: Sequence[float]
    connections: int
    hosts: int
    most_open: int
    rss_mb: float
    undelivered: int

    def told(self, words: str) -> str:
        ordered = sorted(self.waited_s)
        waited = f"{median(ordered):6.2f} s, {ordered[-1]:6.2f} s" if ordered else "     -,      -"
        return (
            f"{self.sites:>7,} sites{words:<22}{self.per_s:>8,.0f} messages/s {self.cpu_ms:>7.3f} ms CPU each; "
            f"transactional median, most: {waited}; {self.connections:,} connections to {self.hosts:,} hosts, "
            f"{self.most_open:,} at once; {self.rss_mb:,.0f} MB"
            + (f"; {self.undelivered:,} NOT DELIVERED" if self.undelivered else "")
        )


def main() -> None:
    options = _options()
    counts = [int(count) for count in options.sites.split(",")]
    fewest, most = min(counts), max(counts)
    plan = [(count, 0) for count in sorted(counts)]
    plan[1:1] = [(fewest, EACH)]
    plan += [(fewest, 0)] if most > fewest else []
    found: dict[tuple[int, int], list[Figures]] = {}
    for sites, per_connection in plan:
        with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
            figures = drain(Path(folder), sites, per_connection, options.size_bytes)
        found.setdefault((sites, per_connection), []).append(figures)
        print(figures.told(f", {per_connection} a connection" if per_connection else ""), flush=True)
    result = summary(found, fewest, most)
    print(json.dumps(result))
    sys.exit(0 if holds(result) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", default="10,100,1000,3000,10000", help="how many, separated by commas")
    parser.add_argument("--size-bytes", type=int, default=12_000)
    return parser.parse_args()


def summary(found: Mapping[tuple[int, int], Sequence[Figures]], fewest: int, most: int) -> dict[str, Any]:
    """The last line: the most sites beside the fewest, and beside these with as many connections."""
    per_s, cpu_ms = (
        {key: mean(getattr(one, name) for one in figures) for key, figures in found.items()}
        for name in ("per_s", "cpu_ms")
    )
    waited = [one for figures in found[most, 0] for one in figures.waited_s]
    return {
        "bench": "sites",
        f"ratio_{most}_to_{fewest}": round(per_s[most, 0] / per_s[fewest, 0], 3),
        "cpu_ratio": round(cpu_ms[most, 0] / cpu_ms[fewest, 0], 3),
        "transactional_median_s": round(median(waited), 3) if waited else None,
        "connection_cpu_ratio": round(cpu_ms[fewest, EACH] / cpu_ms[fewest, 0], 3),
        "cpu_ratio_beside_connections": round(cpu_ms[most, 0] / cpu_ms[fewest, EACH], 3),
        "msgs_per_s": {str(sites): round(of) for (sites, each), of in per_s.items() if not each},
        "cpu_ms": {str(sites): round(of, 3) for (sites, each), of in cpu_ms.items() if not each},
        "undelivered": sum(one.undelivered for figures in found.values() for one in figures),
    }


def holds(result: Mapping[str, Any]) -> bool:
    """Whether what is promised was kept."""
    ratio = next(value for name, value in result.items() if name.startswith("ratio_"))
    waited = result["transactional_median_s"]
    kept = bool(ratio >= MIN_RATIO and result["cpu_ratio"] <= MAX_CPU_RATIO and not result["undelivered"])
    return kept and (waited is None or waited < MAX_TRANSACTIONAL_S)


def domain(site: int) -> str:
    return f"site{site}.example"


def zone(sites: int) -> str:
    """The DNS records of so many sites: a domain, a host and an address each."""
    lines = ["example. 3600 IN SOA ns.example. dns.example. 1 3600 600 86400 3600"]
    for site in range(sites):
        lines.append(f"{domain(site)}. 3600 IN MX 10 mx.{domain(site)}.")
        lines.append(f"mx.{domain(site)}. 3600 IN A {many_hosts.address(site)}")
    return "\n".join(lines)


def recipients(sites: int) -> list[dict[str, Any]]:
    """Well mixed, and the same each time."""
    found = [content.recipient(n, domain(n % sites)) for n in range(max(LEAST, sites * EACH))]
    Random(1).shuffle(found)
    return found


def drain(folder: Path, sites: int, per_connection: int, size_bytes: int) -> Figures:
    """One relay, from a full queue; `per_connection`: messages over one connection, 0 for as many as it likes."""
    folder.chmod(0o755)
    record = folder / "record.json"
    with Processes(folder) as processes:
        port = free_port()
        environ = environ_of(folder, processes.redis(), 0, dkim=False) | {
            "ESTAFETTE_DNS_SERVERS": name_server(processes, sites),
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_RELAY_PRIVATE_NETWORKS": "true",
            "ESTAFETTE_RELAY_MX_PORT": str(port),
            "ESTAFETTE_RELAY_HELO": "relay.example",
            "ESTAFETTE_LIFECYCLE_DRAIN_SECONDS": "1",
        }
        if per_connection:
            shaping = folder / "shaping.toml"
            shaping.write_text(f"[default]\nmessages_per_connection = {per_connection}\n", "utf-8")
            environ["ESTAFETTE_RELAY_SHAPING_FILE"] = str(shaping)
        with Processes(folder) as hosts:
            hosts.start([*python("loadtests.many_hosts"), str(port), str(record)], name="hosts")
            until(record.with_suffix(".ready").exists, START_S, "the hosts")
            measured = _drained(processes, environ, sites, size_bytes)
        seen = json.loads(record.read_text("ascii"))
    per_s, cpu_ms, rss_mb, undelivered, asked, ended = measured
    waited = [seen["taken"].get(name, ended) - at for name, at in asked.items()]
    counted = seen["connections"], seen["hosts"], seen["most_open"]
    return Figures(sites, per_s, cpu_ms, waited, *counted, rss_mb, undelivered)


def _drained(
    processes: Processes, environ: Mapping[str, str], sites: int, size_bytes: int
) -> tuple[float, float, float, int, Mapping[str, float], float]:
    """Messages a second, ms of processor each, MB in memory, what was not delivered, when each transactional mail was
    asked for, and when the last one was waited for no more."""
    mail = recipients(sites)
    processes.service("http", environ)
    key = demo_key(environ)
    _, queueing = processes.service("queueing", environ)
    for at in range(0, len(mail), PER_JOB):
        post(environ, key, "/v1/jobs", json.dumps(content.job_for(mail[at : at + PER_JOB], size_bytes)).encode())
    until(lambda: metric(queueing, QUEUED) >= len(mail), 600, "queueing")
    relay, port = processes.service("relay", environ)
    samples: list[tuple[float, float, float]] = []

    def sampled() -> bool:
        samples.append((time.monotonic(), metric(port, DELIVERED), cpu_s(relay.pid)))
        return samples[-1][1] >= len(mail) * TO

    with People(environ, key, sites) as people:
        until(sampled, len(mail) / SLOWEST_PER_S + PATIENCE_S, "the drain", EVERY_S)
    rss_mb, in_all = resident_mb(relay.pid), len(mail) + len(people.asked)
    with suppress(TimeoutError):  # what was deferred comes later than anybody waits here
        patience_s = len(mail) * (1 - TO) / SLOWEST_PER_S + PATIENCE_S
        until(lambda: metric(port, DELIVERED) >= in_all, patience_s, "the last mails", EVERY_S)
    first, last = next(sample for sample in samples if sample[1] >= len(mail) * FROM), samples[-1]
    sent = last[1] - first[1]
    return (
        sent / (last[0] - first[0]),
        (last[2] - first[2]) / sent * 1000,
        rss_mb,
        in_all - int(metric(port, DELIVERED)),
        people.asked,
        time.monotonic(),
    )


class People:
    """Who waits for a mail: one asks for it twice a second, at any of the sites, until the measurement is over."""

    def __init__(self, environ: Mapping[str, str], key: str, sites: int) -> None:
        self.asked: dict[str, float] = {}
        self._environ = environ
        self._key = key
        self._sites = sites
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="people")

    def __enter__(self) -> "People":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        chance = Random(2)
        while not self._over.wait(PEOPLE_EVERY_S):
            name = f"{many_hosts.MARK}{len(self.asked)}"
            job = {
                "from": "Chouette <news@exemple.fr>",
                "stream": "transactional",
                "subject": "Votre mot de passe",
                "text": "Voici le lien pour en choisir un autre.",
                "recipients": [{"email": f"{name}@{domain(chance.randrange(self._sites))}"}],
            }
            self.asked[name] = time.monotonic()
            post(self._environ, self._key, "/v1/jobs", json.dumps(job).encode())


def name_server(processes: Processes, sites: int) -> str:
    """A DNS server that knows them all; its address."""
    records, address = processes.directory / "zone", processes.directory / "dns.address"
    records.write_text(zone(sites), "ascii")
    processes.start([*python("loadtests.zone"), str(records), str(address)], name="zone")
    until(lambda: address.exists() and bool(address.read_text("ascii")), START_S * 2, "the DNS server")
    return address.read_text("ascii")


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
