"""Starts what takes mail in: the SMTP listener of the return path, and LMTP and a Maildir where settings name them. Its
routes are mounted by the process of all routes."""

import time
from pathlib import Path

from services.bounces import settings as own
from services.bounces import wiring
from services.bounces.certificate import Certificate
from services.bounces.maildir import Maildir
from services.bounces.misses import Misses
from services.bounces.smtp import Listener, LmtpListener
from services.settings import read
from shared.net.places import place_of
from shared.process import master_secret
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run
from shared.redis import known_secret, start
from shared.redis.link_keys import KnownLinkKeys
from shared.redis.recipients import Recipients
from shared.redis.return_paths import KnownReturnPaths
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys


async def main(life: Lifecycle) -> None:
    settings = life.settings
    mine = settings.of(own.Bounces)
    certificate = Certificate(settings)
    life.also_reload(certificate)
    secret = master_secret.load(settings)
    client = start.connect(life)
    known, tokens = KnownReturnPaths(client, now_ms), TokenKeys(secret.current, secret.previous)
    bounces = wiring.bounces(
        settings,
        client,
        start.publisher(client, settings),
        Recipients(client, settings.redis.partitions),
        VerpKeys(secret.current, secret.previous),
        tokens,
        known,
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
        tls=certificate.context,
    )
    listeners: list[Listener | LmtpListener] = [listener]
    if mine.lmtp:
        listeners.append(
            LmtpListener(
                bounces,
                place_of(mine.lmtp),
                hostname=mine.domain,
                max_sessions=mine.max_sessions,
                max_mail_bytes=mine.max_mail_bytes,
                command_timeout_s=mine.command_timeout_seconds,
            )
        )
    maildir = None
    if mine.maildir:
        maildir = Maildir(bounces, Path(mine.maildir), max_mail_bytes=mine.max_mail_bytes, keep=mine.maildir_keep)
    life.keep_serving()
    async with life.serving(mine.metrics_port):
        if not await start.is_ours(life, client) or not await known_secret.is_known(life, client, secret):
            return
        life.spawn(known.run(life.stopping), "return paths")
        life.spawn(KnownLinkKeys(client, tokens.generations).run(life.stopping), "link keys")
        for one in listeners:
            await one.open()
            life.push_close(one.close)
        if maildir is not None:
            life.spawn(maildir.run(life.stopping), "maildir")
        life.ready()
        await life.stopping.wait()
        for one in listeners:
            await one.close()


if __name__ == "__main__":
    run(main, "bounces", read)
