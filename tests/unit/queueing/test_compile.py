"""Content is compiled, or refused with everything that is wrong with it."""

from base64 import b64encode
from typing import Any

import msgspec
import pytest
import turbohtml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.queueing.attachments import Attachment
from services.queueing.compile import Limits
from shared.words import content
from shared.words.content import (
    CompiledContent,
    Link,
    Part,
    Pixel,
    Subject,
    TrackedLink,
    Variable,
    documents,
)
from shared.words.errors import Fault
from tests.jobs import compile_job

LIMITS = Limits()


def compile_text(limits: Limits = LIMITS, **fields: Any) -> CompiledContent | list[Fault]:
    return compile_job(limits, **({"text": "Bonjour\n"} | fields))


def compiled(**fields: Any) -> CompiledContent:
    result = compile_text(**fields)
    assert isinstance(result, CompiledContent), result
    return result


def faults(limits: Limits = LIMITS, **fields: Any) -> list[Fault]:
    result = compile_text(limits, **fields)
    assert isinstance(result, list)
    return result


def part(found: CompiledContent, kind: str) -> Part:
    (one,) = [item for item in found.body if isinstance(item, Part) and item.kind == kind]
    return one


def test_content_is_compiled() -> None:
    found = compiled(
        subject="Bonjour {{ prenom }}",
        html='<p>Bonjour {{ prenom }}, <a href="https://a.fr/?b&amp;c">ici</a></p>',
        text="Bonjour {{ prenom }},\r\n\r\nà bientôt",
        reply_to="Été <contact@exemple.fr>",
        headers={"X-Campaign": "été", "X-Plain": "1"},
        variables={"prenom": "vous"},
        category="promotion",
        rate="100/s",
    )

    assert found.stream == "bulk"
    assert found.from_value == "Chouette <news@exemple.fr>"
    assert found.from_domain == "exemple.fr"
    assert found.subject == Subject(("Bonjour ", Variable(("prenom",))))
    assert found.reply_to == "=?utf-8?B?w4l0w6k=?= <contact@exemple.fr>"
    assert found.headers == [("X-Campaign", "=?utf-8?B?w6l0w6k=?="), ("X-Plain", "1")]
    assert msgspec.msgpack.decode(found.variables) == {"prenom": "vous"}
    assert found.links == [TrackedLink(0, "https://a.fr/?b&c")]
    assert (found.category, found.rate) == ("promotion", "100/s")
    assert found.body_fields[0][1].startswith("multipart/alternative")
    assert part(found, "text").segments == [
        b"Bonjour=20=\r\n",
        Variable(("prenom",)),
        b"=\r\n,\r\n\r\n=C3=A0 bient=C3=B4t\r\n",
    ]
    assert part(found, "html").segments == [
        b"<p>Bonjour=20=\r\n",
        Variable(("prenom",)),
        b'=\r\n, <a href=3D"=\r\n',
        Link(0, ("https://a.fr/?b&amp;c",), "https://a.fr/?b&c"),
        b'=\r\n">ici</a></p>=\r\n',
        Pixel(),
        b"\r\n",
    ]


def test_compiled_content_is_stored_and_read_back() -> None:
    found = compiled(
        subject="{% if a %}b{% endif %}",
        html='{{ a }}<a href="http://b.fr/{{ c }}">',
        attachments=[Attachment("a.txt", "YQ==")],
        reply_to="a@b.fr",
    )

    assert content.encode(content.decode(content.encode(found))) == content.encode(found)
    read = content.decode(content.encode(found))
    assert read.body == found.body
    assert read.subject == found.subject
    with pytest.raises(ValueError, match="Expected"):
        content.decode(b"\x91\x01")


def test_a_part_with_logic_is_kept_as_a_template_with_marks() -> None:
    found = compiled(
        subject="{{ a|upper }}",
        html='<body>{% if a %}<a href="http://a.fr">{% endif %}</body>',
        text="{% if a %}b{% endif %}",
    )

    begin, value, end = content.LINK_BEGIN, content.LINK_VALUE, content.LINK_END
    template = f'<body>{{% if a %}}<a href="{begin}0{value}http://a.fr{end}">{{% endif %}}{content.PIXEL}</body>\n'
    assert part(found, "html") == Part("html", template=template)
    assert part(found, "text") == Part("text", template="{% if a %}b{% endif %}\n")
    assert found.subject == Subject(template="{{ a|upper }}")


def test_html_alone_and_text_alone_are_mails() -> None:
    assert compiled(html="<p>a</p>", text=None).body == [Part("html", [b"<p>a</p>=\r\n", Pixel(), b"\r\n"])]
    assert compiled(html="", text="a").body == [Part("text", [b"a\r\n"])]


