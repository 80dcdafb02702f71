"""`estafette run`: one instance on this machine. Redis, a process per stream loop, one for all HTTP routes.

    supervisor ─┬─ redis       unless redis.url names one; its URL is in <data.dir>/redis.url while it runs
                ├─ postgresql  unless contacts.url names one, or contacts.private is false
                ├─ what the catalogue has a process for (`services.catalogue`); mailbox where relay.route is `mailbox`
                ╰─ http        every route on one port, and the spool of tracking

What dies is started again, later each time; what hangs is killed. Readiness: each process has its metrics port chosen
here, once, and the http process is told all of them (`http.ready_urls`), so its /readyz is 200 when all are, whoever
asks. In `<data.dir>`:

    lock             held while the instance runs      redis.url, http.url   where it runs, while it runs
    appendonlydir/   what Redis keeps                  demo.key              the key of tenant `demo` (mode 600)
    installation     whose data it is, once seen
    secret.key       the master secret                 logs/<process>.log    JSON lines; warnings are shown here too
    postgresql/      what PostgreSQL keeps             contacts.url          where it runs, with its password (mode 600)

Stopping goes against the flow (`catalogue.STOPS`), PostgreSQL and Redis last.
Each has `lifecycle.drain_seconds` and a little; a second Ctrl-C does not wait. SIGHUP is passed on to all services,
which read their settings again (`shared.process.reloading`). It ends nothing: the instance outlives its terminal, and
says on what is left of it what it can.
"""

import asyncio
import fcntl
import gc
import importlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import IO, Any, NoReturn, TypeVar

import click
import orjson

from services import catalogue
from services.local import postgres_server, private, processes, redis_server
from services.local.ports import free_ports, why_not_free
from services.local.processes import Child, Pulse, Tail, say
from shared.process import coherence, master_secret
from shared.process.master_secret import NoSecret
from shared.process.settings import Settings, SettingsError, url_host
from shared.redis import known_secret, redis, start
from shared.redis.installation import NotOurs
from shared.redis.tenants import TenantError, Tenants
from shared.words.errors import OperatorFault

DEMO_SCOPES = ("send", "read", "suppress", "admin")
#: What services import that takes long: imported once, before they are forked. Names, for each has one owner.
PRELOADED = (
    *("aiohttp.web", "aiosmtpd.smtp", "aiosmtplib", "cryptography.hazmat.primitives.asymmetric.rsa"),
    *("dns.resolver", "minijinja", "redis.asyncio", "turbohtml", "uvloop", "shared.http.api", "shared.redis.bus"),
)
#: After that the first start is told to be slow, with the reason; it goes on trying.
SLOW_START_SECONDS = 30.0
#: What is started here that is no service.
SERVERS = ("redis", "postgresql")
#: The kernel ends a server with its supervisor, and what that server has started ends by itself soon.
FORMER_SECONDS = 10.0
OTHERS_REDIS_SECONDS = 5.0
#: At least so often is it asked: one answer that takes longer (a disk that is slow for a moment) is not an absence.
OTHERS_REDIS_TRIES = 3
#: More than a process needs to close once it has drained.
CLOSE_SECONDS = 5.0
#: Lines of one process shown at each look: a fault that every message has must not bury the others.
SHOWN_AT_ONCE = 10
T = TypeVar("T")


class CannotRun(OperatorFault):
    """Nothing was started. The message says what to change."""


