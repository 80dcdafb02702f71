"""What is sent when, in simulated time: receivers that time out, reset, refuse, and come back."""

import heapq
import itertools
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.webhooks import schedule
from services.webhooks.schedule import SCHEDULE_S, Result
from services.webhooks.window import MOST_IN_HAND, Aside, Delivery, Event, State, Window

T0 = 1_790_000_000_000
DAY_MS = 86_400_000
TAKEN = Result(status=204)
TIMED_OUT = Result(error="timeout")
RESET = Result(error="reset")
ERROR = Result(status=500, error="status")
REDIRECT = Result(status=302, error="redirect")


def event(at: int, order: str = "") -> Event:
    return Event(f"{at}-0".encode(), order, f"msg_{at}", b'{"n":%d}' % at)


class Simulated:
    """An endpoint in simulated time: its queue, what is written down of it, and a receiver that answers after 10 ms.
    `sent` has (ms since the begin, key, events)."""

    def __init__(self, answer: Callable[[Delivery, int], Result], batch: int = 1, concurrency: int = 8) -> None:
        self.answer = answer
        self.batch = batch
        self.concurrency = concurrency
        self.now_ms = T0
        self.queue: dict[bytes, Event] = {}
        self.aside: dict[str, Aside] = {}
        self.given_up: list[bytes] = []
        self.state = State()
        self.sent: list[tuple[int, str, tuple[bytes, ...]]] = []
        self.attempts: list[tuple[str, int]] = []
        self.chance = Random(1)
        self.begin()

    def begin(self) -> None:
        """A process takes it: for the first time, or after a crash."""
        self.window = Window(
            self.state, dict(self.aside), url="https://exemple.fr/", batch=self.batch, concurrency=self.concurrency,
            disable_after_ms=5 * DAY_MS, batch_key=lambda members: "b" + "".join(members),
        )  # fmt: skip
        self.after = -1
        self.under_way: list[tuple[int, int, Delivery]] = []

    def put(self, *events: Event) -> None:
        self.queue |= {one.entry: one for one in events}

    def run(self, until_ms: int) -> None:
        """On to that time, in ms since the begin; in steps from one thing to do to the next."""
        number = len(self.sent)
        while True:
            going = self.window.next(self.now_ms)
            for one in going:
                number += 1
                self.sent.append((self.now_ms - T0, one.key, tuple(part.entry for part in one.events)))
                heapq.heappush(self.under_way, (self.now_ms + 10, number, one))
            self.settle()
            asked = self.window.room
            found = [one for one in self.queue.values() if int(one.entry[:-2]) > self.after][:asked]
            if asked:
                self.after = int(found[-1].entry[:-2]) if found else self.after
                self.window.take(found, asked)
            if going or found:
                continue
            times = [self.under_way[0][0]] if self.under_way else []
            due_ms = self.window.due_ms(self.now_ms)
            times += [due_ms] if due_ms is not None and due_ms > self.now_ms else []
            if not times or min(times) - T0 > until_ms:
                self.now_ms = T0 + until_ms
                return
            self.now_ms = min(times)
            while self.under_way and self.under_way[0][0] <= self.now_ms:
                _, _, one = heapq.heappop(self.under_way)
                result = self.answer(one, self.now_ms - T0)
                self.window.finished(one, result, self.now_ms, self.chance.random())
                self.attempts.append((one.key, one.attempts))

    def settle(self) -> None:
        change = self.window.change()
        for entry in (*change.done, *change.given_up):
            del self.queue[entry]
        self.given_up += change.given_up
        for key, aside in change.aside.items():
            if aside is None:
                self.aside.pop(key, None)
            else:
                self.aside[key] = aside


def waits(sent: list[int]) -> list[float]:
    return [(after - before - 10) / 1000 for before, after in itertools.pairwise(sent)]


@pytest.mark.parametrize("result", [TIMED_OUT, RESET, ERROR, REDIRECT, Result(status=404, error="status")])
def test_what_is_not_taken_goes_again_by_the_schedule_under_one_id_and_is_then_given_up(result: Result) -> None:
    simulated = Simulated(lambda *_: result)
    simulated.put(event(1))

    simulated.run(4 * DAY_MS)

    assert {key for _, key, _ in simulated.sent} == {"msg_1"}
    assert len(simulated.sent) == 10
    for wait_s, scheduled_s in zip(waits([at for at, _, _ in simulated.sent]), SCHEDULE_S, strict=True):
        assert scheduled_s <= wait_s <= scheduled_s * 1.1 + 0.001
    assert simulated.given_up == [b"1-0"]
    assert simulated.state.given_up == 1
    assert not simulated.queue
    assert not simulated.aside


def test_the_waits_are_those_of_standard_webhooks() -> None:
    assert [0, *SCHEDULE_S] == [0, 5, 5 * 60, 30 * 60, *(hours * 3_600 for hours in (2, 5, 10, 14, 20, 24))]
    assert len({schedule.next_ms(1, 0, ERROR, chance / 10) for chance in range(10)}) == 10


