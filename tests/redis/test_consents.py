"""Consent in a real Redis and a real cluster: noted, proved, told to trackers, and served over HTTP."""

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import test_utils
from yarl import URL

from services.suppression import consent_http, consent_store
from services.suppression.consent_store import MOST_ENTRIES, ConsentStore
from services.suppression.consenting import Consenting
from services.suppression.consents import Saying, of_fact
from services.suppression.objections import Objections
from services.suppression.returning import Returning
from services.suppression.store import Addition, Lists
from shared.http import api
from shared.redis import bus, keys
from shared.redis.consents import Consents, Entry
from shared.redis.suppression import SuppressionList
from shared.redis.tenants import Tenants
from shared.redis.untracked import CHANGES_KEPT, Told, Untracked, UntrackedList
from shared.words import consent, events, ids, scopes
from shared.words.consent import NOTHING_SAID, Rules, State, Topic
from shared.words.tokens import TokenKeys

P = 3
ANA = "ana@example.fr"
JOB = ids.new_job_id(1_700_000_000_000, b"chance", P)
KEYS = TokenKeys(b"k" * 32)
NOW_MS = 1_800_000_000_000


@pytest.fixture
def consents(client: Any) -> Consents:
    return Consents(client, P, lambda: 0.0)


@pytest.fixture
def store(client: Any, consents: Consents) -> ConsentStore:
    return ConsentStore(client, P, consents.rules)


@pytest.fixture
def consenting(client: Any, store: ConsentStore) -> Consenting:
    return Consenting(store, UntrackedList(client), Objections(client, P, Lists(client, P)))


def saying(number: int, address: str = ANA, tenant: str = "acme", at_s: int | None = None, **answers: str) -> Saying:
    at_s = number if at_s is None else at_s
    given: dict[Topic, str] = {topic: answers[topic] for topic in consent.TOPICS if topic in answers}
    entry = Entry(at_ms=at_s * 1000, event_id=f"e{number}", by="api", answers=dict(given.items()))
    return Saying(tenant, address, f"{tenant}{address}{number}", consent.change(given, at_s), entry)


def changed(number: int = 1, at_ms: int = 5_000, **fields: Any) -> events.PreferencesChanged:
    about = events.about_message("acme", JOB, 3, at_ms, "preferences", number, email="Ana@Example.fr")
    return events.PreferencesChanged(**about, by="page", ip="192.0.2.7", **fields)


def entry_of(fact: events.Fact) -> bus.Entry:
    return bus.Entry("1000-0", type(fact).__name__, events.MAJOR_VERSION, events.encode(fact))


async def told(client: Any) -> list[events.Fact]:
    facts: list[events.Fact] = []
    for partition in range(P):
        for number, fields in await client.xrange(keys.events(partition), "-", "+"):
            fact = bus.entry(number, fields).message()
            assert isinstance(fact, events.Fact)
            facts.append(fact)
    return sorted(facts, key=lambda fact: (fact.email or "", type(fact).__name__))


# What is written down


async def test_what_was_said_is_the_state_and_the_proof(store: ConsentStore, consents: Consents) -> None:
    assert await store.record([saying(1, email="yes"), saying(2, tracking="no"), saying(3, "bo@b.fr")]) == [True] * 3

    rules, states = await consents.of("acme", ["ANA@example.fr", "nobody@example.fr"])
    assert states is not None
    ana, nobody = states
    known = await consents.known("acme", ANA)

    assert rules == Rules()
    assert (ana.answer("email"), ana.answer("tracking"), ana.answer("sms")) == ("yes", "no", "unknown")
    assert nobody == NOTHING_SAID
    assert known is not None
    assert [one.answers for one in known.log] == [{"email": "yes"}, {"tracking": "no"}]


async def test_a_saying_is_written_down_once_and_an_older_one_changes_nothing(
    store: ConsentStore, consents: Consents
) -> None:
    newer, older = saying(9, email="no"), saying(5, email="yes")
    await store.record([newer])

    assert await store.record([newer, older]) == [False, True]

    known = await consents.known("acme", ANA)
    assert known is not None
    assert known.state.answer("email") == "no"
    assert [one.event_id for one in known.log] == ["e9", "e5"]


