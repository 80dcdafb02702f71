"""A whole instance with contacts: a base is imported, a segment saved, a job sent to it; reports add up."""

import os
import quopri
import signal
from pathlib import Path
from typing import Any

from tests.flows.stack import Stack

OWN = {"ESTAFETTE_CONTACTS_PRIVATE": "true"}
IN_LILLE = {"kind": "field", "field": "town", "test": "equals", "value": "lille"}
#: More than a chunk, so that there is something in between.
PEOPLE = 1_200


def base() -> str:
    """Of the people of Lille one has left, one never agreed, and one has no address that works."""
    lines = [f"p{n}@target.test;P{n};{'Lille' if n % 2 else 'Lens'};Oui;" for n in range(PEOPLE)]
    lines[1] = "p1@target.test;P1;Lille;Non;"
    lines[3] = "p3@target.test;P3;Lille;Oui;Hard"
    return "\n".join(["email;first_name;town;Opt-In Email;Statut Email", *lines, ""])


async def imported(stack: Stack) -> None:
    status, told = await stack.call(
        "POST", "/v1/contact-imports", data=base().encode(), headers={"Content-Type": "text/csv"}
    )
    assert status == 202, told

    async def done() -> bool:
        _, found = await stack.call("GET", f"/v1/contact-imports/{told['id']}")
        return bool(found["state"] == "done" and found["results"]["added"] == PEOPLE)

    await stack.until(done)
    status, _ = await stack.call("PUT", "/v1/contacts/new@target.test", {"fields": {"town": "Lille"}})
    assert status == 201


def body(target: Any, **fields: Any) -> dict[str, Any]:
    return {
        "from": "Chouette <news@exemple.fr>",
        "subject": "Bonjour {{ first_name }}",
        "text": "Bonjour {{ first_name }} de {{ town }} ({{ language }}) {{ unsubscribe_url }}",
        "variables": {"language": "fr"},
        "recipients_from": target,
        **fields,
    }


async def test_a_job_is_sent_to_a_segment_and_whoever_is_killed_nobody_is_lost_or_doubled(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "run", OWN) as stack:
        await imported(stack)
        status, saved = await stack.call("POST", "/v1/segments", {"name": "Lille", "criteria": IN_LILLE})
        assert status == 201
        of_segment = {"kind": "segment", "test": "in", "segments": [saved["segment"]]}
        _, counted = await stack.call("POST", "/v1/segments/count", {"criteria": of_segment})
        selected, addressable = PEOPLE // 2 + 1, PEOPLE // 2 - 2
        assert (counted["contacts"], counted["email"]) == (selected, addressable)

        once = {"Idempotency-Key": "lille"}
        # Neither side lives through the hand-over: contacts are stopped while they are asked, and die then.
        os.kill(stack.pid_of("contacts"), signal.SIGSTOP)
        status, answer = await stack.call("POST", "/v1/jobs", body({"segment": "Lille"}), headers=once)
        assert (status, answer["state"]) == (202, "selecting")
        assert (await stack.call("POST", "/v1/jobs", body({"segment": "Lille"}), headers=once)) == (202, answer)
        await stack.killed_and_back("contacts")
        await stack.killed_and_back("queueing")
        report = await stack.done(str(answer["id"]))

        assert report["contacts"] == {"segment": saved["segment"], "name": "Lille", "version": 1, "selected": selected}
        assert (report["total"], report["unselected"], report["awaited"]) == (selected, None, None)
        counts = report["counts"]
        assert (counts["delivered"], counts["rejected"]) == (addressable, selected - addressable)
        messages = f"/v1/jobs/{answer['id']}/messages?state="
        for reason, who in (("left", "p1"), ("hard", "p3"), ("no_optin", "new")):
            _, found = await stack.call("GET", f"{messages}excluded&reason={reason}")
            assert found["email"] == f"{who}@target.test"  # one line of JSON
        mail = await stack.mail("p7@target.test")
        source = quopri.decodestring(await stack.source(mail)).decode("utf-8", "replace")
        assert mail["subject"] == "Bonjour P7"
        assert "Bonjour P7 de Lille (fr)" in source
        rejected = await stack.events(str(answer["id"]), "message.rejected")
        assert sorted(one["details"]["reason"] for one in rejected) == ["hard", "left", "no_optin"]


async def test_what_is_wrong_with_a_segment_is_told_by_the_job(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "run", OWN) as stack:
        assert (await stack.call("PUT", "/v1/contacts/ana@target.test", {"fields": {"town": "Lille"}}))[0] == 201

        for target, why, what in (
            ({"segment": 99}, "segment_unknown", "no such segment"),
            ({"criteria": {**IN_LILLE, "field": "shop"}}, "segment_unreadable", "$.criteria.field: no such field"),
        ):
            status, answer = await stack.call("POST", "/v1/jobs", body(target))
            assert status == 202
            report = await stack.done(str(answer["id"]))
            assert (report["total"], report["unselected"]) == (0, why)
            assert what in report["unselected_detail"]
        status, problem = await stack.call("POST", "/v1/jobs", body({"segment": 1, "job": "x"}))
        assert status == 422
        assert [fault["at"] for fault in problem["faults"]] == ["$.recipients_from.job"]


async def test_without_contacts_a_job_that_is_sent_to_some_is_refused(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "run") as stack:
        status, problem = await stack.call("POST", "/v1/jobs", body({"segment": 1}))

        assert (status, problem["type"].rpartition(":")[2]) == (409, "contacts_disabled")
