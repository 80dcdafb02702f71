"""What brings relays down ends, is named, and takes nobody with it; what hangs is killed and started again.

Each relay here is a process of its own under a supervisor, and the poison is real: the process dies, or does not turn
any more, each time it makes that mail (`poison/sitecustomize.py`).
"""

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.redis import redis
from shared.redis.tenants import Tenants
from tests.fakes.smtp_server import Envelope, SmtpServer
from tests.flows.stack import Stack, job

HOOK = Path(__file__).with_name("poison")
ROOT = Path(__file__).parents[2]
#: Three deaths and what each waits for: starts on a busy machine, and leases that end.
PATIENCE_S = 300


def _environ(sink: SmtpServer, **more: str) -> dict[str, str]:
    return {
        "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}",
        "ESTAFETTE_RELAY_LEASE_MS": "2000",
        "ESTAFETTE_RELAY_SIGNING_PROCESSES": "0",
        "ESTAFETTE_LIFECYCLE_HANG_SECONDS": "6",
        "PYTHONPATH": os.pathsep.join((str(HOOK), str(ROOT), os.environ.get("PYTHONPATH", ""))),
        **more,
    }


def _recipient(envelope: Envelope) -> str:
    return envelope.rcpts[0].partition("<")[2].partition(">")[0]


def _taken(sink: SmtpServer) -> Counter[str]:
    return Counter(map(_recipient, sink.envelopes))


async def _another_tenant(stack: Stack, name: str) -> dict[str, str]:
    """The header of a key of it."""
    client = redis.connect((stack.directory / "redis.url").read_text().strip())
    try:
        await Tenants(client).create(name, any_from_domain=True)
        key = (await Tenants(client).create_key(name, ("send", "read")))[1]
    finally:
        await redis.close(client)
    return {"Authorization": f"Bearer {key}"}


async def _send(stack: Stack, *recipients: str, headers: dict[str, str] | None = None) -> str:
    sender = {"from": "Autre <news@autre.example>"} if headers else {}  # a domain has one tenant
    status, answer = await stack.call("POST", "/v1/jobs", job(*recipients, **sender), headers=headers or {})
    assert status == 202, answer
    return str(answer["id"])


async def _counts(stack: Stack, job_id: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The counts of a job once it is done."""

    async def done() -> dict[str, Any] | None:
        with suppress(Exception):
            status, report = await stack.call("GET", f"/v1/jobs/{job_id}", headers=headers or {})
            if status == 200 and report["state"] == "done":
                return dict(report["counts"])
        return None

    return await stack.until(done, PATIENCE_S)


async def _timeline(stack: Stack, message: str) -> list[dict[str, Any]]:
    status, answer = await stack.call("GET", f"/v1/messages/{message}")
    assert status == 200
    return list(answer["timeline"])


@pytest.mark.parametrize("kind", ["poison", "hang"])
async def test_a_message_that_brings_relays_down_fails_after_three_and_its_neighbours_arrive(
    tmp_path: Path, kind: str
) -> None:
    neighbours = [f"n{number}@other.test" for number in range(200)]
    async with SmtpServer() as sink, Stack.running(tmp_path / "run", _environ(sink)) as stack:
        other = await _another_tenant(stack, "other")

        bad = await _send(stack, f"{kind}@bad.test")
        good = await _send(stack, *neighbours, headers=other)
        counts, failed = await _counts(stack, good, other), await _counts(stack, bad)
        timeline = await _timeline(stack, f"{bad}.0")
        taken_over = [said for said in stack.logged("relay", "taken_over") if said["job"] == bad]
        errors = stack.logged("relay", "failed")

    assert counts["delivered"] == len(neighbours)
    assert set(_taken(sink)) == set(neighbours)
    assert (failed["failed"], failed["bounced"]["total"]) == (1, 0)
    assert timeline[-1]["type"] == "message.failed"
    assert timeline[-1]["details"]["reason"] == "brought_relay_down"
    assert [(said["take_overs"], said["next"]) for said in taken_over] == [(1, "again"), (2, "alone"), (3, "failed")]
    assert {(said["tenant"], said["message"]) for said in taken_over} == {("demo", f"{bad}.0")}
    assert [(said["tenant"], said["job"], said["level"]) for said in errors] == [("demo", bad, "error")]


async def test_two_thousand_that_bring_relays_down_do_not_stop_the_others(tmp_path: Path) -> None:
    neighbours = [f"n{number}@other.test" for number in range(200)]
    async with SmtpServer() as sink, Stack.running(tmp_path / "run", _environ(sink)) as stack:
        other = await _another_tenant(stack, "other")

        await _send(stack, *(f"poison{number}@bad.test" for number in range(2_000)))
        good = await _send(stack, *neighbours, headers=other)
        counts = await _counts(stack, good, other)
        deaths = (stack.directory / "run.log").read_text().count("relay was killed by SIGKILL")

    assert counts["delivered"] == len(neighbours)
    assert deaths <= 40  # by far not one for each


async def test_a_relay_that_is_stopped_like_a_hanging_one_is_killed_and_started_again(tmp_path: Path) -> None:
    async with SmtpServer() as sink, Stack.running(tmp_path / "run", _environ(sink)) as stack:
        pid = stack.pid_of("relay")

        os.kill(pid, signal.SIGSTOP)
        sent = await _send(stack, *(f"n{number}@other.test" for number in range(50)))
        counts = await _counts(stack, sent)
        told = (stack.directory / "run.log").read_text()

    assert counts["delivered"] == 50
    assert "relay hangs and is killed" in told
    assert "http hangs" not in told


async def test_two_deaths_that_no_message_is_to_blame_for_lose_none(tmp_path: Path) -> None:
    async with SmtpServer({"DOT": (0.05, "250 2.0.0 taken")}) as sink:
        environ = _environ(sink, ESTAFETTE_RELAY_CONNECTIONS_PER_SITE="2")
        async with Stack.running(tmp_path / "run", environ) as stack:
            sent = await _send(stack, *(f"n{number}@other.test" for number in range(100)))
            for taken in (5, 25):
                await stack.until(partial(_has, sink, taken), PATIENCE_S)
                stack.kill("relay")
                await asyncio.sleep(0.1)

            counts = await _counts(stack, sent)

    assert (counts["delivered"], counts["failed"]) == (100, 0)


async def _has(sink: SmtpServer, taken: int) -> bool:
    return len(sink.envelopes) >= taken
