"""The ready queues beside a model: whatever is done in whatever order, a message is where the model says, only there.

After each step all of Redis is read: messages by place, and what is derived from them (turns, sites, counts, expiries).
A lease must bring exactly as many messages as may be handed out, so what is neither held nor over is never stuck.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from shared.redis import keys, ready, redis
from shared.redis.ready import (
    Lease,
    Queued,
    ReadyQueues,
    Recorded,
)
from shared.words import events, ids
from tests.servers import RedisServer

P = 3
JOBS = [ids.new_job_id(1_790_000_000_000, bytes([number] * 6), 4) for number in range(2)]
LEASE_MS = 3_600_000
SITE_LIMIT = 6
#: A time that does not come while the test runs, and one that is over.
LATER_MS, OVER_MS = 2**42, 1
T = TypeVar("T")

relays = st.sampled_from(["r1", "r2"])
#: Those that try messages alone.
loners = st.sampled_from(["x1", "x2"])
hands = st.sampled_from(["r1", "r2", "x1", "x2"])
sites = st.sampled_from(["a", "b:25"])
queues = st.sampled_from(["acme", "zeta", "zeta/job"])
held = st.one_of(st.none(), queues)
limits = st.sampled_from([1, 2, 5, 100])
#: Which of what a relay has in hand: every first, second, third.
everies = st.integers(1, 3)

#: All keys with what is in them, in one round trip.
DUMP = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, held = redis.call('TYPE', key).ok, {}
  if kind == 'stream' then
    for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do held[#held + 1] = entry[2] end
  elseif kind == 'zset' then
    held = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'hash' then
    held = redis.call('HGETALL', key)
  end
  found[#found + 1] = {key, held}
end
return found
"""


@dataclass(frozen=True)
class Message:
    lane: int
    site: str
    queue: str
    body: bytes
    expires_at: int


