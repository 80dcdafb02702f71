"""The gate against real limits: what shaping, sources and replies let through, and what they hold back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from services.relay import files
from services.relay.limits.paces import Paces
from services.relay.limits.permits import Permits
from services.relay.limits.slots import Slots
from services.relay.limits.tending import tend
from services.relay.traffic.egress import Egress, Source
from services.relay.traffic.gate import (
    IDLE_S,
    MAILS_PER_CONNECTION,
    Gate,
    Passage,
)
from services.relay.traffic.rules import Rules
from services.relay.traffic.shaping import Shaping
from services.relay.words.notnow import NotNow
from services.relay.words.outlet import Outlet
from services.relay.words.reply import Reply
from services.settings import Settings, load
from shared.process.settings import SettingsError
from shared.redis import keys
from shared.redis.heard import Heard
from shared.redis.ready import Queued, ReadyQueues
from shared.words import events, ids

P = 2
SITE = "mx.example.net"
JOB = "06dndml801in6t31cpig"
RULE = """
[[rule]]
name = "said-here"
match = 'do {action}'
action = "{action}"
{timed}
example = "421 4.7.0 do {action}"
but_not = "421 4.7.0 do nothing"
"""
SOURCES = """
[source.a1]
address = "127.0.0.2"
helo = "a1.example.net"
[source.a2]
address = "127.0.0.3"
helo = "a2.example.net"
[pool.default]
sources = ["a1", "a2"]
"""


class Clock:
    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_ms(self) -> int:
        return int((time.time() + self.ahead_s) * 1000)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


class NothingStopped:
    def holds_site(self, site: str) -> bool:
        return False

    def holds_source(self, site: str, source: str) -> bool:
        return False

    def pool_of(self, site: str, tenant: str) -> str:
        return ""


class Moved(NothingStopped):
    """An operator moved a tenant's mail for a site."""

    def __init__(self, pool: str) -> None:
        self.pool = pool

    def pool_of(self, site: str, tenant: str) -> str:
        return self.pool if (site, tenant) == (SITE, "acme") else ""


class Stopped(NothingStopped):
    """An operator suspended a site, and a source at another one."""

    def __init__(self, site: str = "", source: str = "") -> None:
        self.site, self.source = site, source

    def holds_site(self, site: str) -> bool:
        return site == self.site

    def holds_source(self, site: str, source: str) -> bool:
        return source == self.source


Make = Callable[..., Gate]


def rules(shaping: str = "", egress: str = "") -> Rules:
    return Rules(Shaping.parse(shaping), Egress.parse(egress))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def make(client: Any, clock: Clock) -> AsyncIterator[Make]:
    """A relay's gate, with its own view of the shared limits."""
    gates: list[Gate] = []

    def made(shaping: str = "", egress: str = "", owner: str = "r1", stops: Any = None, heard: Any = None) -> Gate:
        gate = Gate(
            rules(shaping, egress),
            Permits(client),
            Slots(client, owner),
            Paces(client, clock.monotonic),
            heard or Heard(client),
            stops or NothingStopped(),
            ReadyQueues(client, "email"),
            P,
            20,
            clock.now_ms,
            clock.monotonic,
        )
        gates.append(gate)
        return gate

    yield made
    for gate in gates:
        await gate.finish()


def ready(tenant: str = "acme", job: str = JOB, stream: str = "bulk") -> events.Ready:
    return events.Ready(tenant=tenant, job=job, ordinal=1, email="ana@example.net", stream=stream)


def rule(action: str, timed: str = 'for = "10m"') -> str:
    return RULE.format(action=action, timed=timed)


def reply(text: str, code: int = 421) -> Reply:
    return Reply(code, "4.7.0", text, "mail", SITE)


async def entered(passage: Passage) -> str | NotNow:
    """By which source a connection was let in."""
    source = passage.source("127.0.0.1")
    if isinstance(source, NotNow):
        return source
    refused = await passage.enter(source)
    return refused if refused is not None else source.name


async def test_without_limits_everything_goes_and_costs_nothing(make: Make, client: Any) -> None:
    gate = make()

    for _ in range(50):
        assert await gate.permit(SITE, "default", ready(), "") is None
        assert await entered(gate.passage(SITE, Outlet("default"))) == "default"

    assert await client.keys("*limits*") == [] if isinstance(client, Redis) else True


