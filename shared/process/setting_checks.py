"""What a setting must be beyond its type: each in one sentence, before anything is started with it. Pure.

A check takes the value and raises ValueError with what it should be; `settings.explain` adds the setting's name.
"""

import re
from collections.abc import Callable
from ipaddress import ip_network
from urllib.parse import urlsplit

from shared.net import redis_url as several
from shared.net.peers import is_address
from shared.net.places import place_of

#: A host as it stands in a URL, a bind address or a greeting: letters, digits, dots, hyphens; colons of IPv6.
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
#: Ten years in seconds: beyond that times do not fit where they are counted in milliseconds.
_MAX_RETRY_S = 315_360_000


def host(text: str) -> None:
    """Where to listen, or a name of this machine."""
    if text and not _HOST.fullmatch(text) and not is_address(text):
        raise ValueError("expected a host's name or address")


def domain(text: str) -> None:
    labels = text.rstrip(".").split(".")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("expected a domain")


def networks(text: str) -> None:
    for part in _parts(text):
        try:
            ip_network(part, strict=False)
        except ValueError:
            raise ValueError(f"{part[:50]!r} is no network (CIDR) and no address") from None


def addresses_with_port(text: str) -> None:
    for part in _parts(text):
        address_with_port(part)


def address_with_port(text: str) -> None:
    """`127.0.0.1`, `127.0.0.1:5353`, `::1`, `[::1]:5353`."""
    if not text or is_address(text):
        return
    before, colon, number = text.rpartition(":")
    if not (colon and is_address(before.removeprefix("[").removesuffix("]")) and _is_port(number)):
        raise ValueError("expected an address, with or without a port")


def socket_place(text: str) -> None:
    """`127.0.0.1:24`, `[::1]:24`, `unix:/run/estafette/lmtp`."""
    if text:
        try:
            place_of(text)
        except ValueError as error:
            raise ValueError(f"expected {error}") from None


def url(text: str) -> None:
    try:
        split = urlsplit(text)
        right = not text or (bool(split.hostname) and (split.port is None or 0 < split.port < 65_536))
    except ValueError:
        right = False
    if not right:
        raise ValueError("expected a URL with a host, and a port of at most 65535 if any")


def named_urls(text: str) -> None:
    for part in _parts(text):
        name, equals, place = part.partition("=")
        if not name or not equals or not place.startswith(("http://", "https://")):
            raise ValueError("expected name=url, separated by commas")
        url(place)


def route(text: str) -> None:
    if text.startswith("smtp://") and not _is_port(text.rpartition(":")[2]):
        raise ValueError("expected a port from 1 to 65535")


def redis_url(text: str) -> None:
    if several.is_of_several(text):
        several.parse(text)
    elif text.startswith(("redis://", "rediss://")):
        try:
            url(text)
        except ValueError:
            raise ValueError(
                "expected redis://host:port/database, with user:password@ before the host if any"
            ) from None
        path = urlsplit(text).path.strip("/")
        if path and not path.isdecimal():
            raise ValueError("expected the number of a database at the end")


def ports(text: str) -> None:
    if not all(_is_port(part) for part in _parts(text)):
        raise ValueError("expected ports, each from 1 to 65535")


def seconds(text: str) -> None:
    if any(len(part) > 9 or int(part) > _MAX_RETRY_S for part in _parts(text)):
        raise ValueError("expected seconds, each less than ten years")


def file(text: str) -> None:
    if "\0" in text:
        raise ValueError("expected the name of a file")


def files(text: str) -> None:
    file(text)


def line(text: str) -> None:
    """What stands in a header."""
    if not text.isprintable():
        raise ValueError("expected one line of text")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65_536


CHECKS: dict[str, Callable[[str], None]] = {
    "data.dir": file,
    "redis.url": redis_url,
    "http.host": host,
    "http.ready_urls": named_urls,
    "relay.route": route,
    "relay.shaping_file": file,
    "relay.egress_file": file,
    "relay.routes_file": file,
    "tracking.base_url": url,
    "tracking.networks_file": file,
    "bounces.host": host,
    "bounces.domain": domain,
    "mailbox.host": host,
    "dns.servers": addresses_with_port,
    "tls.client_certificate": file,
    "tls.client_key": file,
    "tls.ca_file": file,
    "tls.dane_resolver": address_with_port,
    "tls.report_from": line,
    "tls.organization": line,
    "tls.contact": line,
    "secret.key_file": file,
    "secret.previous_key_files": files,
    "metrics.host": host,
}
