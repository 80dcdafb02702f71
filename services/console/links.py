"""`estafette links`: which keys sign the links of a tenant; begin new ones, and revoke former ones."""

from typing import TYPE_CHECKING, Any

import click

from services.console.session import need_tenant, with_redis
from services.console.tables import as_json as json_option
from services.console.tables import show_json
from services.console.word import acting, done_line, why_option
from shared.process.settings import Settings

if TYPE_CHECKING:
    from shared.redis.link_keys import Generation


@click.group()
def links() -> None:
    """Which keys sign the links of a tenant's mails."""


@links.command("show")
@click.argument("tenant")
@json_option
def show_link_keys(tenant: str, as_json: bool) -> None:
    """The generations of a tenant's keys, and what each is for. 0 are links of before tenants had keys of their own."""
    from services.operator.link_keys import shown
    from shared.process.clock import now_ms
    from shared.redis.link_keys import LinkKeys

    async def working(client: Any, _settings: Settings) -> "list[Generation]":
        await need_tenant(client, tenant)
        return await LinkKeys(client, now_ms).of(tenant)

    found = [shown(one) for one in with_redis(working)]
    if as_json:
        show_json(
            [
                {"generation": one.generation, "state": one.state, "since": one.since, "revoked_at": one.revoked_at}
                for one in found
            ]
        )
        return
    for one in found:
        since = f"  since {one.since}" if one.since else ""
        revoked = f"  revoked {one.revoked_at}" if one.revoked_at else ""
        click.echo(f"{one.generation:>5}  {one.state:<8}{since}{revoked}")


@links.command("rotate")
@click.argument("tenant")
@why_option
def rotate_link_keys(tenant: str, why: str) -> None:
    """Sign new links of a tenant with new keys; relays follow within fifteen seconds. Links that were sent lead where
    they led."""
    done_line(acting(why, "", lambda operator, act: operator.rotate_link_keys(tenant, act)))


@links.command("revoke")
@click.argument("tenant")
@click.argument("generation", type=click.IntRange(0, 65535))
@why_option
def revoke_link_keys(tenant: str, generation: int, why: str) -> None:
    """Refuse all links of a former generation, those to unsubscribe too: for keys that somebody else has."""
    done_line(acting(why, "", lambda operator, act: operator.revoke_link_keys(tenant, generation, act)))


@links.command("honour")
@click.argument("tenant")
@click.argument("generation", type=click.IntRange(0, 65535))
@why_option
def honour_link_keys(tenant: str, generation: int, why: str) -> None:
    """Take the revocation of a generation back."""
    done_line(acting(why, "", lambda operator, act: operator.honour_link_keys(tenant, generation, act)))
