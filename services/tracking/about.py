"""What the pages say of a mail and its recipient, as far as it is known when they are shown. Pure.

A page needs nothing but its token: of what nobody could be asked, nothing is said.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from shared.words import consent
from shared.words.consent import Answer, Topic
from shared.words.look import NOTHING_CHOSEN, Look
from shared.words.scopes import Reason


class Offered(NamedTuple):
    """A list on the page of preferences."""

    name: str
    title: str
    is_on: bool


class About(msgspec.Struct, frozen=True, kw_only=True):
    """`sender` is who writes, `list` the name of the mail's list, `purpose` what a double opt-in is for; `languages`
    the recipient's, best first; `stopped` is why they get nothing of it, "" if they do, `stays` says
    whether that is more than that they left by this mail. The rest is for the page of preferences: `answers` by channel
    and of `tracking`, the lists, and at most how many mails (`most`) they want in how many days; 0: any."""

    look: Look = NOTHING_CHOSEN
    sender: str = ""
    list: str = ""
    purpose: str = ""
    address: str = ""
    languages: tuple[str, ...] = ()
    stopped: Reason | str = ""
    stays: bool = False
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

    def answer(self, topic: Topic) -> Answer:
        return self.answers.get(topic, "unknown")


NOTHING_KNOWN = About()

#: What the page of preferences asks a yes or a no of.
ASKED: tuple[Topic, ...] = ("tracking", *consent.CHANNELS)


def shown_sender(look: Look, from_: str) -> str:
    """Who writes: what the tenant is called; else the name or the address in the From of the job, which may be a
    template."""
    if look.name:
        return look.name
    name, _, address = from_.rpartition("<")
    name = name.strip().strip('"')
    return name if name and "{" not in name else address.strip().rstrip(">") if "{" not in address else ""
