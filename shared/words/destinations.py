"""Where a click may lead, and what URL an href is: agreed by who rewrites links, who signs and who follows them."""

import re
from urllib.parse import quote, urlsplit

from shared.mail import addresses

#: With the longest tenant's name, a token of 5,860 characters; of a document 6,544 at most. Browsers and servers start
#: to refuse longer ones.
MAX_DESTINATION_BYTES = 4096

# Blanks and controls, as Unicode sees them: none of them may reach a Location header.
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ufeff\ud800-\udfff]")
_OUTER_BLANKS = "".join(map(chr, range(33)))
_DROPPED = re.compile(r"[\t\r\n]")
_AUTHORITY = re.compile(r"(https?://)([^/?#\\]*)", re.IGNORECASE)
_NOT_ASCII = re.compile(r"[^!-~]")
_SLASHES = re.compile(r"\A(https?:)[/\\]{2,}([^?#]*)", re.IGNORECASE)
#: A host with a forbidden code point (WHATWG URL, section 3.1), or with a percent sign that encodes nothing.
_NO_HOST = re.compile(r"https?://(?:[^/?#\\]*@)?[^/?#@]*(?:[|^<>]|%(?![0-9A-Fa-f]{2}))", re.IGNORECASE)


def is_destination(url: str) -> bool:
    """Whether a click may lead there: an absolute http or https URL with a host, no blank or control character, and not
    so long that its token could not be read."""
    if not begins_well(url):
        return False
    if len(url) > MAX_DESTINATION_BYTES or len(url.encode()) > MAX_DESTINATION_BYTES:
        return False
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False


def begins_well(url: str) -> bool:
    """What does not may not reach a header, whoever signed it."""
    return url[:8].lower().startswith(("http://", "https://")) and not _NOT_IN_URL.search(url)


def destination(href: str) -> str | None:
    """Where the value of an href leads, as a URL of ASCII; None unless it is an absolute http or https URL.

    As browsers read it (WHATWG URL, sections 1.3 and 4.4): blanks around it and line ends in it are dropped, two or
    more slashes of any kind begin the host, and those of Windows are slashes up to the query; other blanks and what is
    not ASCII are percent-encoded, the host is in A-labels. A host with what no host may have, such as another service's
    merge tag, is none."""
    url = _DROPPED.sub("", href.strip(_OUTER_BLANKS))
    if "\\" in url or "///" in url[:9]:
        url = _SLASHES.sub(_with_slashes, url, count=1)
    if _NO_HOST.match(url):
        return None
    if not _NOT_ASCII.search(url):
        return url if is_destination(url) else None
    parts = _AUTHORITY.match(url)
    if parts is None:
        return None
    user, at, host_and_port = parts[2].rpartition("@")
    if _NOT_ASCII.search(host_and_port):
        host, colon, port = host_and_port.partition(":")
        try:
            host_and_port = addresses.ascii_domain(host) + colon + port
        except addresses.InvalidAddress:
            return None
    # Nothing is taken apart that need not be: an empty query is a query.
    url = parts[1] + _NOT_ASCII.sub(_percent_encoded, f"{user}{at}{host_and_port}{url[parts.end() :]}")
    return url if is_destination(url) else None


def _with_slashes(found: re.Match[str]) -> str:
    return f"{found[1]}//{found[2]}".replace("\\", "/")


def _percent_encoded(character: re.Match[str]) -> str:
    return quote(character.group(), safe="", errors="replace")
