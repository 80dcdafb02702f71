"""What each provider accepts of us, and what its replies make us do."""
# ruff: noqa: E501 - a fault beside each file that has it

import tomllib
from pathlib import Path

import pytest

from services.relay.traffic import shaping
from services.relay.traffic.shaping import (
    Rule,
    Shape,
    Shaping,
    Share,
)
from services.relay.words.reply import Reply
from shared.words.rates import Rate, parse_rate
from shared.words.sites import PROVIDERS

SHIPPED = Path(shaping.__file__).with_name("shaping.toml").read_text("utf-8")
SHAPING = Shaping.parse(SHIPPED)

#: A good rule, and what may follow it.
RULE = """
[[rule]]
name = "busy"
match = 'busy'
action = "slow_down"
example = "421 Busy"
but_not = "421 Bye"
"""


def faults(*tomls: str) -> list[str]:
    with pytest.raises(ValueError, match=r"\S") as refused:
        Shaping.parse(*tomls)
    return str(refused.value).splitlines()


def rule(**changes: str) -> str:
    """The good rule, with some of its lines changed or, where empty, left out."""
    lines = dict(line.split(" = ", 1) for line in RULE.strip().splitlines()[1:]) | changes
    return "[[rule]]\n" + "\n".join(f"{key} = {value}" for key, value in lines.items() if value) + "\n"


@pytest.mark.parametrize("rule", SHAPING.rules, ids=lambda rule: rule.name)
def test_each_rule_takes_its_example_and_leaves_alone_what_only_looks_like_it(rule: Rule) -> None:
    stage = next(iter(rule.stages), "rcpt")

    for site in rule.sites or ("mx.example.net",):
        assert SHAPING.rule(site, int(rule.example[:3]), rule.example, stage) is rule
        assert SHAPING.rule(site, int(rule.but_not[:3]), rule.but_not, stage) is not rule


def test_every_named_provider_has_limits_of_its_own() -> None:
    assert set(tomllib.loads(SHIPPED)["provider"]) == {provider.name for provider in PROVIDERS}


@pytest.mark.parametrize("provider", [provider.name for provider in PROVIDERS])
def test_the_shipped_limits_hold_together(provider: str) -> None:
    shape = SHAPING.of(provider)

    assert 0 < shape.source_connections <= shape.connections
    assert shape.messages_per_connection > 0
    assert 0 < shape.idle_s <= 30  # hosts close after 30 s at the soonest


def test_a_shipped_rule_that_blames_us_is_no_bounce() -> None:
    """Else a refusal for good that a rule acts upon would be the recipient's fault."""
    blame_us = [
        rule
        for rule in SHAPING.rules
        if rule.action in ("slow_down", "one_connection", "rest_source", "suspend")
        and (not rule.codes or any(code.startswith("5") for code in rule.codes))
    ]

    assert len(blame_us) > 20
    assert [rule.name for rule in blame_us if not rule.defer] == []


@pytest.mark.parametrize("site", ["microsoft365", "mimecast", "barracuda", "proofpoint", "ovh", "ionos", "gmail"])
def test_nothing_suspends_a_site_of_many_customers(site: str) -> None:
    assert not [rule for rule in SHAPING.rules if rule.action == "suspend" and (not rule.sites or site in rule.sites)]


def test_a_site_has_the_limits_of_its_provider_laid_over_the_default() -> None:
    shaped = Shaping.parse(
        """
        [default]
        connections = 20
        idle = "10s"
        rate = "100/s"
        [route]
        connections = 0
        [provider.gmail]
        connections = 7
        source_rate = ["10/s", "5000/h"]
        tls = "required"
        [site."mx.example.net"]
        messages_per_connection = 3
        """
    )

    assert shaped.of("gmail") == Shape(
        connections=7,
        idle_s=10,
        rates=(Rate(100, 1_000, 10),),
        source_rates=(parse_rate("10/s"), parse_rate("5000/h")),
        tls="required",
    )
    assert shaped.of("mx.example.net") == Shape(20, rates=(Rate(100, 1_000, 10),), messages_per_connection=3, idle_s=10)
    assert shaped.of("mx.example.org") == Shape(20, rates=(Rate(100, 1_000, 10),), idle_s=10)
    assert shaped.of("route:127.0.0.1:2526").connections == 0


def test_without_a_word_there_are_no_limits() -> None:
    nothing = Shaping.parse()

    assert nothing.of("gmail") == Shape()
    assert nothing.source("a1") == nothing.tenant("acme") == Share()
    assert nothing.rule("gmail", 421, "4.7.0 Try again later", "mail") is None


def test_the_operators_file_is_laid_over_the_shipped_one_key_by_key() -> None:
    shaped = Shaping.parse(
        '[provider.gmail]\nconnections = 7\nidle = "5s"\n[tenant.acme]\nrate = "10/s"\n',
        '[default]\ntls = "required"\n[provider.gmail]\nconnections = 9\n[tenant.acme]\nconnections = 1\n',
    )

    assert shaped.of("gmail") == Shape(connections=9, idle_s=5, tls="required")
    assert shaped.tenant("acme") == Share(connections=1)


