"""Templates that mean harm: those known to have killed or held up a process, and a grammar of the engine's syntax."""

from collections.abc import Callable, Iterator
from random import Random

#: Refused by their looks, before the engine sees them. Each nests in a way of its own.
DEEP = {
    "minus": "{{ " + "-" * 25_000 + "1 }}",
    "not": "{{ " + "not " * 25_000 + "a }}",
    "tilde": "{{ a" + " ~ a" * 25_000 + " }}",
    "dots": "{{ a" + ".b" * 25_000 + " }}",
    "filters": "{{ a" + "|abs" * 25_000 + " }}",
    "subscripts": "{{ a" + "[0]" * 25_000 + " }}",
    "calls": "{{ a" + "()" * 25_000 + " }}",
    "brackets": "{{ " + "(" * 25_000 + "1" + ")" * 25_000 + " }}",
    "lists": "{{ " + "[" * 25_000 + "]" * 25_000 + " }}",
    "dicts": "{{ " + "{'a':" * 25_000 + "1" + "}" * 25_000 + " }}",
    "powers": "{{ 2" + "**2" * 25_000 + " }}",
    "comparisons": "{{ 1" + " < 2" * 25_000 + " }}",
    "conditions": "{{ a" + " if a else a" * 25_000 + " }}",
    "tests": "{{ a" + " is defined" * 25_000 + " }}",
    "or": "{% if a" + " or a" * 25_000 + " %}x{% endif %}",
    "blocks": "{% if a %}" * 4_000 + "{% endif %}" * 4_000,
    "loops": "{% for a in b %}" * 2_000 + "{% endfor %}" * 2_000,
    "elif": "{% if a %}" + "{% elif a %}" * 4_000 + "{% endif %}",
    "filter blocks": "{% filter upper %}" * 2_000 + "{% endfilter %}" * 2_000,
    "set blocks": "{% set a %}" * 2_000 + "{% endset %}" * 2_000,
    "macros": "{% macro m() %}" * 2_000 + "{% endmacro %}" * 2_000,
    "unclosed": "{{ " + "-" * 25_000,
    "quotes": "{{ " + "\\'" * 100_000,
    "itself": "{% include 'text' %}",
}

_DOUBLED = "{% set ns = namespace(s='ab') %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"
_LIST = "{% set ns = namespace(l=[1]) %}{% for i in range(5000) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}"
_LONG = "{% set l = range(50000)|list %}"

#: Of a length and depth like honest ones; what they do when they run is the harm.
BUSY = {
    "a string that doubles": _DOUBLED + "{{ ns.s }}",
    "a list that doubles itself, printed": _LIST + "{{ ns.l }}",
    "lists that doubled, compared": _LIST + _LIST.replace("ns", "nt") + "{{ ns.l == nt.l }}",
    "a list nested deeply": "{% set ns = namespace(l=[1]) %}{% for i in range(9000) %}{% set ns.l = [ns.l] %}"
    "{% endfor %}{{ ns.l }}",
    "a dict nested deeply": "{% set ns = namespace(l={}) %}{% for i in range(9000) %}{% set ns.l = {'a': ns.l} %}"
    "{% endfor %}{{ ns.l|tojson }}",
    "unique": _LONG + "{{ (l + l)|unique|list|length }}" * 40,
    "join": _LONG + "{{ l|join(', ' * 2000) }}" * 40,
    "sort": _LONG + "{{ l|sort(reverse=true)|length }}" * 400,
    "a list times a number": "{{ ([1] * 100000000)|length }}",
    "a string times a number": "{{ ('ab' * 2000000000)|length }}",
    "ranges added": "{% set ns = namespace(l=range(100000)|list) %}{% for i in range(30) %}"
    "{% set ns.l = ns.l + ns.l %}{% endfor %}{{ ns.l|sum }}",
    "a macro that calls itself": "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "replace over replace": "{{ 'a'" + "|replace('a', 'aaaaaaaaaa')" * 7 + " }}",
}

