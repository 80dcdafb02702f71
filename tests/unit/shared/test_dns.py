"""What the answers of DNS mean for mail, and how long they are kept. The real protocol is in tests/edges."""

import asyncio
from collections import Counter

import pytest

from shared.net.dns import (
    MAX_NEGATIVE_TTL_S,
    MAX_TTL_S,
    MOST_WAITING,
    Answer,
    DnsUnavailable,
    MailHosts,
    NoDomain,
    NoMail,
    Resolver,
    address_of_literal,
)
from shared.net.dns_message import RecordType


class Script:
    """A client that answers from a table, and only when it is let."""

    def __init__(self, answers: dict[tuple[str, RecordType], Answer]) -> None:
        self.answers = answers
        self.asked: Counter[tuple[str, RecordType]] = Counter()
        self.go = asyncio.Event()
        self.go.set()

    async def ask(self, name: str, record_type: RecordType) -> Answer:
        self.asked[name, record_type] += 1
        await self.go.wait()
        return self.answers.get((name, record_type), Answer("no_record"))

    async def close(self) -> None:
        pass


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def found(*rows: tuple[int, str], ttl_s: float = 300) -> Answer:
    return Answer("found", rows, ttl_s)


async def test_mail_hosts_come_in_the_order_of_their_preference() -> None:
    script = Script({("example.net", "MX"): found((20, "b.example.net"), (10, "c.example.net"), (10, "a.example.net"))})

    answer = await Resolver(script, Clock()).mail_hosts("Example.NET.")

    assert answer == MailHosts(((10, "a.example.net"), (10, "c.example.net"), (20, "b.example.net")))
    assert answer.names == ("a.example.net", "c.example.net", "b.example.net")


@pytest.mark.parametrize("record_type", ["A", "AAAA"])
async def test_a_domain_without_mx_is_its_own_host_if_it_has_an_address(record_type: RecordType) -> None:
    script = Script({("example.net", record_type): found((0, "192.0.2.1"))})

    assert await Resolver(script, Clock()).mail_hosts("example.net") == MailHosts(((0, "example.net"),))


async def test_a_domain_with_neither_mx_nor_address_is_none() -> None:
    assert isinstance(await Resolver(Script({}), Clock()).mail_hosts("example.net"), NoDomain)


async def test_a_null_mx_takes_no_mail() -> None:
    script = Script({("example.net", "MX"): found((0, ""))})

    assert await Resolver(script, Clock()).mail_hosts("example.net") == NoMail("example.net")


async def test_a_null_mx_beside_others_is_ignored() -> None:
    script = Script({("example.net", "MX"): found((0, ""), (10, "mx.example.net"))})

    assert await Resolver(script, Clock()).mail_hosts("example.net") == MailHosts(((10, "mx.example.net"),))


async def test_an_mx_that_names_no_possible_host_is_nobodys() -> None:
    script = Script({("example.net", "MX"): found((0, "mx|evil.{p1}.net"), (5, "-x.net"), (5, "a..b"))})

    assert isinstance(await Resolver(script, Clock()).mail_hosts("example.net"), NoDomain)


async def test_a_missing_name_is_permanent_and_silence_is_temporary() -> None:
    script = Script(
        {
            ("gone.example", "MX"): Answer("no_name", detail="Domain name not found"),
            ("slow.example", "MX"): Answer("unavailable", detail="Timeout"),
            ("half.example", "AAAA"): Answer("unavailable", detail="Timeout"),
        }
    )
    resolver = Resolver(script, Clock())

    assert await resolver.mail_hosts("gone.example") == NoDomain("gone.example", "Domain name not found")
    assert await resolver.mail_hosts("slow.example") == DnsUnavailable("slow.example", "Timeout")
    assert await resolver.mail_hosts("half.example") == DnsUnavailable("half.example", "Timeout")


async def test_an_address_literal_is_its_own_host_without_a_question() -> None:
    script = Script({})
    resolver = Resolver(script, Clock())

    assert await resolver.mail_hosts("[127.0.0.1]") == MailHosts(((0, "[127.0.0.1]"),))
    assert await resolver.addresses("[127.0.0.1]") == ["127.0.0.1"]
    assert await resolver.addresses("192.0.2.1") == ["192.0.2.1"]
    assert await resolver.addresses("[ipv6:2001:db8::1]") == ["2001:db8::1"]
    assert not script.asked


@pytest.mark.parametrize(
    "domain", ["", ".", "a..b", "-a.example", "a b.example", "exämple.net", "x" * 64 + ".net", "a." * 130, "[nonsense]"]
)
async def test_what_is_no_domain_name_is_not_asked_for(domain: str) -> None:
    script = Script({})

    assert isinstance(await Resolver(script, Clock()).mail_hosts(domain), NoDomain)
    assert not script.asked


async def test_addresses_are_ipv4_first() -> None:
    script = Script({("mx.example", "AAAA"): found((0, "2001:db8::1")), ("mx.example", "A"): found((0, "192.0.2.1"))})

    assert await Resolver(script, Clock()).addresses("mx.example") == ["192.0.2.1", "2001:db8::1"]


