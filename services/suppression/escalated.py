"""Escalation's side of the suppression list: who is listed for soft bounces in a row, and who is revived."""

from collections.abc import Sequence

from services.suppression.counts import Counts
from services.suppression.escalating import Enough, Escalation
from services.suppression.escalation import LISTED_AS, REVIVED
from services.suppression.reasons import MAX_DIAGNOSTIC_CHARS
from services.suppression.rule_book import RuleBook
from services.suppression.store import Addition, Lists, Removal
from shared.process import logs
from shared.redis.recipients import Recipients
from shared.redis.redis import Client
from shared.words import events

_log = logs.get_logger()


class Escalated:
    """Every method raises RedisAway, and may be repeated."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists

    async def list_all(self, enough: Sequence[Enough]) -> None:
        """Lists each address, and tells of those that enter; a repeat of the fact does nothing."""
        if not enough:
            return
        entered = await self._lists.add([_addition(one) for one in enough])
        for one, is_new in zip(enough, entered, strict=True):
            if is_new:
                _log.info("listed", tenant=one.sign.tenant, reason=LISTED_AS[one.rule], rule=one.rule)

    async def revive(self, tenant: str, address: str, at_ms: int) -> bool:
        """Takes away what escalation listed, and tells of it; whether there was such an entry."""
        event = events.event_id("revived", tenant, address, at_ms)
        removal = Removal(tenant, address, at_ms, "sign_of_life", event, channel="email", reasons=REVIVED)
        (removed,) = await self._lists.remove([removal])
        if removed.gone:
            _log.info("revived", tenant=tenant)
        return bool(removed.gone)


def escalation(client: Client, partitions: int, lists: Lists, rules: RuleBook) -> Escalation:
    """Counting in Redis, and listing there."""
    return Escalation(Counts(client, partitions), Escalated(lists), Recipients(client, partitions), rules.of)


def _addition(one: Enough) -> Addition:
    sign, fact = one.sign, one.sign.fact
    return Addition(
        sign.tenant,
        sign.address,
        LISTED_AS[one.rule],
        sign.seen.at_ms,
        source="rule",
        diagnostic=_said(fact),
        expires_ms=one.expires_at_ms,
        event=fact.event_id if fact else "",
        job=fact.job if fact else "",
        ordinal=-1 if fact is None or fact.ordinal is None else fact.ordinal,
    )


def _said(fact: events.Fact | None) -> str:
    """The reply, or the report's words."""
    match fact:
        case events.Bounced():
            return (fact.reply or fact.reason)[:MAX_DIAGNOSTIC_CHARS]
        case events.Expired():
            return fact.reply[:MAX_DIAGNOSTIC_CHARS]
    return ""
