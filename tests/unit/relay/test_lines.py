"""Lines beside a model that looks at all of them: what is avoided is the same."""

from hypothesis import given
from hypothesis import strategies as st

from services.relay.held import Limits
from services.relay.lines import SLOW_LONGER_S, Lines, SiteLine
from services.relay.message.mail import Mail
from services.relay.words.notnow import NotNow
from services.relay.words.outlet import Outlet
from shared.redis.ready import Avoided, Lease
from shared.words import events

P = 2
SITES = ("a", "b", "c")
POOLS = ("default", "bulk")
QUEUES = ("acme", "zeta")

Step = tuple[str, str, str, str, int]
#: What is done, at which site, pool and queue ("": all), and a lane or a time.
steps = st.tuples(
    st.sampled_from(["put", "put", "take", "slow", "end", "later"]),
    st.sampled_from(SITES),
    st.sampled_from(POOLS),
    st.sampled_from(["", *QUEUES]),
    st.integers(0, 1),
)


def partition_of(site: str) -> int:
    return SITES.index(site) % P


def mail(site: str, queue: str, lane: int) -> Mail:
    ready = events.Ready(tenant="acme", job="j", ordinal=0, email=f"u@{site}.test")
    return Mail(Lease(partition_of(site), 0, site, b"", lane, queue), ready)


def avoided_by_all(lines: Lines, partition: int, now: float) -> list[Avoided]:
    """What a walk through all lines finds."""
    enough: dict[tuple[str, tuple[int, str] | None], bool] = {}
    for line in lines:
        if line.partition != partition:
            continue
        slow = {place: kept for place, (until, kept) in line.slow.items() if until > now}
        for place, kept in slow.items():
            enough[line.site, place] = enough.get((line.site, place), True) and line.waiting(place) * 2 >= kept
        if len(line) and None not in slow:
            enough[line.site, None] = False
    return [Avoided(site, *(place or ())) for (site, place), is_enough in enough.items() if is_enough]


@given(st.lists(steps, max_size=40))
def test_what_is_avoided_is_what_a_look_at_every_line_would_find(done: list[Step]) -> None:
    lines, now = Lines(Limits(in_flight=64, batch=10, connections_per_site=2, lease_ms=1_000)), 0.0
    known: dict[tuple[str, str], SiteLine] = {}
    for word, site, pool, queue, number in done:
        line = known.get((site, pool))
        if word == "put":
            known[site, pool] = lines.at(site, Outlet(pool), partition_of(site))
            known[site, pool].put(mail(site, queue or "acme", number))
        elif word == "later":
            now += SLOW_LONGER_S * (1 + number)
        elif line is not None and word == "take":
            line.take(now)
        elif line is not None and word == "slow":
            place = (number, queue) if queue else None
            lines.mark_slow(line, place, NotNow(1_000, "queue", "tenant:acme", 1.0), now)
        elif line is not None:
            lines.end(known.pop((site, pool)))

        for partition in range(P):
            expected = avoided_by_all(lines, partition, now)
            assert sorted(map(repr, lines.avoided(partition, now))) == sorted(map(repr, expected))


def test_what_a_line_that_has_ended_hears_late_is_about_nobody() -> None:
    lines = Lines(Limits(in_flight=64, batch=10, connections_per_site=2, lease_ms=1_000))
    line = lines.at("a", Outlet("default"), 0)
    lines.end(line)

    lines.mark_slow(line, None, NotNow(1_000, "site", "site:a", 1.0), 0.0)

    assert lines.avoided(0, 0.5) == []