async def test_one_failing_family_does_not_hide_the_other() -> None:
    script = Script({("mx.example", "A"): Answer("unavailable"), ("mx.example", "AAAA"): found((0, "2001:db8::1"))})

    assert await Resolver(script, Clock()).addresses("mx.example") == ["2001:db8::1"]


async def test_a_host_without_addresses_has_none_and_an_unreachable_server_says_so() -> None:
    script = Script({("down.example", "A"): Answer("unavailable", detail="Timeout")})
    resolver = Resolver(script, Clock())

    assert await resolver.addresses("mx.example") == []
    assert await resolver.addresses("not a host") == []
    assert await resolver.addresses("down.example") == DnsUnavailable("down.example", "Timeout")


@pytest.mark.parametrize(
    ("answer", "kept_s"),
    [
        (found((10, "mx.example"), ttl_s=300), 300),
        (found((10, "mx.example"), ttl_s=0), 5),
        (found((10, "mx.example"), ttl_s=10 * MAX_TTL_S), MAX_TTL_S),
        (Answer("no_name"), 5),
        (Answer("no_name", ttl_s=20), 20),
        (Answer("no_record", ttl_s=900), 900),
        (Answer("no_record", ttl_s=0), 1),
        (Answer("no_record", ttl_s=10 * MAX_TTL_S), MAX_NEGATIVE_TTL_S),
        (Answer("unavailable", ttl_s=10), 10),
    ],
)
async def test_an_answer_is_kept_for_its_time_within_bounds(answer: Answer, kept_s: float) -> None:
    script, clock = Script({("example.net", "MX"): answer}), Clock()
    resolver = Resolver(script, clock)

    await resolver.mail_hosts("example.net")
    clock.now += kept_s - 0.001
    await resolver.mail_hosts("example.net")
    assert script.asked["example.net", "MX"] == 1

    clock.now += 0.001
    await resolver.mail_hosts("example.net")
    assert script.asked["example.net", "MX"] == 2


async def test_one_question_is_asked_once_at_a_time() -> None:
    script = Script({("example.net", "MX"): found((10, "mx.example"))})
    resolver = Resolver(script, Clock())
    script.go.clear()

    waiting = [asyncio.create_task(resolver.mail_hosts("example.net")) for _ in range(50)]
    await asyncio.sleep(0)
    script.go.set()

    assert set(await asyncio.gather(*waiting)) == {MailHosts(((10, "mx.example"),))}
    assert script.asked["example.net", "MX"] == 1


async def test_so_many_questions_are_asked_at_a_time_and_all_of_them_in_the_end() -> None:
    script = Script({})
    resolver = Resolver(script, Clock(), at_a_time=3)
    script.go.clear()

    waiting = [asyncio.create_task(resolver.texts(f"n{number}.example")) for number in range(10)]
    for _ in range(20):
        await asyncio.sleep(0)
    begun = script.asked.total()
    script.go.set()

    assert begun == 3
    assert await asyncio.gather(*waiting) == [[]] * 10
    assert script.asked.total() == 10


async def test_names_of_dead_servers_do_not_hold_up_the_others_and_are_bounded_themselves() -> None:
    script = Script({})
    resolver = Resolver(script, Clock(), at_a_time=2, patience_s=0.0)
    script.go.clear()

    dead = [asyncio.create_task(resolver.texts(f"dead{number}.example")) for number in range(50)]
    for _ in range(200):
        await asyncio.sleep(0)

    assert script.asked.total() == 2 * MOST_WAITING
    script.go.set()
    await asyncio.gather(*dead)
    assert script.asked.total() == 50


async def test_who_stops_waiting_does_not_take_the_answer_from_the_others() -> None:
    script = Script({("example.net", "MX"): found((10, "mx.example"))})
    resolver = Resolver(script, Clock())
    script.go.clear()
    first, second = (asyncio.create_task(resolver.mail_hosts("example.net")) for _ in range(2))
    await asyncio.sleep(0)

    first.cancel()
    await asyncio.sleep(0)
    script.go.set()

    assert await second == MailHosts(((10, "mx.example"),))
    assert first.cancelled()


async def test_the_cache_is_bounded_and_forgets_what_was_used_longest_ago() -> None:
    script = Script({(name, "MX"): found((10, "mx.example")) for name in ("a.net", "b.net", "c.net")})
    resolver = Resolver(script, Clock(), cache_entries=2)

    for name in ("a.net", "b.net", "a.net", "c.net", "a.net", "b.net"):
        await resolver.mail_hosts(name)

    assert script.asked == {("a.net", "MX"): 1, ("b.net", "MX"): 2, ("c.net", "MX"): 1}


async def test_closing_ends_what_is_being_asked() -> None:
    script = Script({})
    resolver = Resolver(script, Clock())
    script.go.clear()
    waiting = asyncio.create_task(resolver.mail_hosts("example.net"))
    await asyncio.sleep(0)

    await resolver.close()

    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_only_brackets_make_an_address_literal() -> None:
    assert address_of_literal("[192.0.2.1]") == "192.0.2.1"
    assert address_of_literal("[IPv6:2001:DB8::1]") == "2001:db8::1"
    assert address_of_literal("192.0.2.1") is None
    assert address_of_literal("[x25:123]") is None
