"""Jobs of the same content: what was made for one makes the mails of the next, and each has its own."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.making.render import Renderer
from shared.words import events, ids
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys
from tests.unit.relay.test_render import NOW_MS, compiled, html_pieces, variables, words

FIRST, SECOND = ids.job_text(bytes(range(12))), ids.job_text(bytes(range(1, 13)))
TOKENS, VERP = TokenKeys(b"m" * 32), VerpKeys(b"m" * 32)


def renderer(job: str, base_url: str = "https://t.exemple.fr", **fields: Any) -> Renderer:
    return Renderer(
        compiled(**fields),
        job=job,
        tenant="demo",
        tokens=TOKENS,
        verp=VERP,
        base_url=base_url,
        bounce_domain="bounces.exemple.fr",
        marks_key=b"chance",
        sender_id="estafette",
    )


def ready(job: str, given: dict[str, Any], name: str = "", *, untracked: bool = False) -> events.Ready:
    packed = msgspec.Raw(msgspec.msgpack.encode(given))
    return events.Ready(
        tenant="demo", job=job, ordinal=3, email="ana@x.test", name=name, variables=packed, untracked=untracked
    )


@given(
    st.lists(html_pieces, max_size=12).map("".join),
    st.sampled_from(["bulk", "transactional"]),
    st.sampled_from(["", "/a-path-that-is-rather-long/and-goes-on-for-as-long-as-a-line-is"]),
    variables,
    words,
    st.booleans(),
)
def test_another_job_of_the_same_content_has_the_mails_that_it_has_alone(
    source: str, stream: str, path: str, given: dict[str, Any], name: str, untracked: bool
) -> None:
    fields = {"html": source + "end", "text": source + "end", "stream": stream, "subject": "{{ a }} x"}
    alone = renderer(SECOND, "https://t.exemple.fr" + path, **fields)
    first = renderer(FIRST, "https://t.exemple.fr" + path, **fields)
    first.render(ready(FIRST, given, name, untracked=not untracked), NOW_MS)  # some of it is made, some is not

    found = first.for_job(SECOND)

    assert found is not None
    recipient = ready(SECOND, given, name, untracked=untracked)
    # A boundary is of the content, and each time that it is compiled another.
    assert found.render(recipient, NOW_MS, complaints=True) == alone.render(recipient, NOW_MS, complaints=True)


def test_the_first_job_is_as_it_was() -> None:
    first = renderer(FIRST, html='<a href="https://a.fr/">a</a>')
    before = first.render(ready(FIRST, {}), NOW_MS)

    second = first.for_job(SECOND)

    assert second is not None
    assert second.render(ready(SECOND, {}), NOW_MS) != before
    assert first.render(ready(FIRST, {}), NOW_MS) == before


@pytest.mark.parametrize("logic", ["{% if a %}b{% endif %}", "{{ a|upper }}"])
def test_a_content_with_logic_is_made_for_each_job(logic: str) -> None:
    """Its marks are of one job."""
    assert renderer(FIRST, html=f"<p>x {logic}</p>").for_job(SECOND) is None
