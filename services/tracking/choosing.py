"""What recipients say on the pages of preferences and of an opt-in, as facts. Pure.

A form says only what somebody chose: what is not there was left alone. Of a mail that is a test the token has nobody's
address, and so its pages work and nothing comes of them.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from services.tracking import consent_pages
from services.tracking.consent_pages import AGREE_FIELD, BOX_FIELD, LEAVE_FIELD, TRACKING_FIELD
from shared.words import consent, events
from shared.words.events import Fact, OptedIn, PreferencesChanged, Unsubscribed
from shared.words.tokens import Token

#: A form of ours has five fields at most.
_MAX_FIELDS = 50


def form(body: bytes) -> Mapping[str, str]:
    """The fields of a form, the first of each name."""
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), max_num_fields=_MAX_FIELDS)
    except ValueError:  # more than anybody's form has
        return {}
    return dict(reversed(pairs))


def asks_for_box(query: str) -> bool:
    """Whether the link of an opt-in asks for the page with a box: `…?box`."""
    return any(part.partition("=")[0] == BOX_FIELD for part in query.split("&"))


def is_unticked(said: Mapping[str, str]) -> bool:
    """A box was shown, and is not ticked."""
    return BOX_FIELD in said and said.get(AGREE_FIELD) != "yes"


def chosen(said: Mapping[str, str]) -> bool:
    """Whether the form of the preferences says anything."""
    return said.get(TRACKING_FIELD) in ("yes", "no") or said.get(LEAVE_FIELD) == "all"


def preferences(
    said: Mapping[str, str], token: Token, now_ms: int, apart: str, accept_language: str, agent: str, ip: str
) -> list[Fact]:
    """What was chosen. Who leaves everything opts out of every channel, too. `marks` are for the caller to add."""
    tracking = said.get(TRACKING_FIELD, "")
    leaves = said.get(LEAVE_FIELD) == "all"
    if not token.address or not chosen(said):
        return []
    facts: list[Fact] = [
        PreferencesChanged(
            **_about(token, now_ms, "preferences", apart),
            opted_out="\n".join(consent.CHANNELS) if leaves else "",
            tracking=tracking if tracking in ("yes", "no") else "",
            by="page",
            text=consent_pages.text_id("preferences", accept_language),
            user_agent=agent,
            ip=ip,
        )
    ]
    if leaves:
        about = _about(token, now_ms, "left all", apart)
        facts.append(Unsubscribed(**about, by="page", user_agent=agent, ip=ip, scope="marketing"))
    return facts


def opted_in(
    said: Mapping[str, str], token: Token, now_ms: int, apart: str, accept_language: str, agent: str, ip: str
) -> list[Fact]:
    """The agreement: `button` where one press gave it, `page` where a box was ticked."""
    if not token.address:
        return []
    box = BOX_FIELD in said
    return [
        OptedIn(
            **_about(token, now_ms, "opted in", apart),
            channel="email",
            by="page" if box else "button",
            text=consent_pages.text_id("box" if box else "button", accept_language),
            user_agent=agent,
            ip=ip,
        )
    ]


def _about(token: Token, now_ms: int, what: str, apart: str) -> events.About:
    """An event of its own each time: who changes their mind says so again."""
    return events.about_message(
        token.tenant, token.job, token.ordinal, now_ms, what, now_ms, apart, email=token.address
    )
