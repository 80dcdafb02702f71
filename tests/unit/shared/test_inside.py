"""Which addresses are nobody's to name."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.net.inside import is_inside

INSIDE = (
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:7f00:1", "fe80::1", "fe80::1%eth0",
    "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "2001::1", "2002:7f00:1::1", "2002:808:808::1",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::8.8.8.8", "100::1", "4000::1",
)  # fmt: skip
OUTSIDE = ("8.8.8.8", "1.1.1.1", "172.32.0.1", "192.169.0.1", "2001:4860:4860::8888", "2a00::1", "64:ff9b::808:808")


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_that_is_not_the_whole_worlds_is_inside(address: str) -> None:
    assert is_inside(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_the_worlds_addresses_are_not(address: str) -> None:
    assert not is_inside(address)


@pytest.mark.parametrize("name", ["localhost", "mx.example", "127.1", "0x7f.0.0.1", "2130706433", "", "[::1]"])
def test_a_name_is_judged_by_what_it_resolves_to(name: str) -> None:
    assert not is_inside(name)


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_no_wrapping_makes_an_address_less_inside(address: IPv4Address) -> None:
    wrapped = (IPv6Address(int(prefix) | int(address)) for prefix in map(ip_address, ("64:ff9b::", "::ffff:0:0", "::")))

    assert not is_inside(str(address)) or all(is_inside(str(one)) for one in wrapped)
