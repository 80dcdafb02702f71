"""Recipients that come as a stream: the same rows, however the bytes were cut."""

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.queueing import pieces, reading
from services.queueing.appending import MAX_JSON_LINE_BYTES, MAX_LINE_BYTES, CsvRows, JsonRows
from services.queueing.compile import Limits
from services.queueing.recipients import MAX_METADATA, MAX_VARIABLES, Recipient, read_recipient, wait
from shared.mail.templates import Templates
from shared.tabular import encodings
from shared.tabular.rows import Fields
from shared.words.errors import Fault, Problem
from shared.words.variables import MAX_DEPTH
from tests.jobs import read_job

#: One way for a recipient to come in: what is made of him, or the faults.
Door = Callable[[dict[str, Any]], list[Any]]


def _read(rows: CsvRows | JsonRows, body: bytes, cuts: Iterable[int] = ()) -> list[tuple[int, Any]]:
    found: list[tuple[int, Any]] = []
    places = [0, *sorted({min(cut, len(body)) for cut in cuts}), len(body)]
    for start, end in itertools.pairwise(places):
        found += rows.feed(body[start:end])
    return [one for one in found + list(rows.feed(b"", last=True)) if one[1] is not None]


NDJSON = b'{"email":"a@x.fr","variables":{"n":1}}\r\n\n{"email":"b@x.fr"\n{"email":"\xc3\xa9@x.fr","name":"\xc3\x89"}'
CSV = b'email;name;prenom;metadata.crm_id;optin\na@x.fr;Ana;"A;""n""\na";17;oui\n\nb@x.fr;;;;\nc@x.fr;x\n'


def test_lines_of_json_are_recipients_and_a_bad_one_is_told_with_its_number() -> None:
    found = _read(JsonRows(), NDJSON)

    assert [number for number, _ in found] == [1, 3, 4]
    assert found[0][1] == Recipient(email="a@x.fr", variables={"n": 1})
    assert isinstance(found[1][1], Fault)
    assert found[2][1] == Recipient(email="é@x.fr", name="É")


def test_rows_of_csv_are_recipients_with_variables_and_metadata() -> None:
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
    assert found[2][1] == Fault("line 6", "2 fields, but the heading has 5: 'c@x.fr', 'x'")


def test_a_key_has_a_column_of_its_own_and_one_called_key_stays_a_variable() -> None:
    body = b"email;key;Recipient Key\na@x.fr;k;order-1\nb@x.fr;k;\nc@x.fr;k;" + b"x" * 201

    found = [row for _, row in _read(CsvRows(), body)]

    assert found[0] == Recipient(email="a@x.fr", key="order-1", variables={"key": "k"})
    assert found[1] == Recipient(email="b@x.fr", variables={"key": "k"})
    assert isinstance(found[2], Fault)
    assert found[2].at == "line 4.key"
    assert _read(JsonRows(), b'{"email":"a@x.fr","key":"order-1"}')[0][1] == Recipient(email="a@x.fr", key="order-1")


@given(st.lists(st.integers(0, 200), max_size=12))
def test_it_does_not_matter_where_the_bytes_are_cut(cuts: Iterable[int]) -> None:
    assert _read(JsonRows(), NDJSON, cuts) == _read(JsonRows(), NDJSON)
    assert _read(CsvRows(), CSV, cuts) == _read(CsvRows(), CSV)


@given(st.binary(max_size=400))
def test_nothing_that_comes_raises(body: bytes) -> None:
    _read(JsonRows(), body)
    _read(CsvRows(), b"email,name\n" + body)


def test_a_line_without_end_is_told_once_and_takes_no_memory() -> None:
    rows = JsonRows()
    found: list[tuple[int, Any]] = []
    for _ in range(20):
        found += rows.feed(b"x" * MAX_LINE_BYTES)
    found += rows.feed(b'\n{"email":"a@x.fr"}\n', last=True)

    assert [type(row).__name__ for _, row in found] == ["Fault", "Recipient"]


