"""MIME framing and segments are read back by others, with whatever fills the slots."""

import quopri
from base64 import b64decode
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given, settings
from hypothesis import strategies as st

from services.queueing import mime
from services.queueing.rewrite import Piece
from shared.mail.attached import File
from shared.mail.quoted_printable import SOFT_BREAK, encode
from shared.words.content import (
    Link,
    Part,
    Pixel,
    Variable,
)

texts = st.text(max_size=100) | st.text(" \t\r\n.=aé", max_size=100)
slots = st.just(Variable(("a",))) | st.just(Pixel()) | st.just(Link(0, ("http://a.fr",)))
TEXT = Part("text", segments=[b"hello\r\n"])
HTML = Part("html", segments=[b"<p>hello</p>\r\n"])
DIGEST = b"d" * 32


def parsed(entity: mime.Entity) -> EmailMessage:
    """The mail, as the standard library reads it."""
    head = "".join(f"{name}: {value}\r\n" for name, value in entity.fields)
    body = b"".join(
        piece if isinstance(piece, bytes) else b"".join(map(plain, piece.segments)) for piece in entity.body
    )
    mail = message_from_bytes(head.encode("ascii") + b"\r\n" + body, policy=default)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    return mail


def plain(segment: object) -> bytes:
    assert isinstance(segment, bytes)
    return segment


@settings(deadline=None)
@given(st.lists(texts | slots, max_size=8), st.lists(texts, min_size=8, max_size=8))
def test_filled_slots_read_as_the_text_they_stand_for(pieces: list[Piece], values: list[str]) -> None:
    segments = mime.segments([*pieces, "end\n"])

    fill = iter(values)
    encoded = b"".join(piece if isinstance(piece, bytes) else encode(next(fill)) for piece in segments)
    again = iter(values)
    text = "".join(piece if isinstance(piece, str) else next(again) for piece in pieces) + "end\n"
    # A CR and an LF on two sides of a slot's edge are two line ends there.
    if "\r" not in text:
        assert quopri.decodestring(encoded).replace(b"\r\n", b"\n") == text.encode("utf-8", "replace")
    assert Relaxed.canonicalize_body(encoded) == encoded
    assert max(map(len, encoded.split(b"\r\n"))) <= 76


def test_slots_stand_on_lines_of_their_own() -> None:
    a, b = Variable(("a",)), Variable(("b",))

    assert mime.segments(["Bonjour ", a, ",\nx", b, "\n"]) == [
        b"Bonjour=20=\r\n",
        a,
        b"=\r\n,\r\nx=\r\n",
        b,
        b"\r\n",
    ]
    assert mime.segments([a, b, "", "\n", "c"]) == [a, SOFT_BREAK, b, b"\r\nc"]
    assert mime.segments(["x\n", a]) == [b"x\r\n", a]


def test_one_part_stands_alone() -> None:
    for part, content_type in ((TEXT, "text/plain"), (HTML, "text/html")):
        entity = mime.assemble(TEXT if part is TEXT else None, HTML if part is HTML else None, [], DIGEST)

        mail = parsed(entity)
        assert (mail.get_content_type(), mail.get_content_charset()) == (content_type, "utf-8")
        assert mail["Content-Transfer-Encoding"] == "quoted-printable"
        assert entity.body == [part]


def test_text_and_html_are_alternatives_with_the_html_last() -> None:
    mail = parsed(mime.assemble(TEXT, HTML, [], DIGEST))

    assert mail.get_content_type() == "multipart/alternative"
    inner = list(mail.iter_parts())
    assert [part.get_content_type() for part in inner] == ["text/plain", "text/html"]
    assert [part.get_content().replace("\r\n", "\n") for part in inner] == ["hello", "<p>hello</p>"]


@settings(deadline=None)
@given(
    st.binary(max_size=300), st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1)
)
def test_attachments_are_read_back(content: bytes, filename: str) -> None:
    mail = parsed(mime.assemble(TEXT, HTML, [File(filename, "application/pdf", content)], DIGEST))

    assert mail.get_content_type() == "multipart/mixed"
    alternative, attachment = mail.iter_parts()
    assert alternative.get_content_type() == "multipart/alternative"
    assert attachment.get_content_type() == "application/pdf"
    assert attachment.get_content_disposition() == "attachment"
    assert attachment.get_content() == content
    if filename == filename.strip() and "  " not in filename:
        assert attachment.get_filename() == filename


