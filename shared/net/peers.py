"""Whom an address belongs to: what is bounded by peer is bounded by whoever holds the address, over HTTP and SMTP."""

from ipaddress import IPv6Address, ip_address, ip_network


def is_address(text: str) -> bool:
    """Whether it is an IP address, of either kind."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def peer_of(address: str) -> str:
    """Itself, or of IPv6 the /64 that one host has at its disposal. What is no address stays as it is, as "" does: a
    socket without an address."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped) if ip.ipv4_mapped else str(ip_network((ip, 64), strict=False))
    return str(ip)
