"""The OpenAPI document of all routes is valid, and says of each what callers must know. That it is true is tested by
`tests/flows/test_api_is_true.py`, on the running API."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.http.page import page
from shared.http import api
from shared.words import public, quotas
from shared.words.principal import SCOPES
from shared.words.problems import PROBLEMS
from tests.routes import all_routes

PROBLEM = {"$ref": "#/components/schemas/ProblemDocument"}
#: Statuses that have no body.
EMPTY = {"204", "302", "303", "304"}
#: Media types of what is a file, not JSON.
FILES = {"text/event-stream", "message/rfc822", "text/csv", "application/x-ndjson"}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[api.Route]:
    found = [route for route in all_routes(tmp_path_factory.mktemp("data")) if not route.is_page]
    assert len(found) > 40, "of no route everything is true"
    return found


@pytest.fixture(scope="module")
def document(routes: list[api.Route]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(api.openapi(routes)))
    return made


def operation(document: dict[str, Any], route: api.Route) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][route.path][route.method.lower()]
    return found


def is_problem(answer: dict[str, Any]) -> bool:
    """Whether it is a problem document and nothing else, and says which problems it may be."""
    (media,) = answer["content"]
    content = answer["content"][media]
    return media == "application/problem+json" and content["schema"] == PROBLEM and bool(content["examples"])


def name(route: api.Route) -> str:
    return f"{route.method} {route.path}"


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [fault.message for fault in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_route_is_documented_once(routes: list[api.Route], document: dict[str, Any]) -> None:
    named = [name(route) for route in routes]

    assert len(named) == len(set(named))
    assert sorted(named) == sorted(
        f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods
    )


def test_the_routes_of_the_design_are_there(routes: list[api.Route]) -> None:
    assert {
        "POST /v1/jobs",
        "POST /v1/jobs/{job}/recipients",
        "POST /v1/jobs/{job}/start",
        "GET /v1/jobs/{job}",
        "GET /v1/messages/{message}",
        "GET /v1/events",
        "GET /v1/suppressions/{address}",
        "PUT /v1/suppressions/{address}",
        "DELETE /v1/suppressions/{address}",
        "GET /v1/suppressions",
        "POST /v1/domains",
        "GET /v1/domains",
        "GET /v1/domains/{domain}",
        "DELETE /v1/domains/{domain}",
        "POST /v1/domains/{domain}/check",
        "POST /v1/domains/{domain}/rotate",
        "POST /v1/domains/{domain}/activate",
        "POST /v1/domains/{domain}/give",
        "POST /v1/domains/{domain}/take",
        "GET /o/{token}",
        "GET /c/{token}",
        "HEAD /c/{token}",
        "GET /u/{token}",
        "POST /u/{token}",
        "GET /healthz",
        "GET /readyz",
    } <= {name(route) for route in routes}


def test_every_route_has_a_summary_of_its_own(routes: list[api.Route], document: dict[str, Any]) -> None:
    summaries = [operation(document, route)["summary"] for route in routes]

    assert all(summary[:1].isupper() and not summary.endswith(".") for summary in summaries)
    assert len(set(summaries)) == len(summaries)


def test_every_route_says_what_it_answers_when_all_is_well(routes: list[api.Route], document: dict[str, Any]) -> None:
    for route in routes:
        well = [status for status in operation(document, route)["responses"] if status < "400"]

        assert well, name(route)


def test_every_answer_with_a_body_has_a_schema(routes: list[api.Route], document: dict[str, Any]) -> None:
    for route in routes:
        for status, answer in operation(document, route)["responses"].items():
            schemas = [content["schema"] for content in answer.get("content", {}).values()]

            assert answer["description"], name(route)
            assert schemas or status in EMPTY or route.method == "HEAD", f"{name(route)} {status}"
            assert all(schemas), f"{name(route)} {status}"


def test_what_the_api_answers_is_json_with_a_schema_of_its_own(
    routes: list[api.Route], document: dict[str, Any]
) -> None:
    for route in routes:
        if not route.path.startswith("/v1/"):
            continue
        for status, answer in operation(document, route)["responses"].items():
            if status < "400" and status not in EMPTY and not FILES & set(answer["content"]):
                assert re.fullmatch(
                    r"#/components/schemas/\w+", answer["content"]["application/json"]["schema"]["$ref"]
                ), f"{name(route)} {status}"


def test_every_error_of_the_api_is_a_problem_document(routes: list[api.Route], document: dict[str, Any]) -> None:
    for route in routes:
        for status, answer in operation(document, route)["responses"].items():
            if route.path.startswith("/v1/") and status >= "400":
                assert is_problem(answer), f"{name(route)} {status}"


def test_the_api_asks_for_a_key_and_what_recipients_meet_does_not(routes: list[api.Route]) -> None:
    assert {route.path.startswith("/v1/") for route in routes if route.scope is not None} == {True}
    assert {route.path.startswith("/v1/") for route in routes if route.scope is None} == {False}


def test_a_scoped_route_documents_its_scope_and_what_is_answered_without_it(
    routes: list[api.Route], document: dict[str, Any]
) -> None:
    assert document["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    for route in routes:
        described = operation(document, route)
        if route.scope is None:
            assert "security" not in described
            continue
        assert route.scope in SCOPES
        assert f"`{route.scope}`" in described["description"]
        assert described["security"] == [{"key": []}]
        assert is_problem(described["responses"]["401"])
        assert is_problem(described["responses"]["403"])


def test_every_parameter_is_documented(routes: list[api.Route], document: dict[str, Any]) -> None:
    for route in routes:
        parameters = operation(document, route)["parameters"]
        in_path = [one["name"] for one in parameters if one["in"] == "path"]

        assert in_path == re.findall(r"{(\w+)}", route.path)
        assert all(one["required"] for one in parameters if one["in"] == "path")
        assert [one["name"] for one in parameters if not (one.get("description") and "example" in one)] == [], name(
            route
        )
        for one in parameters:
            faults = misfits(document, one["schema"], one["example"])
            assert faults == [], f"{name(route)} {one['name']}"


def test_a_list_that_is_read_page_by_page_speaks_one_dialect(routes: list[api.Route], document: dict[str, Any]) -> None:
    paged = [route for route in routes if route.query is not None and "after" in route.query.__struct_fields__]

    assert len(paged) >= 6
    for route in paged:
        after, limit = (
            next(one for one in operation(document, route)["parameters"] if one["name"] == wanted)
            for wanted in ("after", "limit")
        )
        assert after["schema"]["type"] == "string"
        assert {"type", "minimum", "maximum", "default"} == set(limit["schema"]), name(route)
        assert is_problem(operation(document, route)["responses"]["422"])
        (answer,) = operation(document, route)["responses"]["200"]["content"].values()
        page = document["components"]["schemas"][answer["schema"]["$ref"].rpartition("/")[2]]
        assert "next" in page["properties"], name(route)


def test_every_operation_has_a_name_of_its_own_and_one_tag(routes: list[api.Route], document: dict[str, Any]) -> None:
    operations = [operation(document, route) for route in routes]
    names = [one.get("operationId", "") for one in operations]

    assert [one for one in names if not re.fullmatch(r"[a-z]+(_[a-z]+)*", one)] == []
    assert len(set(names)) == len(names)
    assert {tuple(one["tags"]) for one in operations} == {(tag["name"],) for tag in document["tags"]}
    assert all(tag["description"].endswith(".") for tag in document["tags"])


def test_every_field_is_told_in_a_sentence_and_an_example_that_fits(document: dict[str, Any]) -> None:
    for title, schema in document["components"]["schemas"].items():
        for field, said in schema.get("properties", {}).items():
            place = f"{title}.{field}"
            assert said.get("description", "").endswith((".", "`.")), place
            assert said.get("examples"), place
            for example in said["examples"]:
                assert misfits(document, said, example) == [], place


def test_every_struct_and_every_type_of_event_is_told_in_a_sentence(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    events = schemas["Event"]["properties"]["details"]["anyOf"]

    assert [title for title, schema in schemas.items() if not schema.get("description")] == []
    assert {one["title"] for one in events} == set(public.TYPES)
    for one in events:
        assert one["description"].endswith("."), one["title"]
        for field, said in one["properties"].items():
            assert said["description"].endswith("."), f"{one['title']} {field}"
            assert [misfits(document, said, example) for example in said["examples"]] == [[]], field


def test_every_example_of_a_body_and_an_answer_fits(routes: list[api.Route], document: dict[str, Any]) -> None:
    for route in routes:
        described = operation(document, route)
        for place in (described.get("requestBody", {}), *described["responses"].values()):
            for media, content in place.get("content", {}).items():
                if media == "application/json":
                    assert misfits(document, content["schema"], content["example"]) == [], name(route)


def test_every_problem_of_an_operation_is_told_where_it_is_answered(document: dict[str, Any]) -> None:
    told = document["components"]["examples"]

    assert told.keys() <= PROBLEMS.keys()
    for word, said in told.items():
        assert misfits(document, PROBLEM, said["value"]) == [], word
    for path, methods in document["paths"].items():
        for status, answer in ((*one,) for operation in methods.values() for one in operation["responses"].items()):
            for word in answer.get("content", {}).get("application/problem+json", {}).get("examples", {}):
                assert str(PROBLEMS[word].status) == status, f"{path} {word}"
                assert f"`{word}`: {PROBLEMS[word].sentence}" in answer["description"]


def test_every_quota_is_told(document: dict[str, Any]) -> None:
    said = document["components"]["schemas"]["QuotaExceeded"]["properties"]["name"]

    assert said["enum"] == list(quotas.NAMES)
    assert all(f"`{quota}`" in said["description"] for quota in quotas.NAMES)


def test_the_page_for_people_has_every_operation_shape_and_field(document: dict[str, Any]) -> None:
    made = page(document)
    headings = set(re.findall(r"^#+ (.+)$", made, re.MULTILINE))
    schemas = document["components"]["schemas"]

    assert {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods} <= headings
    assert schemas.keys() <= headings
    for schema in schemas.values():
        for field, said in schema["properties"].items():
            words = said["description"].replace("|", r"\|")  # a bare one would end the cell
            assert re.search(rf"^\| `{field}`.*{re.escape(words)}", made, re.MULTILINE), field


def misfits(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """What the value has that the schema does not allow."""
    whole = {**schema, "components": document["components"]}
    return [fault.message for fault in OAS31Validator(whole).iter_errors(value)]


def test_a_route_that_takes_a_body_documents_how_it_is_refused(
    routes: list[api.Route], document: dict[str, Any]
) -> None:
    for route in routes:
        described = operation(document, route)
        if route.body is None and not route.body_media:
            assert "requestBody" not in described
            continue
        assert described["requestBody"]["required"] is not route.body_optional
        assert all(content["schema"] for content in described["requestBody"]["content"].values())
        assert {"400", "413", "415"} <= set(described["responses"]), name(route)


def test_every_body_of_the_api_comes_with_an_example_that_fits(
    routes: list[api.Route], document: dict[str, Any]
) -> None:
    for route in routes:
        if route.scope is None:
            continue
        for media, content in operation(document, route).get("requestBody", {}).get("content", {}).items():
            assert "example" in content, f"{name(route)} {media}"
            if media == "application/json":
                api.fit(json.dumps(content["example"]).encode(), route.body)


def test_every_schema_says_what_it_means_and_is_used(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))

    assert used == set(schemas)
    assert [title for title, schema in schemas.items() if schema["title"] != title] == []


def test_a_document_without_routes_is_one_too() -> None:
    assert api.openapi([])["paths"] == {}


def test_the_document_names_no_module_and_no_machine(document: dict[str, Any]) -> None:
    text = json.dumps(document)

    assert "services." not in text
    assert "shared." not in text
    assert str(Path.home()) not in text


def test_no_pattern_takes_an_end_of_line_behind_what_it_asks_for(document: dict[str, Any]) -> None:
    """`$` is the end in JSON Schema (ECMA 262); in Python it also stands before a last newline."""
    found = set(re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps(document)))

    assert len(found) > 3
    assert [one for one in map(json.loads, found) if one.endswith("$") and not one.endswith(r"(?!\n)$")] == []
