"""People who get one mail and see each other: who they may be, and how its header names them."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.queueing import jobs, reading
from services.queueing.compile import Limits
from shared.words.errors import Problem
from tests.jobs import read_job

NOW_MS = 1_790_000_000_000
ANA = {"email": "Ana@Exemple.FR", "name": "Ana"}
ZOE = {"email": "zoe@exemple.fr", "name": "Lefèvre, Zoé"}
GOOD: dict[str, Any] = {
    "from": "Chouette <news@exemple.fr>",
    "subject": "Rendez-vous {{ heure }}",
    "text": "À {{ heure }}",
    "stream": "transactional",
    "variables": {"heure": "14:00"},
    "to": [ANA, ZOE],
}


def _read(body: object, *, open_job: bool = False) -> jobs.Job:
    return read_job(orjson.dumps(body), open_job=open_job, now_ms=NOW_MS, max_recipients=100, limits=Limits())


def _faults(body: object, *, open_job: bool = False) -> dict[str, str]:
    with pytest.raises(Problem) as caught:
        _read(body, open_job=open_job)
    assert (caught.value.status, caught.value.word) == (422, "invalid_job")
    return {fault.at: fault.what for fault in caught.value.faults}


def people(count: int) -> list[dict[str, str]]:
    return [{"email": f"u{number}@exemple.fr"} for number in range(count)]


@pytest.mark.parametrize("stream", ["transactional", "one_to_one"])
def test_each_address_is_a_recipient_and_the_header_names_those_of_to_and_cc(stream: str) -> None:
    job = _read({**GOOD, "stream": stream, "cc": [{"email": "bo@exemple.com"}], "bcc": [{"email": "chef@exemple.fr"}]})

    assert [(one.email, one.name, one.rejected) for one in job.waiting] == [
        ("Ana@exemple.fr", "Ana", None),
        ("zoe@exemple.fr", "Lefèvre, Zoé", None),
        ("bo@exemple.com", "", None),
        ("chef@exemple.fr", "", None),
    ]
    assert job.compiled.to_and_cc == [
        ("To", "Ana <Ana@exemple.fr>, =?utf-8?B?TGVmw6h2cmUsIFpvw6k=?= <zoe@exemple.fr>"),
        ("Cc", "bo@exemple.com"),
    ]
    assert job.warnings == []


def test_a_job_of_recipients_has_no_such_header() -> None:
    job = _read({**GOOD, "to": [], "cc": [], "bcc": [], "recipients": [ANA]})

    assert job.compiled.to_and_cc == []
    assert [one.email for one in job.waiting] == ["Ana@exemple.fr"]


def test_fifty_see_each_other_and_no_more() -> None:
    several = people(50)

    assert len(_read({**GOOD, "to": several[:1], "cc": several[1:30], "bcc": several[30:]}).waiting) == 50
    too_many = _faults({**GOOD, "to": several, "bcc": [ANA]})
    assert too_many == {"$.to": "51 in `to`, `cc` and `bcc` together; at most 50 see each other"}
    assert set(_faults({**GOOD, "to": people(51)})) == {"$.to"}


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"stream": "bulk"}, "$.stream"),
        ({"to": [], "cc": [ANA]}, "$.to"),
        ({"to": [], "bcc": [ANA]}, "$.to"),
        ({"recipients": [ANA]}, "$.recipients"),
        ({"recipients_from": {"segment": 3}}, "$.recipients_from"),
        ({"cc": [{"email": "ANA@exemple.fr"}]}, "$.cc[0].email"),
        ({"to": [ANA, ANA]}, "$.to[1].email"),
        ({"bcc": [{"email": "zut"}]}, "$.bcc[0].email"),
        ({"cc": [{"email": "a\r\nBcc: b@exemple.fr"}]}, "$.cc[0].email"),
        ({"cc": [{"email": "b@exemple.fr", "name": "Bo\r\nBcc: c@exemple.fr"}]}, "$.cc[0].name"),
        ({"cc": [{"email": "b@exemple.fr", "name": "\ufdd0"}]}, "$.cc[0].name"),
        ({"cc": [{"email": "b@exemple.fr", "name": "x" * 201}]}, "$.cc[0].name"),
        ({"cc": [{"email": "b@exemple.fr", "variables": {}}]}, "$.cc[0]"),
        ({"to": [{"email": 5}]}, "$.to[0].email"),
        ({"to": {"email": "b@exemple.fr"}}, "$.to"),
        ({"bcc": None}, "$.bcc"),
        ({"window": {"from": "09:00"}}, "$.window"),
        ({"spread": {"over": "4h"}}, "$.spread"),
        ({"to": [{"email": "b@exemple.fr", "name": "x" * 200_001}]}, "$.to"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(fields: dict[str, Any], at: str) -> None:
    assert set(_faults({**GOOD, **fields})) == {at}


def test_all_that_is_wrong_is_named_at_once() -> None:
    body = {**GOOD, "stream": "bulk", "recipients": [ANA], "to": [], "cc": [{"email": "zut"}, ZOE], "bcc": [ZOE]}

    found = _faults(body)

    assert set(found) == {"$.stream", "$.recipients", "$.to", "$.cc[0].email", "$.bcc[0].email"}
    assert found["$.bcc[0].email"] == "stands in $.cc[1] already"


def test_an_open_job_names_nobody() -> None:
    assert set(_faults(GOOD, open_job=True)) == {"$.to"}


def test_a_variable_that_the_job_does_not_have_is_empty_for_all_and_warned_of() -> None:
    assert [(one.at, "`heure`" in one.what) for one in _read({**GOOD, "variables": {}}).warnings] == [("$.to", True)]


def test_who_is_stored_with_the_job_is_read_again_with_what_was_changed() -> None:
    body = orjson.dumps({**GOOD, "subject": "autre"})

    draft = reading.read_draft(body, open_job=True, now_ms=NOW_MS, max_recipients=0, kept=True)

    assert (draft.recipients, [one.email for one in draft.request.to]) == ([], ["Ana@Exemple.FR", "zoe@exemple.fr"])


names = st.one_of(
    st.text(max_size=30), st.sampled_from(['"', "\\", "a, b", "é" * 60, "\r\nBcc: x@y.fr", "=?utf-8?q?a?="])
)
given_people = st.lists(
    st.fixed_dictionaries({"email": st.one_of(st.emails(), st.text(max_size=20)), "name": names}), max_size=4
)


@given(given_people, given_people, given_people)
def test_whoever_is_named_there_is_a_job_whose_header_has_no_line_of_theirs_or_a_refusal(
    to: list[dict[str, str]], cc: list[dict[str, str]], bcc: list[dict[str, str]]
) -> None:
    body = {**GOOD, "to": to, "cc": cc, "bcc": bcc}
    try:
        job = _read(body)
    except Problem as problem:
        assert all(fault.at.startswith(("$.to", "$.cc", "$.bcc", "$.recipients")) for fault in problem.faults)
        return
    assert len(job.waiting) == len(to + cc + bcc)
    assert [name for name, _ in job.compiled.to_and_cc] == (["To", "Cc"] if cc else ["To"])
    for _, value in job.compiled.to_and_cc:
        assert not any(char < " " for char in value.replace("\r\n ", ""))
