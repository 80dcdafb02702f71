"""What a template sees of lists and dicts: their keys and items, and nothing that Python adds.

The engine looks a name up by subscript, and where that finds nothing by attribute: `{{ order.items }}` of an order that
has no such key would be a method of Python's. So what is handed over has no attributes that the engine could see, with
one exception that nobody notices: the engine takes for a dict whatever has an attribute `items`, and asks for it when
it wants to know that. When it looks a key of this name up it has just been told that there is none.
"""

import re
from typing import Any, NoReturn

#: What the engine's own scope, a dict of Python's, would find where nothing defines a name.
HIDDEN = tuple(sorted(name for name in dir(dict) if not name.startswith("_")))
_HIDDEN_WORD = re.compile(rf"\b(?:{'|'.join(HIDDEN)})\b")
#: Under this name all variables are handed over once more, for the names of HIDDEN that a source has.
_ALL = "_variables_by_key"


class _Dict(dict[str, Any]):
    __slots__ = ("_missed",)

    def __missing__(self, key: object) -> NoReturn:
        self._missed = key
        raise KeyError(key)

    def __getattribute__(self, name: str) -> Any:
        if name[:1] == "_":
            return object.__getattribute__(self, name)
        if name == "items" and getattr(self, "_missed", None) != "items":
            return _no_items
        self._missed = None
        raise AttributeError(_no(name))


class _List(list[Any]):
    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name[:1] == "_":
            return object.__getattribute__(self, name)
        raise AttributeError(_no(name))


def _no_items(*_: object) -> NoReturn:
    raise AttributeError(_no("items"))


def _no(name: str) -> str:
    return f"a value has no method `{name}`; there may be a filter of that name, as in `value|{name}`"


def value(given: Any) -> Any:
    """As it is handed to the engine: a copy of all lists and dicts in it."""
    if isinstance(given, dict):
        return _Dict((name, value(inner)) for name, inner in given.items())
    if isinstance(given, list | tuple):
        return _List(map(value, given))
    return given


def prelude(source: str) -> str:
    """What stands before a source, on its first line, so that the names of HIDDEN in it are variables, too."""
    names = sorted(set(_HIDDEN_WORD.findall(source)))
    return "".join(f"{{% set {name} = {_ALL}.{name} %}}" for name in names)


def scope(variables: Any, prelude: str) -> dict[str, Any]:
    """The variables of one rendering of a source that has this before it."""
    seen = {name: value(given) for name, given in variables.items()}
    if prelude:
        seen[_ALL] = _Dict(seen)
    return seen
