"""What a page knows of its reader, in a real Redis: who has left, by which event, and by what."""

from typing import Any

import pytest

from services.suppression.consent_store import ConsentStore
from services.suppression.consents import of_fact
from services.suppression.store import Addition, Lists, Removal
from services.tracking.abouts import Abouts
from shared.redis.consents import Consents
from shared.redis.recipients import Recipients
from shared.words import events, ids
from shared.words.tokens import Token

P = 3
ANA = "ana@example.fr"
NOW_MS = 1_800_000_000_000
JOB, OTHER = (ids.new_job_id(NOW_MS - 5_000, chance, P) for chance in (b"chance", b"others"))
EVENT = "0123456789abcdef"


@pytest.fixture
def abouts(client: Any) -> Abouts:
    return Abouts(client, P, Recipients(client, P), lambda: NOW_MS, lambda: 0.0)


@pytest.fixture
def lists(client: Any) -> Lists:
    return Lists(client, P, lambda: NOW_MS)


def token(kind: Any = "unsubscribe", address: str = ANA) -> Token:
    return Token(kind, JOB, 3, "acme", address=address)


def left(job: str = JOB, **fields: Any) -> Addition:
    made: dict[str, Any] = {"scope": "marketing", "event": EVENT, "job": job, "ordinal": 3}
    return Addition("acme", ANA, "unsubscribed", NOW_MS - 1_000, **(made | fields))


async def test_who_left_by_this_mail_is_known_by_the_event_and_who_came_back_too(abouts: Abouts, lists: Lists) -> None:
    before = await abouts.of(token())
    await lists.add([left()])
    after = await abouts.of(token())
    quick = await abouts.leaving(token())
    await lists.remove([Removal("acme", ANA, NOW_MS, "recipient", "1" * 16)])
    back = await abouts.of(token())

    assert (before.is_known, before.left_as, before.came_back_from, before.has_left) == (True, "", "", False)
    assert (after.left_as, after.came_back_from, after.can_undo) == (EVENT, "", True)
    assert quick.left_as == EVENT
    assert (back.left_as, back.came_back_from, back.has_left) == ("", EVENT, False)
    assert (await abouts.leaving(token())).came_back_from == EVENT


async def test_what_was_left_by_another_mail_or_another_list_is_none_of_this_mail(abouts: Abouts, lists: Lists) -> None:
    await lists.add([left(OTHER)])
    by_another = await abouts.of(token())
    await lists.add([left(scope="list:letter")])

    assert (by_another.has_left, by_another.left_as) == (True, "")
    assert (await abouts.leaving(token())).left_as == ""


async def test_who_left_since_they_agreed_reads_that_they_are_out_and_who_agrees_again_that_they_are_in(
    client: Any, abouts: Abouts, lists: Lists
) -> None:
    consents = ConsentStore(client, P, Consents(client, P, lambda: 0.0).rules)
    agreed = events.OptedIn(**events.about("acme", NOW_MS - 5_000, "agreed", email=ANA), channel="email", by="page")
    saying = of_fact(agreed)
    assert saying is not None
    await consents.record([saying])

    before = await abouts.of(token("preferences"))
    await lists.add([left(), left(channel="sms", event="2" * 16)])
    out = await abouts.of(token("preferences"))
    await lists.remove([Removal("acme", ANA, NOW_MS, "recipient", "1" * 16, "email")])
    back = await abouts.of(token("preferences"))

    assert [before.answer(one) for one in ("email", "sms", "phone")] == ["yes", "unknown", "unknown"]
    assert [out.answer(one) for one in ("email", "sms", "phone")] == ["no", "no", "unknown"]
    assert out.channels == ("email", "sms")
    assert [back.answer(one) for one in ("email", "sms", "phone")] == ["yes", "no", "unknown"]


async def test_of_a_test_nothing_is_asked(abouts: Abouts, lists: Lists) -> None:
    await lists.add([left()])

    about = await abouts.of(token(address=""))

    assert (about.is_known, about.has_left) == (True, False)
