"""Links to documents are made for messages and addresses of the tenant, as consent lets them, from a real Redis."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.queueing.documents import DocumentLink, DocumentRequest, Documents
from services.queueing.store import JobStore
from services.suppression.consent_store import ConsentStore
from services.suppression.consents import Saying
from shared.mail.domain_names import InvalidDomain
from shared.redis import keys
from shared.redis.consents import Consents, Entry
from shared.redis.own_hosts import OwnHosts
from shared.redis.recipients import Recipients, Waiting, pack_slim, pack_waiting, read, without
from shared.redis.sending_domains import DomainTaken
from shared.redis.untracked import Told, UntrackedList
from shared.words import consent, ids
from shared.words.consent import Rules
from shared.words.errors import Problem
from shared.words.sending_domain import SendingDomain
from shared.words.tokens import NO_POSITION, Token, TokenKeys
from tests.jobs import new_job

P = 3
NOW_MS = 1_750_000_000_000
KEYS = TokenKeys(b"k" * 32)
JOB = ids.new_job_id(NOW_MS, b"chance", P)
ANA, BO = "ana@exemple.fr", "bo@exemple.fr"
URL = "https://exemple.fr/devis/113.pdf"
BASE = "https://t.example.com"


class Domains:
    """Of the tenant `demo` one, whose links begin at `links`; `fault` is what asking for it raises."""

    def __init__(self, links: str = "", fault: Exception | None = None) -> None:
        self.links = links
        self.fault = fault

    async def for_sending(self, tenant: str, domain: str, *, any_from_domain: bool) -> SendingDomain:
        assert (tenant, domain, any_from_domain) == ("demo", "exemple.fr", False)
        if self.fault is not None:
            raise self.fault
        return SendingDomain(domain=domain, tenant=tenant, links=self.links)


async def stored(client: Any) -> None:
    people = [Waiting(email=ANA), Waiting(email=BO)]
    new = new_job(tenant="demo", sender="Chouette <news@exemple.fr>")
    await JobStore(client, P, 5).store(JOB, new, [(0, pack_waiting(0, people))], "queueing")
    await put(client, pack_slim(0, people))


async def put(client: Any, chunk: bytes) -> None:
    key = keys.job_recipients(ids.job_partition(JOB, P), JOB)
    await client.delete(key)
    await client.zadd(key, {chunk: 0})


def made(client: Any, domains: Domains | None = None) -> Documents:
    return Documents(
        client,
        P,
        KEYS,
        Recipients(client, P),
        Consents(client, P, lambda: 0.0),
        UntrackedList(client),
        OwnHosts(domains or Domains(), BASE),
        lambda: NOW_MS,
    )


async def link(documents: Documents, tenant: str = "demo", **fields: Any) -> DocumentLink:
    given: dict[str, Any] = {"name": "Devis 113", "url": URL}
    return await documents.link(tenant, DocumentRequest(**given | fields))


def read_back(made: DocumentLink, base: str = BASE) -> Token:
    assert made.link.startswith(f"{base}/d/")
    return KEYS.read(made.link.rpartition("/")[2])


async def test_a_link_for_a_message_is_its_recipients_until_it_is_over(client: Any) -> None:
    await stored(client)
    until = datetime.fromtimestamp(NOW_MS // 1000 + 60, UTC)

    found = await link(made(client), message=f"{JOB}.1", expires_at=until)

    mark = KEYS.marks("demo", BO)[0]
    assert read_back(found) == Token(
        "document", JOB, 1, "demo", NO_POSITION, URL, "", mark, "Devis 113", NOW_MS // 1000 + 60
    )
    assert (found.tracked, found.expires_at) == (True, "2025-06-15T15:07:40.000Z")


async def test_a_link_for_an_address_is_the_same_each_time(client: Any) -> None:
    documents = made(client)

    found, again = await link(documents, email=ANA), await link(documents, email="ana@EXEMPLE.fr")

    assert found == again
    assert (read_back(found).address, read_back(found).job, found.expires_at) == (ANA, "", None)


@pytest.mark.parametrize(
    ("domains", "base"),
    [
        (Domains("https://liens.exemple.fr"), "https://liens.exemple.fr"),
        (Domains(), BASE),
        (Domains("https://x.fr", fault=DomainTaken("another's")), BASE),
        (Domains("https://x.fr", fault=InvalidDomain("none")), BASE),
        (Domains("https://x.fr", fault=LookupError("nobody's")), BASE),
    ],
)
async def test_a_link_for_a_message_begins_where_those_of_its_mail_do(client: Any, domains: Domains, base: str) -> None:
    await stored(client)

    found = await link(made(client, domains=domains), message=f"{JOB}.0")

    assert read_back(found, base).job == JOB


@pytest.mark.parametrize("message", [f"{JOB}.2", f"{JOB}.x", "x", "068vjfm5s9m2rc1jqqrg.0", ""])
async def test_a_message_that_is_not_there_is_unknown(client: Any, message: str) -> None:
    await stored(client)

    with pytest.raises(Problem) as refused:
        await link(made(client), message=message)

    assert (refused.value.status, refused.value.word) == (404, "unknown_message")


async def test_a_message_of_another_tenant_and_that_of_who_was_erased_are_unknown_too(client: Any) -> None:
    await stored(client)
    with pytest.raises(Problem) as others:
        await link(made(client), "other", message=f"{JOB}.0")
    await put(client, without(read(pack_slim(0, [Waiting(email=ANA), Waiting(email=BO)])), [0]))
    with pytest.raises(Problem) as erased:
        await link(made(client), message=f"{JOB}.0")

    assert (others.value.word, erased.value.word) == ("unknown_message", "unknown_message")


async def test_what_is_no_address_is_refused(client: Any) -> None:
    with pytest.raises(Problem) as refused:
        await link(made(client), email="ana")

    assert [fault.at for fault in refused.value.faults] == ["$.email"]


async def test_of_whom_nothing_may_be_recorded_the_link_is_the_url(client: Any) -> None:
    await stored(client)
    await UntrackedList(client).tell([Told("demo", mark, True, 1) for mark in KEYS.marks("demo", ANA)])
    until = datetime.fromtimestamp(NOW_MS // 1000 + 60, UTC)

    said_no = await link(made(client), email=BO, tracking_consent=False, expires_at=until)
    of_address, of_message = await link(made(client), email=ANA), await link(made(client), message=f"{JOB}.0")
    other = await link(made(client), email=BO)

    plain = DocumentLink(link=URL, tracked=False, expires_at=None)
    assert [said_no, of_address, of_message, other.tracked] == [plain, plain, plain, True]


async def test_where_consent_is_required_it_has_to_be_known(client: Any) -> None:
    consents = Consents(client, P, lambda: 0.0)
    await consents.rules.put("demo", Rules(tracking="required"))
    yes = Saying("demo", BO, BO, consent.change({"tracking": "yes"}, 1), Entry(1_000, "e", "api"))
    await ConsentStore(client, P, consents.rules).record([yes])

    unknown, agreed = await link(made(client), email=ANA), await link(made(client), email=BO)
    told = await link(made(client), email=ANA, tracking_consent=True)

    assert [unknown.tracked, agreed.tracked, told.tracked] == [False, True, True]
