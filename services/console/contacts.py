"""`estafette contacts`: the contacts of a tenant, one of them, and that it is erased."""

from typing import TYPE_CHECKING, Any

import click

from services.console.contact_base import with_base
from services.console.session import fail
from services.console.tables import as_json, plain, show_json, show_table

if TYPE_CHECKING:
    from services.contacts.base.database import Database

copy_option = click.option("--copy", type=click.IntRange(0, 1_000_000), default=0, help="Which of who share the key.")


@click.group()
def contacts() -> None:
    """Contacts of a tenant: search, show, timeline, erase."""


@contacts.command("search")
@click.argument("tenant")
@click.option("--letters", default="", help="In the address, the key or any text, in any case.")
@click.option("--email", default=None, help="Whoever has this address.")
@click.option("--mobile", default=None, help="Whoever has this mobile telephone.")
@click.option("--tag", default="", help="Whoever has this tag.")
@click.option(
    "--addressable", type=click.Choice(("email", "sms", "phone")), default=None, help="Who may be reached so."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@as_json
def search(tenant: str, letters: str, tag: str, limit: int, as_json: bool, **asked: Any) -> None:
    """Whoever all of this holds for, in the order in which they came; exit code 1 if nobody is found."""
    from services.contacts.base.folding import folded
    from services.contacts.base.store import Search
    from services.contacts.contacts import Contacts
    from services.contacts.shown import record

    wanted = Search(
        email_key=_address(asked["email"]),
        mobile=_mobile(asked["mobile"]),
        text=folded(letters) or None,
        addressable=asked["addressable"],
    )

    async def look(database: "Database") -> list[Any]:
        found, known = await Contacts(database).find(tenant, wanted, tag, limit)
        return [record(one, known) for one in found]

    found = with_base(tenant, look)
    if as_json:
        show_json(found)
    else:
        rows = [(one.key, one.copy, one.email, _reached(one), one.updated_at) for one in found]
        show_table(("key", "copy", "address", "may be reached by", "changed"), rows)
    if not found:
        raise SystemExit(1)


@contacts.command("show")
@click.argument("tenant")
@click.argument("key")
@copy_option
@as_json
def show(tenant: str, key: str, copy: int, as_json: bool) -> None:
    """All that is known of a contact; exit code 1 if there is none."""
    from services.contacts.contacts import Contacts
    from services.contacts.shown import record

    async def look(database: "Database") -> Any:
        found = await Contacts(database).get(tenant, key, copy)
        return None if found is None else record(*found)

    one = with_base(tenant, look)
    if one is None:
        click.echo(f"there is no contact {plain(key)} of {tenant}")
        raise SystemExit(1)
    if as_json:
        show_json(one)
        return
    click.echo(f"{plain(one.key)}  number {one.id}, came {one.created_at}, changed {one.updated_at}")
    for name in ("email", "mobile", "telephone"):
        click.echo(f"{name:<12}{plain(getattr(one, name) or '-')}")
    for name, value in one.fields.items():
        click.echo(plain(f"{name:<12}{', '.join(value) if isinstance(value, list) else value}"))
    click.echo(f"{'activity':<12}{one.activity}")
    for channel in ("email", "sms", "phone"):
        state = getattr(one.channels, channel)
        why = "may be reached" if state.addressable else f"may not be reached: {state.why_not}"
        click.echo(f"by {channel:<9}{why}{f' ({plain(state.diagnostic)})' if state.diagnostic else ''}")


@contacts.command("timeline")
@click.argument("tenant")
@click.argument("key")
@copy_option
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@as_json
def timeline(tenant: str, key: str, copy: int, limit: int, as_json: bool) -> None:
    """What happened to a contact, the latest first; exit code 1 if there is no such contact."""
    from services.contacts.behaviour.timeline import LATEST
    from services.contacts.contacts import Contacts
    from services.contacts.shown import time

    found = with_base(tenant, lambda database: Contacts(database).timeline(tenant, key, copy, LATEST, limit))
    if found is None:
        click.echo(f"there is no contact {plain(key)} of {tenant}")
        raise SystemExit(1)
    rows = [(time(one.at), one.word, one.machine, one.operation and one.operation.name, one.text) for one in found]
    if as_json:
        show_json([dict(zip(("at", "what", "machine", "operation", "text"), row, strict=True)) for row in rows])
        return
    told = [(at, word, "yes" if machine else "", *others) for at, word, machine, *others in rows]
    show_table(("when", "what", "machine", "operation", "url, event or kind"), told)


@contacts.command("erase")
@click.argument("tenant")
@click.argument("key")
@copy_option
@click.confirmation_option(prompt="Nothing of it can be had back. Erase?")
def erase(tenant: str, key: str, copy: int) -> None:
    """Erase a contact with its history and all that it did. What else is kept of its address: `people erase`."""
    from services.contacts.contacts import Contacts

    if not with_base(tenant, lambda database: Contacts(database).erase(tenant, key, copy)):
        fail(f"there is no contact {plain(key)} of {tenant}")
    click.echo(f"erased: {plain(key)}")


def _address(text: str | None) -> str | None:
    from services.console.session import address_key

    return None if text is None else address_key(text)


def _mobile(text: str | None) -> str | None:
    from services.contacts.base import fields

    if text is None:
        return None
    try:
        return fields.phone(text)
    except ValueError as fault:
        fail(f"{text!r:.40} is no telephone: {fault}")


def _reached(one: Any) -> str:
    return ", ".join(name for name in ("email", "sms", "phone") if getattr(one.channels, name).addressable)
