"""Starts the SMTP door."""

import asyncio

from services.settings import read
from services.submission import settings as own
from services.submission.api import Api
from services.submission.certificate import Certificate
from services.submission.smtp import Listener
from services.submission.submission import Submission
from shared.net.smtp_in import Bounds
from shared.net.url_host import url_host
from shared.process.lifecycle import Lifecycle, run
from shared.process.settings import Settings
from shared.redis import start
from shared.redis.tenants import Tenants


async def main(life: Lifecycle) -> None:
    settings = life.settings
    mine = settings.of(own.Submission)
    certificate = Certificate(settings)
    life.also_reload(certificate)
    client = start.connect(life)
    api = Api(mine.api or api_here(settings), mine.api_timeout_seconds)
    life.push_close(api.close)
    submission = Submission(Tenants(client), api, asyncio.sleep)
    bounds = Bounds(
        mine.max_mail_bytes, mine.max_sessions, mine.max_sessions_per_peer, float(mine.command_timeout_seconds)
    )
    listeners = [
        Listener(
            submission,
            mine.host,
            port,
            hostname=mine.hostname,
            bounds=bounds,
            tls=certificate.context,
            max_recipients=mine.max_recipients,
            implicit=implicit,
            plain_on_loopback=mine.plain_on_loopback,
        )
        for port, implicit in ((mine.port, False), (mine.tls_port, True))
    ]
    life.keep_serving()
    async with life.serving(mine.metrics_port):
        if not await start.is_ours(life, client):
            return
        for one in listeners:
            await one.open()
            life.push_close(one.close)
        life.ready()
        await life.stopping.wait()
        for one in listeners:
            await one.close()


def api_here(settings: Settings) -> str:
    """Where the process `http` of this machine listens."""
    return f"http://{url_host(settings.http.host)}:{settings.http.port}"


if __name__ == "__main__":
    run(main, "submission", read)
