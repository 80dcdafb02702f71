"""A DNS server with the records of a file, for as long as a measurement takes.

python -m loadtests.zone <zone file> <file to write its address to>
"""

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from dnslib import QTYPE, RR  # type: ignore[import-untyped]

from shared.net.dns_message import RecordType, question
from tests.fakes.dns_server import DnsServer

#: What is asked on the way to a name that has such records: before the name, and of which type.
_ASKED: dict[str, tuple[tuple[str, RecordType], ...]] = {
    "MX": (("", "MX"), ("_mta-sts.", "TXT")),
    "A": (("", "A"), ("", "AAAA")),
}


class Zone(DnsServer):
    """The same, with an index, and with each answer made once: of 10,000 sites every question would be looked for among
    20,000 records, and a relay's resolver is quicker than that."""

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
        #: All of an answer but the question's number, by all of the question but that.
        self._answers: dict[bytes, bytes] = {}

    def answer(self, packet: bytes, over: Literal["udp", "tcp"]) -> bytes | None:
        known = self._answers.get(packet[2:])
        if known is None:
            made = super().answer(packet, over)
            if made is None:
                return None
            known = self._answers[packet[2:]] = made[2:]
        return packet[:2] + known

    async def foresee(self) -> None:
        """Makes the answers to what a relay asks on its way to each domain, before it asks: 0.5 ms each."""
        for name, records in list(self._at.items()):
            questions: list[tuple[str, RecordType]] = []
            for kind in {QTYPE[record.rtype] for record in records}:
                questions += _ASKED.get(kind, ())
            for prefix, record_type in questions:
                self.answer(question(prefix + name.rstrip("."), record_type, 0), "udp")
            await asyncio.sleep(0)

    def at(self, name: str) -> list[RR]:
        return self._at.get(name, [])

    def is_above_one(self, name: str) -> bool:
        return name in self._above

    def zones(self) -> list[RR]:
        return self._zones


async def serve(records: str, begun: Callable[[str], object]) -> None:
    async with Zone(records) as server:
        begun(server.address)
        await server.foresee()
        await asyncio.Event().wait()


def main() -> None:
    with suppress(PermissionError):
        os.nice(-10)  # a resolver is another machine: it does not wait for the processor of ours
    zone, address = (Path(name) for name in sys.argv[1:3])
    asyncio.run(serve(zone.read_text("ascii"), address.write_text))


if __name__ == "__main__":
    main()
