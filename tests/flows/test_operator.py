"""An operator with the console alone: finds what is stuck, suspends it, moves it, cancels a spammer's job, replays."""

import json
from pathlib import Path
from typing import Any

from shared.redis import keys, redis
from shared.redis.dead import Place
from shared.words import events
from tests.fakes.smtp_server import SmtpServer, Step
from tests.flows.stack import Stack
from tests.flows.stack import job as job_of

EGRESS = """
[source.a1]
address = "127.0.0.1"
helo = "a1.mail.example"
[source.a2]
address = "127.0.0.2"
helo = "a2.mail.example"
[pool.default]
sources = ["a1"]
[pool.reserve]
sources = ["a2"]
"""
EMAILS = [f"u{number}@x.test" for number in range(200)]
REFUSAL = "451 4.7.28 Our system has detected an unusual rate of mail"


class Provider(SmtpServer):
    """Defers everything until it relents."""

    def __init__(self) -> None:
        super().__init__({"RCPT": self.recipient})
        self.relents = False

    def recipient(self, argument: str) -> Step:
        return "250 2.1.5 ok" if self.relents else REFUSAL


async def said(stack: Stack, *words: str) -> Any:
    """What a command answers for scripts."""
    printed = await stack.console(*words, "--json")
    try:
        return json.loads(printed)
    except ValueError:
        raise AssertionError(f"{words}: {printed}") from None


async def test_an_operator_finds_what_is_stuck_acts_and_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "egress.toml").write_text(EGRESS)
    async with Provider() as provider:
        environ = {
            "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{provider.port}",
            "ESTAFETTE_RELAY_EGRESS_FILE": str(tmp_path / "egress.toml"),
            "ESTAFETTE_RELAY_RETRY_SCHEDULE": "3600",
        }
        async with Stack.running(tmp_path / "run", environ) as stack:
            site = f"route:127.0.0.1:{provider.port}"
            job = await stack.send(*EMAILS)

            await finds_the_stuck_provider(stack, site)

            # Suspends it, and moves its queue to another pool.
            assert "suspend" in await stack.console("sites", "suspend", site, "--why", "it defers all we send")
            assert "unknown" not in await stack.console("queue", "move", site, "reserve", "--why", "a1 is blocked")
            assert "suspended" in await stack.console("sites", "show", site)

            await cancels_a_spammers_job(stack)

            # Lets the rest go, by the other pool.
            provider.relents = True
            assert "resume" in await stack.console("sites", "resume", site, "--why", "it relented")
            assert f"{len(EMAILS)} messages" in await stack.console("sites", "requeue", site, "--why", "now")
            assert (await stack.done(job))["counts"]["delivered"] == len(EMAILS)
            assert {one["details"]["source"] for one in await stack.events(job, "message.delivered")} == {"a2"}

            await replays_a_dead_entry(stack, job)
            await follows_a_message(stack, job)

            # And all of it can be audited.
            told = await stack.console("tail", "--fact", "Acted", "--from-start", "--no-follow")
            assert [json.loads(line)["action"] for line in sorted(told.splitlines(), key=_time)] == [
                "suspend", "move", "cancel", "resume", "requeue", "replay",
            ]  # fmt: skip


async def finds_the_stuck_provider(stack: Stack, site: str) -> None:
    """And what it says."""

    async def stuck() -> dict[str, Any] | None:
        found = {one["site"]: one for one in await said(stack, "sites", "list")}
        return found[site] if site in found and found[site]["deferred"] == len(EMAILS) else None

    assert (await stack.until(stuck))["next_attempt"] is not None
    shown = await said(stack, "sites", "show", site)
    assert REFUSAL in [one["reply"] for one in shown["replies"]]
    assert {one["source"] for one in shown["replies"]} == {"a1"}
    assert "none knows it" not in await stack.console("reply", REFUSAL, "--site", "gmail")


async def cancels_a_spammers_job(stack: Stack) -> None:
    """Posted meanwhile: it ends though nothing goes there."""
    await stack.console("tenants", "add", "spammer", "--any-from-domain")
    key = (await stack.console("keys", "create", "--tenant", "spammer", "--scope", "send,read")).split()[-1]
    headers = {"Authorization": f"Bearer {key}"}
    spam = job_of(*EMAILS) | {"from": "Offers <offers@spam.example>"}
    status, posted = await stack.answered("POST", "/v1/jobs", spam, headers=headers)
    assert status == 202, posted
    (listed,) = (await said(stack, "jobs", "list", "--tenant", "spammer"))["jobs"]
    assert listed["id"] == posted["id"]
    assert "cancel" in await stack.console("jobs", "cancel", posted["id"], "--why", "bought addresses")

    async def cancelled() -> dict[str, Any] | None:
        report = await said(stack, "report", posted["id"])
        return report if report["state"] == "done" else None

    counts = (await stack.until(cancelled))["counts"]
    assert (counts["cancelled"]["total"], counts["pending"]) == (len(EMAILS), 0)


async def replays_a_dead_entry(stack: Stack, job: str) -> None:
    await _bury(stack, job)
    (entry,) = await said(stack, "dead", "list")
    assert (entry["reason"], entry["message"]["job"]) == ("KeyError: 'x'", job)
    assert "replay" in await stack.console("dead", "replay", entry["entry"], "--why", "mended in 1.2")
    assert await said(stack, "dead", "list") == []


async def follows_a_message(stack: Stack, job: str) -> None:
    """Through what happened, and through the logs."""
    followed = await said(stack, "message", f"{job}.7")
    assert [one["type"] for one in followed["timeline"]][:3] == [
        "message.accepted", "message.deferred", "message.delivered",
    ]  # fmt: skip
    logs = "".join(file.read_text() for file in (stack.directory / "logs").glob("relay*.log"))
    lines = [line for line in logs.splitlines() if f'"message":"{job}.7"' in line]
    assert {json.loads(line)["event"] for line in lines} >= {"deferred", "delivered"}


def _time(line: str) -> int:
    return int(json.loads(line)["occurred_at"])


async def _bury(stack: Stack, job: str) -> None:
    """What a reader with a fault would have left."""
    client = redis.connect((stack.directory / "redis.url").read_text().strip())
    fact = events.Opened(**events.about_message("demo", job, 7, 1_790_000_000_000, "opened"))
    place = Place("events", 0)
    origin = f"{keys.events(0)} 1-0 {keys.GROUP_REPORTS}"
    fields: dict[str, str | int | bytes] = {
        "t": "Opened",
        "v": 1,
        "b": events.encode(fact),
        "reason": "KeyError: 'x'",
        "origin": origin,
    }
    await client.xadd(place.dead, fields)
    await redis.close(client)
