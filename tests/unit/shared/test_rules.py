"""Rules of who must not be mailed: what is one, and whom it concerns, against a model that tries rule by rule."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.mail import addresses
from shared.words import rules
from shared.words.rules import CHANNELS, SCOPES, InvalidRule, Named, Rule, RuleSet


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ("contact@*", "contact@*"),
        (" Contact@* ", "contact@*"),
        ("*@Competitor.COM", "*@competitor.com"),
        ("*@*.competitor.com", "*@*.competitor.com"),
        ("*@élan.example", "*@xn--lan-9la.example"),
        ("*@*.élan.example", "*@*.xn--lan-9la.example"),
        ("*@[192.0.2.1]", "*@[192.0.2.1]"),
        ("\u200bAna@Exemple.fr", "ana@exemple.fr"),
        ('"ana"@*', "ana@*"),
        ('"a b"@*', '"a b"@*'),
        ("+33 6 12.34-56 78", "+33612345678"),
        ("o'neil+x@*", "o'neil+x@*"),
    ],
)
def test_a_rule_has_one_form(written: str, pattern: str) -> None:
    assert rules.pattern_of(written) == pattern
    assert rules.pattern_of(pattern) == pattern


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "no @"),
        ("*", "`*@` and the domain"),
        ("competitor.com", "`*@` and the domain"),
        ("@competitor.com", "`*@` and the domain"),
        ("*@*", "everybody"),
        ("*@*.*", "everybody"),
        ("no-reply*@*", "for no part of it"),
        ("no*@exemple.fr", "for no part of it"),
        ("*@comp*.com", "any domain"),
        ("*@*.comp*.com", "any domain"),
        ("ana@*.exemple.fr", "any domain"),
        ("*@*.[192.0.2.1]", "IP address"),
        ("*@", "nothing after the @"),
        ("*@*.", "nothing after the @"),
        ("*@exemple..fr", "no domain name"),
        ("a b@*", "no local part"),
        ("x" * 65 + "@*", "64 octets"),
        ("x" * 300 + "@*", "longer than 256"),
        ("a\nb@*", "control characters"),
        ("+0612345678", "E.164"),
        ("+33", "E.164"),
    ],
)
def test_what_is_no_rule_is_refused_in_words(written: str, words: str) -> None:
    with pytest.raises(InvalidRule, match=words.replace("*", r"\*")):
        rules.pattern_of(written)


def rule_set(*patterns: str, channels: tuple[rules.Channel, ...] = ("email",), scope: rules.Scope = "all") -> RuleSet:
    return RuleSet([Named(rules.pattern_of(pattern), Rule(1, channels, scope)) for pattern in patterns])


@pytest.mark.parametrize(
    ("pattern", "concerned", "others"),
    [
        ("contact@*", ["contact@exemple.fr", "contact@a.b.c"], ["contact.us@exemple.fr", "a@contact"]),
        ("*@competitor.com", ["ana@competitor.com"], ["ana@mail.competitor.com", "ana@xcompetitor.com"]),
        ("*@*.competitor.com", ["ana@mail.competitor.com", "b@x.y.competitor.com"], ["ana@competitor.com"]),
        ("ana@exemple.fr", ["ana@exemple.fr"], ["bo@exemple.fr", "ana@exemple.com"]),
        ("*@[192.0.2.1]", ["ana@[192.0.2.1]"], ["ana@[192.0.2.2]"]),
    ],
)
def test_a_rule_concerns_whom_it_says(pattern: str, concerned: list[str], others: list[str]) -> None:
    found = rule_set(pattern)

    assert [found.match("email", "bulk", address) for address in concerned] == [pattern] * len(concerned)
    assert [found.match("email", "bulk", address) for address in others] == [None] * len(others)


def test_the_narrowest_rule_is_named() -> None:
    found = rule_set("*@*.fr", "*@*.exemple.fr", "*@a.exemple.fr", "ana@*", "ana@a.exemple.fr")

    assert [
        found.match("email", "bulk", address)
        for address in ("ana@a.exemple.fr", "ana@b.exemple.fr", "bo@a.exemple.fr", "bo@b.exemple.fr", "bo@b.fr")
    ] == ["ana@a.exemple.fr", "ana@*", "*@a.exemple.fr", "*@*.exemple.fr", "*@*.fr"]


def test_a_rule_stops_the_channels_and_the_scope_that_it_is_for() -> None:
    by_sms, of_marketing = rule_set("*@a.fr", channels=("sms",)), rule_set("*@a.fr", scope="marketing")

    assert by_sms.match("email", "bulk", "b@a.fr") is None
    assert by_sms.match("sms", "transactional", "b@a.fr") == "*@a.fr"
    assert of_marketing.match("email", "bulk", "b@a.fr") == "*@a.fr"
    assert of_marketing.match("email", "transactional", "b@a.fr") is None
    assert rule_set("*@a.fr").match("phone", "bulk", "b@a.fr") is None


def test_a_number_is_stopped_by_sms_alone() -> None:
    found = rule_set("+33612345678", channels=("sms",))

    assert found.match("sms", "bulk", "+33612345678") == "+33612345678"
    assert rules.channels_fault("+33612345678", ["sms"]) == ""
    assert "sms alone" in rules.channels_fault("+33612345678", ["email", "sms"])
    assert "at least one" in rules.channels_fault("*@a.fr", [])


LABELS = st.sampled_from(["a", "b", "xa"])
DOMAINS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
LOCALS = st.sampled_from(["ana", "contact", "c.o"])
PATTERNS = st.one_of(
    LOCALS.map("{}@*".format),
    DOMAINS.map("*@{}".format),
    DOMAINS.map("*@*.{}".format),
    st.builds("{}@{}".format, LOCALS, DOMAINS),
)
RULES = st.dictionaries(
    PATTERNS,
    st.builds(
        lambda channels, scope: Rule(1, tuple(sorted(channels)), scope),
        st.sets(st.sampled_from(CHANNELS), min_size=1),
        st.sampled_from(SCOPES),
    ),
    max_size=8,
)


def concerns(pattern: str, address: str) -> bool:
    """As somebody would read it aloud."""
    local, _, domain = address.rpartition("@")
    its_local, _, its_domain = pattern.rpartition("@")
    if its_domain == "*":
        return local == its_local
    if its_local == "*":
        return domain.endswith(its_domain[1:]) if its_domain.startswith("*.") else domain == its_domain
    return address == pattern


@given(
    known=RULES,
    local=LOCALS,
    domain=DOMAINS,
    channel=st.sampled_from(CHANNELS),
    stream=st.sampled_from(["bulk", "transactional"]),
)
@example(known={"*@*.a": Rule(1)}, local="ana", domain="xa.a", channel="email", stream="bulk")
def test_looking_up_finds_what_trying_each_rule_finds(
    known: dict[str, Rule], local: str, domain: str, channel: str, stream: str
) -> None:
    address = f"{local}@{domain}"
    stopping = {
        pattern
        for pattern, rule in known.items()
        if concerns(pattern, address) and channel in rule.channels and (rule.scope == "all" or stream == "bulk")
    }

    found = RuleSet(Named(*one) for one in known.items()).match(channel, stream, address)

    assert (found in stopping) if stopping else found is None


@given(known=RULES, local=LOCALS, domain=DOMAINS)
def test_the_patterns_that_concern_an_address_are_told_without_trying_any(
    known: dict[str, Rule], local: str, domain: str
) -> None:
    address = f"{local}@{domain}"

    told = list(rules.candidates(address))

    assert len(told) == 3 + domain.count(".")
    assert {pattern for pattern in known if concerns(pattern, address)} == known.keys() & set(told)


@given(text=st.text(max_size=40) | st.text(alphabet="*@.a+ \"'0", max_size=12))
def test_whatever_is_written_is_a_rule_that_stays_itself_or_is_refused(text: str) -> None:
    try:
        pattern = rules.pattern_of(text)
    except InvalidRule as fault:
        assert str(fault)
        return

    assert rules.pattern_of(pattern) == pattern


@given(local=LOCALS, domain=DOMAINS.map("{}.example".format))
def test_an_address_is_stopped_by_the_rule_that_is_the_address(local: str, domain: str) -> None:
    address = addresses.parse(f"{local}@{domain}").key

    assert rule_set(address).match("email", "transactional", address) == address


def test_a_rule_is_read_as_it_was_written() -> None:
    rule = Rule(1_700_000_000_123, ("email", "sms"), "marketing", "é")

    assert rules.decode(rules.encode(rule)) == rule
