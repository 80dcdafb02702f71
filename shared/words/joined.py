"""Recipients of several jobs, joined by their addresses: each is chosen once, with their latest message. Pure.

A row is 18 bytes: a keyed hash of the address (8), in which of the named sets the message is (4), the place of its job
among the jobs, the latest first (2), and its ordinal (4). Rows are kept by the first byte of the hash, and each of the
256 heaps is joined by itself, so that the objects of a join are never more than a part of the rows.
"""

import struct
from array import array
from collections.abc import Callable, Iterator
from hashlib import blake2b

_ROW = struct.Struct("<8sIHI")
HEAPS = 256


class TooMany(ValueError):
    """More rows than are joined at once; the text says how many."""


class Join:
    """`key` (up to 64 bytes) is chosen by chance each time: nobody makes two addresses that meet."""

    def __init__(self, key: bytes, most_rows: int) -> None:
        self._key = key
        self._most_rows = most_rows
        self._heaps = [bytearray() for _ in range(HEAPS)]
        self.rows = 0

    def add(self, address: str, bits: int, job: int, ordinal: int) -> None:
        """A message to that address is in those of the named sets whose bits are 1. TooMany."""
        self.rows += 1
        if self.rows > self._most_rows:
            raise TooMany(f"more than {self._most_rows} messages are in the sets that were named")
        spelt = address.lower().encode("utf-8", "surrogatepass")
        digest = blake2b(spelt, digest_size=8, key=self._key).digest()
        self._heaps[digest[0]] += _ROW.pack(digest, bits, job, ordinal)

    def chosen(self, holds: Callable[[int], bool], jobs: int) -> Iterator[list["array[int]"]]:
        """After each heap the ordinals found in it, by job: of each address for which the expression holds the first
        message of the latest job that has one. Heaps are gone once they were joined."""
        verdicts: dict[int, bool] = {}
        for heap in self._heaps:
            known: dict[bytes, tuple[int, int, int]] = {}
            for digest, bits, job, ordinal in _ROW.iter_unpack(heap):
                before = known.get(digest)
                if before is None:
                    known[digest] = bits, job, ordinal
                else:
                    known[digest] = before[0] | bits, *min(before[1:], (job, ordinal))
            heap.clear()
            found = [array("I") for _ in range(jobs)]
            for bits, job, ordinal in known.values():
                verdict = verdicts.get(bits)
                if verdict is None:
                    verdict = verdicts[bits] = holds(bits)
                if verdict:
                    found[job].append(ordinal)
            yield found
