"""A mail in a browser is the mail that was sent: the same bytes and the same links, without its pixel."""

import re
from binascii import a2b_qp
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.queueing.attachments import Attachment
from services.tracking.showing import HEADERS, MAX_PICTURES_BYTES, Mail
from shared.mail.templates import TemplateFailed
from shared.redis.recipients import Viewed
from shared.words import content, events, ids
from shared.words.content import CompiledContent
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys
from tests.fakes.rendering import RendererHere, texts
from tests.jobs import compile_job

JOB = ids.job_text(bytes(range(12)))
TOKENS = TokenKeys(b"m" * 32)
BASE_URL = "https://t.exemple.fr"
ANA = "ana@exemple.fr"
PIXEL = re.compile(rb'<img src="https://t\.exemple\.fr/o/[^"]*"[^>]*>')
PLAIN = (
    '<p>Bonjour {{ prenom }}</p><a href="https://exemple.fr/a?x=1&amp;y=2">A</a> <a href="{{ url }}">B</a> '
    '<a href="{{ view_url }}">V</a> <a href="{{ unsubscribe_url }}">out</a></body></html>\n'
)
LOGIC = (
    '<body>{% for one in items %}<a href="https://exemple.fr/{{ one }}">{{ one|upper }}</a>{% endfor %}'
    '<a href="{{ view_url }}">V</a><p>{% if prenom %}Bonjour {{ prenom }}{% endif %}</p></body>\n'
)


def compiled(**fields: Any) -> CompiledContent:
    found = compile_job(**fields)
    assert isinstance(found, CompiledContent)
    return found


def sent(of: CompiledContent, values: dict[str, Any], *, untracked: bool = False, test: bool = False) -> bytes:
    """The body of the mail as the relay makes it, decoded."""
    renderer = RendererHere(
        of, job=JOB, tenant="demo", tokens=TOKENS, verp=VerpKeys(b"m" * 32), base_url=BASE_URL,
        bounce_domain="b.exemple.fr", marks_key=b"k" * 32, test=test,
    )  # fmt: skip
    packed = msgspec.Raw(msgspec.msgpack.encode(values))
    ready = events.Ready(
        tenant="demo", job=JOB, ordinal=7, email=ANA, name="Ana", variables=packed, expires_at=0, untracked=untracked
    )
    return a2b_qp(renderer.render(ready, 0).body)


def shown(of: CompiledContent, values: dict[str, Any], *, untracked: bool = False, test: bool = False) -> bytes:
    mail = Mail(of, job=JOB, tenant="demo", tokens=TOKENS, base_url=BASE_URL, marks_key=b"x" * 32, test=test)
    who = Viewed(ANA, None, "Ana", msgspec.Raw(msgspec.msgpack.encode(values)))
    asked = mail.asked(7, who)
    return mail.page(7, who, {} if asked is None else texts(asked), "", is_tracked=not untracked)


@pytest.mark.parametrize("html", [PLAIN, LOGIC, PLAIN + LOGIC])
@pytest.mark.parametrize("untracked", [False, True])
@pytest.mark.parametrize("test", [False, True])
def test_the_page_is_the_mail_but_for_its_pixel(html: str, untracked: bool, test: bool) -> None:
    of = compiled(html=html)
    values = {"prenom": "Zoé <b>", "url": "https://exemple.fr/moi?a=1", "items": ["été", "prix"]}

    mail = sent(of, values, untracked=untracked, test=test)

    assert shown(of, values, untracked=untracked, test=test) == PIXEL.sub(b"", mail)
    assert bool(PIXEL.search(mail)) is not untracked
    assert b"/v/" in mail


@given(st.dictionaries(st.sampled_from(["prenom", "url"]), st.text(st.characters(codec="utf-8"), max_size=60)))
def test_so_it_is_whatever_the_variables_hold(values: dict[str, str]) -> None:
    of = compiled(html=PLAIN)

    assert shown(of, values) == PIXEL.sub(b"", sent(of, values))


def test_a_mail_of_text_alone_is_a_page_whose_links_can_be_followed_and_nothing_in_it_is_markup() -> None:
    page = shown(compiled(text="Bonjour {{ prenom }}, voir https://exemple.fr/a. {{ view_url }}"), {"prenom": "<b>&"})

    assert b"Bonjour &lt;b&gt;&amp;, voir " in page
    assert re.search(rb'voir <a href="https://t\.exemple\.fr/c/([\w-]+)">https://t\.exemple\.fr/c/\1</a>\. ', page)
    assert re.search(rb'<a href="https://t\.exemple\.fr/v/[\w-]+">', page)


def test_the_html_is_shown_where_there_is_a_text_too_and_files_are_not() -> None:
    attached = [Attachment(filename="a.txt", content_type="text/plain", content="QUFB")]
    of = compiled(html=PLAIN, text="only text {{ view_url }}", attachments=attached)

    page = shown(of, {"prenom": "Zoé"})

    assert page.startswith("<p>Bonjour Zoé</p>".encode())
    assert b"only text" not in page
    assert b"QUFB" not in page


LOGO = Attachment("a.png", "QUFB", "image/png", "logo@a.fr")
HTML_FILE = Attachment("b.html", "QkJC", "text/html", "b")
SHOWS = (
    '<img src="cid:logo@a.fr"><p style="background:url(cid:logo%40a.fr)">cid:logo@a.fr {{ prenom }}<img src="cid:b">'
)


def test_pictures_that_the_mail_brings_along_are_in_the_page() -> None:
    page = shown(compiled(html=SHOWS, attachments=[LOGO, HTML_FILE]), {"prenom": "cid:logo@a.fr"})

    url = b"data:image/png;base64,QUFB"
    assert page.startswith(b'<img src="%b"><p style="background:url(%b)">cid:logo@a.fr cid:logo@a.fr' % (url, url))
    assert b'<img src="cid:b">' in page


def test_a_page_has_so_many_bytes_of_pictures_and_no_more() -> None:
    large = msgspec.structs.replace(LOGO, content="A" * 8_000_000)
    page = shown(compiled(html='<img src="cid:logo@a.fr">' * 5, attachments=[large]), {})

    assert (page.count(b"data:"), page.count(b"cid:")) == (1, 4)
    assert len(page) < MAX_PICTURES_BYTES


def test_what_cannot_be_rendered_is_no_page() -> None:
    of = compiled(html="<p>{{ view_url }}{{ items|batch(n) }}</p>")

    with pytest.raises(TemplateFailed):
        shown(of, {"items": [1], "n": 1000})


def test_a_content_without_a_body_shows_nothing() -> None:
    of = msgspec.structs.replace(compiled(html=PLAIN), body=[b"x"])

    with pytest.raises(ValueError, match="shows nothing"):
        shown(of, {})


def test_nothing_of_the_page_runs_and_nobody_lists_it() -> None:
    policy = HEADERS["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "frame-ancestors 'none'" in policy
    assert (HEADERS["X-Robots-Tag"], HEADERS["Referrer-Policy"]) == ("noindex, nofollow, noarchive", "no-referrer")


def test_a_content_that_leads_to_its_page_says_so() -> None:
    assert content.is_viewable(compiled(html=PLAIN))
    assert content.is_viewable(compiled(html="<p>x</p>", text="{% if a %}{{ view_url }}{% endif %} x"))
    assert content.is_viewable(compiled(html="<p>{{ browser_url }}</p>"))
    assert not content.is_viewable(compiled(html="<p>{{ unsubscribe_url }}</p>"))
