"""Mails are made of compiled content: whole, in order, the same each time, and as their recipient wants them."""

import json
import re
from contextlib import suppress
from email import message_from_bytes
from email.headerregistry import AddressHeader
from email.message import EmailMessage
from email.policy import default
from html import unescape
from typing import Any

import dkim
import msgspec
import pytest
import turbohtml
from dkim.canonicalization import Relaxed
from hypothesis import given, settings
from hypothesis import strategies as st

from services.bounces import arf
from services.bounces.mail import Fields
from services.queueing.attachments import Attachment
from services.queueing.track import UtmParameters
from services.queueing.whom import Addressee
from services.relay.signing.dkim import Signer, sign
from shared.mail import dkim_keys
from shared.mail.wire import END, wire_body
from shared.making.layout import nonce
from shared.making.render import (
    RenderedMail,
    Renderer,
    RenderFailed,
)
from shared.words import content, events, ids
from shared.words.content import CompiledContent
from shared.words.tokens import Token, TokenKeys
from shared.words.verp import InvalidVerp, Verp, VerpKeys
from tests.fakes.rendering import RendererHere
from tests.jobs import compile_job

JOB = ids.job_text(bytes(range(12)))
TOKENS = TokenKeys(b"m" * 32)
VERP = VerpKeys(b"m" * 32)
NOW_MS = 1_700_000_000_123
BASE_URL = "https://t.exemple.fr"

words = st.text(st.characters(codec="utf-8", exclude_characters="\ufdd0\ufdd1\ufdd2\ufdd3"), max_size=80)
awkward = st.text(" \t\r\n.=<>&\"'/aé\U0001f600", max_size=80)
values = (
    words
    | awkward
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.none()
    | st.lists(words)
)
variables = st.dictionaries(st.sampled_from(["a", "b", "url"]), values | st.dictionaries(st.just("c"), values))
html_pieces = st.sampled_from(
    [
        "{{ a }}", "{{ b.c }}", "{{ unsubscribe_url }}", "{{ email }}", "{{ name }}", "{# note #}", "\n", " ", "  ",
        "\t", "é", ".", "=", "<p>", "</p>", "x" * 80, '<a href="https://a.fr/?x=1&amp;y=2">', "<a href='{{ url }}'>",
        "<a href='https://b.fr/{{ a }}/{{ b.c }}'>", "<a href=\"{{ unsubscribe_url }}\">", "</a>", "<body>", "</body>",
        '<a href="http://c.fr" data-track="off">', '<a href="mailto:{{ a }}">', "<a href=https://d.fr/é>",
    ]
)  # fmt: skip


def compiled(**fields: Any) -> CompiledContent:
    result = compile_job(**fields)
    assert isinstance(result, CompiledContent), result
    return content.decode(content.encode(result))


def renderer(tenant: str = "demo", base_url: str = BASE_URL, *, test: bool = False, **fields: Any) -> RendererHere:
    return RendererHere(
        compiled(**fields),
        job=JOB,
        tenant=tenant,
        tokens=TOKENS,
        verp=VERP,
        base_url=base_url,
        marks_key=b"chance",
        bounce_domain="bounces.exemple.fr",
        test=test,
    )


def ready(ordinal: int = 7, **fields: Any) -> events.Ready:
    packed = msgspec.Raw(msgspec.msgpack.encode(fields.pop("variables", {})))
    given: dict[str, Any] = {"email": "ana@exemple.com", "name": "Ana"}
    return events.Ready(tenant="demo", job=JOB, ordinal=ordinal, variables=packed, **(given | fields))


def render(recipient: events.Ready | None = None, **fields: Any) -> RenderedMail:
    return renderer(**fields).render(recipient or ready(), NOW_MS)


