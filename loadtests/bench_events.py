"""What becomes of events once they are recorded: how fast each reader takes them, beside a bare loop over the stream.

    python -m loadtests.bench_events [--parts feed,…] [--events 1000000]

Each part is a module `loadtests.events_<part>` with `measure(url, events)`: it gets a Redis of its own, and answers its
figures by their names. A part that was not asked for, or is not there, is null in the last line, which is JSON.
"""

import argparse
import json
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from tests.servers import RedisServer

#: Part → the figure of it that everybody looks at.
PARTS = {
    "webhooks": ("webhooks_batched_per_s", "webhooks_single_per_s"),
    "statistics": ("statistics_per_s",),
    "archive": ("archive_per_s",),
    "feed": ("feed_per_s",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    there = [part for part in PARTS if find_spec(f"loadtests.events_{part}") is not None]
    parser.add_argument("--parts", default=",".join(there), help="of %(default)s")
    parser.add_argument("--events", type=int, default=1_000_000, help="how many are on the streams")
    options = parser.parse_args()
    figures: dict[str, float | None] = {name: None for names in PARTS.values() for name in names}
    for part in options.parts.split(","):
        with tempfile.TemporaryDirectory(prefix="estafette-bench-") as folder:
            server = RedisServer(Path(folder) / "redis")
            server.start()
            try:
                found = import_module(f"loadtests.events_{part}").measure(server.url, options.events)
            finally:
                server.stop()
        for name, figure in found.items():
            print(f"{part:>12}  {name}: {figure:,.3f}", flush=True)
        figures |= found
    print(json.dumps({"bench": "events", **figures}))


if __name__ == "__main__":
    main()
