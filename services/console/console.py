"""The console command `estafette`: what an operator types. It decodes, delegates and prints."""

import asyncio
import json
import os
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from services import catalogue
from shared.process import settings as settings_module
from shared.process.settings import Settings, SettingsError
from shared.words.errors import OperatorFault

if TYPE_CHECKING:
    from shared.redis.sending_domains import LookUp, SendingDomain, SendingDomains

#: How a domain came to be its tenant's, in `domains list`.
_STANDINGS = {"verified": "added", "pending": "waits", "by_use": "taken by use", "taken_back": "taken back"}

T = TypeVar("T")


class Console(click.Group):
    """Whatever fails ends in a sentence and exit code 2. The traceback of what should not have happened is in a file:
    it is for who mends it, and may show what nobody else should see."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click ends with these as it should
        except OperatorFault as error:
            _fail(str(error))
        except OSError as error:
            _fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part is not None))
        except Exception as error:
            with tempfile.NamedTemporaryFile("w", prefix="estafette-", suffix=".traceback", delete=False) as file:
                traceback.print_exc(file=file)
            _fail(f"this is a fault of Estafette: {type(error).__name__}. What is needed to mend it is in {file.name}")


@click.group(cls=Console, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The sending and tracking engine. Settings: estafette.toml and ESTAFETTE_<SECTION>_<FIELD>."""


@main.command()
def run() -> None:
    """Run one whole instance on this machine, until Ctrl-C."""
    from services.local import run as instance

    try:
        instance.run(_settings())
    except instance.CannotRun as error:
        _fail(str(error))


@main.command()
@click.argument("service", type=click.Choice(catalogue.SERVED))
def serve(service: str) -> None:
    """Run one process: the loop of a service, or `http`, every route."""
    from shared.process import lifecycle

    settings = _settings()
    if not settings.redis.url:
        _fail("set redis.url: a process that is served alone starts no Redis")
    lifecycle.run(catalogue.BY_NAME[service].main().main, service, lambda: settings)


@main.command("settings")
@click.option("--markdown", is_flag=True, help="The page docs/settings.md: all that there are, with their comments.")
def print_settings(markdown: bool) -> None:
    """Every setting in force, and where it comes from."""
    from services import settings as joined
    from services.console import settings_page

    if markdown:
        click.echo(settings_page.page(), nl=False)
        return
    environ = os.environ
    try:
        found = joined.explain(environ, settings_module.settings_file(environ))
    except SettingsError as error:
        _fail(str(error))
    width = max(len(line.name) for line in found)
    for line in found:
        value = json.dumps(settings_module.masked(line.value))
        click.echo(f"{line.name:<{width}} = {value:<24} {line.source}")


@main.command()
def demo() -> None:
    """Send a campaign of 1,000 recipients through the running instance and print its report."""
    from services.local import demo as campaign

    settings = _settings()
    try:
        campaign.run(settings)
    except campaign.DemoFailed as error:
        _fail(str(error))


@main.command()
@click.option("--partition", type=int, default=None, help="Only this partition.")
@click.option("--fact", default=None, help="Only facts of this name, as Bounced.")
@click.option("--from-start", is_flag=True, help="Everything that is kept, not only what comes from now on.")
@click.option("--no-follow", is_flag=True, help="End where the streams end.")
def tail(partition: int | None, fact: str | None, from_start: bool, no_follow: bool) -> None:
    """Print events as JSON lines, as they happen."""
    from services.console import tail as reader
    from shared.words.events import FACTS

    if fact is not None and fact not in FACTS:
        _fail(f"there is no fact {fact!r:.40}; there are {', '.join(FACTS)}")

    async def print_all(client: Any, settings: Settings) -> None:
        if partition is not None and not 0 <= partition < settings.redis.partitions:
            raise ValueError(f"there is no partition {partition}; there are 0 to {settings.redis.partitions - 1}")
        partitions = range(settings.redis.partitions) if partition is None else [partition]
        async for line in reader.read(client, partitions, fact=fact, from_start=from_start, follow=not no_follow):
            click.echo(line)

    _with_redis(print_all)


@main.group()
def tenants() -> None:
    """Who may use this installation."""


@tenants.command("add")
@click.argument("name")
@click.option("--any-from-domain", is_flag=True, help="May write From any domain that is nobody else's. For trying.")
def add_tenant(name: str, any_from_domain: bool) -> None:
    """Add a tenant: a-z, 0-9 and -, 32 characters at most."""
    from shared.redis.tenants import Tenants

    tenant = _with_redis(lambda client, _: Tenants(client).create(name, any_from_domain=any_from_domain))
    click.echo(f"added {tenant.name}")


