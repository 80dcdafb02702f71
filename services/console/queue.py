"""`estafette queue`: what waits, queue by queue, and what an operator does with it."""

from typing import Any

import click

from services.console.session import with_redis
from services.console.tables import as_json, show_json, show_table
from services.console.word import acting, done_line, until_option, why_option
from shared.process.settings import Settings

_tenant = click.option("--tenant", default="", help="Only this tenant's.")


@click.group()
def queue() -> None:
    """What waits at sites, by lane and tenant."""


@queue.command("list")
@click.option("--site", default=None, help="Only at this site.")
@click.option("--tenant", default=None, help="Only this tenant's.")
@as_json
def list_queues(site: str | None, tenant: str | None, as_json: bool) -> None:
    """Every queue with messages; the fullest first."""
    from services.operator.sites import Sites
    from shared.process.clock import now_ms

    async def look(client: Any, settings: Settings) -> Any:
        return await Sites(client, settings.redis.partitions, now_ms).all()

    found = [
        (one.site, queue)
        for one in with_redis(look)
        for queue in one.queues
        if site in (None, one.site) and tenant in (None, queue.tenant)
    ]
    found.sort(key=lambda row: -(row[1].waiting + row[1].deferred))
    if as_json:
        show_json([{"site": name, "queue": queue} for name, queue in found])
        return
    show_table(
        ("site", "lane", "tenant", "job", "waiting", "deferred", "oldest"),
        [(name, one.lane, one.tenant, one.job, one.waiting, one.deferred, one.oldest) for name, one in found],
    )


@queue.command("cancel")
@click.argument("site")
@_tenant
@why_option
def cancel_queue(site: str, tenant: str, why: str) -> None:
    """Cancel what waits at a site, of jobs that were posted until now."""
    done_line(acting(why, "", lambda operator, act: operator.cancel_site(site, act, tenant)))


@queue.command("bounce")
@click.argument("site")
@_tenant
@why_option
def bounce_queue(site: str, tenant: str, why: str) -> None:
    """Bounce what waits at a site; nothing is said about the addresses."""
    done_line(acting(why, "", lambda operator, act: operator.cancel_site(site, act, tenant, "bounce")))


@queue.command("move")
@click.argument("site")
@click.argument("pool")
@_tenant
@until_option
@why_option
def move_queue(site: str, pool: str, tenant: str, until: str, why: str) -> None:
    """Send what waits at a site by another pool of source addresses; `usual` is the one that it had."""
    if pool == "usual":
        done_line(acting(why, "", lambda operator, act: operator.move_back(site, act, tenant)))
    else:
        done_line(acting(why, until, lambda operator, act: operator.move(site, pool, act, tenant)))
