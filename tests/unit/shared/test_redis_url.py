"""What the URL of a Redis of several servers says, and what it is refused for, without repeating a password."""

import pytest

from shared.net.redis_url import Places, is_of_several, parse


@pytest.mark.parametrize(
    ("url", "places"),
    [
        ("redis+cluster://a:1", Places("cluster", False, (("a", 1),))),
        ("redis+cluster://a:1,[::1]:2/", Places("cluster", False, (("a", 1), ("::1", 2)))),
        ("rediss+cluster://:p%40ss@a:1", Places("cluster", True, (("a", 1),), password="p@ss")),
        (
            "rediss+cluster://u:p@a:1,b:2?ssl_ca_certs=/etc/ca.crt",
            Places("cluster", True, (("a", 1), ("b", 2)), "u", "p", files={"ssl_ca_certs": "/etc/ca.crt"}),
        ),
        ("redis+sentinel://a:1,b:2/main", Places("sentinel", False, (("a", 1), ("b", 2)), master="main")),
        (
            "redis+sentinel://:p@a:1/main/3",
            Places("sentinel", False, (("a", 1),), password="p", master="main", database=3),
        ),
        (
            "redis+sentinel://:p@a:1/main?sentinel_user=u&sentinel_password=q%26r+s",
            Places(
                "sentinel",
                False,
                (("a", 1),),
                password="p",
                master="main",
                sentinel_user="u",
                sentinel_password="q&r+s",
            ),
        ),
        ("rediss+sentinel://a:1/main", Places("sentinel", True, (("a", 1),), master="main", sentinel_tls=True)),
        ("rediss+sentinel://a:1/main?sentinel_tls=no", Places("sentinel", True, (("a", 1),), master="main")),
        (
            "redis+sentinel://a:1/main?sentinel_tls=yes&ssl_ca_certs=/ca",
            Places("sentinel", False, (("a", 1),), master="main", files={"ssl_ca_certs": "/ca"}, sentinel_tls=True),
        ),
    ],
)
def test_it_names_servers_and_how_to_get_in(url: str, places: Places) -> None:
    assert is_of_several(url)
    assert parse(url) == places
    assert not places.password or f"{places.password!r}" not in repr(places)
    assert not places.sentinel_password or places.sentinel_password not in repr(places)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+cluster://:secret@a", "expected redis+cluster://host:port"),
        ("redis+cluster://:secret@a:0", "expected redis+cluster://host:port"),
        ("redis+cluster://:secret@a:1,", "expected redis+cluster://host:port"),
        ("redis+cluster://:secret@a:1/0", "expected redis+cluster://host:port"),
        ("redis+sentinel://:secret@a:1", "expected redis+sentinel://host:port/master"),
        ("redis+sentinel://:secret@a:1/main/zero", "expected redis+sentinel://host:port/master"),
        ("rediss+cluster://:secret@a:1?ssl_ca=x", "unknown behind the ?: ssl_ca"),
        ("redis+cluster://:secret@a:1?ssl_ca_certs=x", "ssl_ca_certs: of TLS, which begins with rediss"),
        ("redis+sentinel://:secret@a:1/main?sentinel_tls=secret", "sentinel_tls: expected yes or no"),
        ("redis+cluster://a:1?sentinel_password=secret", "unknown behind the ?: sentinel_password"),
        ("redis://:secret@a:1", "expected redis+cluster:// or redis+sentinel://"),
    ],
)
def test_what_is_not_said_rightly_is_told_without_the_password(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"expected|unknown|of TLS") as raised:
        parse(url)

    assert str(raised.value).startswith(said)
    assert "secret" not in str(raised.value)
