"""Who may read the mailbox, which has no key, and who may empty it."""

import pytest

from services.local.mailbox.http import is_own_change, is_this_host

NAMES = frozenset({"box.example"})


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:8080", "LOCALHOST:8080", "localhost.", "localhost.:8080", "127.0.0.1", "127.0.0.1:8080",
        "192.0.2.7:8080", "127.0.0.1.",
        "[::1]", "[::1]:8080", "[2001:DB8::1]:80", "[::ffff:127.0.0.1]:8080", "box.example",
        "BOX.Example.:443",
    ],
)  # fmt: skip
def test_it_is_read_at_an_address_of_this_host_and_by_its_name(host: str) -> None:
    assert is_this_host(host, NAMES)


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "evil.example:8080", "EVIL.EXAMPLE.", "127.0.0.1.evil.example", "localhost.evil.example",
        "box.example.evil", "xbox.example", "box.example..", "[evil]", "[::1", "::1", "[::1]x", "[::1]:x",
        "localhost:", "localhost:99999999", "user@localhost", "localhost/", "localhost, evil.example", "127.1",
        "0x7f.1",
        "[localhost]", "[fe80::1%25eth0]", "localhost:8080@evil.example", "127.0.0.1:80:80", " localhost",
    ],
)  # fmt: skip
def test_it_is_not_read_by_any_other_name(host: str) -> None:
    assert not is_this_host(host, NAMES)


@pytest.mark.parametrize(
    ("host", "origins", "sites"),
    [
        ("localhost:8080", [], []),
        ("localhost:8080", [], ["same-origin"]),
        ("localhost:8080", [], ["none"]),
        ("localhost:8080", ["null"], ["same-origin"]),
        ("localhost:8080", ["http://localhost:8080"], []),
        ("localhost:8080", ["http://localhost:8080"], ["same-origin"]),
        ("LOCALHOST.:8080", ["http://localhost:8080"], []),
        ("localhost", ["http://localhost:80"], []),
        ("localhost:80", ["http://localhost"], []),
        ("box.example", ["https://box.example"], []),
        ("box.example:443", ["https://box.example"], ["same-origin"]),
        ("[::1]:8080", ["http://[::1]:8080"], []),
        ("[2001:DB8::1]:8080", ["http://[2001:db8::1]:8080"], []),
    ],
)
def test_our_own_page_and_what_is_no_browser_may_empty_it(host: str, origins: list[str], sites: list[str]) -> None:
    assert is_own_change(host, origins, sites)


@pytest.mark.parametrize(
    ("origins", "sites"),
    [
        ([], ["cross-site"]),
        ([], ["same-site"]),
        ([], ["Same-Origin"]),
        ([], [""]),
        ([], ["same-origin", "cross-site"]),
        (["null"], []),
        (["null"], ["none"]),
        (["null"], ["same-site"]),
        (["null"], ["cross-site"]),
        (["http://localhost:8080"], ["cross-site"]),
        (["http://localhost:8080"], ["same-site"]),
        (["http://localhost:8080", "http://evil.example"], ["same-origin"]),
        (["http://localhost:9090"], ["same-origin"]),
        (["http://localhost"], []),
        (["https://localhost:8081"], []),
        (["http://evil.example"], []),
        (["http://evil.example:8080"], ["same-origin"]),
        (["http://localhost.evil.example:8080"], []),
        (["http://127.0.0.1:8080"], []),
        (["http://[::1]:8080"], []),
        (["file://localhost:8080"], []),
        (["chrome-extension://localhost:8080"], []),
        (["localhost:8080"], []),
        (["//localhost:8080"], []),
        (["HTTP://localhost:8080"], []),
        (["http://localhost:8080/"], []),
        (["http://user@localhost:8080"], []),
        (["http://"], []),
        ([""], []),
        (["NULL"], ["same-origin"]),
    ],
)
def test_no_other_site_empties_it(origins: list[str], sites: list[str]) -> None:
    assert not is_own_change("localhost:8080", origins, sites)
