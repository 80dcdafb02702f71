"""The routes of suppression, put together: the lists, rules, lists of recipients, counts of soft bounces, consent, how
pages look, people."""

from services.suppression import (
    consent_http,
    escalation_http,
    http,
    look_http,
    memberships_http,
    operators,
    people_http,
    retention_http,
    rules_http,
    web_tracking_http,
)
from services.suppression import settings as own
from services.suppression.book import Book
from services.suppression.consent_store import ConsentStore
from services.suppression.consenting import Consenting
from services.suppression.counts import Counts
from services.suppression.erasing import Erasing
from services.suppression.escalated import escalation
from services.suppression.everybody import Everybody
from services.suppression.interactions import Interactions
from services.suppression.memberships import Memberships
from services.suppression.moving import http as moving_http
from services.suppression.moving.http import Moving
from services.suppression.moving.imports import Imports
from services.suppression.moving.running import Runs
from services.suppression.objections import Objections
from services.suppression.people import People
from services.suppression.retaining import Retaining, RetentionRules
from services.suppression.returning import Returning
from services.suppression.rule_book import RuleBook
from services.suppression.rules import Rules
from services.suppression.softs import Softs
from services.suppression.store import Lists
from shared.http.api import Route
from shared.http.parts import Mounted, Parts
from shared.redis.consents import Consents
from shared.redis.histories import Histories
from shared.redis.looks import Looks
from shared.redis.members import Members
from shared.redis.suppression import SuppressionList
from shared.redis.untracked import UntrackedList
from shared.redis.web_tracking import WebTrackingRules


def routes(parts: Parts) -> Mounted:
    lookup = SuppressionList(parts.client, parts.partitions, parts.now_ms)
    lists = Lists(parts.client, parts.partitions, parts.now_ms)
    counts = Counts(parts.client, parts.partitions)
    desk = http.Desk(lists, lookup, parts.partitions, parts.now_ms, lambda: _new_id(parts), counts.forget)
    rules = parts.settings.of(own.Suppression).rules
    people, retention = _people(parts), RetentionRules(parts.client, parts.settings.of(own.Suppression).retention)
    moving = _moving(parts, lists, RuleBook(parts.client, rules, parts.monotonic))
    return Mounted(
        [
            *http.routes(desk),
            *operators.routes(desk, parts.tenants, parts.publisher),
            *moving_http.routes(moving),
            *_rules_and_lists(parts, lists, lookup),
            *_escalation(parts),
            *_consent(parts, lists, lookup),
            *look_http.routes(Looks(parts.client, parts.monotonic)),
            *web_tracking_http.routes(WebTrackingRules(parts.client, parts.chance)),
            *people_http.routes(people, desk, parts.keepers),
            *_retention(parts, retention),
        ],
        run=_retaining(parts, retention, people).run,
        close=moving.close,
    )


def _new_id(parts: Parts) -> str:
    return parts.chance(8).hex()


def _moving(parts: Parts, lists: Lists, rules: RuleBook) -> Moving:
    book = Book(parts.client, parts.partitions, lists)
    imports = Imports(parts.client, parts.partitions, parts.now_ms)
    softs = Softs(escalation(parts.client, parts.partitions, lists, rules))
    runs = Runs(book, softs, imports, parts.now_ms, parts.monotonic)
    return Moving(runs, book, lambda: _new_id(parts))


def _rules_and_lists(parts: Parts, lists: Lists, lookup: SuppressionList) -> list[Route]:
    quotas = parts.settings.quotas.by_name()
    members = Members(parts.client, parts.partitions)
    memberships = Memberships(members, lists, lookup, parts.now_ms, lambda: _new_id(parts))
    rules = Rules(parts.client, parts.publisher, parts.now_ms, lambda: _new_id(parts))
    return [
        *rules_http.routes(rules, quotas, parts.now_ms),
        *memberships_http.routes(memberships, parts.partitions, quotas),
    ]


def _escalation(parts: Parts) -> list[Route]:
    rules = parts.settings.of(own.Suppression).rules
    return escalation_http.routes(RuleBook(parts.client, rules, parts.monotonic), rules)


def _consent(parts: Parts, lists: Lists, lookup: SuppressionList) -> list[Route]:
    consents = Consents(parts.client, parts.partitions, parts.monotonic)
    consenting = Consenting(
        ConsentStore(parts.client, parts.partitions, consents.rules),
        UntrackedList(parts.client),
        Objections(parts.client, parts.partitions, lists),
    )
    returning = Returning(lists, lookup)
    return consent_http.routes(consenting, returning, consents, parts.tokens, parts.now_ms, lambda: _new_id(parts))


def _retention(parts: Parts, rules: RetentionRules) -> list[Route]:
    everybody, notes = Everybody(parts.client, parts.partitions), Interactions(parts.client, parts.partitions)
    return retention_http.routes(rules, everybody, notes, parts.partitions, parts.now_ms)


def _retaining(parts: Parts, rules: RetentionRules, people: People) -> Retaining:
    """Here, for what is hashed: the process that reads events for this service has no secret."""
    everybody, notes = Everybody(parts.client, parts.partitions), Interactions(parts.client, parts.partitions)
    return Retaining(rules, everybody, people, notes, parts.publisher, parts.tenants.all, parts.now_ms)


def _people(parts: Parts) -> People:
    sent = Histories(parts.client, parts.partitions, parts.settings.jobs.retention_days)
    erasing = Erasing(parts.client, parts.partitions, parts.publisher, parts.now_ms, lambda: _new_id(parts), sent)
    return People(parts.client, parts.partitions, parts.erasure_keys, parts.tokens, erasing, parts.monotonic)