async def test_random_sayings_give_the_state_that_a_model_gives(store: ConsentStore, consents: Consents) -> None:
    chance = random.Random(11)
    people = [(tenant, f"r{number}@example.fr") for tenant in ("acme", "zeta") for number in range(40)]
    model: dict[tuple[str, str], State] = dict.fromkeys(people, NOTHING_SAID)
    sayings = []
    for number in range(900):
        tenant, address = chance.choice(people)
        topic, word = chance.choice(consent.TOPICS[1:]), chance.choice(consent.ANSWERS)
        one = saying(number, address, tenant, at_s=chance.randrange(1, 50), **{topic: word})
        sayings.append(one)
        model[tenant, address] = consent.merged(model[tenant, address], one.change)

    await store.record(sayings)

    for tenant in ("acme", "zeta"):
        mine = [address for whose, address in people if whose == tenant]
        _, found = await consents.of(tenant, mine)
        assert found == [model[tenant, address] for address in mine]


async def test_a_log_is_bounded_and_keeps_how_it_began(store: ConsentStore, consents: Consents) -> None:
    await store.record([saying(number, email="yes") for number in range(1, MOST_ENTRIES + 6)])

    log = await consents.log("acme", ANA, 0, -1)

    assert len(log) == MOST_ENTRIES
    assert [one.event_id for one in log[:2]] == ["e1", "e2"]
    assert log[-1].event_id == f"e{MOST_ENTRIES + 5}"
    assert log[MOST_ENTRIES // 2 - 1].event_id == f"e{MOST_ENTRIES // 2}"


async def test_forgetting_somebody_leaves_nothing_of_them_and_everything_of_others(
    client: Any, store: ConsentStore, consents: Consents
) -> None:
    await store.record([saying(1, email="yes"), saying(2, "bo@b.fr", email="yes"), saying(3, tenant="zeta", sms="no")])

    assert await consent_store.forget(client, P, "acme", ANA) == 1
    assert await consent_store.forget(client, P, "acme", ANA) == 0

    assert await consents.known("acme", ANA) is None
    assert await consents.known("acme", "bo@b.fr") is not None
    assert await consents.known("zeta", ANA) is not None


async def test_of_a_tenant_without_consents_nothing_is_looked_up(client: Any, consents: Consents) -> None:
    assert await consents.of("acme", [ANA]) == (Rules(), None)

    await consents.rules.put("acme", Rules("required", "required"))

    assert await consents.rules.of("acme") == (True, Rules("required", "required"))
    assert await consents.of("acme", [ANA]) == (Rules("required", "required"), [NOTHING_SAID])


async def test_a_first_consent_leaves_the_rules_as_they_are(store: ConsentStore, consents: Consents) -> None:
    await consents.rules.put("acme", Rules(gate="required"))

    await store.record([saying(1, email="yes")])

    assert await consents.rules.of("acme") == (True, Rules(gate="required"))


# What comes by a page


async def test_a_fact_of_a_page_is_written_down_once_and_trackers_are_told(
    client: Any, consenting: Consenting, consents: Consents
) -> None:
    view = Untracked(client)
    await view.load()
    marks = KEYS.marks("acme", ANA)
    fact = changed(tracking="no", opted_out="sms", joined="news", marks=marks[0].hex())

    await consenting.apply([entry_of(fact)])
    await consenting.apply([entry_of(fact), entry_of(events.Delivered(**events.about_message("acme", JOB, 1, 1, "d")))])
    await view.follow()

    known = await consents.known("acme", ANA)
    assert known is not None
    assert (known.state.answer("tracking"), known.state.answer("sms")) == ("no", "no")
    (entry,) = known.log
    assert (entry.by, entry.ip, entry.joined, entry.message) == ("page", "192.0.2.7", ("news",), f"{JOB}.3")
    assert view.is_withdrawn("acme", marks)
    assert not view.is_withdrawn("zeta", marks)
    assert view.has_any("acme")
    assert not view.has_any("zeta")


async def test_marks_that_are_none_are_buried(consenting: Consenting) -> None:
    with pytest.raises(bus.DeadLetter, match="PreferencesChanged"):
        await consenting.apply([entry_of(changed(tracking="no", marks="no hex"))])


def test_a_fact_about_nobody_or_of_another_kind_says_nothing() -> None:
    nobody = events.PreferencesChanged(**events.about("acme", 1, "p"), tracking="no")

    assert of_fact(nobody) is None
    assert of_fact(events.Reactivated(**events.about("acme", 1, "r", email=ANA))) is None


# What trackers know


async def test_what_is_said_later_holds_in_whatever_order_it_is_told(client: Any) -> None:
    view, names = Untracked(client), UntrackedList(client)
    mark = KEYS.marks("acme", ANA)[0]
    await view.load()

    await names.tell([Told("acme", mark, False, 9_000)])
    await names.tell([Told("acme", mark, True, 5_000)])
    await view.follow()
    given_again = view.is_withdrawn("acme", [mark])
    await names.tell([Told("acme", mark, True, 9_500)])
    await view.follow()

    assert not given_again
    assert view.is_withdrawn("acme", [mark])
    fresh = Untracked(client)
    await fresh.load()
    assert fresh.is_withdrawn("acme", [mark])


async def test_a_tracker_that_missed_more_than_is_kept_reads_everything_anew(client: Any) -> None:
    view, names = Untracked(client), UntrackedList(client)
    first, last = b"first.", b"last.."
    await names.tell([Told("acme", b"before", True, 1)])
    await view.load()
    await names.tell([Told("acme", first, True, 1)])
    for start in range(0, CHANGES_KEPT + 500, 500):
        await names.tell([Told("acme", number.to_bytes(6, "big"), True, 1) for number in range(start, start + 500)])
    await names.tell([Told("acme", last, True, 1)])

    await view.follow()

    assert all(view.is_withdrawn("acme", [mark]) for mark in (b"before", first, last))


async def test_what_a_tracker_heard_itself_holds_before_anybody_wrote_it_down(client: Any) -> None:
    view = Untracked(client)
    view.hear([Told("acme", b"123456", True, 7)])

    assert view.is_withdrawn("acme", [b"123456"])
    await view.load()
    assert view.is_withdrawn("acme", [b"123456"])


# Over HTTP


class Browser:
    def __init__(self, server: test_utils.TestClient[Any, Any], keys_by_scope: dict[str, str]) -> None:
        self._server = server
        self._keys = keys_by_scope

    async def ask(self, method: str, path: str, body: Any = None, scope: str = "acme") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._keys[scope]}"}
        async with self._server.request(method, URL(path, encoded=True), json=body, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def browser(client: Any, consenting: Consenting, consents: Consents) -> AsyncIterator[Browser]:
    numbers = iter(range(10_000))
    lists, lookup = Lists(client, P, lambda: NOW_MS), SuppressionList(client, P, lambda: NOW_MS)
    tenants = Tenants(client)
    made = {}
    for tenant in ("acme", "zeta"):
        await tenants.create(tenant)
        _, made[tenant] = await tenants.create_key(tenant, ["read", "suppress", "admin"])
    app = api.application(
        consent_http.routes(
            consenting, Returning(lists, lookup), consents, KEYS, lambda: NOW_MS, lambda: f"{next(numbers):016x}"
        ),
        tenants,
        max_body_bytes=10_000_000,
    )
    async with test_utils.TestClient(test_utils.TestServer(app)) as server:
        yield Browser(server, made)


async def test_a_consent_is_put_shown_and_proved(client: Any, browser: Browser) -> None:
    body = {
        "kind": "person",
        "optin": {"email": "yes", "sms": "no"},
        "tracking": "no",
        "at": "2026-01-31T09:05:00.250Z",
        "purpose": "offers",
        "text": "newsletter-2",
        "words": "I agree.",
        "ip": "192.0.2.9",
        "user_agent": "Firefox",
        "who": "form",
    }

    status, put = await browser.ask("PUT", "/v1/consents/Ana@Example.fr", body)
    assert status == 200
    assert put.pop("warnings") == []
    assert await browser.ask("GET", "/v1/consents/ana@example.fr") == (200, put)
    email = {"answer": "yes", "since": "2026-01-31T09:05:00.000Z", "by": "api", "text": "newsletter-2"}
    assert put["address"] == ANA
    assert put["kind"] == "person"
    assert put["optin"]["email"] == {**email, "purpose": "offers"}
    assert put["optin"]["phone"]["answer"] == "unknown"
    assert put["tracking"]["answer"] == "no"

    status, log = await browser.ask("GET", "/v1/consents/ana@example.fr/log")
    (entry,) = log["entries"]
    assert (status, log["next"]) == (200, None)
    assert entry["time"] == "2026-01-31T09:05:00.250Z"
    assert entry["answers"] == {"kind": "person", "email": "yes", "sms": "no", "tracking": "no"}
    assert (entry["ip"], entry["user_agent"], entry["who"], entry["text"]) == (
        "192.0.2.9",
        "Firefox",
        "form",
        "newsletter-2",
    )
    assert len(entry["words_sha256"]) == 64
    opted_in, preferences = await told(client)
    assert isinstance(opted_in, events.OptedIn)
    assert (opted_in.channel, opted_in.text, opted_in.by) == ("email", "newsletter-2", "api")
    assert isinstance(preferences, events.PreferencesChanged)
    assert (preferences.opted_out, preferences.tracking) == ("sms", "no")
    view = Untracked(client)
    await view.load()
    assert view.is_withdrawn("acme", KEYS.marks("acme", ANA))


# Who agrees again, by the word of the API

LEFT_MS = 1_700_000_000_000
BEFORE, AFTER = "2023-11-01T00:00:00Z", "2023-12-01T00:00:00Z"
PROOF = {"text": "form-3"}


async def _left(client: Any, reason: scopes.Reason = "unsubscribed", channel: scopes.Channel = "email") -> Lists:
    lists = Lists(client, P, lambda: NOW_MS)
    await lists.add([Addition("acme", ANA, reason, LEFT_MS, scope="marketing", channel=channel)])
    return lists


async def _stopped(client: Any) -> list[tuple[str, str]]:
    (listed,) = await SuppressionList(client, P, lambda: NOW_MS).listed("acme", [ANA])
    return [(entry.channel, entry.reason) for entry in listed.entries]


@pytest.mark.parametrize("proof", [PROOF, {"words": "I want the offers."}])
async def test_an_opt_in_that_is_proved_takes_back_that_they_left_before_and_is_told_of(
    client: Any, browser: Browser, proof: dict[str, str]
) -> None:
    await _left(client)

    status, put = await browser.ask(
        "PUT", f"/v1/consents/{ANA}", {"optin": {"email": "yes"}, "at": AFTER, "who": "form", **proof}
    )

    (warning,) = put["warnings"]
    (gone,) = [fact for fact in await told(client) if isinstance(fact, events.Reactivated)]
    assert (status, await _stopped(client)) == (200, [])
    assert warning["at"] == "$.optin.email"
    assert warning["what"].startswith("takes back that they left at 2023-11-14")
    assert (gone.email, gone.reason, gone.channel, gone.scope) == (ANA, "optin", "email", "marketing")


@pytest.mark.parametrize(
    ("reason", "body", "what"),
    [
        ("unsubscribed", {"at": AFTER}, "no `text` or `words` shows otherwise"),
        ("unsubscribed", {"at": AFTER, "purpose": "offers", "who": "form"}, "no `text` or `words` shows otherwise"),
        ("unsubscribed", {"at": BEFORE, **PROOF}, "they left later"),
        ("complaint", {"at": AFTER, **PROOF}, "complaint, since 2023-11-14"),
        ("manual", {"at": AFTER, **PROOF}, "manual, since 2023-11-14"),
    ],
)
async def test_an_opt_in_that_takes_nothing_back_is_noted_and_warned_about(
    client: Any, browser: Browser, reason: scopes.Reason, body: dict[str, str], what: str
) -> None:
    await _left(client, reason)

    status, put = await browser.ask("PUT", f"/v1/consents/{ANA}", {"optin": {"email": "yes"}, **body})

    (warning,) = put["warnings"]
    assert (status, put["optin"]["email"]["answer"]) == (200, "yes")
    assert what in warning["what"]
    assert await _stopped(client) == [("email", reason)]


async def test_who_leaves_again_after_an_opt_in_has_left(client: Any, browser: Browser) -> None:
    lists = await _left(client)
    await browser.ask("PUT", f"/v1/consents/{ANA}", {"optin": {"email": "yes"}, "at": AFTER, **PROOF})
    back = await _stopped(client)

    await lists.add([Addition("acme", ANA, "unsubscribed", NOW_MS - 1, scope="marketing")])
    await browser.ask("PUT", f"/v1/consents/{ANA}", {"optin": {"email": "yes"}, "at": AFTER, **PROOF})

    assert back == []
    assert await _stopped(client) == [("email", "unsubscribed")]


async def test_each_channel_is_taken_back_by_its_own_opt_in_and_lists_stay_left(client: Any, browser: Browser) -> None:
    lists = await _left(client)
    await _left(client, channel="sms")
    await lists.add([Addition("acme", ANA, "unsubscribed", LEFT_MS, scope="list:letter")])

    _, answer = await browser.ask(
        "POST",
        "/v1/consents",
        {
            "consents": [
                {"email": "ben@example.fr", "optin": {"email": "yes"}},
                {"email": ANA, "optin": {"sms": "yes", "email": "no"}, **PROOF},
            ]
        },
    )

    assert (answer["stored"], [one["at"] for one in answer["warnings"]]) == (2, ["$.consents[1].optin.sms"])
    assert await _stopped(client) == [("email", "unsubscribed"), ("email", "unsubscribed")]


async def test_what_the_api_was_told_is_not_written_down_again_when_its_facts_are_read(
    client: Any, browser: Browser, consenting: Consenting, consents: Consents
) -> None:
    await browser.ask("PUT", f"/v1/consents/{ANA}", {"optin": {"email": "yes"}, "tracking": "yes"})

    await consenting.apply([entry_of(fact) for fact in await told(client)])

    assert len(await consents.log("acme", ANA, 0, -1)) == 1


async def test_a_log_is_read_page_by_page(browser: Browser) -> None:
    for answer in ("yes", "no", "yes", "no", "unknown"):
        await browser.ask("PUT", f"/v1/consents/{ANA}", {"tracking": answer})

    found: list[str] = []
    after: str | None = ""
    while after is not None:
        _, page = await browser.ask("GET", f"/v1/consents/{ANA}/log?limit=2{after and f'&after={after}'}")
        found += [entry["answers"]["tracking"] for entry in page["entries"]]
        after = page["next"]

    assert found == ["yes", "no", "yes", "no", "unknown"]


async def test_an_address_with_a_slash_has_a_consent_and_a_log(browser: Browser) -> None:
    path = "/v1/consents/a%2Flog@example.fr"

    assert (await browser.ask("PUT", path, {"objected": "yes"}))[1]["objected"]["answer"] == "yes"

    assert (await browser.ask("GET", path))[1]["address"] == "a/log@example.fr"
    assert len((await browser.ask("GET", f"{path}/log"))[1]["entries"]) == 1


async def test_thousands_are_put_at_once_or_none_of_them(browser: Browser) -> None:
    people = [{"email": f"r{number}@example.fr", "optin": {"email": "yes"}} for number in range(2_000)]

    assert await browser.ask("POST", "/v1/consents", {"consents": people}) == (200, {"stored": 2_000, "warnings": []})
    status, problem = await browser.ask(
        "POST",
        "/v1/consents",
        {"consents": [{"email": "new@example.fr", "tracking": "no"}, {"email": "none"}, {"email": ANA}]},
    )

    assert (await browser.ask("GET", "/v1/consents/r1999@example.fr"))[1]["optin"]["email"]["answer"] == "yes"
    assert (status, [fault["at"] for fault in problem["faults"]]) == (422, ["$.consents[1].email", "$.consents[2]"])
    assert (await browser.ask("GET", "/v1/consents/new@example.fr"))[0] == 404


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({}, "$"),
        ({"optin": {}}, "$"),
        ({"optin": {"email": True}}, "$.optin.email"),
        ({"tracking": "no", "at": "2100-01-01T00:00:00Z"}, "$.at"),
        ({"tracking": "no", "at": "1960-01-01T00:00:00Z"}, "$.at"),
        ({"tracking": "maybe"}, "$.tracking"),
    ],
)
async def test_a_consent_that_says_nothing_or_nonsense_is_refused(browser: Browser, body: Any, at: str) -> None:
    status, problem = await browser.ask("PUT", f"/v1/consents/{ANA}", body)

    assert (status, problem["faults"][0]["at"]) == (422, at)
    assert (await browser.ask("GET", f"/v1/consents/{ANA}"))[0] == 404


async def test_nobody_sees_or_changes_what_another_tenant_knows(browser: Browser) -> None:
    await browser.ask("PUT", f"/v1/consents/{ANA}", {"optin": {"email": "yes"}})
    await browser.ask("PUT", "/v1/consent-rules", {"gate": "required"})

    for path in (f"/v1/consents/{ANA}", f"/v1/consents/{ANA}/log"):
        assert (await browser.ask("GET", path, scope="zeta"))[0] == 404
    assert (await browser.ask("GET", "/v1/consent-rules", scope="zeta"))[1] == {
        "gate": "declared",
        "tracking": "declared",
        "double_opt_in": True,
    }
    await browser.ask("PUT", f"/v1/consents/{ANA}", {"optin": {"email": "no"}}, scope="zeta")
    assert (await browser.ask("GET", f"/v1/consents/{ANA}"))[1]["optin"]["email"]["answer"] == "yes"


@pytest.mark.parametrize("path", ["/v1/consents/none", "/v1/consents/none/log"])
async def test_what_is_no_address_is_said_to_be_none(browser: Browser, path: str) -> None:
    status, problem = await browser.ask("GET", path)

    assert (status, problem["type"]) == (422, "urn:estafette:problem:invalid_address")
