"""`estafette messages`: the messages of a tenant, to whom and in which state: what did they send to somebody?"""

from datetime import UTC, datetime
from typing import Any

import click

from services.console.session import address_key, fail, need_tenant, with_redis
from services.console.tables import as_json, show_json, show_table
from services.console.word import ago_ms, before_option, since_option
from shared.process.settings import Settings


@click.command()
@click.argument("tenant")
@click.option("--recipient", default=None, help="To this address only.")
@click.option("--job", default=None, help="Of this job only.")
@click.option("--state", "states", multiple=True, help="In this state only, as bounced; may be given again.")
@click.option("--metadata", default=None, help="Whose recipient has it, as crm_id=17.")
@since_option
@before_option
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--after", default="", help="Behind this page.")
@as_json
def messages(tenant: str, as_json: bool, **asked: Any) -> None:
    """Messages of a tenant, those of the latest job first. --since and --until go by when jobs were made."""
    query = _query(asked)

    async def look(client: Any, settings: Settings) -> Any:
        from shared.words.errors import Problem

        await need_tenant(client, tenant)
        try:
            return await _list(client, settings).page(tenant, query)
        except Problem as problem:
            raise ValueError("; ".join(fault.what for fault in problem.faults)) from None

    page = with_redis(look)
    if as_json:
        show_json(page)
        return
    show_table(
        ("message", "created", "email", "state", "list", "subject"),
        [(one.id, one.created_at[:16], one.email, one.state, one.list, one.subject[:40]) for one in page.messages],
    )
    if page.next is not None:
        click.echo(f"more: --after {page.next}", err=True)


def _query(asked: Any) -> Any:
    """Which messages, as the readers of the API take it."""
    from services.reports.message_list import STATES, MessageQuery, pair
    from shared.process.clock import now_ms
    from shared.redis.suppression import normalised
    from shared.words import ids

    for state in asked["states"]:
        if state not in STATES:
            fail(f"there is no state {state!r:.40}; there are {', '.join(STATES)}")
    if asked["job"] is not None and not ids.is_job_id(asked["job"]):
        fail(f"{asked['job']!r:.40} is not the id of a job")
    now = now_ms()
    try:
        metadata = None if asked["metadata"] is None else pair(asked["metadata"])
    except ValueError as fault:
        fail(f"--metadata: {fault}")
    try:
        times = [ago_ms(f"--{name}", asked[name], now) for name in ("since", "until")]
    except ValueError as fault:
        fail(str(fault))
    since, until = (None if at is None else datetime.fromtimestamp(at / 1000, UTC) for at in times)
    return MessageQuery(
        after=asked["after"],
        limit=asked["limit"],
        recipient=None if asked["recipient"] is None else normalised(address_key(asked["recipient"])),
        job=asked["job"],
        state=frozenset(asked["states"]) or None,
        metadata=metadata,
        since=since,
        until=until,
    )


def _list(client: Any, settings: Settings) -> Any:
    import time

    from services.reports.message_list import MessageList
    from shared.process import master_secret
    from shared.process.clock import now_ms
    from shared.redis.histories import Histories
    from shared.words.erased import ErasureKeys

    secret = master_secret.load(settings, make=False)
    partitions = settings.redis.partitions
    sent = Histories(client, partitions, settings.jobs.retention_days)
    hashes = ErasureKeys(secret.current, secret.previous)
    return MessageList(client, partitions, sent, hashes, now_ms, time.monotonic)
