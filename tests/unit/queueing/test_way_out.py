"""Marketing mail without a way to leave is given one, in the recipient's language, and no other mail is."""

import re
from email import message_from_bytes, policy
from typing import Any

import msgspec
import pytest

from services.queueing import jobs
from services.queueing.compile import Limits
from shared.making.render import RenderFailed
from shared.words import events, ids
from shared.words.languages import LANGUAGES
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys
from shared.words.way_out import WAY_OUT, WORDS, words
from tests.fakes.rendering import RendererHere
from tests.jobs import read_job

NOW_MS = 1_700_000_000_000
JOB = ids.job_text(bytes(range(12)))
HTML = "<html lang='de'><head><style>p{color:red}</style></head><body><p>Hallo {{ prenom }}</p></body></html>"
TEXT = "Hallo {{ prenom }}\n"


def read(open_job: bool = False, **fields: Any) -> jobs.Job:
    body = {"from": "News <news@exemple.fr>", "subject": "Bonjour", "variables": {"prenom": "vous"}} | fields
    body |= {} if open_job else {"recipients": [{"email": "ana@exemple.fr"}]}
    return read_job(msgspec.json.encode(body), open_job=open_job, now_ms=NOW_MS, max_recipients=10, limits=Limits())


def mail(job: jobs.Job, *, refuses_empty: bool = False, **variables: Any) -> tuple[str, str]:
    """The HTML and the text of a recipient's mail."""
    own = msgspec.Raw(msgspec.msgpack.encode(variables))
    ready = events.Ready(tenant="acme", job=JOB, ordinal=0, email="ana@exemple.fr", variables=own)
    made = RendererHere(
        job.compiled,
        job=JOB,
        tenant="acme",
        tokens=TokenKeys(b"k" * 32),
        verp=VerpKeys(b"m" * 32),
        base_url="https://t.exemple.fr",
        bounce_domain="bounces.exemple.fr",
        marks_key=b"chance",
    )
    made.refuses_empty = refuses_empty
    message: Any = message_from_bytes(made.render(ready, NOW_MS).assemble(), policy=policy.default)
    html, text = message.get_body(("html",)), message.get_body(("plain",))
    return html.get_content() if html else "", text.get_content() if text else ""


def leads_out(text: str) -> bool:
    return "/u/" in text


@pytest.mark.parametrize(
    ("fields", "added"),
    [
        ({"text": TEXT}, ["$.text"]),
        ({"text": TEXT, "html": HTML}, ["$.html", "$.text"]),
        ({"text": TEXT, "html": "<p>x <a href='{{ unsubscribe_url }}'>out</a>"}, ["$.text"]),
        ({"text": "Salut {{ preferences_url }}"}, []),
        ({"text": "Salut {{ browser_url }}"}, ["$.text"]),
        ({"text": "Salut {# unsubscribe_url #}"}, ["$.text"]),
        ({"text": "unsubscribe_url"}, ["$.text"]),
        ({"html": "{% if prenom %}<p>x{{ unsubscribe_url }}</p>{% endif %}"}, []),
        ({"html": "<style>a{#b{color:red}}</style>x{{ unsubscribe_url }}"}, []),
        ({"text": TEXT, "html": HTML, "own_way_out": True}, []),
        ({"text": TEXT, "html": HTML, "stream": "transactional"}, []),
        ({"text": TEXT, "html": HTML, "stream": "one_to_one"}, []),
    ],
)
def test_each_part_that_shows_none_is_given_one_and_the_answer_says_so(fields: Any, added: list[str]) -> None:
    for open_job in (False, True):
        assert [fault.at for fault in read(open_job, **fields).warnings] == added

    html, text = mail(read(**fields))
    of_bulk = "stream" not in fields and "own_way_out" not in fields
    # A text that is made of the HTML leads out as that does.
    assert leads_out(text) == (of_bulk and "preferences" not in fields.get("text", ""))
    assert leads_out(html) == (of_bulk and "html" in fields)


def test_it_stands_at_the_end_of_what_is_seen() -> None:
    html, text = mail(read(text=TEXT, html=HTML))

    assert html.index("Hallo vous") < html.index("/u/") < html.index(WORDS["de"]) < html.index("</body>")
    assert text.replace("\r\n", "\n").startswith("Hallo vous\n\nDiese E-Mails abbestellen\nhttps://")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("logic", ["", "{% if prenom %}!{% endif %}"])
def test_it_speaks_the_recipients_language(language: str, logic: str) -> None:
    html, text = mail(read(text=TEXT + logic, html=HTML.replace("</p>", f"</p>{logic}")), language=f"{language}-XX")

    assert WORDS[language] in html  # type: ignore[index]
    assert WORDS[language] in text  # type: ignore[index]


def test_else_the_jobs_else_french() -> None:
    assert (words(None, "de-AT"), words("xx", "en"), words(7, None)) == (WORDS["de"], WORDS["en"], WORDS["fr"])
    assert WORDS["es"] in mail(read(text=TEXT, variables={"language": "es"}))[1]
    assert set(WORDS) == set(LANGUAGES)


def test_a_text_made_of_the_html_has_that_of_a_text() -> None:
    html = "<body><a href='https://a.fr/'>a</a></body><a href='https://b.fr/'>b</a>"
    job = read(html=html, track={"clicks": True})

    shown, text = mail(job)
    assert text.replace("\r\n", "\n").partition(WORDS["fr"])[2].startswith("\nhttps://t.exemple.fr/u/")
    clicks = re.findall(r"https://t\.exemple\.fr/c/[\w-]+", text)
    assert len(clicks) == 2
    assert all(click in shown for click in clicks)


def test_what_it_says_is_no_recipients_to_say() -> None:
    said: dict[str, Any] = {WAY_OUT: "nobody's", "unsubscribe_url": "https://evil.example/"}

    html, _ = mail(read(html=HTML), **said)

    assert WORDS["de"] in html
    assert "evil" not in html


@pytest.mark.parametrize(
    "html",
    [
        "<p>x</p>",
        "<p>x</p><!-- never closed",
        "<p>x</p><style>p{color:red}",
        "{% if prenom %}<body><p>x</p></body>{% endif %}",
        "{% raw %}<body><p>x</p></body>{% endraw %}",
    ],
)
def test_it_is_seen_wherever_the_html_ends(html: str) -> None:
    shown, _ = mail(read(html=html))

    at = shown.index("<div")
    assert leads_out(shown[at:])
    assert "<!--" not in shown[:at]
    assert "<style>" not in shown[:at]


def test_a_mail_that_shows_nothing_else_is_still_empty() -> None:
    with pytest.raises(RenderFailed, match="body is empty"):
        mail(
            read(html="{% if nobody %}<p>x</p>{% endif %}{{ vip }}", variables={"vip": "x"}), refuses_empty=True, vip=""
        )
    with pytest.raises(RenderFailed, match="body is empty"):
        mail(read(text="{% if vip %}x{% endif %}", variables={"vip": "x"}), refuses_empty=True, vip="")
    plain = read_job(
        msgspec.json.encode(
            {
                "from": "a@exemple.fr",
                "subject": "x",
                "html": "<p>{{ words }}</p>",
                "recipients": [{"email": "a@b.fr", "variables": {"words": "x"}}, {"email": "b@b.fr"}],
            }
        ),
        open_job=False,
        now_ms=NOW_MS,
        max_recipients=10,
        limits=Limits(),
    )

    assert [one.reason for one in plain.rejected] == ["empty_body"]
