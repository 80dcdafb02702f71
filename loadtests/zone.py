"""A DNS server with the records of a file, for as long as a measurement takes.

python -m loadtests.zone <zone file> <file to write its address to>
"""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from dnslib import RR  # type: ignore[import-untyped]

from tests.fakes.dns_server import DnsServer


class Zone(DnsServer):
    """The same, with an index: of 10,000 sites each question would be looked for among 20,000 records."""

    def __init__(self, zone: str) -> None:
        super().__init__(zone)
        self._at: defaultdict[str, list[RR]] = defaultdict(list)
        self._above: set[str] = set()
        for record in self.records:
            name = str(record.rname).lower()
            self._at[name].append(record)
            labels = name.split(".")
            self._above.update(".".join(labels[at:]) for at in range(1, len(labels) - 1))
        self._zones = super().zones()

    def at(self, name: str) -> list[RR]:
        return self._at.get(name, [])

    def is_above_one(self, name: str) -> bool:
        return name in self._above

    def zones(self) -> list[RR]:
        return self._zones


async def serve(records: str, begun: Callable[[str], object]) -> None:
    async with Zone(records) as server:
        begun(server.address)
        await asyncio.Event().wait()


def main() -> None:
    zone, address = (Path(name) for name in sys.argv[1:3])
    asyncio.run(serve(zone.read_text("ascii"), address.write_text))


if __name__ == "__main__":
    main()
