"""Links are found as browsers find them, and nothing but the values of tracked hrefs is cut out of the source."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.queueing import rewrite
from services.queueing.rewrite import Document, Href
from shared.words import content, tokens
from shared.words.content import Link, Pixel, Variable

fragments = st.sampled_from(
    [
        '<a href="https://a.fr/?x=1&amp;y=2">', "<A HREF='http://b.fr'>", "<a href=http://c.fr/d>", "</a>", "</A>",
        '<a data-track="off" href="https://no.fr">', "<div data-track=OFF>", "</div>", "<div>", "<p>", "</p>",
        '<area href="https://d.fr">', "<a href>", '<a href="">', '<a href="#e">', '<a href="mailto:f@g.fr">', "<!--",
        "-->", "<!--[if mso]>", "<![endif]-->", "<![endif]>", "<!--[IF !mso]><!-->", "<!--<![EndIf]-->", "<![if vml]>",
        '<td data-track="off">', '<v:rect href="https://v.fr" data-track="off">', "</v:rect>",
        "<script>", "</script>", "<style>", "</style>", "<b>",
        "</b>", "<table>", "</table>", "<tr>", "<td>", "</td>", "<svg>", "</svg>", "<body>", "</body>", "</html>",
        "<title>", "</title>", "<textarea>", "</textarea>", "<plaintext>",
        "<a title='<a href=\"http://h.fr\">' href=\"http://i.fr\">",
        '<a href="https://j.fr/{{ id }}">', "<a href={{ url }}>", '<a href="{{ unsubscribe_url }}">', "{{ name }}",
        "{{ a.b }}", "{# note #}", '<a href="http://k.fr" href="http://l.fr">', "\n", " ", "é\U0001f600", "&amp;", "<",
        ">", '"', "'", '<a href="\n https://m.fr/\n ">', "<select>", "</select>", "<template>", "</template>", "text",
    ]
)  # fmt: skip
logic = st.sampled_from(
    [
        "<a {% if a %}href='https://o.fr' data-track='off'{% else %}href=https://p.fr{% endif %} href=#>",
        "{% if a %}",
        "{% endif %}",
        "{{ a|upper }}",
        "{% raw %}",
        "{% endraw %}",
        "{{ '<a>' }}",
    ]
)
sources = st.lists(fragments, max_size=15).map("".join)
any_sources = st.lists(fragments | logic, max_size=15).map("".join)


QUOTED_IN_BRANCHES = '<p {% if b %}a="{{ a }}"{% else %}c="{{ d }}"{% endif %}>'
_FILTERED = re.compile(r"\{\{\(([^{}]*)\)\|in_(?:string|script)(?:\|safe)?\}\}")


def read(source: str) -> Document:
    return rewrite.read(source, clicks=True)


def tracked(source: str) -> list[tuple[int, str, str]]:
    """Position, value as it stands in the source, and destination of each tracked link."""
    return [(href.position, source[href.start : href.end], href.url) for href in read(source).hrefs]


def restored(document: Document) -> str:
    """The pieces put together again."""
    text = []
    for piece in rewrite.pieces(document, opens=True):
        inner = piece.source if isinstance(piece, Link) else (piece,)
        for one in inner:
            if isinstance(one, Variable):
                text.append("{{" + ".".join(one.path) + "}}")
            elif isinstance(one, str):
                text.append(one)
    return "".join(text)


def _without_marks(marked: str) -> str:
    marked = re.sub(f"{content.LINK_BEGIN}[0-9]+{content.LINK_VALUE}|{content.LINK_END}", "", marked)
    return marked.replace(content.PIXEL, "")


def _without_stretches(source: str, stretches: list[tuple[int, int]]) -> str:
    for start, end in reversed(stretches):
        source = source[:start] + source[end:]
    return source


def without_template_blanks(source: str) -> str:
    return source.replace("{# note #}", "").replace("{{ ", "{{").replace(" }}", "}}")


@settings(deadline=None)
@given(sources)
def test_cutting_changes_no_byte(source: str) -> None:
    document = read(source)

    assert restored(document) == without_template_blanks(_without_stretches(source, document.ours))


@settings(deadline=None)
@given(any_sources)
def test_marking_changes_no_byte(source: str) -> None:
    document = read(source)
    marked = rewrite.marked(document, opens=True)

    for href in document.hrefs:
        mark = (
            f"{content.LINK_BEGIN}{href.position}{content.LINK_VALUE}{source[href.start : href.end]}{content.LINK_END}"
        )
        assert mark in marked
    assert marked.count(content.PIXEL) == 1
    assert _without_marks(marked) == _without_stretches(source, document.ours)


@settings(deadline=None)
@given(any_sources)
def test_positions_rise_and_values_stand_in_hrefs(source: str) -> None:
    hrefs = read(source).hrefs

    tracked = [href for href in hrefs if href.position <= tokens.MAX_POSITION]
    positions = [href.position for href in tracked]
    assert positions == sorted(set(positions))
    assert [href.start for href in hrefs] == sorted(href.start for href in hrefs)
    for href in tracked:  # what is only looked at stands in styles and other attributes too
        assert source[: href.start].rstrip("\"'").lower().endswith("href=")
        assert not href.url or tokens.is_destination(href.url)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('<a href="https://a.fr/">', [(0, "https://a.fr/", "https://a.fr/")]),
        ("<A\nHREF = 'https://a.fr/' >", [(0, "https://a.fr/", "https://a.fr/")]),
        ("<a href=https://a.fr/b>", [(0, "https://a.fr/b", "https://a.fr/b")]),
        ("<a href=https://a.fr/b/>", [(0, "https://a.fr/b/", "https://a.fr/b/")]),
        ('<area HREF="http://a.fr">', [(0, "http://a.fr", "http://a.fr")]),
        ('<a href="HTTP://A.fr">', [(0, "HTTP://A.fr", "HTTP://A.fr")]),
        (
            '<a href="https://a.fr/?b=1&amp;c=2&copy=3&#x26;d">',
            [(0, "https://a.fr/?b=1&amp;c=2&copy=3&#x26;d", "https://a.fr/?b=1&c=2&copy=3&d")],
        ),
        ('<a href=" https://a.fr/\n ">', [(0, " https://a.fr/\n ", "https://a.fr/")]),
        ('<a href="https://é.fr/à b">', [(0, "https://é.fr/à b", "https://xn--9ca.fr/%C3%A0%20b")]),
        ('<a href="http://a.fr" href="http://b.fr">', [(0, "http://a.fr", "http://a.fr")]),
        ("<a title='href=\"http://b.fr\"' href='http://a.fr'>", [(0, "http://a.fr", "http://a.fr")]),
        ('<a title="a>b" href="http://a.fr">', [(0, "http://a.fr", "http://a.fr")]),
        (
            '<a href="http://a.fr">x</a><a href="http://a.fr">y</a>',
            [(0, "http://a.fr", "http://a.fr"), (1, "http://a.fr", "http://a.fr")],
        ),
        (
            '<a href="mailto:a@b.fr"><a href="#c"><a href="tel:1"><a href="http://a.fr">',
            [(3, "http://a.fr", "http://a.fr")],
        ),
        (
            '<table><a href="http://out.fr"><tr><td><a href="http://in.fr"></table>',
            [(0, "http://out.fr", "http://out.fr"), (1, "http://in.fr", "http://in.fr")],
        ),
        ('<b><a href="http://a.fr">x<p>y</b>z</a>', [(0, "http://a.fr", "http://a.fr")]),
        (
            '<svg><a XLINK:HREF="http://a.fr?b&amp;c"><text>x</text></a><a xlink:href="#" href="http://d.fr"></a></svg>',
            [(0, "http://a.fr?b&amp;c", "http://a.fr?b&c"), (1, "http://d.fr", "http://d.fr")],
        ),
        ("<a href='https:\\\\a.fr\\b?c\\d'>", [(0, "https:\\\\a.fr\\b?c\\d", "https://a.fr/b?c\\d")]),
        ("<a href='http:///a.fr/b'>", [(0, "http:///a.fr/b", "http://a.fr/b")]),
        ("<a href='https://a%40b:c@d%2dc.fr/%'>", [(0, "https://a%40b:c@d%2dc.fr/%", "https://a%40b:c@d%2dc.fr/%")]),
    ],
)
def test_links_are_tracked(source: str, found: list[tuple[int, str, str]]) -> None:
    assert tracked(source) == found


@pytest.mark.parametrize(
    "source",
    [
        '<a href="mailto:a@b.fr">',
        '<a href="tel:+33">',
        '<a href="sms:1">',
        '<a href="#top">',
        '<a href="/relative">',
        '<a href="javascript:alert(1)">',
        '<a href="ftp://a.fr/">',
        '<a href="">',
        "<a href>",
        "<a>",
        '<link href="http://a.fr">',
        '<img src="http://a.fr">',
        '<base href="http://a.fr">',
        '<!-- <a href="http://a.fr"> -->',
        '<!-- <!--[if mso]><a href="http://a.fr"> -->',
        '<textarea><!--[if mso]><a href="http://a.fr">x</a><![endif]--></textarea>',
        '<div data-track="off"><!--[if mso]><a href="http://a.fr">x</a><![endif]--></div>',
        '<table><tr><td data-track="off"><a href="http://a.fr">x</a></td></tr></table>',
        '<!--[if mso]><table><tr><td data-track="off"><![endif]--><a href="http://a.fr">x</a>'
        "<!--[if mso]></td></tr></table><![endif]-->",
        '<!--[if mso]><table><tr><![endif]--><!--[if mso]><td data-track="off"><a href="http://a.fr">x</a></td>'
        "</tr></table><![endif]-->",
        '<!--[if mso]><v:rect DATA-TRACK=OFF href="http://a.fr"><v:textbox><![endif]--><a href="http://b.fr">x</a>'
        "<!--[if mso]></v:textbox></v:rect><![endif]-->",
        '<a {% if a %}data-track="off"{% endif %} href="http://a.fr">',
        '<!--[if mso]><a href="http://a.fr" data-track="off">x</a><link href="http://a.fr"><![endif]-->',
        '<script><!--[if mso]><a href="http://a.fr">x</a><![endif]--></script>',
        "<script>'<a href=\"http://a.fr\">'</script>",
        '<style><a href="http://a.fr"></style>',
        '<textarea><a href="http://a.fr"></textarea>',
        '<a href="http://a.fr" data-track="off">',
        "<a data-track=OFF href=http://a.fr>",
        '<div data-track="off"><p><a href="http://a.fr"></p></div>',
        '<a href="{{ unsubscribe_url }}">',
        '<a href="{{ unsubscribe_url }}?lang=fr">',
        '<a href="mailto:{{ email }}">',
        '<a href="/{{ path }}">',
        '<a href="#{{ anchor }}">',
        '<a href="http://[::1">',
        '<a xlink:href="http://a.fr">',
        '<!--[if mso]><v:shape><v:imagedata src="cid:a" o:href="http://a.fr/b.png" href="http://a.fr/c.png"/></v:shape>'
        '<v:rect><v:fill href="http://a.fr/d.png"/></v:rect><![endif]-->',
        '<svg><a xlink:href="http://a.fr" data-track="off"></a></svg>',
        '<a href="*|UNSUB|*">',
        '<a href="[[url]]">',
        '<a href="%%unsubscribe%%">',
        '<a href="https://%%host%%/a">',
        '<a href="https://*|HOST|*/a">',
        '<a href="https:/a.fr/">',
        '<a href="https:///">',
        "<a href='https:\\\\'>",
    ],
)
def test_links_are_not_tracked(source: str) -> None:
    assert tracked(source) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('<!--[if mso]><a href="http://a.fr">x</a><![endif]-->', [(0, "http://a.fr", "http://a.fr")]),
        (
            '<p>é<a href="http://a.fr">x</a><!--[if gte mso 9]><v:roundrect href="http://b.fr/?c&amp;d" arcsize="8%">'
            '<w:anchorlock/></v:roundrect><![endif]--><!--[if !mso]><!--><a href="http://c.fr">y</a><!--<![endif]-->',
            [
                (0, "http://a.fr", "http://a.fr"),
                (1, "http://b.fr/?c&amp;d", "http://b.fr/?c&d"),
                (2, "http://c.fr", "http://c.fr"),
            ],
        ),
        ("<v:shape href='http://a.fr'></v:shape>", [(0, "http://a.fr", "http://a.fr")]),
        (
            '<!--[if mso]><table><tr><td><![endif]--><a href="http://a.fr">x</a><!--[if mso]></td><td>'
            '<a href="{{ url }}">y</a></td></tr></table><![endif]-->',
            [(0, "http://a.fr", "http://a.fr"), (1, "{{ url }}", "")],
        ),
        (
            '<!--[if mso]><style>a{<![endif]--><!--[if mso]><a href="http://a.fr">x</a><![endif]-->',
            [(0, "http://a.fr", "http://a.fr")],
        ),
        (
            '<!--[IF GTE MSO 9]><a href="http://a.fr">x</a><![ENDIF]--><!--[If mso]><a href="http://b.fr">y</a>-->',
            [(0, "http://a.fr", "http://a.fr"), (1, "http://b.fr", "http://b.fr")],
        ),
        (
            '<!--[if mso]><!--[if gte mso 15]><a href="http://a.fr">x</a><![endif]--><a href="http://b.fr">y</a>',
            [(0, "http://a.fr", "http://a.fr"), (1, "http://b.fr", "http://b.fr")],
        ),
        (
            '<!--[if mso]><v:rect href="http://a.fr"><v:textbox><![endif]--><a href="http://b.fr">x</a><!--[if mso]>'
            "</v:textbox></v:rect><V:OVAL HREF=http://c.fr/></V:OVAL><![endif]-->",
            [
                (0, "http://a.fr", "http://a.fr"),
                (1, "http://b.fr", "http://b.fr"),
                (2, "http://c.fr/", "http://c.fr/"),
            ],
        ),
    ],
)
def test_links_that_outlook_shows_are_tracked(source: str, found: list[tuple[int, str, str]]) -> None:
    assert tracked(source) == found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('<a data-track="off" href="http://a.fr">x</a>', '<a href="http://a.fr">x</a>'),
        ("<div  DATA-TRACK=off><p>x</p></div>", "<div><p>x</p></div>"),
        ('<a href="http://a.fr"\n data-link-name="top" class=b>', '<a href="http://a.fr" class=b>'),
        ('<img data-track="off"/>', "<img/>"),
        ('<a data-track="off"href="http://a.fr">', '<a href="http://a.fr">'),
        (
            '<!--[if mso]><a data-track="off" href="http://a.fr"><![endif]-->',
            '<!--[if mso]><a href="http://a.fr"><![endif]-->',
        ),
        ('<p data-track="{{ a }}">x</p>', '<p data-track="{{a}}">x</p>'),
        (
            '<!--[if mso]><table><tr><![endif]--><!--[if mso]><td data-track="off" class=a>x<![endif]-->',
            "<!--[if mso]><table><tr><![endif]--><!--[if mso]><td class=a>x<![endif]-->",
        ),
        ("<p title='data-track=off'>data-track=off</p>", None),
    ],
)
def test_our_own_attributes_are_not_left_in_the_mail(source: str, expected: str | None) -> None:
    expected = source if expected is None else expected

    assert restored(read(source)) == expected
    assert _without_marks(rewrite.marked(read(source), opens=True)).replace("{{ a }}", "{{a}}") == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('<a {% if a %} data-track="off"{% endif %} href="#b">', '<a {% if a %} {% endif %} href="#b">'),
        ('<a{% if a %} data-track="off"{% endif %}href="#b">', '<a{% if a %} {% endif %}href="#b">'),
    ],
)
def test_our_own_attributes_are_taken_out_of_branches_of_a_tag(source: str, expected: str) -> None:
    assert _without_marks(rewrite.marked(read(source), opens=False)) == expected


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (
            "<a {% if a %}href=\"http://a.fr\" class=b{% elif c %}HREF = 'http://b.fr/?d&copy=e'{% else %}"
            'href="http://c.fr/{{ d }}"{% endif %}>x</a>',
            [
                (0, "http://a.fr", "http://a.fr"),
                (1, "http://b.fr/?d&copy=e", "http://b.fr/?d&copy=e"),
                (2, "http://c.fr/{{ d }}", ""),
            ],
        ),
        ('<a {% if a %}href="#b"{% else %}href=http://b.fr{% endif %} >x</a>', [(1, "http://b.fr", "http://b.fr")]),
        (
            '<!--[if mso]><v:rect {% if a %}href="http://a.fr"{% else %}href="http://b.fr"{% endif %}/><![endif]-->',
            [(0, "http://a.fr", "http://a.fr"), (1, "http://b.fr", "http://b.fr")],
        ),
        (
            '<a {% if a %}title="b"{% endif %} href="http://a.fr" href="http://b.fr">x</a>',
            [(0, "http://a.fr", "http://a.fr")],
        ),
        ('<a {% if a %}href="http://a.fr"{% else %}href="http://b.fr"{% endif %} data-track=off>x</a>', []),
    ],
)
def test_each_href_of_a_tag_that_branches_is_a_link(source: str, found: list[tuple[int, str, str]]) -> None:
    assert tracked(source) == found


def test_a_link_has_the_name_that_the_source_gives_it() -> None:
    document = read('<a data-link-name=" Haut  de page " href="http://a.fr"><a href="http://b.fr">')

    assert [(link.position, link.name) for link in document.links()] == [(0, "Haut de page"), (1, "")]


def test_what_outlook_alone_does_not_read_is_tracked() -> None:
    assert tracked('<!--[if !mso]><!--><a href="http://a.fr">x</a><!--<![endif]-->') == [
        (0, "http://a.fr", "http://a.fr")
    ]


@pytest.mark.parametrize(
    "href",
    [
        "{{ url }}",
        "https://a.fr/{{ id }}",
        "http{{ s }}://a.fr",
        "HTTPS://a.fr/{{ id|urlencode }}?b",
        "{% if a %}http://a.fr{% else %}http://b.fr{% endif %}",
        "{{ links['a'] }}",
        "&#104;ttp://a.fr/{{ id }}",
    ],
)
def test_an_href_with_placeholders_is_tracked_when_it_is_known(href: str) -> None:
    assert tracked(f'<a href="{href}">') == [(0, href, "")]


def test_an_expression_with_quotes_and_angles_does_not_end_the_href() -> None:
    source = '<a href="{{ links["a>b"] }}"> <a href={{ x | default("https://a.fr") }}/y> <p title="{{ "<a>" }}">'

    assert [value for _, value, _ in tracked(source)] == [
        '{{ links["a>b"] }}',
        '{{ x | default("https://a.fr") }}/y',
    ]


def test_template_words_in_a_tag_do_not_hide_its_href() -> None:
    assert tracked('<a {% if a %}class="b"{% endif %} href="http://a.fr">') == [(0, "http://a.fr", "http://a.fr")]
    assert tracked('<a {{ attributes }} href="http://a.fr">') == [(0, "http://a.fr", "http://a.fr")]


@pytest.mark.parametrize(
    ("source", "rest"),
    [
        ("<html><body>x</body></html>\n", "</body></html>\n"),
        ("<p>x</p>\n", "\n"),
        ("<p>x</p>", ""),
        ("<!-- </body> --><p>x</p>\n", "\n"),
        ("<BODY>x</BODY >y", "</BODY >y"),
        ("<body>{{ '</body>' }}x</body>", "</body>"),
    ],
)
def test_the_pixel_goes_before_the_end_of_the_body(source: str, rest: str) -> None:
    assert source[read(source).pixel_at :] == rest


def test_a_document_is_cut_at_variables_links_and_pixel() -> None:
    source = '<body>{{ a }}<a href="http://a.fr/{{ b.c }}">{# x #}</a><a href="http://d.fr">e</a></body>\n'

    assert list(rewrite.pieces(read(source), opens=True)) == [
        "<body>",
        Variable(("a",)),
        '<a href="',
        Link(0, ("http://a.fr/", Variable(("b", "c")))),
        '">',
        '</a><a href="',
        Link(1, ("http://d.fr",), "http://d.fr"),
        '">e</a>',
        Pixel(),
        "</body>\n",
    ]


def test_without_opens_there_is_no_pixel_and_without_clicks_no_link() -> None:
    document = rewrite.read('<a href="http://a.fr">x</a>', clicks=False)

    assert document.hrefs == []
    assert list(rewrite.pieces(document, opens=False)) == ['<a href="http://a.fr">x</a>']
    assert content.PIXEL not in rewrite.marked(document, opens=False)


def test_statistics_name_links_by_destination_or_template() -> None:
    document = read('<a href="#a"><a href="http://a.fr/?b&amp;c"><a href="{{ url }}">')

    assert document.links() == [
        content.TrackedLink(1, "http://a.fr/?b&c"),
        content.TrackedLink(2, "{{ url }}"),
    ]
    assert document.hrefs[0] == Href(1, 22, 42, "http://a.fr/?b&c")


def test_a_link_to_a_document_has_its_name_and_the_attribute_goes() -> None:
    document = read(
        '<a data-document=" Devis\n 2026-113 " href="https://a.fr/113.pdf">x</a>'
        '<!--[if mso]><v:roundrect href="https://a.fr/113.pdf" data-document="Devis 2026-113"><![endif]-->'
        '<a href="https://b.fr/{{ numero }}.pdf" data-document=Facture data-link-name=bas>y</a>'
    )

    assert document.links() == [
        content.TrackedLink(0, "https://a.fr/113.pdf", "", "Devis 2026-113"),
        content.TrackedLink(1, "https://a.fr/113.pdf", "", "Devis 2026-113"),
        content.TrackedLink(2, "https://b.fr/{{ numero }}.pdf", "bas", "Facture"),
    ]
    assert "data-document" not in rewrite.marked(document, opens=False)
    assert document.refused_lines == []


@pytest.mark.parametrize(
    "source",
    [
        '<a data-document="Devis" href="mailto:a@b.fr">x</a>',
        '<a data-document="Devis" href="#devis">x</a>',
        '<a data-document="" href="https://a.fr">x</a>',
        '<a data-document="\u202e" href="https://a.fr">x</a>',
        '<p data-document="Devis"><a href="https://a.fr">x</a></p>',
        '<a data-document="Devis" data-track="off" href="https://a.fr">x</a>',
        '<a data-document="Devis" data-track="trap" href="https://a.fr">x</a>',
    ],
)
def test_what_is_no_tracked_link_or_has_no_name_is_no_document_and_the_attribute_goes(source: str) -> None:
    document = read(source)

    assert [link.document for link in document.links() if link.document] == []
    assert "data-document" not in "".join(map(str, rewrite.pieces(document, opens=False)))


def test_without_clicks_there_is_no_document() -> None:
    assert rewrite.read('<a data-document="Devis" href="https://a.fr">x</a>', clicks=False).links() == []


@pytest.mark.parametrize("name", ["Devis {{ numero }}", "{% if a %}Devis{% endif %}", "{{ nom }}"])
def test_a_name_that_depends_on_the_recipient_is_refused_by_its_line(name: str) -> None:
    document = read(f'<p>\n<a data-document="{name}" href="https://a.fr">x</a>')

    assert document.refused_lines == [2]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<p class={{ a }}>", '<p class="{{ a }}">'),
        ("<p class=a-{{ a }}-b id=c>", '<p class="a-{{ a }}-b" id=c>'),
        ('<a href={{ x | default("y") }}/z>', '<a href="{{ x | default("y") }}/z">'),
        ("<p class = {{ a }}\n>", '<p class = "{{ a }}"\n>'),
        ("<p class={% if b %}{{ a }}{% endif %}>", '<p class="{% if b %}{{ a }}{% endif %}">'),
        ("<p a={% if b %}{{ a }}{% else %}c{% endif %} d=e>", '<p a="{% if b %}{{ a }}{% else %}c{% endif %}" d=e>'),
        (
            "<p {% if b %}a={{ a }}{% else %}c={{ d }}{% endif %}>",
            '<p {% if b %}a="{{ a }}"{% else %}c="{{ d }}"{% endif %}>',
        ),
        ("<p a=x{% if b %}y{% endif %}{{ c }}/>", '<p a="x{% if b %}y{% endif %}{{ c }}/">'),
        ("<p a={% for b in c %}{{ b }}{% endfor %}>", '<p a="{% for b in c %}{{ b }}{% endfor %}">'),
        ("<p a={% if b %}x{% endif %} c='{{ d }}'>", "<p a=\"{% if b %}x{% endif %}\" c='{{ d }}'>"),
        ("<p a={% if b %}\"{{ a }}\"{% else %}'{{ c }}'{% endif %}>", None),
        ("<{% if b %}h1{% else %}h2{% endif %} a={{ c }}>", '<{% if b %}h1{% else %}h2{% endif %} a="{{ c }}">'),
        ("<script>a={{ b }}</script>", "<script>a={{( b )|in_script|safe}}</script>"),
        ("<script>a='{{- b|upper -}}'</script>", "<script>a='{{-( b|upper )|in_string|safe-}}'</script>"),
        ("<script>{{ a|tojson }}</script>", "<script>{{ a|tojson |safe}}</script>"),
        ("<script>'{{ a|tojson }}'</script>", "<script>'{{( a|tojson )|in_string|safe}}'</script>"),
        ("<p onclick='f({{ a|tojson }})' data-a='{{ a|tojson }}'>", None),
        ("<p onclick='f({{ a }})'>", "<p onclick='f({{( a )|in_script}})'>"),
        ("<p onclick=f(&quot;{{ a }})>", '<p onclick="f(&quot;{{( a )|in_string}})">'),
        ("<style>a={{ b }}</style><title>a={{ b }}</title>", None),
        ("<!--{# c #}><p a={{ c }}>", '<!--{# c #}><p a="{{ c }}">'),
        ("<!-- {{ a }}--><p a={{ c }}>", '<!-- {{ a }}--><p a="{{ c }}">'),
        ("<!-- -{# c #}-><p a={{ c }}>", '<!-- -{# c #}-><p a="{{ c }}">'),
        ("<!-- > <p a={{ c }}>", None),
        ("<!--[if mso]><p a={{ c }}><![endif]-->", '<!--[if mso]><p a="{{ c }}"><![endif]-->'),
        ("<p {{ 'hidden' if a }} {{ 'b' if c else 'd' }} {{ e|safe }}><{{ 'h1' if f else \"h2\" }}>", None),
        ("<P A={{ a }} B={{ b }}>", '<P A="{{ a }}" B="{{ b }}">'),
        ("<p class=\"{{ a }}\" id='{{ b }}' c=d>{{ e }}=<b>f={{ g }}</b>", None),
        ("<p {% if a %}hidden{% endif %}><!-- a={{ b }} -->", None),
        ("a={{ b }} < c={{ d }}", None),
    ],
)
def test_what_prints_into_a_value_without_quotes_gets_them(source: str, expected: str | None) -> None:
    assert rewrite.guarded(source).source == (source if expected is None else expected)


@settings(deadline=None)
@given(any_sources)
def test_quotes_are_put_once_and_only_added(source: str) -> None:
    guarded = rewrite.guarded(source).source

    assert _FILTERED.sub(r"{{\1}}", guarded).replace('"', "") == source.replace('"', "")
    assert rewrite.guarded(guarded).source.replace("((", "(").count('"') == guarded.count('"')


def test_a_link_that_is_a_trap_has_the_position_of_traps_and_its_mark_is_taken_out() -> None:
    source = (
        '<a href="http://a.fr/1">x</a><a data-track="Trap" href="http://a.fr/2" style="display:none"></a>'
        '<a href="http://a.fr/3">y</a>'
    )

    document = rewrite.read(source, clicks=True)

    assert [(link.position, link.url, link.name) for link in document.links()] == [
        (0, "http://a.fr/1", ""),
        (tokens.TRAP_POSITION, "http://a.fr/2", "trap"),
        (2, "http://a.fr/3", ""),
    ]
    assert "data-track" not in "".join(str(piece) for piece in rewrite.pieces(document, opens=False))
