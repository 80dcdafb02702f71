"""Mails of a stored template arrive in the language of each recipient, and the page that shows them is in it, too."""

import re
from base64 import b64encode
from email import message_from_bytes, policy
from typing import Any

import pytest

from tests.flows.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
LOGO = {
    "filename": "logo.png",
    "content": b64encode(b"\x89PNG\r\n\x1a\n").decode(),
    "content_type": "image/png",
    "content_id": "logo",
}
FRAME = {
    "from": "Chouette <news@chouette.example>",
    "html": '<body><img src="cid:logo" alt="Chouette">{{ content }}<a href="{{ view_url }}">www</a></body>',
    "attachments": [LOGO],
}
WELCOME = {
    "layout": "frame",
    "language": "fr",
    "subject": "Bienvenue {{ prenom }}",
    "preheader": "Ravis",
    "html": '<p>Bonjour {{ prenom|upper }}</p><a href="https://exemple.fr/fr">ici</a>',
    "translations": {
        "de": {
            "subject": "Willkommen {{ prenom }}",
            "html": '<p>Guten Tag {{ prenom }}</p><a href="https://exemple.fr/de">hier</a>',
        }
    },
}


async def test_a_template_reaches_each_recipient_in_their_language(stack: Stack) -> None:
    for name, body in (("frame", FRAME), ("welcome", WELCOME)):
        assert (await stack.call("PUT", f"/v1/templates/{name}", body))[0] == 201
    people: list[dict[str, Any]] = [
        {"email": "ana@templates.test", "variables": {"prenom": "Ana"}},
        {"email": "uli@templates.test", "variables": {"prenom": "Uli", "language": "de-AT"}},
    ]

    status, accepted = await stack.call("POST", "/v1/jobs", {"template": "welcome", "recipients": people})
    assert status == 202, accepted
    found = {name: await stack.mail(f"{name}@templates.test") for name in ("ana", "uli")}
    report = await stack.done(accepted["id"])

    for name, subject, words in (("ana", "Bienvenue Ana", "Bonjour ANA"), ("uli", "Willkommen Uli", "Guten Tag Uli")):
        message = message_from_bytes(await stack.source(found[name]), policy=policy.default)
        html = next(part for part in message.walk() if part.get_content_type() == "text/html").get_content()
        assert (message["Subject"], words in html) == (subject, True)
        status, page = await stack.call("GET", re.findall(r'href="(https?://[^"]*/v/[^"]*)"', html)[0], headers=PERSON)
        assert status == 200
        assert words in str(page)
        assert f'src="data:image/png;base64,{LOGO["content"]}"' in str(page)
        (click,) = re.findall(r'href="(https?://[^"]*/c/[^"]*)"', html)
        await stack.call("GET", click, headers=PERSON, allow_redirects=False)
    assert report["template"] == {"name": "welcome", "version": 1, "layout": "frame", "layout_version": 1}
    assert {one["url"] for one in report["links"]} == {"https://exemple.fr/fr", "https://exemple.fr/de"}
