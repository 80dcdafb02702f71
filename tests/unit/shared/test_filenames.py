"""Names of attached files reach every program: whole, or as like as it can read."""

import re
from email import message_from_string
from email.policy import default
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.local.mailbox.message import read
from services.queueing import mime
from services.queueing.attachments import Attachment
from shared.mail import attached, filenames
from shared.words.content import Part
from tests.jobs import compile_job

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=100).filter(
    lambda name: filenames.fault(name) is None
)
PARAMETER = re.compile(r'filename(\*(\d+))?(\*)?=(?:"([^"]*)"|([^;\s]*))')


def faults(name: str) -> list[str]:
    found = compile_job(text="x", attachments=[Attachment(name, "YQ==")])
    return [f"{fault.at} {fault.what}" for fault in found] if isinstance(found, list) else []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a b.pdf", 'attachment;\r\n filename="a b.pdf"'),
        ("it's (1), #2;.pdf", "attachment;\r\n filename=\"it's (1), #2;.pdf\""),
        ("Überweisung März.pdf", "attachment;\r\n filename*=utf-8''%C3%9Cberweisung%20M%C3%A4rz.pdf;\r\n "
         'filename="Uberweisung Marz.pdf"'),
        ("a  b.pdf", "attachment;\r\n filename*=utf-8''a%20%20b.pdf;\r\n filename=\"a b.pdf\""),
        ('a"b.pdf', "attachment;\r\n filename*=utf-8''a%22b.pdf;\r\n filename=\"a'b.pdf\""),
        ("契約書.pdf", "attachment;\r\n filename*=utf-8''%E5%A5%91%E7%B4%84%E6%9B%B8.pdf;\r\n "
         'filename="attachment.pdf"'),
        ("Straße €5.txt", "attachment;\r\n filename*=utf-8''Stra%C3%9Fe%20%E2%82%AC5.txt;\r\n "
         'filename="Strasse _5.txt"'),
    ],
)  # fmt: skip
def test_a_name_stands_whole_and_beside_it_one_of_ascii(name: str, value: str) -> None:
    assert filenames.disposition(name) == value


def test_a_long_name_is_continued_and_never_cut_inside_of_a_character() -> None:
    value = filenames.disposition("é" * 120 + ".pdf")

    pieces = re.findall(r"filename\*(\d+)\*=([^;\r]*)", value)
    assert [int(number) for number, _ in pieces] == list(range(len(pieces)))
    assert len(pieces) > 10
    assert pieces[0][1].startswith("utf-8''")
    assert all(re.fullmatch(r"(?:utf-8'')?(?:%C3%A9)*(?:\.pdf)?", piece) for _, piece in pieces)
    assert re.search(r'filename="e+\.pdf"', value)


def test_a_long_name_of_ascii_is_continued_too() -> None:
    name = "a" * 120 + " b.pdf"
    value = filenames.disposition(name)

    assert "filename*0*=utf-8''aaa" in value
    assert re.search(r'filename="a+\.pdf"', value)


@given(names)
def test_any_name_is_read_back_whole_with_lines_that_are_short(name: str) -> None:
    content_type, disposition = filenames.content_type("application/pdf", name), filenames.disposition(name)

    lines = f"Content-Type: {content_type}\r\nContent-Disposition: {disposition}".split("\r\n")
    assert max(map(len, lines)) <= 76
    assert all(line.isascii() and line.isprintable() and "  " not in line for line in lines)
    found = {}
    plain = None
    for _, number, extended, quoted, bare in PARAMETER.findall(disposition.replace("\r\n", "")):
        if extended or number:
            found[int(number or 0)] = bare
        else:
            plain = quoted
    whole = "".join(found[number] for number in sorted(found))
    assert unquote(whole.removeprefix("utf-8''")) == name if whole else plain == name
    assert plain is not None
    assert plain.isascii()
    assert plain.strip()
    assert not set(plain) & set('"\\/')
    assert f'name="{plain}"' in content_type
    part = message_from_string(f"Content-Disposition: {disposition}\r\n\r\n", policy=default)
    if name == " ".join(name.split()):
        assert part.get_filename() == name


@given(names)
def test_the_mailbox_shows_the_whole_name(name: str) -> None:
    entity = mime.assemble(Part("text", segments=[b"x\r\n"]), None, [attached.File(name, "text/csv", b"x")], b"d")
    head = "".join(f"{field}: {value}\r\n" for field, value in entity.fields)
    body = b"".join(one if isinstance(one, bytes) else b"x\r\n" for one in entity.body)

    attachments = read(head.encode() + b"\r\n" + body).attachments

    if name == " ".join(name.split()):
        assert [part.filename for part in attachments] == [name]


def test_a_content_type_with_a_name_keeps_it() -> None:
    assert filenames.content_type('text/csv; name="a.csv"', "b.csv") == 'text/csv; name="a.csv"'
    assert filenames.content_type("text/calendar; method=REQUEST", "é.ics") == (
        'text/calendar; method=REQUEST;\r\n name="e.ics"'
    )


@pytest.mark.parametrize(
    "name",
    [
        "", " ", ".", "..", "...", "a/b", "../../etc/passwd", "C:\\a.exe", "..\\a", "a\x00b", "a\tb", "a\r\nX: y",
        "a\x7f", "a\x85b", "a\u2028b", "invoice\u202efdp.exe", "a\u202d", "\u2066a", "a\u2069", "a\u200e",
        "a\u200fb", "\u061ca",
        "a\u200b.pdf", "\ufeffa.pdf", "a\u00adb", "a\u2060b", "\ud800", "\ufdd0", "é" * 128, "a" * 256, "a\U000e0041",
    ],
)  # fmt: skip
def test_what_is_no_name_or_hides_one_is_refused(name: str) -> None:
    (fault,) = faults(name)

    assert fault.startswith("$.attachments[0].filename ")


@pytest.mark.parametrize(
    "name", ["a.pdf", ".profile", "a..b", "é" * 127, "\U0001f469\u200d\U0001f52c.png", "می\u200cخواهم.pdf", "%41*'.txt"]
)
def test_honest_names_are_taken(name: str) -> None:
    assert faults(name) == []
