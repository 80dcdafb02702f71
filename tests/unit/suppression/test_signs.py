"""What a fact says of its address as long as that is not known to be bad."""

from typing import Any

import pytest

from services.suppression import signs
from services.suppression.escalation import Delivery, Person, Seen, Soft
from shared.words import events

COMMON: dict[str, Any] = {"event_id": "e", "occurred_at": 7, "tenant": "t", "job": "j", "ordinal": 0}


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (events.Bounced(**COMMON, kind="soft", reason="system_unavailable"), Soft(7, "j.0", "soft_bounces")),
        (events.Bounced(**COMMON, kind="soft", reason="mailbox_full"), Soft(7, "j.0", "mailbox_full")),
        (events.Bounced(**COMMON, kind="soft", reason="unknown_user", late=True), Soft(7, "j.0", "unknown_user", True)),
        (events.Bounced(event_id="e", occurred_at=7, tenant="t", email="a@b.example"), Soft(7, "e", "soft_bounces")),
        (events.Expired(**COMMON, reply="452 4.2.2 Mailbox full"), Soft(7, "j.0", "mailbox_full")),
        (events.Delivered(**COMMON), Delivery(7)),
        (events.Opened(**COMMON), Person(7)),
        (events.Clicked(**COMMON), Person(7)),
        (events.DocumentOpened(**COMMON, position=2), Person(7)),
        (events.Replied(**COMMON), Person(7)),
    ],
)
def test_soft_bounces_deliveries_and_people_say_something(fact: events.Fact, said: Seen) -> None:
    assert signs.seen(fact) == said
    assert type(fact).__name__ in signs.NAMES


@pytest.mark.parametrize(
    "fact",
    [
        events.Bounced(**COMMON, kind="hard", reason="unknown_user"),
        events.Bounced(**COMMON, kind="block", reason="spam"),
        events.Bounced(**COMMON, kind="soft", reason="too_big"),
        events.Bounced(**COMMON, kind="soft", reason="unknown_outcome"),
        events.Expired(**COMMON),
        events.Expired(**COMMON, reply="451 4.7.1 Greylisted, come back"),
        events.Expired(**COMMON, reply="421 4.7.0 blocked for spam from your IP"),
        events.Deferred(**COMMON, reply="452 4.2.2 Mailbox full"),
        events.Opened(**COMMON, machine="proxy"),
        events.Clicked(**COMMON, machine="scanner"),
        events.DocumentOpened(**COMMON, position=2, machine="scanner"),
        events.DocumentOpened(**COMMON),
        events.Complained(**COMMON),
    ],
)
def test_machines_deferrals_blocks_and_what_is_about_the_mail_say_nothing(fact: events.Fact) -> None:
    assert signs.seen(fact) is None
