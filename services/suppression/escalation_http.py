"""The routes of escalation: after how many soft bounces in a row a tenant's addresses are listed."""

from typing import Annotated

import msgspec
from aiohttp import web

from services.suppression.escalation import MOST_BOUNCES, MOST_BOUNCES_OF_A_REASON, MOST_DAYS, Rule, Rules
from services.suppression.rule_book import RuleBook
from shared.http import api
from shared.process import logs
from shared.words.described import says

#: A hundred years: more is never.
_MOST_EXPIRY_DAYS = 36_500
_OF_ALL = "So many soft bounces in a row list the address; 0: the rule is off."
_OF_A_REASON = "So many bounces of its reason in a row list the address; 0: the rule is off."

_log = logs.get_logger()


_Days = Annotated[
    int, says("The last of them at least so many days after the first.", 15), msgspec.Meta(ge=0, le=MOST_DAYS)
]
_Expires = Annotated[
    int,
    says("After so many days one more mail goes out, and if that bounces, the address is listed again; 0: never.", 90),
    msgspec.Meta(ge=0, le=_MOST_EXPIRY_DAYS),
]


class EscalationRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In a row: since the last delivery, opening or click."""

    bounces: Annotated[int, says(_OF_ALL, 5), msgspec.Meta(ge=0, le=MOST_BOUNCES)]
    days: _Days
    expires_after_days: _Expires = 0


class EscalationRuleOfReason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same, for the bounces of one reason alone."""

    bounces: Annotated[int, says(_OF_A_REASON, 3), msgspec.Meta(ge=0, le=MOST_BOUNCES_OF_A_REASON)]
    days: _Days
    expires_after_days: _Expires = 0


class EscalationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules that are left out are those of the installation."""

    soft_bounces: Annotated[EscalationRule | None, says("Of soft bounces of any reason; listed as `soft_bounces`.")] = (
        None
    )
    mailbox_full: Annotated[
        EscalationRuleOfReason | None, says("Of a mailbox without room; listed as `mailbox_full`.")
    ] = None
    inactive: Annotated[
        EscalationRuleOfReason | None, says("Of a mailbox that is switched off for now; listed as `inactive`.")
    ] = None
    unknown_user: Annotated[
        EscalationRuleOfReason | None,
        says("Of answers that nobody has that name which were not said for good; listed as `hard_bounce`."),
    ] = None


class EscalationShown(msgspec.Struct, frozen=True, kw_only=True):
    """The rules in force."""

    own: Annotated[bool, says("Whether the tenant set them; else they are those of the installation.", True)]
    soft_bounces: Annotated[EscalationRule, says("Of soft bounces of any reason; listed as `soft_bounces`.")]
    mailbox_full: Annotated[EscalationRuleOfReason, says("Of a mailbox without room; listed as `mailbox_full`.")]
    inactive: Annotated[
        EscalationRuleOfReason, says("Of a mailbox that is switched off for now; listed as `inactive`.")
    ]
    unknown_user: Annotated[
        EscalationRuleOfReason,
        says("Of answers that nobody has that name which were not said for good; listed as `hard_bounce`."),
    ]


_EXAMPLE = {
    "soft_bounces": {"bounces": 3, "days": 15},
    "mailbox_full": {"bounces": 4, "days": 30, "expires_after_days": 90},
}


def routes(book: RuleBook, defaults: Rules) -> list[api.Route]:
    handlers = _Routes(book, defaults)
    return [
        api.Route(
            "GET",
            "/v1/escalation",
            handlers.show,
            "After how many soft bounces in a row an address is listed",
            scope="read",
            name="get_escalation",
            tag="suppressions",
            answers={200: EscalationShown},
        ),
        api.Route(
            "PUT",
            "/v1/escalation",
            handlers.put,
            "Sets after how many soft bounces in a row an address is listed; in force within ten seconds",
            scope="admin",
            body=EscalationRequest,
            examples={"application/json": _EXAMPLE},
            name="put_escalation",
            tag="suppressions",
            answers={200: EscalationShown},
        ),
        api.Route(
            "DELETE",
            "/v1/escalation",
            handlers.delete,
            "Back to the rules of the installation",
            scope="admin",
            name="delete_escalation",
            tag="suppressions",
            answers={204: None},
        ),
    ]


class _Routes:
    def __init__(self, book: RuleBook, defaults: Rules) -> None:
        self._book = book
        self._defaults = defaults

    async def show(self, request: web.Request) -> web.StreamResponse:
        own = await self._book.own(request[api.PRINCIPAL].tenant)
        return api.json_answer(_shown(own or self._defaults, own=own is not None))

    async def put(self, request: web.Request) -> web.StreamResponse:
        tenant = request[api.PRINCIPAL].tenant
        wanted = await api.read_json(request, EscalationRequest)
        rules = ruled(wanted, self._defaults)
        await self._book.put(tenant, rules)
        _log.info("escalation_set", tenant=tenant)
        return api.json_answer(_shown(rules, own=True))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        tenant = request[api.PRINCIPAL].tenant
        if await self._book.delete(tenant):
            _log.info("escalation_unset", tenant=tenant)
        return web.Response(status=204)


def ruled(wanted: EscalationRequest, defaults: Rules) -> Rules:
    """The rules that are wanted, and those of the installation where nothing is said."""
    return Rules(
        _rule(wanted.soft_bounces, defaults.soft_bounces),
        _rule(wanted.mailbox_full, defaults.mailbox_full),
        _rule(wanted.inactive, defaults.inactive),
        _rule(wanted.unknown_user, defaults.unknown_user),
    )


def _rule(wanted: EscalationRule | EscalationRuleOfReason | None, default: Rule) -> Rule:
    return default if wanted is None else Rule(wanted.bounces, wanted.days, wanted.expires_after_days)


def _shown(rules: Rules, *, own: bool) -> EscalationShown:
    def of_reason(rule: Rule) -> EscalationRuleOfReason:
        return EscalationRuleOfReason(bounces=rule.bounces, days=rule.days, expires_after_days=rule.expires_after_days)

    every = rules.soft_bounces
    return EscalationShown(
        own=own,
        soft_bounces=EscalationRule(
            bounces=every.bounces, days=every.days, expires_after_days=every.expires_after_days
        ),
        mailbox_full=of_reason(rules.mailbox_full),
        inactive=of_reason(rules.inactive),
        unknown_user=of_reason(rules.unknown_user),
    )
