"""Starts the SMTP listener of the return path. Its routes are mounted by the process of all routes."""

import time

from services.bounces import loops
from services.bounces import settings as own
from services.bounces.bounces import Bounces
from services.bounces.kept import KeptMails
from services.bounces.misses import Misses
from services.bounces.smtp import Listener
from services.settings import read
from shared.process import master_secret
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run
from shared.redis import known_secret, start
from shared.redis.recipients import Recipients
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys


async def main(life: Lifecycle) -> None:
    settings = life.settings
    mine = settings.of(own.Bounces)
    secret = master_secret.load(settings)
    client = start.connect(life)
    publisher = start.publisher(client, settings)
    bounces = Bounces(
        VerpKeys(secret.current, secret.previous),
        lambda domain: domain == mine.domain.lower(),
        Recipients(client, settings.redis.partitions),
        publisher,
        KeptMails(client, now_ms),
        now_ms,
        tokens=TokenKeys(secret.current, secret.previous),
        is_loop=loops.Loops(mine.feedback_loops).include,
    )
    listener = Listener(
        bounces,
        mine.host,
        mine.port,
        hostname=mine.domain,
        max_sessions=mine.max_sessions,
        max_sessions_per_peer=mine.max_sessions_per_peer,
        misses=Misses(time.monotonic, mine.max_misses_per_peer),
        max_mail_bytes=mine.max_mail_bytes,
        command_timeout_s=mine.command_timeout_seconds,
    )
    life.keep_serving()
    async with life.serving(mine.metrics_port):
        if not await start.is_ours(life, client) or not await known_secret.is_known(life, client, secret):
            return
        await listener.open()
        life.push_close(listener.close)
        life.ready()
        await life.stopping.wait()
        await listener.close()


if __name__ == "__main__":
    run(main, "bounces", read)
