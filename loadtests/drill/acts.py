"""What happens in a drill that is nobody's command: how faults are put in, and what the world does while they last."""

import email
import os
import re
import secrets
import shutil
import signal
from collections.abc import Awaitable, Callable
from email import policy
from pathlib import Path

from loadtests.drill import trouble
from loadtests.drill.scene import Scene
from loadtests.drill.world import GOOD, NOBODY, USED
from shared.redis import keys
from shared.redis.dead import Place
from shared.words import events, ids

Act = Callable[[Scene], Awaitable[None]]

#: What goes to the provider that always takes mail, while something is broken.
MAILS = 60
#: Of a list that was bought; more than are sent until a breaker has judged it.
BOUGHT = 400
LISTED = f"554 5.7.1 Service unavailable; Client host [{USED}] blocked using zen.spamhaus.org"
#: For as long as nobody ends it.
PAUSE_MS = 3_600_000
_CLICK = re.compile(r'href="(https?://[^"]+/c/[^"]+)"')


# Providers


def answers(provider: str, reply: str, mails: int, thinks_s: float = 0.0, peer: str = "") -> Act:
    """From now on its host answers this to each recipient, after so long; to those of one source of ours, or to all."""

    async def begin(scene: Scene) -> None:
        host = scene.host(provider)
        host.says, host.thinks_s, host.refused = reply, thinks_s, peer
        scene.facts.update(SITE=provider, POOL="reserve")
        await scene.mail(provider, mails)
        await scene.mail(GOOD, MAILS)

    return begin


def blocks_our_source(provider: str, mails: int) -> Act:
    return answers(provider, LISTED, mails, peer=USED)


def relents(provider: str) -> Act:
    async def relent(scene: Scene) -> None:
        scene.host(provider).says = ""

    return relent


def took(provider: str, mails: int) -> Act:
    """Returns once its host has taken so many of the scene's mails."""

    async def taken(scene: Scene) -> None:
        await scene.taken(provider, mails)

    return taken


def goes_away(provider: str, mails: int) -> Act:
    """Whoever dials its host is refused."""

    async def go(scene: Scene) -> None:
        scene.facts["SITE"] = provider
        await scene.host(provider).go()
        await scene.mail(provider, mails)
        await scene.mail(GOOD, MAILS)

    return go


def comes_back(provider: str) -> Act:
    async def come(scene: Scene) -> None:
        await scene.host(provider).come()

    return come


# Tenants and entries


async def spams(scene: Scene) -> None:
    """A tenant of its own, and a list on which nobody is anybody."""
    await scene.stack.console("tenants", "add", "spammer", "--any-from-domain")
    key = await scene.stack.new_key("spammer", "send,read")
    sender = {"from": "Offers <offers@spam.example>"}
    scene.facts["JOB"] = await scene.mail(GOOD, BOUGHT, NOBODY, key=key, **sender)
    await scene.mail(GOOD, MAILS)


async def buries(scene: Scene) -> None:
    """What a reader with a fault leaves: a fact of a message, among the dead."""
    job = await scene.mail(GOOD, 1)
    await scene.taken(GOOD, 1)
    partition = ids.job_partition(job, int(scene.stack.environ["ESTAFETTE_REDIS_PARTITIONS"]))
    fact = events.Opened(**events.about_message("demo", job, 0, ids.job_created_ms(job) + 60_000, "opened"))
    fields: dict[str, str | int | bytes] = {
        "t": "Opened", "v": events.MAJOR_VERSION, "b": events.encode(fact), "reason": "KeyError: 'x'",
        "origin": f"{keys.events(partition)} 1-0 {keys.GROUP_REPORTS}",
    }  # fmt: skip
    await scene.ask_redis(lambda client: client.xadd(Place("events", partition).dead, fields))


async def finds_entry(scene: Scene) -> None:
    (entry,) = await scene.said("estafette dead list --json")
    scene.facts["ENTRY"] = entry["entry"]


def _has(fact: str) -> Act:
    """Returns once the first message of the scene has this fact on its timeline."""

    async def wait(scene: Scene) -> None:
        message = f"{scene.sent[0].job}.0"

        async def there() -> bool:
            return fact in await scene.stack.facts(message)

        await scene.stack.until(there)

    return wait


