"""What differs between two sets of limits and source addresses is told, value by value."""

import pytest

from services.relay.traffic.egress import Egress
from services.relay.traffic.rules import Rules, differences, pools_that_share_anew
from services.relay.traffic.shaping import Shaping

RULE = """
[[rule]]
name = "greedy"
match = 'too fast'
action = "{action}"
example = "421 4.7.0 too fast"
but_not = "421 4.7.0 too late"
"""
A1 = '[source.a1]\naddress = "192.0.2.1"\nhelo = "a1.mail.example"\n'
A2 = '[source.a2]\naddress = "192.0.2.2"\nhelo = "a2.mail.example"\n'
WARM = "warmup = {{ started = 2026-11-01, plan = [50, {second}], provider = {{ gmail = [20, 40] }} }}\n"


def rules(shaping: str = "", egress: str = "") -> Rules:
    return Rules(Shaping.parse(shaping), Egress.parse(egress))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("", "", []),
        ("# one word\n", "# another\n", []),
        (
            '[provider.gmail]\nconnections = 5\nrate = "10/s"',
            '[provider.gmail]\nconnections = 7\nsource_rate = ["2/s", "9/h"]',
            ["gmail: connections 5 is now 7; rate 10/s is now none; source_rate none is now 2/s, 9/h"],
        ),
        ("", "[default]\nidle = '9s'", ["[default]: idle none is now 9s", "[route]: idle none is now 9s"]),
        ("", '[provider.orange]\ntls = "required"', ["orange is new: tls required"]),
        ("[site.'mx.x.test']\nconnections = 1", "", ["mx.x.test is gone"]),
        ("", "[source.a1]\nconnections = 3", ["limits of source a1 is new: connections 3"]),
        ('[tenant.acme]\nrate = "1/s"', '[tenant.acme]\nrate = "2/s"', ["limits of tenant acme: rate 1/s is now 2/s"]),
        (RULE.format(action="none"), RULE.format(action="slow_down"), ["rule greedy: action none is now slow_down"]),
        (RULE.format(action="none"), "", ["rule greedy is gone"]),
    ],
)
def test_limits_and_rules_that_are_others_are_named(before: str, after: str, said: list[str]) -> None:
    assert differences(rules(before), rules(after)) == said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (A1, A1, []),
        (A1, A1 + "weight = 3\n", ["source a1: weight 1 is now 3"]),
        (
            A1 + A2,
            A1.replace("192.0.2.1", "192.0.2.9"),
            [
                "source a1: address 192.0.2.1 is now 192.0.2.9",
                "source a2 is gone",
                "pool default: sources a1, a2 is now a1",
            ],
        ),
        (
            A1 + WARM.format(second=100),
            A1 + WARM.format(second=90),
            [
                "source a1: warmup from 2026-11-01: 50, 100 a day; 20, 40 a day at gmail "
                "is now from 2026-11-01: 50, 90 a day; 20, 40 a day at gmail"
            ],
        ),
        (
            A1 + A2,
            A1
            + A2
            + '[pool.codes]\nsources = ["a2"]\n[streams]\ntransactional = "codes"\n[tenant.acme]\nbulk = "codes"',
            [
                "pool codes is new: sources a2",
                "stream bulk of acme is new: pool codes",
                "stream transactional is new: pool codes",
            ],
        ),
    ],
)
def test_sources_pools_and_streams_that_are_others_are_named(before: str, after: str, said: list[str]) -> None:
    assert differences(rules(egress=before), rules(egress=after)) == said


def test_rules_in_another_order_are_another_matter() -> None:
    one, two = RULE.format(action="none"), RULE.format(action="none").replace("greedy", "hasty").replace("fast", "slow")

    assert differences(rules(one + two), rules(two + one)) == ["rules are tried in another order"]


def test_shares_begin_anew_where_sources_or_weights_are_others() -> None:
    pools = '[pool.one]\nsources = ["a1"]\n[pool.two]\nsources = ["a2"]\n'
    before = Egress.parse(A1 + A2 + pools)

    assert pools_that_share_anew(before, Egress.parse(A1 + A2 + pools)) == []
    assert pools_that_share_anew(before, Egress.parse(A1 + A2 + "weight = 2\n" + pools)) == ["two", "default"]
    assert pools_that_share_anew(before, Egress.parse(A1 + A2 + pools + '[pool.new]\nsources = ["a1"]')) == ["new"]
