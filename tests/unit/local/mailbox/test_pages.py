"""Pages show messages, and what comes from a message is text to them, never markup."""

from html import escape
from html.parser import HTMLParser
from string import Template
from typing import Any

import pytest

from services.local.mailbox import dkim, pages
from services.local.mailbox.message import Summary, read
from services.local.mailbox.pages import Checked, Html, Row, fill, list_page, message_page, missing_page

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>$css"


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text outside of scripts and styles."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def row(number: int = 1, **changed: Any) -> Row:
    plain = Row(f"170000000000{number}-0", ["ana@example.org"], "b-1@b.localhost", 1_700_000_000_000, 2_345,
        Summary("Bonjour", "Chouette <news@exemple.fr>", "<job.1@exemple.fr>"))  # fmt: skip
    return plain._replace(**changed)


def a_list(*rows: Row, total: int = 1, sought: str = "", before: str = "", more: bool = False) -> Elements:
    return Elements(list_page(rows, total=total, sought=sought, before=before, more=more, nonce="n0nce"))


def a_message(raw: bytes, view: str = "", shown: Row | None = None) -> Elements:
    checked = [Checked(one.domain, one.selector, "broken") for one in dkim.signatures(raw)]
    return Elements(message_page(shown or row(), read(raw), raw, checked=checked, view=view, nonce="n0nce"))


def assert_only_our_own_elements(page: Elements) -> None:
    assert [script.get("nonce") for script in page.of("script")] == ["n0nce"]
    assert page.of("img") == []
    assert not any(name.startswith("on") for _, attributes in page.found for name in attributes)


def test_a_value_is_escaped_unless_it_is_markup() -> None:
    filled = fill(Template("$a $b"), a="<&\"'>", b=Html("<b>"))

    assert filled == "&lt;&amp;&quot;&#x27;&gt; <b>"


def test_the_list_names_recipient_sender_subject_time_and_size() -> None:
    page = a_list(row())

    for shown in ("ana@example.org", "Chouette <news@exemple.fr>", "Bonjour", "2023-11-14 22:13:20 UTC", "2.3 kB"):
        assert shown in page.text
    assert {"href": "/mailbox/1700000000001-0"} in page.of("a")


def test_a_hostile_message_is_text_in_the_list() -> None:
    evil = row(recipients=[f"{EVIL}@example.org"], return_path=EVIL, summary=Summary(EVIL, EVIL, EVIL))

    page = a_list(evil, sought=EVIL)

    assert_only_our_own_elements(page)
    assert page.text.count(EVIL) == 5
    assert page.of("input")[0]["value"] == EVIL


@pytest.mark.parametrize("view", ["", "html", "text", "headers", "source"])
def test_a_hostile_message_is_text_on_its_page(view: str) -> None:
    raw = (
        f"Subject: {EVIL}\r\n{EVIL}: {EVIL}\r\nDKIM-Signature: d={EVIL}; s={EVIL}\r\n"
        f"List-Unsubscribe: <https://x/{EVIL}>, <mailto:{EVIL}>\r\n"
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        f"--b\r\n\r\n</pre>{EVIL}\r\n"
        f"--b\r\nContent-Type: text/html\r\n\r\n</iframe>{EVIL}\r\n"
        f"--b\r\nContent-Type: {EVIL}; name={EVIL}\r\n\r\n--b--\r\n"
    ).encode()

    page = a_message(raw, view, row(return_path=EVIL, recipients=[EVIL], summary=Summary(EVIL, EVIL, EVIL)))

    assert_only_our_own_elements(page)
    assert EVIL in page.text


def test_an_id_is_all_that_the_frame_knows_of_a_message() -> None:
    page = a_message(b"Content-Type: text/html\r\n\r\n<script>alert(1)</script>")

    (frame,) = page.of("iframe")
    assert frame["src"] == "/mailbox/1700000000001-0/html"
    assert frame["sandbox"] is not None
    assert "allow-scripts" not in frame["sandbox"]
    assert "allow-same-origin" not in frame["sandbox"]
    assert "allow-popups" in frame["sandbox"]


