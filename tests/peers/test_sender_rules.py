"""The sender rules of Gmail, Yahoo and Microsoft, asked of mails of every kind that went in by the front door and came
out at a real Postfix, with DNS as its owners have to publish it; and of the ways out of them."""

import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.flows.stack import Stack
from tests.peers import opendkim, postfix, zone
from tests.peers.postfix import ADDRESS, Domains, Postfix
from tests.peers.sender_rules import BULK, FROM_DOMAIN, HELO, LINKS, RULES, Left, Rule
from tests.peers.zone import Zone

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS, OWN = "bounces.house.test", f"bounces.{FROM_DOMAIN}"
HTML = (
    '<html lang="fr"><body><p>Bonjour {{ prenom }}, <a href="https://exemple.fr/a?x=1&amp;y=2">les offres</a></p>'
    '<p><a href="{{ unsubscribe_url }}">Se désabonner</a> <a href="{{ tracking_url }}">Ne plus mesurer</a></p>'
    "</body></html>"
)
PLAIN = "Bonjour {{ prenom }}, https://exemple.fr/a\n\nSe désabonner : {{ unsubscribe_url }}\n"
CODE = '<html><body><p>Votre code, {{ prenom }} : 1234. <a href="https://exemple.fr/a">Entrer</a></p></body></html>'
HREFS = ("https://exemple.fr/a?x=1&y=2", "https://exemple.fr/a", "https://exemple.fr/b/ana-1")
#: One mail of each kind: what its job says beside the sender. It goes to `<name>@peer.test`.
MAILS: dict[str, dict[str, Any]] = {
    "both": {"html": HTML, "text": PLAIN, "list": "letter", "category": "Offres d'été"},
    "html": {"html": HTML},
    "text": {"html": None, "text": PLAIN},
    "plain-links": {"html": HTML, "text": PLAIN, "track": {"opens": False, "clicks": False}},
    "logic": {
        "html": HTML.replace("<p>Bonjour", "{% if prenom %}<p>Bonjour{% endif %}", 1),
        "subject": "Ça vole, {{ prenom }} 🦉 — " + "œ" * 150,
        "text": "mot " * 3_000 + PLAIN,
        "headers": {"X-Campaign": "mot " * 60, "List-ID": "<letter.exemple.test>"},
        "reply_to": f"Écrire <contact@{FROM_DOMAIN}>",
    },
    "test": {"html": HTML, "test": True},
    "code": {"html": CODE, "text": "Votre code : 1234\n", "stream": "transactional"},
    "person": {"html": CODE, "stream": "one_to_one"},
}
CONFIRMED = "confirm"
USERS = (*MAILS, CONFIRMED, "leaves", "leaves-too", "looks")
RECORDS = (
    f"mx1.peer.test. A {ADDRESS}",
    "peer.test. MX 10 mx1.peer.test.",
    "strict.test. MX 10 mx1.peer.test.",
    f"{HELO}. A 127.0.0.1",
    f"{OURS}. MX 10 {HELO}.",
    f'{OURS}. TXT "v=spf1 ip4:127.0.0.1 -all"',
)


@dataclass(frozen=True)
class World:
    """An instance, the host that its mail goes to, and DNS."""

    stack: Stack
    postfix: Postfix
    zone: Zone
    mails: dict[str, Left]

    async def left(self, user: str, **fields: Any) -> Left:
        """A mail to this user, as it arrived."""
        sent = {"from": f"Chouette à plumes <news@{FROM_DOMAIN}>", "html": HTML, **fields}
        job_id = await self.stack.send(f"{user}@peer.test", **sent)
        await self.stack.done(job_id)
        raw = self.postfix.until(lambda: _of(self.postfix.mails(f"{user}@peer.test"), job_id))
        return Left(user, sent.get("stream", "bulk"), raw, HREFS)

    async def records(self, action: str = "") -> dict[str, dict[str, Any]]:
        """What has to be in DNS for the domain, by name; `/check`: as it is there now."""
        method = "POST" if action else "GET"
        status, domain = await self.stack.call(method, f"/v1/domains/{FROM_DOMAIN}{action}")
        assert status == 200, domain
        return {f"{one['type']} {one['name']}": one for one in domain["records"]}

    async def ask(self, method: str, url: str, **options: Any) -> tuple[int, dict[str, str]]:
        """What a page of ours answers somebody who has neither cookie nor key, and follows nothing; its fields."""
        assert url.startswith(f"{LINKS}/")
        here = self.stack.base + url.removeprefix(LINKS)
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, here, headers={"Host": LINKS[8:]}, allow_redirects=False, **options) as answer,
        ):
            await answer.read()
            return answer.status, dict(answer.headers)

    async def is_listed(self, address: str) -> bool:
        status, _ = await self.stack.call("GET", f"/v1/suppressions/{address}")
        return status == 200


