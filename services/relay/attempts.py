"""What attempts come to, as metrics: by provider, outcome, phase and class of reply, and why a message is tried again.

Providers are the named ones and `other`; outcomes, phases, classes and reasons are ours. So all labels are bounded.
"""

from functools import cache

from prometheus_client import Counter

from services.relay.message.mail import End
from services.relay.words.hop import NoRoute
from services.relay.words.reply import ConnectFailed, ConnectionLost, Reply
from shared.words import events
from shared.words.sites import provider_label

OUTCOMES = Counter(
    "estafette_relay_outcomes_total",
    "Messages that left the hands of the relay: delivered, deferred, hard, soft, block (bounces), expired, …",
    ["outcome", "provider"],
)
RETRIES = Counter(
    "estafette_relay_retries_total", "Attempts after which the message is tried again, by why", ["reason"]
)
REPLIES = Counter(
    "estafette_relay_replies_total",
    "What attempts were answered, where in the dialogue: 2xx, 4xx, 5xx, lost or failed without a reply, no_route",
    ["provider", "phase", "class"],
)

# Looking up a labelled child costs more than counting.
_outcome, _retry, _reply = cache(OUTCOMES.labels), cache(RETRIES.labels), cache(REPLIES.labels)


def count_end(end: End) -> None:
    """Once it is recorded."""
    fact = end.fact
    if fact is None:
        return
    outcome = fact.kind if isinstance(fact, events.Bounced) else type(fact).__name__.lower()
    _outcome(outcome, provider_label(end.mail.lease.site)).inc()
    if isinstance(fact, events.Deferred):
        _retry(fact.reason).inc()


def count_answer(site: str, answer: Reply | ConnectFailed | ConnectionLost | NoRoute) -> None:
    """What a host said last in an attempt, or how it failed to."""
    match answer:
        case NoRoute():
            phase, said = "route", "no_route"
        case Reply() | ConnectFailed(reply=Reply()):
            reply = answer if isinstance(answer, Reply) else answer.reply
            phase, said = answer.stage, f"{(reply.code if reply else 500) // 100}xx"
        case ConnectFailed():
            phase, said = answer.stage, "failed"
        case ConnectionLost():
            phase, said = answer.stage, "lost"
    _reply(provider_label(site), phase, said).inc()