@pytest.mark.parametrize(
    ("shaping", "rate", "scope", "limit"),
    [
        ('[default]\nrate = "1/h burst 0"', "", "site", f"site:{SITE}"),
        ('[default]\nsource_rate = "1/h burst 0"', "", "source", f"site:{SITE} source:default"),
        ('[source.default]\nrate = "1/h burst 0"', "", "source", "source:default"),
        ('[tenant.acme]\nrate = "1/h burst 0"', "", "queue", "tenant:acme"),
        ("", "1/h burst 0", "queue", f"job:{JOB}"),
    ],
)
async def test_a_limit_that_is_reached_says_who_has_to_wait(
    make: Make, shaping: str, rate: str, scope: str, limit: str
) -> None:
    gate, other = make(shaping), make(shaping, owner="r2")
    while await gate.permit(SITE, "default", ready(), rate) is None:
        pass

    refused = await other.permit(SITE, "default", ready(), rate)

    assert isinstance(refused, NotNow)
    assert (refused.scope, refused.limit) == (scope, limit)
    assert 0 < refused.per_s < 0.001


async def test_one_tenants_limit_is_nothing_to_another(make: Make) -> None:
    gate = make('[tenant.acme]\nrate = "1/h burst 0"')
    while await gate.permit(SITE, "default", ready(), "") is None:
        pass

    assert await gate.permit(SITE, "default", ready("globex"), "") is None


async def test_promise_6_connections_are_counted_over_all_relays_and_free_when_closed(make: Make) -> None:
    shaping = "[default]\nconnections = 3"
    passages = [make(shaping, owner=f"r{n}").passage(SITE, Outlet("default")) for n in range(4)]

    answers = [await entered(passage) for passage in passages]
    assert answers[:3] == ["default"] * 3
    assert isinstance(answers[3], NotNow)
    assert answers[3].scope == "slot"

    await passages[0].leave()
    async with asyncio.timeout(60):
        while isinstance(await entered(passages[3]), NotNow):  # noqa: ASYNC110 - Redis's state
            await asyncio.sleep(0.05)


async def test_a_source_without_a_free_slot_is_not_offered_and_what_it_has_open_goes_on(make: Make) -> None:
    gate = make("[default]\nsource_connections = 1", SOURCES)
    first, second, third = (gate.passage(SITE, Outlet("default")) for _ in range(3))

    assert [await entered(first), await entered(second)] == ["a1", "a2"]
    for _ in range(2):
        refused = await entered(third)
        assert isinstance(refused, NotNow)
        assert refused.scope == "source"
    answer = third.source(None)

    assert isinstance(answer, NotNow)
    assert answer.scope == "slot"
    assert first.is_good(1, idle=False)


async def test_a_connection_is_good_for_as_many_mails_as_the_site_takes(make: Make) -> None:
    of_site = make("[default]\nmessages_per_connection = 5").passage(SITE, Outlet("default"))
    of_no_site = make().passage(SITE, Outlet("default"))
    for passage in (of_site, of_no_site):
        await entered(passage)

    assert (of_site.is_good(4, idle=False), of_site.is_good(5, idle=False)) == (True, False)
    assert of_no_site.is_good(MAILS_PER_CONNECTION - 1, idle=False)
    assert not of_no_site.is_good(MAILS_PER_CONNECTION, idle=False)


async def test_a_site_says_how_long_a_connection_may_wait_for_mail(make: Make) -> None:
    gate = make(f'[site."{SITE}"]\nidle = "40s"')

    assert (gate.idle_s(SITE), gate.idle_s("elsewhere.example")) == (40, IDLE_S)


async def test_a_source_that_is_to_rest_sends_nothing_there_and_others_go_on(make: Make) -> None:
    gate = make(rule("rest_source"), SOURCES)
    passage = gate.passage(SITE, Outlet("default"))
    assert await entered(passage) == "a1"

    found = passage.heard("a1", reply("do rest_source"))
    await gate.finish()

    assert found is not None
    assert not passage.is_good(1, idle=False)
    assert await entered(gate.passage(SITE, Outlet("default"))) == "a2"
    assert await entered(gate.passage("elsewhere.example", Outlet("default"))) == "a1"


async def test_with_all_sources_at_rest_the_site_waits_for_one(make: Make) -> None:
    gate = make(rule("rest_source"))
    gate.heard(SITE, "default", reply("do rest_source"))
    await gate.finish()

    assert not gate.has_source(SITE, "default")
    assert gate.has_source("elsewhere.example", "default")
    answer = gate.source(SITE, "default", None)
    assert isinstance(answer, NotNow)
    assert answer.scope == "source"


