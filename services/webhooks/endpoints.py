"""An endpoint: where a tenant wants to be told, of what, and how. Pure.

A fact with a job is chosen by its type and by its job's list, tags and stream; one without by its type, and where lists
are chosen by the list that it names, if it names one. What is not chosen costs nothing but the look.
"""

import msgspec

from shared.words import events, public

#: What is told under another name than in the feed: the words that other systems expect.
_RENAMED = {"address.suppressed": "suppression.added", "address.reactivated": "suppression.removed"}
#: Every type that may be chosen → the name of its fact.
TYPES: dict[str, str] = {_RENAMED.get(kind, kind): name for kind, name in public.TYPES.items()}
#: What an event has under `data`; `details` whole, or one of them as `details.reply`.
FIELDS = (
    "event_id", "job", "message", "sequence", "email", "list", "stream", "category", "tags", "metadata", "details",
)  # fmt: skip
#: Without it nobody could tell two events apart.
ALWAYS = "event_id"
#: What one request carries at most, where several events go together.
MOST_OF_BATCH = 1_000


class Secret(msgspec.Struct, frozen=True, array_like=True):
    """`sealed` as `shared.mail.dkim_keys.Vault` seals; it signs until then (ms), or, with 0, until it is replaced."""

    sealed: bytes
    until_ms: int = 0


class Endpoint(msgspec.Struct, frozen=True, array_like=True):
    """As it is stored. Empty `types`, `lists`, `tags`, `streams`, `fields`: all. `batch`: events of one request at
    most, 1: each alone. `enabled`: what the tenant wants; its state tells whether it was disabled."""

    id: str
    tenant: str
    url: str
    types: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    batch: int = 1
    description: str = ""
    enabled: bool = True
    secrets: tuple[Secret, ...] = ()
    created_ms: int = 0
    algorithm: str = "hmac-sha256"

    @property
    def is_of_jobs(self) -> bool:
        """Whether a job has to be looked up to know what is chosen."""
        return bool(self.lists or self.tags or self.streams)

    def chooses(self, kind: str) -> bool:
        """Whether it wants this type."""
        return not self.types or kind in self.types

    def chooses_job(self, about: "About", listed: str) -> bool:
        """Whether it wants what is about that job; `listed`: the list that the fact itself names."""
        if self.lists and about.list not in self.lists and listed not in self.lists:
            return False
        if self.tags and not any(tag in self.tags for tag in about.tags):
            return False
        return not self.streams or about.stream in self.streams


class About(msgspec.Struct, frozen=True):
    """What is told of a job with each event; of no job, nothing."""

    list: str = ""
    stream: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()


NOTHING = About()


def type_of(name: str, job: str) -> str:
    """The type under which a fact is told."""
    kind = public.type_of(name, job)
    return _RENAMED.get(kind, kind)


def listed_by(fact: events.Fact) -> str:
    """The list that the fact itself names; "" if none."""
    named = getattr(fact, "list", "")
    scope = getattr(fact, "scope", "")
    return named or (scope[5:] if scope.startswith("list:") else "")


def is_field(text: str) -> bool:
    """Whether events have it."""
    return text in FIELDS or text.removeprefix("details.") in _DETAILS


_DETAILS = {
    field for fact in events.FACTS.values() for field in fact.__struct_fields__[len(events.Fact.__struct_fields__) :]
}
