"""What segments mean, said once more in plain Python, contact by contact: what SQL says is held to it.

Written from the sentences E16 to E29 and not from the tables: it knows what happened, and no sets, bits or joins.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from services.contacts.segments.language import (
    All,
    AnyOf,
    Criterion,
    NoneOf,
    OnActivity,
    OnBehaviour,
    OnChannel,
    OnField,
    OnImports,
    OnOperations,
    OnRisk,
    OnSegments,
)  # fmt: skip

_DID = {"received": "delivered", "received_marketing": "delivered"}


@dataclass(frozen=True)
class Happened:
    """To a contact, in an operation ("" for none): `what` is a word of the model."""

    contact: int
    what: str
    operation: str = ""
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    machine: bool = False
    url: str = ""
    position: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Operation:
    key: str
    kind: str = "email"
    category: str = ""
    tags: tuple[str, ...] = ()
    started_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    stream: str = "bulk"


@dataclass(frozen=True)
class State:
    optin: bool | None = None
    status: str | None = None
    left: bool = False
    opposed: bool = False


@dataclass(frozen=True)
class Person:
    """`fields` by name: text, number, date, or a list of choices; what is not there is empty."""

    number: int
    email: str | None = None
    mobile: str | None = None
    professional: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)
    channels: Mapping[str, State] = field(default_factory=dict)
    note: int = 0


@dataclass(frozen=True)
class Base:
    people: Sequence[Person]
    operations: Sequence[Operation] = ()
    happened: Sequence[Happened] = ()
    #: (import, `included` or `added` or `updated`, contact)
    imported: frozenset[tuple[int, str, int]] = frozenset()
    kinds: Mapping[str, str] = field(default_factory=dict)
    segments: Mapping[int, Criterion] = field(default_factory=dict)
    now: datetime = datetime(2026, 11, 29, 12, tzinfo=UTC)
    quiet_days: int = 180

    def members(self, criterion: Criterion) -> list[int]:
        return [one.number for one in self.people if self.belongs(one, criterion)]

    def belongs(self, one: Person, criterion: Criterion) -> bool:
        match criterion:
            case All(of):
                return all(self.belongs(one, part) for part in of)
            case AnyOf(of):
                return any(self.belongs(one, part) for part in of)
            case NoneOf(of):
                return not any(self.belongs(one, part) for part in of)
            case OnField():
                return self._field(one, criterion)
            case OnChannel(channel, test):
                return _channel(one, channel, test)
            case OnSegments(test, numbers):
                return any(self.belongs(one, self.segments[number]) for number in numbers) == (test == "in")
            case OnImports(test, imports):
                word = test.removeprefix("not_")
                return any((number, word, one.number) in self.imported for number in imports) == (word == test)
            case OnOperations():
                return self._operations(one, criterion)
            case OnBehaviour():
                return self._behaviour(one, criterion)
            case OnActivity(least, most):
                return least <= one.note <= most
            case OnRisk(why):
                return self._risk(one) in (("hard", "quiet") if why == "any" else (why,))

    def _risk(self, one: Person) -> str:
        """Why somebody is at risk, "" if they are not."""
        state = one.channels.get("email", State())
        if state.status == "hard":
            return "hard"
        since = self.now - timedelta(days=self.quiet_days)
        mine = [happened for happened in self.happened if happened.contact == one.number]
        was_sent = any(happened.what == "delivered" and happened.at < since for happened in mine)
        did = any(
            happened.what in ("opened", "clicked") and happened.at >= since for happened in mine if not happened.machine
        )
        return "quiet" if was_sent and not did and one.email is not None and not state.left else ""

    # Fields

    def _field(self, one: Person, node: OnField) -> bool:
        kind, value = self._value(one, node.field)
        if node.test in ("empty", "not_empty"):
            return (value in (None, [])) == (node.test == "empty")
        if kind in ("choice", "choices", "yes_no"):
            return _choice(value or [], node)
        if kind == "text":
            return _text(value, node)
        if node.test == "differs":  # E22
            return value is None or not _ordered(value, "equals", node, self.now.date())
        return value is not None and _ordered(value, node.test, node, self.now.date())  # E24

    def _value(self, one: Person, name: str) -> tuple[str, Any]:
        if name in ("email", "mobile"):
            return "text", {"email": one.email, "mobile": one.mobile}[name]
        return self.kinds[name], one.fields.get(name)

    # Operations

    def _operations(self, one: Person, node: OnOperations) -> bool:
        if node.operations is not None:
            meant = [operation for operation in self.operations if operation.key in node.operations]
            if node.match == "all" and len(meant) < len(set(node.operations)):
                return False
        else:
            meant = [operation for operation in self.operations if self._is_meant(operation, node)]
        fates = [self._fate(one.number, operation.key, node) for operation in meant]
        return any(fates) if node.match == "one" else bool(fates) and all(fates)

    def _is_meant(self, operation: Operation, node: OnOperations) -> bool:
        since, until = self._period(node)
        return (
            (node.tag is None or node.tag in operation.tags)
            and (node.category is None or node.category == operation.category)
            and (node.operation_kind is None or node.operation_kind == operation.kind)
            and (since is None or operation.started_at >= since)
            and (until is None or operation.started_at < until)
        )

    def _fate(self, contact: int, operation: str, node: OnOperations) -> bool:
        mine = [one for one in self.happened if one.contact == contact and one.operation == operation]
        words = {one.what for one in mine}
        clicks = [
            one
            for one in mine
            if one.what == "clicked"
            and (node.machines or not one.machine)
            and (node.url is None or one.url == node.url)
            and (node.position is None or one.position == node.position)
        ]
        opened = bool(clicks) or any(one.what == "opened" and (node.machines or not one.machine) for one in mine)  # E19
        match node.was:
            case "opened":
                return opened
            case "not_opened":  # E18
                return "delivered" in words and not opened
            case "clicked":
                return bool(clicks)
            case "not_clicked":
                return "delivered" in words and not clicks
            case "excluded":
                return any(one.what == "excluded" and node.reason in (None, one.detail) for one in mine)
            case "bounced":
                return any(one.what == "bounced" and node.bounce in (None, one.detail) for one in mine)
            case word:
                return word in words

    # Behaviour

    def _behaviour(self, one: Person, node: OnBehaviour) -> bool:
        since, until = self._period(node)
        marketing = {operation.key for operation in self.operations if operation.stream == "bulk"}
        times = sum(
            happened.contact == one.number
            and happened.what == _DID.get(node.did, node.did)
            and (node.did != "received_marketing" or happened.operation in marketing)  # M5
            and (node.machines or not happened.machine)
            and (node.name is None or happened.detail == node.name)
            and (since is None or happened.at >= since)
            and (until is None or happened.at < until)
            for happened in self.happened
        )
        if node.exactly is not None:
            return times == node.exactly
        return times >= node.at_least if node.at_least is not None else times <= (node.at_most or 0)

    def _period(self, node: OnOperations | OnBehaviour) -> tuple[datetime | None, datetime | None]:
        if node.last_days is not None:
            return self.now - timedelta(days=node.last_days), None
        return node.since, node.until


def _channel(one: Person, channel: str, test: str) -> bool:
    state = one.channels.get(channel, State())
    address = {"email": one.email, "sms": one.mobile, "phone": one.mobile}[channel]
    gate = not state.opposed if one.professional else state.optin is True
    addressable = address is not None and state.status != "hard" and not state.left and gate  # E6
    return {
        "addressable": addressable,
        "not_addressable": not addressable,
        "opted_in": state.optin is True,
        "refused": state.optin is False,
        "optin_unknown": state.optin is None,
        "unsubscribed": state.left,
        "opposed": state.opposed,
    }.get(test, state.status == test)


def _choice(values: Sequence[str], node: OnField) -> bool:
    mine = {_folded(one) for one in values}
    if isinstance(node.value, bool):
        wanted = {"yes" if node.value else "no"}
    else:
        wanted = {_folded(one) for one in (node.values if node.values is not None else [str(node.value)])}
    match node.test:
        case "differs" | "none_of":  # E23
            return bool(mine) and not mine & wanted
        case "all_of":
            return wanted <= mine
        case _:
            return bool(mine & wanted)


def _text(value: str | None, node: OnField) -> bool:
    if node.test in ("differs",) or node.test.startswith("not_"):  # E22
        positive = {"differs": "equals"}.get(node.test, node.test.removeprefix("not_"))
        return value is None or not _like(value, positive, node)
    return value is not None and _like(value, node.test, node)


def _like(value: str, test: str, node: OnField) -> bool:
    def form(text: str) -> str:  # E25
        return _folded(text) if node.accents else _bare(_folded(text))

    mine = form(value)
    match test:
        case "one_of":
            return mine in [form(one) for one in node.values or ()]
        case "begins_with":
            return mine.startswith(form(str(node.value)))
        case "ends_with":
            return mine.endswith(form(str(node.value)))
        case "contains":
            return form(str(node.value)) in mine
        case _:
            return mine == form(str(node.value))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _bare(text: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFD", text) if not 0x300 <= ord(one) <= 0x36F)


def _ordered(value: Any, test: str, node: OnField, today: date) -> bool:
    """Of a number or a date that is there."""
    if node.days is not None:
        days = timedelta(days=node.days)
        if test == "in_last_days":
            return bool(today - days <= value <= today)
        if test == "in_next_days":
            return bool(today <= value <= today + days)
        return _has_birthday(value, today + days)
    wanted = date.fromisoformat(node.value) if isinstance(node.value, str) else node.value
    found: bool = {
        "equals": value == wanted,
        "greater": value > wanted,
        "at_least": value >= wanted,
        "less": value < wanted,
        "at_most": value <= wanted,
        "before": value < wanted,
        "on_or_before": value <= wanted,
        "after": value > wanted,
        "on_or_after": value >= wanted,
    }[test]
    return found


def _has_birthday(born: date, then: date) -> bool:
    """Who was born on 29 February has it on the 28th in years that have no 29th."""
    if born > then:
        return False
    try:
        return born.replace(year=then.year) == then
    except ValueError:
        return then == date(then.year, 2, 28)
