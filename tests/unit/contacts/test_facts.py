"""What each fact changes of a contact, and which change nothing."""

from typing import Any

import pytest

from services.contacts.base.channels import CHANNELS, State
from services.contacts.facts import NAMES, effects
from shared.words import events
from shared.words.scopes import Channel

GONE = "550 5.1.1 No such user here"


def fact(made: type[events.Fact], /, **fields: Any) -> events.Fact:
    return made(event_id="0123456789abcdef", occurred_at=1, tenant="acme", **fields)


def after(one: events.Fact, **before: State) -> dict[Channel, State]:
    """The states that are not what nobody knows anything of."""
    states: dict[Channel, State] = {channel: before.get(channel, State()) for channel in CHANNELS}
    for effect in effects(one):
        states[effect.channel] = effect.change(states[effect.channel])
    return {channel: state for channel, state in states.items() if state != State()}


@pytest.mark.parametrize(
    ("one", "before", "expected"),
    [
        (fact(events.Bounced, kind="hard", reply=GONE), State(), State(status="hard", diagnostic=GONE)),
        (
            fact(events.Bounced, kind="soft", reply="452 full"),
            State(optin=True, status="soft", softs=1),
            State(optin=True, status="soft", softs=2, diagnostic="452 full"),
        ),
        (fact(events.Delivered), State(status="soft", softs=2), State(status="valid")),
        (fact(events.Delivered), State(optin=True, status="hard"), State(optin=True, status="valid")),
        (fact(events.Complained), State(optin=True), State(optin=True, left=True)),
        (fact(events.Unsubscribed), State(optin=True), State(optin=True, left=True)),
        (fact(events.Unsubscribed, scope="marketing"), State(optin=True), State(optin=True, left=True)),
        (fact(events.Unsubscribed, scope="new word"), State(), State(left=True)),
        (fact(events.OptedIn, channel="email"), State(left=True, opposed=True), State(optin=True)),
        (fact(events.PreferencesChanged, opted_out="email"), State(optin=True), State(optin=False, left=True)),
        (fact(events.PreferencesChanged, undone=True), State(optin=True, left=True), State(optin=True)),
        (fact(events.Reactivated), State(left=True, status="hard"), State(status="valid")),
        (fact(events.Reactivated, scope="marketing"), State(optin=True, left=True), State(optin=True)),
    ],
)
def test_e5_what_happens_to_mail_changes_how_a_contact_stands(one: events.Fact, before: State, expected: State) -> None:
    assert after(one, email=before).get("email", State()) == expected


@pytest.mark.parametrize(
    "one",
    [
        fact(events.Bounced, kind="block", reply="554 your address is listed"),
        fact(events.Unsubscribed, scope="list", list="news"),
        fact(events.Reactivated, scope="list:news"),
        fact(events.Reactivated, scope="all", reason="contacts"),
        fact(events.PreferencesChanged, joined="news", left="offers"),
        fact(events.OptedIn, channel="pigeon"),
        fact(events.Clicked),
    ],
)
def test_e5_a_list_is_no_opt_in_and_what_is_about_us_says_nothing_of_the_address(one: events.Fact) -> None:
    assert after(one, email=State(optin=True)) == {"email": State(optin=True)}


def test_e5_who_leaves_everything_leaves_every_channel() -> None:
    assert after(fact(events.Unsubscribed, scope="all")) == {one: State(left=True) for one in CHANNELS}
    assert after(fact(events.PreferencesChanged, objected="yes")) == {one: State(opposed=True) for one in CHANNELS}
    assert after(fact(events.PreferencesChanged, opted_out="sms\nphone")) == {
        one: State(optin=False, left=True) for one in ("sms", "phone")
    }


def test_who_leaves_by_a_job_with_a_list_has_left_that_alone() -> None:
    assert [one.unless_listed for one in effects(fact(events.Unsubscribed))] == [True]
    assert [one.unless_listed for one in effects(fact(events.Unsubscribed, scope="marketing"))] == [False]


def test_every_fact_that_changes_something_is_read() -> None:
    assert set(events.MESSAGES) >= NAMES
