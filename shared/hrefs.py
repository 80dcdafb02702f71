"""What a browser would run, or take for a page of ours, where a link says where to go: queueing refuses it where it
stands in the content, and the relay puts `#` in its place where it comes from a recipient.

As browsers read a URL (WHATWG URL, section 4.4), and more carefully: blanks, controls and invisible characters do not
count, wherever they are.
"""

import re

#: In lower case, with the colon.
DANGEROUS = ("javascript:", "vbscript:", "data:")
_INVISIBLE = re.compile("[\x00-\x20\x7f-\xa0\xad\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufdd0-\ufdef\ufeff]")


def runs(value: str) -> bool:
    """Whether the value of an href, its character references replaced, is of such a scheme."""
    return ":" in value and _plain(value).startswith(DANGEROUS)


def may_run(beginning: str) -> bool:
    """Whether a value that begins so can turn out to be one."""
    plain = _plain(beginning)
    return any(scheme.startswith(plain) for scheme in DANGEROUS) or plain.startswith(DANGEROUS)


def _plain(value: str) -> str:
    return _INVISIBLE.sub("", value).lower()
