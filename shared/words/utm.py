"""UTM parameters of links, as web analytics read them: added where a link has none of that name. Pure.

What queueing adds to a link that is the same for everybody, the relay adds to one that depends on the recipient; the
rest of the URL, its fragment too, stays as it is.
"""

from urllib.parse import quote, urlsplit

import msgspec

from shared.words import tokens


class Utm(msgspec.Struct, frozen=True, array_like=True):
    """`parameters` are names (`utm_source` …) and values; links to the `excluded` domains, and to names below them, get
    none. Domains are in lower case."""

    parameters: tuple[tuple[str, str], ...]
    excluded: tuple[str, ...] = ()


def added(url: str, utm: Utm | None) -> str:
    """The URL, an absolute one of ASCII, with those parameters that it has not; as it was where they would make it too
    long for a token."""
    if utm is None or _is_excluded(urlsplit(url).hostname or "", utm.excluded):
        return url
    rest, hash_, fragment = url.partition("#")
    before, _, query = rest.partition("?")
    present = {part.partition("=")[0].lower() for part in query.split("&")}
    new = "&".join(f"{name}={quote(value, safe='')}" for name, value in utm.parameters if name not in present)
    if not new:
        return url
    joint = "" if not query or query.endswith("&") else "&"
    longer = f"{before}?{query}{joint}{new}{hash_}{fragment}"
    return longer if tokens.is_destination(longer) else url


def _is_excluded(host: str, excluded: tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in excluded)
