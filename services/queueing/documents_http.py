"""The route that makes links to documents.

POST  /v1/documents    a signed link that records each opening, for a message's recipient or an address
"""

from aiohttp import web

from services.queueing.documents import DocumentLink, DocumentRequest, Documents
from shared.http import api


def routes(documents: Documents) -> list[api.Route]:
    async def make(request: web.Request) -> web.StreamResponse:
        wanted = await api.read_json(request, DocumentRequest)
        return api.json_answer(await documents.link(request[api.PRINCIPAL].tenant, wanted))

    return [
        api.Route(
            "POST",
            "/v1/documents",
            make,
            "Make a link to a document that records each opening; nothing is stored",
            scope="send",
            body=DocumentRequest,
            name="link_document",
            tag="messages",
            answers={200: DocumentLink},
            problems=["unknown_message"],
            examples={
                "application/json": {
                    "name": "Devis 2026-113",
                    "url": "https://exemple.fr/devis/113.pdf",
                    "email": "ana@exemple.fr",
                    "expires_at": "2036-03-31T00:00:00Z",
                }
            },
        )
    ]
