"""A token becomes the mail of its recipient, from a real Redis and a real cluster; or the page that says nothing."""

import asyncio
import re
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from services.queueing.plan import Decision, tracked_as
from services.queueing.store import JobStore
from services.suppression.mentions import Mentions
from services.tracking import pages, viewing
from services.tracking.viewing import Viewing
from shared.making.rendering import Asked
from shared.process.sandbox import Unavailable
from shared.redis import jobs, keys, recipients
from shared.redis.recipients import Recipients, Waiting, pack_slim, pack_viewable, pack_waiting
from shared.redis.redis import RedisAway
from shared.words import content, ids
from shared.words.content import CompiledContent
from shared.words.tokens import TokenKeys
from tests.fakes.rendering import RenderingHere
from tests.fakes.untracked import Said
from tests.jobs import compile_job, new_job

P = 3
NOW_MS = 1_750_000_000_000
KEYS = TokenKeys(b"k" * 32)
JOB = ids.new_job_id(NOW_MS, b"chance", P)
ANA, BEN = "ana@exemple.fr", "ben@exemple.fr"
HTML = '<p>Bonjour {{ prenom }}</p><a href="https://exemple.fr/a">A</a><a href="{{ browser_url }}">V</a>'
LOGIC = "{% for one in items %}<b>{{ one }}</b>{% endfor %}" + HTML


class Gone:
    """Erased addresses of whom the recipients may still speak."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def are_erased(self, asked: list[tuple[str, str]]) -> list[bool]:
        return [address in self.addresses for _, address in asked]


class Away(RenderingHere):
    async def texts(self, asked: Asked, tenant: str = "") -> Mapping[str, str]:
        raise Unavailable("stopping")


class Hosts:
    """Where the links of mails begin."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    async def of(self, tenant: str, from_domain: str) -> str:
        assert (tenant, from_domain) == ("demo", "exemple.fr")
        return self.base_url


class Nobody:
    """Is not to be asked."""

    async def viewed(self, job: str, ordinal: int) -> None:
        raise AssertionError("asked")


class NotThere:
    async def viewed(self, job: str, ordinal: int) -> None:
        raise RedisAway("gone")


def waiting(email: str, **values: object) -> Waiting:
    return Waiting(email=email, metadata={"crm": "1"}, variables=msgspec.Raw(msgspec.msgpack.encode(values)))


PEOPLE = [waiting(ANA, prenom="Ana", items=["x"]), waiting(BEN, prenom="Ben")]


async def stored(client: Any, html: str = HTML, *, packed: bytes | None = None, **fields: Any) -> None:
    compiled = compile_job(html=html)
    assert isinstance(compiled, CompiledContent)
    new = new_job(content=content.encode(compiled), viewable=True, tenant="demo", **fields)
    await JobStore(client, P, 5).store(JOB, new, [(0, pack_waiting(0, PEOPLE))], "queueing")
    await put(client, packed or pack_viewable(0, PEOPLE))


async def put(client: Any, packed: bytes) -> None:
    key = keys.job_recipients(ids.job_partition(JOB, P), JOB)
    await client.delete(key)
    await client.zadd(key, {packed: 0})


def viewer(client: Any, **others: Any) -> Viewing:
    given: dict[str, Any] = {
        "recipients": Recipients(client, P),
        "untracked": Said(),
        "erased": Gone(),
        "rendering": RenderingHere(),
        "hosts": Hosts("https://t.exemple.fr"),
    } | others
    return Viewing(client, P, KEYS, marks_key=b"x" * 32, **given)


def link(ordinal: int = 0, address: str = ANA, tenant: str = "demo", job: str = JOB) -> str:
    return KEYS.for_job(job, tenant).addressed("view", ordinal, address).decode()


@pytest.mark.parametrize("html", [HTML, LOGIC])
async def test_each_recipient_sees_their_own_mail(client: Any, html: str) -> None:
    await stored(client, html)
    shows = viewer(client)

    ana, ben = await shows.answer(link(), "fr"), await shows.answer(link(1, BEN), "fr")

    assert (ana.status, ben.status) == (200, 200)
    assert b"<p>Bonjour Ana</p>" in ana.body
    assert b"<p>Bonjour Ben</p>" in ben.body
    assert (b"<b>x</b>" in ana.body) is (html is LOGIC)
    assert b"https://t.exemple.fr/c/" in ana.body
    assert b"/o/" not in ana.body
    assert "sandbox" in ana.headers["Content-Security-Policy"]


async def test_links_of_the_page_begin_where_those_of_the_mail_do_now(client: Any) -> None:
    await stored(client)
    hosts = Hosts("https://liens.exemple.fr")
    shows = viewer(client, hosts=hosts)

    own = await shows.answer(link(), "")
    hosts.base_url = "https://t.exemple.fr"
    since = await shows.answer(link(), "")

    for page, base in ((own, b"https://liens.exemple.fr"), (since, b"https://t.exemple.fr")):
        assert page.status == 200
        assert set(re.findall(rb'href="(https://[^/]+)/', page.body)) == {base}


