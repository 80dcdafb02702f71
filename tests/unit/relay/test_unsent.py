"""What ends unsent is given back, and nothing else: marketing to its address (M5), a place to its operation (D7)."""

from collections.abc import Sequence
from typing import Any

import pytest

from services.relay.message.mail import End, Mail
from services.relay.unsent import Unsent
from shared.redis.once import Mark
from shared.redis.pressure import Mail as Counted
from shared.redis.ready import Lease
from shared.words import events

JOB, OTHER = "06h006mus2uer1pplc9g", "06h006mus2uer1pplca0"
PLACE = "2kQ7mPz0Vb9sXc1d"


class Pressure:
    def __init__(self) -> None:
        self.back: list[tuple[str, str, str, list[Counted]]] = []

    async def give_back(self, tenant: str, stream: str, job: str, mails: Sequence[Counted]) -> None:
        self.back.append((tenant, stream, job, list(mails)))


class Once:
    def __init__(self) -> None:
        self.back: list[tuple[str, str, list[Mark]]] = []

    async def give_back(self, tenant: str, job: str, marks: Sequence[Mark]) -> None:
        self.back.append((tenant, job, list(marks)))


def end(word: str, ordinal: int = 0, job: str = JOB, stream: str = "bulk", once: str = "", **fields: Any) -> End:
    ready = events.Ready(tenant="acme", job=job, ordinal=ordinal, email="ana@x.test", stream=stream, once=once)
    mail = Mail(Lease(2, 100 + ordinal, "x.test", events.encode(ready)), ready)
    about = events.about_message("acme", job, ordinal, 1, word.lower())
    return End(mail, getattr(events, word)(**about, **fields))


@pytest.mark.parametrize(
    ("word", "fields", "given_back"),
    [
        ("Cancelled", {}, True),
        ("Expired", {}, True),
        ("Suppressed", {"reason": "unsubscribed"}, True),
        ("Failed", {"reason": "render_failed"}, True),
        ("Failed", {"reason": "brought_relay_down"}, False),
        ("Delivered", {}, False),
        ("Bounced", {"kind": "soft"}, False),
        ("Deferred", {}, False),
    ],
)
async def test_a_mail_that_no_host_took_counts_for_nobody(word: str, fields: dict[str, Any], given_back: bool) -> None:
    pressure, once = Pressure(), Once()

    await Unsent(pressure, once).give_back([end(word, once=PLACE, **fields)])

    assert pressure.back == ([("acme", "bulk", JOB, [Counted(0, "ana@x.test")])] if given_back else [])
    assert once.back == ([("acme", JOB, [Mark(0, PLACE)])] if given_back else [])


async def test_mails_are_given_back_by_job_and_what_is_no_marketing_never() -> None:
    pressure, once = Pressure(), Once()
    ends = [end("Cancelled", 0), end("Cancelled", 1, OTHER), end("Expired", 2), end("Expired", 3, stream="one_to_one")]

    await Unsent(pressure, once).give_back(ends)

    assert [(job, [mail.ordinal for mail in mails]) for _, _, job, mails in pressure.back] == [
        (JOB, [0, 2]),
        (OTHER, [1]),
    ]
    assert once.back == []


async def test_a_place_is_given_back_whatever_the_stream() -> None:
    pressure, once = Pressure(), Once()

    await Unsent(pressure, once).give_back([end("Cancelled", 3, stream="transactional", once=PLACE)])

    assert (pressure.back, once.back) == ([], [("acme", JOB, [Mark(3, PLACE)])])
