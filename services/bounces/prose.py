"""Non-RFC bounces, in prose: of programs that know nothing of RFC 3464, and reports that lost their parts on the way.

Three things are looked for in the text before the copy of our mail, from the surest to the vaguest:

    address lines   `<ana@example.fr>:` and what follows it to the next blank line; nearly every program writes them,
                    each in its own way, and that is what LINE knows
    replies         `550 5.1.1 User unknown`, wherever it stands
    sentences       `The recipient's mailbox is full.` (`sentences.py`)

PROGRAMS is a table of telltales, by which a bounce is one whatever its subject is; where a program puts the reason in a
place of its own, its row says where, and where that fails the general way is tried. All of it is for mail that a mail
system wrote (`author.py`): people quote bounces, too.
"""

import re
from collections.abc import Iterator

import msgspec

from services.bounces import copies, sentences, subjects
from services.bounces.author import is_from_daemon, is_held_by_people, is_program
from services.bounces.mail import Mail, addresses
from shared.words.replies import UNDEFINED, Classification, classify


class Program(msgspec.Struct, frozen=True):
    """`telltale` and `failure` are searched in the text with LF line ends; `failure` has the group `reason`, and
    `address` where there is one. No `failure`: the general way."""

    name: str
    telltale: str
    failure: str
    example: str


class Failure(msgspec.Struct, frozen=True):
    """What the prose says of one address, "" if it names none: `reason` is the reply or the sentence, `says` what that
    means. `alias`: the address before it was forwarded, "" if it was not."""

    address: str
    reason: str
    says: Classification
    alias: str = ""


class Told(msgspec.Struct, frozen=True):
    """What the prose says: `delayed` is not a failure. `addresses` are those that are waited for, then."""

    program: str
    delayed: bool
    failures: tuple[Failure, ...] = ()


_ADDRESS = r"<?\"?(?P<address>[^\s<>\"@]+@[^\s<>\":]+)\"?>?"
#: Never fails once it has begun, so that a text of a thousand addresses is not tried a thousand times to its end.
_TO_BLANK_LINE = r"(?P<reason>\S(?:(?!\n[ \t]{0,20}\n|\n---).){0,1500})"

PROGRAMS: tuple[Program, ...] = (
    Program("qmail", r"This is the qmail-send program at|Hi\. This is the ", "", "qmail-user-unknown.eml"),
    Program(
        "exim",
        r"created automatically by (the )?(mail delivery software|mail system)",
        "",
        "exim-user-unknown.eml",
    ),
    Program(
        "exchange",
        r"Diagnostic information for administrators:|Informations? de diagnostic pour les administrateurs"
        r"|Diagnoseinformationen für Administratoren|Información de diagnóstico para los administradores"
        r"|Informazioni di diagnostica per gli amministratori|Diagnostische gegevens voor beheerders"
        r"|Informações de diagnóstico para administradores|Diagnostische informatie voor beheerders",
        "",
        "exchange-2010-prose.eml",
    ),
    Program("exchange 2003", r"did not reach the following recipient\(s\):", "", "exchange-2003-prose.eml"),
    Program(
        "sendmail",
        r"addresses had (permanent fatal errors|delivery problems|transient non-fatal errors)"
        r"|----- Transcript of session follows",
        "",
        "sendmail-prose.eml",
    ),
    Program("postfix", r"This is the (mail system|Postfix program) at host", "", "postfix-prose.eml"),
    Program(
        "gmail",
        r"Delivery to the following recipients? (?:failed permanently|has been delayed):",
        rf"failed permanently:\s+{_ADDRESS}.{{0,500}}?Technical details of permanent failure:\s*\n"
        rf"(?:.{{0,600}}?other server returned was:\s*\n)?{_TO_BLANK_LINE}",
        "gmail-prose.eml",
    ),
    Program("yahoo", r"[Uu]nable to deliver (your )?message to the following address", "", "yahoo-prose.eml"),
    Program(
        "domino",
        r"was not delivered to:\s[\s\S]{0,300}?because:|------- Failure Reasons ",
        rf"was not delivered to:\s+{_ADDRESS}[\s\S]{{0,200}}?because:\s+{_TO_BLANK_LINE}",
        "domino-prose.eml",
    ),
    Program("any", r"", "", "unknown-program.eml"),
)

