"""What is shown of a rewritten HTML is the source but for the values of tracked links and our own attributes."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.queueing import rewrite
from services.queueing.sampling import sample
from shared.words.utm import Utm
from tests.unit.queueing.test_rewrite import sources


def link(position: int, destination: str) -> str:
    return f"https://t.fr/c/{position}/{len(destination)}"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_nothing_but_links_and_our_attributes_changes(end: str) -> None:
    source = end.join(
        (
            "<style>@media print{#main{a:b}}</style>",
            '<a data-link-name="haut" href="https://a.fr/?b&amp;c">{{ prenom }} é</a>',
            "",
            "<!--[if mso]><v:roundrect href='https://b.fr'><![endif]--><a href=\"{{ url }}\">x</a>",
            '<a data-track="off" href="https://c.fr">x</a>',
        )
    )

    found = sample(source, link)

    assert found.source == source.replace(
        'data-link-name="haut" href="https://a.fr/?b&amp;c"', f'href="{link(0, "https://a.fr/?b&c")}"'
    ).replace("https://b.fr", link(1, "https://b.fr")).replace('data-track="off" ', "")
    assert [(one.position, one.line, one.value, one.tracked, one.name) for one in found.links] == [
        (0, 2, "https://a.fr/?b&c", True, "haut"),
        (1, 4, "https://b.fr", True, ""),
        (2, 4, "{{ url }}", True, ""),
        (3, 5, "https://c.fr", False, ""),
    ]


def test_a_document_is_shown_by_its_name_and_leads_where_documents_do() -> None:
    source = '<a data-document="Devis 113" href="https://a.fr/113.pdf">x</a><a href="https://b.fr">y</a>'

    found = sample(source, link, document_url=lambda position, url, name: f"https://t.fr/d/{position}/{name}/{url}")
    as_clicks = sample(source, link)

    assert found.source == (
        '<a href="https://t.fr/d/0/Devis 113/https://a.fr/113.pdf">x</a><a href="https://t.fr/c/1/12">y</a>'
    )
    assert [one.document for one in found.links] == ["Devis 113", ""]
    assert as_clicks.source == '<a href="https://t.fr/c/0/20">x</a><a href="https://t.fr/c/1/12">y</a>'


@settings(deadline=None)
@given(sources, st.sampled_from(["\n", "\r\n"]))
@example('<script><a href="https://j.fr/{{ id }}">', "\n")
def test_without_tracked_values_it_is_the_source(source: str, end: str) -> None:
    source = re.sub(r"[ \n]*data-track=(\"off\"|OFF)", "", source).replace("\n", end)

    found = sample(source, lambda position, destination: "\x02")
    values = iter(found.source.split("\x02"))

    # Quotes around a value, or a filter in a script, are put into it.
    is_guarded = rewrite.guarded(plain := source.replace("\r\n", "\n")).source != plain
    if not found.faults and not is_guarded:
        at = 0
        for value in values:
            at = source.index(value, at) + len(value)


def test_what_a_value_lacks_is_told() -> None:
    assert sample("<a href='{{ a }}' {{ b }}=\"c\">", link).faults
    assert sample("<p class={{ a }}>\r\n", link).source == '<p class="{{ a }}">\n'


def test_utm_parameters_are_shown_where_they_lead() -> None:
    assert sample('<a href="https://a.fr">', lambda _, url: url, Utm((("utm_source", "b"),))).source == (
        '<a href="https://a.fr?utm_source=b">'
    )
