"""The faults of the drill: how each is put in, which alert and which panel are to name it, and how it is mended.

`mends` are done in their order. Those that are text are lines of the runbook that the alert names, run in a shell as
they stand there with the words in capitals filled in; the others are what the world does meanwhile, as a provider that
takes mail again. Faults with the same `together` are put in at the same time, for they do not touch each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.drill import acts
from loadtests.drill.acts import Act
from loadtests.drill.stage import Alert, Panel


@dataclass(frozen=True)
class Fault:
    """`stage`: which kind of instance it needs. `ends`: how its recipients may end besides being delivered. `twice`: so
    many of its mails may come twice, because a process died between a host's answer and its record. `returns` returns
    once what else was recorded is there, or raises AssertionError."""

    name: str
    words: str
    alert: Alert
    panel: Panel
    begin: Act
    mends: Sequence[str | Act]
    ends: frozenset[str] = frozenset()
    twice: int = 0
    stage: str = "own"
    together: str = ""
    needs_disk: bool = False
    returns: Act | None = None


def _away(why: str) -> Panel:
    """For a part of the time the relay could not write, and why."""
    return Panel("redis", "Away", {"job": "relay", "why": why}, above=0.05)


def _down(process: str) -> Panel:
    return Panel("overview", "Up", {"job": process}, below=1)


_REDIS = 'redis-cli -u "$(cat .run/redis.url)"'

FAULTS: tuple[Fault, ...] = (
    Fault(
        "defers",
        "a provider defers all that it gets",
        Alert("EstafetteProviderDefers", {"provider": "orange"}),
        Panel("delivery", "Deferred, part", {"provider": "orange"}, above=0.5),
        acts.answers("orange", "451 4.3.0 We cannot take mail for now", 60),
        (
            'estafette sites suspend SITE --until 2h --why "it defers all that we send"',
            acts.relents("orange"),
            'estafette sites resume SITE --why "it takes mail again"',
            'estafette sites requeue SITE --why "it takes mail again"',
        ),
        together="delivery",
    ),
    Fault(
        "away",
        "a provider's hosts refuse connections",
        Alert("EstafetteProviderAway", {"provider": "laposte"}),
        Panel("provider", "Replies", {"phase": "connect", "class": "failed"}, above=0, provider="laposte"),
        acts.goes_away("laposte", 60),
        (
            acts.comes_back("laposte"),
            'estafette sites requeue SITE --why "it takes mail again"',
        ),
        together="delivery",
    ),
    Fault(
        "listed",
        "a provider blocks our source address",
        Alert("EstafetteProviderRests", {"provider": "sfr"}),
        Panel("delivery", "Rests", {"provider": "sfr", "why": "rest_source"}, above=0),
        acts.blocks_our_source("sfr", 60),
        (
            'estafette queue move SITE POOL --until 12h --why "our address there is on a block list"',
            'estafette sites requeue SITE --why "its mail goes by another address"',
            acts.took("sfr", 60),
            acts.relents("sfr"),
            'estafette sites lift SITE --why "the list took our address off"',
            'estafette queue move SITE usual --why "the list took our address off"',
        ),
        together="delivery",
    ),
    Fault(
        "refuses",
        "a provider refuses us by its policy",
        Alert("EstafetteProviderBlocks", {"provider": "free"}),
        Panel("delivery", "Refused because of us, part", {"provider": "free"}, above=0.1),
        acts.answers("free", "550 5.7.1 Message rejected due to local policy", 300, thinks_s=0.15),
        (
            'estafette sites suspend SITE --until 4h --why "it refuses what we send"',
            acts.relents("free"),
            'estafette sites resume SITE --why "their postmaster lets us in again"',
        ),
        ends=frozenset(("bounced",)),
        together="delivery",
    ),
    Fault(
        "spam",
        "a tenant mails a bought list",
        Alert("EstafetteBreakerStopped", {"what": "job", "reason": "invalid_rate"}),
        Panel("overview", "Stopped", {"what": "job", "reason": "invalid_rate"}, above=0),
        acts.spams,
        ('estafette jobs cancel JOB --why "the list was bought"',),
        ends=frozenset(("bounced", "cancelled")),
        together="delivery",
    ),
    Fault(
        "dead",
        "a reader could not handle a fact",
        Alert("EstafetteDeadEntries", {"stream": "events"}),
        Panel("redis", "Dead", {"stream": "events"}, above=0),
        acts.buries,
        (
            acts.finds_entry,
            'estafette dead replay ENTRY --why "its reader was mended"',
        ),
        together="delivery",
        returns=acts.is_opened,
    ),
    Fault(
        "full",
        "Redis is full",
        Alert("EstafetteRedisFull", {"job": "relay"}),
        _away("full"),
        acts.tells_redis("CONFIG", "SET", "maxmemory", "1mb"),
        (f"{_REDIS} CONFIG SET maxmemory BYTES",),
    ),
    Fault(
        "slow",
        "somebody's scripts keep Redis busy",
        Alert("EstafetteRedisSlow", {"job": "relay"}),
        Panel("redis", "Publishing", {"job": "relay"}, above=0.5),
        acts.slows_redis,
        (f"{_REDIS} CLIENT KILL ID CLIENT_ID",),
    ),
    Fault(
        "silent",
        "Redis takes no writes, and recipients click",
        Alert("EstafetteSpoolInUse", {"job": "http"}),
        Panel("tracking", "Spool", {"job": "http"}, above=0),
        acts.clicks_in_vain,
        (f"{_REDIS} CLIENT UNPAUSE",),
        returns=acts.is_clicked,
    ),
    Fault(
        "replica",
        "Redis became a replica of nobody",
        Alert("EstafetteRedisTakesNothing", {"job": "relay"}),
        _away("read_only"),
        acts.tells_redis("REPLICAOF", "127.0.0.1", "1"),
        (f"{_REDIS} REPLICAOF NO ONE",),
    ),
    Fault(
        "replicas",
        "Redis has fewer replicas than it wants",
        Alert("EstafetteRedisTakesNothing", {"job": "relay"}),
        _away("replicas"),
        acts.tells_redis("CONFIG", "SET", "min-replicas-to-write", "1"),
        (f"{_REDIS} CONFIG SET min-replicas-to-write 0",),
    ),
    Fault(
        "frozen",
        "a relay is frozen",
        Alert("EstafetteDown", {"job": "relay"}),
        _down("relay"),
        acts.freezes("relay"),
        ("kill -9 PID",),
        twice=20,
    ),
    Fault(
        "behind",
        "suppression does not follow",
        Alert("EstafetteReaderBehind", {"stream": "events", "group": "suppression"}),
        Panel("redis", "Lag", {"stream": "events", "group": "suppression"}, above=10),
        acts.freezes("suppression"),
        ("kill -9 PID",),
    ),
    Fault(
        "disk",
        "the disk of Redis and of the logs is full",
        Alert("EstafetteLogLinesLost", {}),
        Panel("overview", "Log lines lost", {}, above=0),
        acts.fills_disk,
        ("rm -f .run/logs/*.log.[0-9]*",),
        needs_disk=True,
    ),
    Fault(
        "secrets",
        "a relay is started with another master secret",
        Alert("EstafetteTwoSecrets", {}),
        Panel("overview", "Refused for their secret", {}, above=0),
        acts.changes_secret,
        ("install -m 600 BACKUP/secret.key .run/secret.key",),
        twice=20,
    ),
    Fault(
        "shaping",
        "a relay is started with a wrong shaping file",
        Alert("EstafetteDown", {"job": "relay"}),
        _down("relay"),
        acts.mistypes_shaping,
        ("cp BACKUP SHAPING_FILE",),
        twice=20,
    ),
    Fault(
        "reload",
        "a relay reads a wrong shaping file again",
        Alert("EstafetteReloadRefused", {"job": "relay"}),
        Panel("overview", "Settings refused", {"job": "relay"}, above=0),
        acts.rereads_mistyped_shaping,
        ("cp BACKUP SHAPING_FILE", "kill -HUP PID"),
    ),
    Fault(
        "master",
        "the master of Redis is killed",
        Alert("EstafetteRedisTakesNothing", {"job": "relay"}),
        _away("no_answer"),
        acts.kills_master,
        ("redis-cli -h HOST -p PORT SENTINEL FAILOVER main",),
        stage="sentinel",
    ),
)
BY_NAME = {fault.name: fault for fault in FAULTS}
