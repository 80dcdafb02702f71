"""Non-RFC bounces, in prose: of programs that know nothing of RFC 3464, and reports that lost their parts on the way.

PROGRAMS is a table: a telltale that only this program's bounces have, and where in its text the address and the reason
stand. The last row takes what no program's row does, and is used only under a subject that speaks of failure. Each row
has an example in `tests/data/bounces`. All of it is for mail that a mail system wrote (`author.py`): people quote
bounces, too.
"""

import re

import msgspec

from services.bounces.author import is_program
from services.bounces.mail import Mail


class Program(msgspec.Struct, frozen=True):
    """`telltale` and `failure` are searched in the text with LF line ends; `failure` has the group `reason`, and
    `address` where there is one."""

    name: str
    telltale: str
    failure: str
    example: str


class Told(msgspec.Struct, frozen=True):
    """What the prose says: `delayed` is not a failure. `reason` is the reply or the sentence about the address."""

    program: str
    delayed: bool
    reason: str = ""
    address: str = ""


_ADDRESS = r"<?\"?(?P<address>[^\s<>\"@]+@[^\s<>\":]+)\"?>?"
#: Never fails once it has begun, so that a text of a thousand addresses is not tried a thousand times to its end.
_TO_BLANK_LINE = r"(?P<reason>\S(?:(?!\n[ \t]{0,20}\n|\n---).){0,1500})"

PROGRAMS: tuple[Program, ...] = (
    Program(
        "qmail",
        r"This is the qmail-send program at",
        rf"^{_ADDRESS}:\n{_TO_BLANK_LINE}",
        "qmail-user-unknown.eml",
    ),
    Program(
        "exim",
        r"created automatically by mail delivery software[\s\S]{0,400}address(\(es\)|es)? failed:",
        rf"address(?:\(es\)|es)? failed:\s+{_ADDRESS}:?\s*\n\s*{_TO_BLANK_LINE}",
        "exim-user-unknown.eml",
    ),
    Program(
        "exchange",
        r"Diagnostic information for administrators:",
        rf"Diagnostic information for administrators:[\s\S]{{0,300}}?\n{_ADDRESS}\s*\n{_TO_BLANK_LINE}",
        "exchange-2010-prose.eml",
    ),
    Program(
        "exchange 2003",
        r"did not reach the following recipient\(s\):",
        rf"following recipient\(s\):\s+{_ADDRESS} on [^\n]+\n\s*{_TO_BLANK_LINE}",
        "exchange-2003-prose.eml",
    ),
    Program(
        "sendmail",
        r"addresses had permanent fatal errors",
        rf"permanent fatal errors -----\s*\n{_ADDRESS}\s*\n\s*\(reason: (?P<reason>\S(?:(?!\)\n).){{0,1500}})",
        "sendmail-prose.eml",
    ),
    Program(
        "postfix",
        r"This is the (mail system|Postfix program) at host",
        rf"^{_ADDRESS}(?: \(expanded from <[^>\n]+>\))?:\s{_TO_BLANK_LINE}",
        "postfix-prose.eml",
    ),
    Program(
        "gmail",
        r"Delivery to the following recipients? failed permanently:",
        rf"failed permanently:\s+{_ADDRESS}.{{0,500}}?Technical details of permanent failure:\s*\n"
        rf"(?:.{{0,600}}?other server returned was:\s*\n)?{_TO_BLANK_LINE}",
        "gmail-prose.eml",
    ),
    Program(
        "yahoo",
        r"Unable to deliver message to the following address",
        rf"following address[^\n]*\n\s*{_ADDRESS}:?\s*\n{_TO_BLANK_LINE}",
        "yahoo-prose.eml",
    ),
    Program(
        "domino",
        r"was not delivered to:\s[\s\S]{0,300}?because:",
        rf"was not delivered to:\s+{_ADDRESS}[\s\S]{{0,200}}?because:\s+{_TO_BLANK_LINE}",
        "domino-prose.eml",
    ),
    Program(
        "any",
        r"",
        r"(?P<reason>\b[45][0-9]{2}[- ][^\n]{3,400}|#[45]\.[0-7]\.[0-9]{1,3}\b[^\n]{0,400})",
        "unknown-program.eml",
    ),
)

#: "Not yet" is not a bounce, whoever says it.
DELAYS = re.compile(
    r"THIS IS A WARNING ONLY|has not yet been delivered|not been able to deliver.{0,60}yet|[Dd]elivery .{0,60}delayed"
    r"|will (continue|keep) (to try|trying)|will be retried|[Nn]o action is required on your part"
    r"|n'a pas encore été|noch nicht zugestellt"
)
#: Subjects of bounces in the languages of those who write them; beginnings are enough.
FAILURE_SUBJECTS = re.compile(
    r"undeliver(ed|able)|delivery (status notification|failure|has failed)|mail delivery (failed|failure|subsystem)"
    r"|returned (mail|to sender)|failure (notice|notification)|message (could not be|not) delivered|mail system error"
    r"|non[- ]?remis|échec (de (la )?)?(remise|distribution)|non distribuable|unzustellbar|nicht zugestellt"
    r"|no se (puede|pudo) entregar|mensaje devuelto|mancata consegna|messaggio non recapitato|onbestelbaar",
    re.IGNORECASE,
)
#: From here on the text is a copy of our own mail, which may say anything.
_COPY = re.compile(
    r"^[> \t]{0,20}-{2}[^\n]{0,100}\b(?:copy|original|below this line|included)\b|^Original message headers:",
    re.IGNORECASE | re.MULTILINE,
)

_PROGRAMS = tuple(
    (
        program,
        re.compile(program.telltale),
        re.compile(program.failure, re.MULTILINE | (0 if program.name == "any" else re.DOTALL)),
    )
    for program in PROGRAMS
)


def read(mail: Mail, null_reverse_path: bool) -> Told | None:
    """What a bounce in prose says, or None if this is not one. `null_reverse_path`: the envelope sender is empty."""
    if not is_program(mail, null_reverse_path):
        return None
    text = _own_text(mail)
    is_delayed = DELAYS.search(text) is not None
    for program, telltale, failure in _PROGRAMS[:-1]:
        if telltale.search(text):
            return Told(program.name, delayed=True) if is_delayed else _told(program.name, failure, text)
    if is_delayed:
        return Told("any", delayed=True)
    return _told("any", _PROGRAMS[-1][2], text) if FAILURE_SUBJECTS.search(mail.fields.get("subject")) else None


def is_quoted(mail: Mail) -> bool:
    """Whether there are words of a bounce in it, whoever wrote the rest."""
    text = _own_text(mail)
    return any(telltale.search(text) for _, telltale, _ in _PROGRAMS[:-1])


def reply_in(text: str) -> str:
    """The first SMTP reply that the text quotes, or ""."""
    found = _PROGRAMS[-1][2].search(text)
    return found["reason"].strip() if found else ""


def _told(name: str, failure: re.Pattern[str], text: str) -> Told:
    found = failure.search(text)
    if found is None:
        return Told(name, delayed=False)
    groups = found.groupdict()
    return Told(name, False, " ".join(groups["reason"].split()), groups.get("address") or "")


def _own_text(mail: Mail) -> str:
    return _COPY.split(mail.text.replace("\r\n", "\n"), maxsplit=1)[0]
