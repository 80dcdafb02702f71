"""Odd mails are shown as well as they can be, and none of them makes showing fail."""

from functools import partial

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.local.mailbox import message, pages
from services.local.mailbox.message import framed, links, read, summary
from tests.steps import calls

PLAIN = b"From: =?utf-8?q?Caf=C3=A9?= <news@exemple.fr>\r\nSubject: Bonjour\r\n\r\nBonjour\r\n"


def multipart(kind: str, boundary: str, *parts: bytes) -> bytes:
    """The header field and the body of a multipart."""
    opening = f"--{boundary}\r\n".encode()
    joined = b"".join(opening + part + b"\r\n" for part in parts)
    return (
        f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'.encode()
        + joined
        + f"--{boundary}--\r\n".encode()
    )


def part(content_type: str, content: bytes, *fields: str) -> bytes:
    header = "".join(f"{field}\r\n" for field in (f"Content-Type: {content_type}", *fields))
    return header.encode() + b"\r\n" + content


def test_a_message_without_mime_is_text() -> None:
    shown = read(PLAIN)

    assert (shown.html, shown.text) == (None, "Bonjour\n")
    assert shown.header("from") == "Café <news@exemple.fr>"


def test_the_html_is_found_in_nested_multiparts() -> None:
    alternative = multipart("alternative", "b", part("text/plain", b"plain"), part("text/html", b"<p>rich</p>"))
    related = multipart("related", "c", alternative, part("image/png", b"png", "Content-ID: <logo@x>"))
    raw = b"Subject: s\r\n" + multipart("mixed", "a", related, part("application/pdf; name=a.pdf", b"pdf"))

    shown = read(raw)

    assert (shown.html, shown.text) == ("<p>rich</p>", "plain")
    assert [(file.number, file.media_type, file.filename) for file in shown.attachments] == [
        (2, "image/png", ""),
        (3, "application/pdf", "a.pdf"),
    ]
    assert shown.attachments[0].content_id == "logo@x"


def test_an_attached_html_file_is_not_the_message() -> None:
    attached = part(
        "text/html", b"<p>file</p>", 'Content-Disposition: attachment; filename="=?utf-8?q?=C3=A9t=C3=A9?=.html"'
    )

    shown = read(multipart("mixed", "a", attached, part("text/html", b"<p>message</p>")))

    assert shown.html == "<p>message</p>"
    assert [file.filename for file in shown.attachments] == ["été.html"]


def test_a_message_in_the_message_is_one_attachment() -> None:
    inner = part("message/rfc822", b"Subject: inner\r\nContent-Type: text/html\r\n\r\n<p>inner</p>")

    shown = read(multipart("mixed", "a", part("text/plain", b"outer"), inner))

    assert (shown.html, shown.text) == (None, "outer")
    assert b"<p>inner</p>" in shown.attachments[0].content


@pytest.mark.parametrize(
    ("charset", "content", "seen"),
    [
        ("utf-8", "é".encode(), "é"),
        ("iso-8859-1", b"\xe9", "é"),
        ("windows-1252", b"\x80", "€"),
        ("utf-8", b"\xe9", "\N{REPLACEMENT CHARACTER}"),
        ("no-such-charset", "é".encode(), "é"),
        ("hex", b"6869", "6869"),
        ("utf-7", b"+2AA-", "?"),
        ("\N{SNOWMAN}", "é".encode(), "é"),
    ],
)
def test_a_charset_that_is_wrong_or_unknown_shows_something(charset: str, content: bytes, seen: str) -> None:
    assert read(part(f"text/plain; charset={charset}", content)).text == seen


