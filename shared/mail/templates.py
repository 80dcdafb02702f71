"""Templates: what `{{ … }}` and `{% … %}` mean in a job's content, the same when it is checked and when it is rendered.

The language is minijinja's. In the HTML, values are escaped; in text and subject they are not. A name that nothing
defines is empty, and so is whatever is looked up in it; a null is a name that nothing defines, so that `default`
applies to it. A rendering ends after `FUEL` steps. Templates load nothing and reach nothing but their variables, of
which they see the keys and items (`template_values`).

Fuel counts steps, not bytes. The filters with which one step takes as much memory as a number says, and with it the
process, are therefore missing (`indent`, `format`, `slice`) or bounded (`batch`, `replace`, `tojson`).

`date`, `time`, `datetime`, `number`, `percent`, `money` and `plural` write as the recipient's language does
(`localized`).

What queueing puts into a content itself: `in_string` and `in_script`, for what is printed in scripts.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import minijinja
import orjson

from shared.mail import template_values
from shared.mail.template_scan import InvalidTemplate, fault_at, scan, spans

#: `html`, `amp`, `text`, `subject`, or that of a header field. Values are escaped in the first two alone.
Name = str
_ESCAPED = ("html", "amp")

#: Steps of one rendering: a row of a table takes about 30, a step about 20 ns. A hostile loop ends within 3 ms.
FUEL = 100_000

#: Processor time of one mail's rendering, with all that the engine's steps do not count.
RENDER_CPU_S = 0.05
#: Characters of a rendered text, and of what `replace` makes. The largest mails are 100 kB.
MAX_RENDERED_CHARS = 5_000_000
#: Levels of lists and dicts in a value that is printed in this process: printing recurses in native code.
MAX_PRINTED_DEPTH = 64
#: What stands inside of each other in a value of JSON.
_CONTAINERS = (dict, list)
_CONTAINER_TYPES = frozenset(_CONTAINERS)
#: Items in a row of `batch`.
_MAX_BATCH = 100
#: What could end a string, call or lead anywhere in a script, in a style of an old program, or in HTML.
_NOT_INERT = re.compile(r"[\W_]")
_JSON_WORD = re.compile(r"-?(?:0|[1-9][0-9]{0,20})(?:\.[0-9]{1,20})?|true|false|null")
_FILTER = re.compile(r"\|\s*([a-z]+)\b")
_SPECIAL = re.compile("[&<>\"'/]")
_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;"), ("/", "&#x2f;"))

#: The filters of `localized`.
LOCALIZED = ("date", "time", "datetime", "number", "percent", "money", "plural")
_USES_LOCALIZED = re.compile(rf"(?:\||\bfilter\s|\bmap\s*\(\s*[\"'])\s*(?:{'|'.join(LOCALIZED)})\b")

_ALWAYS = ("UnknownFilter", "UnknownTest", "UnknownFunction", "TemplateNotFound")

__all__ = ["InvalidTemplate", "TemplateFailed", "Templates", "escaped", "is_deeper", "printed", "safe"]

#: Marks HTML that is not to be escaped again.
safe = minijinja.safe


class TemplateFailed(Exception):
    """It compiles, but fails: out of fuel, an unknown filter, an operation on a value of the wrong type. `always` if no
    other variables would have helped; `offset` where in the source, -1 if that is not known."""

    def __init__(self, what: str, *, always: bool = False, offset: int = -1) -> None:
        super().__init__(what)
        self.always = always
        self.offset = offset


class Templates:
    """Compiled templates by name. InvalidTemplate if one does not compile. `located`: what fails says where, which
    costs memory. `language` is that of recipients who have none."""

    def __init__(self, sources: Mapping[Name, str], *, located: bool = False, language: str = "") -> None:
        self._environment = _environment(located)
        if any(_USES_LOCALIZED.search(source) for source in sources.values()):
            _add_localized(self._environment, language)
        self._sources = sources
        self._preludes: dict[Name, str] = {}
        for name, source in sources.items():
            scan(source)
            prelude = self._preludes[name] = template_values.prelude(source)
            try:
                self._environment.add_template(name, prelude + source)
            except minijinja.TemplateError as error:
                raise _invalid(source, error, len(prelude)) from None

    def uses(self, name: Name) -> set[str]:
        """Paths of the variables that it names and does not set itself, such as `order.total`."""
        return set(self._environment.undeclared_variables_in_str(self._sources[name], nested=True))

    def render(self, name: Name, variables: Mapping[str, Any]) -> str:
        """The text. TemplateFailed."""
        try:
            scope = template_values.scope(variables, self._preludes[name])
            text = self._environment.render_template(name, **scope)
        except minijinja.TemplateError as error:
            what, always = error.detail or error.message, error.kind in _ALWAYS
            raise TemplateFailed(what, always=always, offset=_offset(error, len(self._preludes[name]))) from None
        except AttributeError as error:
            raise TemplateFailed(str(error)) from None
        except Exception as error:
            # What a filter of ours raised.
            if (filter_name := getattr(error, "filter_name", None)) is not None:
                raise TemplateFailed(str(error), offset=self._only_place(name, filter_name)) from None
            raise TemplateFailed(f"{type(error).__name__}: {error}") from None
        if len(text) > MAX_RENDERED_CHARS:
            raise TemplateFailed(f"{len(text)} characters; at most {MAX_RENDERED_CHARS}")
        return text

    def _only_place(self, name: Name, filter_name: str) -> int:
        """Where the source has this filter, -1 if that is more than once: the engine does not say which it was."""
        source = self._sources[name]
        inside = [found for start, end in spans(source) for found in _FILTER.finditer(source, start, end)]
        places = [found.start(1) for found in inside if found[1] == filter_name]
        return places[0] if len(places) == 1 else -1


def escaped(text: str) -> str:
    """The text as the HTML template writes it (minijinja's own function would be markupsafe's where that is there)."""
    if _SPECIAL.search(text):
        for special, reference in _ESCAPES:
            text = text.replace(special, reference)
    return text


def printed(value: object) -> str:
    """The text that `{{ value }}` stands for, before it is escaped. TemplateFailed."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if is_deeper(value, MAX_PRINTED_DEPTH):
        raise TemplateFailed("a value is nested too deeply to be printed")
    return _PRINTER.render("text", {"value": value})


