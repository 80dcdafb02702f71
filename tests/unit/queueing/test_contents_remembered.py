"""A content that comes again in the same words is not compiled again, and nobody else's is taken for it."""

import json
from itertools import count
from typing import Any

import pytest

from services.queueing import reading
from services.queueing.compile import Limits
from services.queueing.compiling import CONTENT_S, Compiler
from shared.words.content import CompiledContent

SHOP: dict[str, Any] = {
    "from": "Chouette <news@exemple.fr>",
    "stream": "transactional",
    "subject": "Commande {{ numero }}",
    "html": "<p>Bonjour {{ prenom }}</p>",
}


class House:
    """A compiler without a sandbox: whoever needs one fails."""

    def __init__(self) -> None:
        self.now = 0.0
        self.drawn = count(1)
        self.compiler = Compiler(
            None,  # type: ignore[arg-type]
            chance=lambda size: next(self.drawn).to_bytes(size, "big"),
            monotonic=lambda: self.now,
        )

    async def compiled(self, address: str = "ana@x.test", tenant: str = "acme", **more: Any) -> CompiledContent:
        body = SHOP | more | {"recipients": [{"email": address}]}
        draft = reading.read_draft(json.dumps(body).encode(), open_job=False, now_ms=0, max_recipients=10)
        found = await self.compiler.compile(draft, Limits(), tenant)
        assert isinstance(found, CompiledContent)
        return found


async def test_the_same_words_are_compiled_once_whoever_gets_them() -> None:
    house = House()
    assert await house.compiled("ana@x.test") is await house.compiled("bo@y.test")


@pytest.mark.parametrize(
    "more", [{"subject": "x"}, {"from": "a@b.fr"}, {"variables": {"numero": 1}}, {"html": "<p>b</p>"}, {"test": True}]
)
async def test_other_words_are_another_content(more: dict[str, Any]) -> None:
    house = House()
    assert await house.compiled() != await house.compiled(**more)


async def test_each_tenant_has_contents_of_its_own() -> None:
    house = House()
    first, second = await house.compiled(tenant="acme"), await house.compiled(tenant="other")
    assert first.body_fields != second.body_fields  # the boundary


async def test_after_a_minute_boundaries_are_others() -> None:
    house = House()
    first = await house.compiled()
    house.now += CONTENT_S - 1
    assert (await house.compiled()).body_fields == first.body_fields
    house.now += 1
    assert (await house.compiled()).body_fields != first.body_fields


@pytest.mark.parametrize("more", [{"from": "{{ prenom }} <news@exemple.fr>"}, {"headers": {"X-A": "{{ prenom }}"}}])
async def test_what_is_tried_with_its_recipients_is_compiled_for_each(more: dict[str, Any]) -> None:
    house = House()
    assert await house.compiled(**more) is not await house.compiled(**more)


async def test_a_content_that_is_refused_is_refused_again() -> None:
    house = House()
    body = SHOP | {"html": "", "recipients": [{"email": "ana@x.test"}]}
    draft = reading.read_draft(json.dumps(body).encode(), open_job=False, now_ms=0, max_recipients=10)
    first, second = [await house.compiler.compile(draft, Limits(), "acme") for _ in range(2)]
    assert isinstance(first, list)
    assert first == second
