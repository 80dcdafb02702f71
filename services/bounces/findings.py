"""What a report says of each recipient: its fields and its prose put together, each recipient by its own block. Pure.

Fields come before words, and what they leave open the text of the report answers: some providers write 5.0.0 and the
truth into their prose. Two things make a hard failure a soft one, for nobody is dropped by mistake:

- The address that failed is not the one that was mailed: somebody forwards, and what is wrong is where to. That may be
  mended; two in a row are counted as one that is hard.
- The words are those of a command that an address leads to: what a script prints says nothing about the address.
"""

import re

import msgspec

from services.bounces import copies, dsn, prose
from services.bounces.mail import Mail
from shared.words.replies import UNDEFINED, Classification, Kind, classify, reply_codes

#: Characters of a diagnostic that go on with the event: a reply has 512 a line, and some have many lines.
MAX_REPLY_CHARS = 1_000
#: Ends of domains under which hosts name their own users: there an address is written anew, not forwarded.
INSIDE = (".onmicrosoft.com", ".local", ".lan", ".internal", ".localdomain", ".intern", ".corp", ".localhost")

#: From here on a diagnostic quotes what a command wrote.
_OUTPUT = re.compile(
    r"Command output:|Command died with|[Cc]hild process of|generated the following output|output (?:was|follows):"
)
#: What a mail system itself says of an address, by the code that a command ended with (sysexits.h) or by its own book.
_OWN_STATUS = frozenset(("5.1.1", "5.1.6", "5.2.1"))
#: Diagnostics of these types are no host's reply.
_COMMANDS = frozenset(("x-unix", "x-prog", "unix", "x-pipe", "x-command"))


class Finding(msgspec.Struct, frozen=True):
    """`action` is one of `dsn.ACTIONS`; `recipient` the address that was mailed, as far as the report says, "" if it
    names none, and not the one that it was forwarded to. `reply` is what a host or the program said."""

    recipient: str
    action: str
    status: str
    reply: str
    host: str
    kind: Kind
    reason: str


def of_report(report: dsn.Report, mail: Mail) -> tuple[Finding, ...]:
    """Of each block of a delivery report."""
    told = _Told(mail)
    return tuple(_of_block(one, report, told) for one in report.recipients)


def of_prose(told: prose.Told) -> tuple[Finding, ...]:
    """Of each address that the prose names; at least one."""
    failures = told.failures or (prose.Failure("", "", UNDEFINED),)
    action = "delayed" if told.delayed else "failed"
    return tuple(_of_failure(one, action) for one in failures)


def _of_failure(failure: prose.Failure, action: str) -> Finding:
    says = failure.says
    elsewhere = failure.alias != "" and is_elsewhere(failure.alias, failure.address)
    if says.kind == "hard" and (elsewhere or action == "delayed"):
        says = Classification("soft", says.reason)
    return Finding(
        failure.alias or failure.address,
        action,
        _telling("", failure.reason),
        failure.reason[:MAX_REPLY_CHARS],
        "",
        says.kind,
        says.reason,
    )


def _telling(status: str, reply: str) -> str:
    """The status, or where it is 5.0.0 or none, that of the reply."""
    return (reply_codes(reply)[1] or status) if not status or status.endswith(".0.0") else status


class _Told:
    """The prose of a report, read when something is asked of it."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail
        self._failures: tuple[prose.Failure, ...] | None = None

    def of(self, recipient: dsn.Recipient, alone: bool) -> prose.Failure | None:
        """What is said of this recipient. `alone`: the report is about no other."""
        if self._failures is None:
            self._failures = prose.failures(self._mail)
        names = {recipient.final_recipient.lower(), recipient.original_recipient.lower()}
        own = [one for one in self._failures if one.address.lower() in names]
        if own:
            return own[0]
        return self._failures[0] if alone and len(self._failures) == 1 else None


def _of_block(recipient: dsn.Recipient, report: dsn.Report, told: _Told) -> Finding:
    reply = recipient.diagnostic
    says = _classified(recipient)
    if says == UNDEFINED or (not reply and recipient.action != "delivered"):
        said = told.of(recipient, alone=len(report.recipients) == 1)
        if said is not None:
            again = classify(None, recipient.status, said.reason) if prose.reply_in(said.reason) else said.says
            says, reply = (again, reply or said.reason) if again != UNDEFINED else (says, reply or said.reason)
    ours = recipient.original_recipient or recipient.final_recipient
    temporary = recipient.action != "failed" or (recipient.status or "").startswith("4")
    if says.kind == "hard" and (temporary or is_elsewhere(ours, recipient.final_recipient)):
        says = Classification("soft", says.reason)
    return Finding(
        ours,
        recipient.action,
        _telling(recipient.status or "", reply),
        (reply or recipient.status or "")[:MAX_REPLY_CHARS],
        (recipient.remote_mta or report.reporting_mta)[:255],
        says.kind,
        says.reason,
    )


def _classified(recipient: dsn.Recipient) -> Classification:
    """By the diagnostic and the status; by what stands before a command's output, where one is quoted."""
    head, *output = _OUTPUT.split(recipient.diagnostic, maxsplit=1)
    if not output and recipient.diagnostic_type not in _COMMANDS:
        return classify(None, recipient.status, recipient.diagnostic)
    said = classify(None, recipient.status, head if output else recipient.diagnostic)
    if said.kind == "hard" and recipient.status not in _OWN_STATUS:
        return Classification("soft", "undefined")
    return said


def is_elsewhere(ours: str, final: str) -> bool:
    """Whether a message to `ours` went on to somebody else's domain."""
    domain, other = (address.lower().rpartition("@")[2].rstrip(".") for address in (ours, final))
    if "@" not in ours or "@" not in final or domain == other or other.endswith(INSIDE):
        return False
    return not (domain.endswith(f".{other}") or other.endswith(f".{domain}"))


def read(mail: Mail, null_reverse_path: bool, is_programs: bool) -> tuple[Finding, ...]:
    """Everything that a report says, from its fields or in prose; empty if this is no report of a mail system's.
    `is_programs`: what `verdict.is_programs` says of a report with fields."""
    if is_programs and (report := dsn.read(mail) or dsn.read_loose(mail, copies.own_text(mail))) is not None:
        return of_report(report, mail)
    told = prose.read(mail, null_reverse_path)
    if told is not None and told.failures:
        return of_prose(told)
    if mail.nested is not None and is_programs and (report := dsn.read(mail.nested)) is not None:
        return of_report(report, mail.nested)
    return of_prose(told) if told is not None else ()
