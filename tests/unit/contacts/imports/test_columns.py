"""Which column is which field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contacts.imports import columns
from services.contacts.imports.columns import Field, Fields
from shared.tabular.headings import NoHeading

FIELDS = Fields(
    [
        Field("email", "address", "Adresse e-mail"),
        Field("first_name", "text", "Prénom"),
        Field("last_name", "text", "Nom"),
        Field("mobile", "phone", "Mobile"),
        Field("customer_number", "text"),
        Field("shoe_size", "number", "Pointure"),
    ],
    "email",
)


def mapped(found: columns.Columns) -> dict[str, int]:
    return {field.name: at for at, field in found.fields}


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("Adresse Email", "email"),
        ("E-Mail", "email"),
        ("Courriel", "email"),
        ("ADRESSE ÉLECTRONIQUE", "email"),
        ("Prénom", "first_name"),
        ("PRENOM", "first_name"),
        ("First name", "first_name"),
        ("Surname", "last_name"),
        ("Téléphone portable", "mobile"),
        ("N° client", "customer_number"),
        ("pointure", "shoe_size"),
        ("Opt-In Email", columns.OPT_IN),
        ("Statut Email", columns.STATUS),
        ("Email status", columns.STATUS),
        ("Couleur", None),
    ],
)
def test_e7_headings_in_french_and_english_are_guessed(heading: str, name: str | None) -> None:
    assert FIELDS.guessed(heading) == name


def test_e7_each_column_is_a_field_or_nothing() -> None:
    found = columns.columns(["Nom", "Couleur", "Email", "Opt-In Email", ""], FIELDS)

    assert mapped(found) == {"last_name": 0, "email": 2}
    assert (found.key.at, found.opt_in, found.status) == (2, 3, None)
    assert found.unmapped == ("Couleur",)


def test_e7_where_a_mapping_is_asked_for_it_is_all_there_is() -> None:
    found = columns.columns(["Contact", "Prénom", "Taille"], FIELDS, {"contact": "email", "Taille": "shoe_size"})

    assert mapped(found) == {"email": 0, "shoe_size": 2}
    assert found.unmapped == ("Prénom",)


def test_e7_a_column_may_be_mapped_to_nothing() -> None:
    found = columns.columns(["Email", "Prénom"], FIELDS, {"Email": "email", "Prénom": None})

    assert mapped(found) == {"email": 0}


@pytest.mark.parametrize(
    ("names", "mapping", "what"),
    [
        (["Nom"], None, "no column is the key, 'email'"),
        (["ana@exemple.fr", "Ana"], None, "The first line has to name the columns"),
        (["Email", "Courriel"], None, "two columns are 'email'"),
        (["Email"], {"Mél": "email"}, "has no column 'Mél'; it has 'Email'"),
        (["Email", "Nom"], {"Email": "email", "Nom": "surname"}, "there is no field 'surname'"),
        (["Email", "Nom"], {"Nom": "last_name"}, "no column is the key"),
        (["Email", "x", "x"], {"Email": "email", "x": "last_name"}, "more than once"),
    ],
)
def test_a_heading_that_cannot_be_mapped_says_why(names: list[str], mapping: dict[str, str | None], what: str) -> None:
    with pytest.raises(NoHeading, match=what):
        columns.columns(names, FIELDS, mapping)


def test_e7_columns_make_no_fields() -> None:
    found = columns.columns(["Email", "Couleur préférée"], FIELDS)

    assert mapped(found) == {"email": 0}
    assert found.unmapped == ("Couleur préférée",)


def test_the_key_may_be_another_field() -> None:
    fields = Fields([Field("email", "address"), Field("customer_number", "text")], "customer_number")

    found = columns.columns(["Email", "Code client"], fields)

    assert found.key.field.name == "customer_number"


@given(st.lists(st.text(max_size=12), max_size=6), st.dictionaries(st.text(max_size=6), st.sampled_from(["email"])))
def test_any_heading_is_mapped_or_refused(names: list[str], mapping: dict[str, str | None]) -> None:
    for asked in (None, mapping):
        try:
            found = columns.columns(["Email", *names], FIELDS, asked)
        except NoHeading:
            continue
        places = [place.at for place in found.fields]
        assert len(places) == len(set(places))
