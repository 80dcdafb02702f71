"""`estafette tenants`: who may use this installation, and how much of it."""

import click

from services.console.session import day, fail, in_force, with_redis
from services.console.word import acting, done_line, until_option, why_option


@click.group()
def tenants() -> None:
    """Who may use this installation."""


@tenants.command("add")
@click.argument("name")
@click.option("--any-from-domain", is_flag=True, help="May write From any domain that is nobody else's. For trying.")
@click.option("--parent", default="", help="The tenant whose sub-account it is.")
def add_tenant(name: str, any_from_domain: bool, parent: str) -> None:
    """Add a tenant: a-z, 0-9 and -, 32 characters at most."""
    from shared.redis.tenants import Tenants

    tenant = with_redis(lambda client, _: Tenants(client).create(name, any_from_domain=any_from_domain, parent=parent))
    click.echo(f"added {tenant.name}")


@tenants.command("list")
def list_tenants() -> None:
    """Every tenant."""
    from shared.redis.tenants import Tenants

    for tenant in with_redis(lambda client, _: Tenants(client).all()):
        flags = "  any From domain" if tenant.any_from_domain else ""
        flags += f"  of {tenant.parent}" if tenant.parent else ""
        own = "".join(f"  {name}={limit}" for name, limit in sorted(tenant.quotas.items()))
        click.echo(f"{tenant.name:<32}  since {day(tenant.created_at)}{flags}{own}")


@tenants.command("show")
@click.argument("name")
def show_tenant(name: str) -> None:
    """A tenant and its quotas: its own, and those that it has from the settings."""
    from shared.redis.tenants import Tenants

    settings = in_force()
    tenant = with_redis(lambda client, _: Tenants(client).get(name))
    if tenant is None:
        fail(f"there is no tenant {name}")
    click.echo(f"{tenant.name}  since {day(tenant.created_at)}{'  any From domain' if tenant.any_from_domain else ''}")
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
        fail(f"a quota is a number, or `default`, not {limit!r:.40}")
    most = None if limit == "default" else int(limit)
    with_redis(lambda client, _: Tenants(client).set_quota(name, quota, most))
    click.echo(f"{quota} of {name}: {limit}")


@tenants.command("suspend")
@click.argument("name")
@until_option
@why_option
def suspend_tenant(name: str, until: str, why: str) -> None:
    """Send nothing of a tenant's bulk."""
    done_line(acting(why, until, lambda operator, act: operator.suspend_tenant(name, act)))


@tenants.command("resume")
@click.argument("name")
@why_option
def resume_tenant(name: str, why: str) -> None:
    """End the suspension of a tenant's bulk."""
    done_line(acting(why, "", lambda operator, act: operator.resume_tenant(name, act)))


@tenants.command("cancel")
@click.argument("name")
@why_option
def cancel_tenant(name: str, why: str) -> None:
    """Cancel all bulk of a tenant that was posted until now."""
    done_line(acting(why, "", lambda operator, act: operator.cancel_tenant(name, act)))
