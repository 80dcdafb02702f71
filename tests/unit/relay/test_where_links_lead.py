"""What is tracked is decided by where a link leads, and the pixel stands where it is seen."""

import re

import pytest
import turbohtml

from services.queueing.attachments import Attachment, references
from shared.words.tokens import destination
from tests.editors import Mail, mails
from tests.jobs import compile_job
from tests.unit.relay.test_render import BASE_URL, UNSUBSCRIBE, click, html, pixel, ready, targets

CLICK = re.compile(re.escape(BASE_URL) + r"/c/[A-Za-z0-9_-]+")
LOGIC = "{% if true %}{% endif %}"


@pytest.mark.parametrize("logic", ["", LOGIC])
@pytest.mark.parametrize(
    ("href", "leads_to"),
    [
        ("https://x.example/?to={{ unsubscribe_url | urlencode }}", "https://x.example/?to="),
        ("https://x.example/?to={{ unsubscribe_url }}", "https://x.example/?to=" + UNSUBSCRIBE),
        ("https://x.example/{{ unsubscribe_url|length }}", "https://x.example/"),
        ("https://x.example/?unsubscribe_url={{ a }}", "https://x.example/?unsubscribe_url=1"),
        ("{{ url }}?unsubscribe_url", "https://y.example/p?unsubscribe_url"),
        ("https://t.exemple.fr.evil.example/u/x", "https://t.exemple.fr.evil.example/u/x"),
        ("https://t.exemple.fr/other", "https://t.exemple.fr/other"),
    ],
)
def test_a_link_that_leads_elsewhere_is_tracked_whatever_words_are_in_it(href: str, leads_to: str, logic: str) -> None:
    made = html(ready(variables={"a": 1, "url": "https://y.example/p"}), html=f'<a href="{href}">x</a>{logic}')

    (target,) = targets(made)
    assert target.startswith(leads_to)


@pytest.mark.parametrize("logic", ["", LOGIC])
@pytest.mark.parametrize(
    "href",
    [
        "{{ unsubscribe_url }}",
        " {{ unsubscribe_url }}#x",
        "{{ unsubscribe_url|default('https://x.example/') }}",
        "{% if true %}{{ unsubscribe_url }}{% else %}https://x.example/{% endif %}",
        "{{ own }}",
        "{{ unsubscribe_url|replace('https://t.exemple.fr', 'HTTP://T.EXEMPLE.FR:80') }}",
        f"{UNSUBSCRIBE}?lang=fr",
        "https://T.exemple.fr:443/u/x",
    ],
)
def test_a_link_that_leads_to_a_page_of_ours_is_not(href: str, logic: str) -> None:
    made = html(ready(variables={"own": UNSUBSCRIBE}), html=f'<a href="{href}">x</a>{logic}')

    assert targets(made) == []


@pytest.mark.parametrize(("a", "leads_to"), [(1, "https://x.example/1"), (2, "https://y.example/?b&c"), (3, None)])
def test_each_branch_of_a_tag_is_tracked(a: int, leads_to: str | None) -> None:
    source = (
        "<a {% if a == 1 %}href=\"https://x.example/{{ a }}\"{% elif a == 2 %}class=b href='https://y.example/?b&amp;c'"
        '{% else %}href="#"{% endif %} id="d">x</a>'
    )

    made = html(ready(variables={"a": a}), html=source)

    assert targets(made) == ([leads_to] if leads_to else [])
    assert made.endswith(' id="d">x</a>' + pixel())


@pytest.mark.parametrize("logic", ["", LOGIC])
@pytest.mark.parametrize("mail", list(mails())[::3], ids=lambda mail: mail.name)
def test_a_mail_of_an_editor_is_what_it_was_but_for_its_links(mail: Mail, logic: str) -> None:
    files = [Attachment("a.png", "YQ==", "image/png", one.content_id) for one in references(mail.html)]

    made = html(ready(), html=mail.html + logic, attachments=files)

    assert targets(made) == [destination(target) for target in mail.targets]
    between = CLICK.split(made.replace(pixel(), "").replace(UNSUBSCRIBE, "{{ unsubscribe_url }}"))
    assert re.fullmatch("(?s:.*?)".join(map(re.escape, between)), mail.html.rstrip("\n")) is not None


def test_a_link_of_ours_is_not_signed_twice() -> None:
    assert html(html=f'<a href="{BASE_URL}/c/x">x</a>') == f'<a href="{BASE_URL}/c/x">x</a>' + pixel()


@pytest.mark.parametrize("source", ["<title>News<p>x</p>", "<head><style>p{}</head><p>x</p>", "<!-- <p>x</p>"])
def test_what_is_swallowed_whole_is_refused(source: str) -> None:
    found = compile_job(html=source)

    assert isinstance(found, list)
    (fault,) = found
    assert "is empty" in fault.what


def test_a_static_link_keeps_its_token() -> None:
    assert click(0, "https://a.fr/") in html(html='<a href="https://a.fr/">x</a>')


@pytest.mark.parametrize("logic", ["", LOGIC])
@pytest.mark.parametrize(
    "source",
    [
        "<p>x</p><style>p{}",
        "<html><body><p>x</p><STYLE>p{}</body></html>",
        "<p>x</p><title>News",
        "<html><head></head><body><p>x</p></body><title>News</html>",
        "<p>x</p><plaintext>y",
        "<p>x</p><!-- never ends",
        "<p>x</p><!--[if mso]><p>y</p>",
        "<body><p>x</p><!-- never ends </body>",
        "<p>x</p><script>1",
        "<p>x</p><textarea>y",
        '<p>x</p><a href="https://a.fr',
        "<p>x</p><a title='",
        "<p>x</p><template><p>y</p>",
        "<body><p>x</p><select><option>y</body>",
        "<p>x</p><iframe src='https://a.fr'>",
        "<p>x</p><noframes>y",
        "<p>x</p><object data='https://a.fr'>",
        "<p>x</p>\n\n",
        "<p>x</p></div></body></html>",
        "<style>a{}</style><title>x</title><!-- y --><svg/><p>x",
    ],
)
def test_the_pixel_is_a_picture_wherever_the_html_ends(source: str, logic: str) -> None:
    made = html(html=logic + source)

    assert made.count(pixel()) == 1
    pictures = [found for found in turbohtml.parse(made).select("img") if "/o/" in str(found.attrs.get("src"))]
    assert len(pictures) == 1
    inside = turbohtml.parse(made).select("template img, select img, object img, video img, noscript img, svg img")
    assert not list(inside)
