"""How our routes are served, whichever process mounts them: how long a request line may be, and how it ends."""

from aiohttp import web

from shared.net.server import Runner
from shared.process.lifecycle import CLOSE_SECONDS, Lifecycle
from shared.words.tokens import MAX_TOKEN_CHARS

#: The longest request line of ours: method, path and token, and then some.
MAX_LINE_BYTES = MAX_TOKEN_CHARS + 1024
#: Requests in hand have a second to spare before the process closes what is left.
SHUTDOWN_S = CLOSE_SECONDS - 1


async def prepared(app: web.Application, life: Lifecycle) -> Runner:
    """Ready to be given a port. It is closed with the process, before all that was opened by now: it answers the
    requests that it has."""
    runner = Runner(app, life.connections.callers, max_line_size=MAX_LINE_BYTES, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    life.push_close(runner.cleanup)
    return runner