#: What may stand before an address that a line is about.
_LABELS = (
    r"(?:could not be delivered|unable to deliver message|failed to deliver|not delivered) to|recipient address"
    r"|recipient|rcpt to|address|failed address|user|e-?mail address|failed recipient|empfänger|destinataire"
    r"|destinatario|收件人|宛先"
)
#: What an address is made of; East Asian punctuation ends one, too.
_ATOM = r"[^\s<>\"'@,;:()\[\]\uff08\uff09\uff1a\uff1b\uff0c\u3002\u3001\u300c\u300d]"
LINE = re.compile(
    rf"[ \t]{{0,20}}(?:(?:{_LABELS})[ \t]{{0,3}}[:：][ \t]{{0,12}}|[*•\-]{{1,3}}[ \t]|>>>[ \t])?"
    r"\[?(?:smtp:|mailto:|rfc822;[ \t]?)?[<\"'(]{0,3}"
    rf"(?P<address>{_ATOM}{{1,64}}@{_ATOM}{{1,253}}?)[>\"')\]]{{0,3}}(?:<mailto:[^>\n]{{0,300}}>)?"
    r"(?P<rest>[ \t]{0,20}[:：（，].*|[ \t]+.*|[,;.]?|\.{3}.*)",
    re.IGNORECASE,
)
#: Where a reply may begin: a code and what is no number of things, or an enhanced code alone.
_REPLY = re.compile(
    r"(?<![\w.@/#:\-])(?P<code>[45]\d\d)(?:[ \t]?[-:][ \t]?|[ \t]{1,3})(?=#?[45]\.[0-7]\.\d|[<\"'(\[*]?[^\W\d_])"
    r"|(?<![\w.])#?[45]\.[0-7]\.\d{1,3}\b(?!\.\d)"
)
_REPLY_ENDS = re.compile(r"\n[ \t]{0,20}\n|\n---|\n[ \t]{0,8}(?:<<<|>>>)|(?<=\S)\n(?=[ \t]{0,8}[45]\d\d[ \-])")
#: A code and a word; shorter is no more than the code.
MIN_REPLY_CHARS = 14
#: A line that was broken because it was full.
FULL_LINE_CHARS = 50
#: Lines, address lines, replies that are looked at, and characters of a reason.
MAX_LINES, MAX_FAILURES, MAX_REPLIES, MAX_REASON_CHARS = 600, 50, 20, 1_500
#: Ends what is said of an address, whatever comes after it: what a command wrote is its own affair.
_OUTPUT = re.compile(
    r"The following text was generated during the delivery|Command output:|Command died with|[Cc]hild process of"
    r"|generated the following output|^------ (?:pipe|\|)",
    re.MULTILINE,
)
_EXPANDED = re.compile(r"\((?:ultimately )?(?:generated|expanded) from:? ?<?([^\s<>()]{1,320})>?\)")
#: What stands around a reason and is none: sendmail's bracket, Exchange's date.
_FRAME = re.compile(
    r"\(reason: (?P<inside>.{0,1500}?)\)(?=$| \(| \d{3} ).*|on [A-Z0-9][^\n]{0,20}\d{4} [\d:]{4,8}(?: [-+]\d{4}"
    r"| [AP]M)?",
    re.I,
)
_NOBODY = re.compile(r"(?:postmaster|mailer-daemon|abuse|helpdesk|support|hostmaster|noreply|no-reply)@", re.IGNORECASE)
#: A line across the page, which may have words in it.
_RULER = re.compile(r"[-_=*#~]{8,}")
#: What stands before the sender's address: `A message sent by`.
_SENDERS = re.compile(r"\b(?:sent|written|submitted) (?:by|from):?[ \t]*$|^[ \t]*from:?[ \t]*$", re.IGNORECASE)
_COPIED_TO = re.compile(r"^to: ([^\n]{3,300})$", re.IGNORECASE | re.MULTILINE)

_PROGRAMS = tuple(
    (program, re.compile(program.telltale), re.compile(program.failure, re.MULTILINE | re.DOTALL))
    for program in PROGRAMS[:-1]
)


def read(mail: Mail, null_reverse_path: bool) -> Told | None:
    """What a bounce in prose says, or None if this is not one. `null_reverse_path`: the envelope sender is empty."""
    if not is_program(mail, null_reverse_path):
        return None
    text = copies.own_text(mail)
    subject = mail.fields.get("subject")
    program, failure = _program(text)
    is_sure = program != "any" or mail.fields.get("x-failed-recipients") != ""
    if subjects.SUCCEEDED.match(subject):
        return None
    is_waiting = subjects.is_delay(subject) or subjects.DELAYS.search(text) is not None
    is_delayed = is_waiting and subjects.FINAL.search(text) is None
    is_titled = subjects.FAILED.search(subject) is not None or (is_delayed and subjects.is_delay(subject))
    is_mail_systems = is_from_daemon(mail) or subjects.FAILED.match(subject) is not None
    is_known = is_sure or (is_titled and is_mail_systems) or _says_why(mail, text, is_titled, null_reverse_path)
    if not is_known:
        return None
    found = _failures(mail, text, failure)
    if program == "any" and not (null_reverse_path or is_from_daemon(mail)) and not any(one.address for one in found):
        return None  # parcels and payments are not delivered either
    return Told(program, is_delayed, found)


