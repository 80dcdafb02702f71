"""Which operation a job is in."""

from datetime import UTC, datetime

from services.contacts.behaviour.operations import FIELDS, about
from shared.redis.jobs import Job
from shared.words import ids

JOB = ids.new_job_id(1_790_000_000_000, b"chance", 4)


def job(stream: bytes, category: bytes = b"") -> Job:
    return Job(FIELDS, [stream, category, b"soldes\nvip", b"Hello\0", None])


def test_a_bulk_job_is_an_operation_of_its_own_with_its_tags() -> None:
    found = about(JOB, job(b"bulk", b"promotion"))

    assert (found.key, found.shared, found.name, found.category) == (JOB, False, "Hello", "promotion")
    assert found.tags == ("soldes", "vip")
    assert found.started_at == datetime.fromtimestamp(1_790_000_000, UTC)


def test_jobs_of_one_recipient_share_their_category_or_their_stream() -> None:
    assert about(JOB, job(b"transactional", b"receipt"))[:3] == ("receipt", True, "receipt")
    assert about(JOB, job(b"one_to_one"))[:3] == ("one_to_one", True, "one_to_one")


def test_of_a_job_that_is_not_kept_its_id_is_known() -> None:
    found = about(JOB, Job(FIELDS, [None] * len(FIELDS)))

    assert (found.key, found.shared, found.name, found.tags) == (JOB, False, "", ())
    assert about("no id", Job(FIELDS, [None] * len(FIELDS))).started_at == datetime(1970, 1, 1, tzinfo=UTC)
