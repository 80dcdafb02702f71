"""Puts the parts of tracking together, for whichever process mounts its routes.

networks = KnownNetworks(settings)                      # which SIGHUP reads again: life.also_reload(networks)
abouts = Abouts(client, partitions, recipients, now_ms, time.monotonic)
tracking = parts.tracking(settings, publisher, TokenKeys(…), recipients, Untracked(client), secrets.token_hex(6),
                          networks, abouts, sites)      # sites = WebTrackings(client), which has to run beside
await tracking.start()                                  # before the first request
routes = http.routes(tracking, now_ms, settings.tracking.forwarded_hops)
…
await tracking.close()                                  # after the last one
"""

from services.tracking import settings as own
from services.tracking.networks import NOWHERE, Known
from services.tracking.recorder import Publisher, Recorder
from services.tracking.spool import Spool
from services.tracking.tracking import Abouts, Recipients, Tracking
from services.tracking.viewing import Viewing
from services.tracking.visits import Ties
from shared.mail.dkim_keys import Vault
from shared.making.rendering import Rendering
from shared.process.sandbox import Sandbox, program
from shared.process.settings import Settings
from shared.redis.erased import Erased
from shared.redis.own_hosts import OwnHosts
from shared.redis.recipients import Recipients as StoredRecipients
from shared.redis.redis import Client
from shared.redis.sending_domains import SendingDomains
from shared.redis.untracked import Untracked
from shared.redis.web_tracking import WebTrackings
from shared.words.erased import ErasureKeys
from shared.words.tokens import TokenKeys


def own_hosts(settings: Settings, client: Client, vault: Vault) -> OwnHosts:
    """Where the links of mails begin."""
    return OwnHosts(SendingDomains(client, vault, ours=settings.own_hosts), settings.base_url)


def viewing(
    settings: Settings,
    client: Client,
    tokens: TokenKeys,
    recipients: StoredRecipients,
    untracked: Untracked,
    erasure_keys: ErasureKeys,
    hosts: OwnHosts,
    marks_key: bytes,
) -> tuple[Viewing, Sandbox]:
    """Shows mails; and what has to run beside. `marks_key` is chance of this process."""
    processes = settings.of(own.Tracking).rendering_processes
    sandbox = Sandbox(program("shared.making.rendering"), "tracking", processes, at_once=False)
    erased = Erased(client, settings.redis.partitions, erasure_keys)
    shows = Viewing(
        client, settings.redis.partitions, tokens, recipients, untracked, erased, Rendering(sandbox),
        hosts, marks_key,
    )  # fmt: skip
    return shows, sandbox


def tracking(
    settings: Settings,
    publisher: Publisher,
    tokens: TokenKeys,
    recipients: Recipients,
    untracked: Untracked,
    name: str,
    networks: Known = NOWHERE,
    abouts: Abouts | None = None,
    sites: WebTrackings | None = None,
) -> Tracking:
    """Not started yet. `name` is a random one of this process: it names its spool files and its batches."""
    mine = settings.of(own.Tracking)
    spool = Spool(settings.data.path / "spool", name, mine.spool_max_bytes)
    recorder = Recorder(
        publisher, spool, untracked, name, spool_after_ms=mine.spool_after_ms, max_waiting=mine.max_waiting
    )
    ties = None if sites is None else Ties(tokens, sites, untracked)
    return Tracking(tokens, recorder, name, recipients, untracked, networks, abouts, ties)
