"""What replies say about an address: every rule by its example, then replies as providers publish them."""
# ruff: noqa: E501 - replies are quoted as they came

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words.replies import (
    CODE_RULES,
    REASONS,
    STATUS_RULES,
    TEXT_RULES,
    Classification,
    CodeRule,
    TextRule,
    classify,
    plain,
    reply_codes,
)
from tests.replies import SAID, Said

#: What stands in delivery reports beside replies: who says it, what they say, and what it means.
DIAGNOSTICS = [
    ("Postfix", "connect to mx.example.fr[192.0.2.9]:25: Connection refused", "soft", "no_answer"),
    ("Postfix", "lost connection with mx.example.fr[192.0.2.9] while sending RCPT TO", "soft", "no_answer"),
    ("Postfix", "mail for example.fr loops back to myself", "soft", "loop"),
    ("Exim", "all relevant MX records point to non-existent hosts", "hard", "unknown_host"),
    ("Exim", "retry timeout exceeded", "soft", "expired"),
    ("qmail", "Sorry, no mailbox here by that name. (#5.1.1)", "hard", "unknown_user"),
    ("qmail", "Sorry, I couldn't find any host named example.invalid. (#5.1.2)", "hard", "unknown_host"),
    ("SFR", "smtp;550 5.7.1 Email 4RH2xT4NwZz1LQKck rejected per SPAM policy", "block", "spam"),
    ("Barracuda", "host d241253a.ess.barracudanetworks.com[209.222.82.253] said: 550 permanent failure for one or more recipients (ana@example.fr:unknown user)", "hard", "unknown_user"),
    ("a host called antispam", "host antispam.example.fr[192.0.2.7] said: 550 5.1.1 <ana@example.fr>: Recipient address rejected: User unknown", "hard", "unknown_user"),
]  # fmt: skip
#: And the replies themselves.
REPLIES = [(said.who, said.reply, *said.meaning.split()) for said in SAID if said.meaning] + DIAGNOSTICS


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: f"{reply[0]}: {reply[1][:50]}")
def test_published_replies_are_understood(reply: tuple[str, str, str, str]) -> None:
    _, text, kind, reason = reply

    assert classify(None, None, text) == Classification(kind, reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "said", [said for said in SAID if said.meaning], ids=lambda said: f"{said.who}: {said.reply[:50]}"
)
def test_a_reply_means_the_same_when_the_host_says_it_directly(said: Said) -> None:
    reply = said.read

    found = classify(reply.code, reply.enhanced or None, reply.text)

    assert f"{found.kind} {found.reason}" == said.meaning


@pytest.mark.parametrize("rule", TEXT_RULES, ids=lambda rule: f"{rule.kind} {rule.reason}")
def test_each_text_rule_is_the_first_to_match_its_example(rule: TextRule) -> None:
    found = classify(None, None, rule.example)

    assert found.reason == rule.reason
    assert found.kind == rule.kind


@pytest.mark.parametrize(
    "rule", [rule for rule in TEXT_RULES if rule.but_not], ids=lambda rule: f"{rule.kind} {rule.reason}"
)
def test_each_text_rule_leaves_alone_what_only_looks_like_it(rule: TextRule) -> None:
    found = classify(None, None, rule.but_not)

    assert (found.kind, found.reason) != (rule.kind, rule.reason)


@pytest.mark.parametrize("rule", [*STATUS_RULES, *CODE_RULES], ids=lambda rule: f"{rule.kind} {rule.example}")
def test_each_code_rule_classifies_its_example(rule: CodeRule) -> None:
    found = classify(None, None, rule.example)

    assert found == Classification(rule.kind, rule.reason)


def test_no_word_of_a_rule_is_never_reached() -> None:
    """A list that grew for years has dead entries; each text rule must be there for at least one published reply."""
    reasons = {(kind, reason) for _, _, kind, reason in REPLIES}
    unused = {(rule.kind, rule.reason) for rule in TEXT_RULES} - reasons

    assert unused <= {
        ("block", "malware"),
        ("block", "tls_required"),
        ("hard", "bad_address"),
        ("soft", "dns_failure"),
    }


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("550 5.1.1 User unknown", (550, "5.1.1")),
        ("550-5.1.1 User unknown", (550, "5.1.1")),
        ("smtp; 550 5.1.1 User unknown", (550, "5.1.1")),
        ("smtp;550 No", (550, None)),
        ("host mx.example.fr[192.0.2.9] said: 452 4.2.2 full", (452, "4.2.2")),
        ("Sorry, no mailbox here by that name. (#5.1.1)", (None, "5.1.1")),
        ("message 550 bytes of 4.16.55.1 from 5.1.1.2", (None, None)),
        ("", (None, None)),
    ],
)
def test_codes_are_found_in_the_text(text: str, codes: tuple[int | None, str | None]) -> None:
    assert reply_codes(text) == codes


def test_a_temporary_failure_is_never_hard() -> None:
    assert classify(450, "4.1.1", "User unknown") == Classification("soft", "unknown_user")
    assert classify(None, "4.1.2", "").kind == "soft"


def test_the_text_is_stronger_than_the_code() -> None:
    assert classify(552, "5.1.1", "Recipient overquota") == Classification("soft", "mailbox_full")
    assert classify(554, "5.7.1", "User unknown") == Classification("hard", "unknown_user")


def test_a_code_that_says_nothing_gives_way_to_the_one_in_the_text() -> None:
    assert classify(None, "5.0.0", "smtp; 550 5.1.1 Ana").reason == "unknown_user"


def test_what_nobody_knows_is_soft() -> None:
    assert classify(550, None, "No.") == Classification("soft", "undefined")
    assert classify(None, None, "") == Classification("soft", "undefined")


def test_the_words_of_a_block_never_suppress() -> None:
    for rule in TEXT_RULES:
        if rule.kind == "block":
            assert classify(550, "5.1.1", rule.example).kind == "block"


def test_plain_text_names_no_host_and_no_address() -> None:
    text = "host MX.Spam.example[192.0.2.9] said: 550-5.1.1 <Ana@example.fr>: Boîte\r\n550 5.1.1 pleine"

    assert plain(text) == "host 550-5.1.1 <>: boite pleine"


@given(
    st.none() | st.integers(-10, 10_000),
    st.none() | st.text(max_size=12) | st.from_regex(r"[245]\.\d{1,3}\.\d{1,3}", fullmatch=True),
    st.text(max_size=200) | st.sampled_from(REPLIES).map(lambda reply: reply[1]),
)
def test_any_reply_has_a_class_with_a_known_reason(code: int | None, enhanced: str | None, text: str) -> None:
    found = classify(code, enhanced, text)

    assert found.kind in ("hard", "soft", "block")
    assert found.reason in REASONS


def test_a_very_long_text_is_cut() -> None:
    assert classify(550, None, "x" * 100_000 + "user unknown").reason == "undefined"
