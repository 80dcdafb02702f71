"""Why nothing of a job is sent for now, as its report tells it. Pure."""

from typing import Annotated

import msgspec

from shared.words.described import says


class StoppedBy(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing of the job is sent for now. `name` is the stop's: of the job, or of the tenant's bulk. `reason` is
    `invalid_rate` or `complaint_rate` (`bad` of `of` messages), `render_failed` (`bad` of the first `of` mails could
    not be made), `paused`, or `suspended` by an operator; `consented`: it may be resumed."""

    name: Annotated[str, says("The name of the stop, by which it is resumed.", "job:068vjfm5s9m2rc1jqqrg")]
    reason: Annotated[
        str, says("Why it was stopped.", "complaint_rate", "invalid_rate", "render_failed", "paused", "suspended")
    ]
    by: Annotated[str, says("Who stopped it: `engine`, `tenant` or `operator`.", "engine")]
    since: Annotated[str, says("When it was stopped.", "2026-01-31T09:05:00.123Z")]
    bad: Annotated[int, says("How many messages went wrong.", 20)]
    of: Annotated[int, says("Of how many that were looked at.", 20_000)]
    consented: Annotated[bool, says("Whether an operator consents that it is resumed.", False)]
