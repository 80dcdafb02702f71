"""An older copy of Redis is put back, and nobody gets a mail twice: what may have been sent ends, unsent."""

import json
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.fakes.smtp_server import SmtpServer, Step
from tests.flows.stack import Stack, job
from tests.servers import RedisServer

EMAILS = [f"u{number}@x.test" for number in range(60)]


class Provider(SmtpServer):
    """Takes every other recipient; the others when it relents."""

    def __init__(self) -> None:
        super().__init__({"RCPT": self.recipient})
        self.relents = False

    def recipient(self, argument: str) -> Step:
        number = int(argument.partition("<u")[2].partition("@")[0])
        return "250 2.1.5 ok" if self.relents or number % 2 == 0 else "451 4.2.0 later"

    def received(self) -> Counter[str]:
        return Counter(rcpt.partition("<")[2].partition(">")[0] for one in self.envelopes for rcpt in one.rcpts)


async def test_after_a_restore_nobody_gets_a_mail_twice_and_the_accounts_close(tmp_path: Path) -> None:
    data, copy = tmp_path / "redis", tmp_path / "copy"
    server = RedisServer(data)
    server.start()
    try:
        async with Provider() as provider:
            environ = {
                "ESTAFETTE_REDIS_URL": server.url,
                "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{provider.port}",
            }
            async with Stack.running(tmp_path / "run", environ) as stack:
                first = await half_sent(stack)
                scheduled = await stack.send("u1000@x.test", send_at=now(days=30))
                with server.client() as client:  # as docs/operations.md says
                    client.config_set("auto-aof-rewrite-percentage", 0)
                    shutil.copytree(data, copy)
                    client.config_set("auto-aof-rewrite-percentage", 100)

                await the_rest_is_sent(stack, provider, first)
                assert (await stack.call("PUT", "/v1/suppressions/u2@x.test", json={}))[0] in (200, 201)
                refused = await stack.console("restore", "--before", now())
                assert "relay is alive" in refused
                await stack.stop()

                server.stop()
                shutil.rmtree(data)
                shutil.copytree(copy, data)
                server.start()
                said = await restored(stack)
                assert (said["messages"], said["stays"]["scheduled_jobs"]) == (len(EMAILS) // 2, 1)
                await stack.start()

                report = await stack.done(first)
                counts = report["counts"]
                assert (counts["delivered"], counts["failed"], counts["pending"]) == (30, 30, 0)
                failed = await stack.events(first, "message.failed")
                assert {one["details"]["reason"] for one in failed} == {"may_have_been_sent"}
                assert (await stack.report(scheduled))["state"] == "scheduled"

                # What was recorded after the copy is lost, and is brought back by whoever heard of it.
                assert (await stack.call("GET", "/v1/suppressions/u2@x.test"))[0] == 404
                assert (await stack.call("PUT", "/v1/suppressions/u2@x.test", json={}))[0] in (200, 201)
                later = await stack.send("u2@x.test", "u4@x.test", "u2000@x.test")
                assert (await stack.done(later))["counts"]["delivered"] == 2

        assert provider.received() == Counter(EMAILS) + Counter(["u4@x.test", "u2000@x.test"])
    finally:
        server.stop()


async def half_sent(stack: Stack) -> str:
    """A job of which every other message was sent, and the others wait."""
    status, posted = await stack.answered("POST", "/v1/jobs", job(*EMAILS))
    assert status == 202, posted

    async def half() -> bool:
        counts = (await stack.report(posted["id"]))["counts"]
        return bool(counts["delivered"] == 30 and counts["deferred"]["current"] == 30)

    await stack.until(half)
    return str(posted["id"])


async def the_rest_is_sent(stack: Stack, provider: Provider, first: str) -> None:
    provider.relents = True
    assert (await stack.done(first))["counts"]["delivered"] == len(EMAILS)


async def restored(stack: Stack) -> Any:
    """What the command says: a look first, and then what it has ended."""

    async def answered() -> Any:
        said = await stack.console("restore", "--before", now(), "--dry-run", "--json")
        assert said.startswith("{") or "a moment ago" in said, said
        return json.loads(said) if said.startswith("{") else None

    looked = await stack.until(answered)
    said = await stack.console("restore", "--before", now(), "--json", "--why", "the disk died")
    ended = json.loads(said[said.index("{\n") :])  # behind the line of the log that tells of it
    assert {**looked, "dry_run": False, "before": ""} == {**ended, "before": ""}
    again = await stack.console("restore", "--before", now(), "--dry-run")
    assert "would end: 0 messages" in again
    return ended


def now(days: int = 0) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()