def test_who_is_back_gets_what_waited_in_order() -> None:
    simulated = Simulated(lambda _, at_ms: TAKEN if at_ms > 3_600_000 else ERROR)
    simulated.put(*(event(at, f"m{at % 10}") for at in range(100)))

    simulated.run(3 * 3_600_000)

    assert not simulated.queue
    taken = [entry for at, _, entries in simulated.sent if at > 3_599_980 for entry in entries]
    for order in range(10):
        mine = [int(entry[:-2]) for entry in taken if int(entry[:-2]) % 10 == order]
        assert mine == sorted(mine)
    assert simulated.state.failures == 0


def test_a_dead_endpoint_is_asked_as_often_as_a_few_deliveries_are_due_whatever_waits() -> None:
    simulated = Simulated(lambda *_: TIMED_OUT)
    simulated.put(*(event(at) for at in range(4_000)))

    simulated.run(3 * DAY_MS)

    assert len(simulated.sent) < 100
    assert len(simulated.queue) == 4_000


def test_410_disables_at_once() -> None:
    simulated = Simulated(lambda *_: Result(status=410, error="status"), concurrency=1)
    simulated.put(event(1), event(2))

    simulated.run(DAY_MS)

    assert len(simulated.sent) == 1
    assert simulated.state.why == "gone"
    assert len(simulated.queue) == 2


def test_who_takes_nothing_for_days_is_disabled_and_what_waits_is_kept() -> None:
    simulated = Simulated(lambda *_: ERROR)
    simulated.put(*(event(at) for at in range(50)))

    simulated.run(9 * DAY_MS)

    assert simulated.state.why == "failing"
    assert 5 * DAY_MS <= simulated.state.disabled_at - simulated.state.failing_since < 7 * DAY_MS
    assert len(simulated.queue) + len(simulated.given_up) == 50


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_heeded_for_the_endpoint_as_a_whole(status: int) -> None:
    asked = Result(status=status, error="status", retry_after_s=600)
    simulated = Simulated(lambda one, at_ms: asked if at_ms < 100 and one.key == "msg_1" else TAKEN, concurrency=1)
    simulated.put(event(1))
    simulated.run(50)
    simulated.put(event(2))

    simulated.run(DAY_MS)

    assert [key for _, key, _ in simulated.sent] == ["msg_1", "msg_1", "msg_2"]
    assert min(at for at, _, _ in simulated.sent[1:]) >= 600_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), ("0", 0), ("999999999999", 86_400), ("Mon, 21 Sep 2026 14:23:20 GMT", 10), ("soon", -1), ("-5", -1),
     ("1.5", -1), ("Mon, 99 Sep 2026", -1), ("", -1), ("9" * 5_000, 86_400)],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date_within_a_day(text: str, seconds: float) -> None:
    assert schedule.retry_after_s(text, 1_790_000_590_000) == seconds


def test_one_bad_event_holds_up_its_own_message_alone() -> None:
    simulated = Simulated(lambda one, _: ERROR if one.key == "msg_1" else TAKEN)
    simulated.put(event(1, "m1"), event(2, "m2"), event(3, "m1"), event(4, "m2"))

    simulated.run(60_000)

    assert set(simulated.queue) == {b"1-0", b"3-0"}
    simulated.run(4 * DAY_MS)
    assert not simulated.queue
    assert [key for _, key, _ in simulated.sent][-2:] == ["msg_1", "msg_3"]


def test_more_than_fits_in_hand_is_not_read_while_all_of_it_fails() -> None:
    simulated = Simulated(lambda one, _: ERROR if int(one.events[0].entry[:-2]) % 2 else TAKEN, concurrency=64)
    simulated.put(*(event(at) for at in range(3 * MOST_IN_HAND)))

    simulated.run(4_000)

    assert simulated.window.in_hand <= MOST_IN_HAND + 1_000


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=60),
    st.lists(st.sampled_from([TAKEN, TAKEN, TAKEN, ERROR, TIMED_OUT, RESET]), min_size=1, max_size=40),
    st.integers(1, 7),
    st.lists(st.integers(1, 20_000), max_size=4),
)
def test_nothing_is_lost_or_overtaken_whatever_fails_and_whoever_dies(
    orders: list[int], results: list[Result], batch: int, crashes: list[int]
) -> None:
    answers = iter(results)
    taken: list[bytes] = []
    bodies: dict[str, set[tuple[bytes, ...]]] = {}

    def answer(one: Delivery, _: int) -> Result:
        entries = tuple(part.entry for part in one.events)
        bodies.setdefault(one.key, set()).add(entries)
        result = next(answers, TAKEN)
        if result.is_taken:
            taken.extend(entries)
        return result

    simulated = Simulated(answer, batch)
    simulated.put(*(event(at, f"m{order}" if order else "") for at, order in enumerate(orders)))
    for at_ms in sorted(crashes):
        simulated.run(at_ms)
        simulated.begin()  # what was under way may have arrived, and nobody knows
    simulated.run(4 * DAY_MS)

    assert not simulated.queue
    assert {int(entry[:-2]) for entry in taken} == set(range(len(orders)))
    assert all(len(entries) == 1 for entries in bodies.values())  # one id, one body
    for order in set(orders) - {0}:
        firsts = [taken.index(f"{at}-0".encode()) for at, one in enumerate(orders) if one == order]
        assert firsts == sorted(firsts)
