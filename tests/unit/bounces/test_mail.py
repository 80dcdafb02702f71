"""A received mail is opened, whatever its bytes are."""

import base64
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.bounces import mail, verdict
from services.bounces.mail import MAX_BLOCKS, MAX_FIELD_CHARS, MAX_FIELDS, MAX_PARTS, READ_BYTES
from tests.steps import calls


def multipart(*parts: str, report_type: str = "delivery-status") -> bytes:
    head = f'Content-Type: multipart/report; report-type={report_type}; boundary="b"\r\n\r\n'
    return (head + "".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--\r\n").encode()


def test_fields_are_decoded_and_unfolded() -> None:
    opened = mail.read(b"Subject: =?utf-8?Q?R=C3=A9ponse?=\r\n automatique\r\nX-A: 1\r\nX-A: 2\r\n\r\nHello")

    assert opened.fields.get("subject") == "Réponse automatique"
    assert opened.fields.all("x-a") == ["1", "2"]
    assert opened.fields.get("absent") == ""


def test_raw_utf8_in_a_field_is_read() -> None:
    assert mail.read("Subject: Réponse\r\n\r\n".encode()).fields.get("subject") == "Réponse"


def test_a_field_in_a_charset_nobody_knows_keeps_its_text() -> None:
    assert mail.read(b"Subject: =?x-martian?B?AAAA?=\r\n\r\n").fields.get("subject") == "=?x-martian?B?AAAA?="


def test_a_report_has_blocks() -> None:
    opened = mail.read(multipart("Content-Type: message/delivery-status\r\n\r\nA: 1\r\n\r\nB: 2\r\nC: 3\r\n"))

    part = opened.part("message/delivery-status")
    assert opened.report_type == "delivery-status"
    assert part is not None
    assert [block.pairs for block in part.blocks] == [(("a", "1"),), (("b", "2"), ("c", "3"))]


@pytest.mark.parametrize("encoding", ["base64", "8bit"])
def test_an_international_report_has_blocks_however_it_is_encoded(encoding: str) -> None:
    body = "A: é\r\n\r\nB: ü\r\n"
    content = base64.encodebytes(body.encode()).decode() if encoding == "base64" else body
    opened = mail.read(
        multipart(
            f"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{content}"
        )
    )

    part = opened.part("message/global-delivery-status")
    assert part is not None
    assert [block.pairs for block in part.blocks] == [(("a", "é"),), (("b", "ü"),)]


@pytest.mark.parametrize("content_type", [*mail.RETURNED, *mail.HEADERS])
def test_of_a_returned_message_the_header_is_read_and_nothing_else(content_type: str) -> None:
    opened = mail.read(multipart(f"Content-Type: {content_type}\r\n\r\nMessage-ID: <x@y>\r\n\r\nFake: field\r\n\r\n"))

    part = opened.part(content_type)
    assert part is not None
    assert [block.pairs for block in part.blocks] == [(("message-id", "<x@y>"),)]


def test_html_is_read_without_its_tags() -> None:
    opened = mail.read(
        b"Content-Type: text/html\r\n\r\n<style>p { color: red }</style><p>Not</p><p>delivered<br>550 5.1.1 No</p>"
    )

    assert opened.text.split() == ["Not", "delivered", "550", "5.1.1", "No"]


def test_text_in_a_charset_nobody_knows_is_read_as_latin_1() -> None:
    assert mail.read(b"Content-Type: text/plain; charset=x-martian\r\n\r\n\xe9t\xe9").text == "été"


def test_the_same_mail_brought_by_another_host_has_the_same_digest() -> None:
    one = b"Message-ID: <1@x>\r\n\r\nbody"

    assert mail.read(b"Received: by y\r\n" + one).digest == mail.read(one).digest
    assert mail.read(one + b"!").digest != mail.read(one).digest
    assert mail.read(b"Message-ID: <2@x>\r\n\r\nbody").digest != mail.read(one).digest


def test_what_differs_beyond_the_bytes_that_are_read_has_another_digest() -> None:
    long = b"\r\n" + b"x" * READ_BYTES

    assert mail.read(long + b"1").digest != mail.read(long + b"2").digest


def test_parts_and_blocks_are_bounded() -> None:
    parts = mail.read(multipart(*["Content-Type: text/plain\r\n\r\nx"] * 200)).parts
    blocks = mail.read(multipart("Content-Type: message/delivery-status\r\n\r\n" + "A: 1\r\n\r\n" * 2000)).parts[0]

    assert len(parts) == MAX_PARTS
    assert len(blocks.blocks) <= MAX_BLOCKS


def test_parts_nested_without_end_are_survived() -> None:
    raw = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(3000))

    assert mail.read(raw).digest


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00" * 100,
        b"\r\n\r\n",
        b":\r\n:\r\n\r\n",
        b"Content-Type: multipart/report\r\n\r\n--\r\n",
        b'Content-Type: multipart/report; boundary=""\r\n\r\n----\r\n',
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: message/delivery-status\r\n\r\n",
        b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
        b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\nA",
        b"Content-Type: message/external-body\r\n\r\n\r\n",
        b"Content-Type: text/plain; charset*=utf-8''%ff%\r\n\r\n\xff",
        b"Content-Type: multipart/report; report-type*0*=x''a; report-type*0=b\r\n\r\n",
        b"Subject: =?utf-8?B?AAA?= =?us-ascii?Q?=ff?=\r\n\r\n",
    ],
)
def test_garbage_is_a_mail_too(raw: bytes) -> None:
    opened = mail.read(raw)

    assert opened.text is not None
    assert len(opened.digest) == 32


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=500), st.sampled_from(["text/plain", "message/rfc822", "message/delivery-status", "x"]))
def test_any_bytes_are_a_mail(body: bytes, content_type: str) -> None:
    for raw in (body, f"Content-Type: {content_type}\r\n\r\n".encode() + body):
        opened = mail.read(raw)

        assert "".join(opened.fields.get("subject") + opened.text).encode("utf-8", "strict") is not None


