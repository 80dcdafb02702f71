"""What limits, addresses and replies allow at a site: by which source a connection leaves, whether a message may go.

    outlet(site, message) → the source addresses it may leave by
    passage(site, outlet): source() → enter() → … permit() right before each MAIL FROM … → heard(reply) → leave()

Rules:

- A connection has a slot in the limits of connections, of the site and of its source, from before it is dialled until
  after it is closed.
- A message has a permit in every limit that speaks of it (site, source, tenant, job, adaptive pace, warm-up), or in
  none of them. A permit is used at once.
- A source that a limit or a provider holds back at a site is not offered there before its time, as long as another one
  can be.
- What a rule of `shaping` asks for takes effect here at once, and in the other relays within half a second.
"""

import asyncio
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Sequence
from math import inf
from typing import Any, Protocol

import structlog
from prometheus_client import Counter as Metric

from services.relay.limits.paces import Paces
from services.relay.limits.permits import Permits, Wait
from services.relay.limits.slots import Slot, Slots
from services.relay.limits.until import Until
from services.relay.traffic.egress import Sent, Source, choose, is_ahead
from services.relay.traffic.rules import Opened, Rules, pools_that_share_anew
from services.relay.traffic.shaping import Rule, Shape
from services.relay.words.notnow import SWITCH_MS, NotNow
from services.relay.words.our_name import is_about_our_name
from services.relay.words.outlet import Outlet
from services.relay.words.reply import Reply
from shared.redis.heard import MAX_CHARS, Heard, Said
from shared.redis.ready import BULK, LANES
from shared.redis.redis import RedisAway
from shared.words import events, ids
from shared.words.pace import EVERY_SOURCE
from shared.words.rates import parse_rate

#: A source that a provider made us rest is asked about again after so long: it may be sooner than was said.
ASK_AGAIN_S = 1.0
#: A site or a source that may not be used is asked about again after so long at the latest.
LONGEST_WAIT_MS = 30_000
#: And one that has sent what its warm-up allows for the day.
LONGEST_DAY_MS = 600_000
#: A permit is waited for so long with its place kept; less where others could go over the same connection meanwhile.
PATIENCE_MS = 250
QUEUE_PATIENCE_MS = 50
#: Providers whose customers have hosts, or rules, of their own: what one of these says is not the provider's pace.
MANY_CUSTOMERS = frozenset(("microsoft365", "mimecast", "proofpoint", "barracuda", "ovh", "ionos"))
#: One refusal in words that no rule knows says little. It is a run of them that is about our pace: the next comes
#: within so many mails and, where no pace is known yet, within this time.
RUN_MAILS = 50
RUN_S = 60.0
#: For so long one is remembered.
RUN_OVER_S = 1_800.0
#: A fault of ours at a site is logged so often.
TOLD_AGAIN_S = 600.0
#: What a connection that is open is expected to send soon: it counts when the next one chooses its source.
EXPECTED_MAILS = 10
#: A connection is given up for the sake of shares once in so many messages of a pool: the other source may not get
#: through either, and what it costs has a bound. Nor for a source that had no slot so lately.
GIVEN_UP_EVERY = 5
CROWDED_S = 10.0
#: Messages over one connection where shaping does not say. Postfix never closes; a new one costs 1 ms here.
MAILS_PER_CONNECTION = 500
#: And a connection that waits for mail is closed after this: hosts close them after 30 s to 5 min, and count them.
IDLE_S = 5.0

RULES = Metric("estafette_relay_shaping_rules_total", "Replies that a shaping rule knew, by what it does", ["action"])
HELO_REFUSED = Metric(
    "estafette_relay_helo_refused_total", "Replies that refuse the name that we say in EHLO: an operator has to mend it"
)
UNKNOWN_WORDS = Metric(
    "estafette_relay_refusals_without_rule_total",
    "421, or no connection at all, from hosts that had just taken mail, in words that no shaping rule knows",
)
_RULES = {action: RULES.labels(action) for action in ("slow_down", "one_connection", "suspend", "rest_source", "none")}


