"""Who counts as one peer."""

import pytest

from shared.net.peers import peer_of


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("2001:DB8:1:2:0:0:0:1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("/run/socket", "/run/socket"),
        ("", ""),
    ],
)
def test_a_peer_is_an_address_or_the_network_of_one_host(address: str, peer: str) -> None:
    assert peer_of(address) == peer