def test_sources_and_tenants_that_are_not_named_have_the_default() -> None:
    shaped = Shaping.parse(
        '[source.default]\nrate = "10/s"\n[source.a1]\nconnections = 3\n[tenant.default]\nrate = "1/s"'
    )

    assert shaped.source("a1") == Share(connections=3)
    assert shaped.source("a2") == Share(rates=(parse_rate("10/s"),))
    assert shaped.tenant("acme") == Share(rates=(parse_rate("1/s"),))


def test_the_sites_rule_comes_before_the_providers_and_that_before_the_general_one() -> None:
    general = rule(name='"general"', action='"none"')
    provider = rule(name='"provider"', provider='"gmail"')
    site = rule(name='"site"', site='["mx.example.net", "gmail"]')

    shaped = Shaping.parse(general + provider + site)

    assert said(shaped, "gmail") == said(shaped, "mx.example.net") == "site"
    assert said(Shaping.parse(general + provider), "gmail") == "provider"
    assert said(shaped, "mx.example.org") == "general"


def test_within_a_level_the_first_rule_wins_and_the_operators_are_before_the_shipped() -> None:
    first = rule(name='"first"', match="'very'", example='"421 Very busy"')
    second = rule(name='"second"')
    ours = rule(name='"ours"')

    assert said(Shaping.parse(first + second), "gmail", "Very busy") == "first"
    assert said(Shaping.parse(first + second), "gmail") == "second"
    assert said(Shaping.parse(first + second, ours), "gmail", "Very busy") == "ours"


def said(shaped: Shaping, site: str, text: str = "Busy") -> str:
    found = shaped.rule(site, 421, text, "rcpt")
    assert found is not None
    return found.name


def test_a_rule_may_be_for_some_codes_and_stages_only() -> None:
    shaped = Shaping.parse(rule(codes="[421, 45]", stages='["greeting", "mail"]'))

    assert shaped.rule("gmail", 421, "Busy", "greeting")
    assert shaped.rule("gmail", 451, "Busy", "mail")
    assert not shaped.rule("gmail", 451, "Busy", "rcpt")
    assert not shaped.rule("gmail", 441, "Busy", "mail")
    assert not shaped.rule("gmail", 550, "Busy", "mail")


def test_a_reply_is_compared_as_one_line_in_lower_case_without_accents_and_addresses() -> None:
    shaped = Shaping.parse(
        rule(
            match=r"'^421 4\.7\.0 messages to <> deferes'", example='"421 4.7.0 Messages to <ana@example.fr>  DÉFÉRÉS"'
        )
    )

    for text in ("4.7.0 Messages to ana@example.fr déférés", "421 4.7.0 Messages to <a@b.example> déférés"):
        assert shaped.rule("gmail", 421, text, "rcpt")
    assert shaped.rule_of("gmail", Reply(421, "4.7.0", "Messages to a@b.example déférés", "rcpt", "mx.example.net"))


