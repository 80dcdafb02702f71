"""Files of a job are attached, or shown by the HTML, or refused with what is wrong with them."""

from base64 import b64encode
from typing import Any

import pytest

from services.queueing import attachments
from services.queueing.attachments import Attachment, Reference
from shared.words.content import CompiledContent, Part, Picture
from shared.words.errors import Fault
from tests.jobs import compile_job

LOGO = Attachment("logo.png", b64encode(b"\x89PNG").decode(), "image/png", "logo")


def compiled(**fields: Any) -> CompiledContent:
    found = compile_job(**fields)
    assert isinstance(found, CompiledContent), found
    return found


def faults(**fields: Any) -> list[Fault]:
    found = compile_job(**fields)
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("html", "names"),
    [
        ('<img src="cid:logo">', ["logo"]),
        ("<img src='CID:a@b.fr'><IMG SRC = cid:c>", ["a@b.fr", "c"]),
        ('<td background="cid:a"><p style="background:url(cid:b)">', ["a", "b"]),
        ('<p style="background:url(&quot;cid:b&quot;)"><style>p{background:url("cid:c")}</style>', ["b", "c"]),
        ('<img srcset="cid:a 1x, cid:b 2x">', ["a", "b"]),
        ('<!--[if mso]><v:fill src="cid:a"/><![endif]-->', ["a"]),
        ('<img src="cid:a%40b.fr">', ["a@b.fr"]),
        ('<img src="cid:{{ logo }}">', [""]),
        ('<p title="cid:a">src="cid:b" is how it is written</p><!-- <img src="cid:c"> -->', []),
    ],
)
def test_what_an_html_shows_of_its_mail_is_found(html: str, names: list[str]) -> None:
    assert [one.content_id for one in attachments.references(html)] == names


def test_a_reference_is_named_once_with_its_first_line() -> None:
    html = '<p>\n<img src="cid:a">\n<img src="cid:b"><img src="cid:a">'

    assert attachments.references(html) == [Reference("a", 2), Reference("b", 3)]


def test_a_picture_of_the_html_is_inside_of_the_mail() -> None:
    found = compiled(html='<p>a</p><img src="cid:logo">', text="a", attachments=[LOGO])

    assert found.body_fields[0][1].startswith("multipart/alternative")
    assert found.pictures == [Picture("logo", "image/png", found.pictures[0].at)]
    assert found.body[found.pictures[0].at] == b"iVBORw==\r\n"


def test_what_the_html_shows_and_nobody_attached_is_refused() -> None:
    html = '<p>\n<img src="cid:logo"><img src="cid:other"></p>'

    assert faults(html=html, attachments=[LOGO]) == [
        Fault("$.html", "line 2: `cid:other`: no attachment has this content_id")
    ]


def test_any_picture_may_be_what_a_variable_names() -> None:
    found = compiled(html='<p>a</p><img src="cid:{{ which }}">', attachments=[LOGO])

    assert [one.content_id for one in found.pictures] == ["logo"]


def test_a_picture_that_nothing_shows_is_an_attachment() -> None:
    found = compiled(html="<p>a</p>", attachments=[LOGO])

    assert found.body_fields[0][1].startswith("multipart/mixed")
    assert found.pictures == []
    assert any(b"Content-Disposition: attachment" in one for one in found.body if isinstance(one, bytes))
    assert [one.kind for one in found.body if isinstance(one, Part)] == ["html"]


@pytest.mark.parametrize("content_id", ["", "a b", "<a>", "a@", "é", "a\r\nX: y", "a%20b", "x" * 101])
def test_ids_that_cannot_stand_in_a_header_and_a_url_are_refused(content_id: str) -> None:
    (fault,) = faults(text="a", attachments=[Attachment("a.png", "YQ==", "image/png", content_id)])

    assert fault.at == "$.attachments[0].content_id"


def test_two_files_have_two_ids() -> None:
    assert faults(text="a", attachments=[LOGO, LOGO]) == [
        Fault("$.attachments[1].content_id", "another attachment has it")
    ]
