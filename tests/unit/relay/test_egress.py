"""By which address a message leaves."""
# ruff: noqa: E501 - a fault beside each file that has it

from collections import Counter
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.traffic.egress import (
    PLANS,
    Egress,
    Pool,
    Sent,
    Source,
    allowance,
    choose,
)

FILE = """
[source.a1]
address = "192.0.2.10"
helo = "a1.mail.example"
weight = 2

[source.a2]
address = "192.0.2.11"
helo = "a2.mail.example"
warmup = { started = 2026-11-01, plan = "default", provider = { gmail = "gentle", orange = [20, 40] } }

[source.six]
address = "2001:DB8:0::1"
helo = "six.mail.example"

[plan.gentle]
days = [10, 20, 30]

[pool.bulk]
sources = ["a1", "a2"]

[pool.acme]
sources = "six"

[streams]
bulk = "bulk"

[tenant.acme]
bulk = "acme"
"""

#: A good source, and what may follow it.
A = '[source.a]\naddress = "192.0.2.1"\nhelo = "a.example"\n'
WARMUP = "[source.a], [warmup]: "
START = "started is missing: the day of the first messages, as in 2026-11-01"

weights = st.lists(st.integers(1, 20), min_size=1, max_size=6)


def pool_of(*weights: int) -> Pool:
    return Pool("pool", tuple(Source(f"s{number}", weight=weight) for number, weight in enumerate(weights)))


def test_a_stream_has_its_pool_and_a_tenant_may_have_its_own() -> None:
    egress = Egress.parse(FILE)

    assert [source.name for source in egress.pool("bulk", "chouette").sources] == ["a1", "a2"]
    assert [source.name for source in egress.pool("bulk", "acme").sources] == ["six"]


def test_a_stream_without_a_pool_uses_the_default_which_is_all_sources_unless_written() -> None:
    egress = Egress.parse(FILE)
    written = Egress.parse(FILE + '\n[pool.default]\nsources = ["a1"]\n')

    assert [source.name for source in egress.pool("transactional", "acme").sources] == ["a1", "a2", "six"]
    assert [source.name for source in written.pool("transactional", "acme").sources] == ["a1"]


def test_without_a_file_there_is_one_source_with_the_systems_address() -> None:
    pool = Egress.parse("").pool("bulk", "acme")

    assert pool.sources == (Source("default"),)
    assert allowance(pool.sources[0], "gmail", date(2026, 11, 22)) is None


def test_an_address_is_written_in_one_way() -> None:
    assert Egress.parse(FILE).sources["six"].address == "2001:db8::1"


