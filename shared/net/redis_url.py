"""URLs of a Redis that is several servers: a cluster, or a master that Sentinels name. Pure.

    redis+cluster://[user:password@]host:port[,host:port…]
    redis+sentinel://[user:password@]host:port[,host:port…]/<master>[/<database>]

With `rediss` they speak TLS, Sentinels too unless `sentinel_tls=no`. Behind a `?` there may then be files (PEM), as in
the URL of a single server: `ssl_ca_certs` (who signed the servers' certificates, if not one of the system's
authorities), `ssl_certfile` and `ssl_keyfile` (shown to servers that ask who we are). User and password are those of
the Redis servers, percent-encoded; those of Sentinels are apart, `sentinel_user` and `sentinel_password` behind the
`?`, and without them they are asked without any.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

SCHEME = re.compile(r"redis(s?)\+(cluster|sentinel)://(.*)")
_NODE = re.compile(r"([^\s:/@\[\]]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
OF_SENTINELS = ("sentinel_user", "sentinel_password", "sentinel_tls")
EXPECTED = {
    "cluster": "expected redis+cluster://host:port, more of them separated by commas",
    "sentinel": "expected redis+sentinel://host:port/master, more hosts separated by commas, perhaps /database behind",
}


@dataclass(frozen=True, slots=True)
class Places:
    """`nodes`: of a cluster some of its servers, else the Sentinels. `files`: by the names of `FILES`."""

    kind: Literal["cluster", "sentinel"]
    tls: bool
    nodes: tuple[tuple[str, int], ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    master: str = ""
    database: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    sentinel_user: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    sentinel_tls: bool = False


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
    is_tls = matched[1] == "s"
    options = _options(query, kind)
    sentinels_tls = options.pop("sentinel_tls", "yes" if is_tls else "no")
    if sentinels_tls not in ("yes", "no"):
        raise ValueError("sentinel_tls: expected yes or no")
    user_of, password_of = options.pop("sentinel_user", None), options.pop("sentinel_password", None)
    if options and not is_tls and sentinels_tls == "no":
        raise ValueError(f"{', '.join(sorted(options))}: of TLS, which begins with rediss")
    return Places(
        kind,
        is_tls,
        tuple(_node(text, kind) for text in hosts.split(",")),
        unquote(user) or None,
        unquote(password) if has_password else None,
        master,
        int(database or 0),
        options,
        user_of,
        password_of,
        kind == "sentinel" and sentinels_tls == "yes",
    )


def _node(text: str, kind: str) -> tuple[str, int]:
    found = _NODE.fullmatch(text)
    if found is None or not 0 < int(found[2]) < 65_536:
        raise ValueError(EXPECTED[kind])
    return found[1].strip("[]"), int(found[2])


def _options(query: str, kind: str) -> dict[str, str]:
    """By name. A + is one: passwords may have it."""
    known = (*FILES, *(OF_SENTINELS if kind == "sentinel" else ()))
    found = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
    if unknown := sorted(set(found) - set(known)):
        raise ValueError(f"unknown behind the ?: {', '.join(unknown)}; there are {', '.join(known)}")
    return found