is_opened, is_clicked = _has("opened"), _has("clicked")


# Redis


def tells_redis(*command: str) -> Act:
    """Mail is under way, and somebody tells Redis this."""

    async def begin(scene: Scene) -> None:
        scene.facts["BYTES"] = "1gb"
        await scene.mail(GOOD, MAILS)
        await scene.taken(GOOD, 1)
        await scene.ask_redis(lambda client: client.execute_command(*command))

    return begin


async def slows_redis(scene: Scene) -> None:
    await scene.mail(GOOD, MAILS, rate="3/s")
    await scene.taken(GOOD, 1)
    url = (scene.stack.directory / "redis.url").read_text("ascii").strip()
    scene.facts["CLIENT_ID"] = str(await trouble.keep_busy(url))


async def clicks_in_vain(scene: Scene) -> None:
    """Redis takes no writes, and somebody clicks."""
    await scene.mail(GOOD, 1)
    await scene.taken(GOOD, 1)
    mail = next(one for one in scene.host(GOOD).envelopes if f"-{scene.name}-" in one.rcpts[0])
    parsed = email.message_from_bytes(mail.message, policy=policy.default)
    body = parsed.get_body(("html",))
    assert body is not None
    found = _CLICK.search(body.get_content())
    assert found is not None
    await scene.ask_redis(lambda client: client.execute_command("CLIENT", "PAUSE", PAUSE_MS, "WRITE"))
    status, _ = await scene.stack.call("GET", found[1], key="", allow_redirects=False)
    assert status == 302, status


async def kills_master(scene: Scene) -> None:
    await scene.mail(GOOD, MAILS)
    await scene.taken(GOOD, 1)
    os.kill(int(scene.facts["MASTER_PID"]), signal.SIGKILL)


# Processes and files


def freezes(process: str) -> Act:
    """As a machine that is out of memory does."""

    async def freeze(scene: Scene) -> None:
        await scene.mail(GOOD, MAILS)
        await scene.taken(GOOD, 1)
        scene.facts["PID"] = str(scene.signal(process, signal.SIGSTOP))
        await scene.mail(GOOD, MAILS)

    return freeze


async def fills_disk(scene: Scene) -> None:
    """With an old log that nobody needs."""
    await scene.mail(GOOD, MAILS)
    await scene.taken(GOOD, 1)
    await trouble.fill(scene.stage.root / ".run" / "logs" / "relay.log.9")


async def changes_secret(scene: Scene) -> None:
    """Somebody puts another one there, and the relay is started again."""
    file, backup = scene.stage.root / ".run" / "secret.key", scene.stage.root / "backup"
    backup.mkdir()
    shutil.copy(file, backup / "secret.key")
    scene.facts["BACKUP"] = str(backup)
    _written(file, secrets.token_hex(32))
    await _started_again(scene)


async def mistypes_shaping(scene: Scene) -> None:
    """Somebody saves the file with a mistake, and the relay is started again."""
    _mistype(scene)
    await _started_again(scene)


async def rereads_mistyped_shaping(scene: Scene) -> None:
    """Somebody saves the file with a mistake, and tells the relay to read it again."""
    _mistype(scene)
    await scene.mail(GOOD, MAILS)
    scene.facts["PID"] = str(scene.signal("relay", signal.SIGHUP))


def _mistype(scene: Scene) -> None:
    file, backup = scene.stage.root / "shaping.toml", scene.stage.root / "shaping.toml.before"
    shutil.copy(file, backup)
    scene.facts.update(BACKUP=str(backup), SHAPING_FILE=str(file))
    file.write_text("[provider.orange]\nconections = 2\n", "utf-8")


async def _started_again(scene: Scene) -> None:
    await scene.mail(GOOD, MAILS)
    await scene.taken(GOOD, 1)
    scene.signal("relay", signal.SIGKILL)


def _written(file: Path, text: str) -> None:
    """In place of what was there; for its owner alone."""
    file.unlink()
    file.touch(0o600)
    file.write_text(text, "ascii")
