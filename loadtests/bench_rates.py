"""How near the pace comes to the rate that was asked for, at a receiver, for each kind of limit.

    python -m loadtests.bench_rates [--seconds 60] [KIND:RATE …]

A whole instance sends to an SMTP server of ours that notes when each message came. KIND says who set the rate: `job`,
`tenant`, `site`, `provider` (found by MX look-up, as Yahoo), `source`. There is mail enough all the time. What counts
is the messages within the period against what the rate allows, and the fullest second against rate and burst. The last
line is JSON.
"""

import argparse
import asyncio
import json
import tempfile
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from shared.words.rates import Rate, allowed, parse_rate
from tests.fakes.dns_server import DnsServer
from tests.fakes.smtp_server import SmtpServer
from tests.flows.stack import Stack, job

USUAL = (
    "job:1/m", "job:10000/h", "job:10/s", "job:40/s", "job:100/s", "job:500/s",
    "tenant:10/s", "tenant:100/s", "site:10/s", "site:100/s", "source:10/s", "source:100/s",
    "provider:10/s", "provider:100/s",
)  # fmt: skip
#: The first second has the burst in it.
SETTLE_S = 3.0
#: Beyond what the period takes, so that there is mail at its end.
RESERVE_S = 30
SHAPING = {
    "job": "",
    "tenant": '[tenant.demo]\nrate = "{rate}"\n',
    "site": '[site."{site}"]\nrate = "{rate}"\n',
    "source": '[site."{site}"]\nsource_rate = "{rate}"\n',
    "provider": '[provider.yahoo]\nrate = "{rate}"\n',
}
ZONE = "x.test. 3600 IN MX 10 mta5.am0.yahoodns.net.\nmta5.am0.yahoodns.net. 3600 IN A 127.0.0.1\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("limits", nargs="*", metavar="KIND:RATE", default=USUAL)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each; at least two periods of a rate by minute")
    options = parser.parse_args()
    shares: dict[str, float] = {}
    kept = True
    for limit in options.limits:
        kind, _, text = limit.partition(":")
        rate = parse_rate(text)
        seconds = max(options.seconds, 2.0 / rate.per_s)
        arrivals = asyncio.run(measure(kind, rate, seconds))
        share, fullest = judge(arrivals, rate, seconds)
        most = allowed(rate, 1000)
        kept = kept and fullest <= most
        shares[limit] = round(share, 3)
        print(f"{limit:>14}: {share:.3f} of the rate; at most {fullest} in a second, {most} allowed", flush=True)
    print(json.dumps({"bench": "rates", "worst_share": min(shares.values()), "kept": kept, "shares": shares}))


async def measure(kind: str, rate: Rate, seconds: float) -> list[float]:
    """When (monotonic) each message arrived."""
    arrivals: list[float] = []
    first = asyncio.Event()

    def arrived(_argument: str) -> str:
        arrivals.append(time.monotonic())
        first.set()
        return "250 2.0.0 queued"

    async with SmtpServer({"DOT": arrived}) as sink, DnsServer(ZONE) as zone:
        with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
            shaping = Path(folder) / "shaping.toml"
            shaping.write_text(SHAPING[kind].format(rate=rate, site=f"route:127.0.0.1:{sink.port}"), "utf-8")
            route = {"ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}"}
            if kind == "provider":
                route = {
                    "ESTAFETTE_RELAY_ROUTE": "mx",
                    "ESTAFETTE_RELAY_MX_PORT": str(sink.port),
                    "ESTAFETTE_RELAY_PRIVATE_NETWORKS": "true",
                    "ESTAFETTE_DNS_SERVERS": zone.address,
                }
            environ = {**route, "ESTAFETTE_RELAY_SHAPING_FILE": str(shaping)}
            async with Stack.running(Path(folder) / "run", environ) as stack:
                of_job = {"rate": str(rate)} if kind == "job" else {}
                await send(stack, int(rate.per_s * (SETTLE_S + seconds + RESERVE_S)) + 10, **of_job)
                await first.wait()
                await asyncio.sleep(SETTLE_S + seconds)
    return arrivals


async def send(stack: Stack, messages: int, **fields: str) -> None:
    """One job, however many they are: its rate is its own."""
    body = job(html=None, text="hello", **fields)
    del body["recipients"]
    status, opened = await stack.call("POST", "/v1/jobs?state=open", body)
    assert status == 202, opened
    path = f"/v1/jobs/{opened['id']}"
    rows = "".join(f'{{"email": "u{number}@x.test"}}\n' for number in range(messages))
    kind = {"Content-Type": "application/x-ndjson"}
    status, appended = await stack.call("POST", f"{path}/recipients", data=rows, headers=kind)
    assert (status, appended.get("appended")) == (200, messages), appended
    status, started = await stack.call("POST", f"{path}/start")
    assert status == 202, started


def judge(arrivals: Sequence[float], rate: Rate, seconds: float) -> tuple[float, int]:
    """The share of the rate in the period, and how many came in the fullest second of all."""
    begin = arrivals[0] + (SETTLE_S if rate.per_s >= 1 else 0.5)
    # A slow rate is measured from one message to another: what a period of a minute has in it is chance.
    within = [at for at in arrivals if begin <= at < begin + seconds]
    if rate.per_s < 1:
        paced = len(within) / max(within[-1] - arrivals[0], 1.0) if within else 0.0
        share = paced / rate.per_s
    else:
        share = len(within) / (seconds * rate.per_s)
    fullest = max(bisect_left(arrivals, at + 1.0) - index for index, at in enumerate(arrivals))
    return share, fullest


if __name__ == "__main__":
    main()
