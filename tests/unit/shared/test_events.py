"""Facts: their ids, their order, and what a reader makes of bytes it did not write."""

import re
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.words import events, ids

PARTS = st.lists(st.one_of(st.text(), st.integers(), st.none()), max_size=5)
JOBS = st.binary(min_size=12, max_size=12).map(ids.job_text)


def test_every_fact_begins_with_the_fields_all_facts_have() -> None:
    common = events.Fact.__struct_fields__

    assert common == ("event_id", "occurred_at", "tenant", "job", "ordinal", "sequence", "email")
    for fact in events.FACTS.values():
        assert fact.__struct_fields__[: len(common)] == common


def test_every_kind_of_message_is_listed_under_its_name() -> None:
    def kinds(parent: type[events.Message]) -> set[type[events.Message]]:
        return {leaf for child in parent.__subclasses__() for leaf in kinds(child)} or {parent}

    assert set(events.MESSAGES.values()) == kinds(events.Message)
    assert set(events.FACTS.values()) == kinds(events.Fact)
    assert all(name == message.__name__ for name, message in events.MESSAGES.items())


ABOUT = {
    "Reactivated": "address",
    "Stopped": "job",
    "Resumed": "job",
    "Warned": "tenant",
    "Acted": "operator",
    "Erased": "address",
    "RetentionNear": "address",
    "OptedIn": "address",
    "AddressStated": "address",
    "PreferencesChanged": "address",
    "WebhookDisabled": "webhook",
    "Finished": "job",
    "DomainChecked": "domain",
    "ContactAdded": "contact",
    "ContactUpdated": "contact",
    "ActivityRanked": "activity",
    "ContactAtRisk": "contact",
}
"""Facts that are not about one message, and what they are about."""


def test_the_topic_of_a_fact_is_its_own_word() -> None:
    for name, fact in events.FACTS.items():
        word = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        about = ABOUT.get(name, "message")

        assert fact.topic == f"{about}.{word.removeprefix(f'{about}_')}"


def test_final_facts_are_facts() -> None:
    assert set(events.FINAL_FACTS) <= set(events.FACTS)


@given(PARTS)
def test_the_same_parts_are_the_same_event(parts: list[Any]) -> None:
    assert events.event_id(*parts) == events.event_id(*parts)
    assert re.fullmatch(r"[0-9a-f]{16}", events.event_id(*parts))


@given(PARTS, PARTS)
def test_other_parts_are_another_event(first: list[Any], second: list[Any]) -> None:
    written = ["\x1f".join(map(str, parts)) for parts in (first, second)]
    assume(written[0] != written[1])

    assert events.event_id(*first) != events.event_id(*second)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("Delivered", "06dndml801in6t31cpig", 0), "136a1f033bd9bb1e"),
        (("Opened", "é", None), "e90374349e6dc29e"),
        ((), "e4a6a0577479b2b4"),
    ],
)
def test_the_id_of_an_event_never_changes(parts: tuple[object, ...], expected: str) -> None:
    # A fact published before an upgrade and repeated after it is one event still.
    assert events.event_id(*parts) == expected


@given(JOBS, st.integers(min_value=0, max_value=2**53))
def test_the_sequence_is_never_negative_and_rises_with_time(job: str, occurred_at: int) -> None:
    here = events.sequence(job, occurred_at)

    assert here >= 0
    assert here <= events.sequence(job, occurred_at + 1)
    assert here == 0 or ids.job_created_ms(job) + here == occurred_at


@given(st.text().filter(lambda name: name not in events.MESSAGES), st.binary())
def test_an_unknown_name_is_a_value_error(name: str, body: bytes) -> None:
    with pytest.raises(ValueError, match="unknown message"):
        events.decode(name, body)


@given(st.sampled_from(sorted(events.MESSAGES)), st.binary())
def test_bytes_that_do_not_fit_are_a_value_error_and_nothing_else(name: str, body: bytes) -> None:
    try:
        message = events.decode(name, body)
    except ValueError:
        return

    assert type(message) is events.MESSAGES[name]


@given(st.sampled_from(sorted(events.MESSAGES)), st.data())
def test_arrays_of_any_elements_fit_or_are_a_value_error(name: str, data: st.DataObject) -> None:
    element = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary())
    body = msgpack.packb(data.draw(st.lists(element, max_size=16)))

    try:
        message = events.decode(name, body)
    except ValueError:
        return

    assert type(message) is events.MESSAGES[name]


def test_a_message_cannot_be_changed() -> None:
    message = events.Intake(tenant="demo", job="0" * 20, first_ordinal=0)

    with pytest.raises(AttributeError):
        message.tenant = "other"  # type: ignore[misc]


def test_variables_travel_as_they_were_written() -> None:
    variables = msgspec.Raw(msgspec.msgpack.encode({"prenom": "Ana", "panier": [1, 2.5, None, True]}))
    message = events.Ready(tenant="demo", job="0" * 20, ordinal=0, email="a@b.fr", variables=variables)

    read = events.decode("Ready", events.encode(message))

    assert isinstance(read, events.Ready)
    assert bytes(read.variables) == bytes(variables)
