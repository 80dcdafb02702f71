"""Who is let in, and what those are told who are not."""

from contextlib import ExitStack

import pytest

from shared.process.settings import Quotas
from shared.words import quotas
from shared.words.errors import Problem, QuotaExceeded

DEFAULTS = Quotas(requests_per_second=10, requests_under_way=3).by_name()


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(clock: Clock) -> quotas.Admission:
    return quotas.Admission(DEFAULTS, clock)


def asked(admission: quotas.Admission, tenant: str, times: int, own: dict[str, int] | None = None) -> int:
    """How many of so many requests, one after the other, were let in."""
    count = 0
    for _ in range(times):
        try:
            with admission.admitted(tenant, own or {}):
                count += 1
        except Problem:
            pass
    return count


def test_the_settings_have_a_default_for_each_quota_and_nothing_else() -> None:
    assert tuple(Quotas().by_name()) == quotas.NAMES


def test_a_second_s_worth_comes_at_once_and_then_the_pace(admission: quotas.Admission, clock: Clock) -> None:
    assert asked(admission, "acme", 100) == 10

    clock.seconds += 0.5

    assert asked(admission, "acme", 100) == 5


def test_one_tenant_at_its_quota_leaves_the_others_theirs(admission: quotas.Admission) -> None:
    assert asked(admission, "acme", 1000) == 10

    assert asked(admission, "other", 10) == 10


def test_requests_under_way_are_counted_until_they_end_whatever_their_end(admission: quotas.Admission) -> None:
    with ExitStack() as under_way:
        for _ in range(3):
            under_way.enter_context(admission.admitted("acme", {}))
        with pytest.raises(Problem) as refused:
            under_way.enter_context(admission.admitted("acme", {}))
    with pytest.raises(ZeroDivisionError), admission.admitted("acme", {}):
        raise ZeroDivisionError

    assert refused.value.quota == QuotaExceeded("requests_under_way", 3, 3)
    with ExitStack() as under_way:
        for _ in range(3):
            under_way.enter_context(admission.admitted("acme", {}))


def test_a_refusal_names_the_quota_its_limit_and_its_use_and_when_to_come_back(admission: quotas.Admission) -> None:
    asked(admission, "acme", 10)

    with pytest.raises(Problem) as refused, admission.admitted("acme", {}):
        pass

    document = refused.value.document()
    assert (document.status, document.type) == (429, "urn:estafette:problem:quota_exceeded")
    assert document.quota == QuotaExceeded("requests_per_second", 10, 10)
    assert "requests_per_second" in document.detail
    assert int(refused.value.headers["Retry-After"]) >= 1


def test_a_tenant_s_own_quota_goes_before_the_default(admission: quotas.Admission) -> None:
    assert asked(admission, "acme", 100, {"requests_per_second": 20}) == 20
    assert asked(admission, "none", 100, {"requests_per_second": 0}) == 0


def test_what_is_remembered_of_tenants_is_bounded(
    admission: quotas.Admission, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "MAX_KNOWN", 50)

    for number in range(200):
        clock.seconds += 1
        assert asked(admission, f"t{number}", 1) == 1

    assert len(admission._asked) <= 50


def test_a_client_that_heeds_retry_after_is_refused_at_once(admission: quotas.Admission, clock: Clock) -> None:
    waits = []
    for _ in range(100):
        clock.seconds += 1
        waits.append(admission.refusal_wait_s("acme", 0))

    assert waits == [0] * 100


def test_who_asks_again_at_once_is_refused_at_a_pace(admission: quotas.Admission, clock: Clock) -> None:
    at_once = [admission.refusal_wait_s("acme", 0) for _ in range(quotas.REFUSALS_AT_ONCE)]
    then = [admission.refusal_wait_s("acme", 0) for _ in range(quotas.REFUSALS_PER_S)]

    assert at_once == [0] * quotas.REFUSALS_AT_ONCE
    assert then == pytest.approx([number / quotas.REFUSALS_PER_S for number in range(1, quotas.REFUSALS_PER_S + 1)])


def test_no_refusal_waits_longer_than_is_bearable(admission: quotas.Admission, clock: Clock) -> None:
    waits = [admission.refusal_wait_s("acme", 0) for _ in range(10_000)]
    clock.seconds += quotas.MAX_REFUSAL_WAIT_S + 0.1

    assert max(waits) == quotas.MAX_REFUSAL_WAIT_S
    assert admission.refusal_wait_s("acme", 0) == 0


def test_a_large_body_counts_as_many_refusals(admission: quotas.Admission) -> None:
    first = admission.refusal_wait_s("acme", 32_000_000)

    assert first == quotas.MAX_REFUSAL_WAIT_S
    assert admission.refusal_wait_s("acme", 0) == quotas.MAX_REFUSAL_WAIT_S


def test_one_tenant_s_refusals_make_nobody_else_wait(admission: quotas.Admission) -> None:
    for _ in range(1_000):
        admission.refusal_wait_s("acme", 0)

    assert admission.refusal_wait_s("other", 0) == 0
    assert asked(admission, "other", 100) == 10


def test_answers_tell_what_is_left_of_the_requests(admission: quotas.Admission, clock: Clock) -> None:
    assert admission.told("acme", {})["RateLimit"] == '"requests_per_second";r=10;t=1'

    asked(admission, "acme", 12)
    spent, own = admission.told("acme", {}), admission.told("acme", {"requests_per_second": 500})
    clock.seconds += 0.25

    assert spent == {
        "RateLimit-Policy": '"requests_per_second";q=10;w=1',
        "RateLimit": '"requests_per_second";r=0;t=1',
    }
    assert own["RateLimit-Policy"] == '"requests_per_second";q=500;w=1'
    assert admission.told("acme", {})["RateLimit"] == '"requests_per_second";r=2;t=1'


def test_a_refusal_tells_of_its_own_quota() -> None:
    kept, pace = quotas.exceeded("open_jobs", 100, 100, 60), quotas.exceeded("requests_per_second", 10, 10, 0.1)

    assert kept.headers == {
        "Retry-After": "60",
        "RateLimit-Policy": '"open_jobs";q=100',
        "RateLimit": '"open_jobs";r=0;t=60',
    }
    assert pace.headers["RateLimit-Policy"] == '"requests_per_second";q=10;w=1'