def is_deeper(value: object, levels: int) -> bool:
    """Whether lists and dicts with something in them stand inside of each other more than so many times. Looks no
    deeper than that."""
    if levels and isinstance(value, dict) and _CONTAINER_TYPES.isdisjoint(map(type, value.values())):
        return False  # as most variables are
    level = [value] if isinstance(value, _CONTAINERS) and value else []
    for _ in range(levels):
        if not level:
            return False
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, _CONTAINERS) and inner
        ]
    return bool(level)


def _offset(error: minijinja.TemplateError, prelude_chars: int) -> int:
    """Where in the source of which the engine speaks, in characters; -1 if it does not say."""
    source, span = error.template_source, error.range
    if source is None or span is None:
        return -1
    return max(len(source.encode()[: span[0]].decode(errors="ignore")) - prelude_chars, 0)


def _invalid(source: str, error: minijinja.TemplateError, prelude_chars: int) -> InvalidTemplate:
    what, at = error.detail or error.message, _offset(error, prelude_chars)
    return InvalidTemplate(what, error.line or 1) if at < 0 else fault_at(source, min(at, len(source)), what)


def _environment(located: bool) -> minijinja.Environment:
    environment = minijinja.Environment(
        fuel=FUEL,
        undefined_behavior="chainable",
        auto_escape_callback=lambda name: name in _ESCAPED,
        keep_trailing_newline=True,
        pycompat=False,
        debug=located,
    )
    # It prints the engine's insides into mails.
    environment.remove_global("debug")
    for name in ("indent", "format", "slice"):
        environment.remove_filter(name)
    environment.add_filter("batch", _batch)
    environment.add_filter("replace", _replace)
    environment.add_filter("tojson", _tojson)
    environment.add_filter("in_string", _in_string)
    environment.add_filter("in_script", _in_script)
    return environment


def _add_localized(environment: minijinja.Environment, language: str) -> None:
    """Imports Babel, which most processes never need, and loads the language, before a rendering's time counts."""
    from shared.mail import localized

    def named(filter_name: str) -> Any:
        @minijinja.pass_state
        def call(state: Any, value: object = None, *args: object, **words: object) -> str:
            return localized.filtered(filter_name, state.lookup, language, value, args, words)

        return call

    localized.warm(language)
    for filter_name in LOCALIZED:
        environment.add_filter(filter_name, named(filter_name))


def _batch(items: Iterable[Any], count: int, fill: Any = None) -> list[list[Any]]:
    """Rows of `count` items, the last one filled up."""
    if not 0 < count <= _MAX_BATCH:
        raise ValueError(f"batch takes rows of 1 to {_MAX_BATCH}")
    rest = iter(items)
    rows = list(iter(lambda: list(islice(rest, count)), []))
    if fill is not None and rows:
        rows[-1] += [fill] * (count - len(rows[-1]))
    return rows


def _replace(value: object, *old_and_new: object) -> str:
    text = str(value)
    old, new = map(str, old_and_new)
    if len(text) + text.count(old) * len(new) > MAX_RENDERED_CHARS:
        raise ValueError("replace would make the text too long")
    return text.replace(old, new)


def _tojson(value: object) -> str:
    """JSON that may stand in a script, where queueing marks it as safe; elsewhere its quotes, which would end an
    attribute, are escaped."""
    text = orjson.dumps(value).decode()
    for special in "<>&'":
        text = text.replace(special, f"\\u{ord(special):04x}")
    return text


def _in_string(value: object) -> str:
    """What may stand inside of a string of a script or of JSON, and does nothing where it does not."""
    return _NOT_INERT.sub(_inert, "" if value is None else str(value))


def _in_script(value: object) -> str:
    """What may stand in a script or in JSON for a value: a number where it is one, else a string."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if _JSON_WORD.fullmatch(text) else f'"{_in_string(value)}"'


def _inert(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True))


_PRINTER = Templates({"text": "{{ value }}"})