def parsed(mail: RenderedMail) -> EmailMessage:
    found = message_from_bytes(mail.assemble(), policy=default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found


def body(mail: RenderedMail, kind: str) -> str:
    """The text or the HTML, as a mail program gets it, with LF line ends."""
    (part,) = [one for one in parsed(mail).walk() if one.get_content_type() == f"text/{kind}"]
    text = part.get_payload(decode=True)
    assert isinstance(text, bytes)
    return text.decode().replace("\r\n", "\n").rstrip("\n")


def html(recipient: events.Ready | None = None, **fields: Any) -> str:
    return body(render(recipient, **fields), "html")


def texts(recipient: events.Ready | None = None, **fields: Any) -> str:
    return body(render(recipient, **fields), "plain")


def pixel(ordinal: int = 7) -> str:
    url = f"{BASE_URL}/o/{TOKENS.open(JOB, ordinal, 'demo', 'ana@exemple.com')}"
    return f'<img src="{url}" width="1" height="1" alt="" style="display:block;border:0">'


def click(position: int, url: str, ordinal: int = 7) -> str:
    return f"{BASE_URL}/c/{TOKENS.click(JOB, ordinal, 'demo', 'ana@exemple.com', position, url)}"


def targets(made: str) -> list[str]:
    """Where the signed links of a mail lead."""
    return [TOKENS.read(token).destination for token in re.findall(rf"{re.escape(BASE_URL)}/c/([A-Za-z0-9_-]+)", made)]


UNSUBSCRIBE = f"{BASE_URL}/u/{TOKENS.unsubscribe(JOB, 7, 'demo', 'ana@exemple.com')}"


# Header fields


def test_the_header_has_all_fields_in_order() -> None:
    mail = render(html="<p>a</p>", text="a", reply_to="contact@exemple.fr", headers={"X-A": "b"})

    assert [name.decode() for name, _ in mail.headers] == [
        "From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "Reply-To", "X-A",
        "MIME-Version", "Content-Type",
    ]  # fmt: skip
    fields = {name.decode(): value.decode() for name, value in mail.headers}
    assert fields["From"] == "Chouette <news@exemple.fr>"
    assert fields["To"] == "Ana <ana@exemple.com>"
    assert fields["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert fields["Message-ID"] == f"<{VERP.message_id(JOB, 7)}@exemple.fr>"
    assert fields["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert not mail.smtputf8


def test_list_unsubscribe_names_the_page_and_the_address() -> None:
    value = dict(render(text="a").headers)[b"List-Unsubscribe"].decode()

    found = re.fullmatch(r"<(https:[^>]*)>,\r\n <mailto:([^>?]*)\?subject=unsubscribe>", value)
    assert found is not None
    assert found[1] == UNSUBSCRIBE
    assert TOKENS.read(UNSUBSCRIBE.rpartition("/")[2]) == Token(
        "unsubscribe", JOB, 7, "demo", address="ana@exemple.com"
    )
    assert found[2].endswith("@bounces.exemple.fr")
    assert VERP.read(found[2]) == Verp("unsubscribe", JOB, 7)


@pytest.mark.parametrize("stream", ["transactional", "one_to_one"])
def test_only_bulk_mails_have_list_unsubscribe(stream: str) -> None:
    names = {name for name, _ in render(text="a", stream=stream).headers}

    assert not names & {b"List-Unsubscribe", b"List-Unsubscribe-Post"}


@pytest.mark.parametrize(
    ("subject", "line"),
    [
        ("Bonjour {{ prenom }}", "Bonjour Ana"),
        ("Bonjour {{ prenom|upper }}", "Bonjour ANA"),
        ("{{ evil }}", "a Bcc: x@y.fr"),
        ("{{ evil|trim }}", "a Bcc: x@y.fr"),
        ("Été {{ prenom }}", "Été Ana"),
        ("{{ nothing }}", ""),
    ],
)
def test_the_subject_is_one_line_whatever_the_variables_hold(subject: str, line: str) -> None:
    mail = render(ready(variables={"prenom": "Ana", "evil": "a\r\nBcc: x@y.fr"}), text="a", subject=subject)

    assert str(parsed(mail)["Subject"]) == line
    assert parsed(mail)["Bcc"] is None


def test_the_copies_of_one_mail_differ_in_nothing_that_its_readers_see() -> None:
    people = [Addressee("ana@exemple.fr", "Ana"), Addressee("zoe@exemple.fr", "Lefèvre, Zoé")]
    make = renderer(
        text="a",
        stream="transactional",
        to=people,
        cc=[Addressee("bo@exemple.com")],
        bcc=[Addressee("chef@exemple.fr")],
    )

    copies = [
        make.render(ready(ordinal, email=email, name=""), NOW_MS)
        for ordinal, email in enumerate(["ana@exemple.fr", "zoe@exemple.fr", "bo@exemple.com", "chef@exemple.fr"])
    ]

    assert len({one.assemble() for one in copies}) == 1  # nothing in it is tracked
    found = parsed(copies[0])
    assert str(found["To"]) == 'Ana <ana@exemple.fr>, "Lefèvre, Zoé" <zoe@exemple.fr>'
    assert str(found["Cc"]) == "bo@exemple.com"
    assert [name for name, _ in copies[0].headers[:4]] == [b"From", b"To", b"Cc", b"Subject"]
    assert b"chef" not in copies[0].assemble()
    assert not copies[0].smtputf8


def test_links_of_copies_are_each_recipients_own() -> None:
    make = renderer(html='<a href="https://a.fr/">a</a>', stream="transactional", to=[Addressee("a@b.fr")])

    first, second = (make.render(ready(ordinal), NOW_MS) for ordinal in (0, 1))

    assert pixel(0) in body(first, "html")
    assert click(0, "https://a.fr/", 1) in body(second, "html")


def test_the_message_id_of_copies_names_none_of_them() -> None:
    """Who takes it out of a complaint finds no recipient in it, and so not the wrong one."""
    mail = render(text="a", stream="transactional", to=[Addressee("ana@exemple.com")])
    message_id = dict(mail.headers)[b"Message-ID"].decode()

    assert message_id == f"<{JOB}@exemple.fr>"
    with pytest.raises(InvalidVerp):
        VERP.read_message_id(message_id.strip("<>").partition("@")[0])
    assert arf.signed_names(Fields((("message-id", message_id),))) == []


@pytest.mark.parametrize(
    ("to", "own"), [("rené@exemple.fr", "ana@exemple.com"), ("ana@exemple.com", "rené@exemple.fr")]
)
def test_an_address_in_utf_8_among_others_asks_for_smtputf8_in_each_copy(to: str, own: str) -> None:
    assert render(ready(email=own), text="a", stream="transactional", to=[Addressee(to)]).smtputf8


def test_an_address_in_utf_8_asks_for_smtputf8() -> None:
    mail = render(ready(email="rené@exemple.fr", name="René"), text="a")

    assert mail.smtputf8
    assert dict(mail.headers)[b"To"].endswith("<rené@exemple.fr>".encode())
    assert render(text="a", from_="rené@exemple.fr").smtputf8


# Variables


def test_the_recipients_own_variables_win_over_address_and_name_and_these_over_defaults() -> None:
    source = "{{ prenom }}|{{ ville }}|{{ name }}|{{ email }}"
    defaults = {"prenom": "vous", "ville": "Paris", "name": "client", "email": "?"}

    assert texts(text=source, variables=defaults) == "vous|Paris|Ana|ana@exemple.com"
    assert texts(ready(variables={"prenom": "Zoé", "name": "Z"}), text=source, variables=defaults) == (
        "Zoé|Paris|Z|ana@exemple.com"
    )
    assert texts(ready(name=""), text=source, variables=defaults) == "vous|Paris|client|ana@exemple.com"


@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
def test_a_null_is_a_name_that_nothing_defines(logic: str) -> None:
    recipient = ready(variables={"a": None, "b": {"c": None}, "d": [{"e": None, "f": "\xc0"}]})

    assert texts(recipient, text=logic + "[{{ a }}{{ b.c }}]", variables={"a": "default"}) == "[default]"
    assert texts(recipient, text="[{{ b.c|default('x') }}{{ d[0].e|default('y') }}{{ d[0].f }}]") == "[xyÀ]"


@pytest.mark.parametrize(("name", "path"), [("preferences_url", "p"), ("opt_in_url", "a")])
def test_the_recipients_pages_have_their_address_where_the_mail_leads_there(name: str, path: str) -> None:
    for logic in ("", "{% if true %}{% endif %}"):
        made = html(ready(variables={name: "https://evil.fr/"}), html=f'<a href="{{{{ {name} }}}}">x</a>{logic}')

        (token,) = re.findall(rf'<a href="{re.escape(BASE_URL)}/{path}/([A-Za-z0-9_-]+)">', made)
        assert (TOKENS.read(token).address, TOKENS.read(token).ordinal) == ("ana@exemple.com", 7)
        assert targets(made) == []
    assert texts(text=f"{{{{ {name} }}}}").startswith(f"{BASE_URL}/{path}/")


def test_the_pages_of_a_test_have_nobodys_address_but_the_one_to_leave_by() -> None:
    source = "{{ preferences_url }} {{ opt_in_url }} {{ unsubscribe_url }}"
    made = body(renderer(text=source, test=True).render(ready(), NOW_MS), "plain")

    tokens = [TOKENS.read(url.rpartition("/")[2]) for url in made.split()]
    assert [(one.kind, one.address) for one in tokens] == [
        ("preferences", ""),
        ("opt_in", ""),
        ("unsubscribe", "ana@exemple.com"),
    ]


def test_the_unsubscribe_url_is_the_engines() -> None:
    recipient = ready(variables={"unsubscribe_url": "https://evil.fr/"})

    assert texts(recipient, text="{{ unsubscribe_url }}") == UNSUBSCRIBE
    assert texts(recipient, text="{% if true %}{{ unsubscribe_url }}{% endif %}") == UNSUBSCRIBE
    assert UNSUBSCRIBE in html(recipient, html="<a href='{{ unsubscribe_url }}'>")
    assert UNSUBSCRIBE in html(recipient, html="{% if true %}<a href='{{ unsubscribe_url }}'>{% endif %}")


def test_values_are_escaped_in_the_html_and_not_in_the_text() -> None:
    recipient = ready(variables={"a": "<b>&\"'/"})

    mail = render(recipient, html="{{ a }}", text="{{ a }}", track_opens=False)

    assert body(mail, "html") == "&lt;b&gt;&amp;&quot;&#x27;&#x2f;"
    assert body(mail, "plain") == "<b>&\"'/"


@settings(deadline=None, max_examples=50)
@given(st.lists(html_pieces, max_size=12).map("".join), variables, st.booleans())
def test_the_fast_path_makes_what_the_template_engine_makes(
    source: str, given: dict[str, Any], untracked: bool
) -> None:
    recipient = ready(variables=given, untracked=untracked)
    fields = {"html": source + "end", "text": source + "end"}

    fast = render(recipient, **fields)
    slow = render(recipient, **{name: value + "{% if true %}{% endif %}" for name, value in fields.items()})

    for kind in ("html", "plain"):
        assert body(fast, kind) == body(slow, kind)


def test_one_recipients_template_changes_nothing_for_the_next() -> None:
    made = renderer(
        text="{% if email == 'eve@exemple.com' %}{{ items.append(email) }}{% endif %}{{ items }}",
        variables={"items": []},
    )

    with pytest.raises(RenderFailed, match="no method `append`"):
        made.render(ready(email="eve@exemple.com"), NOW_MS)

    assert "eve" not in body(made.render(ready(), NOW_MS), "plain")


# Links and pixel


def test_links_lead_through_tracking_and_the_pixel_is_there() -> None:
    source = (
        '<body><a href="https://a.fr/?b=1&amp;c">x</a><A HREF=http://d.fr>y</A><a href="mailto:e@f.fr">z</a></body>'
    )

    assert html(html=source) == (
        f'<body><a href="{click(0, "https://a.fr/?b=1&c")}">x</a><A HREF={click(1, "http://d.fr")}>y</A>'
        f'<a href="mailto:e@f.fr">z</a>{pixel()}</body>'
    )


@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
def test_who_is_not_tracked_gets_the_html_as_it_was_written(logic: str) -> None:
    source = (
        "<body><a href=\"https://a.fr/?b=1&amp;c=é\">x</a><a href='{{ url }}'>y</a>"
        '<a href="{{ unsubscribe_url }}">z</a></body>'
    )
    recipient = ready(untracked=True, variables={"url": "https://b.fr/"})

    assert html(recipient, html=source + logic) == (
        "<body><a href=\"https://a.fr/?b=1&amp;c=é\">x</a><a href='https:&#x2f;&#x2f;b.fr&#x2f;'>y</a>"
        f'<a href="{UNSUBSCRIBE}">z</a></body>'
    )
    assert b"List-Unsubscribe" in dict(render(recipient, html=source).headers)


@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
@pytest.mark.parametrize(
    ("href", "url"),
    [
        ("{{ url }}", "https://b.fr/?c=1&d=2"),
        ("{{ url }}&amp;e&copy=3", "https://b.fr/?c=1&d=2&e&copy=3"),
        ("https://c.fr/{{ id }}", "https://c.fr/a%20b"),
        (" https://c.fr/{{ nothing }}\n", "https://c.fr/"),
    ],
)
def test_an_href_that_depends_on_the_recipient_is_tracked_as_it_turns_out(logic: str, href: str, url: str) -> None:
    recipient = ready(variables={"url": "https://b.fr/?c=1&d=2", "id": "a b"})

    made = html(recipient, html=f'<a href="#"><a href="{href}">{logic}', track_opens=False)

    assert made == f'<a href="#"><a href="{click(1, url)}">'


@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
@pytest.mark.parametrize(
    "value", ["mailto:a@b.fr", "", "#top", "tel:+33", "https://", "exemple.fr", "http://a b/", UNSUBSCRIBE]
)
def test_an_href_that_turns_out_to_be_none_stays_as_it_is(logic: str, value: str) -> None:
    made = html(ready(variables={"url": value}), html=f'<a href="{{{{ url }}}}">{logic}', track_opens=False)

    assert made == f'<a href="{value.replace("/", "&#x2f;")}">'


@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}", "{{ 'x'|upper }}"])
def test_links_of_a_text_are_tracked_behind_those_of_the_html(logic: str) -> None:
    recipient = ready(variables={"id": "a&b<c>", "url": "https://c.fr"})
    source = f"https://a.fr/?b&copy=1. (https://b.fr/{{{{ id }}}}) {{{{ url }}}}{logic}"

    mail = render(recipient, html='<a href="#"><a href="http://h.fr">x</a>', text=source)
    untracked = render(
        msgspec.structs.replace(recipient, untracked=True), html='<a href="#"><a href="http://h.fr">x</a>', text=source
    )

    printed = "X" if "upper" in logic else ""
    first, second = click(2, "https://a.fr/?b&copy=1"), click(3, "https://b.fr/a&b<c>")
    assert body(mail, "plain") == f"{first}. ({second}) https://c.fr{printed}"
    assert body(untracked, "plain") == f"https://a.fr/?b&copy=1. (https://b.fr/a&b<c>) https://c.fr{printed}"


@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
def test_utm_parameters_go_to_tracked_links_alone(logic: str) -> None:
    utm = UtmParameters(source="chouette", exclude=["exclu.fr"])
    links = ("https://a.fr/#b", "https://c.fr/{{ id }}?utm_source=d", "https://e.fr/{{ id }}", "https://exclu.fr/")
    source = "".join(f'<a href="{link}">' for link in links) + logic
    recipient = ready(variables={"id": "1"})

    made = html(recipient, html=source, utm=utm, track_opens=False)
    untracked = body(
        render(msgspec.structs.replace(recipient, untracked=True), html=source, utm=utm, track_opens=False), "html"
    )

    expected = (
        "https://a.fr/?utm_source=chouette#b", "https://c.fr/1?utm_source=d", "https://e.fr/1?utm_source=chouette",
        "https://exclu.fr/",
    )  # fmt: skip
    assert made == "".join(f'<a href="{click(number, url)}">' for number, url in enumerate(expected))
    assert "utm_source=chouette" not in untracked


def test_what_outlook_alone_reads_is_tracked_for_each_recipient() -> None:
    source = (
        '<!--[if mso]><v:roundrect href="https://a.fr/{{ id }}"><w:anchorlock/></v:roundrect><![endif]-->'
        '<!--[if !mso]><!--><a data-track="off" href="https://b.fr">x</a><!--<![endif]-->'
    )

    made = html(ready(variables={"id": "1"}), html=source, track_opens=False)

    assert made == source.replace("https://a.fr/{{ id }}", click(0, "https://a.fr/1")).replace(' data-track="off"', "")


@pytest.mark.parametrize("logic", ["", "{% if 1 %}{% endif %}", "{% for one in [1] %}"])
def test_a_document_has_a_link_of_its_own_beside_clicks(logic: str) -> None:
    end = "{% endfor %}" if "for" in logic else ""
    source = (
        f'{logic}<a data-document="Devis é" href="https://a.fr/113.pdf?a&amp;b">x</a><a href="https://b.fr/">y</a>'
        '<a href="https://c.fr/{{ a }}.pdf" data-document="Facture">z</a>'
        f'<a data-document="Devis é" href="https://a.fr/113.pdf?a&amp;b">x</a>{end}'
    )

    made = html(ready(variables={"a": "17"}), html=source)
    untracked = html(ready(variables={"a": "17"}, untracked=True), html=source)

    links = re.findall(r'<a href="([^"]+)"', made)
    found = [TOKENS.read(link.rpartition("/")[2]) for link in links]
    mark = TOKENS.marks("demo", "ana@exemple.com")[0]
    quote = "https://a.fr/113.pdf?a&b"
    assert [link.removeprefix(BASE_URL)[:3] for link in links] == ["/d/", "/c/", "/d/", "/d/"]
    assert found == [
        Token("document", JOB, 7, "demo", 0, quote, "", mark, "Devis é"),
        Token("click", JOB, 7, "demo", 1, "https://b.fr/", "", mark),
        Token("document", JOB, 7, "demo", 2, "https://c.fr/17.pdf", "", mark, "Facture"),
        Token("document", JOB, 7, "demo", 3, quote, "", mark, "Devis é"),
    ]
    assert re.findall(r'<a href="([^"]+)"', untracked) == [
        "https://a.fr/113.pdf?a&amp;b", "https://b.fr/", "https://c.fr/17.pdf", "https://a.fr/113.pdf?a&amp;b",
    ]  # fmt: skip


def test_a_mail_of_documents_alone_is_whole() -> None:
    links = re.findall(r'<a href="([^"]+)"', html(html='<a data-document="Devis" href="https://a.fr/113.pdf">x</a>'))

    assert [TOKENS.read(link.rpartition("/")[2]).destination for link in links] == ["https://a.fr/113.pdf"]


def test_a_link_to_a_document_that_was_made_by_the_api_stays_as_it_is() -> None:
    link = f"{BASE_URL}/d/{TOKENS.document_for('demo', 'ana@exemple.com', 'https://a.fr/113.pdf', 'Devis')}"

    assert f'<a href="{link}">' in html(html=f'<a href="{link}">x</a>')


def test_a_link_in_a_loop_has_one_position_and_many_destinations() -> None:
    source = '{% for a in items %}<a href="https://a.fr/{{ a }}">{% endfor %}'

    made = html(ready(variables={"items": [1, 2]}), html=source, track_opens=False)

    assert made == "".join(f'<a href="{click(0, f"https://a.fr/{n}")}">' for n in (1, 2))


FORGED = (
    "\ufdd07\ufdd1https://evil.example/x\ufdd2",
    "\ufdd0{nonce}:7\ufdd1https://evil.example/x\ufdd2{nonce};",
    "\ufdd00:7\ufdd1https://evil.example/x\ufdd20;\ufdd3\ufdd30;",
    "\ufdd199999\ufdd1https://evil.example/x\ufdd2",
    "\ufdd2\ufdd07\ufdd1https://evil.example/x",
    "\ufdd3" * 100,
)


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize(
    "source",
    [
        "{% if true %}{{ a|safe }}{% endif %}",
        "{% if true %}{{ a }}{% endif %}{{ name }}",
        '{% if true %}<a href="https://a.fr/{{ a }}">x</a>{% endif %}',
        '<a href="https://a.fr/?{{ a }}">{{ name }}</a>',
        '<p title="{{ a }}">{% for one in [a, name] %}<a href="https://a.fr/">{{ one }}</a>{% endfor %}</p>',
    ],
)
def test_marks_in_a_variable_or_a_name_make_no_link_and_no_pixel(forged: str, source: str) -> None:
    forged = forged.replace("{nonce}", "18446744073709551615")

    made = html(ready(variables={"a": forged}, name=forged), html=source)

    assert all(target.startswith("https://a.fr/") for target in targets(made))
    assert made.count("/o/") == 1


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("\ufdd0\ufdd1\ufdd2\ufdd30123456789:;https://evil.example/"), max_size=80))
def test_whatever_a_variable_holds_a_mail_leads_where_its_content_says(value: str) -> None:
    source = '{% if true %}{{ a|safe }}<a href="https://a.fr/x">{{ a }}</a>{% endif %}'

    made = html(ready(variables={"a": value}), html=source)

    assert targets(made) == ["https://a.fr/x"]
    assert made.count("/o/") == 1


