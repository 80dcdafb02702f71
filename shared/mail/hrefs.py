"""What a browser would run, or take for a page of ours, where a link says where to go, and what else is looked at:
queueing refuses it where it stands in the content, and the relay puts `#` in its place where it comes from a recipient.

As browsers read a URL (WHATWG URL, section 4.4), and more carefully: blanks, controls and invisible characters do not
count, wherever they are.
"""

import re

#: In lower case, with the colon.
DANGEROUS = ("javascript:", "vbscript:", "data:")
_INVISIBLE = re.compile("[\x00-\x20\x7f-\xa0\xad\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufdd0-\ufdef\ufeff]")


#: What stands before the URL in the content of a refresh (HTML, 4.2.5.3).
REFRESH = re.compile(r"\s*[\d.]*\s*[;,]?\s*(?:url\s*=\s*)?[\"']?", re.IGNORECASE)
_PICTURE = re.compile(r"data:image/[a-z0-9.+-]+[;,]")
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
#: What some program ran that was in a style; pictures and fonts are usual.
_STYLE = re.compile(
    r"javascript:|vbscript:|expression\(|behaviou?r:|-moz-binding|data:(?!image/|font/|application/(?:x-)?font)"
)
_UNFINISHED = re.compile(r"&#?\w*\Z")


def runs(value: str) -> bool:
    """Whether the value of an href, its character references replaced, is of such a scheme."""
    return ":" in value and _plain(value).startswith(DANGEROUS)


def may_run(beginning: str) -> bool:
    """Whether a value that begins so can turn out to be one."""
    # A character reference may go on.
    plain = _plain(_UNFINISHED.sub("", beginning))
    return any(scheme.startswith(plain) for scheme in DANGEROUS) or plain.startswith(DANGEROUS)


def picture_runs(value: str) -> bool:
    """Whether one of the URLs of a picture, or of a `srcset`, is of such a scheme. `data:` is usual where it is one."""
    if ":" not in value:
        return False
    whole = _plain(value)
    parts = [_plain(one) for one in re.split(r",\s*|,?\s+", value)]
    return any(scheme in whole for scheme in DANGEROUS[:2]) or any(
        one.startswith(DANGEROUS) and not _PICTURE.match(one) for one in (whole, *parts)
    )


def refreshes(value: str) -> bool:
    """Whether the content of a refresh leads to such a scheme."""
    before = REFRESH.match(value)
    return runs(value) or runs(value[before.end() :] if before is not None else value)


def style_runs(value: str) -> bool:
    """Whether a style leads to such a scheme, or has what once ran in styles; as CSS reads it (Syntax, section 4.3.7),
    and as programs did that took comments out."""
    if ":" not in value and "(" not in value and "\\" not in value:
        return False
    without = _COMMENT.sub("", value)
    return any(_STYLE.search(_plain(_ESCAPE.sub(_escaped, one)).replace("\ufffd", "")) for one in {value, without})


def _escaped(found: re.Match[str]) -> str:
    if found[1] is None:
        return found[2]
    point = int(found[1], 16)
    return chr(point) if 0 < point < 0x110000 and not 0xD800 <= point < 0xE000 else "\ufffd"


def _plain(value: str) -> str:
    return _INVISIBLE.sub("", value).lower()
