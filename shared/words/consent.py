"""What an address has agreed to, and what follows from it: who may be mailed, who may be tracked.

A state holds an answer to each of six topics, with the second in which it was given:

    kind       whose address it is: a person's, or that of somebody in their profession
    email, sms, phone    whether they agreed to be written to, or called, for marketing: one for each channel
    tracking   whether they agreed that openings and clicks are recorded about them
    objected   whether they object to prospecting, by whatever channel

Each topic goes by its latest answer: who applies facts may meet them in any order, and twice. An answer of the same
second as the one before takes its place. Codes and places are stored, and never change their meaning.
"""

from typing import Literal, NamedTuple

import msgspec

Answer = Literal["yes", "no", "unknown"]
Kind = Literal["person", "professional", "unknown"]
#: Channels of marketing that somebody agrees to, or does not.
OptInChannel = Literal["email", "sms", "phone"]
Topic = Literal["kind", "email", "sms", "phone", "tracking", "objected"]
Gate = Literal["declared", "required"]

#: In their places.
TOPICS: tuple[Topic, ...] = ("kind", "email", "sms", "phone", "tracking", "objected")
CHANNELS: tuple[OptInChannel, ...] = ("email", "sms", "phone")
#: The code of an answer is its place.
ANSWERS: tuple[Answer, ...] = ("unknown", "yes", "no")
KINDS: tuple[Kind, ...] = ("unknown", "person", "professional")

#: The stream whose mail is marketing: the others are none, and no gate holds them.
MARKETING_STREAM = "bulk"
#: Why a message is not sent.
NOT_OPTED_IN, OBJECTED = "not_opted_in", "objected"


class Said(NamedTuple):
    """An answer, and when it was given, in seconds since the epoch; 0: never."""

    code: int = 0
    at_s: int = 0


class State(msgspec.Struct, frozen=True, array_like=True):
    """Of one address. In msgpack it has 49 bytes at most: a flat array, code and second of each topic in turn."""

    kind: int = 0
    kind_at: int = 0
    email: int = 0
    email_at: int = 0
    sms: int = 0
    sms_at: int = 0
    phone: int = 0
    phone_at: int = 0
    tracking: int = 0
    tracking_at: int = 0
    objected: int = 0
    objected_at: int = 0

    def said(self, topic: Topic) -> Said:
        return Said(getattr(self, topic), getattr(self, f"{topic}_at"))

    def answer(self, topic: Topic) -> Answer:
        """Of any topic but `kind`."""
        return ANSWERS[self.said(topic).code]


NOTHING_SAID = State()

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(State)


def encode(state: State) -> bytes:
    return _encoder.encode(state)


def decode(stored: bytes) -> State:
    """ValueError if it is not a state."""
    return _decoder.decode(stored)


def change(answers: dict[Topic, str], at_s: int) -> State:
    """What is said at one time, as a state in which the other topics were never spoken of."""
    given: dict[str, int] = {}
    for topic, word in answers.items():
        words: tuple[str, ...] = KINDS if topic == "kind" else ANSWERS
        given |= {topic: words.index(word), f"{topic}_at": at_s}
    return State(**given)


def merged(old: State, new: State) -> State:
    """Of each topic the later answer, the new one of two at the same second. The script that stores a change does the
    same (`services/suppression/consent_store_record.lua`)."""
    latest: dict[str, int] = {}
    for topic in TOPICS:
        said = max(old.said(topic), new.said(topic), key=lambda one: one.at_s)
        said = new.said(topic) if new.said(topic).at_s and new.said(topic).at_s == said.at_s else said
        latest |= {topic: said.code, f"{topic}_at": said.at_s}
    return State(**latest)


class Rules(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What a tenant decided. `gate`: on marketing, `declared` keeps away whoever is known not to have agreed,
    `required` every person who is not known to have agreed. `tracking`: the same of openings and clicks.
    `double_opt_in`: whether mails are sent that ask for the second step of one."""

    gate: Gate = "declared"
    tracking: Gate = "declared"
    double_opt_in: bool = True


class Declared(NamedTuple):
    """What a job says of a recipient; None where it says nothing."""

    kind: Literal["person", "professional"] | None = None
    optin: bool | None = None
    tracking: bool | None = None

    @property
    def code(self) -> int:
        """As it waits with the recipient: one byte, 0 where nothing is said."""
        kind = 0 if self.kind is None else KINDS.index(self.kind)
        return kind + 3 * _FLAGS.index(self.optin) + 9 * _FLAGS.index(self.tracking)


_FLAGS = (None, True, False)
_DECLARED = {
    made.code: made
    for kind in (None, "person", "professional")
    for optin in _FLAGS
    for tracking in _FLAGS
    if (made := Declared(kind, optin, tracking))
}


def declared(code: int) -> Declared:
    """What was said under that code; nothing, for one of a newer program."""
    return _DECLARED.get(code, _DECLARED[0])


def held(stream: str, rules: Rules, declared: Declared, state: State) -> str | None:
    """Why somebody is not to be mailed by e-mail, or None. What a job says of a recipient holds before what is stored;
    whose kind nobody knows is a person."""
    if stream != MARKETING_STREAM:
        return None
    if state.answer("objected") == "yes":
        return OBJECTED
    if (declared.kind or KINDS[state.kind]) == "professional":
        return None
    optin = state.answer("email") if declared.optin is None else ("yes" if declared.optin else "no")
    is_free = optin == "yes" if rules.gate == "required" else optin != "no"
    return None if is_free else NOT_OPTED_IN


def is_tracked(rules: Rules, declared: Declared, state: State) -> bool:
    """Whether openings and clicks of somebody may be recorded. Who withdrew is not tracked whatever a job says: they
    may have done so since the job's data were made; nor is one of whom the job says no."""
    stored = state.answer("tracking")
    if stored == "no" or declared.tracking is False:
        return False
    return rules.tracking == "declared" or stored == "yes" or declared.tracking is True
