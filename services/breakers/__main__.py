"""Starts the judging of events. The routes are mounted by the process of all routes."""

from services.breakers import settings as own
from services.breakers.breakers import BATCH, GATHER_MS, PASSED, Breakers
from services.breakers.store import FigureStore
from services.settings import read
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run
from shared.redis import bus, keys, start
from shared.redis.stops import StopList


async def main(life: Lifecycle) -> None:
    settings = life.settings
    partitions = settings.redis.partitions
    client = start.connect(life)
    publisher = start.publisher(client, settings)
    breakers = Breakers(FigureStore(client, partitions), StopList(client), publisher, now_ms)
    name = start.process_name()
    consumer = bus.Consumer(
        client,
        partitions,
        keys.events,
        keys.GROUP_BREAKERS,
        name,
        breakers.judge,
        batch=BATCH,
        passes=PASSED,
        gather_ms=GATHER_MS,
    )
    async with life.serving(settings.of(own.Breakers).metrics_port):
        if not await start.is_ours(life, client):
            return
        await consumer.create_groups()
        life.spawn(consumer.run(life.stopping), "judging")
        life.spawn(breakers.sweep_forever(life.stopping), "stops")
        life.ready()
        await life.stopping.wait()


if __name__ == "__main__":
    run(main, "breakers", read)
