"""`estafette domains`: sending domains, whose they are, their DKIM keys and the records to publish."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from services.console.session import day, fail, in_force, with_redis
from services.console.tables import as_json, show_json
from shared.process.settings import Settings

if TYPE_CHECKING:
    from shared.redis.sending_domains import Follow, Inspect, LookUp, SendingDomains
    from shared.words.sending_domain import DnsRecord, SendingDomain

#: How a domain came to be its tenant's, in `domains list`.
_STANDINGS = {"verified": "added", "pending": "waits", "by_use": "taken by use", "taken_back": "taken back"}

T = TypeVar("T")


@click.group()
def domains() -> None:
    """Sending domains: who may write From them, and what to publish in DNS."""


@domains.command("add")
@click.argument("domain")
@click.option("--tenant", default=None, help="Who may write From it, whatever DNS shows.")
@click.option("--installation", is_flag=True, help="Nobody may: it is the domain of return paths, whose key signs too.")
def add_domain(domain: str, tenant: str | None, installation: bool) -> None:
    """Add a sending domain of a tenant, or of the installation, and print its DNS records. That it is typed here is the
    operator's word that it is theirs: DNS is not asked."""
    if (tenant is None) is not installation:
        fail("name its --tenant, or say --installation")
    _give(tenant, domain)


def _give(tenant: str | None, domain: str) -> None:
    """To a tenant, or to the installation."""
    from shared.redis.tenants import Tenants
    from shared.words.sending_domain import INSTALLATION

    async def give(client: Any, settings: Settings) -> Any:
        if tenant is not None and await Tenants(client).get(tenant) is None:
            raise LookupError(f"there is no tenant {tenant}")
        store = await _sending_domains(client, settings)
        return await store.give(INSTALLATION if tenant is None else tenant, domain)

    added, new = with_redis(give)
    click.echo(f"{'added' if new else 'there already'}: {added.domain}; publish:", err=True)
    _print_records(added)


@domains.command("returns")
@click.argument("domain")
@click.argument("name")
@click.option("--tenant", default=None, help="Whose; its owner's if left out.")
def return_by(domain: str, name: str, tenant: str | None) -> None:
    """Let the mail of a domain come back to NAME, a name of the same organisation, so that SPF aligns; `-`: to the
    installation's. It is used while DNS leads mail to it to us."""
    own = "" if name == "-" else name
    changed = _with_domain(domain, tenant, lambda store, owner, *_: store.returns.set(owner, domain, own))
    if changed.return_path:
        click.echo(f"publish; then: estafette domains check {changed.domain}", err=True)
    _print_records(changed)


@domains.command("links")
@click.argument("domain")
@click.argument("url")
@click.option("--tenant", default=None, help="Whose; its owner's if left out.")
def lead_by(domain: str, url: str, tenant: str | None) -> None:
    """Let links in the mails of a domain begin with URL, as https://links.acme.example; `-`: with tracking.base_url.
    Its host has to lead to our trackers, with a certificate, before: `check` has DNS asked whether it does."""
    own = "" if url == "-" else url
    try:
        changed = _with_domain(domain, tenant, lambda store, owner, *_: store.links.set(owner, domain, own))
    except ValueError as error:
        fail(str(error))
    click.echo(f"{changed.domain}: links begin with {changed.links or in_force().base_url}")


@domains.command("list")
@click.option("--tenant", default=None, help="Only that tenant's.")
@as_json
def list_domains(tenant: str | None, as_json: bool) -> None:
    """The sending domains of a tenant, or of all."""
    found = [one for one in _with_domains(lambda store: store.all()) if tenant in (None, one.tenant)]
    if as_json:
        show_json([_shown(one) for one in found])
        return
    for domain in found:
        how = _STANDINGS[domain.standing]
        selectors = ", ".join(f"{key.selector} {key.state}" for key in domain.keys)
        owner = domain.tenant or "(installation)"
        click.echo(f"{domain.domain:<40}  {owner:<16}  {how} {day(domain.created_at)}  {selectors}")


