"""What a job may look like: every fault is found, and a bad address does not stop the others."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.queueing import doubts, jobs, recipients
from services.queueing.compile import Limits
from services.queueing.store import Head
from services.queueing.taking import new_job
from shared.words.errors import Fault, Problem
from shared.words.targets import Target
from tests.jobs import read_job

NOW_MS = 1_790_000_000_000
GOOD = {"from": "Chouette <news@exemple.fr>", "subject": "Bonjour", "text": "Salut {{ prenom }}"}


def _read(body: object, open_job: bool = False, max_recipients: int = 10_000) -> jobs.Job:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return read_job(raw, open_job=open_job, now_ms=NOW_MS, max_recipients=max_recipients, limits=Limits())


def _problem(body: object, **options: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        _read(body, **options)
    return caught.value


def _places(problem: Problem) -> set[str]:
    return {fault.at for fault in problem.faults}


def test_a_job_keeps_each_recipient_at_its_index_and_says_who_is_rejected() -> None:
    recipients = [
        {"email": "Ana@Exemple.FR", "name": "Ana", "variables": {"prenom": "Ana"}, "metadata": {"crm_id": "17"}},
        {"email": "zut"},
        {"email": "ana@exemple.fr"},
        {"email": "b@exemple.fr", "optin": False},
        {"email": "c@exemple.fr", "optin": False, "kind": "professional", "tracking_consent": False},
    ]

    job = _read({**GOOD, "recipients": recipients})

    assert [one.email for one in job.waiting] == [
        "Ana@exemple.fr",
        "zut",
        "ana@exemple.fr",
        "b@exemple.fr",
        "c@exemple.fr",
    ]
    assert [(one.index, one.reason) for one in job.rejected] == [
        (1, "invalid_address"),
        (2, "duplicate_address"),
        (3, "not_opted_in"),
    ]
    assert job.waiting[4].untracked
    assert job.waiting[0].metadata == {"crm_id": "17"}


def test_a_test_shows_one_address_the_mails_of_several() -> None:
    recipients = [{"email": "ana@exemple.fr", "variables": {"prenom": name}} for name in ("Ana", "Bo")]

    assert [one.reason for one in _read({**GOOD, "recipients": recipients}).rejected] == ["duplicate_address"]
    assert _read({**GOOD, "recipients": recipients, "test": True}).rejected == []


def test_recipients_are_apart_by_the_key_that_they_have() -> None:
    recipients = [
        {"email": "ana@exemple.fr", "key": "order-1"},
        {"email": "ana@exemple.fr", "key": "order-2"},
        {"email": "Ana@exemple.fr", "key": "order-1"},
        {"email": "bo@exemple.fr", "key": "order-1"},
        {"email": "ana@exemple.fr"},
        {"email": "ana@exemple.fr", "key": None},
    ]

    job = _read({**GOOD, "recipients": recipients})

    assert [(one.index, one.reason) for one in job.rejected] == [
        (2, "duplicate_address"),
        (3, "duplicate_key"),
        (5, "duplicate_address"),
    ]
    assert [one.key for one in job.waiting] == ["order-1", "order-2", "order-1", "order-1", "", ""]


def test_a_job_may_name_an_operation_and_a_test_of_it_belongs_to_none() -> None:
    job = _read({**GOOD, "recipients": [{"email": "ana@exemple.fr"}], "once": "autumn 2026 é"})

    new = new_job("acme", job, 1_790_000_000_000, "queueing")

    assert new.once == "autumn 2026 é"
    assert Head("acme", "bulk", 0, once=new.once).operation == new.once
    assert Head("acme", "bulk", 0, test=True, once=new.once).operation == ""


def test_what_is_wrong_with_an_operation_and_with_keys_is_named_at_once() -> None:
    people = [{"email": f"p{number}@exemple.fr", "key": key} for number, key in enumerate(("", "x" * 201, "a\nb", 7))]
    places = {f"$.recipients[{number}].key" for number in (0, 1, 3)}

    for name in ("", "x" * 65, 7):
        assert _places(_problem({**GOOD, "recipients": people, "once": name})) == {"$.once", *places}
    for name in ("a\x07b", "a\nb"):
        assert _places(_problem({**GOOD, "recipients": people[2:3], "once": name})) == {"$.once", "$.recipients[0].key"}


@pytest.mark.parametrize("letter", ["a", "é", "🦉"])
def test_html_that_gmail_would_cut_off_is_warned_of(letter: str) -> None:
    most = "<p>" + letter * ((doubts.SHOWN_BYTES - 3) // len(letter.encode()))
    recipients = [{"email": "ana@exemple.fr"}]

    text = "Salut {{ unsubscribe_url }}"

    shown = _read({**GOOD, "own_way_out": True, "text": text, "html": most, "recipients": recipients})
    cut_off = _read({**GOOD, "own_way_out": True, "text": text, "html": f"{most}{letter}", "recipients": recipients})

    assert shown.warnings == []
    assert [fault.at for fault in cut_off.warnings] == ["$.html"]
    assert "Gmail shows 102 kB" in cut_off.warnings[0].what


def test_who_did_not_opt_in_still_gets_transactional_mail() -> None:
    job = _read({**GOOD, "stream": "transactional", "recipients": [{"email": "b@exemple.fr", "optin": False}]})

    assert job.rejected == []


def test_bulk_may_be_sent_at_most_once_and_what_is_waited_for_may_not() -> None:
    recipients = [{"email": "b@exemple.fr"}]

    assert _read({**GOOD, "recipients": recipients, "at_most_once": True}).request.at_most_once
    assert not _read({**GOOD, "recipients": recipients}).request.at_most_once
    for stream in ("transactional", "one_to_one"):
        problem = _problem({**GOOD, "recipients": recipients, "stream": stream, "at_most_once": True})

        assert _places(problem) == {"$.at_most_once"}


@pytest.mark.parametrize(("given", "stored"), [("50000/h", "50000/h"), (" 6000 /m  burst 7", "6000/m burst 7")])
def test_a_job_may_have_a_rate_of_its_own(given: str, stored: str) -> None:
    body = {**GOOD, "recipients": [{"email": "b@exemple.fr"}]}

    assert _read({**body, "rate": given}).compiled.rate == stored
    assert _read(body).compiled.rate == _read({**body, "rate": None}).compiled.rate == ""


@pytest.mark.parametrize("rate", ["", "fast", "0/s", "10", "10/week", "1000000/s", "10/s burst 11"])
def test_what_is_no_rate_is_a_fault(rate: str) -> None:
    assert _places(_problem({**GOOD, "recipients": [{"email": "b@exemple.fr"}], "rate": rate})) == {"$.rate"}


def test_all_faults_are_listed_at_once() -> None:
    problem = _problem(
        {
            "from": "nobody",
            "subject": "{{ x",
            "html": "{% if %}",
            "headers": {"X-A:": "1", "X-B": "a\r\nBcc: c@d.fr"},
            "expires_at": "2001-01-01T00:00:00Z",
            "recipients": [{"email": "a\r\nb@exemple.fr"}, {"email": "x" * 300 + "@exemple.fr"}],
        }
    )

    assert problem.status == 422
    assert _places(problem) == {
        "$.from",
        "$.subject",
        "$.html",
        "$.headers['X-A:']",
        "$.headers['X-B']",
        "$.expires_at",
        "$.recipients[0].email",
        "$.recipients[1].email",
    }


def test_wrong_types_and_unknown_fields_are_named_with_their_paths() -> None:
    problem = _problem({**GOOD, "subjet": "x", "tags": ["a", 3], "recipients": [{"email": 5}, {"e": "a@b.fr"}]})

    assert {"$.subjet", "$.tags[1]", "$.recipients[0].email", "$.recipients[1]"} <= _places(problem)


@pytest.mark.parametrize("body", [b"", b"{", b"[1", b"\xff\xfe", b'{"a": }', b"[" * 100_000])
def test_what_is_not_json_is_a_400(body: Any) -> None:
    assert (_problem(body).status, _problem(body).word) == (400, "malformed_json")


@pytest.mark.parametrize("body", [b"[]", b"3", b"null", b'"x"'])
def test_json_that_is_no_object_is_a_422(body: Any) -> None:
    assert _problem(body).status == 422


def test_variables_nested_beyond_reading_are_a_fault() -> None:
    deep = b'{"a":' * 5_000 + b"1" + b"}" * 5_000
    body = b'{"from":"a@b.fr","subject":"s","text":"t","recipients":[{"email":"a@b.fr","variables":' + deep + b"}]}"

    assert _problem(body).status in (400, 422)


def test_a_job_of_too_many_is_refused_with_the_number() -> None:
    problem = _problem({**GOOD, "recipients": [{"email": f"u{n}@exemple.fr"} for n in range(4)]}, max_recipients=3)

    assert "4 recipients; at most 3" in problem.faults[0].what


@pytest.mark.parametrize("recipients", [[], [{"email": "zut"}], None])
def test_a_job_with_nobody_to_mail_is_refused(recipients: list[Any]) -> None:
    body = {**GOOD, "recipients": recipients} if recipients is not None else GOOD

    assert _problem(body).status == 422


def test_an_open_job_has_no_recipients_yet() -> None:
    assert _read(GOOD, open_job=True).waiting == []
    assert _places(_problem({**GOOD, "recipients": [{"email": "a@b.fr"}]}, open_job=True)) == {"$.recipients"}


def test_a_job_may_be_sent_to_contacts_instead_of_recipients() -> None:
    criteria = {"kind": "field", "field": "town", "test": "not_empty"}

    assert _read({**GOOD, "recipients_from": {"segment": "Paris"}}).selection == Target("Paris")
    assert _read({**GOOD, "recipients_from": {"criteria": criteria}}).selection == Target(None, criteria)
    assert _places(_problem({**GOOD, "recipients_from": {"segment": 3, "job": "x"}})) == {"$.recipients_from.job"}
    assert _places(_problem({**GOOD, "recipients_from": {"segment": 0}})) == {"$.recipients_from.segment"}
    assert _places(_problem({**GOOD, "recipients_from": {"segment": 3}}, open_job=True)) == {"$.recipients_from"}


def test_a_time_of_sending_that_has_passed_means_now() -> None:
    job = _read({**GOOD, "send_at": "2020-01-01T00:00:00+02:00", "recipients": [{"email": "a@b.fr"}]})

    assert job.send_at_ms == 0
    assert Fault("$.send_at", "it is past: the job goes at once") in job.warnings


def test_a_moment_ago_is_now_and_a_test_goes_at_once_whenever_its_job_would() -> None:
    now = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    for more in (
        {"send_at": (now - timedelta(seconds=30)).isoformat()},
        {"test": True, "send_at": "2020-01-01T00:00:00Z"},
    ):
        job = _read({**GOOD, **more, "recipients": [{"email": "a@b.fr"}]})
        assert (job.send_at_ms, [one for one in job.warnings if one.at == "$.send_at"]) == (0, [])
    later = (now + timedelta(hours=1)).isoformat()
    assert _read({**GOOD, "send_at": later, "test": True, "recipients": [{"email": "a@b.fr"}]}).send_at_ms == 0
    assert _read({**GOOD, "send_at": later, "recipients": [{"email": "a@b.fr"}]}).send_at_ms > NOW_MS


def test_a_time_without_a_zone_is_refused() -> None:
    assert _places(_problem({**GOOD, "send_at": "2030-01-01T00:00:00", "recipients": [{"email": "a@b.fr"}]})) == {
        "$.send_at"
    }


def test_at_most_a_hundred_faults_are_listed_and_the_rest_is_counted() -> None:
    problem = _problem({**GOOD, "recipients": [{"email": 1} for _ in range(250)]})

    assert len(problem.faults) == 100
    assert "150 more" in problem.detail


def test_chunks_cover_every_recipient_once() -> None:
    job = _read({**GOOD, "recipients": [{"email": f"u{n}@exemple.fr"} for n in range(1201)]})

    assert [first for first, _ in recipients.chunks(job.waiting)] == [0, 500, 1000]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10**6) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("from", "subject", "html", "text", "headers", "attachments", "variables", "track", "send_at", "recipients")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6))
def test_any_json_is_a_job_or_a_problem_that_names_its_faults(body: Any) -> None:
    try:
        _read({**GOOD, "recipients": [{"email": "a@b.fr"}], **body})
    except Problem as problem:
        assert problem.status == 422
        assert problem.faults
