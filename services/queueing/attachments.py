"""Files of a job, and of one recipient: what may be attached, and which are pictures that the HTML shows.

A file with a `content_id` is shown where the HTML has its `cid:` URL (RFC 2392); one that no URL names is an attachment
as all others are. Where a recipient's variable is in such a URL nobody knows which it names, so all count as named.
Files of one recipient are attached, and never shown.
"""

import re
from base64 import b64decode
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Annotated
from urllib.parse import unquote

import msgspec

from services.queueing import characters
from shared.mail import attached, filenames, showing
from shared.words.described import says
from shared.words.errors import Fault

#: Files of one recipient, and their bytes: a row is read in one go while others wait, which takes 10 ms for so much.
MAX_OWN = 10
MAX_OWN_BYTES = 2_000_000
#: As base64 in JSON, with line ends as escapes, and what stands around it.
MAX_OWN_JSON_BYTES = MAX_OWN_BYTES * 4 // 3 + MAX_OWN_BYTES // 12 + MAX_OWN * 1_000
#: Faults of one kind that are listed of an HTML.
MAX_LISTED = 20
_WORD = r"[A-Za-z0-9!#$&^_.+-]+"
_MEDIA_TYPE = re.compile(rf'(?P<type>{_WORD})/{_WORD}(?:; *{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]*"))*')
_BASE64_BLANKS = str.maketrans("", "", " \t\r\n")
#: What stands between the angle brackets of a msg-id (RFC 5322 section 3.6.4), or the half of one before its `@`, as
#: most write it; without what would have to be escaped in a URL.
_CONTENT_ID = re.compile(r"[A-Za-z0-9$*+._=-]+(?:@[A-Za-z0-9.-]+)?")
MAX_CONTENT_ID_CHARS = 100
_SHOWN = re.compile(
    r"(?:\b(?:src|srcset|background|poster|lowsrc)\s*=\s*[\"']?|url\(\s*(?:[\"']|&quot;|&#39;)?)\s*"
    r"cid:(?P<id>\{\{|[^\s\"'()<>,&]+)",
    re.IGNORECASE,
)
_SRCSET = re.compile(r"\bsrcset\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_LATER = re.compile(r",\s*cid:(?P<id>\{\{|[^\s,]+)", re.IGNORECASE)
_STYLE = re.compile(r"<style\b[^>]*>(.*?)</style", re.IGNORECASE | re.DOTALL)


class OwnAttachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of one recipient, such as an invoice: `content` is base64."""

    filename: Annotated[str, says("The name under which it is saved.", "conditions.pdf")]
    content: Annotated[str, says("Its bytes as base64.", "JVBERi0xLjcK")]
    content_type: Annotated[str, says("Its media type.", "application/pdf")] = "application/octet-stream"


class Attachment(OwnAttachment, frozen=True, forbid_unknown_fields=True):
    """A file in a job: `content` is base64. With a `content_id` it is a picture that the HTML shows as
    `cid:<content_id>`."""

    content_id: Annotated[
        str | None,
        says('By which the HTML shows it: `<img src="cid:logo">` is the file with the `content_id` `logo`.', "logo"),
    ] = None


class Reference(msgspec.Struct, frozen=True, array_like=True):
    """A `cid:` URL of the HTML, and its line, from 1. `content_id` is "" where a placeholder is in it."""

    content_id: str
    line: int


def read(given: Sequence[Attachment], *, most: int, most_bytes: int, faults: list[Fault]) -> list[attached.File]:
    """The files of a job. `most` of them, of `most_bytes` in all."""
    files = _read(given, "$.attachments", most, most_bytes, faults)
    taken: set[str] = set()
    for index, one in enumerate(given if len(given) <= most else ()):
        if (fault := _id_fault(one, f"$.attachments[{index}]", taken)) is not None:
            faults.append(fault)
        taken.add(one.content_id or "")
    return files


def read_own(given: Sequence[OwnAttachment], at: str, faults: list[Fault]) -> list[attached.File]:
    """Those of the recipient that stands there: no two of one name, as nobody could tell them apart."""
    files = _read(given, f"{at}.attachments", MAX_OWN, MAX_OWN_BYTES, faults)
    names: set[str] = set()
    for index, one in enumerate(given if len(given) <= MAX_OWN else ()):
        if one.filename in names:
            faults.append(Fault(f"{at}.attachments[{index}].filename", "another attachment of this recipient has it"))
        names.add(one.filename)
    return files


def _read(
    given: Sequence[OwnAttachment], at: str, most: int, most_bytes: int, faults: list[Fault]
) -> list[attached.File]:
    if len(given) > most:
        faults.append(Fault(at, f"{len(given)} attachments; at most {most}"))
        return []
    files: list[attached.File] = []
    size = 0
    for index, one in enumerate(given):
        faults += _name_faults(one, f"{at}[{index}]")
        content_id = one.content_id if isinstance(one, Attachment) else None
        try:
            content = b64decode(one.content.translate(_BASE64_BLANKS), validate=True)
            files.append(attached.File(one.filename, one.content_type, content, content_id or ""))
            size += len(content)
        except ValueError as error:
            faults.append(Fault(f"{at}[{index}].content", f"not base64: {error}"))
    if size > most_bytes:
        faults.append(Fault(at, f"{size} bytes in all; at most {most_bytes}"))
    return files


def references(html: str) -> list[Reference]:
    """The `cid:` URLs of an HTML source, each once, in which placeholders stand as they were written."""
    if "cid:" not in html.lower():
        return []
    ends = [found.start() for found in re.finditer("\n", html)]
    known: dict[str, Reference] = {}
    for at, url in sorted(_urls(html)):
        name = "" if "{" in url else unquote(unescape(url))
        known.setdefault(name, Reference(name, bisect_left(ends, at) + 1))
    return list(known.values())


def shown(files: Sequence[attached.File], named: Sequence[Reference]) -> list[attached.File]:
    """Those that the HTML shows, in their order."""
    names = {one.content_id for one in named}
    return [file for file in files if file.content_id and ("" in names or file.content_id in names)]


def missing(files: Sequence[Attachment], named: Sequence[Reference], at: str) -> list[Fault]:
    """What the HTML shows that is not there."""
    known = {file.content_id for file in files} | {""}
    return [
        Fault(at, f"line {one.line}: `cid:{one.content_id[:80]}`: no attachment has this content_id")
        for one in named
        if one.content_id not in known
    ][:MAX_LISTED]


def _name_faults(one: OwnAttachment, at: str) -> Iterator[Fault]:
    if (what := characters.word_fault(one.filename) or filenames.fault(one.filename)) is not None:
        yield Fault(f"{at}.filename", what)
    media_type = _MEDIA_TYPE.fullmatch(one.content_type) if len(one.content_type) <= 200 else None
    if media_type is None or media_type["type"].lower() in ("multipart", "message"):
        yield Fault(f"{at}.content_type", "not a media type that can be attached, such as application/pdf")


def _id_fault(one: Attachment, at: str, taken: set[str]) -> Fault | None:
    if one.content_id is None:
        return None
    if len(one.content_id) > MAX_CONTENT_ID_CHARS or not _CONTENT_ID.fullmatch(one.content_id):
        what = (
            f"not a Content-ID: up to {MAX_CONTENT_ID_CHARS} letters, digits and `$*+._=-`, such as logo or logo@a.fr"
        )
        return Fault(f"{at}.content_id", what)
    return Fault(f"{at}.content_id", "another attachment has it") if one.content_id in taken else None


def _urls(html: str) -> Iterator[tuple[int, str]]:
    """Where each stands, and what is behind `cid:`; in tags, those of Outlook's comments too, and in styles."""
    pieces = [(piece.start, html[piece.start : piece.end]) for piece in showing.pieces(html) if piece.kind == "tag"]
    pieces += [(found.start(1), found[1]) for found in _STYLE.finditer(html)]
    for at, text in pieces:
        if "cid:" not in text.lower():
            continue
        yield from ((at + found.start(), found["id"]) for found in _SHOWN.finditer(text))
        for several in _SRCSET.finditer(text):
            yield from ((at + several.start(), one["id"]) for one in _LATER.finditer(several[0][:-1]))
