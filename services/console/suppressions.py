"""`estafette suppressions`: who must not be mailed, of which tenant, and why."""

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from services.console import moving
from services.console.session import address_key, fail, minute, need_tenant, with_redis
from services.console.tables import as_json, show_json, show_table
from services.console.word import until_ms, until_option, who
from shared.process.settings import Settings

if TYPE_CHECKING:
    from services.suppression.store import Removed
    from shared.redis.suppression import Listed
    from shared.words.scopes import Channel, Reason

#: As `shared.words.scopes` has them; a command that is not asked for them imports nothing.
_CHANNELS = ("email", "sms", "phone")
_REASONS = ("manual", "objected", "unsubscribed", "complaint", "hard_bounce", "compliance")
#: How the list of all tenants is called in tables.
_OF_ALL = "(all)"

_channel: Callable[[Any], Any] = click.option(
    "--channel", type=click.Choice(_CHANNELS), default=None, help="By what it is reached."
)
_scope: Callable[[Any], Any] = click.option("--scope", default=None, help="all, marketing, or list:NAME.")
_everybody: Callable[[Any], Any] = click.option(
    "--everybody", is_flag=True, help="The operator's list, which holds for all tenants."
)
_words: Callable[[Any], Any] = click.argument("words", nargs=-1, required=True, metavar="[TENANT] ADDRESS")


class _Whose(NamedTuple):
    """An address, and the list that is meant: `tenant` is "" for that of all."""

    tenant: str
    key: str

    @property
    def shown(self) -> str:
        return self.tenant or "all tenants"


@click.group()
def suppressions() -> None:
    """Addresses that a tenant does not write to any more."""


@suppressions.command("show")
@click.argument("tenant")
@click.argument("address")
@as_json
def show_suppression(tenant: str, address: str, as_json: bool) -> None:
    """Whether an address is on a tenant's list, or that of all, and why; exit code 1 if it is not."""
    key = address_key(address)

    async def look(client: Any, settings: Settings) -> "list[tuple[str, Listed]]":
        from shared.redis.suppression import EVERYBODY, SuppressionList

        await need_tenant(client, tenant)
        lists = SuppressionList(client, settings.redis.partitions)
        (own,), (of_all,) = await lists.listed(tenant, [key]), await lists.listed(EVERYBODY, [key])
        return [(tenant, own), (_OF_ALL, of_all)]

    _show(_Whose(tenant, key), with_redis(look), as_json=as_json)


def _show(whose: _Whose, listed: "Sequence[tuple[str, Listed]]", *, as_json: bool) -> None:
    """The entries of an address; exit code 1 if there is none."""
    found = [(of, one, entry) for of, one in listed for entry in one.entries]
    if as_json:
        show_json({"address": whose.key, "tenant": whose.tenant, "entries": [_entry(*one) for one in found]})
    elif found:
        show_table(
            ("list", "channel", "scope", "reason", "since", "until", "source", "diagnostic"),
            [
                (
                    of, entry.channel, entry.scope, entry.reason, minute(entry.first_ms),
                    minute(entry.expires_ms) if entry.expires_ms else "", entry.source,
                    one.said_of(entry).diagnostic[:80],
                )
                for of, one, entry in found
            ],
        )  # fmt: skip
    else:
        click.echo(f"{whose.key} is not on the list of {whose.shown}")
    if not found:
        raise SystemExit(1)


def _entry(of: str, listed: Any, entry: Any) -> dict[str, Any]:
    said = listed.said_of(entry)
    return {
        "list": of, "channel": entry.channel, "scope": entry.scope, "reason": entry.reason, "source": entry.source,
        "since_ms": entry.first_ms, "last_ms": entry.last_ms, "expires_ms": entry.expires_ms, "event": said.event,
        "job": said.job, "ordinal": said.ordinal, "diagnostic": said.diagnostic,
    }  # fmt: skip


@suppressions.command("list")
@click.argument("tenant", required=False)
@_everybody
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@as_json
def list_suppressions(tenant: str | None, everybody: bool, limit: int, as_json: bool) -> None:
    """The first addresses of a list; all of it comes over HTTP, page by page."""
    from services.suppression.store import Lists
    from shared.redis.addressed import Place
    from shared.redis.suppression import EVERYBODY

    if (tenant is None) is not everybody:
        fail("name a tenant, or say --everybody")
    of = EVERYBODY if tenant is None else tenant

    async def look(client: Any, settings: Settings) -> Any:
        if of != EVERYBODY:
            await need_tenant(client, of)
        return await Lists(client, settings.redis.partitions).page(of, Place(), limit)

    listed, following = with_redis(look)
    if as_json:
        shown = of or _OF_ALL
        show_json([{"address": one.address, **_entry(shown, one, entry)} for one in listed for entry in one.entries])
        return
    show_table(
        ("address", "channel", "scope", "reason", "since", "source"),
        [
            (one.address, entry.channel, entry.scope, entry.reason, minute(entry.first_ms), entry.source)
            for one in listed
            for entry in one.entries
        ],
    )
    if following is not None:
        click.echo("there are more: GET /v1/suppressions, GET /v1/installation/suppressions", err=True)


