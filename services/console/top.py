"""`estafette top`: the sites that wait longest, as they are now, and again every few seconds."""

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from services.console.session import fail, with_redis
from services.console.tables import show_table
from services.console.word import who
from shared.process.settings import Settings

if TYPE_CHECKING:
    from services.operator.sites import SiteShown

HEADS = ("site", "oldest", "waiting", "deferred", "in hand", "taken/s", "held by")
Order = Literal["oldest", "waiting", "deferred", "in hand", "taken/s", "site"]


class Row(NamedTuple):
    """A site: for how long its first message has been due (seconds), how many are due, wait for another attempt, are
    in the hands of relays; how many a second it took lately; what holds it back."""

    site: str
    oldest_s: int
    waiting: int
    deferred: int
    is_estimate: bool
    in_hand: int
    taken_per_s: float
    holds: tuple[str, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """As they are shown, below `HEADS`."""
        return (
            self.site,
            lasting(self.oldest_s) if self.waiting else "-",
            str(self.waiting),
            f"{'~' if self.is_estimate else ''}{self.deferred}",
            str(self.in_hand),
            f"{self.taken_per_s:.1f}",
            ", ".join(self.holds) or "-",
        )


_ORDERS: Mapping[Order, Callable[[Row], Any]] = {
    "oldest": lambda row: (-row.oldest_s, -row.waiting),
    "waiting": lambda row: -row.waiting,
    "deferred": lambda row: -row.deferred,
    "in hand": lambda row: -row.in_hand,
    "taken/s": lambda row: -row.taken_per_s,
    "site": lambda row: "",
}


def ordered(rows: Iterable[Row], order: Order) -> list[Row]:
    """The most of it first; by name where it is the same."""
    return sorted(sorted(rows), key=_ORDERS[order])


def lasting(seconds: int) -> str:
    """`42s`, `7m03s`, `5h20m`, `3d04h`."""
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3_600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    if seconds < 86_400:
        return f"{seconds // 3_600}h{seconds % 3_600 // 60:02}m"
    return f"{seconds // 86_400}d{seconds % 86_400 // 3_600:02}h"


def rows(found: "Iterable[SiteShown]", taken_per_s: Mapping[str, float], now_ms: int) -> list[Row]:
    """What was looked at, as rows."""
    return [
        Row(
            site=one.site,
            oldest_s=max(0, now_ms - _ms(one.oldest)) // 1000 if one.oldest else 0,
            waiting=one.waiting,
            deferred=one.deferred,
            is_estimate=one.is_estimate,
            in_hand=one.in_hand,
            taken_per_s=taken_per_s.get(one.site, 0.0),
            holds=tuple(dict.fromkeys([*(hold.kind for hold in one.holds), *(["pace"] if one.paces else [])])),
        )
        for one in found
    ]


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@click.command()
@click.option(
    "--every", type=click.FloatRange(0.5, 60), default=2.0, show_default=True, help="Seconds between two looks."
)
@click.option("--once", is_flag=True, help="Print the table once, and end; so it is where there is no terminal.")
def top(every: float, once: bool) -> None:
    """A live table of the sites that wait longest; keys sort it, and suspend and resume what is chosen."""
    if once or not sys.stdout.isatty():
        found = ordered(with_redis(lambda client, settings: look(client, settings)), "oldest")
        show_table(HEADS, [row.cells for row in found])
        return
    try:
        from services.console.top_app import Top
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "textual":
            raise
        fail("a live table needs Textual: pip install 'estafette[top]'. `estafette top --once` prints it without")

    async def live(client: Any, settings: Settings) -> None:
        async def act(site: str, action: Literal["suspend", "resume"], why: str) -> str:
            return await acted(client, settings, site, action, why)

        await Top(lambda: look(client, settings), act, every).run_async()

    with_redis(live)


async def look(client: Any, settings: Settings) -> list[Row]:
    """All that is to be seen now. RedisAway."""
    from services.operator.rates import rates_per_s
    from services.operator.sites import Sites
    from shared.process.clock import now_ms

    found = await Sites(client, settings.redis.partitions, now_ms).all()
    return rows(found, await rates_per_s(client, now_ms()), now_ms())


async def acted(client: Any, settings: Settings, site: str, action: Literal["suspend", "resume"], why: str) -> str:
    """What was done, or why it was not, in a line. RedisAway."""
    from services.operator.operator import Act, Operator
    from shared.process.clock import now_ms
    from shared.redis import start
    from shared.words.errors import Problem

    operator = Operator(client, settings.redis.partitions, start.publisher(client, settings), now_ms)
    call = operator.suspend_site if action == "suspend" else operator.resume_site
    try:
        done = await call(site, Act(who(), "", why))
    except Problem as problem:
        return problem.detail
    return f"{done.action}: {done.target}"
