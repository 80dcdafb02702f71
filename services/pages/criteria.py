"""A tree of criteria as a page shows and changes it: in sentences, node by node, and as inputs of a form. Pure.

What may be said in a criterion is never listed here: inputs are made of the JSON Schema that the API has of its
language, and of the fields of the tenant (`GET /v1/segments/schema`). Whether a tree fits is the API's to say. A node
is found by its place: "" is the root, "0.2" the third part of its first part.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from services.pages.api import Json

GROUPS = {"all": "ALL of these", "any": "AT LEAST ONE of these", "none": "NONE of these"}
#: How criteria are called that are about no field; one that is new in the language is called by its own word.
_KINDS = {
    "channel": "How they may be reached", "segment": "Other segments", "import": "Imports",
    "operation": "What became of a mailing", "behaviour": "How often they did something",
    "activity": "The activity rank", "at_risk": "Who is at risk",
}  # fmt: skip
#: How parts of a criterion are called whose word says too little on a page; others are called by their word.
_PARTS = {
    "test": "How it is compared", "values": "Or one of several values", "days": "How many days",
    "accents": "Accents count", "was": "What became of it", "match": "In how many of them",
    "operations": "Which mailings", "operation_kind": "Kind", "last_days": "In the last so many days",
    "url": "Address of the link (URL)", "position": "Place of the link", "machines": "Machines count as well",
    "did": "What they did", "name": "Name of the event",
}  # fmt: skip
#: What is said of parts that the page offers in another way than the language.
_SAID = {
    "operations": "None of them: all mailings that fit what is said below. What is not here can be named as JSON.",
    "test": "Which of these there are depends on the kind of field.",
    "value": "With what; of a date as 2026-01-31.",
}
#: What a new criterion begins with.
_USUAL: dict[str, dict[str, Any]] = {"operation": {"was": "opened"}, "behaviour": {"did": "opened", "at_least": 1}}
#: How tests of a number of days are said.
_DAYS = {"in_last_days": "in the last", "in_next_days": "in the next", "birthday_in_days": "comes round in"}
#: What is longer as JSON is none of ours: 200 nodes with all that they may say are less.
MAX_JSON_CHARS = 200_000
#: So deep is no tree, and no path, that the API takes.
_MAX_DEPTH = 20
_ON_FIELD = "field"
#: How the path of a fault begins that is about the tree.
_ON_TREE = "$.criteria"


class NoTree(ValueError):
    """What was written is no tree. The message says why."""


class NoPlace(LookupError):
    """There is no such node in the tree."""


@dataclass(frozen=True)
class Row:
    """A line of the tree: a group that opens, a criterion, that nothing is in a group, or the end of the group that was
    opened last."""

    what: str
    place: str = ""
    text: str = ""
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    value: str
    text: str
    is_chosen: bool


@dataclass(frozen=True)
class Input:
    """A part of a criterion: `kind` is the type of an input, or `select`, `lines`, `boxes`."""

    name: str
    label: str
    kind: str
    said: str
    value: str = ""
    options: tuple[Option, ...] = ()


# The tree as JSON


def read(text: str) -> Json:
    """A tree that somebody wrote. NoTree."""
    if len(text) > MAX_JSON_CHARS:
        raise NoTree(f"it has more than {MAX_JSON_CHARS:,} characters")
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise NoTree(str(error)) from None
    _check(found, 0)
    return found


def _check(node: Json, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise NoTree("it is nested too deeply")
    if not isinstance(node, dict) or not isinstance(node.get("kind"), str):
        raise NoTree("each criterion is an object with a `kind`")
    if node["kind"] in GROUPS:
        if not isinstance(node.get("of"), list):
            raise NoTree(f"`{node['kind']}` has a list `of` criteria")
        for part in node["of"]:
            _check(part, depth + 1)


def written(tree: Json) -> str:
    """As people read it, without what is left open."""
    return msgspec.json.format(msgspec.json.encode(_bare(tree)), indent=2).decode()


def _bare(node: Json) -> Json:
    if isinstance(node, dict):
        return {name: _bare(value) for name, value in node.items() if value is not None}
    return [_bare(one) for one in node] if isinstance(node, list) else node


def node_at(tree: Json, place: str) -> Json:
    """NoPlace."""
    for part in place.split(".") if place else ():
        of = tree.get("of") if tree["kind"] in GROUPS else None
        if of is None or not (part.isascii() and part.isdigit() and len(part) < 5 and int(part) < len(of)):
            raise NoPlace(place)
        tree = of[int(part)]
    return tree


def put(tree: Json, place: str, node: Json) -> Json:
    """With the node at the place, instead of what was there. NoPlace."""
    node_at(tree, place)
    if not place:
        return node
    head, _, rest = place.partition(".")
    of = list(tree["of"])
    of[int(head)] = put(of[int(head)], rest, node)
    return {**tree, "of": of}


def added(tree: Json, place: str, node: Json) -> Json:
    """With one more in the group at the place; a criterion that stands there alone becomes one of two. NoPlace."""
    group = node_at(tree, place)
    if group["kind"] not in GROUPS:
        group = {"kind": "all", "of": [group]}
    return put(tree, place, {**group, "of": [*group["of"], node]})


def removed(tree: Json, place: str) -> Json:
    """Without that node; without the root, nothing is left in it. NoPlace."""
    node_at(tree, place)
    if not place:
        return {"kind": "all", "of": []}
    above, _, last = place.rpartition(".")
    group = node_at(tree, above)
    return put(tree, above, {**group, "of": [one for index, one in enumerate(group["of"]) if index != int(last)]})


def joined(tree: Json, place: str, kind: str) -> Json:
    """With the group at the place joined in another way. NoPlace."""
    group = node_at(tree, place)
    if group["kind"] not in GROUPS or kind not in GROUPS:
        raise NoPlace(place)
    return put(tree, place, {**group, "kind": kind})


# In sentences


#: How segments are called, by their number, and mailings, by their job.
Names = Mapping[int | str, str]


def rows(tree: Json, labels: Mapping[str, str], names: Names, faults: Sequence[str] = ()) -> list[Row]:
    """The tree from top to bottom. `faults` are those of the API, each at its node."""
    placed: dict[str, list[str]] = {}
    for fault in (one for one in faults if one.startswith(_ON_TREE)):
        where, _, what = fault.partition(": ")
        part = where.rpartition(".")[2]
        said = what if "[" in part or part in ("$", "of", "criteria") else f"{_words(part)}: {what}"
        placed.setdefault(_place(where), []).append(plain(said))
    return list(_rows(tree, "", labels, names, placed))


def elsewhere(faults: Sequence[str]) -> tuple[str, ...]:
    """Those that are about no node of the tree."""
    return tuple(plain(fault.removeprefix("$.")) for fault in faults if not fault.startswith(_ON_TREE))


def plain(text: str) -> str:
    """What the API says, as people read it: `one_of` is \u201cone of\u201d."""
    return re.sub(r"`([^`]*)`", lambda found: f"\u201c{_words(found[1])}\u201d", text)


def _rows(
    node: Json, place: str, labels: Mapping[str, str], names: Names, faults: Mapping[str, list[str]]
) -> Iterator[Row]:
    own = tuple(faults.get(place, ()))
    if node["kind"] not in GROUPS:
        yield Row("criterion", place, sentence(node, labels, names), own)
        return
    yield Row(node["kind"], place, GROUPS[node["kind"]], own if node["of"] or not own else ("Add a criterion to it.",))
    for index, part in enumerate(node["of"]):
        yield from _rows(part, f"{place}.{index}" if place else str(index), labels, names, faults)
    if not node["of"]:
        yield Row("empty")
    yield Row("end")


def _place(where: str) -> str:
    """Of a fault: `$.criteria.of[1].of[0].value` is about the node "1.0"."""
    parts: list[str] = []
    for part in where.removeprefix(_ON_TREE).split(".")[1:]:
        if not (part.startswith("of[") and part.endswith("]")):
            break
        parts.append(part[3:-1])
    return ".".join(parts)


def sentence(node: Json, labels: Mapping[str, str], names: Names) -> str:
    """What a criterion asks, as people say it."""
    said = {name: value for name, value in node.items() if value is not None and name != "kind"}
    match node["kind"]:
        case "field":
            name = str(said.pop("field", ""))
            return f"{labels.get(name) or _words(name)} {_compared(said)}"
        case "segment":
            called = ", ".join(names.get(one, f"segment {one}") for one in _list(said.get("segments")))
            return f"{'not in any of' if said.get('test') == 'not_in' else 'in at least one of'}: {called}"
        case "import":
            numbers = ", ".join(map(str, _list(said.get("imports"))))
            return f"{_words(said.get('test', ''))} by import {numbers}"
        case "channel":
            return f"{said.get('channel', '')}: {_words(said.get('test', ''))}"
        case "activity":
            return f"activity rank from {said.get('at_least', 0)} to {said.get('at_most', 10)}"
        case "at_risk":
            return {"hard": "at risk: their address is gone", "quiet": "at risk: quiet for long"}.get(
                str(said.get("why")), "at risk"
            )
        case "operation":
            first = _words(said.pop("was", ""))
            keys = [str(one) for one in _list(said.pop("operations", None))]
            which = [f"of {', '.join(names.get(key, key) for key in keys)}"] if keys else []
            return "; ".join([f"mailing: {first}", *which, *_others(said)])
        case "behaviour":
            return "; ".join([f"behaviour: {_words(said.pop('did', ''))}", *_others(said)])
    return "; ".join([_words(node["kind"]), *_others(said)])


def _compared(said: dict[str, Any]) -> str:
    test = str(said.get("test", ""))
    if test.endswith("_days"):
        return f"{_DAYS.get(test, _words(test.removesuffix('_days')))} {said.get('days', '?')} days"
    given = said.get("values", said.get("value"))
    accents = "" if said.get("accents", True) else ", with accents or without"
    return f"{_words(test)} {_shown(given)}{accents}".rstrip() if given is not None else _words(test)


def _others(said: Mapping[str, Any]) -> list[str]:
    return [f"{_words(name)} {_shown(value)}" for name, value in said.items() if value not in (False, "one")]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _words(text: object) -> str:
    return str(text).replace("_", " ")


# As inputs


class Language:
    """What the API says of its language and of the tenant's fields (`GET /v1/segments/schema`). `named`: by the name
    of a part what may be chosen in it, and how that is called."""

    def __init__(self, schema: Json, named: Mapping[str, Mapping[str, str]]) -> None:
        self._tests: dict[str, list[str]] = schema["tests"]
        self._fields = {one["name"]: one for one in schema["fields"]}
        self.named = named
        defined = schema["language"].get("$defs", {}).values()
        self._kinds = {kind: one for one in defined if (kind := _kind_of(one)) and kind not in GROUPS}
        self.labels = {name: one["label"] or _words(name).capitalize() for name, one in self._fields.items()}

    def offered(self, chosen: str) -> list[tuple[str, tuple[Option, ...]]]:
        """What a new criterion may be about, in named groups: values are `field:postcode`, `channel:` …"""
        fields = [(f"field:{name}", label) for name, label in self.labels.items()]
        others = [(f"{kind}:", _KINDS.get(kind, _words(kind))) for kind in self._kinds if kind != _ON_FIELD]
        groups = [(f"{kind}:", text) for kind, text in GROUPS.items()]
        return [
            (name, tuple(Option(value, text, value == chosen) for value, text in found))
            for name, found in (("Fields", fields), ("What they did, and are", others), ("Groups", groups))
        ]

    def about(self, node: Json) -> str:
        """What an existing criterion is about, as it is offered."""
        return f"field:{node.get('field', '')}" if node["kind"] == _ON_FIELD else f"{node['kind']}:"

    def inputs(self, about: str, node: Mapping[str, Any]) -> list[Input]:
        """The inputs of a criterion, filled with what it says; none of what is not in the language."""
        kind, _, name = about.partition(":")
        field = self._fields.get(name) if kind == _ON_FIELD else None
        if kind not in self._kinds or (kind == _ON_FIELD and field is None):
            return []
        node = node or _USUAL.get(kind, {})
        parts = self._kinds[kind]["properties"]
        none = {"kind", "field"} | (self._without(field["kind"]) if field is not None else set())
        found = [(part, one) for part, one in parts.items() if part not in none]
        return [self._input(part, one, node.get(part, one.get("default")), field) for part, one in found]

    def _without(self, kind: str) -> set[str]:
        """What no test of fields of that kind asks for."""
        tests = self._tests[kind]
        has = {
            "values": any(one.endswith("_of") for one in tests),
            "days": any(one.endswith("_days") for one in tests),
            "accents": kind == "text",
        }
        return {name for name, there in has.items() if not there}

    def _input(self, name: str, schema: Json, value: Any, field: Json | None) -> Input:
        label = _PARTS.get(name, _words(name).capitalize())
        said, shape = _SAID.get(name) or plain(schema.get("description", "")), _shape(schema)
        choices = self._choices(name, shape, field)
        if shape.get("type") == "array" and choices is None:
            return Input(name, f"{label}, one a line", "lines", said, "\n".join(map(str, _list(value))))
        if shape.get("type") == "array":
            ticked = list(map(str, _list(value)))
            known = {**(choices or {}), **{one: one for one in ticked if one not in (choices or {})}}
            boxes = tuple(Option(one, text, one in ticked) for one, text in known.items())
            return Input(name, label, "boxes", said, "", boxes)
        if shape.get("type") == "boolean" and choices is None:
            return Input(name, label, "checkbox", said, "yes" if value else "")
        if choices is not None:
            chosen = _shown(value) if isinstance(value, bool) else str(value if value is not None else "")
            offered = {"": "–", **choices} if schema.get("default", "") is None else choices
            options = tuple(Option(one, text, one == chosen) for one, text in offered.items())
            return Input(name, label, "select", said, "", options)
        kind = _type(shape, field if name == "value" else None)
        text = "" if value is None else str(value)
        return Input(name, label, kind, said, text[:16] if kind == "datetime-local" else text)

    def _choices(self, name: str, shape: Json, field: Json | None) -> Mapping[str, str] | None:
        """What there is to choose from, and how it is called; None: anything may be written."""
        if field is not None and name == "test":
            return {one: _words(one) for one in self._tests[field["kind"]]}
        if field is not None and name == "value" and field["kind"] == "yes_no":
            return {"yes": "yes", "no": "no"}
        if field is not None and name in ("value", "values") and field["choices"]:
            return {one: one for one in field["choices"]}
        if name in self.named:
            return self.named[name]
        words = [one for one in shape.get("enum", ()) if one is not None]
        return {one: _words(one) for one in words} if words else None

    def node(self, about: str, form: Mapping[str, str]) -> Json:
        """The criterion that a form says: each part that is filled, if it is not what holds anyway."""
        kind, _, name = about.partition(":")
        if kind in GROUPS:
            return {"kind": kind, "of": []}
        found: dict[str, Any] = {"kind": kind, **({"field": name} if kind == _ON_FIELD else {})}
        parts = self._kinds.get(kind, {"properties": {}})["properties"]
        for one in self.inputs(about, {}):
            value = _given(one, parts[one.name], form)
            if value not in (None, "", []) and value != parts[one.name].get("default"):
                found[one.name] = value
        return found


def _kind_of(schema: Json) -> str:
    """By which word a criterion says that it is of this shape."""
    kind = schema.get("properties", {}).get("kind", {})
    words = kind.get("enum") or [kind.get("const", "")]
    return str(words[0])


def _shape(schema: Json) -> Json:
    """Of what may be left open, what it is otherwise; of what may be many things, the first."""
    found = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    return found[0] if found else schema


def _type(shape: Json, field: Json | None) -> str:
    if field is not None:
        return {"number": "number", "date": "date"}.get(field["kind"], "text")
    if shape.get("format") == "date-time":
        return "datetime-local"
    return "number" if shape.get("type") in ("integer", "number") else "text"


def _given(one: Input, schema: Json, form: Mapping[str, str]) -> Any:
    name = f"p.{one.name}"
    text = form.get(name, "").strip()
    match one.kind:
        case "lines":
            return [line.strip() for line in form.get(name, "").splitlines() if line.strip()]
        case "boxes":
            ticked = [key.removeprefix(f"{name}.") for key in form if key.startswith(f"{name}.")]
            is_number = _shape(schema).get("items", {}).get("type") == "integer"
            return [_number(value) for value in ticked] if is_number else ticked
        case "checkbox":
            return text == "yes"
        case "number":
            return _number(text)
        case "datetime-local":
            return _moment(text)
    return text


def _number(text: str) -> Any:
    """A number, or for the API to refuse what was written."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _moment(text: str) -> str:
    """What a browser sends of a moment has no zone, and is meant in UTC."""
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%dT%H:%M:%S}Z" if text else ""
    except ValueError:
        return text
