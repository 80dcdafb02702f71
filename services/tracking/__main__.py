"""Serves the recipients' side alone, as on Kubernetes; `python -m services.http` mounts it beside the other routes."""

import secrets
import time

from aiohttp import web

from services.settings import read
from services.tracking import http, parts
from shared.http import api
from shared.net.server import Runner
from shared.process import master_secret
from shared.process.lifecycle import CLOSE_SECONDS, Lifecycle, pause, run
from shared.redis import known_secret, redis, storage
from shared.redis.bus import Publisher
from shared.redis.installation import NotOurs
from shared.redis.recipients import Recipients
from shared.words.tokens import MAX_TOKEN_CHARS, TokenKeys

#: The longest request line of ours: method, path and token, and then some.
MAX_LINE_BYTES = MAX_TOKEN_CHARS + 1024
#: No request of ours has a body beyond a form.
MAX_BODY_BYTES = 65536
#: Requests in hand have a second to spare before the process closes what is left.
SHUTDOWN_S = CLOSE_SECONDS - 1
#: Between two looks for a Redis that is away.
RETRY_S = 0.5


async def main(life: Lifecycle) -> None:
    settings = life.settings
    secret = master_secret.load(settings)
    client = redis.connect(settings.redis.url)
    life.push_close(lambda: redis.close(client))
    publisher = Publisher(client, settings.redis.partitions, lambda: secrets.token_hex(8))
    keys, recipients = TokenKeys(secret.current, secret.previous), Recipients(client, settings.redis.partitions)
    tracking = parts.tracking(settings, publisher, keys, recipients, name=secrets.token_hex(6))
    await tracking.start()
    life.push_close(tracking.close)  # before the client: what is in hand still goes to Redis
    routes = http.routes(tracking, lambda: time.time_ns() // 1_000_000, settings.tracking.forwarded_hops)
    app = api.application(routes, _NoKeys(), max_body_bytes=MAX_BODY_BYTES)
    runner = Runner(
        app,
        life.connections.callers,
        max_line_size=MAX_LINE_BYTES,
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    life.push_close(runner.cleanup)  # before tracking: it answers the requests that it has
    async with life.serving(settings.tracking.metrics_port):
        await web.TCPSite(runner, settings.http.host, settings.http.port).start()
        life.spawn(_check(life, client, secret), "installation")
        life.ready()
        await life.stopping.wait()


async def _check(life: Lifecycle, client: redis.Client, secret: master_secret.MasterSecret) -> None:
    """As soon as Redis answers; links work before. In a wrong partition nobody would find a fact, so the process ends
    if the number is not the one that the data was made with; as it does with another master secret than the others'."""
    found = storage.installation(client, life.settings)
    while not life.stopping.is_set():
        try:
            await found.find()
            await known_secret.check(client, life.settings, secret)
        except redis.RedisAway:
            await pause(life.stopping, RETRY_S)
        except NotOurs as words:
            life.not_ready(str(words))
            await pause(life.stopping, RETRY_S)
        else:
            life.also_check(storage.StillOurs(found))
            life.ready()
            return


class _NoKeys:
    """The routes of recipients ask for no key."""

    async def verify(self, text: str) -> None:
        return None


if __name__ == "__main__":
    run(main, "tracking", read)
