"""What the pages say of a mail and its recipient, as far as it is known when they are shown. Pure.

A page needs nothing but its token: of what nobody could be asked, nothing is said.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from shared.words import consent
from shared.words.consent import Answer, OptInChannel, Topic
from shared.words.look import NOTHING_CHOSEN, Look
from shared.words.scopes import Reason


class Offered(NamedTuple):
    """A list on the page of preferences."""

    name: str
    title: str
    is_on: bool


class About(msgspec.Struct, frozen=True, kw_only=True):
    """`is_known`: Redis was asked, and answered. `sender` is who writes, `list` the name of the mail's list, `purpose`
    what a double opt-in is for; `languages` what is known of the recipient's, best first; `stopped` why they get
    nothing of it, "" if they do, and `stays` whether that is more than that they left by this mail. `left_as` is the
    event by which they left by this mail, if that holds; `came_back_from` that which they took back. The rest is for
    the page of preferences: `answers` by channel and of `tracking`, the lists, and at most how many mails (`most`) they
    want in how many days; 0: any."""

    is_known: bool = True

    look: Look = NOTHING_CHOSEN
    sender: str = ""
    list: str = ""
    purpose: str = ""
    address: str = ""
    languages: tuple[str, ...] = ()
    stopped: Reason | str = ""
    stays: bool = False
    left_as: str = ""
    came_back_from: str = ""
    answers: Mapping[Topic, Answer] = {}
    lists: tuple[Offered, ...] = ()
    most: int = 0
    days: int = 0

    @property
    def list_title(self) -> str:
        return self.look.title_of(self.list) if self.list else ""

    @property
    def has_left(self) -> bool:
        """By their own word: who is stopped for another reason may still say so."""
        return self.stopped in ("unsubscribed", "complaint", "objected")

    @property
    def can_undo(self) -> bool:
        """A page takes back what this page did, and nothing else: who left everything agrees anew."""
        return self.stopped == "unsubscribed" and not self.stays

    @property
    def channels(self) -> tuple[OptInChannel, ...]:
        """Of which the page of preferences asks: those of the tenant, and any of which something is known, for what was
        said once can be taken back."""
        has = ("email", *self.look.channels)
        return tuple(one for one in consent.CHANNELS if one in has or self.answer(one) != "unknown")

    def answer(self, topic: Topic) -> Answer:
        return self.answers.get(topic, "unknown")


NOTHING_KNOWN = About(is_known=False)

#: Of a recipient's metadata, which say the language.
LANGUAGE_KEYS = ("language", "lang", "locale")
#: What the page of preferences asks a yes or a no of.
ASKED: tuple[Topic, ...] = ("tracking", *consent.CHANNELS)


def said_languages(metadata: Mapping[str, str] | None) -> tuple[str, ...]:
    """Those that a recipient's metadata name, if they do."""
    return tuple((metadata or {})[key] for key in LANGUAGE_KEYS if key in (metadata or {}))


def shown_sender(look: Look, from_: str) -> str:
    """Who writes: what the tenant is called; else the name or the address in the From of the job, which may be a
    template."""
    if look.name:
        return look.name
    name, _, address = from_.rpartition("<")
    name = name.strip().strip('"')
    return name if name and "{" not in name else address.strip().rstrip(">") if "{" not in address else ""
