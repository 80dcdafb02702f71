"""The pages as bytes: kept messages in, HTML out. Whatever is not `Html` is escaped on its way into a template."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from string import Template
from typing import NamedTuple
from urllib.parse import urlencode

from services.local.mailbox import dkim, style
from services.local.mailbox.message import Message, Part, Summary
from shared.words.behaviours import BEHAVIOURS

#: Of the text and the source, what a page shows; the rest is behind the link to the source.
MAX_SHOWN_CHARS = 256 * 1024
VIEWS = {"html": "HTML", "text": "Text", "headers": "Headers", "source": "Source"}


class Html(str):
    """Text that is markup already."""


class Row(NamedTuple):
    """One line of the list."""

    id: str
    recipients: Sequence[str]
    return_path: str
    received_ms: int
    size_bytes: int
    summary: Summary


class Checked(NamedTuple):
    """A DKIM signature, and whether it holds."""

    domain: str
    selector: str
    verdict: dkim.Verdict


def fill(template: Template, **values: object) -> Html:
    """The template with every value in it escaped, except what is `Html`."""
    return Html(
        template.substitute(
            {name: value if isinstance(value, Html) else escape(str(value)) for name, value in values.items()}
        )
    )


def joined(parts: Iterable[Html]) -> Html:
    return Html("".join(parts))


_PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="icon" href="data:,">
<style nonce="$nonce">$css</style>
</head>
<body>
<div class="top">
<a class="home" href="/mailbox"><svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2"
stroke-linejoin="round" aria-hidden="true"><rect x="2.5" y="5" width="19" height="14" rx="2"/>
<path d="m3 7 9 6.5L21 7"/></svg>
Mailbox</a>
<form class="search" action="/mailbox" role="search"><input type="search" name="q" value="$sought"
placeholder="Address" aria-label="Search by address"><button>Search</button></form>
<a class="button danger empty" href="/mailbox/empty">Empty</a>
</div>
<main>
$body
</main>
<script nonce="$nonce">$script</script>
</body>
</html>
"""
)
_LIST = Template(
    """<div class="card" id="mails">
<div class="count">$count</div>
$mails
</div>
<div class="pages"><span>$newest</span><span>$older</span></div>
<details><summary>Nothing sent here leaves this machine. Some addresses behave like difficult recipients.</summary>
<dl>
$behaviours</dl></details>"""
)
_ROW = Template(
    """<li><span class="to">$to</span><a href="/mailbox/$id">$subject</a>$time<span class="size">$size</span>
<span class="path" title="return path">$return_path</span><span class="from">$sender</span></li>
"""
)
_MAILS = Template('<ol class="mails">\n$rows</ol>')
_NOTHING = Template('<div class="nothing"><strong>$title</strong>$text</div>')
_TIME = Template('<time datetime="$iso">$text</time>')
_LINK = Template('<a class="button" href="$url">$text</a>')
_BEHAVIOUR = Template("<dt><code>$prefix…@any.domain</code></dt><dd>$meaning</dd>\n")
_LETTER = Template(
    """<article class="card letter">
<header>
<h1>$subject</h1>
<dl>
<dt>From</dt><dd>$sender</dd>
<dt>To</dt><dd>$to</dd>
<dt>Return path</dt><dd>$return_path</dd>
<dt>Received</dt><dd>$time · $size</dd>
<dt>Signature</dt><dd>$signatures</dd>
$files</dl>
$acts
</header>
<nav class="tabs" aria-label="Views">$tabs</nav>
$view
</article>"""
)
_TAB = Template('<a href="/mailbox/$id?show=$view"$current>$name</a>')
_VALID = Template('<span class="badge good">DKIM d=$domain s=$selector: valid</span>')
_NOT_VALID = Template('<span class="badge bad">DKIM d=$domain s=$selector: not valid, $why</span>')
_EMPTY = Template(
    """<div class="card"><div class="nothing"><strong>Delete all $count?</strong>
They are gone then, and their links and images with them.
<form class="ask" action="/mailbox/empty" method="post"><button class="danger">Delete all</button>
<a class="button" href="/mailbox">Keep them</a></form></div></div>"""
)
_ACTS = Template('<div class="acts">$acts</div>')
# As a mail program does it (RFC 8058 section 3.2). It is a form, so that it works across origins.
_ONE_CLICK = Template(
    """<form action="$url" method="post" target="_blank"><input type="hidden" name="List-Unsubscribe" value="One-Click">
<button class="first">Unsubscribe</button></form><span class="soft">one click, by List-Unsubscribe-Post</span>"""
)
_UNSUBSCRIBE_PAGE = Template('<a class="button" href="$url" target="_blank" rel="noreferrer">Unsubscribe page</a>')
_UNSUBSCRIBE_MAIL = Template('<span class="soft">by mail: $address</span>')
# No allow-scripts and no allow-same-origin: scripts never run, and the frame's content has no origin of ours. Links
# open in a new tab, which is an ordinary one again.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
_FRAME = Template(f'<iframe title="The message" sandbox="{SANDBOX}" src="/mailbox/$id/html"></iframe>')
_TEXT = Template("<pre>$text</pre>")
_SOURCE = Template('<pre>$text</pre><div class="count"><a href="/mailbox/$id/source">$name</a></div>')
_FIELDS = Template('<dl class="fields">\n$rows</dl>')
_FIELD = Template("<dt>$name</dt><dd>$value</dd>\n")
_FILES = Template('<dt>Attachments</dt><dd><ul class="files">$rows</ul></dd>\n')
_FILE = Template(
    '<li><a href="/mailbox/$id/parts/$number">$name</a> <span class="soft">$media_type · $size</span></li>'
)