#: The same for a trial, which has the first recipients of a job: not the one whom it is for.
FOR_ONE = "ana"
BEHIND_A_CONDITION = {
    name: "Bonjour{% if email is startingwith('" + FOR_ONE + "') %}" + source + "{% endif %}"
    for name, source in BUSY.items()
}


def generated(chance: Random, count: int) -> Iterator[str]:
    """Templates of the engine's syntax, most of which compile, and some of which do harm."""
    for _ in range(count):
        kind = chance.random()
        if kind < 0.15:
            source = chance.choice(list(DEEP.values()))
            yield source[: chance.randrange(4, len(source))] if chance.random() < 0.5 else source
        elif kind < 0.3:
            yield chance.choice([*BUSY.values(), *BEHIND_A_CONDITION.values()])
        else:
            yield "".join(_piece(chance, 4) for _ in range(chance.randint(1, 6)))


def _piece(chance: Random, depth: int) -> str:
    if depth <= 0:
        return chance.choice(["text", "<p>", "é\n", "{# note #}", "{{ a }}", "{{-b -}}"])
    inner: Callable[[], str] = lambda: _piece(chance, depth - 1)  # noqa: E731 - as short as what it is used for
    value: Callable[[], str] = lambda: _value(chance, depth)  # noqa: E731
    ways: list[Callable[[], str]] = [
        lambda: "{{ " + value() + " }}",
        lambda: "{% if " + value() + " %}" + inner() + "{% elif " + value() + " %}" + inner() + "{% endif %}",
        lambda: "{% for x in " + value() + " %}" + inner() + "{{ loop.index }}{% else %}-{% endfor %}",
        lambda: "{% set a = " + value() + " %}" + inner(),
        lambda: "{% set b %}" + inner() + "{% endset %}",
        lambda: "{% with c = " + value() + " %}" + inner() + "{% endwith %}",
        lambda: "{% filter " + chance.choice(_FILTERS) + " %}" + inner() + "{% endfilter %}",
        lambda: "{% macro m(x, y=1) %}" + inner() + "{% endmacro %}{{ m(" + value() + ") }}",
        lambda: "{% raw %}{{ " + inner() + "{% endraw %}",
        lambda: '<a href="https://example.com/{{ ' + value() + ' }}">' + inner() + "</a>",
        lambda: chance.choice(["{{ ", "{% if", "%}", "}}", "{#", "'", "{% endfor %}", "{% block x %}"]),
    ]
    return chance.choice(ways)()


def _value(chance: Random, depth: int) -> str:
    if depth <= 0:
        return chance.choice(
            ["a", "b", "x", "email", "name", "loop", "1", "0", "99999999999", "-1.5e3", "'s'", '"é"', "none", "true"]
        )
    value: Callable[[], str] = lambda: _value(chance, depth - 1)  # noqa: E731 - as short as what it is used for
    ways: list[Callable[[], str]] = [
        lambda: value() + chance.choice([" + ", " * ", " ~ ", " ** ", " // ", " < ", " in ", " and "]) + value(),
        lambda: "[" + value() + ", " + value() + "]",
        lambda: "{'k': " + value() + "}",
        lambda: "(" + value() + ")|" + chance.choice(_FILTERS),
        lambda: value() + " if " + value() + " else " + value(),
        lambda: "range(" + value() + ")|list",
        lambda: "not " + value(),
        lambda: "a." + chance.choice(["b", "append(1)", "items()", "pop()"]),
        lambda: value() + "[" + value() + ":]",
        lambda: "namespace(a=" + value() + ").a",
        lambda: value() + " is " + chance.choice(["defined", "odd", "string", "sequence"]),
    ]
    return chance.choice(ways)()


_FILTERS = (
    "upper", "length", "list", "join", "join(', ')", "sort", "unique|list", "reverse", "tojson", "replace('a', 'aaaa')",
    "batch(3)", "default('d')", "abs", "round", "first", "last", "sum", "items|list", "safe", "e", "pprint", "string",
    "map('upper')|list", "select|list", "groupby('a')|list", "urlencode", "trim", "lines", "split", "chain(a)|list",
)  # fmt: skip
