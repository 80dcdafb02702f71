"""Queueing asks what each recipient agreed to: who is mailed, who is not and why, and who is not tracked."""

from typing import Any

import pytest

from services.queueing.queueing import Queueing
from services.queueing.store import JobStore
from services.suppression.consent_store import ConsentStore
from services.suppression.consents import Saying
from shared.redis.cancels import CancelList, Cancels
from shared.redis.consents import Consents, Entry
from shared.redis.ready import ReadyQueues
from shared.redis.recipients import Waiting, pack_waiting
from shared.redis.suppression import SuppressionList
from shared.words import consent, events
from shared.words.consent import Declared, Rules, Topic
from tests.redis.test_queueing import (
    NOW_MS,
    P,
    Publisher,
    Sites,
    _entries,
    _facts,
    _job_id,
    _new,
    _ready,
)
from tests.redis.test_queueing import store as store


def consents(client: Any) -> Consents:
    return Consents(client, P, lambda: 0.0)


async def agreed(client: Any, address: str, **answers: str) -> None:
    given: dict[Topic, str] = {topic: answers[topic] for topic in consent.TOPICS if topic in answers}
    saying = Saying("acme", address, address, consent.change(given, 1), Entry(1_000, "e", "api"))
    await ConsentStore(client, P, consents(client).rules).record([saying])


def waiting(email: str, *said: Any) -> Waiting:
    return Waiting(email=email, declared=Declared(*said).code)


async def queue(client: Any, store: JobStore, rows: list[Waiting]) -> None:
    await store.store(_job_id(), _new(len(rows)), [(0, pack_waiting(0, rows))], "queueing")
    queueing = Queueing(
        store,
        ReadyQueues(client, "email"),
        SuppressionList(client, P),
        Sites(),
        Publisher(client),
        Cancels(CancelList(client)),
        P,
        lambda: NOW_MS,
        consents=consents(client),
    )
    await queueing.take(2, await _entries(client, 2))


async def test_where_opt_in_is_required_persons_who_agreed_are_mailed_and_professionals_who_do_not_object(
    client: Any, store: JobStore
) -> None:
    await consents(client).rules.put("acme", Rules(gate="required"))
    await agreed(client, "agreed@x.test", email="yes")
    await agreed(client, "refused@x.test", email="no")
    await agreed(client, "shop@x.test", kind="professional")
    await agreed(client, "objects@x.test", kind="professional", objected="yes")
    names = ("Agreed@x.test", "refused@x.test", "nobody@x.test", "shop@x.test", "objects@x.test")
    rows = [*map(waiting, names), waiting("told@x.test", None, True), waiting("firm@x.test", "professional")]

    await queue(client, store, rows)

    assert await _ready(client) == ["Agreed@x.test", "firm@x.test", "shop@x.test", "told@x.test"]
    rejected = {fact.email: fact.reason for fact in await _facts(client, "Rejected")}
    assert rejected == {"refused@x.test": "not_opted_in", "nobody@x.test": "not_opted_in"}
    assert [(fact.email, fact.reason) for fact in await _facts(client, "Suppressed")] == [
        ("objects@x.test", "objected")
    ]


async def test_as_long_as_nothing_is_required_only_who_is_known_to_refuse_is_kept_away(
    client: Any, store: JobStore
) -> None:
    await agreed(client, "refused@x.test", email="no")

    await queue(client, store, [waiting("refused@x.test"), waiting("nobody@x.test")])

    assert await _ready(client) == ["nobody@x.test"]


@pytest.mark.parametrize(
    ("tracking", "untracked"), [("declared", {"no@x.test"}), ("required", {"no@x.test", "new@x.test"})]
)
async def test_nothing_is_recorded_about_who_has_not_agreed_to_it(
    client: Any, store: JobStore, tracking: consent.Gate, untracked: set[str]
) -> None:
    await consents(client).rules.put("acme", Rules(tracking=tracking))
    await agreed(client, "yes@x.test", tracking="yes")
    await agreed(client, "no@x.test", tracking="no")

    rows = [waiting("yes@x.test"), waiting("no@x.test", None, None, True), waiting("new@x.test")]
    await queue(client, store, rows)

    queues = ReadyQueues(client, "email")
    leases = [lease for p in range(P) for lease in (await queues.lease(p, "r", 60_000, 10, 10)).leases]
    readies = [events.decode("Ready", lease.body) for lease in leases]
    assert {one.email for one in readies if isinstance(one, events.Ready) and one.untracked} == untracked
    assert len(readies) == 3