async def test_a_site_that_is_suspended_gets_nothing_from_any_relay(make: Make, client: Any, clock: Clock) -> None:
    gate, queues = make(rule("suspend")), ReadyQueues(client, "email")
    partition = ids.name_partition(SITE, P)
    gate.heard(SITE, "default", reply("do suspend"))
    await gate.finish()
    await queues.enqueue(partition, JOB, 0, [Queued(1, SITE, "acme", b"x"), Queued(1, SITE, "acme", b"y")])

    answer = gate.source(SITE, "default", None)

    assert isinstance(answer, NotNow)
    assert answer.scope == "site"
    assert (await queues.lease(partition, "r9", 5000, 10, 10)).leases == []
    clock.ahead_s += 601
    assert isinstance(gate.source(SITE, "default", None), Source)


async def test_one_connection_is_one_over_all_relays(make: Make) -> None:
    gate = make(rule("one_connection"))
    gate.heard(SITE, "default", reply("do one_connection"))
    await gate.finish()

    first, second = gate.passage(SITE, Outlet("default")), gate.passage(SITE, Outlet("default"))

    assert await entered(first) == "default"
    assert isinstance(await entered(second), NotNow)


async def test_a_site_that_says_slow_down_gets_half_the_pace_that_it_took_and_all_relays_keep_it(make: Make) -> None:
    gate, other = make(rule("slow_down", "")), make(owner="r2")
    for _ in range(40):
        gate.accepted(SITE, "default")

    gate.heard(SITE, "default", reply("do slow_down"))
    await gate.finish()
    running = asyncio.create_task(tend([other._paces], stopping := asyncio.Event()))
    async with asyncio.timeout(60):
        while other._paces.pace(SITE, "default") is None:  # noqa: ASYNC110 - Redis's state
            await asyncio.sleep(0.05)
    stopping.set()
    await running
    asked = [await other.permit(SITE, "default", ready(), "") for _ in range(3)]

    assert gate._paces.pace(SITE, "default") is not None
    assert asked == [None] * 3


async def test_a_new_address_sends_what_its_warm_up_allows_and_the_rest_goes_by_a_warm_one(
    make: Make, clock: Clock
) -> None:
    today = time.strftime("%Y-%m-%d", time.gmtime())
    cold = SOURCES.replace(
        'helo = "a1.example.net"', f'helo = "a1.example.net"\nwarmup = {{ started = {today}, plan = [3, 50] }}'
    )
    gate = make("", cold)

    permitted = [await gate.permit(SITE, "a1", ready(), "") for _ in range(4)]

    assert permitted[:3] == [None] * 3
    assert permitted[3] is not None
    assert permitted[3].limit == f"warmup:{SITE} source:a1"
    assert gate.has_source(SITE, "default")
    assert await entered(gate.passage(SITE, Outlet("default"))) == "a2"
    assert await entered(gate.passage("elsewhere.example", Outlet("default"))) in ("a1", "a2")


async def test_a_tenant_whose_connections_are_counted_has_its_own(make: Make) -> None:
    gate = make("[tenant.acme]\nconnections = 1")
    own, others = gate.outlet(SITE, ready("acme")), gate.outlet(SITE, ready("globex"))

    assert own != others
    assert await entered(gate.passage(SITE, own)) == "default"
    assert isinstance(await entered(gate.passage(SITE, own)), NotNow)
    assert await entered(gate.passage(SITE, others)) == "default"


# The operator's files


def test_what_comes_with_the_relay_can_be_read_and_an_operators_file_is_laid_over_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[provider.gmail]\nconnections = 7\n", "utf-8")

    shaping = files.read(load({"ESTAFETTE_RELAY_SHAPING_FILE": str(file)}, None)).shaping

    assert shaping.of("gmail").connections == 7
    assert shaping.of("gmail").tls == files.read(Settings()).shaping.of("gmail").tls == "required"


