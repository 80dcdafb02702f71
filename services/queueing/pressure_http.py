"""The routes of marketing pressure: at most how many marketing mails an address gets in how many days."""

from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
from aiohttp import web

from shared.http import api
from shared.mail import addresses
from shared.process import logs
from shared.redis.pressure import PressureRules, Reached
from shared.words import pressure
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.pressure import MAX_RULES, MOST_DAYS, MOST_MAILS, Rule
from shared.words.times import rfc3339

_EXAMPLE = {"rules": [{"most": 2, "days": 1}, {"most": 5, "days": 7}]}
_Most = Annotated[int, says("At most so many mails of the stream `bulk`.", 2), msgspec.Meta(ge=1, le=MOST_MAILS)]
_Days = Annotated[
    int, says("Within so many days: of 86,400 seconds each, and at any moment.", 1), msgspec.Meta(ge=1, le=MOST_DAYS)
]

_log = logs.get_logger()


class PressureRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `most` mails to an address in `days` days."""

    most: _Most
    days: _Days


class PressureBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A marketing mail goes out if it keeps all of the rules."""

    rules: Annotated[
        Annotated[list[PressureRule], msgspec.Meta(max_length=MAX_RULES)],
        says("Up to 5, each of another number of days, the fewest first; none: any number of mails."),
    ]


class PressureUsed(msgspec.Struct, frozen=True, kw_only=True):
    """A rule, and what counts under it now."""

    most: _Most
    days: _Days
    used: Annotated[int, says("How many mails of the address count now; from `most` on it gets no other.", 2)]


class PressureOfAddress(msgspec.Struct, frozen=True, kw_only=True):
    """What an address got, and what it may get."""

    address: Annotated[str, says("The address, in lower case.", "ana@exemple.fr")]
    rules: Annotated[list[PressureUsed], says("The tenant's rules, the fewest days first.")]
    queued: Annotated[
        list[str],
        says("When the mails were queued that are remembered, the oldest first.", ["2026-01-31T09:05:00.000Z"]),
    ]


def routes(rules: PressureRules, reached: Reached, now_ms: Callable[[], int]) -> list[api.Route]:
    handlers = _Routes(rules, reached, now_ms)
    return [
        api.Route(
            "GET",
            "/v1/pressure",
            handlers.show,
            "At most how many marketing mails an address gets",
            scope="read",
            name="get_pressure",
            tag="consents",
            answers={200: PressureBody},
        ),
        api.Route(
            "PUT",
            "/v1/pressure",
            handlers.put,
            "Changes how many marketing mails an address gets at most, within a second; all rules at once",
            scope="admin",
            body=PressureBody,
            examples={"application/json": _EXAMPLE},
            name="put_pressure",
            tag="consents",
            answers={200: PressureBody},
        ),
        api.Route(
            "GET",
            "/v1/pressure/{address}",
            handlers.show_address,
            "How many marketing mails an address got lately, and whether it may get another one",
            slashes=True,
            scope="read",
            name="get_pressure_of_address",
            tag="consents",
            answers={200: PressureOfAddress},
            problems=("invalid_path", "invalid_address"),
        ),
    ]


class _Routes:
    def __init__(self, rules: PressureRules, reached: Reached, now_ms: Callable[[], int]) -> None:
        self._rules = rules
        self._reached = reached
        self._now_ms = now_ms

    async def show(self, request: web.Request) -> web.StreamResponse:
        return api.json_answer(shown(await self._rules.of(request[api.PRINCIPAL].tenant)))

    async def put(self, request: web.Request) -> web.StreamResponse:
        tenant = request[api.PRINCIPAL].tenant
        wanted = await api.read_json(request, PressureBody)
        rules = pressure.ordered([Rule(one.most, one.days) for one in wanted.rules])
        if faults := pressure.faults([Rule(one.most, one.days) for one in wanted.rules]):
            raise Problem("invalid_body", "the body does not fit", faults)
        await self._rules.put(tenant, rules)
        _log.info("pressure_set", tenant=tenant, rules=len(rules))
        return api.json_answer(shown(rules))

    async def show_address(self, request: web.Request) -> web.StreamResponse:
        tenant = request[api.PRINCIPAL].tenant
        try:
            address = addresses.parse(api.path_text(request, "address")).key
        except addresses.InvalidAddress as fault:
            raise Problem("invalid_address", f"not an address: {fault}", [Fault("address", str(fault))]) from fault
        rules = await self._rules.of(tenant)
        return api.json_answer(of_address(address, rules, await self._reached.sent_s(tenant, address), self._now_ms()))


def shown(rules: Sequence[Rule]) -> PressureBody:
    return PressureBody(rules=[PressureRule(most=rule.most, days=rule.days) for rule in rules])


def of_address(address: str, rules: Sequence[Rule], sent_s: Sequence[int], now_ms: int) -> PressureOfAddress:
    used = [pressure.used(sent_s, rule, now_ms // 1000) for rule in rules]
    return PressureOfAddress(
        address=address,
        rules=[
            PressureUsed(most=rule.most, days=rule.days, used=count) for rule, count in zip(rules, used, strict=True)
        ],
        queued=[rfc3339(at_s * 1000) for at_s in sent_s],
    )
