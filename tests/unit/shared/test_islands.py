"""A template cut at what needs the engine makes what the engine makes of the whole, and text stays out of it."""

from collections.abc import Callable, Iterator
from random import Random

import pytest

from shared.mail.templates import InvalidTemplate, TemplateFailed, Templates
from shared.making.islands import Cut, Island, cut
from shared.making.layout import Marks
from shared.words.content import (
    LINK_BEGIN,
    LINK_END,
    LINK_VALUE,
    PIXEL,
    Link,
    Pixel,
)

MARKS = Marks("4711")
VALUES = {"a": "A&B", "b": ["x", "<y>", 3], "c": {"d": 7}, "e": "", "n": 5}


def link(position: int, value: str) -> str:
    return f"[{position}→{value}]"


def whole(template: str) -> str:
    """As the engine renders all of it."""
    rendered = Templates({"html": MARKS.secret(template)}).render("html", dict(VALUES))
    return MARKS.replace(rendered, link, "[pixel]")


def cut_and_joined(template: str) -> str:
    found = cut(template)
    rendered = Templates({"html": MARKS.joined(found.sources)}).render("html", dict(VALUES))
    islands = MARKS.islands(rendered, len(found.sources)) if found.sources else []
    return "".join(shown(found, islands))


def shown(found: Cut, islands: list[str]) -> Iterator[str]:
    for piece in found.pieces:
        match piece:
            case str():
                yield piece
            case Island(number):
                yield MARKS.replace(islands[number], link, "[pixel]")
            case Link():
                yield link(piece.position, str(piece.source[0]))
            case Pixel():
                yield "[pixel]"


def href(position: int, value: str) -> str:
    return f'<a href="{LINK_BEGIN}{position}{LINK_VALUE}{value}{LINK_END}">x</a>'


LONG = " A text that is the same for everybody. "

