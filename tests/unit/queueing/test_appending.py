"""Recipients that come as a stream: the same rows, however the bytes were cut."""

import csv
import io
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.queueing import jobs
from services.queueing.appending import MAX_LINE_BYTES, CsvRows, JsonRows
from services.queueing.jobs import MAX_METADATA, MAX_VARIABLES, Recipient, read_recipient, wait
from shared.errors import Fault, Problem
from shared.variables import MAX_DEPTH


def _read(rows, body: bytes, cuts=()):
    found = []
    places = [0, *sorted({min(cut, len(body)) for cut in cuts}), len(body)]
    for start, end in itertools.pairwise(places):
        found += rows.feed(body[start:end])
    return [one for one in found + list(rows.feed(b"", last=True)) if one[1] is not None]


NDJSON = b'{"email":"a@x.fr","variables":{"n":1}}\r\n\n{"email":"b@x.fr"\n{"email":"\xc3\xa9@x.fr","name":"\xc3\x89"}'
CSV = b'email;name;prenom;metadata.crm_id;optin\na@x.fr;Ana;"A;""n""\na";17;oui\n\nb@x.fr;;;;\nc@x.fr;x\n'


def test_lines_of_json_are_recipients_and_a_bad_one_is_told_with_its_number():
    found = _read(JsonRows(), NDJSON)

    assert [number for number, _ in found] == [1, 3, 4]
    assert found[0][1] == Recipient(email="a@x.fr", variables={"n": 1})
    assert isinstance(found[1][1], Fault)
    assert found[2][1] == Recipient(email="é@x.fr", name="É")


def test_rows_of_csv_are_recipients_with_variables_and_metadata():
    found = _read(CsvRows(), CSV)

    assert found[0] == (
        2,
        Recipient(
            email="a@x.fr",
            name="Ana",
            variables={"prenom": 'A;"n"\na'},
            metadata={"crm_id": "17"},
            optin=True,
        ),
    )
    assert found[1][1] == Recipient(email="b@x.fr", variables={"prenom": ""}, metadata={"crm_id": ""})
    assert found[2][1] == Fault("line 6", "2 fields, but the heading has 5")


@given(st.lists(st.integers(0, 200), max_size=12))
def test_it_does_not_matter_where_the_bytes_are_cut(cuts):
    assert _read(JsonRows(), NDJSON, cuts) == _read(JsonRows(), NDJSON)
    assert _read(CsvRows(), CSV, cuts) == _read(CsvRows(), CSV)


@given(st.binary(max_size=400))
def test_nothing_that_comes_raises(body):
    _read(JsonRows(), body)
    _read(CsvRows(), b"email,name\n" + body)


def test_a_line_without_end_is_told_once_and_takes_no_memory():
    rows = JsonRows()
    found = []
    for _ in range(20):
        found += rows.feed(b"x" * MAX_LINE_BYTES)
    found += rows.feed(b'\n{"email":"a@x.fr"}\n', last=True)

    assert [type(row).__name__ for _, row in found] == ["Fault", "Recipient"]


def test_a_heading_without_email_is_told_and_no_row_is_taken():
    found = _read(CsvRows(), b"mail,name\na@x.fr,A\n")

    assert found == [(1, Fault("line 1", "the heading has no column 'email'"))]


def test_an_open_quote_at_the_end_is_told():
    found = _read(CsvRows(), b'email,name\na@x.fr,"A\n')

    assert found == [(2, Fault("line 2", "a quoted field has no end"))]


def test_a_cell_that_is_neither_yes_nor_no_is_told():
    found = _read(CsvRows(), b"email,optin\na@x.fr,maybe\n")

    assert found == [(2, Fault("line 2.optin", "neither yes nor no"))]


GOOD = b"".join(b"u%d@x.fr,N%d\n" % (n, n) for n in range(1_500))
HEADING = b"email,name\n"


