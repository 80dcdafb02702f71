"""Sisimai, an independent reader of bounces, says the same of the samples as we do; where it does not, we say why."""

import json
import subprocess
from functools import cache
from typing import Any

import pytest

from tests.servers import missing, need
from tests.unit.bounces.parts import SAMPLES
from tests.unit.bounces.test_bounces import AUTOMATIC, BOUNCES, COMPLAINTS, PASSING

#: Sisimai's reasons and the kind that each is for us. https://libsisimai.org/en/reason/
KINDS = {
    "userunknown": "hard",
    "hostunknown": "hard",
    "hasmoved": "hard",
    "suspend": "hard",
    "mailboxfull": "soft",
    "expired": "soft",
    "networkerror": "soft",
    "mesgtoobig": "soft",
    "spamdetected": "block",
    "blocked": "block",
    "policyviolation": "block",
}
#: Samples that Sisimai reads otherwise, and why we keep our reading.
OTHERWISE = {
    "alias-of-three-one-fails.eml": "Sisimai has a verdict per recipient; two of three were reached behind ours",
    "exchange-online-not-found.eml": "`filtered`: Sisimai does not know 5.1.10 as RecipientNotFound",
    "international-smtputf8.eml": "`filtered`: Sisimai reads no German",
    "international-base64.eml": "Sisimai reads no encoded message/global-delivery-status (RFC 6533 section 3)",
    "courier-one-block.eml": "`undefined`: Sisimai does not look for the reply in the text",
    "yahoo-prose.eml": "`filtered`: by Sisimai's reading of \"doesn't have an account\"",
    "unknown-program.eml": "a program that nobody knows",
    "unknown-program-no-reason.eml": "a program that nobody knows",
}
#: Automatic answers that Sisimai takes for nothing.
SILENT = {"vacation-subject-de.eml", "challenge-mailinblack.eml", "read-receipt.eml"}
_READ = "use Sisimai; print Sisimai->dump($ARGV[0], delivered => 1) // '[]'"


@cache
def sisimai(name: str) -> list[dict[str, Any]]:
    """What Sisimai makes of the sample: a verdict for each recipient."""
    perl = need("perl")
    if subprocess.run([perl, "-MSisimai", "-e1"], capture_output=True, timeout=30).returncode:
        missing("libsisimai-perl")
    ran = subprocess.run([perl, "-e", _READ, str(SAMPLES / name)], capture_output=True, timeout=30, check=True)
    found: list[dict[str, Any]] = json.loads(ran.stdout or b"[]")
    return found


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kind, _ in BOUNCES if name not in OTHERWISE])
def test_sisimai_calls_a_bounce_the_same(name: str, kind: str) -> None:
    verdicts = sisimai(name)

    assert [KINDS.get(verdict["reason"]) for verdict in verdicts] == [kind] or _is_unroutable(name, verdicts)
    assert verdicts[0]["recipient"].startswith("ana@")


def _is_unroutable(name: str, verdicts: list[dict[str, Any]]) -> bool:
    """`550 Unrouteable address` is Exim's word for both an unknown user and an unknown host: hard either way."""
    return name.startswith("exim") and verdicts[0]["reason"] in ("hostunknown", "userunknown")


@pytest.mark.parametrize("name", sorted(OTHERWISE))
def test_where_sisimai_reads_otherwise_it_still_does(name: str) -> None:
    """A row that is no longer true is to be removed."""
    [kind] = [kind for bounce, kind, _ in BOUNCES if bounce == name]

    assert [KINDS.get(verdict["reason"]) for verdict in sisimai(name)] != [kind]


@pytest.mark.parametrize("name", [name for name in PASSING if not name.startswith("arf")])
def test_sisimai_sees_no_failure_where_we_see_none(name: str) -> None:
    assert {verdict["action"] for verdict in sisimai(name)} <= {"delayed", "relayed", "delivered", "expired"}


@pytest.mark.parametrize(("name", "feedback_type"), sorted({(name, kind) for name, _, kind in COMPLAINTS}))
def test_sisimai_calls_feedback_the_same(name: str, feedback_type: str) -> None:
    [verdict] = sisimai(name)

    assert verdict["reason"] == "feedback"
    assert verdict["feedbacktype"] == feedback_type or feedback_type == "other"


@pytest.mark.parametrize("name", [name for name, _ in AUTOMATIC if name not in SILENT])
def test_sisimai_recognises_automatic_answers(name: str) -> None:
    assert [verdict["reason"] for verdict in sisimai(name)] == ["vacation"]


@pytest.mark.parametrize("name", ["unsubscribe-by-person.eml", "unsubscribe-in-words.eml", "person-to-postmaster.eml"])
def test_sisimai_takes_people_for_people(name: str) -> None:
    assert sisimai(name) == []
