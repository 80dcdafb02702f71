"""Starts the reading of events. The route is mounted by the process of all routes."""

import socket

from services.echo import settings as own
from services.echo.echo import Echo

from services.settings import read
from shared.process.lifecycle import Lifecycle, run
from shared.redis import bus, keys, start


async def main(life: Lifecycle) -> None:
    settings = life.settings
    mine = settings.of(own.Echo)
    client = start.connect(life)
    echo = Echo()
    consumer = bus.Consumer(
        client, settings.redis.partitions, keys.events, life.name, socket.gethostname(), echo.read, batch=mine.batch
    )
    async with life.serving(mine.metrics_port):
        if not await start.is_ours(life, client):
            return
        await consumer.create_groups()
        life.spawn(consumer.run(life.stopping), "reading")
        life.ready()
        await life.stopping.wait()


if __name__ == "__main__":
    run(main, "echo", read)
