"""What is kept of a person, and its erasure, in a real Redis and a real cluster."""

import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import test_utils
from prometheus_client import REGISTRY

from services.relay.checks.admission import Admission
from services.suppression import changing, consent_store, mentions, people_http
from services.suppression.changing import Value
from services.suppression.consent_store import ConsentStore
from services.suppression.consenting import Consenting
from services.suppression.consents import of_request
from services.suppression.counts import Change, Counts
from services.suppression.erasing import AGAIN_MS, RETENTION, Erasing
from services.suppression.escalation import Bounce, Count
from services.suppression.forgetting import Removed
from services.suppression.http import Desk
from services.suppression.interactions import Interactions, Noted
from services.suppression.mentions import At, Mentions, found
from services.suppression.objections import Objections
from services.suppression.people import People
from services.suppression.rules import By, Rules
from services.suppression.store import Addition, Lists
from shared.http import api
from shared.redis import bus, keys, recipients
from shared.redis.consents import Consents
from shared.redis.consents import Entry as ConsentEntry
from shared.redis.erased import Erased, ErasedToo
from shared.redis.histories import Histories
from shared.redis.members import Members
from shared.redis.once import Mark, Once
from shared.redis.pressure import Mail, Pressure
from shared.redis.recipients import Recipients, Waiting, pack_slim, pack_viewable, pack_waiting
from shared.redis.suppression import SuppressionList
from shared.redis.tenants import Tenants
from shared.redis.untracked import UntrackedList
from shared.words import events, ids, once, own_files, pressure
from shared.words.consent import Topic
from shared.words.erased import ErasureKeys
from shared.words.own_files import OwnFile
from shared.words.rules import Named, Rule
from shared.words.tokens import TokenKeys

P = 3
NOW_MS = 1_700_000_000_000
SECRET = ErasureKeys(b"k" * 32)
TOKENS = TokenKeys(b"k" * 32)
ANA = "ana@b.example"


class Clock:
    def __init__(self) -> None:
        self.ms = NOW_MS

    def __call__(self) -> int:
        return self.ms


class Killed(Exception):
    pass


async def content(client: Any, name: bytes) -> list[bytes]:
    """All bytes of a key, whatever type it has. KeyError names a type that this test does not know yet."""
    kind = (await client.type(name)).decode()
    match kind:
        case "string":
            return [await client.get(name) or b""]
        case "hash":
            return [part for pair in (await client.hgetall(name)).items() for part in pair]
        case "list":
            return list(await client.lrange(name, 0, -1))
        case "set":
            return list(await client.smembers(name))
        case "zset":
            return list(await client.zrange(name, 0, -1))
        case "stream":
            entries = await client.xrange(name)
            return [part for _, fields in entries for pair in fields.items() for part in pair]
        case "none":
            return []
    raise KeyError(kind)


def holds(part: bytes) -> bool:
    """Whether the address is in these bytes, in any case of letters, or in what is compressed in them."""
    if ANA.encode() in part.lower():
        return True
    starts = [at for at in range(len(part) - 1) if part[at] == 0x78 and int.from_bytes(part[at : at + 2]) % 31 == 0]
    for at in starts:
        with suppress(zlib.error):
            if ANA.encode() in zlib.decompressobj().decompress(part[at:]).lower():
                return True
    return False


