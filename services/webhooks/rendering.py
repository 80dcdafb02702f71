"""An event as an endpoint is told it: the body of Standard Webhooks, `type`, `timestamp` and `data`. Pure.

Several go as one body of the type `events`, whose `data` is the list of theirs, each as it would be alone. Bodies are
made once, before they wait, so that a batch is made by joining bytes and every repeat has the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from services.webhooks.endpoints import ALWAYS, About
from shared.words import events, ids, public
from shared.words.times import rfc3339


def data(fact: events.Fact, about: About, email: str | None, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """All that there is. `email` and `metadata` are the recipient's, where known."""
    is_message = fact.job and fact.ordinal is not None
    return {
        "event_id": fact.event_id,
        "job": fact.job or None,
        "message": ids.message_id(fact.job, fact.ordinal or 0) if is_message else None,
        "sequence": fact.sequence,
        "email": fact.email or email,
        "list": about.list or None,
        "stream": about.stream or None,
        "category": about.category or None,
        "tags": about.tags,
        "metadata": metadata or {},
        "details": public.details(fact),
    }


def chosen(whole: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """These of them, and always the event's id. No fields: all."""
    if not fields:
        return dict(whole)
    found = {name: value for name, value in whole.items() if name in fields or name == ALWAYS}
    parts = {name.removeprefix("details.") for name in fields if name.startswith("details.")}
    if parts and "details" not in found:
        found["details"] = {name: value for name, value in whole["details"].items() if name in parts}
    return found


def body(kind: str, occurred_ms: int, content: Mapping[str, Any]) -> bytes:
    """Of one event."""
    return orjson.dumps({"type": kind, "timestamp": rfc3339(occurred_ms), "data": content})


def together(bodies: Sequence[bytes], made_ms: int) -> bytes:
    """Of several events."""
    return b'{"type":"events","timestamp":"%b","data":[%b]}' % (rfc3339(made_ms).encode("ascii"), b",".join(bodies))


def order_of(fact: events.Fact) -> str:
    """What keeps its order: the events of one message, of one address, of one job. "": they have none."""
    if fact.job:
        return fact.job if fact.ordinal is None else f"{fact.job}.{fact.ordinal}"
    return fact.email or ""


def key_of(fact: events.Fact) -> str:
    """The `webhook-id` of an event that goes alone: the same for every repeat of the same event."""
    return f"msg_{fact.event_id}"
