"""Twenty thousand are queued, and some of them leave, object or withdraw: what waits for them honours it.

How soon it does so with a hundred thousand is measured by `python -m loadtests.leaving`.
"""

import re
from functools import partial

import pytest

from tests.flows.stack import Stack, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUED = 20_000
#: Of them so many each leave, withdraw, object, and do nothing: those whose turn is first.
FEW = 5
PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
HTML = '<p><a href="https://exemple.fr/a">a</a> {{ preferences_url }}</p>'
LEAVE, WITHDRAW, OBJECT, STAY = ([f"{word}{number}@many.test" for number in range(FEW)] for word in "lwos")


def _link(html: str, path: str) -> str:
    found = re.search(rf"https?://[^\s\"<]*/{path}/[A-Za-z0-9_-]+", html)
    assert found is not None
    return found[0]


async def _queued(stack: Stack, addresses: list[str]) -> str:
    """A job that is paused, with all of them in the queues of the relay."""
    content = {name: value for name, value in job(html=HTML).items() if name != "recipients"}
    job_id = str((await stack.call("POST", "/v1/jobs?state=open", content))[1]["id"])
    rows = "email,prenom\n" + "".join(f"{address},Ana\n" for address in addresses)
    csv = {"Content-Type": "text/csv"}
    status, _ = await stack.call("POST", f"/v1/jobs/{job_id}/recipients", data=rows.encode(), headers=csv)
    assert status == 200
    await stack.call("POST", f"/v1/jobs/{job_id}/pause")
    await stack.relay_knows_stop(f"job:{job_id}")
    await stack.call("POST", f"/v1/jobs/{job_id}/start")

    async def all_queued() -> bool:
        return bool((await stack.report(job_id))["counts"]["accepted"] == len(addresses))

    await stack.until(all_queued)
    return job_id


async def _relay_knows_withdrawn(stack: Stack, people: int) -> None:
    """The relay looks four times a second who withdrew, and says in its metrics how many it knows."""
    port = stack.logged("relay", "serving_metrics")[-1]["port"]

    async def known() -> bool:
        async with stack.session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            found = re.search(r"^estafette_untracked_marks ([0-9.e+]+)$", await answer.text(), re.MULTILINE)
        return found is not None and float(found[1]) >= people

    await stack.until(known)


async def test_promise_4_who_leaves_withdraws_or_objects_while_twenty_thousand_are_queued(stack: Stack) -> None:
    few = [*LEAVE, *WITHDRAW, *OBJECT, *STAY]
    first = await stack.send(*few, html=HTML)
    await stack.done(first)
    mails = {address: await stack.mail(address) for address in few}
    job_id = await _queued(stack, [*few, *(f"r{number}@many.test" for number in range(QUEUED - len(few)))])

    for address in LEAVE:
        status, _ = await stack.call("POST", mails[address]["one_click"], data={"List-Unsubscribe": "One-Click"})
        assert status == 200
    for address in WITHDRAW:
        page = _link(await stack.html(mails[address]), "p")
        status, _ = await stack.call("POST", page, data={"tracking": "no", "by": "page"}, headers=PERSON)
        assert status == 200
    for address in OBJECT:
        status, _ = await stack.call("PUT", f"/v1/consents/{address}", {"objected": "yes"})
        assert status == 200
    for address in (*LEAVE, *OBJECT):
        await stack.until(partial(_is_listed, stack, address))
    await _relay_knows_withdrawn(stack, FEW)
    for address in (*WITHDRAW, *STAY):
        html = await stack.html(mails[address])
        await stack.call("GET", _link(html, "o"), headers=PERSON)
        await stack.call("GET", mails[address]["links"][0], headers=PERSON, allow_redirects=False)
    await stack.call("POST", f"/v1/jobs/{job_id}/resume")

    ends = {}
    for ordinal, address in enumerate(few):
        ends[address] = await stack.until(partial(_end, stack, f"{job_id}.{ordinal}"))
    await stack.call("POST", f"/v1/jobs/{job_id}/cancel")
    assert ends == {
        **dict.fromkeys((*LEAVE, *OBJECT), "suppressed"),
        **dict.fromkeys((*WITHDRAW, *STAY), "delivered"),
    }
    for address in (*LEAVE, *OBJECT):
        assert len(await stack.mails(address)) == 1
    for address in (*WITHDRAW, *STAY):
        _, second = await stack.mails(address)
        html = await stack.html(second)
        assert ("/o/" not in html) == (address in WITHDRAW)
        assert ('href="https://exemple.fr/a"' in html) == (address in WITHDRAW)
    await _nothing_is_recorded_of_who_withdrew(stack, first, few)


async def _is_listed(stack: Stack, address: str) -> bool:
    return (await stack.call("GET", f"/v1/suppressions/{address}"))[0] == 200


async def _end(stack: Stack, message_id: str) -> str | None:
    facts = await stack.facts(message_id)
    return next((fact for fact in facts if fact in ("suppressed", "delivered", "bounced", "failed")), None)


async def _nothing_is_recorded_of_who_withdrew(stack: Stack, first: str, few: list[str]) -> None:
    """Once what those did who track is known: all of it was done in the same second."""
    about = {address: f"{first}.{ordinal}" for ordinal, address in enumerate(few)}

    async def known() -> bool:
        found = [await stack.facts(about[address]) for address in STAY]
        return all({"clicked", "opened"} <= set(facts) for facts in found)

    await stack.until(known)
    for address in WITHDRAW:
        assert {"clicked", "opened"}.isdisjoint(await stack.facts(about[address]))
