"""Routes whose calls are spans, where requests are traced (`shared.process.tracing`)."""

from dataclasses import replace

from aiohttp import web

from shared.http.route import Route
from shared.net.requests import CURRENT
from shared.process.tracing import Tracer
from shared.words.errors import Problem
from shared.words.request_ids import TRACE_HEADER

_STATUS = "http.response.status_code"


def traced(route: Route, tracer: Tracer | None) -> Route:
    """The same route. Those of recipients are not traced: there are many, and their traces would begin with nobody."""
    if tracer is None or route.scope is None:
        return route
    about = {"http.request.method": route.method, "http.route": route.path}

    async def call(request: web.Request) -> web.StreamResponse:
        asked = CURRENT.get()
        by = {"request": asked.id, "tenant": asked.tenant} if asked is not None else {}
        parent = request.headers.get(TRACE_HEADER, "")
        span = tracer.begin(f"{route.method} {route.path}", about | by, parent, serves=True)
        if asked is not None:
            asked.trace = span.context
        try:
            answer = await route.call(request)
        except Problem as problem:
            span.end({_STATUS: problem.status}, failed=problem.word)
            raise
        except BaseException as fault:
            span.end(failed=type(fault).__name__)
            raise
        span.end({_STATUS: answer.status})
        return answer

    return replace(route, call=call)
