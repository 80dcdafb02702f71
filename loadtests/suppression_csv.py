"""How fast a suppression list comes in from a file, and goes out into one.

    python -m loadtests.suppression_csv [--lines 300000] [--moving 100000]

In one process, as an import over HTTP runs in the process of all routes, against a Redis of its own: a CSV of so many
lines, each about another address, is read, spooled and applied, then the whole list is written; and of each kind of
file that another engine exports as many addresses as `--moving` says go in by one call, whose report has to add up. The
goals are 30,000 lines in and 100,000 rows out a second. The last line is JSON.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from loadtests.processes import Processes
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
from shared.redis.redis import Client, close, connect
from tests.moving import EXAMPLES, JSON, LINES, many

PARTITIONS = RedisSettings().partitions
_WORDS = ("Non", "0", "")


class Found(NamedTuple):
    """What is in the last line."""

    import_per_s: int
    export_per_s: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=300_000)
    parser.add_argument("--moving", type=int, default=100_000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with Processes(Path(folder)) as processes:
            url = processes.redis()
            found = asyncio.run(_measured(url, wanted.lines, wanted.moving))
    print(f"in:  {found.import_per_s:,} lines a second")
    print(f"out: {found.export_per_s:,} rows a second")
    print(json.dumps({"bench": "suppression_csv", **found._asdict()}))


async def _measured(url: str, lines: int, moving: int) -> Found:
    client = connect(url)
    try:
        found = await measure(client, "bench-csv", lines)
        for example in EXAMPLES if moving else ():
            await _move(client, example.file, many(example, moving)[0], moving)
        return found
    finally:
        await close(client)


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


async def _move(client: Client, file: str, body: bytes, lines: int) -> None:
    """The file of another engine, and a report that adds up."""
    example = next(one for one in EXAMPLES if one.file == file)
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


if __name__ == "__main__":
    main()
