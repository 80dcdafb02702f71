"""A reply taken apart before its words are read: codes, stage, a reply quoted in it, and the text as rules read it.

A diagnostic is a reply wrapped in what others say about it: `host mx.example [192.0.2.9] said: 550-5.1.1 No such user
550 5.1.1 here (in reply to RCPT TO command)`. Names, addresses, codes of continued lines and the words about the stage
are not what the host said, and a rule that saw them would be led astray: hosts are called `antispam`, and `MAIL FROM`
in `after MAIL FROM:<…>` is no word about a sender.

Everything is looked for in the first MAX_TEXT_CHARS characters, by patterns that go over them once.
"""

import re
import unicodedata
from itertools import islice
from typing import Literal

import msgspec

#: Where in the conversation something was said; empty where nobody knows.
Stage = Literal["", "connect", "greeting", "ehlo", "tls", "auth", "mail", "rcpt", "data", "dot"]

#: Characters of a text that are looked at: a reply says it in its first lines, and its length is the sender's choice.
MAX_TEXT_CHARS = 1_500

#: Before RCPT a host does not know for whom the message is: it speaks of whom it talks to.
BEFORE_RECIPIENT: frozenset[Stage] = frozenset(("connect", "greeting", "ehlo", "tls", "auth", "mail"))
#: The host has heard the message, or is about to.
OF_MESSAGE: frozenset[Stage] = frozenset(("data", "dot"))


class Said(msgspec.Struct, frozen=True):
    """What a text has in it. `quoted` is the innermost reply inside of another one, from its code on; `is_general`:
    the one around it is a phrase by which a program names a whole class of codes."""

    code: int | None
    enhanced: str | None
    stage: Stage
    quoted: str
    is_general: bool


#: How programs say where it happened; the first that is found. qmail and Exim by their sources, Yahoo by its reports.
STAGES: tuple[tuple[Stage, str], ...] = (
    ("dot", r"\bin reply to end of data\b|\bafter (?:pipelined )?end of data\b|failed after i sent the message|\[body\]"
            r"|while sending (?:end of data|message body)|\bafter sending data block\b|\bat end of data\b"),
    ("data", r"\bin reply to data\b|\bafter (?:pipelined )?data\b|failed on data command|\bin response to data\b"
             r"|\[data\]"),
    ("rcpt", r"\bin reply to rcpt\b|\bafter (?:pipelined )?rcpt\b|does not like recipient|\[rcpt_to\]"
             r"|\bin response to (?:the )?rcpt\b|while sending rcpt"),
    ("mail", r"\bin reply to mail\b|\bafter (?:pipelined )?mail from\b|but sender was rejected|\[mail_?from\]"
             r"|\bin response to (?:the )?mail\b|while sending mail from|does not like (?:the )?sender"),
    ("auth", r"\bin reply to auth\b|\bafter auth\b"),
    ("ehlo", r"\bin reply to (?:ehlo|helo)\b|\bafter (?:pipelined )?(?:ehlo|helo)\b|but my name was rejected"
             r"|while performing the (?:ehlo|helo) handshake|\bin response to (?:the )?(?:ehlo|helo)\b"),
    ("greeting", r"\bafter initial connection\b|but greeting failed|refused to talk to me|\[greeting\]"
                 r"|initial server greeting|\[connect(?:ed|ion)?\]"),
)  # fmt: skip
#: sendmail's transcript: the last command before the answer.
_COMMANDS: tuple[tuple[str, Stage], ...] = (
    (">>> ehlo", "ehlo"),
    (">>> helo", "ehlo"),
    (">>> mail", "mail"),
    (">>> rcpt", "rcpt"),
    (">>> data", "data"),
    (">>> .", "dot"),
)
#: Without one of these a text names no stage, and to find that out is quick.
_STAGE_CUES = re.compile(
    r" reply to |after |\[(?:body|data|rcpt_to|mail|greeting|connect)|but |refused to talk|while |response to |not like"
    r"|end of data|>>> "
)
_STAGES = tuple((stage, re.compile(words)) for stage, words in STAGES)
#: What is taken out with the words about the stage: the command and its argument, up to its end.
_STAGE_WORDS = re.compile(
    r"\(?\bin (?:reply|response) to (?:the )?(?:end of )?[a-z]{4}(?: from| to)?(?: command)?\)?"
    r"|\bafter (?:pipelined )?(?:rcpt to|mail from):? ?<[^>]{0,320}>(?: (?:size|body|ret|envid)=\S{1,100})*:?"
    r"|\bafter (?:pipelined )?(?:mail from|rcpt to|end of data|data|(?:ehlo|helo) \S{1,255}|initial connection)\b:?"
    r"|\[(?:mail_?from|rcpt_to)\]|>>> ?(?:mail from|rcpt to):? ?<[^>]{0,320}>"
)

#: Phrases that stand for a class of codes and know nothing of the reply that they quote: Cisco's, Exchange Online's.
_GENERAL = re.compile(
    r"unknown address error|bad destination email address|other mail system problem|unknown recipient or mailbox unav"
    r"|remote server returned (?:an error|message)|other (?:address|mailbox) status"
)

