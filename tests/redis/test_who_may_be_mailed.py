"""Whatever happens to addresses, in whatever order: who may be mailed is what a plain model says, which knows no code
of ours."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.suppression.consent_store import ConsentStore
from services.suppression.consenting import Consenting
from services.suppression.consents import of_request
from services.suppression.counts import Counts
from services.suppression.escalated import escalation
from services.suppression.escalation import Rules as SoftRules
from services.suppression.objections import Objections
from services.suppression.rule_book import RuleBook
from services.suppression.rules import By, Rules
from services.suppression.store import Addition, Lists, Removal
from services.suppression.suppression import Suppression
from shared.redis import bus, keys, redis
from shared.redis.consents import Consents, Entry
from shared.redis.recipients import Recipients
from shared.redis.suppression import Asked, SuppressionList
from shared.redis.untracked import UntrackedList
from shared.words import consent, events, ids
from shared.words.consent import Declared
from shared.words.rules import Named, Rule
from shared.words.scopes import CHANNELS, Channel

P = 2
DAY_MS = 86_400_000
START_MS = 1_790_000_000_000
TENANTS = ("acme", "zeta")
ADDRESSES = ("ana@a.test", "bo@b.test")
LISTS = ("news", "offers")
STREAMS = ("bulk", "transactional", "one_to_one")
#: Soft bounces in a row that suppress, over so many days: the rule that a tenant has who changes nothing.
ENOUGH, DAYS = 5, 15
#: The stronger word of two for the same thing holds.
STRONGER = ("soft_bounces", "hard_bounce", "manual", "objected", "unsubscribed", "complaint")

WORDS = (
    "hard", "soft", "complaint", "left list", "left marketing", "left all", "objects", "objects no more", "opts in",
    "opts out", "delivered", "put", "put sms", "reactivated", "rule", "no rule",
)  # fmt: skip
#: What is stopped at once: by which channel, what, and why.
STOPS = {
    "hard": ("email", "all", "hard_bounce"),
    "complaint": ("email", "marketing", "complaint"),
    "left marketing": ("email", "marketing", "unsubscribed"),
    "left all": ("email", "all", "unsubscribed"),
    "put": ("email", "all", "manual"),
    "put sms": ("sms", "marketing", "manual"),
}
STEP = st.tuples(st.sampled_from(WORDS), st.sampled_from(TENANTS), st.sampled_from(ADDRESSES), st.sampled_from(LISTS))


@dataclass
class Model:
    """What is known of one tenant's address: by channel and what is stopped, why."""

    stopped: dict[tuple[str, str], str] = field(default_factory=dict)
    softs_days: list[float] = field(default_factory=list)
    objects: bool = False
    optin: str = "unknown"
    is_ruled_out: bool = False

    def stop(self, channel: str, what: str, why: str) -> None:
        known = self.stopped.get((channel, what), why)
        self.stopped[channel, what] = max(known, why, key=STRONGER.index)

    def object(self) -> None:
        for channel in CHANNELS:
            self.stop(channel, "marketing", "objected")

    def clear(self, *whys: str) -> None:
        self.stopped = {place: why for place, why in self.stopped.items() if why not in whys}

    def step(self, word: str, name: str, day: float) -> None:
        if word in STOPS:
            self.stop(*STOPS[word])
        match word:
            case "soft":
                self.softs_days.append(day)
                if len(self.softs_days) >= ENOUGH and day - self.softs_days[0] >= DAYS:
                    self.stop("email", "all", "soft_bounces")
            case "left list":
                self.stop("email", name, "unsubscribed")
            case "objects":
                self.objects = True
                self.object()
            case "objects no more":
                self.objects = False
                self.clear("objected")
            case "opts in" | "opts out":
                self.optin = "yes" if word == "opts in" else "no"
            case "rule" | "no rule":
                self.is_ruled_out = word == "rule"
            case "delivered":
                self.softs_days.clear()
                self.clear("soft_bounces")
            case "reactivated":
                self.softs_days.clear()
                self.stopped.clear()
                if self.objects:
                    self.object()

    def may_go(self, channel: str, stream: str, name: str) -> bool:
        if (channel, "all") in self.stopped or (self.is_ruled_out and channel == "email"):
            return False
        if stream != "bulk":
            return True
        if (channel, "marketing") in self.stopped or (channel, name) in self.stopped:
            return False
        return channel != "email" or (self.optin != "no" and not self.objects)