def test_what_is_not_tracked_has_no_pixel_and_no_links() -> None:
    found = compiled(html='<a href="http://a.fr">', track_opens=False, track_clicks=False)

    assert part(found, "html").segments == [b'<a href=3D"http://a.fr">\r\n']
    assert found.links == []


def test_every_fault_is_listed_with_its_place() -> None:
    found = faults(
        from_="Chouette",
        reply_to="a@b.fr\r\nBcc: c@d.fr",
        subject="{{ a",
        html="<p>\n{{ a }",
        text="{{ a|nonsense }}",
        headers={"X:A": "b", "X-B": "c\r\nd", "From": "e@f.fr", "X-C": "g", "x-c": "h"},
        variables={"unsubscribe_url": "x"},
        attachments=[Attachment("a/b", "%"), Attachment("c", "YQ==", "text")],
    )

    assert [fault.at for fault in found] == [
        "$.from",
        "$.reply_to",
        "$.headers['X:A']",
        "$.headers['X-B']",
        "$.headers['From']",
        "$.headers['x-c']",
        "$.variables['unsubscribe_url']",
        "$.subject",
        "$.text",
        "$.html",
        "$.attachments[0].filename",
        "$.attachments[0].content",
        "$.attachments[1].content_type",
    ]
    what = {fault.at: fault.what for fault in found}
    assert "line 2" in what["$.html"]
    assert "nonsense is unknown" in what["$.text"]


@pytest.mark.parametrize(
    "name",
    [
        "", "X A", "X:A", "X\rA", "X\nA", "X\x00", "Été", "X" * 77, "From", "to", "CC", "Bcc", "Subject", "Date",
        "Sender", "Message-ID", "DKIM-Signature", "List-Unsubscribe", "List-Unsubscribe-Post", "Return-Path",
        "Received", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "content-anything", "Reply-To",
        "Resent-From", "ARC-Seal", "Authentication-Results",
    ],
)  # fmt: skip
def test_a_header_field_that_cannot_be_given_is_refused(name: str) -> None:
    (fault,) = faults(headers={name: "a"})

    assert fault.at == f"$.headers[{name!r}]"


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb", "a\x00", "a\x85b", "a\u2028b", "a" * 901])
def test_a_header_value_that_cannot_be_given_is_refused(value: str) -> None:
    (fault,) = faults(headers={"X-A": value})

    assert fault.at == "$.headers['X-A']"


@pytest.mark.parametrize("sender", ["", "foo", "a@@b", "a@b.fr\r\nX: y", "a@[127.0.0.1]", "a@b.fr, c@d.fr"])
def test_a_bad_sender_is_refused(sender: str) -> None:
    (fault,) = faults(from_=sender)

    assert fault.at == "$.from"


@pytest.mark.parametrize(("html", "text"), [(None, None), ("", ""), (" \n", None)])
def test_empty_content_is_refused(html: str | None, text: str | None) -> None:
    (fault,) = faults(html=html, text=text)

    assert "empty" in fault.what


@pytest.mark.parametrize(
    ("limits", "fields", "at"),
    [
        (Limits(subject_chars=3), {"subject": "abcd"}, "$.subject"),
        (Limits(html_bytes=3), {"html": "éé"}, "$.html"),
        (Limits(text_bytes=3), {"text": "éé"}, "$.text"),
        (Limits(headers=1), {"headers": {"X-A": "1", "X-B": "2"}}, "$.headers"),
        (Limits(attachments=0), {"attachments": [Attachment("a", "YQ==")]}, "$.attachments"),
        (Limits(attachments_bytes=0), {"attachments": [Attachment("a", "YQ==")]}, "$.attachments"),
        (Limits(variables_bytes=3), {"variables": {"a": "bcd"}}, "$.variables"),
        (LIMITS, {"variables": {"a": 2**70}}, "$.variables"),
        (Limits(variables_depth=2), {"variables": {"a": {"b": ["c"]}}}, "$.variables"),
        (LIMITS, {"html": '<a href="http://a.fr">' * 65_537, "html_bytes": 0}, "$.html"),
    ],
)
def test_what_is_too_much_is_refused(limits: Limits, fields: dict[str, Any], at: str) -> None:
    if fields.pop("html_bytes", None) is not None:
        limits = Limits(html_bytes=10_000_000)

    (fault,) = faults(limits, **fields)

    assert fault.at == at


@pytest.mark.parametrize("name", ["html", "text"])
@pytest.mark.parametrize("character", ["\ufdd0", "\ufdd3", "\ud800"])
def test_code_points_that_are_no_characters_are_refused(name: str, character: str) -> None:
    (fault,) = faults(LIMITS, **{name: f"a{character}"})

    assert fault.at == f"$.{name}"


