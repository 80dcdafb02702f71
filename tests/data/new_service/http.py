"""The route of echo."""

import msgspec
from aiohttp import web

from shared.http import api


class Said(msgspec.Struct, frozen=True):
    """What it was asked."""

    said: str


def routes() -> list[api.Route]:
    async def say(request: web.Request) -> web.StreamResponse:
        return api.json_answer(Said(request.match_info["word"]))

    return [api.Route("GET", "/v1/echo/{word}", say, "Say it again", scope="read", answers={200: Said})]
