"""What somebody else wrote comes out as a layout that does nothing, with the clicks where they were made."""

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from services.pages import heat_map
from services.pages.heat_map import Clicks
from tests.fakes.api_answers import JOB, MAIL

AT = {0: Clicks(50, 0.0529, 4), 2: Clicks(1, None, 1)}
#: What runs, loads, leads somewhere or sends something.
NEVER = re.compile(r"<\s*/?\s*(script|iframe|form|input|button|link|meta|base|object|embed|svg|video|area)\b", re.I)
_PIECES = [
    "<script>", "</script>", "<style>", "</style>", "<!--", "-->", "<a href='#link-0'>", "</a>", "<b", ">", '"', "'",
    "<img src=x onerror=alert(1)>", "<svg><style><img src=x>", "<title>", "</title>", "<textarea>", "</textarea>",
    "<math><mtext>", "<noscript><p title='</noscript><script>'>", "<table>", "<td background=x>", "{% if x %}",
    "{{ x }}", "<![CDATA[", "]]>", "&lt;script&gt;", "&#60;script&#62;", "<embed src=x>", "<body onload=x>", "\x00",
    "é",
]  # fmt: skip


class Read(HTMLParser):
    """Every element and attribute of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("br", "col", "hr", "img", "wbr", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def body_of(html: str) -> str:
    return heat_map.page(html, AT).partition("<body>")[2]


def test_a_counted_link_has_its_clicks_and_no_other_has() -> None:
    shown = body_of(MAIL)

    assert '<a>Les soldes<b class="estafette-mark estafette-4">50 · 5.3 %</b></a>' in shown
    assert '<b class="estafette-mark estafette-1">1</b></a>' in shown
    assert shown.count("<b class=") == 2
    assert "<a>nulle part</a>" in shown


def test_what_runs_loads_or_leads_somewhere_is_left_out_and_the_layout_stays() -> None:
    shown = body_of(MAIL)

    assert NEVER.search(shown) is None
    assert "evil.example" not in shown
    assert "ran" not in re.sub(r"<[^>]*>", "", shown).split()
    assert '<img alt="Chouette" width="120">' in shown
    assert "Bonjour {{ prenom }}" in shown
    assert "{%" not in shown
    assert "Pour vous seule" in shown
    assert '<div style="background:#f4f4f4">' in shown


@given(st.lists(st.one_of(st.sampled_from(_PIECES), st.text(max_size=5)), max_size=25))
def test_whatever_comes_in_what_comes_out_is_in_pairs_and_does_nothing(pieces: list[str]) -> None:
    shown = heat_map.page("".join(pieces), AT)

    read = Read()
    read.feed(shown)
    read.close()

    assert read.open == []
    assert set(read.tags) <= heat_map.ELEMENTS | {"html", "head", "meta", "title", "body"}
    assert read.attributes <= heat_map.ATTRIBUTES | {"charset"}
    assert NEVER.search(shown.partition("<body>")[2]) is None


def test_what_is_nested_without_end_is_bounded() -> None:
    assert heat_map.page("<div>" * 100_000 + "</span>" * 100_000, {}).count("<div>") == heat_map.MAX_DEPTH


def test_the_link_that_was_clicked_most_is_the_hottest() -> None:
    positions = [{"position": 0, "unique": 400}, {"position": 1, "unique": 90}, {"position": 2, "unique": 0}]

    found = heat_map.clicks(positions, 1000)

    assert [(one.share, one.level) for one in found.values()] == [(0.4, 4), (0.09, 1), (0.0, 0)]
    assert heat_map.clicks(JOB["positions"], 0)[0] == Clicks(50, None, 4)
    assert heat_map.clicks([{"position": 0, "unique": 0}], 9)[0].level == 0
