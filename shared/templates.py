"""Templates: what `{{ … }}` and `{% … %}` mean in a job's content, the same when it is checked and when it is rendered.

The language is minijinja's. In the HTML, values are escaped; in text and subject they are not. A name that nothing
defines is empty, and so is whatever is looked up in it; a null is a name that nothing defines, so that `default`
applies to it. A rendering ends after `FUEL` steps. Templates load nothing and reach nothing but their variables, though
they can change the lists and dicts among those: hand over fresh ones for each rendering.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

import minijinja

Name = Literal["subject", "text", "html"]

#: Steps of one rendering: a row of a table takes about 30, a step about 20 ns. A hostile loop ends within 3 ms.
FUEL = 100_000

_SPECIAL = re.compile("[&<>\"'/]")
_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;"), ("/", "&#x2f;"))

#: Marks HTML that is not to be escaped again.
safe = minijinja.safe


class InvalidTemplate(ValueError):
    """It does not compile: `what` in the engine's words, `line` from 1."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(f"line {line}: {what}")
        self.what = what
        self.line = line


class TemplateFailed(Exception):
    """It compiled, but not with these variables: out of fuel, an unknown filter, an operation on the wrong type."""


class Templates:
    """Compiled templates by name. InvalidTemplate if one does not compile."""

    def __init__(self, sources: Mapping[Name, str]) -> None:
        self._environment = _environment()
        for name, source in sources.items():
            try:
                self._environment.add_template(name, source)
            except minijinja.TemplateError as error:
                raise InvalidTemplate(error.detail or error.message, error.line or 1) from None

    def render(self, name: Name, variables: Mapping[str, Any]) -> str:
        """The text. TemplateFailed."""
        try:
            return self._environment.render_template(name, **variables)
        except minijinja.TemplateError as error:
            raise TemplateFailed(error.message) from None
        except Exception as error:
            # What a method of a variable raised, such as `{{ items.pop() }}` of an empty list.
            raise TemplateFailed(f"{type(error).__name__}: {error}") from None


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
    return _PRINTER.render("text", {"value": value})


def _environment() -> minijinja.Environment:
    environment = minijinja.Environment(
        fuel=FUEL,
        undefined_behavior="chainable",
        auto_escape_callback=lambda name: name == "html",
        keep_trailing_newline=True,
        pycompat=False,
        debug=False,
    )
    # It prints the engine's insides into mails.
    environment.remove_global("debug")
    return environment


_PRINTER = Templates({"text": "{{ value }}"})