def test_two_jobs_have_marks_of_their_own_and_so_have_two_processes() -> None:
    assert len({nonce(key, job) for key in (b"a", b"b") for job in ("j1", "j2")}) == 4


DANGEROUS = (
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\tscript:alert(1)",
    "\x01javascript:alert(1)", "java\nscript\r:alert(1)", "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)", "java\x00script:alert(1)", "\u200bjavascript:alert(1)",
)  # fmt: skip


@pytest.mark.parametrize("tracks", [True, False])
@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
@pytest.mark.parametrize("value", DANGEROUS)
@pytest.mark.parametrize("href", ['"{{ url }}"', '"{{ url }}" data-track="off"', "'  {{ url }}'"])
def test_a_recipient_brings_no_script_into_a_link(tracks: bool, logic: str, value: str, href: str) -> None:
    made = html(ready(variables={"url": value}), html=f"<a href={href}>{logic}", track_clicks=tracks)

    shown = re.search(r"""href=(?:"([^"]*)"|'([^']*)')""", made)
    assert shown is not None
    assert (shown[1] or shown[2]).strip() == "#"


def test_a_scheme_that_is_put_together_is_none_either() -> None:
    source = '<a href="java{{ a }}">x</a><area href="{{ a }}{{ b }}">'

    made = html(ready(variables={"a": "script:alert(1)", "b": "x"}), html=source)

    assert "script:alert" not in made.replace('href="script:alert(1)x"', "")


