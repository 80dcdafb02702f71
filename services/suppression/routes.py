"""The routes of the suppression list, put together."""

from services.suppression import consent_http, http, operators
from services.suppression.consent_store import ConsentStore
from services.suppression.consenting import Consenting
from services.suppression.store import Lists
from shared.http.parts import Mounted, Parts
from shared.redis.consents import Consents
from shared.redis.suppression import SuppressionList
from shared.redis.untracked import UntrackedList


def routes(parts: Parts) -> Mounted:
    lookup = SuppressionList(parts.client, parts.partitions, parts.now_ms)
    lists = Lists(parts.client, parts.partitions, parts.now_ms)
    desk = http.Desk(lists, lookup, parts.partitions, parts.now_ms, lambda: parts.chance(8).hex())
    consents = Consents(parts.client, parts.partitions, parts.monotonic)
    consenting = Consenting(ConsentStore(parts.client, parts.partitions, consents.rules), UntrackedList(parts.client))
    return Mounted(
        [
            *http.routes(desk),
            *operators.routes(desk, parts.tenants, parts.publisher),
            *consent_http.routes(consenting, consents, parts.tokens, parts.now_ms, lambda: parts.chance(8).hex()),
        ]
    )
