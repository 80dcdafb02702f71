"""Marketing mail says which list it is of, and transactional mail that a machine wrote it; both under the signature."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.signing.dkim import GUARDED, SIGNED
from shared.making.list_id import list_id
from tests.unit.relay.test_render import ready, render

_DOT_ATOM = re.compile(r"<[a-z0-9-]+(\.[a-z0-9-]+)+>")


def fields(name: bytes, *, of_list: str = "newsletter", **said: object) -> list[bytes]:
    return [value for field, value in render(ready(list=of_list), text="a", **said).headers if field == name]


def test_it_is_the_list_the_tenant_and_the_domain_of_from() -> None:
    assert fields(b"List-ID") == [b"<newsletter.demo.exemple.fr>"]
    assert list_id("newsletter", "acme", "Exemple.FR") == b"<newsletter.acme.exemple.fr>"


@pytest.mark.parametrize(
    ("name", "label"),
    [("Été 2026", "ete-2026-"), ("ete 2026", "ete-2026-"), ("会报", ""), ("-", ""), ("Newsletter", "newsletter-")],
)
def test_a_name_that_is_no_label_is_written_as_one_and_stays_apart(name: str, label: str) -> None:
    found = list_id(name, "acme", "exemple.fr").decode()

    assert re.fullmatch(rf"<{label}[0-9a-f]{{8}}\.acme\.exemple\.fr>", found)
    assert found == list_id(name, "acme", "exemple.fr").decode()


def test_names_that_are_written_alike_are_two_lists() -> None:
    assert list_id("Été 2026", "acme", "exemple.fr") != list_id("ete 2026", "acme", "exemple.fr")


@given(st.text(min_size=1, max_size=64), st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True))
def test_whatever_the_list_is_called_it_is_well_formed(name: str, tenant: str) -> None:
    found = list_id(name, tenant, "exemple.fr").decode()

    assert _DOT_ATOM.fullmatch(found)
    assert len(found) <= 2 + 255
    assert all(len(label) <= 63 for label in found[1:-1].split("."))


def test_one_that_would_be_too_long_is_left_out() -> None:
    assert list_id("newsletter", "a" * 32, ".".join(["a" * 60] * 4)) == b""


def test_only_marketing_with_a_list_has_one_and_a_jobs_own_stays() -> None:
    assert fields(b"List-ID", of_list="") == []
    assert fields(b"List-ID", stream="transactional") == []
    assert fields(b"List-ID", stream="one_to_one") == []
    assert fields(b"List-ID", headers={"List-ID": "<own.exemple.fr>"}) == [b"<own.exemple.fr>"]
    assert fields(b"List-ID", headers={"list-id": "<own.exemple.fr>"}) == []


def test_transactional_mail_alone_says_that_it_is_automatic() -> None:
    assert fields(b"Auto-Submitted", stream="transactional") == [b"auto-generated"]
    assert fields(b"Auto-Submitted") == []
    assert fields(b"Auto-Submitted", stream="one_to_one") == []
    assert fields(b"Auto-Submitted", stream="transactional", headers={"Auto-Submitted": "no"}) == [b"no"]


def test_both_are_signed() -> None:
    assert b"list-id" in GUARDED
    assert {b"list-id", b"auto-submitted"} <= SIGNED