class Queues(Protocol):
    async def hold(self, partition: int, site: str, until_ms: int) -> None:
        """Nothing of this site is handed out before then."""


class Stops(Protocol):
    def holds_site(self, site: str) -> bool:
        """Nothing may go to the site."""

    def holds_source(self, site: str, source: str) -> bool:
        """Nothing may go to the site from this source."""

    def pool_of(self, site: str, tenant: str) -> str:
        """The pool that an operator moved the tenant's mail for the site to; "" for the usual one."""


class Gate:
    """One for a relay process. `connections_per_site` holds where shaping says nothing else."""

    def __init__(
        self,
        rules: Rules,
        permits: Permits,
        slots: Slots,
        paces: Paces,
        heard: Heard,
        stops: Stops,
        queues: Queues,
        partitions: int,
        connections_per_site: int,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._permits = permits
        self._slots = slots
        self._paces = paces
        self._heard = heard
        self._stops = stops
        self._queues = queues
        self._partitions = partitions
        self._connections_per_site = connections_per_site
        self._now_ms = now_ms
        self._monotonic = monotonic
        # Those that rules had or have, by name: mail may be under way by one that they do not have any more.
        self._sources: dict[str, Source] = {}
        self._sent: dict[str, Sent] = defaultdict(Sent)
        # Connections that are open, or on the way, by pool and source.
        self._open: Tally[tuple[str, str]] = Tally()
        # Messages of a pool that were permitted, and how many they were when a connection was closed last.
        self._passed: Tally[str] = Tally()
        self._gave_up: dict[str, int] = {}
        # When a host of a site last refused a source in words that no rule knows (monotonic), and mails taken since;
        # and until when that is remembered.
        self._refused: dict[tuple[str, str], tuple[float, int]] = {}
        self._refusing: Until[tuple[str, str]] = Until(lambda place: self._refused.pop(place, None))
        self._asking: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("relay")
        self.rules = rules
        self.adopt(rules)

    def adopt(self, rules: Rules) -> None:
        """From now on these rules are in force; what held mail back under others is asked anew."""
        for pool in pools_that_share_anew(self.rules.egress, rules.egress):
            self._sent.pop(pool, None)
        self.rules = rules
        # Taken apart once: they are asked for every message.
        self._shaping, self._limits_of, self._egress = rules.shaping, rules.limits_of, rules.egress
        self._sources |= rules.egress.sources
        # Sources that a limit holds back at a site: until when (monotonic).
        self._full: Until[tuple[str, str]] = Until()
        # Sources that may have no more connections to a site for now; those that they have are good.
        self._without_slot: Until[tuple[str, str]] = Until()
        # And for whose sake nobody else gives up a connection meanwhile.
        self._crowded: Until[tuple[str, str]] = Until()
        # Until when an operator knows that our name is refused there (monotonic).
        self._told: Until[tuple[str, str]] = Until()

    # What the relay asks

    def outlet(self, site: str, ready: events.Ready) -> Outlet:
        """The pool of source addresses that the message leaves by; with its tenant, where the tenant's connections are
        counted and so are lent to nobody."""
        name = self._pool(site, ready)
        return Outlet(name, ready.tenant if self._limits_of.own_connections(ready.tenant) else "")

    def connections(self, site: str) -> int:
        """How many connections a process may have to the site, as far as one can tell without asking."""
        return self._shaping.of(site).connections or self._connections_per_site

    def idle_s(self, site: str) -> float:
        """How long a connection to the site may stay open without a message."""
        return self._shaping.of(site).idle_s or IDLE_S

    def has_many_hosts(self, site: str) -> bool:
        """One of its hosts says nothing of the others."""
        return site in MANY_CUSTOMERS

    def has_source(self, site: str, pool: str) -> bool:
        """There is an address by which mail may leave now."""
        return isinstance(self.source(site, pool, None), Source)

    async def permit(self, site: str, source: str, ready: events.Ready, rate: str) -> NotNow | None:
        """Whether the message may go right now; None: it may, and counts in every limit. RedisAway."""
        if self._stops.holds_site(site):
            return NotNow(LONGEST_WAIT_MS, "site", f"suspended:{site}")
        if self._stops.holds_source(site, source):
            return NotNow(LONGEST_WAIT_MS, "source", f"suspended:{site} source:{source}")
        limits = self._limits_of.message(
            site,
            self._sources[source],
            ready.tenant,
            self._now_ms(),
            ready.job,
            parse_rate(rate) if rate else None,
            self._paces.pace(site, source),
        )
        of_queue = any(limit.scope == "queue" for limit in limits)
        patience_ms = QUEUE_PATIENCE_MS if of_queue else PATIENCE_MS
        refused = await self._permits.permit(limits, patience_ms, LANES.get(ready.stream, BULK)) if limits else None
        if refused is None:
            pool = self._pool(site, ready)
            self._sent[pool].note(source)
            self._passed[pool] += 1
            return None
        return self._not_now(refused, site, source)

    def accepted(self, site: str, source: str) -> None:
        """The site took a message."""
        self._paces.note_accepted(site, source)
        if (refused := self._refused.get((site, source))) is not None:
            self._refused[site, source] = refused[0], refused[1] + 1

    def passage(self, site: str, outlet: Outlet) -> "Passage":
        """For one connection at a time."""
        self.tell_limits(site)
        return Passage(self, self._slots, site, outlet)

    def tell_limits(self, site: str) -> None:
        """To operators, who ask under which limits it is sent there."""
        self._heard.note_limits(site, self._limits_of.in_words(site, self.connections(site)))

    @property
    def pools(self) -> Collection[str]:
        """The pools that there are."""
        return self._egress.pools.keys()

    async def finish(self) -> None:
        """Waits for what rules asked for and is not stored yet."""
        await asyncio.gather(*self._asking)

    # What a passage asks

    def shape(self, site: str) -> Shape:
        return self._shaping.of(site)

    def source(self, site: str, pool: str, address: str | None) -> Source | NotNow:
        """The source that the next connection of this pool to this address (None: whichever) leaves by."""
        now = self._monotonic()
        if self._stops.holds_site(site):
            return NotNow(LONGEST_WAIT_MS, "site", f"suspended:{site}")
        if (left_ms := self._paces.rests_ms(site, EVERY_SOURCE)) > 0:
            return NotNow(min(left_ms, LONGEST_WAIT_MS), "site", f"suspended:{site}")
        if (known := self._egress.pools.get(pool)) is None:
            return NotNow(LONGEST_WAIT_MS, "source", f"pool:{pool}")  # there is none any more
        reaching, able = self._able(site, pool, address, now)
        if not able:
            full = [self._full.of((site, source.name)) for source in reaching]
            waits = [until - now if until > now else ASK_AGAIN_S for until in full]
            return NotNow(_wait_ms(min(waits)), "source", f"pool:{pool}")
        without = {source.name: self._without_slot.of((site, source.name)) for source in able}
        free = [source for source in able if without[source.name] <= now]
        behind = {source.name for source in free if not self._is_ahead(pool, source.name, free)}
        sent = self._sent[pool]
        expected = {
            source.name: sent.get(source.name, 0) + self._open[pool, source.name] * EXPECTED_MAILS for source in free
        }
        chosen = choose(known, lambda source: source.name in (behind or expected), expected)
        return chosen or NotNow(_wait_ms(min(without.values()) - now), "slot", f"pool:{pool}")

    def has_its_share(self, site: str, pool: str, address: str | None, source: str) -> bool:
        """The source has sent more than its part of the pool's mail, and another one could have a connection."""
        if len(self._egress.pools[pool].sources) < 2:
            return False
        if self._passed[pool] - self._gave_up.get(pool, -GIVEN_UP_EVERY) < GIVEN_UP_EVERY:
            return False
        now = self._monotonic()
        able = self._able(site, pool, address, now)[1]
        free = [one for one in able if one.name == source or self._crowded.of((site, one.name)) <= now]
        return self._is_ahead(pool, source, free)

    def count(self, pool: str, source: str, connections: int) -> None:
        """So many more connections of the pool leave by this source."""
        self._open[pool, source] += connections
        if connections < 0:
            self._gave_up[pool] = self._passed[pool]

    def _able(self, site: str, pool: str, address: str | None, now: float) -> tuple[Sequence[Source], Sequence[Source]]:
        """The sources of the pool from where this address can be reached, and those of them that nothing holds back."""
        known = self._egress.pools[pool]
        reaching = [source for source in known.sources if source.reaches(address)] or known.sources
        return reaching, [source for source in reaching if self._is_usable(site, source.name, now)]

    def _is_ahead(self, pool: str, source: str, able: Sequence[Source]) -> bool:
        return is_ahead(able, source, self._sent[pool], self._open[pool, source])

    def is_usable(self, site: str, source: str) -> bool:
        """Nothing holds this source back at this site."""
        now = self._monotonic()
        if self._stops.holds_site(site) or self._paces.resting(site, EVERY_SOURCE):
            return False
        return self._is_usable(site, source, now)

    def _is_usable(self, site: str, source: str, now: float) -> bool:
        if self._paces.resting(site, source) or self._stops.holds_source(site, source):
            return False
        return self._full.of((site, source)) <= now

    async def enter(self, site: str, source: Source, tenant: str) -> Slot | NotNow | None:
        """A slot for a connection, this tenant's alone unless that is empty; None where nothing limits them.
        RedisAway."""
        limits = self._limits_of.connection(site, source, tenant, self._paces.only_one(site, source.name))
        slot = await self._slots.connect(limits) if limits else None
        if not isinstance(slot, Wait):
            return slot
        of_source = slot.limit.scope == "source"
        if of_source:
            now = self._monotonic()
            self._without_slot.note((site, source.name), now + slot.ms / 1000, now)
            self._crowded.note((site, source.name), now + CROWDED_S, now)
        return NotNow(slot.ms, "source" if of_source else "slot", slot.limit.name)

    def heard(self, site: str, source: str, reply: Reply) -> Rule | None:
        """The rule for this reply, once what it asks for is under way."""
        self._heard.note(site, Said(self._now_ms(), reply.host, source, reply.line[:MAX_CHARS]))
        if is_about_our_name(reply):
            self._tell_of_our_name(site, source, reply)
        rule = self._shaping.rule_of(site, reply)
        if rule is None:
            return None
        if rule.action in _RULES:
            _RULES[rule.action].inc()
        until_ms = self._now_ms() + rule.for_s * 1000
        match rule.action:
            case "slow_down":
                self._ask(self._paces.slow_down(site, source))
            case "one_connection":
                self._ask(self._paces.one_connection(site, source, until_ms))
            case "rest_source":
                self._ask(self._paces.rest(site, source, until_ms))
            case "suspend":
                self._ask(self._paces.rest(site, EVERY_SOURCE, until_ms))
                self._ask(self._queues.hold(ids.name_partition(site, self._partitions), site, until_ms))
        if rule.action not in ("none", "defer_recipient"):
            self._log.info(
                "shaped", site=site, source=source, action=rule.action, for_s=rule.for_s, reply=reply.line[:200]
            )
        return rule

    def refused(self, site: str, source: str) -> None:
        """A host that takes mail refused this source a connection, or ended one with 421, in words that no rule knows:
        a run of these is about our pace, whatever the words, but where one host does not speak for its site."""
        if self.has_many_hosts(site):
            return
        UNKNOWN_WORDS.inc()
        now = self._monotonic()
        at, mails = self._refused.get((site, source), (-inf, RUN_MAILS))
        self._refused[site, source] = now, 0
        self._refusing.note((site, source), now + RUN_OVER_S, now)
        if mails < RUN_MAILS and (now - at <= RUN_S or self._paces.pace(site, source) is not None):
            self._ask(self._paces.slow_down(site, source))

    # Inside

    def _pool(self, site: str, ready: events.Ready) -> str:
        """Where it was moved to a pool that is not known here, by the usual one."""
        moved = self._stops.pool_of(site, ready.tenant)
        return moved if moved in self._egress.pools else self._egress.pool(ready.stream, ready.tenant).name

    def _tell_of_our_name(self, site: str, source: str, reply: Reply) -> None:
        """Until an operator changes what EHLO says, nothing goes to this site: they have to see it, and not once a
        message."""
        HELO_REFUSED.inc()
        now = self._monotonic()
        if self._told.of((site, source)) <= now:
            self._told.note((site, source), now + TOLD_AGAIN_S, now)
            self._log.error(
                "helo_refused",
                site=site,
                source=source,
                host=reply.host,
                helo=self._sources[source].helo or "(relay.helo)",
                reply=reply.line[:200],
                advice="give the source a HELO name that is found in DNS and leads back to its address",
            )

    def _not_now(self, refused: Wait, site: str, source: str) -> NotNow:
        limit = refused.limit
        if limit.scope == "source" and refused.ms > SWITCH_MS:
            now = self._monotonic()
            longest_ms = LONGEST_DAY_MS if limit.kind == "warmup" else LONGEST_WAIT_MS
            self._full.note((site, source), now + min(refused.ms, longest_ms) / 1000, now)
        per_s = min((rate.per_s for rate in limit.rates), default=0.0)
        return NotNow(min(refused.ms, LONGEST_WAIT_MS), limit.scope, limit.name, per_s)

    def _ask(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._asked(call), name="shaping")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _asked(self, call: Coroutine[Any, Any, None]) -> None:
        """What could not be stored holds in this process; the next reply of its kind tells the others."""
        try:
            await call
        except RedisAway as away:
            self._log.warning("not_shaped", reason=str(away))


class Passage:
    """The right to a connection of one worker to its site: see `courier.Passage`."""

    def __init__(self, gate: Gate, slots: Slots, site: str, outlet: Outlet) -> None:
        self._gate, self._slots = gate, slots
        self._site, self._pool, self._tenant = site, outlet.pool, outlet.tenant
        self._source = ""
        #: What was asked about last, and what the connection leads to.
        self._asked: str | None = None
        self._address: str | None = None
        self._slot: Slot | None = None
        #: How the connection was opened, and the rules that were last found to have nothing against it.
        self._opened: Opened | None = None
        self._rules = gate.rules

    def source(self, address: str | None) -> Source | NotNow:
        self._asked = address
        return self._gate.source(self._site, self._pool, address)

    async def enter(self, source: Source) -> NotNow | None:
        rules = self._gate.rules
        entered = await self._gate.enter(self._site, source, self._tenant)
        if isinstance(entered, NotNow):
            return entered
        self._slot, self._source, self._address = entered, source.name, self._asked
        self._rules = rules
        self._opened = Opened(rules, self._site, self._pool, self._tenant, source)
        self._gate.count(self._pool, source.name, 1)
        return None

    def is_good(self, mails: int, *, idle: bool) -> bool:
        """Not for more messages than the host likes, nor by a source that rests or has had its share, nor without a
        slot, nor against other rules than it was opened under; nor, as far as that is fair, when another relay has mail
        for the site and no connection."""
        if self._rules is not self._gate.rules:
            if self._opened is not None and not self._opened.may_stay(self._gate.rules):
                return False
            self._rules = self._gate.rules
        shape = self._gate.shape(self._site)
        if mails >= (shape.messages_per_connection or MAILS_PER_CONNECTION):
            return False
        if not self._gate.is_usable(self._site, self._source):
            return False
        if not idle and self._gate.has_its_share(self._site, self._pool, self._address, self._source):
            return False
        return self._slot is None or not (self._slot.lost or self._slots.wanted(self._slot, busy=not idle))

    def heard(self, source: str, reply: Reply) -> Rule | None:
        return self._gate.heard(self._site, source, reply)

    def refused(self, source: str) -> None:
        self._gate.refused(self._site, source)

    async def leave(self) -> None:
        slot, self._slot = self._slot, None
        if self._source:
            self._gate.count(self._pool, self._source, -1)
            self._source = ""
        if slot is not None:
            await self._slots.disconnect(slot)


def _wait_ms(seconds: float) -> int:
    return max(1, min(int(seconds * 1000) + 1, LONGEST_WAIT_MS))
