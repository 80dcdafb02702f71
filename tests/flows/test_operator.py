"""An operator's day, with the console alone: each command is typed as `docs/operations.md` writes it.

Two providers, of which one is stuck: it blocks an address of ours. Among what waits there is the mail of a spammer.
"""

import asyncio
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.redis import keys, redis
from shared.redis.dead import Place
from shared.words import events, ids
from tests.fakes.dns_server import DnsServer
from tests.fakes.smtp_server import SmtpServer, Step
from tests.flows.stack import Stack
from tests.flows.stack import job as job_of

WRITTEN = (Path(__file__).resolve().parents[2] / "docs/operations.md").read_text("utf-8")
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
ZONE = """
stuck.test. 300 IN MX 10 gmail-smtp-in.l.google.com.
gmail-smtp-in.l.google.com. 300 IN A 127.0.0.11
other.test. 300 IN MX 10 mx.other.test.
mx.other.test. 300 IN A 127.0.0.12
"""
STUCK = [f"u{number}@stuck.test" for number in range(40)]
OTHERS = [f"u{number}@other.test" for number in range(20)]
#: Of which message of the job the way is followed.
FOLLOWED = 7
#: No shaping rule knows it: each mail is tried, and waits for another attempt.
REFUSAL = "451 4.3.0 Nothing of yours today"


class Provider(SmtpServer):
    """Takes nothing from the first of our addresses."""

    def __init__(self) -> None:
        super().__init__({}, encrypted=True, host="127.0.0.11")

    def step(self, word: str, argument: str) -> Step | None:
        return REFUSAL if (self.peer, word) == ("127.0.0.1", "RCPT") else super().step(word, argument)


