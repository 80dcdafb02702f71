"""Automatic answers are told from people's by fields, and by subjects in seven languages."""

from typing import Any

import pytest

from services.bounces import auto_reply, mail
from services.bounces.auto_reply import AutoReply
from tests.unit.bounces.parts import sample


def answer(subject: str = "Re: Hello", *, null_reverse_path: bool = False, **fields: str) -> AutoReply | None:
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in {"Subject": subject, **fields}.items())
    return auto_reply.read(mail.read(f"{head}\r\nHello\r\n".encode()), null_reverse_path)


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: Hello", "Auto: Hello", "Out of office", "[Out of Office] Hello", "On vacation until Monday",
        "Réponse automatique : Bonjour", "Absence du bureau", "Absent jusqu'au 12", "En congés",
        "Automatische Antwort: Hallo", "Abwesenheitsnotiz", "Nicht im Büro",
        "Respuesta automática: Hola", "Fuera de la oficina",
        "Risposta automatica: Ciao", "Fuori ufficio",
        "Automatisch antwoord: Hallo", "Afwezig", "Niet aanwezig",
        "Resposta automática: Olá",
    ],
)  # fmt: skip
def test_absence_is_told_by_the_subject(subject: str) -> None:
    found = answer(subject)

    assert found is not None
    assert found.kind == "vacation"


@pytest.mark.parametrize(
    "subject",
    ["Re: Out of office", "unsubscribe", "Désinscription", "Question about my vacation", "Absolutely!", "Autocar",
     "Presence", "", "Assentiment"],
)  # fmt: skip
def test_a_persons_subject_is_no_sign(subject: str) -> None:
    assert answer(subject) is None


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"Auto_Submitted": "auto-replied"}, "vacation"),
        ({"Auto_Submitted": "Auto-Replied (vacation)"}, "vacation"),
        ({"Auto_Submitted": "auto-generated"}, "other"),
        ({"Auto_Submitted": "auto-notified"}, "other"),
        ({"Precedence": "auto_reply"}, "vacation"),
        ({"Precedence": "bulk"}, "other"),
        ({"Precedence": "junk"}, "other"),
        ({"X_Autoreply": "yes"}, "vacation"),
        ({"X_Autorespond": "1"}, "vacation"),
        ({"X_POST_MessageClass": "9; Autoresponder"}, "vacation"),
        ({"Delivered_To": "Autoresponder"}, "vacation"),
        ({"X_TMDA_Confirm": "done"}, "challenge"),
        ({"From": "Mailinblack <no-reply@eu.mailinblack.com>"}, "challenge"),
    ],
)
def test_machines_are_told_by_their_fields(fields: dict[str, Any], kind: str) -> None:
    found = answer(**fields)

    assert found is not None
    assert found.kind == kind


@pytest.mark.parametrize(
    "fields", [{"Auto_Submitted": "no"}, {"Precedence": "list"}, {"Precedence": "first-class"}, {"X_Mailer": "Outlook"}]
)
def test_fields_of_people_are_no_sign(fields: dict[str, Any]) -> None:
    assert answer(**fields) is None


def test_asking_others_not_to_answer_is_a_sign_only_beside_a_null_sender() -> None:
    assert answer(X_Auto_Response_Suppress="All") is None
    assert answer(X_Auto_Response_Suppress="DR, RN, NRN", null_reverse_path=True) is None
    assert answer(X_Auto_Response_Suppress="DR, OOF, AutoReply", null_reverse_path=True) is not None


@pytest.mark.parametrize(
    "subject",
    ["Please confirm your message", "Merci de vous authentifier", "Confirmez votre envoi", "Bitte bestätigen Sie",
     "Sender verification", "Your message is awaiting verification"],
)  # fmt: skip
def test_a_challenge_is_told_by_the_subject(subject: str) -> None:
    found = answer(subject)

    assert found is not None
    assert found.kind == "challenge"


def test_a_read_receipt_is_one() -> None:
    found = auto_reply.read(mail.read(sample("read-receipt.eml")), null_reverse_path=False)

    assert found == AutoReply("read_receipt", "Lu : Nos soldes commencent")
