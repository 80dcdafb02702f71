"""The page docs/settings.md, made from the settings themselves: names, defaults, what each takes, and its comment.

    estafette settings --markdown > docs/settings.md

What is said of a setting stands in one place, above its field (`#: …`); a section's docstring opens its table.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator

import msgspec

from services.settings import Settings
from shared.process import settings
from shared.process.settings import Section

_OPENING = """\
# Settings

Made by `estafette settings --markdown` from the comments in the code: change it there. A test says when it is out of
date.

A setting has a default, may stand in `estafette.toml` in the working directory (`ESTAFETTE_SETTINGS_FILE` names another
file), and is overruled by a variable: that of `http.port` is `ESTAFETTE_HTTP_PORT`. Everything is checked at start, and
every fault is named. `estafette settings` prints what is in force, and from where.

```toml
[http]
port = 8080
```
"""


def page() -> str:
    """The whole page, ending in a newline."""
    return "\n".join([_OPENING, *(_table(*one) for one in settings.sections_of(Settings).items())])


def _table(name: str, section: type[Section]) -> str:
    said, defaults = comments(section), dict(settings.defaults(Settings))
    rows = [
        f"| `{name}.{field.name}` | {_shown(defaults[f'{name}.{field.name}'])} "
        f"| {settings.expected(_kind(section, field.name))} | {said.get(field.name, '')} |"
        for field in msgspec.structs.fields(section)
    ]
    opening = " ".join((vars(section).get("__doc__") or "").split())
    parts = [f"## {name}", opening, "\n".join(["| setting | default | takes | |", "| --- | --- | --- | --- |", *rows])]
    return "\n\n".join(part for part in parts if part) + "\n"


def comments(section: type[Section]) -> dict[str, str]:
    """What stands above each field of that section, and of those that it builds on, in one line each."""
    found: dict[str, str] = {}
    for one in reversed(section.__mro__):
        if issubclass(one, Section):
            found |= dict(_commented(textwrap.dedent(inspect.getsource(one))))
    return found


def _commented(source: str) -> Iterator[tuple[str, str]]:
    lines = source.splitlines()
    (declared,) = ast.parse(source).body
    assert isinstance(declared, ast.ClassDef)
    for node in declared.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            first = node.lineno - 1
            while lines[first - 1].strip().startswith("#:"):
                first -= 1
            said = " ".join(line.strip().removeprefix("#:").strip() for line in lines[first : node.lineno - 1])
            yield node.target.id, said.replace("|", r"\|")


def _kind(section: type[Section], field: str) -> object:
    return next(one.type for one in msgspec.structs.fields(section) if one.name == field)


def _shown(default: object) -> str:
    return "empty" if default == "" else f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"
