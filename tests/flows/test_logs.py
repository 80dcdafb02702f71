"""The logs of a running instance: what is in none of them, and that it would be found."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from tests.flows.stack import Stack, job

#: Secrets of each kind, by what the reader calls them; `known` is what the test has sent.
PLANTED = {
    "a token of a link": b"GET /u/bAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "a private key": b"-----BEGIN RSA PRIVATE KEY-----",
    "a password in a URL": b"redis://:hunter2@127.0.0.1:6379",
    "the signed name of a message": b"b-0123456789abcdefghijklmnopqrstuv0123456",
    "known secret": b"the code is c4n4ry-of-a-variable",
}


async def test_a_secret_in_any_log_of_an_instance_is_found(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        await stack.send("ana@exemple.fr", variables={"code": "c4n4ry-of-a-variable"})
        assert stack.secrets_in_logs() == []

        logs = [*sorted((tmp_path / "logs").glob("*.log")), tmp_path / "run.log"]
        assert {"http.log", "relay.log", "queueing.log", "redis.log", "run.log"} <= {log.name for log in logs}
        for log in logs:
            for kind, planted in PLANTED.items():
                before = log.stat().st_size
                with log.open("ab") as out:
                    out.write(b'{"said": "' + planted + b'"}\n')

                [place, *more] = stack.secrets_in_logs()

                assert kind in place
                assert log.name in place
                assert all(log.name in other for other in more)  # of one line, by another of its shapes
                os.truncate(log, before)


async def test_what_goes_wrong_with_secrets_at_every_door_leaves_none_in_a_log(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        code = "c4n4ry-of-a-variable"
        sent = job("ana@exemple.fr", subject="A c4n4ry subject {{ code }}", variables={"code": code})
        assert (await stack.call("POST", "/v1/jobs", sent))[0] == 202
        stack.secrets.update((code.encode(), b"c4n4ry"))
        for path, headers in (
            (f"/u/{code * 5}", {}),
            (f"/c/{code}?{code}", {"Cookie": f"session={code}"}),
            (f"/v1/jobs/{code}", {"Authorization": f"Basic {code}"}),
            (f"/mailbox/{code}", {"Referer": f"https://x.example/{code}"}),
        ):
            status, _ = await stack.call("GET", path, headers=headers)
            assert 400 <= status < 500
        for body in (f'{{"subject": "{code}', f'{{"{code}": 1}}', f'["{code}"]'):
            headers = {"Content-Type": "application/json", "Idempotency-Key": code}
            assert (await stack.call("POST", "/v1/jobs", data=body, headers=headers))[0] in (400, 422)
        await stack.done((await stack.call("POST", "/v1/jobs", sent))[1]["id"])
        stack.kill("relay")
        await stack.until(stack.is_ready)


#: Lines about a whole job, which name no message.
OF_A_JOB = {"job_stored", "job_started", "started", "finished"}


def lines_about(directory: Path, job_id: str) -> list[dict[str, Any]]:
    """All lines of all processes that have the job's id anywhere, in the order of time."""
    texts = [log.read_text() for log in (directory / "logs").glob("*.log")]
    said = [json.loads(line) for text in texts for line in text.splitlines() if line[:1] == "{" and job_id in line]
    return sorted(said, key=lambda line: str(line["at"]))


def delivered(directory: Path) -> set[str]:
    """The messages that a relay's log, moved away or not, says are delivered."""
    texts = [file.read_text() for file in directory.glob("relay.log*")]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    return {line["message"] for line in lines if line["event"] == "delivered"}


async def test_one_message_is_followed_through_all_logs_by_its_id(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        sent, named = job("greylist-1@leaves.test"), {"X-Request-Id": "order-4711"}
        first = (await stack.call("POST", "/v1/jobs", sent, headers=named))[1]["id"]
        second = await stack.send("bounce-later-1@leaves.test")
        await stack.done(first)
        leave = (await stack.mail("greylist-1@leaves.test"))["one_click"]
        assert (await stack.call("POST", leave, data={"List-Unsubscribe": "One-Click"}))[0] == 200

        async def listed() -> list[dict[str, Any]]:
            ones = stack.logged("suppression", "listed")
            return ones if {line["job"] for line in ones} == {first, second} else []

        await stack.until(listed)

        words = {}
        for job_id in (first, second):
            about = lines_about(tmp_path, job_id)
            assert [
                line for line in about if f"{job_id}.0" != line.get("message") and line["event"] not in OF_A_JOB
            ] == []
            words[job_id] = [(line["process"], line["event"]) for line in about if "message" in line]
        assert sorted(words[first]) == sorted(
            [
                ("queueing", "queued"),
                ("relay", "deferred"),
                ("relay", "delivered"),
                ("http", "unsubscribed"),
                ("suppression", "listed"),
            ]
        )
        assert sorted(words[second]) == sorted(
            [
                ("queueing", "queued"),
                ("relay", "delivered"),
                ("bounces", "bounced"),
                ("suppression", "listed"),
            ]
        )
        assert (await stack.report(first))["request"] == "order-4711"
        of_request = [line for line in lines_about(tmp_path, first) if line.get("request") == "order-4711"]
        assert [line["event"] for line in of_request] == ["job_stored", "queued"]


async def test_logs_that_grow_are_moved_away_while_lines_come_and_none_is_lost(tmp_path: Path) -> None:
    async with Stack.running(tmp_path, {"ESTAFETTE_LOGS_MAX_BYTES": "4096", "ESTAFETTE_LOGS_FILES": "1000"}) as stack:
        for batch in range(3):
            job_id = await stack.send(*(f"u{n}@many{batch}.test" for n in range(100)))
            await stack.done(job_id)

        async with asyncio.timeout(60):
            while len(delivered(tmp_path / "logs")) < 300:  # noqa: ASYNC110 - another process writes them
                await asyncio.sleep(0.1)
        assert len(list((tmp_path / "logs").glob("relay.log*"))) > 2
        assert await stack.stop() == 0
        before_bytes = sum(file.stat().st_size for file in (tmp_path / "logs").iterdir())
        await stack.start()
        assert sum(file.stat().st_size for file in (tmp_path / "logs").iterdir()) >= before_bytes