class Day:
    """Types what is written."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    async def does(self, written: str, own: Mapping[str, str] | None = None, *, ends: int = 0) -> str:
        """What the command prints that the page writes so, with what is the operator's own in the place of JOB, ENTRY
        and the reason; it ends with that code."""
        assert f"`{written}`" in WRITTEN, written
        typed = _with(written, {"…": "ticket 4711", **(own or {})})
        name, *words = shlex.split(typed)
        assert name == "estafette"
        code, printed = await self._stack.console_ended(*words)
        assert code == ends, (typed, printed)
        return printed

    async def reads(self, *words: str) -> Any:
        """What a command answers for scripts."""
        printed = await self._stack.console(*words, "--json")
        try:
            return json.loads(printed)
        except ValueError:
            raise AssertionError(f"{words}: {printed}") from None


async def test_an_operator_with_the_console_alone_finds_what_is_stuck_acts_and_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "egress.toml").write_text(EGRESS)
    async with (
        DnsServer(ZONE) as dns,
        Provider() as provider,
        SmtpServer(host="127.0.0.12", port=provider.port) as other,
    ):
        environ = {
            "ESTAFETTE_DNS_SERVERS": dns.address,
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_RELAY_MX_PORT": str(provider.port),
            "ESTAFETTE_RELAY_PRIVATE_NETWORKS": "true",
            "ESTAFETTE_RELAY_HELO": "mail.example",
            "ESTAFETTE_RELAY_EGRESS_FILE": str(tmp_path / "egress.toml"),
            "ESTAFETTE_RELAY_RETRY_SCHEDULE": "3600",
        }
        async with Stack.running(tmp_path / "run", environ) as stack:
            day = Day(stack)
            job = await stack.send(*STUCK, *OTHERS)

            await finds_the_stuck_provider(stack, day, other)
            await suspends_it_and_moves_its_queue(day)
            await cancels_a_spammers_jobs(stack, day)

            async with asyncio.TaskGroup() as beside:
                beside.create_task(sees_what_is_said(stack, day))
                await _is_awaited(stack)
                assert "resume: site:gmail" in await day.does('estafette sites resume gmail --why "…"')
                await tries_again_until_all_is_sent(stack, day, job)
            assert (await stack.done(job))["counts"]["delivered"] == len(STUCK) + len(OTHERS)
            delivered = [one["details"] for one in await stack.events(job, "message.delivered")]
            assert {(one["site"], one["source"]) for one in delivered} == {("gmail", "a2"), ("mx.other.test", "a1")}
            assert len(provider.envelopes) == len(STUCK)
            await day.does('estafette queue move gmail usual --why "…"')

            await replays_a_dead_entry(stack, day, job)
            await follows_a_message(stack, day, job)
            await sees_what_was_done(day)


async def finds_the_stuck_provider(stack: Stack, day: Day, other: SmtpServer) -> None:
    """The one at the top of the list, while the other has all it is to have; and why."""

    async def stuck() -> str | None:
        found = {one["site"]: one for one in await day.reads("sites", "list")}
        waits = found["gmail"]["deferred"] if "gmail" in found else 0
        is_stuck = waits == len(STUCK) and len(other.envelopes) == len(OTHERS)
        return await day.does("estafette sites list") if is_stuck else None

    _, first, *_ = (await stack.until(stuck)).splitlines()
    assert first.startswith("gmail ")
    shown = await day.does("estafette sites show gmail")
    assert f"to a1: {REFUSAL}" in shown
    assert "outcome: defer" in await stack.console("reply", REFUSAL, "--site", "gmail")


async def suspends_it_and_moves_its_queue(day: Day) -> None:
    assert "suspend: site:gmail" in await day.does('estafette sites suspend gmail --until 2h --why "…"')
    assert "move: site:gmail" in await day.does('estafette queue move gmail reserve --why "…"')
    shown = await day.does("estafette sites show gmail")
    assert "held: suspended" in shown
    assert "ticket 4711" in shown


async def cancels_a_spammers_jobs(stack: Stack, day: Day) -> None:
    """Two, posted meanwhile: the first by its id, and with the other all that the tenant has. They end though nothing
    goes there."""
    await stack.console("tenants", "add", "acme", "--any-from-domain")
    key = (await stack.console("keys", "create", "--tenant", "acme", "--scope", "send,read")).split()[-1]
    headers = {"Authorization": f"Bearer {key}"}
    posted = []
    for _ in range(2):
        spam = job_of(*STUCK) | {"from": "Offers <offers@spam.example>"}
        status, answer = await stack.answered("POST", "/v1/jobs", spam, headers=headers)
        assert status == 202, answer
        posted.append(answer["id"])

    async def listed() -> bool:
        printed = await day.does("estafette jobs list --tenant acme --state queued")
        return all(job in printed for job in posted)

    await stack.until(listed)
    assert f"cancel: job:{posted[0]}" in await day.does('estafette jobs cancel JOB --why "…"', {"JOB": posted[0]})
    assert "cancel: tenant:acme" in await day.does('estafette tenants cancel acme --why "…"')

    async def ended() -> list[dict[str, Any]] | None:
        reports = [await day.reads("report", job) for job in posted]
        return reports if all(one["state"] == "done" for one in reports) else None

    for report in await stack.until(ended):
        assert (report["counts"]["cancelled"]["total"], report["counts"]["pending"]) == (len(STUCK), 0)


async def tries_again_until_all_is_sent(stack: Stack, day: Day, job: str) -> None:
    """More than once: what a relay had in hand goes by the address that it had."""

    async def sent() -> bool:
        assert "requeue: site:gmail" in await day.does('estafette sites requeue gmail --why "…"')
        return bool((await stack.report(job))["state"] == "done")

    await stack.until(sent)


async def sees_what_is_said(stack: Stack, day: Day) -> None:
    """In the next session, by either address, and nobody's address is in it."""
    shown = await day.does("estafette trace --site gmail --sessions 1 --for 5m")
    assert "gmail-smtp-in.l.google.com from a" in shown
    for line in ("> EHLO a", "> STARTTLS", "encrypted: TLSv1", "> RCPT TO:<***@stuck.test>", "> QUIT"):
        assert line in shown, shown
    assert f"< {REFUSAL}" in shown or "< 250 2.0.0 queued" in shown
    assert "Bonjour" not in shown
    assert not any(f"{email.split('@')[0]}@" in shown for email in STUCK)


