"""Whether bad sites cost the others anything, and whether limits hold, with three relay processes and 40 sites.

    python -m loadtests.bench_mix [--pace 300] [--seconds 25] [--rounds 2]

The traffic is that of `loadtests.traffic`; the hosts are those of `loadtests.sinks`, found by MX look-up in a zone of
ours, each at its own pace, all good ones together at `--pace`. The same mail for the good sites is sent without and
with mail for the bad ones, in turns. What was seen is what the hosts recorded. Checked, and the exit status is 1 if one
does not hold:

1. The good sites take at least 95 % of what they take when there is no mail for the bad ones.
2. No host ever saw more connections at once than its limit, nor within any second more messages than its rate and its
   burst.
3. In simulated time (`loadtests.adapting`): a provider that starts to answer 421 above a pace it does not tell is found
   within three minutes, and forgotten when it relents.

The last line is JSON.
"""

import argparse
import json
import sys
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import msgspec

from loadtests import adapting, traffic
from loadtests.bench_relay import PER_JOB, environ_of, post, queued
from loadtests.processes import START_S, Processes, free_port, python, until
from loadtests.sinks import Plan
from loadtests.traffic import Pace, Site
from shared.words.rates import allowed

RELAYS = 3
#: After the last relay is ready; connections are opened and rates found meanwhile.
WARM_UP_S = 4.0
#: Every good site has mail for this much longer than is measured, so that none runs dry.
RESERVE = 1.35
#: What the good sites may lose.
MAX_LOSS = 0.05
#: How often it is looked whether a process gets a processor at once, and what counts if not: limits stand for ways to
#: the receiver that differ by 50 ms (`shared.words.rates.DELAY_MS`), of which this is the machine's part.
PULSE_S, STALL_S = 0.005, 0.03
#: Bad sites' mail comes back after this time and not after minutes: they are bad all the time.
RETRY_S = 10


@dataclass(frozen=True)
class Seen:
    """What one site recorded; times are monotonic seconds."""

    name: str
    connections: int
    most_open: int
    mails: Sequence[float]
    taken: Sequence[float]
    deferred: Sequence[float]

    def per_s(self, begin: float, end: float) -> float:
        """Mails taken a second between two moments."""
        return (bisect_left(self.taken, end) - bisect_left(self.taken, begin)) / (end - begin)

    def most_in(self, window_s: float) -> int:
        """MAIL FROM within any window of so long."""
        return max(
            (at - bisect_right(self.mails, time - window_s) + 1 for at, time in enumerate(self.mails)), default=0
        )


@dataclass(frozen=True)
class Run:
    """What the sites recorded, between which moments it counts, how much mail there was for each, and for how long
    (seconds, each above STALL_S) this machine let a process wait for a processor meanwhile."""

    seen: dict[str, Seen]
    mail: Mapping[str, int]
    begin: float
    end: float
    stalls: Sequence[float] = ()

    def per_s(self, sites: Sequence[Site]) -> float:
        return sum(self.seen[site.name].per_s(self.begin, self.end) for site in sites)


