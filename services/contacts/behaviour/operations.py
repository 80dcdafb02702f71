"""Jobs, and the operation in which each is (E16). Pure.

A bulk job is an operation of its own. A transactional mail, or one from person to person, is a job for each recipient:
what such jobs have in common is their category, or, without one, their stream.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from shared.redis.jobs import CATEGORY, STREAM, SUBJECT, TAGS, TEST, Job
from shared.words import ids

#: What is read of a job.
FIELDS = (STREAM, CATEGORY, TAGS, SUBJECT, TEST)
#: Jobs of these streams share an operation.
_SHARING = frozenset(("transactional", "one_to_one"))
_MAX_CHARS = 1_000
_START = datetime(1970, 1, 1, tzinfo=UTC)


class About(NamedTuple):
    """The operation of a job. `key` is the job's id, or the word that its jobs share (`shared`)."""

    key: str
    shared: bool
    name: str
    stream: str
    category: str
    tags: tuple[str, ...]
    started_at: datetime
    #: What is done with it is noted of nobody.
    test: bool = False


def about(job: str, found: Job) -> About:
    """Of a job that is not kept any more nothing but its id is known."""
    stream, category = found[STREAM], _cut(found[CATEGORY])
    shared = stream in _SHARING
    key = (category or stream) if shared else job
    name = key if shared else _cut(found[SUBJECT])
    return About(
        key, shared, name, stream, category, tuple(_cut(one) for one in found[TAGS]), _made_at(job), found[TEST]
    )


def _made_at(job: str) -> datetime:
    """As its id says; ids that are none, of tests and of other programs, began long ago."""
    made_ms = ids.job_created_ms(job) if ids.is_job_id(job) else 0
    try:
        return _START + timedelta(milliseconds=made_ms)
    except OverflowError:
        return _START


def _cut(text: str) -> str:
    return text[:_MAX_CHARS].replace("\0", "")
