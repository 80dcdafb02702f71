"""Puts the main path together, for the process that takes mail in and for the route that does."""

from services.bounces import loops
from services.bounces import settings as own
from services.bounces.bounces import Bounces
from services.bounces.kept import KeptMails
from shared.process.clock import now_ms
from shared.process.settings import Settings
from shared.redis.bus import Publisher
from shared.redis.recipients import Recipients
from shared.redis.redis import Client
from shared.redis.return_paths import KnownReturnPaths
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys


def bounces(
    settings: Settings,
    client: Client,
    publisher: Publisher,
    recipients: Recipients,
    verp: VerpKeys,
    tokens: TokenKeys,
    known: KnownReturnPaths,
) -> Bounces:
    """`known` are the domains that tenants have. Asks nothing of Redis yet."""
    mine = settings.of(own.Bounces)
    ours = mine.domain.lower()
    return Bounces(
        verp,
        lambda domain: domain == ours or domain in known,
        recipients,
        publisher,
        KeptMails(client, now_ms),
        now_ms,
        tokens=tokens,
        is_loop=loops.Loops(mine.feedback_loops).include,
    )
