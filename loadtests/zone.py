"""A DNS server with the records of a file, for as long as a measurement takes.

python -m loadtests.zone <zone file> <file to write its address to>
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from tests.fakes.dns_server import DnsServer


async def serve(records: str, begun: Callable[[str], object]) -> None:
    async with DnsServer(records) as server:
        begun(server.address)
        await asyncio.Event().wait()


def main() -> None:
    zone, address = (Path(name) for name in sys.argv[1:3])
    asyncio.run(serve(zone.read_text("ascii"), address.write_text))


if __name__ == "__main__":
    main()