def _of(mails: list[bytes], job_id: str) -> bytes:
    return next((mail for mail in mails if f"<{job_id}.0.".encode() in mail), b"")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One mail of each kind has left."""
    domains = Domains(accepting=("peer.test",), strict=("strict.test",), users=[f"{user}@peer.test" for user in USERS])
    with ExitStack() as started:
        served = started.enter_context(zone.serving("test", RECORDS))
        milter = started.enter_context(opendkim.filtering(served.unbound_conf)).address
        host = started.enter_context(postfix.running(domains, {}, milter))
        environ = {
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_RELAY_PRIVATE_NETWORKS": "true",
            "ESTAFETTE_RELAY_MX_PORT": str(host.port),
            "ESTAFETTE_RELAY_HELO": HELO,
            "ESTAFETTE_DNS_SERVERS": served.address,
            "ESTAFETTE_BOUNCES_DOMAIN": OURS,
            "ESTAFETTE_TRACKING_BASE_URL": LINKS,
        }
        async with Stack.running(tmp_path_factory.mktemp("stack"), environ) as stack:
            found = World(stack, host, served, {})
            await _publish(found)
            found.mails.update({name: await found.left(name, **fields) for name, fields in MAILS.items()})
            found.mails[CONFIRMED] = await _confirmation(found)
            yield found


async def _publish(world: World) -> None:
    """All that the API says has to be in DNS, but the policy of DMARC; then relays use the return path."""
    status, domain = await world.stack.call("POST", "/v1/domains", {"domain": FROM_DOMAIN, "return_path": OWN})
    assert status in (200, 201), domain
    world.zone.add(f"{OWN}. CNAME {OURS}.")
    for record in domain["records"]:
        if record["name"].endswith(f"._domainkey.{FROM_DOMAIN}"):
            world.zone.add_txt(record["name"], record["value"])

    async def is_used() -> bool:
        left = await world.left("both")
        return f"@{OWN}>".encode() in left.raw.partition(b"\n")[0]

    await world.stack.until(is_used)


async def _confirmation(world: World) -> Left:
    """The mail by which we ask ourselves to confirm an opt-in."""
    body = {"email": f"{CONFIRMED}@peer.test", "from": f"Chouette <news@{FROM_DOMAIN}>", "list": "letter"}
    status, answer = await world.stack.call("POST", "/v1/optins", body)
    assert status == 202, answer
    return Left(CONFIRMED, "transactional", world.postfix.mail(f"{CONFIRMED}@peer.test"))


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
async def test_every_mail_that_leaves_keeps_the_rule(world: World, rule: Rule) -> None:
    asked = [left for left in world.mails.values() if left.stream in rule.streams]

    found = {left.name: fault for left in asked if (fault := rule.fault(left))}

    assert len(asked) >= len(MAILS) - 2
    assert found == {}


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
async def test_a_rule_finds_what_breaks_it(world: World, rule: Rule) -> None:
    whole = world.mails["both" if rule.streams == BULK else "code"]

    assert rule.fault(rule.spoil(whole)) != ""


async def test_no_two_mails_have_the_same_message_id(world: World) -> None:
    found = [left.field("Message-ID") for left in world.mails.values()]

    assert len(set(found)) == len(found)


async def test_a_policy_of_dmarc_is_asked_for_until_dns_has_one(world: World) -> None:
    before = await world.records("/check")
    world.zone.add_txt(f"_dmarc.{FROM_DOMAIN}", "v=DMARC1; p=none")
    after = await world.records("/check")

    policy = f"TXT _dmarc.{FROM_DOMAIN}"
    assert (before[policy]["dns"], before[policy]["value"]) == ("missing", "v=DMARC1; p=none")
    asked = [f"CNAME {OWN}", f"TXT {OWN}", policy, *(name for name in after if "._domainkey." in name)]
    assert {name: after[name]["dns"] for name in asked} == dict.fromkeys(asked, "published")
    assert len(asked) == 5


async def test_who_looks_at_the_way_out_gets_the_next_mail(world: World) -> None:
    uri = _uri(await world.left("looks"))

    looked = [await world.ask(method, uri) for method in ("GET", "HEAD", "GET")]
    await world.left("looks")

    assert [status for status, _ in looked] == [200, 200, 200]
    assert not await world.is_listed("looks@peer.test")


ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.mark.parametrize("user", ["leaves", "leaves-too"])
async def test_one_post_with_nothing_but_the_link_is_enough_and_holds_for_the_next_mail(
    world: World, user: str
) -> None:
    address = f"{user}@peer.test"
    uri = _uri(await world.left(user))
    form = aiohttp.FormData(ONE_CLICK, default_to_multipart=user == "leaves-too")

    status, fields = await world.ask("POST", uri, data=form)
    await world.stack.until(lambda: world.is_listed(address))
    marketing = await world.stack.done(await world.stack.send(address, **{"from": f"news@{FROM_DOMAIN}"}))
    await world.left(user, html=CODE, stream="transactional")

    assert (status, {"Location", "Set-Cookie", "WWW-Authenticate"} & fields.keys()) == (200, set())
    assert (marketing["counts"]["suppressed"]["total"], marketing["counts"]["delivered"]) == (1, 0)


def _uri(left: Left) -> str:
    found = re.search(r"<(https:[^>]+)>", left.field("List-Unsubscribe"))
    assert found is not None
    return found[1]


async def test_a_link_leads_to_its_target_at_once(world: World) -> None:
    html, text = world.mails["both"].part("html"), world.mails["both"].part("plain")
    links = re.findall(rf"{re.escape(LINKS)}/c/[A-Za-z0-9_-]+", html + text)

    answers = [await world.ask("GET", link) for link in links]

    assert {(status, fields["Location"]) for status, fields in answers} == {(302, HREFS[0]), (302, HREFS[1])}


async def test_an_address_that_is_none_is_mailed_once(world: World) -> None:
    address = "nobody-1@strict.test"
    sender = {"from": f"news@{FROM_DOMAIN}"}

    await world.stack.done(await world.stack.send(address, **sender))
    await world.stack.until(lambda: world.is_listed(address))
    again = await world.stack.done(await world.stack.send(address, **sender))

    assert again["counts"]["suppressed"]["total"] == 1


NOT_A_SENDER = {
    "two authors": {"from": f"A <a@{FROM_DOMAIN}>, B <b@{FROM_DOMAIN}>"},
    "an end of a line in the name": {"from": f"A\r\nBcc: x@peer.test <a@{FROM_DOMAIN}>"},
    "no address": {"from": "Chouette"},
    "a second From": {"headers": {"From": f"b@{FROM_DOMAIN}"}},
    "a second List-Unsubscribe": {"headers": {"list-unsubscribe": "<https://x.test/>"}},
    "a second Feedback-ID": {"headers": {"Feedback-ID": "a:b:c:others"}},
    "a second Sender": {"headers": {"Sender": "boss@peer.test"}},
}


@pytest.mark.parametrize("fields", NOT_A_SENDER.values(), ids=NOT_A_SENDER)
async def test_what_would_deceive_about_the_sender_is_refused(world: World, fields: dict[str, Any]) -> None:
    body = {"from": f"news@{FROM_DOMAIN}", "subject": "x", "html": HTML, "recipients": [{"email": "both@peer.test"}]}

    status, answer = await world.stack.call("POST", "/v1/jobs", body | fields)

    assert status == 422, answer
    assert answer["faults"][0]["at"].startswith(f"$.{next(iter(fields))}")


async def test_marketing_without_a_link_that_is_seen_is_given_one_unless_it_has_its_own(world: World) -> None:
    bare = "<html><body><p>Bonjour</p></body></html>"
    given = await world.left("html", html=bare, text="Bonjour\n")
    left = await world.left("html", html=bare, own_way_out=True)

    visible, one_click = (
        next(rule for rule in RULES if rule.name.startswith(name)) for name in ("A link to leave", "One click")
    )
    assert visible.fault(given) == ""
    assert visible.fault(left) == "no link to leave that a reader sees"
    assert (one_click.fault(given), one_click.fault(left)) == ("", "")