def main() -> None:
    options = _options()
    sites, pace = traffic.sites(), Pace(options.pace)
    good = [site for site in sites if site.good]
    without: list[Run] = []
    beside: list[Run] = []
    for _ in range(options.rounds):
        for runs, words, which in ((without, "good sites alone", good), (beside, "beside bad ones", sites)):
            with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
                runs.append(run(Path(folder), sites, which, pace, options.seconds, options))
            print(f"{words:<17} {runs[-1].per_s(good):7.1f} messages/s to {len(good)} good sites", flush=True)
    loss = 1 - mean(one.per_s(good) for one in beside) / mean(one.per_s(good) for one in without)
    table(sites, pace, without, beside)
    faults = adapting.told()
    if options.adapting_minutes > adapting.FINDS:
        faults += adapts(sites, pace, options)
    faults += over(sites, pace, [*without, *beside]) if options.limits else []
    faults += dry(good, [*without, *beside])
    if loss >= MAX_LOSS:
        faults.append(f"the good sites lost {loss:.1%} to the bad ones, more than {MAX_LOSS:.0%}")
    for fault in faults:
        print(f"FAULT: {fault}")
    stalls = [stall for one in (*without, *beside) for stall in one.stalls]
    if stalls:
        print(
            f"The machine was busy: {len(stalls)} times a process waited more than {STALL_S * 1000:.0f} ms for a "
            f"processor, {max(stalls) * 1000:.0f} ms once. A limit passed by a message or two may be its doing."
        )
    result = {
        "bench": "mix",
        "good_msgs_per_s": round(mean(one.per_s(good) for one in without), 1),
        "good_msgs_per_s_beside_bad": round(mean(one.per_s(good) for one in beside), 1),
        "loss": round(loss, 4),
        "limits": options.limits,
        "faults": len(faults),
        "machine_stalls": len(stalls),
    }
    print(json.dumps(result))
    sys.exit(1 if faults else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pace", type=float, default=300.0, help="messages a second that all good sites take together")
    parser.add_argument("--seconds", type=float, default=25.0, help="measured, of each run")
    parser.add_argument("--rounds", type=int, default=2, help="each without and with the bad sites")
    parser.add_argument("--size-bytes", type=int, default=12_000)
    parser.add_argument("--no-limits", dest="limits", action="store_false", help="without the operator's shaping file")
    parser.add_argument(
        "--adapting-minutes",
        type=float,
        default=0,
        help="in real time too: a provider alone that caps its pace; above 3",
    )
    return parser.parse_args()


def run(
    folder: Path,
    sites: Sequence[Site],
    which: Sequence[Site],
    pace: Pace,
    seconds: float,
    options: argparse.Namespace,
) -> Run:
    """One run with mail for some of the sites, measured for so long; the hosts of all are there."""
    folder.chmod(0o755)
    with Processes(folder) as processes:
        port = free_port()
        environ = environ_of(folder, processes.redis(), 0, dkim=False) | {
            "ESTAFETTE_DNS_SERVERS": zone(processes, sites),
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_RELAY_PRIVATE_NETWORKS": "true",
            "ESTAFETTE_RELAY_MX_PORT": str(port),
            "ESTAFETTE_RELAY_HELO": "relay.example",
            "ESTAFETTE_RELAY_RETRY_SCHEDULE": str(RETRY_S),
            "ESTAFETTE_LIFECYCLE_DRAIN_SECONDS": "1",  # what a tarpit holds at the end is not waited for
        }
        if options.limits:
            shaping = folder / "shaping.toml"
            shaping.write_text(traffic.shaping(sites, pace), "utf-8")
            environ["ESTAFETTE_RELAY_SHAPING_FILE"] = str(shaping)
        record = folder / "record.json"
        with hosts(processes, sites, pace, port, record):
            enough_s = (WARM_UP_S + seconds) * RESERVE
            mail = traffic.recipients(which, pace, enough_s)

            def submitted(key: str) -> None:
                for job in traffic.jobs(mail, PER_JOB, options.size_bytes):
                    post(environ, key, "/v1/jobs", json.dumps(job).encode())

            queued(processes, environ, len(mail), submitted)
            with Processes(folder) as relays:
                relays.services("relay", environ, RELAYS)
                begin = time.monotonic() + WARM_UP_S
                stalls = stalled(WARM_UP_S + seconds)
        seen = {one["name"]: Seen(**one) for one in json.loads(record.read_text("ascii"))}
        counts = {site.name: pace.mails(site, enough_s) for site in which}
        return Run(seen, counts, begin, begin + seconds, stalls)


def adapts(sites: Sequence[Site], pace: Pace, options: argparse.Namespace) -> list[str]:
    """In real time: the site that caps its pace, alone. From three minutes on it is sent 0.8 to 1 of what it takes."""
    site = next(site for site in sites if site.manner.caps)
    takes = site.manner.caps * pace.of(site)
    with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
        one = run(Path(folder), sites, [site], pace, options.adapting_minutes * 60, options)
    seen, found = one.seen[site.name], one.begin + adapting.FINDS * 60
    sent = sum(found <= at < one.end for at in seen.mails)
    refused = sum(found <= at < one.end for at in seen.deferred) / max(1, sent)
    part = sent / (one.end - found) / takes
    print(f"421 above {takes:.1f}/s: from the fourth minute on it is sent {part:.2f} of that, {refused:.1%} is refused")
    if adapting.LEAST <= part <= adapting.MOST and refused < adapting.MOST_REFUSED:
        return []
    return [f"{site.name}, which takes {takes:.1f}/s, was sent {part:.2f} of that and refused {refused:.1%} of it"]


def stalled(seconds: float) -> list[float]:
    """Waits for so long; how long it had to wait for a processor, each time that it was long."""
    found: list[float] = []
    end = time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        time.sleep(PULSE_S)
        if (late := time.monotonic() - begun - PULSE_S) > STALL_S:
            found.append(late)
    return found


def zone(processes: Processes, sites: Sequence[Site]) -> str:
    """A DNS server that knows the hosts of all sites; its address."""
    records, address = processes.directory / "zone", processes.directory / "dns.address"
    records.write_text(traffic.zone(sites), "ascii")
    processes.start([*python("loadtests.zone"), str(records), str(address)], name="zone")
    until(lambda: address.exists() and bool(address.read_text("ascii")), START_S, "the DNS server")
    return address.read_text("ascii")


def hosts(processes: Processes, sites: Sequence[Site], pace: Pace, port: int, record: Path) -> Processes:
    """The hosts of all sites, which write their record when they are stopped."""
    plans = [
        Plan(
            name=site.name,
            addresses=site.addresses,
            port=port,
            manner=site.manner,
            busy=traffic.busy(site),
            answer_s=pace.answer_s(site),
            cap_per_s=site.manner.caps * pace.of(site),
        )
        for site in sites
    ]
    plan = processes.directory / "plan.json"
    plan.write_bytes(msgspec.json.encode(plans))
    sinks = Processes(processes.directory)
    sinks.start([*python("loadtests.sinks"), str(plan), str(record)], name="sinks")
    processes.enter_context(sinks)
    until(record.with_suffix(".ready").exists, START_S, "the hosts")
    return sinks


def over(sites: Sequence[Site], pace: Pace, runs: Sequence[Run]) -> list[str]:
    """Where a limit was passed."""
    faults = []
    for site in sites:
        most_open = max(one.seen[site.name].most_open for one in runs)
        if most_open > site.connections:
            faults.append(f"{site.name} saw {most_open} connections at once; its limit is {site.connections}")
        if site.rated:
            most, most_allowed = max(one.seen[site.name].most_in(1.0) for one in runs), allowed(pace.rate(site), 1000)
            if most > most_allowed:
                faults.append(f"{site.name} saw {most} messages in a second; {most_allowed} are allowed")
    return faults


def dry(good: Sequence[Site], runs: Sequence[Run]) -> list[str]:
    """Where there was no mail any more at the end of what was measured: that measures nothing."""
    return [
        f"{site.name} ran out of mail"
        for site in good
        if any(bisect_left(one.seen[site.name].taken, one.end) >= one.mail[site.name] for one in runs)
    ]


def table(sites: Sequence[Site], pace: Pace, without: Sequence[Run], beside: Sequence[Run]) -> None:
    print(
        f"\n{'site':<24}{'pace':>7}{'alone':>8}{'beside':>8}{'open':>6}{'of':>4}{'in 1 s':>8}{'of':>7}"
        f"{'deferred':>10}  manner"
    )
    for site in sites:
        alone, with_bad = (
            mean(one.seen[site.name].per_s(one.begin, one.end) for one in runs) for runs in (without, beside)
        )
        runs = [*without, *beside]
        most_open = max(one.seen[site.name].most_open for one in runs)
        most = max(one.seen[site.name].most_in(1.0) for one in runs)
        most_allowed = str(allowed(pace.rate(site), 1000)) if site.rated else ""
        deferred = sum(len(one.seen[site.name].deferred) for one in beside) / len(beside)
        print(
            f"{site.name:<24}{pace.of(site):>7.1f}{alone if site.good else 0:>8.1f}{with_bad:>8.1f}{most_open:>6}"
            f"{site.connections:>4}{most:>8}{most_allowed:>7}{deferred:>10.0f}  {site.manner.words}"
        )
    print()


if __name__ == "__main__":
    main()