def test_an_href_cut_by_a_condition_leaves_no_mark() -> None:
    source = '<a href="{% if a %}https://a.fr"{% else %}https://b.fr"{% endif %}>'

    assert html(html=source, track_opens=False) == '<a href="https://b.fr">'
    assert not set(html(ready(variables={"a": 1}), html=source)) & set(content.MARKS)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, ids.MAX_ORDINAL),
    st.text("abc-_é", min_size=1, max_size=60),
    st.lists(st.text("abc/?=&é ", max_size=200).map("https://a.fr/".__add__), max_size=6),
    st.text("abc", max_size=80).map("https://tracking.exemple.fr/".__add__),
)
def test_tracked_links_are_read_by_tracking(ordinal: int, tenant: str, urls: list[str], base_url: str) -> None:
    source = "".join(f'<a href="{url.replace("&", "&amp;")}">' for url in urls)
    mail = renderer(tenant, base_url, html=source + "end").render(ready(ordinal), NOW_MS)

    assert max(map(len, mail.body.split(b"\r\n"))) <= 76
    found = re.findall(r'href="([^"]*)"', body(mail, "html"))
    for position, (href, url) in enumerate(zip(found, urls, strict=True)):
        prefix, _, token = href.rpartition("/")
        assert prefix == base_url.rstrip("/") + "/c"
        destination = url.strip().replace(" ", "%20").replace("é", "%C3%A9")
        mark = TOKENS.marks(tenant, "ana@exemple.com")[0]
        assert TOKENS.read(token) == Token("click", JOB, ordinal, tenant, position, destination, mark=mark)


