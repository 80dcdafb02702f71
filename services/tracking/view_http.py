"""The page that shows a mail, over aiohttp.

    GET HEAD  /v/{token}    the mail of its recipient; nothing is recorded

As for the other pages of recipients, the token is the right to it, and what was appended to the link changes nothing.
"""

from aiohttp import web

from services.tracking.viewing import Viewing
from shared.http.api import Route, whole_list


def routes(viewing: Viewing) -> list[Route]:
    async def show(request: web.Request) -> web.Response:
        page = await viewing.answer(request.match_info["token"], whole_list(request, "Accept-Language"))
        return web.Response(status=page.status, headers=page.headers, body=page.body)

    html = "text/html"
    return [
        Route(
            "GET",
            "/v/{token}",
            show,
            "The mail in a browser, as its recipient got it, with its links and without its pixel",
            name="view_message",
            answers={200: html, 404: html, 503: html},
            tag="recipients",
            any_query=True,
            trailing_slash=True,
        )
    ]