@domains.command("give")
@click.argument("domain")
@click.option("--tenant", required=True, help="Who shall have it.")
def give_domain(domain: str, tenant: str) -> None:
    """Say that a domain is a tenant's, whatever DNS shows. What another one owns is taken from them first."""
    _give(tenant, domain)


@domains.command("take")
@click.argument("domain")
def take_domain(domain: str) -> None:
    """Take a domain from its owner. What waits to be sent from it waits on; they get it back by `give` alone."""
    taken = _with_domains(lambda store: store.take(domain))
    if taken is None:
        fail(f"{domain} is nobody's sending domain")
    click.echo(f"taken from {taken.tenant or 'the installation'}: {taken.domain}")


@domains.command("check")
@click.argument("domain")
@click.option("--tenant", default=None, help="Whose; its owner's if left out.")
@as_json
def check_domain(domain: str, tenant: str | None, as_json: bool) -> None:
    """Ask DNS for the records of a domain and print what it shows. One that waits is its tenant's if it shows
    them. Exit code 1 if a record is missing, or is another."""
    checked = _with_domain(
        domain,
        tenant,
        lambda store, owner, look_up, inspect, follow: store.check(owner, domain, look_up, inspect, follow),
    )
    if as_json:
        records = _records(checked)
        show_json({**_shown(checked), "records": records})
        if _lacking(records):
            raise SystemExit(1)
        return
    waits = f", waits for {checked.waits_for}" if checked.waits_for else ""
    click.echo(f"; {checked.domain} of {checked.tenant or 'the installation'}: {checked.standing}{waits}")
    if lacking := _print_records(checked):
        click.echo(f"not as they should be: {', '.join(lacking)}", err=True)
        raise SystemExit(1)


@domains.command("rotate")
@click.argument("domain")
@click.option("--tenant", default=None, help="Whose; its owner's if left out.")
def rotate_domain(domain: str, tenant: str | None) -> None:
    """Make new DKIM keys of a domain and print their records: publish them, then activate. Until then the former keys
    sign."""
    rotated = _with_domain(domain, tenant, lambda store, owner, *_: store.rotate(owner, domain))
    click.echo(f"publish the waiting records; then: estafette domains activate {rotated.domain}", err=True)
    _print_records(rotated)


@domains.command("activate")
@click.argument("domain")
@click.option("--tenant", default=None, help="Whose; its owner's if left out.")
@click.option("--force", is_flag=True, help="Without asking DNS. Mail whose key is not found counts as unsigned.")
def activate_domain(domain: str, tenant: str | None, force: bool) -> None:
    """Let the new DKIM keys of a domain sign, once DNS shows their records. Relays follow within ten seconds; leave the
    retiring records in DNS until their day."""
    from shared.mail.dkim_rotation import NothingWaiting, NotPublished

    try:
        activated = _with_domain(
            domain,
            tenant,
            lambda store, owner, look_up, *_: store.activate(owner, domain, None if force else look_up),
        )
    except NotPublished as error:
        fail("\n".join(["not activated:", *(f"  {record}: {what}" for record, what in error.faults)]))
    except NothingWaiting as error:
        fail(str(error))
    _print_records(activated)


@domains.command("reencrypt")
def reencrypt_domains() -> None:
    """Encrypt all DKIM keys under the current master secret; afterwards the former one may go."""
    changed, failed = _with_domains(lambda store: store.reencrypt())
    click.echo(f"domains whose keys were encrypted anew: {changed - len({one.split()[-1] for one in failed})}")
    if failed:
        fail("\n".join(["these keys open under no secret that is named in the settings:", *failed]))


async def _sending_domains(client: Any, settings: Settings) -> "SendingDomains":
    """With the secret of the instance: a key encrypted under another one would be lost to its relays."""
    from shared.mail.dkim_keys import Vault
    from shared.process import logs, master_secret
    from shared.redis import known_secret
    from shared.redis.sending_domains import SendingDomains

    try:
        secret = master_secret.load(settings, make=False)
        await known_secret.check(client, settings, secret)
    except known_secret.WrongSecret as error:
        raise LookupError(str(error)) from None
    except master_secret.NoSecret as error:
        raise LookupError(f"{error}; name the instance's data.dir, or its secret.key_file") from None
    logs.configure("console", settings.logs.level)  # whom a domain is given to, and from whom taken
    return SendingDomains(client, Vault(secret.current, secret.previous), ours=settings.own_hosts)