# The mail as a whole


@settings(deadline=None, max_examples=50)
@given(
    st.lists(html_pieces, max_size=12).map("".join),
    st.sampled_from(["text", "html", "both"]),
    st.sampled_from(["", "{% if true %}{% endif %}"]),
    variables,
    words,
    words,
)
def test_any_mail_is_well_formed_relaxed_and_verifies(
    source: str, kind: str, logic: str, given: dict[str, Any], name: str, subject: str
) -> None:
    source += "end" + logic
    fields = {"text": None if kind == "html" else source, "html": None if kind == "text" else source}
    mail = render(ready(variables={**given, "subject": subject}, name=name), subject="{{ subject }} é", **fields)

    assert Relaxed.canonicalize_body(mail.body) == mail.body
    whole = mail.assemble(sign([SIGNER], mail.headers, mail.body, NOW_MS // 1000))
    assert max(map(len, mail.body.split(b"\r\n"))) <= 76
    assert max(map(len, whole.split(b"\r\n"))) <= 998
    assert b"\r" not in whole.replace(b"\r\n", b"")
    assert b"\n" not in whole.replace(b"\r\n", b"")
    assert b"\0" not in whole
    assert mail.is_wire_ready
    assert wire_body(whole) == whole + END
    found = parsed(mail)
    assert len(found.keys()) == len(mail.headers)
    assert isinstance(found["To"], AddressHeader)
    assert [address.addr_spec for address in found["To"].addresses] == ["ana@exemple.com"]
    assert dkim.verify(whole, dnsfunc=lambda name, timeout=5: RECORD)


PEM = dkim_keys.make()
RECORD = dkim_keys.record(PEM).encode()
SIGNER = Signer("exemple.fr", "est1", PEM)


@pytest.mark.parametrize(
    ("source", "value", "encoded"),
    [
        ("{{ a }}", "", b""),
        ("{{ a }}", "\r\n \r\n", b"\r\n=20\r\n"),
        ("x{{ a }}", "", b"x\r\n"),
        ("x{{ a }}{{ a }}\n\n", "", b"x\r\n"),
        ("x{{ a }}", "\n\n\n", b"x\r\n"),
        ("{% if true %}{{ a }}{% endif %}", "", b""),
        ("{% if true %}x{{ a }}{% endif %}", "\r\n\r\n", b"x\r\n"),
    ],
)
def test_a_body_of_one_part_does_not_end_in_empty_lines(source: str, value: str, encoded: bytes) -> None:
    mail = render(ready(variables={"a": value}), text=source)

    assert mail.body == encoded
    assert Relaxed.canonicalize_body(mail.body) == mail.body


def test_a_mail_is_the_same_each_time() -> None:
    fields = {"html": "<a href='http://a.fr'>{{ a }}</a>", "text": "{{ a|upper }}", "subject": "{{ a }}"}

    assert render(ready(variables={"a": "é"}), **fields) == render(ready(variables={"a": "é"}), **fields)


def test_a_mail_is_assembled_with_its_signatures_first() -> None:
    mail = RenderedMail([(b"From", b"a"), (b"To", b"b")], b"c\r\n", False)

    assert mail.assemble(b"DKIM-Signature: x\r\n") == b"DKIM-Signature: x\r\nFrom: a\r\nTo: b\r\n\r\nc\r\n"


@pytest.mark.parametrize(
    "value", [".", "..", "x" * 74 + "...", "x" * 75 + ".", "\n.\n", "." * 300, "a\n.", "https://exemple.fr/" + "." * 90]
)
def test_what_a_recipient_fills_in_begins_no_line_with_a_dot(value: str) -> None:
    source = '.{{ a }}.\n.{{ a }}\n{{ a }}<a href="https://exemple.fr/{{ a }}">.</a>\n.\n'
    mail = render(ready(variables={"a": value}), text=source, html=source)

    assert mail.is_wire_ready
    assert not any(line.startswith(b".") for line in mail.body.split(b"\r\n"))
    assert texts(ready(variables={"a": value}), text=source).startswith(f".{value}.\n.{value}\n{value}<a ")


@pytest.mark.parametrize("stored", [b"a\r\n.\r\nMAIL FROM:<b@c>\r\n", b".a\r\n", b"a\nb\r\n", b"a\rb\r\n", b"a\r"])
def test_content_that_was_stored_with_other_lines_is_known_by_them(stored: bytes) -> None:
    given = msgspec.structs.replace(compiled(text="x"), body=[stored])
    mail = Renderer(
        given,
        job=JOB,
        tenant="demo",
        tokens=TOKENS,
        verp=VERP,
        base_url=BASE_URL,
        marks_key=b"chance",
        bounce_domain="b.exemple.fr",
    ).render(ready(), NOW_MS)

    assert not mail.is_wire_ready


@pytest.mark.parametrize("field", ["subject", "text", "html"])
@pytest.mark.parametrize(
    "source",
    [
        "{{ a / 2 }}",
        "{% for b in range(99999) %}{% for c in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
        "{{ a|replace('a', 'b' * 6000000) }}",
        "{{ items.pop() }}",
    ],
)
def test_a_template_that_fails_for_a_recipient_is_reported(field: str, source: str) -> None:
    with pytest.raises(RenderFailed):
        render(ready(variables={"a": "a", "items": []}), **({"text": "a"} | {field: source}))


def test_variables_nested_too_deeply_fail_alone() -> None:
    deep: Any = None
    for _ in range(900):
        deep = [deep]

    with pytest.raises(RenderFailed, match="deeply"):
        render(ready(variables={"a": deep}), text="{{ a }}")


@pytest.mark.parametrize("base_url", ["", "t.exemple.fr", "https://a.fr/?b=", "https://a.fr/<", "https://a.fr/ b"])
def test_what_is_no_base_url_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        renderer(base_url=base_url, text="a")


@pytest.mark.parametrize("tracks", [True, False])
@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
@pytest.mark.parametrize("value", DANGEROUS)
@pytest.mark.parametrize(
    "source",
    [
        '<svg><a xlink:href="{{ url }}">', '<form action="{{ url }}">', '<button formaction="{{ url }}">',
        '<iframe src="{{ url }}"></iframe>', '<object data="{{ url }}"></object>', "<a href={{ url }}>",
        '<!--[if mso]><a href="{{ url }}">x</a><![endif]-->', '<meta http-equiv="refresh" content="0;url={{ url }}">',
    ],
)  # fmt: skip
def test_nor_into_anything_else_that_leads_somewhere(tracks: bool, logic: str, value: str, source: str) -> None:
    made = html(ready(variables={"url": value}), html=f"x{source}{logic}", track_clicks=tracks, track_opens=False)

    assert re.search("(?:href|action|src|data|content)=[\"']?#", made)
    assert not re.search("alert|msgbox", made)


@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
@pytest.mark.parametrize("value", ["https://a.fr/form", "http://b.fr", "/relative", "cid:1"])
def test_what_leads_elsewhere_stays_and_is_no_link_that_counts(logic: str, value: str) -> None:
    made = html(ready(variables={"url": value}), html=f'<form action="{{{{ url }}}}">{logic}', track_opens=False)

    assert unescape(made).strip() == f'<form action="{value}">'


@settings(deadline=None, max_examples=200)
@given(
    st.text(st.characters(codec="utf-8"), max_size=40)
    | st.sampled_from(["x href=https://evil.example/ y", "a\thref=//e", "a\x0cb=c", ">", '" b="', "'", "`"]),
    st.sampled_from(["", "{% if true %}{% endif %}"]),
)
def test_a_value_brings_no_attribute_and_no_element(value: str, logic: str) -> None:
    attributes = "class={{ a }} title=\"{{ a }}\" id='{{ a }}' lang=x{{ a }}"
    source = f'<a {attributes} href="https://a.fr/">{{{{ a }}}}</a>{logic}'

    made = html(ready(variables={"a": value}), html=source, track_opens=False)

    elements = turbohtml.parse(made).select("body *")
    assert [sorted(element.attrs) for element in elements] == [["class", "href", "id", "lang", "title"]]
    assert targets(made) == ["https://a.fr/"]
    assert str(elements[0].attrs["href"]).startswith(BASE_URL)


SCRIPTS = ["javascript:alert(1)", " JAVAscript\t:alert(1)", "vbscript:msgbox(1)", "data:text/html,<b>alert(1)</b>"]


@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
@pytest.mark.parametrize("value", SCRIPTS)
@pytest.mark.parametrize(
    "source",
    [
        "<img src=@>", "<img srcset='https://a.fr 1x, @ 2x'>", "<video poster=@>",
        "<body background='@'>", "<table background=@>", "<base href='@'>",
        "<meta content='@' http-equiv=refresh>", "<meta http-equiv=refresh content='5;url=@'>",
        "<p style=\"background: url('@')\">", "<p style='@'>", "<p style=@>",
        "<style>p{background:url(@)}</style>", "<object classid='@'>", "<q cite=@>",
        "<svg><a xlink:href='@'>", "<svg><set attributeName=href to='@'>",
        "<a href={% if a %}'@'{% else %}'{{ b }}'{% endif %}>", "<a ping='@'>",
        "<{% if true %}a{% endif %} href=@>", "<v:fill src='@'>",
        "<!--[if mso]><v:rect href='@'><![endif]-->", "<param name=movie value='@'>",
    ],
)  # fmt: skip
def test_nor_into_what_is_put_together_of_several(source: str, value: str, logic: str) -> None:
    for cut in range(len(value) + 1):
        given = ready(variables={"a": value[:cut], "b": value[cut:]})

        template = "x" + source.replace("@", "{{ a }}{{ b }}") + logic
        made = unescape(html(given, html=template, track_clicks=False, track_opens=False))

        assert not re.search("alert|msgbox", made), (cut, made)


@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('<img src="{}">', "https://a.fr/b.png"), ('<img src="{}">', "data:image/png;base64,AA=="),
        ('<img src="{}">', "cid:1"), ('<img srcset="{}">', "https://a.fr/1,2.png 1x, https://a.fr/b.png 2x"),
        ('<p style="{}">', "color: red; width: 10px"), ('<p style="color: {}">', "rgb(1, 2, 3)"),
        ('<p style="background: url({})">', "https://a.fr/b.png?c=d:e"), ("<style>p{{color: {}}}</style>", "red"),
        ('<meta name="description" content="{}">', "data, javascript and so on"), ('<td background="{}">', "/b.gif"),
        ('<a title="{}">', "javascript:x"), ('<p class="{}">', "data:x"),
    ],
)  # fmt: skip
def test_what_shows_a_picture_or_a_colour_stays(source: str, value: str, logic: str) -> None:
    given = ready(variables={"a": value})

    made = html(given, html=f"x{source.format('{{ a }}')}{logic}", track_opens=False)

    assert unescape(made).strip() == f"x{source.format(value)}"


