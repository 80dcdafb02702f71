"""A whole mailbox for tests: SMTP in, Redis, HTTP out, and a return path where notices arrive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import aiosmtplib
from aiohttp.test_utils import TestClient, TestServer

from services.local.mailbox import http
from services.local.mailbox.mailbox import Mail, Mailbox
from services.local.mailbox.outbox import Outbox
from services.local.mailbox.smtp import Listener
from services.local.mailbox.store import KEEP_BYTES, Reader, Writer
from shared.http import api
from shared.redis import redis

RETURN_PATH = "b-payload@bounces.localhost"
HTML = (
    '<!doctype html><p>Bonjour</p><a href="http://t.localhost/c/tok?a=1&amp;b=2">offers</a>'
    "<script>document.title = 'ran'</script>"
)


class NoKeys:
    async def verify(self, text: str) -> api.Principal | None:
        return None


class ReturnPath:
    """A bounce service that takes everything and lets tests wait for it."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[Mail] = asyncio.Queue()

    def recipient(self, address: str) -> str:
        return "250 OK"

    async def message(self, mail: Mail) -> str:
        self.arrived.put_nowait(mail)
        return "250 OK"


@dataclass
class Stack:
    """A running mailbox. `smtp` is a connected client, `web` the pages, `returned` what came to the return path."""

    port: int
    smtp: aiosmtplib.SMTP
    web: "TestClient[Any, Any]"
    returned: "asyncio.Queue[Mail]"

    async def send(self, to: str, subject: str = "Bonjour", html: str = HTML, **headers: str) -> None:
        await self.smtp.sendmail(RETURN_PATH, [to], a_mail(to, subject, html, **headers))

    async def listed(self, query: str = "") -> list[dict[str, Any]]:
        answer = await self.web.get(f"/mailbox/messages.json{query}")
        assert answer.status == 200
        messages: list[dict[str, Any]] = (await answer.json())["messages"]
        return messages

    async def page(self, path: str, status: int = 200) -> str:
        answer = await self.web.get(path)
        assert answer.status == status
        return await answer.text()


def a_mail(to: str, subject: str, html: str, **headers: str) -> bytes:
    mail = EmailMessage()
    mail["From"] = "Chouette <news@exemple.fr>"
    mail["To"] = to
    mail["Subject"] = subject
    mail["Message-ID"] = "<job.0@exemple.fr>"
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content("Bonjour")
    mail.add_alternative(html, subtype="html")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="été.pdf")
    return mail.as_bytes()


@asynccontextmanager
async def running(url: str, keep: int = 1000, keep_bytes: int = KEEP_BYTES) -> AsyncIterator[Stack]:
    client = redis.connect(url)
    return_path = ReturnPath()
    bounces = Listener(return_path, "127.0.0.1", 0)
    await bounces.open()
    numbers = iter(range(1_000))
    outbox = Outbox(
        "127.0.0.1", bounces.port, lambda: datetime.now(UTC), lambda: f"bound{next(numbers)}", delay_seconds=0
    )
    sending = asyncio.create_task(outbox.run())
    listener = Listener(Mailbox(Writer(client, keep, keep_bytes), outbox), "127.0.0.1", 0)
    await listener.open()
    app = api.application(http.routes(Reader(client), lambda: "n0nce"), NoKeys(), max_body_bytes=1000)
    try:
        async with (
            TestClient(TestServer(app)) as web,
            aiosmtplib.SMTP(hostname="127.0.0.1", port=listener.port) as smtp,
        ):
            yield Stack(listener.port, smtp, web, return_path.arrived)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await listener.close()
        await bounces.close()
        await redis.close(client)
