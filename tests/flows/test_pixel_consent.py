"""The points of the CNIL's recommendation on tracking pixels in mails (2026-042), each asked of a running instance.

Its tenant asks for a consent before anything is measured. docs/consent.md says in the same names which is met by what.
"""

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.flows.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
TARGET = "https://exemple.fr/a"
MAIL = (
    '<html lang="en"><p><a href="https://exemple.fr/a">a</a> {{ unsubscribe_url }} {{ preferences_url }} '
    "{{ tracking_url }} {{ opt_in_url }}?box {{ view_url }}</p></html>"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def asked_first(stack: Stack) -> AsyncIterator[None]:
    """The tenant of this module records nothing of who has not agreed to it."""
    key = await stack.new_key("demo", "admin")
    status, rules = await stack.call("PUT", "/v1/consent-rules", {"tracking": "required"}, key=key)
    assert (status, rules["tracking"]) == (200, "required")

    async def holds() -> bool:
        html = await _html(stack, await _sent(stack, "first@rule.test"))
        return "/o/" not in html

    await stack.until(holds)
    yield
    await stack.call("PUT", "/v1/consent-rules", {}, key=key)


async def _sent(stack: Stack, address: str, **fields: Any) -> str:
    """The id of the mail to this address, once it has arrived."""
    job_id = await stack.send(address, html=MAIL, **fields)
    assert (await stack.done(job_id))["counts"]["delivered"] == 1
    return job_id


async def _html(stack: Stack, job_id: str) -> str:
    """The HTML of the job's one mail."""

    async def arrived() -> dict[str, Any] | None:
        found = [mail for mail in await stack.mails() if mail["message_id"].startswith(f"<{job_id}.0.")]
        return found[0] if found else None

    return await stack.html(await stack.until(arrived))


def _link(html: str, path: str, query: str = "") -> str:
    found = re.search(rf"https?://[^\s\"<]*/{path}/[A-Za-z0-9_-]+{re.escape(query)}", html)
    assert found is not None, path
    return found[0]


def _is_measured(html: str) -> bool:
    pixel, tracked = "/o/" in html, "/c/" in html
    assert pixel == tracked == (f'href="{TARGET}"' not in html)
    return pixel


async def _agree(stack: Stack, address: str, answer: str = "yes") -> None:
    status, _ = await stack.call("PUT", f"/v1/consents/{address}", {"tracking": answer, "text": "form-3"})
    assert status == 200


async def _answer(stack: Stack, address: str) -> str:
    status, found = await stack.call("GET", f"/v1/consents/{address}")
    return str(found["tracking"]["answer"]) if status == 200 else "unknown"


async def _withdraw(stack: Stack, html: str, address: str) -> None:
    """By the link of the mail, as its page says."""
    url = _link(html, "p", "?tracking")
    status, _ = await stack.call("POST", url, data={"tracking": "no"}, headers=PERSON)
    assert status == 200

    async def known() -> bool:
        return await _answer(stack, address) == "no"

    await stack.until(known)


async def _measured(stack: Stack, address: str) -> tuple[str, str]:
    """Job and HTML of a mail to somebody who has agreed."""
    await _agree(stack, address)

    async def tracked() -> tuple[str, str] | None:
        job_id = await _sent(stack, address)
        html = await _html(stack, job_id)
        return (job_id, html) if _is_measured(html) else None

    return await stack.until(tracked)


async def _nothing_without_consent(stack: Stack) -> None:
    for stream in ("bulk", "transactional", "one_to_one"):
        job_id = await _sent(stack, f"nobody@{stream}.test".replace("_", "-"), stream=stream)
        html = await _html(stack, job_id)
        _, view = await stack.call("GET", _link(html, "v"), headers=PERSON)

        assert not _is_measured(html), stream
        assert b"/c/" not in view, stream
        assert b"/o/" not in view, stream


async def _two_consents(stack: Stack) -> None:
    html = await _html(stack, await _sent(stack, "agrees@apart.test"))
    agreed = {"variant": "box", "agree": "yes"}
    status, _ = await stack.call("POST", _link(html, "a", "?box"), data=agreed, headers=PERSON)

    async def opted_in() -> dict[str, Any] | None:
        code, found = await stack.call("GET", "/v1/consents/agrees@apart.test")
        return found if code == 200 and found["optin"]["email"]["answer"] == "yes" else None

    found = await stack.until(opted_in)
    await _agree(stack, "measured@apart.test")
    _, other = await stack.call("GET", "/v1/consents/measured@apart.test")
    assert (status, found["tracking"]["answer"]) == (200, "unknown")
    assert {one["answer"] for one in other["optin"].values()} == {"unknown"}
    assert not _is_measured(await _html(stack, await _sent(stack, "agrees@apart.test")))


async def _nothing_ticked(stack: Stack) -> None:
    html = await _html(stack, await _sent(stack, "reads@form.test"))

    _, page = await stack.call("GET", _link(html, "p"), headers=PERSON)
    choices = re.findall(r'<label><input type="(\w+)" name="tracking" value="(\w+)"( checked)?>', page.decode())

    assert choices == [("radio", "yes", ""), ("radio", "no", "")]


async def _informed(stack: Stack) -> None:
    html = await _html(stack, await _sent(stack, "informed@form.test"))

    for url in (_link(html, "p"), _link(html, "p", "?tracking")):
        _, page = await stack.call("GET", url, headers=PERSON)
        assert b"Knowing whether you open our emails, and which links you click." in page
        assert b"Chouette" in page
        assert b"i\xe2\x80\xa6@f\xe2\x80\xa6.test" in page


async def _proved(stack: Stack) -> None:
    address = "proved@form.test"
    said = {"tracking": "yes", "text": "form-3", "words": "Measure me.", "ip": "192.0.2.33", "who": "ana"}
    await stack.call("PUT", f"/v1/consents/{address}", said)
    await _withdraw(stack, await _html(stack, await _sent(stack, address)), address)

    _, log = await stack.call("GET", f"/v1/consents/{address}/log")
    gave, withdrew = sorted(log["entries"], key=lambda one: str(one["time"]))

    assert (gave["answers"], gave["text"], gave["ip"], len(gave["words_sha256"])) == (
        {"tracking": "yes"},
        "form-3",
        "192.0.2.33",
        64,
    )
    assert (withdrew["answers"], withdrew["by"], withdrew["text"]) == (
        {"tracking": "no"},
        "page",
        "estafette-preferences-en-3",
    )
    assert withdrew["user_agent"] == PERSON["User-Agent"]


async def _one_button(stack: Stack) -> None:
    html = await _html(stack, await _sent(stack, "button@leave.test"))
    url = _link(html, "p", "?tracking")

    status, page = await stack.call("GET", url)
    await _withdraw(stack, html, "button@leave.test")
    _, again = await stack.call("GET", url)

    assert status == 200
    assert page.count(b"<form") == page.count(b"<button") == 1
    assert b'<button name="tracking" value="no">' in page
    assert not re.search(rb'<input type="(?!hidden)|<script', page)
    assert b'<input type="radio" name="tracking" value="no" checked>' in again


async def _mails_already_sent(stack: Stack) -> None:
    address = "later@leave.test"
    job_id, html = await _measured(stack, address)
    other_job, other = await _measured(stack, "stays@leave.test")

    await _withdraw(stack, html, address)
    picture, _ = await stack.call("GET", _link(html, "o"), headers=PERSON)
    async with stack.session.get(_link(html, "c"), headers=PERSON, allow_redirects=False) as followed:
        target = followed.headers["Location"]
    await stack.call("GET", _link(other, "o"), headers=PERSON)

    async def counted() -> bool:
        return bool((await stack.report(other_job))["counts"]["opens"]["total"])

    await stack.until(counted)
    counts = (await stack.report(job_id))["counts"]
    assert (picture, target) == (200, TARGET)
    assert (counts["opens"]["total"], counts["clicks"]["total"]) == (0, 0)
    assert await stack.facts(f"{job_id}.0") == ["accepted", "delivered"]
    assert not _is_measured(await _html(stack, await _sent(stack, address)))


async def _nothing_lost(stack: Stack) -> None:
    address = "refuses@leave.test"
    await _withdraw(stack, await _html(stack, await _sent(stack, address)), address)

    html = await _html(stack, await _sent(stack, address))

    status, _ = await stack.call("GET", f"/v1/suppressions/{address}")
    assert status == 404
    assert f'<a href="{TARGET}">a</a>' in html


async def _job_cannot_overrule(stack: Stack) -> None:
    address = "overruled@leave.test"
    await _withdraw(stack, await _html(stack, await _sent(stack, address)), address)

    job_id = await _sent(stack, address, recipients=[{"email": address, "tracking_consent": True}])

    assert not _is_measured(await _html(stack, job_id))


async def _no_address_in_a_link(stack: Stack) -> None:
    _, html = await _measured(stack, "secret-name@minimal.test")

    for url in re.findall(r"https?://[^\s\"<]*/[ocupav]/[A-Za-z0-9_-]+", html):
        token = url.rpartition("/")[2]
        try:
            read = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except binascii.Error:
            raise AssertionError(url) from None
        assert b"secret-name" not in url.encode() + read
    async with stack.session.get(_link(html, "o"), headers=PERSON) as picture:
        assert "no-store" in picture.headers["Cache-Control"]
        assert "Set-Cookie" not in picture.headers
        assert picture.headers["Referrer-Policy"] == "no-referrer"


async def _erased(stack: Stack) -> None:
    address = "forgets@minimal.test"
    job_id, html = await _measured(stack, address)
    key = await stack.new_key("demo", "admin,read,suppress,send")

    status, _ = await stack.call("DELETE", f"/v1/people/{address}", key=key)

    async def gone() -> bool:
        code, _ = await stack.call("GET", f"/v1/consents/{address}", key=key)
        return code == 404

    await stack.until(gone)
    other_job, other = await _measured(stack, "stays@minimal.test")

    async def opens(job: str) -> int:
        return int((await stack.report(job))["counts"]["opens"]["total"])

    async def is_forgotten() -> bool:
        """Within a second. Somebody else's opening, which is counted, comes later."""
        before, others = await opens(job_id), await opens(other_job)
        for url in (_link(html, "o"), _link(html, "o"), _link(other, "o")):
            await stack.call("GET", url, headers=PERSON)

        async def counted() -> bool:
            return await opens(other_job) > others

        await stack.until(counted)
        return await opens(job_id) == before

    await stack.until(is_forgotten)
    assert status == 202
    assert await is_forgotten()


#: In the words of docs/consent.md.
POINTS: dict[str, Callable[[Stack], Awaitable[None]]] = {
    "No pixel without consent": _nothing_without_consent,
    "A consent of its own": _two_consents,
    "Nothing ticked in advance": _nothing_ticked,
    "Who asks, and what for": _informed,
    "The consent can be shown": _proved,
    "As easy to withdraw as to give": _one_button,
    "A withdrawal holds for mails already sent": _mails_already_sent,
    "Who refuses loses nothing": _nothing_lost,
    "A refusal is not overruled": _job_cannot_overrule,
    "No more data than needed, and safe": _no_address_in_a_link,
    "Access and erasure": _erased,
}


@pytest.mark.parametrize("point", POINTS)
async def test_the_point_is_met(stack: Stack, point: str) -> None:
    await POINTS[point](stack)
