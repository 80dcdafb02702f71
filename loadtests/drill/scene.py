"""One fault on a stage: the mail that it meets, what of it is lost, and the facts that its commands are filled with."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from loadtests.drill.stage import Stage
from loadtests.drill.world import PLACES, Host
from tests.flows.stack import job

_DOMAINS = {place.name: place.domain for place in PLACES}


@dataclass(frozen=True)
class Sent:
    """A job, its recipients, and the key that reads it."""

    job: str
    emails: Sequence[str]
    key: str | None


@dataclass
class Account:
    """Of all mail of a fault: recipients that were accepted, without one of the ends that it may have (`lost`; what is
    said to be delivered has to have been taken by a host), and mails that hosts took again (`twice`)."""

    accepted: int = 0
    lost: int = 0
    twice: int = 0


class Scene:
    """`facts` are those of the stage and its own."""

    def __init__(self, name: str, stage: Stage) -> None:
        self.name = name
        self.stage = stage
        self.stack = stage.stack
        self.facts = dict(stage.facts)
        self.sent: list[Sent] = []
        self._mails = 0

    def host(self, provider: str) -> Host:
        return self.stage.world.hosts[provider]

    async def mail(self, provider: str, number: int, prefix: str = "to", key: str | None = None, **fields: Any) -> str:
        """Posts a job to so many addresses there; its id."""
        emails = [f"{prefix}-{self.name}-{self._mails + at}@{_DOMAINS[provider]}" for at in range(number)]
        self._mails += number
        status, answer = await self.stack.answered("POST", "/v1/jobs", job(*emails, **fields), key=key)
        assert status == 202, answer
        self.sent.append(Sent(str(answer["id"]), emails, key))
        return self.sent[-1].job

    async def taken(self, provider: str, at_least: int) -> None:
        """Returns once its host has taken so many of this scene's mails."""
        mark = f"-{self.name}-"

        async def so_many() -> bool:
            return sum(mark in address for address in self.host(provider).taken()) >= at_least

        await self.stack.until(so_many)

    async def account(self, ends: frozenset[str]) -> Account:
        """Once every job is done. `ends` besides `delivered`: words of a report's counts."""
        account = Account()
        for sent in self.sent:
            counts = (await self._done(sent))["counts"]
            taken = self.stage.world.taken()
            had = [taken[email] for email in sent.emails]
            ended = min(counts["delivered"], sum(map(bool, had)))
            ended += sum(_number(counts[end]) for end in ends)
            account.accepted += counts["accepted"]
            account.lost += max(0, counts["accepted"] - ended)
            account.twice += sum(max(0, times - 1) for times in had)
        return account

    async def _done(self, sent: Sent) -> dict[str, Any]:
        async def ended() -> dict[str, Any] | None:
            status, report = await self.stack.answered("GET", f"/v1/jobs/{sent.job}", key=sent.key)
            assert status == 200, report
            return dict(report) if report["state"] == "done" else None

        return await self.stack.until(ended)

    # The machine

    def signal(self, process: str, number: signal.Signals) -> int:
        """To a process of the instance, by its name; the pid that it has."""
        pid = self.stack.pid_of(process)
        os.kill(pid, number)
        return pid

    async def ask_redis(self, ask: Callable[[Any], object]) -> None:
        """Does it with a client of the instance's own Redis."""
        url = (self.stack.directory / "redis.url").read_text("ascii").strip()

        def asking() -> None:
            with redis.Redis.from_url(url) as client:
                ask(client)

        await asyncio.to_thread(asking)

    async def said(self, command: str) -> Any:
        """What a command of the console answers for scripts."""
        _, printed = await self.stage.shell(command)
        return json.loads(printed)


def _number(count: Any) -> int:
    """Of a report: a number, or one with parts."""
    return int(count["total"] if isinstance(count, dict) else count)
