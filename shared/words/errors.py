"""What people are told when something is wrong: callers by problem documents (RFC 9457) that list every fault at once,
operators in a sentence."""

from collections.abc import Mapping, Sequence

import msgspec

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


TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Content too large",
    415: "Unsupported media type",
    421: "Misdirected request",
    422: "Unprocessable content",
    429: "Too many requests",
    500: "Internal error",
    501: "Not implemented",
    503: "Unavailable",
    505: "HTTP version not supported",
}


class Problem(Exception):
    """An answer that is an error. `word` names the kind for programs, `detail` tells people."""

    def __init__(
        self,
        status: int,
        word: str,
        detail: str = "",
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        quota: QuotaExceeded | None = None,
    ) -> None:
        super().__init__(f"{status} {word}: {detail}")
        self.status = status
        self.word = word
        self.detail = detail
        self.faults = list(faults)
        self.headers = dict(headers or {})
        self.quota = quota

    def document(self) -> ProblemDocument:
        return ProblemDocument(
            type=f"urn:estafette:problem:{self.word}",
            title=TITLES.get(self.status, "Error"),
            status=self.status,
            detail=self.detail,
            faults=self.faults,
            quota=self.quota,
        )