def test_a_content_type_without_end_is_not_opened() -> None:
    raw = b"Subject: x\r\nContent-Type: multipart/report" + b"".join(b"; a*%d=x" % n for n in range(500)) + b"\r\n\r\n"

    assert mail.read(raw).fields.pairs == ()


def test_what_comes_after_too_many_delimiters_is_not_read() -> None:
    raw = b"Subject: x\r\n\r\n" + b"--\r\n" * 5000

    assert mail.read(raw).fields.get("subject") == "x"
    assert len(mail.read(raw).text) < 2000


def test_fields_are_bounded_in_number_and_length() -> None:
    opened = mail.read(b"X: y\r\n" * 5000 + b"\r\n")
    long = mail.read(b"Subject: " + b"=?utf-8?Q?a?= " * 5000 + b"\r\n\r\n")

    assert len(opened.fields.pairs) == MAX_FIELDS
    assert len(long.fields.get("subject")) <= MAX_FIELD_CHARS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Ana <Ana@Example.FR>", ["ana@example.fr"]),
        ('"a@b, c" <d@e.example>, f@g.example', ["a@b", "d@e.example", "f@g.example"]),
        ("rfc822;ana@example.fr", ["ana@example.fr"]),
        ("undisclosed-recipients:;", []),
        ("(" * 2000, []),
        ("@" * 2000, []),
        ('"Ana" <"A..b"@docomo.example>', ["a..b@docomo.example"]),
    ],
)
def test_addresses_are_found_in_a_field(value: str, expected: list[str]) -> None:
    assert mail.addresses(value) == expected


def _attacks(size: int) -> dict[str, bytes]:
    nested = (b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(size // 60))
    mixed = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    return {
        "empty lines": b"a: b\r\n" + b"\r\n" * (size // 2),
        "a subject of encoded words": b"Subject: " + b"=?utf-8?q?a?= " * (size // 14) + b"\r\n\r\nx",
        "parameters": b"Content-Type: text/plain" + b"; a=b" * (size // 5) + b"\r\n\r\nx",
        "fields": b"a: b\r\n" * (size // 6) + b"\r\nx",
        "addresses": b"To: " + b"a@b.example, " * (size // 13) + b"\r\n\r\nx",
        "comments": b"From: " + b"(" * size + b"\r\n\r\nx",
        "received": b"Received: from a by b; Thu, 09 Oct 2025 10:15:00 +0000\r\n" * (size // 57) + b"\r\nx",
        "parts": mixed + b"--b\r\n\r\nx\r\n" * (size // 10),
        "lines that almost match": mixed + b"--bb\r\n" * (size // 6),
        "nested": b"".join(nested),
        "base64": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"QUFB" * (size // 4),
        "punycode": b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a" * size,
        "html": b"Content-Type: text/html\r\n\r\n" + b"<br " * (size // 4),
        "blocks": b"Content-Type: message/delivery-status\r\n\r\n" + b"Status: 5\r\n\r\n" * (size // 13),
    }


@pytest.mark.parametrize("name", _attacks(1_000))
def test_twice_the_mail_is_no_more_steps_beyond_the_bounds(name: str) -> None:
    def judged(raw: bytes) -> None:
        opened = mail.read(raw)
        for to in ("bounce", "unsubscribe", "fixed", "feedback"):
            verdict.judge(opened, to, null_reverse_path=True)

    once, twice = (calls(partial(judged, _attacks(size)[name])) for size in (1_000_000, 2_000_000))

    assert twice <= 1.1 * once + 50
