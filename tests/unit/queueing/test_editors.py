"""Mails as the big editors write them: every link that somebody sees is tracked, and not a byte changes besides."""

import re
from html import unescape

import pytest

from services.queueing.sampling import sample
from shared.words.tokens import destination
from tests.editors import Mail, mails

MAILS = list(mails())


def test_there_are_a_hundred() -> None:
    assert len(MAILS) == 100
    assert len({mail.html for mail in MAILS}) == 100


@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.name)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_each_link_leads_where_it_led_and_nothing_else_changes(mail: Mail, end: str) -> None:
    source = mail.html.replace("\n", end)
    links: list[str] = []

    def link(position: int, url: str) -> str:
        links.append(url)
        return f"https://t.fr/c/{position}"

    found = sample(source, link)

    assert links == [destination(target) for target in mail.targets]
    assert found.faults == []
    between = re.split(r"https://t\.fr/c/\d+", found.source)
    assert len(between) == len(mail.targets) + 1
    at = 0
    for piece in between:
        at = source.index(piece, at) + len(piece)
    values = re.fullmatch("(.*?)".join(map(re.escape, between)), source, re.DOTALL)
    assert values is not None
    assert [destination(_read(value)) for value in values.groups()] == links


def _read(value: str) -> str:
    # What has no semicolon is for the test of the parser.
    return unescape(re.sub(r"&(?![a-z]+;|#)", "&amp;", value))
