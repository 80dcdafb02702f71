"""The OpenAPI 3.1 document of the routes: `/v1/openapi.json`, and what `docs/api.md` is made from.

Whatever a route, a parameter, a field, an event or a problem means is said where it is declared: by the `Route`, by the
notes of the Structs' fields (`shared.words.described`) and their docstrings, by the table of problems. Here it is only
put together. The example of a Struct is made of the examples of its fields.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from shared.http import query
from shared.http.route import PATH, TAGS, Route
from shared.words.errors import Problem, ProblemDocument
from shared.words.principal import SANDBOX_SCOPES
from shared.words.problems import PROBLEMS
from shared.words.request_ids import HEADER as REQUEST_ID
from shared.words.request_ids import MAX_CHARS

ABOUT = (
    "Sending and tracking of mail. Times are RFC 3339 in UTC. A list is read page by page: `after` takes its `next`. "
    "An error is a problem document (RFC 9457): programs go by the last part of its `type`, people by its `detail`, "
    "and `faults` names everything that is wrong at once. Every request has an id, which is in each answer as "
    "`X-Request-Id`: the one that the request names there, else the trace of its `traceparent`, else one that is made; "
    "a job that it makes shows it as `request`. With `Estafette-Tenant: <name>` a key with the scope `admin` asks as a "
    "sub-account of its tenant; 404 `unknown_sub_account` where there is none of that name."
)
_REF = "#/components/schemas/{name}"
_REQUEST_ID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_CHARS}
_REQUEST_ID_HEADER = {
    "description": "The id of the request.",
    "schema": _REQUEST_ID_SCHEMA,
    "example": "5e6f1c9a0b2d-2a",
}
_EACH_ANSWER = {"headers": {REQUEST_ID: {"$ref": f"#/components/headers/{REQUEST_ID}"}}}
_RATE_LIMIT_HEADERS = {
    "RateLimit": {
        "description": "How much is left of a quota of the tenant, and in how many seconds there may be more "
        "(draft-ietf-httpapi-ratelimit-headers): of its requests, or of the quota for which this was refused.",
        "schema": {"type": "string", "examples": ['"requests_per_second";r=199;t=1']},
    },
    "RateLimit-Policy": {
        "description": "How much that quota allows, and in how many seconds, unless it bounds what is kept.",
        "schema": {"type": "string", "examples": ['"requests_per_second";q=200;w=1']},
    },
}
_EACH_ANSWER_TO_A_KEY = {
    "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in (REQUEST_ID, *_RATE_LIMIT_HEADERS)}
}
_PROBLEM_MEDIA = "application/problem+json"

Document = dict[str, Any]
Schemas = Mapping[Any, Document]


def openapi(routes: Sequence[Route]) -> Document:
    """The OpenAPI 3.1 document of the routes, but for those that are pages for people."""
    routes = [route for route in routes if not route.is_page]
    shapes = {shape for route in routes for shape in _shapes(route)} | {ProblemDocument}
    ordered = sorted(shapes, key=str)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    for component in components.values():
        _polish(component, components)
    schema_of = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, Document] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of, components)
    used = {word for route in routes for word in _problems(route)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Estafette", "version": "1", "description": ABOUT},
        "tags": [
            {"name": tag, "description": said} for tag, said in TAGS.items() if any(one.tag == tag for one in routes)
        ],
        "paths": paths,
        "components": {
            "schemas": components,
            "headers": {REQUEST_ID: _REQUEST_ID_HEADER, **_RATE_LIMIT_HEADERS},
            "examples": {word: _problem_example(word) for word in PROBLEMS if word in used},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _shapes(route: Route) -> list[Any]:
    found = [shape for shape in route.answers.values() if shape is not None and not isinstance(shape, (str, tuple))]
    return [*found, route.body] if route.body is not None else found


# Schemas


def _polish(component: Document, components: Mapping[str, Document]) -> None:
    if "description" in component:  # a docstring, broken into indented lines
        component["description"] = " ".join(component["description"].split())
    for field in component.get("properties", {}).values():
        # The tag of a Struct that is one of several: msgspec makes it, and says nothing of it.
        if set(field) == {"enum"}:
            field["description"] = "Says which kind it is."
        field.setdefault("examples", [example(field, components)])


def example(schema: Document, components: Mapping[str, Document]) -> Any:
    """A value that fits: the one that is given, or one made of what is given further in."""
    match schema:
        case {"examples": [first, *_]}:
            return first
        case {"$ref": str(ref)}:
            component = components[ref.rpartition("/")[2]]
            return {name: example(field, components) for name, field in component.get("properties", {}).items()}
        case {"anyOf": [first, *_]}:
            return example(first, components)
        case {"enum": [first, *_]}:
            return first
        case {"type": "array", "items": dict(items)}:
            return [example(items, components)]
    return schema.get("default")


# Operations


def _operation(route: Route, schema_of: Schemas, components: Mapping[str, Document]) -> Document:
    operation: Document = {"summary": route.summary}
    if route.name:
        operation["operationId"] = route.name
    if route.tag:
        operation["tags"] = [route.tag]
    if route.scope:
        operation["description"] = f"Needs a key with the scope `{route.scope}`."
        operation["security"] = [{"key": []}]
    operation["parameters"] = [*_in_path(route), *_in_query(route), *_in_header(route)]
    if route.takes_body:
        operation["requestBody"] = _body(route, schema_of, components)
    answers = {status: _answer(status, shape, schema_of, components) for status, shape in route.answers.items()}
    problems = _problems(route)
    for status in {PROBLEMS[word].status for word in problems}:
        words = [word for word in problems if PROBLEMS[word].status == status]
        answers.setdefault(status, _refusal(words, schema_of[ProblemDocument]))
    each = {status: _EACH_ANSWER_TO_A_KEY if route.scope and status != 401 else _EACH_ANSWER for status in answers}
    operation["responses"] = {str(status): answers[status] | each[status] for status in sorted(answers)}
    return operation


def _problems(route: Route) -> list[str]:
    """The words of all problems that the route may answer, in the order of the table."""
    words = {"unavailable", "internal_error", *route.problems}
    if route.scope:
        words |= {"no_key", "unknown_key", "key_expired", "network_not_allowed", "missing_scope", "quota_exceeded"}
        words.add("unknown_sub_account")
    if route.scope in SANDBOX_SCOPES and route.method != "GET":
        words.add("sandbox_key")
    if not route.any_query:
        words |= {"repeated_header", "invalid_query"}
    if route.takes_body:
        words |= {"bad_request", "body_too_large", "unsupported_media_type"}
    if route.body is not None:
        words |= {"malformed_json", "invalid_body"}
    return [word for word in PROBLEMS if word in words]


def _in_path(route: Route) -> Iterable[Document]:
    for name in route.parameters:
        said = {**PATH, **route.in_path}.get(name)
        yield _parameter(name, "path", said, {"type": "string"})


def _in_query(route: Route) -> Iterable[Document]:
    for one in query.parameters(route.query) if route.query is not None else ():
        found: Document = {
            "name": one.name,
            "in": "query",
            "required": False,
            "description": one.sentence,
            "schema": dict(one.schema),
        }
        if one.is_list:
            found |= {"style": "form", "explode": False}
        if one.examples:
            found["example"] = one.examples[0]
        yield found


def _in_header(route: Route) -> Iterable[Document]:
    for name, said in route.headers.items():
        limits = {"type": "string"} | ({"maxLength": said.max_length} if said.max_length else {})
        yield _parameter(name, "header", said, limits)


def _parameter(name: str, place: str, said: msgspec.Meta | None, schema: Document) -> Document:
    found: Document = {"name": name, "in": place, "required": place == "path", "schema": schema}
    if said is not None:
        found["description"] = said.description
        found["example"] = (said.examples or [None])[0]
    return found


def _body(route: Route, schema_of: Schemas, components: Mapping[str, Document]) -> Document:
    content: Document = {media: {"schema": _text_schema(media)} for media in route.body_media}
    if route.body is not None:
        schema = schema_of[route.body]
        content["application/json"] = {"schema": schema, "example": example(schema, components)}
    for media, one in route.examples.items():
        content[media]["example"] = one
    return {"required": not route.body_optional, "content": content}


def _text_schema(media: str) -> Document:
    """OpenAPI describes forms as objects, whatever their fields are."""
    is_form = media in ("application/x-www-form-urlencoded", "multipart/form-data")
    return {"type": "object" if is_form else "string"}


def _answer(status: int, shape: Any, schema_of: Schemas, components: Mapping[str, Document]) -> Document:
    if shape is None:
        return {"description": "No body." if status < 400 else "No body; the status says it."}
    if isinstance(shape, (str, tuple)):
        media = (shape,) if isinstance(shape, str) else shape
        content: Document = {one: {"schema": {"type": "string"}} for one in media}
        return {"description": f"A body of {' or '.join(media)}.", "content": content}
    schema = schema_of[shape]
    said = " ".join((shape.__doc__ or shape.__name__).split())
    # Up to the first full stop: the schema says the rest.
    sentence = re.split(r"(?<=\.)\s", said, maxsplit=1)[0]
    content = {"application/json": {"schema": schema, "example": example(schema, components)}}
    return {"description": sentence, "content": content}


def _refusal(words: Sequence[str], schema: Document) -> Document:
    examples = {word: {"$ref": f"#/components/examples/{word}"} for word in words}
    return {
        "description": "\n".join(f"- `{word}`: {PROBLEMS[word].sentence}" for word in words),
        "content": {_PROBLEM_MEDIA: {"schema": schema, "examples": examples}},
    }


def _problem_example(word: str) -> Document:
    kind = PROBLEMS[word]
    value = msgspec.to_builtins(Problem(word, kind.sentence).document())
    return {"summary": kind.title, "description": kind.sentence, "value": value}
