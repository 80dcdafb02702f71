"""Which URLs are taken, and which addresses may be dialled for them."""

import pytest

from services.webhooks.destination import parse
from services.webhooks.settings import Webhooks
from shared.net.outside import Policy, Refused, usable

OUTSIDE = Policy()
DEFAULT = Webhooks().policy()
OWN = Webhooks(networks="10.20.0.0/16, ::1", plain_http=True).policy()

#: Ways to write, or to wrap, an address inside, a URL that two programs read in two ways, and what is not taken at all.
TRICKS = [
    "https://127.0.0.1/", "https://127.0.0.1:443/", "https://127.0.0.53/", "https://127.255.255.254/",
    "https://0.0.0.0/", "https://0.0.0.0:443/", "https://10.0.0.1/", "https://172.16.0.1/", "https://172.31.255.254/",
    "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data/", "https://169.254.170.2/v2/credentials",
    "https://100.64.0.1/", "https://100.100.100.200/latest/meta-data/", "https://192.0.0.192/opc/v2/",
    "https://192.0.2.1/", "https://198.18.0.1/", "https://198.51.100.1/", "https://203.0.113.1/", "https://224.0.0.1/",
    "https://239.255.255.250/", "https://240.0.0.1/", "https://255.255.255.255/", "https://192.88.99.1/",
    "https://127.1/", "https://127.0.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/",
    "https://0177.0.0.1/", "https://017700000001/", "https://127.0.0.01/", "https://0127.0.0.1/",
    "https://127.0.0.1./", "https://2130706433./", "https://0xA9FEA9FE/", "https://3232235777/", "https://1.1/",
    "https://4294967297/", "https://127.0.0.0x1/", "https://0/", "https://1.2.3.4.5/", "https://256.256.256.256/",
    "https://[::1]/", "https://[::]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/", "https://[::ffff:a9fe:a9fe]/", "https://[::127.0.0.1]/", "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::a00:1]/", "https://[64:ff9b:1::1]/", "https://[2002:7f00:1::]/", "https://[2002:a00:1::1]/",
    "https://[2001:0:7f00:1::1]/", "https://[2001:db8::1]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[ff02::1]/", "https://[fec0::1]/", "https://[100::1]/",
    "https://[::ffff:0:127.0.0.1]/", "https://[5f00::1]/", "https://[3fff::1]/",
    "https://user@exemple.fr/", "https://user:password@exemple.fr/", "https://exemple.fr@127.0.0.1/",
    "https://127.0.0.1@exemple.fr/", "https://:@exemple.fr/", "https://exemple.fr#@127.0.0.1/",
    "https://exemple.fr\\@127.0.0.1/", "https://127.0.0.1\\.exemple.fr/", "https:\\\\127.0.0.1/", "https:/127.0.0.1/",
    "https:///127.0.0.1/", "//127.0.0.1/", "https://exemple.fr/#fragment", "https://exemple.fr/\r\nHost: inside",
    "https://exemple.fr\r\n/", "https://exemple.fr/\tx", " https://exemple.fr/", "https://exemple.fr/ ",
    "https://exemple.fr\x00.inside/", "https://①②⑦.⓪.⓪.①/", "https://１２７.0.0.1/", "https://localhost。/",
    "https://exämple.fr/", "https://exemple.fr/é", "https://%31%32%37.0.0.1/", "https://127%2e0.0.1/",
    "https://exemple..fr/", "https://.exemple.fr/", "https://-exemple.fr/", "https://exemple-.fr/",
    "https://exemple.fr:0/", "https://exemple.fr:65536/", "https://exemple.fr:99999/", "https://exemple.fr:443:22/",
    "https://exemple.fr:22/", "https://exemple.fr:6379/", "https://exemple.fr:/", "https://exemple.fr:-1/",
    "http://exemple.fr/", "ftp://exemple.fr/", "file:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL",
    "unix:///run/redis.sock", "javascript:alert(1)", "data:text/plain,a", "dict://127.0.0.1:6379/info",
    "HTTPS://exemple.fr/", "https://", "https://[]/", "https://[::1/", "https://::1/", "https://[1.2.3.4]/", "https://[::1]:22/",
    "", "exemple.fr",
    "https://" + "a" * 2_000 + ".fr/",
]  # fmt: skip


@pytest.mark.parametrize("url", TRICKS)
def test_no_trick_is_taken(url: str) -> None:
    assert len(TRICKS) >= 100
    with pytest.raises(Refused):
        parse(url, DEFAULT)


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://exemple.fr", "exemple.fr", 443, "/"),
        ("https://Hooks.Exemple.fr./a?b=c&d=%2F", "hooks.exemple.fr", 443, "/a?b=c&d=%2F"),
        ("https://exemple.fr:8443?x", "exemple.fr", 8443, "/?x"),
        ("https://xn--exmple-cua.fr/~a(b);c", "xn--exmple-cua.fr", 443, "/~a(b);c"),
        ("https://93.184.215.14/", "93.184.215.14", 443, "/"),
        ("https://[2a00:1450:4007::1]/", "2a00:1450:4007::1", 443, "/"),
        ("https://localhost/", "localhost", 443, "/"),  # a name: what it leads to is judged when it is resolved
        ("https://0x7f.exemple.fr/", "0x7f.exemple.fr", 443, "/"),
    ],
)
def test_a_plain_url_is_taken(url: str, host: str, port: int, target: str) -> None:
    found = parse(url, DEFAULT)

    assert (found.host, found.port, found.target) == (host, port, target)


def test_what_the_operator_allows_is_taken_at_any_port() -> None:
    assert parse("http://10.20.3.4:9000/x", OWN).authority == "10.20.3.4:9000"
    assert parse("http://[::1]:9000/x", OWN).authority == "[::1]:9000"
    with pytest.raises(Refused):
        parse("http://10.21.0.1/", OWN)


NAME, PORT = "exemple.fr", 443


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
     "fe80::1", "fd00::1", "224.0.0.1", "0.0.0.0", "100.64.0.1"],
)  # fmt: skip
def test_a_name_that_leads_inside_is_refused_however_it_looks(address: str) -> None:
    with pytest.raises(Refused, match="no address outside"):
        usable(NAME, PORT, [address], OUTSIDE)
    assert usable(NAME, PORT, [address, "93.184.215.14"], OUTSIDE) == ["93.184.215.14"]


def test_at_a_port_that_is_not_asked_only_allowed_networks_are_dialled() -> None:
    odd = 9_000

    assert usable(NAME, odd, ["10.20.0.5", "93.184.215.14"], OWN) == ["10.20.0.5"]
    with pytest.raises(Refused, match="port 9000"):
        usable(NAME, odd, ["93.184.215.14"], OWN)
