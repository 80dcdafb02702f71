"""The route that changes a job before it starts.

PATCH  /v1/jobs/{job}    content and time, as long as it is open or scheduled
"""

from aiohttp import web

from services.queueing.changing import Changing, JobChange, JobChanged
from shared.http import api
from shared.words import ids


def routes(changing: Changing) -> list[api.Route]:
    async def change(request: web.Request) -> web.StreamResponse:
        principal, job = request[api.PRINCIPAL], request.match_info["job"]
        if not ids.is_job_id(job):
            raise api.unknown_job()
        await changing.check(principal, job)
        return api.json_answer(await changing.change(principal, job, await api.read_json_bytes(request)))

    return [
        api.Route(
            "PATCH",
            "/v1/jobs/{job}",
            change,
            "Change the content or the time of an open or scheduled job; in force with the answer",
            scope="send",
            body=JobChange,
            name="change_job",
            sandbox=True,
            tag="jobs",
            answers={200: JobChanged},
            problems=[
                "unknown_job",
                "not_changeable",
                "changed_meanwhile",
                "invalid_job",
                "unknown_sending_domain",
                "sending_domain_not_shown",
                "domain_not_allowed",
                "templates_penalised",
            ],
            examples={"application/json": {"subject": "Bonsoir {{ prenom }}", "send_at": "2026-02-01T18:00:00Z"}},
        )
    ]