def _in_json(value: str) -> Any:
    """What a text says as JSON: `0.00` is a number; the text itself if it is none."""
    with suppress(ValueError):
        return json.loads(value)
    return value


@settings(deadline=None, max_examples=150)
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=30)
    | st.sampled_from(['"', "\\", '\\\\"', "</script>", "<!--", "';alert(1)//", "${a}", "\u2028", "*/", "\n"])
    | st.sampled_from(["0.00", "1E5", "True", "true", "null", "NaN", "Infinity", " 1", "-0", "007", "{}", "[1]"]),
)
def test_in_json_of_a_script_a_value_is_a_value(value: str) -> None:
    source = (
        '<script type="application/ld+json">{"a": "{{ a }}", "b": "x{{ a|trim }}y{{ a }}", "c": {{ a }}, '
        '"d": {{ a|tojson }}, "e": {{ n }}, "f": {{ t }}, "g": "{{ nobody }}", "h": {{ nobody }}}</script>'
    )
    given = ready(variables={"a": value, "n": 12.5, "t": True})

    made = html(given, html=source, track_opens=False)

    [script] = turbohtml.parse(made).select("script")
    found = json.loads(script.text)
    assert found["a"] == found["d"] == value
    assert found["b"].startswith("x")
    assert found["b"].endswith(f"y{value}")
    assert found["c"] in (value, _in_json(value))
    assert (found["e"], found["f"], found["g"], found["h"]) == (12.5, True, "", None)


