"""What recipients say on the pages, as facts. Pure.

A form says what its page showed and what is chosen now: what is the same was left alone. Of a mail that is a test the
token has nobody's address, and so its pages work and nothing comes of them.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from services.tracking.about import ASKED, NOTHING_KNOWN, About
from services.tracking.consent_pages import (
    AGREE_FIELD,
    ANY,
    KNOWN_FIELD,
    LEAVE_FIELD,
    NAME_FIELD,
    OFTEN_FIELD,
    ON_FIELD,
    PRESSURES,
    TRACKING_FIELD,
    VARIANT_FIELD,
    VARIANTS,
    WAS_FIELD,
    Variant,
)
from services.tracking.consent_words import text_id
from services.tracking.pages import EVENT_FIELD, LANGUAGE_FIELD, REASONS, WHY_FIELD
from shared.words import consent, events, scopes
from shared.words.events import Fact, OptedIn, PreferencesChanged, Unsubscribed
from shared.words.languages import chosen, ours
from shared.words.tokens import Token

#: A form of ours has three for each of its lists, of which there are 17 at most, and some twenty besides.
_MAX_FIELDS = 100
_EVENT_ID = re.compile(r"[0-9a-f]{16}")
#: How an opt-in is told: where one press gave it, where a box was ticked, where a mail was answered.
_BY: Mapping[Variant, str] = {"button": "button", "box": "page", "confirm": "double_opt_in"}


class Where(NamedTuple):
    """When somebody said so, and what proves it: what tells it from others of its millisecond, the language of the page
    that they saw, and by what and from where they answered."""

    now_ms: int
    apart: str
    language: str
    agent: str
    ip: str


class Choice(NamedTuple):
    """What is another than when the page was shown. `most` and `days` are -1 for any number of mails, 0 where it was
    left alone."""

    answers: Mapping[str, str] = {}
    leaves: bool = False
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    most: int = 0
    days: int = 0

    @property
    def says_anything(self) -> bool:
        return self != Choice()


def _pairs(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode("utf-8", "replace"), max_num_fields=_MAX_FIELDS)
    except ValueError:  # more than anybody's form has
        return []


def form(body: bytes) -> Mapping[str, str]:
    """The fields of a form, the first of each name."""
    return dict(reversed(_pairs(body)))


def asks(query: str, name: str) -> bool:
    """Whether a link asks for a variant of its page: `…?box`."""
    return any(part.partition("=")[0] == name for part in query.split("&"))


def variant(query: str) -> Variant:
    """Which page of an opt-in its link asks for."""
    return next((one for one in VARIANTS if asks(query, one)), "button")


def language(said: Mapping[str, str], about: About, accept_language: str) -> str:
    """That of the page that was answered; else of the recipient, of the mail, of the tenant; else what the browser asks
    for."""
    return ours(said.get(LANGUAGE_FIELD, "")) or chosen(about.languages, accept_language)


def reason(said: Mapping[str, str]) -> str:
    """Why somebody leaves, if they said so."""
    word = said.get(WHY_FIELD, "")
    return word if word in REASONS else ""


def answered(said: Mapping[str, str], query: str) -> Variant:
    """Which page of an opt-in was answered, as its form says; else its link, to which forms post."""
    return next((one for one in VARIANTS if said.get(VARIANT_FIELD) == one), variant(query))


def is_unticked(said: Mapping[str, str], variant: Variant) -> bool:
    """A box was shown, and is not ticked."""
    return variant == "box" and said.get(AGREE_FIELD) != "yes"


def event(said: Mapping[str, str]) -> str:
    """The event that a form to leave or to come back says that it follows; "" for none."""
    named = said.get(EVENT_FIELD, "")
    return named if _EVENT_ID.fullmatch(named) else ""


def leaving(token: Token, now_ms: int, named: str, about: About) -> events.About:
    """Of a fact that somebody leaves by this mail: one, until they come back, and another one then. `named` is what the
    form says that they came back from."""
    after = about.came_back_from or named
    parts = ("unsubscribed", after) if after else ("unsubscribed",)
    said = events.about_message(token.tenant, token.job, token.ordinal, now_ms, *parts, email=token.address or None)
    if about.left_as not in ("", named):  # asked for once more
        said["event_id"] = about.left_as
    return said


def choice(body: bytes) -> Choice:
    """What a form of the preferences says."""
    pairs = _pairs(body)
    said, known = dict(reversed(pairs)), {value for name, value in pairs if name == KNOWN_FIELD}
    often = said.get(OFTEN_FIELD, "")
    most, days = PRESSURES.get(often, (-1, -1) if often == ANY and _knows(known, OFTEN_FIELD) else (0, 0))
    names = [value for name, value in pairs if name == NAME_FIELD]
    was, on = ({value for name, value in pairs if name == field} for field in (WAS_FIELD, ON_FIELD))
    lists = [(name, str(at) in was, str(at) in on) for at, name in enumerate(names) if _is_list(name)]
    return Choice(
        answers={
            topic: said[topic]
            for topic in ASKED
            if said.get(topic) in ("yes", "no") and f"{topic}:{said[topic]}" not in known
        },
        leaves=said.get(LEAVE_FIELD) == "all",
        joined=tuple(name for name, before, now in lists if now and not before),
        left=tuple(name for name, before, now in lists if before and not now),
        most=0 if f"{OFTEN_FIELD}:{often}" in known else most,
        days=0 if f"{OFTEN_FIELD}:{often}" in known else days,
    )


def _knows(known: set[str], topic: str) -> bool:
    return any(one.startswith(f"{topic}:") for one in known)


def _is_list(name: str) -> bool:
    return 0 < len(name) <= scopes.MAX_LIST_CHARS and name.isprintable()


def preferences(choice: Choice, token: Token, where: Where) -> list[Fact]:
    """What was chosen. Who leaves everything opts out of every channel, too, whatever else the form says. `marks` are
    for the caller to add."""
    if not token.address or not choice.says_anything:
        return []
    text = text_id("preferences", where.language)
    refused = [one for one in consent.CHANNELS if choice.leaves or choice.answers.get(one) == "no"]
    facts: list[Fact] = [
        PreferencesChanged(
            **_about(token, where, "preferences"),
            joined="" if choice.leaves else "\n".join(choice.joined),
            left="\n".join(choice.left),
            opted_out="\n".join(refused),
            tracking=choice.answers.get(TRACKING_FIELD, ""),
            by="page",
            text=text,
            user_agent=where.agent,
            ip=where.ip,
            most=choice.most,
            days=choice.days,
        )
    ]
    if choice.leaves:
        said = _about(token, where, "left all")
        return [*facts, Unsubscribed(**said, by="page", user_agent=where.agent, ip=where.ip, scope=scopes.MARKETING)]
    agreed = [one for one in consent.CHANNELS if choice.answers.get(one) == "yes"]
    return [*facts, *(_opted_in(token, where, one, by="page", text=text) for one in agreed)]


def opted_in(name: Variant, token: Token, about: About, where: Where) -> list[Fact]:
    """The agreement: `button` where one press gave it, `page` where a box was ticked, `double_opt_in` where somebody
    who asked for it confirms it; then with the list of the mail, if that is known."""
    if not token.address:
        return []
    asked = about if name == "confirm" else NOTHING_KNOWN
    text = text_id(name, where.language)
    return [_opted_in(token, where, "email", by=_BY[name], text=text, list_=asked.list, purpose=asked.purpose)]


def undone(token: Token, where: Where, left_as: str) -> list[Fact]:
    """They did not mean to leave, as the event `left_as` says they did, "" where that is not known."""
    if not token.address:
        return []
    said = _about(token, where, "undone")
    if left_as:  # pressed twice, it is one event
        said["event_id"] = events.event_id(token.job, token.ordinal, "undone", left_as)
    text = text_id("undo", where.language)
    return [PreferencesChanged(**said, by="page", text=text, user_agent=where.agent, ip=where.ip, undone=True)]


def _opted_in(
    token: Token, where: Where, channel: str, *, by: str, text: str, list_: str = "", purpose: str = ""
) -> OptedIn:
    return OptedIn(
        **_about(token, where, "opted in" if channel == "email" else f"opted in {channel}"),
        channel=channel,
        list=list_,
        purpose=purpose,
        by=by,
        text=text,
        user_agent=where.agent,
        ip=where.ip,
    )


def _about(token: Token, where: Where, what: str) -> events.About:
    """An event of its own each time: who changes their mind says so again."""
    return events.about_message(
        token.tenant, token.job, token.ordinal, where.now_ms, what, where.now_ms, where.apart, email=token.address
    )
