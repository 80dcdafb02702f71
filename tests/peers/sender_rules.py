"""What Gmail, Yahoo and Microsoft ask of those who send much, each rule as a check of one mail that left. Pure.

    Gmail       support.google.com/a/answer/81126, with its questions and answers at /a/answer/14229414
    Yahoo       senders.yahooinc.com/best-practices
    Microsoft   "Outlook's New Requirements for High-Volume Senders" of April 2025, on techcommunity.microsoft.com
    RFC 8058    one click to unsubscribe, which the first two ask for by its number

A rule looks at a mail as a host stored it, and says what is wrong. Beside each stands what breaks it: a rule that finds
nothing wrong in that is none.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from functools import cached_property
from html.parser import HTMLParser
from typing import NamedTuple

from tests.peers import opendkim

FROM_DOMAIN, HELO, LINKS = "exemple.test", "relay.house.test", "https://links.house.test"
#: Everything, and what is marketing.
EVERY, BULK = frozenset(("bulk", "transactional", "one_to_one")), frozenset(("bulk",))
#: Fields that stand once at most (RFC 5322, 3.6), and those that have to stand.
SINGULAR = (
    *("Date", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject"),
    *("MIME-Version", "Content-Type", "Content-Transfer-Encoding", "List-Unsubscribe", "List-Unsubscribe-Post"),
    "Feedback-ID",
)
NEEDED = ("Date", "From", "To", "Message-ID", "Subject", "MIME-Version", "Content-Type")
#: Of a line, without its end (RFC 5322, 2.1.1).
LINE_BYTES = 998
#: Signed, and signed once more than it stands there: none can be added on the way.
GUARDED = ("from", "to", "subject", "date", "message-id", "reply-to", "list-unsubscribe", "list-unsubscribe-post")


@dataclass(frozen=True)
class Left:
    """A mail as the host stored it, lines with LF, and what was asked for: `hrefs` are the links of its source."""

    name: str
    stream: str
    raw: bytes
    hrefs: tuple[str, ...] = ()

    @cached_property
    def own(self) -> bytes:
        """Without what the host and its filter put on top."""
        return self.raw[self.raw.index(b"DKIM-Signature:") :]

    @cached_property
    def message(self) -> EmailMessage:
        parsed = message_from_bytes(self.own, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def fields(self, name: str) -> list[str]:
        """The values of its own fields of that name, unfolded."""
        return [" ".join(str(value).split()) for value in self.message.get_all(name, [])]

    def field(self, name: str) -> str:
        return next(iter(self.fields(name)), "")

    def part(self, kind: str) -> str:
        """Its text or HTML; "" if there is none."""
        found = self.message.get_body((kind,))
        return str(found.get_content()) if found is not None else ""

    def spoilt(self, old: bytes, new: bytes) -> "Left":
        """With something else in it. AssertionError if that was not there."""
        assert old in self.raw, (self.name, old)
        return replace(self, raw=self.raw.replace(old, new, 1))


class Rule(NamedTuple):
    """`name` as docs/sender-rules.md has it; `of` who asks for it; `fault` says what is wrong with a mail of one of the
    `streams`; "" if nothing is; `spoil` breaks it."""

    name: str
    of: str
    streams: frozenset[str]
    fault: Callable[[Left], str]
    spoil: Callable[[Left], Left]


def from_domain(left: Left) -> str:
    return left.field("From").rpartition("@")[2].rstrip(">").lower()


def is_aligned(one: str, other: str) -> bool:
    """Relaxed, of names that are no public suffixes (RFC 9989)."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def tags(signature: str) -> dict[str, str]:
    return {
        name.strip(): "".join(value.split())
        for name, _, value in (tag.partition("=") for tag in signature.split(";") if tag.strip())
    }


def _signatures(left: Left) -> str:
    said = opendkim.verdicts(left.raw)
    domains = [found[1] for one in said if one.startswith("pass") and (found := re.search(r"header\.d=(\S+)", one))]
    if not said or len(domains) != len(said):
        return f"not every signature holds: {said}"
    wrong = [domain for domain in domains if not is_aligned(domain, from_domain(left))]
    return f"signed by {wrong}, and From {from_domain(left)}" if wrong else ""


def _key(left: Left) -> str:
    sizes = [int(found[1]) for one in opendkim.verdicts(left.raw) if (found := re.search(r"\((\d+)-bit key", one))]
    return "" if any(size >= 2048 for size in sizes) else f"no key of 2048 bits: {sizes}"


def _return_path(left: Left) -> str:
    found = re.search(rb"^Return-Path: <[^@>]+@([^>]+)>", left.raw, re.MULTILINE)
    domain = found[1].decode() if found else ""
    return "" if domain and is_aligned(domain, from_domain(left)) else f"returns to {domain!r}"


