"""From which address a request comes, where proxies of ours stand in front: agreed by all that count by address."""

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

# An address with a port behind it, as some proxies write it; one of IPv6 in brackets then. A bare one of IPv6 has
# colons of its own, so there the first form must not have more than one.
_WITH_PORT = re.compile(r"([^:\[\]]+):\d{1,5}|\[([^\[\]]+)\](?::\d{1,5})?")


def client_ip(remote: str, forwarded_for: str, hops: int) -> str:
    """The address that our outermost proxy saw: the `hops`-th from the end, for what stands before was written by
    others. `forwarded_for` are all lines of the field as one list; elements with nothing in them are none (RFC 9110,
    5.6.1). The connection's address where the list is shorter than that, or has something else there."""
    if hops > 0:
        seen = [element for part in forwarded_for.split(",") if (element := part.strip())]
        if hops <= len(seen) and (believed := _address(seen[-hops])):
            return believed
    return _address(remote) or remote


@lru_cache(maxsize=4096)
def _address(seen: str) -> str:
    """The address without its port and brackets; "" if it is invalid."""
    with_port = _WITH_PORT.fullmatch(seen)
    try:
        address = ip_address((with_port[1] or with_port[2]) if with_port else seen)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
