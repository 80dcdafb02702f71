"""Where a drop goes: a folder below the tenant's own, or an SFTP server. Pure.

crm/in                                   a folder
sftp://estafette@sftp.exemple.fr/in      from the server's root
sftp://estafette@sftp.exemple.fr:2222/~/in    from where the user is after login
"""

import re
from dataclasses import dataclass

from shared.net.outside import HOST, Host, Policy, Refused, host_of

MAX_CHARS = 500
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"
_FOLDER = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,9}}/?")
_SFTP = re.compile(
    rf"sftp://(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]{{0,63}})@(?P<host>{HOST})(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<path>/(?:~(?:/|$))?(?:[A-Za-z0-9._+=,@-]+(?:/[A-Za-z0-9._+=,@-]+)*)?/?)"
)
DEFAULT_PORT = 22


@dataclass(frozen=True, slots=True)
class Folder:
    """From the tenant's folder on."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """`path` has no slash at its end; "" is where the user is after login, and what does not begin with one is below
    it."""

    user: str
    host: Host
    port: int
    path: str

    def path_of(self, name: str) -> str:
        if self.path == "":
            return name
        return f"{self.path.rstrip('/')}/{name}"


def parse(text: str, policy: Policy) -> Folder | Server:
    """Refused, also of a host that may not be dialled."""
    if len(text) > MAX_CHARS:
        raise Refused(f"a target has at most {MAX_CHARS} characters")
    if "://" not in text:
        if not _FOLDER.fullmatch(text):
            raise Refused("not a folder: names of letters, digits, dots, hyphens and _ with / between, as crm/in")
        return Folder(tuple(part for part in text.split("/") if part))
    found = _SFTP.fullmatch(text)
    if found is None:
        raise Refused("not sftp://user@host:port/path, without a password")
    parts = [part for part in found["path"].split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise Refused("a path has neither . nor ..")
    port = int(found["port"]) if found["port"] is not None else DEFAULT_PORT
    host = host_of(found["host"], port, policy)
    path = "/".join(parts[1:]) if parts[:1] == ["~"] else "/" + "/".join(parts)
    return Server(found["user"], host, port, path)
