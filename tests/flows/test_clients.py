"""The client programs of the documents: each sends, is told what happens, and sends again to who did not open."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from standardwebhooks.webhooks import Webhook

from tests.flows.stack import Stack
from tests.servers import free_port, need

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIENTS = Path(__file__).resolve().parents[2] / "docs/examples/clients"
PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
CLIENT_S = 120
#: A process for each connection, which is its input and output, as inetd and systemd start it.
INETD = """
import socket, subprocess, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
while True:
    connection, _ = server.accept()
    with connection:
        subprocess.run(sys.argv[2:], stdin=connection, stdout=connection)
"""
PARAMS = {"python": ("client.py", sys.executable), "node": ("client.mjs", "node"), "shell": ("client.sh", "bash")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    environ = {"ESTAFETTE_WEBHOOKS_PLAIN_HTTP": "true", "ESTAFETTE_WEBHOOKS_NETWORKS": "127.0.0.0/8"}
    async with Stack.running(tmp_path_factory.mktemp("stack"), environ) as stack:
        yield stack


class Client:
    """One of the programs, with a key of a tenant of its own. `events` is what it was told."""

    def __init__(self, name: str, environ: Mapping[str, str], folder: Path) -> None:
        file, runner = PARAMS[name]
        self.is_shell = name == "shell"
        self.command = [runner if name == "python" else need(runner), str(CLIENTS / file)]
        if self.is_shell:
            for program in ("curl", "openssl", "jq", "xxd"):
                need(program)
        self.environ = dict(environ)
        self.folder = folder

    async def ran(self, *words: str) -> list[str]:
        """What it prints."""
        process = await asyncio.create_subprocess_exec(
            *self.command, *words, env=self.environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        printed, said = await asyncio.wait_for(process.communicate(), CLIENT_S)
        assert process.returncode == 0, said.decode()
        return printed.decode().split()

    def events(self) -> list[dict[str, Any]]:
        file = self.folder / "events"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @contextmanager
    def listening(self, port: int) -> Iterator[None]:
        file = str(self.folder / "events")
        if self.is_shell:
            command = [sys.executable, "-c", INETD, str(port), *self.command, "receive", file]
        else:
            command = [*self.command, "listen", str(port), file]
        process = subprocess.Popen(command, env=self.environ, start_new_session=True)
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize("name", list(PARAMS))
async def test_a_client_made_from_the_documents_sends_follows_and_sends_to_who_did_not_open(
    stack: Stack, name: str, tmp_path: Path
) -> None:
    people = [f"{one}@{name}.test" for one in ("ana", "bo", "cy")]
    key = await stack.new_key(name, "send,read,admin")
    await stack.console("domains", "add", f"{name}.example", "--tenant", name)
    sender = f"Chouette <news@{name}.example>"
    environ = {"MAIL_URL": stack.base, "MAIL_KEY": key, "MAIL_FROM": sender}
    client = Client(name, {**os.environ, **environ}, tmp_path)
    lines = [json.dumps({"email": one, "variables": {"name": one[:2]}}) for one in people]
    (tmp_path / "people").write_text("\n".join(lines) + "\n")
    port = free_port()
    webhook, secret = await client.ran("register", f"http://127.0.0.1:{port}/events")
    client.environ["WEBHOOK_SECRET"] = secret

    with client.listening(port):
        (job,) = await client.ran("send", str(tmp_path / "people"))
        await stack.until(_told(client, "message.delivered", job, people))
        picture = re.findall(r'"(http[^"]*/o/[\w-]+)"', await _source(stack, people[0]))[0]
        await stack.call("GET", picture, headers=PERSON)
        await stack.until(_told(client, "message.opened", job, people[:1]))

        async def is_counted() -> bool:
            return bool((await stack.call("GET", f"/v1/jobs/{job}", key=key))[1]["counts"]["opens"]["unique"] == 1)

        await stack.until(is_counted)
        left = await client.ran("not-opened", job)
        (again,) = await client.ran("again", job)
        await stack.until(_told(client, "message.delivered", again, people[1:]))

        forged = await _posted(stack, port, "whsec_" + "A" * 44, "forged")
        genuine = [await _posted(stack, port, secret, "mine") for _ in range(2)]

    assert sorted(left) == people[1:]
    assert (forged, genuine) == (401, [204, 204])
    told = [event["data"].get("event_id") for event in client.events()]
    assert sorted(told) == sorted(set(told))
    assert told.count("mine") == 1
    assert (await stack.call("DELETE", f"/v1/webhooks/{webhook}", key=key))[0] == 204


def _told(client: Client, kind: str, job: str, people: list[str]) -> Any:
    async def is_told() -> bool:
        events = [event for event in client.events() if event["type"] == kind and event["data"]["job"] == job]
        return sorted(event["data"]["email"] for event in events) == people

    return is_told


async def _source(stack: Stack, to: str) -> str:
    return await stack.html(await stack.mail(to))


async def _posted(stack: Stack, port: int, secret: str, number: str) -> int:
    """What a request is answered that the library of Standard Webhooks signed with that secret."""
    body = json.dumps({"type": "message.delivered", "data": {"event_id": number, "job": "", "email": ""}})
    now = datetime.now(UTC)
    headers = {
        "webhook-id": number,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(number, now, body),
    }
    async with stack.session.post(f"http://127.0.0.1:{port}/", data=body, headers=headers) as answer:
        return answer.status
