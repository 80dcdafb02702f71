"""How our routes are served, whichever process mounts them: how long a request line may be, and how it ends."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from shared.http.turns import Turns
from shared.net.heads import Head
from shared.net.quick import Quick, QuickRunner, Reply
from shared.net.server import Runner
from shared.process.lifecycle import CLOSE_SECONDS, Lifecycle
from shared.process.settings import Settings
from shared.words.tokens import MAX_TOKEN_CHARS

#: The longest request line of ours: method, path and token, and then some.
MAX_LINE_BYTES = MAX_TOKEN_CHARS + 1024
#: Requests in hand have a second to spare before the process closes what is left.
SHUTDOWN_S = CLOSE_SECONDS - 1


async def prepared(
    app: web.Application, life: Lifecycle, quick: Quick | None = None, turns: Turns | None = None
) -> Runner:
    """Ready to be given a port. It is closed with the process, before all that was opened by now: it answers the
    requests that it has. What `quick` takes counts as light to `turns`, as all that comes without a key."""
    options: dict[str, Any] = {"max_line_size": MAX_LINE_BYTES, "shutdown_timeout": SHUTDOWN_S}
    if quick is None:
        runner = Runner(app, life.connections.callers, **options)
    else:
        runner = QuickRunner(app, life.connections.callers, quick=_light(quick, turns), **options)
    await runner.setup()
    life.push_close(runner.cleanup)
    return runner


def _light(quick: Quick, turns: Turns | None) -> Quick:
    if turns is None:
        return quick

    def takes(head: Head, remote: str, reply: Callable[[Reply], None]) -> bool:
        turns.light()
        return quick(head, remote, reply)

    return takes


async def listen(runner: Runner, settings: Settings) -> None:
    """At the port of `http`, alone or with others there."""
    http = settings.http
    await web.TCPSite(runner, http.host, http.port, reuse_port=http.reuse_port or None).start()
