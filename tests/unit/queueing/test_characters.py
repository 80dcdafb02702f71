"""What is no character comes in by no door: not in a job, not as JSON, not as a line of it, not as a row of CSV."""

import unicodedata
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.queueing import characters
from services.queueing.appending import CsvRows, JsonRows
from services.queueing.compile import Limits
from services.queueing.jobs import Job
from services.queueing.recipients import Recipient, wait
from shared.redis.recipients import Waiting
from shared.words.errors import Fault, Problem
from tests.jobs import read_job

NOW_MS = 1_790_000_000_000
LIMITS = Limits()
MARK = "\ufdd07\ufdd1https://evil.example/x\ufdd2"
BAD = (MARK, "a\ufdefb", "\ufffe", "x\uffff", "\U0001fffe", "\U0010ffff")
GOOD = ("Zoé", "علي ﷽", "\ufdcf\ufdf0", "\ufffd", "\U0001f600", "\U0001f9bf", "李", "\u200d", "\ue000", "\uff3d")


def post(**fields: Any) -> Job:
    job = {"from": "a@b.fr", "subject": "s", "text": "t", "recipients": [{"email": "c@d.fr"}], **fields}
    return read_job(orjson.dumps(job), open_job=False, now_ms=NOW_MS, max_recipients=10, limits=LIMITS)


def waiting(rows: JsonRows | CsvRows, received: str) -> list[Waiting | Fault]:
    """What becomes of a stream of rows."""
    return [
        row if isinstance(row, Fault) else wait(row, "bulk", f"line {number}", set())
        for number, row in rows.feed(received.encode(), last=True)
        if row is not None
    ]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    ("at", "fields"),
    [
        ("$.recipients[0].name", lambda bad: {"recipients": [{"email": "c@d.fr", "name": bad}]}),
        ("$.recipients[0].variables", lambda bad: {"recipients": [{"email": "c@d.fr", "variables": {bad: 1}}]}),
        ("$.recipients[0].variables.a", lambda bad: {"recipients": [{"email": "c@d.fr", "variables": {"a": bad}}]}),
        (
            "$.recipients[0].variables.a[1].b",
            lambda bad: {"recipients": [{"email": "c@d.fr", "variables": {"a": [0, {"b": bad}]}}]},
        ),
        ("$.recipients[0].metadata", lambda bad: {"recipients": [{"email": "c@d.fr", "metadata": {"a": bad}}]}),
        ("$.recipients[0].metadata", lambda bad: {"recipients": [{"email": "c@d.fr", "metadata": {bad: "a"}}]}),
        ("$.variables.a", lambda bad: {"variables": {"a": bad}}),
        ("$.subject", lambda bad: {"subject": bad}),
        ("$.text", lambda bad: {"text": bad}),
        ("$.html", lambda bad: {"html": f"<p>{bad}"}),
        ("$.from", lambda bad: {"from": f"{bad} <a@b.fr>"}),
        ("$.reply_to", lambda bad: {"reply_to": f'"{bad}" <a@b.fr>'}),
        ("$.headers['X-A']", lambda bad: {"headers": {"X-A": bad}}),
        ("$.attachments[0].filename", lambda bad: {"attachments": [{"filename": bad, "content": ""}]}),
        ("$.tags[1]", lambda bad: {"tags": ["a", bad]}),
        ("$.list", lambda bad: {"list": bad}),
        ("$.category", lambda bad: {"category": bad}),
    ],
)
def test_a_job_is_refused_with_the_place(at: str, fields: Any, bad: str) -> None:
    with pytest.raises(Problem) as caught:
        post(**fields(bad))

    assert caught.value.status == 422
    assert [fault.at for fault in caught.value.faults] == [at]
    assert "which is no character" in caught.value.faults[0].what


@pytest.mark.parametrize("good", GOOD)
def test_what_is_rare_but_a_character_is_taken(good: str) -> None:
    job = post(
        subject=f"A{good}",
        text=f"A{good}",
        tags=[good],
        variables={good: good},
        recipients=[{"email": "c@d.fr", "name": good, "variables": {good: [good]}, "metadata": {good: good}}],
    )

    assert job.waiting[0].name == good


@pytest.mark.parametrize("bad", BAD)
def test_a_line_and_a_row_are_refused_and_the_others_taken(bad: str) -> None:
    lines = [
        {"email": "a@b.fr"}, {"email": "b@b.fr", "name": bad}, {"email": "c@b.fr", "variables": {"x": bad}},
        {"email": "d@b.fr", "metadata": {"x": bad}}, {"email": "e@b.fr"},
    ]  # fmt: skip
    csv = f"email,name,x,metadata.y\na@b.fr,,,\nb@b.fr,{bad},,\nc@b.fr,,{bad},\nd@b.fr,,,{bad}\ne@b.fr,,,\n"

    from_json = waiting(JsonRows(), "\n".join(orjson.dumps(line).decode() for line in lines))
    from_csv = waiting(CsvRows(), csv)

    for found in (from_json, from_csv):
        assert [one.email if isinstance(one, Waiting) else "" for one in found] == ["a@b.fr", "", "", "", "e@b.fr"]
    assert [one.at for one in from_csv if isinstance(one, Fault)] == [
        "line 3.name", "line 4.variables.x", "line 5.metadata",
    ]  # fmt: skip


