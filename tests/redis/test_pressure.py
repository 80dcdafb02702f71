"""Marketing pressure in a real Redis: each mail counts once, and nobody gets more than the rules allow (M5)."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.redis import redis
from shared.redis.pressure import Mail, Pressure, PressureRules, Reached
from shared.words import ids, pressure
from shared.words.pressure import DAY_S, Rule

P = 4
NOW_S = 1_790_000_000
ANA, BO = "ana@x.test", "bo@x.test"


class Clock:
    """Seconds, as one that never goes back has them."""

    def __init__(self) -> None:
        self.s = NOW_S

    def now_ms(self) -> int:
        return self.s * 1000

    def monotonic(self) -> float:
        return float(self.s)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def counts(client: Any, clock: Clock) -> Pressure:
    return Pressure(client, P, clock.now_ms, clock.monotonic)


def reached(client: Any) -> Reached:
    return Reached(client, P)


def job(number: int) -> str:
    return ids.new_job_id(NOW_S * 1000 + number, number.to_bytes(6, "big"), P)


async def ruled(client: Any, clock: Clock, *rules: Rule) -> Pressure:
    made = counts(client, clock)
    await made.rules.put("acme", rules)
    return made


async def ask(made: Pressure, number: int, *addresses: str, stream: str = "bulk", tenant: str = "acme") -> list[bool]:
    mails = [Mail(ordinal, address) for ordinal, address in enumerate(addresses)]
    return await made.count(tenant, stream, job(number), mails)


async def held(client: Any) -> dict[str, dict[bytes, bytes]]:
    names = [name.decode() async for name in client.scan_iter("est:*:pressure:*")]
    return {name: await client.hgetall(name) for name in names}


async def test_the_third_mail_of_a_day_is_refused_and_goes_when_the_first_is_a_day_old(
    client: Any, clock: Clock
) -> None:
    made = await ruled(client, clock, Rule(2, 1))

    found = []
    for number, at_s in enumerate((0, 10, 20, DAY_S - 1, DAY_S, DAY_S + 9, DAY_S + 10)):
        clock.s = NOW_S + at_s
        found += await ask(made, number, ANA)

    assert found == [True, True, False, False, True, False, True]


async def test_all_rules_have_to_be_kept(client: Any, clock: Clock) -> None:
    made = await ruled(client, clock, Rule(2, 1), Rule(3, 7))

    assert await ask(made, 1, ANA) + await ask(made, 2, ANA) + await ask(made, 3, ANA) == [True, True, False]
    clock.s += DAY_S
    assert await ask(made, 4, ANA) + await ask(made, 5, ANA) == [True, False]
    clock.s += 6 * DAY_S
    assert await ask(made, 6, ANA) + await ask(made, 7, ANA) + await ask(made, 8, ANA) == [True, True, False]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rules=st.lists(
        st.builds(Rule, st.integers(1, 4), st.integers(1, 6)), min_size=1, max_size=3, unique_by=lambda rule: rule.days
    ),
    steps=st.lists(
        st.tuples(st.integers(0, 2 * DAY_S), st.sampled_from((ANA, "Ana@X.test", BO)), st.booleans()), max_size=30
    ),
)
async def test_what_goes_is_what_looking_at_all_mails_that_went_says(
    redis_url: str, rules: list[Rule], steps: list[tuple[int, str, bool]]
) -> None:
    client: Any = redis.connect(redis_url)
    await client.flushall()
    clock = Clock()
    made = await ruled(client, clock, *pressure.ordered(rules))
    sent: dict[str, list[int]] = {ANA: [], BO: []}
    for number, (wait_s, address, is_given_back) in enumerate(steps):
        clock.s += wait_s
        mine = sent[address.lower()]
        free = all(sum(clock.s - at_s < rule.days * DAY_S for at_s in mine) < rule.most for rule in rules)

        assert await ask(made, number, address) == [free]

        if free and is_given_back:
            await made.give_back("acme", "bulk", job(number), [Mail(0, address)])
        elif free:
            mine.append(clock.s)
    for address, mine in sent.items():
        kept = await reached(client).sent_s("acme", address)
        assert [pressure.used(kept, rule, clock.s) for rule in rules] == [
            sum(clock.s - at_s < rule.days * DAY_S for at_s in mine) for rule in rules
        ]
    await redis.close(client)


async def test_a_mail_counts_once_however_often_it_is_asked_for_and_keeps_its_answer(client: Any, clock: Clock) -> None:
    made = await ruled(client, clock, Rule(2, 1))

    assert [await ask(made, 1, ANA, BO) for _ in range(5)] == [[True, True]] * 5
    assert await reached(client).sent_s("acme", ANA) == [NOW_S]
    assert await ask(made, 2, ANA) == [True]
    assert await ask(made, 3, ANA) == [False]
    assert [await ask(made, number, ANA) for number in (1, 2, 3)] == [[True], [True], [False]]


async def test_two_contacts_of_a_job_with_one_address_are_two_mails(client: Any, clock: Clock) -> None:
    made = await ruled(client, clock, Rule(1, 1))

    assert await ask(made, 1, ANA, BO, ANA.upper()) == [True, True, False]


async def test_jobs_that_race_for_an_address_never_give_it_more_than_it_may_get(client: Any, clock: Clock) -> None:
    everybody = [f"p{n}@x.test" for n in range(40)]
    await ruled(client, clock, Rule(3, 2))
    processes = [counts(client, clock) for _ in range(4)]

    jobs = [(processes[n % 4], n // 2) for n in range(20)]  # each of ten jobs twice, in two processes
    answers = await asyncio.gather(*(ask(made, number, *everybody) for made, number in jobs))

    for at in range(len(everybody)):
        assert len({number for (_, number), answer in zip(jobs, answers, strict=True) if answer[at]}) == 3
    for address in everybody:
        assert len(await reached(client).sent_s("acme", address)) == 3


async def test_what_is_given_back_makes_room_and_what_was_never_counted_makes_none(client: Any, clock: Clock) -> None:
    made = await ruled(client, clock, Rule(2, 1))
    assert await ask(made, 1, ANA) + await ask(made, 2, ANA) + await ask(made, 3, ANA) == [True, True, False]

    for number in (1, 1, 3, 9):
        await made.give_back("acme", "bulk", job(number), [Mail(0, ANA), Mail(7, ANA), Mail(0, BO)])

    assert len(await reached(client).sent_s("acme", ANA)) == 1
    assert await ask(made, 4, ANA) + await ask(made, 5, ANA) == [True, False]


@pytest.mark.parametrize("stream", ["transactional", "one_to_one"])
async def test_what_is_no_marketing_is_neither_held_nor_counted(client: Any, clock: Clock, stream: str) -> None:
    made = await ruled(client, clock, Rule(1, 1))

    assert await ask(made, 1, ANA, stream=stream) == [True]
    assert await ask(made, 2, ANA) == [True]
    assert await ask(made, 3, ANA, stream=stream) == [True]
    assert await ask(made, 4, ANA) == [False]


async def test_without_rules_nothing_is_kept_and_each_tenant_has_its_own(client: Any, clock: Clock) -> None:
    made = counts(client, clock)
    assert await ask(made, 1, ANA) == [True]
    await made.give_back("acme", "bulk", job(1), [Mail(0, ANA)])
    assert await held(client) == {}

    await made.rules.put("acme", (Rule(1, 1),))
    assert await ask(made, 2, ANA) + await ask(made, 3, ANA) == [True, False]
    assert await ask(made, 3, ANA, tenant="zeta") == [True]
    await made.rules.put("acme", ())
    assert await ask(made, 4, ANA) == [True]


async def test_a_change_of_rules_holds_within_a_second(client: Any, clock: Clock) -> None:
    made, elsewhere = counts(client, clock), PressureRules(client, clock.monotonic)
    assert await ask(made, 1, ANA, BO) == [True, True]

    await elsewhere.put("acme", (Rule(1, 7),))
    clock.s += 1

    assert await ask(made, 2, ANA) + await ask(made, 3, ANA) == [True, False]


async def test_what_is_kept_goes_with_the_longest_period(client: Any, clock: Clock) -> None:
    made = await ruled(client, clock, Rule(2, 1), Rule(5, 7))
    await ask(made, 1, ANA, BO)

    for name in await held(client):
        assert 7 * DAY_S - 5 <= await client.ttl(name) <= 7 * DAY_S


async def test_a_bucket_that_lives_on_forgets_who_got_nothing_for_long(
    client: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.redis.pressure.BUCKETS", 1)
    made = await ruled(client, clock, Rule(2, 4))
    old = [f"old{n}@x.test" for n in range(50)]
    await ask(made, 1, *old)
    clock.s += 3 * DAY_S
    await ask(made, 2, *(f"mid{n}@x.test" for n in range(50)))
    clock.s += DAY_S + 1

    await ask(made, 3, *(f"new{n}@x.test" for n in range(50)))

    assert sum(len(fields) - 1 for fields in (await held(client)).values()) == 100
    assert all([await reached(client).sent_s("acme", address) == [] for address in old])


async def test_who_is_forgotten_has_nothing_left(client: Any, clock: Clock) -> None:
    made = await ruled(client, clock, Rule(1, 7))
    await ask(made, 1, ANA, BO)

    await reached(client).forget("acme", "Ana@X.test")

    assert (await reached(client).sent_s("acme", ANA), await reached(client).sent_s("acme", BO)) == ([], [NOW_S])
