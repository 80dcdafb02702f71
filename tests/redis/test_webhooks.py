"""Webhooks, from the stream to a real receiver that verifies each request by the published library."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from random import Random
from typing import Any

import msgspec
import pytest

from services.webhooks import signing
from services.webhooks.abouts import JobAbouts
from services.webhooks.book import SEALED_AS, Book
from services.webhooks.delivering import Clock, Deliveries, Limits
from services.webhooks.endpoints import FIELDS, Endpoint, Secret
from services.webhooks.replaying import Replaying
from services.webhooks.sender import Sender
from services.webhooks.settings import Webhooks as Settings
from services.webhooks.store import Replay, Store
from services.webhooks.webhooks import Webhooks
from shared.mail.dkim_keys import NONCE_BYTES, Vault
from shared.net.dns import DnsUnavailable
from shared.net.outside import Policy
from shared.redis import bus, keys, redis
from shared.redis.recipients import Recipients, Waiting, pack_slim
from shared.words import events, ids
from tests.fakes.receiver import Receiver

P = 2
DAY_MS = 86_400_000
VAULT = Vault(bytes(32))
INSIDE = Settings(networks="127.0.0.0/8", plain_http=True, ports="").policy()
SECRET = signing.make("hmac-sha256", b"s" * 32)


def sealed(endpoint: str, secret: str) -> Secret:
    return Secret(VAULT.seal(secret, endpoint, SEALED_AS, secrets.token_bytes(NONCE_BYTES)))


def endpoint(url: str, name: str = "wh_1", **fields: Any) -> Endpoint:
    return Endpoint(name, "acme", url, **{"secrets": (sealed(name, SECRET),), "created_ms": 1, **fields})


class Names:
    """A resolver that knows no name."""

    async def addresses(self, host: str) -> list[str] | DnsUnavailable:
        return DnsUnavailable(host, "nobody is asked")


class Bench:
    """One process of the service, and what it works on. `clock_ms` can be set ahead."""

    def __init__(self, client: redis.Client, name: str = "one", policy: Policy = INSIDE, **settings: Any) -> None:
        self.client = client
        self.ahead_ms = 0
        self.store = Store(client, P, queue_events=settings.get("queue_events", 10_000), log_ms=DAY_MS)
        self.book = Book(self.store, VAULT, policy)
        self.sender = Sender(
            Names(), policy, timeout_s=settings.get("timeout_s", 2), now_ms=self.now_ms, monotonic=time.monotonic
        )
        self.publisher = bus.Publisher(client, P, lambda: secrets.token_hex(8))
        limits = Limits(settings.get("concurrency", 8), settings.get("disable_after_ms", 5 * DAY_MS))
        clock = Clock(self.now_ms, time.monotonic, Random(1))
        self.deliveries = Deliveries(name, self.store, self.book, self.sender, self.publisher, limits, clock)
        self.webhooks = Webhooks(
            self.book, self.store, Recipients(client, P), JobAbouts(client, P), self.now_ms, self.deliveries.wake
        )
        self.consumer = bus.Consumer(
            client, P, keys.events, keys.GROUP_WEBHOOKS, "reader", self.webhooks.handle, batch=100,
            turn=lambda partition: self.store.lead(partition, name),
        )  # fmt: skip

        async def leads() -> bool:
            return True

        self.replaying = Replaying(client, P, self.store, self.book, self.webhooks.again, leads, 10_000, self.now_ms)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms

    async def put(self, *endpoints: Endpoint) -> None:
        for one in endpoints:
            await self.store.put(one, secrets.token_hex(4))
        await self.book.read()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        await self.book.read()
        await self.consumer.create_groups()
        tasks = [
            asyncio.create_task(one)
            for one in (
                self.consumer.run(stopping), self.deliveries.run(stopping), self.book.run(stopping),
                self.replaying.run(stopping),
            )
        ]  # fmt: skip
        try:
            yield
        finally:
            stopping.set()
            await asyncio.gather(*tasks)
            await self.sender.close()


@pytest.fixture
async def bench(client: redis.Client) -> Bench:
    return Bench(client)


def was_asked(receiver: Receiver, times: int) -> bool:
    return len(receiver.requests) == times


async def until(condition: Callable[[], bool], patience_s: float = 20) -> None:
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110 - what changes is in another task, which tells nobody
            await asyncio.sleep(0.01)


JOB = ids.new_job_id(time.time_ns() // 1_000_000, b"chance", P, 1)


async def with_job(client: redis.Client, people: int = 3, job: str = JOB) -> None:
    p = ids.job_partition(job, P)
    fields: dict[str, str | int] = {"tenant": "acme", "stream": "bulk", "total": people, "tags": "winter\nsale"}
    fields["list"] = "newsletter"
    for name, value in fields.items():
        await client.hset(keys.job(p, job), name, value)
    waiting = [Waiting(email=f"p{at}@exemple.fr", metadata={"customer": f"c{at}"}) for at in range(people)]
    await client.zadd(keys.job_recipients(p, job), {pack_slim(0, waiting): 0})  # type: ignore[dict-item]


def of_message(ordinal: int, at: int, kind: type[events.Fact] = events.Delivered, tenant: str = "acme") -> events.Fact:
    about = events.about_message(tenant, JOB, ordinal, ids.job_created_ms(JOB) + at, kind.__name__, at)
    return kind(**about)


def story(people: int) -> list[events.Fact]:
    """Of each message three facts."""
    kinds: tuple[type[events.Fact], ...] = (events.Accepted, events.Deferred, events.Delivered)
    return [of_message(at, number, kind) for number, kind in enumerate(kinds) for at in range(people)]


async def test_each_fact_reaches_its_endpoint_with_the_recipients_metadata(bench: Bench) -> None:
    async with Receiver([SECRET]) as receiver:
        await with_job(bench.client)
        await bench.put(endpoint(receiver.url))

        async with bench.running():
            await bench.publisher.publish([of_message(1, 5, events.Clicked), of_message(1, 7, tenant="other")])
            await until(lambda: len(receiver.events) == 1)

    assert receiver.unverified == []
    (event,) = receiver.events
    assert event["type"] == "message.clicked"
    assert event["data"] | {"details": None} == {
        "event_id": event["data"]["event_id"],
        "job": JOB,
        "message": f"{JOB}.1",
        "sequence": 5,
        "email": "p1@exemple.fr",
        "list": "newsletter",
        "stream": "bulk",
        "category": None,
        "tags": ["winter", "sale"],
        "metadata": {"customer": "c1"},
        "details": None,
    }
    assert receiver.taken[0].key == f"msg_{event['data']['event_id']}"


async def test_an_endpoint_is_told_what_it_chose_and_no_more(bench: Bench) -> None:
    async with Receiver() as receiver:
        await with_job(bench.client)
        chosen = {"types": ("message.delivered", "suppression.added"), "fields": ("email", "details.host")}
        await bench.put(
            endpoint(receiver.url, "wh_1", **chosen),
            endpoint(receiver.url, "wh_2", lists=("offers",)),
            endpoint(receiver.url, "wh_3", tags=("sale",), types=("message.opened",), fields=("message",)),
            endpoint(receiver.url, "wh_4", enabled=False),
        )
        listed = events.Suppressed(**events.about("acme", 1, "listed", email="ana@exemple.fr"), scope="list:offers")

        async with bench.running():
            await bench.publisher.publish([*story(1), of_message(0, 9, events.Opened), listed])
            await until(lambda: len(receiver.events) >= 4)
            await asyncio.sleep(0.2)

    told = sorted((event["type"], sorted(event["data"])) for event in receiver.events)
    assert told == [
        ("message.delivered", ["details", "email", "event_id"]),
        ("message.opened", ["event_id", "message"]),
        ("suppression.added", sorted(FIELDS)),
        ("suppression.added", ["details", "email", "event_id"]),
    ]


async def test_what_is_recorded_once_an_endpoint_was_put_is_told_to_it(bench: Bench) -> None:
    async with Receiver() as receiver:
        await with_job(bench.client)
        async with bench.running():
            await bench.store.put(endpoint(receiver.url, "wh_1"), secrets.token_hex(4))
            await bench.publisher.publish([of_message(0, 1, events.Opened)])
            await until(lambda: len(receiver.events) == 1)
            await bench.store.remove(endpoint(receiver.url, "wh_1"), secrets.token_hex(4), bench.now_ms())
            await bench.store.put(endpoint(receiver.url, "wh_2"), secrets.token_hex(4))
            await bench.publisher.publish([of_message(0, 2, events.Opened)])
            await until(lambda: len(receiver.events) == 2)
            await asyncio.sleep(0.1)

    assert [event["data"]["sequence"] for event in receiver.events] == [1, 2]


@pytest.mark.parametrize("batch", [1, 20])
async def test_the_events_of_each_message_come_in_their_order_whatever_fails(bench: Bench, batch: int) -> None:
    async with Receiver([SECRET]) as receiver:
        receiver.answers = [204, 500, 204, "reset", 500]
        await with_job(bench.client, 50)
        await bench.put(endpoint(receiver.url, batch=batch))

        async with bench.running():
            await bench.publisher.publish(story(50))
            await until(lambda: len(receiver.requests) >= 5)
            await asyncio.sleep(0.5)
            bench.ahead_ms = 20_000
            await until(lambda: len(receiver.events) >= 150)

    assert receiver.unverified == []
    by_message: dict[str, list[int]] = {}
    for event in receiver.events:
        by_message.setdefault(event["data"]["message"], []).append(event["data"]["sequence"])
    assert len(by_message) == 50
    assert all(sequence == [0, 1, 2] for sequence in by_message.values())
    failed = {one.key for one in receiver.requests if one.status >= 500 or not one.status}
    assert failed <= {one.key for one in receiver.taken}
    assert len({one.body for one in receiver.requests}) == len({one.key for one in receiver.requests})


async def test_an_endpoint_that_hangs_delays_no_other(client: redis.Client) -> None:
    bench = Bench(client, timeout_s=60)
    async with Receiver() as good, Receiver(otherwise="hang") as dead:
        await with_job(bench.client, 300)
        await bench.put(endpoint(good.url, "wh_1"), endpoint(dead.url, "wh_2"))

        running = bench.running()
        await running.__aenter__()
        await bench.publisher.publish(story(300))
        await until(lambda: len(good.events) == 900)

        assert (await bench.store.standing("wh_2")).waiting == 900
        assert len(dead.requests) <= 8  # as many as may be under way, and none has been answered
        await bench.sender.close()
    await running.__aexit__(None, None, None)


async def test_a_dead_endpoint_delays_no_other_and_is_asked_seldom(bench: Bench) -> None:
    async with Receiver() as good, Receiver(otherwise=500) as dead:
        await with_job(bench.client, 300)
        await bench.put(endpoint(good.url, "wh_1"), endpoint(dead.url, "wh_2"))

        async with bench.running():
            await bench.publisher.publish(story(300))
            await until(lambda: len(good.events) == 900)

            assert len(dead.requests) < 20
            standing = await bench.store.standing("wh_2")
            assert standing.waiting == 900
            assert standing.state.failures >= 5


async def test_410_disables_with_a_notice_and_what_comes_then_is_counted(bench: Bench) -> None:
    async with Receiver(otherwise=410) as gone, Receiver() as other:
        await with_job(bench.client)
        await bench.put(endpoint(gone.url, "wh_1"), endpoint(other.url, "wh_2", types=("webhook.disabled",)))

        async with bench.running():
            await bench.publisher.publish([of_message(0, 1, events.Opened)])
            await until(lambda: len(other.events) == 1)
            await bench.publisher.publish([of_message(1, 1)])
            await asyncio.sleep(0.5)

        standing = await bench.store.standing("wh_1")
    assert len(gone.requests) == 1
    assert other.events[0]["data"]["details"]["reason"] == "gone"
    assert standing.state.why == "gone"
    assert standing.missed >= 1


async def test_429_is_heeded_for_the_endpoint_as_a_whole(bench: Bench) -> None:
    async with Receiver() as receiver:
        receiver.answers = [(429, {"Retry-After": "60"})]
        await with_job(bench.client)
        await bench.put(endpoint(receiver.url))

        async with bench.running():
            await bench.publisher.publish([of_message(0, 1, events.Opened)])
            await until(lambda: len(receiver.requests) == 1)
            await bench.publisher.publish([of_message(1, 1)])
            bench.ahead_ms = 50_000
            await asyncio.sleep(0.6)
            assert len(receiver.requests) == 1
            bench.ahead_ms = 70_000
            await until(lambda: len(receiver.events) == 2)


async def test_beyond_its_bound_a_queue_drops_and_says_so(client: redis.Client) -> None:
    bench = Bench(client, queue_events=10)
    async with Receiver(otherwise=500) as dead:
        await with_job(client, 30)
        await bench.put(endpoint(dead.url))

        async with bench.running():
            await bench.publisher.publish([of_message(at, 1) for at in range(30)])
            await asyncio.sleep(0.7)

        standing = await bench.store.standing("wh_1")
    assert (standing.waiting, standing.dropped) == (10, 20)


async def test_a_period_is_told_again_under_the_same_ids(bench: Bench) -> None:
    async with Receiver() as receiver:
        await with_job(bench.client)
        await bench.put(endpoint(receiver.url))

        async with bench.running():
            await bench.publisher.publish(story(3))
            await until(lambda: len(receiver.events) == 9)
            before = {one.key for one in receiver.taken}
            now_ms = bench.now_ms()
            await bench.store.put_replay(Replay("wh_1", "acme", now_ms - 60_000, now_ms + 60_000, False))
            await until(lambda: len(receiver.events) == 18)
            await asyncio.sleep(0.3)

        assert {one.key for one in receiver.taken} == before
        assert await bench.store.replays() == []


async def test_what_was_given_up_can_be_told_again(client: redis.Client) -> None:
    bench = Bench(client, disable_after_ms=30 * DAY_MS)
    async with Receiver(otherwise=500) as receiver:
        await with_job(bench.client)
        await bench.put(endpoint(receiver.url))

        async with bench.running():
            await bench.publisher.publish([of_message(0, 1, events.Opened)])
            for attempt in range(1, 11):
                await until(partial(was_asked, receiver, attempt))
                await asyncio.sleep(0.3)
                bench.ahead_ms += 90_000_000 if attempt < 10 else 0
                if attempt < 5:
                    bench.ahead_ms -= 90_000_000 - 20_000_000
            await asyncio.sleep(0.3)
            standing = await bench.store.standing("wh_1")
            assert (standing.given_up_kept, standing.waiting) == (1, 0)
            receiver.otherwise = 204
            await bench.store.enable("wh_1", bench.now_ms())
            await bench.store.put_replay(Replay("wh_1", "acme", 0, 0, True))
            await until(lambda: len(receiver.events) == 1)
            attempts = await bench.store.attempts("wh_1", 100)

    assert [one.attempt for one in attempts if one.status == 500] == list(range(10, 0, -1))
    assert all(one.request and one.key == attempts[0].key for one in attempts)


async def test_a_former_secret_signs_too_until_its_time_is_over(bench: Bench) -> None:
    new = signing.make("hmac-sha256", b"n" * 32)
    now_ms = bench.now_ms()
    async with Receiver([SECRET, new]) as receiver:
        await with_job(bench.client)
        former = msgspec.structs.replace(sealed("wh_1", SECRET), until_ms=now_ms + 60_000)
        await bench.put(endpoint(receiver.url, secrets=(sealed("wh_1", new), former)))

        async with bench.running():
            await bench.publisher.publish([of_message(0, 1, events.Opened)])
            await until(lambda: len(receiver.events) == 1)
            assert receiver.unverified == []
            bench.ahead_ms = 61_000
            await bench.publisher.publish([of_message(1, 1)])
            await until(lambda: len(receiver.events) == 2)

    assert [len(one.signatures) for one in receiver.taken] == [2, 1]


async def test_two_processes_send_each_event_once_and_one_goes_on_for_the_other(client: redis.Client) -> None:
    one, two = Bench(client, "one"), Bench(client, "two")
    async with Receiver() as receiver:
        await with_job(client, 100)
        await one.put(endpoint(receiver.url), endpoint(receiver.url, "wh_2", batch=50))

        async with two.running():
            async with one.running():
                await one.publisher.publish(story(50))
                await until(lambda: len(receiver.events) == 300)
            await one.publisher.publish([of_message(at, 9) for at in range(50, 100)])
            # The lease of who read the partitions has to end first.
            await until(lambda: len(receiver.events) == 400, 40)

    ids_taken = [(event["data"]["event_id"]) for event in receiver.events]
    assert all(ids_taken.count(one) == 2 for one in set(ids_taken))
