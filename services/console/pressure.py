"""`estafette pressure`: at most how many marketing mails an address of a tenant gets."""

import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from services.console.session import address_key, fail, need_tenant, with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.clock import now_ms
from shared.process.settings import Settings

if TYPE_CHECKING:
    from shared.redis.pressure import PressureRules
    from shared.words.pressure import Rules

T = TypeVar("T")

#: Mails in days; numbers that Python may read.
_RULE = re.compile(r"(\d{1,6})/(\d{1,6})")


@click.group()
def pressure() -> None:
    """At most how many marketing mails an address gets."""


@pressure.command("show")
@click.argument("tenant")
@click.argument("address", required=False)
@as_json
def show_pressure(tenant: str, address: str | None, as_json: bool) -> None:
    """The rules of a tenant; of an address, how many mails count under each."""
    if address is None:
        _show(tenant, _with_rules(tenant, lambda rules: rules.of(tenant)), as_json=as_json)
    else:
        _show_address(tenant, address_key(address), as_json=as_json)


@pressure.command("set")
@click.argument("tenant")
@click.argument("rules", nargs=-1, metavar="N/D...")
@as_json
def set_pressure(tenant: str, rules: tuple[str, ...], as_json: bool) -> None:
    """At most N mails of the stream bulk in D days, all rules at once; in force within a second."""
    if not rules:
        fail("name a rule, such as 2/1 for two mails a day")
    wanted = _checked([_read(text) for text in rules])
    _with_rules(tenant, lambda kept: kept.put(tenant, wanted))
    _show(tenant, wanted, as_json=as_json)


@pressure.command("off")
@click.argument("tenant")
def end_pressure(tenant: str) -> None:
    """Any number of mails again; what is remembered of addresses goes by itself."""
    _with_rules(tenant, lambda kept: kept.put(tenant, ()))
    click.echo(f"addresses of {tenant} get any number of marketing mails")


def _read(text: str) -> dict[str, int]:
    found = _RULE.fullmatch(text)
    if found is None:
        fail(f"a rule is mails/days, as 2/1, not {text!r:.40}")
    return {"most": int(found[1]), "days": int(found[2])}


def _checked(rules: list[dict[str, int]]) -> "Rules":
    """With what the route refuses."""
    import msgspec

    from services.queueing.pressure_http import PressureBody
    from shared.words.pressure import Rule, faults, ordered

    try:
        read = msgspec.convert({"rules": rules}, PressureBody)
    except msgspec.ValidationError as fault:
        fail(str(fault))
    wanted = [Rule(one.most, one.days) for one in read.rules]
    for wrong in faults(wanted):
        fail(wrong.what)
    return ordered(wanted)


def _show(tenant: str, rules: "Rules", *, as_json: bool) -> None:
    if as_json:
        show_json({"tenant": tenant, "rules": [{"most": rule.most, "days": rule.days} for rule in rules]})
    elif rules:
        show_table(("mails at most", "in days"), [(rule.most, rule.days) for rule in rules])
    else:
        click.echo(f"addresses of {tenant} get any number of marketing mails")


def _show_address(tenant: str, address: str, *, as_json: bool) -> None:
    import msgspec

    from services.queueing.pressure_http import PressureOfAddress, of_address
    from shared.redis.pressure import PressureRules, Reached

    async def looked(client: Any, settings: Settings) -> PressureOfAddress:
        await need_tenant(client, tenant)
        rules = await PressureRules(client, time.monotonic).of(tenant)
        sent_s = await Reached(client, settings.redis.partitions).sent_s(tenant, address)
        return of_address(address, rules, sent_s, now_ms())

    found = with_redis(looked)
    if as_json:
        show_json({"tenant": tenant, **msgspec.to_builtins(found)})
        return
    show_table(("mails at most", "in days", "now"), [(rule.most, rule.days, rule.used) for rule in found.rules])
    for moment in found.queued:
        click.echo(f"queued {moment}")


def _with_rules(tenant: str, work: "Callable[[PressureRules], Awaitable[T]]") -> T:
    from shared.redis.pressure import PressureRules

    async def working(client: Any, _: Settings) -> T:
        await need_tenant(client, tenant)
        return await work(PressureRules(client, time.monotonic))

    return with_redis(working)