def _says_why(mail: Mail, text: str, is_titled: bool, null_reverse_path: bool) -> bool:
    """Whether a mail without a telltale says what happened: that it was not delivered, or a reply that means something,
    is enough from a daemon, under any subject; a sentence or an address line from others, under one that speaks of
    failure."""
    if is_titled or mail.report_type == "delivery-status":  # its fields are lost, or say nothing
        return any(one.says != UNDEFINED for one in _failures(mail, text, None))
    if not is_from_daemon(mail):
        return False
    if subjects.OPENING.search(text, 0, subjects.OPENING_CHARS) is not None:
        return True
    if not null_reverse_path and is_held_by_people(mail):
        return False  # who runs a mail host writes of replies, too
    found = next(replies(text), None)
    return found is not None and classify(None, None, found) != UNDEFINED


def is_quoted(mail: Mail) -> bool:
    """Whether there are words of a bounce in it, whoever wrote the rest."""
    return _program(copies.own_text(mail))[0] != "any"


def failures(mail: Mail) -> tuple[Failure, ...]:
    """What the text of a report says of each address, for a report whose fields say too little."""
    text = copies.own_text(mail)
    return _failures(mail, text, _program(text)[1])


def reply_in(text: str) -> str:
    """The first SMTP reply that the text quotes, or ""."""
    return next(replies(text), "")


def replies(text: str) -> Iterator[str]:
    """The replies that a text quotes, each in one line."""
    end = 0
    for _ in range(MAX_REPLIES):
        found = _REPLY.search(text, end)
        if found is None:
            return
        stop = _REPLY_ENDS.search(text, found.end(), found.start() + MAX_REASON_CHARS)
        end = stop.start() if stop else found.start() + MAX_REASON_CHARS
        said = _unbroken(text[found.start() : end])
        end = found.start() + max(len(said), found.end() - found.start())
        if found["code"] is None:  # a bare enhanced code ends what it belongs to as often as it begins it
            said = text[text.rfind("\n", 0, found.start()) + 1 : found.start()] + said
        yield " ".join(said.split())


def _unbroken(paragraph: str) -> str:
    """Up to the end of its first line that was not broken for its length, or that is no part of one reply."""
    taken = 0
    for line in paragraph.splitlines(keepends=True):
        taken += len(line)
        if len(line.strip()) < FULL_LINE_CHARS and not re.match(r"\s*\d{3}-|\s*\d{3}\s*$", line):
            break
    return paragraph[:taken].rstrip()


def _program(text: str) -> tuple[str, "re.Pattern[str] | None"]:
    for program, telltale, failure in _PROGRAMS:
        if telltale.search(text):
            return program.name, failure if program.failure else None
    return "any", None


def _failures(mail: Mail, text: str, failure: "re.Pattern[str] | None") -> tuple[Failure, ...]:
    """For each address that did not get the mail what is said of it."""
    found = failure.search(text) if failure is not None else None
    if found is not None:
        reason = " ".join(found["reason"].split())
        if (says := classify(None, None, reason)) != UNDEFINED:
            return (Failure(found["address"], reason, says),)
    text = _OUTPUT.split(text, maxsplit=1)[0]
    told = [_judged(*one) for one in _address_lines(mail, text)]
    named = addresses(mail.fields.get("x-failed-recipients"))
    if len(told) == 1 and told[0].says != UNDEFINED and _is_reply(told[0].reason):
        return (told[0],)
    if len(told) <= 1:
        address = told[0].address if told else (named[0] if len(named) == 1 else "")
        general = _general(mail, text, address, told[0].alias if told else "")
        if (
            told
            and told[0].says != UNDEFINED
            and (general is None or _is_reply(told[0].reason) or not _is_reply(general.reason))
        ):
            return (told[0],)
        if general is not None:
            return (general, *(Failure(one, general.reason, general.says) for one in named[1:] if not address))
        waiting = named or [one for one in [_named(mail, "", text)] if one]
        return tuple(told) or tuple(Failure(one, "", UNDEFINED) for one in waiting)
    if all(one.says == UNDEFINED for one in told) and (general := _general(mail, text, "", "")) is not None:
        return tuple(Failure(one.address, general.reason, general.says, one.alias) for one in told)
    return tuple(told)


