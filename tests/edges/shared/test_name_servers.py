"""Questions to name servers on sockets: whom they are put to, and what becomes of them in bad weather."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from shared.net import name_servers
from shared.net.name_servers import PORT_USES, NameServers, parse_servers
from tests.fakes.dns_server import DnsServer, Trouble

ZONE = """
    example.net. 300 IN SOA ns.example.net. admin.example.net. 1 60 60 60 60
    example.net. 300 IN MX 10 mx.example.net.
"""


@asynccontextmanager
async def asking(addresses: str, timeout_ms: int) -> AsyncIterator[NameServers]:
    """So long a time as a busy machine may take to answer, where an answer is expected."""
    servers = NameServers(addresses, timeout_ms)
    try:
        yield servers
    finally:
        await servers.close()


@pytest.mark.parametrize("trouble", ["servfail", "refused", "silent"])
async def test_the_next_server_is_asked_when_one_cannot_tell(trouble: Trouble) -> None:
    async with DnsServer(ZONE) as first, DnsServer(ZONE) as second:
        first.trouble["example.net."] = trouble
        async with asking(f"{first.address}, {second.address}", 1000) as servers:
            assert (await servers.ask("example.net", "MX")).status == "found"

            assert (first.asked.total(), second.asked.total()) == (1, 1)


async def test_a_silent_server_is_no_longer_asked_first_and_one_that_answers_stays() -> None:
    async with DnsServer(ZONE) as silent, DnsServer(ZONE) as other:
        silent.trouble["example.net."] = "silent"
        async with asking(f"{silent.address},{other.address}", 1000) as servers:
            for _ in range(5):
                assert (await servers.ask("example.net", "MX")).status == "found"

            assert (silent.asked.total(), other.asked.total()) == (1, 5)


async def test_who_cannot_tell_is_not_asked_twice_and_who_is_silent_is() -> None:
    async with DnsServer(ZONE) as server, asking(server.address, 1000) as servers:
        server.trouble["example.net."] = "servfail"
        server.trouble["lost.example."] = "silent"

        assert (await servers.ask("example.net", "MX")).detail == "SERVFAIL"
        assert (await servers.ask("lost.example", "MX")).detail == "no name server answers"

        assert server.asked == {("example.net.", "MX"): 1, ("lost.example.", "MX"): 2}


async def test_a_server_that_does_not_know_edns_is_asked_without() -> None:
    async with DnsServer(ZONE) as server:
        server.knows_edns = False
        async with asking(server.address, 10_000) as servers:
            for _ in range(3):
                assert (await servers.ask("example.net", "MX")).status == "found"

            assert server.asked.total() == 4


async def test_many_questions_go_out_from_several_ports_which_are_all_closed() -> None:
    async with DnsServer(ZONE) as server, asking(server.address, 10_000) as servers:
        for _ in range(2 * PORT_USES + 1):
            await servers.ask("example.net", "MX")

        assert len({port for _, port in server.peers}) == 3


async def test_the_systems_servers_are_read_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_servers, "LOOK_AGAIN_S", 0.0)
    file = tmp_path / "resolv.conf"
    file.write_text("# comment\nsearch example.net\nnameserver 127.0.0.9\nnameserver nonsense\nnameserver ::1\n")
    servers = NameServers("", 300, file)

    assert servers.places() == (("127.0.0.9", 53), ("::1", 53))
    file.write_text("nameserver 127.0.0.10\n")
    assert servers.places() == (("127.0.0.10", 53),)
    file.unlink()
    assert servers.places() == (("127.0.0.10", 53),)
    await servers.close()


async def test_without_a_server_it_is_this_machines(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        for servers in (NameServers("", 300, tmp_path / "missing"), NameServers(" , ", 300, tmp_path / "missing")):
            stack.push_async_callback(servers.close)
            assert servers.places() == (("127.0.0.1", 53),)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("192.0.2.1", (("192.0.2.1", 53),)),
        (
            "192.0.2.1:5353, [2001:db8::1]:54,2001:DB8::2",
            (("192.0.2.1", 5353), ("2001:db8::1", 54), ("2001:db8::2", 53)),
        ),
        ("[::1]", (("::1", 53),)),
        ("", ()),
    ],
)
def test_servers_are_addresses_with_or_without_a_port(text: str, places: tuple[tuple[str, int], ...]) -> None:
    assert parse_servers(text) == places


@pytest.mark.parametrize("text", ["ns.example.net", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "[::1]x", "[::1"])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"dns\.servers: .* is no list of addresses"):
        parse_servers(f"192.0.2.1,{text}")
