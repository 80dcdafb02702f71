"""The preheader stands hidden at the beginning of the body."""

import pytest
import turbohtml

from services.queueing import preheader


@pytest.mark.parametrize(
    ("source", "before"),
    [
        ("<p>x</p>", ""),
        ('<html><body class="a > b">\n<p>x</p></body></html>', '<html><body class="a > b">'),
        (
            "<!doctype html><html><head><title>t</title></head><p>x</p>",
            "<!doctype html><html><head><title>t</title></head>",
        ),
        ("{# <body> #}<p>x</p>", "{# <body> #}"),
        ("<!-- <body> --><body><p>x</p>", "<!-- <body> --><body>"),
        ('<body {% if a %}class="a"{% endif %}><p>x</p>', '<body {% if a %}class="a"{% endif %}>'),
        ("", ""),
    ],
)
def test_it_stands_at_the_beginning_of_the_body(source: str, before: str) -> None:
    placed = preheader.placed(source, "Vite")

    assert placed.startswith(f'{before}<div style="display:none;')
    assert placed.endswith(source[len(before) :])
    assert placed.count("\n") == source.count("\n")


def test_it_is_text_and_a_template() -> None:
    placed = preheader.placed(
        "<body></body>", "Tom & <b>Ana</b> {{ prenom|default(\"'vous'\") }} {% if a > b %}!{% endif %}"
    )

    assert "Tom &amp; &lt;b&gt;Ana&lt;/b&gt; {{ prenom|default(\"'vous'\") }} {% if a > b %}!{% endif %}" in placed


def test_blanks_behind_it_take_no_room() -> None:
    shown = turbohtml.parse(preheader.placed("<p>x</p>", "Vite")).select_one("div")

    assert shown is not None
    assert (shown.text or "").strip(
        "\N{COMBINING GRAPHEME JOINER}\N{ZERO WIDTH NON-JOINER}\N{NO-BREAK SPACE}"
    ) == "Vite"


@pytest.mark.parametrize(
    ("text", "has_html", "told"),
    [("", True, 0), ("x" * 500, True, 0), ("x" * 501, True, 1), ("a\x00b", True, 1), ("x", False, 1)],
)
def test_what_it_may_not_be_is_told(text: str, has_html: bool, told: int) -> None:
    found = preheader.faults(text, has_html=has_html)

    assert [one.at for one in found] == ["$.preheader"] * told