def list_page(rows: Sequence[Row], *, total: int, sought: str, before: str, more: bool, nonce: str) -> bytes:
    """The messages, newest first. `before` is the cursor of this page, `more` whether older ones follow."""
    query = {"q": sought} if sought else {}
    older = _url({**query, "before": rows[-1].id}) if more and rows else ""
    body = fill(
        _LIST,
        count=_counted(total, sought, len(rows), more),
        mails=fill(_MAILS, rows=joined(map(_row, rows))) if rows else _nothing(total),
        newest=fill(_LINK, url=_url(query), text="← Newest") if before else "",
        older=fill(_LINK, url=older, text="Older →") if older else "",
        behaviours=joined(fill(_BEHAVIOUR, prefix=known.prefix, meaning=known.meaning) for known in BEHAVIOURS),
    )
    return _page("Mailbox", body, nonce, sought=sought, refresh=not before)


def message_page(row: Row, message: Message, raw: bytes, *, checked: Sequence[Checked], view: str, nonce: str) -> bytes:
    """One message; `view` is one of VIEWS, or "" for the best that the message has; `checked` are its signatures."""
    views = [name for name in VIEWS if not (name == "html" and message.html is None)]
    views = [name for name in views if not (name == "text" and message.text is None)]
    current = view if view in views else views[0]
    body = fill(
        _LETTER,
        subject=row.summary.subject or "(no subject)",
        sender=row.summary.sender or "(nobody)",
        to=", ".join(row.recipients),
        return_path=row.return_path or "(empty)",
        time=_time(row.received_ms),
        size=_size(row.size_bytes),
        signatures=_signatures(checked),
        acts=_acts(message),
        tabs=joined(_tab(row.id, name, name == current) for name in views),
        view=_view(current, row.id, message, raw),
        files=_files(row.id, message.attachments),
    )
    return _page(row.summary.subject or "(no subject)", body, nonce)


def empty_page(total: int, nonce: str) -> bytes:
    """Asks whether all messages shall go."""
    return _page("Empty the mailbox", fill(_EMPTY, count=f"{total:,} message{'' if total == 1 else 's'}"), nonce)


def missing_page(nonce: str) -> bytes:
    body = Html(
        '<div class="card"><div class="nothing"><strong>There is no such message</strong>'
        "It may have been pushed out by newer ones, or the mailbox was emptied.</div></div>"
    )
    return _page("No such message", body, nonce)