@tenants.command("list")
def list_tenants() -> None:
    """Every tenant."""
    from shared.redis.tenants import Tenants

    for tenant in _with_redis(lambda client, _: Tenants(client).all()):
        flags = "  any From domain" if tenant.any_from_domain else ""
        own = "".join(f"  {name}={limit}" for name, limit in sorted(tenant.quotas.items()))
        click.echo(f"{tenant.name:<32}  since {_day(tenant.created_at)}{flags}{own}")


@tenants.command("show")
@click.argument("name")
def show_tenant(name: str) -> None:
    """A tenant and its quotas: its own, and those that it has from the settings."""
    from shared.redis.tenants import Tenants

    settings = _settings()
    tenant = _with_redis(lambda client, _: Tenants(client).get(name))
    if tenant is None:
        _fail(f"there is no tenant {name}")
    click.echo(f"{tenant.name}  since {_day(tenant.created_at)}{'  any From domain' if tenant.any_from_domain else ''}")
    for quota, limit in settings.quotas.by_name().items():
        own = tenant.quotas.get(quota)
        click.echo(f"  {quota:<22} {limit if own is None else own:>14}  {'default' if own is None else 'its own'}")


@tenants.command("quota")
@click.argument("name")
@click.argument("quota")
@click.argument("limit")
def set_quota(name: str, quota: str, limit: str) -> None:
    """Give a tenant a quota of its own (a number), or the one of the settings again (`default`). Every process follows
    within ten seconds. `estafette tenants show` names the quotas."""
    from shared.redis.tenants import Tenants

    if limit != "default" and not (limit.isascii() and limit.isdigit() and len(limit) < 16):
        _fail(f"a quota is a number, or `default`, not {limit!r:.40}")
    most = None if limit == "default" else int(limit)
    _with_redis(lambda client, _: Tenants(client).set_quota(name, quota, most))
    click.echo(f"{quota} of {name}: {limit}")


@main.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--tenant", required=True)
@click.option("--scope", required=True, help="Separated by commas, of send, read, suppress, admin, operator.")
def create_key(tenant: str, scope: str) -> None:
    """Make a key and print it, alone on standard output. It cannot be shown again."""
    from shared.redis.tenants import Tenants

    wanted = [part.strip() for part in scope.split(",") if part.strip()]
    key, text = _with_redis(lambda client, _: Tenants(client).create_key(tenant, wanted))
    click.echo(f"id {key.id}, for {key.tenant}, {','.join(key.scopes)}; keep it, it is not shown again:", err=True)
    click.echo(text)


@keys.command("list")
@click.option("--tenant", default=None)
def list_keys(tenant: str | None) -> None:
    """Every key: its id, never its text."""
    from shared.redis.tenants import Tenants

    for key in _with_redis(lambda client, _: Tenants(client).keys_of(tenant)):
        click.echo(f"{key.id}  {key.tenant:<32}  since {_day(key.created_at)}  {','.join(key.scopes)}")


