"""The text of an HTML says what is read there, and leads where it leads."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.queueing import plain_text, rewrite
from services.queueing.placeholders import placeholders
from shared.mail.templates import Templates
from shared.words import content
from shared.words.content import CompiledContent, Link, Part, Variable
from tests.jobs import compile_job


def text_of(html: str) -> str | None:
    found = plain_text.made(rewrite.read(html, clicks=True))
    return None if found is None else found.source


def compiled(html: str, **fields: Any) -> CompiledContent:
    found = compile_job(html=html, text_from_html=True, **fields)
    assert isinstance(found, CompiledContent), found
    return found


def parts(found: CompiledContent) -> dict[str, Part]:
    return {one.kind: one for one in found.body if isinstance(one, Part)}


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<h1>Bonjour</h1><p>à\n vous&nbsp;!</p>", "Bonjour\n\nà vous\xa0!\n"),
        ("<p>a<br>b<br><br>c</p>", "a\nb\n\nc\n"),
        ("<ul><li>a</li><li>b <b>c</b></li></ul><p>d", "* a\n* b c\n\nd\n"),
        ("<table><tr><td>a</td><td>1 €</td></tr><tr><td>b</td><td>2 €</td></tr></table>", "a 1 €\nb 2 €\n"),
        ("<div><div><div>a</div></div><div>b</div></div>", "a\nb\n"),
        ("<pre>a\n  b</pre>", "a\n  b\n"),
        ('<img src="x" alt="Chouette"> <img src="y" alt="">', "Chouette\n"),
        ("<title>t</title><style>p{}</style><script>1</script><p>a</p><!-- c -->", "a\n"),
        ('<p style="display: none">preheader</p><p hidden>b</p><p>a</p>', "a\n"),
        ("<p>a &lt;b&gt; &amp;amp; c</p>", "a <b> &amp; c\n"),
        ("<!--[if mso]><p>{{ outlook }}</p><![endif]--><p>a</p>", "a\n"),
    ],
)
def test_a_text_has_the_words_and_their_lines(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<a href="https://a.fr/?b=1&amp;c">ici</a>', "ici <https://a.fr/?b=1&c>\n"),
        ('<a href="https://a.fr/">https://a.fr</a>', "https://a.fr/\n"),
        ('<a href="mailto:a@b.fr">a@b.fr</a> <a href="tel:+33">call</a>', "a@b.fr call <+33>\n"),
        ('<a href="#top">up</a> <a href="/relative">here</a>', "up here\n"),
        ('<a href="https://a.fr/{{ id }}"><img src="x" alt="Soldes"></a>', "Soldes <https://a.fr/{{ id }}>\n"),
        ('<a href="{{ unsubscribe_url }}">out</a>', "out <{{ unsubscribe_url }}>\n"),
        ('<p>a <a data-track="trap" href="https://a.fr/">x</a></p>', "a\n"),
    ],
)
def test_a_link_is_its_words_and_where_it_leads(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a {{ b.c }}, {{ d|default('<e>') }}</p>", "a {{ b.c }}, {{ d|default('<e>') }}\n"),
        ("<p>a</p>{% if b %}<p>b</p>{% else %}<p>c</p>{% endif %}<p>d</p>",
         "a\n\n{% if b %}b\n\n{% else %}c\n\n{% endif %}d\n"),
        ("<table>{% for r in rows %}<tr><td>{{ r }}</td></tr>{% endfor %}</table>",
         "{% for r in rows %}{{ r }}\n{% endfor %}\n"),
        ('<p {% if a %}class="b"{% endif %}>c{# d #}</p>', "c\n"),
        ("<head>{% set a = 1 %}</head><p>{{ a + 1 }}</p>", "{% set a = 1 %}{{ a + 1 }}\n"),
        ("<p hidden>{% if a %}b{% endif %}{{ c }}</p><p>d</p>", "{% if a %}{% endif %}d\n"),
        ('<a href="{% if a %}https://a.fr{% endif %}">b</a>', "b <{% if a %}https://a.fr{% endif %}>\n"),
    ],
)  # fmt: skip
def test_placeholders_stand_where_they_stood(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    "html",
    [
        '<img src="x">',
        "<p>&#123;&#123; a }}</p>",
        '<a {% if a %}href="https://a.fr"{% else %}href="https://b.fr"{% endif %}>b</a>',
        "<title>{% set a = 1 %}</title><p>{{ a }}</p>",
        "<p {% if a %}>b<b {% endif %}>c</b></p>",
    ],
)
def test_where_no_text_says_the_same_none_is_made(html: str) -> None:
    assert text_of(html) is None


def test_a_link_of_the_text_is_that_of_the_html() -> None:
    html = '<a data-track="off" href="https://a.fr">A</a> <a href="https://b.fr/?x&amp;y" data-link-name="b">B</a>'

    found = compiled(html)

    assert found.links == [content.TrackedLink(1, "https://b.fr/?x&y", "b")]
    assert parts(found)["text"].segments == [
        b"A <https://a.fr> B <=\r\n",
        Link(1, ("https://b.fr/?x&y",), "https://b.fr/?x&y"),
        b"=\r\n>\r\n",
    ]


def test_it_is_made_where_there_is_none_and_it_is_wanted() -> None:
    assert list(parts(compiled("<p>a {{ b }}</p>"))) == ["text", "html"]
    assert parts(compiled("<p>a {{ b }}</p>", text=" "))["text"].segments == [
        b"a=20=\r\n", Variable(("b",)), b"\r\n",
    ]  # fmt: skip
    assert parts(compiled("<p>a</p>", text="b"))["text"].segments == [b"b\r\n"]
    off = compile_job(html="<p>a</p>", text_from_html=False)
    assert isinstance(off, CompiledContent)
    assert list(parts(off)) == ["html"]


def test_with_logic_it_is_a_template_whose_links_are_marked() -> None:
    found = parts(compiled('{% if a %}<p><a href="https://a.fr/{{ b }}">c</a></p>{% endif %}'))["text"]

    assert found.template == (
        f"{{% if a %}}c <{content.LINK_BEGIN}0{content.LINK_VALUE}https://a.fr/{{{{ b }}}}{content.LINK_END}>\n\n"
        "{% endif %}\n"
    )


def test_a_text_whose_words_of_the_template_do_not_fit_is_not_made() -> None:
    html = "<p>a</p>{% for r in rows %}<p {% if r %}>b{% else %}hidden>c{% endif %}</p>{% endfor %}"

    assert list(parts(compiled(html))) == ["html"]


PIECES = st.sampled_from([
    "<p>", "</p>", "<table>", "<tr>", "<td>", "</td>", "</table>",
    "<a href='https://a.fr/{{ x }}'>", "</a>", "a b ", "\n",
    "{{ a }}", "{% if a %}b{% endif %}", "{# c #}", "<br>", "<pre>", "</pre>", "<!-- d -->", "<style>", "</style>",
    "{% raw %}{{ e }}{% endraw %}", "<ul><li>", "&amp;", "&#123;", "<img alt='f'>", "<!--[if mso]>", "<![endif]-->",
])  # fmt: skip


@settings(deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_whatever_the_html_the_text_has_its_placeholders_and_compiles(html: str) -> None:
    document = rewrite.read(html, clicks=True)

    found = plain_text.made(document)

    if found is not None:
        Templates({"text": found.source})
        known = [html[one.start : one.end] for one in document.placeholders]
        assert all(found.source[one.start : one.end] in known for one in placeholders(found.source))
        assert all(found.source[one.start : one.end] == "https://a.fr/{{ x }}" for one in found.links)
        assert "\n\n\n\n" not in found.source
