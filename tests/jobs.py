"""Jobs in Python, as a request says them in JSON and as they are stored, and the way of one in between."""

from collections.abc import Sequence
from typing import Any

from services.queueing import jobs, reading
from services.queueing.compile import Limits, compile_content, compile_templates, sources
from services.queueing.jobs import Draft, Job, JobRequest
from services.queueing.track import Track, UtmParameters
from services.queueing.trial import Tried
from shared.redis.jobs import FIELDS, New
from shared.words.content import CompiledContent
from shared.words.errors import Fault


def job_request(
    *, track_opens: bool = True, track_clicks: bool = True, utm: UtmParameters | None = None, **fields: Any
) -> JobRequest:
    """A request with these fields, by their names in Python; nothing is added to its content."""
    given: dict[str, Any] = {
        "from_": "Chouette <news@exemple.fr>",
        "subject": "Bonjour",
        "own_way_out": True,
        "text_from_html": False,
    }
    return JobRequest(track=Track(track_opens, track_clicks, utm), **(given | fields))


def draft(*, tried: Sequence[Tried] = (), rate: str = "", **fields: Any) -> Draft:
    """A job with these fields that is not compiled yet."""
    return Draft(job_request(**fields), rate, [], False, 0, 0, [], stored=list(tried))


def compile_draft(read: Draft, limits: Limits, *, chance: bytes = b"") -> CompiledContent | list[Fault]:
    """What becomes of the content of a job, all of it compiled here."""
    templated = compile_templates(sources(read.request, limits, read.tried))
    return compile_content(read.request, read.rate, limits, templated, chance=chance)


def compile_job(limits: Limits | None = None, *, chance: bytes = b"", **fields: Any) -> CompiledContent | list[Fault]:
    """The same of a job with these fields."""
    return compile_draft(draft(**fields), limits or Limits(), chance=chance)


def read_job(body: bytes, *, open_job: bool, now_ms: int, max_recipients: int, limits: Limits) -> Job:
    """The job of a request body. Problem 400 if it is not JSON, 422 with every fault otherwise."""
    read = reading.read_draft(body, open_job=open_job, now_ms=now_ms, max_recipients=max_recipients)
    return jobs.finish(read, compile_draft(read, limits))


def new_job(**fields: Any) -> New:
    """A job of `acme` to be stored, with these fields."""
    given: dict[str, Any] = {
        "tenant": "acme",
        "stream": "bulk",
        "content": b"content",
        "total": 0,
        "send_at_ms": 0,
        "expires_at_ms": 0,
        "max_age_ms": 86_400_000,
        "rate": "",
        "at_most_once": False,
        "test": False,
        "sender": "News <news@exemple.fr>",
        "subject": "Bonjour",
        "list": "",
        "category": "",
        "tags": (),
    }
    return New(**(given | fields))


def job_hash(**fields: Any) -> Any:
    """These fields of a job's hash, as a mapping, for tests that need no more. KeyError: there is no such field."""
    return {FIELDS[name].name: FIELDS[name].write(value) for name, value in fields.items()}
