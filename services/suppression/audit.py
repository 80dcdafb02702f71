"""What an operator does to suppression lists, as the fact that is told of it, by HTTP and at the console alike."""

from typing import Literal, NamedTuple

from shared.words import events


class Hand(NamedTuple):
    """Whose hand it was: `tenant` is that of the operator's key ("" at the console), `who` the key or the person."""

    tenant: str
    who: str


def acted(
    hand: Hand,
    action: Literal["suppress", "reactivate"],
    tenant: str,
    address: str,
    now_ms: int,
    why: str = "",
    until_ms: int = 0,
) -> events.Acted:
    """`tenant` is whose list it is, "" for the one of all."""
    target = f"address:{address}" + (f" tenant:{tenant}" if tenant else "")
    return events.Acted(
        **events.about(hand.tenant, now_ms, "operated", action, target, hand.who, now_ms),
        action=action,
        target=target,
        who=hand.who,
        why=why,
        until_at=until_ms,
    )
