"""What replies say about an address: every rule by its example, then replies as providers publish them."""
# ruff: noqa: E501 - replies are quoted as they came

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words.replies import (
    ABOUT,
    CODE_RULES,
    COUNTS_TOWARDS_HARD,
    LAST_RULES,
    REASONS,
    STATUS_RULES,
    TEXT_RULES,
    Classification,
    CodeRule,
    TextRule,
    classify,
    decoded,
    readable,
    reply_codes,
)
from shared.words.reply_text import Stage, plain, take_apart, unaccented
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
#: The table of those, by class.
GROUPS = tomllib.loads((Path(__file__).parents[2] / "data" / "replies" / "replies.toml").read_text("utf-8"))["class"]
EXAMPLES = [(group, *reply) for group in GROUPS for reply in group["replies"]]
#: What is said earlier means less without its stage.
LATE = ("rcpt", "data", "dot")
#: And the replies themselves.
REPLIES = [
    (said.who, said.reply, *said.meaning.split()) for said in SAID if said.meaning and said.stage in LATE
] + DIAGNOSTICS


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: f"{reply[0]}: {reply[1][:50]}")
def test_published_replies_are_understood(reply: tuple[str, str, str, str]) -> None:
    _, text, kind, reason = reply

    found = classify(None, None, text)

    assert (found.kind, found.reason) == (kind, reason)


@pytest.mark.parametrize(
    "said", [said for said in SAID if said.meaning], ids=lambda said: f"{said.who}: {said.reply[:50]}"
)
def test_a_reply_means_the_same_when_the_host_says_it_directly(said: Said) -> None:
    reply = said.read

    found = classify(reply.code, reply.enhanced or None, reply.text, said.stage)

    assert f"{found.kind} {found.reason}" == said.meaning


@pytest.mark.parametrize(
    ("group", "who", "text", "stage"),
    [(group, who, text, *(stage or [""])) for group, who, text, *stage in EXAMPLES],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_each_example_is_understood(group: dict[str, Any], who: str, text: str, stage: Stage) -> None:
    found = classify(None, None, text, stage)

    assert found == Classification(group["kind"], group["reason"], group["about"]), who


def test_the_examples_are_many_and_of_all_kinds() -> None:
    assert len({text for _, _, text, *_ in EXAMPLES}) >= 550
    assert {(group["kind"], group["reason"]) for group in GROUPS} | {("soft", "content")} == set(ABOUT) | {
        ("soft", "mailbox_disabled")
    }


@pytest.mark.parametrize("rule", [*TEXT_RULES, *LAST_RULES], ids=lambda rule: f"{rule.kind} {rule.reason}")
def test_each_text_rule_is_the_first_to_match_its_example(rule: TextRule) -> None:
    first = next(other for other in (*TEXT_RULES, *LAST_RULES) if has_words(other, rule.example))

    assert first is rule


@pytest.mark.parametrize("rule", [*TEXT_RULES, *LAST_RULES], ids=lambda rule: f"{rule.kind} {rule.reason}")
def test_each_text_rule_leaves_alone_what_only_looks_like_it(rule: TextRule) -> None:
    found = classify(None, None, rule.but_not)

    assert (found.kind, found.reason) != (rule.kind, rule.reason)


def has_words(rule: TextRule, text: str) -> bool:
    return any(re.search(unaccented(words), plain(text)) for words in rule.words)


@pytest.mark.parametrize("rule", [*STATUS_RULES, *CODE_RULES], ids=lambda rule: f"{rule.kind} {rule.example}")
def test_each_code_rule_classifies_its_example(rule: CodeRule) -> None:
    found = classify(None, None, rule.example)

    assert (found.kind, found.reason) == (rule.kind, rule.reason)


def test_no_word_of_a_rule_is_never_reached() -> None:
    """A list that grew for years has dead entries; each text rule must be there for at least one published reply."""
    reasons = {(kind, reason) for _, _, kind, reason in REPLIES}
    reasons |= {(group["kind"], group["reason"]) for group in GROUPS}
    unused = {(rule.kind, rule.reason) for rule in TEXT_RULES} - reasons

    assert unused == set()


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
        ("550: User unknown", (550, None)),
        ("5.1.1 <ana@example.com> User unknown", (None, "5.1.1")),
        ("ERROR_CODE :550, ERROR_CODE :5.1.1", (550, "5.1.1")),
        ("The limit: 500 messages of 450 kB", (None, None)),
        ("", (None, None)),
    ],
)
def test_codes_are_found_in_the_text(text: str, codes: tuple[int | None, str | None]) -> None:
    assert reply_codes(text) == codes


