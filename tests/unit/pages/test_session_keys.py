"""What a cookie holds opens its own session and no other, and tells nothing by itself."""

import pytest

from services.pages.session_keys import SessionKeys, is_secret

KEYS = SessionKeys([b"a" * 32])
SECRET, OTHER = "01" * 32, "02" * 32
KEY = "est_k3v9x2m1qa_" + "x" * 32
NONCE = b"n" * 12


def test_a_key_is_opened_by_the_secret_it_was_sealed_under() -> None:
    sealed = KEYS.seal(KEY, SECRET, NONCE)

    assert KEYS.open(sealed, SECRET) == KEY
    assert KEY.encode() not in sealed


def test_neither_another_secret_nor_another_master_secret_opens_it_nor_is_it_changed() -> None:
    sealed = KEYS.seal(KEY, SECRET, NONCE)

    assert KEYS.open(sealed, OTHER) is None
    assert SessionKeys([b"b" * 32]).open(sealed, SECRET) is None
    assert KEYS.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), SECRET) is None
    assert KEYS.open(b"", SECRET) is None


def test_sessions_and_forms_outlive_a_change_of_the_master_secret() -> None:
    changed = SessionKeys([b"b" * 32, b"a" * 32])

    assert KEYS.names(SECRET)[0] in changed.names(SECRET)
    assert changed.open(KEYS.seal(KEY, SECRET, NONCE), SECRET) == KEY
    assert changed.is_form_token(KEYS.form_token(SECRET), SECRET)


def test_a_form_belongs_to_its_session() -> None:
    token = KEYS.form_token(SECRET)

    assert KEYS.is_form_token(token, SECRET)
    assert not KEYS.is_form_token(token, OTHER)
    assert not KEYS.is_form_token("", SECRET)
    assert not KEYS.is_form_token("é", SECRET)
    assert not KEYS.is_form_token(KEYS.form_token(""), "")


def test_name_token_and_sealed_key_tell_no_secret() -> None:
    shown = [*KEYS.names(SECRET), KEYS.form_token(SECRET), KEYS.seal(KEY, SECRET, NONCE).hex()]

    assert not [text for text in shown if SECRET in text]
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("text", ["", "01", "01" * 33, "zz" * 32, "0A" * 32, "01" * 32 + "\n"])
def test_what_is_no_secret_of_ours_is_looked_up_nowhere(text: str) -> None:
    assert not is_secret(text)
    assert KEYS.names(text) == []
