"""Maps of addresses in a real Redis and a real cluster: they say what a dict says, and a page shows each address once
while buckets are split."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.redis import addressed, keys, redis
from shared.redis.addressed import Addressed, Held, Place, reversed_hash
from shared.words.ids import address_partition

P = 3
#: Sets and deletes many addresses in one call.
CHANGE = redis.Script(
    addressed.LUA
    + """
    local answers = {}
    for i = 2, #ARGV do
      if ARGV[1] == '' then
        answers[i - 1] = addressed_delete(KEYS[1], ARGV[i]) and 1 or 0
      else
        answers[i - 1] = addressed_set(KEYS[1], ARGV[i], ARGV[1]) and 1 or 0
      end
    end
    return answers
    """
)
GET = redis.Script(addressed.LUA + "return addressed_get(KEYS[1], ARGV[1])")


def of(client: redis.Client) -> Addressed:
    return Addressed(client, P, keys.suppressions)


async def change(client: redis.Client, addresses: list[str], value: str, tenant: str = "acme") -> int:
    """How many were new, or, with "", were there."""
    changed = 0
    for p in range(P):
        here = [address for address in addresses if address_partition(tenant, address, P) == p]
        changed += sum(await CHANGE(client, [keys.suppressions(p, tenant)], [value, *here]))
    return changed


async def whole(table: Addressed, limit: int, tenant: str = "acme") -> list[Held]:
    found: list[Held] = []
    place: Place | None = Place()
    while place is not None:
        page, place = await table.page(tenant, place, limit)
        assert len(page) <= limit
        assert len(page) == limit or place is None
        found += page
    return found


def people(first: int, end: int) -> list[str]:
    return [f"r{number}é@example.org" for number in range(first, end)]


async def test_thousands_are_kept_found_shown_once_and_taken_away(client: redis.Client) -> None:
    table, everybody = of(client), people(0, 5000)

    assert await change(client, everybody, "v") == 5000
    assert await change(client, everybody[::2], "w") == 0
    await change(client, ["a@b.example"], "o", "other")

    found = await table.get_many([("acme", one) for one in [*everybody, "a@b.example"]] + [("other", "a@b.example")])
    assert found == [b"w", b"v"] * 2500 + [None, b"o"]
    assert await table.get_many([]) == []
    assert await table.count("acme") == 5000
    for limit in (1000, 5000, 10_000):
        listed = await whole(table, limit)
        assert sorted(listed) == sorted(Held(one, b"v" if at % 2 else b"w") for at, one in enumerate(everybody))

    assert await change(client, everybody[1:], "") == 4999
    assert await change(client, everybody[1:], "") == 0
    assert await whole(table, 7) == [Held(everybody[0], b"w")]
    assert await change(client, everybody, "") == 1
    assert await table.count("acme") == 0
    assert await whole(table, 7) == []
    assert await whole(table, 7, "other") == [Held("a@b.example", b"o")]


async def test_what_is_emptied_leaves_nothing_behind(client: Any) -> None:
    everybody = people(0, 1000)
    await change(client, everybody, "v")

    await change(client, everybody, "")

    for p in range(P):
        base = keys.suppressions(p, "acme")
        assert await client.exists(base) == 0
        for number in range(100):
            assert await client.exists(f"{base}:{number}") == 0


async def test_buckets_stay_small_whatever_their_number(redis_url: str) -> None:
    client: Any = redis.connect(redis_url)
    base = keys.suppressions(0, "acme")
    for first in range(0, 20_000, 1000):
        await CHANGE(client, [base], ["v", *people(first, first + 1000)])

        count, buckets = (int(found) for found in await client.hmget(base, "count", "buckets"))
        sizes = [await client.hlen(f"{base}:{number}") for number in range(buckets)]
        assert sum(sizes) == count == first + 1000
        assert count <= 40 * buckets < count + 40
        assert max(sizes) < 128
        assert await client.exists(f"{base}:{buckets}") == 0
    assert await client.object("encoding", f"{base}:7") in (b"listpack", b"ziplist")
    await redis.close(client)


async def test_a_script_that_is_given_a_map_finds_in_it_what_python_finds(client: redis.Client) -> None:
    await change(client, people(0, 500), "v")

    for one in [*people(0, 10), "nobody@example.org"]:
        base = keys.suppressions(address_partition("acme", one, P), "acme")
        assert await GET(client, [base], [one]) == await of(client).get("acme", one)


async def test_addresses_come_in_an_order_that_no_split_changes(client: redis.Client) -> None:
    table = of(client)
    await change(client, people(0, 100), "v")
    before = [held.address for held in await whole(table, 1000)]

    await change(client, people(100, 3000), "v")
    after = [held.address for held in await whole(table, 1000)]

    known = set(before)
    assert [one for one in after if one in known] == before
    assert after == sorted(
        people(0, 3000), key=lambda one: (address_partition("acme", one, P), reversed_hash(one.encode()), one)
    )


Step = tuple[str, int, int]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["set", "delete", "page"]), st.integers(0, 1500), st.integers(1, 400)), max_size=25
    ),
    limit=st.integers(1, 300),
)
async def test_a_map_says_what_a_dict_says_and_a_page_shows_once_who_is_there_all_the_time(
    redis_url: str, steps: list[Step], limit: int
) -> None:
    client: Any = redis.connect(redis_url)
    await client.flushall()
    table, everybody = of(client), people(0, 2000)
    there: dict[str, bytes] = dict.fromkeys(everybody[:200], b"0")
    await change(client, list(there), "0")
    throughout, seen = set(there), []
    place: Place | None = Place()
    for at, (word, first, many) in enumerate(steps):
        some = everybody[first : first + many]
        if word == "set":
            assert await change(client, some, str(at)) == len(set(some) - set(there))
            there |= dict.fromkeys(some, str(at).encode())
        elif word == "delete":
            assert await change(client, some, "") == len(set(some) & set(there))
            there = {one: value for one, value in there.items() if one not in set(some)}
            throughout -= set(some)
        elif place is not None:
            page, place = await table.page("acme", place, limit)
            seen += [held.address for held in page]
    while place is not None:
        page, place = await table.page("acme", place, limit)
        seen += [held.address for held in page]
    found = await table.get_many([("acme", one) for one in everybody])
    listed = await whole(table, 500)
    counted = await table.count("acme")
    await redis.close(client)

    assert found == [there.get(one) for one in everybody]
    assert dict(listed) == there
    assert len(listed) == len(there) == counted
    assert len(seen) == len(set(seen))
    assert throughout <= set(seen)


def test_a_cursor_is_in_the_order_of_reversed_bits() -> None:
    # SHA-1 of "" begins with da39a3ee, and of "abc" with a9993e36 (FIPS 180-2).
    assert reversed_hash(b"") == int(f"{0xDA39A3EE:032b}"[::-1], 2)
    assert reversed_hash(b"abc") == int(f"{0xA9993E36:032b}"[::-1], 2)