def _helo(left: Left) -> str:
    received = left.raw[: left.raw.index(b"DKIM-Signature:")]
    return "" if f"Received: from {HELO} (".encode() in received else "another name in EHLO"


def _encrypted(left: Left) -> str:
    """RFC 3848: the host notes how it came."""
    received = left.raw[: left.raw.index(b"DKIM-Signature:")]
    return "" if re.search(rb"\bwith ESMTPS\b", received) else "came in clear"


def _form(left: Left) -> str:
    counts = {name: len(left.fields(name)) for name in SINGULAR}
    if many := [name for name, count in counts.items() if count > 1]:
        return f"more than once: {many}"
    if none := [name for name in NEEDED if not counts[name]]:
        return f"missing: {none}"
    if defects := [defect for part in left.message.walk() for defect in part.defects]:
        return f"not well-formed: {defects}"
    addresses = left.message["From"].addresses
    if len(addresses) != 1 or not addresses[0].username:
        return f"not one author: {left.field('From')}"
    return "" if parsedate_to_datetime(left.field("Date")).tzinfo else "a date without its zone"


def _message_id(left: Left) -> str:
    found = re.fullmatch(r"<[^\s<>@]+@([^\s<>@]+)>", left.field("Message-ID"))
    return "" if found and found[1] == from_domain(left) else f"Message-ID: {left.field('Message-ID')}"


def _lines(left: Left) -> str:
    longest = max(map(len, left.own.split(b"\n")))
    if longest > LINE_BYTES:
        return f"a line of {longest} bytes"
    return "" if left.own.isascii() else "bytes beyond ASCII, which not every host takes"


def _list_unsubscribe(left: Left) -> str:
    uris = re.findall(r"<([^<>\s]+)>", left.field("List-Unsubscribe"))
    web = [uri for uri in uris if not uri.startswith("mailto:")]
    if len(web) != 1 or not web[0].startswith(f"{LINKS}/u/"):
        return f"not one https URI: {uris}"
    post = left.field("List-Unsubscribe-Post")
    return "" if post == "List-Unsubscribe=One-Click" else f"List-Unsubscribe-Post: {post!r}"


def _no_list_unsubscribe(left: Left) -> str:
    if left.stream == "bulk":
        return ""
    return "a way to leave what is no list" if left.field("List-Unsubscribe") or _visible(left) else ""


def _covered(left: Left) -> str:
    for signature in left.fields("DKIM-Signature"):
        names = tags(signature)["h"].lower().split(":")
        for name in GUARDED:
            if names.count(name) != len(left.fields(name)) + 1:
                return f"{name} is signed {names.count(name)} times"
        if "l" in tags(signature):
            return "something may be appended to the body"
    return ""