@suppressions.command("add")
@_words
@_everybody
@click.option("--reason", type=click.Choice(_REASONS), default=None, help="Why; manual, for everybody compliance.")
@_channel
@_scope
@click.option("--note", default="", help="What is kept with it.")
@until_option
@as_json
def add_suppression(
    words: tuple[str, ...],
    everybody: bool,
    reason: "Reason | None",
    channel: "Channel | None",
    scope: str | None,
    note: str,
    until: str,
    as_json: bool,
) -> None:
    """Put an address on a tenant's list, or on that of all; a stronger reason that it is there for stays. What is there
    for compliance no tenant takes off."""
    from services.suppression.http import is_rule
    from services.suppression.reasons import MAX_DIAGNOSTIC_CHARS
    from services.suppression.store import Addition
    from shared.process.clock import now_ms
    from shared.redis.suppression import EVERYBODY

    if is_rule(words[-1]):
        fail(f"{words[-1]!r:.100} is a rule for many, and only addresses are listed: estafette rules put")
    whose, scope = _whose(words, everybody), _scope_of(scope)
    if len(note) > MAX_DIAGNOSTIC_CHARS:
        fail(f"--note takes at most {MAX_DIAGNOSTIC_CHARS} characters")
    at_ms = now_ms()
    try:
        expires_ms = until_ms(until, at_ms)
    except ValueError as fault:
        fail(str(fault))
    if 0 < expires_ms <= at_ms:
        fail("--until has passed: nothing would be stopped")
    addition = Addition(
        whose.tenant,
        whose.key,
        reason or ("manual" if whose.tenant else "compliance"),
        at_ms,
        scope=scope or "",
        channel=channel or "email",
        source="operator",
        diagnostic=note,
        expires_ms=expires_ms,
        is_told=whose.tenant != EVERYBODY,
    )

    async def add(client: Any, settings: Settings) -> "list[tuple[str, Listed]]":
        from services.suppression.store import Lists
        from shared.redis.suppression import SuppressionList

        await Lists(client, settings.redis.partitions).add([addition])
        await _tell(client, settings, "suppress", whose, at_ms, note, expires_ms)
        (listed,) = await SuppressionList(client, settings.redis.partitions).listed(whose.tenant, [whose.key])
        return [(whose.tenant or _OF_ALL, listed)]

    _show(whose, _changing(whose, add), as_json=as_json)


@suppressions.command("remove")
@_words
@_everybody
@_channel
@_scope
@as_json
def remove_suppression(
    words: tuple[str, ...], everybody: bool, channel: "Channel | None", scope: str | None, as_json: bool
) -> None:
    """Take an address off a list, whatever it is there for: all its entries, or those of a channel and a scope. Its
    soft bounces are counted anew."""
    from services.suppression.store import Removal
    from shared.process.clock import now_ms
    from shared.redis.suppression import EVERYBODY

    whose, at_ms = _whose(words, everybody), now_ms()
    removal = Removal(
        whose.tenant, whose.key, at_ms, "operator", secrets.token_hex(8), channel, _scope_of(scope),
        by_operator=True, is_told=whose.tenant != EVERYBODY,
    )  # fmt: skip

    async def remove(client: Any, settings: Settings) -> "Removed":
        from services.suppression.counts import Counts
        from services.suppression.store import Lists

        (removed,) = await Lists(client, settings.redis.partitions).remove([removal])
        if not removed.gone:
            raise LookupError(f"{whose.key} is not on the list of {whose.shown} for that")
        if whose.tenant != EVERYBODY:
            await Counts(client, settings.redis.partitions).forget(whose.tenant, whose.key)
        await _tell(client, settings, "reactivate", whose, at_ms, "", 0)
        return removed

    removed: Removed = _changing(whose, remove)
    gone = [{"channel": one.channel, "scope": one.scope, "reason": one.reason} for one in removed.gone]
    if as_json:
        show_json({"address": whose.key, "tenant": whose.tenant, "removed": gone})
    else:
        for one in gone:
            click.echo(f"removed: {whose.key}, {one['channel']} {one['scope']}: {one['reason']}")


def _whose(words: Sequence[str], everybody: bool) -> _Whose:
    from shared.redis.suppression import EVERYBODY

    if len(words) != (1 if everybody else 2):
        fail("name a tenant and an address, or an address with --everybody")
    return _Whose(EVERYBODY if everybody else words[0], address_key(words[-1]))


def _scope_of(text: str | None) -> str | None:
    from shared.words import scopes

    try:
        return None if text is None else scopes.parse(text)
    except ValueError as fault:
        fail(f"--scope takes {fault}, not {text!r:.80}")


def _changing(whose: _Whose, work: Any) -> Any:
    """Does `work`, if there is such a tenant."""
    from shared.process import logs
    from shared.redis.suppression import EVERYBODY

    async def working(client: Any, settings: Settings) -> Any:
        logs.configure("console", settings.logs.level)
        if whose.tenant != EVERYBODY:
            await need_tenant(client, whose.tenant)
        return await work(client, settings)

    return with_redis(working)


async def _tell(client: Any, settings: Settings, action: Any, whose: _Whose, at_ms: int, why: str, until: int) -> None:
    """As a fact, so that it can be audited."""
    from services.suppression.audit import Hand, acted
    from shared.redis import start

    fact = acted(Hand("", who()), action, whose.tenant, whose.key, at_ms, why, until)
    await start.publisher(client, settings).publish([fact])


suppressions.add_command(moving.import_suppressions)
suppressions.add_command(moving.export_suppressions)
