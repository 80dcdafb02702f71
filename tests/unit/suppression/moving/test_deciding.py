"""What an act does to the entries of an address."""

import pytest

from services.suppression.moving import formats
from services.suppression.moving.deciding import Decision, Standing, decide
from services.suppression.moving.wishes import RESUBSCRIBE, SOFT, VALID, Act, Wish
from shared.words.scopes import REASONS, Reason


def of(acts: tuple[Act, ...], *standing: Standing) -> Decision:
    return decide(Wish("a@x.fr", acts), standing)


LEFT = Standing("email", "marketing", "unsubscribed")
HARD = Standing("email", "all", "hard_bounce")


def test_what_is_not_on_the_list_is_listed_and_what_is_so_stays() -> None:
    assert of(formats.UNSUBSCRIBED).word == "listed"
    assert of(formats.UNSUBSCRIBED, HARD).word == "listed"
    assert of(formats.UNSUBSCRIBED, LEFT).word == "unchanged"
    assert of(formats.HARD, Standing("email", "all", "soft_bounces")) == Decision("unchanged", "", formats.HARD)
    assert of(formats.HARD, Standing("sms", "all", "manual")).word == "listed"


def test_who_is_back_gets_marketing_again_and_nothing_else_changes() -> None:
    of_list = Standing("email", "list:news", "unsubscribed")
    by_sms = Standing("sms", "marketing", "unsubscribed")

    decided = of((RESUBSCRIBE,), HARD, LEFT, of_list, by_sms)

    assert (decided.word, decided.removes) == ("reactivated", (LEFT,))
    assert of((RESUBSCRIBE,), HARD, of_list).word == "unchanged"


@pytest.mark.parametrize("reason", sorted(set(REASONS) - {"unsubscribed", "objected"}))
def test_who_complained_is_not_back_by_a_list(reason: Reason) -> None:
    decided = of((RESUBSCRIBE,), Standing("email", "marketing", reason))

    assert (decided.word, decided.removes) == ("kept", ())
    assert reason in decided.what


def test_an_address_that_works_is_forgiven_its_bounces_and_nothing_else() -> None:
    full = Standing("email", "all", "mailbox_full")

    decided = of((VALID,), HARD, full, LEFT, Standing("email", "all", "manual"))

    assert (decided.word, decided.removes, decided.forgives) == ("reactivated", (HARD, full), True)
    assert of((VALID,), LEFT) == Decision("unchanged", "", forgives=True)


def test_a_soft_bounce_is_counted() -> None:
    assert of((SOFT,), HARD) == Decision("counted", "", counts=True)


def test_a_line_with_two_acts_does_both_and_has_the_word_that_matters_more() -> None:
    decided = of((VALID, *formats.UNSUBSCRIBED), HARD)

    assert decided.word == "reactivated"
    assert decided.removes == (HARD,)
    assert decided.adds == formats.UNSUBSCRIBED
    assert decided.forgives


def test_a_line_that_says_who_is_back_leaves_an_objection_as_it_is() -> None:
    objects = Standing("email", "marketing", "objected", is_protected=True)

    decided = of((RESUBSCRIBE,), objects)

    assert (decided.word, decided.removes) == ("kept", ())
