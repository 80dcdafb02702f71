"""One tenant who asks for all there is: the attacks of `bench_neighbours`, in a process of their own.

    python -m loadtests.attack <base URL> <key> <an open job of its tenant>

Reads the name of an attack, or `stop`, from each line of its standard input. Connections are few and busy; the process
is the last in line for a processor, because a real attacker has a machine of their own.
"""

import asyncio
import json
import os
import secrets
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

import aiohttp

CONNECTIONS = 16
CONTENT = {"from": "news@attacker.test", "subject": "s", "text": "t {{ unsubscribe_url }}"}
JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}
ONE = json.dumps({**CONTENT, "stream": "transactional", "recipients": [{"email": "a@x.test"}]}).encode()
OPEN = json.dumps(CONTENT).encode()
#: A body of content that is looked at and refused: 8 MB of the 32 that the API reads.
BIG = json.dumps({**CONTENT, "text": "x {{ unsubscribe_url }} " + "y" * (8 * 1024 * 1024)}).encode()
#: 2,000 lines of half a megabyte together, all good.
ROWS = b"".join(b'{"email": "%%%d@x.test", "variables": {"v": "%s"}}\n' % (n, b"v" * 200) for n in range(2_000))

Attack = Callable[[aiohttp.ClientSession, str], Awaitable[int]]


async def _ask(
    session: aiohttp.ClientSession,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> int:
    async with session.request(method, path, data=body, headers=headers) as answer:
        await answer.read()
        return answer.status


async def requests(session: aiohttp.ClientSession, _job: str) -> int:
    return await _ask(session, "GET", "/v1/domains")


async def jobs(session: aiohttp.ClientSession, _job: str) -> int:
    return await _ask(session, "POST", "/v1/jobs", ONE, headers=JSON)


async def uploads(session: aiohttp.ClientSession, job: str) -> int:
    # Addresses that were never there: `%` is in none of the lines.
    lines = ROWS.replace(b"%", secrets.token_hex(8).encode())
    return await _ask(session, "POST", f"/v1/jobs/{job}/recipients", lines, headers=LINES)


async def open_jobs(session: aiohttp.ClientSession, _job: str) -> int:
    return await _ask(session, "POST", "/v1/jobs?state=open", OPEN, headers=JSON)


async def idempotency_keys(session: aiohttp.ClientSession, _job: str) -> int:
    return await _ask(session, "POST", "/v1/jobs", ONE, headers={**JSON, "Idempotency-Key": secrets.token_hex(8)})


async def domains(session: aiohttp.ClientSession, _job: str) -> int:
    name = json.dumps({"domain": f"{secrets.token_hex(8)}.test"}).encode()
    return await _ask(session, "POST", "/v1/domains", name, headers=JSON)


async def big_bodies(session: aiohttp.ClientSession, _job: str) -> int:
    return await _ask(session, "POST", "/v1/jobs?state=open", BIG, headers=JSON)


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack for attack in (requests, jobs, uploads, open_jobs, idempotency_keys, domains, big_bodies)
}


async def main(base: str, key: str, job: str) -> None:
    os.nice(19)
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async with aiohttp.ClientSession(base, headers={"Authorization": f"Bearer {key}"}) as session:
        while line := await commands.readline():
            statuses: Counter[int] = Counter()
            attack = ATTACKS[line.decode().strip()]
            busy = [loop.create_task(_again(attack, session, job, statuses)) for _ in range(CONNECTIONS)]
            await commands.readline()
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)
            print(json.dumps(statuses), flush=True)


async def _again(attack: Attack, session: aiohttp.ClientSession, job: str, statuses: Counter[int]) -> None:
    while True:
        try:
            statuses[await attack(session, job)] += 1
        except (aiohttp.ClientError, OSError):
            statuses[0] += 1


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