@pytest.mark.parametrize(
    ("filename", "parameter"),
    [
        ("a b.pdf", 'filename="a b.pdf"'),
        ("été.pdf", "filename*=utf-8''%C3%A9t%C3%A9.pdf;\r\n filename=\"ete.pdf\""),
        ('a"b.pdf', "filename*=utf-8''a%22b.pdf;\r\n filename=\"a'b.pdf\""),
    ],
)
def test_names_of_files_are_plain_or_percent_encoded(filename: str, parameter: str) -> None:
    entity = mime.assemble(TEXT, None, [File(filename, "text/calendar; method=REQUEST", b"x")], DIGEST)

    assert f"\r\n {parameter}\r\n".encode() in b"".join(one for one in entity.body if isinstance(one, bytes))


def test_the_longest_name_of_a_file_leaves_lines_short_enough() -> None:
    entity = mime.assemble(TEXT, None, [File("é" * 127, "text/plain", b"x" * 1000)], DIGEST)

    lines = b"".join(one for one in entity.body if isinstance(one, bytes)).split(b"\r\n")
    assert max(map(len, lines)) <= 76


AMP = Part("amp", segments=[b"<html amp4email>\r\n"])
CONTENT_IDS = st.from_regex(r"[A-Za-z0-9$*+._=-]{1,80}(@[a-z0-9.-]{1,10})?", fullmatch=True)
FILES = st.lists(
    st.tuples(
        st.binary(max_size=200), st.sampled_from(["image/png", "text/plain", "text/html"]), CONTENT_IDS | st.just("")
    ),
    max_size=5,
    unique_by=lambda one: one[2] or object(),
)


@settings(deadline=None)
@given(FILES, st.integers(0, 31), st.sampled_from([(TEXT, HTML), (None, HTML), (TEXT, None)]), st.booleans())
def test_whatever_a_mail_has_is_read_back(
    given_files: list[tuple[bytes, str, str]], named: int, texts: tuple[Part | None, Part | None], has_amp: bool
) -> None:
    files = [File(f"{at}.bin", media_type, content, cid) for at, (content, media_type, cid) in enumerate(given_files)]
    pictures = [one for at, one in enumerate(files) if one.content_id and texts[1] and named >> at & 1]

    entity = mime.assemble(*texts, files, DIGEST, amp=AMP if has_amp else None, pictures=pictures)

    leaves = [part for part in parsed(entity).walk() if not part.is_multipart()]
    kinds = [one.get_content_type() for one in leaves if one.get_content_disposition() is None]
    wanted = [("text/plain", texts[0]), ("text/x-amp-html", has_amp or None), ("text/html", texts[1])]
    assert kinds == [kind for kind, part in wanted if part is not None]
    for disposition, some in (("inline", pictures), ("attachment", [one for one in files if one not in pictures])):
        found = [one for one in leaves if one.get_content_disposition() == disposition]
        assert [one.get_payload(decode=True) for one in found] == [one.content for one in some]
        assert [one.get_content_type() for one in found] == [one.content_type for one in some]
        assert [one.get("Content-ID", "").strip("<>") for one in found] == [one.content_id for one in some]
    for place in mime.places(entity.body, pictures):
        (one,) = (one for one in pictures if one.content_id == place.content_id)
        lines = entity.body[place.at]
        assert isinstance(lines, bytes)
        assert b64decode(lines) == one.content
    assert len(mime.places(entity.body, pictures)) == len(pictures)


def test_pictures_stand_beside_their_html_and_files_beside_it_all() -> None:
    logo, terms = File("a.png", "image/png", b"a", "logo"), File("b.pdf", "application/pdf", b"b")

    mail = parsed(mime.assemble(TEXT, HTML, [terms, logo], DIGEST, amp=AMP, pictures=[logo]))

    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/x-amp-html",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    related = next(part for part in mail.walk() if part.get_content_type() == "multipart/related")
    assert related.get_param("type") == "text/html"


def test_boundaries_come_from_the_content() -> None:
    first = mime.assemble(TEXT, HTML, [], DIGEST)

    assert mime.assemble(TEXT, HTML, [], DIGEST) == first
    assert mime.assemble(TEXT, HTML, [], b"e" * 32) != first
    assert 'boundary="=_' in first.fields[0][1]
