"""Where a request may go: the URL of an endpoint as one thing that nobody reads in two ways. Pure.

A URL is taken in its plain form alone: no user, no fragment, no backslash, nothing beyond ASCII. Which hosts it may
name, and which of their addresses are dialled, is the rule of `shared.net.outside`.
"""

import re
from dataclasses import dataclass

from shared.net.outside import HOST, Policy, Refused, host_of

MAX_URL_CHARS = 2_000

_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{HOST})(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<target>(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)"
)
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Destination:
    """`host` is in lower case; `literal`: it is an address. `target` is what the request line has."""

    scheme: str
    host: str
    port: int
    target: str
    literal: bool

    @property
    def authority(self) -> str:
        """What the header Host has."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str, policy: Policy) -> Destination:
    """Refused, also of an address in it that may not be dialled."""
    if len(url) > MAX_URL_CHARS:
        raise Refused(f"a URL has at most {MAX_URL_CHARS} characters")
    if "@" in url.partition("//")[2].partition("/")[0]:
        raise Refused("a URL with a user or password is not taken: it would be kept and logged")
    found = _URL.fullmatch(url)
    if found is None:
        raise Refused(
            "not a plain URL: https://host[:port]/path?query of printable ASCII, percent-encoded, no fragment"
        )
    scheme = found["scheme"]
    if scheme == "http" and not policy.plain_http:
        raise Refused("only https is taken here")
    port = int(found["port"]) if found["port"] is not None else _PORTS[scheme]
    target = found["target"] or "/"
    host = host_of(found["host"], port, policy)
    return Destination(scheme, host.name, port, target if target.startswith("/") else f"/{target}", host.literal)
