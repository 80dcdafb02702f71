"""What was said about consent, and what is written down of it: pure.

It comes by the API, or as a fact from a page of the recipient's. Either way it becomes one `Saying`: a change of the
state, an entry of the log that proves it, the facts that tell of it, and what trackers are told.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from shared.redis.consents import Entry
from shared.redis.suppression import normalised
from shared.redis.untracked import Told
from shared.words import consent, events, ids
from shared.words.consent import State, Topic

#: Facts that say something about consent.
NAMES = frozenset(("OptedIn", "PreferencesChanged"))
#: What the API said. Its facts are in the log before they are on the stream.
BY_API = "api"


class Saying(NamedTuple):
    """A normalised address of a tenant, and what was said of it. `facts` are yet to be told. `event_id` names the
    saying: it is written down once."""

    tenant: str
    address: str
    event_id: str
    change: State
    entry: Entry
    facts: tuple[events.Fact, ...] = ()


def of_fact(fact: events.Fact) -> Saying | None:
    """What the fact says; None for one that says nothing about consent, or not of whom."""
    if not isinstance(fact, events.OptedIn | events.PreferencesChanged) or not fact.email:
        return None
    answers = _answers(fact)
    entry = Entry(
        at_ms=fact.occurred_at,
        event_id=fact.event_id,
        by=fact.by,
        answers=dict(answers.items()),
        joined=_lines(fact.joined) if isinstance(fact, events.PreferencesChanged) else _lines(fact.list),
        left=_lines(fact.left) if isinstance(fact, events.PreferencesChanged) else (),
        purpose=fact.purpose if isinstance(fact, events.OptedIn) else "",
        text=fact.text,
        ip=fact.ip,
        user_agent=fact.user_agent,
        message=ids.message_id(fact.job, fact.ordinal) if fact.job and fact.ordinal is not None else "",
        most=fact.most if isinstance(fact, events.PreferencesChanged) else 0,
        days=fact.days if isinstance(fact, events.PreferencesChanged) else 0,
    )
    change = consent.change(answers, fact.occurred_at // 1000)
    return Saying(fact.tenant, normalised(fact.email), fact.event_id, change, entry)


def told_of(fact: events.Fact) -> list[Told]:
    """What trackers are to know of a fact."""
    if not isinstance(fact, events.PreferencesChanged) or not fact.tracking:
        return []
    return [
        Told(fact.tenant, bytes.fromhex(mark), fact.tracking == "no", fact.occurred_at) for mark in fact.marks.split()
    ]


def of_request(
    tenant: str,
    address: str,
    answers: dict[Topic, str],
    entry: Entry,
    marks: Sequence[bytes],
    new_id: Callable[[], str],
) -> Saying:
    """What the API was told, with the facts that tell of it."""
    opted = [topic for topic in consent.CHANNELS if answers.get(topic) == "yes"]
    opted_out = [topic for topic in consent.CHANNELS if answers.get(topic) == "no"]
    tracking, objected = answers.get("tracking", ""), answers.get("objected", "")
    facts: list[events.Fact] = [
        events.OptedIn(
            **_about(tenant, address, entry.at_ms, new_id()),
            channel=channel,
            purpose=entry.purpose,
            text=entry.text,
            by=BY_API,
            user_agent=entry.user_agent,
            ip=entry.ip,
        )
        for channel in opted
    ]
    if opted_out or tracking or objected:
        facts.append(
            events.PreferencesChanged(
                **_about(tenant, address, entry.at_ms, new_id()),
                opted_out="\n".join(opted_out),
                tracking=tracking,
                objected=objected,
                by=BY_API,
                text=entry.text,
                user_agent=entry.user_agent,
                ip=entry.ip,
                marks=" ".join(mark.hex() for mark in marks) if tracking else "",
            )
        )
    change = consent.change(answers, entry.at_ms // 1000)
    return Saying(tenant, address, entry.event_id, change, entry, tuple(facts))


def _about(tenant: str, address: str, at_ms: int, event_id: str) -> events.About:
    return {**events.about(tenant, at_ms, email=address), "event_id": event_id}


def _answers(fact: events.OptedIn | events.PreferencesChanged) -> dict[Topic, str]:
    if isinstance(fact, events.OptedIn):
        return {channel: "yes" for channel in consent.CHANNELS if channel == fact.channel}
    answers: dict[Topic, str] = {channel: "no" for channel in consent.CHANNELS if channel in fact.opted_out.split("\n")}
    if fact.tracking in consent.ANSWERS:
        answers["tracking"] = fact.tracking
    if fact.objected in consent.ANSWERS:
        answers["objected"] = fact.objected
    return answers


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.split("\n")) if text else ()