class Parts:
    def __init__(self, client: Any) -> None:
        self.client, self.clock = client, Clock()
        self.lists, self.lookup = Lists(client, P), SuppressionList(client, P)
        self.counts = Counts(client, P)
        self.erasing = self.eraser()
        self.people = People(client, P, SECRET, TOKENS, self.erasing, lambda: 0.0)
        self.jobs = 0

    def eraser(self) -> Erasing:
        """As another process makes one."""
        names = iter(range(1000))
        publisher = bus.Publisher(self.client, P, lambda: f"b{next(names)}")
        sent = Histories(self.client, P, 90)
        return Erasing(self.client, P, publisher, self.clock, lambda: f"v{next(names)}", sent)

    async def job(self, emails: list[str], tenant: str = "acme", *, waits: bool = False, chunk: int = 3) -> str:
        """Stored as queueing does."""
        self.jobs += 1
        job = ids.new_job_id(NOW_MS - 1000 + self.jobs, bytes([self.jobs % 250] * 6), P)
        p = ids.job_partition(job, P)
        await self.client.hset(keys.job(p, job), "tenant", tenant)
        await self.client.hset(keys.job(p, job), "subject", "Hello")
        rows = [Waiting(email=email, metadata={"crm": email}) for email in emails]
        for first in range(0, len(rows), chunk):
            some = rows[first : first + chunk]
            packed = pack_waiting(first, some) if waits else pack_slim(first, some)
            await self.client.zadd(keys.job_recipients(p, job), {packed: first})
        await self.client.zadd(keys.tenant_jobs(p, tenant), {job: 0})
        return job

    async def queue(self, job: str, emails: list[str]) -> None:
        """What waited waits no more."""
        key = keys.job_recipients(ids.job_partition(job, P), job)
        await self.client.delete(key)
        await self.client.zadd(key, {pack_slim(0, [Waiting(email=email) for email in emails]): 0})

    async def emails(self, job: str, number: int) -> list[str]:
        known = await Recipients(self.client, P).find(job, range(number))
        return [known[ordinal].email for ordinal in range(number)]

    async def messages(self, tenant: str = "acme", address: str = ANA, limit: int = 100) -> list[tuple[str, int]]:
        messages: list[tuple[str, int]] = []
        at: At | None = At()
        while at is not None:
            page, at = await self.people.messages(tenant, address, at, limit)
            assert len(page) <= limit
            messages += [(message.job, message.ordinal) for message in page]
        return sorted(messages)

    async def traces(self) -> list[str]:
        """Every key of the whole database in whose name or bytes the address still stands, packed or not, but for the
        stream of events, of which entries go by their age."""
        spared = {keys.events(p) for p in range(P)}
        names = [name async for name in self.client.scan_iter(count=1000)]
        return [
            name.decode()
            for name in names
            if name.decode() not in spared
            if any(holds(part) for part in (name, *await content(self.client, name)))
        ]


@pytest.fixture
def parts(client: Any) -> Parts:
    return Parts(client)


async def known(parts: Parts) -> None:
    """Ana is in every map that there is."""
    await parts.lists.add([Addition("acme", ANA, "unsubscribed", NOW_MS, event="e", diagnostic="page")])
    await parts.counts.change([Change("acme", ANA, None, Count((Bounce(1_700_000_000, 3, False, 1),)))])
    consents = Consents(parts.client, P, lambda: 0.0)
    answers: dict[Topic, str] = {"email": "yes", "tracking": "no"}
    entry = ConsentEntry(NOW_MS, "c", "api", dict(answers.items()), text="newsletter-1", ip="192.0.2.7")
    marks = TOKENS.marks("acme", ANA)
    said = of_request("acme", ANA, answers, entry, marks, lambda: "c1")
    store, objections = ConsentStore(parts.client, P, consents.rules), Objections(parts.client, P, parts.lists)
    await Consenting(store, UntrackedList(parts.client), objections).record([said])
    await Interactions(parts.client, P).note([Noted("acme", ANA, 19_000)])
    await addressed_put(parts.client, keys.usual_hours, ANA, bytes((0, 0, 9, 8 * 8 + 3)))
    members = Members(parts.client, P)
    await members.join("acme", "news", [ANA], NOW_MS)
    await members.join("acme", "offers", [ANA, "x@y.example"], NOW_MS)
    await parts.lists.add([Addition("acme", ANA, "unsubscribed", NOW_MS, scope="list:offers")])
    named = [Named(ANA, Rule(NOW_MS, note="their lawyer")), Named("*@b.example", Rule(NOW_MS, ("sms",)))]
    rules = Rules(parts.client, bus.Publisher(parts.client, P, lambda: "r"), parts.clock, lambda: "1")
    await rules.put("acme", named, 10, By("acme", "test"))


