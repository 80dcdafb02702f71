"""Recipients streamed into an open job, and how they are queued: paces, memory of the processes, bytes of Redis."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from loadtests.bench_memory import event_bytes, job
from loadtests.bench_relay import QUEUED, post
from loadtests.processes import metric, until

#: Lines of a piece of the stream: 140 kB.
LINES = 500
#: Queueing so many a second at the worst, and a minute.
SLOWEST_PER_S, PATIENCE_S = 500, 60.0


class Uploaded(NamedTuple):
    """Of one job. `redis_bytes` of a recipient that is queued, less what its events take."""

    recipients: int
    upload_per_s: float
    queued_per_s: float
    redis_bytes: float


def lines(recipients: int) -> Iterator[bytes]:
    """The stream, a piece at a time: each recipient has 200 bytes of variables."""
    (example,) = job(1, 0)["recipients"]
    filler = example["variables"]["texte"]
    for begin in range(0, recipients, LINES):
        yield "".join(
            f'{{"email":"recipient{n}@domain.example","variables":{{"prenom":"Ana {n:07d}","texte":"{filler}"}}}}\n'
            for n in range(begin, min(begin + LINES, recipients))
        ).encode("ascii")


def uploaded(environ: Mapping[str, str], key: str, recipients: int, queueing_port: int, redis: Any) -> Uploaded:
    """One job of so many: its content, its recipients in one request, its start, until all are queued."""
    content = {name: value for name, value in job(0, 0).items() if name != "recipients"}
    used, events = redis.info("memory")["used_memory"], event_bytes(redis)
    path = f"/v1/jobs/{post(environ, key, '/v1/jobs?state=open', json.dumps(content).encode())['id']}"
    began = time.monotonic()
    appended = _streamed(environ, key, f"{path}/recipients", recipients)
    upload_s = time.monotonic() - began
    if appended["appended"] != recipients:
        raise RuntimeError(f"{appended['appended']} of {recipients} recipients were appended")
    before = metric(queueing_port, QUEUED)
    began = time.monotonic()
    post(environ, key, f"{path}/start", b"")
    patience_s = recipients / SLOWEST_PER_S + PATIENCE_S
    ended = until(lambda: metric(queueing_port, QUEUED) - before >= recipients, patience_s, "queueing")
    took = redis.info("memory")["used_memory"] - used - (event_bytes(redis) - events)
    return Uploaded(recipients, recipients / upload_s, recipients / (ended - began), took / recipients)


def _streamed(environ: Mapping[str, str], key: str, path: str, recipients: int) -> dict[str, Any]:
    """In chunks, as they are made; the answer."""
    port = int(environ["ESTAFETTE_HTTP_PORT"])
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n"
        f"Authorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=600) as wire:
        wire.sendall(head.encode("ascii"))
        for piece in lines(recipients):
            wire.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        wire.sendall(b"0\r\n\r\n")
        with wire.makefile("rb") as reader:
            answer = reader.read()
    said, _, body = answer.partition(b"\r\n\r\n")
    if not said.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(said.decode("latin-1"))
    return dict(json.loads(body))


def most_mb(process: "subprocess.Popen[bytes]") -> float:
    """The most memory that a process ever had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
