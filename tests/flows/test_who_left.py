"""Who left, bounced, complained or objected, through the front door: what each of them gets from then on, and what not.

The mailbox plays the host: an address that begins with `unknown` is refused, one with `complain` complains.
"""

import re
from typing import Any

import pytest

from tests.flows.stack import Stack, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
#: What is sent to each of them: marketing of two lists, and of none, and a password.
KINDS: dict[str, dict[str, str]] = {
    "news": {"list": "news"},
    "offers": {"list": "offers"},
    "bulk": {},
    "password": {"stream": "transactional"},
}


async def _entries(stack: Stack, address: str) -> set[tuple[str, str]]:
    """Scope and reason of those of e-mail."""
    status, answer = await stack.call("GET", f"/v1/suppressions/{address}")
    shown = answer["entries"] if status == 200 else []
    return {(one["scope"], one["reason"]) for one in shown if one["channel"] == "email"}


async def _listed(stack: Stack, address: str, scope: str, reason: str) -> None:
    async def is_listed() -> bool:
        return (scope, reason) in await _entries(stack, address)

    await stack.until(is_listed)


async def _outcomes(stack: Stack, address: str) -> dict[str, str]:
    """How a mail of each kind ends that is sent now; what arrived is in the mailbox, and nothing else is."""
    before = {mail["id"] for mail in await stack.mails(address)}
    ends = {}
    for kind, fields in KINDS.items():
        job_id = await stack.send(address, subject=kind, **fields)
        await stack.done(job_id)
        ends[kind] = (await stack.facts(f"{job_id}.0"))[-1]
    arrived = [mail["subject"] for mail in await stack.mails(address) if mail["id"] not in before]
    assert sorted(arrived) == sorted(kind for kind, end in ends.items() if end == "delivered")
    return ends


def _ends(*suppressed: str) -> dict[str, str]:
    return {kind: "suppressed" if kind in suppressed else "delivered" for kind in KINDS}


async def test_who_leaves_a_list_gets_the_others_and_their_password(stack: Stack) -> None:
    await stack.send("reader@left-list.test", list="news")
    mail = await stack.mail("reader@left-list.test")

    left = await stack.call("POST", mail["one_click"], data=ONE_CLICK)
    await _listed(stack, "reader@left-list.test", "list:news", "unsubscribed")

    assert left[0] == 200
    assert await _outcomes(stack, "reader@left-list.test") == _ends("news")


async def test_who_leaves_marketing_on_the_page_gets_their_password_alone(stack: Stack) -> None:
    await stack.send("reader@left-all.test", html="<p>{{ preferences_url }}</p>")
    mail = await stack.mail("reader@left-all.test")
    source = (await stack.source(mail)).decode().replace("=\r\n", "").replace("=3D", "=")
    (page,) = set(re.findall(rf"{stack.base}/p/[\w-]+", source))

    left = await stack.call("POST", page, data={"leave": "all", "by": "page"}, headers=PERSON)
    await _listed(stack, "reader@left-all.test", "marketing", "unsubscribed")

    assert left[0] == 200
    assert await _outcomes(stack, "reader@left-all.test") == _ends("news", "offers", "bulk")


async def test_who_does_not_exist_gets_nothing_at_all(stack: Stack) -> None:
    await stack.done(await stack.send("unknown.ben@gone.test", stream="transactional"))

    await _listed(stack, "unknown.ben@gone.test", "all", "hard_bounce")

    assert await _outcomes(stack, "unknown.ben@gone.test") == _ends(*KINDS)


async def test_who_complains_gets_no_marketing_of_any_list_and_their_password(stack: Stack) -> None:
    await stack.send("complain-news@angry.test", list="news")

    await _listed(stack, "complain-news@angry.test", "marketing", "complaint")

    ends = await _outcomes(stack, "complain-news@angry.test")
    assert ends == _ends("news", "offers", "bulk")


async def test_who_objects_while_their_mails_wait_gets_their_password_alone(stack: Stack) -> None:
    jobs = {kind: await _paused(stack, "objects@waits.test", **fields) for kind, fields in KINDS.items()}

    put, _ = await stack.call("PUT", "/v1/consents/objects@waits.test", {"objected": "yes"})
    shown = await _entries(stack, "objects@waits.test")
    refused, problem = await stack.call("DELETE", "/v1/suppressions/objects@waits.test")
    ends = {}
    for kind, job_id in jobs.items():
        await stack.call("POST", f"/v1/jobs/{job_id}/resume")
        await stack.done(job_id)
        ends[kind] = (await stack.facts(f"{job_id}.0"))[-1]
    taken_back, _ = await stack.call("PUT", "/v1/consents/objects@waits.test", {"objected": "no"})

    assert (put, taken_back) == (200, 200)
    assert shown == {("marketing", "objected")}
    assert (refused, problem["type"].rpartition(":")[2]) == (409, "suppression_protected")
    assert ends == _ends("news", "offers", "bulk")
    assert await _entries(stack, "objects@waits.test") == set()


async def _paused(stack: Stack, *addresses: str, **fields: Any) -> str:
    """A job of these recipients, all of them in the queues of the relay, which holds them back."""
    content = {name: value for name, value in job(**fields).items() if name != "recipients"}
    job_id = str((await stack.call("POST", "/v1/jobs?state=open", content))[1]["id"])
    rows = "email,prenom\n" + "".join(f"{address},Ana\n" for address in addresses)
    csv = {"Content-Type": "text/csv"}
    await stack.call("POST", f"/v1/jobs/{job_id}/recipients", data=rows.encode(), headers=csv)
    await stack.call("POST", f"/v1/jobs/{job_id}/pause")
    await stack.relay_knows_stop(f"job:{job_id}")
    await stack.call("POST", f"/v1/jobs/{job_id}/start")

    async def queued() -> bool:
        return bool((await stack.report(job_id))["counts"]["accepted"] == len(addresses))

    await stack.until(queued)
    return job_id