def test_a_heading_without_email_is_told_and_no_row_is_taken() -> None:
    found = _read(CsvRows(), b"mail,name\na@x.fr,A\n")

    assert found == [(1, Fault("line 1", "the heading has no column 'email'; it has 'mail', 'name'"))]


def test_an_open_quote_at_the_end_is_told() -> None:
    found = _read(CsvRows(), b'email,name\na@x.fr,"A\n')

    assert found == [(2, Fault("line 2", "a quoted field has no end"))]


def test_a_cell_that_is_neither_yes_nor_no_is_told() -> None:
    found = _read(CsvRows(), b"email,optin\na@x.fr,maybe\n")

    assert found == [(2, Fault("line 2.optin", "neither yes nor no: 'maybe'"))]


GOOD = b"".join(b"u%d@x.fr,N%d\n" % (n, n) for n in range(1_500))
HEADING = b"email,name\n"


def _addresses(found: list[tuple[int, Any]]) -> list[str]:
    return [row.email for _, row in found if isinstance(row, Recipient)]


def _faults(found: list[tuple[int, Any]]) -> list[Fault]:
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
        (b'a@x.fr,"A\r\n', 2),
        (b'a@x.fr,"\n', 2),
        (b'a@x.fr,"A"B\n', 2),
        (b'a@x.fr,""A"\n', 2),
    ],
)
def test_a_stray_quote_costs_its_own_row_and_no_other(bad: bytes, line: int) -> None:
    found = _read(CsvRows(), HEADING + bad + GOOD)

    assert _faults(found)[0].at == f"line {line}"
    assert len(_faults(found)) == 1
    assert _addresses(found) == [f"u{n}@x.fr" for n in range(1_500)]


QUOTED = b"".join(b'"u%d@x.fr","N%d"\n' % (n, n) for n in range(1_500))
#: A row in two lines, among the others.
BROKEN = b"".join(b'u%d@x.fr,"N\n%d"\n' % (n, n) for n in range(1_500))


@pytest.mark.parametrize("rows", [QUOTED, BROKEN, QUOTED.replace(b"\n", b"\r\n"), QUOTED.replace(b"\n", b"\r")])
@pytest.mark.parametrize(
    "bad", [b'a@x.fr,"A', b'"a@x.fr,A', b'"a@x.fr","A', b'"a@x.fr","A"B"', b'"', b'a@x.fr,A"\nx,"']
)
def test_a_stray_quote_among_quoted_fields_costs_its_own_row_and_no_other(bad: bytes, rows: bytes) -> None:
    found = _read(CsvRows(), HEADING + bad + b"\n" + rows)

    assert _addresses(found)[-1_500:] == [f"u{n}@x.fr" for n in range(1_500)]
    assert len(_faults(found)) <= 2


def test_a_stray_quote_in_the_middle_and_at_the_end_costs_its_own_row_and_no_other() -> None:
    rows = GOOD.split(b"\n")
    for index in (0, 700, 1_499):
        rows[index] = b'bad@x.fr,"A'

    found = _read(CsvRows(), HEADING + b"\n".join(rows))

    assert len(_addresses(found)) == 1_497
    assert [fault.at for fault in _faults(found)] == ["line 2", "line 702", "line 1501"]


def test_two_stray_quotes_do_not_hide_the_rows_between_them() -> None:
    found = _read(CsvRows(), HEADING + b'a@x.fr,"A\n' + GOOD + b'z@x.fr,5"\n')

    assert _addresses(found) == [*(f"u{n}@x.fr" for n in range(1_500)), "z@x.fr"]
    assert [fault.at for fault in _faults(found)] == ["line 2"]


def test_a_field_without_end_names_the_rows_that_are_read_again() -> None:
    found = _read(CsvRows(), HEADING + b'a@x.fr,"A\nb@x.fr,B\nc@x.fr,C\n')

    assert found[0][1] == Fault("line 2", "a quoted field has no end; lines 3 to 4 are read one by one")
    assert _addresses(found) == ["b@x.fr", "c@x.fr"]


