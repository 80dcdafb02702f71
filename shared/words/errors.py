"""What people read when something is wrong: callers by problem documents (RFC 9457) that list every fault at once,
operators in a sentence."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from shared.words.described import says
from shared.words.problems import PROBLEMS, urn

#: Each quota of a tenant (`shared.words.quotas`) and what it counts. The order is that of the settings.
QUOTAS = {
    "requests_per_second": "requests a second with a key, of one HTTP process, a second's worth of them at once",
    "requests_under_way": "requests with a key that are being answered at the same time, of one HTTP process",
    "open_jobs": "jobs that were opened and not yet started",
    "stored_bytes": "bytes of recipients that wait to be queued, of the content of open jobs, of what content "
    "was sent in the last 24 hours, files of single recipients with it, and of stored templates",
    "domains": "sending domains; one removed, or given new keys, counts for 24 hours more",
    "idempotency_keys": "Idempotency-Keys of the last 24 hours",
    "intake_chunks": "parts of jobs (500 recipients each) that wait to be queued, in each lane",
    "rules": "rules of who must not be mailed",
    "lists": "lists of recipients that somebody is on, or has left",
}
_QUOTAS = "Which quota. " + " ".join(f"`{name}`: {meaning}." for name, meaning in QUOTAS.items())

#: What reading JSON may raise: wrong bytes, wrong text, or brackets nested beyond what the reader follows.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class OperatorFault(Exception):
    """What nobody but the operator can mend: settings, files, the server that was named. Its message says what, in
    words that are enough; no traceback is shown with it."""


class StorageAway(Exception):
    """What keeps our data does not answer, or takes nothing more for now. What was asked may or may not have
    happened. Worth asking again: a request that meets it is answered 503."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: `at` is a path into the body (`$.recipients[3].email`), a line of it, the name of a
    header or of a query parameter (`?limit`); `what` says it in words."""

    at: Annotated[
        str, says("Where: a path into the body, a line of it, a parameter, a header.", "$.recipients[3].email")
    ]
    what: Annotated[str, says("What is wrong there, in words.", "expected `str`, got `int`")]


class QuotaExceeded(msgspec.Struct, frozen=True):
    """A quota of the tenant that a request went beyond, what it allows, and what was in use without the request."""

    name: Annotated[str, says(_QUOTAS, "open_jobs", schema={"enum": list(QUOTAS)})]
    limit: Annotated[int, says("How much it allows.", 100)]
    used: Annotated[int, says("How much was in use without the request.", 100)]


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an error answer, media type application/problem+json. `quota`: of `quota_exceeded` (429) alone."""

    type: Annotated[str, says("The kind of problem, for programs: the last part is its word.", urn("invalid_query"))]
    title: Annotated[str, says("The kind of problem, for people.", "Invalid query")]
    status: Annotated[int, says("The status of the answer.", 422)]
    detail: Annotated[str, says("What happened in this case, for people.", "the query does not fit")] = ""
    faults: Annotated[list[Fault], says("Everything that is wrong, each with its place.")] = []
    quota: Annotated[QuotaExceeded | None, says("Of `quota_exceeded` alone: which quota is used up.")] = None


class Problem(Exception):
    """An answer that is an error. `word` names its kind (`problems.PROBLEMS`), which has its status; `detail` tells
    people of this case."""

    def __init__(
        self,
        word: str,
        detail: str = "",
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        quota: QuotaExceeded | None = None,
    ) -> None:
        status, self.title, _ = PROBLEMS[word]
        super().__init__(f"{status} {word}: {detail}")
        self.status = status
        self.word = word
        self.detail = detail
        self.faults = list(faults)
        self.headers = dict(headers or {})
        self.quota = quota

    def document(self) -> ProblemDocument:
        return ProblemDocument(
            type=urn(self.word),
            title=self.title,
            status=self.status,
            detail=self.detail,
            faults=self.faults,
            quota=self.quota,
        )
