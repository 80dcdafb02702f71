"""Which networks machines come from: the shipped list, and the operator's over it."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from services.settings import load
from services.tracking import network_files, networks
from services.tracking.networks import Found, Networks, parse
from shared.process.settings import SettingsError

SHIPPED = network_files.SHIPPED.read_text("utf-8")
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def name_of(found: Found | None) -> str | None:
    return None if found is None else found.name


def test_an_address_is_found_in_the_shipped_networks_of_both_versions_of_ip() -> None:
    known = parse(SHIPPED, "")

    assert name_of(known.find("209.222.82.5", "click", FIREFOX)) == "barracuda"
    assert name_of(known.find("2620:149:a44::1", "open", FIREFOX)) == "apple"
    assert known.find("192.0.2.1", "click", FIREFOX) is None


@pytest.mark.parametrize("ip", ["", "unknown", "1.2.3", "203.0.113.9:80", "::g"])
def test_what_is_no_address_is_in_no_network(ip: str) -> None:
    assert parse(SHIPPED, "").find(ip, "click", FIREFOX) is None


def test_the_smallest_network_decides_and_people_may_be_let_out_of_a_larger_one() -> None:
    own = """
        [[network]]
        name = "cloud"
        verdict = "scanner"
        networks = ["203.0.112.0/20", "2001:db8::/32"]
        [[network]]
        name = "our office"
        verdict = "person"
        networks = ["203.0.113.8/29", "2001:db8:1::/48"]
    """
    known = parse(SHIPPED, own)

    assert name_of(known.find("203.0.113.1", "click", FIREFOX)) == "cloud"
    assert name_of(known.find("2001:db8::1", "click", FIREFOX)) == "cloud"
    assert known.find("203.0.113.9", "click", FIREFOX) is None
    assert known.find("2001:db8:1::1", "click", FIREFOX) is None


def test_a_row_may_be_of_openings_alone_or_of_one_agent() -> None:
    row = Found("relay", "prefetch", (ip_network("198.51.100.0/24"),), "open", "Mozilla/5.0")
    known = Networks([row])

    assert known.find("198.51.100.1", "open", "Mozilla/5.0") == row
    assert known.find("198.51.100.1", "open", FIREFOX) is None
    assert known.find("198.51.100.1", "click", "Mozilla/5.0") is None


def test_an_operator_replaces_a_shipped_row_by_its_name() -> None:
    own = '[[network]]\nname = "barracuda"\nverdict = "scanner"\nnetworks = ["192.0.2.0/24"]'

    known = parse(SHIPPED, own)

    assert name_of(known.find("192.0.2.1", "click", FIREFOX)) == "barracuda"
    assert known.find("209.222.82.5", "click", FIREFOX) is None


@pytest.mark.parametrize(
    ("own", "fault"),
    [
        ('[[network]]\nname = "a"\nverdict = "bot"\nnetworks = ["192.0.2.0/24"]', "network 1 (a): verdict is one of"),
        ('[[network]]\nname = "a"\nverdict = "scanner"\nnetworks = ["192.0.2.1/24"]', "'192.0.2.1/24', which is no"),
        ('[[network]]\nname = "a"\nverdict = "scanner"\nnetworks = ["0.0.0.0/0"]', "which is everybody"),
        ('[[network]]\nname = "a"\nverdict = "scanner"', "network 1 (a): networks is missing"),
        ('[[network]]\nverdict = "scanner"\nnetworks = "192.0.2.0/24"', "network 1: name is missing"),
        ('[[network]]\nname = "a"\nverdict = "scanner"\nnetwork = "::/8"', "did you mean networks?"),
        ('[[network]]\nname = "é"\nverdict = "scanner"\nnetworks = "192.0.2.0/24"', "characters of ASCII"),
        ('[[network]]\nname = "a"\nverdict = "scanner"\nnetworks = ["::/8"]\nasked = "both"', "asked is one of open"),
        ("[[networks]]", "did you mean network?"),
        ("name =", "no TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(own: str, fault: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse(SHIPPED, own)

    assert fault in str(raised.value)


def test_what_another_file_changes_is_told_by_name() -> None:
    own = '[[network]]\nname = "{}"\nverdict = "scanner"\nnetworks = ["192.0.2.0/24"]'

    before, after = parse(own.format("apple"), own.format("ours")), parse(own.format("cloud"), own.format("apple"))

    assert networks.differences(before, after) == ["network cloud is new", "network ours is gone"]
    assert networks.differences(before, before) == []


async def test_at_a_hangup_the_file_is_read_again_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "networks.toml"
    file.write_text('[[network]]\nname = "ours"\nverdict = "scanner"\nnetworks = ["192.0.2.0/24"]')
    settings = load({"ESTAFETTE_TRACKING_NETWORKS_FILE": str(file)}, None)
    known = network_files.KnownNetworks(settings)

    file.write_text('[[network]]\nname = "ours"\nverdict = "scanner"\nnetworks = ["198.51.100.0/24"]')
    prepared = known.prepare(settings)

    assert prepared.changes == ["network ours is another"]
    assert name_of(known.find("192.0.2.1", "open", FIREFOX)) == "ours"
    await prepared.apply()
    assert known.find("192.0.2.1", "open", FIREFOX) is None
    assert name_of(known.find("198.51.100.1", "open", FIREFOX)) == "ours"
    file.write_text("[[network]]")
    with pytest.raises(SettingsError) as raised:
        known.prepare(settings)
    assert all(fault.startswith(f"tracking.networks_file: {file}: network 1") for fault in raised.value.faults)
    file.unlink()
    with pytest.raises(SettingsError, match="No such file"):
        known.prepare(settings)
