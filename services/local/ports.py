"""The ports of this machine: which are taken, and which may be given out."""

import errno
import os
import socket
from collections.abc import Iterator

from shared.words.errors import OperatorFault

#: Ports given out here: above what is well known, below what the kernel gives to clients.
_PORTS = range(21_000, 32_000)


class NoPort(OperatorFault):
    """Every port is taken."""


def why_not_free(host: str, port: int) -> str | None:
    """Why nothing can listen there; None if it can."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        return (
            "is in use by another program" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        )
    return None


def free_ports(host: str) -> Iterator[int]:
    """Ports on which nothing listens, each once. Two instances that start together begin at different places."""
    first = os.getpid() * 16
    for number in range(first, first + len(_PORTS)):
        port = _PORTS[number % len(_PORTS)]
        if why_not_free(host, port) is None:
            yield port
    raise NoPort(f"no free port on {host}")
