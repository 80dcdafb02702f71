"""Promise 7: bad input gets a problem document that names what is wrong, and nothing is stored."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from shared.redis import redis
from tests.flows.stack import Stack, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture(loop_scope="module")
async def storage(stack: Stack) -> AsyncIterator[redis.Client]:
    client = redis.connect((stack.directory / "redis.url").read_text().strip())
    yield client
    await redis.close(client)


async def _stored(client: Any) -> set[bytes]:
    """Every key of a job, and every entry that waits to be queued."""
    found = {key async for key in client.scan_iter(match="est:*", count=1000)}
    return {key for key in found if b":job:" in key or b":idempotency:" in key or b":intake:" in key}


def _recipient(email: str) -> dict[str, Any]:
    return job(email)


BAD: dict[str, tuple[bytes | dict[str, Any], int, str, str]] = {
    "malformed JSON": (b'{"from": ', 400, "malformed_json", ""),
    "not even text": (b"\xff\xfe\x00", 400, "malformed_json", ""),
    "not an object": (b"[]", 422, "invalid_job", "$"),
    "wrong types": ({**job("a@b.test"), "subject": 5}, 422, "invalid_job", "$.subject"),
    "an unknown field": ({**job("a@b.test"), "htlm": "x"}, 422, "invalid_job", "$.htlm"),
    "an address with CR LF": (job("a@b.test\r\nBcc: c@d.test"), 422, "invalid_job", "$.recipients[0].email"),
    "an address of 300 characters": (job("a" * 291 + "@exemple.fr"[:9]), 422, "invalid_job", "$.recipients[0].email"),
    "a header name with a colon": (job("a@b.test", headers={"X-A:B": "c"}), 422, "invalid_job", "$.headers['X-A:B']"),
    "a header value with CR LF": (
        job("a@b.test", headers={"X-A": "b\r\nBcc: c"}),
        422,
        "invalid_job",
        "$.headers['X-A']",
    ),
    "a template that does not compile": (job("a@b.test", html="{% for x %}"), 422, "invalid_job", "$.html"),
    "a subject that does not compile": (job("a@b.test", subject="{{ x"), 422, "invalid_job", "$.subject"),
    "a template that fails for everybody": (job("a@b.test", html="{{ first-name }}"), 422, "invalid_job", "$.html"),
    "a comment that spans a tag": (job("a@b.test", html="<p>{#1</p><p>#}x</p>"), 422, "invalid_job", "$.html"),
    "an empty subject": (job("a@b.test", subject="{{ title }}"), 422, "invalid_job", "$.subject"),
    "nothing but tags": (job("a@b.test", html="<p>&nbsp;</p>"), 422, "invalid_job", "$.html"),
    "a header value that fails": (
        job("a@b.test", headers={"X-A": "{{ 1/0 }}"}),
        422,
        "invalid_job",
        "$.headers['X-A']",
    ),
    "10,001 recipients": (job(*(f"u{n}@b.test" for n in range(10_001))), 422, "invalid_job", "$.recipients"),
    "no recipients": (job(), 422, "invalid_job", "$.recipients"),
    "only bad recipients": (job("nobody"), 422, "invalid_job", "$.recipients[0].email"),
    "no content": (job("a@b.test", html=""), 422, "invalid_job", "$.html"),
    "a From that is no address": ({**job("a@b.test"), "from": "Chouette"}, 422, "invalid_job", "$.from"),
}


@pytest.mark.parametrize("what", BAD)
async def test_promise_7_a_bad_job_gets_a_problem_and_stores_nothing(stack: Stack, storage: Any, what: str) -> None:
    body, status, word, at = BAD[what]
    before = await _stored(storage)
    options: dict[str, Any] = {"data": body, "headers": JSON} if isinstance(body, bytes) else {"json": body}

    async with stack.session.post(
        f"{stack.base}/v1/jobs",
        headers={"Authorization": f"Bearer {stack.key}", "Idempotency-Key": what, **options.pop("headers", {})},
        **options,
    ) as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert (answer.status, problem["status"], problem["type"]) == (status, status, f"urn:estafette:problem:{word}")
    assert at in [fault["at"] for fault in problem.get("faults", [{"at": ""}])]
    assert await _stored(storage) == before


async def test_no_key_an_unknown_key_and_a_wrong_scope_store_nothing(stack: Stack, storage: Any) -> None:
    read_only = await stack.new_key("demo", "read")
    before = await _stored(storage)

    none = await stack.call("POST", "/v1/jobs", job("a@b.test"), headers={"Authorization": ""})
    unknown = await stack.call("POST", "/v1/jobs", job("a@b.test"), key="est_zut_zut")
    scope = await stack.call("POST", "/v1/jobs", job("a@b.test"), key=read_only)

    assert (none[0], none[1]["type"]) == (401, "urn:estafette:problem:no_key")
    assert (unknown[0], unknown[1]["type"]) == (401, "urn:estafette:problem:unknown_key")
    assert (scope[0], scope[1]["type"]) == (403, "urn:estafette:problem:missing_scope")
    assert await _stored(storage) == before


async def test_another_tenants_job_is_as_unknown_as_none(stack: Stack, storage: Any) -> None:
    stranger = await stack.new_key("stranger", "send,read,suppress,admin")
    content = {name: value for name, value in job().items() if name != "recipients"}
    _, opened = await stack.call("POST", "/v1/jobs?state=open", content)
    before = await _stored(storage)
    ndjson = {"Content-Type": "application/x-ndjson"}
    mine, none = opened["id"], opened["id"][:-2] + "00"

    answers = {}
    for job_id in (mine, none):
        answers[job_id] = [
            (await stack.call("GET", f"/v1/jobs/{job_id}", key=stranger))[0],
            (await stack.call("GET", f"/v1/messages/{job_id}.0", key=stranger))[0],
            (await stack.call("POST", f"/v1/jobs/{job_id}/start", key=stranger))[0],
            (await stack.call("POST", f"/v1/jobs/{job_id}/recipients", key=stranger, data=b"{}", headers=ndjson))[0],
        ]

    assert answers[mine] == answers[none] == [404] * 4
    assert (await stack.call("GET", f"/v1/jobs/{mine}"))[1]["state"] == "open"
    assert await _stored(storage) == before


async def test_a_from_domain_that_is_not_the_tenants_is_refused(stack: Stack, storage: Any) -> None:
    stranger = await stack.new_key("stranger", "send")
    # Never started: of a job that runs, services write down more after its last mail.
    content = {name: value for name, value in job().items() if name != "recipients"}
    assert (await stack.call("POST", "/v1/jobs?state=open", content))[0] == 202
    before = await _stored(storage)

    taken = await stack.call("POST", "/v1/jobs", job("a@b.test"), key=stranger)
    nobodys = await stack.call("POST", "/v1/jobs", {**job("a@b.test"), "from": "a@free.example"}, key=stranger)

    assert (taken[0], nobodys[0]) == (403, 403)
    assert taken[1]["type"] == "urn:estafette:problem:unknown_sending_domain"
    assert await _stored(storage) == before


async def test_the_suppression_list_of_another_tenant_is_neither_seen_nor_changed(stack: Stack) -> None:
    stranger = await stack.new_key("stranger", "suppress,read")
    path = "/v1/suppressions/shared@list.test"
    await stack.call("PUT", path, json={})

    seen = await stack.call("GET", path, key=stranger)
    await stack.call("DELETE", path, key=stranger)

    assert seen[0] == 404
    assert (await stack.call("GET", path))[0] == 200


async def test_a_path_that_is_none_and_a_method_that_is_not_offered_are_problems(stack: Stack) -> None:
    missing = await stack.call("GET", "/v1/nothing")
    method = await stack.call("PATCH", "/v1/jobs")

    assert (missing[0], missing[1]["status"]) == (404, 404)
    assert (method[0], method[1]["status"]) == (405, 405)


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "rubbish", "identity, gzip", "x" * 4000])
@pytest.mark.parametrize("path", ["/v1/jobs", "/nowhere", "/v1/suppressions/a@b.test", "/u/x"])
async def test_a_packed_body_is_refused_before_key_and_route(stack: Stack, coding: str, path: str) -> None:
    status, problem = await stack.call("POST", path, key="", data=b"\x1f\x8b", headers={"Content-Encoding": coding})

    assert (status, problem["type"]) == (415, "urn:estafette:problem:unsupported_media_type")


@pytest.mark.parametrize(
    ("media", "body", "stopped", "appended"),
    [
        ("application/x-ndjson", b'{"email": "first@b.test"}\n' + b"{}\n" * 200_000, "too_many_faults", 1),
        ("text/csv", b"email,name\nfirst@b.test,A\n" + b"x\n" * 200_000, "too_many_faults", 1),
        ("text/csv", b"mail\n" + b"a@b.test\n" * 1_000, "it has 'mail'", 0),
        ("application/x-ndjson", b"\n" * 2_000_000, "too_many_blank_lines", 0),
    ],
)
async def test_an_upload_of_nothing_stops_and_says_so_and_others_are_answered(
    stack: Stack, media: str, body: bytes, stopped: str, appended: int
) -> None:
    content = {name: value for name, value in job().items() if name != "recipients"}
    _, opened = await stack.call("POST", "/v1/jobs?state=open", content)
    uploading = asyncio.create_task(
        stack.call(
            "POST", f"/v1/jobs/{opened['id']}/recipients", data=io.BytesIO(body), headers={"Content-Type": media}
        )
    )
    others = [(await stack.call("GET", "/v1/suppressions"))[0] for _ in range(5)]

    status, answer = await uploading

    assert others == [200] * 5
    if appended:
        assert (status, answer["stopped"], answer["appended"]) == (200, stopped, appended)
    else:
        assert (status, answer["type"]) == (422, "urn:estafette:problem:nothing_appended")
        assert stopped in answer["detail"]
    assert len(answer.get("faults", [])) <= 1_000


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"recipients": [0] * 450_000}, 413),
        ({"variables": {"a": [[]] * 200_000}}, 422),
        ({f"f{n}": 0 for n in range(50_000)}, 422),
        ({"recipients": [{"email": "a@b.test", "x" * 100_000: 1}]}, 422),
        ({"recipients": [{"email": "a@b.test", "variables": {"a": [[]] * 40_000}}]}, 422),
    ],
)
async def test_a_body_of_too_much_is_refused_in_few_words(stack: Stack, fields: dict[str, Any], status: int) -> None:
    body = io.BytesIO(json.dumps({**job("a@b.test"), **fields}).encode())
    answered, problem = await stack.call("POST", "/v1/jobs", data=body, headers=JSON)

    assert answered == status
    assert len(str(problem)) < 50_000
