"""Texts that nobody signed: none is accepted, and what would be wrong is told."""

import random
from collections.abc import Callable

import msgspec
import pytest

from loadtests import tokens
from shared.words.tokens import TokenKeys

OURS = tokens.valid(TokenKeys(b"o" * 32))


def test_of_thirty_thousand_random_and_mutated_tokens_none_is_accepted_and_none_raises() -> None:
    outcome = tokens.check(seed=12, texts=30_000)

    assert (outcome.accepted, outcome.raised) == ([], [])
    assert sum(outcome.refusals.values()) == outcome.texts
    # They are refused for every reason that there is before the signature, and mostly by the signature.
    assert len(outcome.refusals) >= 5
    assert outcome.refusals["the signature is wrong"] > 10_000


@pytest.mark.parametrize("change", tokens.CHANGES, ids=lambda change: change.__name__)
def test_each_change_makes_another_text_of_a_token(change: Callable[[str, random.Random], str]) -> None:
    chance = random.Random(3)

    assert {change(OURS[0], chance) for _ in range(20)} - set(OURS)


def test_what_is_accepted_fails_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tokens, "MAKERS", (lambda chance: OURS[0],))  # inherited by the processes, which are forked

    assert tokens.main(["--texts", "10", "--processes", "1"]) == 1

    last = capsys.readouterr().out.splitlines()[-1]
    assert msgspec.json.decode(last)["accepted"] == 10
