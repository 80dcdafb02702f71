"""The OpenAPI document of all routes is valid, and says of each what callers must know. That it is true is tested by
`tests/flows/test_api_is_true.py`, on the running API."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from shared.http import api
from tests.routes import all_routes

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
#: Statuses that have no body.
EMPTY = {"204", "302", "303"}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[api.Route]:
    found = all_routes(tmp_path_factory.mktemp("data"))
    assert len(found) > 40, "of no route everything is true"
    return found


@pytest.fixture(scope="module")
def document(routes: list[api.Route]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(api.openapi(routes)))
    return made


def operation(document: dict[str, Any], route: api.Route) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][route.path][route.method.lower()]
    return found


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
            if status < "400" and status not in EMPTY and "message/rfc822" not in answer["content"]:
                assert re.fullmatch(
                    r"#/components/schemas/\w+", answer["content"]["application/json"]["schema"]["$ref"]
                ), f"{name(route)} {status}"


def test_every_error_of_the_api_is_a_problem_document(routes: list[api.Route], document: dict[str, Any]) -> None:
    for route in routes:
        for status, answer in operation(document, route)["responses"].items():
            if route.path.startswith("/v1/") and status >= "400":
                assert answer["content"] == PROBLEM, f"{name(route)} {status}"


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
        assert route.scope in api.SCOPES
        assert f"`{route.scope}`" in described["description"]
        assert described["security"] == [{"key": []}]
        assert described["responses"]["401"]["content"] == PROBLEM
        assert described["responses"]["403"]["content"] == PROBLEM


def test_every_parameter_is_documented(routes: list[api.Route], document: dict[str, Any]) -> None:
    for route in routes:
        parameters = operation(document, route)["parameters"]
        in_path = [one["name"] for one in parameters if one["in"] == "path"]

        assert in_path == re.findall(r"{(\w+)}", route.path)
        assert all(one["required"] for one in parameters if one["in"] == "path")
        assert all(one["description"] for one in parameters if one["in"] != "path"), name(route)


def test_a_route_that_takes_a_limit_may_refuse_it(routes: list[api.Route], document: dict[str, Any]) -> None:
    with_limit = [route for route in routes if "limit" in route.query and route.path.startswith("/v1/")]

    assert with_limit
    for route in with_limit:
        assert operation(document, route)["responses"]["422"]["content"] == PROBLEM, name(route)


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
        assert {"400", "413", "415", "422"} <= set(described["responses"]), name(route)


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
