"""How many mails a second go to a host that is 50 ms away, over 5 connections, beside aiosmtplib alone.

    python -m loadtests.bench_latency [--messages 300]

A proxy of ours (`loadtests.proxy`) adds 25 ms each way before smtp-sink. Through it go, in turns and in one run:
aiosmtplib, whose connections are kept open and take a mail each with `sendmail`; the relay's own connection
(`delivery.connection`), driven in the same way; and a whole relay that drains its queue. The last line is JSON.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from email.message import EmailMessage
from itertools import repeat
from pathlib import Path
from statistics import median

import aiosmtplib
import uvloop

from loadtests import bench_relay, content
from loadtests.processes import START_S, Processes, free_port, listens, python, until
from services.relay.delivery.connection import Connection
from services.relay.words.tls import TlsPolicy

FROM, TO = "news@exemple.fr", "recipient@domain.example"
#: Each peer sends its messages so often, in turns with the others; the median counts.
ROUNDS = 3

Send = Callable[[], Awaitable[None]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=300, help="of each peer, in all rounds together")
    parser.add_argument("--connections", type=int, default=5)
    parser.add_argument("--each-way-ms", type=float, default=25.0)
    parser.add_argument("--size-bytes", type=int, default=12_000)
    parser.add_argument("--no-relay", action="store_true", help="the connections alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with Processes(Path(folder)) as processes:
            port = distant(processes, options.each_way_ms)
            print(f"{options.connections} connections over {2 * options.each_way_ms:g} ms, {options.size_bytes} bytes")
            theirs, ours = uvloop.run(in_turns(port, options))
            print(f"aiosmtplib alone:    {theirs:,.1f} messages/s")
            print(f"the relay's client:  {ours:,.1f} messages/s")
        whole = 0.0
        if not options.no_relay:
            whole = relay(Path(folder) / "relay", options)
            print(f"a whole relay:       {whole:,.1f} messages/s")
    result = {
        "bench": "latency",
        "aiosmtplib_msgs_per_s": round(theirs, 1),
        "client_msgs_per_s": round(ours, 1),
        "relay_msgs_per_s": round(whole, 1) or None,
        "ratio": round(ours / theirs, 2),
        "relay_ratio": round(whole / theirs, 2) or None,
    }
    print(json.dumps(result))


def distant(processes: Processes, each_way_ms: float) -> int:
    """The port at which smtp-sink is so far away."""
    port = free_port()
    sink = processes.sink()
    way = ["--listen", str(port), "--to", str(sink), "--each-way-ms", str(each_way_ms)]
    processes.start([*python("loadtests.proxy"), *way], name="proxy")
    until(lambda: listens(port), START_S, "proxy")
    return port


async def in_turns(port: int, options: argparse.Namespace) -> tuple[float, float]:
    """Messages a second of aiosmtplib and of our connection."""
    message = mail(options.size_bytes)
    each = max(options.connections, options.messages // ROUNDS)
    theirs, ours = [], []
    for _ in range(ROUNDS):
        theirs.append(await with_aiosmtplib(port, message, each, options.connections))
        ours.append(await with_connection(port, message, each, options.connections))
    return median(theirs), median(ours)


async def with_aiosmtplib(port: int, message: bytes, messages: int, connections: int) -> float:
    clients = [
        aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, local_hostname="bench.example")
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.connect() for client in clients))
    await asyncio.gather(*(client.ehlo() for client in clients))

    def send(client: aiosmtplib.SMTP) -> Send:
        async def one() -> None:
            await client.sendmail(FROM, [TO], message)

        return one

    pace = await measured([send(client) for client in clients], messages)
    await asyncio.gather(*(client.quit() for client in clients))
    return pace


async def with_connection(port: int, message: bytes, messages: int, connections: int) -> float:
    opened = await asyncio.gather(
        *(Connection.open("127.0.0.1", port, helo="bench.example", tls=TlsPolicy()) for _ in range(connections))
    )

    def send(connection: Connection) -> Send:
        async def one() -> None:
            reply = await connection.send(FROM, TO, message)
            assert reply.code == 250, reply.line

        return one

    pace = await measured([send(connection) for connection in opened], messages)
    await asyncio.gather(*(connection.close() for connection in opened))
    return pace


async def measured(senders: list[Send], messages: int) -> float:
    """Messages a second when as many workers share them; each has sent one before the clock starts."""

    async def work(send: Send, left: Iterator[None]) -> None:
        for _ in left:
            await send()

    await asyncio.gather(*(send() for send in senders))
    shared = repeat(None, messages)
    began = time.monotonic()
    await asyncio.gather(*(work(send, shared) for send in senders))
    return messages / (time.monotonic() - began)


def mail(size_bytes: int) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = FROM, TO, "Les soldes commencent"
    message.set_content(content.html(size_bytes), subtype="html", cte="quoted-printable")
    return message.as_bytes().replace(b"\n", b"\r\n")


def relay(folder: Path, options: argparse.Namespace) -> float:
    """One relay that may open as many connections drains a queue over that distance."""
    with Processes(folder) as processes:
        environ = bench_relay.environ_of(
            folder, processes.redis(), distant(processes, options.each_way_ms), dkim=False
        ) | {"ESTAFETTE_RELAY_CONNECTIONS_PER_SITE": str(options.connections)}
        bench_relay.fill(
            processes, environ, options.messages, lambda count, number: content.job(count, number, options.size_bytes)
        )
        return bench_relay.drained(processes, environ, options.messages)


if __name__ == "__main__":
    main()
