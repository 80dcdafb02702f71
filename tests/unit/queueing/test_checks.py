"""What is found wrong with a mail before it is sent."""

import pytest

from services.queueing.checks import CHECKS, MOST_OF_A_KIND, Mail, broken, found

OUT = '<a href="https://t.example.com/u/preview">Se désabonner</a>'
#: Long enough to be no mail of pictures.
WORDS = "Chouette vous souhaite la bienvenue, et vous écrira une fois par mois, pas plus."


def mail(
    body: str = "",
    *,
    subject: str = "Bonjour Ana",
    text: str | None = f"{WORDS}\nhttps://t.example.com/u/preview",
    is_marketing: bool = True,
    sender: str = "Chouette <news@exemple.fr>",
    size_bytes: int = 1_000,
) -> Mail:
    return Mail(subject, sender, f"<p>{WORDS}</p>\n{body}\n{OUT}", text, size_bytes, is_marketing)


def names(of: Mail) -> list[str]:
    return [one.name for one in found(of)]


def test_nothing_is_found_of_a_mail_that_is_as_it_should_be() -> None:
    assert (
        names(mail('<img src="https://exemple.fr/a.png" alt="Une chouette"><a href="https://exemple.fr/">ici</a>'))
        == []
    )


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('<a href="">x</a>', "broken_link"),
        ('<a href="/offers">x</a>', "broken_link"),
        ('<a href="https://">x</a>', "broken_link"),
        ('<a href="ftp://exemple.fr/x">x</a>', "broken_link"),
        ('<a href="mailto:">x</a>', None),
        ('<a href="mailto:nobody">x</a>', "broken_link"),
        ('<a href="https://exemple.fr/{{ x }}">x</a>', "broken_link"),
        ('<a href="#top">x</a>', None),
        ('<a href="tel:+33123456789">x</a>', None),
        ("<script>1</script>", "script"),
        ("<form></form>", "form"),
        ('<div style="display: none">à lire</div><div style="DISPLAY:NONE">encore</div>', "hidden_text"),
        ('<div style="display:none">Ravis de vous voir</div>', None),  # the preheader
        ('<span style="display:none"></span><span style="font-size:0">&nbsp;</span>', None),
        ('<a href="https://bit.ly/x">ici</a>', "shortener"),
        ('<a href="https://www.bit.ly/x">ici</a>', "shortener"),
        ('<a href="https://phish.example/">https://www.banque.fr/</a>', "other_host"),
        ('<a href="https://www.exemple.fr/a">exemple.fr</a>', None),
        ('<img src="https://exemple.fr/a.png">', "no_alt"),
        ('<img src="https://exemple.fr/a.png" alt="">', None),  # a picture that only adorns
    ],
)
def test_what_is_in_the_html_is_found_on_its_line(body: str, name: str | None) -> None:
    checks = found(mail(body))

    assert [(one.name, one.part, one.at) for one in checks] == ([(name, "html", 2)] if name else [])


@pytest.mark.parametrize(
    ("of", "name"),
    [
        (mail(subject="GRANDES SOLDES"), "capitals"),
        (mail(subject="SNCF: 8h"), None),
        (mail(subject="Vite!!"), "exclamation"),
        (mail(subject="Vite! Vite! Vite!"), "exclamation"),
        (mail(subject="Vite !"), None),
        (mail(text=None), "no_text"),
        (mail(text=" \n"), "no_text"),
        (mail(f"<p>{'x' * 102_000}</p>"), "size"),
        (mail(sender="Société Machin <a@machin.example>"), "no_advertiser"),
        (mail(sender="a@machin.example", is_marketing=False), None),
        (mail(sender="Autre <news@chouette.example>"), None),
        (Mail("s", "Chouette <a@b.fr>", f"<p>{WORDS}</p>", WORDS, 1, is_marketing=True), "no_way_out"),
        (Mail("s", "Chouette <a@b.fr>", f"<p>{WORDS}</p>", WORDS, 1, is_marketing=False), None),
        (
            Mail("s", "Chouette <a@b.fr>", f"<p>{WORDS}</p><div style='display:none'>{OUT}</div>", WORDS, 1, True),
            "no_way_out",
        ),
        (mail(text=f"{WORDS} https://bit.ly/x\nhttps://t.example.com/u/preview"), "shortener"),
        (mail(text=f"{WORDS} https://\nhttps://t.example.com/u/preview"), None),  # no URL that anybody makes a link of
    ],
)
def test_what_is_of_the_whole_mail_is_found(of: Mail, name: str | None) -> None:
    assert names(of) == ([name] if name else [])


def test_a_mail_of_pictures_is_told_as_such() -> None:
    one = Mail("s", "Chouette <a@b.fr>", '<img src="https://b.fr/a.png" alt="Chouette">', WORDS, 1, is_marketing=False)

    assert names(one) == ["image_only"]


def test_the_worst_stands_first_and_no_kind_is_told_without_end() -> None:
    checks = found(mail("<img src='https://b.fr/a.png'>" * 1_000 + "<a href=''>x</a>" * 1_000))

    assert [one.name for one in checks] == ["broken_link"] * MOST_OF_A_KIND + ["no_alt"] * MOST_OF_A_KIND


def test_each_has_the_level_of_its_name_and_says_something() -> None:
    checks = found(mail("<script></script><form></form><img src='x.png'>", subject="GRANDES SOLDES!!", text=None))

    assert {one.name for one in checks} >= {"script", "form", "no_alt", "capitals", "exclamation", "no_text"}
    assert all(one.level == CHECKS[one.name] and one.what for one in checks)


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", "data:text/html,x", "ht tp://x", "exemple.fr", "http://[::1", "//x.fr/"]
)
def test_what_nobody_can_follow_is_broken(href: str) -> None:
    assert broken(href)


@pytest.mark.parametrize(
    "source", ["<" * 50_000, "<a href=" * 20_000, "<div style='display:none'>" * 5_000, "\x00\ud800"]
)
def test_a_hostile_html_is_looked_at_and_harms_nothing(source: str) -> None:
    found(Mail(source[:900], source[:900], source, source, 1, is_marketing=True))
