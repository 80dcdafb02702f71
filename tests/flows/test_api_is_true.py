"""`/v1/openapi.json` is true of the running API: a fuzzer compares every answer with what the document says of it."""

import asyncio
import base64
import json
import os
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

from shared.redis import keys, redis
from shared.redis.moves import MoveList
from shared.redis.stops import COMPLAINT_RATE, Stop, StopList
from shared.words import events
from tests.flows.stack import HTML, Stack, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
#: Contacts are part of the API.
OWN = {"ESTAFETTE_CONTACTS_PRIVATE": "true"}
#: Of what requests use up: an open job is started once, a domain removed once.
MANY = 20
#: Problems of what is no request for a route of ours: none of them documents it.
BEFORE_ANY_ROUTE = {"bad_request", "not_found", "method_not_allowed", "unsupported_media_type"}
#: Criteria that anybody has.
LYON = {"kind": "field", "field": "town", "test": "equals", "value": "Lyon"}
#: They empty what others read, so they are fuzzed after them.
LAST = ("DELETE /mailbox", "POST /mailbox/empty")
#: Trees of criteria, of which the phase that tries every part of a body with every other knows no end. What is wrong in
#: one is told by tests/postgres/test_segments_http.py.
CRITERIA = ("POST /v1/segments", "PUT /v1/segments/{segment}", "POST /v1/segments/count", "POST /v1/segments/sample")
EVERY_PHASE, NO_COVERAGE = "examples,coverage,fuzzing", "examples,fuzzing"
#: Its answer has no end: `tests/redis/test_live.py`.
ENDLESS = ("GET /v1/events/live",)


async def test_the_document_is_true_of_the_running_api(stack: Stack, tmp_path: Path) -> None:
    document = await described(stack)
    known = await known_values(stack)

    apart = (*CRITERIA, *LAST, *ENDLESS)
    seen = await fuzzed(stack, tmp_path, known, EVERY_PHASE, *(f"--exclude-name={name}" for name in apart))
    seen |= await fuzzed(stack, tmp_path, known, NO_COVERAGE, *(f"--include-name={name}" for name in CRITERIA))
    seen |= await fuzzed(stack, tmp_path, known, EVERY_PHASE, *(f"--include-name={name}" for name in LAST))

    # Nothing was checked where no request got through.
    faults = []
    for name, operation in operations(document).items():
        if name in ENDLESS:
            continue
        statuses = {status for status, _ in seen[name]}
        well = {int(status) for status in operation["responses"] if status < "400"}
        if not well & statuses:
            faults.append(f"{name} was never answered well: {sorted(statuses)}")
        told = {
            word
            for answer in operation["responses"].values()
            for word in answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
        }
        problems = {word for _, word in seen[name] if word is not None} - BEFORE_ANY_ROUTE
        if not problems <= told:
            faults.append(f"{name} answers what it does not document: {problems - told}")
    assert faults == []


async def test_promise_7_every_route_of_the_api_asks_for_its_key(stack: Stack) -> None:
    document = await described(stack)
    operators = await stack.new_key("keyless", "operator")
    of_no_operator = await stack.new_key("other", "send,read,suppress,admin")

    for name, operation in operations(document).items():
        if "security" not in operation:
            continue
        method, path = name.split(" ")
        path = re.sub(r"{\w+}", "0", path)
        of_no_scope = of_no_operator if "`operator`" in operation["description"] else operators
        for key, status, word in (("", 401, "no_key"), ("x", 401, "unknown_key"), (of_no_scope, 403, "missing_scope")):
            answered, problem = await stack.call(method, path, key=key)

            assert (answered, problem["type"]) == (status, f"urn:estafette:problem:{word}"), name


async def described(stack: Stack) -> dict[str, Any]:
    status, document = await stack.call("GET", "/v1/openapi.json")
    assert status == 200
    return dict(document)


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