async def _is_awaited(stack: Stack) -> None:
    """The relay knows that somebody wants to see its next session: it looks twice a second."""
    client = redis.connect((stack.directory / "redis.url").read_text().strip())

    async def asked() -> bool:
        return bool(await client.hgetall(keys.dialogues()))

    await stack.until(asked)
    await asyncio.sleep(2)
    await redis.close(client)


async def replays_a_dead_entry(stack: Stack, day: Day, job: str) -> None:
    await _bury(stack, job)
    assert "KeyError: 'x'" in await day.does("estafette dead list", ends=1)
    (entry,) = await day.reads("dead", "list")
    assert entry["message"]["job"] == job
    assert "replay" in await day.does('estafette dead replay ENTRY --why "…"', {"ENTRY": entry["entry"]})
    assert await day.does("estafette dead list") == ""


async def follows_a_message(stack: Stack, day: Day, job: str) -> None:
    """Through what happened, and through the logs of all services: the request that made it, queueing, the relay."""

    async def replayed() -> list[str] | None:
        timeline = await day.does("estafette message JOB.0", {"JOB.0": f"{job}.{FOLLOWED}"})
        found = [line.split()[1] for line in timeline.splitlines()[1:]]
        return found if "message.opened" in found else None

    happened = await stack.until(replayed)
    assert happened[0] == "message.accepted"
    assert happened[-2:] == ["message.delivered", "message.opened"]

    greps = [line for line in WRITTEN.splitlines() if line.startswith("grep -h ")]
    own = {"068vjfm5s9m2rc1jqqrg.0": f"{job}.{FOLLOWED}", "068vjfm5s9m2rc1jqqrg": job, ".run/": f"{stack.directory}/"}
    of_job, of_message = [await _typed(_with(line, own)) for line in greps]
    lines = [json.loads(line) for line in of_message.splitlines()]
    assert [one["event"] for one in lines if one["process"] == "relay"][-1] == "delivered"
    assert {one["process"] for one in map(json.loads, of_job.splitlines())} >= {"http", "queueing", "relay"}


async def sees_what_was_done(day: Day) -> None:
    """All of it can be audited."""
    ends = {"--from-start": "--from-start --no-follow"}  # else it would go on for ever
    printed = await day.does("estafette tail --fact Acted --from-start", ends)
    told = sorted(map(json.loads, printed.splitlines()), key=lambda one: int(one["occurred_at"]))
    assert list(dict.fromkeys(one["action"] for one in told)) == [
        "suspend", "move", "cancel", "resume", "requeue", "move back", "replay",
    ]  # fmt: skip
    assert {one["why"] for one in told} == {"ticket 4711"}


def _with(line: str, own: Mapping[str, str]) -> str:
    for word, value in own.items():
        line = line.replace(word, value)
    return line


async def _typed(command: str) -> str:
    """What a line prints that is typed into a shell."""
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    return printed.decode()


async def _bury(stack: Stack, job: str) -> None:
    """What a reader with a fault would have left."""
    client = redis.connect((stack.directory / "redis.url").read_text().strip())
    fact = events.Opened(**events.about_message("demo", job, FOLLOWED, 1_990_000_000_000, "opened"))
    partition = ids.job_partition(job, 4)
    place = Place("events", partition)
    origin = f"{keys.events(partition)} 1-0 {keys.GROUP_REPORTS}"
    fields: dict[str, str | int | bytes] = {
        "t": "Opened",
        "v": 1,
        "b": events.encode(fact),
        "reason": "KeyError: 'x'",
        "origin": origin,
    }
    await client.xadd(place.dead, fields)
    await redis.close(client)