async def addressed_put(client: Any, key: Any, address: str, value: bytes) -> None:
    assert await changing.change(client, P, [Value(key, "acme", address, b"", value)]) == [True]


async def test_messages_of_an_address_are_found_in_whatever_job_and_case_and_of_no_other_tenant(parts: Parts) -> None:
    small = [await parts.job(["x@y.example", "Ana@B.example"]) for _ in range(5)]
    large = await parts.job([*(f"r{number}@b.example" for number in range(200)), ANA, "r@b.example", ANA])
    waits = await parts.job(["b@y.example", ANA], waits=True)
    await parts.job([ANA], tenant="other")

    expected = [*((job, 1) for job in small), (large, 200), (large, 202), (waits, 1)]
    assert await parts.messages() == sorted(expected)
    assert await parts.messages(limit=1) == await parts.messages(limit=3) == sorted(expected)
    assert await parts.messages(address="na@b.example") == []


async def test_a_step_reads_a_bounded_number_of_chunks_and_misses_none(parts: Parts) -> None:
    for _ in range(30):
        await parts.job([ANA] * 10)  # four chunks each
    await parts.job([ANA] * 300)

    at: At | None = At()
    read: list[tuple[str, bytes]] = []
    while at is not None:
        chunks, at = await Mentions(parts.client, P).read("acme", at)
        assert len(chunks) <= mentions.CHUNKS_A_STEP
        read += chunks
    assert sum(len(found(job, member, {ANA})) for job, member in read) == 600


async def test_an_address_beyond_ascii_is_found_in_any_case(parts: Parts) -> None:
    job = await parts.job(["ÄRGER@b.example", "x@y.example"])

    assert await parts.messages(address="ärger@b.example") == [(job, 0)]


async def test_after_erasure_a_hash_alone_is_left_and_the_relay_sends_nothing(parts: Parts) -> None:
    await known(parts)
    job = await parts.job(["x@y.example", ANA.upper(), "z@y.example", ANA])

    removed = await parts.people.erase("acme", ANA)
    assert await parts.erasing.sweep() == 1

    assert removed == Removed(suppressions=2, soft_bounces=1, consents=1, lists=2, rules=1)
    assert await parts.traces() == []
    assert await parts.emails(job, 4) == ["x@y.example", "", "z@y.example", ""]
    erasure = await parts.people.erasure("acme", ANA)
    assert erasure is not None
    assert (erasure.done_ms > 0, erasure.messages) == (True, 2)
    admission = Admission(parts.client, P, ErasedToo(parts.lookup, Erased(parts.client, P, SECRET)))
    ready = [events.Ready(tenant=whose, job=job, ordinal=1, email=ANA) for whose in ("acme", "other")]
    assert await admission.check(ready) == ["erased", None]


async def test_who_asks_to_be_erased_is_measured_no_more_in_mails_that_they_have(parts: Parts) -> None:
    marks, others = TOKENS.marks("acme", ANA), TOKENS.marks("acme", "x@y.example")
    untracked = UntrackedList(parts.client)

    await parts.people.erase("acme", "x@y.example", RETENTION)  # there may be millions, and each tracker keeps each
    await parts.people.erase("acme", ANA)

    assert await untracked.since_ms("acme", marks) == parts.clock.ms
    assert await untracked.since_ms("acme", others) == 0
    assert await untracked.since_ms("other", marks) == 0


async def test_before_a_job_is_looked_through_the_address_gets_nothing_already(parts: Parts) -> None:
    await parts.people.erase("acme", ANA)

    asked = [events.Ready(tenant="acme", job="", ordinal=1, email=email) for email in (ANA, "x@y.example")]
    erased = Erased(parts.client, P, SECRET)
    assert await erased.are_erased([(ready.tenant, ready.email) for ready in asked]) == [True, False]