class Beside(RuleBasedStateMachine):
    """`where`: what is neither done nor lost, by its place: ready, apart, retry, parked, or a relay and the number
    there. `take_overs`: how often each was in the hand of a relay that died, since it was last recorded."""

    def __init__(self, url: str, server: Redis) -> None:
        super().__init__()
        server.flushall()
        self.server: Any = server
        self.runner = asyncio.Runner()
        self.client = redis.connect(url)
        self.queues = ReadyQueues(self.client, "email")
        self.alone = self.queues.alone()
        self.made = 0
        self.take_overs: Counter[Message] = Counter()
        self.where: dict[Message, str | tuple[str, int]] = {}
        self.dead: set[str] = set()
        self.retry_due: set[Message] = set()
        self.were_held = False
        self.holds: set[tuple[str, str | None]] = set()

    def teardown(self) -> None:
        self.run(redis.close(self.client))
        self.runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    # What the model knows

    def at(self, place: str) -> list[Message]:
        return [message for message, its in self.where.items() if its == place]

    def hand(self, relay: str) -> dict[int, Message]:
        return {its[1]: message for message, its in self.where.items() if isinstance(its, tuple) and its[0] == relay}

    def some_of(self, relay: str, every: int) -> tuple[str, dict[int, Message]]:
        """What a relay has in hand, every so many; another relay if this one has nothing."""
        relay = next(one for one in (relay, "r1", "r2", "x1", "x2") if self.hand(one))
        return relay, dict(list(self.hand(relay).items())[::every])

    def of(self, relay: str) -> ReadyQueues:
        return self.alone if relay.startswith("x") else self.queues

    def goes_back(self, messages: Iterable[Message], relay: str = "") -> None:
        """What was over while it was parked may have been taken by one who tries alone: to those it goes back, and is
        over there as well."""
        is_alone = relay.startswith("x")
        places = {message: "apart" if is_alone or self.take_overs[message] >= 2 else "ready" for message in messages}
        self.where |= places

    def are_taken_over(self, relays: Iterable[str]) -> Counter[tuple[int, bytes]]:
        """How often by now, and the body, of each message that these had in hand."""
        told: Counter[tuple[int, bytes]] = Counter()
        for relay in relays:
            messages = [*self.hand(relay).values()]
            self.take_overs.update(messages)
            self.goes_back(messages, relay)
            told.update((self.take_overs[message], message.body) for message in messages)
        return told

    def has_in_hand(self) -> bool:
        return any(isinstance(its, tuple) for its in self.where.values())

    def in_hand(self, kind: str = "r", lanes: Sequence[int] = (0, 1)) -> Counter[str]:
        """Messages by site, in the hands of relays of that kind."""
        hands = ((message, its) for message, its in self.where.items() if isinstance(its, tuple))
        return Counter(message.site for message, its in hands if its[0].startswith(kind) and message.lane in lanes)

    def may_go(self, message: Message) -> bool:
        return not {(message.site, None), (message.site, message.queue)} & self.holds

    def room(self, site: str) -> int:
        return max(0, SITE_LIMIT - self.in_hand()[site])

    def put_in_hand(self, relay: str, leases: list[Lease], places: set[str]) -> list[Message]:
        found = []
        for lease in leases:
            (message,) = [known for known in self.where if known.body == lease.body]
            assert self.where[message] in places
            assert (lease.lane, lease.site, lease.queue) == (message.lane, message.site, message.queue)
            assert lease.take_overs == self.take_overs[message]
            self.where[message] = (relay, lease.number)
            found.append(message)
        return found

    # What may happen

    @initialize()
    def begin(self) -> None:
        """Something to take, at both sites."""
        self.enqueue(1, "a", "acme", 4, JOBS[0], 0)
        self.enqueue(1, "b:25", "zeta/job", 4, JOBS[1], 0)

    @rule(lane=st.integers(0, 1), site=sites, queue=queues, count=st.integers(1, 8), job=st.sampled_from(JOBS),
          expires_at=st.sampled_from([0, 0, LATER_MS, OVER_MS]))  # fmt: skip
    def enqueue(self, lane: int, site: str, queue: str, count: int, job: str, expires_at: int) -> None:
        first, self.made = self.made, self.made + count
        messages = [Message(lane, site, queue, self.body(job, first + number), expires_at) for number in range(count)]
        for _ in range(2):  # the second time is a repeat
            rows = [Queued(m.lane, m.site, m.queue, m.body, m.expires_at) for m in messages]
            self.run(self.queues.enqueue(P, job, first, rows))
        self.where |= dict.fromkeys(messages, "ready")

    def body(self, job: str, ordinal: int, attempt: int = 1) -> bytes:
        ready_ = events.Ready(tenant="acme", job=job, ordinal=ordinal, email=f"u{ordinal}@a.test", attempt=attempt)
        return events.encode(ready_)

    @rule(relay=relays, limit=limits, kept=st.sampled_from([0, 0, 1, 3]))
    def lease(self, relay: str, limit: int, kept: int) -> None:
        told = self.dead_are_taken_over(relay)
        self.where |= dict.fromkeys(self.retry_due, "ready")
        self.retry_due = set()
        before = {site: self.room(site) for site in ("a", "b:25")}
        may_go = Counter(message.site for message in self.at("ready") if self.may_go(message))

        urgent = Counter(message.site for message in self.at("ready") if message.lane == 0 and self.may_go(message))
        first = min(limit + kept, sum(min(before[site], urgent[site]) for site in before))

        taken = self.run(self.queues.lease(P, relay, LEASE_MS, limit, SITE_LIMIT, urgent=kept, urgent_room=kept))

        messages = self.put_in_hand(relay, taken.leases, {"ready"})
        assert told == Counter((one.take_overs, one.body) for one in taken.taken_over)
        assert all(map(self.may_go, messages))
        in_all = sum(min(before[site], may_go[site]) for site in before)
        assert len(messages) == first + min(limit, limit + kept - first, in_all - first)
        assert sum(message.lane == 0 for message in messages) == first  # over all sites, before any bulk
        assert taken.held == len(self.hand(relay))
        urgent_left = {m.site for m in self.at("ready") if m.lane == 0 and self.may_go(m)}
        assert not any(message.lane == 1 and message.site in urgent_left for message in messages)

    def dead_are_taken_over(self, relay: str) -> Counter[tuple[int, bytes]]:
        """By a relay of the same kind that asks."""
        self.dead.discard(relay)
        gone = {one for one in self.dead if one[0] == relay[0]}
        self.dead -= gone
        return self.are_taken_over(gone)

    @rule(relay=loners, limit=limits)
    def lease_alone(self, relay: str, limit: int) -> None:
        told = self.dead_are_taken_over(relay)
        before, apart = self.in_hand("x"), Counter(message.site for message in self.at("apart"))

        taken = self.run(self.alone.lease(P, relay, LEASE_MS, limit, SITE_LIMIT))

        messages = self.put_in_hand(relay, taken.leases, {"apart"})
        assert told == Counter((one.take_overs, one.body) for one in taken.taken_over)
        if not self.holds and not self.were_held:
            room = sum(min(max(0, SITE_LIMIT - before[site]), apart[site]) for site in apart)
            assert len(messages) == min(limit, room)

    @rule(relay=hands)
    def is_known_to_have_died(self, relay: str) -> None:
        told = self.are_taken_over([relay])
        self.dead.discard(relay)
        self.were_held |= relay.startswith("x") and bool(told)  # others go first

        found = self.run(self.of(relay).died(P, relay))

        assert told == Counter((one.take_overs, one.body) for one in found)

    @precondition(has_in_hand)
    @rule(relay=hands, every=everies, retry_at=st.sampled_from([None, OVER_MS, LATER_MS]))
    def record(self, relay: str, every: int, retry_at: int | None) -> None:
        ends, lost = [Recorded(10**9, retry_at=retry_at, body=b"lost")], 1
        relay, some = self.some_of(relay, every)
        for number, message in some.items():
            again = self.again(message)
            ends.append(Recorded(number, retry_at, again.body))
            del self.where[message]
            if retry_at is not None:
                self.where[again] = "retry"
            if retry_at == OVER_MS:
                self.retry_due.add(again)

        assert self.run(self.of(relay).record(P, relay, ends)) == lost

    def again(self, message: Message) -> Message:
        was = events.decode("Ready", message.body)
        assert isinstance(was, events.Ready)
        body = self.body(was.job, was.ordinal, was.attempt + 1)
        return Message(message.lane, message.site, message.queue, body, message.expires_at)

    @precondition(has_in_hand)
    @rule(relay=hands, every=everies)
    def release(self, relay: str, every: int) -> None:
        relay, back = self.some_of(relay, every)
        self.goes_back(back.values(), relay)
        self.run(self.of(relay).release(P, relay, [*back, 10**9]))

    @rule(relay=hands)
    def stop(self, relay: str) -> None:
        self.goes_back(self.hand(relay).values(), relay)
        self.dead.discard(relay)
        self.run(self.of(relay).release(P, relay))

    @precondition(has_in_hand)
    @rule(relay=hands)
    def die(self, relay: str) -> None:
        relay, _ = self.some_of(relay, 1)
        known = keys.relays(P, "email") if relay.startswith("r") else keys.alone(keys.relays(P, "email"))
        if self.server.zadd(known, {relay: 1}, xx=True, ch=True):
            self.dead.add(relay)

    @precondition(lambda self: self.at("retry"))
    @rule()
    def retries_come_due(self) -> None:
        self.retry_due = set(self.at("retry"))
        for member in self.server.zrange(keys.retry(P, "email"), 0, -1):
            self.server.zadd(keys.retry(P, "email"), {member: OVER_MS})

    @rule(site=sites, queue=held)
    def hold(self, site: str, queue: str | None) -> None:
        self.holds.add((site, queue))
        self.were_held = True
        self.run(self.queues.hold(P, site, LATER_MS, queue))

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def hold_comes_to_its_end(self, data: st.DataObject) -> None:
        site, queue = data.draw(st.sampled_from(sorted(self.holds, key=str)))
        self.holds.remove((site, queue))
        self.server.zadd(keys.holds(P, "email"), {site if queue is None else f"{site}\n{queue}": OVER_MS})
        if queue is not None:
            for lane in (0, 1):
                self.server.zadd(keys.turns(P, "email", lane, site), {queue: OVER_MS}, xx=True)
        if (site, None) not in self.holds:
            self.server.zadd(keys.sites(P, "email"), {site: OVER_MS}, xx=True)
            self.server.zadd(keys.urgent(P, "email"), {site: OVER_MS}, xx=True)

    @precondition(has_in_hand)
    @rule(relay=hands, every=everies)
    def park(self, relay: str, every: int) -> None:
        relay, aside = self.some_of(relay, every)
        self.where |= dict.fromkeys(aside.values(), "parked")
        self.run(self.of(relay).park(P, relay, [*aside, 10**9]))

    @precondition(lambda self: self.at("parked"))
    @rule(limit=limits)
    def unpark(self, limit: int) -> None:
        job = _job(self.at("parked")[0].body)
        there = [message for message in self.at("parked") if _job(message.body) == job]
        back = self.run(self.queues.unpark(P, job, limit))
        assert back == min(limit, len(there))
        still = {_body(value) for value in self.server.zrange(keys.parked_prefix(P, "email") + job, 0, -1)}
        self.goes_back([message for message in there if message.body not in still])

    @rule(relay=hands, limit=limits)
    def take_expired(self, relay: str, limit: int) -> None:
        self.run(asyncio.sleep(0.003))  # the next sweep is at a full millisecond
        place = "apart" if relay.startswith("x") else "ready"
        over = [m for m in [*self.at(place), *self.at("parked")] if m.expires_at == OVER_MS]
        self.dead.discard(relay)

        leases = self.run(self.of(relay).take_expired(P, relay, LEASE_MS, limit))

        found = self.put_in_hand(relay, leases, {place, "parked"})
        assert set(found) <= set(over)
        assert len(found) == min(limit, len(over))

    # What must be so after each

    @invariant()
    def redis_is_as_the_model(self) -> None:
        self.found = {key.decode(): held for key, held in self.server.eval(DUMP, 0)}
        expected = Counter(
            (its if isinstance(its, str) else its[0], message.lane, message.site, message.queue, message.body)
            for message, its in self.where.items()
        )
        assert Counter(self.messages()) == expected
        self.check_turns()
        self.check_expiries()
        for kind, prefix in (("r", keys.site_prefix(P, "email")), ("x", keys.alone(keys.site_prefix(P, "email")))):
            for field, lanes in ((b"leased", (0, 1)), (b"urgent", (0,))):
                counts = {site: int(record[field]) for site, record in self.hashes(prefix) if field in record}
                assert counts == self.in_hand(kind, lanes)
            self.check_what_is_left_of_turns(prefix, "ready" if kind == "r" else "apart")
        parked = {_job(message.body) for message in self.at("parked")}
        assert self.members(keys.parked_jobs(P, "email")).keys() == parked

    def messages(self) -> Iterator[tuple[str, int, str, str, bytes]]:
        """Place, lane, site, queue, body of all that there is."""
        for waits, prefix in (
            ("ready", keys.ready_prefix(P, "email")),
            ("apart", keys.alone(keys.ready_prefix(P, "email"))),
        ):
            for rest, entries in self.below(prefix):
                lane, _, names = rest.partition(":")
                site, _, queue = names.rpartition(":")
                for entry in entries:
                    yield waits, int(lane), site, queue, entry[5]
        values = [("retry", value) for value in self.found.get(keys.retry(P, "email"), [])[::2]]
        values += [("parked", value) for _, held in self.below(keys.parked_prefix(P, "email")) for value in held[::2]]
        for prefix in (keys.leased_prefix(P, "email"), keys.alone(keys.leased_prefix(P, "email"))):
            values += [(relay, value) for relay, held in self.below(prefix) for value in held[1::2]]
        for place, value in values:
            head, queue, _, body = value.split(b"\n", 3)
            yield place, int(head[:1]), head[1:].decode(), queue.decode(), body

    def check_turns(self) -> None:
        """The queues that take turns are those with messages, and a site can be found if there is room for it."""
        waiting: dict[str, set[str]] = defaultdict(set)
        for message in self.at("ready"):
            waiting[f"{message.lane}:{message.site}"].add(message.queue)
        turns = {
            rest: self.members(keys.turns_prefix(P, "email") + rest)
            for rest, _ in self.below(keys.turns_prefix(P, "email"))
        }
        assert {key: set(queues) for key, queues in turns.items()} == waiting
        sites = {name.partition(":")[2] for name in waiting}
        assert {site for site in sites if self.room(site)} <= self.members(keys.sites(P, "email")).keys()
        urgent = {name.partition(":")[2] for name in waiting if name.startswith("0:")}
        urgent_sites = self.members(keys.urgent(P, "email")).keys()
        assert {site for site in urgent if self.room(site)} <= urgent_sites <= urgent

    def check_what_is_left_of_turns(self, prefix: str, place: str) -> None:
        """Of queues that have messages still: of those that have none, nothing is left."""
        waiting = {(message.site, f"turn{message.lane}".encode(), message.queue) for message in self.at(place)}
        for site, record in self.hashes(prefix):
            assert record
            for lane in record.keys() & {b"turn0", b"turn1"}:
                left, _, queue = record[lane].decode().partition(" ")
                assert 0 < int(left) <= ready.TURN
                assert (site, lane, queue) in waiting

    def check_expiries(self) -> None:
        """Every queue with messages that expire is looked through in time, and no other."""
        expiring: dict[str, int] = {}
        for message in self.at("ready"):
            if message.expires_at:
                name = f"{message.lane}{message.site}\n{message.queue}"
                expiring[name] = min(expiring.get(name, LATER_MS), message.expires_at)
        looked_through = self.members(keys.expiries(P, "email"))
        assert expiring.keys() <= looked_through.keys()
        assert all(looked_through[name] < LATER_MS for name, at in expiring.items() if at == OVER_MS)
        queues = {f"{message.lane}{message.site}\n{message.queue}" for message in self.at("ready")}
        assert looked_through.keys() <= queues
        assert {name.decode() for name in self.found.get(keys.sweeps(P, "email"), [])[::2]} <= looked_through.keys()

    def below(self, prefix: str) -> Iterator[tuple[str, list[Any]]]:
        yield from ((key.removeprefix(prefix), held) for key, held in self.found.items() if key.startswith(prefix))

    def members(self, key: str) -> dict[str, float]:
        held = self.found.get(key, [])
        return {member.decode(): float(score) for member, score in zip(held[::2], held[1::2], strict=True)}

    def hashes(self, prefix: str) -> Iterator[tuple[str, dict[bytes, bytes]]]:
        yield from ((rest, dict(zip(held[::2], held[1::2], strict=True))) for rest, held in self.below(prefix))


def _body(value: bytes) -> bytes:
    return value.split(b"\n", 3)[3]


def _job(body: bytes) -> str:
    message = events.decode("Ready", body)
    assert isinstance(message, events.Ready)
    return message.job


def test_promise_1_a_message_is_in_exactly_one_place_whatever_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "SWEEP_MS", 1)
    monkeypatch.setattr(ready, "SWEEP_PAGE", 5)
    monkeypatch.setattr(ready, "SWEEP_PAGES", 1000)
    monkeypatch.setattr(ready, "TURN", 2)
    # Nothing is killed here: a server that need not wait for its disk tries more in the same time.
    server = RedisServer(tmp_path, "--appendonly", "no")
    server.start()
    try:
        with server.client() as client:
            run_state_machine_as_test(
                partial(Beside, server.url, client),  # type: ignore[arg-type] # it calls what makes one
                settings=settings(
                    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
                ),
            )
    finally:
        server.stop()
