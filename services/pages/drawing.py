"""Pages are drawn from templates (minijinja, which escapes whatever is printed in them), with one style for all.

A name that a template prints and nobody gave is a fault, not an empty place. What a page says of numbers, shares and
times is said by the filters here, everywhere the same.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import minijinja

_HERE = Path(__file__).parent
STYLE = (_HERE / "style.css").read_bytes()
#: The name changes with what is in it, so that a browser may keep it for ever.
STYLE_NAME = f"style-{sha256(STYLE).hexdigest()[:16]}.css"
#: Shown where there is no number.
NOTHING = "–"

#: Nothing runs, nothing is loaded but our style and frames of ours, nothing frames the page, and its forms go nowhere
#: else. No copy is
#: kept anywhere, and no other site is told where somebody came from.
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Cross-Origin-Opener-Policy": "same-origin",
}
#: Of what somebody else wrote, in a frame of ours: styles inside of it, and nothing else; it is of no origin.
FRAMED_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
}
STYLE_HEADERS = {
    "Content-Type": "text/css; charset=utf-8",
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}

#: Marks HTML that is not to be escaped again.
safe = minijinja.safe


def number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def share(value: float | None) -> str:
    """From 0 to 1, as a percentage."""
    return NOTHING if value is None else f"{100 * value:.2f} %" if 0 < value < 0.01 else f"{100 * value:.1f} %"


def when(text: str | None) -> str:
    """A time of the API, as people read it."""
    if not text:
        return NOTHING
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"


def words(text: str) -> str:
    """A word of the API, as people read it: `soft_bounces` is soft bounces."""
    return text.replace("_", " ")


def event(kind: str) -> str:
    """A type of event, as people read it: `message.auto_replied` is Auto replied."""
    return words(kind.partition(".")[2] or kind).capitalize()


def fault(text: str) -> str:
    """What the API says of a part of a request, as people read it: `$.least` is least, `?mobile` is mobile."""
    return text.removeprefix("$.").removeprefix("?").replace("`", "")


class Drawing:
    """The templates, and what every page has: `base_url` is where the API is reached by others."""

    def __init__(self, base_url: str, *, has_mailbox: bool = False) -> None:
        sources = {file.name: file.read_text("utf-8") for file in sorted((_HERE / "templates").glob("*.html"))}
        self._environment = minijinja.Environment(
            templates=sources,
            filters={"number": number, "share": share, "when": when, "words": words, "event": event, "fault": fault},
            globals={"style": f"/assets/{STYLE_NAME}", "base_url": base_url, "has_mailbox": has_mailbox},
            undefined_behavior="strict",
            trim_blocks=True,
            lstrip_blocks=True,
            debug=False,
        )

    def page(self, template: str, context: Mapping[str, Any]) -> bytes:
        """`nav`, `who` and `form_token` are those of a page that belongs to nobody, where the context has none."""
        filled = {"nav": "", "who": None, "form_token": "", "notice": "", **context}
        return self._environment.render_template(f"{template}.html", **filled).encode("utf-8", "replace")