@settings(deadline=None, max_examples=100)
@given(
    st.text(max_size=20) | st.sampled_from(["');alert(1)//", "\\", '");alert(1);("', "&#39;);alert(1)//", "alert(1)"]),
    st.sampled_from(["f('{{ a }}')", "f(&quot;{{ a }}&quot;)", "f({{ a }})", "f(`{{ a }}`)", "// don't {{ a }}"]),
)
def test_in_a_handler_a_value_calls_nothing(value: str, code: str) -> None:
    for source in (f'<p onclick="{code}">', f"<p onclick='{code}'>" if "'" not in code else f'<p onCLICK="{code}">'):
        made = html(ready(variables={"a": value}), html=source, track_opens=False)

        [element] = turbohtml.parse(made).select("body p")
        [(_, written)] = element.attrs.items()
        rest = unescape(code).partition("{{ a }}")
        inside = str(written)[len(rest[0]) : len(str(written)) - len(rest[2])]
        assert not re.search(r"[^\w \\\"-.]|[\r\n]", inside)
        assert "(" not in inside
        assert inside.count('"') in (0, 2)


@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
def test_a_value_that_is_the_boundary_itself_ends_no_part(logic: str) -> None:
    given: dict[str, Any] = {
        "text": "{{ a }}\n{{ a }}" + logic,
        "html": "{{ a }}\n{{ a }}" + logic,
        "subject": "{{ a }}",
    }
    given |= {"attachments": [Attachment("a.txt", "LS09X2E=")], "track_opens": False}
    boundaries = [
        found.decode()
        for found in re.findall(rb'boundary="([^"]+)"', render(ready(variables={"a": ""}), **given).assemble())
    ]

    assert len(boundaries) == 2
    for boundary in boundaries:
        for value in (
            f"--{boundary}",
            f"--{boundary}--",
            f"\n--{boundary}\nContent-Type: text/html\n\n<b>",
            f"\r\n--{boundary}--",
        ):
            mail = parsed(render(ready(variables={"a": value}), **given))

            assert [part.get_content_type() for part in mail.walk()] == [
                "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/octet-stream",
            ]  # fmt: skip


