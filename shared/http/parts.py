"""What the routes of a service are made from, and what they need beside requests: agreed between each service's
`routes.py` and the process that mounts them.

    def routes(parts: Parts) -> Mounted:        # in services/<name>/routes.py; asks nothing of Redis yet
        return Mounted(http.routes(Store(parts.client), parts.now_ms))

Clock and chance are among the parts, so that what puts routes together touches no world either.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.http.api import Route
from shared.http.people import Keeper
from shared.mail.dkim_keys import Vault
from shared.net.quick import Quick
from shared.process.reload import Part
from shared.process.settings import Settings
from shared.redis.bus import Publisher
from shared.redis.recipients import Recipients
from shared.redis.redis import Client
from shared.redis.tenants import Tenants
from shared.words.erased import ErasureKeys
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys


@dataclass(frozen=True)
class Parts:
    """Of one process. `chance(n)` gives n unpredictable bytes, `monotonic` seconds that only go on, `derive` the keys
    of a purpose (`shared.process.master_secret`). `keepers`: what keeps something of people, as far as it is mounted by
    then; it is complete before the first request."""

    settings: Settings
    client: Client
    publisher: Publisher
    tenants: Tenants
    tokens: TokenKeys
    verp: VerpKeys
    recipients: Recipients
    vault: Vault
    erasure_keys: ErasureKeys
    now_ms: Callable[[], int]
    monotonic: Callable[[], float]
    chance: Callable[[int], bytes]
    derive: Callable[[bytes], Sequence[bytes]]
    keepers: list[Keeper] = field(default_factory=list)

    @property
    def partitions(self) -> int:
        return self.settings.redis.partitions


@dataclass(frozen=True)
class Mounted:
    """The routes of one service. The largest `max_body_bytes` of all holds for all. `start` is awaited before the first
    request, `run` runs beside them until the event is set that it is handed, `close` is awaited after the last one,
    while Redis can still be asked. `reload` is what of them SIGHUP reads again; `quick` answers some of its requests
    before a route is looked for. `keeper` is asked for what the service keeps of a person."""

    routes: Sequence[Route]
    max_body_bytes: int = 0
    start: Callable[[], Awaitable[object]] | None = None
    run: Callable[[Any], Coroutine[Any, Any, object]] | None = None
    close: Callable[[], Awaitable[object]] | None = None
    reload: Part | None = None
    quick: Quick | None = None
    keeper: Keeper | None = None
