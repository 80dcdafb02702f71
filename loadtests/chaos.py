"""kill -9 accounting over the whole path: what was answered 202 is delivered, and hardly any of it twice.

    python -m loadtests.chaos [--recipients 100000] [--every 4]

A whole instance, as `make run` starts it, is handed recipients in three ways at the same time: streamed into open jobs,
one job each, and one mail each by SMTP. Callers are careful ones (`services.client` is): with the same Idempotency-Key,
the same lines, the same Message-ID, they ask until they are answered. Meanwhile, every few seconds, one of its
processes is killed, Redis among them, and started again by whoever watches over it.

Counted in the end is what the host took (`loadtests.tally`) and what stands in the streams. Lost is what was answered
and never delivered. Doubled is what the host took again: at most what was in flight when a relay or Redis was killed,
which is what the host had taken and nobody had on record, and one for each connection. The last line is JSON; the exit
status is 1 if anything was lost, ended twice, or was doubled without having been in flight.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import smtplib
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar

import aiohttp
import uvloop

from loadtests.bench_neighbours import started
from loadtests.processes import START_S, Processes, free_port, listens, python, until
from loadtests.tally import Taken, address, taken
from services.client.client import Client
from shared.process.settings import Redis
from shared.redis import keys, redis
from shared.words import events

#: What is killed, each as often as the others.
VICTIMS = ("http", "queueing", "relay", "reports", "submission", "suppression", "redis")
#: A kill of these may repeat what was in flight; of the others nothing.
REPEATING = ("relay", "redis")
#: Of all recipients, how many come one by one, and how many by SMTP; the others in jobs of so many, each appended in so
#: many pieces.
SINGLE_SHARE, SMTP_SHARE, PER_JOB, PIECES = 0.2, 0.1, 5_000, 5
#: Callers at a time of either kind, how often those of the API ask at most, how long those by SMTP do, and how long is
#: waited for more to come.
CALLERS, SMTP_CALLERS, TRIES, PATIENCE_S = 12, 4, 15, 600.0
#: Until a mail program takes a connection for dead.
SMTP_TIMEOUT_S = 30
CONNECTIONS = 20
FINAL = frozenset(events.FINAL_FACTS)

T = TypeVar("T")


class Kill(NamedTuple):
    at_ms: int
    victim: str


@dataclass
class Account:
    """What happened. `submitted` are the recipients whose job was answered, by number; `ended` the final facts by
    message; `delivered_ms` when each delivery went on record, by the clock of Redis."""

    submitted: set[int] = field(default_factory=set)
    kills: list[Kill] = field(default_factory=list)
    repeats: int = 0
    ended: Counter[tuple[str, int]] = field(default_factory=Counter)
    delivered_ms: list[int] = field(default_factory=list)

    def result(self, took: Sequence[Taken]) -> dict[str, Any]:
        """The last line."""
        times = Counter(one.name for one in took)
        wanted = {address(number).partition("@")[0] for number in self.submitted}
        flights = in_flight(self.kills, took, self.delivered_ms)
        return {
            "recipients": len(wanted),
            "lost": len(wanted - set(times)),
            "unasked": len(set(times) - wanted),
            "doubled": sum(times.values()) - len(times),
            "in_flight": sum(flights),
            "on_record": len(self.ended),
            "ended_twice": sum(self.ended.values()) - len(self.ended),
            "repeats": self.repeats,
            "kills": dict(sorted(Counter(kill.victim for kill in self.kills).items())),
        }


def in_flight(kills: Iterable[Kill], took: Iterable[Taken], delivered_ms: Iterable[int]) -> list[int]:
    """For each kill after which something may be repeated, how many mails were in flight: taken for the first time and
    not on record, and one of each connection."""
    firsts: dict[str, int] = {}
    for one in took:
        firsts.setdefault(one.name, one.at_ms)
    flights = []
    recorded, first_ms = sorted(delivered_ms), sorted(firsts.values())
    for at_ms, victim in kills:
        if victim in REPEATING:
            before = sum(at <= at_ms for at in first_ms) - sum(at <= at_ms for at in recorded)
            flights.append(max(0, before) + CONNECTIONS)
    return flights


def holds(result: dict[str, Any]) -> bool:
    """Whether what is promised was kept."""
    is_whole = result["on_record"] == result["recipients"] and not result["ended_twice"]
    return is_whole and not (result["lost"] or result["unasked"]) and result["doubled"] <= result["in_flight"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipients", type=int, default=100_000)
    parser.add_argument("--every", type=float, default=4.0, help="seconds from one kill to the next, at the mean")
    parser.add_argument("--seed", type=int, default=1, help="of who is killed when")
    options = parser.parse_args()
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="estafette-chaos-", ignore_cleanup_errors=True) as folder,
        Processes(Path(folder)) as processes,
    ):
        port, file = free_port(), Path(folder) / "taken"
        processes.start([*python("loadtests.tally"), str(port), str(file)], name="tally")
        until(lambda: listens(port), START_S, "the host")
        environ = started(
            processes,
            {
                "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{port}",
                "ESTAFETTE_RELAY_CONNECTIONS_PER_SITE": str(CONNECTIONS),
                "ESTAFETTE_RELAY_RETRY_SCHEDULE": "1",
                "ESTAFETTE_QUOTAS_REQUESTS_PER_SECOND": "5000",
                "ESTAFETTE_QUOTAS_REQUESTS_UNDER_WAY": "1000",
            },
        )
        chaos = Chaos(environ, processes.started[-1].pid, file, options.recipients, options.every, Random(options.seed))
        uvloop.run(chaos.run())
        result = chaos.account.result(list(taken(file)))
    print(json.dumps({"chaos": "kill -9", **result, "seconds": round(time.monotonic() - began)}))
    sys.exit(0 if holds(result) else 1)


class Chaos:
    """One run. `parent` is the process that starts all others of the instance, `file` where the host writes."""

    def __init__(
        self, environ: dict[str, str], parent: int, file: Path, recipients: int, every_s: float, chance: Random
    ) -> None:
        self.account = Account()
        self._base = f"http://127.0.0.1:{environ['ESTAFETTE_HTTP_PORT']}"
        self._smtp_port = int(environ["ESTAFETTE_SUBMISSION_TLS_PORT"])
        self._data = Path(environ["ESTAFETTE_DATA_DIR"])
        self._key = (self._data / "demo.key").read_text().strip()
        self._parent = parent
        self._file = file
        self._recipients = recipients
        self._every_s = every_s
        self._chance = chance
        self._called = self._asked = 0
        #: Of each stream, behind what was read.
        self._read_on: dict[int, str] = {}

    async def run(self) -> None:
        counting = aiohttp.TraceConfig()
        counting.on_request_start.append(self._count)
        async with (
            aiohttp.ClientSession(trace_configs=[counting]) as session,
            Client(self._base, self._key, session=session, tries=TRIES) as self._mail,
        ):
            killing = asyncio.create_task(self._kill_on())
            try:
                await self._submit()
                print(f"{len(self.account.submitted):,} recipients are handed over", flush=True)
                await self._until(self._is_taken, "the host to take all")
            finally:
                killing.cancel()
                await asyncio.gather(killing, return_exceptions=True)
            self.account.repeats += self._asked - self._called
            await self._until(self._is_on_record, "all to be on record")

    async def _count(self, *_: object) -> None:
        self._asked += 1

    # What is killed

    async def _kill_on(self) -> None:
        while True:
            await asyncio.sleep(self._every_s * self._chance.uniform(0.5, 1.5))
            victim = self._chance.choice(VICTIMS)
            if pid := pid_of(self._parent, victim):
                at_ms = time.time_ns() // 1_000_000
                os.kill(pid, signal.SIGKILL)
                self.account.kills.append(Kill(at_ms, victim))
                print(f"kill -9 {victim}", flush=True)

    # What is handed over

    async def _submit(self) -> None:
        singles = int(self._recipients * SINGLE_SHARE)
        mails = singles + int(self._recipients * SMTP_SHARE)
        jobs = [(begin, min(begin + PER_JOB, self._recipients)) for begin in range(mails, self._recipients, PER_JOB)]
        one_by_one, by_smtp, large = iter(range(singles)), iter(range(singles, mails)), iter(jobs)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(SMTP_CALLERS) as threads:
            await asyncio.gather(
                *(self._call_on(one_by_one, self._single) for _ in range(CALLERS)),
                *(self._call_on(large, self._upload) for _ in range(2)),
                *(loop.run_in_executor(threads, self._mail_on, by_smtp) for _ in range(SMTP_CALLERS)),
            )

    async def _call_on(self, left: Iterable[T], call: Callable[[T], Coroutine[Any, Any, None]]) -> None:
        for one in left:
            await call(one)

    async def _single(self, number: int) -> None:
        body = content() | {"stream": "transactional", "recipients": [recipient(number)]}
        self._called += 1
        await self._mail.send(body, idempotency_key=f"single {number}")
        self.account.submitted.add(number)

    def _mail_on(self, left: Iterator[int]) -> None:
        """In a thread: mails over connections that last until something kills them."""
        client: smtplib.SMTP_SSL | None = None
        for number in left:
            mail, deadline = written(number), time.monotonic() + PATIENCE_S
            for tries in count():
                self.account.repeats += tries > 0
                try:
                    client = client or self._logged_in()
                    client.sendmail("app@exemple.fr", [address(number)], mail)
                    break
                except (OSError, smtplib.SMTPException) as error:
                    _left(client)
                    client = None
                    if time.monotonic() > deadline or is_final(error):
                        raise
                    time.sleep(0.1)
            self.account.submitted.add(number)
        _left(client)

    def _logged_in(self) -> smtplib.SMTP_SSL:
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        client = smtplib.SMTP_SSL("127.0.0.1", self._smtp_port, context=trusting, timeout=SMTP_TIMEOUT_S)
        client.login("demo", self._key)
        return client

    async def _upload(self, part: tuple[int, int]) -> None:
        """A job of its own, appended piece by piece; what was cut off is sent again, and what is known is passed
        over."""
        begin, end = part
        job = (await self._mail.open(content(), idempotency_key=f"upload {begin}")).id
        size = -(-(end - begin) // PIECES)
        for first in range(begin, end, size):
            await self._mail.append(job, [recipient(number) for number in range(first, min(first + size, end))])
        await self._mail.start(job)
        self._called += 2 + len(range(begin, end, size))
        self.account.submitted.update(range(begin, end))

    # What came of it

    async def _until(self, call: Callable[[], Coroutine[Any, Any, int]], what: str) -> None:
        """Until there are as many as were handed over, or no more come."""
        found, since = -1, time.monotonic()
        while (more := await call()) < self._recipients:
            if more != found:
                found, since = more, time.monotonic()
            if time.monotonic() - since > PATIENCE_S:
                print(f"waited {PATIENCE_S} s for {what}: {found:,} of {self._recipients:,}", flush=True)
                return
            await asyncio.sleep(1)

    async def _is_taken(self) -> int:
        return len({one.name for one in taken(self._file)})

    async def _is_on_record(self) -> int:
        """Reads on in all streams."""
        client: Any = redis.connect((self._data / "redis.url").read_text().strip())
        try:
            for p in range(Redis().partitions):
                while entries := await client.xrange(keys.events(p), min=self._read_on.get(p, "-"), count=5_000):
                    for at, fields in entries:
                        self._note(at, fields)
                    self._read_on[p] = f"({entries[-1][0].decode()}"
        except redis.RedisAway:
            return -1
        finally:
            await redis.close(client)
        return len(self.account.ended)

    def _note(self, at: bytes, fields: dict[bytes, bytes]) -> None:
        name = fields[b"t"].decode()
        if name not in FINAL:
            return
        fact = events.decode(name, fields[b"b"])
        if isinstance(fact, events.Fact) and fact.ordinal is not None:
            self.account.ended[fact.job, fact.ordinal] += 1
            if name == "Delivered":
                self.account.delivered_ms.append(int(at.partition(b"-")[0]))


def content() -> dict[str, Any]:
    return {"from": "Chouette <news@exemple.fr>", "subject": "Bonjour {{ prenom }}", "text": "Bonjour {{ prenom }}"}


def recipient(number: int) -> dict[str, Any]:
    return {"email": address(number), "variables": {"prenom": f"Ana {number}"}}


def written(number: int) -> bytes:
    """A mail with a Message-ID of its own: brought again, it is the same job."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Chouette <news@exemple.fr>", address(number), f"Bonjour Ana {number}"
    mail["Message-ID"] = f"<{number}@app.exemple.fr>"
    mail.set_content(f"Bonjour Ana {number}")
    return mail.as_bytes(policy=SMTP)


def is_final(error: Exception) -> bool:
    """Whether a mail program would give the mail up."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return any(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 500


def _left(client: smtplib.SMTP_SSL | None) -> None:
    if client is not None:
        client.close()


def pid_of(parent: int, name: str) -> int:
    """The process of a service, or Redis; 0 while there is none."""
    wanted = "redis-server" if name == "redis" else rf"-m services\.(local\.)?{name}(\s|$)"
    try:
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if re.search(wanted, command):
                return int(child)
    except OSError:
        pass
    return 0


if __name__ == "__main__":
    main()
