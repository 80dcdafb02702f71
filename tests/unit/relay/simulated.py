"""A relay's workers and a host that refuses, in simulated time: hours of it in seconds.

The couriers, what they know of hosts, the gate, shaping and the paces are the real ones; only the connection, Redis and
the clock are not. `VirtualLoop` is an event loop that does not wait: when nobody has anything to do it is as late as
the next one who has.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, cast

from services.relay.delivery.courier import Courier, Parcel, Result
from services.relay.limits.paces import Paces
from services.relay.limits.permits import Limit, Permits, Wait
from services.relay.limits.slots import Slots
from services.relay.traffic import shaping
from services.relay.traffic.egress import DEFAULT, Egress, Source
from services.relay.traffic.gate import Gate
from services.relay.traffic.hosts import Hosts
from services.relay.traffic.rules import Rules
from services.relay.words.hop import Hop
from services.relay.words.notnow import NotNow
from services.relay.words.outlet import Outlet
from services.relay.words.reply import ConnectFailed, Reply
from shared.redis.ready import BULK
from shared.words import events
from shared.words import pace as rules
from shared.words.rates import Rate, spacing

SITE = "mx.example.net"
SHIPPED = Path(shaping.__file__).with_name("shaping.toml").read_text("utf-8")


class _Selector(selectors.DefaultSelector):
    """Looks, and never waits."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 1_000.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


@dataclass
class Minute:
    """What the host saw: mails taken, and connections and commands refused."""

    taken: int = 0
    refused: int = 0

    @property
    def refused_part(self) -> float:
        return self.refused / max(1, self.taken + self.refused)


@dataclass
class Behaviour:
    """How a host takes mail. `connections` at once; new ones a second, and mails, in any ten seconds; `mails` over one
    connection. What is too much is refused with `words`, None: by RST. `mail_s`: what a mail takes."""

    connections: float = inf
    connections_per_s: float = inf
    mails_per_s: float = inf
    mails: float = inf
    words: str | None = "hold your horses"
    mail_s: float = 0.1
    down: Callable[[float], bool] = lambda _: False


class _Window:
    def __init__(self, per_s: float) -> None:
        self._most = per_s * 10
        self._at: deque[float] = deque()

    def take(self, now: float) -> bool:
        while self._at and self._at[0] <= now - 10:
            self._at.popleft()
        if len(self._at) + 1 > self._most:
            return False
        self._at.append(now)
        return True


@dataclass
class SimulatedHost:
    behaviour: Behaviour
    minutes: list[Minute] = field(default_factory=list)
    open: int = 0

    def __post_init__(self) -> None:
        self._begun = asyncio.get_running_loop().time()
        self._connections = _Window(self.behaviour.connections_per_s)
        self._mails = _Window(self.behaviour.mails_per_s)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time() - self._begun

    @property
    def minute(self) -> Minute:
        while len(self.minutes) <= self.now // 60:
            self.minutes.append(Minute())
        return self.minutes[-1]

    async def connect(self) -> "SimulatedConnection":
        await asyncio.sleep(0.02)
        how = self.behaviour
        if how.down(self.now) or self.open >= how.connections or not self._connections.take(self.now):
            self.minute.refused += 1
            if how.words is None:
                raise ConnectFailed("connect", SITE, "Connection refused")
            raise ConnectFailed("greeting", SITE, how.words, Reply(421, "", how.words, "greeting", SITE))
        self.open += 1
        return SimulatedConnection(self)

    def takes(self) -> bool:
        took = not self.behaviour.down(self.now) and self._mails.take(self.now)
        self.minute.taken += took
        self.minute.refused += not took
        return took


class SimulatedConnection:
    host, tls, tls_cipher, tls_policy, tls_failure, tls_reason, source_ip = SITE, None, "", "none", "", "", ""

    def __init__(self, host: SimulatedHost) -> None:
        self._host = host
        self.sent_count = 0
        self.usable = True

    async def send(self, *_mail: object, **_options: object) -> Reply:
        await asyncio.sleep(self._host.behaviour.mail_s / 2)
        if self.sent_count >= self._host.behaviour.mails:
            self.usable = False
            return Reply(421, "", "closing", "mail", SITE)
        if not self._host.takes():
            self.usable = False
            return Reply(421, "", self._host.behaviour.words or "bye", "mail", SITE)
        await asyncio.sleep(self._host.behaviour.mail_s / 2)
        self.sent_count += 1
        return Reply(250, "", "taken", "dot", SITE)

    async def close(self) -> None:
        self.usable = False
        self._host.open -= 1