@pytest.mark.parametrize(
    ("encoding", "content", "seen"),
    [
        ("quoted-printable", b"caf=C3=A9=\r\n!", "café!"),
        ("base64", b"Y2Fmw6k=", "café"),
        ("base64", b"Y2Fmw6k", "café"),
        ("base64", b"!!!", ""),
        ("x-unheard-of", b"as it is", "as it is"),
        ("x-uuencode", b"not uuencoded", "not uuencoded"),
    ],
)
def test_a_transfer_encoding_is_undone_or_left(encoding: str, content: bytes, seen: str) -> None:
    text = read(part("text/plain; charset=utf-8", content, f"Content-Transfer-Encoding: {encoding}")).text

    assert text == seen


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("=?utf-8?q?Les_soldes_d=27=C3=A9t=C3=A9?=", "Les soldes d'été"),
        ("=?utf-8?b?w6k=?=\r\n =?utf-8?b?w6k=?=", "éé"),
        ("=?iso-8859-1?q?=E9?= and =?utf-8?q?=C3=A9?=", "é and é"),
        ("=?no-such?q?=C3=A9?=", "é"),
        ("=?utf-8?b?w?=", "=?utf-8?b?w?="),
        ("=?utf-8?q?unfinished", "=?utf-8?q?unfinished"),
        ("folded\r\n  here", "folded  here"),
        ("Ünïcode", "Ünïcode"),
    ],
)
def test_a_header_is_unfolded_and_its_encoded_words_are_decoded(value: str, seen: str) -> None:
    assert summary(f"Subject: {value}\r\n".encode()).subject == seen


def test_a_header_that_is_cut_off_has_a_summary() -> None:
    assert summary(PLAIN[:20]).sender == "=?utf-8?q?Caf="
    assert summary(b"").subject == ""


def test_one_click_needs_both_headers_and_a_web_address() -> None:
    post = b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    both = b"List-Unsubscribe: <mailto:u-1@b.localhost>,\r\n <https://t.exemple.fr/u/tok>\r\n"

    assert read(both + post + b"\r\n").one_click == "https://t.exemple.fr/u/tok"
    assert read(both + b"\r\n").one_click is None
    assert read(b"List-Unsubscribe: <mailto:u@b.localhost>\r\n" + post + b"\r\n").one_click is None
    assert read(b"List-Unsubscribe: <javascript:alert(1)>\r\n" + post + b"\r\n").one_click is None
    assert read(both + post + b"\r\n").unsubscribe == ["mailto:u-1@b.localhost", "https://t.exemple.fr/u/tok"]


def test_every_signature_is_named_by_domain_and_selector() -> None:
    raw = b"DKIM-Signature: v=1; d=exemple.fr;\r\n s=est1; b=xyz\r\nDKIM-Signature: d=b.fr; s=ed\r\n\r\n"

    assert [(known.domain, known.selector) for known in read(raw).signatures] == [
        ("exemple.fr", "est1"),
        ("b.fr", "ed"),
    ]


def test_links_are_those_a_browser_would_follow() -> None:
    html = '<a href="https://a.fr/?x=1&amp;y=2">a</a><!-- <a href="no"> --><map><area href=/b></map><a>none</a>'

    assert links(html) == ["https://a.fr/?x=1&y=2", "/b"]


def test_links_open_in_a_new_tab_and_the_doctype_stays_first() -> None:
    assert framed("<!DOCTYPE html><p>a</p>", "/parts", []) == '<!DOCTYPE html><base target="_blank"><p>a</p>'
    assert framed("<p>a</p>", "/parts", []) == '<base target="_blank"><p>a</p>'


def test_images_of_the_message_itself_are_found() -> None:
    logo = part("image/png", b"png", "Content-ID: <logo@x>")
    shown = read(multipart("related", "a", part("text/html", b'<img src="cid:logo@x"><img src="cid:other">'), logo))
    assert shown.html is not None

    html = framed(shown.html, "/mailbox/1-0/parts", shown.attachments)

    assert '<img src="/mailbox/1-0/parts/1"><img src="cid:other">' in html


def test_parts_without_end_are_not_all_listed() -> None:
    raw = multipart("mixed", "a", *(part("image/png", b"") for _ in range(message.MAX_PARTS + 5)))

    assert len(read(raw).attachments) == message.MAX_PARTS


