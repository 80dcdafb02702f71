"""What a request says of itself, and where it comes from, decides whether a machine asked; and the reason is told."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from services.tracking import network_files
from services.tracking.machines import SIGNS, WORDS, Sign, Verdict, by_user_agent, verdict
from services.tracking.networks import NOWHERE, parse
from shared.words.tokens import TRAP_POSITION

VISITORS: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parents[2] / "data" / "visitors.toml").read_text("utf-8")
)["visitor"]
SHIPPED = parse(network_files.SHIPPED.read_text("utf-8"), "")
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.mark.parametrize("visitor", VISITORS, ids=lambda visitor: visitor["who"])
def test_each_visitor_is_taken_for_what_they_are_for_the_reason_that_stands_there(visitor: dict[str, Any]) -> None:
    found = verdict(
        visitor.get("asked", "open"),
        visitor["agent"],
        visitor.get("purpose", ""),
        visitor.get("ip", "192.0.2.1"),
        SHIPPED,
        TRAP_POSITION if visitor.get("is_trap") else 3,
    )

    assert found == Verdict(visitor["verdict"], visitor["reason"])


def test_the_table_has_visitors_of_every_word_and_more_than_sixty_of_them() -> None:
    assert len(VISITORS) >= 60
    assert {visitor["verdict"] for visitor in VISITORS} == set(WORDS)
    assert len({visitor["who"] for visitor in VISITORS}) == len(VISITORS)


@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: sign.text)
def test_each_sign_finds_its_example(sign: Sign) -> None:
    assert by_user_agent(sign.example).word == sign.word


def test_every_word_is_a_declared_one() -> None:
    assert {sign.word for sign in SIGNS} < set(WORDS)
    assert {sign.how for sign in SIGNS} == {"is", "begins", "ends", "has"}
    assert all(sign.text == sign.text.lower() for sign in SIGNS)


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", "Prefetch", "preview"])
def test_a_browser_that_says_it_fetches_ahead_is_believed(purpose: str) -> None:
    assert verdict("click", FIREFOX, purpose, "", NOWHERE).word == "prefetch"


def test_a_machine_is_a_machine_whatever_network_says_that_people_come_from_there() -> None:
    office = parse("", '[[network]]\nname = "office"\nverdict = "person"\nnetworks = ["192.0.2.0/24"]')

    assert verdict("click", "curl/8.9.1", "", "192.0.2.1", office) == Verdict("tool", "agent:curl/")
    assert verdict("click", FIREFOX, "", "192.0.2.1", office) == Verdict("", "")
