"""What an entry of the suppression list stops: by examples, and against a model that knows nothing but sentences."""

import itertools
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words import scopes
from shared.words.scopes import CHANNELS, REASONS, SOURCES, STRENGTH, Channel, Entry, Reason

NOW_MS = 1_790_000_000_000
STREAMS = ("bulk", "transactional", "one_to_one")
LISTS = ("", "news", "offers")


def entry(
    reason: Reason = "unsubscribed", scope: str = "all", channel: Channel = "email", expires_ms: int = 0
) -> Entry:
    return scopes.entry(reason, scope, channel=channel, at_ms=1, expires_ms=expires_ms)


def stopped(entries: list[Entry], channel: Channel = "email") -> dict[tuple[str, str], Reason]:
    """Of each stream and list the reason for which nothing goes, where there is one."""
    found = {
        (stream, name): scopes.stops(entries, channel, stream, name, NOW_MS) for stream in STREAMS for name in LISTS
    }
    return {place: reason for place, reason in found.items() if reason is not None}


def test_who_leaves_a_list_gets_all_but_what_that_list_sends() -> None:
    assert stopped([entry("unsubscribed", "list:news")]) == {("bulk", "news"): "unsubscribed"}


def test_a_complaint_stops_all_marketing_and_nothing_else() -> None:
    assert stopped([entry("complaint", "marketing")]) == {("bulk", name): "complaint" for name in LISTS}


def test_an_address_that_is_bad_gets_nothing() -> None:
    assert stopped([entry("hard_bounce", "all")]) == {
        (stream, name): "hard_bounce" for stream in STREAMS for name in LISTS
    }


def test_a_list_without_a_name_is_left_by_nobody() -> None:
    with pytest.raises(ValueError, match="`all`"):
        entry("unsubscribed", "list:")


def test_what_is_said_of_one_channel_is_not_said_of_another() -> None:
    assert stopped([entry("unsubscribed", "all", channel="sms")]) == {}
    assert len(stopped([entry("unsubscribed", "all", channel="sms")], "sms")) == 9


def test_the_strongest_of_those_that_match_is_told() -> None:
    both = [entry("hard_bounce", "all"), entry("complaint", "marketing"), entry("unsubscribed", "list:news")]

    assert scopes.stops(both, "email", "transactional", "news", NOW_MS) == "hard_bounce"
    assert scopes.stops(both, "email", "bulk", "news", NOW_MS) == "complaint"


def test_what_has_expired_stops_nothing() -> None:
    assert stopped([entry("manual", "all", expires_ms=NOW_MS)]) == {}
    assert len(stopped([entry("manual", "all", expires_ms=NOW_MS + 1)])) == 9


@pytest.mark.parametrize("reason", REASONS)
def test_the_usual_scope_of_each_reason(reason: Reason) -> None:
    of_marketing = reason in ("objected", "unsubscribed", "complaint")

    assert scopes.usual(reason) == ("marketing" if of_marketing else "all")
    with_list = "list:news" if reason == "unsubscribed" else scopes.usual(reason)
    assert scopes.usual(reason, "news") == with_list


def test_the_strengths_are_numbers_of_one_byte_in_the_order_that_is_promised() -> None:
    assert list(STRENGTH.values()) == sorted(set(STRENGTH.values()))
    assert all(0 < number < 128 for number in STRENGTH.values())
    assert REASONS == (
        "soft_bounces", "inactive", "mailbox_full", "hard_bounce", "manual", "objected", "unsubscribed", "complaint",
        "erased", "compliance",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["all", "marketing", "list:news", "list:Été : offres\n2", "list:" + "x" * 64])
def test_a_scope_is_read(text: str) -> None:
    assert scopes.parse(text) == text
    assert re.search(scopes.PATTERN, text)


@pytest.mark.parametrize("text", ["", "none", "ALL", "list", "list:", "list:" + "x" * 65])
def test_what_is_no_scope_is_refused_with_words(text: str) -> None:
    with pytest.raises(ValueError, match="`all`, `marketing`, or `list:`"):
        scopes.parse(text)
    assert not re.search(scopes.PATTERN, text)


# Against a model

SCOPES = ("all", "marketing", "list:news", "list:offers")
ENTRIES = st.builds(
    scopes.entry,
    st.sampled_from(REASONS),
    st.sampled_from(SCOPES),
    channel=st.sampled_from(CHANNELS),
    source=st.sampled_from(SOURCES),
    at_ms=st.integers(1, 9),
    expires_ms=st.sampled_from((0, NOW_MS - 1, NOW_MS, NOW_MS + 1, NOW_MS + 2)),
)


def test_an_entry_says_what_it_was_made_of() -> None:
    for reason, scope, channel, source in itertools.product(REASONS, SCOPES, CHANNELS, SOURCES):
        made = scopes.entry(reason, scope, channel=channel, source=source, at_ms=5, expires_ms=7)

        assert (made.reason, made.scope, made.channel, made.source) == (reason, scope, channel, source)
        assert (made.first_ms, made.last_ms, made.expires_ms) == (5, 5, 7)
        assert made.place == scopes.place_of(channel, scope)


def model(entries: list[Entry], channel: str, stream: str, name: str) -> str | None:
    """In sentences: every entry says what it stops as a set; the reasons are looked up in the sentence of the issue."""
    strongest_first = (
        "compliance erased complaint unsubscribed objected manual hard_bounce mailbox_full inactive soft_bounces"
    )
    everything = {(c, s, n) for c in CHANNELS for s in STREAMS for n in LISTS}
    stops = {
        "all": everything,
        "marketing": {place for place in everything if place[1] == "bulk"},
        "list:news": {place for place in everything if place[1:] == ("bulk", "news")},
        "list:offers": {place for place in everything if place[1:] == ("bulk", "offers")},
    }
    matching = {
        one.reason
        for one in entries
        if one.channel == channel
        if not 1 <= one.expires_ms <= NOW_MS
        if (channel, stream, name) in stops[one.scope]
    }
    return next((reason for reason in strongest_first.split() if reason in matching), None)


@given(st.lists(ENTRIES, max_size=6), st.sampled_from(CHANNELS), st.sampled_from(STREAMS), st.sampled_from(LISTS))
def test_what_stops_a_message_is_what_the_model_says(
    entries: list[Entry], channel: Channel, stream: str, name: str
) -> None:
    assert scopes.stops(entries, channel, stream, name, NOW_MS) == model(entries, channel, stream, name)


@given(ENTRIES, ENTRIES)
def test_an_entry_is_never_weaker_or_shorter_for_what_is_said_again(old: Entry, new: Entry) -> None:
    new = msgspec.structs.replace(new, kind=old.kind, list=old.list)

    found = scopes.merged(old, new, NOW_MS)

    alive = scopes.alive([old, new], NOW_MS)
    for channel, stream, name in itertools.product(CHANNELS, STREAMS, LISTS):
        of_both = scopes.stops([old, new], channel, stream, name, NOW_MS)
        assert scopes.stops([found], channel, stream, name, NOW_MS) == of_both
    if len(alive) == 2:
        assert found.strength == max(old.strength, new.strength)
        assert (found.first_ms, found.last_ms) == (min(old.first_ms, new.first_ms), max(old.last_ms, new.last_ms))
        assert (found.expires_ms or 2**63) == max(old.expires_ms or 2**63, new.expires_ms or 2**63)
        assert found == scopes.merged(new, old, NOW_MS) or old.reason == new.reason
    elif alive:
        assert found == alive[0]