def test_parts_nested_beyond_reason_leave_the_header() -> None:
    raw = b"Subject: deep\r\n"
    for depth in range(3_000):
        raw += f'Content-Type: multipart/mixed; boundary="b{depth}"\r\n\r\n--b{depth}\r\n'.encode()

    assert read(raw).header("subject") == "deep"


_CHARSETS = st.sampled_from(
    ["utf-8", "utf-7", "utf-16", "idna", "punycode", "undefined", "unicode_escape", "hex", "zlib", "", "\x00", "é"]
)
_TYPES = st.sampled_from(
    [
        "text/html",
        "text/plain",
        "multipart/mixed",
        "multipart/alternative",
        "message/rfc822",
        "message/delivery-status",
        "text",
        "",
    ]
)
_SHORT = st.text(max_size=9)
_WORDS = st.builds("=?{}?{}?{}?=".format, _CHARSETS, st.sampled_from("qbQBx"), _SHORT)
_PARAMETERS = st.one_of(
    st.builds("charset={}".format, _CHARSETS),
    st.builds("charset*={}''{}".format, _CHARSETS, _CHARSETS),
    st.builds("name*0*={}; name*1={}".format, _CHARSETS, _WORDS),
    st.builds("filename*={}''{}".format, _CHARSETS, _SHORT),
    st.just('boundary="x"'),
)
_FIELDS = st.one_of(
    st.builds("Content-Type: {}; {}; {}".format, _TYPES, _PARAMETERS, _PARAMETERS),
    st.builds("Content-Disposition: {}; {}".format, st.sampled_from(["attachment", "inline", ""]), _PARAMETERS),
    st.sampled_from(["base64", "quoted-printable", "x-uuencode", "", "é"]).map("Content-Transfer-Encoding: {}".format),
    st.builds("{}: {} {}".format, st.sampled_from(["Subject", "From", "Message-ID"]), _WORDS, _SHORT),
    st.builds("{}: <{}>".format, st.sampled_from(["Content-ID", "List-Unsubscribe", "DKIM-Signature"]), _SHORT),
)
_LINES = st.one_of(
    _FIELDS,
    st.sampled_from(["", "", "--x", "--x--", "<a href='x", "<!doctype html", "<!-- ", "begin 644 a", "cid:"]),
    st.text(max_size=20),
).map(lambda line: line.encode("utf-8", "surrogatepass"))
_MAILS = st.one_of(
    st.lists(_LINES, max_size=25).map(b"\r\n".join),
    st.lists(st.one_of(_LINES, st.binary(max_size=30)), max_size=25).map(b"\r\n".join),
    st.binary(max_size=300),
)


@settings(max_examples=400, deadline=None)
@given(_MAILS)
def test_no_mail_makes_showing_fail(raw: bytes) -> None:
    shown = read(raw)
    row = pages.Row("1-0", ["a@b.fr"], "", 0, len(raw), summary(raw))

    for view in ("", *pages.VIEWS):
        pages.message_page(row, shown, raw, checked=[], view=view, nonce="n")
    pages.list_page([row], total=1, sought="", before="", more=False, nonce="n")
    framed(shown.html or "", "/parts", shown.attachments).encode()
    orjson.dumps([*links(shown.html or ""), shown.header("Subject"), *shown.unsubscribe])


