"""What the acts of a line do to the entries of its address, or would do: a dry run and an import decide alike. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from services.suppression.moving.telling import WORDS, Word
from services.suppression.moving.wishes import Act, Wish
from shared.words.scopes import BOUNCED, LEFT, Channel, Reason


class Standing(NamedTuple):
    """An entry of an address that is in force. `is_protected`: no file takes it off."""

    channel: Channel
    scope: str
    reason: Reason
    is_protected: bool = False


class Decision(NamedTuple):
    """What becomes of a line: the word and what is told with it; the acts that add, the entries that go, whether a soft
    bounce is counted, and whether those before are forgotten."""

    word: Word
    what: str
    adds: tuple[Act, ...] = ()
    removes: tuple[Standing, ...] = ()
    counts: bool = False
    forgives: bool = False


def decide(wish: Wish, standing: Sequence[Standing]) -> Decision:
    """Acts are of different entries, so each is decided by what stands before all of them."""
    if not wish.acts:
        return Decision("unchanged", "has expired")
    if len(wish.acts) == 1:
        return _DECIDE[wish.acts[0].verb](wish.acts[0], standing)
    each = [_DECIDE[act.verb](act, standing) for act in wish.acts]
    return Decision(
        min((one.word for one in each), key=WORDS.index),
        "; ".join(one.what for one in each if one.what),
        tuple(act for one in each for act in one.adds),
        tuple(gone for one in each for gone in one.removes),
        any(one.counts for one in each),
        any(one.forgives for one in each),
    )


def _list(act: Act, standing: Sequence[Standing]) -> Decision:
    """Who is there already stays for the stronger reason."""
    is_there = any(one.channel == act.channel and one.scope == act.scope for one in standing)
    return Decision("unchanged" if is_there else "listed", "", (act,))


def _resubscribe(_act: Act, standing: Sequence[Standing]) -> Decision:
    marketing = [one for one in standing if one.channel == "email" and one.scope == "marketing"]
    gone = tuple(one for one in marketing if one.reason in LEFT and not one.is_protected)
    if stays := [one for one in marketing if one not in gone]:
        return Decision("kept", f"{stays[0].reason} is not taken off by a list")
    if gone:
        return Decision("reactivated", f"gets marketing again, was {gone[0].reason}", (), gone)
    return Decision("unchanged", "")


def _soft(_act: Act, _standing: Sequence[Standing]) -> Decision:
    return Decision("counted", "", counts=True)


def _valid(_act: Act, standing: Sequence[Standing]) -> Decision:
    gone = tuple(one for one in standing if one.channel == "email" and one.reason in BOUNCED)
    if gone:
        return Decision("reactivated", f"was {', '.join(one.reason for one in gone)}", (), gone, forgives=True)
    return Decision("unchanged", "", forgives=True)


_DECIDE = {"list": _list, "resubscribe": _resubscribe, "soft": _soft, "valid": _valid}
