"""The life of DKIM keys, and what DNS shows of them."""

import pytest

from shared.mail import dkim_keys
from shared.mail.dkim_rotation import (
    RETIRING_MS,
    Key,
    NothingWaiting,
    State,
    activated,
    checked,
    faults,
    judge,
    kept,
    name_of,
    signing,
    waiting,
)

NOW_MS = 1_790_000_000_000
RECORD = "v=DKIM1; k=rsa; p=MIIBIjANBgkq"


def key(selector: str, state: State, algorithm: dkim_keys.Algorithm = "rsa-sha256", until: int = 0) -> Key:
    return Key(selector, algorithm, b"sealed", RECORD, state, 0, until)


def words(*keys: Key) -> list[tuple[str, State]]:
    return [(one.selector, one.state) for one in keys]


def test_a_key_waits_signs_retires_and_goes() -> None:
    keys = (key("a", "retiring", until=NOW_MS + 5), key("b", "signing"), key("c", "waiting"))

    changed = activated(keys, NOW_MS)

    assert words(*changed) == [("a", "retiring"), ("b", "retiring"), ("c", "signing")]
    assert [one.until for one in changed] == [NOW_MS + 5, NOW_MS + RETIRING_MS, 0]
    assert words(*kept(changed, NOW_MS + 5)) == [("b", "retiring"), ("c", "signing")]
    assert words(*kept(changed, NOW_MS + RETIRING_MS)) == [("c", "signing")]


def test_there_is_always_a_key_that_signs() -> None:
    with pytest.raises(NothingWaiting):
        activated((key("a", "signing"),), NOW_MS)

    assert signing(kept((key("a", "signing", until=1),), NOW_MS))


def test_rsa_signs_first() -> None:
    keys = (key("e", "signing", "ed25519-sha256"), key("w", "waiting"), key("r", "signing"))

    assert [one.selector for one in signing(keys)] == ["r", "e"]
    assert [one.selector for one in waiting(keys)] == ["w"]


def test_only_what_was_found_published_is_without_fault() -> None:
    keys = (key("a", "signing"), key("b", "waiting"), key("c", "waiting"))
    names = [name_of(one, "exemple.fr") for one in keys]

    found = checked(keys, "exemple.fr", {names[0]: [], names[1]: [RECORD]}, NOW_MS)

    assert [one.check.dns for one in found] == ["missing", "published", "unchecked"]
    assert [one.check.checked_at for one in found] == [NOW_MS, NOW_MS, 0]
    assert [name for name, _ in faults(found, "exemple.fr")] == [names[2]]


@pytest.mark.parametrize(
    ("texts", "dns", "detail"),
    [
        (None, "unavailable", "does not answer"),
        ([], "missing", "publish v=DKIM1; k=rsa"),
        ([RECORD], "published", ""),
        (["v=DKIM1;k=rsa;p=MIIBIjANB gkq"], "published", ""),
        (["k=rsa; p=MIIBIjANBgkq; t=s; n=note;"], "published", ""),
        (["p=MIIBIjANBgkq"], "published", ""),
        (["v=DKIM1; h=sha1:sha256; s=email:x; p=MIIBIjANBgkq"], "published", ""),
        ([RECORD, "v=spf1 -all"], "differs", "2 TXT records"),
        (["v=DKIM1; k=rsa; p=MIIBIjANBgk"], "differs", "another public key, or cut off"),
        (["v=DKIM1; k=rsa; p="], "differs", "revoked"),
        (["v=DKIM1; k=ed25519; p=MIIBIjANBgkq"], "differs", "k= is 'ed25519'"),
        (["v=DKIM1; h=sha1; p=MIIBIjANBgkq"], "differs", "h="),
        (["v=DKIM1; s=tlsrpt; p=MIIBIjANBgkq"], "differs", "s="),
        (["v=DKIM2; p=MIIBIjANBgkq"], "differs", "no DKIM record"),
        (["v=spf1 -all"], "differs", "no DKIM record"),
        (["\x00\ufffd;;;=;=x"], "differs", "no DKIM record"),
    ],
)
def test_what_is_in_dns_is_judged_as_verifiers_read_it(texts: list[str] | None, dns: str, detail: str) -> None:
    check = judge(texts, RECORD, NOW_MS)

    assert (check.dns, check.checked_at) == (dns, NOW_MS)
    assert detail in check.detail
    assert bool(check.detail) is (dns != "published")


@pytest.mark.parametrize("algorithm", ["rsa-sha256", "ed25519-sha256"])
def test_a_record_that_is_published_as_it_was_shown_is_found(algorithm: dkim_keys.Algorithm) -> None:
    record = dkim_keys.record(dkim_keys.make(algorithm))

    assert judge([record], record, NOW_MS).dns == "published"
    assert judge([record[:-2]], record, NOW_MS).dns == "differs"


def test_a_key_shows_nothing_of_itself() -> None:
    assert "sealed" not in repr(key("a", "signing"))