class Instance:
    """The running instance: made by `run`, and by nobody twice for one data directory."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.data = settings.data.path
        self.redis_url = settings.redis.url
        self.contacts_url = self._own("contacts").url
        self.metrics_ports: dict[str, int] = {}
        self._children: dict[str, Child] = {}
        self._tails: list[tuple[str, Tail]] = []
        self._free_ports = free_ports(settings.metrics.host)
        self._signals = 0
        self._hangups = 0
        #: Why the data in Redis is not what was worked on before: nothing is written there then.
        self.not_ours: str | None = None

    # Up

    def prepare(self) -> None:
        """Everything that can be found wrong before a process is started. CannotRun."""
        self.check_ports()
        try:
            master_secret.load(self.settings)
        except master_secret.NoSecret as error:
            raise CannotRun(f"secret.key_file, secret.previous_key_files: {error}") from None
        for module in PRELOADED:
            importlib.import_module(module)
        gc.freeze()  # what is imported stays shared: a fork's collector does not touch it
        for caught in (signal.SIGINT, signal.SIGTERM):
            signal.signal(caught, self._signalled)
        signal.signal(signal.SIGHUP, self._hung_up)

    def start_redis(self) -> None:
        """Ours, unless the settings name one; in both cases it answers when this returns. CannotRun."""
        if not self.redis_url:
            port = next(free_ports("127.0.0.1"))
            try:
                most = redis_server.memory_bytes(self.settings.redis.max_memory_bytes)
                found = redis_server.find()
                command = redis_server.command(found, self.data, port, most, self._log_of("redis"))
            except redis_server.NoRedis as error:
                raise CannotRun(str(error)) from None
            if warning := redis_server.warning(found):
                say(warning)
            self._start("redis", processes.program(command))
            self.redis_url = f"redis://127.0.0.1:{port}/0"
        try:
            self.asked(lambda client: start.installation(client, self.settings).find())
        except NotOurs as words:
            self.not_ours = str(words)
            say(f"redis: {words}")
        except redis.WrongPartitions as error:
            raise CannotRun(str(error)) from None

    def start_postgresql(self) -> None:
        """Ours, unless the settings name one, or want none. Where there is none to be had there are no contacts: the
        engine runs without them. It may answer some time later. CannotRun."""
        if self.contacts_url or not self._own("contacts").private:
            return
        directory, password = self.data / "postgresql", secrets.token_hex(16)
        deadline = time.monotonic() + FORMER_SECONDS
        # It listens some time later: no process may be given the same port meanwhile.
        port = next(one for one in self._free_ports if why_not_free("127.0.0.1", one) is None)
        try:
            found, account = postgres_server.find(directory), postgres_server.account()
            postgres_server.make(found, directory, account)
            while not postgres_server.let_in(found, directory, account, password):
                if time.monotonic() > deadline or self._signals:
                    raise postgres_server.NoPostgres(f"another one runs in {directory}")
                time.sleep(0.1)
        except postgres_server.NoPostgres as error:
            say(f"contacts: there are none: {error}")
            return
        self._start("postgresql", postgres_server.work(found, directory, port, account), ends_by=signal.SIGINT)
        self.contacts_url = postgres_server.url(port, password)

    def check_secret(self) -> None:
        """Ours is the one that Redis was used with; at first start it is made. CannotRun."""
        try:
            secret = master_secret.load(self.settings)
            self.asked(lambda client: known_secret.check(client, self.settings, secret))
        except NoSecret as error:
            raise CannotRun(str(error)) from None

    def demo_key(self) -> str:
        """The key in `demo.key`, if it still opens; else a new one, with its tenant where that is missing."""
        file = self.data / "demo.key"
        known = file.read_text("ascii").strip() if file.exists() else ""
        key = self.asked(lambda client: _demo_key(client, known))
        if key != known:
            _write(file, key)
        return key

    def start_services(self) -> None:
        started = catalogue.of_an_instance(self.settings.relay.route)
        if self.contacts_url:
            started.append(catalogue.BY_NAME["contacts"])
        started.sort(key=lambda service: service.name == "http")  # last: it answers for the others
        for service in started:
            section = getattr(self.settings, service.name)
            self.metrics_ports[service.name] = section.metrics_port or next(self._free_ports)
        names = [service.name for service in started if service.name != "http"]
        ready = ",".join(f"{name}={self.metrics_url(name, 'readyz')}" for name in names)
        for service in started:
            name = service.name
            environ = {
                "ESTAFETTE_REDIS_URL": self.redis_url,
                "ESTAFETTE_CONTACTS_URL": self.contacts_url,
                f"ESTAFETTE_{name.upper()}_METRICS_PORT": str(self.metrics_ports[name]),
                "ESTAFETTE_HTTP_READY_URLS": ready,
            }
            pulse = Pulse()
            work = processes.service(service.module, name, environ, pulse, self._log_of(name).resolve())
            self._start(name, work if name == "http" else processes.behind(work), pulse)

    def metrics_url(self, name: str, page: str = "metrics") -> str:
        return f"http://{url_host(self.settings.metrics.host)}:{self.metrics_ports[name]}/{page}"

    def check_ports(self) -> None:
        """CannotRun names each port that is taken, with its setting."""
        faults = []
        for setting, (host, port) in catalogue.places(self.settings).items():
            if (reason := why_not_free(host, port)) is not None:
                variable = f"ESTAFETTE_{setting.replace('.', '_').upper()}"
                advice = "; 0 takes a free one" if setting.endswith(".metrics_port") else ""
                faults.append(f"{setting} ({variable}): {host}:{port} {reason}{advice}")
        if faults:
            raise CannotRun("\n".join(faults))

    def asked(self, ask: Callable[[redis.Client], Awaitable[T]]) -> T:
        """What Redis answers. Ours may read its file for as long as it takes; another's is there, or it is not.
        CannotRun."""
        return asyncio.run(self._asked(ask))

    async def _asked(self, ask: Callable[[redis.Client], Awaitable[T]]) -> T:
        client = redis.connect(self.redis_url)
        ours = self._children.get("redis")
        deadline = time.monotonic() + OTHERS_REDIS_SECONDS
        tries = 0
        try:
            while True:
                tries += 1
                try:
                    return await ask(client)
                except redis.NotLetIn as error:
                    raise CannotRun(f"redis.url (ESTAFETTE_REDIS_URL): {error}") from None
                except redis.Refused as error:
                    raise CannotRun(f"redis.url (ESTAFETTE_REDIS_URL): Redis refuses a command: {error}") from None
                except redis.RedisAway as error:
                    if ours and (how := ours.ended()):
                        raise CannotRun(f"redis {how}: see {ours.log}") from None
                    is_late = not ours and tries >= OTHERS_REDIS_TRIES and time.monotonic() > deadline
                    if is_late or self._signals:
                        raise CannotRun(f"redis.url (ESTAFETTE_REDIS_URL): Redis does not answer: {error}") from None
                    await asyncio.sleep(0.02)
        finally:
            await redis.close(client)

    def _hang_seconds(self, name: str) -> float:
        patience: float = getattr(self.settings, name).patience_seconds if name in catalogue.BY_NAME else 0.0
        return max(self.settings.lifecycle.hang_seconds, patience)

    def _log_of(self, name: str) -> Path:
        return self.data / "logs" / f"{name}.log"

    def _own(self, name: str) -> Any:
        """The section of a service."""
        return getattr(self.settings, name)

    def _start(
        self,
        name: str,
        work: Callable[[], NoReturn],
        pulse: Pulse | None = None,
        ends_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        log, kept = self._log_of(name), self.settings.logs
        self._tails.append((name, Tail(log, kept.max_bytes, kept.files)))
        child = self._children[name] = Child(name, work, log, pulse, self._hang_seconds(name), ends_by)
        child.start()

    # Alive

    def watch(self, announce: Callable[[], None]) -> None:
        """Until a signal: starts again what dies, shows warnings, and calls `announce` when all are ready."""
        announced, told = False, False
        slow_at = time.monotonic() + SLOW_START_SECONDS
        while not self._signals:
            self._pass_hangup_on()
            self._restart_dead()
            self._show_warnings()
            if not announced:
                reason = self.why_not_ready()
                if reason is None:
                    announced = True
                    announce()
                elif time.monotonic() > slow_at and not told:
                    told = True
                    say(f"not ready yet: {reason}")
            time.sleep(0.2 if announced else 0.02)

    def why_not_ready(self) -> str | None:
        """What /readyz says, or that it does not answer; None when every process is ready."""
        connection = HTTPConnection(base_url(self.settings).removeprefix("http://"), timeout=2)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            return None if answer.status == 200 else answer.read(500).decode("utf-8", "replace").strip()
        except (OSError, HTTPException) as error:
            return f"http: {error}"
        finally:
            connection.close()

    def _restart_dead(self) -> None:
        for child in self._children.values():
            if child.killed_as_hung():
                say(f"{child.name} hangs and is killed (lifecycle.hang_seconds)")
            if how := child.ended():
                say(f"{child.name} {how}; it is started again (see {child.log})")
            if child.due():
                child.start()

    def _pass_hangup_on(self) -> None:
        """To services: Redis ignores it, and has nothing to read."""
        if not self._hangups:
            return
        self._hangups = 0
        services = [child for child in self._children.values() if child.name not in SERVERS]
        for child in services:
            child.signal(signal.SIGHUP)
        say(f"SIGHUP: {len(services)} processes read their settings again; what is wrong with them is shown here")

    def _show_warnings(self) -> None:
        for name, tail in self._tails:
            shown = [text for line in tail.lines() if (text := worth_showing(name, line))]
            for text in shown[:SHOWN_AT_ONCE]:
                say(text)
            if len(shown) > SHOWN_AT_ONCE:
                say(f"{name:<11} | … and {len(shown) - SHOWN_AT_ONCE} more lines (see {self._log_of(name)})")

    # Down

    def stop(self) -> None:
        """In the catalogue's order and then Redis, however far the start has come."""
        if self._children:
            say("stopping …")
        lifecycle = self.settings.lifecycle
        deadline_seconds = lifecycle.grace_seconds + lifecycle.drain_seconds + CLOSE_SECONDS
        for group in (*catalogue.stop_order(catalogue.SERVICES), ["contacts"], SERVERS):
            children = [self._children[name] for name in group if name in self._children]
            for name in processes.stop(children, deadline_seconds, lambda: self._signals > 1):
                say(f"{name} was killed: it did not end by itself")
        self._show_warnings()
        for _, tail in self._tails:
            tail.close()

    def _hung_up(self, _number: int, _frame: FrameType | None) -> None:
        self._hangups += 1

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1


