"""A large body is cut into the same values, and refused in the same words, as a decoder has for it whole."""

import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.queueing import cut, reading
from services.queueing import pieces as piecewise
from shared.words.errors import Problem

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 40), 1 << 40) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def pieces(body: bytes) -> Any:
    """The decoded values of an object, cut; or what was said."""
    try:
        return {name: msgspec.json.decode(body[a:b]) for name, (a, b) in cut.fields(body, "")[0].items()}
    except (msgspec.DecodeError, RecursionError) as fault:
        return str(fault)


def whole(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as fault:
        return str(fault)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=8), values, max_size=5), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_an_object_is_cut_into_what_a_decoder_finds(sent: dict[str, Any], indent: Any, ascii_only: bool) -> None:
    try:
        body = json.dumps(sent, indent=indent, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return

    assert pieces(body) == whole(body)


@settings(max_examples=300, deadline=None)
@given(st.lists(values, max_size=6), st.sampled_from([None, 2]))
def test_an_array_is_cut_into_what_a_decoder_finds(sent: list[Any], indent: Any) -> None:
    body = json.dumps({"a": 1, "rows": sent, "b": []}, indent=indent).encode()

    found, rows = cut.fields(body, "rows")

    assert [msgspec.json.decode(body[a:b]) for a, b in rows] == sent
    assert found["rows"] == (body.index(b"[", body.index(b"rows")), found["rows"][1])


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('x"\\é\n'), max_size=40), st.integers(1, 9), st.booleans())
def test_a_string_ends_at_its_quote_wherever_a_step_ends(text: str, step_bytes: int, ascii_only: bool) -> None:
    string = json.dumps(text, ensure_ascii=ascii_only).encode()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut, "STEP_BYTES", max(step_bytes, 2))  # an escape is two
        found = cut.fields(b'{"":' + string + b"}", "")[0]
        endless = pieces(b'{"":' + string[:-1])

    assert found[""] == (4, 4 + len(string))
    assert isinstance(endless, str)


FILL = '"html": "' + "x" * piecewise.WHOLE_BYTES + '", '
ROW = '{"email": "ana@exemple.fr", "variables": {"a": [1, {"b": "]}"}]}}'
BODIES = {
    "no object": "[" + ROW + "]",
    "a text": '"' + "x" * 9 + '"',
    "a number": "12",
    "no value": "nope",
    "nothing": "",
    "blanks": "   ",
    "cut off in a field": '{%"subject": "a',
    "cut off after a field": '{%"subject": "a"',
    "cut off after a comma": '{%"subject": "a",',
    "cut off after a name": '{%"subject"',
    "a comma too many": '{%"subject": "a",}',
    "a comma missing": '{%"subject": "a" "from": "b"}',
    "a colon missing": '{%"subject" "a"}',
    "a name without quotes": '{%subject: "a"}',
    "what follows": '{%"subject": "a"} x',
    "two objects": '{%"subject": "a"}{}',
    "a bad literal in a field": '{%"test": tru, "subject": "a"}',
    "a bad escape in a name": '{%"sub\\q": "a"}',
    "a bad row": '{%"recipients": [' + ROW + ', {"email": tru}]}',
    "a row cut off": '{%"recipients": [' + ROW + ', {"email": "a',
    "rows without a comma": '{%"recipients": [' + ROW + ROW + "]}",
    "a comma at the end of rows": '{%"recipients": [' + ROW + ",]}",
    "no list of rows": '{%"recipients": {"a": 1}}',
    "rows twice": '{%"subject": "a", "from": "b@c.d", "recipients": [1, 2], "recipients": [{"email": 1}]}',
    "a text for rows": '{%"recipients": "a"}',
    "a wrong type in the second row": '{%"subject": "a", "from": "b@c.d", "recipients": [' + ROW + ', {"email": 1}]}',
    "an unknown field in a row": '{%"subject": "a", "from": "b@c.d", "recipients": [{"email": "a", "x": 1}]}',
    "an unknown field": '{%"subject": "a", "from": "b@c.d", "nope": 1, "recipients": [' + ROW + "]}",
    "a field twice": '{%"subject": 1, "subject": "a", "from": 1, "recipients": [' + ROW + "]}",
    "a row that is none": '{%"subject": "a", "from": "b@c.d", "recipients": [1, null, "a", []]}',
    "a row that is too long": '{%"recipients": [{"email": "' + "x" * 70_000 + '"}]}',
    "too many rows": '{%"subject": "a", "from": "b@c.d", "recipients": [' + ",".join([ROW] * 11) + "]}",
}


def refused(body: bytes) -> tuple[int, str, Any]:
    with pytest.raises(Problem) as problem:
        reading.read_draft(body, open_job=False, now_ms=0, max_recipients=10)
    return problem.value.status, problem.value.detail, problem.value.faults


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_large_body_is_refused_in_the_words_of_a_small_one(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    large = body.replace("%", FILL).encode()
    monkeypatch.setattr(piecewise, "WHOLE_BYTES", 0)
    pieced = refused(large)

    monkeypatch.setattr(piecewise, "WHOLE_BYTES", sys.maxsize)

    assert pieced == refused(large)


def test_no_call_looks_at_more_than_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    class Watched:
        def __init__(self, pattern: Any) -> None:
            self._pattern = pattern

        def match(self, body: bytes, at: int, end: int) -> Any:
            looked.append(end - at)
            return self._pattern.match(body, at, end)

    for name in ("_ROW", "_REST_OF_STRING", "_BLANKS", "_NO_BRACKETS", "_SCALAR"):
        monkeypatch.setattr(cut, name, Watched(getattr(cut, name)))
    shapes = ['"' + "x" * 400_000 + '"', '"' + "\\u00e9" * 60_000 + '"', "[" + " " * 400_000 + "]", "[" * 200_000]
    for size in (1, 2):
        for shape in shapes:
            pieces(('{"a":' + shape * size + ',"recipients":[' + ",".join([ROW] * 2_000 * size) + "]}").encode())

    assert max(looked) <= cut.STEP_BYTES
    assert len(looked) < 1_000_000
