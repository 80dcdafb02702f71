"""Which chains the TLSA records of a host name."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256, sha512

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.relay.encryption.certificates import mismatch
from services.relay.words.tls import Tlsa
from tests.fakes.certificates import DAY, Authority, Issued

NOW = datetime.now(UTC)
AUTHORITY = Authority()
LEAF = AUTHORITY.issue("mx.example.net")
NAMES = ("mx.example.net", "example.net")


def tlsa(usage: int, selector: int, matching: int, certificate: bytes, key: bytes) -> Tlsa:
    selected = key if selector else certificate
    data = (selected, sha256(selected).digest(), sha512(selected).digest())[matching]
    return Tlsa(usage, selector, matching, data)


def of_leaf(selector: int = 1, matching: int = 1, leaf: Issued = LEAF) -> Tlsa:
    return tlsa(3, selector, matching, leaf.der, leaf.spki)


def of_authority(selector: int = 0, matching: int = 1, authority: Authority = AUTHORITY) -> Tlsa:
    key = Issued(authority.certificate, authority.key, ()).spki
    return tlsa(2, selector, matching, authority.der, key)


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
def test_a_leaf_that_is_named_is_believed_whatever_it_says_of_itself(selector: int, matching: int) -> None:
    stranger = Authority().issue("somebody.else.example", valid=(-3 * DAY, -DAY))

    assert mismatch(stranger.chain, [of_leaf(selector, matching, stranger)], NAMES, NOW) is None


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
def test_a_leaf_below_an_authority_that_is_named_is_believed(selector: int, matching: int) -> None:
    assert mismatch(LEAF.chain, [of_authority(selector, matching)], NAMES, NOW) is None


def test_one_record_that_matches_is_enough() -> None:
    records = [of_leaf(leaf=Authority().issue("mx.example.net")), of_leaf()]

    assert mismatch(LEAF.chain, records, NAMES, NOW) is None


def test_another_certificate_is_not_believed() -> None:
    other = Authority().issue("mx.example.net")

    assert mismatch(other.chain, [of_leaf(), of_authority()], NAMES, NOW) == (
        "certificate-not-trusted", "no certificate of the host matches its TLSA records",
    )  # fmt: skip


def test_what_else_a_host_shows_does_not_matter_beside_a_leaf_that_is_named() -> None:
    assert mismatch([LEAF.der, b"no certificate"], [of_leaf()], NAMES, NOW) is None


def test_no_certificate_is_not_believed() -> None:
    found = mismatch([], [of_leaf()], NAMES, NOW)

    assert found is not None
    assert found[0] == "certificate-not-trusted"


@pytest.mark.parametrize("chain", [[b"no certificate"], [LEAF.der, b"no certificate"], [b""]])
def test_what_is_no_certificate_is_not_believed(chain: list[bytes]) -> None:
    found = mismatch(chain, [of_authority()], NAMES, NOW)

    assert found is not None
    assert found[0] == "certificate-not-trusted"


@pytest.mark.parametrize(
    ("names", "common_name", "believed"),
    [
        (("mx.example.net",), "x", True),
        (("example.net",), "x", True),
        (("MX.Example.NET",), "x", True),
        (("*.example.net",), "x", True),
        ((), "mx.example.net", True),
        (("other.example.net",), "mx.example.net", False),
        (("*.mx.example.net",), "x", False),
        (("*.net",), "x", False),
        (("m*.example.net",), "x", False),
        ((), "other.example", False),
    ],
)
def test_below_an_authority_the_name_counts(names: tuple[str, ...], common_name: str, believed: bool) -> None:
    leaf = AUTHORITY.issue(*names, common_name=common_name)

    found = mismatch(leaf.chain, [of_authority()], NAMES, NOW)

    assert (found is None) == believed
    assert found is None or found[0] == "certificate-host-mismatch"


@pytest.mark.parametrize("then", [NOW - 2 * DAY, NOW + 40 * DAY])
def test_below_an_authority_the_dates_count(then: datetime) -> None:
    found = mismatch(LEAF.chain, [of_authority()], NAMES, then)

    assert found is not None
    assert found[0] == "certificate-expired"


def test_the_authority_may_be_in_the_record_alone() -> None:
    assert mismatch([LEAF.der], [of_authority(0, 0)], NAMES, NOW) is None
    assert mismatch([LEAF.der], [of_authority(0, 1)], NAMES, NOW) is not None
    assert mismatch(LEAF.chain, [Tlsa(2, 0, 0, b"no certificate"), of_authority()], NAMES, NOW) is None


def test_an_authority_below_another_may_be_named() -> None:
    middle = Authority("Middle", AUTHORITY)
    leaf = middle.issue("mx.example.net")

    assert mismatch(leaf.chain, [of_authority(authority=middle)], NAMES, NOW) is None
    assert mismatch(leaf.chain, [of_authority()], NAMES, NOW) is None
    assert mismatch([leaf.der, middle.der], [of_authority(0, 0)], NAMES, NOW) is None


def test_to_stand_beside_a_named_authority_is_not_to_be_signed_by_it() -> None:
    forged = Authority().issue("mx.example.net")

    found = mismatch([forged.der, AUTHORITY.der], [of_authority()], NAMES, NOW)

    assert found is not None
    assert found[0] == "certificate-not-trusted"


def test_a_certificate_that_is_no_authority_signs_nothing() -> None:
    no_authority = Authority("Not one", AUTHORITY, ca=False)
    leaf = no_authority.issue("mx.example.net")

    found = mismatch(leaf.chain, [of_authority()], NAMES, NOW)

    assert found is not None
    assert found[0] == "certificate-not-trusted"


def test_an_authority_that_may_have_none_below_it_has_none() -> None:
    root = Authority("Root", length=0)
    leaf = Authority("Middle", root).issue("mx.example.net")

    assert mismatch(leaf.chain, [of_authority(authority=root)], NAMES, NOW) is not None


def test_the_leaf_itself_is_no_authority() -> None:
    as_authority = tlsa(2, 0, 1, LEAF.der, LEAF.spki)

    assert mismatch(LEAF.chain, [as_authority], NAMES, NOW) is not None


def test_an_expired_authority_proves_nothing() -> None:
    found = mismatch(
        AUTHORITY.issue("mx.example.net", valid=(-DAY, 60 * DAY)).chain,
        [of_authority()],
        NAMES,
        NOW + timedelta(days=40),
    )

    assert found is not None
    assert found[0] == "certificate-not-trusted"


@pytest.mark.parametrize(
    ("usage", "believed"),
    [
        (ExtendedKeyUsageOID.SERVER_AUTH, True),
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, True),
        (ExtendedKeyUsageOID.CODE_SIGNING, False),
    ],
)
def test_a_certificate_for_another_purpose_is_none_of_a_host(usage: x509.ObjectIdentifier, believed: bool) -> None:
    leaf = AUTHORITY.issue("mx.example.net", usage=usage)

    assert (mismatch(leaf.chain, [of_authority()], NAMES, NOW) is None) == believed
