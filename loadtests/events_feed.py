"""The feed: events of one tenant of a thousand, of one with ten beside all the others, what somebody was sent, and how
fast places are written.

Each page is made whole, as the route does: read, merged, and written as JSON. Of each message there are two events, as
of most: it was accepted, and delivered.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import orjson

from services.reports.feed.feed import Feed, Wanted
from services.reports.feed.indexing import Indexing, Kept
from services.reports.message_list import MessageList, MessageQuery
from shared.redis import keys, redis
from shared.redis.commands import Pipeline
from shared.redis.histories import Histories
from shared.redis.recipients import Recipients, Waiting, pack_slim
from shared.words import events, ids
from shared.words.erased import ErasureKeys

PARTITIONS = 8
DAY_MS = 86_400_000
TENANTS = 1_000
#: The tenant whose events are measured, and one that has ten.
ONE, SMALL = "tenant-1", "small"
JOBS_EACH = 4
SECRETS = ErasureKeys(b"k" * 32)
TOGETHER = 5_000
#: Pages of a figure.
PAGES = 30
#: Somebody got one message in each of so many jobs with so many recipients.
SOMEBODY, MAILED = "ana@exemple.fr", (50, 1_000)


def measure(url: str, number: int) -> dict[str, float]:
    return asyncio.run(_measure(url, number))


async def _measure(url: str, number: int) -> dict[str, float]:
    client = redis.connect(url)
    try:
        at_ms = int(time.time() * 1000)
        await fill(client, number, at_ms)
        before = await _bytes(client)
        index_s = await _indexed(client, at_ms)
        bytes_each = (await _bytes(client) - before) / number
        bare_per_s = await bare_loop(client, number)
        feed = Feed(client, PARTITIONS, Recipients(client, PARTITIONS), time.monotonic)
        shown, took_s = 0, 0.0
        for _ in range(PAGES):
            found, seconds = await timed(lambda: _page(feed, ONE, 1_000))
            shown, took_s = shown + found, took_s + seconds
        small = sorted([(await timed(lambda: _page(feed, SMALL, 100)))[1] for _ in range(PAGES)])
        histories_bytes = await _histories_bytes(client)
        await _mail_somebody(client, at_ms)
        await _indexed(client, at_ms)
        sent = Histories(client, PARTITIONS, 90)
        listed = MessageList(client, PARTITIONS, sent, SECRETS, lambda: at_ms, time.monotonic)
        history = sorted([(await timed(lambda: _history(listed)))[1] for _ in range(PAGES)])
        return {
            "feed_per_s": shown / took_s,
            "feed_of_bare_loop": shown / took_s / bare_per_s,
            "feed_bare_loop_per_s": bare_per_s,
            "feed_ten_beside_all_ms": small[len(small) // 2] * 1000,
            "feed_indexed_per_s": number / index_s,
            "feed_indexed_of_bare_loop": number / index_s / bare_per_s,
            "feed_index_bytes_each": bytes_each,
            "feed_recipient_history_ms": history[len(history) // 2] * 1000,
            "feed_history_bytes_each": histories_bytes / (number / 2),
        }
    finally:
        await redis.close(client)


async def fill(client: redis.Client, number: int, at_ms: int, tenants: int = TENANTS) -> None:
    """Events of all tenants in turn, a job's in its partition; in the middle of them the ten of the small one."""
    jobs = {
        tenant: [ids.new_job_id(at_ms, f"{tenant:05}{at}".encode()[-6:], PARTITIONS) for at in range(JOBS_EACH)]
        for tenant in range(tenants)
    }
    for start in range(0, number, TOGETHER):
        pipeline = client.pipeline(transaction=False)
        for at in range(start, min(start + TOGETHER, number)):
            message = at // 2
            tenant = message * 7919 % tenants
            job = jobs[tenant][message // tenants % JOBS_EACH]
            name = SMALL if number // 2 <= at < number // 2 + 10 else f"tenant-{tenant}"
            fact = _fact(at % 2 == 0, name, job, message // tenants, at_ms + at // 20, f"r{message}@exemple.fr")
            _add(pipeline, fact)
        await redis.answer(pipeline.execute())


def _fact(is_first: bool, tenant: str, job: str, ordinal: int, at_ms: int, email: str) -> events.Fact:
    word = "accepted" if is_first else "delivered"
    about = events.about_message(tenant, job, ordinal, at_ms, word, email=email)
    if is_first:
        return events.Accepted(**about, site="exemple.fr")
    return events.Delivered(
        **about,
        site="exemple.fr",
        host="mx1.exemple.fr",
        reply="250 2.0.0 Ok: queued as 4bX1",
        size_bytes=18_230,
        duration_ms=412,
    )


def _add(pipeline: Pipeline, fact: events.Fact) -> None:
    stream = keys.events(ids.job_partition(fact.job, PARTITIONS))
    pipeline.execute_command("XADD", stream, "*", "t", type(fact).__name__, "v", 1, "b", events.encode(fact))


async def _mail_somebody(client: redis.Client, at_ms: int) -> None:
    """Jobs of one tenant over three months, as queueing stores them."""
    number, people = MAILED
    for at in range(number):
        made_ms = at_ms - at * 90 * DAY_MS // number
        job = ids.new_job_id(made_ms, at.to_bytes(6, "big"), PARTITIONS, at % PARTITIONS)
        p = ids.job_partition(job, PARTITIONS)
        emails = [SOMEBODY if one == at else f"r{one}.{at}@exemple.fr" for one in range(people)]
        waiting = [Waiting(email=email, metadata={"crm_id": str(one)}) for one, email in enumerate(emails)]
        fields: dict[str, str | int] = {"tenant": ONE, "stream": "bulk", "subject": "Soldes", "total": people}
        pipeline = client.pipeline(transaction=False)
        pipeline.execute_command("HSET", keys.job(p, job), *(part for pair in fields.items() for part in pair))
        pipeline.execute_command("ZADD", keys.tenant_jobs(p, ONE), 0, job)
        pipeline.execute_command("ZADD", keys.job_recipients(p, job), 0, pack_slim(0, waiting))
        for ordinal, email in enumerate(emails):
            _add(pipeline, _fact(True, ONE, job, ordinal, made_ms, email))
        await redis.answer(pipeline.execute())


async def _history(listed: MessageList) -> int:
    page = await listed.page(ONE, MessageQuery(recipient=SOMEBODY))
    orjson.dumps(page.messages, default=msgspec.to_builtins)
    if len(page.messages) != MAILED[0]:
        raise AssertionError(f"{len(page.messages)} messages were found")
    return len(page.messages)


async def _histories_bytes(client: redis.Client) -> int:
    """What histories take in Redis."""
    total, cursor = 0, 0
    while True:
        scan = client.pipeline(transaction=False)
        scan.execute_command("SCAN", cursor, "MATCH", "*:history:*", "COUNT", 5_000)
        ((cursor, names),) = await redis.answer(scan.execute())
        sizes = client.pipeline(transaction=False)
        for name in names:
            sizes.execute_command("MEMORY", "USAGE", name)
        total += sum(await redis.answer(sizes.execute())) if names else 0
        if not int(cursor):
            return total


async def _indexed(client: redis.Client, at_ms: int) -> float:
    kept = Kept(7 * DAY_MS, 118 * DAY_MS, 1_000)
    indexing = Indexing(client, PARTITIONS, kept, SECRETS, lambda: at_ms)
    began_s = time.perf_counter()
    for partition in range(PARTITIONS):
        while await indexing.step(partition):
            pass
    return time.perf_counter() - began_s


async def _bytes(client: redis.Client) -> float:
    """What Redis uses."""
    return float((await client.info("memory"))["used_memory"])


async def bare_loop(client: redis.Client, number: int) -> float:
    """Entries a second of a loop that reads the streams and does nothing."""
    began_s = time.perf_counter()
    for p in range(PARTITIONS):
        after = "-"
        while found := await client.xrange(keys.events(p), after, "+", count=1_000):
            after = f"({found[-1][0].decode()}"
    return number / (time.perf_counter() - began_s)


async def _page(feed: Feed, tenant: str, limit: int) -> int:
    page = await feed.page(Wanted(tenant), None, limit)
    orjson.dumps(page.events, default=msgspec.to_builtins)
    return len(page.events)


async def timed(call: Callable[[], Awaitable[int]]) -> tuple[int, float]:
    began_s = time.perf_counter()
    return await call(), time.perf_counter() - began_s