def test_a_column_called_so_takes_all_its_rows_with_it() -> None:
    found = waiting(CsvRows(), "email,\ufdd0\na@b.fr,1\n")

    assert [isinstance(one, Fault) for one in found] == [True]


@pytest.mark.parametrize("written", [r"\ud800", r"\udc00x", r"a\ud83d", r"\ud800\ud800"])
def test_a_lone_surrogate_is_no_json_by_any_door(written: str) -> None:
    bad = f'"{written}"'
    body = '{"from": "a@b.fr", "subject": "s", "text": "t", "recipients": [{"email": "c@d.fr", "name": ' + bad + "}]}"

    with pytest.raises(Problem) as caught:
        read_job(body.encode(), open_job=False, now_ms=NOW_MS, max_recipients=10, limits=LIMITS)
    [line] = waiting(JsonRows(), '{"email": "c@d.fr", "variables": {"a": ' + bad + "}}")

    assert caught.value.status in (400, 422)
    assert isinstance(line, Fault)


def test_surrogates_as_bytes_of_csv_are_not_utf_8() -> None:
    found = [row for _, row in CsvRows().feed(b"email,name\na@b.fr,\xed\xa0\x80\n", last=True)]

    assert isinstance(found[-1], Fault)


@pytest.mark.parametrize("end", ["\n", "\r", "\x00", "\x1f", "\x85", "\u2028", "a\nb"])
@pytest.mark.parametrize("field", ["tags", "list", "category"])
def test_a_word_is_one_line_so_that_no_tag_becomes_two(field: str, end: str) -> None:
    with pytest.raises(Problem) as caught:
        post(**{field: [f"a{end}b"] if field == "tags" else f"a{end}b"})

    assert caught.value.status == 422
    assert "control character" in caught.value.faults[0].what


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20))
def test_the_quick_look_misses_nothing_that_the_slow_one_finds(value: Any) -> None:
    try:
        msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        return

    assert (_inside(value) is not None) == _is_bad(value)


@given(st.sampled_from(sorted(set(range(0x110000)) - set(range(0xD800, 0xE000)))))
def test_a_sign_stands_for_each_of_them(point: int) -> None:
    for value in (chr(point), [chr(point)], {chr(point): "a"}):
        assert (_inside(value) is not None) == _is_bad(value), value


@pytest.mark.parametrize("point", [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029])
def test_a_control_comes_in_by_no_door(point: int) -> None:
    control = f"a{chr(point)}b"
    is_text = control[1] in "\t\n\r\u2028\u2029"
    fields: list[tuple[dict[str, Any], bool]] = [
        ({"recipients": [{"email": "c@d.fr", "name": control}]}, False),
        ({"recipients": [{"email": "c@d.fr", "variables": {control: 1}}]}, False),
        ({"recipients": [{"email": "c@d.fr", "metadata": {control: "a"}}]}, False),
        ({"recipients": [{"email": "c@d.fr", "variables": {"a": [{"b": control}]}}]}, is_text),
        ({"recipients": [{"email": "c@d.fr", "metadata": {"a": control}}]}, is_text),
        ({"variables": {"a": control}}, is_text),
        ({"variables": {"a": {control: 1}}}, False),
        ({"subject": control}, False),
        ({"from": f'"{control}" <a@b.fr>'}, False),
        ({"reply_to": f'"{control}" <a@b.fr>'}, False),
        ({"headers": {"X-A": control}}, point == 9),
        ({"attachments": [{"filename": control, "content": ""}]}, False),
        ({"tags": [control]}, False),
        ({"list": control}, False),
        ({"category": control}, False),
    ]
    for given_fields, is_taken in fields:
        if is_taken:
            post(**given_fields)
        else:
            with pytest.raises(Problem) as caught:
                post(**given_fields)
            assert caught.value.status == 422

    line = orjson.dumps({"email": "a@b.fr", "name": control}).decode()
    [from_json] = waiting(JsonRows(), line)
    assert isinstance(from_json, Fault)
    if control[1] not in "\r\n":
        for heading in ("name", "metadata.x", "x"):
            [from_csv] = waiting(CsvRows(), f'email,{heading}\na@b.fr,"{control}"\n')
            assert isinstance(from_csv, Waiting if is_text and heading != "name" else Fault)


def test_each_of_the_sixty_six_is_found_packed() -> None:
    points = [*range(0xFDD0, 0xFDF0), *(plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF))]

    assert len(points) == 66
    assert all(_inside({"a": f"x{chr(point)}"}) for point in points)


def _inside(value: Any) -> tuple[str, str] | None:
    return characters.fault_inside(value, msgspec.msgpack.encode(value))


def _is_bad(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_bad, value.values())) or any(characters.word_fault(name) for name in value)
    if isinstance(value, list):
        return any(map(_is_bad, value))
    return any(
        characters.NOT_TEXT.match(char) or (unicodedata.category(char) == "Cc" and char not in "\t\n\r")
        for char in value
    )


def test_a_recipient_of_any_door_comes_by_here() -> None:
    assert isinstance(wait(Recipient(email="a@b.fr", name=MARK), "bulk", "here", set()), Fault)
