"""Starts the SMTP side of the mailbox. Its pages are mounted by the process of all routes."""

import uuid
from datetime import UTC, datetime

from services.local.mailbox import settings as own
from services.local.mailbox.mailbox import Mailbox
from services.local.mailbox.outbox import Outbox
from services.local.mailbox.smtp import Listener
from services.local.mailbox.store import Writer
from services.settings import read
from shared.process.lifecycle import Lifecycle, run
from shared.redis import start


async def main(life: Lifecycle) -> None:
    settings = life.settings
    client = start.connect(life)
    outbox = Outbox(settings.bounces.host, settings.bounces.port, lambda: datetime.now(UTC), lambda: uuid.uuid4().hex)
    mailbox = Mailbox(Writer(client, settings.of(own.Mailbox).keep), outbox)
    listener = Listener(mailbox, settings.mailbox.host, settings.mailbox.port)
    async with life.serving(settings.mailbox.metrics_port):
        if not await start.is_ours(life, client):
            return
        await listener.open()
        life.push_close(listener.close)
        notices = life.spawn(outbox.run(), "notices")
        life.ready()
        await life.stopping.wait()
        await listener.close()
        notices.cancel()


if __name__ == "__main__":
    run(main, "mailbox", read)
