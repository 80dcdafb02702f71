"""A mail that came whole: what stays of it byte for byte, what does not, and all that may be wrong with it."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from typing import Any

import pytest
from hypothesis import given as generated
from hypothesis import settings
from hypothesis import strategies as st

from services.queueing.given import Given, read
from shared.words import content
from shared.words.content import Link, Part, Pixel

TO = b"To: ana@exemple.fr\r\n"
PLAIN = b"From: Chouette <news@exemple.fr>\r\nTo: ana@exemple.fr\r\nSubject:  Deux  blancs\r\n\r\nBonjour\r\n"


def whole(raw: bytes) -> Given:
    read_ = read(raw)
    assert isinstance(read_, Given), read_
    return read_


def faults(raw: bytes) -> dict[str, str]:
    found = read(raw)
    assert isinstance(found, list)
    return {one.at: one.what for one in found}


def sent(given: Given) -> bytes:
    """The mail with nothing in its slots."""
    header = b"".join(b"%b: %b\r\n" % (name.encode(), value) for name, value in given.compiled.given)
    pieces: list[bytes] = []
    for item in given.compiled.body:
        if isinstance(item, bytes):
            pieces.append(item)
        else:
            pieces += [one if isinstance(one, bytes) else _slot(one) for one in item.segments]
    return header + b"\r\n" + b"".join(pieces)


def _slot(segment: content.Segment) -> bytes:
    return "".join(map(str, segment.source)).replace("=", "=3D").encode() if isinstance(segment, Link) else b""


def with_fields(fields: str, raw: bytes = PLAIN) -> bytes:
    return fields.replace("\n", "\r\n").encode() + raw


def newsletter(**fields: str) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Zoé <news@exemple.fr>", "ana@exemple.fr", "Été {{ prenom }}"
    for name, value in fields.items():
        mail[name.replace("_", "-")] = value
    mail.set_content("Bonjour {{ prenom }}\n")
    mail.add_alternative(
        '<p>{{ prenom }} é</p><a href="https://a.fr/?x=1&amp;y=2">A</a>\n', "html", cte="quoted-printable"
    )
    mail.add_attachment(b"\x00\xff" * 100, "application", "pdf", filename="a.pdf")
    return mail.as_bytes(policy=SMTP)


def test_a_text_stays_byte_for_byte() -> None:
    assert sent(whole(PLAIN)) == PLAIN


def test_lines_that_all_end_in_lf_are_the_same_mail() -> None:
    assert sent(whole(PLAIN.replace(b"\r\n", b"\n"))) == PLAIN


def test_of_a_newsletter_the_html_alone_is_written_anew_and_templates_are_text() -> None:
    raw = newsletter()

    given = whole(raw)

    before, after = message_from_bytes(raw, policy=default), message_from_bytes(sent(given), policy=default)
    assert [part.get_content_type() for part in before.walk()] == [part.get_content_type() for part in after.walk()]
    for one, other in zip(before.walk(), after.walk(), strict=True):
        if not one.is_multipart():
            assert one.get_content() == other.get_content()
    [part] = [item for item in given.compiled.body if isinstance(item, Part)]
    assert [one for one in part.segments if not isinstance(one, bytes)] == [
        Link(0, ("https://a.fr/?x=1&amp;y=2",), "https://a.fr/?x=1&y=2"),
        Pixel(),
    ]
    assert given.compiled.links == [content.TrackedLink(0, "https://a.fr/?x=1&y=2")]
    assert (given.job.from_, given.job.subject) == ("Zoé <news@exemple.fr>", "Été {{ prenom }}")


def test_where_nothing_is_tracked_it_stays_byte_for_byte() -> None:
    raw = newsletter(X_Estafette_Track="none")

    assert sent(whole(raw)) == re.sub(rb"X-Estafette-Track: none\r\n", b"", raw)


def test_what_stays_inside_is_dropped_and_the_ways_out_of_bulk_mail_are_ours() -> None:
    hidden = "Bcc: bo@exemple.fr\nReceived: from inside\n by x\nReturn-Path: <x@y.fr>\nX-Estafette-Stream: bulk\n"
    raw = with_fields(f"{hidden}List-Unsubscribe: <https://x.fr/>\nList-Unsubscribe-Post: a\nX-Kept: 1\n")

    assert [name for name, _ in whole(raw).compiled.given] == ["X-Kept", "From", "To", "Subject"]
    one_to_one = whole(raw.replace(b"bulk", b"one_to_one"))
    assert "List-Unsubscribe" in dict(one_to_one.compiled.given)


def test_whom_a_mail_names_stays_as_it_stands_and_who_is_hidden_stays_hidden() -> None:
    shown = "To: =?utf-8?q?Zo=C3=A9?= <zoe@exemple.fr>,\n\tAna <ana@exemple.fr>\nCc: Bo <bo@exemple.fr>\n"
    raw = with_fields(f"Bcc: dee@exemple.fr,\n eve@exemple.fr\nMessage-ID: <a@b.fr>\n{shown}", PLAIN.replace(TO, b""))

    made = sent(whole(raw))

    assert shown.replace("\n", "\r\n").encode() in made
    assert b"Message-ID: <a@b.fr>\r\n" in made
    assert b"dee@" not in made
    assert b"eve@" not in made


@pytest.mark.parametrize(
    ("fields", "stream"),
    [
        ("", "transactional"),
        ("List-Unsubscribe: <https://x.fr/>\n", "bulk"),
        ("List-ID: <a.exemple.fr>\n", "bulk"),
        ("Precedence: bulk\n", "bulk"),
        ("Precedence: bulk\nX-Estafette-Stream: transactional\n", "transactional"),
    ],
)
def test_the_stream_is_said_or_shows(fields: str, stream: str) -> None:
    assert whole(with_fields(fields)).job.stream == stream


def test_fields_say_what_a_job_says() -> None:
    given = whole(
        with_fields(
            "X-Estafette-List: newsletter\nX-Estafette-Tags: soldes, =?utf-8?q?=C3=A9t=C3=A9?=\n"
            'X-Estafette-Category: promotion\nX-Estafette-Metadata: {"crm_id":\n "17"}\nX-Estafette-Track: clicks\n'
            "X-Estafette-Once: autumn-2026\n"
            "X-Estafette-Send-At: 2030-02-01T07:00:00Z\nX-Estafette-Job-Key: order-4711\nMessage-ID: <a@b>\n"
        )
    )

    job = given.job
    assert (job.list_, job.tags, job.category, job.once) == (
        "newsletter",
        ["soldes", "été"],
        "promotion",
        "autumn-2026",
    )
    assert (job.track.opens, job.track.clicks) == (False, True)
    assert job.send_at is not None
    assert job.send_at.year == 2030
    assert (given.metadata, given.key, given.is_named) == ({"crm_id": "17"}, "order-4711", True)


def test_all_that_is_wrong_is_named() -> None:
    wrong = faults(
        with_fields(
            "X-Estafette-Stream: blue\nX-Estafette-Colour: red\nX-Estafette-Tags: "
            + "x" * 65
            + "\nX-Estafette-Metadata: [1]\nX-Estafette-Track: all, some\nX-Estafette-Send-At: tomorrow\n"
            "X-Estafette-Once: \n"
            "X-Estafette-List: a\nX-Estafette-List: b\nX-Estafette-Job-Key: \nSender: x@autre.fr\nTo: bo@exemple.fr\n"
        )
    )

    assert list(wrong) == [
        "X-Estafette-Stream", "X-Estafette-Colour", "X-Estafette-Tags", "X-Estafette-Metadata", "X-Estafette-Track",
        "X-Estafette-Send-At", "X-Estafette-Once", "X-Estafette-List", "X-Estafette-Job-Key", "To", "Sender",
    ]  # fmt: skip
    assert "X-Estafette-Send-At" in wrong["X-Estafette-Colour"]


@pytest.mark.parametrize(
    ("raw", "at"),
    [
        (b"", "From"),
        (b"To: a@b.fr\r\n\r\nx", "From"),
        (PLAIN.replace(b"Bonjour", b"Bon\njour"), "mail"),
        (PLAIN.replace(b"Bonjour", b"Bon\rjour"), "mail"),
        (PLAIN.replace(b"Subject:", b"Subject "), "header"),
        (b" folded: first\r\n" + PLAIN, "header"),
        (PLAIN.replace(b"Chouette", b"\xff"), "header"),
        (PLAIN.replace(b"Chouette", b"\x00"), "header"),
        (PLAIN.replace(b"Chouette", b"x" * 999), "header"),
        (PLAIN.replace(b"Chouette", "\ufdd0".encode()), "header"),
        (PLAIN.replace(b"To:", b"From:"), "From"),
        (PLAIN.replace(b"<news@exemple.fr>", b"<a@x.fr>, <b@x.fr>"), "From"),
        (PLAIN.replace(b"exemple.fr>", b"[127.0.0.1]>"), "From"),
        (b"Content-Type: text/html\r\n" + PLAIN.replace(b"Bonjour", b"<a href='javascript:a()'>x</a>"), "html"),
        (b"Content-Type: multipart/signed; boundary=a\r\n" + PLAIN.replace(b"Bonjour", b"\xc3"), "body"),
    ],
)
def test_what_no_mail_may_be_is_refused(raw: bytes, at: str) -> None:
    assert list(faults(raw)) == [at]


@pytest.mark.parametrize("body", ["é" * 10, "x" * 2000, "x" * 1000 + "\r\n\r\né."])
def test_what_hosts_may_not_take_is_encoded(body: str) -> None:
    raw = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n" + PLAIN
    made = sent(whole(raw.replace(b"Bonjour", body.encode())))

    assert made.isascii()
    assert max(map(len, made.split(b"\r\n"))) < 80
    assert message_from_bytes(made, policy=default).get_content() == body + "\r\n"


def test_html_that_cannot_be_read_is_not_tracked() -> None:
    raw = b"Content-Type: text/html; charset=klingon\r\n" + PLAIN.replace(b"Bonjour", b"<a href=https://a.fr/>x</a>")
    raw = raw.replace(b"klingon", b"utf-16")

    assert sent(whole(raw)) == raw


pieces = st.sampled_from(
    [
        b"--a\r\n", b"--a--\r\n", b"\r\n", b"Content-Type: text/html\r\n", b"Content-Type: multipart/mixed; boundary=a",
        b"Content-Type: multipart/mixed; boundary=b\r\n", b"--b\r\n", b"--b--", b"<a href='https://a.fr/'>x</a>",
        b"\xc3\xa9", b"\xff", b"{{ a }}", b" ", b"x" * 1100, b"Content-Transfer-Encoding: base64\r\n", b"=\r\n", b".",
        b"Content-Transfer-Encoding: quoted-printable\r\n", b"=?utf-8?b?", b"X-Estafette-Tags: a,b\r\n", b"\n",
    ]
)  # fmt: skip


@settings(deadline=None)
@generated(st.lists(pieces, max_size=20))
def test_whatever_comes_is_made_or_refused(found: list[bytes]) -> None:
    raw = b"From: a@exemple.fr\r\nContent-Type: multipart/mixed; boundary=a\r\n" + b"".join(found)

    read_: Any = read(raw)

    if isinstance(read_, Given):
        body = sent(read_).partition(b"\r\n\r\n")[2]
        assert body.isascii()
        assert max(map(len, body.split(b"\r\n"))) <= 998
    else:
        assert read_