def test_lines_in_a_cell_are_its_own_although_one_begins_with_an_address() -> None:
    note = b"Called.\nbob@x.fr, he said no.\nAgain in May"

    found = _read(CsvRows(), b'email,note,optin\na@x.fr,"' + note + b'",oui\nb@x.fr,"' + note + b'",perhaps\n')

    assert _addresses(found) == ["a@x.fr"]
    assert found[0][1].variables == {"note": note.decode()}
    assert _faults(found)[0].what.endswith("the row goes on to line 7")


def test_a_quote_inside_of_a_field_that_is_not_quoted_is_a_character() -> None:
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
def test_twice_the_bytes_are_at_most_twice_the_rows_and_the_memory(
    rows_of: type[CsvRows] | type[JsonRows], body: bytes
) -> None:
    """What is told bounds what it costs: a line is told once, or twice where a quote had no end."""

    def told(size: int) -> int:
        rows = rows_of()
        count = sum(1 for _ in rows.feed(HEADING)) if rows_of is CsvRows else 0
        for at in range(0, size, 16_384):
            count += sum(1 for _ in rows.feed((body * (size // len(body) + 1))[at : at + 16_384]))
        kept = sum(map(len, (rows._lines._rest, *(text for _, text in getattr(rows, "_held", ())))))
        assert kept <= (3 * MAX_LINE_BYTES if rows_of is CsvRows else MAX_JSON_LINE_BYTES + 1)
        return count + sum(1 for _ in rows.feed(b"", last=True))

    once, twice = told(200_000), told(400_000)

    assert once <= 2 * (200_000 // len(body) + 3)
    assert twice <= 2.2 * once + 10


@pytest.mark.parametrize(
    "body",
    [
        b'a,"b\n',
        b'"\n',
        b'"a\n',
        b'a@x.fr,"\n',
        b'a@x.fr,"b\r',
        b'a@x.fr,"\nb@x.fr,c\n',
        b'a@x.fr,"' + b"b@x.fr,c\n" * 6_000,
        b'a@x.fr,"' + b"b@x.fr,c\n" * 6_000 + b'"x\n',
        b'a@x.fr,"' + b"b@x.fr,c\n" * 6_000 + b'd@x.fr,"\n',
        b'a@x.fr,"' + b"\n" * 60_000,
        '"\n'.encode("utf-16-le"),
    ],
)
def test_a_line_is_read_as_part_of_a_row_and_once_more_by_itself(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    read_chars = 0
    add = Fields.add

    def counted(fields: Fields, line: str) -> bool:
        nonlocal read_chars
        read_chars += len(line) + 1
        return add(fields, line)

    monkeypatch.setattr(Fields, "add", counted)
    sent = HEADING + body * (150_000 // len(body) + 1)
    _read(CsvRows(), sent, range(0, len(sent), 16_384))

    assert read_chars <= 2 * len(sent) + 1_000


def test_every_line_is_told_so_that_who_reads_can_count_them() -> None:
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
def test_after_a_heading_that_is_none_nothing_is_read(heading: bytes) -> None:
    rows = CsvRows()

    found = _read(rows, heading + GOOD * 4)

    assert rows.is_over
    assert len(_faults(found)) == 1
    assert _addresses(found) == []


# One limit for one thing, whatever the door

TOO_MUCH: dict[str, dict[str, Any]] = {
    "name": {"name": "x" * 201},
    "metadata key": {"metadata": {"k" * 65: "1"}},
    "metadata value": {"metadata": {"k": "v" * 501}},
    "metadata number": {"metadata": {f"k{n}": "1" for n in range(MAX_METADATA + 1)}},
    "variable name": {"variables": {"v" * 201: "1"}},
    "variables size": {"variables": {"v": "x" * 20_000}},
    "variables number": {"variables": {f"v{n}": "" for n in range(MAX_VARIABLES + 1)}},
}
JUST_ENOUGH: dict[str, dict[str, Any]] = {
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


def _json(recipient: dict[str, Any]) -> list[Any]:
    return [read_recipient(json.dumps(recipient).encode(), "$.recipients[0]")]


def _job(recipient: dict[str, Any]) -> list[Any]:
    """In the body of a job, as it is decoded whole."""
    body = {"from": "a@b.fr", "subject": "s", "text": "t", "recipients": [recipient]}
    try:
        read = reading.read_draft(json.dumps(body).encode(), open_job=False, now_ms=0, max_recipients=10)
    except Problem as problem:
        return problem.faults
    return read.recipients


def _large_job(recipient: dict[str, Any]) -> list[Any]:
    """And as it is cut."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pieces, "WHOLE_BYTES", 0)
        return _job(recipient)


def _ndjson(recipient: dict[str, Any]) -> list[Any]:
    return [row for _, row in _read(JsonRows(), json.dumps(recipient).encode() + b"\n")]


def _csv(recipient: dict[str, Any]) -> list[Any]:
    cells = {"email": recipient["email"], "name": recipient.get("name", "")}
    cells |= {f"metadata.{name}": value for name, value in recipient.get("metadata", {}).items()}
    cells |= recipient.get("variables", {})
    lines = io.StringIO()
    csv.writer(lines).writerows([cells.keys(), cells.values()])
    return [row for _, row in _read(CsvRows(), lines.getvalue().encode())]


#: CSV has texts alone, and so no depth.
DOORS: list[Door] = [_json, _job, _large_job, _ndjson, _csv]


def _nested(levels: int) -> object:
    return [] if levels == 1 else {"a": _nested(levels - 1)}


def _kept(found: list[Any]) -> list[bool]:
    return [not isinstance(one, Fault) and not isinstance(wait(one, "bulk", "", set()), Fault) for one in found]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", TOO_MUCH)
def test_what_is_too_much_by_one_door_is_by_every_other(door: Door, what: str) -> None:
    assert _kept(door({"email": "a@x.fr", **TOO_MUCH[what]})) == [False]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", JUST_ENOUGH)
def test_what_is_just_enough_by_one_door_is_by_every_other(door: Door, what: str) -> None:
    assert _kept(door({"email": "a@x.fr", **JUST_ENOUGH[what]})) == [True]


@pytest.mark.parametrize("door", DOORS[:-1])
def test_variables_are_nested_as_deep_by_one_door_as_by_every_other(door: Door) -> None:
    kept = [_kept(door({"email": "a@x.fr", "variables": {"v": _nested(MAX_DEPTH + more)}})) for more in (-1, 0, 1, 100)]

    assert kept == [[True], [True], [False], [False]]


@pytest.mark.parametrize(
    "variables", [TOO_MUCH["variables number"], TOO_MUCH["variable name"]], ids=["number", "length of a name"]
)
def test_the_variables_of_a_job_have_the_limits_of_a_recipients(variables: dict[str, Any]) -> None:
    body = {"from": "a@b.fr", "subject": "s", "text": "t", "recipients": [{"email": "a@x.fr"}], **variables}

    with pytest.raises(Problem) as problem:
        reading.read_draft(json.dumps(body).encode(), open_job=False, now_ms=0, max_recipients=10)

    assert problem.value.faults[0].at.startswith("$.variables")


WRONG_ADDRESSES = {
    "too long": "a" * 250 + "@x.fr",
    "bell": "a\x07@x.fr",
    "tab": "a\t@x.fr",
    "line feed": "a\n@x.fr",
    "line end": "a@x.fr\r\nBcc: b@x.fr",
    "nul": "\x00a@x.fr",
    "zero width": "a\u200bb@x.fr",
    "no character": "a\ufdd0@x.fr",
    "no @": "a.x.fr",
    "flood": "a@" * 10_000,
}
TRIMMED = [
    "\ta@x.fr",
    "a@x.fr\n",
    " a@x.fr ",
    "\r\na@x.fr\r\n",
    "\u200ba@x.fr\ufeff",
    "\xa0a@x.fr\u2028",
    "\u202aa@x.fr\u202c",
]


def _waiting(door: Door, email: str) -> list[Any]:
    return [one if isinstance(one, Fault) else wait(one, "bulk", "", set()) for one in door({"email": email})]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("email", WRONG_ADDRESSES.values(), ids=WRONG_ADDRESSES)
def test_an_address_that_is_none_rejects_its_recipient_by_every_door(door: Door, email: str) -> None:
    (one,) = _waiting(door, email)

    assert one.rejected == "invalid_address"
    assert len(one.email) <= 320


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("email", TRIMMED)
def test_what_is_unseen_around_an_address_is_dropped_by_every_door(door: Door, email: str) -> None:
    (one,) = _waiting(door, email)

    assert (one.email, one.rejected) == ("a@x.fr", None)


@pytest.mark.parametrize("door", DOORS)
def test_an_address_with_dots_out_of_place_is_quoted_by_every_door(door: Door) -> None:
    (one,) = _waiting(door, "a..b@docomo.ne.jp")

    assert (one.email, one.rejected) == ('"a..b"@docomo.ne.jp', None)


def test_one_wrong_address_refuses_nobody_else_of_a_job() -> None:
    rows = [{"email": f"u{n}@x.fr"} for n in range(1_000)]
    for index, email in enumerate(WRONG_ADDRESSES.values()):
        rows[100 * index] = {"email": email}
    body = json.dumps({"from": "n@x.fr", "subject": "s", "text": "t", "recipients": rows}).encode()

    job = read_job(body, open_job=False, now_ms=1, max_recipients=1_000, limits=Limits())

    assert [one.index for one in job.rejected] == [100 * index for index in range(len(WRONG_ADDRESSES))]
    assert len(job.waiting) == 1_000


# Headings, delimiters, line ends, encodings

ROW = Recipient(email="a@x.fr", variables={"ville": "Évry"})
SAME = {
    "Email": b"Email,ville\na@x.fr,\xc3\x89vry\n",
    "E-mail": b"E-mail,ville\na@x.fr,\xc3\x89vry\n",
    "blanks": b" E-Mail Address ,  ville \n a@x.fr ,\xc3\x89vry\n",
    "question mark": b"E-mail address?,ville\na@x.fr,\xc3\x89vry\n",
    "french": b"Adresse e-mail;ville\na@x.fr;\xc3\x89vry\n",
    "tabs": b"EMAIL\tville\na@x.fr\t\xc3\x89vry\n",
    "bars": b"email|ville\na@x.fr|\xc3\x89vry\n",
    "sep=;": b"sep=;\nemail;ville\na@x.fr;\xc3\x89vry\n",
    "SEP=tab": b"SEP=\t\r\nemail\tville\r\na@x.fr\t\xc3\x89vry\r\n",
    "quoted sep": b'"sep=,"\nemail,ville\na@x.fr,\xc3\x89vry\n',
    "strange sep": b"sep=^\nemail^ville\na@x.fr^\xc3\x89vry\n",
    "semicolon in a quoted name": b'email;"ville"\na@x.fr;\xc3\x89vry\n',
    "CR only": b"email,ville\ra@x.fr,\xc3\x89vry\r",
    "CR after LF": b"email,ville\na@x.fr,\xc3\x89vry\r\r",
    "CRLF": b"email,ville\r\na@x.fr,\xc3\x89vry\r\n",
    "no end": b"email,ville\na@x.fr,\xc3\x89vry",
    "mark": b"\xef\xbb\xbfemail,ville\na@x.fr,\xc3\x89vry\n",
    "two marks": b"\xef\xbb\xbf\xef\xbb\xbfemail,ville\n\xef\xbb\xbfa@x.fr,\xc3\x89vry\n",
    "empty headings": b"email,ville,,\na@x.fr,\xc3\x89vry,,\n",
    "empty heading before": b",email,ville,\n,a@x.fr,\xc3\x89vry,\n",
    "empty cells behind": b"email,ville\na@x.fr,\xc3\x89vry,,,\n,,,,\n",
    "blank lines before": b"\n \n\nemail,ville\n\na@x.fr,\xc3\x89vry\n",
    "UTF-16": "email,ville\na@x.fr,Évry\n".encode("utf-16"),
    "UTF-16 big end": "\ufeffemail\tville\r\na@x.fr\tÉvry\r\n".encode("utf-16-be"),
    "UTF-16 little end, no mark": "email;ville\na@x.fr;Évry".encode("utf-16-le"),
    "UTF-16 big end, no mark": "email;ville\ra@x.fr;Évry".encode("utf-16-be"),
    "UTF-32": "email;ville\na@x.fr;Évry".encode("utf-32"),
}


@pytest.mark.parametrize("body", SAME.values(), ids=SAME)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_however_a_list_was_saved_it_is_the_same_list(body: bytes, step: int) -> None:
    found = _read(CsvRows(), body, range(0, len(body), step))

    assert [row for _, row in found] == [ROW]


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("windows-1252", "cp1252"), ("iso-8859-1", "cp1252"), ("ISO-8859-15", "iso8859-15"), ("utf-16", "utf-16-le"),
     ("UTF8", "utf-8"), ("us-ascii", "utf-8"), ("macintosh", "mac-roman"), ("cp850", "cp850"),
     ("utf-16be", "utf-16-be"),
     ("x-nothing", None), ("idna", None), ("punycode", None), ("base64", None), ("unicode_escape", None),
     ("a" * 99, None)],
)  # fmt: skip
def test_what_the_request_says_of_its_charset_is_heeded_or_quoted(charset: str, encoding: str | None) -> None:
    if encoding is None:
        with pytest.raises(encodings.UnknownCharset, match=charset[:40]):
            encodings.charset(charset)
        return

    rows = CsvRows(encodings.charset(charset))

    assert [row for _, row in _read(rows, "email;ville\na@x.fr;Évry".encode(encoding))] == [ROW]


@pytest.mark.parametrize(
    "body",
    [b'\xef\xbb\xbf{"email":"a@x.fr"}\n', '{"email":"a@x.fr"}\r'.encode("utf-16"), b'\x1e{"email":"a@x.fr"}\n',
     b'{"email":"a@x.fr"}\r{"email":"b@x.fr"}', b'{"email":"a@x.fr"}\n\xef\xbb\xbf\n'],
)  # fmt: skip
def test_lines_of_json_come_in_the_same_ways(body: bytes) -> None:
    found = _read(JsonRows(), body)

    assert _faults(found) == []
    assert _addresses(found)[0] == "a@x.fr"


def test_a_byte_that_its_charset_does_not_have_is_the_fault_of_its_line() -> None:
    found = _read(CsvRows("cp1252"), b"email,ville\na@x.fr,\x81\nb@x.fr,\xc9vry\n")
    in_utf8 = _read(CsvRows(), b"email,ville\na@x.fr,\xc9vry\nb@x.fr,x\n")

    assert [fault.what for fault in _faults(found)] == ["has bytes that are no character of cp1252"]
    assert [fault.what for fault in _faults(in_utf8)] == ["not UTF-8: byte 0xC9 at 7"]
    assert _addresses(found) == _addresses(in_utf8) == ["b@x.fr"]


@pytest.mark.parametrize(
    ("heading", "quoted"),
    [
        (b"Name;Mail", "'Name', 'Mail'"),
        (b"a@x.fr,Ana", "'a@x.fr', 'Ana'. The first line has to name the columns"),
        (b"Email,E-mail", "'Email', 'E-mail' are 'email'"),
        (b"email,email", "'email', 'email' are 'email'"),
        (b"email,x,x", "twice: 'x'"),
        (b"email,metadata.a,Metadata.a", "twice: 'Metadata.a'"),
        (b"email,Opt-In,OPTIN", "'Opt-In', 'OPTIN' are 'optin'"),
        (b",,", "it has '', '', ''"),
        (b"sep=;", ""),
        (b"x" * 5_000, "'" + "x" * 40 + "'"),
        (b"email\xe9,x", "charset=windows-1252"),
        ("ema\u0131l,x".encode("utf-16"), "'ema\u0131l'"),
    ],
)
def test_a_heading_that_is_none_is_quoted(heading: bytes, quoted: str) -> None:
    rows = CsvRows()

    found = _read(rows, heading + b"\na@x.fr,1\n") if not heading.startswith(b"\xff") else _read(rows, heading)

    assert _addresses(found) == []
    assert quoted in _faults(found)[0].what
    assert len(_faults(found)[0].what) < 700


def test_the_column_that_is_called_as_we_call_it_is_the_one() -> None:
    found = _read(CsvRows(), b"Email,email,Name,name\nold@x.fr,a@x.fr,N,Ana\n")

    assert found[0][1] == Recipient(email="a@x.fr", name="Ana", variables={"Email": "old@x.fr", "Name": "N"})


def test_consent_is_heeded_however_it_is_spelt() -> None:
    body = b"E-mail,Opt-In,Kind,Tracking Consent,NAME\na@x.fr,NON,Person,Faux,Ana\nb@x.fr,,PROFESSIONAL,oui,\n"

    found = [row for _, row in _read(CsvRows(), body)]

    assert [(one.optin, one.kind, one.tracking_consent) for one in found] == [
        (False, "person", False),
        (None, "professional", True),
    ]
    assert (found[0].name, found[0].variables) == ("Ana", {"NAME": "Ana"})


@pytest.mark.parametrize(("column", "cell"), [("kind", "Personne"), ("optin", "peut-être"), ("tracking_consent", "2")])
def test_a_cell_that_is_neither_is_quoted(column: str, cell: str) -> None:
    found = _read(CsvRows(), f"email,{column}\na@x.fr,{cell}\nb@x.fr,\n".encode())

    assert repr(cell) in _faults(found)[0].what
    assert _addresses(found) == ["b@x.fr"]


@pytest.mark.parametrize(
    ("heading", "row", "words"),
    [
        (b"email;name", b"a@x.fr,Ana", "1 fields, but the heading has 2: 'a@x.fr,Ana'"),
        (b"email", b"a@x.fr,Ana", "2 fields, but the heading has 1: 'a@x.fr', 'Ana'"),
        (b"email", b"a@x.fr;Ana", "more than one field, but the heading has 1: 'a@x.fr;Ana'"),
        (b"email", b"a@x.fr\tAna", "more than one field, but the heading has 1: 'a@x.fr\\tAna'"),
        (b"email,name", b"a@x.fr", "1 fields, but the heading has 2: 'a@x.fr'"),
    ],
)
def test_a_row_that_does_not_fit_its_heading_is_quoted(heading: bytes, row: bytes, words: str) -> None:
    assert _read(CsvRows(), heading + b"\n" + row + b"\n") == [(2, Fault("line 2", words))]


@pytest.mark.parametrize(
    ("column", "better"),
    [("variables.x", "'x'"), ("first name", "'first_name'"), ("first-name", "'first_name'"), ("2nd", "'x_2nd'"),
     ("not", "'x_not'"), ("None", "'x_None'"), ("variables.first name", "'first_name'"), ("a.b", "'a_b'"),
     ("%", "'x_'"), ("unsubscribe_url", "the engine sets it")],
)  # fmt: skip
def test_a_column_that_no_template_can_name_is_named_and_its_rows_taken(column: str, better: str) -> None:
    rows = CsvRows()

    found = _read(rows, f"email,{column},ville\na@x.fr,1,Paris\n".encode())

    assert _addresses(found) == ["a@x.fr"]
    assert repr(column) in rows.warnings[0].what
    assert better in rows.warnings[0].what


@pytest.mark.parametrize("column", ["ville", "prénom", "Ville2", "_x", "名前", "for", "is", "self", "name2", "loop"])
def test_a_column_that_is_not_named_so_is_one_that_a_template_shows(column: str) -> None:
    rows = CsvRows()
    _read(rows, f"email,{column}\na@x.fr,1\n".encode())

    assert rows.warnings == []
    assert Templates({"text": "{{ %s }}" % column}).render("text", {column: "shown"}) == "shown"  # noqa: UP031


def test_columns_without_a_name_are_counted() -> None:
    rows = CsvRows()
    _read(rows, b"email,,ville,\na@x.fr,1,2,3\n")

    assert [fault.what for fault in rows.warnings] == ["columns without a name are not read: 2, 4"]
