"""`estafette rules`: rules of who must not be mailed, of a tenant, or of the operator for everybody."""

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from services.console.session import day, fail, with_redis
from services.console.tables import as_json, show_json, show_table
from services.console.word import who
from shared.process.settings import Settings

if TYPE_CHECKING:
    from services.suppression.rules import By, Changed, Rules
    from shared.words.rules import Named

T = TypeVar("T")

_tenant: Callable[[Any], Any] = click.option("--tenant", default=None, help="Whose rules.")
_everybody: Callable[[Any], Any] = click.option("--everybody", is_flag=True, help="The operator's, for all tenants.")


def _whose(command: Any) -> Any:
    """The options that say whose rules are meant."""
    return _tenant(_everybody(command))


@click.group()
def rules() -> None:
    """Who must not be mailed, by rule: `*@exemple.fr`, `*@*.exemple.fr`, `contact@*`, an address, a number."""


@rules.command("list")
@_whose
@as_json
def list_rules(tenant: str | None, everybody: bool, as_json: bool) -> None:
    """All rules, in the order of their patterns."""
    from services.suppression.rules import shown

    found: list[Named] = _with_rules(tenant, everybody, lambda store, whose, *_: store.all(whose))
    if as_json:
        show_json([shown(*one) for one in found])
        return
    _show(found)


@rules.command("put")
@click.argument("pattern")
@_whose
@click.option("--channel", "channels", multiple=True, type=click.Choice(("email", "sms")), help="Both: say it twice.")
@click.option("--scope", type=click.Choice(("all", "marketing")), default="all", show_default=True)
@click.option("--note", default="", help="What is kept with it.")
def put_rule(
    pattern: str, tenant: str | None, everybody: bool, channels: tuple[str, ...], scope: str, note: str
) -> None:
    """Put a rule; it is in force at the next check, also for what is queued. By default it is for e-mail, or for SMS if
    it is a telephone number."""
    from services.suppression.rule_files import Written, fit
    from shared.process.clock import now_ms
    from shared.words.rules import InvalidRule

    try:
        named = fit(Written(pattern, channels or None, scope, note), now_ms())
    except InvalidRule as fault:
        fail(f"{pattern!r:.100} is no rule: {fault}")
    changed = _put(tenant, everybody, [named])
    click.echo(f"{'added' if changed.added else 'changed' if changed.changed else 'there already'}: {named.pattern}")


@rules.command("delete")
@click.argument("pattern")
@_whose
def delete_rule(pattern: str, tenant: str | None, everybody: bool) -> None:
    """Take a rule away."""
    from shared.words.rules import InvalidRule, pattern_of

    try:
        form = pattern_of(pattern)
    except InvalidRule as fault:
        fail(f"{pattern!r:.100} is no rule: {fault}")
    if not _with_rules(tenant, everybody, lambda store, whose, by, _: store.delete(whose, form, by)):
        fail(f"there is no rule {form}")
    click.echo(f"deleted: {form}")


@rules.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_whose
@click.option("--replace", is_flag=True, help="Rules that are not in the file are taken away.")
def import_rules(file: Path, tenant: str | None, everybody: bool, replace: bool) -> None:
    """Put all rules of a file, or none: CSV if its name ends in .csv, else text with one on each line."""
    from services.suppression.rule_files import read_csv, read_text
    from shared.process.clock import now_ms

    read = read_csv if file.suffix.lower() == ".csv" else read_text
    try:
        named, faults = read(file.read_text("utf-8-sig"), now_ms())
    except UnicodeDecodeError as error:
        fail(f"{file} is not UTF-8: {error}")
    for fault in faults:
        click.echo(f"{file}: {fault.at}: {fault.what}", err=True)
    if faults or not (named or replace):
        fail(f"{file} is not taken in: nothing is changed")
    changed = _put(tenant, everybody, named, replace=replace)
    click.echo(", ".join(f"{number} {word}" for word, number in changed._asdict().items()))


@rules.command("export")
@_whose
@click.option("--text", "as_text", is_flag=True, help="The patterns alone, one on each line.")
def export_rules(tenant: str | None, everybody: bool, as_text: bool) -> None:
    """All rules as CSV, which `import` reads back unchanged."""
    from services.suppression.rule_files import write_csv, write_text

    found: list[Named] = _with_rules(tenant, everybody, lambda store, whose, *_: store.all(whose))
    click.echo((write_text if as_text else write_csv)(found), nl=False)


@rules.command("test")
@click.argument("address")
@_whose
@as_json
def find_rules(address: str, tenant: str | None, everybody: bool, as_json: bool) -> None:
    """Which rules concern an address, those of the operator among them; exit code 1 if none does."""
    from services.suppression.rules import shown
    from shared.mail import addresses
    from shared.redis.rules import EVERYBODY

    try:
        key = address if address.startswith("+") and "@" not in address else addresses.parse(address).key
    except addresses.InvalidAddress as fault:
        fail(f"not an address: {fault}")

    async def look(store: "Rules", whose: str, *_: Any) -> list[tuple[str, Any]]:
        return [(one, rule) for one in dict.fromkeys((EVERYBODY, whose)) for rule in await store.matching(one, key)]

    found = _with_rules(tenant, everybody, look)
    if as_json:
        show_json([{"tenant": whose, **shown(*named)} for whose, named in found])
    elif found:
        _show([named for _, named in found], [whose or "(everybody)" for whose, _ in found])
    else:
        click.echo(f"no rule concerns {key}")
    if not found:
        raise SystemExit(1)


def _show(found: "list[Named]", whose: "list[str] | None" = None) -> None:
    heads = ("pattern", "channels", "scope", "since", "note")
    rows = [
        (pattern, " ".join(rule.channels), rule.scope, day(rule.since_ms), rule.note[:80]) for pattern, rule in found
    ]
    if whose is not None:
        show_table(("of", *heads), [(one, *row) for one, row in zip(whose, rows, strict=True)])
    else:
        show_table(heads, rows)


def _put(tenant: str | None, everybody: bool, named: "list[Named]", *, replace: bool = False) -> "Changed":
    return _with_rules(
        tenant, everybody, lambda store, whose, by, most: store.put(whose, named, most, by, replace=replace)
    )


def _with_rules(tenant: str | None, everybody: bool, work: "Callable[[Rules, str, By, int], Awaitable[T]]") -> T:
    """Does `work` with the rules in Redis, whose they are, who sits here, and how many there may be."""
    from services.suppression.rules import By, Rules
    from shared.process.clock import now_ms
    from shared.redis import start
    from shared.redis.rules import EVERYBODY
    from shared.redis.tenants import Tenants
    from shared.words import quotas
    from shared.words.errors import Problem

    if (tenant is None) is not everybody:
        fail("name a --tenant, or say --everybody")

    async def working(client: Any, settings: Settings) -> T:
        own: dict[str, int] = {}
        if tenant is not None:
            found = await Tenants(client).get(tenant)
            if found is None:
                raise LookupError(f"there is no tenant {tenant}")
            own = found.quotas
        most = quotas.limits(settings.quotas.by_name(), own)["rules"]
        store = Rules(client, start.publisher(client, settings), now_ms, lambda: secrets.token_hex(8))
        try:
            return await work(store, EVERYBODY if tenant is None else tenant, By("", who()), most)
        except Problem as problem:
            raise LookupError(problem.detail) from None

    return with_redis(working)
