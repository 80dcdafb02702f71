"""A contact becomes a recipient: its fields as variables, or the reason why it is excluded."""

from datetime import date
from typing import Any

import msgspec
import pytest

from services.contacts.base.fields import Field
from services.contacts.targeting import recipient
from services.contacts.targeting.recipient import Recipients
from shared.words.consent import Declared, declared

FIELDS = {
    "first_name": Field(1, "first_name", "text", slot=1),
    "last_name": Field(2, "last_name", "text", slot=2),
    "language": Field(3, "language", "text", slot=3),
    "points": Field(4, "points", "number", slot=1),
    "score": Field(5, "score", "number", slot=2),
    "birthday": Field(6, "birthday", "date", slot=1),
    "colour": Field(7, "colour", "choice", choices={"red": 458752, "blue": 458753}),
    "tags": Field(8, "tags", "choices", choices={"vip": 524288, "vin": 524289}),
    "member": Field(9, "member", "yes_no", choices={"yes": 589824, "no": 589825}),
    "town": Field(10, "town", "text", slot=9),
}


def row(**columns: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "contact": 4217,
        "key": "ana@exemple.fr",
        "copy": 0,
        "email": "Ana@exemple.fr",
        "email_key": "ana@exemple.fr",
        "mobile": "+33612345678",
        "telephone": None,
        "professional": False,
        "email_optin": True,
        "email_status": None,
        "email_left": False,
        "email_opposed": False,
        "texts": ["Ana", "Núñez", "fr"],
        "numbers": [3.0, 2.5],
        "dates": [date(1980, 2, 29)],
        "choices": [458753, 524288, 524289, 589825],
    }
    return usual | columns


def variables(wanted: set[str] | None, **columns: Any) -> dict[str, Any]:
    found = Recipients("bulk", FIELDS, wanted).of(row(**columns)).variables
    return dict(msgspec.msgpack.decode(found))


def test_e2_fields_become_variables_under_their_names_with_tags_and_language() -> None:
    assert variables(None) == {
        "first_name": "Ana",
        "last_name": "Núñez",
        "language": "fr",
        "points": 3,
        "score": 2.5,
        "birthday": "1980-02-29",
        "colour": "blue",
        "tags": ["vip", "vin"],
        "member": False,
        "mobile": "+33612345678",
    }


def test_only_what_the_content_names_is_carried() -> None:
    assert variables({"points", "tags", "town", "nothing", "mobile"}) == {
        "points": 3,
        "tags": ["vip", "vin"],
        "mobile": "+33612345678",
    }
    assert recipient.named(["order.total", "points"], 3) == {"order", "points"}
    assert recipient.named(["a", "b", "c"], 3) is None


def test_an_empty_field_is_no_variable_so_that_the_job_s_default_holds() -> None:
    assert variables(None, texts=[None], numbers=[], dates=[None], choices=[], mobile=None) == {}


def test_the_name_stands_in_one_line_or_not_at_all() -> None:
    def name(*texts: str | None) -> str:
        return Recipients("bulk", FIELDS, set()).of(row(texts=list(texts))).name

    assert name("Ana\n", " Núñez") == "Ana Núñez"
    assert name(None, "Núñez") == "Núñez"
    assert name(None, None) == ""
    assert name("a" * 150, "b" * 60) == ""


@pytest.mark.parametrize(
    ("columns", "bulk", "other"),
    [
        ({}, None, None),
        ({"email": None, "email_key": None, "key": "+33612345678"}, "no_address", "no_address"),
        ({"email_status": "hard"}, "hard", "hard"),
        ({"email_status": "soft"}, None, None),
        ({"email_left": True}, "left", None),
        ({"email_optin": None}, "no_optin", None),
        ({"email_optin": False}, "no_optin", None),
        ({"email_optin": None, "professional": True}, None, None),
        ({"email_opposed": True, "professional": True}, "opposed", None),
    ],
)
def test_e6_who_is_not_addressable_is_excluded_with_the_reason(
    columns: dict[str, Any], bulk: str | None, other: str | None
) -> None:
    assert Recipients("bulk", FIELDS, set()).of(row(**columns)).rejected == bulk
    assert Recipients("transactional", FIELDS, set()).of(row(**columns)).rejected == other


def test_what_the_contact_agreed_to_holds_at_the_gate() -> None:
    recipients = Recipients("bulk", FIELDS, set())

    assert declared(recipients.of(row()).declared) == Declared("person", True)
    assert declared(recipients.of(row(professional=True, email_optin=None)).declared) == Declared("professional", None)


def test_a_message_says_which_contact_it_is_of() -> None:
    recipients = Recipients("bulk", FIELDS, set())

    assert recipients.of(row()).metadata == {"contact": "4217"}
    assert recipients.of(row(key="c-17", copy=2)).metadata == {"contact": "4217", "key": "c-17", "copy": "2"}
    assert recipients.of(row(key="c" * 501)).metadata == {"contact": "4217"}


def test_a_contact_with_more_than_fits_is_excluded_and_says_so() -> None:
    found = Recipients("bulk", FIELDS, {"first_name"}).of(row(texts=["é" * 9_000]))

    assert (found.rejected, msgspec.msgpack.decode(found.variables)) == ("fields_too_large", {})