#: What may be a reply code: three digits that are no part of a number, an address or a name.
_NUMBER = re.compile(r"(?<![\w.#])([45][0-9]{2})(?=[- :;,.)\]'\"\r\n]|$)(?!\.\d)")
#: What announces one: it begins the text, or a word says that a reply follows, or …
_ANNOUNCED = re.compile(
    r"(?:\b(?:said|returned|response|reason|error|code|reply|was|with|status) ?[ :=]{1,3}|<<< ?|-> ?)['\"(]?$",
    re.IGNORECASE,
)
#: … it stands behind punctuation, and is a refusal rather than a number: `limit: 500 messages` is none.
_POINTED = re.compile(r"[:;,>('\"\[-] ?['\"(<]?$")
_REFUSALS = frozenset(str(code) for code in (571, *range(420, 430), *range(450, 460), *range(520, 560)))
#: The enhanced code of a reply, behind its code.
_BEHIND = re.compile(r"[- :]{1,3}['\"(]?#?([245]\.[0-7]\.[0-9]{1,3})(?!\d|\.\d)")
#: More than these are not looked at: a text of nothing but numbers is no reply.
_MAX_NUMBERS = 40
#: Not part of an IP address or a version number; RFC 3463 has the subjects 0 to 7.
_STATUS = re.compile(r"(?<![\d.])([245]\.[0-7]\.[0-9]{1,3})(?!\d|\.\d)")


def take_apart(text: str) -> Said:
    """Codes, stage and quoted reply of a text, whatever it is."""
    text = text[:MAX_TEXT_CHARS].strip()
    status = _STATUS.search(text)
    #: With an enhanced code of its own in front, a reply code that follows is somebody else's.
    is_summary = status is not None and status.start() < 3
    code, enhanced, quoted = None, None, ""
    for found in islice(_NUMBER.finditer(text), _MAX_NUMBERS):
        behind = _BEHIND.match(text, found.end())
        if not _is_reply(text, found, behind is not None):
            continue
        number, of_number = int(found[1]), behind[1] if behind else None
        if code is None:
            code, enhanced = number, of_number
            quoted = text[found.start() :] if is_summary else ""
        elif (number != code or of_number not in (None, enhanced)) and text[found.end() : found.end() + 1] in (
            "-",
            " ",
        ):
            quoted = text[found.start() :]
    if is_summary or enhanced is None:
        enhanced = status[1] if status else None
    lower = text.lower()
    return Said(code, enhanced, _stage(lower), quoted, bool(quoted) and _GENERAL.search(lower) is not None)


def _is_reply(text: str, found: re.Match[str], has_enhanced: bool) -> bool:
    """Whether three digits are a reply code."""
    before = text[max(0, found.start() - 12) : found.start()]
    if found.start() <= 4 and not any(map(str.isalnum, before)):
        return True
    if _ANNOUNCED.search(before):
        return True
    return (has_enhanced or found[1] in _REFUSALS) and _POINTED.search(before) is not None


def _stage(lower: str) -> Stage:
    if _STAGE_CUES.search(lower) is None:
        return ""
    for stage, words in _STAGES:
        if words.search(lower):
            return stage
    found, stage = max((lower.rfind(command), stage) for command, stage in _COMMANDS)
    return stage if found >= 0 else ""


#: From where a word begins, so that each is looked through once.
_ADDRESS = re.compile(r"(?<![^\s<>@])[^\s<>@]{1,255}@[^\s<>:;,]{1,255}>?")
_WRAPPED = re.compile(r"[(\[\"'] ?<> ?[)\]\"']")
_HOST = re.compile(r"\bhost (?:[\w-]+\.[\w.-]+ ?(?:\[[^\]\s]*\])?|\[[^\]\s]*\])(?: said:| refused to talk to me:|:)?")
#: A line break with the codes that begin the next line.
_CONTINUED = re.compile(r"[\r\n]+(?:\s*[245]\d\d[- ])?(?:[245]\.[0-7]\.\d{1,3}\s)?")
#: The same of lines that were joined: `tried to 550-5.1.1 reach`.
_JOINED = re.compile(r"(?<=\s)([245]\d\d)-(?:[245]\.\d{1,3}\.\d{1,3}(?=\s))?\s?")
#: Letters that have no accent to be taken away and are written without in mail all the same.
_LETTERS = str.maketrans({"ß": "ss", "’": "'", "‘": "'", "ł": "l", "ø": "o", "ı": "i", "đ": "d", "æ": "ae", "œ": "oe",
                          "“": '"', "”": '"', "–": "-", "\xad": None, "_": "_"})  # fmt: skip


def folded(text: str) -> str:
    """Lower case without accents: so rules read texts."""
    return unaccented(text.lower())


def unaccented(text: str) -> str:
    """Without accents, in all scripts (a Japanese `が` becomes `か`): rules are written in whatever way is natural."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(char for char in text if not unicodedata.combining(char))


def plain(text: str) -> str:
    """The text as the rules read it: one line, folded, straight quotes, `<>` for each mail address, without the name of
    the host that said it and the words about the stage. Names are other people's choice and may look like words."""
    text = folded(_CONTINUED.sub(" ", text[:MAX_TEXT_CHARS].strip()))
    # Most texts have none of these, and `in` is quicker than to look for one in vain.
    if "-" in text:
        text = _JOINED.sub("", text)
    if _STAGE_CUES.search(text):
        text = _STAGE_WORDS.sub(" ", text)
    if "@" in text:
        text = text.replace("...", " ... ")  # `<ana@example.com>...User unknown`, `not allowed...ana@example.com`
        text = _WRAPPED.sub("<>", _ADDRESS.sub("<>", text).replace("<<>", "<>"))
    if "host " in text:
        text = _HOST.sub("host", text)
    return " ".join(text.split())
