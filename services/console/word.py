"""What an operator does at the console, with their word on it: who sits there, why, and until when."""

import getpass
import re
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from services.console.session import fail, with_redis
from shared.process.settings import Settings

if TYPE_CHECKING:
    from services.operator.operator import Act, Done, Operator

_FOR = re.compile(r"(\d{1,6})([smhd])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

#: Options that every action has, and those that end by themselves.
why_option: Callable[[Any], Any] = click.option("--why", required=True, help="For whoever reads it later.")
until_option: Callable[[Any], Any] = click.option(
    "--until", default="", help="When it ends by itself: 30m, 12h, 2d, or a time such as 2026-01-31T10:00:00Z."
)
#: And those of commands that look back.
since_option: Callable[[Any], Any] = click.option(
    "--since", default="", help="From then on: 30m, 12h, 2d ago, or a time such as 2026-01-31T10:00:00Z."
)
before_option: Callable[[Any], Any] = click.option("--until", default="", help="Before then, said in the same way.")


def lasting_s(text: str) -> int:
    """What `30m`, `12h` or `2d` last, in seconds; 0 of anything else."""
    found = _FOR.fullmatch(text)
    return int(found[1]) * _UNIT_MS[found[2]] // 1000 if found else 0


def until_ms(text: str, now_ms: int) -> int:
    """A time to come in ms, 0 for none. ValueError names what is wrong."""
    return _time_ms("--until", text, now_ms, 1) if text else 0


def ago_ms(option: str, text: str, now_ms: int) -> int | None:
    """A time that has passed, as `option` says it, in ms; None for none. ValueError names what is wrong."""
    return max(0, _time_ms(option, text, now_ms, -1)) if text else None


def _time_ms(option: str, text: str, now_ms: int, direction: int) -> int:
    if (found := _FOR.fullmatch(text)) is not None:
        return now_ms + direction * int(found[1]) * _UNIT_MS[found[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError(f"{option} takes 30m, 12h, 2d, or a time such as 2026-01-31T10:00:00Z, not {text!r:.40}")
    return int(at.timestamp() * 1000)


def who() -> str:
    """Who sits here, as far as the machine knows."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "somebody"
    return f"{name}@{socket.gethostname()}"


def acting(why: str, until: str, action: "Callable[[Operator, Act], Awaitable[Done]]") -> "Done":
    """Does it on the Redis in force; a problem ends the command in its words."""
    from services.operator.operator import Act, Operator
    from shared.process import logs
    from shared.process.clock import now_ms
    from shared.redis import start
    from shared.words.errors import Problem

    if not why.strip() or len(why) > 500:
        fail("--why takes a sentence of at most 500 characters")

    async def working(client: Any, settings: Settings) -> Any:
        logs.configure("console", settings.logs.level)
        publisher = start.publisher(client, settings)
        operator = Operator(client, settings.redis.partitions, publisher, now_ms)
        try:
            return await action(operator, Act(who(), "", why, until_ms(until, now_ms())))
        except Problem as problem:
            raise LookupError(problem.detail) from None

    return with_redis(working)  # type: ignore[no-any-return]


def done_line(done: "Done") -> None:
    """What was done, in a line; exit code 3 where there was no time for all of it."""
    count = f", {done.messages} messages" if done.messages else ""
    click.echo(f"{done.action}: {done.target}{count}")
    if done.more:
        click.echo("there is more: the same command goes on", err=True)
        raise SystemExit(3)