def run(settings: Settings) -> None:
    """Until a signal. CannotRun if nothing could be started."""
    try:
        coherence.refuse(settings, ports=catalogue.ports(settings))
    except SettingsError as error:
        raise CannotRun(str(error)) from None
    data = settings.data.path
    try:
        os.umask(0o077)  # of all that is started from here, Redis too
        private.own(data)
        (data / "logs").mkdir(exist_ok=True)
    except (OSError, private.NotPrivate) as error:
        raise CannotRun(f"data.dir (ESTAFETTE_DATA_DIR): {error}") from None
    with _locked(data):
        instance = Instance(settings)
        instance.prepare()
        try:
            instance.start_redis()
            if instance.not_ours is None:
                instance.check_secret()
                instance.demo_key()
            instance.start_postgresql()
            instance.start_services()
            _write(data / "redis.url", instance.redis_url)
            if instance.contacts_url:
                _write(data / "contacts.url", instance.contacts_url)
            _write(data / "http.url", base_url(settings))
            instance.watch(lambda: _show(banner(instance, _shown(instance.demo_key()))))
        finally:
            instance.stop()
            for name in ("redis.url", "http.url", "contacts.url"):
                (data / name).unlink(missing_ok=True)


def _shown(key: str) -> str | None:
    return key if sys.stdout.isatty() else None