async def test_what_was_hashed_under_a_former_secret_is_still_recognised(parts: Parts) -> None:
    await parts.people.erase("acme", ANA)
    rotated = Erased(parts.client, P, ErasureKeys(b"n" * 32, [b"k" * 32]))
    foreign = Erased(parts.client, P, ErasureKeys(b"n" * 32))

    assert await rotated.are_erased([("acme", ANA)]) == [True]
    assert await foreign.are_erased([("acme", ANA)]) == [False]


async def test_who_is_erased_at_one_tenant_is_untouched_at_another(parts: Parts) -> None:
    await parts.lists.add([Addition("other", ANA, "manual", NOW_MS)])
    job = await parts.job([ANA], tenant="other")

    await parts.people.erase("acme", ANA)
    await parts.erasing.sweep()

    assert await parts.emails(job, 1) == [ANA]
    (one,) = await parts.lookup.listed("other", [ANA])
    assert [entry.reason for entry in one.entries] == ["manual"]


async def test_what_an_operator_listed_for_the_laws_sake_stays(parts: Parts) -> None:
    await parts.lists.add([Addition("acme", ANA, "compliance", NOW_MS), Addition("acme", ANA, "unsubscribed", NOW_MS)])

    assert (await parts.people.erase("acme", ANA)).suppressions == 1

    (one,) = await parts.lookup.listed("acme", [ANA])
    assert [entry.reason for entry in one.entries] == ["compliance"]


