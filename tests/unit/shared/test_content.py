"""Compiled content is stored and read back, by older and newer readers too."""

import msgpack
import msgspec
import pytest

from shared.words import content
from shared.words.content import (
    CompiledContent,
    Link,
    Part,
    Pixel,
    Subject,
    TrackedLink,
    Variable,
)

WHOLE = CompiledContent(
    stream="bulk",
    from_value="Chouette <news@exemple.fr>",
    from_domain="exemple.fr",
    subject=Subject(("Bonjour ", Variable(("prenom",)))),
    body_fields=[("Content-Type", "text/html; charset=utf-8")],
    body=[
        b"frame",
        Part(
            "html", [b"a", Variable(("b", "c")), Link(1, ("http://", Variable(("d",)))), Link(2, ("e",), "f"), Pixel()]
        ),
        Part("text", template="{% if a %}{% endif %}"),
    ],
    reply_to="contact@exemple.fr",
    headers=[("X-A", "b")],
    variables=msgspec.Raw(msgspec.msgpack.encode({"prenom": "vous"})),
    links=[TrackedLink(1, "http://{{ d }}"), TrackedLink(2, "f")],
    category="promotion",
    rate="100/s",
    to_and_cc=[("To", "Ana <ana@exemple.fr>"), ("Cc", "bo@exemple.fr")],
)


def test_content_reads_back_as_what_was_stored() -> None:
    read = content.decode(content.encode(WHOLE))

    assert msgspec.structs.replace(read, variables=WHOLE.variables) == WHOLE
    assert msgspec.msgpack.decode(read.variables) == {"prenom": "vous"}
    assert content.encode(read) == content.encode(WHOLE)


def test_content_of_an_older_and_of_a_newer_writer_is_read() -> None:
    fields = msgpack.unpackb(content.encode(WHOLE))

    older = content.decode(msgpack.packb(fields[:6]))
    newer = content.decode(msgpack.packb([*fields, "what comes later"]))

    assert older.body == newer.body == WHOLE.body
    assert older.links == []
    assert older.to_and_cc == []
    assert newer.links == WHOLE.links


def test_the_fields_to_and_cc_stand_where_they_were_put_first() -> None:
    """At the end of an array: whoever is older passes them over, and contents of before have none."""
    fields = msgpack.unpackb(content.encode(WHOLE))

    assert fields[18:20] == [{}, [["To", "Ana <ana@exemple.fr>"], ["Cc", "bo@exemple.fr"]]]
    assert content.decode(msgpack.packb(fields[:19])).to_and_cc == []


@pytest.mark.parametrize(
    "packed", [b"", b"\x90", b"\xc0", content.encode(WHOLE)[:-1], msgpack.packb({"stream": "bulk"})]
)
def test_what_is_no_content_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        content.decode(packed)


def test_marks_are_no_characters() -> None:
    assert len(set(content.MARKS)) == 5
    assert all(0xFDD0 <= ord(mark) <= 0xFDEF for mark in content.MARKS)