def _addresses(found) -> list[str]:
    return [row.email for _, row in found if isinstance(row, Recipient)]


def _faults(found) -> list[Fault]:
    return [row for _, row in found if isinstance(row, Fault)]


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        (b'a@x.fr,"A\n', 2),
        (b'a@x.fr,"A" x\n', 2),
        (b'"a@x.fr,A\n', 2),
        (b'a@x.fr,"A""\n', 2),
        (b'"\n', 2),
        (b'a@x.fr,"A\n\n\n', 2),
    ],
)
def test_a_stray_quote_costs_its_own_row_and_no_other(bad: bytes, line: int):
    found = _read(CsvRows(), HEADING + bad + GOOD)

    assert _faults(found)[0].at == f"line {line}"
    assert len(_faults(found)) == 1
    assert _addresses(found) == [f"u{n}@x.fr" for n in range(1_500)]


def test_a_quote_inside_of_a_field_that_is_not_quoted_is_a_character():
    found = _read(CsvRows(), HEADING + b'a@x.fr,5" nail\nb@x.fr,"five "" nail"\n')

    assert [row.name for _, row in found] == ['5" nail', 'five " nail']


@pytest.mark.parametrize("rows_of", [JsonRows, CsvRows])
@pytest.mark.parametrize(
    "body",
    [
        b"{}\n",
        b"\n",
        b"\r",
        b'"',
        b'"\n',
        b'"a\n',
        b'a,"b\n',
        b",",
        b"\xff\n",
        b'"",\n',
        b'""\n',
        b"[" * 99 + b"\n",
        b'{"":1}\n',
    ],
)
def test_twice_the_bytes_are_at_most_twice_the_rows_and_the_memory(rows_of, body: bytes):
    """What is told bounds what it costs: a line is told once, or twice where a quote had no end."""

    def told(size: int) -> int:
        rows = rows_of()
        count = sum(1 for _ in rows.feed(HEADING)) if rows_of is CsvRows else 0
        for at in range(0, size, 16_384):
            count += sum(1 for _ in rows.feed((body * (size // len(body) + 1))[at : at + 16_384]))
        kept = sum(map(len, (rows._lines._rest, *(text for _, text in getattr(rows, "_held", ())))))
        assert kept <= 3 * MAX_LINE_BYTES
        return count + sum(1 for _ in rows.feed(b"", last=True))

    once, twice = told(200_000), told(400_000)

    assert once <= 2 * (200_000 // len(body) + 3)
    assert twice <= 2.2 * once + 10


def test_every_line_is_told_so_that_who_reads_can_count_them():
    assert len(list(JsonRows().feed(b"\n" * 1_000))) == 1_000
    assert len(list(CsvRows().feed(HEADING + b"\n" * 1_000))) == 1_001


@pytest.mark.parametrize(
    "heading",
    [
        b"mail,name\n",
        b"email,email\n",
        b"x" * 70_000 + b"\n",
        b"," * 60_000 + b"\n",
        b'"email,name\n',
        b"\xff\n",
        b'"email"x,name\n',
    ],
)
def test_after_a_heading_that_is_none_nothing_is_read(heading: bytes):
    rows = CsvRows()

    found = _read(rows, heading + GOOD * 4)

    assert rows.is_over
    assert len(_faults(found)) == 1
    assert _addresses(found) == []


# One limit for one thing, whatever the door

TOO_MUCH = {
    "name": {"name": "x" * 201},
    "metadata key": {"metadata": {"k" * 65: "1"}},
    "metadata value": {"metadata": {"k": "v" * 501}},
    "metadata number": {"metadata": {f"k{n}": "1" for n in range(MAX_METADATA + 1)}},
    "variable name": {"variables": {"v" * 201: "1"}},
    "variables size": {"variables": {"v": "x" * 20_000}},
    "variables number": {"variables": {f"v{n}": "" for n in range(MAX_VARIABLES + 1)}},
    "address": {"email": "a" * 250 + "@x.fr"},
    "control in the address": {"email": "a\x07@x.fr"},
}
JUST_ENOUGH = {
    "name": {"name": "x" * 200},
    "metadata key": {"metadata": {"k" * 64: "1"}},
    "metadata value": {"metadata": {"k": "v" * 500}},
    "metadata number": {"metadata": {f"k{n}": "1" for n in range(MAX_METADATA)}},
    "variable name": {"variables": {"v" * 200: "1"}},
    "variables size": {"variables": {"v": "x" * 16_000}},
    "variables number": {"variables": {f"v{n}": "" for n in range(MAX_VARIABLES)}},
    "all numbers": {
        "metadata": {f"k{n}": "1" for n in range(MAX_METADATA)},
        "variables": {f"v{n}": "" for n in range(MAX_VARIABLES)},
    },
}


def _json(recipient) -> list:
    return [read_recipient(json.dumps(recipient).encode(), "$.recipients[0]")]


def _job(recipient) -> list:
    """In the body of a job, as it is decoded whole."""
    body = {"from": "a@b.fr", "subject": "s", "text": "t", "recipients": [recipient]}
    try:
        read = jobs.read_draft(json.dumps(body).encode(), open_job=False, now_ms=0, max_recipients=10)
    except Problem as problem:
        return problem.faults
    return read.recipients


def _large_job(recipient) -> list:
    """And as it is cut."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jobs, "WHOLE_BYTES", 0)
        return _job(recipient)


def _ndjson(recipient) -> list:
    return [row for _, row in _read(JsonRows(), json.dumps(recipient).encode() + b"\n")]


def _csv(recipient) -> list:
    cells = {"email": recipient["email"], "name": recipient.get("name", "")}
    cells |= {f"metadata.{name}": value for name, value in recipient.get("metadata", {}).items()}
    cells |= recipient.get("variables", {})
    lines = io.StringIO()
    csv.writer(lines).writerows([cells.keys(), cells.values()])
    return [row for _, row in _read(CsvRows(), lines.getvalue().encode())]


#: CSV has texts alone, and so no depth.
DOORS = [_json, _job, _large_job, _ndjson, _csv]


def _nested(levels: int) -> object:
    return [] if levels == 1 else {"a": _nested(levels - 1)}


def _kept(found: list) -> list[bool]:
    return [not isinstance(one, Fault) and not isinstance(wait(one, "bulk", "", set()), Fault) for one in found]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", TOO_MUCH)
def test_what_is_too_much_by_one_door_is_by_every_other(door, what: str):
    assert _kept(door({"email": "a@x.fr", **TOO_MUCH[what]})) == [False]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", JUST_ENOUGH)
def test_what_is_just_enough_by_one_door_is_by_every_other(door, what: str):
    assert _kept(door({"email": "a@x.fr", **JUST_ENOUGH[what]})) == [True]


@pytest.mark.parametrize("door", DOORS[:-1])
def test_variables_are_nested_as_deep_by_one_door_as_by_every_other(door):
    kept = [_kept(door({"email": "a@x.fr", "variables": {"v": _nested(MAX_DEPTH + more)}})) for more in (-1, 0, 1, 100)]

    assert kept == [[True], [True], [False], [False]]


@pytest.mark.parametrize(
    "variables", [TOO_MUCH["variables number"], TOO_MUCH["variable name"]], ids=["number", "length of a name"]
)
def test_the_variables_of_a_job_have_the_limits_of_a_recipients(variables):
    body = {"from": "a@b.fr", "subject": "s", "text": "t", "recipients": [{"email": "a@x.fr"}], **variables}

    with pytest.raises(Problem) as problem:
        jobs.read_draft(json.dumps(body).encode(), open_job=False, now_ms=0, max_recipients=10)

    assert problem.value.faults[0].at.startswith("$.variables")
