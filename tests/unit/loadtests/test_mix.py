"""The measurement of 40 sites: its table is what it says, and it finds what it looks for."""

from pathlib import Path

import pytest

from loadtests import adapting, traffic
from loadtests.bench_mix import Run, Seen, dry, over
from loadtests.traffic import Pace, Site
from services.relay.traffic.shaping import Shaping
from shared.words.rates import allowed
from shared.words.sites import site_name

ROOT = Path(__file__).resolve().parents[3]
PACE = Pace(500)
SITES = traffic.sites()
SFR = next(site for site in SITES if site.name == "sfr")


def seen(site: Site, *, most_open: int = 1, mails: tuple[float, ...] = (), taken: tuple[float, ...] = ()) -> Seen:
    return Seen(site.name, most_open, most_open, mails, taken, ())


def run(one: Seen, mail: int = 1000) -> Run:
    others = {site.name: seen(site) for site in SITES}
    return Run(others | {one.name: one}, {site.name: mail for site in SITES}, 0.0, 10.0)


def test_there_are_forty_sites_and_their_shares_are_all_of_the_mail() -> None:
    assert len(SITES) == 40
    assert sum(site.share for site in SITES) == pytest.approx(100, abs=0.1)
    assert sum(site.share for site in SITES if not site.good) == pytest.approx(24, abs=1)


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_a_site_has_the_name_by_which_the_relay_knows_its_hosts(site: Site) -> None:
    assert site_name(site.hosts) == site.name


def test_no_two_hosts_share_an_address() -> None:
    addresses = [address for site in SITES for address in site.addresses]

    assert len(set(addresses)) == len(addresses)


def test_the_shaping_file_says_what_is_checked() -> None:
    shipped = (ROOT / "services" / "relay" / "traffic" / "shaping.toml").read_text("utf-8")

    shaping = Shaping.parse(shipped, traffic.shaping(SITES, PACE))

    for site in SITES:
        shape = shaping.of(site.name)
        assert shape.connections == shape.source_connections == site.connections
        assert shape.rates == ((PACE.rate(site),) if site.rated else ())


def test_the_most_within_a_second_is_found_wherever_the_second_begins() -> None:
    one = seen(SFR, mails=(0.0, 0.75, 1.0, 1.25, 1.5, 1.75, 3.0))

    assert one.most_in(1.0) == 4  # 1.0 to 1.75: of 0.75 and 1.75 one is outside
    assert seen(SFR).most_in(1.0) == 0


def test_a_limit_that_holds_is_no_fault() -> None:
    at_once = tuple(0.5 for _ in range(allowed(PACE.rate(SFR), 1000)))

    assert over(SITES, PACE, [run(seen(SFR, most_open=SFR.connections, mails=at_once))]) == []


def test_one_connection_too_many_is_a_fault() -> None:
    assert len(over(SITES, PACE, [run(seen(SFR)), run(seen(SFR, most_open=SFR.connections + 1))])) == 1


def test_one_message_too_many_within_a_second_is_a_fault() -> None:
    too_many = tuple(0.5 + n / 10_000 for n in range(allowed(PACE.rate(SFR), 1000) + 1))

    assert len(over(SITES, PACE, [run(seen(SFR, mails=too_many))])) == 1


def test_a_site_without_mail_at_the_end_measures_nothing() -> None:
    assert dry([SFR], [run(seen(SFR, taken=(1.0, 2.0, 3.0)), mail=4)]) == []
    assert len(dry([SFR], [run(seen(SFR, taken=(1.0, 2.0, 3.0)), mail=3)])) == 1


def test_a_provider_that_is_sent_too_much_or_too_little_is_a_fault() -> None:
    good = adapting.Adapted(per_s=100, least=0.9, sent=0.97, most=1.02, refused=0.01, minutes_to_full=13)
    bad = (
        {"least": 0.79}, {"sent": 1.01}, {"most": 1.06}, {"refused": 0.05}, {"minutes_to_full": None},
    )  # fmt: skip

    assert good.fault == ""
    assert all(adapting.Adapted(**{**vars(good), **other}).fault for other in bad)