def test_a_source_reaches_addresses_of_its_own_kind() -> None:
    sources = Egress.parse(FILE).sources

    assert sources["a1"].reaches("198.51.100.1")
    assert not sources["a1"].reaches("2001:db8::2")
    assert sources["six"].reaches("2001:db8::2")
    assert not sources["six"].reaches("198.51.100.1")
    assert sources["six"].reaches(None)
    assert Source("default").reaches("2001:db8::2")


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        ("[source", "this is not TOML: "),
        ('[source.a]\nhelo = "a.example"', "[source.a]: address is missing"),
        ('[source.a]\naddress = "192.0.2.1"', "[source.a]: helo is missing"),
        ('[source.a]\naddress = "192.0.2.256"\nhelo = "a.example"', "[source.a]: address is an IPv4 or IPv6 address, not '192.0.2.256'"),
        ('[source.a]\naddress = "0.0.0.0"\nhelo = "a.example"', "[source.a]: address is one that mail can leave by, not '0.0.0.0'"),
        ('[source.a]\naddress = "224.0.0.1"\nhelo = "a.example"', "[source.a]: address is one that mail can leave by, not '224.0.0.1'"),
        ('[source.a]\naddress = "fe80::1%eth0"\nhelo = "a.example"', "[source.a]: address is one that mail can leave by, not 'fe80::1%eth0'"),
        ('[source.a]\naddress = 1\nhelo = "a.example"', "[source.a]: address is an IPv4 or IPv6 address, not 1"),
        ('[source.a]\naddress = "192.0.2.1"\nhelo = "localhost"', "[source.a]: helo is a fully qualified host name, not 'localhost'"),
        ('[source.a]\naddress = "192.0.2.1"\nhelo = "192.0.2.1"', "[source.a]: helo is a fully qualified host name, not '192.0.2.1'"),
        (A + 'weight = 0', "[source.a]: weight is a whole number from 1 to 1000, not 0"),
        (A + 'weigth = 2', '[source.a]: there is no key weigth; did you mean weight?'),
        (
            A + '[source.b]\naddress = "192.0.2.1"\nhelo = "b.example"',
            "[source.b]: address 192.0.2.1 is that of a too",
        ),
        (
            '[source.a]\naddress = "2001:db8::1"\nhelo = "a.example"\n[source.b]\naddress = "2001:0db8:0::1"\nhelo = "b.example"',
            "[source.b]: address 2001:db8::1 is that of a too",
        ),
        (A + 'warmup = {}', WARMUP + START),
        (A + 'warmup = { started = "2026-11-01" }', WARMUP + "started is a day like 2026-11-01, without quotes, not '2026-11-01'"),
        (A + 'warmup = { started = 2026-11-01, plan = "fast" }', WARMUP + "plan is one of default, none, slow or a list of numbers, not 'fast'"),
        (A + 'warmup = { started = 2026-11-01, plan = [] }', WARMUP + "plan is a list of messages a day, not []"),
        (A + 'warmup = { started = 2026-11-01, plan = [0] }', WARMUP + "plan is a whole number from 1 to 1000000000, not 0"),
        (A + 'warmup = { started = 2026-11-01, provider = { gmal = "slow" } }', "[source.a], [warmup], [provider]: there is no provider 'gmal'; known are 163, barracuda, "),
        ("[plan.own]", "[plan.own]: days is missing: the messages of each day, as in [50, 100, 200]"),
        ("[pool.bulk]", '[pool.bulk]: sources is missing: the names of its sources, as in ["a1", "a2"]'),
        ('[pool.bulk]\nsources = ["a9"]', "[pool.bulk]: there is no source 'a9'; known are default"),
        ('[pool.bulk]\nsources = ["default", "default"]', "[pool.bulk]: a source is named twice; its share is its weight"),
        ('[streams]\nbulk = "warm"', "[streams]: bulk names the pool 'warm'; known are default"),
        ('[streams]\nbluk = "default"', "[streams]: there is no key bluk; did you mean bulk?"),
        ('[tenant.acme]\nbulk = "warm"', "[tenant.acme]: bulk names the pool 'warm'; known are default"),
        ('[stream]\nbulk = "default"', "there is no key stream; did you mean streams?"),
        ("source = 1", "source is a table, not 1"),
        ("[source]\na = 1", "[source.a]: is a table of keys and values"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words(toml: str, fault: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        Egress.parse(toml)

    assert any(line.startswith(fault) for line in str(refused.value).splitlines()), refused.value


def test_all_faults_are_said_at_once() -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        Egress.parse('[source.a]\naddress = "x"\nhelo = "y"\nweight = "z"\n[streams]\nbulk = "none"\n')

    assert len(str(refused.value).splitlines()) == 4


@given(weights)
def test_weights_are_kept_over_what_was_sent(weights: list[int]) -> None:
    pool = pool_of(*weights)
    sent: Counter[str] = Counter()

    for _ in range(10 * sum(weights)):
        source = choose(pool, lambda _: True, sent)
        assert source is not None
        sent[source.name] += 1

    assert [sent[source.name] for source in pool.sources] == [10 * weight for weight in weights]


@given(weights, st.integers(0, 2**6 - 1), st.lists(st.integers(0, 1_000), min_size=6, max_size=6))
def test_no_source_is_ever_chosen_that_is_not_usable(weights: list[int], able: int, counts: list[int]) -> None:
    pool = pool_of(*weights)
    usable = {source.name for number, source in enumerate(pool.sources) if able >> number & 1}
    sent = {f"s{number}": count for number, count in enumerate(counts)}

    source = choose(pool, lambda source: source.name in usable, sent)

    assert (source is None) == (not usable)
    assert source is None or source.name in usable


def test_what_a_resting_source_does_not_send_is_shared_by_weight_among_the_others() -> None:
    pool = pool_of(5, 2, 1)
    sent: Counter[str] = Counter()

    for _ in range(300):
        source = choose(pool, lambda source: source.name != "s0", sent)
        assert source is not None
        sent[source.name] += 1

    assert sent == {"s1": 200, "s2": 100}


def test_a_source_that_comes_back_makes_up_for_a_bounded_time_only() -> None:
    pool = pool_of(1, 1)
    sent = Sent(window=100)
    for _ in range(100_000):
        sent.note("s1")

    turns = []
    for _ in range(300):
        source = choose(pool, lambda _: True, sent)
        assert source is not None
        sent.note(source.name)
        turns.append(source.name)

    assert turns[:120].count("s0") <= 110
    assert abs(turns[200:].count("s0") - 50) <= 1
    assert sum(sent.values()) <= 100
    assert set(sent) == {"s0", "s1"}
    assert len(sent) == 2


def test_a_new_address_sends_more_each_day_until_it_is_warm() -> None:
    source = Egress.parse(FILE).sources["a2"]
    started = date(2026, 11, 1)

    plan = [allowance(source, "yahoo", started + timedelta(days=day)) for day in range(14)]

    assert plan == [*PLANS["default"], None, None]
    assert allowance(source, "yahoo", started - timedelta(days=1)) == 0


def test_a_provider_may_have_a_plan_of_its_own() -> None:
    source = Egress.parse(FILE).sources["a2"]
    third = date(2026, 11, 3)

    assert allowance(source, "yahoo", third) == 200
    assert allowance(source, "gmail", third) == 30
    assert allowance(source, "orange", third) is None
    assert allowance(source, "mx.example.net", third) == 200


@pytest.mark.parametrize("name", [name for name in PLANS if name != "none"])
def test_the_plans_grow_day_by_day_and_at_most_double(name: str) -> None:
    plan = PLANS[name]

    assert all(yesterday < today <= 2 * yesterday for yesterday, today in pairwise(plan))


@pytest.mark.parametrize(
    "key",
    ["address", "helo", "weight", "warmup", "days", "sources", "bulk", "source", "pool", "streams", "tenant", "plan"],
)
def test_no_value_of_any_key_is_more_than_a_fault(key: str) -> None:
    values = [
        "1",
        "-1",
        "1.5",
        '"x"',
        '""',
        "true",
        "[]",
        "{}",
        "[1]",
        '[""]',
        "[{}]",
        "2026-11-01",
        "{ started = 2026-11-01, provider = 1 }",
    ]
    for place in (
        "{} = {}",
        "[source.a]\n{} = {}",
        "[pool.a]\n{} = {}",
        "[plan.a]\n{} = {}",
        "[streams]\n{} = {}",
        "[tenant.a]\n{} = {}",
    ):
        for value in values:
            try:
                Egress.parse(place.format(key, value))
            except ValueError as refused:
                assert str(refused)
