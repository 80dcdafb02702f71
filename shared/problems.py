"""How a problem (RFC 9457) is answered over HTTP."""

import msgspec
import orjson
from aiohttp import web

from shared.errors import Problem


def problem_answer(problem: Problem) -> web.Response:
    return web.Response(
        body=orjson.dumps(problem.document(), default=msgspec.to_builtins),
        status=problem.status,
        content_type="application/problem+json",
        headers=problem.headers,
    )
