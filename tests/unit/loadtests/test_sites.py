"""The measurement of thousands of sites: each is a host of its own, found by DNS; what is promised is judged."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from loadtests import bench_sites, many_hosts
from loadtests.bench_sites import EACH, LEAST, Figures, domain, holds, recipients, summary, zone
from loadtests.many_hosts import MARK, Record, Session, address
from loadtests.zone import Zone
from shared.net import dns_message
from shared.words.sites import site_name

ROOT = Path(__file__).resolve().parents[3]


def figures(sites: int, per_s: float, cpu_ms: float, waited: float = 0.5, undelivered: int = 0) -> Figures:
    return Figures(sites, per_s, cpu_ms, [waited] * 3, sites, sites, sites, 100.0, undelivered)


def found(most: Figures) -> dict[str, Any]:
    drains = {(10, 0): [figures(10, 900, 0.5), figures(10, 1_100, 0.5)], (10, EACH): [figures(10, 800, 0.8)]}
    return summary({**drains, (10_000, 0): [most]}, 10, 10_000)


def test_each_site_has_a_host_and_an_address_of_its_own_on_this_machine() -> None:
    addresses = {address(number) for number in range(10_000)}

    assert len(addresses) == 10_000
    assert all(one.startswith("127.") and one != "127.0.0.1" for one in addresses)
    assert len({site_name([f"mx.{domain(number)}"]) for number in range(100)}) == 100


def test_there_are_no_more_sites_than_addresses() -> None:
    with pytest.raises(ValueError, match="1,000,000"):
        address(many_hosts.MOST_SITES)


@pytest.mark.parametrize(("sites", "each"), [(10, LEAST // 10), (1_000, EACH), (3_000, EACH)])
def test_every_site_gets_as_many_messages_as_the_others_and_ten_from_a_thousand_on(sites: int, each: int) -> None:
    mail = [one["email"] for one in recipients(sites)]

    counts = {domain(number): 0 for number in range(sites)}
    for email in mail:
        counts[email.partition("@")[2]] += 1
    assert set(counts.values()) == {each}
    assert len(set(mail)) == len(mail)


async def test_the_zone_answers_what_a_relay_asks_on_its_way_to_a_site() -> None:
    server = Zone(zone(3))
    await server.foresee()

    def asked(name: str, record_type: dns_message.RecordType) -> dns_message.Reply:
        packet = dns_message.question(name, record_type, 7)
        answer = server.answer(packet, "udp")
        assert answer is not None
        assert dns_message.answers(answer, packet)
        return dns_message.read(answer, name, record_type)

    assert asked("site2.example", "MX").rows == ((10, "mx.site2.example"),)
    assert asked("mx.site2.example", "A").rows == ((0, address(2)),)
    assert asked("mx.site2.example", "AAAA").status == "no_record"
    assert asked("_mta-sts.site2.example", "TXT").status == "no_name"
    assert asked("site3.example", "MX").status == "no_name"


async def test_a_host_takes_mails_that_come_many_commands_at_a_time_and_notes_those_that_are_waited_for() -> None:
    record, loop = Record(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Session(record, loop), address(4), 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection(address(4), port)
    for name in ("u1", f"{MARK}7"):
        writer.write(f"MAIL FROM:<a@b.example>\r\nRCPT TO:<{name}@site4.example>\r\nDATA\r\nhello\r\n.\r\n".encode())
    writer.write(b"QUIT\r\n")

    said = await reader.read()

    assert said.count(b"250 2.0.0 taken\r\n") == 2
    assert said.endswith(b"221 2.0.0 bye\r\n")
    assert (record.connections, record.dialled, [*record.taken]) == (1, {address(4)}, [f"{MARK}7"])
    writer.close()
    server.close()


def test_the_last_line_has_what_was_asked_for_and_what_a_connection_costs_beside_it() -> None:
    result = found(figures(10_000, 600, 0.9, waited=0.4))

    assert result["bench"] == "sites"
    assert (result["ratio_10000_to_10"], result["cpu_ratio"], result["transactional_median_s"]) == (0.6, 1.8, 0.4)
    assert (result["connection_cpu_ratio"], result["cpu_ratio_beside_connections"]) == (1.6, 1.125)
    assert holds(result)


@pytest.mark.parametrize(
    "most",
    [
        figures(10_000, 499, 0.9),
        figures(10_000, 600, 1.01),
        figures(10_000, 600, 0.9, waited=1.0),
        figures(10_000, 600, 0.9, undelivered=1),
    ],
    ids=["too slow", "too dear", "people wait", "lost"],
)
def test_whatever_misses_a_goal_is_told(most: Figures) -> None:
    assert not holds(found(most))


def test_the_figures_are_described() -> None:
    page = (ROOT / "loadtests" / "README.md").read_text("utf-8")

    assert "make bench-sites" in page
    assert all(f"`{name}`" in page for name in found(figures(10_000, 600, 0.9)) if name != "bench")
    assert bench_sites.__doc__ is not None
