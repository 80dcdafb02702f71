"""`estafette sites`: where mail waits, what holds it back, and what an operator does about it."""

from collections.abc import Awaitable, Callable
from typing import Any

import click

from services.console.session import fail, with_redis
from services.console.tables import as_json, show_json, show_table
from services.console.word import acting, done_line, until_option, why_option
from shared.process.settings import Settings


@click.group()
def sites() -> None:
    """Where mail waits: mailbox providers, and mail hosts that domains share."""


@sites.command("list")
@as_json
def list_sites(as_json: bool) -> None:
    """Every site where mail waits or that something holds back; most of it first."""
    found = sorted(_looked(lambda one: one.all()), key=lambda one: -(one.waiting + one.deferred))
    if as_json:
        show_json(found)
        return
    show_table(
        ("site", "waiting", "oldest", "deferred", "next", "in hand", "held by"),
        [
            (
                one.site, one.waiting, one.oldest, f"~{one.deferred}" if one.is_estimate else one.deferred,
                one.next_attempt, one.in_hand, ", ".join(dict.fromkeys(hold.kind for hold in one.holds)),
            )
            for one in found
        ],
    )  # fmt: skip


@sites.command("show")
@click.argument("site")
@as_json
def show_site(site: str, as_json: bool) -> None:
    """One site: what waits by lane and tenant, paces, limits, what holds it back, and what it said last."""
    found = _looked(lambda one: one.one(site))
    if found is None:
        fail(f"nothing is known of a site {site!r:.80}")
    if as_json:
        show_json(found)
        return
    about = " ~ estimated" if found.is_estimate else ""
    click.echo(f"{found.site}: {found.waiting} waiting, {found.deferred} deferred{about}, {found.in_hand} in hand")
    click.echo(f"limits: {found.limits or 'no relay has sent there lately'}")
    for hold in found.holds:
        what = " ".join(filter(None, (hold.kind, hold.source and f"source {hold.source}", hold.queue)))
        said = f" by {hold.who}: {hold.why}" if hold.who else ""
        click.echo(f"held: {what} until {hold.until or 'somebody resumes it'}{said}")
    for pace in found.paces:
        ceiling = f", refused above {pace.ceiling_per_s}/s" if pace.ceiling_per_s else ""
        click.echo(f"pace: {pace.per_s}/s from source {pace.source}{ceiling}, since {pace.since}")
    show_table(
        ("lane", "tenant", "job", "waiting", "deferred", "oldest"),
        [(one.lane, one.tenant, one.job, one.waiting, one.deferred, one.oldest) for one in found.queues],
    )
    for reply in found.replies:
        click.echo(f"{reply.time}  {reply.host} to {reply.source}: {reply.reply}")


@sites.command("suspend")
@click.argument("site")
@click.option("--source", default="", help="Only from this source of ours.")
@until_option
@why_option
def suspend_site(site: str, source: str, until: str, why: str) -> None:
    """Send nothing to a site; relays follow within a second."""
    done_line(acting(why, until, lambda operator, act: operator.suspend_site(site, act, source)))


@sites.command("resume")
@click.argument("site")
@click.option("--source", default="", help="That source of ours.")
@why_option
def resume_site(site: str, source: str, why: str) -> None:
    """End the suspension of a site, or of one source of ours there."""
    done_line(acting(why, "", lambda operator, act: operator.resume_site(site, act, source)))


@sites.command("lift")
@click.argument("site")
@click.option("--source", default="", help="Only of this source of ours.")
@why_option
def lift_site(site: str, source: str, why: str) -> None:
    """Forget the paces and rests that relays found out; refusals bring them back."""
    done_line(acting(why, "", lambda operator, act: operator.lift(site, act, source)))


@sites.command("requeue")
@click.argument("site")
@why_option
def requeue_site(site: str, why: str) -> None:
    """Try at once what waits for another attempt."""
    done_line(acting(why, "", lambda operator, act: operator.requeue(site, act)))


def _looked(look: Callable[[Any], Awaitable[Any]]) -> Any:
    from services.operator.sites import Sites
    from shared.process.clock import now_ms

    async def looking(client: Any, settings: Settings) -> Any:
        return await look(Sites(client, settings.redis.partitions, now_ms))

    return with_redis(looking)
