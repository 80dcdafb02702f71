"""How a process and its child talk over a pipe, each way in frames: four bytes of length, big-endian, then the body."""

from collections.abc import Iterator

LENGTH_BYTES = 4


class Broken(ValueError):
    """Whoever is at the other end does not speak as we do: nothing that follows can be trusted."""


def framed(body: bytes) -> bytes:
    """A body has at least one byte."""
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class Frames:
    """The frames of a stream that comes in pieces, of bodies of at most so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The bodies that are whole now. Broken."""
        self._buffer += piece
        at = 0
        while (begin := at + LENGTH_BYTES) <= len(self._buffer):
            length = int.from_bytes(self._buffer[at:begin], "big")
            if not 0 < length <= self._most_bytes:
                raise Broken(f"a frame of {length} bytes")
            if begin + length > len(self._buffer):
                break
            at = begin + length
            yield bytes(self._buffer[begin:at])
        del self._buffer[:at]