@pytest.mark.parametrize("setting", ["SHAPING_FILE", "EGRESS_FILE", "ROUTES_FILE"])
def test_a_file_that_is_wrong_or_missing_is_named_with_every_fault(tmp_path: Path, setting: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[source.a1]\nwieght = 1\n[pool.x]\nsorces = []\n", "utf-8")

    with pytest.raises(SettingsError) as wrong:
        files.read(load({f"ESTAFETTE_RELAY_{setting}": str(file)}, None))
    with pytest.raises(SettingsError) as missing:
        files.read(load({f"ESTAFETTE_RELAY_{setting}": str(tmp_path / "none.toml")}, None))

    assert len(wrong.value.faults) > 1
    assert all(str(file) in fault and setting.lower() in fault for fault in wrong.value.faults)
    assert "none.toml" in missing.value.faults[0]


def test_keys_of_limits_share_one_tag() -> None:
    assert "{limits}" in keys.limit("site:gmail")


async def test_what_an_operator_suspends_gets_nothing_and_the_rest_goes_on(make: Make) -> None:
    stops = Stopped(site=SITE)
    gate = make(stops=stops)
    ready = events.Ready(tenant="acme", job=JOB, ordinal=0, email="ana@example.net")

    whole = gate.source(SITE, "default", None)
    permit = await gate.permit(SITE, "default", ready, "")
    elsewhere = gate.source("elsewhere.example", "default", None)

    assert isinstance(whole, NotNow)
    assert permit is not None
    assert (whole.scope, permit.scope, permit.limit) == ("site", "site", f"suspended:{SITE}")
    assert isinstance(elsewhere, Source)
    stops.site = ""
    assert await gate.permit(SITE, "default", ready, "") is None


async def test_a_source_that_an_operator_suspends_leaves_its_mail_to_the_others(make: Make) -> None:
    gate = make(egress=SOURCES, stops=Stopped(source="a1"))
    ready = events.Ready(tenant="acme", job=JOB, ordinal=0, email="ana@example.net")

    chosen = [gate.source(SITE, "default", None) for _ in range(3)]
    permit = await gate.permit(SITE, "a1", ready, "")

    assert {one.name for one in chosen if isinstance(one, Source)} == {"a2"}
    assert permit is not None
    assert permit.scope == "source"


async def test_what_a_provider_says_last_and_its_limits_are_kept_for_whoever_asks(make: Make, client: Any) -> None:
    heard = Heard(client)
    gate = make("[default]\nconnections = 7", heard=heard)
    for number in range(8):
        gate.heard(SITE, "default", reply(f"no {number}"))
    gate.passage(SITE, Outlet("default"))

    await heard.tend()
    known, unknown = await Heard(client).last([SITE, "elsewhere.example"])

    assert known.limits == "7 connections"
    assert [one.reply[-4:] for one in known.replies] == ["no 7", "no 6", "no 5", "no 4", "no 3"]
    assert {one.source for one in known.replies} == {"default"}
    assert (unknown.limits, unknown.replies) == ("", [])


async def test_what_an_operator_moves_leaves_by_that_pool_unless_it_is_none(make: Make) -> None:
    ready = events.Ready(tenant="acme", job=JOB, ordinal=0, email="ana@example.net")
    other = events.Ready(tenant="globex", job=JOB, ordinal=0, email="ana@example.net")
    reserve = SOURCES + '[pool.reserve]\nsources = ["a2"]\n'

    moved, nowhere = make(egress=reserve, stops=Moved("reserve")), make(egress=reserve, stops=Moved("gone"))

    assert moved.outlet(SITE, ready) == Outlet("reserve")
    assert moved.outlet(SITE, other) == moved.outlet("elsewhere.example", ready) == Outlet("default")
    assert nowhere.outlet(SITE, ready) == Outlet("default")
    assert sorted(moved.pools) == ["default", "reserve"]
    assert await moved.permit(SITE, "a2", ready, "") is None


# Other rules come into force


ONE_SOURCE = """
[source.a1]
address = "127.0.0.2"
helo = "a1.example.net"
"""


async def test_a_limit_that_is_raised_lets_go_what_the_old_one_held_back(make: Make) -> None:
    gate = make('[default]\nrate = "1/h burst 0"')
    assert await gate.permit(SITE, "default", ready(), "") is None
    assert isinstance(await gate.permit(SITE, "default", ready(), ""), NotNow)

    gate.adopt(rules('[default]\nrate = "100000/h burst 1000"'))
    first = await gate.permit(SITE, "default", ready(), "")

    # Not for an hour: for an interval of the new rate at most.
    assert first is None or first.wait_ms <= 37
    await asyncio.sleep(0.04)
    assert await gate.permit(SITE, "default", ready(), "") is None


async def test_a_limit_that_is_new_or_lowered_holds_at_the_next_message(make: Make) -> None:
    gate, other = make(), make()
    assert await gate.permit(SITE, "default", ready(), "") is None

    for one in (gate, other):
        one.adopt(rules('[default]\nrate = "1/h burst 0"'))
    first, second = [await one.permit(SITE, "default", ready(), "") for one in (gate, other)]

    assert first is None
    assert second is not None
    assert second.limit == f"site:{SITE}"  # over all relays, as ever


async def test_what_a_limit_has_counted_stays_counted_where_another_of_its_rates_goes(make: Make) -> None:
    gate = make('[default]\nrate = ["100/s", "2/d burst 0"]')
    assert await gate.permit(SITE, "default", ready(), "") is None

    gate.adopt(rules('[default]\nrate = "2/d burst 0"'))
    again = await gate.permit(SITE, "default", ready(), "")

    assert again is not None
    assert again.limit == f"site:{SITE}"


async def test_a_source_that_is_gone_carries_no_further_mail_and_the_others_stay(make: Make) -> None:
    gate = make(egress=SOURCES)
    passages = [gate.passage(SITE, Outlet("default")) for _ in range(2)]
    by = {await entered(passage): passage for passage in passages}
    assert set(by) == {"a1", "a2"}

    gate.adopt(rules(egress=ONE_SOURCE))

    assert by["a1"].is_good(1, idle=False)
    assert not by["a2"].is_good(1, idle=False)
    assert not by["a2"].is_good(1, idle=True)
    # The mail that is under way by it still has its permit.
    assert await gate.permit(SITE, "a2", ready(), "") is None
    assert await entered(gate.passage(SITE, Outlet("default"))) == "a1"


@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [
        ("[default]\nconnections = 2", "[default]\nconnections = 1", False),
        ("[default]\nconnections = 2", "[default]\nconnections = 3", True),
        ("[default]\nconnections = 2", "", True),
        ("", "[default]\nconnections = 5", False),
        ("", "[source.default]\nconnections = 5", False),
        ("", "[tenant.acme]\nconnections = 5", True),
        ("", '[default]\nrate = "1/s"', True),
    ],
)
async def test_a_connection_stays_if_it_counts_under_every_limit_and_none_is_lower(
    make: Make, before: str, after: str, stays: bool
) -> None:
    gate = make(before)
    passage = gate.passage(SITE, Outlet("default"))
    assert await entered(passage) == "default"

    gate.adopt(rules(after))

    assert passage.is_good(1, idle=False) is stays


