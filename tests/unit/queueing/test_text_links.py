"""Links of a text are the URLs that a mail program would make links of; nothing but them is cut out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.queueing import text_links
from services.queueing.placeholders import placeholders
from shared.words import content
from shared.words.content import Link, Variable


def tracked(source: str) -> list[tuple[str, str]]:
    """What stands in the text, and where it leads."""
    found = text_links.find(source, list(placeholders(source)), 0)
    return [(source[one.start : one.end], one.url) for one in found]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Voir https://a.fr/b?c=d&e#f ici", ["https://a.fr/b?c=d&e#f"]),
        ("Voir https://a.fr/b.", ["https://a.fr/b"]),
        ("Vraiment (https://a.fr/b)?!", ["https://a.fr/b"]),
        ("https://fr.wikipedia.org/wiki/Estafette_(homonymie), oui", ["https://fr.wikipedia.org/wiki/Estafette_(homonymie)"]),
        ("<https://a.fr/b>", ["https://a.fr/b"]),
        ("« https://a.fr/b »", ["https://a.fr/b"]),
        ("[https://a.fr/[b]]", ["https://a.fr/[b]"]),
        ("HTTP://A.fr", ["HTTP://A.fr"]),
        ("a https://a.fr\nb http://b.fr\n", ["https://a.fr", "http://b.fr"]),
        ("www.a.fr ftp://b.fr mailto:c@d.fr https:// https://", []),
        ("{{ url }} {{ unsubscribe_url }}", []),
        ("http{{ s }}://a.fr {{ scheme }}https://b.fr/{{ id }}.", ["https://b.fr/{{ id }}"]),
        ("https://{{ host }}/a", []),
        ("https://a.fr/{% if b %}c{% endif %} https://d.fr/{# e #}f", ["https://d.fr/"]),
        ("Voir https://a.fr/l'offre, 'https://b.fr/c', 'https://d.fr'.", ["https://a.fr/l'offre", "https://b.fr/c", "https://d.fr"]),
        ("[https://a.fr/b](https://a.fr/c)", ["https://a.fr/b", "https://a.fr/c"]),
        ("[Offre](https://a.fr/b_(c)), (https://d.fr/e)f", ["https://a.fr/b_(c)", "https://d.fr/e"]),
        ("https://a.fr/b),(https://c.fr", ["https://a.fr/b", "https://c.fr"]),
        ("http://[2001:db8::1]/b [http://[::1]:80/]", ["http://[2001:db8::1]/b", "http://[::1]:80/"]),
        ("https://u:p@a.fr/b?c[]=d&e[f]=g", ["https://u:p@a.fr/b?c[]=d&e[f]=g"]),
        ("<URL:http://a.fr/b> *https://a.fr* https://a.fr/b\u2026", ["http://a.fr/b", "https://a.fr", "https://a.fr/b"]),
        ("https://a.fr/b\u3002\uff08https://c.fr\uff09\u3001https://e.fr\u3002", ["https://a.fr/b", "https://c.fr", "https://e.fr"]),
        ("https://a.fr/b\u200b \u2039https://c.fr\u203a", ["https://a.fr/b", "https://c.fr"]),
        ("https://a.fr/b?c=https://d.fr/e", ["https://a.fr/b?c=https://d.fr/e"]),
    ],
)  # fmt: skip
def test_urls_of_a_text_are_links(source: str, expected: list[str]) -> None:
    assert [value for value, _ in tracked(source)] == expected


def test_a_link_with_a_variable_in_it_leads_where_it_turns_out_to_lead() -> None:
    source = "Voir https://a.fr/{{ id }}?b, merci"
    found = list(placeholders(source))
    links = text_links.find(source, found, 4)

    assert list(text_links.pieces(source, found, links)) == [
        "Voir ",
        Link(4, ("https://a.fr/", Variable(("id",)), "?b")),
        ", merci",
    ]


def test_ampersands_of_a_text_are_no_references() -> None:
    assert tracked("https://a.fr/?b=1&copy=2&amp;c") == [("https://a.fr/?b=1&copy=2&amp;c",) * 2]


words = st.sampled_from(
    [
        "https://a.fr/",
        "http://b.fr/{{ c }}",
        "(",
        ")",
        "[",
        "]",
        ".",
        "'",
        " ",
        "\n",
        "{{ d }}",
        "é",
        "\u3002",
        "{# e #}",
    ]
)


@settings(deadline=None)
@given(st.lists(words | st.sampled_from(["{% if a %}", "{% endif %}"]), max_size=12).map("".join))
def test_marking_changes_no_character(source: str) -> None:
    links = text_links.find(source, list(placeholders(source)), 0)
    marked = text_links.marked(source, links)

    for link in links:
        marked = marked.replace(f"{content.LINK_BEGIN}{link.position}{content.LINK_VALUE}", "", 1)
    assert marked.replace(content.LINK_END, "") == source


@settings(deadline=None)
@given(st.lists(words, max_size=12).map("".join))
def test_cutting_changes_no_character(source: str) -> None:
    found = list(placeholders(source))
    pieces = text_links.pieces(source, found, text_links.find(source, found, 0))
    flat = [one for piece in pieces for one in (piece.source if isinstance(piece, Link) else (piece,))]

    text = "".join("{{ " + ".".join(one.path) + " }}" if isinstance(one, Variable) else str(one) for one in flat)
    assert text == source.replace("{# e #}", "")


def test_brackets_without_end_cost_no_more_than_their_number() -> None:
    source = "https://a.fr/" + ")" * 200_000

    assert tracked(source) == [("https://a.fr/", "https://a.fr/")]
    assert len(tracked("https://a)" * 20_000)) == 20_000
    assert len(tracked("https://a/(" * 20)) == 1
    assert tracked("https://a/(" * 20_000) == []
