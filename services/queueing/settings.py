"""What can be set of queueing."""

from shared.process.settings import Positive, Process


class Queueing(Process, frozen=True, kw_only=True):
    #: Chunks of jobs that may wait in a lane of a partition before the API answers 429, to tenants of whose chunks a
    #: tenth of that waits there: others are let in, so that nobody fills it for all.
    max_intake_chunks: Positive = 10_000
    #: An open job that nobody starts or appends to for so long is removed, with its recipients.
    open_job_days: Positive = 7
    #: In one request; a larger job is opened and appended to.
    max_recipients: Positive = 10_000
    max_body_bytes: Positive = 32 * 1024 * 1024