@pytest.mark.parametrize("filename", ["", "../a", "a\nb", "a\x00", "é" * 128])
def test_a_bad_file_name_is_refused(filename: str) -> None:
    (fault,) = faults(attachments=[Attachment(filename, "YQ==")])

    assert fault.at == "$.attachments[0].filename"


@pytest.mark.parametrize(
    "content_type", ["", "text", "text/", "text/plain\r\nX: y", "multipart/mixed", "message/rfc822", "a/" + "b" * 200]
)
def test_a_bad_media_type_is_refused(content_type: str) -> None:
    (fault,) = faults(attachments=[Attachment("a", "YQ==", content_type)])

    assert fault.at == "$.attachments[0].content_type"


@pytest.mark.parametrize("text", ["%", "YQ", "YQ=", "YQ==YQ==", "Y-_=", "é"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    (fault,) = faults(attachments=[Attachment("a", text)])

    assert fault.at == "$.attachments[0].content"


def test_base64_may_be_broken_into_lines() -> None:
    broken = "\r\n".join(b64encode(b"x" * 60).decode()[at : at + 20] for at in range(0, 80, 20))

    assert compiled(attachments=[Attachment("a", broken)]) == compiled(
        attachments=[Attachment("a", b64encode(b"x" * 60).decode())]
    )


def test_variables_may_be_nested_as_deep_as_the_limit() -> None:
    assert isinstance(compile_text(Limits(variables_depth=3), variables={"a": {"b": ["c"]}}), CompiledContent)


def test_a_template_that_needs_its_variables_is_no_fault() -> None:
    assert compiled(text="{{ price + 1 }}{% for a in items %}{{ a.b / 2 }}{% endfor %}")


def test_a_trial_changes_no_variable() -> None:
    found = compiled(text="{{ items.append(1) }}{% if a %}{% endif %}", variables={"items": []})

    assert msgspec.msgpack.decode(found.variables) == {"items": []}


@settings(deadline=None)
@given(
    st.text(max_size=60),
    st.text("{}%# a'\"|.", max_size=40),
    st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=2),
)
def test_whatever_comes_in_is_compiled_or_refused(sender: str, template: str, headers: dict[str, str]) -> None:
    found = compile_text(from_=sender, subject=template, html=template, text=template, headers=headers)

    if isinstance(found, CompiledContent):
        assert content.decode(content.encode(found)).body == found.body
    else:
        assert found
        assert all(fault.at.startswith("$.") and fault.what for fault in found)


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)", "JAVASCRIPT:alert(1)", " javascript:x", "java&#x09;script:x", "&#106;avascript:x",
        "data:text/html,x", "vbscript:x", "javascript:{{ a }}", "&#1;javascript:x", "java\nscript:x",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "element", ['<a href="{}">', "<area href='{}'>", '<form action="{}">', '<button formaction="{}">']
)
def test_what_leads_to_a_script_is_refused_with_its_line(element: str, href: str) -> None:
    result = compile_text(html=f"<p>\n\n{element.format(href)}x")

    assert isinstance(result, list)
    assert [(fault.at, fault.what) for fault in result] == [
        ("$.html", "line 3: leads to javascript:, vbscript: or data:")
    ]


def test_a_document_is_compiled_with_its_name_and_refused_where_that_depends_on_the_recipient() -> None:
    found = compiled(html='<a data-document="Devis" href="https://a.fr/{{ numero }}">x</a>')
    refused = faults(html='<p>\n<a data-document="Devis {{ numero }}" href="https://a.fr/">x</a>')

    assert found.links == [TrackedLink(0, "https://a.fr/{{ numero }}", "", "Devis")]
    assert documents(found) == {0: "Devis"}
    assert [(fault.at, fault.what) for fault in refused] == [
        ("$.html", "line 2: the name in data-document has a variable; it is one for all recipients")
    ]


@pytest.mark.parametrize(
    "href", ["https://a.fr/?javascript:x", "mailto:a@b.fr", "#javascript", "tel:1", "/data:x", "cid:1"]
)
def test_what_only_speaks_of_scripts_is_not(href: str) -> None:
    assert isinstance(
        compile_text(html=f'<a href="{href}">x</a><img src="data:image/png;base64,AA">'),
        CompiledContent,
    )