@pytest.mark.parametrize("key", ["address", "helo"])
async def test_a_source_with_another_address_or_name_opens_its_connections_anew(make: Make, key: str) -> None:
    gate = make(egress=ONE_SOURCE)
    passage = gate.passage(SITE, Outlet("default"))
    assert await entered(passage) == "a1"
    other = {"address": ("127.0.0.2", "127.0.0.9"), "helo": ("a1.example.net", "b1.example.net")}

    gate.adopt(rules(egress=ONE_SOURCE.replace(*other[key])))

    assert not passage.is_good(1, idle=False)


async def test_a_pool_that_is_gone_has_no_source_and_its_mail_another_outlet(make: Make) -> None:
    gate = make(egress=f'{SOURCES}[pool.bulk]\nsources = ["a2"]\n[streams]\nbulk = "bulk"')
    passage = gate.passage(SITE, gate.outlet(SITE, ready()))
    assert await entered(passage) == "a2"

    gate.adopt(rules(egress=SOURCES))

    assert gate.outlet(SITE, ready()) == Outlet("default")
    assert not passage.is_good(1, idle=False)
    assert isinstance(passage.source(None), NotNow)
    assert not gate.has_source(SITE, "bulk")


async def test_shares_begin_anew_in_a_pool_with_other_weights_and_stay_in_the_others(make: Make) -> None:
    pools = '[pool.bulk]\nsources = ["a1", "a2"]'
    gate = make(egress=SOURCES + pools)
    for _ in range(10):
        assert await gate.permit(SITE, "a1", ready(), "") is None
    assert gate._sent["default"]["a1"] == 10

    gate.adopt(rules("[default]\nconnections = 7", SOURCES + pools))
    assert gate._sent["default"]["a1"] == 10
    gate.adopt(rules(egress=SOURCES.replace("[source.a2]", "[source.a2]\nweight = 9") + pools))

    assert dict(gate._sent["default"]) == {}


async def test_what_a_new_address_sent_today_counts_under_another_plan(make: Make) -> None:
    def warming(days: str) -> str:
        today = datetime.now(UTC).date()
        return ONE_SOURCE + f"warmup = {{ started = {today}, plan = {days} }}"

    gate = make(egress=warming("[2, 4]"))
    for _ in range(2):
        assert await gate.permit(SITE, "a1", ready(), "") is None

    gate.adopt(rules(egress=warming("[3, 6]")))

    assert await gate.permit(SITE, "a1", ready(), "") is None
    refused = await gate.permit(SITE, "a1", ready(), "")
    assert refused is not None
    assert refused.limit.startswith("warmup:")
