"""The language of result sets against plain sets of Python, and what is wrong with an expression, by its path."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words import ids, result_sets, standing
from shared.words.joined import Join, TooMany
from shared.words.result_sets import And, Asked, Expression, Node, Not, Or, Set
from shared.words.standing import ACCEPTED, State

A, B, C = (ids.new_job_id(1_790_000_000_000 + n, bytes([n]) * 6, 4) for n in (1, 2, 3))
SETS = [Set(A, "delivered"), Set(A, "clicked"), Set(B, "opened"), Set(B, "not_clicked"), Set(C, "bounced")]
NODES: st.SearchStrategy[Node] = st.recursive(
    st.sampled_from(SETS),
    lambda parts: st.one_of(
        parts.map(Not),
        st.lists(parts, min_size=1, max_size=3).map(lambda some: And(tuple(some))),
        st.lists(parts, min_size=1, max_size=3).map(lambda some: Or(tuple(some))),
    ),
    max_leaves=8,
)
DELIVERED = {"job": A, "state": "delivered"}


def model(node: Node, sets: Mapping[Set, set[Any]], whole: set[Any]) -> set[Any]:
    match node:
        case Not(of):
            return whole - model(of, sets, whole)
        case And(parts):
            return set.intersection(*(model(part, sets, whole) for part in parts))
        case Or(parts):
            return set.union(*(model(part, sets, whole) for part in parts))
        case Set():
            return sets[node]


def read(given: object) -> Expression:
    expression, faults = result_sets.read(given)
    assert expression is not None, faults
    return expression


def faults(given: object) -> dict[str, str]:
    expression, found = result_sets.read(given)
    assert expression is None
    return {fault.at: fault.what for fault in found}


@given(NODES, st.lists(st.sets(st.integers(0, 40)), min_size=len(SETS), max_size=len(SETS)))
def test_masks_come_to_what_plain_sets_do(node: Node, members: list[set[int]]) -> None:
    size = 41
    sets = dict(zip(SETS, members, strict=True))
    masks = {one: int.from_bytes(bytes(n in some for n in range(size)), "little") for one, some in sets.items()}

    found = result_sets.evaluated(node, masks, result_sets.every(size))

    ordinals = list(result_sets.ordinals(found, 100, size))
    assert ordinals == sorted(100 + n for n in model(node, sets, set(range(size))))


@given(NODES)
def test_an_expression_is_read_back_as_it_was_written(node: Node) -> None:
    expression, found = result_sets.read(result_sets.packed(node))

    if expression is None:
        assert all("nested too deeply" in fault.what for fault in found)
    else:
        assert expression.node == node
        assert set(expression.jobs) == {one.job for one in expression.sets}


@given(
    NODES,
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2), st.sets(st.sampled_from(range(len(SETS))))), max_size=60),
)
def test_a_join_chooses_each_address_once_with_its_latest_message(
    node: Node, rows: list[tuple[int, int, set[int]]]
) -> None:
    join = Join(b"chance", 1_000)
    sets: dict[Set, set[Any]] = {one: set() for one in SETS}
    latest: dict[int, tuple[int, int]] = {}
    for ordinal, (who, job, places) in enumerate(rows):
        spelt = f"Person{who}@Example.org" if ordinal % 2 else f"person{who}@example.org"
        join.add(spelt, sum(1 << place for place in places), job, ordinal)
        for place in places:
            sets[SETS[place]].add(who)
        latest[who] = min(latest.get(who, (job, ordinal)), (job, ordinal))

    def holds(bits: int) -> bool:
        return result_sets.evaluated(node, {one: bits >> at & 1 for at, one in enumerate(SETS)}, 1) == 1

    found = [(job, ordinal) for some in join.chosen(holds, 3) for job, part in enumerate(some) for ordinal in part]

    assert sorted(found) == sorted(latest[who] for who in model(node, sets, set(latest)))


def test_a_join_has_a_bound() -> None:
    join = Join(b"chance", 2)
    join.add("a@example.org", 1, 0, 0)
    join.add("b@example.org", 1, 0, 1)

    with pytest.raises(TooMany, match="more than 2"):
        join.add("c@example.org", 1, 0, 2)


@pytest.mark.parametrize(
    ("one", "states"),
    [
        (Set(A, "selected"), set(State)),
        (Set(A, "recipient"), set(State) - {State.SUPPRESSED, State.REJECTED, State.CANCELLED}),
        (Set(A, "excluded"), {State.SUPPRESSED, State.REJECTED, State.CANCELLED}),
        (Set(A, "bounced"), {state for state in State if standing.WORDS[state] == "bounced"}),
        (Set(A, "bounced_soft"), {State.BOUNCED_SOFT, State.LATE_SOFT}),
        (Set(A, "delivered"), {State.DELIVERED}),
        (Set(A, "pending"), {State.NONE, State.DEFERRED}),
    ],
)
def test_a_set_by_state_has_those_whose_byte_says_so(one: Set, states: set[State]) -> None:
    every = [state | flag for state in State for flag in (0, ACCEPTED)]

    found = result_sets.mask(result_sets.asked(one), bytes(every), {}, len(every))

    assert {every[at] & ~ACCEPTED for at in result_sets.ordinals(found, 0, len(every))} == {*states}


def test_a_set_by_link_or_url_asks_for_the_bitmaps_of_its_positions() -> None:
    assert result_sets.asked(Set(A, "clicked", link=3)).counters == ("click-3",)
    assert result_sets.asked(Set(A, "not_clicked", url="https://a.example/"), [0, 2]).counters == ("click-0", "click-2")
    assert result_sets.asked(Set(A, "clicked")).counters == ("clicks",)
    assert result_sets.asked(Set(A, "excluded", reason="rule")).also == ("excluded-rule",)


def test_not_opened_are_those_who_have_the_mail_and_are_not_known_to_have_opened_it() -> None:
    asked = result_sets.asked(Set(A, "not_opened"))
    states = bytes((State.DELIVERED, State.DELIVERED, State.DELIVERED, State.BOUNCED_HARD, 0))
    bits = {
        name: result_sets.mask_of_bits(byte, 5) for name, byte in zip(asked.counters, (b"\x80", b"\x40"), strict=True)
    }

    assert list(result_sets.ordinals(result_sets.mask(asked, states, bits, 5), 0, 5)) == [2]


@given(st.binary(max_size=40), st.integers(0, 200))
def test_a_bitmap_becomes_a_mask_of_as_many_as_are_asked_for(bits: bytes, size: int) -> None:
    found = list(result_sets.ordinals(result_sets.mask_of_bits(bits, size), 0, size))

    assert found == [at for at in range(min(size, len(bits) * 8)) if bits[at // 8] >> (7 - at % 8) & 1]


def test_no_states_yet_are_those_of_who_waits() -> None:
    asked: Asked = result_sets.asked(Set(A, "pending"))

    assert list(result_sets.ordinals(result_sets.mask(asked, b"", {}, 3), 0, 3)) == [0, 1, 2]


def test_all_that_is_wrong_is_said_with_its_path() -> None:
    given = {
        "and": [
            {"job": "nonsense", "state": "delighted"},
            {"not": {"job": A, "state": "delivered", "url": "https://a.example/"}},
            {"job": A, "state": "clicked", "link": 1, "url": "https://a.example/"},
            {"job": A, "state": "excluded", "reason": "because"},
            {"or": []},
            {"and": [DELIVERED], "or": [DELIVERED]},
            {"state": "opened", "who": 1},
            17,
        ]
    }

    assert {at: what[:24] for at, what in faults(given).items()} == {
        "$.and[0].job": "not the id of a job",
        "$.and[0].state": "not one of selected, rec",
        "$.and[1].not.url": "of clicked and not_click",
        "$.and[2].url": "`link` or `url`, not bot",
        "$.and[3].reason": "not one of soft_bounces,",
        "$.and[4].or": "not a list of at least o",
        "$.and[5]": "exactly one of `and`, `o",
        "$.and[6].job": "required",
        "$.and[6].who": "no such field; a set has",
        "$.and[7]": "not an object: a set, or",
    }


@pytest.mark.parametrize("value", [True, -1, 65_536, "2", 1.5, [1]])
def test_a_position_is_a_number_that_a_link_may_have(value: object) -> None:
    assert list(faults({"job": A, "state": "clicked", "link": value})) == ["$.link"]


@pytest.mark.parametrize("value", [["delivered"], {"a": 1}, 1, True])
def test_a_field_of_another_type_is_a_fault(value: Any) -> None:
    assert list(faults({"job": A, "state": value, "reason": "rule"})) == ["$.state"]
    assert list(faults({"job": value, "state": "delivered"})) == ["$.job"]
    assert list(faults({"job": A, "state": "rejected", "reason": value})) == ["$.reason"]
    assert list(faults({"job": A, "state": "clicked", "url": value})) == ["$.url"]


def test_depth_and_number_of_sets_have_bounds() -> None:
    deep: object = DELIVERED
    for _ in range(result_sets.MAX_DEPTH):
        deep = {"not": deep}
    many = {"or": [{"job": A, "state": "clicked", "link": n} for n in range(result_sets.MAX_SETS)]}

    assert list(faults(deep)) == ["$" + ".not" * result_sets.MAX_DEPTH]
    assert len(read(many).sets) == result_sets.MAX_SETS
    assert list(faults({"or": [many, DELIVERED]})) == ["$"]


def test_every_reason_that_leaves_somebody_out_is_known() -> None:
    from services.queueing import lacking
    from shared.words import consent

    assert {lacking.EMPTY_BODY, lacking.EMPTY_SUBJECT, consent.NOT_OPTED_IN, consent.OBJECTED} <= {*result_sets.REASONS}
    assert len(set(result_sets.REASONS)) == len(result_sets.REASONS)