def _attack(name: str, size: int) -> bytes:  # noqa: C901 - a branch for each name
    """A mail that grows with `size`, to be read twice: once as it is, once at twice the size."""
    mixed = b'Content-Type: multipart/mixed; boundary="b"\r\n'
    match name:
        case "subject of encoded words":
            return b"Subject: " + b"=?utf-8?q?a?= " * (size // 14) + b"\r\n\r\nx"
        case "folded subject":
            return b"Subject: a" + b"\r\n =?utf-8?q?a?=" * (size // 16) + b"\r\n\r\nx"
        case "parameters":
            return b"Content-Type: text/plain" + b"; a=b" * (size // 5) + b"\r\n\r\nx"
        case "parameters in quotes":
            return b"Content-Type: text/plain" + b'; a="' * (size // 5) + b"\r\n\r\nx"
        case "RFC 2231":
            pieces = b"".join(b"; filename*%d*=x" % number for number in range(size // 18))
            return b"Content-Disposition: attachment" + pieces + b"\r\n\r\nx"
        case "fields":
            return b"a: b\r\n" * (size // 6) + b"\r\nx"
        case "parts":
            return mixed + b"\r\n" + b"--b\r\n\r\nx\r\n" * (size // 10)
        case "parts of many fields":
            return mixed + b"\r\n" + (b"--b\r\n" + b"a:\r\n" * 10_000 + b"\r\nx\r\n") * (size // 40_000)
        case "nested":
            opening = b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n'
            return b"".join(opening % (depth, depth) for depth in range(size // 60))
        case "nested in one boundary":
            return (mixed + b"\r\n--b\r\n") * (size // 50)
        case "messages in messages":
            return b"Content-Type: message/rfc822\r\n\r\n" * (size // 32)
        case "lines that almost match":
            return mixed + b"\r\n" + b"--bb\r\n" * (size // 6)
        case "blanks behind a boundary":
            return mixed + b"\r\n" + (b"--b" + b" " * 1_000 + b"x\r\n") * (size // 1_006)
        case _:
            return b"a: b\r\n" + b"\r\n" * (size // 2)


ATTACKS = [
    "subject of encoded words", "folded subject", "parameters", "parameters in quotes", "RFC 2231", "fields", "parts",
    "parts of many fields", "nested", "nested in one boundary", "messages in messages", "lines that almost match",
    "blanks behind a boundary", "empty lines",
]  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_twice_the_mail_is_at_most_twice_the_steps(name: str) -> None:
    def looked_at(raw: bytes) -> None:
        shown = read(raw)
        framed(shown.html or "", "/parts", shown.attachments)

    # Each call looks at no more than a bounded field, or searches.
    once, twice = (calls(partial(looked_at, _attack(name, size))) for size in (2_000_000, 4_000_000))

    assert twice <= 2.1 * once + 50
    assert twice < 400_000


def test_what_a_page_shows_of_a_mail_is_bounded() -> None:
    raw = b"Subject: " + b"=?utf-8?q?a?= " * 700_000 + b"\r\n" + b"a: b\r\n" * 100_000 + b"\r\n" + b"x" * 4_000_000
    shown = read(raw)
    row = pages.Row("1-0", ["a@b.fr"], "", 0, len(raw), summary(raw))

    sizes = [len(pages.message_page(row, shown, raw, checked=[], view=view, nonce="n")) for view in pages.VIEWS]

    assert max(sizes) < 4 * pages.MAX_SHOWN_CHARS


def test_links_of_html_without_end_are_bounded() -> None:
    assert len(links("<a href=x>" * 1_000_000)) <= message.MAX_LINKED_CHARS // 10
    assert links("<div>" * 1_000_000) == []


def test_the_body_stands_behind_a_header_that_is_cut() -> None:
    assert read(b"a: b\r\n" * 100_000 + b"\r\nbody").text == "body"
    assert read(b"a: " + b"b" * 1_000_000 + b"\r\n\r\nbody").text == "body"


@pytest.mark.parametrize(
    "raw",
    [
        b"--a\r\n\r\none\r\n--a\r\n\r\ntwo\r\n--a--\r\nepilogue",
        b"preamble\r\n--a\r\n\r\none\r\n--a\r\n\r\ntwo",
        b"\r\n--a  \r\n\r\none\r\n--ab\r\n--a\t\r\n\r\ntwo\r\n--a--",
        b"--a\n\none\n--a\n\ntwo\n--a--\n",
    ],
)
def test_parts_are_what_stands_between_their_delimiters(raw: bytes) -> None:
    shown = read(b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + raw)

    assert (shown.text or "").split("\n")[0] == "one"
    assert [file.content for file in shown.attachments] == [b"two"]
