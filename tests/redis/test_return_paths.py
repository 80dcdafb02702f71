"""Return paths of tenants in a real Redis: who sets them, and who takes mail at them from when to when."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.mail import dkim_keys
from shared.mail.dkim_keys import Vault
from shared.mail.dkim_rotation import Check
from shared.mail.domain_names import InvalidDomain
from shared.redis import keys, redis, return_paths
from shared.redis.return_paths import KnownReturnPaths
from shared.redis.sending_domains import SendingDomains
from shared.words.sending_domain import records

OURS = "bounces.house.example"
NAME = "news.acme.example"
OWN = "bounces.acme.example"


class Clock:
    def __init__(self) -> None:
        self.ms = 1_790_000_000_000

    def __call__(self) -> int:
        return self.ms


def store(client: redis.Client, clock: Clock) -> SendingDomains:
    return SendingDomains(
        client,
        Vault(b"k" * 32),
        ours=(OURS,),
        make_key=lambda _: dkim_keys.make("ed25519-sha256"),
        now=lambda: clock.ms / 1000,
    )


async def nothing(names: Sequence[str]) -> dict[str, list[str]]:
    return {name: [] for name in names}


async def good(name: str) -> tuple[Check, Check]:
    return Check("published", "", 1), Check("missing", f"{name} lets nobody send", 1)


async def test_mail_is_taken_at_it_as_soon_as_readers_look_and_for_a_week_after(client: redis.Client) -> None:
    clock = Clock()
    domains, known = store(client, clock), KnownReturnPaths(client, clock)
    await domains.give("acme", NAME)
    await known.look()

    set_to = await domains.returns.set("acme", NAME, "Bounces.ACME.example.")
    before_a_look = OWN in known
    await known.look()
    after_a_look = OWN in known
    left = await domains.returns.set("acme", NAME, "")
    await known.look()
    still = OWN in known
    clock.ms += return_paths.KEPT_MS
    fresh = KnownReturnPaths(client, clock)
    await fresh.look()

    assert (set_to.return_path, set_to.return_path_since) == (OWN, 1_790_000_000_000)
    assert (before_a_look, after_a_look, still) == (False, True, True)
    assert left.return_path == ""
    assert OWN not in fresh
    assert set(await client.hgetall(keys.return_paths())) == {b"version"}


async def test_another_one_and_a_removed_domain_leave_the_former_for_a_while(client: redis.Client) -> None:
    clock = Clock()
    domains, known = store(client, clock), KnownReturnPaths(client, clock)
    await domains.give("acme", NAME)

    await domains.returns.set("acme", NAME, OWN)
    await domains.returns.set("acme", NAME, "back.acme.example")
    await domains.remove("acme", NAME)
    await known.look()

    assert OWN in known
    assert "back.acme.example" in known


async def test_the_same_again_changes_nothing(client: redis.Client) -> None:
    clock = Clock()
    domains = store(client, clock)
    await domains.give("acme", NAME)
    first = await domains.returns.set("acme", NAME, OWN)
    clock.ms += 1_000

    assert await domains.returns.set("acme", NAME, OWN) == first
    assert await client.hget(keys.return_paths(), "version") == b"1"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (NAME, "a name of their own"),
        ("acme.example", "SPF would not align"),
        ("bounces.other.example", "SPF would not align"),
        (f"acme.{OURS}", "a host of this installation"),
        ("a b", "not a domain name"),
    ],
)
async def test_what_could_not_be_a_return_path_is_refused(redis_url: str, name: str, why: str) -> None:
    client = redis.connect(redis_url)
    domains = store(client, Clock())
    await domains.give("acme", NAME)
    try:
        with pytest.raises(InvalidDomain, match=why):
            await domains.returns.set("acme", NAME, name)
        assert await client.hgetall(keys.return_paths()) == {}
    finally:
        await redis.close(client)


async def test_promise_7_nobody_sets_that_of_another_tenants_domain(client: redis.Client) -> None:
    clock = Clock()
    domains, known = store(client, clock), KnownReturnPaths(client, clock)
    await domains.give("acme", NAME)

    with pytest.raises(LookupError):
        await domains.returns.set("other", NAME, OWN)

    found = await domains.get("acme", NAME)
    assert found is not None
    assert found.return_path == ""
    await known.look()
    assert f"other/{NAME}".encode() not in await client.hgetall(keys.return_paths())


async def test_a_check_shows_what_dns_says_of_it_and_the_records_to_publish(client: redis.Client) -> None:
    domains = store(client, Clock())
    await domains.give("acme", NAME)
    await domains.returns.set("acme", NAME, OWN)

    checked = await domains.check("acme", NAME, nothing, good)

    listed = {(one.type, one.name): one for one in records(checked, 0, OURS)}
    alias, sends = listed["CNAME", OWN], listed["TXT", OWN]
    assert (alias.value, alias.dns) == (f"{OURS}.", "published")
    assert (sends.value, sends.dns, sends.detail) == (
        f"v=spf1 include:{OURS} -all", "missing", f"{OWN} lets nobody send"
    )  # fmt: skip
    assert not any(one.type == "CNAME" for one in records(checked, 0))


async def test_a_reader_is_ready_once_it_has_read_and_goes_on_while_the_process_runs(client: redis.Client) -> None:
    clock, stopping = Clock(), asyncio.Event()
    known = KnownReturnPaths(client, clock)
    unread = known.is_read

    await known.first(stopping)
    running = asyncio.create_task(known.run(stopping))
    await return_paths.change(client, "acme", NAME, OWN, clock.ms)
    while OWN not in known:  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0.01)
    stopping.set()
    await running

    assert not unread
    assert known.is_read


async def test_a_check_tells_whether_the_host_of_links_leads_to_us_until_another_is_set(client: redis.Client) -> None:
    domains, asked = store(client, Clock()), list[str]()

    async def follow(host: str) -> Check:
        asked.append(host)
        return Check("published", "", 1)

    await domains.give("acme", NAME)
    without = await domains.check("acme", NAME, nothing, None, follow)
    await domains.links.set("acme", NAME, "https://links.acme.example")
    checked = await domains.check("acme", NAME, nothing, None, follow)
    again = await domains.links.set("acme", NAME, "https://links.acme.example/")
    other = await domains.links.set("acme", NAME, "https://go.acme.example")

    assert asked == ["links.acme.example"]
    assert [one.leads.dns for one in (without, checked, again, other)] == [
        "unchecked", "published", "published", "unchecked",
    ]  # fmt: skip