def _with_domains(work: Callable[["SendingDomains"], Awaitable[T]]) -> T:
    async def working(client: Any, settings: Settings) -> T:
        return await work(await _sending_domains(client, settings))

    return with_redis(working)


def _with_domain(
    domain: str,
    tenant: str | None,
    work: Callable[["SendingDomains", str, "LookUp", "Inspect", "Follow"], Awaitable["SendingDomain"]],
) -> "SendingDomain":
    """Does `work` for this tenant's domain or claim, or for the domain's owner, whoever that is."""
    from shared.net import dns
    from shared.net.return_paths import ReturnPathChecks
    from shared.net.tracking_hosts import TrackingHostChecks
    from shared.process.clock import now_ms

    async def working(client: Any, settings: Settings) -> "SendingDomain":
        def ask() -> dns.Resolver:
            return dns.resolver(settings.dns.servers, settings.dns.timeout_ms, settings.dns.at_a_time, time.monotonic)

        async def look_up(names: Sequence[str]) -> Mapping[str, Sequence[str] | None]:
            return await dns.texts(names, settings.dns.servers, settings.dns.timeout_ms)

        store = await _sending_domains(client, settings)
        found = await store.find(domain) if tenant is None else await store.get(tenant, domain)
        if found is None:
            whose = "nobody's sending domain" if tenant is None else f"not among the sending domains of {tenant}"
            raise LookupError(f"{domain} is {whose}")
        tracker, ours = settings.own_hosts
        inspect, follow = ReturnPathChecks(ours, ask, now_ms), TrackingHostChecks(tracker, ask, now_ms)
        return await work(store, found.tenant, look_up, inspect, follow)

    return with_redis(working)


def _print_records(domain: "SendingDomain") -> list[str]:
    """As a zone file has them, each under a comment. The names of those that DNS does not show as they are."""
    listed = _records(domain)
    aliases = {record.name for record in listed if record.type == "CNAME"}
    for record in listed:
        until = f" until {record.keep_until}" if record.keep_until else ""
        asked = f" ({record.checked_at})" if record.checked_at else ""
        click.echo(f"; {record.key or 'policy'}{until} · in DNS: {record.dns}{asked} {record.detail}".rstrip())
        # Nothing stands beside an alias (RFC 1034 section 3.6.2).
        instead = (
            "; with an MX record instead of the alias: " if record.type == "TXT" and record.name in aliases else ""
        )
        click.echo(f"{instead}{record.name}. {record.type} {_in_zone(record)}")
    return _lacking(listed)


def _records(domain: "SendingDomain") -> "list[DnsRecord]":
    from shared.words.sending_domain import records

    tracker, ours = in_force().own_hosts
    return records(domain, time.time_ns() // 1_000_000, ours, tracker)


def _lacking(records: "Sequence[DnsRecord]") -> list[str]:
    """The names of those that DNS does not show as they are."""
    return [record.name for record in records if record.dns != "published"]


def _shown(domain: "SendingDomain") -> dict[str, Any]:
    return {
        "domain": domain.domain,
        "tenant": domain.tenant,
        "standing": domain.standing,
        "waits_for": domain.waits_for,
        "return_path": domain.return_path or None,
        "created_at_ms": domain.created_at,
        "keys": [{"selector": key.selector, "state": key.state} for key in domain.keys],
    }


def _in_zone(record: "DnsRecord") -> str:
    """A text in strings of 255 characters at most (RFC 1035 section 3.3)."""
    if record.type != "TXT":
        return record.value
    pieces = [record.value[at : at + 255] for at in range(0, len(record.value), 255)]
    return " ".join(f'"{piece}"' for piece in pieces)
