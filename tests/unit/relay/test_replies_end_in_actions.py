"""Every reply of the table ends in the outcome and in the action named beside it."""

from collections import Counter
from pathlib import Path

import pytest

from services.relay.message.outcome import (
    Bounce,
    Defer,
    Deliver,
    outcome,
)
from services.relay.traffic import shaping
from services.relay.traffic.shaping import Rule, Shaping
from services.relay.words.reply import ConnectFailed, Reply
from shared.words.sites import PROVIDERS
from tests.replies import SAID, Said

SHAPING = Shaping.parse(Path(shaping.__file__).with_name("shaping.toml").read_text("utf-8"))
#: No mail was offered yet: such a reply comes back as a failed connection.
BEFORE_MAIL = ("greeting", "ehlo", "tls", "auth")


def what_follows(said: Said) -> tuple[Deliver | Defer | Bounce, Rule | None]:
    reply = said.read
    rule = SHAPING.rule_of(said.site, reply)
    answer: Reply | ConnectFailed = reply
    if said.stage in BEFORE_MAIL:
        answer = ConnectFailed(said.stage, reply.host, reply.line, reply)
    return outcome(answer, rule), rule


@pytest.mark.parametrize("said", SAID, ids=lambda said: f"{said.who}: {said.reply[:50]}")
def test_each_reply_ends_in_what_is_named_beside_it(said: Said) -> None:
    kind, _, reason = said.meaning.partition(" ")

    ended, rule = what_follows(said)

    match said.ends:
        case "deliver":
            assert ended == Deliver()
        case "defer":
            assert isinstance(ended, Defer)
            assert ended.reason == reason
        case "bounce":
            assert ended == Bounce(kind, reason)  # type: ignore[arg-type]
        case word:
            pytest.fail(f"{word} is no end")
    assert (rule.action if rule else "none") == said.action


def test_the_table_is_large_enough_and_names_nothing_twice() -> None:
    assert len(SAID) >= 300
    assert [
        said for said, times in Counter((said.site, said.stage, said.reply) for said in SAID).items() if times > 1
    ] == []


def test_every_named_provider_is_in_the_table() -> None:
    sites = Counter(said.site for said in SAID)

    assert {provider.name: sites[provider.name] for provider in PROVIDERS if sites[provider.name] < 2} == {}


def test_what_is_about_us_is_never_held_against_the_recipient() -> None:
    for said in SAID:
        ended, rule = what_follows(said)
        if said.meaning.startswith("block") or (rule and rule.about_us):
            assert isinstance(ended, Defer) or (isinstance(ended, Bounce) and ended.kind == "block"), said


def test_a_block_list_that_names_our_address_is_never_a_bounce_but_where_one_customer_has_one() -> None:
    listed = [said for said in SAID if said.meaning == "block blocklisted" and said.ends == "bounce"]

    assert [said.reply[:60] for said in listed] == [
        "550 5.7.513 Service unavailable, Client host [192.0.2.1] blo",
        "550 5.7.1 TRANSPORT.RULES.RejectMessage; Your IP address is ",
        "550 5.7.1 Your email was rejected due to having a domain pre",
        "554 5.7.1 Blocked by SpamAssassin: URL listed in URIBL black",
    ]


def test_a_busy_recipient_never_slows_its_site() -> None:
    busy = [said for said in SAID if said.meaning == "soft rate_limited"]

    assert len(busy) >= 8
    assert {said.action for said in busy} == {"defer_recipient"}
    assert {said.ends for said in busy} == {"defer"}


def test_greylisting_never_slows_its_site() -> None:
    greylisted = [said for said in SAID if said.meaning == "soft greylisted"]

    assert len(greylisted) >= 5
    assert {(said.ends, said.action) for said in greylisted} == {("defer", "defer_recipient")}


def test_an_address_that_does_not_exist_is_a_hard_bounce_and_does_nothing_to_the_site() -> None:
    unknown = [said for said in SAID if said.meaning == "hard unknown_user"]

    assert len(unknown) >= 40
    assert {(said.ends, said.action) for said in unknown} == {("bounce", "none")}
