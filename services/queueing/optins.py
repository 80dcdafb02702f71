"""The mail that asks somebody to confirm an opt-in, as a job of the stream `transactional`. Pure.

Its link leads to a page with a button: programs that follow links of mails confirm nothing.
"""

from html import escape
from typing import Any

import msgspec

from services.queueing.optin_words import WORDS
from shared.words.look import Look, ink_on

#: Ours, as on the pages.
_ACCENT, _ON_ACCENT = "#174a7a", "#ffffff"
_LINK = "{{ opt_in_url }}?confirm"


def job(
    email: str, name: str, from_: str, list_: str, look: Look, sender: str, language: str, *, test: bool = False
) -> bytes:
    """The body of POST /v1/jobs. `sender` is who writes, as recipients know them."""
    words = WORDS[language]
    paragraphs = [words.hello, words.text, *([words.of_list] if list_ else [])]
    wanted: dict[str, Any] = {
        "from": from_,
        "subject": words.subject,
        "stream": "transactional",
        "html": _html(language, words.subject, paragraphs, words.button, words.mistake, look),
        "text": "\n\n".join([*paragraphs, f"{words.button}: {_LINK}", words.mistake, ""]),
        "variables": {"sender": sender, "list": look.title_of(list_)},
        "track": {"opens": False, "clicks": False},
        "recipients": [{"email": email, "name": name} if name else {"email": email}],
        "test": test,
    }
    return msgspec.json.encode(wanted | ({"list": list_} if list_ else {}))


def _html(language: str, title: str, paragraphs: list[str], button: str, mistake: str, look: Look) -> str:
    colours = (look.accent, ink_on(look.accent)) if look.accent else (_ACCENT, _ON_ACCENT)
    shown = "".join(f"<p>{escape(one, quote=False)}</p>" for one in paragraphs)
    return (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8"><title>{escape(title)}</title></head>'
        '<body style="margin:0;padding:24px;font:16px/1.5 sans-serif">'
        f"{shown}"
        f'<p><a href="{_LINK}" style="display:inline-block;padding:12px 24px;border-radius:6px;'
        f'background:{colours[0]};color:{colours[1]};font-weight:bold;text-decoration:none">{escape(button)}</a></p>'
        f"<p>{escape(mistake, quote=False)}</p></body></html>"
    )
