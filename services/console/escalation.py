"""`estafette escalation`: after how many soft bounces in a row a tenant's addresses are listed."""

import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from services.console.session import fail, need_tenant, with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.settings import Settings

if TYPE_CHECKING:
    from services.suppression.escalation import Rule, Rules
    from services.suppression.rule_book import RuleBook

T = TypeVar("T")

_NAMES = ("soft_bounces", "mailbox_full", "inactive", "unknown_user")
#: Bounces, over so many days, and for how many days the address is listed; numbers that Python may read.
_RULE = re.compile(r"(\d{1,6})/(\d{1,6})(?:/(\d{1,6}))?")
_METAVAR = "N/D[/E]"


@click.group()
def escalation() -> None:
    """After how many soft bounces in a row an address is listed."""


@escalation.command("show")
@click.argument("tenant")
@as_json
def show_escalation(tenant: str, as_json: bool) -> None:
    """The rules that a tenant's addresses are under."""
    _show(tenant, *_with_book(tenant, lambda book, _: book.own(tenant)), as_json=as_json)


@escalation.command("set")
@click.argument("tenant")
@click.option(
    "--soft-bounces", metavar=_METAVAR, help="Of whatever reason: N in a row, the last D days after the first."
)
@click.option("--mailbox-full", metavar=_METAVAR, help="Of a full mailbox; after E days one more mail goes out.")
@click.option("--inactive", metavar=_METAVAR, help="Of a mailbox that is switched off for now.")
@click.option("--unknown-user", metavar=_METAVAR, help="Of a name that nobody has, said not for good.")
@as_json
def set_escalation(tenant: str, as_json: bool, **written: str | None) -> None:
    """Other rules for a tenant; in force within ten seconds. One that is left out is the installation's; 0/0 is off."""
    from services.suppression.escalation_http import EscalationRequest, ruled

    read = {name: _read(name, text) for name, text in written.items() if text is not None}
    if not read:
        fail("name a rule, such as --soft-bounces 3/15")
    wanted = _checked(read, EscalationRequest)

    async def put(book: "RuleBook", defaults: "Rules") -> "Rules":
        rules = ruled(wanted, defaults)
        await book.put(tenant, rules)
        return rules

    _show(tenant, *_with_book(tenant, put), as_json=as_json)


@escalation.command("reset")
@click.argument("tenant")
def reset_escalation(tenant: str) -> None:
    """Back to the rules of the installation."""
    had, _ = _with_book(tenant, lambda book, _: book.delete(tenant))
    click.echo(f"{tenant} has the rules of the installation{'' if had else ', and had no others'}")


def _read(name: str, text: str) -> dict[str, int]:
    found = _RULE.fullmatch(text)
    if found is None:
        fail(f"--{name.replace('_', '-')} takes bounces/days or bounces/days/expiry in days, as 3/15, not {text!r:.40}")
    bounces, days, expires = (int(number or 0) for number in found.groups())
    return {"bounces": bounces, "days": days, "expires_after_days": expires}


def _checked(read: dict[str, dict[str, int]], kind: type[T]) -> T:
    """As a request says it, with what the route refuses."""
    import msgspec

    try:
        return msgspec.convert(read, kind)
    except msgspec.ValidationError as fault:
        fail(str(fault))


def _show(tenant: str, own: "Rules | None", defaults: "Rules", *, as_json: bool) -> None:
    rules = defaults if own is None else own
    named: list[tuple[str, Rule]] = [(name, getattr(rules, name)) for name in _NAMES]
    if as_json:
        shown = {
            name: {"bounces": rule.bounces, "days": rule.days, "expires_after_days": rule.expires_after_days}
            for name, rule in named
        }
        show_json({"tenant": tenant, "own": own is not None, **shown})
        return
    show_table(
        ("rule", "bounces", "days", "listed for days"),
        [(name, rule.bounces or "off", rule.days, rule.expires_after_days or "for good") for name, rule in named],
    )
    click.echo(f"{'its own' if own is not None else 'of the installation'}", err=True)


def _with_book(tenant: str, work: "Callable[[RuleBook, Rules], Awaitable[T]]") -> "tuple[T, Rules]":
    """What `work` gives, and the rules of the installation."""
    from services.suppression.rule_book import RuleBook
    from services.suppression.settings import Suppression

    async def working(client: Any, settings: Settings) -> "tuple[T, Rules]":
        await need_tenant(client, tenant)
        defaults = settings.of(Suppression).rules
        return await work(RuleBook(client, defaults, time.monotonic), defaults), defaults

    return with_redis(working)
