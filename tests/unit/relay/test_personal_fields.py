"""Placeholders in header fields are rendered, and whatever stands in them makes no other field."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.queueing.trial import Tried
from shared.making.render import RenderFailed
from shared.words.errors import Fault
from tests.jobs import compile_job
from tests.unit.relay.test_render import NOW_MS, parsed, ready, render, renderer

LOGIC = "{% if true %}{% endif %}"
AGENT = {"agent": {"name": "Zoé Été", "email": "zoe@exemple.fr"}, "id": 17}
EVIL = st.text('a:\r\n\t <>@,;"\\()=?é\u2028\x00\x85', max_size=60) | st.sampled_from(
    ["x\r\nBcc: eve@evil.example", "x\nX-A: b", "x\r\n\r\nbody", "=?utf-8?B?DQpCY2M6IGE=?=", "a, b <c@d.example>"]
)


def faults(tried: list[Tried] | None = None, **fields: Any) -> list[Fault]:
    given: dict[str, Any] = {"from_": "a@exemple.fr", "subject": "s", "text": "x", "tried": tried or []}
    found = compile_job(**(given | fields))
    return found if isinstance(found, list) else []


@pytest.mark.parametrize("logic", ["", LOGIC])
def test_the_names_of_from_and_reply_to_and_the_values_of_headers_are_rendered(logic: str) -> None:
    mail = render(
        ready(variables=AGENT),
        text="x",
        from_=f"{{{{ agent.name }}}}, Chouette{logic} <news@exemple.fr>",
        reply_to=f"{{{{ agent.name }}}}{logic} <{{{{ agent.email }}}}>",
        headers={"X-Id": f"n{{{{ id }}}}{logic}", "X-Plain": "1", "X-None": f"{{{{ nothing }}}}{logic}"},
    )

    found = parsed(mail)
    assert found["From"] == '"Zoé Été, Chouette" <news@exemple.fr>'
    assert found["Reply-To"] == "Zoé Été <zoe@exemple.fr>"
    assert (found["X-Id"], found["X-Plain"], found["X-None"]) == ("n17", "1", None)
    assert [name for name, _ in mail.headers].count(b"From") == 1


@pytest.mark.parametrize(
    ("from_", "expected"),
    [
        ('"{{ a }}" <n@exemple.fr>', "A B <n@exemple.fr>"),
        ("{{ a|default(\"x\") }} <n@exemple.fr>", "A B <n@exemple.fr>"),
        ("{{ nothing|default('Chouette') }} <n@exemple.fr>", "Chouette <n@exemple.fr>"),
        ("{{ nothing }} <n@exemple.fr>", "n@exemple.fr"),
        ("{{ 'x' if 2 > 1 }} <n@exemple.fr>", "x <n@exemple.fr>"),
        ("Chouette {# note #} <n@exemple.fr>", "Chouette <n@exemple.fr>"),
    ],
)  # fmt: skip
def test_a_name_may_be_any_template(from_: str, expected: str) -> None:
    assert str(parsed(render(ready(variables={"a": "A B"}), text="x", from_=from_))["From"]) == expected


def test_values_of_headers_are_not_escaped() -> None:
    assert parsed(render(ready(variables={"a": "<&>"}), text="x", headers={"X-A": "{{ a }}/"}))["X-A"] == "<&>/"


def test_without_an_address_there_is_no_reply_to() -> None:
    assert parsed(render(text="x", reply_to="{{ nothing }} <{{ nothing }}>"))["Reply-To"] is None
    assert parsed(render(text="x", reply_to="{{ nothing }}"))["Reply-To"] is None
    assert parsed(render(ready(variables=AGENT), text="x", reply_to="{{ agent.email }}"))["Reply-To"] == (
        "zoe@exemple.fr"
    )


@pytest.mark.parametrize(
    "address", ["nonsense", "a@b.fr, c@d.fr", "a@b.fr\r\nBcc: c@d.fr", "a@b.fr> <c@d.fr", "<a@b.fr>"]
)
def test_what_is_no_address_is_not_sent(address: str) -> None:
    with pytest.raises(RenderFailed, match="Reply-To"):
        renderer(text="x", reply_to="{{ a }}").render(ready(variables={"a": address}), NOW_MS)


def test_a_value_without_bound_is_not_sent() -> None:
    with pytest.raises(RenderFailed, match="X-A"):
        renderer(text="x", headers={"X-A": "{{ a }}"}).render(ready(variables={"a": "x" * 5_000}), NOW_MS)


@settings(deadline=None, max_examples=60)
@given(EVIL, st.sampled_from(["", LOGIC]))
def test_no_value_makes_another_field(value: str, logic: str) -> None:
    fields = {
        "text": "x",
        "from_": "{{ a }}" + logic + " <n@exemple.fr>",
        "reply_to": "{{ a }}" + logic + " <n@exemple.fr>",
        "headers": {"X-A": "{{ a }}" + logic},
    }
    plain = [name for name, _ in render(ready(variables={"a": "b"}), **fields).headers]

    mail = render(ready(variables={"a": value}), **fields)

    assert [name for name, _ in mail.headers if name != b"X-A"] == [name for name in plain if name != b"X-A"]
    head = mail.assemble().partition(b"\r\n\r\n")[0]
    for line in head.split(b"\r\n"):
        assert line[:1] == b" " or line.partition(b":")[0] in plain
        assert b"\n" not in line
        assert b"\r" not in line
        assert len(line) <= 998
    assert b"Bcc" not in [name for name, _ in mail.headers]


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"from_": "News <{{ agent }}@exemple.fr>"}, "$.from"),
        ({"from_": "{{ agent }}"}, "$.from"),
        ({"from_": "{{ a }} <nonsense>"}, "$.from"),
        ({"from_": "{{ a <n@exemple.fr>"}, "$.from"),
        ({"from_": "{{ a|nonsense }} <n@exemple.fr>"}, "$.from"),
        ({"from_": "{{ a }}\r\n <n@exemple.fr>"}, "$.from"),
        ({"from_": "{{ a }} <n@[192.0.2.1]>"}, "$.from"),
        ({"reply_to": "{{ a b }}"}, "$.reply_to"),
        ({"reply_to": "{{ a }}\n <n@exemple.fr>"}, "$.reply_to"),
        ({"reply_to": "{{ name }}"}, "$.reply_to"),
        ({"headers": {"X-A": "{{ 1/0 }}"}}, "$.headers['X-A']"),
        ({"headers": {"X-A": "{{"}}, "$.headers['X-A']"),
        ({"headers": {"X-A": "{{ a }}\r\nX-B: c"}}, "$.headers['X-A']"),
    ],
)
def test_what_cannot_be_rendered_is_refused_in_its_place(fields: dict[str, Any], at: str) -> None:
    found = faults([Tried("ana@exemple.fr", "Ana")], **fields)

    assert {fault.at for fault in found} == {at}


def test_what_is_written_as_it_stands_stays_so() -> None:
    found = parsed(render(text="x", from_="Chouette {1} <n@exemple.fr>", headers={"X-A": "{a} %b }}"}))

    assert (str(found["From"]), found["X-A"]) == ("Chouette {1} <n@exemple.fr>", "{a} %b }}")
