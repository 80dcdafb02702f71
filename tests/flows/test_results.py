"""Send, open some, click some, fetch each set, send to who did not open; and kill -9 while recipients are taken."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.redis import keys, redis
from shared.words import ids
from tests.flows.accounting import PARTITIONS, Sink, done
from tests.flows.stack import Stack

PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
PEOPLE = [f"p{n}@sets.test" for n in range(6)]
#: Three chunks, the last of them not full.
RECIPIENTS = 1_100
#: Jobs until one is caught between two chunks.
ATTEMPTS = 3


async def _links(stack: Stack, to: str) -> tuple[str, list[str]]:
    """The picture of a mail, and where its links lead."""
    source = await stack.html(await stack.mail(to))
    return re.findall(r'"(http[^"]*/o/[\w-]+)"', source)[0], re.findall(r'"(http[^"]*/c/[\w-]+)"', source)


async def _set(stack: Stack, method: str, path: str, body: Any = None, key: str | None = None) -> list[str]:
    headers = {"Authorization": f"Bearer {key or stack.key}"}
    async with stack.session.request(method, stack.base + path, json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return sorted(json.loads(line)["email"] for line in (await answer.text()).splitlines())


async def test_sets_of_a_job_and_a_second_mail_to_who_did_not_open_the_first(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "run") as stack:
        left = PEOPLE[5]
        first = await stack.send(*PEOPLE, "nobody", PEOPLE[0])
        await stack.done(first)
        picture, _ = await _links(stack, PEOPLE[0])
        await stack.call("GET", picture, headers=PERSON)
        for n, link in ((1, 0), (2, 1)):
            _, links = await _links(stack, PEOPLE[n])
            await stack.call("GET", links[link], headers=PERSON, allow_redirects=False)
        assert (await stack.call("PUT", f"/v1/suppressions/{left}", {"reason": "unsubscribed"}))[0] == 201

        async def counted() -> bool:
            counts = (await stack.report(first))["counts"]
            return bool(counts["opens"]["unique"] == 3 and counts["clicks"]["unique"] == 2)

        await stack.until(counted)
        sets = f"/v1/jobs/{first}/messages?state="
        assert await _set(stack, "GET", f"{sets}delivered") == PEOPLE
        assert await _set(stack, "GET", f"{sets}opened") == PEOPLE[:3]
        assert await _set(stack, "GET", f"{sets}not_opened") == PEOPLE[3:]
        assert await _set(stack, "GET", f"{sets}clicked&link=1") == [PEOPLE[2]]
        assert await _set(stack, "GET", f"{sets}clicked&url=https://exemple.fr/a?x=1%26y=2") == [PEOPLE[1]]
        assert await _set(stack, "GET", f"{sets}not_clicked") == [PEOPLE[0], *PEOPLE[3:]]
        assert await _set(stack, "GET", f"{sets}excluded&reason=invalid_address") == ["nobody"]
        assert await _set(stack, "GET", f"{sets}excluded&reason=duplicate_address") == [PEOPLE[0]]
        neither = {"not": {"or": [{"job": first, "state": "opened"}, {"job": first, "state": "rejected"}]}}
        assert await _set(stack, "POST", "/v1/results", neither) == PEOPLE[3:]

        body = {
            "from": "Chouette <news@exemple.fr>",
            "subject": "Encore",
            "text": "Encore nous",
            "recipients_from": {"job": first, "state": "not_opened"},
        }
        once = {"Idempotency-Key": "encore"}
        status, answer = await stack.call("POST", "/v1/jobs", body, headers=once)
        again = await stack.call("POST", "/v1/jobs", body, headers=once)
        assert (status, answer["state"], again) == (202, "selecting", (202, answer))
        report = await stack.done(str(answer["id"]))
        assert report["total"] == 3
        # Who left meanwhile is stopped by the same gate.
        assert (report["counts"]["delivered"], report["counts"]["suppressed"]["total"]) == (2, 1)
        second = f"/v1/jobs/{answer['id']}/messages?state="
        assert await _set(stack, "GET", f"{second}delivered") == PEOPLE[3:5]
        assert await _set(stack, "GET", f"{second}suppressed&reason=unsubscribed") == [left]

        both = {"and": [{"job": first, "state": "delivered"}, {"not": {"job": answer["id"], "state": "delivered"}}]}
        assert await _set(stack, "POST", "/v1/results", both) == [*PEOPLE[:3], left]

        printed = await stack.console("jobs", "messages", first, "--state", "clicked", "--format", "csv")
        assert [line.split(",")[1] for line in printed.split()] == ["email", PEOPLE[1], PEOPLE[2]]

        # A job of another tenant is not there.
        key = await stack.new_key("other", "send")
        status, problem = await stack.call("POST", "/v1/jobs", body, key=key)
        assert status == 422
        assert [fault["at"] for fault in problem["faults"]] == ["$.recipients_from.job"]
        key = await stack.new_key("other", "read")
        assert (await stack.call("GET", f"/v1/jobs/{first}/messages", key=key))[0] == 404


@pytest.mark.parametrize("victim", ["queueing", "redis"])
async def test_promise_1_kill_9_while_recipients_are_taken_from_a_set_doubles_and_loses_nobody(
    tmp_path: Path, victim: str
) -> None:
    async with Sink() as sink:
        environ = {
            "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}",
            "ESTAFETTE_RELAY_LEASE_MS": "15000",
            # The second chunk is taken when the first is queued, so there is a time between them.
            "ESTAFETTE_QUEUEING_MAX_INTAKE_CHUNKS": "1",
        }
        async with Stack.running(tmp_path / "run", environ) as stack:
            # Two jobs that nothing is sent of, and in both of them a third of the people.
            later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
            wanted = [f"u{n}@sets.test" for n in range(RECIPIENTS)]
            third = RECIPIENTS // 3
            sources = [await stack.send(*part, send_at=later) for part in (wanted[: 2 * third], wanted[third:])]
            jobs: list[str] = []
            taken = RECIPIENTS
            while taken == RECIPIENTS and len(jobs) < ATTEMPTS:
                job_id, taken = await _killed_between_chunks(stack, sources, victim, f"encore {len(jobs)}")
                jobs.append(job_id)
            reports = [await stack.until(partial(done, stack, one), 300) for one in jobs]

    delivered = sink.delivered()
    assert 0 < taken < RECIPIENTS
    assert set(delivered) == set(wanted)
    assert {(one["total"], one["counts"]["delivered"]) for one in reports} == {(RECIPIENTS, RECIPIENTS)}
    if victim == "queueing":
        assert set(delivered.values()) == {len(jobs)}


async def _killed_between_chunks(stack: Stack, sources: Sequence[str], victim: str, key: str) -> tuple[str, int]:
    """A job that takes who was selected for any of these; how many it had when the victim was killed."""
    body = {
        "from": "Chouette <news@exemple.fr>",
        "subject": "Encore",
        "text": "Encore nous",
        "recipients_from": {"or": [{"job": one, "state": "selected"} for one in sources]},
    }
    client: Any = redis.connect((stack.directory / "redis.url").read_text().strip())
    try:
        status, answer = await stack.answered("POST", "/v1/jobs", body, headers={"Idempotency-Key": key})
        assert status == 202, answer
        job_id = str(answer["id"])
        name = keys.job(ids.job_partition(job_id, PARTITIONS), job_id)
        while not int(await client.hget(name, "total")):  # noqa: ASYNC110 - the others' job, in Redis
            await asyncio.sleep(0.002)
        # It stands still while we see that it is between two chunks.
        queueing = stack.pid_of("queueing")
        os.kill(queueing, signal.SIGSTOP)
        try:
            taken = int(await client.hget(name, "total"))
            if taken < RECIPIENTS:
                stack.kill(victim)
        finally:
            os.kill(queueing, signal.SIGCONT)
        return job_id, taken
    finally:
        await redis.close(client)
