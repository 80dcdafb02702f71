"""How a problem (RFC 9457) is answered over HTTP, and what every application refuses in the same words."""

from collections.abc import Awaitable, Callable

import msgspec
import orjson
import structlog
from aiohttp import web

from shared.net.requests import PROBLEM, route_of
from shared.words.errors import Problem

#: aiohttp's own errors in our words.
PROBLEM_WORDS = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}

Call = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problem_answer(problem: Problem) -> web.Response:
    answer = web.Response(
        body=orjson.dumps(problem.document(), default=msgspec.to_builtins),
        status=problem.status,
        content_type="application/problem+json",
        headers=problem.headers,
    )
    answer[PROBLEM] = problem.word
    return answer


@web.middleware
async def refuse_encoded(request: web.Request, handler: Call) -> web.StreamResponse:
    """A body is taken as it is (RFC 9110 section 8.4): what is packed small may be anything unpacked. Asked before the
    key and the route, and with nothing read. The server that serves this has `auto_decompress` off."""
    codings = ",".join(request.headers.getall("Content-Encoding", ()))
    if any(coding.strip().lower() not in ("", "identity") for coding in codings.split(",")):
        headers = {"Accept-Encoding": "identity"}
        return problem_answer(
            Problem("unsupported_media_type", "send the body without Content-Encoding", headers=headers)
        )
    return await handler(request)


@web.middleware
async def answer_errors(request: web.Request, handler: Call) -> web.StreamResponse:
    """aiohttp's own errors, and ours that nobody expected, as problem documents."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        if allow and request.method == "OPTIONS":  # asks nothing but this (RFC 9110, 9.3.7)
            return web.Response(status=204, headers={"Allow": f"{allow['Allow']},OPTIONS"})
        return problem_answer(Problem(PROBLEM_WORDS.get(error.status, "bad_request"), error.reason, headers=allow))
    except web.RequestPayloadError:
        structlog.get_logger("http").info("unreadable_request", status=400, error="RequestPayloadError")
        answer = problem_answer(Problem("bad_request", "the body of the request cannot be read"))
        answer.force_close()
        return answer
    except (ConnectionError, TimeoutError):
        raise
    except Exception:
        structlog.get_logger("http").exception("request_failed", route=route_of(request), method=request.method)
        return problem_answer(Problem("internal_error", "this is our fault, and it is logged"))
