"""`estafette people`: what is kept of somebody, and that it is erased."""

from typing import Any

import click

from services.console.contact_base import kept_of
from services.console.session import address_key, minute, need_tenant, with_redis
from services.console.tables import as_json, plain, show_json, show_table
from services.suppression.retention import shown_day
from shared.process.settings import Settings
from shared.words.usual_hours import ranked


@click.group()
def people() -> None:
    """What is kept of an address, at one tenant."""


@people.command("show")
@click.argument("tenant")
@click.argument("address")
@as_json
def show_person(tenant: str, address: str, as_json: bool) -> None:
    """Everything that is kept of an address; exit code 1 if nothing is."""
    from services.suppression.mentions import At
    from shared.redis.suppression import EVERYBODY, SuppressionList

    key = address_key(address)

    async def look(client: Any, settings: Settings) -> Any:
        known = await _people(client, settings, tenant)
        lists = SuppressionList(client, settings.redis.partitions)
        own, of_all = [*await lists.listed(tenant, [key]), *await lists.listed(EVERYBODY, [key])]
        messages: list[Any] = []
        at: Any = At()
        while at is not None:
            some, at = await known.messages(tenant, key, at, 1000)
            messages += some
        entries = [*own.entries, *of_all.entries]
        contacts = await kept_of(settings, tenant, key)
        return entries, await known.kept(tenant, key), await known.erasure(tenant, key), messages, contacts

    entries, kept, erasure, messages, contacts = with_redis(look)
    own_rule = any(named.pattern == key for named in kept.rules)
    is_known = bool(entries or _is_kept(kept) or own_rule or erasure or messages or contacts)
    if as_json:
        show_json(
            {
                "address": key, "tenant": tenant, "entries": entries, "erasure": erasure,
                "soft_bounces": 0 if kept.bounces is None else len(kept.bounces.bounces),
                "rules": [named.pattern for named in kept.rules],
                "consent": None if kept.consent is None else kept.consent.state,
                "consent_log": [] if kept.consent is None else kept.consent.log,
                "untracked_ms": kept.untracked_ms,
                "last_interaction": shown_day(kept.last_day) if kept.last_day else None,
                "usual_hours": dict(kept.usual.counts),
                "marketing_s": kept.marketing_s,
                "once_s": kept.once_s,
                "lists": [{"list": name, "state": one.state, "since_ms": one.since_ms} for name, one in kept.lists],
                "messages": [message._asdict() for message in messages],
                "contacts": contacts,
            }
        )  # fmt: skip
    elif is_known:
        _show(entries, kept, erasure, messages)
        _show_contacts(contacts)
    else:
        click.echo("nothing is kept of that address")
    if not is_known:
        raise SystemExit(1)


def _is_kept(kept: Any) -> bool:
    """Whether any map has something of an address, beside its rules."""
    counted = kept.usual.counts or kept.marketing_s or kept.once_s
    return bool(kept.bounces or kept.consent or kept.lists or kept.untracked_ms or kept.last_day or counted)


def _show(entries: Any, kept: Any, erasure: Any, messages: Any) -> None:
    if erasure is not None:
        done = minute(erasure.done_ms) if erasure.done_ms else "not done yet"
        click.echo(f"erasure  asked {minute(erasure.asked_ms)}, {done}, {erasure.messages} messages")
    for entry in entries:
        click.echo(f"listed   {entry.channel} {entry.scope}: {entry.reason} since {minute(entry.first_ms)}")
    if kept.bounces is not None:
        first, last = (minute(kept.bounces.bounces[at].at_s * 1000) for at in (0, -1))
        click.echo(f"bounces  {len(kept.bounces.bounces)} soft ones in a row, {first} to {last}")
    for named in kept.rules:
        click.echo(f"rule     {named.pattern}")
    for line in kept.consent.log if kept.consent is not None else ():
        said = " ".join(f"{topic}={word}" for topic, word in line.answers.items())
        click.echo(f"consent  {minute(line.at_ms)} by {line.by}: {said} {line.text}".rstrip())
    if kept.untracked_ms:
        click.echo(f"tracking withdrawn {minute(kept.untracked_ms)}")
    if kept.last_day:
        click.echo(f"heard of {shown_day(kept.last_day)}")
    if kept.usual.counts:
        hours = ", ".join(f"{hour}:00 ({count})" for hour, count in kept.usual.counts)
        best = next((f"best {hour}:00" for hour in ranked(kept.usual)), "too few to tell")
        click.echo(f"reacts   {hours} UTC; {best}")
    for word, what, queued_s in (
        ("pressure", "marketing mails", kept.marketing_s),
        ("once", "messages of operations", kept.once_s),
    ):
        if queued_s:
            first, last = (minute(queued_s[at] * 1000) for at in (0, -1))
            click.echo(f"{word:<8} {what}: {len(queued_s)}, {first} to {last}")
    for name, member in kept.lists:
        click.echo(f"list     {name}: {member.state} since {minute(member.since_ms)}")
    if messages:
        show_table(("message", "list", "subject"), [(f"{m.job}.{m.ordinal}", m.list, m.subject[:60]) for m in messages])


def _show_contacts(contacts: Any) -> None:
    for one in contacts:
        click.echo(f"contact  {one.id} {plain(one.key)}, since {one.created_at}, activity {one.activity}")
        for name, value in one.fields.items():
            click.echo(f"         {name}: {plain(str(value))}")
        counts = (len(one.imports), len(one.changes), len(one.moments))
        click.echo("         in {} sets of imports, {} changes, {} moments (--json has them)".format(*counts))


@people.command("erase")
@click.argument("tenant")
@click.argument("address")
@click.confirmation_option(prompt="Nothing of it can be had back. Erase?")
def erase_person(tenant: str, address: str) -> None:
    """Erase an address: a keyed hash is left, by which nothing is sent to it. What jobs say of it goes in the
    background; `show` tells how far that is."""
    key = address_key(address)

    async def erase(client: Any, settings: Settings) -> Any:
        return await (await _people(client, settings, tenant)).erase(tenant, key)

    removed = with_redis(erase)
    click.echo(
        f"erasing: {removed.suppressions} entries, {removed.soft_bounces} soft bounces, {removed.consents} lines of "
        f"consent, {removed.lists} lists and {removed.rules} rules are gone; jobs follow"
    )


async def _people(client: Any, settings: Settings, tenant: str) -> Any:
    """LookupError if there is no such tenant."""
    import time
    from secrets import token_hex

    from services.suppression.erasing import Erasing
    from services.suppression.people import People
    from shared.process import master_secret
    from shared.process.clock import now_ms
    from shared.redis import start
    from shared.redis.histories import Histories
    from shared.words.erased import ErasureKeys
    from shared.words.tokens import TokenKeys

    await need_tenant(client, tenant)
    secret = master_secret.load(settings, make=False)
    partitions = settings.redis.partitions
    sent = Histories(client, partitions, settings.jobs.retention_days)
    erasing = Erasing(client, partitions, start.publisher(client, settings), now_ms, lambda: token_hex(8), sent)
    hashes, tokens = ErasureKeys(secret.current, secret.previous), TokenKeys(secret.current, secret.previous)
    return People(client, partitions, hashes, tokens, erasing, time.monotonic)
