"""Which peers are feedback loops whose word is enough, by the networks that the operator names."""

from ipaddress import IPv6Address, ip_address, ip_network


class Loops:
    """`networks` as in the setting: CIDR or single addresses, separated by commas. ValueError if one is invalid."""

    def __init__(self, networks: str) -> None:
        self._networks = [ip_network(text.strip(), strict=False) for text in networks.split(",") if text.strip()]

    def include(self, peer: str) -> bool:
        """Whether that address is in one of them; an IPv4 address in IPv6 form is what it stands for."""
        try:
            address = ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)
