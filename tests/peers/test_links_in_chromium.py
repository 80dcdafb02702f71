"""A real Chromium reads links of rewritten mails: each leads where that of the original did, as it understands that."""

import re
from pathlib import Path
from typing import Any

from services.queueing.sampling import sample
from shared.words.tokens import TokenKeys
from tests.editors import mails
from tests.peers.browser import browsing

TOKENS = TokenKeys(b"m" * 32)
JOB = "00000000000000000000"
BASE = "https://t.exemple.fr/c/"

#: Where each link of a document leads, as the browser resolves it; those of VML by the same rules.
LINKS = """
return arguments[0].map(html => {
  const found = []
  for (const one of new DOMParser().parseFromString(html, 'text/html').querySelectorAll('a, area, [href]')) {
    if (one instanceof SVGAElement) found.push(new URL(one.href.baseVal, document.baseURI).href)
    else if (['a', 'area'].includes(one.localName)) found.push(one.href)
    else if (one.localName.startsWith('v:')) found.push(new URL(one.getAttribute('href')).href)
  }
  return found.filter(href => href.startsWith('http'))
})
"""


#: What begins and ends what some programs read and others do not, in each way that is written.
MARKS = re.compile(
    r"<!--\[if[^\]]*\]>(?:\s*<!--\s*-*>|\s*-->)?|<!--\s*<!\[endif\]\s*-->|<!\[endif\]-->|<!\[(?:if[^\]]*|endif)\]>",
    re.IGNORECASE,
)


def rewritten(source: str) -> str:
    return sample(source, lambda at, url: f"{BASE}{TOKENS.click(JOB, 0, 'demo', 'ana@example.fr', at, url)}").source


def as_outlook_reads_it(source: str) -> str:
    """With what is in its comments, without their marks."""
    return MARKS.sub("", source)


async def test_each_link_leads_where_it_led(tmp_path: Path) -> None:
    originals = [mail.html for mail in mails()]
    made = [rewritten(source) for source in originals]

    async with browsing(tmp_path) as browser:
        await browser.go("about:blank")
        for reading in (str, as_outlook_reads_it):
            before = await _resolved(browser.run, [reading(source) for source in originals])
            tracked = await browser.run(LINKS, [reading(source) for source in made])
            led = [[TOKENS.read(href.removeprefix(BASE)).destination for href in links] for links in tracked]
            # What the token holds is where Chromium goes: its own reading of that is the same.
            after = await browser.run("return arguments[0].map(some => some.map(url => new URL(url).href))", led)

            assert after == before
            assert sum(map(len, after)) > 100


async def _resolved(run: Any, sources: list[str]) -> list[list[str]]:
    found: list[list[str]] = await run(LINKS, sources)
    return found