def test_unsubscribing_posts_what_a_mail_program_posts() -> None:
    raw = (
        b"List-Unsubscribe: <https://t.exemple.fr/u/tok>, <mailto:u-1@b.localhost>\r\n"
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nhello\r\n"
    )

    page = a_message(raw)

    (form,) = [form for form in page.of("form") if form["action"] == "https://t.exemple.fr/u/tok"]
    assert form["method"] == "post"
    assert {"type": "hidden", "name": "List-Unsubscribe", "value": "One-Click"} in page.of("input")
    assert "by mail: u-1@b.localhost" in page.text


def test_a_message_without_list_headers_has_no_way_to_unsubscribe() -> None:
    page = a_message(b"Subject: receipt\r\n\r\nhello\r\n")

    assert [form["action"] for form in page.of("form")] == ["/mailbox"]


def test_only_web_addresses_become_links() -> None:
    page = a_message(b"List-Unsubscribe: <javascript:alert(1)>, <data:text/html,x>\r\n\r\nhello\r\n")

    assert all((link["href"] or "").startswith("/mailbox") for link in page.of("a"))


@pytest.mark.parametrize(
    ("raw", "tabs"),
    [
        (b"Content-Type: text/html\r\n\r\n<p>", ["HTML", "Headers", "Source"]),
        (b"\r\nhello", ["Text", "Headers", "Source"]),
        (b"Content-Type: image/png\r\n\r\n", ["Headers", "Source"]),
    ],
)
def test_a_view_that_the_message_has_not_is_not_offered(raw: bytes, tabs: list[str]) -> None:
    page = a_message(raw, view="html" if b"html" not in raw else "text")

    assert [name for name in pages.VIEWS.values() if name in page.text] == tabs
    assert len([link for link in page.of("a") if link.get("aria-current") == "page"]) == 1


def test_signatures_are_shown_or_their_absence() -> None:
    forged = a_message(b"DKIM-Signature: d=exemple.fr; s=est1\r\n\r\n")

    assert "DKIM d=exemple.fr s=est1: not valid, forged, or a signed field was changed" in forged.text
    assert [span["class"] for span in forged.of("span") if "badge" in (span.get("class") or "")] == ["badge bad"]
    assert "not signed" in a_message(b"\r\n").text


@pytest.mark.parametrize("verdict", [*dkim.WORDS])
def test_only_what_holds_is_green(verdict: dkim.Verdict) -> None:
    raw = b"\r\n"

    page = message_page(row(), read(raw), raw, checked=[Checked("d.example", "s", verdict)], view="", nonce="n0nce")

    assert (b'<span class="badge good">' in page) is (verdict == "valid")
    assert escape(dkim.WORDS[verdict]).encode() in page


def test_files_are_listed_with_their_size() -> None:
    raw = b"Content-Type: application/pdf; name=a.pdf\r\n\r\n" + b"x" * 1_234

    page = a_message(raw)

    assert "a.pdf" in page.text
    assert "application/pdf · 1.2 kB" in page.text
    assert {"href": "/mailbox/1700000000001-0/parts/0"} in page.of("a")


def test_the_newest_page_renews_itself_and_older_ones_stay() -> None:
    newest = list_page([row()], total=1, sought="", before="", more=False, nonce="n")
    older = list_page([row()], total=1, sought="", before="1-0", more=False, nonce="n")

    assert b"setInterval" in newest
    assert b"setInterval" not in older


def test_pages_lead_to_older_messages_and_back() -> None:
    page = a_list(row(2), row(1), total=9, sought="a&b", before="1700000000009-0", more=True)

    assert {"class": "button", "href": "/mailbox?q=a%26b&before=1700000000001-0"} in page.of("a")
    assert {"class": "button", "href": "/mailbox?q=a%26b"} in page.of("a")


def test_an_empty_mailbox_says_that_mail_will_come_by_itself() -> None:
    assert "No mail yet" in a_list(total=0).text
    assert "None of the kept messages" in a_list(total=3, sought="nobody").text


def test_the_addresses_that_behave_are_explained() -> None:
    page = a_list(row())

    for prefix in ("unknown", "full", "greylist", "blocked", "bounce-later", "complain"):
        assert f"{prefix}…@any.domain" in page.text


def test_nothing_on_a_page_comes_from_elsewhere() -> None:
    for page in (a_list(row()), a_message(b"\r\nhello"), Elements(missing_page("n0nce"))):
        loaded = [attributes for tag, attributes in page.found if tag in ("script", "img", "link", "iframe")]
        assert all(
            (attributes.get("src") or attributes.get("href") or "data:").startswith("data:") for attributes in loaded
        )
