"""What a relay does at every lease, connection and half second does not grow with the number of its sites.

Work is counted, not timed. Where it is for all of them once, ten times the sites may be ten times the work, and not a
hundred times.
"""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from services.relay.held import Limits
from services.relay.limits import slots as slots_module
from services.relay.limits.permits import Limit
from services.relay.limits.slots import Row, Slot, pieces, question
from services.relay.limits.until import Until
from services.relay.lines import Lines
from services.relay.message.mail import Mail
from services.relay.traffic import hosts as hosts_module
from services.relay.traffic.hosts import Hosts
from services.relay.words.hop import Hop
from services.relay.words.notnow import NotNow
from services.relay.words.outlet import Outlet
from shared.redis import redis
from shared.redis.ready import Lease
from shared.words import events
from tests.steps import steps

FEW, MANY = 300, 3_000
#: What ten times as much may cost: ten times as much, and some.
LINEAR = 12
P = 8
OUTLET = Outlet("default")


def mail(number: int, site: str, lane: int = 1, partition: int = 0) -> Mail:
    ready = events.Ready(tenant="acme", job="j", ordinal=number, email=f"u{number}@{site}")
    return Mail(Lease(partition, number, site, b"", lane, "acme"), ready)


def lines(sites: int) -> Lines:
    """So many sites, each with a message in line."""
    found = Lines(Limits(in_flight=2_000, batch=200, connections_per_site=20, lease_ms=15_000))
    for number in range(sites):
        site = f"site{number}.example"
        found.at(site, OUTLET, number % P).put(mail(number, site))
    return found


def refused(scope: str = "site") -> NotNow:
    return NotNow(1_000, "site", f"{scope}:a", 10.0)


@pytest.mark.parametrize("sites", [FEW, MANY])
def test_what_is_avoided_is_found_without_a_look_at_each_site(sites: int) -> None:
    busy = lines(sites)
    alone = lines(1)
    for some in (busy, alone):
        some.mark_slow(some.at("site0.example", OUTLET, 0), None, refused(), now=0.0)

    assert [one.site for one in busy.avoided(0, 0.5)] == []  # one message is less than enough of it
    assert steps(lambda: busy.avoided(0, 0.5)) == steps(lambda: alone.avoided(0, 0.5))
    assert steps(lambda: busy.avoided(1, 0.5)) == steps(lambda: alone.avoided(1, 0.5))


def test_a_site_that_has_ended_is_held_back_no_more_and_costs_nothing() -> None:
    some = lines(MANY)
    for line in list(some):
        some.mark_slow(line, None, refused(), now=0.0)

    for line in list(some):
        some.end(line)

    assert not list(some)
    none = lines(0)
    assert steps(lambda: some.avoided(0, 0.5)) == steps(lambda: none.avoided(0, 0.5))


def slots(count: int) -> Sequence[Slot]:
    """A connection to each of so many sites, all by one source."""
    return [
        Slot(f"r1/{number}", (f"site:{number}", f"site:{number} source:a1", "source:a1"), 10.0, lambda: 0.0)
        for number in range(count)
    ]


def asked_for(slot: Slot) -> slots_module._Asked:
    return slots_module._Asked(slot, [Limit(name, "site", connections=20) for name in slot.names])


def tended(count: int, *, renew: bool = True) -> list[Sequence[Row]]:
    some = slots(count)
    ending = {slot.id: slot.names for slot in some[::3]}
    return list(pieces(some if renew else [], ending, some))


def test_what_is_tended_grows_as_connections_do_and_not_as_their_square() -> None:
    few, many = steps(lambda: tended(FEW)), steps(lambda: tended(MANY))

    assert many < few * LINEAR


def test_no_call_that_tends_holds_redis_up() -> None:
    for renew in (True, False):
        found = tended(MANY, renew=renew)

        weights = [sum(1 + len(held) + len(ended) for _, held, ended in piece) for piece in found]
        assert max(weights) <= 3 * slots_module.TENDED_TOGETHER
        assert len(found) <= 2 + sum(weights) // slots_module.TENDED_TOGETHER


def test_what_is_asked_together_grows_as_those_who_ask() -> None:
    def asked(count: int) -> Callable[[], object]:
        some = [asked_for(slot) for slot in slots(count)]
        ending = {slot.id: slot.names for slot in slots(count)}
        return lambda: question(some, ending)

    assert steps(asked(MANY)) < steps(asked(FEW)) * LINEAR


def test_a_limit_has_one_number_in_a_question_whoever_is_under_it() -> None:
    some = slots(3)

    names, told = question([asked_for(one) for one in some[:2]], {some[2].id: some[2].names})

    ended, asked = msgspec.msgpack.decode(told)
    assert [*zip(names, ended, strict=True)][-2:] == [("site:2", ["r1/2"]), ("site:2 source:a1", ["r1/2"])]
    assert [[slot, *(names[number - 1] for number in rest[::2])] for slot, *rest in asked] == [
        [slot.id, *slot.names] for slot in some[:2]
    ]
    assert len(names) == len(set(names))


async def test_no_slot_is_asked_about_where_nothing_limits_connections() -> None:
    nobody = slots_module.Slots(redis.connect("redis://127.0.0.1:1"), "r1")

    assert isinstance(await nobody.connect([Limit("site:a", "site")]), Slot)


def test_what_holds_until_a_time_is_noted_at_the_same_cost_however_much_is_remembered() -> None:
    def noted(count: int) -> None:
        some: Until[int] = Until()
        for number in range(count):
            some.note(number, count, number / count)

    assert steps(lambda: noted(MANY)) < steps(lambda: noted(FEW)) * LINEAR


def test_a_host_more_costs_the_same_though_many_are_remembered_and_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def dialled_again(in_use: int) -> int:
        monkeypatch.setattr(hosts_module, "MOST_HOSTS", in_use)
        hosts = Hosts(lambda: 0.0)
        for number in range(in_use):
            hosts.dialling(Hop(f"mx{number}.example", 25), "a1")
        return steps(lambda: hosts.dialling(Hop("another.example", 25), "a1"))

    assert dialled_again(MANY) == dialled_again(FEW)