@pytest.mark.parametrize(
    "source",
    [
        '<svg><a xlink:href="{}">x</a></svg>', '<math><mi xlink:href="{}">x</mi></math>', '<iframe src="{}"></iframe>',
        '<object data="{}"></object>', '<embed src="{}">', '<script src="{}"></script>', '<base href="{}">',
        '<meta http-equiv="refresh" content="0; URL={}">', "<meta http-equiv=Refresh content='5,{}'>",
        '<!--[if mso]><a href="{}">x</a><![endif]-->', '<!--[if !mso]><!--><a href="{}">x</a><!--<![endif]-->',
        '<!--[if (gte mso 9)|(IE)]><table><tr><td><a href="{}">x</a>-->', '<input formaction="{}">',
    ],
)  # fmt: skip
@pytest.mark.parametrize("href", ["javascript:x", " JavaScript&colon;x", "java&#10;script:x", "data:text/html,x"])
def test_whatever_makes_a_program_go_to_a_script_is_refused(source: str, href: str) -> None:
    result = compile_text(html="<p>\n\n" + source.format(href))

    assert isinstance(result, list)
    assert [fault.what for fault in result] == ["line 3: leads to javascript:, vbscript: or data:"]


@pytest.mark.parametrize(
    "source",
    [
        "<img src='data:image/png;base64,AA'>", '<!-- <a href="javascript:x"> -->', "<p title='javascript:x'>",
        "<meta http-equiv=refresh content='0;url=https://a.fr'>", "<meta name=x content='javascript:x'>",
        "<p>javascript:x", "<meta http-equiv=refresh content=30>", "<form action=''>", "<!--[if mso]><p><![endif]-->",
    ],
)  # fmt: skip
def test_what_goes_nowhere_may_speak_of_scripts(source: str) -> None:
    assert isinstance(compile_text(html=source), CompiledContent)


@pytest.mark.parametrize(
    ("tag", "column", "what"),
    [
        ('<a {{ a }} href="https://a.fr">', 4, "an attribute"),
        ('<p class="x"{{ a }}>', 13, "an attribute"),
        ("<p {{ a }}=x>", 4, "an attribute"),
        ("<p b{{ a }}=x>", 5, "an attribute"),
        ("<p {{ a|default('hidden') }}>", 4, "an attribute"),
        ("<p {{ a if b else 'hidden' }}>", 4, "an attribute"),
        ("<p {{ 'hidden' ~ a if b }}>", 4, "an attribute"),
        ("<p {% if b %}{{ a }}{% endif %}>", 14, "an attribute"),
        ("<img/{{ a }}/>", 6, "an attribute"),
        ("<i{{ a }}>", 3, "the element"),
        ("<{{ a }}>", 2, "the element"),
        ("</{{ a }}>", 3, "the element"),
        ("<{% if b %}{{ a }}{% endif %}>", 12, "the element"),
        ('<p class=a"{{ a }}">', 12, "end the value"),
        ("<p class={% if b %}'{{ a }}'{% else %}{{ a }}{% endif %}\">", 39, "end the value"),
        ("<p class=a{% if b %}{{ a }} id=c{% endif %}>", 21, "end the value"),
        ("{% if b %}<p a={% else %}<p b='{% endif %}{{ a }}'>", 43, "open what it stands in"),
        ("<!-- {{ a }}> -->", 6, "end the comment"),
        ("<!-- {{ a }}-> -->", 6, "end the comment"),
        ('<iframe srcdoc="{{ a }}">', 17, "a document"),
        ("<iframe srcdoc={{ a|upper }}>", 16, "a document"),
        ("<!--[if mso]><p {{ a }}><![endif]-->", 17, "an attribute"),
    ],
)
def test_a_placeholder_that_would_be_markup_is_refused_with_its_place_and_the_remedy(
    tag: str, column: int, what: str
) -> None:
    result = compile_text(html=f"<p>\n{tag}")

    assert isinstance(result, list)
    assert [fault.at for fault in result] == ["$.html"]
    assert result[0].what.startswith(f"line 2, column {column}: ")
    assert repr(tag[column - 1 :][:40])[1:-1] in result[0].what
    assert what in result[0].what


@pytest.mark.parametrize("size", [500, 1_000])
@pytest.mark.parametrize(
    "source",
    [
        "<!--[if x]>-->", "<!--[if", "<a href=javascript:x>\n", "<p {{ a }}>\n", " a={{ a }}", "<b><i a={{ a }}></b>",
        "<!--[if x]><a href=x>", "<meta http-equiv=refresh content='0 ", "<b class={{ a }}>",
    ],
)  # fmt: skip
def test_a_source_is_parsed_three_times_at_most_whatever_its_tags(
    source: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[int] = []
    parse = turbohtml.parse

    def counted(text: str, *, source_locations: bool) -> turbohtml.Document:
        parsed.append(len(text))
        return parse(text, source_locations=source_locations)

    monkeypatch.setattr(turbohtml, "parse", counted)
    given = "<p " + source * size

    compile_text(html=given)

    assert len(parsed) <= 3
    assert all(chars <= 2 * len(given) for chars in parsed)
