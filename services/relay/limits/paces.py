"""What relays learn from the replies of providers and share: paces, rests, single connections, by site and source.

Each relay counts what a provider accepts and refuses and tells the others every half second. It keeps a view of what is
shared, which is as old; what it changes itself it sees at once. Decisions are those of `shared.words.pace`; a
change is written only if the pace is still the one that the decision was made on, so that of many relays that are
refused at the same moment one decreases the pace, and the others find it decreased.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from shared.redis import keys
from shared.redis.redis import Client, RedisAway, Script
from shared.words import pace as rules
from shared.words.pace import Pace
from shared.words.rates import Rate

#: How long counts are kept: the last whole minute, and a bucket or two.
ATTEMPTS_MS = 120_000
#: Pairs of site and source published in one call.
TOLD_TOGETHER = 500
#: A decision is made again if another relay was quicker; by then it is mostly that there is nothing to do.
TRIES = 3

REFUSALS = Counter("estafette_relay_slow_down_replies_total", "Replies that asked to slow down")
DECREASES = Counter(
    "estafette_relay_pace_decreases_total", "Times this relay decreased the adaptive rate of a site and source"
)
PACED = Gauge("estafette_relay_paced_sources", "Sites, by source, that have an adaptive rate for now")
RESTING = Gauge("estafette_relay_resting_sources", "Sites, by source, that are suspended for now")

_TELL = Script.of(__file__, "paces_common", "paces_tell")
_READ = Script.of(__file__, "paces_common", "paces_read")
_SEE = Script.of(__file__, "paces_common", "paces_see")
_CHANGE = Script.of(__file__, "paces_change")
_UNTIL = Script.of(__file__, "paces_until")


@dataclass(slots=True)
class _Known:
    """A pace, as it is stored, and the rate that it allows now."""

    stored: bytes
    pace: Pace
    rate: Rate | None


class Paces:
    """The paces, rests and single connections as one relay sees them. `monotonic` in seconds; all times outside are ms
    since the epoch, by the clock of Redis."""

    def __init__(self, client: Client, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._ahead_ms = (time.time() - monotonic()) * 1000  # until Redis has told its time
        self._changes = -1
        self._known: dict[str, _Known] = {}
        self._rests: dict[str, int] = {}
        self._singles: dict[str, int] = {}
        #: What Redis has not heard of yet: counts by pair, and (key, pair, until).
        self._accepted: defaultdict[str, int] = defaultdict(int)
        self._refused: defaultdict[str, int] = defaultdict(int)
        self._untold: list[tuple[str, str, int]] = []
        self._slowing: set[str] = set()
        self._log = structlog.get_logger("relay")

    # The view: half a second old, but own changes show at once

    def pace(self, site: str, source: str) -> Rate | None:
        """What may go to the site from this source, as found by its refusals; None: as much as there is."""
        known = self._known.get(f"{site}\n{source}")
        return None if known is None else known.rate

    def resting(self, site: str, source: str) -> bool:
        """Whether nothing may go to the site from this source for now."""
        return self.rests_ms(site, source) > 0

    def rests_ms(self, site: str, source: str) -> int:
        """For how long; 0 or less if it does not."""
        until_ms = self._rests.get(f"{site}\n{source}", 0) if self._rests else 0
        return until_ms - self._now_ms() if until_ms else 0

    def only_one(self, site: str, source: str) -> bool:
        """Whether the site is to get one connection alone from this source for now."""
        return self._singles.get(f"{site}\n{source}", 0) > self._now_ms()

    def found(self) -> Iterable[tuple[str, float]]:
        """Each site with a pace, once for each source, and that pace (messages a second)."""
        for pair, known in self._known.items():
            if known.rate is not None:
                yield pair.partition("\n")[0], known.rate.per_s

    def held(self) -> Iterable[tuple[str, str, int]]:
        """Each site, once for each source, of which a rule asked that it rest, or keep one connection, and until
        when (ms)."""
        for why, view in (("rest_source", self._rests), ("one_connection", self._singles)):
            for pair, until_ms in view.items():
                yield pair.partition("\n")[0], why, until_ms

    def _now_ms(self) -> int:
        return int(self._monotonic() * 1000 + self._ahead_ms)

    # What replies say

    def note_accepted(self, site: str, source: str) -> None:
        """After each message that the site took: paces are made from that."""
        self._accepted[f"{site}\n{source}"] += 1

    async def slow_down(self, site: str, source: str) -> None:
        """After each refusal that is about our pace. Never fails: a Redis that is away learns of it with the next."""
        pair = f"{site}\n{source}"
        REFUSALS.inc()
        self._refused[pair] += 1
        known = self._known.get(pair)
        if (known is not None and rules.is_settled(known.pace, self._now_ms())) or pair in self._slowing:
            return
        self._slowing.add(pair)
        try:
            await self._slow_down(pair)
        except RedisAway as away:
            self._log.warning("not_slowed_down", site=site, source=source, reason=str(away))
        finally:
            self._slowing.discard(pair)

    async def _slow_down(self, pair: str) -> None:
        for _ in range(TRIES):
            counts = self._taken([pair])
            try:
                found = await _SEE(
                    self._client,
                    [keys.pace_changes(), keys.paces()],
                    [*self._told(counts), pair, rules.BUCKETS],
                )
            except RedisAway:
                self._put_back(counts)
                raise
            now_ms, running_ms, stored = found[:3]
            self._ahead_ms = now_ms - self._monotonic() * 1000
            before = _read(stored)
            after = rules.slowed(
                before, rules.seen(list(zip(found[3::2], found[4::2], strict=True)), running_ms), now_ms
            )
            if after == before or await self._change(pair, stored, after):
                return

    async def _change(self, pair: str, stored: bytes, after: Pace | None) -> bool:
        """Whether it is changed in Redis; if so it is here."""
        written = b"" if after is None else msgspec.msgpack.encode(after)
        if not await _CHANGE(self._client, [keys.pace_changes(), keys.paces()], [pair, stored, written]):
            return False
        if after is None:
            self._known.pop(pair, None)
            return True
        if (before := _read(stored)) is None or before.at_ms != after.at_ms:
            site, _, source = pair.partition("\n")
            self._log.info("slowed_down", site=site, source=source, per_s=round(after.per_s, 2))
            DECREASES.inc()
        self._known[pair] = _Known(written, after, rules.current_rate(after, self._now_ms()))
        return True

    async def rest(self, site: str, source: str, until_ms: int) -> None:
        """Nothing goes to the site from this source until then. Never fails, never shortens."""
        await self._until(keys.rests(), self._rests, f"{site}\n{source}", until_ms)

    async def one_connection(self, site: str, source: str, until_ms: int) -> None:
        """One connection alone from this source until then. Never fails, never shortens."""
        await self._until(keys.single_connections(), self._singles, f"{site}\n{source}", until_ms)

    async def _until(self, key: str, view: dict[str, int], pair: str, until_ms: int) -> None:
        if view.get(pair, 0) >= until_ms:
            return
        view[pair] = until_ms
        self._untold.append((key, pair, until_ms))
        try:
            await self._tell_untold()
        except RedisAway as away:
            self._log.warning("not_told", reason=str(away))

    # Shared

    async def tend(self) -> None:
        """Tells and learns. To be called every `pace.TOLD_MS`. RedisAway: nothing is lost, the view grows old."""
        await self._tell_untold()
        changes = await self._tell_counts()
        if changes != self._changes:
            await self._read()
        now_ms = self._now_ms()
        for known in self._known.values():
            known.rate = rules.current_rate(known.pace, now_ms)
        for pair, known in list(self._known.items()):
            if known.rate is None:
                self._known.pop(pair)
                await self._change(pair, known.stored, None)
        for view in (self._rests, self._singles):
            for pair in [pair for pair, until_ms in view.items() if until_ms <= now_ms]:
                del view[pair]
        PACED.set(len(self._known))
        RESTING.set(len(self._rests))

    async def _tell_untold(self) -> None:
        while self._untold:
            key, pair, until_ms = self._untold[0]
            await _UNTIL(self._client, [keys.pace_changes(), key], [pair, until_ms])
            self._untold = [untold for untold in self._untold if untold != (key, pair, until_ms)]

    async def _tell_counts(self) -> int:
        """The number of changes."""
        pairs = list(self._accepted.keys() | self._refused.keys())
        for begin in range(0, len(pairs) + 1, TOLD_TOGETHER):
            counts = self._taken(pairs[begin : begin + TOLD_TOGETHER])
            try:
                now_ms, changes = await _TELL(self._client, [keys.pace_changes()], self._told(counts))
            except RedisAway:
                self._put_back(counts)
                raise
            self._ahead_ms = now_ms - self._monotonic() * 1000
        return int(changes)

    async def _read(self) -> None:
        names = [keys.pace_changes(), keys.paces(), keys.rests(), keys.single_connections()]
        self._changes, paces, rests, singles = await _READ(self._client, names, [])
        now_ms = self._now_ms()
        self._known = {
            pair.decode(): _Known(stored, pace, rules.current_rate(pace, now_ms))
            for pair, stored in _pairs(paces).items()
            if (pace := _read(stored)) is not None
        }
        self._rests = {pair.decode(): int(until_ms) for pair, until_ms in _pairs(rests).items()}
        self._singles = {pair.decode(): int(until_ms) for pair, until_ms in _pairs(singles).items()}
        for key, pair, until_ms in self._untold:
            view = self._rests if key == keys.rests() else self._singles
            view[pair] = max(view.get(pair, 0), until_ms)

    def _taken(self, pairs: list[str]) -> list[tuple[str, int, int]]:
        return [(pair, self._accepted.pop(pair, 0), self._refused.pop(pair, 0)) for pair in pairs]

    def _put_back(self, counts: list[tuple[str, int, int]]) -> None:
        for pair, accepted, refused in counts:
            self._accepted[pair] += accepted
            self._refused[pair] += refused

    def _told(self, counts: list[tuple[str, int, int]]) -> list[str | bytes | int]:
        return [keys.attempts_prefix(), rules.BUCKET_MS, ATTEMPTS_MS, msgspec.msgpack.encode(counts)]


def _pairs(flat: list[bytes]) -> Mapping[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _read(stored: bytes) -> Pace | None:
    """None where there is none, or nothing that could be read: it is then written anew."""
    try:
        return msgspec.msgpack.decode(stored, type=Pace) if stored else None
    except msgspec.DecodeError:
        return None
