"""The route that shows a job's mail before it is sent."""

from typing import Annotated

import msgspec
from aiohttp import web

from services.queueing.jobs import JobRequest
from services.queueing.preview import Preview, Previewing
from services.queueing.trial import MAX_TRIED
from shared.http import api
from shared.words.described import says

_EXAMPLE = {
    "from": "Chouette <news@exemple.fr>",
    "subject": "Bonjour {{ prenom }}",
    "html": '<p>Bonjour {{ prenom }}</p><p><a href="{{ unsubscribe_url }}">Se désabonner</a></p>',
    "recipients": [{"email": "ana@exemple.fr", "variables": {"prenom": "Ana"}}],
}


class PreviewQuery(msgspec.Struct, frozen=True):
    """Whose mail is shown."""

    recipient: Annotated[
        int,
        says("Which of the first ten recipients that would be mailed, from 0.", 0),
        msgspec.Meta(ge=0, lt=MAX_TRIED),
    ] = 0


def routes(previewing: Previewing) -> list[api.Route]:
    async def preview(request: web.Request) -> web.StreamResponse:
        index = api.query_of(request, PreviewQuery).recipient
        body = await api.read_json_bytes(request)
        return api.json_answer(await previewing.preview(request[api.PRINCIPAL], body, index))

    return [
        api.Route(
            "POST",
            "/v1/preview",
            preview,
            "Renders a job's mail for one recipient, with checks; nothing is stored, sent, tracked or counted",
            scope="send",
            body=JobRequest,
            query=PreviewQuery,
            examples={"application/json": _EXAMPLE},
            name="preview_job",
            sandbox=True,
            tag="templates",
            answers={200: Preview},
            problems=[
                "invalid_job",
                "unknown_sending_domain",
                "sending_domain_not_shown",
                "domain_not_allowed",
                "templates_penalised",
            ],
        )
    ]
