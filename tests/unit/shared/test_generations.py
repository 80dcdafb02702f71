"""Keys of links by tenant: a leak is one tenant's, rotation keeps links alive, revocation ends a generation's."""

import base64
from collections.abc import Mapping

import pytest

from shared.words import ids
from shared.words.generations import COMMON, FIRST, Generations, Known
from shared.words.tokens import InvalidToken, JobTokens, TokenKeys
from tests.fakes.old_tokens import unmarked

MASTER = b"m" * 32
JOB = ids.job_text(bytes(range(12)))
ANA = "ana@example.fr"


def keys_that_know(tenants: Mapping[str, Known], master: bytes = MASTER) -> TokenKeys:
    keys = TokenKeys(master)
    keys.generations.learn(tenants)
    return keys


def every_kind(keys: TokenKeys, tenant: str) -> list[str]:
    made = keys.for_job(JOB, tenant)
    addressed = [made.addressed(kind, 7, ANA).decode() for kind in ("unsubscribe", "preferences", "opt_in", "view")]
    return [keys.open(JOB, 7, tenant, ANA), keys.click(JOB, 7, tenant, ANA, 2, "https://exemple.fr/"), *addressed]


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def text_of(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def test_a_token_of_one_tenant_with_the_name_of_another_is_refused() -> None:
    keys = TokenKeys(MASTER)

    for text in every_kind(keys, "acme"):
        renamed = raw(text).replace(b"\x04acme", b"\x04demo")
        assert renamed != raw(text)
        with pytest.raises(InvalidToken, match="signature"):
            keys.read(text_of(renamed))


def test_whoever_has_the_keys_of_one_generation_forges_links_of_no_other_tenant_and_of_no_other_generation() -> None:
    keys = TokenKeys(MASTER)
    thief = keys.for_job(JOB, "acme")
    for tenant, generation in (("demo", FIRST), ("acme", FIRST + 1), ("acme", COMMON)):
        forged = forging(thief, tenant, generation)

        with pytest.raises(InvalidToken, match="signature"):
            keys.read(forged.open(7, bytes(6)).decode())
        with pytest.raises(InvalidToken, match="signature"):
            keys.read(forged.addressed("unsubscribe", 7, ANA).decode())

    assert keys.read(forging(thief, "acme", FIRST).open(7, bytes(6)).decode()).tenant == "acme"


def forging(thief: JobTokens, tenant: str, generation: int) -> JobTokens:
    """Signs with what the thief has, and says that it is of that tenant and generation."""
    name = tenant.encode()
    begins = b"" if generation == COMMON else b"\0" + generation.to_bytes(2, "big")
    thief._tenant = begins + bytes((len(name),)) + name
    return thief


def test_what_is_sealed_in_a_token_looks_different_in_each_generation_and_tenant() -> None:
    sealed = {
        raw(keys_that_know({tenant: Known(generation)}).unsubscribe(JOB, 7, tenant, ANA))[-12 - len(ANA) : -12]
        for tenant in ("acme", "demo")
        for generation in (1, 2, 3)
    }

    assert len(sealed) == 6


def test_after_a_rotation_new_links_are_of_the_new_generation_and_former_ones_are_read_by_all() -> None:
    before, after = TokenKeys(MASTER), keys_that_know({"acme": Known(2)})

    former, new = every_kind(before, "acme"), every_kind(after, "acme")

    assert not set(former) & set(new)
    for text in (*former, *new):
        assert before.read(text) == after.read(text)  # a tracker that has not heard of it reads them, too
    assert every_kind(after, "demo") == every_kind(before, "demo")


def test_a_mark_outlives_generations_so_who_withdrew_is_known() -> None:
    assert TokenKeys(MASTER).marks("acme", ANA) == keys_that_know({"acme": Known(9)}).marks("acme", ANA)


def test_a_revoked_generation_is_refused_and_only_that_one_of_that_tenant() -> None:
    keys = keys_that_know({"acme": Known(3, frozenset({2}))})
    first, second = TokenKeys(MASTER), keys_that_know({"acme": Known(2), "demo": Known(2)})

    for text in every_kind(second, "acme"):
        with pytest.raises(InvalidToken, match="revoked"):
            keys.read(text)
    for text in (*every_kind(first, "acme"), *every_kind(keys, "acme"), *every_kind(second, "demo")):
        assert keys.read(text).job == JOB


def test_links_of_before_tenants_had_keys_are_revoked_for_one_tenant_as_generation_0() -> None:
    keys = keys_that_know({"acme": Known(1, frozenset({COMMON}))})

    with pytest.raises(InvalidToken, match="revoked"):
        keys.read(unmarked(b"o", MASTER, JOB, 7, "acme"))
    assert keys.read(unmarked(b"o", MASTER, JOB, 7, "demo")).tenant == "demo"
    assert keys.read(keys.open(JOB, 7, "acme", ANA)).tenant == "acme"


def test_what_is_learnt_stands_in_place_of_what_was_known() -> None:
    generations = Generations()
    generations.learn({"acme": Known(3, frozenset({2}))})

    generations.learn({"demo": Known(2)})

    assert (generations.current("acme"), generations.current("demo")) == (FIRST, 2)
    assert not generations.is_revoked("acme", 2)


def test_keys_of_many_tenants_are_made_again_when_too_many_were_kept() -> None:
    keys = TokenKeys(MASTER)
    texts = [keys.open(JOB, 7, f"t{n}", ANA) for n in range(5_000)]

    read = [keys.read(text).tenant for text in texts]

    assert read == [f"t{n}" for n in range(5_000)]
    assert keys.read(texts[0]).tenant == "t0"


def test_a_token_that_ends_where_its_generation_begins_is_cut_short() -> None:
    whole = raw(TokenKeys(MASTER).open(JOB, 7, "acme", ANA))

    for end in range(24, 28):
        with pytest.raises(InvalidToken):
            TokenKeys(MASTER).read(text_of(whole[:end] + whole[-12:]))
