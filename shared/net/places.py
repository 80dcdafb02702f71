"""Where a server listens beside its main port, as settings write it: `host:port`, `[::1]:24`, `unix:/path`. Pure."""

from pathlib import Path

_UNIX = "unix:"
#: What the address of a socket has room for (sun_path), without the byte that ends it.
MAX_PATH_BYTES = 107


def place_of(text: str) -> tuple[str, int] | Path:
    """Host and port, or the path of a socket. ValueError with what it should be."""
    if text.startswith(_UNIX):
        path = Path(text.removeprefix(_UNIX))
        if not path.is_absolute() or "\0" in text or len(str(path).encode()) > MAX_PATH_BYTES:
            raise ValueError(f"unix: and an absolute path of at most {MAX_PATH_BYTES} bytes")
        return path
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 65_536):
        raise ValueError("host:port, or unix:/path")
    return host.removeprefix("[").removesuffix("]"), int(port)
