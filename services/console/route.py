"""`estafette route ADDRESS`: where a mail to an address would go, by which of our addresses, and what would hold it."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from services.console.session import fail, with_redis
from services.console.tables import as_json, show_json
from shared.process.settings import Settings, SettingsError

if TYPE_CHECKING:
    from shared.process.routing import Asked, Route, Routing


@click.command()
@click.argument("address")
@click.option("--tenant", default="", help="Whose mail: its pool, its list, its stops.")
@click.option("--from", "sender", default="", metavar="DOMAIN", help="The domain that it is from.")
@click.option("--stream", type=click.Choice(("bulk", "transactional", "one_to_one")), default="bulk", show_default=True)
@as_json
def route(address: str, tenant: str, sender: str, stream: str, as_json: bool) -> None:
    """Route, mail hosts, site, pool, limits and encryption of an address, and what would happen to a mail now."""
    from shared.mail import addresses
    from shared.process.routing import Asked

    try:
        parsed = addresses.parse(address)
    except addresses.InvalidAddress as fault:
        fail(f"not an address: {fault}")

    async def look(client: Any, settings: Settings) -> dict[str, Any]:
        asked = Asked(addresses.domain_of(parsed.key), tenant, stream, sender.lower())
        return await _found(client, settings, parsed.key, asked)

    found = with_redis(look)
    if as_json:
        show_json(found)
    else:
        width = max(len(name) for name in found)
        for name, value in found.items():
            for line in value if isinstance(value, list) else [value]:
                click.echo(f"{name:<{width}}  {'-' if line in (None, '') else line}")
    if found["would"] != ["be sent"]:
        raise SystemExit(1)


async def _found(client: Any, settings: Settings, address: str, about: "Asked") -> dict[str, Any]:
    from services.console.encryption import encryption_of
    from services.operator.sites import Sites
    from services.relay import settings as of_relay
    from services.relay.traffic.egress import Egress
    from services.relay.traffic.limits_of import LimitsOf
    from services.relay.traffic.smarthosts import Smarthost
    from shared.process.clock import now_ms
    from shared.redis.moves import MoveList, name_of
    from shared.redis.suppression import Asked, SuppressionList
    from shared.words import sites

    domain, tenant, stream = about.domain, about.tenant, about.stream
    routing = _routing(settings)
    looked = await _looked_up(settings, routing, about)
    site = looked.site
    shaping, egress = _shaping(settings), Egress.parse(_read(settings.relay.egress_file))
    pool = egress.pool(stream, tenant).name
    moves = await MoveList(client).all()
    moved = moves.get(name_of(site, tenant)) or moves.get(name_of(site))
    if moved is not None and moved.pool in egress.pools:
        pool = moved.pool
    would: list[str] = []
    if not site:
        would.append("be rejected: the domain takes no mail")
    elif site == f"domain:{domain}":
        would.append("wait: DNS does not answer")
    asked = Asked(tenant, address, "email", stream, "")
    if tenant and (reason := (await SuppressionList(client, settings.redis.partitions).check([asked]))[0]):
        would.append(f"be suppressed: {reason}")
    seen = await Sites(client, settings.redis.partitions, now_ms).one(site) if site else None
    would += [f"wait: {hold.kind} until {hold.until or 'somebody ends it'}" for hold in (seen.holds if seen else ())]
    named = routing.routes.get(sites.route_name(site))
    if named is not None:
        shaping = shaping.laid_over({site: Smarthost(named).shaped(shaping.of(site))})
    shape = shaping.of(site)
    encryption = await encryption_of(client, settings, domain, looked.names, shape.tls, looked.texts)
    if encryption.why_not:
        would.append(f"wait: tls_policy: {encryption.why_not}")
    connections = shape.connections or settings.of(of_relay.Relay).connections_per_site
    words = encryption.words if looked.names else [f"shaping: {shape.tls}"]
    return {
        "route": looked.why,
        "hosts": looked.hosts,
        "site": site,
        "provider": site if sites.is_provider(site) else None,
        "pool": pool,
        "sources": [f"{one.name} {one.address or 'any address'}" for one in egress.pools[pool].sources],
        "limits": LimitsOf(shaping).in_words(site, connections),
        "encryption": words if named is None else _of_named(named),
        "waiting": f"{seen.waiting} due, {seen.deferred} deferred" if seen else "nothing",
        "would": would or ["be sent"],
    }


class _Looked(NamedTuple):
    """What DNS tells, or the settings where the route is fixed: `hosts` by preference, as they are shown, and their
    `names` (none where the route is fixed: nothing asks for encryption then); the site, "" if the domain takes no mail;
    what the domain says of MTA-STS; and `why` it goes there."""

    hosts: list[str]
    names: list[str]
    site: str
    texts: list[str]
    why: str = "as relay.route says"


async def _looked_up(settings: Settings, routing: "Routing", about: "Asked") -> _Looked:
    if (chosen := routing.rule_for(about)) is None:
        return await _as_always(settings, about.domain)
    number, rule = chosen
    why = f"{rule.route}: rule {number} of relay.routes_file ({rule.words})"
    if (named := routing.routes.get(rule.route)) is None:
        return (await _as_always(settings, about.domain))._replace(why=why)
    return _Looked([named.place], [], named.site, [], why)


async def _as_always(settings: Settings, domain: str) -> _Looked:
    from shared.net import dns
    from shared.words import sites

    fixed = sites.parse_route(settings.relay.route, settings.mailbox.host, settings.mailbox.port)
    if fixed is not None:
        return _Looked([f"{fixed.host}:{fixed.port}, as relay.route says"], [], fixed.site, [])
    resolver = dns.resolver(settings.dns.servers, settings.dns.timeout_ms, settings.dns.at_a_time, time.monotonic)
    try:
        found, said = await asyncio.gather(resolver.mail_hosts(domain), resolver.texts(f"_mta-sts.{domain}"))
    finally:
        await resolver.close()
    texts = [] if isinstance(said, dns.DnsUnavailable) else said
    match found:
        case dns.MailHosts(hosts=hosts):
            shown = [f"{preference} {name}" for preference, name in sorted(hosts)]
            names = [name for _, name in sorted(hosts)]
            return _Looked(shown, names, sites.site_name(found.names), texts)
        case dns.DnsUnavailable(detail=detail):
            return _Looked([f"DNS does not answer: {detail}"], [], f"domain:{domain}", texts)
        case _:
            return _Looked([], [], "", texts)


def _routing(settings: Settings) -> "Routing":
    from shared.process import routing

    try:
        return routing.read(settings)
    except SettingsError as error:
        fail(str(error))


def _of_named(route: "Route") -> list[str]:
    """How the host of a named route is encrypted to, and by which login."""
    words = {
        "required": "STARTTLS, to the name that its certificate proves",
        "implicit": "from the first byte, to the name that its certificate proves",
        "opportunistic": "STARTTLS where it works",
        "never": "none",
    }[route.tls]
    return [f"route {route.name}: {words}", f"login: {route.username or 'none'}"]


def _read(file: str) -> str:
    return Path(file).read_text("utf-8") if file else ""


def _shaping(settings: Settings) -> Any:
    from services.relay.traffic import shaping

    shipped = Path(shaping.__file__).with_name("shaping.toml").read_text("utf-8")
    return shaping.Shaping.parse(shipped, _read(settings.relay.shaping_file))