def test_a_positive_reply_has_no_rule() -> None:
    assert Shaping.parse(RULE).rule_of("gmail", Reply(250, "", "Busy", "dot", "mx.example.net")) is None


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        ("[default", "this is not TOML: "),
        ("[default]\nconnection = 1", "[default]: there is no key connection; did you mean connections?"),
        ("[default]\nconnections = -1", "[default]: connections is a whole number from 0 to 100000, not -1"),
        ("[default]\nconnections = true", "[default]: connections is a whole number from 0 to 100000, not True"),
        ('[default]\nrate = "100"', "[default]: rate is a rate or a list of them: '100' is not a rate: "),
        ('[default]\nrate = ["10/s", "0/s"]', "[default]: rate is a rate or a list of them: '0/s': "),
        ("[default]\nrate = 10", "[default]: rate is a rate or a list of them: is a text or a list of texts, not 10"),
        ('[default]\nidle = "soon"', "[default]: idle is a time up to 31 days like 90s, 15m, 2h or 1d, not 'soon'"),
        ('[default]\nidle = "32d"', "[default]: idle is a time up to 31 days like 90s, 15m, 2h or 1d, not '32d'"),
        ('[default]\ntls = "verified"', "[default]: tls is one of never, opportunistic, required, not 'verified'"),
        ("[provider.gmal]", "[provider.gmal]: there is no such provider; known are 163, "),
        ("[site.gmail]", "[site.gmail]: gmail is a provider: write [provider.gmail]"),
        ('[site."mx.example.net"]\nrates = "1/s"', '[site."mx.example.net"]: there is no key rates; did you mean rate?'),
        ('[source.a1]\ntls = "never"', "[source.a1]: there is no key tls; known are connections, rate"),
        ("[tenant.acme]\nconnections = 1.5", "[tenant.acme]: connections is a whole number from 0 to 100000, not 1.5"),
        ("[defaults]", "there is no key defaults; did you mean default?"),
        ("default = 1", "default is a table, not 1"),
        ("[rule]", "rule is a list of tables, not {}"),
        (rule(name=""), "rule 1: name is missing"),
        (rule(name='"Busy!"'), "rule 1: name is small letters and digits joined by hyphens, not 'Busy!'"),
        (rule(match=""), "rule 1 (busy): match is missing"),
        (rule(match="'Busy'"), "rule 1 (busy): match has capital letters; it is compared with lower case"),
        (rule(match="'(busy'"), "rule 1 (busy): match is not a regular expression: "),
        (rule(match="'(b+)+usy'"), "rule 1 (busy): match repeats a group, which may take for ever"),
        (rule(match="'.*'"), "rule 1 (busy): match matches every text"),
        (rule(action=""), "rule 1 (busy): action is missing"),
        (rule(action='"slow"'), "rule 1 (busy): action is one of slow_down, one_connection, rest_source, suspend, defer_recipient, none, not 'slow'"),
        (rule(action='"suspend"'), "rule 1 (busy): for is missing: how long to suspend"),
        (rule() + 'for = "1h"', "rule 1 (busy): for is of no use with slow_down"),
        (rule(defer='"yes"'), "rule 1 (busy): defer is true or false, not 'yes'"),
        (rule(provider='"gmal"'), "rule 1 (busy): provider is one of 163, "),
        (rule(provider='"gmail"', site='"mx.example.net"'), "rule 1 (busy): is of a provider or of a site, not of both"),
        (rule(codes="[250]"), "rule 1 (busy): codes is reply codes or their beginnings, as in [421, 45], not [250]"),
        (rule(stages='"helo"'), "rule 1 (busy): stages is one of connect, greeting, ehlo, tls, auth, mail, rcpt, data, dot, not 'helo'"),
        (rule(example=""), "rule 1 (busy): example is missing"),
        (rule(but_not=""), "rule 1 (busy): but_not is missing"),
        (rule(example='"Busy"'), "rule 1 (busy): its example does not match: 'Busy'"),
        (rule(example='"421 Bye"'), "rule 1 (busy): its example does not match: '421 Bye'"),
        (rule(codes="5"), "rule 1 (busy): its example does not match: '421 Busy'"),
        (rule(but_not='"421 too busy"'), "rule 1 (busy): what it must leave alone matches: '421 too busy'"),
        (rule() + "when = 1", "rule 1 (busy): there is no key when; known are action, but_not, "),
        (rule() + rule(), "two rules are called busy"),
        (rule() + rule(name='"b"', match="'^421 busy'"), "the rule b never comes to its example: busy above it matches it"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words(toml: str, fault: str) -> None:
    assert any(line.startswith(fault) for line in faults(toml)), faults(toml)


def test_all_faults_of_all_files_are_said_at_once_with_the_file() -> None:
    found = faults(
        "[default]\nconnections = -1\n", "[default]\nidle = 1\n" + rule(match="'x'") + rule(name='"b"', action='"x"')
    )

    assert [fault.split(":")[0] for fault in found] == [
        "file 1, [default]",
        "file 2, [default]",
        "file 2, rule 1 (busy)",
        "file 2, rule 2 (b)",
    ]


def test_two_rules_of_one_name_are_a_fault_in_two_files_too() -> None:
    assert faults(RULE, RULE) == ["two rules are called busy"]


def test_a_rule_for_one_site_may_be_below_a_general_one() -> None:
    Shaping.parse(rule() + rule(name='"b"', site='"mx.example.net"') + rule(name='"c"', provider='"gmail"'))


VALUES = [
    "1",
    "-1",
    "1.5",
    "nan",
    '"x"',
    '""',
    "true",
    "[]",
    "{}",
    "[1]",
    '[""]',
    "[[]]",
    "[{}]",
    "2026-11-01",
    "{ a = 1 }",
]
PLACES = [
    *(
        f"[{table}]\n{{}} = {{}}"
        for table in ("default", "route", "provider.gmail", 'site."mx.example.net"', "source.a1", "tenant.a")
    ),
    "[[rule]]\n{} = {}",
    "{} = {}",
]
KEYS = ["connections", "source_connections", "rate", "source_rate", "messages_per_connection", "idle", "tls", "name", "match",
        "action", "for", "provider", "site", "codes", "stages", "defer", "example", "but_not", "rule", "source", "default"]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_no_value_of_any_key_is_more_than_a_fault(key: str) -> None:
    for place in PLACES:
        for value in VALUES:
            try:
                Shaping.parse(place.format(key, value))
            except ValueError as refused:
                assert str(refused)


def test_the_host_of_a_fixed_route_is_ours_and_only_rules_that_name_it_apply() -> None:
    listed = "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"
    own = """
        [[rule]]
        name = "our-relay-is-busy"
        site = "route:mx.example:25"
        match = 'busy'
        action = "slow_down"
        example = "421 4.3.2 busy"
        but_not = "421 4.3.2 down"
    """
    shaping = Shaping.parse(SHIPPED, own)

    assert shaping.rule("mx.example", 554, listed, "rcpt") is not None
    assert shaping.rule("route:mx.example:25", 554, listed, "rcpt") is None
    assert shaping.rule("route:mx.example:25", 421, "4.3.2 busy", "mail") is not None
