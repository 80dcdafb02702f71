"""Which addresses are inside, and so are dialled for nobody who may choose them: the one rule for SMTP and for HTTPS.

Whoever owns a domain says where its mail hosts, policy hosts and receivers are. If they say `127.0.0.1`, or the address
of a database next door, a connection of ours would reach what they cannot, and they would get the answer. So an
address that is not the whole world's is refused where names are resolved, right before it is dialled, unless the
operator means it (`relay.private_networks`, `tls.private_networks`).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address

#: What IPv6 has given out for the world (RFC 4291 section 2.4); all else is local, reserved, or a way to IPv4.
_WORLD_6 = IPv6Network("2000::/3")
#: NAT64: the last 32 bits are an address of IPv4 (RFC 6052 section 2.1). Networks without IPv4 reach the world so.
_NAT64 = IPv6Network("64:ff9b::/96")
#: Versions of Python differ about these (IANA's registries of special-purpose addresses): nobody's mail host is there.
_SPECIAL_4 = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
_SPECIAL_6 = (
    IPv6Network("2001::/23"),
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),
    IPv6Network("3fff::/20"),
)


def is_inside(host: str) -> bool:
    """An address that is not the whole world's: loopback, private, link-local, shared (RFC 6598), for documents,
    reserved, multicast, or IPv4 wrapped in IPv6. A name is none."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return _is_inside_4(address)
    if address in _NAT64:
        return _is_inside_4(IPv4Address(int(address) & 0xFFFFFFFF))
    return address not in _WORLD_6 or not address.is_global or any(address in special for special in _SPECIAL_6)


def _is_inside_4(address: IPv4Address) -> bool:
    return not address.is_global or address.is_multicast or any(address in special for special in _SPECIAL_4)