async def test_whom_nobody_may_track_gets_plain_links(client: Any) -> None:
    await stored(client)
    await put(client, pack_viewable(0, tracked_as(PEOPLE, [Decision("s", untracked=True), Decision("s")])))
    withdrawn = Said(*KEYS.marks("demo", BEN))

    by_queueing = await viewer(client).answer(link(), "")
    since = await viewer(client, untracked=withdrawn).answer(link(1, BEN), "")
    unknown = await viewer(client, untracked=Said(is_known=False)).answer(link(1, BEN), "")

    for page in (by_queueing, since, unknown):
        assert page.status == 200
        assert b'href="https://exemple.fr/a"' in page.body
    assert b"/c/" in (await viewer(client).answer(link(1, BEN), "")).body


async def test_a_mail_that_went_before_its_chunk_was_ended_is_shown_untracked(client: Any) -> None:
    await stored(client, packed=pack_waiting(0, PEOPLE))

    page = await viewer(client).answer(link(), "")

    assert b"<p>Bonjour Ana</p>" in page.body
    assert b'href="https://exemple.fr/a"' in page.body


async def test_a_forged_token_costs_no_look_up(client: Any) -> None:
    good = link()
    other = KEYS.unsubscribe(JOB, 0, "demo", ANA)
    shows = viewer(client, recipients=Nobody())

    for token in ("", "x", good[:-1], good[:-2] + "zz", other, good * 200):
        page = await shows.answer(token, "de")
        assert (page.status, page.body) == (404, pages.invalid("de"))


async def test_what_is_gone_is_told_like_what_never_was(client: Any) -> None:
    await stored(client)
    elsewhere = ids.new_job_id(NOW_MS, b"others", P)

    answers = [
        await viewer(client, erased=Gone(ANA)).answer(link(), "fr"),
        await viewer(client).answer(link(2), "fr"),
        await viewer(client).answer(link(job=elsewhere), "fr"),
        await viewer(client).answer(link(tenant="other"), "fr"),
    ]
    shows = viewer(client)
    assert (await shows.answer(link(), "fr")).status == 200
    await client.unlink(keys.job_recipients(ids.job_partition(JOB, P), JOB))
    answers.append(await shows.answer(link(), "fr"))

    assert [(one.status, one.body) for one in answers] == [(404, pages.invalid("fr"))] * 5


async def test_a_job_that_is_gone_is_gone_though_its_recipients_are_not_yet(client: Any) -> None:
    await stored(client)
    await client.unlink(keys.job(ids.job_partition(JOB, P), JOB))

    assert (await viewer(client).answer(link(), "fr")).status == 404


async def test_erasing_one_leaves_what_others_mails_were_made_with(client: Any) -> None:
    await stored(client)
    key = keys.job_recipients(ids.job_partition(JOB, P), JOB)
    (member,) = await client.zrange(key, 0, -1)

    gone = await Mentions(client, P).erase("acme", JOB, member, {ANA})

    assert gone == 1
    (left,) = await client.zrange(key, 0, -1)
    assert b"ana" not in zlib.decompress(recipients.read(left).body).lower()
    assert (await viewer(client).answer(link(), "")).status == 404
    assert b"<p>Bonjour Ben</p>" in (await viewer(client).answer(link(1, BEN), "")).body


async def test_what_cannot_be_rendered_is_no_page_and_what_cannot_be_now_is_asked_for_again(client: Any) -> None:
    await stored(client, LOGIC)

    later = await viewer(client, rendering=Away()).answer(link(), "en")
    away = await viewer(client, recipients=NotThere()).answer(link(), "en")

    assert [(one.status, one.body, one.headers["Retry-After"]) for one in (later, away)] == [
        (503, pages.later("en"), "5")
    ] * 2
    await put(client, pack_viewable(0, [waiting(ANA, items=7)]))
    assert (await viewer(client).answer(link(), "en")).status == 404


async def test_who_comes_beyond_those_at_work_is_asked_to_come_again(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(client)
    monkeypatch.setattr(viewing, "AT_A_TIME", 1)
    shows = viewer(client)

    first, second = await asyncio.gather(shows.answer(link(), ""), shows.answer(link(1, BEN), ""))

    assert sorted((first.status, second.status)) == [200, 503]
    assert (await shows.answer(link(1, BEN), "")).status == 200


async def test_contents_are_kept_within_bounds(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await stored(client)
    monkeypatch.setattr(viewing, "CONTENT_BYTES_KEPT", 1)
    shows = viewer(client)

    for _ in range(3):
        assert (await shows.answer(link(), "")).status == 200
    await client.unlink(keys.job(ids.job_partition(JOB, P), JOB))

    assert (await shows.answer(link(), "")).status == 200  # the one used last is kept, however large


async def test_queueing_keeps_what_mails_are_made_with_where_a_page_shows_them_and_nowhere_else(client: Any) -> None:
    assert recipients.read(pack_viewable(0, PEOPLE)).recipients() == recipients.read(pack_slim(0, PEOPLE)).recipients()
    assert b"Ana" not in zlib.decompress(recipients.read(pack_slim(0, PEOPLE)).body)
    await stored(client)
    store = JobStore(client, P, 5)
    head = await store.head(JOB)

    assert head is not None
    assert head.viewable
    assert (await jobs.read(client, P, JOB, (jobs.VIEWABLE,)))[jobs.VIEWABLE]
