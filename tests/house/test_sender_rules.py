"""docs/sender-rules.md has the rules that tests/peers/test_sender_rules.py asks of mails, and no other."""

from pathlib import Path

from services.breakers.figures import TENANT_IS_WARNED, TENANT_STOPS
from tests.peers.sender_rules import RULES

PAGE = Path(__file__).parents[2] / "docs/sender-rules.md"
#: What is asked of the ways out of a mail, of DNS and of the API, beside the rules about a mail; and what nobody can do
#: for the sender.
WAYS = (
    "A policy of DMARC",
    "SPF passes",
    "Looking is not leaving",
    "One POST is enough, and holds at once",
    "No detours",
    "Dead addresses are mailed no more",
    "Nothing that deceives about the sender",
    "Few complaints",
)
YOURS = ("Reverse DNS of each source address", "Less than 102 kB", "Subjects and names that are true", "Consent")


def test_the_page_has_every_rule_and_no_other() -> None:
    rows = [line[2:-2].split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    of = {row[0]: row[1] for row in rows if len(row) == 4}

    assert of.keys() - {"rule", "---"} == {*(rule.name for rule in RULES), *WAYS, *YOURS}
    assert {rule.name: of[rule.name] for rule in RULES} == {rule.name: rule.of for rule in RULES}


def test_marketing_stops_before_providers_mind_the_complaints() -> None:
    gmail_wants_less_than = 0.001  # and never 0.003

    assert TENANT_IS_WARNED.per_million < TENANT_STOPS.per_million < gmail_wants_less_than * 1_000_000