def _page(title: str, body: Html, nonce: str, *, sought: str = "", refresh: bool = False) -> bytes:
    script = style.LOCAL_TIMES + (style.REFRESH if refresh else "")
    page = fill(_PAGE, title=title, nonce=nonce, css=Html(style.CSS), script=Html(script), sought=sought, body=body)
    return page.encode("utf-8", "replace")


def _row(row: Row) -> Html:
    return fill(
        _ROW,
        id=row.id,
        to=", ".join(row.recipients[:3]) + (f" and {len(row.recipients) - 3} more" if len(row.recipients) > 3 else ""),
        subject=row.summary.subject or "(no subject)",
        sender=row.summary.sender or "(nobody)",
        return_path=row.return_path or "(empty)",
        time=_time(row.received_ms),
        size=_size(row.size_bytes),
    )


def _nothing(total: int) -> Html:
    if total:
        return fill(_NOTHING, title="No message here", text="None of the kept messages is to or from such an address.")
    return fill(_NOTHING, title="No mail yet", text="What Estafette sends will appear here by itself.")


def _counted(total: int, sought: str, shown: int, more: bool) -> str:
    if sought:
        return f"{shown}{' or more' if more else ''} of {total:,} kept messages, to or from {sought}"
    return f"{total:,} message{'' if total == 1 else 's'} kept"


def _url(query: dict[str, str]) -> str:
    return f"/mailbox?{urlencode(query)}" if query else "/mailbox"


def _time(received_ms: int) -> Html:
    at = datetime.fromtimestamp(received_ms / 1000, UTC)
    return fill(_TIME, iso=at.isoformat(timespec="milliseconds"), text=at.strftime("%Y-%m-%d %H:%M:%S UTC"))


def _size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1000:.1f} kB" if size_bytes < 1_000_000 else f"{size_bytes / 1_000_000:.1f} MB"


def _signatures(checked: Sequence[Checked]) -> Html:
    if not checked:
        return Html('<span class="badge">not signed</span>')
    return joined(
        fill(
            _VALID if one.verdict == "valid" else _NOT_VALID,
            domain=one.domain,
            selector=one.selector,
            why=dkim.WORDS[one.verdict],
        )
        for one in checked
    )


def _acts(message: Message) -> Html:
    """Ways to leave, as the header offers them."""
    pages = [uri for uri in message.unsubscribe if uri.lower().startswith(("https://", "http://"))]
    acts = [fill(_ONE_CLICK, url=message.one_click)] if message.one_click else []
    acts += [fill(_UNSUBSCRIBE_PAGE, url=uri) for uri in pages]
    acts += [
        fill(_UNSUBSCRIBE_MAIL, address=uri[len("mailto:") :].partition("?")[0])
        for uri in message.unsubscribe
        if uri.lower().startswith("mailto:")
    ]
    return fill(_ACTS, acts=joined(acts)) if acts else Html("")


def _tab(message_id: str, view: str, is_current: bool) -> Html:
    current = Html(' aria-current="page"' if is_current else "")
    return fill(_TAB, id=message_id, view=view, name=VIEWS[view], current=current)


def _view(view: str, message_id: str, message: Message, raw: bytes) -> Html:
    if view == "html":
        return fill(_FRAME, id=message_id)
    if view == "text":
        return fill(_TEXT, text=(message.text or "")[:MAX_SHOWN_CHARS])
    if view == "headers":
        return fill(_FIELDS, rows=joined(fill(_FIELD, name=name, value=value) for name, value in message.headers))
    source = raw[: 4 * MAX_SHOWN_CHARS].decode("utf-8", "replace").replace("\r\n", "\n")[:MAX_SHOWN_CHARS]
    return fill(_SOURCE, text=source, id=message_id, name="Source alone")


def _files(message_id: str, attachments: Sequence[Part]) -> Html:
    if not attachments:
        return Html("")
    return fill(
        _FILES,
        rows=joined(
            fill(
                _FILE,
                id=message_id,
                number=part.number,
                name=part.filename or f"part {part.number}",
                media_type=part.media_type,
                size=_size(len(part.content)),
            )
            for part in attachments
        ),
    )
