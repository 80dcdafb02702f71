"""What is found out of hosts: how many connections they take, when they are dialled again, and what is forgotten."""

import pytest

from services.relay.traffic import hosts as hosts_module
from services.relay.traffic.hosts import (
    BUSY_MOST_S,
    BUSY_S,
    FORGOTTEN_S,
    FULL_S,
    GROW_MOST_S,
    GROW_S,
    LATELY_S,
    SILENT_MOST_S,
    SILENT_S,
    Hosts,
)
from services.relay.words.hop import Hop
from services.relay.words.reply import ConnectFailed, Reply

HOP = Hop("mx.example.net", 25, "192.0.2.1")
REFUSED = ConnectFailed("connect", "mx.example.net", "Connection refused")


def said(code: int) -> ConnectFailed:
    reply = Reply(code, "", "odd words", "greeting", "mx.example.net")
    return ConnectFailed("greeting", "mx.example.net", reply.line, reply)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hosts(clock: Clock) -> Hosts:
    return Hosts(clock)


def open_one(hosts: Hosts, hop: Hop = HOP, source: str = "a1") -> None:
    hosts.dialling(hop, source)
    hosts.opened(hop, source)


def fail(hosts: Hosts, failed: ConnectFailed, hop: Hop = HOP, source: str = "a1") -> bool:
    hosts.dialling(hop, source)
    return hosts.failed(hop, source, failed)


def wait_s(hosts: Hosts, hop: Hop = HOP, source: str = "a1") -> float:
    shut = hosts.shut(hop, source)
    return 0.0 if shut is None else shut.wait_s


def test_a_host_that_refuses_nothing_gets_as_many_connections_as_are_wanted(hosts: Hosts) -> None:
    for _ in range(100):
        open_one(hosts)

    assert hosts.shut(HOP, "a1") is None


@pytest.mark.parametrize("failed", [REFUSED, said(421), said(450), said(554)], ids=str)
def test_one_connection_too_many_is_not_tried_again_by_those_who_follow(hosts: Hosts, failed: ConnectFailed) -> None:
    for _ in range(9):
        open_one(hosts)
    fail(hosts, failed)

    shut = hosts.shut(HOP, "a1")

    assert shut is not None
    assert (shut.wait_s, shut.is_busy, str(shut.why)) == (FULL_S, True, str(failed))
    hosts.closed(HOP, "a1")
    assert hosts.shut(HOP, "a1") is None


def test_who_is_on_the_way_counts(hosts: Hosts) -> None:
    for _ in range(9):
        open_one(hosts)
    fail(hosts, REFUSED)
    hosts.closed(HOP, "a1")
    hosts.dialling(HOP, "a1")

    assert wait_s(hosts) == FULL_S
    hosts.gave_up(HOP, "a1")
    assert wait_s(hosts) == 0


def test_those_that_were_let_in_after_the_first_refusal_show_that_there_was_room(hosts: Hosts) -> None:
    for _ in range(20):
        hosts.dialling(HOP, "a1")
    for _ in range(3):
        hosts.opened(HOP, "a1")
    hosts.failed(HOP, "a1", said(421))
    for _ in range(6):
        hosts.opened(HOP, "a1")
    for _ in range(10):
        hosts.failed(HOP, "a1", said(421))

    hosts.closed(HOP, "a1")

    assert wait_s(hosts) == 0
    hosts.dialling(HOP, "a1")
    assert wait_s(hosts) == FULL_S


def test_a_connection_more_is_tried_less_and_less_often_while_it_is_one_too_many(hosts: Hosts, clock: Clock) -> None:
    for _ in range(9):
        open_one(hosts)
    fail(hosts, said(421))
    waits = []
    for _ in range(7):
        waited = 0
        while wait_s(hosts):
            clock.now += 5
            waited += 5
        waits.append(waited)
        fail(hosts, said(421))

    assert waits == [GROW_S, 30, 60, 120, 240, GROW_MOST_S, GROW_MOST_S]


def test_a_host_that_takes_more_again_is_found_out(hosts: Hosts, clock: Clock) -> None:
    for _ in range(2):
        open_one(hosts)
    fail(hosts, said(421))
    for _ in range(30):
        clock.now += GROW_S
        if hosts.shut(HOP, "a1") is None:
            open_one(hosts)

    for _ in range(30):
        hosts.closed(HOP, "a1")
    for _ in range(30):
        assert hosts.shut(HOP, "a1") is None
        open_one(hosts)


