"""What a job's content is made of arrives: MJML with its CSS, a picture, an AMP version, and a text nobody wrote."""

import re
from base64 import b64encode
from email import message_from_bytes, policy
from typing import Any

import pytest

from services.queueing.amp import EXAMPLE
from tests.flows.stack import Stack, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
LOGO = {"filename": "logo.png", "content": b64encode(PNG).decode(), "content_type": "image/png", "content_id": "logo"}
MJML = """<mjml lang="fr"><mj-head><mj-style>.h div{font-weight:bold}</mj-style></mj-head>
<mj-body><mj-section><mj-column>
<mj-image src="cid:logo" alt="Chouette" />
<mj-text css-class="h">Bonjour {{ prenom }}</mj-text>
{% for one in items %}<mj-text>{{ one|upper }}</mj-text>{% endfor %}
<mj-button href="https://exemple.fr/a?x=1">Soldes</mj-button>
<mj-text><a href="{{ view_url }}">en ligne</a> <a href="{{ unsubscribe_url }}">out</a></mj-text>
</mj-column></mj-section></mj-body></mjml>"""
CONTENT: dict[str, Any] = {
    "html": None,
    "mjml": MJML,
    "amp": EXAMPLE,
    "inline_css": True,
    "attachments": [LOGO],
    "variables": {"items": ["un", "deux"]},
}


async def test_a_mail_of_mjml_with_a_picture_and_an_amp_version_is_whole(stack: Stack) -> None:
    job_id = await stack.send("ana@contents.test", **CONTENT)
    mail = await stack.mail("ana@contents.test")
    report = await stack.done(job_id)

    message = message_from_bytes(await stack.source(mail), policy=policy.default)
    leaves = {part.get_content_type(): part for part in message.walk() if not part.is_multipart()}
    assert list(leaves) == ["text/plain", "text/x-amp-html", "text/html", "image/png"]
    assert (leaves["image/png"]["Content-ID"], leaves["image/png"].get_payload(decode=True)) == ("<logo>", PNG)
    # With the way to leave that it lacks.
    assert re.search("Bonjour ana<div [^>]*><a href=[^>]*/u/", leaves["text/x-amp-html"].get_content())
    html, text = leaves["text/html"].get_content(), leaves["text/plain"].get_content()
    assert re.search(r'<div style="[^"]*font-weight: bold[^"]*">Bonjour ana</div>', html)
    (click,) = re.findall(r'href="(https?://[^"]*/c/[^"]*)"', html)
    assert text.replace("\r\n", "\n").startswith(f"Chouette\n\nBonjour ana\nUN\nDEUX\n\nSoldes <{click}>\n")
    status, page = await stack.call("GET", re.findall(r"https?://[^\s>]*/v/[\w-]+", text)[0], headers=PERSON)
    assert status == 200
    assert f'src="data:image/png;base64,{LOGO["content"]}"' in str(page)
    assert report["counts"]["delivered"] == 1


async def test_what_is_wrong_with_a_content_is_all_said(stack: Stack) -> None:
    wrong = CONTENT | {
        "mjml": MJML.replace("cid:logo", "cid:other"),
        "amp": "<html></html>",
        "attachments": [LOGO | {"content_id": "a b"}],
    }

    status, refused = await stack.call("POST", "/v1/jobs", job("ana@wrong.test", **wrong))

    assert status == 422
    assert [one["at"] for one in refused["faults"]] == ["$.amp"] * 3 + ["$.attachments[0].content_id", "$.mjml"]


async def test_a_picture_that_nothing_shows_is_warned_of(stack: Stack) -> None:
    status, answer = await stack.call("POST", "/v1/jobs", job("ana@unseen.test", attachments=[LOGO]))

    assert status == 202
    assert [one["at"] for one in answer["warnings"]] == ["$.attachments[0].content_id"]