def test_a_temporary_failure_is_never_hard() -> None:
    assert classify(450, "4.1.1", "User unknown") == Classification("soft", "unknown_user_deferred", "recipient")
    assert classify(450, "4.2.1", "Mailbox disabled") == Classification("soft", "mailbox_disabled", "mailbox")
    assert classify(None, "4.1.2", "").kind == "soft"


def test_the_text_is_stronger_than_the_code() -> None:
    assert classify(552, "5.1.1", "Recipient overquota") == Classification("soft", "mailbox_full", "mailbox")
    assert classify(554, "5.7.1", "User unknown") == Classification("hard", "unknown_user", "recipient")


def test_a_code_that_says_nothing_gives_way_to_the_one_in_the_text() -> None:
    assert classify(None, "5.0.0", "smtp; 550 5.1.1 Ana").reason == "unknown_user"


def test_what_nobody_knows_is_soft() -> None:
    assert classify(550, None, "No.") == Classification("soft", "undefined")
    assert classify(None, None, "") == Classification("soft", "undefined")


def test_the_words_of_a_block_never_suppress() -> None:
    for rule in TEXT_RULES:  # unlike LAST_RULES, which know of no reason
        if rule.kind == "block":
            assert classify(550, "5.1.1", rule.example).kind == "block"


def test_plain_text_names_no_host_and_no_address() -> None:
    text = "host MX.Spam.example[192.0.2.9] said: 550-5.1.1 <Ana@example.fr>: Boîte\r\n550 5.1.1 pleine"

    assert plain(text) == "host <>: boite pleine"


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


ENDLESS = [
    words * 100_000 for words in ("user ", "<a@b>", "550 5.1.1 '", "mailbox is ", "[", "a@", "-", "ü", "宛先", "no ")
]


@pytest.mark.parametrize("text", ENDLESS, ids=lambda text: text[:12])
def test_an_endless_text_of_one_word_comes_to_an_end(text: str) -> None:
    assert classify(None, None, text).reason in REASONS
    assert classify(None, None, "550 5.1.1 " + text).reason in REASONS


def test_no_word_repeats_a_group_without_end() -> None:
    for rule in (*TEXT_RULES, *LAST_RULES):
        for words in rule.words:
            assert not re.search(r"(?<!\\)\)(\*|\+|\{\d*,\})", words), words
            assert len(re.findall(r"(?<!\\)[*+]", words)) <= 4, words


@pytest.mark.parametrize("stage", ["connect", "greeting", "ehlo", "tls", "auth", "mail"])
def test_nothing_that_is_said_before_a_recipient_is_named_is_hard(stage: Stage) -> None:
    for group, _, text, *_ in EXAMPLES:
        if group["reason"] != "domain_refuses_mail":
            assert classify(None, None, text, stage).kind != "hard"


def test_a_stage_that_the_caller_knows_is_stronger_than_the_one_in_the_text() -> None:
    text = "after MAIL FROM:<b@example.net>: 550 No such user"

    assert classify(None, None, text).kind == "block"
    assert classify(None, None, text, "rcpt").kind == "hard"


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("host mx.example.com[192.0.2.9] said: 550 no (in reply to RCPT TO command)", "rcpt"),
        ("host mx.example.com[192.0.2.9] said: 550 no (in reply to end of DATA command)", "dot"),
        ("host mx.example.com[192.0.2.9] refused to talk to me: 554 no", "greeting"),
        ("SMTP error from remote mail server after MAIL FROM:<b@example.net> SIZE=1000: 550 no", "mail"),
        ("SMTP error from remote mail server after pipelined end of data: 550 no", "dot"),
        ("SMTP error from remote mail server after HELO mail.example.net: 550 no", "ehlo"),
        ("Connected to 192.0.2.9 but sender was rejected. Remote host said: 550 no", "mail"),
        ("192.0.2.9 failed after I sent the message. Remote host said: 550 no", "dot"),
        ("Remote host said: 550 no [MAIL_FROM]", "mail"),
        (">>> MAIL From:<b@example.net> <<< 250 ok >>> RCPT To:<ana@example.com> <<< 550 no", "rcpt"),
        ("550 after all, no", ""),
    ],
)
def test_the_stage_is_found_in_the_text(text: str, stage: Stage) -> None:
    assert take_apart(text).stage == stage