async def test_when_somebody_got_marketing_is_shown_and_erased(parts: Parts) -> None:
    counted = Pressure(parts.client, P, parts.clock, lambda: 0.0)
    await counted.rules.put("acme", (pressure.Rule(3, 7),))
    await counted.count("acme", "bulk", "06h006mus2uer1pplc9g", [Mail(0, "Ana@b.example"), Mail(1, "x@y.example")])

    shown = (await parts.people.kept("acme", ANA)).marketing_s
    await parts.people.erase("acme", ANA)

    assert shown == [NOW_MS // 1000]
    assert (await parts.people.kept("acme", ANA)).marketing_s == []
    assert (await parts.people.kept("acme", "x@y.example")).marketing_s == [NOW_MS // 1000]


async def test_when_somebody_got_a_message_of_an_operation_is_shown_and_erased(
    parts: Parts, api_client: test_utils.TestClient[Any, Any]
) -> None:
    who = once.identity("Ana@b.example")
    marks = [Mark(at, once.place(who, once.half(name))) for at, name in enumerate(("autumn", "winter"))]
    await Once(parts.client, P).count("acme", "06h006mus2uer1pplc9g", marks, NOW_MS)

    shown = await (await api_client.get(f"/v1/people/{ANA}")).json()  # though nothing else is kept of her
    await parts.people.erase("acme", ANA)

    assert shown["once"] == ["2023-11-14T22:13:20.000Z"] * 2
    assert (await parts.people.kept("acme", ANA)).once_s == []


@pytest.mark.parametrize("pack", [pack_waiting, pack_slim, pack_viewable])
async def test_files_that_only_they_have_are_named_as_long_as_their_job(
    parts: Parts, pack: Any, api_client: test_utils.TestClient[Any, Any]
) -> None:
    files = own_files.packed([OwnFile("d2", "b.pdf", "application/pdf", 7), OwnFile("d1", "a é.pdf", "text/plain", 7)])
    job = await parts.job([])
    p = ids.job_partition(job, P)
    await parts.client.hset(keys.job(p, job), "once", "autumn")
    rows = [Waiting(email=ANA), Waiting(email="x@y.example", files=files), Waiting(email=ANA, files=files, key="k")]
    await parts.client.zadd(keys.job_recipients(p, job), {pack(0, rows): 0})

    shown = await (await api_client.get(f"/v1/people/{ANA}")).json()

    assert [(one["id"], one["attachments"], one["once"]) for one in shown["messages"]] == [
        (f"{job}.0", [], "autumn"),
        (f"{job}.2", ["b.pdf", "a é.pdf"], "autumn"),
    ]
    if pack is not pack_waiting:
        await parts.people.erase("acme", ANA)
        assert await parts.erasing.sweep() == 1
        (left,) = await parts.client.zrange(keys.job_recipients(p, job), 0, -1)
        assert [recipients.filenames(recipients.read(left), at) for at in range(3)] == [[], ["b.pdf", "a é.pdf"], []]


async def test_an_erasure_is_told_once_without_the_address(parts: Parts) -> None:
    await known(parts)
    before = await _facts(parts)
    await parts.job([ANA])
    await parts.people.erase("acme", ANA)
    await parts.erasing.sweep()
    await parts.erasing.sweep()

    new = [fact for fact in await _facts(parts) if fact not in before]
    assert [(type(fact).__name__, fact.email) for fact in new] == [("Erased", None)]
    assert isinstance(new[0], events.Erased)
    assert (new[0].digest, new[0].messages) == (SECRET.digest("acme", ANA), 1)


async def test_recipients_that_wait_are_left_until_they_are_queued(parts: Parts) -> None:
    job = await parts.job(["x@y.example", ANA], waits=True)
    await parts.people.erase("acme", ANA)

    assert await parts.erasing.sweep() == 0
    assert await parts.messages() == [(job, 1)]
    await parts.queue(job, ["x@y.example", ANA])
    assert await parts.erasing.sweep() == 0  # not before its time
    parts.clock.ms += AGAIN_MS
    assert await parts.erasing.sweep() == 1
    assert await parts.emails(job, 2) == ["x@y.example", ""]


async def test_since_when_the_oldest_erasure_waits_is_told_until_it_is_done(parts: Parts) -> None:
    oldest = "estafette_suppression_erasing_oldest_timestamp_seconds"
    job = await parts.job([ANA], waits=True)
    asked_s = parts.clock.ms / 1000
    await parts.people.erase("acme", ANA)

    await parts.erasing.sweep()
    assert REGISTRY.get_sample_value(oldest) == asked_s
    await parts.queue(job, [ANA])
    parts.clock.ms += AGAIN_MS
    await parts.erasing.sweep()

    assert REGISTRY.get_sample_value(oldest) == 0


async def test_jobs_that_are_made_later_are_the_tenants_new_business(parts: Parts) -> None:
    parts.clock.ms = NOW_MS - 5000
    job = await parts.job([ANA], waits=True)
    await parts.people.erase("acme", ANA)

    assert await parts.erasing.sweep() == 1
    assert await parts.emails(job, 1) == [ANA]


@pytest.mark.parametrize("dies_at", range(18))
async def test_who_dies_anywhere_is_gone_on_after_by_the_next(
    parts: Parts, dies_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step of Redis that an erasure makes is one at which the process may be killed."""
    await known(parts)
    jobs = [await parts.job(["x@y.example", ANA]) for _ in range(3)]
    left = dies_at

    def dying(call: Any) -> Any:
        async def called(*args: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return await call(*args, **more)

        return called

    with monkeypatch.context() as patched:
        patched.setattr("services.suppression.erasing.change", dying(changing.change))
        patched.setattr("services.suppression.forgetting.change", dying(changing.change))
        patched.setattr("services.suppression.consent_store.forget", dying(consent_store.forget))
        patched.setattr(Members, "forget", dying(Members.forget))
        patched.setattr(Rules, "delete", dying(Rules.delete))
        patched.setattr(Mentions, "erase", dying(Mentions.erase))
        patched.setattr(bus.Publisher, "publish", dying(bus.Publisher.publish))
        with suppress(Killed):
            await parts.people.erase("acme", ANA)
            await parts.erasing.sweep()
    next_one = parts.eraser()
    await next_one.sweep()

    assert await parts.traces() == []
    assert [await parts.emails(job, 2) for job in jobs] == [["x@y.example", ""]] * 3
    assert await parts.client.get(keys.erasure_walk("acme")) is None
    assert await Erased(parts.client, P, SECRET).are_erased([("acme", ANA)]) == [True]


async def _facts(parts: Parts) -> list[events.Fact]:
    facts: list[events.Fact] = []
    for partition in range(P):
        for number, fields in await parts.client.xrange(keys.events(partition)):
            fact = bus.entry(number, fields).message()
            assert isinstance(fact, events.Fact)
            facts.append(fact)
    return facts


@pytest.fixture
async def api_client(parts: Parts) -> AsyncIterator[test_utils.TestClient[Any, Any]]:
    tenants = Tenants(parts.client)
    await tenants.create("acme")
    _, key = await tenants.create_key("acme", ("read", "admin"))
    desk = Desk(parts.lists, parts.lookup, P, parts.clock, lambda: "r", parts.counts.forget)
    app = api.application(people_http.routes(parts.people, desk), tenants, max_body_bytes=100_000)
    headers = {"Authorization": f"Bearer {key}"}
    async with test_utils.TestClient(test_utils.TestServer(app), headers=headers) as client:
        yield client


async def test_all_that_is_kept_is_shown_and_after_erasure_that_it_was_erased(
    parts: Parts, api_client: test_utils.TestClient[Any, Any]
) -> None:
    await known(parts)
    job = await parts.job([ANA])

    before = await (await api_client.get(f"/v1/people/{ANA}")).json()
    erased = await api_client.delete(f"/v1/people/{ANA}")
    during = await (await api_client.get(f"/v1/people/{ANA}")).json()
    await parts.erasing.sweep()
    after = await (await api_client.get(f"/v1/people/{ANA}")).json()

    assert [entry["scope"] for entry in before["suppressions"]] == ["marketing", "list:offers"]
    assert (before["consent"]["optin"]["email"]["answer"], before["consent"]["tracking"]["answer"]) == ("yes", "no")
    assert [(one["text"], one["ip"]) for one in before["consent_log"]] == [("newsletter-1", "192.0.2.7")]
    assert before["untracked_since"] is not None
    assert before["last_interaction"] == "2022-01-08"
    assert before["usual_hours"] == {"best": 8, "hours": {"8": 3}, "last": "1970-01-01T09:00:00.000Z"}
    assert after["usual_hours"] is None
    assert [(one["list"], one["state"]) for one in before["lists"]] == [("news", "joined"), ("offers", "left")]
    assert [(one["pattern"], one["note"]) for one in before["rules"]] == [(ANA, "their lawyer"), ("*@b.example", "")]
    assert (before["soft_bounces"]["bounces"], before["soft_bounces"]["rules"]) == (1, {"soft_bounces": 1})
    assert [(one["id"], one["metadata"]) for one in before["messages"]] == [(f"{job}.0", {"crm": ANA})]
    assert (before["erasure"], before["next"]) == (None, None)
    counts = {"suppressions": 2, "soft_bounces": 1, "consents": 1, "lists": 2, "rules": 1}
    assert (erased.status, await erased.json()) == (202, counts)
    assert (during["erasure"]["state"], during["suppressions"], during["soft_bounces"]) == ("erasing", [], None)
    assert (during["consent"], during["consent_log"], during["lists"]) == (None, [], [])
    assert [one["pattern"] for one in during["rules"]] == ["*@b.example"]
    assert (after["erasure"]["state"], after["erasure"]["messages"], after["messages"]) == ("erased", 1, [])


async def test_of_whom_nothing_is_kept_nothing_is_told(api_client: test_utils.TestClient[Any, Any]) -> None:
    answer = await api_client.get("/v1/people/nobody@b.example")

    assert (answer.status, (await answer.json())["type"]) == (404, "urn:estafette:problem:unknown_person")
    assert (await api_client.get("/v1/people/none")).status == 422
    assert (await api_client.get(f"/v1/people/{ANA}?after=x")).status == 422
