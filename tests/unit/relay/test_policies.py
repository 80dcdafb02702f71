"""How the hosts of a domain have to be encrypted to, from what shaping, MTA-STS and DANE say."""

from collections.abc import Mapping, Sequence

import pytest

from services.relay.encryption.dane import LeftOut, NoAnswer
from services.relay.encryption.mta_sts import StsPolicy
from services.relay.encryption.policies import Policies
from services.relay.encryption.sts_policies import NotFetched
from services.relay.words.hop import Hop, NoRoute
from services.relay.words.tls import (
    NEVER,
    OPPORTUNISTIC,
    Level,
    Tlsa,
    TlsFailure,
    TlsPolicy,
)

A, B = Hop("a.example.net", 25, "192.0.2.1"), Hop("b.example.net", 25, "192.0.2.2")
RECORD = Tlsa(3, 1, 1, b"x" * 32)
DANE = TlsPolicy("dane", "dane", ("a.example.net", "example.net"), (RECORD,))
OF_NO_USE = TlsPolicy("required", "dane")
ENFORCE = StsPolicy("enforce", ("a.example.net",), 86_400)
TESTING = StsPolicy("testing", ("a.example.net",), 86_400)
BOTH = StsPolicy("enforce", ("*.example.net",), 86_400)
VERIFIED = TlsPolicy("verified", "mta-sts", ("a.example.net",), published=ENFORCE.published)


class Says:
    """DANE, or MTA-STS, that says so."""

    def __init__(self, said: object) -> None:
        self.said = said
        self.asked = 0

    def oldest_ms(self) -> int:
        return 0

    async def policy(self, domain: str) -> StsPolicy | NotFetched | None:
        self.asked += 1
        assert domain == "example.net"
        return self.said  # type: ignore[return-value]

    async def policies(
        self, domain: str, hosts: Sequence[str], port: int
    ) -> Mapping[str, TlsPolicy | LeftOut] | NoAnswer:
        self.asked += 1
        assert (domain, port) == ("example.net", 25)
        assert list(hosts) == ["a.example.net", "b.example.net"]
        return self.said  # type: ignore[return-value]


Noted = list[tuple[str, TlsPolicy, Hop, TlsFailure]]


async def secured(
    dane: object, sts: object, level: Level = "opportunistic", noted: Noted | None = None
) -> Mapping[str, TlsPolicy] | NoRoute:
    notes: Noted = [] if noted is None else noted
    policies = Policies(Says(dane), Says(sts), lambda *note: notes.append(note))
    found = await policies.secured("example.net", [A, B], level)
    return found if isinstance(found, NoRoute) else {hop.host: hop.tls for hop in found}


async def test_where_nothing_is_asked_for_hops_are_as_they_were() -> None:
    hops = [A, B]

    assert await Policies(None, None).secured("example.net", hops) is hops
    assert await secured({}, None) == {A.host: OPPORTUNISTIC, B.host: OPPORTUNISTIC}


@pytest.mark.parametrize(
    ("level", "least"),
    [
        ("required", TlsPolicy("required", "shaping")),
        ("verified", TlsPolicy("verified", "shaping")),
        ("never", NEVER),
    ],
)
async def test_what_shaping_sets_holds_for_every_host(level: Level, least: TlsPolicy) -> None:
    found = await Policies(None, None).secured("example.net", [A, B], level)

    assert not isinstance(found, NoRoute)
    assert [hop.tls for hop in found] == [least, least]
    assert [hop.address for hop in found] == ["192.0.2.1", "192.0.2.2"]


async def test_never_is_the_operators_word_and_nobody_is_asked() -> None:
    dane, sts = Says({A.host: DANE}), Says(ENFORCE)

    found = await Policies(dane, sts).secured("example.net", [A, B], "never")

    assert not isinstance(found, NoRoute)
    assert [hop.tls for hop in found] == [NEVER, NEVER]
    assert dane.asked + sts.asked == 0


async def test_an_enforced_policy_leaves_out_the_hosts_that_it_does_not_name() -> None:
    assert await secured({}, ENFORCE) == {A.host: VERIFIED}
    assert await secured({}, ENFORCE, "required") == {A.host: VERIFIED}


async def test_an_enforced_policy_that_names_no_host_is_a_temporary_failure() -> None:
    noted: Noted = []
    nobody = StsPolicy("enforce", ("mx.elsewhere.example",), 86_400)

    found = await secured({}, nobody, noted=noted)

    assert found == NoRoute(
        "tls_policy", "example.net: its MTA-STS policy does not name its mail host a.example.net", final=False
    )
    ((domain, policy, hop, failure),) = noted
    assert (domain, policy.by, hop, failure) == ("example.net", "mta-sts", A, "validation-failure")
    assert policy.published == nobody.published


async def test_a_policy_that_is_tested_lets_every_host_pass_and_says_what_is_wrong() -> None:
    found = await secured({}, TESTING)

    named = TlsPolicy("opportunistic", "mta-sts", TESTING.mx, testing=True, published=TESTING.published)
    unnamed = TlsPolicy(
        "opportunistic", "mta-sts", TESTING.mx, testing=True, failure="validation-failure", published=TESTING.published
    )
    assert found == {A.host: named, B.host: unnamed}
    required = await secured({}, TESTING, "required")
    assert not isinstance(required, NoRoute)
    assert {policy.level for policy in required.values()} == {"required"}


async def test_a_policy_of_none_is_none() -> None:
    assert await secured({}, StsPolicy("none", (), 86_400)) == {A.host: OPPORTUNISTIC, B.host: OPPORTUNISTIC}


async def test_a_policy_that_could_not_be_had_is_told() -> None:
    failed = TlsPolicy("opportunistic", "mta-sts", failure="sts-policy-fetch-error")

    assert await secured({}, NotFetched("sts-policy-fetch-error")) == {A.host: failed, B.host: failed}


async def test_tlsa_records_win_over_an_mta_sts_policy() -> None:
    # Also over one that does not name the host: RFC 8461 section 2 leaves it to DANE altogether.
    assert await secured({B.host: DANE}, ENFORCE) == {A.host: VERIFIED, B.host: DANE}


async def test_tlsa_records_of_no_use_ask_for_encryption_and_leave_the_rest_to_mta_sts() -> None:
    assert await secured({A.host: OF_NO_USE}, None) == {A.host: OF_NO_USE, B.host: OPPORTUNISTIC}
    assert await secured({A.host: OF_NO_USE}, BOTH) == {
        A.host: TlsPolicy("verified", "mta-sts", BOTH.mx, published=BOTH.published),
        B.host: TlsPolicy("verified", "mta-sts", BOTH.mx, published=BOTH.published),
    }


async def test_a_host_that_dane_leaves_out_is_left_out_whatever_else_is_said() -> None:
    assert await secured({A.host: LeftOut("SERVFAIL")}, ENFORCE) == NoRoute(
        "tls_policy", "example.net: SERVFAIL", final=False
    )
    assert await secured({A.host: LeftOut("SERVFAIL")}, None) == {B.host: OPPORTUNISTIC}


async def test_a_domain_whose_hosts_cannot_be_proven_waits() -> None:
    noted: Noted = []

    found = await secured(NoAnswer("MX of example.net: SERVFAIL"), None, noted=noted)

    assert found == NoRoute("tls_policy", "example.net: MX of example.net: SERVFAIL", final=False)
    assert [note[3] for note in noted] == ["dnssec-invalid"]