class House:
    """The service `suppression`, as its process puts it together."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.now_ms = START_MS
        self._numbers = itertools.count()
        self.lists = Lists(client, P, lambda: self.now_ms)
        self.lookup = SuppressionList(client, P, lambda: self.now_ms)
        self.consents = Consents(client, P, lambda: float(next(self._numbers)))  # nothing is remembered
        store = ConsentStore(client, P, self.consents.rules)
        self.consenting = Consenting(store, UntrackedList(client), Objections(client, P, self.lists))
        recipients = Recipients(client, P)
        self.suppression = Suppression(self.lists, recipients, lambda: self.now_ms, self.consenting)
        rules = RuleBook(client, SoftRules(), lambda: float(next(self._numbers)))
        self.escalating = escalation(client, P, self.lists, rules)
        publisher = bus.Publisher(client, P, self.new_id)
        self.counts = Counts(client, P)
        self.rules = Rules(client, publisher, lambda: self.now_ms, self.new_id)
        self._read = dict.fromkeys(range(P), "-")

    def new_id(self) -> str:
        return f"{next(self._numbers):016x}"

    async def hear(self, fact: events.Fact) -> None:
        await self._apply([bus.Entry(f"{self.now_ms}-0", type(fact).__name__, 1, events.encode(fact))])

    async def _apply(self, entries: Sequence[bus.Entry]) -> None:
        await self.suppression.apply(0, entries)
        await self.escalating.apply(entries)

    async def settle(self) -> None:
        """Reads what was told by what it did itself, until nothing is told any more."""
        found = True
        while found:
            found = False
            for p in range(P):
                told = await self.client.xrange(keys.events(p), self._read[p], "+")
                if told:
                    found = True
                    self._read[p] = f"({told[-1][0].decode()}"
                    await self._apply([bus.entry(number, fields) for number, fields in told])

    async def step(self, word: str, tenant: str, address: str, name: str) -> None:
        job = ids.new_job_id(self.now_ms, self.now_ms.to_bytes(6, "big"), P)
        about = events.about_message(tenant, job, 0, self.now_ms, word, next(self._numbers), email=address)
        match word:
            case "hard":
                await self.hear(events.Bounced(**about, kind="hard", reply="550 5.1.1 no such user"))
            case "soft":
                await self.hear(events.Bounced(**about, kind="soft", reply="451 4.3.0 try later"))
            case "complaint":
                await self.hear(events.Complained(**about, feedback_type="abuse"))
            case "left list":
                await self.hear(events.Unsubscribed(**about, by="one_click", scope="list", list=name))
            case "left marketing" | "left all":
                await self.hear(events.Unsubscribed(**about, by="page", scope=word.removeprefix("left ")))
            case "delivered":
                await self.hear(events.Delivered(**about))
            case "objects" | "objects no more":
                await self._say(tenant, address, "objected", "yes" if word == "objects" else "no")
            case "opts in" | "opts out":
                await self._say(tenant, address, "email", "yes" if word == "opts in" else "no")
            case "put" | "put sms":
                channel: Channel = "email" if word == "put" else "sms"
                scope = "all" if word == "put" else "marketing"
                await self.lists.add([Addition(tenant, address, "manual", self.now_ms, scope, channel, "api")])
            case "reactivated":
                await self.lists.remove([Removal(tenant, address, self.now_ms, "api", self.new_id())])
                await self.counts.forget(tenant, address)
            case "rule":
                named = Named(self._pattern(address), Rule(self.now_ms))
                await self.rules.put(tenant, [named], 100, By(tenant, "us"))
            case "no rule":
                await self.rules.delete(tenant, self._pattern(address), By(tenant, "us"))
        await self.settle()

    def _pattern(self, address: str) -> str:
        return "*@" + address.partition("@")[2]

    async def _say(self, tenant: str, address: str, topic: consent.Topic, answer: str) -> None:
        entry = Entry(at_ms=self.now_ms, event_id=self.new_id(), by="api", answers={topic: answer})
        await self.consenting.record([of_request(tenant, address, {topic: answer}, entry, [], self.new_id)])

    async def may_go(self, tenant: str, address: str) -> dict[tuple[str, str, str], bool]:
        """As queueing asks: the list, and for e-mail the gate."""
        places = list(itertools.product(CHANNELS, STREAMS, LISTS))
        reasons = await self.lookup.check([Asked(tenant, address, *one) for one in places])
        rules, states = await self.consents.of(tenant, [address])
        state = states[0] if states else consent.NOTHING_SAID
        return {
            (channel, stream, name): reason is None
            and (channel != "email" or consent.held(stream, rules, Declared(), state) is None)
            for (channel, stream, name), reason in zip(places, reasons, strict=True)
        }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=40))
async def test_a_chain_of_whatever_happens_leaves_those_to_be_mailed_whom_a_plain_model_leaves(
    redis_url: str, steps: list[tuple[str, str, str, str]]
) -> None:
    client: Any = redis.connect(redis_url)
    await client.flushall()
    house = House(client)
    models = {(tenant, address): Model() for tenant in TENANTS for address in ADDRESSES}
    try:
        for word, tenant, address, name in steps:
            house.now_ms += 4 * DAY_MS
            await house.step(word, tenant, address, name)
            models[tenant, address].step(word, name, (house.now_ms - START_MS) / DAY_MS)

        for (tenant, address), model in models.items():
            found = await house.may_go(tenant, address)
            assert found == {place: model.may_go(*place) for place in found}, (tenant, address)
    finally:
        await redis.close(client)