class _Elements(HTMLParser):
    """Of an HTML: links with their words, and what nobody sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[list[str]] = []
        self.hidden: list[str] = []
        self._is_open = False
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        style = "".join(given.get("style", "").lower().split())
        hides = re.search(r"display:none|visibility:hidden|opacity:0(?![.\d])|font-size:0|max-height:0", style)
        if hides or "hidden" in given or (tag == "img" and given.get("width") == given.get("height") == "1"):
            self.hidden.append(given.get("src", tag))
        elif tag == "a":
            self.links.append([given.get("href", ""), ""])
            self._is_open = True

    def handle_endtag(self, tag: str) -> None:
        self._is_open = self._is_open and tag != "a"

    def handle_data(self, data: str) -> None:
        if self._is_open:
            self.links[-1][1] += data


def _visible(left: Left) -> bool:
    """Whether each of its parts has a link to leave that can be seen."""
    html, text = left.part("html"), left.part("plain")
    shown = any(href.startswith(f"{LINKS}/u/") and words.strip() for href, words in _Elements(html).links)
    return (shown or not html) and (f"{LINKS}/u/" in text or not text)


def _visible_link(left: Left) -> str:
    return "" if _visible(left) else "no link to leave that a reader sees"


def _hidden(left: Left) -> str:
    found = _Elements(left.part("html")).hidden
    ours = [src for src in found if src.startswith(f"{LINKS}/o/")]
    return "" if len(ours) == len(found) <= 1 else f"nobody sees {found}"


def _links(left: Left) -> str:
    other = [
        href
        for href, _ in _Elements(left.part("html")).links
        if not href.startswith(f"{LINKS}/") and href not in left.hrefs
    ]
    return f"leads over another host: {other}" if other else ""


def _feedback_id(left: Left) -> str:
    value = left.field("Feedback-ID")
    if left.stream == "one_to_one":
        return "a campaign of one person" if value else ""
    return "" if re.fullmatch(r"[^:\s]*(?::[^:\s]*){2}:[A-Za-z0-9._-]{5,15}", value) else f"Feedback-ID: {value!r}"


def _automatic(left: Left) -> str:
    found = left.fields("Auto-Submitted")
    expected = ["auto-generated"] if left.stream == "transactional" else []
    if left.fields("Precedence") or found != expected:
        return f"Precedence: {left.fields('Precedence')}, Auto-Submitted: {found}"
    signed = tags(left.fields("DKIM-Signature")[0])["h"].lower().split(":")
    return "" if not found or "auto-submitted" in signed else "Auto-Submitted is not signed"


def _list_id(left: Left) -> str:
    """Of a mail with a list; one that names it itself is its own."""
    values = left.fields("List-ID")
    ours = [value for value in values if value.strip().endswith(f".{FROM_DOMAIN}>")]
    signed = tags(left.fields("DKIM-Signature")[0])["h"].lower().split(":")
    if left.name == "both" and not ours:
        return f"List-ID: {values}"
    return (
        "" if len(values) <= 1 and signed.count("list-id") == len(values) + 1 else f"List-ID: {values}, signed {signed}"
    )


def _without(name: str) -> Callable[[Left], Left]:
    """Breaks a rule by taking a field away."""

    def spoil(left: Left) -> Left:
        return left.spoilt(f"\n{name}:".encode(), f"\nX-{name}:".encode())

    return spoil


def _instead(old: bytes, new: bytes) -> Callable[[Left], Left]:
    return lambda left: left.spoilt(old, new)


def _showing(html: str) -> Callable[[Left], Left]:
    """Breaks a rule by another body."""

    def spoil(left: Left) -> Left:
        head = re.sub(rb"\nContent-[^\n]*(?:\n[ \t][^\n]*)*", b"", left.raw[: left.raw.index(b"\n\n")])
        return replace(left, raw=head + b"\nContent-Type: text/html\n\n" + html.encode())

    return spoil


def _fewer_names(left: Left) -> Left:
    """As if a signature did not name a field once more than it stands there."""
    return left.spoilt(b":list-unsubscribe:", b":x:")


_BY_ALL = "Gmail, Yahoo, Microsoft"
RULES = (
    Rule(
        "DKIM holds, and is aligned with From", _BY_ALL, EVERY, _signatures,
        _instead(f"@{FROM_DOMAIN}>\nTo:".encode(), b"@gmail.com>\nTo:"),
    ),
    Rule("A DKIM key of 2048 bits", "Gmail, Yahoo", EVERY, _key, _instead(b"2048-bit", b"1024-bit")),
    Rule(
        "The return path is aligned with From", _BY_ALL, EVERY, _return_path,
        _instead(f"@bounces.{FROM_DOMAIN}>".encode(), b"@bounces.house.test>"),
    ),
    Rule("A host name in EHLO that is ours", "Gmail, Yahoo", EVERY, _helo, _instead(HELO.encode(), b"localhost")),
    Rule("TLS", "Gmail", EVERY, _encrypted, _instead(b"with ESMTPS", b"with ESMTP")),
    Rule("Well-formed, each field once", "Gmail, Yahoo", EVERY, _form, _instead(b"\nTo:", b"\nSubject: x\nTo:")),
    Rule("A Message-ID of the sending domain", "Gmail", EVERY, _message_id, _without("Message-ID")),
    Rule(
        "Lines of at most 998 bytes, in ASCII", "Gmail", EVERY, _lines,
        _instead(b"\nTo:", b"\nX: " + b"x" * 999 + b"\nTo:"),
    ),
    Rule(
        "One click to leave in each marketing mail", "Gmail, Yahoo, RFC 8058", BULK, _list_unsubscribe,
        _instead(b"List-Unsubscribe: <https:", b"List-Unsubscribe: <http:"),
    ),
    Rule("Signed: what says how to leave", "RFC 8058", EVERY, _covered, _fewer_names),
    Rule("A link to leave that is seen", _BY_ALL, BULK, _visible_link, _showing("<p>Bonjour</p>")),
    Rule(
        "No way to leave what is no list", "Gmail", EVERY, _no_list_unsubscribe,
        _instead(b"\nTo:", f"\nList-Unsubscribe: <{LINKS}/u/x>\nTo:".encode()),
    ),
    Rule("Nothing hidden but the pixel", "Gmail", EVERY, _hidden, _showing('<p style="display: none">x</p>')),
    Rule("Links at a host of the sender's", "Gmail", EVERY, _links, _showing('<a href="https://short.test/x">x</a>')),
    Rule("A Feedback-ID of four parts", "Gmail", EVERY, _feedback_id, _instead(b":estafette\n", b"\n")),
    Rule("A List-ID of the sending domain", "RFC 2919", BULK, _list_id, _without("List-ID")),
    Rule("Said to be automatic where it is", "RFC 3834", EVERY, _automatic, _without("Auto-Submitted")),
)  # fmt: skip