def _is_reply(reason: str) -> bool:
    return _REPLY.search(reason) is not None


def _judged(address: str, reason: str, alias: str) -> Failure:
    quoted = next((one for one in replies(reason) if classify(None, None, one) != UNDEFINED), "")
    says = classify(None, None, reason) if reason else UNDEFINED
    if quoted and (says == UNDEFINED or says.kind != "hard"):
        says = classify(None, None, quoted)
    if not _is_reply(reason) and (sentence := sentences.find(reason)) is not None:
        says = sentence.says
    elif not _is_reply(reason) and says.kind == "hard" and sentences.is_hedged(reason):
        says = UNDEFINED
    return Failure(address, reason[:MAX_REASON_CHARS], says, alias)


def _general(mail: Mail, text: str, address: str, alias: str) -> Failure | None:
    """By the first reply in the text that says something, else by its sentences, else by the subject's."""
    said = [(reply, classify(None, None, reply)) for reply in replies(text)]
    # A bare code says less than what stands beside it somewhere else.
    for reply, says in sorted(said, key=lambda one: len(one[0]) < MIN_REPLY_CHARS):
        if says != UNDEFINED:
            return Failure(address or _named(mail, reply, text), reply, says, alias)
    sentence = sentences.find(text) or sentences.find(subjects.told_in(mail.fields.get("subject")))
    if sentence is not None:
        return Failure(address or _named(mail, sentence.text, text), sentence.text, sentence.says, alias)
    return Failure(address or _named(mail, "", text), said[0][0], UNDEFINED, alias) if said else None


def _named(mail: Mail, reason: str, text: str) -> str:
    """The address that a reason names, or the only one in the text, or the one that our mail was to; "" if none is."""
    ours = {*addresses(mail.fields.get("to")), *addresses(mail.fields.get("from"))}
    for where in (reason, text):
        found = {one.rstrip(".") for one in addresses(where) if one not in ours and not _NOBODY.match(one)}
        if len(found) == 1:
            return found.pop()
    copied = _COPIED_TO.findall(mail.texts)
    named = addresses(copied[0]) if len(copied) == 1 else []
    return named[0] if len(named) == 1 else ""


def _address_lines(mail: Mail, text: str) -> list[tuple[str, str, str]]:
    """(address, reason, alias) of each line that is about an address, but the sender's own."""
    ours = frozenset(addresses(mail.fields.get("to")))
    found: list[tuple[str, list[str]]] = []
    is_open = is_apart = False
    before = ""
    for line in text.split("\n")[:MAX_LINES]:
        about = LINE.fullmatch(line.rstrip()) if "@" in line else None
        if about is not None and is_open and about["address"].lower() == found[-1][0].lower():
            found[-1][1].append(line.strip())  # a long reply that names it again, in a line of its own
        elif about is not None and _is_recipient(about["address"].lower(), ours, before):
            if len(found) == MAX_FAILURES:
                break
            found.append((about["address"].rstrip("."), [about["rest"].lstrip(" \t:,;.")]))
            is_open = True
        elif not line.strip():
            is_open = is_open and not any(found[-1][1])
        elif is_open and (is_apart or any(found[-1][1])) and _RULER.match(line.strip()):
            is_open = False  # what follows is a gateway's or a firm's own footer
        elif is_open:
            found[-1][1].append(line.strip())
        is_apart = not line.strip()
        before = before if is_apart else line
    return _with_reasons(found)


def _is_recipient(address: str, ours: frozenset[str], before: str) -> bool:
    """Whether a line that begins with an address is about a recipient. `before`: the line before it."""
    return address not in ours and not _NOBODY.match(address) and not _SENDERS.search(before)


def _with_reasons(found: list[tuple[str, list[str]]]) -> list[tuple[str, str, str]]:
    """Each with its reason. Addresses one under the other have the one that comes after the last; who is named twice
    says the more the second time."""
    told: dict[str, tuple[str, str, str]] = {}
    after = ""
    for address, lines in reversed(found):
        said = " ".join(" ".join(lines).split())
        alias = _EXPANDED.search(said)
        said = _unframed(_EXPANDED.sub("", said).strip())
        after = said or after
        key = address.lower()
        if key not in told or len(told[key][1]) < len(after):
            told[key] = (address, after[:MAX_REASON_CHARS], alias[1] if alias else "")
    return list(reversed(told.values()))


def _unframed(said: str) -> str:
    frame = _FRAME.match(said)
    return said if frame is None else frame["inside"] or said[frame.end() :].strip()