@keys.command("revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """Revoke the key with that id. Every process refuses it within ten seconds."""
    from shared.redis.tenants import Tenants

    if not _with_redis(lambda client, _: Tenants(client).revoke_key(key_id)):
        _fail(f"there is no key {key_id}")
    click.echo(f"revoked {key_id}")


@main.group()
def domains() -> None:
    """Sending domains: who may write From them, and what to publish in DNS."""


@domains.command("add")
@click.argument("domain")
@click.option("--tenant", default=None, help="Who may write From it, whatever DNS shows.")
@click.option("--installation", is_flag=True, help="Nobody may: it is the domain of return paths, whose key signs too.")
def add_domain(domain: str, tenant: str | None, installation: bool) -> None:
    """Add a sending domain of a tenant, or of the installation, and print its DNS records. That it is typed here is the
    operator's word that it is his: DNS is not asked."""
    if (tenant is None) is not installation:
        _fail("name its --tenant, or say --installation")
    _give(tenant, domain)


def _give(tenant: str | None, domain: str) -> None:
    """To a tenant, or to the installation."""
    from shared.redis.sending_domains import INSTALLATION
    from shared.redis.tenants import Tenants

    async def give(client: Any, settings: Settings) -> Any:
        if tenant is not None and await Tenants(client).get(tenant) is None:
            raise LookupError(f"there is no tenant {tenant}")
        store = await _sending_domains(client, settings)
        return await store.give(INSTALLATION if tenant is None else tenant, domain)

    added, new = _with_redis(give)
    click.echo(f"{'added' if new else 'there already'}: {added.domain}; publish:", err=True)
    _print_records(added)


@domains.command("list")
@click.option("--tenant", default=None, help="Only that tenant's.")
def list_domains(tenant: str | None) -> None:
    """The sending domains of a tenant, or of all."""
    for domain in _with_domains(lambda store: store.all()):
        if tenant is not None and domain.tenant != tenant:
            continue
        how = _STANDINGS[domain.standing]
        selectors = ", ".join(f"{key.selector} {key.state}" for key in domain.keys)
        owner = domain.tenant or "(installation)"
        click.echo(f"{domain.domain:<40}  {owner:<16}  {how} {_day(domain.created_at)}  {selectors}")


@domains.command("give")
@click.argument("domain")
@click.option("--tenant", required=True, help="Who shall have it.")
def give_domain(domain: str, tenant: str) -> None:
    """Say that a domain is a tenant's, whatever DNS shows. What another one owns is taken from him first."""
    _give(tenant, domain)


@domains.command("take")
@click.argument("domain")
def take_domain(domain: str) -> None:
    """Take a domain from its owner. What waits to be sent from it waits on; he gets it back by `give` alone."""
    taken = _with_domains(lambda store: store.take(domain))
    if taken is None:
        _fail(f"{domain} is nobody's sending domain")
    click.echo(f"taken from {taken.tenant or 'the installation'}: {taken.domain}")


@domains.command("check")
@click.argument("domain")
@click.option("--tenant", default=None, help="Whose; its owner's if left out.")
def check_domain(domain: str, tenant: str | None) -> None:
    """Ask DNS for the records of a domain and print what it shows. One that waits is its tenant's if it shows him."""
    checked = _with_domain(domain, tenant, lambda store, owner, look_up: store.check(owner, domain, look_up))
    waits = f", waits for {checked.waits_for}" if checked.waits_for else ""
    click.echo(f"; {checked.domain} of {checked.tenant or 'the installation'}: {checked.standing}{waits}")
    _print_records(checked)


@domains.command("rotate")
@click.argument("domain")
@click.option("--tenant", default=None, help="Whose; its owner's if left out.")
def rotate_domain(domain: str, tenant: str | None) -> None:
    """Make new DKIM keys of a domain and print their records: publish them, then activate. Until then the former keys
    sign."""
    rotated = _with_domain(domain, tenant, lambda store, owner, _: store.rotate(owner, domain))
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
            domain, tenant, lambda store, owner, look_up: store.activate(owner, domain, None if force else look_up)
        )
    except NotPublished as error:
        _fail("\n".join(["not activated:", *(f"  {record}: {what}" for record, what in error.faults)]))
    except NothingWaiting as error:
        _fail(str(error))
    _print_records(activated)


@domains.command("reencrypt")
def reencrypt_domains() -> None:
    """Encrypt all DKIM keys under the current master secret; afterwards the former one may go."""
    changed, failed = _with_domains(lambda store: store.reencrypt())
    click.echo(f"domains whose keys were encrypted anew: {changed - len({one.split()[-1] for one in failed})}")
    if failed:
        _fail("\n".join(["these keys open under no secret that is named in the settings:", *failed]))


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

    return _with_redis(working)


def _with_domain(
    domain: str,
    tenant: str | None,
    work: Callable[["SendingDomains", str, "LookUp"], Awaitable["SendingDomain"]],
) -> "SendingDomain":
    """Does `work` for this tenant's domain or claim, or for the domain's owner, whoever that is."""
    from shared.net import dns

    async def working(client: Any, settings: Settings) -> "SendingDomain":
        async def look_up(names: Sequence[str]) -> Mapping[str, Sequence[str] | None]:
            return await dns.texts(names, settings.dns.servers, settings.dns.timeout_ms)

        store = await _sending_domains(client, settings)
        found = await store.find(domain) if tenant is None else await store.get(tenant, domain)
        if found is None:
            whose = "nobody's sending domain" if tenant is None else f"not among the sending domains of {tenant}"
            raise LookupError(f"{domain} is {whose}")
        return await work(store, found.tenant, look_up)

    return _with_redis(working)


