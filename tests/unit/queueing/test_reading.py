"""What the fields of a body say is remembered, and a remembered body is read as one that never came before."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.queueing import reading
from services.queueing.jobs import Draft
from shared.words.errors import Problem

SHOP: dict[str, Any] = {
    "from": "Chouette <news@exemple.fr>",
    "stream": "transactional",
    "subject": "Commande {{ numero }}",
    "text": "Bonjour",
    "variables": {"numero": 1},
}
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=4), st.lists(st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(0, 2), max_size=2),
)  # fmt: skip
NAMES = st.sampled_from(
    ["from", "subject", "text", "html", "tags", "variables", "rate", "send_at", "to", "template", "recipients", "odd"]
)


def read(body: object, *, open_job: bool = False) -> Draft:
    return reading.read_draft(json.dumps(body).encode(), open_job=open_job, now_ms=0, max_recipients=10)


def to(*addresses: str, **more: Any) -> dict[str, Any]:
    return SHOP | {"recipients": [{"email": one, "variables": {"at": one}} for one in addresses]} | more


def test_the_same_fields_are_read_once_and_each_job_has_its_own_recipients() -> None:
    first, second = read(to("ana@x.test")), read(to("bo@y.test", "zoe@x.test"))

    assert first.request is second.request
    assert first.known_as == second.known_as
    assert [one.email for one in first.recipients] == ["ana@x.test"]
    assert [one.email for one in second.tried] == ["bo@y.test", "zoe@x.test"]


def test_other_fields_are_other_jobs() -> None:
    first, second = read(to("ana@x.test")), read(to("ana@x.test", variables={"numero": 2}))

    assert (first.request.variables, second.request.variables) == ({"numero": 1}, {"numero": 2})
    assert first.known_as != second.known_as


def test_what_is_wrong_is_said_each_time_and_of_each_body_its_own() -> None:
    wrong = to("ana@x.test", tags=3, odd=1)

    for more in ([], [{"email": 7}], []):
        with pytest.raises(Problem) as raised:
            read(wrong | {"recipients": wrong["recipients"] + more})
        said = [fault.at for fault in raised.value.faults]
        assert said == ["$.odd", "$.tags", *(["$.recipients[1].email"] if more else [])]


def test_a_long_body_is_not_remembered() -> None:
    long = to("ana@x.test", text="a" * reading.REMEMBERED_BYTES)

    assert read(long).known_as is None
    assert read(long).request.text == long["text"]


def test_a_body_of_many_recipients_is_read_as_any() -> None:
    addresses = [f"a{number}@x.test" for number in range(10)]
    assert [one.email for one in read(to(*addresses)).recipients] == addresses


def outcome(body: bytes, *, open_job: bool) -> object:
    try:
        return reading.read_draft(body, open_job=open_job, now_ms=0, max_recipients=10)
    except Problem as problem:
        return problem.word, problem.detail, problem.faults


@given(st.dictionaries(NAMES, VALUES, max_size=5), st.booleans(), st.booleans())
def test_what_is_remembered_is_what_was_read(fields: dict[str, Any], is_shop: bool, open_job: bool) -> None:
    body = json.dumps((to("ana@x.test") if is_shop else {}) | fields).encode()
    reading._remembered.cache_clear()

    fresh, known = outcome(body, open_job=open_job), outcome(body, open_job=open_job)

    assert fresh == known