def base_url(settings: Settings) -> str:
    """Where API and pages are, seen from this machine."""
    return f"http://{url_host(settings.http.host)}:{settings.http.port}"


def _show(text: str) -> None:
    """On standard output; see `say`."""
    with suppress(OSError):
        click.echo(text)


def banner(instance: Instance, key: str | None) -> str:
    """What is printed once all is up. The key for a terminal alone: what else reads this may be a log."""
    settings, base = instance.settings, base_url(instance.settings)
    file = (instance.data / "demo.key").absolute()
    rows = [("API, links and pages", base), ("its description", f"{base}/v1/openapi.json")]
    if settings.relay.route == "mailbox":
        rows.append(("mailbox page", f"{base}/mailbox"))
    if settings.tracking.base_url:
        rows.append(("links in mails", settings.base_url))
    rows += [
        ("inbound SMTP", f"{settings.bounces.host}:{settings.bounces.port}"),
        ("mail goes to", settings.relay.route),
        ("key of tenant demo", f"{key}   (also in {file})" if key else f"in {file}"),
        *((f"metrics of {name}", instance.metrics_url(name)) for name in instance.metrics_ports),
        ("logs", f"{instance.data / 'logs'}/<process>.log"),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {value}" for name, value in rows]
    return "\n".join(
        (
            "",
            "Estafette is up.",
            "",
            *lines,
            "",
            "Send a first mail:",
            "",
            first_mail(base, key or f"$(cat {quote(str(file))})"),
            "",
        )
    )


def first_mail(base: str, key: str) -> str:
    """A line for any shell that sends one mail, with something to click and a way to leave."""
    job = {
        "from": "Chouette <news@chouette.example>",
        "subject": "Hello {{ name }}",
        "html": '<p>Hello {{ name }}!</p><p><a href="https://www.python.org/">A link to click</a></p>'
        '<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>',
        "recipients": [{"email": "ana@example.org", "variables": {"name": "Ana"}}],
    }
    body = orjson.dumps(job).decode()  # without a single quote, so that the shell takes it as it is
    return (
        f'curl -sS {base}/v1/jobs -H "Authorization: Bearer {key}" -H "Content-Type: application/json" '
        f"--data-binary '{body}'"
    )


def worth_showing(name: str, line: bytes) -> str | None:
    """A warning or an error, for people; None for what only the file needs."""
    if name in SERVERS or not line.strip():
        return None
    try:
        said = orjson.loads(line)
    except ValueError:
        return f"{name:<11} | {line.decode('utf-8', 'replace')}"
    if not isinstance(said, Mapping) or said.get("level") not in ("warning", "error", "critical"):
        return None
    hidden = ("at", "level", "process", "event", "exception")
    fields = " ".join(f"{field}={value}" for field, value in said.items() if field not in hidden)
    why = str(said.get("exception", "")).strip().rpartition("\n")[2]
    return f"{name:<11} | {said['level']}: {said.get('event')} {fields} {why}".rstrip()


async def _demo_key(client: redis.Client, known: str) -> str:
    tenants = Tenants(client)
    if known and await tenants.verify(known):
        return known
    if await tenants.get("demo") is None:
        with suppress(TenantError):  # another instance on the same Redis was first
            await tenants.create("demo", any_from_domain=True)
    return (await tenants.create_key("demo", DEMO_SCOPES))[1]


def _write(file: Path, text: str) -> None:
    """For its owner alone."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(f"{text}\n")


class _locked:  # noqa: N801 - used as a function: `with _locked(data)`
    """One instance for one data directory."""

    def __init__(self, data: Path) -> None:
        self._file = data / "lock"
        self._open: IO[str] | None = None

    def __enter__(self) -> None:
        self._open = self._file.open("w")
        try:
            fcntl.flock(self._open, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._open.close()
            raise CannotRun(f"data.dir (ESTAFETTE_DATA_DIR): another instance runs in {self._file.parent}") from None

    def __exit__(self, *_error: object) -> None:
        if self._open is not None:
            self._open.close()
