"""What queueing keeps of a job that its report shows: which fields, and how the times of its messages are put."""

from typing import Annotated

import msgspec

from shared.redis import jobs
from shared.words import ids, timing
from shared.words.described import says
from shared.words.timing import Hours

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000}


class JobHours(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """Hours of one weekday, by the recipient's clock."""

    from_: Annotated[str, says("From when on.", "09:00")]
    to: Annotated[str, says("Until when.", "19:00")]


class JobTiming(msgspec.Struct, frozen=True):
    """When messages of the job may go, once it has started: its `window`, `spread` and `best_hour`."""

    hours: Annotated[
        dict[str, JobHours] | None,
        says(
            "By weekday, `mon` to `sun`, those that are open; null: at any time.",
            {"mon": {"from": "09:00", "to": "19:00"}},
        ),
    ]
    time_zone: Annotated[str, says("Whose clock it is for recipients of whom none is known.", "Europe/Paris")]
    spread: Annotated[str | None, says("Over how long messages are spread; null: over no time.", "4h")]
    best_hour: Annotated[bool, says("Whether each recipient gets it at the hour at which they usually react.", False)]

    @classmethod
    def read(cls, stored: bytes) -> "JobTiming | None":
        """Of `jobs.TIMING`; None where a job says nothing of it."""
        found = timing.unpacked(stored)
        if found is None:
            return None
        return cls(_hours(found.hours) or None, found.time_zone, _period(found.spread_ms), found.best_hour)


def _hours(hours: Hours) -> dict[str, JobHours]:
    open_days = ((day, span) for day, span in zip(_DAYS, hours, strict=False) if span[0] < span[1])
    return {day: JobHours(_clock(begin), _clock(end)) for day, (begin, end) in open_days}


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _period(ms: int) -> str | None:
    """As a job says it, in the largest unit that fits."""
    return next((f"{ms // unit}{name}" for name, unit in _UNITS.items() if ms and ms % unit == 0), None)


#: The fields of a job that are shown; the tenant is what decides to whom.
FIELDS = (
    jobs.TENANT, jobs.STATE, jobs.STREAM, jobs.SENDER, jobs.SUBJECT, jobs.LIST, jobs.CATEGORY, jobs.TAGS, jobs.TEST,
    jobs.SANDBOX, jobs.SEEDS_OF, jobs.DSN_OF, jobs.REQUEST, jobs.SEND_AT, jobs.EXPIRES_AT, jobs.CHANGED_AT, jobs.TOTAL,
    jobs.RATE, jobs.AT_MOST_ONCE, jobs.UNSELECTED, jobs.UNSELECTED_DETAIL, jobs.SEGMENT, jobs.AWAITED, jobs.TEMPLATE,
    jobs.ONCE, jobs.TIMING,
)  # fmt: skip


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What queueing keeps of a job that its report shows. Times in ms, 0 for none."""

    id: str
    tenant: str
    state: str
    stream: str
    sender: str
    subject: str
    list: str
    category: str
    tags: tuple[str, ...]
    test: bool
    sandbox: bool = False
    seeds: str = ""
    seeds_of: str = ""
    dsn_of: str = ""
    created_at: int
    send_at: int
    expires_at: int
    total: int
    changed_at: int = 0
    rate: str = ""
    at_most_once: bool = False
    request: str = ""
    unselected: str = ""
    unselected_detail: str = ""
    segment: bytes = b""
    awaited: str = ""
    template: str = ""
    once: str = ""
    timing: bytes = b""

    @classmethod
    def read(cls, job: str, found: jobs.Job) -> "Job":
        """From the `FIELDS`."""
        return cls(
            id=job,
            tenant=found[jobs.TENANT],
            state=found[jobs.STATE],
            stream=found[jobs.STREAM],
            sender=found[jobs.SENDER],
            subject=found[jobs.SUBJECT],
            list=found[jobs.LIST],
            category=found[jobs.CATEGORY],
            tags=found[jobs.TAGS],
            test=found[jobs.TEST],
            sandbox=found[jobs.SANDBOX],
            seeds_of=found[jobs.SEEDS_OF],
            dsn_of=found[jobs.DSN_OF],
            created_at=ids.job_created_ms(job),
            send_at=found[jobs.SEND_AT],
            expires_at=found[jobs.EXPIRES_AT],
            changed_at=found[jobs.CHANGED_AT],
            total=found[jobs.TOTAL],
            rate=found[jobs.RATE],
            at_most_once=found[jobs.AT_MOST_ONCE],
            request=found[jobs.REQUEST],
            unselected=found[jobs.UNSELECTED],
            unselected_detail=found[jobs.UNSELECTED_DETAIL],
            segment=found[jobs.SEGMENT],
            awaited=found[jobs.AWAITED],
            template=found[jobs.TEMPLATE],
            once=found[jobs.ONCE],
            timing=found[jobs.TIMING],
        )