class LimitsHere:
    """The limits of one relay alone, without Redis: rates by GCRA as `shared.words.rates` has it, paces by their
    rules."""

    def __init__(self) -> None:
        self._due_us: dict[str, float] = {}
        self._paces: dict[str, rules.Pace] = {}
        self._counts: dict[int, list[int]] = {}

    @property
    def _now_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    async def permit(self, limits: Sequence[Limit], patience_ms: int = 0, lane: int = BULK) -> Wait | None:
        until_ms = self._now_ms + patience_ms
        while (wait := self._permit(limits)) is not None and self._now_ms + wait.ms <= until_ms:  # noqa: ASYNC110 - time
            await asyncio.sleep(wait.ms / 1000)
        return wait

    def _permit(self, limits: Sequence[Limit]) -> Wait | None:
        now_us = asyncio.get_running_loop().time() * 1e6
        spaced = [(limit, spacing(rate)) for limit in limits for rate in limit.rates]
        for limit, space in spaced:
            name = limit.name
            due = self._due_us[name] = min(
                max(self._due_us.get(name, 0.0), now_us), now_us + space.tolerance_us + space.interval_us
            )
            if due - space.tolerance_us > now_us:
                return Wait(int((due - space.tolerance_us - now_us) / 1000) + 1, limit)
        for limit, space in spaced:
            self._due_us[limit.name] += space.interval_us
        return None

    async def connect(self, limits: Sequence[Limit]) -> None:
        raise AssertionError("no limit of connections is known here")

    def wanted(self, *_: object, **__: object) -> bool:
        return False

    def resting(self, site: str, source: str) -> bool:
        return False

    def rests_ms(self, site: str, source: str) -> int:
        return 0

    def note(self, *_: object) -> None:
        """What a site says is nobody's concern here."""

    def note_limits(self, *_: object) -> None:
        """Nor what it accepts."""

    def holds_site(self, site: str) -> bool:
        return False

    def holds_source(self, site: str, source: str) -> bool:
        return False

    def pool_of(self, site: str, tenant: str) -> str:
        return ""

    def only_one(self, site: str, source: str) -> bool:
        return False

    def pace(self, site: str, source: str) -> Rate | None:
        pace = self._paces.get(site)
        return None if pace is None else rules.current_rate(pace, self._now_ms)

    def note_accepted(self, site: str, source: str) -> None:
        self._bucket()[0] += 1

    async def slow_down(self, site: str, source: str) -> None:
        self._bucket()[1] += 1
        last = self._now_ms // rules.BUCKET_MS
        counts = [tuple(self._counts.get(at, (0, 0))) for at in range(last - rules.BUCKETS + 1, last + 1)]
        seen = rules.seen(cast(Any, counts), self._now_ms - last * rules.BUCKET_MS)
        self._paces[site] = rules.slowed(self._paces.get(site), seen, self._now_ms)

    def _bucket(self) -> list[int]:
        return self._counts.setdefault(self._now_ms // rules.BUCKET_MS, [0, 0])


class Workers:
    """Couriers with more mail than goes, each with a connection, as in the relay: one that may have none while others
    have theirs leaves for a while. `attempts` are those that used up one of a message's."""

    def __init__(self, host: SimulatedHost) -> None:
        loop = asyncio.get_running_loop()
        self._host = host
        limits = LimitsHere()
        self._gate = Gate(
            Rules(
                shaping.Shaping.parse(SHIPPED, "[default]\nconnections = 0\nsource_connections = 0"), Egress.parse("")
            ),
            cast(Permits, limits),
            cast(Slots, limits),
            cast(Paces, limits),
            cast(Any, limits),
            limits,
            cast(Any, None),
            2,
            20,
            lambda: int(loop.time() * 1000),
            loop.time,
        )
        self.hosts = Hosts(loop.time)
        self.attempts: list[Result] = []
        self.deferred: list[float] = []

    async def run(self, minutes: float, workers: int = 20) -> None:
        tasks = [asyncio.create_task(self._work()) for _ in range(workers)]
        await asyncio.sleep(minutes * 60)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def hops(self, _domain: str) -> Sequence[Hop]:
        return [Hop(SITE, 25)]

    async def _open(self, _hop: Hop, _source: Source) -> Any:
        return await self._host.connect()

    async def _permit(self, source: str) -> NotNow | None:
        while True:
            refused = await self._gate.permit(SITE, source, _READY, "")
            if refused is None or refused.wait_ms > 2_000:
                return refused
            await asyncio.sleep(refused.wait_ms / 1000)

    async def _work(self) -> None:
        courier = Courier(self, self._gate.passage(SITE, Outlet(DEFAULT)), self._open, self.hosts)
        parcel = Parcel(SITE, "b-1@bounces.example", f"ana@{SITE}", b"")
        try:
            while True:
                result = await courier.deliver(parcel, self._permit)
                if isinstance(result, NotNow):
                    await asyncio.sleep(max(result.wait_ms, 500) / 1000)
                    continue
                assert isinstance(result, Result)
                if isinstance(result.answer, Reply) and result.answer.code == 250:
                    self._gate.accepted(SITE, result.source)
                else:
                    self.deferred.append(self._host.now)
        finally:
            await courier.close()


_READY = events.Ready(tenant="acme", job="06dndml801in6t31cpig", ordinal=1, email="ana@example.net")


def simulate(behaviour: Behaviour, minutes: float, workers: int = 20) -> tuple[SimulatedHost, Workers]:
    async def all_of_it() -> tuple[SimulatedHost, Workers]:
        host = SimulatedHost(behaviour)
        crew = Workers(host)
        await crew.run(minutes, workers)
        return host, crew

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(all_of_it())
