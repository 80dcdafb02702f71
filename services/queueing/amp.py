"""What an AMP part has to have, or Gmail, Yahoo and Mail.ru show the HTML instead. Pure.

https://amp.dev/documentation/guides-and-tutorials/email/learn/email-spec/amp-email-format
"""

import re
from collections.abc import Callable

#: "The AMP MIME part must be at most 200 KB": as the strictest host counts.
MAX_BYTES = 200_000
#: The least that AMP asks for.
EXAMPLE = (
    '<!doctype html><html ⚡4email data-css-strict><head><meta charset="utf-8">'
    '<script async src="https://cdn.ampproject.org/v0.js"></script>'
    "<style amp4email-boilerplate>body{visibility:hidden}</style></head><body>Bonjour {{ prenom }}</body></html>"
)
_WANTED: tuple[tuple[Callable[[str], object], str], ...] = (
    (
        re.compile(r"<html\b[^>]*?\s(?:⚡4email|amp4email)(?=[\s=>/])", re.IGNORECASE).search,
        "has no `<html ⚡4email>`, which says that it is AMP for e-mail",
    ),
    (
        re.compile(r"<script\b[^>]*?\ssrc\s*=\s*[\"']?https://cdn\.ampproject\.org/v0\.js\b", re.IGNORECASE).search,
        'does not load AMP: `<script async src="https://cdn.ampproject.org/v0.js"></script>`',
    ),
    (
        re.compile(r"<style\b[^>]*?\samp4email-boilerplate(?=[\s=>/])", re.IGNORECASE).search,
        "has no boilerplate: `<style amp4email-boilerplate>body{visibility:hidden}</style>`",
    ),
)


def faults(source: str) -> list[str]:
    """What is missing, in words."""
    return [what for is_there, what in _WANTED if not is_there(source)]
