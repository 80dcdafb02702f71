"""The routes of the operator, put together."""

from services.operator import http, link_keys, sub_accounts, traces
from services.operator.operator import Operator
from services.operator.sites import Sites
from shared.http.parts import Mounted, Parts
from shared.redis.dialogues import DialogueList
from shared.redis.stops import StopList


def routes(parts: Parts) -> Mounted:
    operator = Operator(parts.client, parts.partitions, parts.publisher, parts.now_ms)
    sites = Sites(parts.client, parts.partitions, parts.now_ms)
    dialogues = DialogueList(parts.client, parts.now_ms)
    return Mounted(
        [
            *http.routes(operator, sites),
            *link_keys.routes(operator),
            *traces.routes(dialogues),
            *sub_accounts.routes(operator, parts.tenants, StopList(parts.client)),
        ]
    )
