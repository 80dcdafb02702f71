"""What is empty to who reads it is known as empty."""

import pytest

from shared.mail.showing import html_shows, open_at, shows

UNSEEN = " \t\r\n\x00\u00a0\u00ad\u034f\u1680\u180e\u2000\u2003\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202e\u205f"
UNSEEN += "\u2060\u2064\u2800\u3000\u3164\ufe0f\ufeff\uffa0"


@pytest.mark.parametrize("text", ["", " ", *UNSEEN, UNSEEN * 3])
def test_a_text_of_blanks_and_invisible_signs_shows_nothing(text: str) -> None:
    assert not shows(text)
    assert not html_shows(f"<p>{text}</p>")


@pytest.mark.parametrize("text", ["a", "0", ".", "é", "\U0001f600", "\u00a0x", "日本", "\u200bم"])
def test_any_sign_that_is_seen_is_enough(text: str) -> None:
    assert shows(text)
    assert html_shows(f"<p>{text}</p>")


@pytest.mark.parametrize(
    "html",
    [
        "<p></p>",
        "<html><head><title>News</title><style>p{color:red}</style></head><body><!-- text --></body></html>",
        "<p>&nbsp;&#160;&#xa0;&zwnj;&shy;&emsp;</p><br><hr>",
        "<!DOCTYPE html><body><table><tr><td>&nbsp;</td></tr></table></body>",
        '<p title="words">\n</p>',
        "<script>document.write('x')</script>",
        '<img alt=""><img src=""><img src=" " alt="a">',
        '<img src="https://a.fr/o.gif" width="1" height="1">',
        "<img src=https://a.fr/o.gif height=0>",
        '<input type="hidden" value="x">',
        "<!--[if mso]><p></p><![endif]-->",
        "<p a='>'></p>",
        "<style>p{}",
        "<title>never ends <p>x</p>",
        "<!-- never ends <p>x</p>",
        '<p title="never ends>x',
        "<?xml version='1.0'?>",
    ],
)
def test_an_html_of_tags_alone_shows_nothing(html: str) -> None:
    assert not html_shows(html)


@pytest.mark.parametrize(
    "html",
    [
        '<img src="https://a.fr/a.png">',
        "<img src=cid:a width=600>",
        '<img width="100%" src="data:image/png;base64,x">',
        "<p>&amp;</p>",
        "<textarea>x</textarea>",
        '<td background="https://a.fr/a.png">',
        "<td style=\"background-image:url('https://a.fr/a.png')\">",
        "<svg><circle r='4'/></svg>",
        "<!--[if !mso]><!--><p>x</p><!--<![endif]-->",
        "<!--><p>x</p>",
        "1 < 2",
        "<style>p{}</style>x",
        "<input type=submit>",
        "<!--[if mso]><p>for Outlook alone</p><![endif]-->",
        "<!--[if gte mso 9]><v:rect><![endif]-->",
        '<a href="https://a.fr"></a>',
        "<meta http-equiv='refresh' content='0;url=https://a.fr'>",
    ],
)
def test_text_and_pictures_show(html: str) -> None:
    assert html_shows(html)


@pytest.mark.parametrize(
    ("html", "at"),
    [
        ("<p>a</p>", -1),
        ("<p>a</p><style>p{}", 8),
        ("<p>a</p><STYLE >p{}</stylesheet>", 8),
        ("<title>News<p>a</p>", 0),
        ("<p>a</p><!-- ", 8),
        ("<p>a</p><!-- <style>x</style> -- >", 8),
        ('<p>a</p><a href="x', 8),
        ("<p>a</p><a", 8),
        ("a<textarea>b", 1),
        ("a<script>b</script", 1),
        ("a<template><p>b", 1),
        ("a<template></template><select><option>", 22),
        ("a<video><template></template>", 1),
        ("a<svg></svg><object></object>", -1),
        ("a<iframe src=x>", 1),
        ("a<svg/><math />b", -1),
        ("a<plaintext>b</plaintext>", 1),
        ("a<style></style><!-- x -->", -1),
        ("", -1),
    ],
)
def test_what_swallows_the_end_is_found_where_it_begins(html: str, at: int) -> None:
    assert open_at(html) == at


@pytest.mark.parametrize(
    "piece", ["<", "<a", "<!--", "<a '", "<style>", "</style", "<title ", "&", "<x>", "<template>"]
)
def test_the_work_grows_with_the_length_and_no_faster(piece: str) -> None:
    html_shows(piece * 200_000)
    open_at(piece * 200_000)
