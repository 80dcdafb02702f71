"""Rules of who must not be mailed in a real Redis and a real cluster: changed, obeyed at the next check, served."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import test_utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from services.suppression import rules_http
from services.suppression.rules import By, Changed, Rules
from shared.http import api
from shared.process.settings import Quotas
from shared.redis import bus, keys, redis
from shared.redis import rules as book
from shared.redis.rules import EVERYBODY, RuleBook
from shared.redis.suppression import Asked, SuppressionList
from shared.redis.tenants import Tenants
from shared.words import events
from shared.words.errors import Problem
from shared.words.rules import Named, Rule

PARTITIONS = 3
NOW_MS = 1_700_000_000_123
QUOTAS = {**Quotas().by_name(), "rules": 5}
BY = By("house", "key:k")


def numbered() -> Callable[[], str]:
    counted = itertools.count()
    return lambda: f"{next(counted):016x}"


def rules_of(client: Any) -> Rules:
    chance = numbered()
    return Rules(client, bus.Publisher(client, PARTITIONS, chance), lambda: NOW_MS, chance)


@pytest.fixture
def rules(client: Any) -> Rules:
    return rules_of(client)


def named(pattern: str, since_ms: int = NOW_MS, **fields: Any) -> Named:
    return Named(pattern, Rule(since_ms, **fields))


def of(tenant: str, address: str, stream: str = "bulk") -> Asked:
    return Asked(tenant, address, "email", stream, "")


async def test_a_change_is_in_force_at_the_next_check_of_whoever_has_checked_before(client: Any, rules: Rules) -> None:
    lists = [SuppressionList(client, PARTITIONS) for _ in range(2)]
    asked = [of("acme", "Contact@a.example"), of("acme", "ana@b.example"), of("acme", "ana@c.example")]

    async def found() -> list[list[str | None]]:
        return [await one.check(asked) for one in lists]

    assert await found() == [[None, None, None]] * 2
    await rules.put("acme", [named("contact@*"), named("*@b.example")], 5, BY)
    assert await found() == [["rule", "rule", None]] * 2
    await rules.delete("acme", "contact@*", BY)
    assert await found() == [[None, "rule", None]] * 2
    await rules.put("acme", [named("*@c.example")], 5, BY, replace=True)
    assert await found() == [[None, None, "rule"]] * 2
    await rules.delete("acme", "*@c.example", BY)
    assert await found() == [[None, None, None]] * 2


async def test_one_tenants_rules_never_touch_anothers_and_the_operators_hold_for_all(client: Any, rules: Rules) -> None:
    await rules.put("acme", [named("*@a.example")], 5, BY)
    await rules.put(EVERYBODY, [named("*@court.example")], 5, BY)

    addresses = ("x@a.example", "x@court.example", "x@b.example")
    found = await SuppressionList(client, PARTITIONS).check(
        [of(tenant, address) for tenant in ("acme", "other") for address in addresses]
    )

    assert found == ["rule", "compliance", None, None, "compliance", None]
    assert await rules.all("other") == []


async def test_a_rule_of_marketing_leaves_other_streams_alone(client: Any, rules: Rules) -> None:
    await rules.put("acme", [named("*@a.example", scope="marketing")], 5, BY)

    found = await SuppressionList(client, PARTITIONS).check(
        [of("acme", "x@a.example", "bulk"), of("acme", "x@a.example", "transactional")]
    )

    assert found == ["rule", None]


async def test_rules_that_have_not_changed_are_not_read_again(
    client: Any, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    really = book.all_rules

    async def counted(one: Any, tenant: str) -> list[Named]:
        read.append(tenant)
        return await really(one, tenant)

    monkeypatch.setattr(book, "all_rules", counted)
    lookup = SuppressionList(client, PARTITIONS)
    await rules.put("acme", [named("*@a.example")], 5, BY)

    for _ in range(3):
        await lookup.check([of("acme", "x@a.example"), of("other", "x@a.example")])
    await rules.put("acme", [named("*@a.example")], 5, BY)  # as it is already
    await lookup.check([of("acme", "x@a.example")])
    await rules.put("acme", [named("*@b.example")], 5, BY)
    await lookup.check([of("acme", "x@a.example")])

    assert read == ["acme", "acme"]


async def test_a_process_keeps_no_more_rules_than_it_may(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "MAX_KEPT", 10)
    rules, kept = rules_of(client), RuleBook(client)
    for at in range(6):
        await rules.put(f"t{at}", [named(f"*@a{n}.example") for n in range(4)], 5, BY)

    for _ in range(2):
        for at in range(6):
            versions = {f"t{at}": await client.hget(keys.rule_versions(), f"t{at}")}
            assert await kept.stopped([of(f"t{at}", "x")], ["x@a3.example"], versions) == ["rule"]

    assert len(kept._kept) == 2
    assert kept._number == 8


async def test_a_pattern_keeps_the_time_at_which_it_was_put_first(rules: Rules) -> None:
    await rules.put("acme", [named("*@a.example", 5, note="é" * 20)], 5, BY)

    changed = await rules.put("acme", [named("*@a.example", 9, channels=("email", "sms"), note="x" * 200)], 5, BY)
    same = await rules.put("acme", [named("*@a.example", 11, channels=("email", "sms"), note="x" * 200)], 5, BY)

    assert (changed, same) == (Changed(0, 1, 0, 0), Changed(0, 0, 1, 0))
    assert await rules.get("acme", "*@a.example") == Rule(5, ("email", "sms"), "all", "x" * 200)


async def test_more_rules_than_the_quota_are_refused_and_nothing_is_changed(rules: Rules) -> None:
    await rules.put("acme", [named(f"*@a{at}.example") for at in range(4)], 5, BY)
    before = await rules.all("acme")

    with pytest.raises(Problem, match="4 of 5 in use") as refused:
        await rules.put("acme", [named("*@b.example"), named("*@c.example"), named("*@a0.example", note="x")], 5, BY)
    with pytest.raises(Problem, match="the quota rules"):
        await rules.put("acme", [named(f"*@b{at}.example") for at in range(6)], 5, BY, replace=True)

    assert refused.value.word == "quota_exceeded"
    assert await rules.all("acme") == before
    assert await rules.put("acme", [named("*@b.example")], 5, BY) == Changed(1, 0, 0, 0)
    # A quota that was lowered lets changes and fewer rules through.
    assert await rules.put("acme", [named("*@b.example", note="x")], 2, BY) == Changed(0, 1, 0, 0)
    assert await rules.put("acme", [named(f"*@c{at}.example") for at in range(3)], 2, BY, replace=True) == Changed(
        3, 0, 0, 5
    )


async def test_what_an_operator_changes_for_all_is_told_and_what_a_tenant_does_is_theirs(
    client: Any, rules: Rules
) -> None:
    await rules.put("acme", [named("*@a.example")], 5, By("acme", "key:theirs"))
    await rules.put(EVERYBODY, [named("*@a.example")], 5, BY)
    await rules.put(EVERYBODY, [named("*@a.example")], 5, BY)
    await rules.put(EVERYBODY, [named("*@b.example"), named("*@c.example")], 5, BY)
    await rules.delete(EVERYBODY, "*@b.example", BY)
    await rules.delete(EVERYBODY, "*@b.example", BY)
    await rules.delete("acme", "*@a.example", By("", "root@host"))
    await rules.put(EVERYBODY, [named("*@d.example")], 5, By("", "root@host"))

    told = []
    for partition in range(PARTITIONS):
        for number, fields in await client.xrange(keys.events(partition), "-", "+"):
            fact = bus.entry(number, fields).message()
            assert isinstance(fact, events.Acted)
            told.append((fact.tenant, fact.who, fact.action, fact.target))
    assert sorted(told) == [
        ("", "root@host", "delete rules", "tenant:acme *@a.example"),
        ("", "root@host", "put rules", "*@d.example"),
        ("house", "key:k", "delete rules", "*@b.example"),
        ("house", "key:k", "put rules", "*@a.example"),
        ("house", "key:k", "put rules", "2 rules"),
    ]


PATTERNS = ["*@a.example", "*@b.example", "ana@*", "*@*.example", "bo@a.example"]
STEP = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(["", "acme", "other"]), st.sets(st.sampled_from(PATTERNS), min_size=1)),
    st.tuples(st.just("replace"), st.sampled_from(["", "acme", "other"]), st.sets(st.sampled_from(PATTERNS))),
    st.tuples(
        st.just("delete"), st.sampled_from(["", "acme", "other"]), st.sets(st.sampled_from(PATTERNS), min_size=1)
    ),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=8))
async def test_after_any_changes_each_check_is_what_a_model_says(redis_url: str, steps: list[Any]) -> None:
    client: Any = redis.connect(redis_url)
    await client.flushall()
    rules, lookup = rules_of(client), SuppressionList(client, PARTITIONS)
    model: dict[str, set[str]] = {"": set(), "acme": set(), "other": set()}
    concerned = {
        "ana@a.example": {"*@a.example", "ana@*", "*@*.example"},
        "bo@b.example": {"*@b.example", "*@*.example"},
    }
    for word, tenant, patterns in steps:
        if word == "delete":
            for pattern in patterns:
                assert await rules.delete(tenant, pattern, BY) is (pattern in model[tenant])
            model[tenant] -= patterns
        else:
            await rules.put(tenant, [named(one) for one in patterns], 10, BY, replace=word == "replace")
            model[tenant] = set(patterns) if word == "replace" else model[tenant] | patterns

        asked = [of(one, address) for one in ("acme", "other") for address in concerned]
        assert await lookup.check(asked) == [
            "compliance" if model[""] & concerned[one.address]
            else "rule" if model[one.tenant] & concerned[one.address]
            else None
            for one in asked
        ]  # fmt: skip
    assert [{one.pattern for one in await rules.all(tenant)} for tenant in model] == list(model.values())
    await redis.close(client)


# Over HTTP


class Served:
    """The routes on a server of their own, and the keys of two tenants and of an operator."""

    def __init__(self, client: test_utils.TestClient[Any, Any], keys_: dict[str, str]) -> None:
        self._client = client
        self._keys = keys_

    async def call(self, who: str, method: str, path: str, body: Any = None, media: str = "") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._keys[who]}"} | ({"Content-Type": media} if media else {})
        sent = {"data": body} if media else {"json": body} if body is not None else {}
        async with self._client.request(method, URL(path, encoded=True), headers=headers, **sent) as answer:
            kind = answer.content_type
            return answer.status, await (answer.json() if kind.endswith("json") else answer.text())


@pytest.fixture
async def served(client: Any) -> AsyncIterator[Served]:
    tenants = Tenants(client)
    made = {}
    for name, scopes in (("acme", "read,suppress"), ("other", "read,suppress"), ("house", "operator")):
        await tenants.create(name)
        _, made[name] = await tenants.create_key(name, scopes.split(","))
    routes = rules_http.routes(rules_of(client), QUOTAS, lambda: NOW_MS)
    app = api.application(routes, tenants, max_body_bytes=8_000_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as http:
        yield Served(http, made)


RULE = "/v1/suppression-rules"
OF_ALL = "/v1/installation/suppression-rules"


async def test_a_rule_is_put_shown_listed_and_deleted(served: Served) -> None:
    put = await served.call("acme", "PUT", f"{RULE}/*@%C3%A9lan.example", {"channels": ["sms", "email"], "note": "é"})
    again = await served.call("acme", "PUT", f"{RULE}/*%40%C3%89lan.example")
    shown = await served.call("acme", "GET", f"{RULE}/*@xn--lan-9la.example")
    deleted = await served.call("acme", "DELETE", f"{RULE}/*@xn--lan-9la.example")
    gone = [await served.call("acme", method, f"{RULE}/*@xn--lan-9la.example") for method in ("GET", "DELETE")]

    rule = {"pattern": "*@xn--lan-9la.example", "scope": "all", "since": "2023-11-14T22:13:20.123Z"}
    assert put == (201, {**rule, "channels": ["email", "sms"], "note": "é"})
    assert again == (200, {**rule, "channels": ["email"], "note": ""})
    assert shown == again
    assert deleted == (204, "")
    assert [(status, problem["type"]) for status, problem in gone] == [(404, "urn:estafette:problem:unknown_rule")] * 2


async def test_rules_are_listed_page_by_page_and_by_whom_they_concern(served: Served) -> None:
    for pattern in ("c@*", "*@a.example", "*@*.example", "x/y@*"):
        assert (await served.call("acme", "PUT", f"{RULE}/{pattern}"))[0] == 201

    _, first = await served.call("acme", "GET", f"{RULE}?limit=3")
    _, rest = await served.call("acme", "GET", f"{RULE}?limit=3&after={first['next']}")
    _, matching = await served.call("acme", "GET", f"{RULE}?matching=C@a.example")

    assert [one["pattern"] for one in first["rules"]] == ["*@*.example", "*@a.example", "c@*"]
    assert [one["pattern"] for one in rest["rules"]] == ["x/y@*"]
    assert (rest["next"], rest["total"], rest["limit"]) == (None, 4, 5)
    assert [one["pattern"] for one in matching["rules"]] == ["c@*", "*@a.example", "*@*.example"]


async def test_what_is_exported_is_taken_in_unchanged(served: Served) -> None:
    text = "contact@*\n*@a.example # they asked\n"
    assert await served.call("acme", "POST", f"{RULE}/import", text, "text/plain") == (
        200,
        {"added": 2, "changed": 0, "unchanged": 0, "removed": 0},
    )
    await served.call("acme", "PUT", f"{RULE}/*@b.example", {"scope": "marketing", "note": "=1+1"})

    _, exported = await served.call("acme", "GET", f"{RULE}/export")
    taken = await served.call("acme", "POST", f"{RULE}/import", exported, "text/csv")
    moved = await served.call("other", "POST", f"{RULE}/import?replace=true", exported, "text/csv")

    assert taken == (200, {"added": 0, "changed": 0, "unchanged": 3, "removed": 0})
    assert moved[1]["added"] == 3
    assert (await served.call("other", "GET", f"{RULE}/export"))[1] == exported
    assert await served.call("acme", "POST", f"{RULE}/import?replace=true", "pattern\n", "text/csv") == (
        200,
        {"added": 0, "changed": 0, "unchanged": 0, "removed": 3},
    )


@pytest.mark.parametrize(
    ("body", "media", "status", "words"),
    [
        ("contact@*\n*@*\nno*@x.fr\n", "text/plain", 422, ["line 2", "line 3"]),
        ("", "text/plain", 422, ["no rule"]),
        ("pattern\n", "text/csv", 422, ["no rule"]),
        ("name\nx\n", "text/csv", 422, ["'name'"]),
        ("pattern\n*@\xe9.fr\n".encode("latin-1"), "text/csv", 422, ["line 2", "0xE9", "charset=windows-1252"]),
        ("a@*\n", "text/plain; charset=klingon", 415, ["klingon"]),
        ("a@*\n", "application/json", 415, ["application/json"]),
        ("# " + "x" * 1000, "text/plain", 413, ["at most 1,000 bytes"]),
        ("".join(f"a{at}@*\n" for at in range(6)), "text/plain", 429, ["quota rules"]),
    ],
)
async def test_a_file_that_cannot_be_taken_in_is_refused_whole(
    served: Served, body: Any, media: str, status: int, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules_http, "MAX_FILE_BYTES", 1000)
    await served.call("acme", "PUT", f"{RULE}/*@a.example")

    answered, problem = await served.call("acme", "POST", f"{RULE}/import", body, media)

    assert answered == status
    assert [word for word in words if word not in str(problem)] == []
    assert (await served.call("acme", "GET", RULE))[1]["total"] == 1


async def test_a_file_is_read_in_the_charset_that_it_names(served: Served) -> None:
    body = "pattern;note\n*@élan.example;né\n".encode("cp1252")

    await served.call("acme", "POST", f"{RULE}/import", body, "text/csv; charset=windows-1252")

    (rule,) = (await served.call("acme", "GET", RULE))[1]["rules"]
    assert (rule["pattern"], rule["note"]) == ("*@xn--lan-9la.example", "né")


@pytest.mark.parametrize(
    ("pattern", "body", "words"),
    [
        ("*@*", None, "everybody"),
        ("exemple.fr", None, "`*@` and the domain"),
        ("*@exemple.fr", {"channels": []}, "at least one"),
        ("*@exemple.fr", {"channels": ["fax"]}, "fax"),
        ("*@exemple.fr", {"note": "x" * 201}, "200"),
        ("%2B33612345678", {"channels": ["email"]}, "sms alone"),
        ("%FF@*", None, "UTF-8"),
    ],
)
async def test_what_is_no_rule_is_refused_with_what_is_wrong(
    served: Served, pattern: str, body: Any, words: str
) -> None:
    status, problem = await served.call("acme", "PUT", f"{RULE}/{pattern}", body)

    assert status == 422
    assert words in str(problem)


async def test_no_tenant_sees_or_changes_anothers_rules_or_the_operators(served: Served) -> None:
    await served.call("acme", "PUT", f"{RULE}/*@a.example")
    await served.call("house", "PUT", f"{OF_ALL}/*@court.example")

    seen = [
        (await served.call(who, "GET", path))[1] for who, path in (("other", RULE), ("acme", RULE), ("house", OF_ALL))
    ]
    taken = await served.call("other", "DELETE", f"{RULE}/*@a.example")
    strangers = [
        (await served.call("acme", method, path, body, media))[0]
        for method, path, body, media in (
            ("GET", OF_ALL, None, ""),
            ("GET", f"{OF_ALL}/export", None, ""),
            ("GET", f"{OF_ALL}/*@court.example", None, ""),
            ("PUT", f"{OF_ALL}/*@x.example", None, ""),
            ("DELETE", f"{OF_ALL}/*@court.example", None, ""),
            ("POST", f"{OF_ALL}/import", "a@*\n", "text/plain"),
        )
    ]

    assert [[one["pattern"] for one in page["rules"]] for page in seen] == [[], ["*@a.example"], ["*@court.example"]]
    assert taken[0] == 404
    assert strangers == [403] * 6


async def test_changes_at_the_same_time_stay_within_the_quota(served: Served) -> None:
    answers = await asyncio.gather(*(served.call("acme", "PUT", f"{RULE}/*@a{at}.example") for at in range(12)))

    assert sorted(status for status, _ in answers) == [201] * 5 + [429] * 7
