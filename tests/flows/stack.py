"""A whole instance for flow tests: `estafette run` in a directory of its own, spoken to through its front doors."""

import asyncio
import email
import email.policy
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp

from tests import secrets_in_logs
from tests.servers import ANY_METRICS_PORT, free_port, need, stop

#: How long a test waits for a fact before it says that it does not come: no figure of ours, so it may be generous. On
#: two slow cores with a slow disk everything takes ten times as long.
START_SECONDS = 180.0
PATIENCE_SECONDS = 150.0
UNAVAILABLE = "urn:estafette:problem:unavailable"
T = TypeVar("T")

HTML = (
    '<html><body><p>Bonjour {{ prenom }}</p><a href="https://exemple.fr/a?x=1&amp;y=2">A</a> '
    '<a href="https://exemple.fr/b">B</a> <a href="{{ unsubscribe_url }}">out</a></body></html>'
)


class Stack:
    """One instance. `environ` are settings on top of the test's own ports and directory; `code` is where it runs from,
    if not from here."""

    def __init__(self, directory: Path, environ: Mapping[str, str], code: Path | None = None) -> None:
        need("redis-server") if "ESTAFETTE_REDIS_URL" not in environ else None
        self.directory = directory
        self._code = code
        self.http_port = free_port()
        self.bounces_port = int(environ.get("ESTAFETTE_BOUNCES_PORT") or free_port())
        self.submission_port, self.submission_tls_port = free_port(), free_port()
        self.base = f"http://127.0.0.1:{self.http_port}"
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")},
            **ANY_METRICS_PORT,
            "ESTAFETTE_DATA_DIR": str(directory),
            "ESTAFETTE_HTTP_PORT": str(self.http_port),
            "ESTAFETTE_BOUNCES_PORT": str(self.bounces_port),
            "ESTAFETTE_SUBMISSION_PORT": str(self.submission_port),
            "ESTAFETTE_SUBMISSION_TLS_PORT": str(self.submission_tls_port),
            "ESTAFETTE_MAILBOX_PORT": str(free_port()),
            "ESTAFETTE_MAILBOX_KEEP": "5000",
            "ESTAFETTE_RELAY_LEASE_MS": "3000",
            "ESTAFETTE_RELAY_RETRY_SCHEDULE": "1",
            "ESTAFETTE_REDIS_PARTITIONS": "4",
            "ESTAFETTE_REPORTS_SOON_MS": "0",  # people in tests click at once
            "ESTAFETTE_REPORTS_BURST_LINKS": "0",
            "ESTAFETTE_QUOTAS_REQUESTS_PER_SECOND": "5000",  # tests ask faster than customers do, all with one key
            "ESTAFETTE_QUOTAS_REQUESTS_UNDER_WAY": "1000",
            "ESTAFETTE_DNS_SERVERS": "127.0.0.1:1",  # nobody is there, and that is told at once
            **environ,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None
        self.key = ""
        #: What this test has sent, or was given, that no log may have.
        self.secrets: set[bytes] = set()

    @classmethod
    @asynccontextmanager
    async def running(
        cls, directory: Path, environ: Mapping[str, str] | None = None, code: Path | None = None
    ) -> AsyncIterator[Self]:
        stack = cls(directory, environ or {}, code)
        try:
            await stack.start()
            yield stack
        finally:
            await stack.stop()

    async def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process = self._spawn()
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120))
        await self.until(self.is_ready, patience_s=START_SECONDS)
        self.key = (self.directory / "demo.key").read_text().strip()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with (self.directory / "run.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "services.console.console", "run"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                cwd=self._code,
            )

    async def is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the instance ended: {self.log()}")
        try:
            async with self.session.get(f"{self.base}/readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def stop(self) -> int | None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._process is None:
            return None
        ended = await asyncio.to_thread(stop, self._process, 40)
        assert self.secrets_in_logs() == []
        return ended

    def secrets_in_logs(self) -> list[str]:
        """Where secrets stand in anything that the instance has logged so far."""
        files = [self.directory / name for name in ("secret.key", "demo.key")]
        known = {file.read_bytes().strip() for file in files if file.exists()} | self.secrets
        return secrets_in_logs.found(self.directory, sorted(known))

    def logged(self, name: str, event: str) -> list[dict[str, Any]]:
        """Every line of this event that the process `name` has logged."""
        try:
            text = (self.directory / "logs" / f"{name}.log").read_text(errors="replace")
        except FileNotFoundError:
            return []
        whole = text[: text.rfind("\n") + 1].splitlines()
        return [said for line in whole if line.startswith("{") and (said := json.loads(line))["event"] == event]

    async def relay_knows_stop(self, name: str) -> None:
        """Returns once the relay, which looks twice a second, knows that this is stopped: what is asked for from then
        on it does not send."""

        async def known() -> bool:
            return any(said.get("name") == name for said in self.logged("relay", "stopped"))

        await self.until(known)

    def log(self) -> str:
        """The end of everything that was logged, for the message of a failed test and for nothing else."""
        files = [*self.directory.glob("run.log"), *sorted(self.directory.glob("logs/*.log"))]
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-2500:]}" for file in files)

    @property
    def environ(self) -> dict[str, str]:
        """Of its processes, and of commands about it."""
        return dict(self._environ)

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None
        return self._session

    # Its processes

    def pid_of(self, name: str) -> int:
        """The process of a service (`relay`, `http`), that signs for the relay (`relay.signing`), of Redis
        (`redis`) or of PostgreSQL (`postgresql`). LookupError while there is none."""
        assert self._process is not None
        parent = self.pid_of("relay") if name == "relay.signing" else self._process.pid
        signing = r"-m services\.relay\.signing\.process(\s|$)"
        own_words = {"redis": "redis-server", "postgresql": r"/postgres -D ", "relay.signing": signing}
        wanted = own_words.get(name, rf"-m services\.(local\.)?{name}(\s|$)")
        for pid in _children(parent):
            if re.search(wanted, _command(pid)):
                return pid
        raise LookupError(f"no process {name}")

    def kill(self, name: str) -> int:
        """kill -9; the pid that it had."""
        pid = self.pid_of(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    async def killed_and_back(self, name: str) -> None:
        """kill -9, then wait until another has taken its place and all is ready."""
        old = self.kill(name)

        async def back() -> bool:
            try:
                return self.pid_of(name) != old and await self.is_ready()
            except LookupError:
                return False

        await self.until(back)

    # Its front doors

    async def call(
        self, method: str, path: str, json: Any = None, key: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        """Status and body (JSON if it is) of an API call."""
        self.secrets.update(secrets_in_logs.canaries(json))
        headers = {"Authorization": f"Bearer {self.key if key is None else key}", **options.pop("headers", {})}
        url = path if path.startswith("http") else self.base + path
        async with self.session.request(method, url, json=json, headers=headers, **options) as answer:
            body = await answer.read()
            if "json" in answer.content_type:
                return answer.status, await answer.json(content_type=None)
            return answer.status, body

    async def new_key(self, tenant: str, scopes: str) -> str:
        """A key made at the console, with its tenant if that is new."""
        await self.console("tenants", "add", tenant)
        return (await self.console("keys", "create", "--tenant", tenant, "--scope", scopes)).split()[-1]

    async def console(self, *words: str) -> str:
        """What `estafette …` prints."""
        return (await self.console_ended(*words))[1]

    async def console_ended(self, *words: str) -> tuple[int | None, str]:
        """Its exit code, and what it prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.console.console", *words,
            env=self._environ, cwd=self._code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        printed, _ = await process.communicate()
        return process.returncode, printed.decode()

    async def send(self, *emails: str, **fields: Any) -> str:
        """Posts a job to these addresses, again with the same key if storage did not answer; its id."""
        key = {"Idempotency-Key": secrets.token_hex(16)}
        status, answer = await self.answered("POST", "/v1/jobs", job(*emails, **fields), headers=key)
        assert status == 202, answer
        return str(answer["id"])

    async def answered(self, method: str, path: str, json: Any = None, **options: Any) -> tuple[int, Any]:
        """As `call`, of what may be asked again: where Redis has not answered in its time (5 s; a slow disk may take
        longer) we do what the problem says, and try again."""

        async def answer() -> tuple[int, Any] | None:
            status, body = await self.call(method, path, json, **options)
            is_away = status == 503 and isinstance(body, dict) and body.get("type") == UNAVAILABLE
            return None if is_away else (status, body)

        return await self.until(answer)

    async def report(self, job_id: str) -> dict[str, Any]:
        status, answer = await self.answered("GET", f"/v1/jobs/{job_id}")
        assert status == 200, answer
        return dict(answer)

    async def done(self, job_id: str, patience_s: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The report of the job once every recipient has an end."""

        async def ended() -> dict[str, Any] | None:
            report = await self.report(job_id)
            return report if report["state"] == "done" else None

        return await self.until(ended, patience_s)

    async def message(self, message_id: str) -> dict[str, Any]:
        status, answer = await self.answered("GET", f"/v1/messages/{message_id}")
        assert status == 200, answer
        return dict(answer)

    async def facts(self, message_id: str) -> list[str]:
        """The types of a message's facts, in order, without `message.`."""
        return [fact["type"].removeprefix("message.") for fact in (await self.message(message_id))["timeline"]]

    async def events(self, job_id: str, types: str = "") -> list[dict[str, Any]]:
        """All events of a job in the feed, page by page; of these types alone if any are named."""
        found, after, more = [], "", True
        while more:
            query = {"job": job_id, **({"type": types} if types else {}), **({"after": after} if after else {})}
            status, page = await self.answered("GET", "/v1/events", params=query)
            assert status == 200, page
            found += page["events"]
            after, more = page["next"], page["more"]
        return found

    async def told(self, job_id: str) -> list[dict[str, Any]]:
        """All events of a job, once the feed has that it has ended: which is written after its report says so."""

        async def ended() -> list[dict[str, Any]] | None:
            found = await self.events(job_id)
            return found if any(event["type"] == "job.finished" for event in found) else None

        return await self.until(ended)

    async def mails(self, to: str = "") -> list[dict[str, Any]]:
        """What the mailbox holds, the oldest first."""
        params = {"to": to} if to else {}
        status, answer = await self.answered("GET", "/mailbox/messages.json", params={**params, "limit": "1000"})
        assert status == 200, answer
        return list(answer["messages"])

    async def mail(self, to: str) -> dict[str, Any]:
        """The first mail to this address, once it is there."""

        async def arrived() -> dict[str, Any] | None:
            found = await self.mails(to)
            return found[0] if found else None

        return await self.until(arrived)

    async def source(self, mail: Mapping[str, Any]) -> bytes:
        status, body = await self.answered("GET", f"/mailbox/{mail['id']}/source")
        assert status == 200
        return bytes(body)

    async def html(self, mail: Mapping[str, Any]) -> str:
        """The mail's HTML and nothing around it: a signature is base64, in which `/o/` and the like stand by chance."""
        part = email.message_from_bytes(await self.source(mail), policy=email.policy.default).get_body(("html",))
        assert part is not None
        return str(part.get_content())

    async def until(self, call: Callable[[], Awaitable[T | None]], patience_s: float = PATIENCE_SECONDS) -> T:
        """Asks until the answer is true, and returns it."""
        deadline = time.monotonic() + patience_s
        while True:
            found = await call()
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"still {found!r} after {patience_s} s\n{self.log()}")
            await asyncio.sleep(0.1)


def job(*emails: str, **fields: Any) -> dict[str, Any]:
    """The body of a job to these addresses."""
    return {
        "from": "Chouette <news@exemple.fr>",
        "subject": "Bonjour {{ prenom }}",
        "html": HTML,
        "recipients": [{"email": email, "variables": {"prenom": email.split("@")[0]}} for email in emails],
        **fields,
    }


def _children(pid: int) -> list[int]:
    try:
        tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(child) for child in tasks]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
