"""Serves the recipients' side alone, as on Kubernetes; `python -m services.http` mounts it beside the other routes."""

import secrets
import time

from services.settings import read
from services.tracking import http, parts, view_http, visit_http
from services.tracking.abouts import Abouts
from services.tracking.edge import edge
from services.tracking.network_files import KnownNetworks
from services.tracking.visiting import Pace, Visiting
from shared.http import api
from shared.http.serving import listen, prepared
from shared.mail.dkim_keys import Vault
from shared.process import master_secret
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, pause, run, settle
from shared.redis import known_secret, redis, start
from shared.redis.installation import NotOurs
from shared.redis.link_keys import KnownLinkKeys
from shared.redis.recipients import Recipients
from shared.redis.untracked import Untracked
from shared.redis.web_tracking import WebTrackings
from shared.words.erased import ErasureKeys
from shared.words.tokens import TokenKeys

#: No request of ours has a body beyond a form.
MAX_BODY_BYTES = 65536
#: Between two looks for a Redis that is away.
RETRY_S = 0.5


async def main(life: Lifecycle) -> None:
    settings = life.settings
    networks = KnownNetworks(settings)
    life.also_reload(networks)
    secret = master_secret.load(settings)
    client = redis.connect(settings.redis.url, start.wants(settings))
    life.push_close(lambda: redis.close(client))
    publisher = start.publisher(client, settings)
    keys, recipients = TokenKeys(secret.current, secret.previous), Recipients(client, settings.redis.partitions)
    untracked, sites = Untracked(client), WebTrackings(client)
    abouts = Abouts(client, settings.redis.partitions, recipients, now_ms, time.monotonic)
    name = secrets.token_hex(6)
    tracking = parts.tracking(settings, publisher, keys, recipients, untracked, name, networks, abouts, sites)
    await tracking.start()
    life.push_close(tracking.close)  # before the client: what is in hand still goes to Redis
    hops = settings.tracking.forwarded_hops
    routes = http.routes(tracking, now_ms, hops)
    erasure_keys = ErasureKeys(secret.current, secret.previous)
    hosts = parts.own_hosts(settings, client, Vault(secret.current, secret.previous))
    viewing, sandbox = parts.viewing(
        settings, client, keys, recipients, untracked, erasure_keys, hosts, secrets.token_bytes(32)
    )
    routes += view_http.routes(viewing)
    visiting = Visiting(keys, tracking, untracked, sites, Pace(time.monotonic))
    routes += visit_http.routes(visiting, now_ms, hops)
    app = api.application(routes, _NoKeys(), max_body_bytes=MAX_BODY_BYTES)
    runner = await prepared(app, life, edge(tracking, now_ms, time.monotonic, hops))
    life.keep_serving()
    async with life.serving(settings.tracking.metrics_port):
        life.spawn(KnownLinkKeys(client, keys.generations).run(life.stopping), "link keys")
        await listen(runner, settings)
        life.spawn(untracked.run(life.stopping), "untracked")
        life.spawn(sandbox.run(life.stopping), "sandbox")
        life.spawn(sites.run(life.stopping), "web_tracking")
        life.spawn(_check(life, client, secret), "installation")
        settle()
        life.ready()
        await life.stopping.wait()


async def _check(life: Lifecycle, client: redis.Client, secret: master_secret.MasterSecret) -> None:
    """As soon as Redis answers; links work before. In a wrong partition nobody would find a fact, so the process ends
    if the number is not the one that the data was made with; as it does with another master secret than the others'."""
    found = start.installation(client, life.settings)
    while not life.stopping.is_set():
        try:
            await redis.check_wait(client)
            await found.find()
            await known_secret.check(client, life.settings, secret)
        except redis.RedisAway:
            await pause(life.stopping, RETRY_S)
        except NotOurs as words:
            life.not_ready(str(words))
            await pause(life.stopping, RETRY_S)
        else:
            life.also_check(start.StillOurs(found))
            life.ready()
            return


class _NoKeys:
    """The routes of recipients ask for no key."""

    async def verify(self, text: str) -> None:
        return None


if __name__ == "__main__":
    run(main, "tracking", read)
