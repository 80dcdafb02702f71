"""A job as the API reads it: its fields, then its content, then what is wrong with both."""

from services.queueing import jobs
from services.queueing.compile import Limits, compile_content
from services.queueing.jobs import Job


def read_job(body: bytes, *, open_job: bool, now_ms: int, max_recipients: int, limits: Limits) -> Job:
    """The job of a request body. Problem 400 if it is not JSON, 422 with every fault otherwise."""
    draft = jobs.read_draft(body, open_job=open_job, now_ms=now_ms, max_recipients=max_recipients)
    return jobs.finish(draft, compile_content(draft.content, limits))
