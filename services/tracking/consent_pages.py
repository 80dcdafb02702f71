"""The pages on which recipients say what they want: preferences, tracking alone, and an opt-in in three variants.

The rules are those of `pages`: no script, nothing of the request. Nothing is ticked that somebody has not said before,
and what is left alone stays as it is: a form says what its page showed, and only what is another now was chosen.
"""

from html import escape
from typing import Literal

from services.tracking.about import About
from services.tracking.consent_words import WORDS, Words
from services.tracking.pages import (
    LANGUAGE_FIELD,
    Page,
    button,
    choice,
    colon,
    dress,
    facts_of,
    hidden,
    page,
    told,
)
from shared.words.consent import Topic

#: What the forms send: a yes or a no; all; which variant of the opt-in was shown; whether its box is ticked.
TRACKING_FIELD, LEAVE_FIELD, VARIANT_FIELD, AGREE_FIELD = "tracking", "leave", "variant", "agree"
#: Of the lists: a name at each place, the places that were on when the page was shown, and those that are ticked.
NAME_FIELD, WAS_FIELD, ON_FIELD = "list", "was", "on"
#: The answers that were known when the page was shown, as `topic:answer`.
KNOWN_FIELD, OFTEN_FIELD = "known", "often"
#: At most how many mails in how many days, in the order of the page; `any` takes it back.
ANY = "any"

#: An opt-in: by its button alone, with a box to be ticked, or as the second step of a double one.
Variant = Literal["button", "box", "confirm"]
VARIANTS: tuple[Variant, ...] = ("button", "box", "confirm")


def _often(words: Words) -> tuple[tuple[str, str], ...]:
    return (
        (ANY, words.often_any),
        ("3/7", words.often_three),
        ("1/7", words.often_week),
        ("1/30", words.often_month),
    )


#: What may be said of it: at most how many mails, in how many days.
PRESSURES = {value: tuple(map(int, value.split("/"))) for value, _ in _often(WORDS["en"]) if value != ANY}


def _fieldset(legend: str, content: str) -> str:
    return f"<fieldset>\n<legend>{escape(legend)}</legend>\n{content}</fieldset>\n"


def _yes_or_no(about: About, topic: Topic, yes: str, no: str) -> str:
    known = about.answer(topic)
    before = hidden(KNOWN_FIELD, f"{topic}:{known}") if known != "unknown" else ""
    return (
        before
        + choice("radio", topic, "yes", yes, is_checked=known == "yes")
        + choice("radio", topic, "no", no, is_checked=known == "no")
    )


def _lists(about: About, words: Words) -> str:
    if not about.lists:
        return ""
    shown = "".join(
        hidden(NAME_FIELD, one.name)
        + (hidden(WAS_FIELD, str(at)) if one.is_on else "")
        + choice("checkbox", ON_FIELD, str(at), one.title, is_checked=one.is_on)
        for at, one in enumerate(about.lists)
    )
    return _fieldset(words.lists, shown)


def _channels(about: About, language: str) -> str:
    words, behind = WORDS[language], colon(language)
    labels = {"email": words.by_email, "sms": words.by_sms, "phone": words.by_phone}
    return "".join(
        _fieldset(f"{words.channels}{behind} {labels[channel]}", _yes_or_no(about, channel, words.yes, words.no))
        for channel in about.channels
    )


def preferences(about: About, language: str) -> Page:
    """Asks what the reader wants; posts to the page's own address."""
    words = WORDS[language]
    known = f"{about.most}/{about.days}" if about.most else ""
    often = (hidden(KNOWN_FIELD, f"{OFTEN_FIELD}:{known}") if known else "") + "".join(
        choice("radio", OFTEN_FIELD, value, label, is_checked=value == known) for value, label in _often(words)
    )
    tracking = f"<p>{escape(words.tracking_text)}</p>\n" + _yes_or_no(
        about, "tracking", words.tracking_yes, words.tracking_no
    )
    return page(
        language,
        words.title,
        f"{facts_of(about, language, with_list=False)}<p>{escape(words.text)}</p>\n"
        f'<form method="post">\n{hidden(LANGUAGE_FIELD, language)}{_lists(about, words)}{_channels(about, language)}'
        f"{_fieldset(words.often, often)}{_fieldset(words.tracking, tracking)}"
        f"{_fieldset(words.mails, choice('checkbox', LEAVE_FIELD, 'all', words.leave))}"
        f"{button(words.save)}\n</form>\n",
        dress(about.look),
    )


def tracking(about: About, language: str) -> Page:
    """Asks whether to be tracked no more, with one button; who has said so reads that, and may change their mind. Posts
    to the page's own address."""
    words = WORDS[language]
    asked = button(words.tracking_stop, TRACKING_FIELD, "no")
    if about.answer("tracking") == "no":
        answers = _yes_or_no(about, "tracking", words.tracking_yes, words.tracking_no)
        asked = f"{_fieldset(words.tracking, answers)}{button(words.save)}"
    return page(
        language,
        words.tracking,
        f"{facts_of(about, language, with_list=False)}<p>{escape(words.tracking_text)}</p>\n"
        f'<form method="post">\n{hidden(LANGUAGE_FIELD, language)}{asked}\n</form>\n',
        dress(about.look),
    )


def saved(about: About, language: str) -> Page:
    """Says that it holds."""
    words = WORDS[language]
    return told(language, words.saved_title, words.saved_text, look=about.look)


def opt_in(about: About, language: str, variant: Variant, *, is_missing: bool = False) -> Page:
    """Asks for an agreement; `is_missing`: the box was not ticked."""
    words = WORDS[language]
    missing = f'<p role="alert">{escape(words.in_missing)}</p>\n' if is_missing else ""
    tick = choice("checkbox", AGREE_FIELD, "yes", words.in_box) if variant == "box" else ""
    is_second = variant == "confirm"
    soft = f'<p class="soft">{escape(words.confirm_mistake)}</p>\n' if is_second else ""
    return page(
        language,
        words.in_title,
        f"{facts_of(about, language)}<p>{escape(words.confirm_text if is_second else words.in_text)}</p>\n{missing}"
        f'<form method="post">\n{hidden(LANGUAGE_FIELD, language)}{hidden(VARIANT_FIELD, variant)}{tick}'
        f"{button(words.confirm_button if is_second else words.in_button)}\n</form>\n{soft}",
        dress(about.look),
    )


def opted_in(about: About, language: str) -> Page:
    """Says that it is recorded."""
    words = WORDS[language]
    return told(language, words.in_done_title, words.in_done_text, look=about.look)