def test_a_boundary_is_of_chance_and_nobody_can_tell_it_from_the_content() -> None:
    chances = (b"a" * 16, b"b" * 16, b"a" * 16)

    made = [compile_job(chance=chance, text="t", html="h") for chance in chances]

    fields = [one.body_fields for one in made if isinstance(one, CompiledContent)]
    assert fields[0] == fields[2] != fields[1]


@settings(deadline=None, max_examples=100)
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=30)
    | st.sampled_from([" href=https://evil.example/ ", '" b="', "' b='", "'><b>", "\\", "&quot; b=&quot;"]),
    st.sampled_from(
        [
            "data-a=\"{{ a|tojson }}\"", "data-a='{{ a|tojson }}'", "data-a={{ a|tojson }}",
            "data-a={% if a or true %}{{ a|tojson }}{% endif %}",
            "data-a=\"{% set x = a|tojson %}{{ x }}\"", "data-a=\"{% if true %}{{ a | tojson() }}{% endif %}\"",
        ]
    ),
)  # fmt: skip
def test_json_in_an_attribute_is_the_value_and_nothing_else(value: str, attribute: str) -> None:
    made = html(ready(variables={"a": value}), html=f"<a {attribute} href='https://a.fr/'>x</a>", track_opens=False)

    [element] = turbohtml.parse(made).select("body *")
    assert sorted(element.attrs) == ["data-a", "href"]
    assert json.loads(str(element.attrs["data-a"])) == value


@pytest.mark.parametrize("value", ['x" onmouseover="alert(1)', "');alert(1)//", "\\", '"'])
def test_json_in_a_handler_ends_neither_it_nor_the_call(value: str) -> None:
    source = "<p onclick=\"f({{ a|tojson }})\" onblur='f({{ a|tojson }})'>"

    made = html(ready(variables={"a": value}), html=source, track_opens=False)

    [element] = turbohtml.parse(made).select("body p")
    assert sorted(element.attrs) == ["onblur", "onclick"]
    for name in ("onblur", "onclick"):
        assert json.loads(str(element.attrs[name])[2:-1]) == value
