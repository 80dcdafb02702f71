"""Runs the drill.

    python -m loadtests.drill [--factor 60] [fault …]

Each fault is put into a running instance that mails providers of ours, with a real Prometheus beside it that has the
chart's alerts, in the drill's time (`rules.py`). Within a minute its alert fires and its panel shows it; then the
commands of the runbook are run as they stand there. After them the alert is silent, and every recipient has its end.

The last line is JSON; the exit status is 1 if one of that did not hold, or could not be tried in CI.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence

from loadtests.drill import stage
from loadtests.drill.drill import Result, drill
from loadtests.drill.faults import BY_NAME, FAULTS

#: A rule's minute is a second: `for: 10m` are ten.
FACTOR = 60.0
_ROW = "{:<10}{:<46}{:<39}{:>7}  {:<56}{:>7}{:>6}{:>6}"


def main() -> None:
    options = _options()
    faults = [BY_NAME[name] for name in BY_NAME if name in (options.faults or BY_NAME)]
    print(_ROW.format("fault", "alert", "panel", "seen", "mended by", "after", "lost", "twice"), flush=True)
    with stage.folder() as folder:
        results = asyncio.run(drill(faults, folder, options.factor, tell))
    print(json.dumps(summary(results)))
    is_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
    sys.exit(0 if all(one.held or not (one.tried or is_ci) for one in results) else 1)


def tell(result: Result) -> None:
    fault = result.fault
    by = next((step for step in fault.mends if isinstance(step, str)), "")
    seen = None if result.alert_s is None or result.panel_s is None else max(result.alert_s, result.panel_s)
    row = _ROW.format(
        fault.name, str(fault.alert)[:45], str(fault.panel)[:38], _s(seen), by[:55], _s(result.mended_s),
        result.account.lost, result.account.twice,
    )  # fmt: skip
    print(row, flush=True)
    for words in result.wrong:
        print(f"{'':<10}DID NOT HOLD: {words}", flush=True)
    if not result.tried:
        print(f"{'':<10}NOT TRIED: only root mounts a disk", flush=True)


def summary(results: Sequence[Result]) -> dict[str, object]:
    """The last line."""
    seen = [max(one.alert_s, one.panel_s) for one in results if one.alert_s is not None and one.panel_s is not None]
    mended = [one.mended_s for one in results if one.mended_s is not None]
    return {
        "bench": "drill",
        "faults": len(results),
        "held": sum(one.held for one in results),
        "seen_s_most": round(max(seen, default=0), 1),
        "mended_s_most": round(max(mended, default=0), 1),
        "lost": sum(one.account.lost for one in results),
        "twice": sum(one.account.twice for one in results),
    }


def _s(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="fault", help=f"all, or some of {', '.join(BY_NAME)}")
    parser.add_argument("--factor", type=float, default=FACTOR, help="by what the times of alerts are divided")
    options = parser.parse_args()
    if unknown := [name for name in options.faults if name not in BY_NAME]:
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(fault.name for fault in FAULTS)}")
    return options


if __name__ == "__main__":
    main()
