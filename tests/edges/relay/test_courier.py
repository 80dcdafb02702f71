"""The way to a host against real servers on sockets: kept connections, the next host, and never a message twice."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.delivery.connection import Connection
from services.relay.delivery.courier import Courier, Parcel, Result
from services.relay.delivery.dial import Timeouts
from services.relay.traffic.egress import Source
from services.relay.traffic.hosts import (
    BUSY_S,
    SILENT_MOST_S,
    SILENT_S,
    Hosts,
)
from services.relay.words.hop import Hop, NoRoute
from services.relay.words.notnow import NotNow
from services.relay.words.reply import ConnectFailed, ConnectionLost, Reply
from services.relay.words.tls import (
    NEVER,
    OPPORTUNISTIC,
    REQUIRED,
    TlsPolicy,
)
from tests.fakes.passage import FreePassage, Sessions
from tests.fakes.smtp_server import CLOSE, RESET, Script, SmtpServer
from tests.servers import free_port

MESSAGE = b"Subject: hello\r\n\r\nhello\r\n"
DEAD = "dead"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Net:
    """Servers by name, the routes to them, and who dialled them."""

    def __init__(self, servers: dict[str, SmtpServer | None]) -> None:
        self.servers = {name: server for name, server in servers.items() if server is not None}
        ports = {name: server.port if server else free_port() for name, server in servers.items()}
        self._hops = {name: Hop(name, port, "127.0.0.1", NEVER) for name, port in ports.items()}
        self.routes: dict[str, Sequence[str] | NoRoute] = {"example.net": list(servers)}
        self.dialled: list[str] = []
        self.sources: list[str] = []
        self.sessions = Sessions()
        self.clock = Clock()
        self.found = Hosts(self.clock)
        self._couriers: list[Courier] = []

    def __getitem__(self, name: str) -> SmtpServer:
        return self.servers[name]

    async def hops(self, domain: str) -> Sequence[Hop] | NoRoute:
        names = self.routes[domain]
        return names if isinstance(names, NoRoute) else [self._hops[name] for name in names]

    async def open(self, hop: Hop, source: Source) -> Connection:
        self.dialled.append(hop.host)
        self.sources.append(source.name)
        return await Connection.open(
            hop.host, hop.port, address=hop.address, helo="relay.example", tls=hop.tls, timeouts=Timeouts(quit=1)
        )

    def require(self, name: str, tls: TlsPolicy) -> None:
        self._hops[name] = replace(self._hops[name], tls=tls)

    def courier(self, passage: FreePassage | None = None) -> Courier:
        courier = Courier(self, passage or FreePassage(), self.open, self.found, self.sessions)
        self._couriers.append(courier)
        return courier

    async def close(self) -> None:
        for courier in self._couriers:
            await courier.close()


@asynccontextmanager
async def net(**scripts: Script | str) -> AsyncIterator[Net]:
    """Hosts in the order of preference; `DEAD` is one where nobody listens."""
    async with AsyncExitStack() as stack:
        servers: dict[str, SmtpServer | None] = {}
        for name, script in scripts.items():
            servers[name] = None if isinstance(script, str) else await stack.enter_async_context(SmtpServer(script))
        made = Net(servers)
        stack.push_async_callback(made.close)
        yield made


async def go() -> None:
    """Nothing is withheld."""


async def deliver(courier: Courier, domain: str = "example.net", withheld: Callable[[], Any] = go) -> Any:
    parcel = Parcel(domain, "b-1@bounces.example", f"ana@{domain}", MESSAGE)
    return await courier.deliver(parcel, lambda source: withheld())


def code_of(result: Result) -> int:
    assert isinstance(result.answer, Reply), result
    return result.answer.code


# Kept connections


async def test_messages_to_the_same_host_share_a_connection() -> None:
    async with net(a={}) as hosts:
        hosts.routes["other.example"] = ["a"]
        courier = hosts.courier()

        results = [await deliver(courier, domain) for domain in ("example.net", "other.example", "example.net")]

        assert [code_of(result) for result in results] == [250] * 3
        assert {(result.host, result.tls, result.text) for result in results} == {("a", None, "250 2.0.0 queued")}
        assert hosts["a"].connections == 1
        assert hosts["a"].messages == [MESSAGE] * 3


async def test_a_kept_connection_to_a_host_of_lower_preference_is_good_too() -> None:
    async with net(a={}, b={}) as hosts:
        hosts.routes["other.example"] = ["b"]
        courier = hosts.courier()

        await deliver(courier, "other.example")
        await deliver(courier, "example.net")

        assert hosts.dialled == ["b"]


async def test_another_domain_with_other_hosts_gets_another_connection_and_the_old_one_a_farewell() -> None:
    async with net(a={}, b={}) as hosts:
        hosts.routes |= {"a.example": ["a"], "b.example": ["b"]}
        courier = hosts.courier()

        await deliver(courier, "a.example")
        await deliver(courier, "b.example")

        assert hosts.dialled == ["a", "b"]
        assert hosts["a"].commands[-1] == "QUIT"
        assert len(hosts["b"].envelopes) == 1


@pytest.mark.parametrize(
    "script",
    [
        {"MAIL": ["250 ok", "421 4.7.0 enough for one connection", "250 ok"]},
        {"MAIL": ["250 ok", "452 4.5.3 Too many recipients: Too many messages sent", "250 ok"]},
        {"MAIL": ["250 ok", CLOSE, "250 ok"]},
        {"RCPT": ["250 ok", RESET, "250 ok"]},
        {"DATA": ["354 go on", "421 4.3.2 going down", "354 go on"]},
        {"DATA": ["354 go on", CLOSE, "354 go on"]},
        {"DOT": [("250 ok", CLOSE), "250 ok"]},
        {"DOT": [("250 ok", "421 4.4.2 idle too long", CLOSE), "250 ok"]},
    ],
)
async def test_a_kept_connection_that_ends_before_the_final_dot_costs_another_one_to_the_same_host(
    script: Script,
) -> None:
    async with net(a=script, b={}) as hosts:
        courier = hosts.courier()
        await deliver(courier)

        result = await deliver(courier)

        assert code_of(result) == 250
        assert hosts.dialled == ["a", "a"]


async def test_a_connection_carries_as_many_mails_as_its_site_likes() -> None:
    async with net(a={}) as hosts:
        courier = hosts.courier(FreePassage(mails_per_connection=3))

        for _ in range(7):
            assert code_of(await deliver(courier)) == 250

        assert hosts["a"].connections == 3
        assert hosts["a"].commands.count("QUIT") == 2


async def test_a_connection_is_good_for_a_mail_that_asks_for_less_encryption_and_not_for_one_that_asks_for_more() -> (
    None
):
    async with net(a={}) as hosts:
        courier = hosts.courier()
        await deliver(courier)
        hosts.require("a", REQUIRED)

        result = await deliver(courier)

        assert isinstance(result.answer, ConnectFailed)
        assert (hosts.dialled, len(hosts["a"].messages)) == (["a", "a"], 1)


# Slots and sources


async def test_a_connection_has_a_slot_until_it_is_closed() -> None:
    async with net(a={}) as hosts:
        passage = FreePassage()
        courier = hosts.courier(passage)

        await deliver(courier)
        assert (passage.slots, hosts["a"].open_connections) == (1, 1)
        await courier.close()

        assert (passage.slots, passage.most_slots, hosts["a"].open_connections) == (0, 1, 0)


@pytest.mark.parametrize("script", [DEAD, {"CONNECT": "421 4.3.2 too busy"}, {"MAIL": "421 4.3.2 too busy"}], ids=str)
async def test_a_host_that_cannot_be_had_leaves_no_slot_taken(script: Script | str) -> None:
    async with net(a=script) as hosts:
        passage = FreePassage()

        await deliver(hosts.courier(passage))

        assert (passage.slots, passage.most_slots) == (0, 1)


async def test_without_a_slot_nobody_is_dialled() -> None:
    async with net(a={}, b={}) as hosts:
        passage = FreePassage()
        refused = NotNow(700, "slot", "site:a")
        passage.refusals["default"] = [refused]

        assert await deliver(hosts.courier(passage)) == refused
        assert hosts.dialled == []


async def test_a_source_without_a_slot_is_followed_by_the_next() -> None:
    async with net(a={}) as hosts:
        passage = FreePassage("a1", "a2")
        passage.refusals["a1"] = [NotNow(700, "source", "site:a source:a1")]

        result = await deliver(hosts.courier(passage))

        assert (code_of(result), result.source, hosts.sources) == (250, "a2", ["a2"])


async def test_with_all_sources_at_rest_the_message_waits() -> None:
    async with net(a={}) as hosts:
        passage = FreePassage()
        passage.resting.add("default")

        assert await deliver(hosts.courier(passage)) == NotNow(1000, "source", "pool:default")
        assert hosts.dialled == []


async def test_a_host_that_one_source_could_not_reach_may_be_reached_by_another() -> None:
    async with net(a={"CONNECT": ["554 5.7.1 not you", "220 hello"]}) as hosts:
        await deliver(hosts.courier(FreePassage("a1")))

        result = await deliver(hosts.courier(FreePassage("a2")))

        assert (code_of(result), hosts.sources) == (250, ["a1", "a2"])


async def test_each_refusal_is_heard_once_also_of_a_host_that_the_next_makes_up_for() -> None:
    async with net(a={"CONNECT": "421 4.3.2 too busy"}, b={"RCPT": "450 4.2.0 Greylisted"}) as hosts:
        passage = FreePassage()
        courier = hosts.courier(passage)

        await deliver(courier)
        await deliver(courier)

        greylisted = "450 4.2.0 Greylisted"
        assert [reply.line for reply in passage.replies] == ["421 4.3.2 too busy", greylisted, greylisted]


async def test_sessions_are_counted_when_they_begin_with_what_failed_at_their_encryption() -> None:
    async with net(a={}, b={}) as hosts:
        hosts.require("a", REQUIRED)
        hosts.require("b", OPPORTUNISTIC)
        courier = hosts.courier()

        await deliver(courier)
        await deliver(courier)

        assert hosts.sessions.noted == [
            ("example.net", host, "starttls-not-supported", "the host does not offer STARTTLS") for host in "ab"
        ]


# The next host


@pytest.mark.parametrize(
    "script",
    [
        DEAD,
        {"CONNECT": "421 4.3.2 too busy"},
        {"CONNECT": "554 5.7.1 your reputation"},
        {"CONNECT": CLOSE},
        {"EHLO": "421 4.3.2 too busy"},
        {"EHLO": RESET},
        {"MAIL": "421 4.7.0 too many connections"},
        {"MAIL": CLOSE},
        {"RCPT": "421 4.3.2 going down"},
        {"DATA": RESET},
    ],
    ids=str,
)
async def test_a_host_that_does_not_take_messages_is_followed_by_the_next(script: Script | str) -> None:
    async with net(a=script, b={}) as hosts:
        result = await deliver(hosts.courier())

        assert (code_of(result), result.host) == (250, "b")
        assert hosts.dialled == ["a", "b"]
        assert hosts["b"].messages == [MESSAGE]


@pytest.mark.parametrize(
    "script",
    [
        {"MAIL": "451 4.7.1 come back later"},
        {"RCPT": "550 5.1.1 User unknown"},
        {"RCPT": "450 4.2.0 Greylisted"},
        {"DATA": "554 5.5.1 no"},
        {"DOT": "552 5.3.4 too big"},
        {"DOT": "421 4.3.0 cannot store it"},
    ],
    ids=str,
)
async def test_what_a_host_says_of_a_message_is_the_answer_and_no_other_is_asked(script: Script) -> None:
    async with net(a=script, b={}) as hosts:
        result = await deliver(hosts.courier())

        (line,) = script.values()
        assert (result.text, result.host) == (line, "a")
        assert hosts.dialled == ["a"]


@pytest.mark.parametrize("end", [CLOSE, RESET])
async def test_promise_2_silence_after_the_final_dot_is_the_answer_and_nothing_is_repeated(end: Any) -> None:
    async with net(a={"DOT": [end, "250 ok"]}, b={}) as hosts:
        courier = hosts.courier()

        result = await deliver(courier)
        after = await deliver(courier)

        assert isinstance(result.answer, ConnectionLost)
        assert result.answer.sent_final_dot
        assert hosts["a"].commands.count("DATA") == 2  # the second is that of the second message
        assert (code_of(after), hosts.dialled) == (250, ["a", "a"])


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ({"CONNECT": "554 5.7.1 go away"}, DEAD, "554 5.7.1 go away"),
        (DEAD, {"MAIL": "421 4.3.2 too busy"}, "a: connect: Connection refused (127.0.0.1)"),
        ({"MAIL": "421 4.3.2 too busy"}, {"CONNECT": "421 4.3.2 no"}, "421 4.3.2 too busy"),
        ({"MAIL": CLOSE}, DEAD, "a: mail: closed by the host"),
    ],
    ids=str,
)
async def test_if_all_hosts_fail_the_answer_is_that_of_the_first(first: Any, second: Any, text: str) -> None:
    async with net(a=first, b=second) as hosts:
        result = await deliver(hosts.courier())

        assert (result.text, result.host) == (text, "a")
        assert hosts.dialled == ["a", "b"]


async def test_what_a_kept_connection_failed_with_does_not_outlive_it() -> None:
    script: Script = {"CONNECT": ["220 hello", "554 5.7.1 no more"], "MAIL": ["250 ok", "421 4.4.2 idle too long"]}
    async with net(a=script) as hosts:
        courier = hosts.courier()
        await deliver(courier)

        assert (await deliver(courier)).text == "554 5.7.1 no more"


async def test_where_there_is_no_route_nobody_is_dialled() -> None:
    gone = NoRoute("no_mail_host", "gone.example takes no mail", final=True)
    async with net(a={}) as hosts:
        hosts.routes["gone.example"] = gone

        result = await deliver(hosts.courier(), "gone.example")

        assert result == Result(gone, "gone.example takes no mail")
        assert hosts.dialled == []


async def test_a_domain_without_hosts_has_an_answer_too() -> None:
    async with net(a={}) as hosts:
        hosts.routes["empty.example"] = []

        assert isinstance((await deliver(hosts.courier(), "empty.example")).answer, ConnectFailed)


# Hosts that are left alone


@pytest.mark.parametrize("script", [DEAD, {"CONNECT": "421 4.3.2 too busy"}], ids=str)
async def test_a_host_that_cannot_be_reached_is_left_alone_by_all_workers_for_a_while(script: Script | str) -> None:
    async with net(a=script, b={}) as hosts:
        await deliver(hosts.courier())
        for _ in range(3):
            assert (await deliver(hosts.courier())).host == "b"
        assert hosts.dialled.count("a") == 1

        hosts.clock.now += SILENT_S
        await deliver(hosts.courier())

        assert hosts.dialled.count("a") == 2


@pytest.mark.parametrize(
    ("script", "wait_s", "is_busy"),
    [(DEAD, SILENT_S, False), ({"CONNECT": CLOSE}, SILENT_S, False), ({"CONNECT": "421 4.3.2 busy"}, BUSY_S, True)],
    ids=str,
)
async def test_only_what_was_tried_is_an_attempt(script: Script | str, wait_s: float, is_busy: bool) -> None:
    async with net(a=script) as hosts:
        courier = hosts.courier()
        first = await deliver(hosts.courier())
        foreseen = await courier.shut("example.net")
        second = await deliver(courier)

        assert isinstance(first.answer, ConnectFailed)
        assert hosts.dialled == ["a"]
        assert second == foreseen == NotNow(int(wait_s * 1000), "host", "host:a", reply=first.text, is_busy=is_busy)


async def test_a_host_that_was_left_alone_and_is_back_is_used_again() -> None:
    async with net(a={"CONNECT": ["421 4.3.2 too busy", "220 hello"]}) as hosts:
        courier = hosts.courier()
        await deliver(courier)
        hosts.clock.now += BUSY_S

        assert code_of(await deliver(courier)) == 250
        assert code_of(await deliver(courier)) == 250
        assert hosts["a"].connections == 2


# Withheld


async def test_a_message_withheld_is_not_named_to_any_host() -> None:
    async def left() -> str:
        return "left"

    async with net(a={}) as hosts:
        courier = hosts.courier()

        assert await deliver(courier, withheld=left) == "left"
        assert not any(command.startswith("MAIL") for command in hosts["a"].commands)
        assert code_of(await deliver(courier)) == 250
        assert hosts["a"].connections == 1


async def test_whether_a_message_is_withheld_is_asked_again_before_each_host() -> None:
    answers = [None, "left"]

    async def leaves() -> str | None:
        return answers.pop(0)

    async with net(a={"MAIL": "421 4.3.2 too busy"}, b={}) as hosts:
        assert await deliver(hosts.courier(), withheld=leaves) == "left"
        assert hosts.dialled == ["a", "b"]
        assert hosts["b"].envelopes == []


async def test_it_is_asked_when_the_connection_is_there_and_not_before() -> None:
    async with net(a={}) as hosts:

        async def connected() -> None:
            assert hosts["a"].open_connections == 1

        assert code_of(await deliver(hosts.courier(), withheld=connected)) == 250


async def test_a_failed_question_leaves_a_connection_that_can_be_used() -> None:
    async def away() -> None:
        raise LookupError("nobody knows")

    async with net(a={}) as hosts:
        courier = hosts.courier()
        with pytest.raises(LookupError):
            await deliver(courier, withheld=away)

        assert code_of(await deliver(courier)) == 250
        assert hosts["a"].connections == 1


# Always an end, never twice

#: What a host may do with a connection, and with a message on it.
CONNECTS = st.sampled_from(["greets", "greets", "refuses"])
SENDS = st.sampled_from(
    ["takes", "takes", "takes and closes", "refuses", "421 at mail", "421 at dot", "lost before", "lost after"]
)
HOSTS = st.lists(st.tuples(st.lists(CONNECTS, max_size=4), st.lists(SENDS, max_size=12)), min_size=1, max_size=3)


@dataclass
class Scripted:
    """A host in memory; when its script has ended it refuses every connection, and closes on every message."""

    host: str
    connects: list[str]
    sends: list[str]
    dialled: Counter[int] = field(default_factory=Counter)


@dataclass
class ScriptedConnection:
    scripted: Scripted
    ends: dict[int, list[str]]
    host: str = ""
    tls: str | None = None
    tls_cipher: str = ""
    tls_policy: str = "none"
    tls_failure: str = ""
    tls_reason: str = ""
    source_ip: str = ""
    sent_count: int = 0
    usable: bool = True

    async def send(self, mail_from: str, rcpt_to: str, message: bytes, **_options: object) -> Reply:
        assert self.usable
        what = self.scripted.sends.pop(0) if self.scripted.sends else "lost before"
        self.usable = what in ("takes", "refuses")
        if what in ("takes", "takes and closes", "421 at dot", "lost after"):
            self.ends[int(message)].append(what)
        if what.startswith("lost"):
            raise ConnectionLost("dot", self.host, "silence", sent_final_dot=what == "lost after")
        self.sent_count += 1
        code, stage = {"refuses": (550, "rcpt"), "421 at mail": (421, "mail"), "421 at dot": (421, "dot")}.get(
            what, (250, "dot")
        )
        return Reply(code, "", what, stage, self.host)  # type: ignore[arg-type]

    async def close(self) -> None:
        self.usable = False


@given(HOSTS)
def test_promise_2_a_delivery_always_ends_and_never_follows_another_final_dot(
    scripts: list[tuple[list[str], list[str]]],
) -> None:
    hosts = [Scripted(f"mx{number}", *script) for number, script in enumerate(scripts)]
    hops = [Hop(host.host, 25) for host in hosts]
    dots: dict[int, list[str]] = defaultdict(list)
    number = 0

    passage = FreePassage()

    async def open_connection(hop: Hop, source: Source) -> Any:
        scripted = hosts[hops.index(hop)]
        scripted.dialled[number] += 1
        if not scripted.connects or scripted.connects.pop(0) == "refuses":
            raise ConnectFailed("connect", hop.host, "refused")
        return ScriptedConnection(scripted, dots, hop.host)

    class Routes:
        async def hops(self, _domain: str) -> Sequence[Hop]:
            return hops

    async def all_of_it() -> None:
        nonlocal number
        courier = Courier(Routes(), passage, open_connection, Hosts(clock := Clock()), Sessions())
        for number in range(6):
            result = await courier.deliver(Parcel("d", "f@d", "t@d", b"%d" % number), lambda source: go())

            assert isinstance(result, Result)
            assert len(dots[number]) <= 1
            if isinstance(result.answer, Reply) and result.answer.code == 250:
                assert dots[number] in (["takes"], ["takes and closes"])
            elif isinstance(result.answer, ConnectionLost) and result.answer.sent_final_dot:
                assert dots[number] == ["lost after"]
            assert all(host.dialled[number] <= 1 for host in hosts)
            clock.now += SILENT_MOST_S
        await courier.close()
        assert (passage.slots, passage.most_slots) in ((0, 0), (0, 1))

    asyncio.run(all_of_it())
