"""What people are told when something is wrong: callers by problem documents (RFC 9457) that list every fault at once,
operators in a sentence."""

from collections.abc import Mapping, Sequence

import msgspec

from shared.words.problems import PROBLEMS, urn

#: What reading JSON may raise: wrong bytes, wrong text, or brackets nested beyond what the reader follows.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class OperatorFault(Exception):
    """What nobody but the operator can mend: settings, files, the server that was named. Its message tells him what, in
    words that are enough; no traceback is shown with it."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: `at` is a path into the body (`$.recipients[3].email`), a line of it, the name of a
    header or of a query parameter (`?limit`); `what` says it in words."""

    at: str
    what: str


class QuotaExceeded(msgspec.Struct, frozen=True):
    """A quota of the tenant that a request went beyond, what it allows, and what was in use without the request."""

    name: str
    limit: int
    used: int


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an error answer, media type application/problem+json. `quota`: of `quota_exceeded` (429) alone."""

    type: str
    title: str
    status: int
    detail: str = ""
    faults: list[Fault] = []
    quota: QuotaExceeded | None = None


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
