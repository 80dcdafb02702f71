"""How fast a suppression list comes in from a file, and goes out into one.

In one process, as an import over HTTP runs in the process of all routes: a CSV of so many lines, each about another
address, is read, spooled and applied, then the whole list is written; and files of other engines go in by one call
each, whose report has to add up.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

from services.suppression.book import Book
from services.suppression.escalated import escalation
from services.suppression.escalation import Rules
from services.suppression.moving.exporting import pieces
from services.suppression.moving.forms import Asked
from services.suppression.moving.http import READ_BYTES
from services.suppression.moving.imports import Imports, Progress
from services.suppression.moving.running import Runs, Source
from services.suppression.rule_book import RuleBook
from services.suppression.softs import Softs
from services.suppression.store import Lists
from shared.process.clock import now_ms
from shared.process.settings import Redis as RedisSettings
from shared.redis.redis import Client
from tests.moving import EXAMPLES, JSON, LINES, Example, many

PARTITIONS = RedisSettings().partitions
_WORDS = ("Non", "0", "")


class Found(NamedTuple):
    """Lines in and rows out, a second."""

    import_per_s: int
    export_per_s: int


async def measure(client: Client, tenant: str, lines: int) -> Found:
    """So many lines in, and the list of the tenant out, which has to be empty before."""
    body = b"Adresse Email;Opt-In Email;Nom\r\n" + b"".join(_rows(lines))
    began_s = time.perf_counter()
    progress = await _imported(client, tenant, body, Asked(), Source())
    import_s = time.perf_counter() - began_s
    if progress.counts["listed"] != lines:
        raise SystemExit(f"of {lines} lines {progress.counts}")
    began_s = time.perf_counter()
    rows = 0
    async for piece in pieces(Book(client, PARTITIONS, Lists(client, PARTITIONS)), tenant, ",", now_ms()):
        rows += piece.count(b"\n")
    export_s = time.perf_counter() - began_s
    if rows != lines + 1:
        raise SystemExit(f"{rows - 1} rows of {lines}")
    return Found(round(lines / import_s), round(lines / export_s))


async def move(client: Client, lines: int) -> None:
    """A file of each kind that another engine exports, of so many addresses."""
    for example in EXAMPLES:
        await _move(client, example, many(example, lines)[0], lines)


async def _move(client: Client, example: Example, body: bytes, lines: int) -> None:
    """The report has to add up."""
    file = example.file
    asked = Asked(example.query.get("format", ""))
    began_s = time.perf_counter()
    progress = await _imported(client, file, body, asked, Source(example.content_type in (JSON, LINES)))
    took_s = time.perf_counter() - began_s
    if sum(progress.counts.values()) != lines or progress.counts["refused"]:
        raise SystemExit(f"{file}: of {lines} lines {progress.counts}")
    counts = ", ".join(f"{word} {count:,}" for word, count in progress.counts.items() if count)
    print(f"{file}: {counts}, {lines / took_s:,.0f} a second")


async def _imported(client: Client, tenant: str, body: bytes, asked: Asked, source: Source) -> Progress:
    lists = Lists(client, PARTITIONS)
    book = Book(client, PARTITIONS, lists)
    rules = RuleBook(client, Rules(), time.monotonic)
    softs = Softs(escalation(client, PARTITIONS, lists, rules))
    runs = Runs(book, softs, Imports(client, PARTITIONS, now_ms), now_ms, time.monotonic)
    run = runs.new(tenant, f"bench-{now_ms()}", asked, source, dry_run=False)
    await run.begin()
    for at in range(0, len(body), READ_BYTES):
        await run.read(body[at : at + READ_BYTES])
    await run.read(b"", last=True)
    return await run.apply()


def _rows(lines: int) -> Iterator[bytes]:
    for number in range(lines):
        yield f"Someone.Number{number}@domain{number % 997}.exemple.fr;{_WORDS[number % 3]};Nom {number}\r\n".encode()
