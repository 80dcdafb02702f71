"""Recipients → `/v/{token}`: the mail in a browser, with the links of the mail, and nothing recorded by looking."""

import re
from typing import Any

import pytest

from tests.flows.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
HTML = (
    "<html><body>{% for one in items %}<p>{{ one }}</p>{% endfor %}<p>Bonjour {{ email }}</p>"
    '<a href="https://exemple.fr/a">A</a> <a href="{{ view_url }}">In a browser</a></body></html>'
)
VIEW, CLICK, PIXEL = (re.compile(rf'"(https?://[^"]*/{letter}/[\w-]+)"') for letter in "vco")


async def test_a_mail_is_shown_as_it_was_sent_and_its_links_are_those_of_the_mail(stack: Stack) -> None:
    job = await stack.send("looks@view.test", html=HTML, variables={"items": ["one", "two"]})
    html = await stack.html(await stack.mail("looks@view.test"))

    status, body = await stack.call("GET", VIEW.findall(html)[0], headers=PERSON)
    page = body.decode()
    assert (status, CLICK.findall(page), PIXEL.findall(page)) == (200, CLICK.findall(html), [])
    assert "<p>one</p><p>two</p><p>Bonjour looks@view.test</p>" in page
    await stack.call("GET", CLICK.findall(page)[0], headers=PERSON, allow_redirects=False)

    async def counted() -> dict[str, Any] | None:
        counts: dict[str, Any] = (await stack.report(job))["counts"]
        return counts if counts["clicks"]["total"] else None

    counts = await stack.until(counted)
    # The click implies one.
    assert (counts["clicks"]["total"], counts["opens"]["total"]) == (1, 1)
    assert "message.opened" not in await stack.facts(f"{job}.0")


async def test_the_page_of_who_was_erased_is_gone_at_once(stack: Stack) -> None:
    await stack.send("erased@view.test", html=HTML, variables={"items": []})
    link = VIEW.findall(await stack.html(await stack.mail("erased@view.test")))[0]
    assert (await stack.call("GET", link))[0] == 200

    erased, _ = await stack.call("DELETE", "/v1/people/erased@view.test")

    async def gone() -> bool:
        return bool((await stack.call("GET", link))[0] == 404)

    await stack.until(gone)
    assert erased == 202


async def test_the_page_of_a_test_is_shown_and_what_is_no_token_is_not(stack: Stack) -> None:
    await stack.send("tester@view.test", html=HTML, variables={"items": []}, test=True)
    link = VIEW.findall(await stack.html(await stack.mail("tester@view.test")))[0]

    shown, _ = await stack.call("GET", link)
    forged, _ = await stack.call("GET", link[:-3] + "abc")
    asked, body = await stack.call("HEAD", link)

    assert (shown, forged, asked, body) == (200, 404, 200, b"")