def _print_records(domain: "SendingDomain") -> None:
    """As a zone file has them, each under a comment."""
    from shared.redis.sending_domains import records

    for record in records(domain, time.time_ns() // 1_000_000):
        until = f" until {record.keep_until}" if record.keep_until else ""
        asked = f" ({record.checked_at})" if record.checked_at else ""
        click.echo(f"; {record.key or 'policy'}{until} · in DNS: {record.dns}{asked} {record.detail}".rstrip())
        click.echo(f'{record.name}. {record.type} "{record.value}"')


@main.group()
def installation() -> None:
    """Whose data the Redis in force holds."""


@installation.command("show")
def show_installation() -> None:
    """The id of the data, and whether it is what is remembered here."""
    from shared.redis import installation as installations
    from shared.redis import start

    async def show(client: Any, settings: Settings) -> tuple[str, str | None]:
        found = start.installation(client, settings)
        try:
            await found.still()
        except installations.NotOurs as words:
            return await found.stored(), str(words)
        return await found.stored(), None

    stored, why_not = _with_redis(show)
    click.echo(stored or "none")
    if why_not is not None:
        _fail(why_not)


@installation.command("accept")
@click.argument("ids", nargs=-1)
def accept_installation(ids: tuple[str, ...]) -> None:
    """Go on with what Redis holds now, or with nothing: what was there before is given up. IDS are those that processes
    without a data directory here remember, as their /readyz tells them."""
    from shared.redis import start
    from shared.redis.installation import ID

    if wrong := next((one for one in ids if not ID.fullmatch(one)), None):
        _fail(f"{wrong!r:.80} is no id of an installation")

    async def accept(client: Any, settings: Settings) -> str:
        return await start.installation(client, settings).accept(ids)

    click.echo(f"accepted: {_with_redis(accept)}")


@main.group()
def secret() -> None:
    """The master secret, by which links and return paths are signed and DKIM keys are encrypted."""


@secret.command("accept")
def accept_secret() -> None:
    """Go on with the secret that the settings name, although Redis was used with another one. Links and return paths of
    mails already sent are void then, and DKIM keys that it cannot open have to be made anew (`domains rotate`)."""
    from shared.process import master_secret
    from shared.redis import known_secret

    async def accept(client: Any, settings: Settings) -> str:
        try:
            named = master_secret.load(settings, make=False)
        except master_secret.NoSecret as error:
            raise LookupError(f"{error}; name the data.dir of an instance, or secret.key_file") from None
        await known_secret.accept(client, named)
        return str(settings.secret_file)

    click.echo(f"accepted: the secret in {_with_redis(accept)}")


@main.group()
def stops() -> None:
    """Jobs and tenants that a breaker stopped, or that were paused."""


@stops.command("list")
def list_stops() -> None:
    """Everything that is stopped, by the name that `consent` takes."""
    from shared.redis.stops import StopList

    for name, stop in sorted(_with_redis(lambda client, _: StopList(client).all()).items()):
        figures = f"  {stop.bad} of {stop.of}" if stop.of else ""
        consent = f"  consented {_minute(stop.consent_ms)}" if stop.consent_ms else ""
        click.echo(f"{name:<39}  {stop.tenant}  since {_minute(stop.since_ms)}  {stop.reason}{figures}{consent}")


@stops.command("consent")
@click.argument("name")
def consent_to_resume(name: str) -> None:
    """Consent that its tenant resumes what a breaker stopped: job:<id> or tenant:<name>."""
    from shared.redis.stops import StopList

    async def consent(client: Any, _: Settings) -> Any:
        stop_list = StopList(client)
        (stop,) = await stop_list.some([name])
        if stop is None:
            raise LookupError(f"nothing of the name {name} is stopped")
        if not stop.needs_consent:
            raise ValueError(f"{name} is {stop.reason}: its tenant resumes it by himself")
        if not await stop_list.consent(name, stop, time.time_ns() // 1_000_000):
            raise LookupError(f"{name} has been resumed in the meantime")
        return stop

    stop = _with_redis(consent)
    click.echo(f"{stop.tenant} may resume {name} now: {stop.reason}, {stop.bad} of {stop.of}")


def _settings() -> Settings:
    from services import settings as joined

    try:
        return joined.read()
    except SettingsError as error:
        _fail(str(error))


def _with_redis(work: Callable[[Any, Settings], Awaitable[T]]) -> T:
    """Does `work` with a client of the Redis in force: that of the settings, or the one that `estafette run` runs."""
    from shared.mail.dkim_keys import CannotOpen
    from shared.redis import redis
    from shared.redis.sending_domains import DomainHeld, DomainTaken

    settings = _settings()
    running = settings.data.path / "redis.url"
    url = settings.redis.url or (running.read_text("ascii").strip() if running.exists() else "")
    if not url:
        _fail(f"no Redis: set redis.url, or start `estafette run` in {settings.data.path.resolve()}")

    async def working() -> T:
        client = redis.connect(url)
        try:
            return await work(client, settings)
        finally:
            await redis.close(client)

    try:
        return asyncio.run(working())
    except redis.NotLetIn as error:
        _fail(str(error))
    except redis.RedisAway as error:
        _fail(f"Redis does not answer: {error}")
    except redis.Refused as error:
        _fail(f"Redis refuses a command: {error}")
    except (CannotOpen, DomainHeld, DomainTaken) as error:
        _fail(str(error))
    except (ValueError, LookupError) as error:
        _fail(str(error.args[0]) if isinstance(error, KeyError) else str(error))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


def _minute(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _fail(message: str) -> NoReturn:
    click.echo(f"estafette: {message}", err=True)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
