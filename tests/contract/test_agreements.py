"""Numbers that stand in two modules, because neither may import the other or each has a reason of its own, fit."""

import json

from services.local import run
from services.queueing import reading, recipients
from services.queueing.compile import Limits
from services.tracking import recorder
from shared.process import lifecycle
from shared.redis import bus
from shared.words import content, targets, tokens
from tests.conftest import SOCKET_TIMEOUT_S

LIMITS = Limits()
#: The longest way to write a character in JSON, of how many bytes of UTF-8 at least; and the quotes of a text.
ESCAPE, QUOTES = len(json.dumps("\x01")) - 2, 2


def test_no_text_that_compiling_takes_is_too_long_to_be_read() -> None:
    assert reading.MAX_FIELD_BYTES["html"] >= LIMITS.html_bytes * ESCAPE + QUOTES
    assert reading.MAX_FIELD_BYTES["text"] >= LIMITS.text_bytes * ESCAPE + QUOTES
    # A character beyond the first 65,536 takes two escapes.
    assert reading.MAX_FIELD_BYTES["subject"] >= LIMITS.subject_chars * 2 * ESCAPE + QUOTES
    assert reading.MAX_FIELD_BYTES["variables"] >= LIMITS.variables_bytes * ESCAPE
    assert reading.MAX_FIELD_BYTES["headers"] >= LIMITS.headers * LIMITS.header_chars * ESCAPE
    assert recipients.MAX_RECIPIENT_BYTES >= targets.MAX_VARIABLES_BYTES


def test_no_position_of_a_link_that_is_tracked_is_one_of_those_that_are_not() -> None:
    untracked = (
        content.UNTRACKED, content.UNTRACKED_PICTURE, content.UNTRACKED_REFRESH, content.UNTRACKED_STYLE,
    )  # fmt: skip

    assert len(set(untracked)) == 4
    assert min(untracked) > tokens.MAX_POSITION


def test_a_blocking_read_ends_before_its_server_counts_as_away() -> None:
    assert bus.BLOCK_MS < SOCKET_TIMEOUT_S * 1000


def test_a_batch_is_replayed_with_more_patience_than_one_call_has() -> None:
    assert recorder.REPLAY_TIMEOUT_S > SOCKET_TIMEOUT_S


def test_a_batch_of_tracking_is_one_call_of_the_bus() -> None:
    assert recorder.MAX_BATCH <= bus.BATCH


def test_a_process_may_close_all_it_has_before_it_is_killed() -> None:
    assert run.CLOSE_SECONDS > lifecycle.CLOSE_SECONDS