def test_a_quoted_reply_counts_more_than_the_general_phrase_before_it() -> None:
    said = "5.1.0 - Unknown address error 550-'{}' (delivery attempts: 0)"

    assert classify(None, None, said.format("5.1.1 <ana@example.com> User unknown")).kind == "hard"
    assert classify(None, None, said.format("5.7.1 <b@example.net> Access denied")).reason == "policy"
    assert classify(None, None, said.format("5.2.2 mailbox full")).reason == "mailbox_full"
    assert classify(None, None, said.format("Sorry")) == Classification("soft", "undefined")


def test_a_code_about_the_sender_wins_over_words_about_an_address() -> None:
    for code in ("5.1.7", "5.1.8", "5.7.27"):
        found = classify(550, code, "<b@example.net>: no such user", "rcpt")

        assert found == Classification("block", "sender_rejected", "sender")


def test_the_word_of_some_carriers_is_doubtful_after_data() -> None:
    text = "550 Unknown user ana@docomo.ne.jp"

    assert classify(None, None, text, "rcpt").kind == "hard"
    assert classify(None, None, text, "dot").reason == "unknown_user_doubtful"
    assert classify(550, None, "Unknown user", "dot", "mfsmax.docomo.ne.jp").reason == "unknown_user_doubtful"
    assert classify(550, None, "Unknown user", "dot", "mx.example.com").kind == "hard"


def test_what_counts_towards_a_hard_bounce_is_soft() -> None:
    assert {kind for kind, reason in ABOUT if reason in COUNTS_TOWARDS_HARD} == {"soft"}


@pytest.mark.parametrize(
    ("text", "charset", "reason"),
    [
        ("550 宛先のメールアドレスは存在しません", "iso2022_jp", "unknown_user"),
        ("550 宛先のメールアドレスは存在しません", "shift_jis", "unknown_user"),
        ("550 宛先のメールアドレスは存在しません", "euc_jp", "unknown_user"),
        ("552 メールボックスの容量が不足しています", "iso2022_jp", "mailbox_full"),
        ("550 该用户不存在", "gb18030", "unknown_user"),
        ("552 收件人邮箱已满", "gb18030", "mailbox_full"),
        ("550 使用者不存在", "big5", "unknown_user"),
        ("550 존재하지 않는 사용자입니다", "euc_kr", "unknown_user"),
        ("550 Пользователь не найден", "koi8_r", "unknown_user"),
        ("550 Пользователь не найден", "cp1251", "unknown_user"),
        ("550 Άγνωστος χρήστης", "cp1253", "unknown_user"),
        ("550 Użytkownik nieznany", "cp1250", "unknown_user"),
        ("550 Kullanıcı bulunamadı", "cp1254", "unknown_user"),
        ("550 Empfänger unbekannt", "latin-1", "unknown_user"),
        ("550 Empfänger unbekannt", "utf-8", "unknown_user"),
        ("550 Пользователь не найден", "utf-8", "unknown_user"),
    ],
)
def test_replies_are_read_in_the_charsets_of_their_country(text: str, charset: str, reason: str) -> None:
    raw = text.encode(charset)

    assert classify(None, None, decoded(raw)).reason == reason
    assert classify(None, None, raw.decode("latin-1")).reason == reason
    assert classify(None, None, raw.decode("ascii", "surrogateescape")).reason == reason


def test_escapes_that_were_lost_on_the_way_are_found() -> None:
    raw = "550 宛先のメールアドレスは存在しません".encode("iso2022_jp").replace(b"\x1b", b" ")

    assert classify(None, None, raw.decode("ascii")).reason == "unknown_user"


@given(st.binary(max_size=200))
def test_any_bytes_are_some_text(raw: bytes) -> None:
    assert isinstance(decoded(raw), str)
    assert classify(None, None, readable(raw.decode("latin-1"))).reason in REASONS


def test_every_rule_says_whom_it_is_about() -> None:
    rules: list[TextRule | CodeRule] = [*TEXT_RULES, *LAST_RULES, *STATUS_RULES, *CODE_RULES]

    assert {(rule.kind, rule.reason) for rule in rules} <= set(ABOUT) | {("soft", "mailbox_disabled")}
