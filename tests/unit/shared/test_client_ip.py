"""The recipient's address is the one that our own proxies saw, never one that the recipient wrote."""

import pytest

from shared.net.client_ip import client_ip


@pytest.mark.parametrize(
    ("forwarded_for", "hops", "expected"),
    [
        ("", 0, "10.0.0.1"),
        ("203.0.113.9", 0, "10.0.0.1"),
        ("", 1, "10.0.0.1"),
        ("203.0.113.9", 1, "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", 1, "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 10.0.0.7", 2, "203.0.113.9"),
        ("203.0.113.9", 2, "10.0.0.1"),
        ("2001:DB8::1", 1, "2001:db8::1"),
        ("unknown", 1, "10.0.0.1"),
        ("203.0.113.9:443, <script>", 1, "10.0.0.1"),
        ("198.51.100.1, 203.0.113.9:443", 1, "203.0.113.9"),
        ("[2001:DB8::1]:443", 1, "2001:db8::1"),
        ("[2001:db8::1]", 1, "2001:db8::1"),
        ("2001:db8::1:443", 1, "2001:db8::1:443"),
        ("::ffff:203.0.113.9", 1, "203.0.113.9"),
        ("[::ffff:203.0.113.9]:443", 1, "203.0.113.9"),
        ("[203.0.113.9", 1, "10.0.0.1"),
        ("203.0.113.9:", 1, "10.0.0.1"),
        ("203.0.113.9:http", 1, "10.0.0.1"),
        ("203.0.113.999:443", 1, "10.0.0.1"),
        ("198.51.100.1,, 203.0.113.9 ,", 1, "203.0.113.9"),
        (",", 1, "10.0.0.1"),
    ],
)
def test_only_what_our_proxies_appended_is_believed(forwarded_for: str, hops: int, expected: str) -> None:
    assert client_ip("10.0.0.1", forwarded_for, hops) == expected


@pytest.mark.parametrize(
    ("remote", "expected"), [("::ffff:203.0.113.9", "203.0.113.9"), ("2001:db8::1", "2001:db8::1"), ("", "")]
)
def test_the_connection_s_own_address_is_written_as_any_other(remote: str, expected: str) -> None:
    assert client_ip(remote, "", 0) == expected
