"""Under which limits a message and a connection are."""

from datetime import UTC, date, datetime

from services.relay.limits.permits import Limit
from services.relay.traffic.egress import Source, Warmup
from services.relay.traffic.limits_of import LimitsOf
from services.relay.traffic.shaping import Shaping
from shared.words.rates import parse_rate

SHAPING = Shaping.parse(
    """
    [default]
    connections = 20
    source_connections = 10
    [provider.gmail]
    rate = ["100/s", "50000/h"]
    source_rate = "10/s"
    [source.a1]
    connections = 200
    rate = "1000/s"
    [tenant.acme]
    connections = 5
    rate = "1000000/d"
    """
)
LIMITS = LimitsOf(SHAPING)
A1, A2 = Source("a1"), Source("a2")
NOON_MS = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000)


def test_a_message_counts_under_its_site_its_source_there_its_source_its_tenant_and_its_job() -> None:
    limits = LIMITS.message("gmail", A1, "acme", NOON_MS, job="j1", job_rate=parse_rate("5/s"), pace=parse_rate("7/s"))

    assert limits == [
        Limit("site:gmail", "site", (parse_rate("100/s"), parse_rate("50000/h"))),
        Limit("site:gmail source:a1", "source", (parse_rate("10/s"),)),
        Limit("source:a1", "source", (parse_rate("1000/s"),)),
        Limit("tenant:acme", "tenant", (parse_rate("1000000/d"),)),
        Limit("job:j1", "job", (parse_rate("5/s"),)),
        Limit("pace:gmail source:a1", "pace", (parse_rate("7/s"),)),
    ]


def test_each_limit_says_who_waits_for_it() -> None:
    limits = LIMITS.message("gmail", A1, "acme", NOON_MS, job="j1", job_rate=parse_rate("5/s"), pace=parse_rate("7/s"))

    assert [(limit.kind, limit.scope) for limit in limits] == [
        ("site", "site"),
        ("source", "source"),
        ("source", "source"),
        ("tenant", "queue"),
        ("job", "queue"),
        ("pace", "source"),
    ]


def test_a_limit_that_bounds_nothing_is_left_out() -> None:
    assert LIMITS.message("mx.example.net", A2, "chouette", NOON_MS, job="j1") == []
    assert LimitsOf(Shaping.parse()).connection("gmail", A1, "acme") == []


def test_a_new_address_has_a_quota_until_the_end_of_the_day() -> None:
    new = Source("a2", warmup=Warmup(date(2026, 11, 21), (50, 100), {"gmail": (20, 30)}))
    midnight_ms = NOON_MS + 12 * 3_600_000

    assert LIMITS.message("mx.example.net", new, "chouette", NOON_MS) == [
        Limit("warmup:mx.example.net source:a2", "warmup", quota=100, quota_until_ms=midnight_ms)
    ]
    assert LIMITS.message("gmail", new, "chouette", NOON_MS)[-1].quota == 30
    assert LIMITS.message("mx.example.net", new, "chouette", midnight_ms) == []


def test_an_address_that_begins_tomorrow_has_a_quota_of_nothing() -> None:
    new = Source("a2", warmup=Warmup(date(2026, 11, 23), (50,)))

    (limit,) = LIMITS.message("mx.example.net", new, "chouette", NOON_MS)

    assert (limit.quota, limit.quota_until_ms > 0) == (0, True)


def test_a_connection_counts_under_its_site_its_source_there_and_its_source() -> None:
    assert LIMITS.connection("gmail", A1) == [
        Limit("site:gmail", "site", connections=20),
        Limit("site:gmail source:a1", "source", connections=10),
        Limit("source:a1", "source", connections=200),
    ]
    assert LIMITS.connection("gmail", A1, one=True)[1] == Limit("site:gmail source:a1", "source", connections=1)


def test_a_tenant_whose_connections_are_counted_has_its_own() -> None:
    assert LIMITS.own_connections("acme")
    assert not LIMITS.own_connections("chouette")
    assert LIMITS.connection("gmail", A1, "acme")[-1] == Limit("tenant:acme", "tenant", connections=5)


def test_the_lasting_limits_are_made_once() -> None:
    first = LIMITS.message("gmail", A1, "acme", NOON_MS)
    second = LIMITS.message("gmail", A1, "acme", NOON_MS)

    assert all(one is other for one, other in zip(first, second, strict=True))
