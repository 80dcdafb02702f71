"""`estafette consents`: what an address agreed to with a tenant, the proof of it, and what tenants ask for."""

from typing import Any

import click

from services.console.session import address_key, minute, need_tenant, with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.settings import Settings


@click.group()
def consents() -> None:
    """What addresses agreed to, and the proof of it."""


@consents.command("show")
@click.argument("tenant")
@click.argument("address")
@as_json
def show_consent(tenant: str, address: str, as_json: bool) -> None:
    """What an address agreed to with a tenant; exit code 1 if nothing is known."""
    from shared.words.consent import KINDS, TOPICS

    key, known = _known(tenant, address)
    state = None if known is None else known.state
    rows = []
    for topic in TOPICS if state is not None else ():
        said = state.said(topic)  # type: ignore[union-attr]
        word = KINDS[said.code] if topic == "kind" else state.answer(topic)  # type: ignore[union-attr]
        rows.append((topic, word, minute(said.at_s * 1000) if said.at_s else ""))
    if as_json:
        show_json({"address": key, "tenant": tenant, "answers": {topic: word for topic, word, _ in rows}})
    elif state is None:
        click.echo(f"nothing is known of what {key} agreed to with {tenant}")
    else:
        show_table(("topic", "answer", "since"), rows)
    if state is None:
        raise SystemExit(1)


@consents.command("log")
@click.argument("tenant")
@click.argument("address")
@as_json
def show_log(tenant: str, address: str, as_json: bool) -> None:
    """The proof: who said what, when, from where, under which text; exit code 1 if there is none."""
    key, known = _known(tenant, address)
    log = [] if known is None else known.log
    if as_json:
        show_json(log)
    elif log:
        show_table(
            ("time", "by", "answers", "text", "ip", "who"),
            [
                (
                    minute(one.at_ms),
                    one.by,
                    " ".join(f"{topic}={word}" for topic, word in one.answers.items()),
                    one.text,
                    one.ip,
                    one.who[:40],
                )
                for one in log
            ],
        )
    else:
        click.echo(f"nothing is known of what {key} agreed to with {tenant}")
    if not log:
        raise SystemExit(1)


@consents.command("rules")
@click.argument("tenant")
@as_json
def show_rules(tenant: str, as_json: bool) -> None:
    """What a tenant asks for before it mails and tracks; it changes that itself, PUT /v1/consent-rules."""

    async def look(client: Any, settings: Settings) -> Any:
        await need_tenant(client, tenant)
        return (await _consents(client, settings).rules.of(tenant))[1]

    rules = with_redis(look)
    if as_json:
        show_json(rules)
    else:
        show_table(("rule", "opt-in"), [("gate", rules.gate), ("tracking", rules.tracking)])


def _known(tenant: str, address: str) -> tuple[str, Any]:
    """The address as it is compared, and what is known of it, None if that is nothing."""
    key = address_key(address)

    async def look(client: Any, settings: Settings) -> Any:
        await need_tenant(client, tenant)
        return await _consents(client, settings).known(tenant, key)

    return key, with_redis(look)


def _consents(client: Any, settings: Settings) -> Any:
    from shared.redis.consents import Consents

    return Consents(client, settings.redis.partitions, lambda: 0.0)
