"""Feedback reports name the message under our signature, or by its Message-ID."""

import pytest

from services.bounces import arf, mail
from services.bounces.mail import Fields
from tests.unit.bounces.parts import JOB, ORDINAL, RETURN_PATH, UNSUBSCRIBE, sample


def test_a_report_has_its_type_its_reporter_and_its_names() -> None:
    found = arf.read(mail.read(sample("arf-abuse-signed.eml")))

    assert found is not None
    assert (found.feedback_type, found.is_complaint) == ("abuse", True)
    assert found.reporter == "provider.example"
    assert found.signed == (RETURN_PATH, UNSUBSCRIBE)
    assert found.unsigned == ((JOB, ORDINAL),)
    assert found.recipients == {"ana@example.fr"}


def test_where_the_return_path_is_redacted_the_unsubscribe_address_names_the_message() -> None:
    found = arf.read(mail.read(sample("arf-yahoo-redacted.eml")))

    assert found is not None
    assert found.signed == (UNSUBSCRIBE,)


@pytest.mark.parametrize(
    ("feedback_type", "read_as", "is_complaint"),
    [
        ("abuse", "abuse", True), ("Abuse", "abuse", True), ("fraud", "fraud", True), ("virus", "virus", True),
        ("other", "other", True), ("miscategorized", "miscategorized", True), ("opt-out", "opt-out", True),
        ("boredom", "other", True), ("not-spam", "not-spam", False), ("auth-failure", "auth-failure", False),
    ],
)  # fmt: skip
def test_types_are_complaints_or_not(feedback_type: str, read_as: str, is_complaint: bool) -> None:
    raw = sample("arf-fraud.eml").replace(b"Feedback-Type: fraud", f"Feedback-Type: {feedback_type}".encode())

    found = arf.read(mail.read(raw))

    assert found is not None
    assert (found.feedback_type, found.is_complaint) == (read_as, is_complaint)


def test_a_report_that_lists_guesses_knows_no_recipient() -> None:
    guesses = b"To: " + b", ".join(b"ana%d@example.fr" % n for n in range(20))

    found = arf.read(mail.read(sample("arf-message-id-only.eml").replace(b"To: Ana <ana@example.fr>", guesses)))

    assert found is not None
    assert found.recipients == set()


@pytest.mark.parametrize(
    "message_id", ["<x@y>", "", f"<{JOB}@exemple.fr>", f"<{JOB}.99999999999@exemple.fr>", f"<{'z' * 20}.1@exemple.fr>"]
)
def test_a_message_id_that_is_not_ours_names_nothing(message_id: str) -> None:
    raw = sample("arf-message-id-only.eml").replace(f"<{JOB}.258@exemple.fr>".encode(), message_id.encode())

    found = arf.read(mail.read(raw))

    assert found is not None
    assert found.unsigned == ()


@pytest.mark.parametrize("name", ["postfix-user-unknown.eml", "person-to-postmaster.eml", "read-receipt.eml"])
def test_other_mail_is_no_feedback(name: str) -> None:
    assert arf.read(mail.read(sample(name))) is None


def test_signed_names_are_found_in_any_field_and_case() -> None:
    fields = Fields(
        (("received", f"from x (envelope-from <{RETURN_PATH.upper()}>)"), ("to", "b-short@bounces.example"))
    )

    assert arf.signed_names(fields) == [RETURN_PATH.upper()]