async def known_values(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """Makes one of everything that a path can name."""
    attachment = {"filename": "a.txt", "content": base64.b64encode(b"bonjour").decode(), "content_type": "text/plain"}
    html = HTML + '<a href="{{ preferences_url }}">choisir</a> <a href="{{ opt_in_url }}">oui</a>'
    html += '<a href="{{ view_url }}">voir</a> <a data-document="Devis" href="https://exemple.fr/d.pdf">devis</a>'
    job_id = await stack.send("ana@api.test", "bo@api.test", html=html, attachments=[attachment])
    opened, paused, startable = await open_jobs(stack), await open_jobs(stack), await startable_jobs(stack)
    for at in range(MANY):
        assert (await stack.call("POST", "/v1/domains", {"domain": f"known-{at}.test"}))[0] == 201
        assert (await stack.call("PUT", f"/v1/suppressions/known-{at}@api.test"))[0] == 201
    taken, rotated = await given_domains(stack), await rotated_domains(stack)
    for one in paused:
        assert (await stack.call("POST", f"/v1/jobs/{one}/pause"))[0] == 200
    await stop_a_tenant(stack)
    operated = await known_to_operators(stack) | await known_report_links(stack, job_id)
    await stack.done(job_id)
    mail = await stack.mail("ana@api.test")
    status, page = await stack.call("GET", f"/mailbox/{mail['id']}/html")
    assert status == 200
    tokens = {kind: re.findall(rf"/{kind}/([\w-]+)", page.decode()) for kind in "aocdpuv"}
    mailed = {"id": [mail["id"]]}
    kept = await kept_mail(stack, mail["return_path"])
    return {
        **{f"/{kind}/{{token}}": {"token": found} for kind, found in tokens.items()},
        "/v1/jobs/{job}": {"job": [job_id, *opened[:1]]},
        "/v1/jobs/{job}/recipients": {"job": opened},
        "/v1/jobs/{job}/start": {"job": startable},
        "/v1/jobs/{job}/pause": {"job": paused[:1]},
        "/v1/jobs/{job}/resume": {"job": paused[1 : MANY // 2]},
        **(operated | await known_changeable(stack) | await known_said(stack)),
        "/v1/stops": {"limit": ["1", "1000"], "after": [""]},
        "/v1/stops/{name}/resume": {"name": [f"job:{one}" for one in paused[MANY // 2 :]]},
        "/v1/stops/{name}/consent": {"name": ["tenant:stopped"]},
        "/v1/messages/{message}": {"message": [f"{job_id}.0", f"{job_id}.1"]},
        "/v1/domains/{domain}": {"domain": [f"known-{at}.test" for at in range(MANY)]},
        "/v1/domains/{domain}/take": {"domain": taken},
        "/v1/domains/{domain}/check": {"domain": rotated[:1]},
        "/v1/domains/{domain}/rotate": {"domain": rotated[:1]},
        "/v1/domains/{domain}/activate": {"domain": rotated[1:]},
        **(await known_rules(stack) | await known_sub_accounts(stack) | await known_templates(stack)),
        **(await known_members(stack) | await known_drops(stack) | await known_contacts(stack)),
        "/v1/suppressions/{address}": {"address": [f"known-{at}@api.test" for at in range(MANY)]},
        "/v1/suppressions": {"limit": ["1", "1000"], "after": [""]},
        "/v1/events": {
            "limit": ["1", "1000"],
            "after": [""],
            "type": ["", "message.delivered"],
            "job": ["", job_id],
            "recipient": ["", "bo@api.test"],
        },
        "/v1/inbound": {"recipient": [mail["return_path"]]},
        "/v1/kept-mail": {"limit": ["1", "100"], "after": [kept]},
        "/v1/kept-mail/{id}": {"id": [kept]},
        "/mailbox": {"before": ["", mail["id"]], "q": ["", "api.test"]},
        "/mailbox/messages.json": {"limit": ["1", "100"], "after": [""], "to": ["", "bo@api.test"]},
        "/mailbox/{id}": mailed,
        "/mailbox/{id}/html": mailed,
        "/mailbox/{id}/source": mailed,
        "/mailbox/{id}/parts/{number}": {**mailed, "number": ["0", "1", "2", "3"]},
    }


async def known_templates(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """Stored templates: one to be read, the others to be put anew and removed."""
    names = [f"known-{at}" for at in range(MANY)]
    for name in names:
        assert (await stack.call("PUT", f"/v1/templates/{name}", {"subject": "s", "text": "t"}))[0] == 201
    return {
        "/v1/templates/{template}": {"template": names},
        "/v1/preview": {"recipient": ["0"]},
        "/v1/templates/{template}/versions": {"template": names[:1]},
        "/v1/templates/{template}/versions/{version}": {"template": names[:1], "version": ["1"]},
    }


async def known_report_links(stack: Stack, job_id: str) -> dict[str, dict[str, list[str]]]:
    """What that job shows, and links to its report: one that is shown, the others to be taken back."""
    path = f"/v1/jobs/{job_id}/report-links"
    made = [await stack.call("POST", path) for _ in range(MANY)]
    assert {status for status, _ in made} == {201}
    return {
        **{f"/v1/jobs/{{job}}/{shown}": {"job": [job_id]} for shown in ("content", "messages", "statistics")},
        "/v1/jobs/{job}/report-links": {"job": [job_id]},
        "/v1/jobs/{job}/report-links/{link}": {"job": [job_id], "link": [link["id"] for _, link in made[1:]]},
        "/r/{token}/report": {"token": [made[0][1]["path"].rpartition("/")[2]]},
    }


async def known_sub_accounts(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """Sub-accounts, half of them suspended, and keys of one to be revoked."""
    names, why = [f"demo-{at}" for at in range(MANY)], {"why": "the fuzzer needs it"}
    for name in names:
        assert (await stack.call("POST", "/v1/sub-accounts", {"name": name}))[0] == 201
    held = names[1 : MANY // 2]
    for name in held:
        assert (await stack.call("POST", f"/v1/sub-accounts/{name}/suspend", why))[0] == 200
    keys_of = f"/v1/sub-accounts/{names[0]}/keys"
    made = [await stack.call("POST", keys_of, {"scopes": ["read"]}) for _ in range(MANY)]
    return {
        "/v1/sub-accounts/{sub_account}/keys": {"sub_account": names[:1]},
        "/v1/sub-accounts/{sub_account}/keys/{api_key}": {
            "sub_account": names[:1],
            "api_key": [answer["id"] for _, answer in made],
        },
        "/v1/sub-accounts/{sub_account}/suspend": {"sub_account": names[MANY // 2 :]},
        "/v1/sub-accounts/{sub_account}/resume": {"sub_account": held},
    }


async def known_members(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """Who is on a list, and whose entry of another keeps them off."""
    people = [f"member-{at}@api.test" for at in range(MANY)]
    assert (await stack.call("POST", "/v1/lists/known/members", {"addresses": people}))[0] == 200
    kept_off = {"reason": "manual", "scope": "list:other"}
    assert (await stack.call("PUT", "/v1/suppressions/member-0@api.test", kept_off))[0] == 201
    return {
        "/v1/lists": {"limit": ["1", "1000"], "after": [""]},
        "/v1/lists/{list}/members": {"list": ["known"], "limit": ["1", "1000"], "after": [""], "state": ["joined"]},
        "/v1/lists/{list}/members/{address}": {"list": ["known", "other"], "address": people},
    }


async def known_drops(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """One that stays, and some to be removed; a tenant may have twenty."""
    passing = [f"passing-{at}" for at in range(MANY // 2)]
    for name in ("staying", *passing):
        made = await stack.call("PUT", f"/v1/drops/{name}", {"kind": "suppressions", "target": "crm"})
        assert made[0] == 201, made
    staying = {"drop": ["staying"]}
    return {
        "/v1/drops/{drop}": staying,
        "/v1/drops/{drop}/run": staying,
        "DELETE /v1/drops/{drop}": {"drop": passing},
    }


async def known_said(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """Who is told, and what was told of people."""
    return await known_webhooks(stack) | await known_imports(stack) | await known_consents(stack)


async def known_webhooks(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """Endpoints that are told nothing: one to be asked for a trial, the others to be changed and removed."""
    body = {"url": "https://hook.invalid/told", "types": ["webhook.disabled"]}
    made = [await stack.call("POST", "/v1/webhooks", body) for _ in range(MANY // 2)]
    assert {status for status, _ in made} == {201}
    ids = [answer["id"] for _, answer in made]
    acts = ("test", "rotate", "replay", "deliveries")
    return {
        **{f"/v1/webhooks/{{webhook}}/{act}": {"webhook": ids[:1]} for act in acts},
        "GET /v1/webhooks/{webhook}": {"webhook": ids[:1]},
        "/v1/webhooks/{webhook}": {"webhook": ids[1:]},
    }


async def known_imports(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """One of the suppression list that has ended, with a line that its report names."""
    kind = {"Content-Type": "text/csv"}
    rows = b"Email;Opt-In Email\nimported@api.test;Non\nno address;Non\n"
    status, brought = await stack.call("POST", "/v1/suppressions/import?id=known", data=rows, headers=kind)
    assert (status, brought["state"]) == (200, "done"), brought
    known = {"import": ["known"]}
    return {"/v1/imports/{import}": known, "/v1/imports/{import}/report": known}


async def known_consents(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """Of whom something is known, and whom the fuzzer lets say something."""
    said = [{"email": f"consent-{at}@api.test", "tracking": "no"} for at in range(MANY)]
    status, stored = await stack.call("POST", "/v1/consents", {"consents": said})
    assert (status, stored["stored"]) == (200, MANY), stored
    addresses = {"address": [one["email"] for one in said]}
    return {"/v1/consents/{address}": addresses, "/v1/consents/{address}/log": addresses}


async def known_contacts(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """Contacts, fields and segments, to be shown and removed, and an import that has ended."""
    people, fields = [f"contact-{at}@api.test" for at in range(MANY)], [f"field_{at}" for at in range(MANY)]
    for field in fields:
        assert (await stack.call("PUT", f"/v1/fields/{field}", {"kind": "text"}))[0] == 201
    for address in people:
        assert (await stack.call("PUT", f"/v1/contacts/{address}", {"fields": {"town": "Lyon"}}))[0] == 201
    saved = [await stack.call("POST", "/v1/segments", {"name": f"s{at}", "criteria": LYON}) for at in range(MANY)]
    assert {status for status, _ in saved} == {201}
    segments = [str(one["segment"]) for _, one in saved]
    kind = {"Content-Type": "text/csv"}
    status, brought = await stack.call("POST", "/v1/contact-imports", data=b"email\nx@api.test\n", headers=kind)
    assert status == 202, brought
    imports = {"import": [str(brought["id"])]}
    return {
        "/v1/contacts": {"limit": ["1", "1000"], "after": ["0"], "q": ["api.test"]},
        "/v1/contacts/{key}": {"key": people[1:], "copy": ["0"]},
        "/v1/contact-changes/{key}": {"key": people[:1], "copy": ["0"]},
        "/v1/contact-timeline/{key}": {"key": people[:1], "copy": ["0"]},
        "/v1/fields/{field}": {"field": fields},
        "/v1/segments/{segment}": {"segment": segments[1:]},
        "/v1/segments/{segment}/versions": {"segment": segments[:1]},
        "/v1/contact-imports": {"limit": ["1", "100"]},
        "/v1/contact-imports/{import}": imports,
        "/v1/contact-imports/{import}/report": imports,
    }


async def known_rules(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """Rules to be shown and deleted."""
    operators = await stack.new_key("house", "operator")
    patterns = [f"*@known-{at}.example" for at in range(MANY)]
    for path, key in (("/v1/suppression-rules", None), ("/v1/installation/suppression-rules", operators)):
        for pattern in patterns:
            assert (await stack.call("PUT", f"{path}/{pattern}", key=key))[0] == 201
    paths = ("/v1/suppression-rules", "/v1/installation/suppression-rules")
    return {
        **{path: {"limit": ["1", "1000"], "after": [""], "matching": ["ana@known-1.example"]} for path in paths},
        **{f"{path}/{{pattern}}": {"pattern": patterns} for path in paths},
        **{f"{path}/import": {"replace": ["false"]} for path in paths},
    }


async def open_jobs(stack: Stack) -> list[str]:
    answers = [await stack.call("POST", "/v1/jobs?state=open", without_recipients()) for _ in range(MANY)]
    assert {status for status, _ in answers} == {202}
    return [answer["id"] for _, answer in answers]


async def startable_jobs(stack: Stack) -> list[str]:
    """Open, and with somebody in each: the fuzzer may empty none of them."""
    opened = await open_jobs(stack)
    for one in opened:
        rows = b'{"email": "ana@start.test"}'
        kind = {"Content-Type": "application/x-ndjson"}
        appended = await stack.call("POST", f"/v1/jobs/{one}/recipients", data=rows, headers=kind)
        assert appended[0] == 200, appended
    return opened


async def known_changeable(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """Jobs that nobody starts."""
    return {"PATCH /v1/jobs/{job}": {"job": await open_jobs(stack)}}


async def given_domains(stack: Stack) -> list[str]:
    operators = await stack.new_key("demo", "admin,operator")
    names = [f"taken-{at}.test" for at in range(MANY)]
    for domain in names:
        given = await stack.call("POST", f"/v1/domains/{domain}/give", {"tenant": "demo"}, key=operators)
        assert given[0] == 200, given
    return names


async def rotated_domains(stack: Stack) -> list[str]:
    names = [f"rotated-{at}.test" for at in range(MANY // 2)]
    for domain in names:
        assert (await stack.call("POST", "/v1/domains", {"domain": domain}))[0] == 201
        assert (await stack.call("POST", f"/v1/domains/{domain}/rotate"))[0] == 200
    return names


async def stop_a_tenant(stack: Stack) -> None:
    """As a breaker does."""
    client = redis.connect((stack.directory / "redis.url").read_text().strip())
    try:
        stop = Stop(COMPLAINT_RATE, "stopped", 1_790_000_000_000, "engine", bad=20, of=20_000)
        await StopList(client).add("tenant:stopped", stop)
    finally:
        await redis.close(client)


async def known_to_operators(stack: Stack) -> dict[str, dict[str, list[str]]]:
    """Sites, tenants and jobs in the state that each action needs, and dead entries."""
    key, why = await stack.new_key("house", "operator"), {"why": "the fuzzer needs it"}
    await stack.new_key("acme", "send")

    async def done(path: str, **body: str) -> None:
        status, answer = await stack.call("POST", path, {**why, **body}, key=key)
        assert status in (200, 202), (path, answer)

    sites, tenants = [f"known-{at}.example" for at in range(MANY)], [f"held-{at}" for at in range(MANY)]
    held, moved = [f"held.{one}" for one in sites], [f"moved.{one}" for one in sites]
    client = redis.connect((stack.directory / "redis.url").read_text().strip())
    try:
        await MoveList(client).know_pools(["reserve"])
        for one in sites:
            await client.hset(keys.rests(), f"{one}\na1", 4_000_000_000_000)
        fact = events.Reactivated(**events.about("demo", 1_790_000_000_000, "a", email="a@api.test"), reason="api")
        fields: dict[str, str | int | bytes] = {"t": "Reactivated", "v": 1, "b": events.encode(fact), "reason": "once"}
        numbers = [(await client.xadd(keys.dead(keys.events(0)), fields)).decode() for _ in range(3 * MANY)]
    finally:
        await redis.close(client)
    for site in held:
        await done(f"/v1/sites/{site}/suspend")
    for site in moved:
        await done(f"/v1/sites/{site}/move", pool="reserve")
    await done("/v1/tenants/acme/link-keys/rotate")  # so that the first generation can be revoked
    for tenant in tenants:
        await stack.console("tenants", "add", tenant)
        await done(f"/v1/tenants/{tenant}/suspend")
    suspended, cancelled, free = await open_jobs(stack), await open_jobs(stack), await open_jobs(stack)
    for one in suspended:
        await done(f"/v1/jobs/{one}/suspend")
    dead = [f"events.0.{number}" for number in numbers]
    return {
        "/v1/sites": {"limit": ["1", "1000"], "after": [""]},
        "/v1/sites/{site}": {"site": held},
        "/v1/sites/{site}/resume": {"site": held},
        "/v1/sites/{site}/lift": {"site": sites},
        "/v1/sites/{site}/move-back": {"site": moved},
        "/v1/tenants/{tenant}/suspend": {"tenant": ["acme"]},
        "/v1/tenants/{tenant}/cancel": {"tenant": ["acme"]},
        "/v1/tenants/{tenant}/resume": {"tenant": tenants},
        "/v1/tenants/{tenant}/link-keys": {"tenant": ["acme"]},
        "/v1/tenants/{tenant}/link-keys/rotate": {"tenant": ["acme"]},
        "/v1/tenants/{tenant}/link-keys/revoke": {"tenant": ["acme"]},
        "/v1/tenants/{tenant}/link-keys/honour": {"tenant": ["acme"]},
        "/v1/jobs/{job}/suspend": {"job": free},
        "/v1/jobs/{job}/unsuspend": {"job": suspended},
        "/v1/jobs/{job}/cancel": {"job": cancelled},
        "/v1/dead": {"limit": ["1", "1000"], "after": [""]},
        "/v1/dead/{entry}": {"entry": dead[:MANY]},
        "/v1/dead/{entry}/replay": {"entry": dead[MANY : 2 * MANY]},
        "/v1/dead/{entry}/drop": {"entry": dead[2 * MANY :]},
    }


async def kept_mail(stack: Stack, return_path: str) -> str:
    """The id of a mail that came to a return path and is no report of any kind."""
    await aiosmtplib.send(
        b"From: someone@exemple.fr\r\nSubject: hello\r\n\r\nIs anybody there?\r\n",
        sender="someone@exemple.fr",
        recipients=[return_path],
        hostname="127.0.0.1",
        port=stack.bounces_port,
        validate_certs=False,  # as mail servers do that encrypt wherever they can
    )

    async def kept() -> str | None:
        status, answer = await stack.call("GET", "/v1/kept-mail")
        assert status == 200
        return answer["mails"][0]["id"] if answer["mails"] else None

    return str(await stack.until(kept))


def without_recipients() -> dict[str, Any]:
    body = job()
    del body["recipients"]
    return body


async def fuzzed(
    stack: Stack, directory: Path, known: dict[str, dict[str, list[str]]], phases: str, *selection: str
) -> defaultdict[str, set[tuple[int, str | None]]]:
    """Runs schemathesis; fails with its report if an answer is not as documented. The statuses seen by operation, each
    with the word of the problem."""
    (directory / "known.json").write_text(json.dumps(known))
    seen = directory / "seen.jsonl"
    seen.write_text("")
    key = await stack.new_key("demo", "send,read,suppress,admin,inbound,operator")
    environ = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.flows.api_hooks",
        "API_KNOWN": str(directory / "known.json"),
        "API_SEEN": str(seen),
        "PYTHONPATH": str(ROOT),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{stack.base}/v1/openapi.json"),
        *("--header", f"Authorization: Bearer {key}", "--checks", CHECKS),
        *("--phases", phases, "--max-examples", "20", "--seed", "1"),
        # How long an answer takes is the machine's: a fsync in each of a thousand calls, on a disk of its own.
        *("--request-timeout", "120"),
        *("--generation-database", "none", "--no-color", "--warnings", "off", "--continue-on-failure", *selection),
        cwd=directory,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    answers: defaultdict[str, set[tuple[int, str | None]]] = defaultdict(set)
    for line in seen.read_text().splitlines():
        name, status, problem = json.loads(line)
        answers[name].add((status, problem))
    return answers