@pytest.mark.parametrize(
    ("failed", "first_s", "most_s"),
    [(REFUSED, SILENT_S, SILENT_MOST_S), (said(554), SILENT_S, SILENT_MOST_S), (said(421), BUSY_S, BUSY_MOST_S)],
    ids=str,
)
def test_with_nothing_open_the_pause_doubles_up_to_a_bound(
    hosts: Hosts, clock: Clock, failed: ConnectFailed, first_s: float, most_s: float
) -> None:
    waits = []
    for _ in range(10):
        fail(hosts, failed)
        waits.append(wait_s(hosts))
        clock.now += waits[-1]

    assert waits[:4] == [first_s, first_s * 2, first_s * 4, first_s * 8]
    assert waits[-1] == most_s
    shut = hosts.shut(HOP, "a1")
    assert shut is None


def test_those_that_were_dialled_together_are_one_failure(hosts: Hosts) -> None:
    for _ in range(20):
        hosts.dialling(HOP, "a1")
    for _ in range(20):
        hosts.failed(HOP, "a1", said(421))

    assert wait_s(hosts) == BUSY_S


def test_after_a_pause_one_tries_for_all_and_more_follow_as_mail_gets_through(hosts: Hosts, clock: Clock) -> None:
    fail(hosts, REFUSED)
    clock.now += SILENT_S
    hosts.dialling(HOP, "a1")

    shut = hosts.shut(HOP, "a1")
    assert shut is not None
    assert (shut.wait_s, shut.is_busy) == (FULL_S, True)
    hosts.opened(HOP, "a1")
    opened = 1
    for _ in range(5):
        hosts.took(HOP, "a1")
        while hosts.shut(HOP, "a1") is None and opened < 100:
            open_one(hosts)
            opened += 1
    assert 5 <= opened <= 12


def test_a_host_that_took_mail_a_moment_ago_and_refuses_more_speaks_of_our_pace(hosts: Hosts, clock: Clock) -> None:
    assert not fail(hosts, REFUSED), "it has taken nothing"
    clock.now += SILENT_S
    open_one(hosts)
    hosts.took(HOP, "a1")
    assert not fail(hosts, said(421)), "it has taken no more connections before"
    hosts.closed(HOP, "a1")
    assert fail(hosts, said(421))
    assert hosts.refused(HOP, "a1", said(421))

    clock.now += LATELY_S
    assert not hosts.refused(HOP, "a1", said(421))


def test_what_one_source_or_host_finds_is_nothing_to_another(hosts: Hosts) -> None:
    other = Hop("mx.example.net", 25, "192.0.2.2")
    fail(hosts, REFUSED)

    assert hosts.shut(HOP, "a2") is None
    assert hosts.shut(other, "a1") is None
    assert not hosts.is_in_use(HOP, "a2")


def test_after_half_an_hour_without_a_refusal_a_host_is_like_any_other(hosts: Hosts, clock: Clock) -> None:
    open_one(hosts)
    fail(hosts, REFUSED)
    assert hosts.shut(HOP, "a1") is not None

    clock.now += FORGOTTEN_S + 1
    for _ in range(100):
        assert hosts.shut(HOP, "a1") is None
        open_one(hosts)


def test_promise_8_no_more_hosts_are_remembered_than_the_bound_says(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts_module, "MOST_HOSTS", 3)
    hops = [Hop(f"mx{number}.example", 25) for number in range(6)]
    open_one(hosts, hops[1])

    for number in (0, 2, 0, 3, 4):
        fail(hosts, REFUSED, hops[number])

    assert len(hosts) == 3
    assert [number for number in range(5) if hosts.shut(hops[number], "a1")] == [3, 4]
    assert hosts.is_in_use(hops[1], "a1")


def test_what_is_kept_of_a_failure_is_not_where_it_happened(hosts: Hosts) -> None:
    try:
        raise REFUSED
    except ConnectFailed as caught:
        fail(hosts, caught)

    shut = hosts.shut(HOP, "a1")
    assert shut is not None
    assert (str(shut.why), shut.why.__traceback__) == (str(REFUSED), None)
