"""Recipients that come as a stream: the same rows, however the bytes were cut."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from services.queueing.appending import MAX_LINE_BYTES, CsvRows, JsonRows
from services.queueing.jobs import Recipient
from shared.errors import Fault


def _read(rows, body: bytes, cuts=()):
    found = []
    places = [0, *sorted({min(cut, len(body)) for cut in cuts}), len(body)]
    for start, end in itertools.pairwise(places):
        found += rows.feed(body[start:end])
    return found + list(rows.feed(b"", last=True))


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