KNOWN = {
    "a condition": LONG + "{% if a %}yes{% else %}no{% endif %}" + LONG + "\n",
    "a condition in a condition": LONG + "{% if a %}{% if e %}1{% else %}2{% endif %}{% endif %}" + LONG,
    "a loop": LONG + "{% for x in b %}<li>{{ x }}{{ loop.index }}</li>{% endfor %}" + LONG,
    "what one sets the next has": "{% set x = a|lower %}" + LONG + "{{ x }}" + LONG + "{% if x %}{{ x }}{% endif %}",
    "a set block": "{% set x %}<b>{{ a }}</b>{% endset %}" + LONG + "{{ x }}",
    "a namespace": "{% set s = namespace(n=0) %}{% for x in b %}{% set s.n = s.n + 1 %}{% endfor %}" + "{{ s.n }}",
    "a macro": "{% macro m(x) %}<i>{{ x }}</i>{% endmacro %}" + LONG + "{{ m(a) }}" + LONG + "{{ m(n) }}",
    "blanks that are taken": LONG + "{%- if a -%} " + LONG + " {%- endif -%} \n " + LONG,
    "blanks that are taken by a variable": LONG + "\n {{- a|upper -}} \n" + LONG + "{{- n -}}" + LONG,
    "blanks that are taken by a comment": LONG + "\n {#- note -#} \n" + LONG + "{{ a|upper }}",
    "blanks between two that are near": "{{ a|upper -}} \n {{- n }}" + LONG,
    "blanks that are taken up to a link": "{{ a|upper -}} \n " + href(0, "https://a.example/") + LONG,
    "blanks that are taken from a link on": href(0, "https://a.example/") + " \n {{- a|upper }}" + LONG,
    "raw": LONG + "{% raw %}{{ a }}{% if %}{% endraw %}" + LONG + "{{ a|upper }}",
    "raw that takes blanks": LONG + " {%- raw -%} {{ a }} {%- endraw -%} " + LONG,
    "a string with a tag's end": LONG + "{{ '%}' ~ '}}' ~ a }}" + LONG,
    "a filter block": LONG + "{% filter upper %}" + LONG + "{{ a }}{% endfilter %}" + LONG,
    "autoescape": LONG + "{% autoescape false %}{{ a }}{% endautoescape %}{{ a }}" + LONG,
    "links and a pixel": href(0, "https://a.b/") + LONG + "{{ a|upper }}" + href(1, "mailto:x") + LONG + PIXEL + "\n",
    "a link in a condition": LONG + "{% if a %}" + href(0, "https://a.example/") + "{% endif %}" + LONG + href(1, "x"),
    "a condition in a link": LONG + href(3, "https://{% if a %}a{% else %}b{% endif %}.example/?{{ a }}") + LONG,
    "a variable at a link's end": LONG + href(3, "https://a.example/{{ n }}") + LONG + "{{ a|upper }}",
    "links one after the other": "{{ a|upper }}" + href(0, "x") + href(1, "y{{ a }}") + href(2, "z") + "{{ a|upper }}",
    "a pixel in a condition": LONG + "{% if a %}" + PIXEL + "{% endif %}" + LONG,
    "nothing but a tag": "{{ a|upper }}",
    "no end of line": LONG + "{{ a|upper }}",
    "a with block": LONG + "{% with x = n %}{{ x }}{% endwith %}" + LONG,
    "a call block": "{% macro m() %}<{{ caller() }}>{% endmacro %}" + LONG + "{% call m() %}{{ a }}{% endcall %}",
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_cut_makes_what_the_whole_makes(name: str) -> None:
    assert cut_and_joined(KNOWN[name]) == whole(KNOWN[name])


def _piece(chance: Random, depth: int) -> str:
    inner: Callable[[], str] = (
        (lambda: "".join(_piece(chance, depth - 1) for _ in range(chance.randint(0, 3)))) if depth else (lambda: "t")
    )
    left, right = chance.choice(("", "-", "+")), chance.choice(("", "-", "+"))
    number = chance.randrange(100)
    ways: list[Callable[[], str]] = [
            lambda: LONG,
            lambda: chance.choice(["text", " ", "\n", "  \n", "é", "<p>", "{", "}", "%"]),
            lambda: f"{{{{{left} {chance.choice(['a', 'b[0]', 'c.d', 'e', 'missing', 'v|default(1)'])} {right}}}}}",
            lambda: f"{{%{left} if {chance.choice('ae')} {right}%}}{inner()}{{% else %}}{inner()}{{%{left} endif %}}",
            lambda: f"{{%{left} for x in b {right}%}}{inner()}{{{{ x }}}}{{% endfor {right}%}}",
            lambda: f"{{%{left} set v = {chance.choice(['a', 'n', '7'])} {right}%}}",
            lambda: f"{{%{left} raw {right}%}}{{{{ {{% if{{%{left} endraw {right}%}}",
            lambda: f"{{#{left} note {right}#}}",
            lambda: href(number, f"https://x.example/{number}"),
            lambda: href(number, f"https://x.example/{{{{ {chance.choice('ace')} }}}}/"),
            lambda: href(number, "{% if a %}https://x.example/{% else %}y{% endif %}"),
            lambda: PIXEL,
        ]  # fmt: skip
    return chance.choice(ways)()


def test_what_is_cut_makes_what_the_whole_makes_of_generated_templates() -> None:
    chance = Random(7)
    rendered = 0
    for _ in range(3_000):
        template = "".join(_piece(chance, 3) for _ in range(chance.randint(1, 12)))
        try:
            expected = whole(template)
        except (InvalidTemplate, TemplateFailed):
            continue
        rendered += 1

        assert cut_and_joined(template) == expected, template

    assert rendered > 2_000


def test_text_and_links_stay_out_of_the_engine() -> None:
    template = LONG + href(0, "https://a.example/") + LONG + "{% if a %}yes{% endif %}" + LONG + href(1, "x") + PIXEL

    found = cut(template)

    assert found.sources == ["{% if a %}yes{% endif %}"]
    assert [type(piece) for piece in found.pieces] == [str, Link, str, Island, str, Link, str, Pixel]


def test_marks_that_are_not_in_pairs_leave_the_whole_to_the_engine() -> None:
    template = LONG + f"{LINK_BEGIN}1{LINK_VALUE}https://a.example/" + LONG + "{{ a|upper }}"

    assert cut(template) == Cut([template], [Island(0)])


def test_what_a_recipient_brings_cuts_nothing() -> None:
    values = {"a": "\ufdd4;\ufdd44711;"}
    found = cut(LONG + "{{ a|upper }}" + LONG + "{{ a|lower }}" + LONG)

    rendered = Templates({"html": Marks("4712").joined(found.sources)}).render("html", values)

    assert len(Marks("4712").islands(rendered, 2)) == 2


def test_parts_that_do_not_come_back_fail() -> None:
    with pytest.raises(TemplateFailed, match="3 parts were to be rendered, and 1 came back"):
        MARKS.islands("x", 3)


def test_cutting_costs_its_length() -> None:
    # A quadratic one would not end.
    template = (href(1, "https://a.example/") + "{{ a|upper }}" + LONG) * 5_000

    assert len(cut(template).sources) == 5_000
