"""URLs of a Redis that is several servers: a cluster, or a master that Sentinels name. Pure.

    redis+cluster://[user:password@]host:port[,host:port…]
    redis+sentinel://[user:password@]host:port[,host:port…]/<master>[/<database>]

With `rediss` they speak TLS. Behind a `?` there may then be files (PEM), as in the URL of a single server:
`ssl_ca_certs` (who signed the servers' certificates, if not one of the system's authorities), `ssl_certfile` and
`ssl_keyfile` (shown to servers that ask who we are). User and password are those of the Redis servers, percent-encoded;
Sentinels are asked without any.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

SCHEME = re.compile(r"redis(s?)\+(cluster|sentinel)://(.*)")
_NODE = re.compile(r"([^\s:/@\[\]]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
EXPECTED = {
    "cluster": "expected redis+cluster://host:port, more of them separated by commas",
    "sentinel": "expected redis+sentinel://host:port/master, more hosts separated by commas, perhaps /database behind",
}


@dataclass(frozen=True, slots=True)
class Places:
    """`nodes`: of a cluster some of its servers, else the Sentinels. `files`: by the names of `OPTIONS`."""

    kind: Literal["cluster", "sentinel"]
    tls: bool
    nodes: tuple[tuple[str, int], ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    master: str = ""
    database: int = 0
    files: Mapping[str, str] = field(default_factory=dict)


def is_of_several(url: str) -> bool:
    return SCHEME.fullmatch(url) is not None


def parse(url: str) -> Places:
    """ValueError says what was expected, without what stands in the URL: there may be a password."""
    matched = SCHEME.fullmatch(url)
    if matched is None:
        raise ValueError("expected redis+cluster:// or redis+sentinel://")
    kind: Literal["cluster", "sentinel"] = "cluster" if matched[2] == "cluster" else "sentinel"
    before, _, query = matched[3].partition("?")
    authority, _, path = before.partition("/")
    userinfo, _, hosts = authority.rpartition("@")
    user, has_password, password = userinfo.partition(":")
    master, _, database = path.strip("/").partition("/")
    is_whole = not path.strip("/") if kind == "cluster" else bool(master) and (database or "0").isdecimal()
    if not is_whole:
        raise ValueError(EXPECTED[kind])
    return Places(
        kind,
        matched[1] == "s",
        tuple(_node(text, kind) for text in hosts.split(",")),
        unquote(user) or None,
        unquote(password) if has_password else None,
        master,
        int(database or 0),
        _files(query, is_tls=matched[1] == "s"),
    )


def _node(text: str, kind: str) -> tuple[str, int]:
    found = _NODE.fullmatch(text)
    if found is None or not 0 < int(found[2]) < 65_536:
        raise ValueError(EXPECTED[kind])
    return found[1].strip("[]"), int(found[2])


def _files(query: str, *, is_tls: bool) -> dict[str, str]:
    found = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(set(found) - set(OPTIONS)):
        raise ValueError(f"unknown behind the ?: {', '.join(unknown)}; there are {', '.join(OPTIONS)}")
    if found and not is_tls:
        raise ValueError(f"{', '.join(sorted(found))}: of TLS, which begins with rediss")
    return found
