"""The suppression list and what fills it: memory, checks, files in and out, received mails; beside Redis and Sisimai.

    make bench-suppression
    python -m loadtests.bench_suppression [--addresses 10000000] [--lines 1000000] [--moving 100000] [--seconds 10]

Against a Redis of its own, one part after the other in one process: `suppression_checks`, `suppression_csv`,
`classifying`. The goals: 100 bytes an address at ten million of them, 300,000 checks, 30,000 lines in, 100,000 rows out
and 2,000 mails a second. The last line is JSON.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from loadtests import classifying, suppression_checks, suppression_csv
from loadtests.processes import Processes
from shared.process import logs
from shared.redis.redis import close, connect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--addresses", type=int, default=10_000_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--moving", type=int, default=100_000, help="addresses of each other engine's file; 0: none")
    parser.add_argument("--seconds", type=float, default=10.0, help="of checks, and of SISMEMBER")
    given = parser.parse_args()
    logs.configure("bench", "warning")
    mails = classifying.measure()
    to_sisimai = round(mails.mails_per_s / mails.sisimai_mails_per_s, 2) if mails.sisimai_mails_per_s else None
    print(f"classified:  {mails.mails_per_s:,.0f} mails a second of CPU, {to_sisimai} of Sisimai")
    with (
        tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder,
        Processes(Path(folder)) as processes,
    ):
        Path(folder).chmod(0o755)
        found = asyncio.run(_measured(processes.redis(), given))
    print(
        json.dumps(
            {"bench": "suppression", **found, "mails_per_s": round(mails.mails_per_s), "ratio_to_sisimai": to_sisimai}
        )
    )


async def _measured(url: str, given: argparse.Namespace) -> dict[str, Any]:
    client = connect(url)
    try:
        checks = await suppression_checks.measure(client, given.addresses, given.seconds)
        print(f"an address:  {checks.bytes_per_address:,} bytes of Redis, {checks.mean_address_bytes} of them its own")
        print(f"added:       {checks.added_per_s:,} a second")
        print(f"checked:     {checks.checks_per_s:,} a second, {checks.ratio_to_sismember} of SISMEMBER")
        print(f"SISMEMBER:   {checks.sismember_per_s:,} a second, in pipelines of {suppression_checks.BATCH:,}")
        moved = await suppression_csv.measure(client, "bench-csv", given.lines)
        print(f"in:          {moved.import_per_s:,} lines a second")
        print(f"out:         {moved.export_per_s:,} rows a second")
        if given.moving:
            await suppression_csv.move(client, given.moving)
        return {**checks._asdict(), **moved._asdict()}
    finally:
        await close(client)


if __name__ == "__main__":
    main()
