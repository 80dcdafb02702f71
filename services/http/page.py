"""The OpenAPI document as one page of Markdown, for whoever writes a client: `docs/api.md`. Pure: a document in, text
out."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from shared.words.errors import QUOTAS
from shared.words.problems import PROBLEMS

Document = Mapping[str, Any]

HEAD = """\
# The API

<!-- Made by `python -m services.http describe > docs/api.md`: change what it is made of, not this page. -->

{about}

The same is served as OpenAPI 3.1 at `/v1/openapi.json`, from which most languages make a client. In the examples,
`$BASE` is where the engine is reached, `http://127.0.0.1:8080` after a start on your own machine, and `$KEY` is a key
of a tenant: `Authorization: Bearer …`. What a key may do are its scopes; each operation names the one it asks for.
`GET` may be asked as `HEAD`. Bodies are UTF-8, at most as large as `queueing.max_body_bytes` says.

Every operation that asks for a key may answer the [problems](#problems) {of_keys}; one that takes a body also
{of_bodies}; and any at all {of_all}. They are not listed again below.
"""
#: Problems that a kind of operation has in common.
OF_KEYS = (
    "no_key",
    "unknown_key",
    "key_expired",
    "network_not_allowed",
    "missing_scope",
    "unknown_sub_account",
    "quota_exceeded",
)
OF_BODIES = ("bad_request", "malformed_json", "body_too_large", "unsupported_media_type", "invalid_body")
OF_ALL = ("repeated_header", "invalid_query", "internal_error", "unavailable")
_COMMON = {*OF_KEYS, *OF_BODIES, *OF_ALL}


def page(document: Document) -> str:
    """All of it, ready to be written to a file."""
    sections = [
        HEAD.format(
            about=document["info"]["description"],
            of_keys=_words(OF_KEYS),
            of_bodies=_words(OF_BODIES),
            of_all=_words(OF_ALL),
        ),
        *_contents(document),
        *(_tag(document, tag) for tag in document["tags"]),
        _events(document),
        _shapes(document),
        _problems(),
        _quotas(),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(section.rstrip() + "\n" for section in sections))


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _contents(document: Document) -> Iterator[str]:
    lines = ["| | |", "| --- | --- |"]
    lines += [
        f"| [{_title(tag['name'])}](#{_anchor(tag['name'])}) | {tag['description']} |" for tag in document["tags"]
    ]
    lines.append("| [Types of events](#types-of-events) | What each type of event means, and what it has. |")
    lines.append("| [Shapes](#shapes) | The objects in bodies and answers, field by field. |")
    lines.append("| [Problems](#problems) | Every kind of error. |")
    lines.append("| [Quotas](#quotas) | What a tenant may use of everything. |")
    yield "\n".join(lines) + "\n"


def _title(name: str) -> str:
    return name[:1].upper() + name[1:]


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


# Operations


def _tag(document: Document, tag: Document) -> str:
    operations = [
        _operation(document, method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation.get("tags", ())
    ]
    return "\n".join([f"## {_title(tag['name'])}", "", tag["description"], "", *operations])


def _operation(document: Document, method: str, path: str, operation: Document) -> str:
    lines = [f"### {method} {path}", "", f"{operation['summary']}. {operation.get('description', '')}".rstrip(), ""]
    if operation["parameters"]:
        lines += _table(("parameter", "in", "type", "meaning"), map(_parameter, operation["parameters"]))
    if "requestBody" in operation:
        lines += [*_body(document, operation["requestBody"]), ""]
    lines += [*_call(method, path, operation), ""]
    lines += [*_answers(document, operation["responses"]), ""]
    problems = [word for word in _problems_of(operation) if word not in _COMMON]
    if problems:
        lines += ["Problems of its own: " + ", ".join(f"[`{one}`](#problems)" for one in problems) + ".", ""]
    return "\n".join(lines)


def _parameter(one: Document) -> tuple[str, ...]:
    default = one["schema"].get("default")
    said = f"{one['description']}" + (f" Default: `{default}`." if default not in (None, "") else "")
    return f"`{one['name']}`", one["in"], _type(one["schema"]), f"{said} Example: `{_shown(one['example'])}`."


def _shown(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _body(document: Document, body: Document) -> Iterator[str]:
    media = ", ".join(f"`{one}`" for one in body["content"])
    yield f"Body: {media}" + ("." if body["required"] else "; it may be left out.")
    for content in body["content"].values():
        if "$ref" in content["schema"]:
            component = _component(document, content["schema"]["$ref"])
            yield from ("", component["description"], "", *_fields(component))


def _call(method: str, path: str, operation: Document) -> Iterator[str]:
    """How it is asked with curl."""
    for one in operation["parameters"]:
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", quote(str(one["example"]), safe=""))
    asked = {"GET": "", "HEAD": "--head "}.get(method, f"-X {method} ")
    parts = [f'curl {asked}"$BASE{path}"']
    if "security" in operation:
        parts.append('-H "Authorization: Bearer $KEY"')
    content = {
        media: one for media, one in operation.get("requestBody", {}).get("content", {}).items() if "example" in one
    }
    if not content:
        yield from ("```sh", " ".join(parts), "```")
        return
    media = next(iter(content))
    sent = content[media]["example"]
    text = sent.rstrip("\n") if isinstance(sent, str) else json.dumps(sent, ensure_ascii=False, indent=2)
    parts += [f"-H 'Content-Type: {media}'", "--data-binary @- <<'END'"]
    yield from ("```sh", " ".join(parts), text, "END", "```")


def _answers(document: Document, answers: Document) -> Iterator[str]:
    for status, answer in answers.items():
        content = answer.get("content", {})
        if "application/problem+json" in content:
            continue
        media = next(iter(content), "")
        schema = content[media]["schema"] if media else {}
        shape = f" {_type(schema)}:" if "$ref" in schema else ":"
        yield f"Answers `{status}`{shape} {answer['description']}"
        yield ""
        if "$ref" in schema and status == min(answers):
            yield from ("```json", json.dumps(content[media]["example"], ensure_ascii=False, indent=2), "```", "")


def _problems_of(operation: Document) -> Iterator[str]:
    for answer in operation["responses"].values():
        yield from answer.get("content", {}).get("application/problem+json", {}).get("examples", ())


# Shapes


def _shapes(document: Document) -> str:
    lines = ["## Shapes", ""]
    for title, component in sorted(document["components"]["schemas"].items()):
        lines += [f"### {title}", "", component["description"], "", *_fields(component)]
    return "\n".join(lines)


def _fields(schema: Document) -> list[str]:
    required = schema.get("required", ())
    rows = [
        (
            f"`{name}`" + (" *" if name in required else ""),
            _type(one),
            one["description"] + _example(one),
        )
        for name, one in schema.get("properties", {}).items()
    ]
    return _table(("field (* always there)", "type", "meaning"), rows)


def _example(schema: Document) -> str:
    """Of a plain value; what is an object has its own table."""
    first = schema["examples"][0]
    if "$ref" in json.dumps(schema) or first is None or first == "":
        return ""
    return f" Example: `{json.dumps(first, ensure_ascii=False)}`."


def _events(document: Document) -> str:
    details = document["components"]["schemas"]["Event"]["properties"]["details"]["anyOf"]
    lines = ["## Types of events", "", "What each type of event means, and the `details` it has.", ""]
    for one in details:
        lines += [f"### {one['title']}", "", one["description"], "", *_fields(one)]
    return "\n".join(lines)


def _component(document: Document, ref: str) -> Document:
    found: Document = document["components"]["schemas"][ref.rpartition("/")[2]]
    return found


def _type(schema: Document) -> str:
    """A schema in a few words."""
    match schema:
        case {"$ref": str(ref)}:
            title = ref.rpartition("/")[2]
            return f"[{title}](#{title.lower()})"
        case {"type": "object", "title": _} | {"type": "object", "anyOf": _}:
            return "object"
        case {"anyOf": list(several)}:
            return " or ".join(_type(one) for one in several)
        case {"enum": list(words)}:
            return f"one of {_words(words)}"
        case {"type": "array", "items": {"enum": list(words)}}:
            return f"some of {_words(words)}, with commas between"
        case {"type": "array", "items": dict(items)}:
            return f"array of {_type(items)}"
        case {"type": list(several)}:
            return " or ".join(several)
        case {"type": "integer", "minimum": least, "maximum": most}:
            return f"integer, {least} to {most}"
        case {"type": "string", "maxLength": most}:
            return f"string, at most {most} characters"
        case {"type": "string", "format": kind}:
            return f"string ({kind})"
        case {"type": kind}:
            return str(kind)
    return "anything"


# Tables at the end


def _problems() -> str:
    rows = [
        (f"`{word}`", str(kind.status), f"{kind.title}. {kind.sentence}")
        for word, kind in sorted(PROBLEMS.items(), key=lambda one: (one[1].status, one[0]))
    ]
    head = [
        "## Problems",
        "",
        "The `type` of a problem is `urn:estafette:problem:` and one of these words, each with one status.",
        "",
    ]
    return "\n".join([*head, *_table(("word", "status", "meaning"), rows)])


def _quotas() -> str:
    head = [
        "## Quotas",
        "",
        "Each counts all keys of a tenant together. Beyond one, `quota_exceeded` names it, with `Retry-After`.",
        "",
    ]
    rows = [(f"`{name}`", f"{_title(meaning)}.") for name, meaning in QUOTAS.items()]
    return "\n".join([*head, *_table(("quota", "what it counts"), rows)])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return [*lines, ""]
