"""Lists as people have them, through the front door: one row costs one row, and what cannot be read is quoted."""

from typing import Any

import orjson
import pytest

from tests.flows.stack import Stack, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

CSV = "text/csv"
NDJSON = "application/x-ndjson"


async def _opened(stack: Stack) -> str:
    content = {name: value for name, value in job().items() if name != "recipients"}
    _, opened = await stack.call("POST", "/v1/jobs?state=open", content)
    return str(opened["id"])


async def _append(stack: Stack, body: bytes, media: str, job_id: str = "") -> tuple[int, dict[str, Any]]:
    path = f"/v1/jobs/{job_id or await _opened(stack)}/recipients"
    status, answer = await stack.call("POST", path, data=body, headers={"Content-Type": media})
    return status, answer


@pytest.mark.parametrize(
    ("body", "media"),
    [
        ("E-mail\tprenom\r\na@lists.test\tZoé\r\n".encode("utf-16"), CSV),
        ("sep=;\rAdresse e-mail;prenom;;\ra@lists.test;Zoé;;\r".encode("cp1252"), "text/csv; charset=windows-1252"),
        ("email\tprenom\na@lists.test\tZoé\n".encode(), "text/tab-separated-values; charset=utf-8"),
        ('\ufeff{"email":"\\ta@lists.test\\u200b","variables":{"prenom":"Zoé"}}\n'.encode(), NDJSON),
    ],
)
async def test_a_list_is_read_however_it_was_saved(stack: Stack, body: bytes, media: str) -> None:
    status, answer = await _append(stack, body, media)

    assert (status, answer["appended"], answer["faults"], answer["rejected"]) == (200, 1, [], [])


@pytest.mark.parametrize(
    ("body", "media", "status", "words"),
    [
        (b"Mail;Nom\na@lists.test;Ana\n", CSV, 422, "'Mail', 'Nom'"),
        (b"a@lists.test\nb@lists.test\n", CSV, 422, "'a@lists.test'"),
        (b"", CSV, 422, "no recipient"),
        (b"email,name\n", CSV, 422, "no recipient"),
        (b"\n\n", NDJSON, 422, "no recipient"),
        (b"email,name\n", NDJSON, 422, "malformed"),
        ("email;pr\xe9nom\na@lists.test;Zo\xe9\n".encode("cp1252"), CSV, 422, "byte 0xE9"),
        (b"email\na@lists.test\n", "text/csv; charset=klingon", 415, "'klingon'"),
        (b"email\na@lists.test\n", "text/plain", 415, "text/plain"),
        (b"email,kind\na@lists.test,Personne\n", CSV, 422, "'Personne'"),
    ],
)
async def test_a_list_that_cannot_be_read_is_refused_with_what_was_found(
    stack: Stack, body: bytes, media: str, status: int, words: str
) -> None:
    answered, problem = await _append(stack, body, media)

    assert answered == status
    assert words in problem["detail"]


async def test_a_mark_before_json_is_passed_over(stack: Stack) -> None:
    body = b"\xef\xbb\xbf" + orjson.dumps(job("marked@lists.test"))

    status, answer = await stack.call("POST", "/v1/jobs", data=body, headers={"Content-Type": "application/json"})

    assert (status, answer["accepted"]) == (202, 1)


async def test_a_job_without_recipients_is_not_started_and_may_still_get_some(stack: Stack) -> None:
    job_id = await _opened(stack)
    path = f"/v1/jobs/{job_id}/start"

    answers = [await stack.call("POST", path), await stack.call("POST", path, {"send_at": "2030-01-01T00:00:00Z"})]
    appended = await _append(stack, b"email\na@started.test\n", CSV, job_id)
    started = await stack.call("POST", path)

    assert (answers[0][0], answers[0][1]["type"]) == (409, "urn:estafette:problem:no_recipients")
    assert answers[1][0] in (409, 422)
    assert (appended[0], started[0]) == (200, 202)


async def test_columns_of_no_use_are_named_beside_what_was_taken(stack: Stack) -> None:
    status, answer = await _append(stack, b"email,variables.x,first name,ville\na@lists.test,1,2,3\n", CSV)

    assert (status, answer["appended"]) == (200, 1)
    assert ["'variables.x'" in answer["warnings"][0]["what"], "'first name'" in answer["warnings"][1]["what"]] == [
        True
    ] * 2


async def test_one_wrong_address_of_a_job_is_rejected_and_one_with_dots_is_sent_quoted(stack: Stack) -> None:
    emails = [
        "\tgood@docomo.test\n",
        "a\tb@docomo.test",
        "x" * 255 + "@docomo.test",
        "a..b@docomo.test",
        "c\nd@docomo.test",
    ]

    job_id = await stack.send(*emails)
    report = await stack.done(job_id)

    assert (report["counts"]["delivered"], report["counts"]["rejected"]) == (2, 3)
    # The mailbox, too, has the address without quotes; the header shows how it was written.
    assert b'\r\nTo: "a..b"@docomo.test\r\n' in await stack.source(await stack.mail("a..b@docomo.test"))
