"""Facts as everybody outside sees them."""

from typing import Any

import msgspec
import pytest

from shared.words import events, ids, public

JOB = ids.new_job_id(1_700_000_000_000, b"chance", 8)
COMMON: dict[str, Any] = {"event_id": "e1", "occurred_at": 1_700_000_000_123, "tenant": "t", "job": JOB, "ordinal": 4}


def test_an_event_has_its_word_its_time_its_message_and_its_details() -> None:
    fact = events.Deferred(**COMMON, attempt=2, host="mx.example", reply="451 later", retry_at=1_700_000_060_000)

    assert msgspec.to_builtins(public.event(fact, "a@b.example")) == {
        "event_id": "e1",
        "type": "message.deferred",
        "time": "2023-11-14T22:13:20.123Z",
        "job": JOB,
        "message": f"{JOB}.4",
        "email": "a@b.example",
        "details": {
            "attempt": 2,
            "site": "",
            "host": "mx.example",
            "reply": "451 later",
            "reason": "",
            "retry_at": "2023-11-14T22:14:20.000Z",
            "source": "",
        },
    }


def test_an_address_that_enters_the_list_is_not_a_message_that_was_suppressed() -> None:
    entered = events.Suppressed(event_id="e", occurred_at=1, tenant="t", email="a@b.example", reason="manual")

    shown = public.event(entered, None)

    assert (shown.type, shown.job, shown.message, shown.email) == ("address.suppressed", None, None, "a@b.example")
    assert public.event(events.Suppressed(**COMMON), None).type == "message.suppressed"


def test_every_fact_can_be_shown_as_json() -> None:
    for name, fact in events.FACTS.items():
        shown = public.event(fact(**COMMON), None)
        assert public.TYPES[shown.type] == name
        assert msgspec.json.decode(msgspec.json.encode(shown), type=public.Event) == shown


@pytest.mark.parametrize("kind", public.TYPES)
def test_every_type_of_event_is_told_in_a_sentence_and_an_example_that_fits(kind: str) -> None:
    schema = next(one for one in public.detail_schemas() if one["title"] == kind)
    fact = events.FACTS[public.TYPES[kind]](**COMMON)

    assert schema["description"][0].isupper()
    assert "." in schema["description"]
    assert public.details(fact).keys() == public.example_details(kind).keys() == schema["properties"].keys()


def test_nothing_is_described_that_no_event_has() -> None:
    fields = {(name, one) for name, fact in events.FACTS.items() for one in fact.__struct_fields__}

    assert public.SENTENCES.keys() == public.TYPES.keys()
    assert public._DETAILS_OF.keys() <= fields
    assert public._DETAILS.keys() <= {one for _, one in fields}
