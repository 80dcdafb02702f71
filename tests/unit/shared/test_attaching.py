"""Files of one recipient are put into a mail of any make, and read back by others."""

from base64 import b64encode
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from dkim.canonicalization import Relaxed

from services.queueing.attachments import Attachment
from shared.mail.attached import File, body
from shared.mail.wire import is_wire_ready
from shared.making.attaching import attached_to
from shared.making.render import RenderedMail
from shared.words import events
from shared.words.content import CompiledContent
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys
from tests.fakes.rendering import RendererHere
from tests.jobs import compile_job

NOW_MS = 1_790_000_000_123
JOB = "06dndml801in6t31cpig"
PDF = File("Rechnung  Müller.pdf", "application/pdf", bytes(range(256)) * 40)
EMPTY = File("leer.txt", "text/plain; charset=utf-8", b"")
LOGO = Attachment("logo.png", b64encode(b"\x89PNG").decode(), "image/png", "logo")
TERMS = Attachment("cgv.txt", b64encode(b"terms").decode(), "text/plain")


def made(**fields: Any) -> RenderedMail:
    compiled = compile_job(**fields)
    assert isinstance(compiled, CompiledContent), compiled
    renderer = RendererHere(
        compiled, job=JOB, tenant="demo", tokens=TokenKeys(b"k" * 32), verp=VerpKeys(b"v" * 32),
        base_url="https://t.exemple.fr", bounce_domain="b.exemple.fr", marks_key=b"chance",
    )  # fmt: skip
    ready = events.Ready(tenant="demo", job=JOB, ordinal=7, email="ana@exemple.com")
    return renderer.render(ready, NOW_MS)


def parsed(mail: RenderedMail) -> EmailMessage:
    found = message_from_bytes(mail.assemble(), policy=default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    assert not [part.defects for part in found.walk() if part.defects]
    return found


def files(mail: EmailMessage) -> list[tuple[str | None, str, bytes]]:
    return [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True) or b"")  # type: ignore[misc]
        for part in mail.iter_attachments()
    ]


OWN = [("Rechnung  Müller.pdf", "application/pdf", PDF.content), ("leer.txt", "text/plain", b"")]


@pytest.mark.parametrize(
    ("fields", "inner"),
    [
        ({"text": "Bonjour à vous"}, "text/plain"),
        ({"html": "<p>a</p>"}, "text/html"),
        ({"html": "<p>a</p>", "text": "a"}, "multipart/alternative"),
        ({"html": '<img src="cid:logo">', "attachments": [LOGO]}, "multipart/related"),
    ],
)
def test_a_mail_without_files_of_the_job_is_put_around(fields: dict[str, Any], inner: str) -> None:
    before = made(**fields)

    mail = attached_to(before, [PDF, EMPTY])

    found = parsed(mail)
    assert found.get_content_type() == "multipart/mixed"
    first = found.get_payload(0)
    assert isinstance(first, EmailMessage)
    assert first.get_content_type() == inner
    if not first.is_multipart():
        assert first.get_content() == parsed(before).get_content().removesuffix("\r\n").removesuffix("\n")
    assert files(found) == OWN
    names = [name for name, _ in mail.headers]
    assert (names.count(b"Content-Type"), names.count(b"Content-Transfer-Encoding")) == (1, 0)


def test_they_stand_behind_the_files_of_the_job() -> None:
    mail = attached_to(made(text="a", attachments=[TERMS]), [PDF, EMPTY])

    found = parsed(mail)
    assert files(found) == [("cgv.txt", "text/plain", b"terms"), *OWN]
    assert [part.get_content_type() for part in found.walk()].count("multipart/mixed") == 1


@pytest.mark.parametrize("fields", [{"text": "a"}, {"html": "<p>a", "text": "b", "attachments": [TERMS]}])
def test_a_mail_with_files_can_be_signed_and_sent_as_it_is(fields: dict[str, Any]) -> None:
    mail = attached_to(made(**fields), [PDF, EMPTY])

    assert (mail.is_relaxed, mail.is_wire_ready) == (True, True)
    assert Relaxed.canonicalize_body(mail.body) == mail.body
    assert is_wire_ready(mail.assemble())


def test_without_files_nothing_changes() -> None:
    mail = made(text="a")

    assert attached_to(mail, []) is mail


def test_lines_of_base64_are_no_longer_than_76() -> None:
    assert body(b"") == b"\r\n"
    assert {len(line) for line in body(b"x" * 570).splitlines()} == {76}
