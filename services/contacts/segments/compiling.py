"""A tree of criteria becomes one statement of SQL with parameters. Pure.

Nothing that a tenant wrote is part of the text: names and values are parameters, a field is a place in an array. The
text is made of the constants of this module, of numbers that are ours, and of `$n`: nothing else stands in an f-string
here, hence each `noqa: S608`.

    select count(*) … from contacts as c
    left join (select chunk, bit_or(members) as members from sets where …) as j1 on j1.chunk = c.contact >> 13
    left join (select contact from tallies where …) as j2 on j2.contact = c.contact
    where c.tenant = $1 and (…)

Every criterion is an expression that is true or false, and never null, so that `not` means what it says (E22 to E24). A
criterion on fields looks at the row. One on operations, imports and the activity rank looks at a bit: the sets of all
operations are joined chunk by chunk first. One on behaviour joins the contacts who did so; the join is an outer one,
which PostgreSQL makes an inner one where nothing but those can belong. The same criterion is computed once, however
often it stands there.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.contacts.base.folding import MARKS, folded, without_accents
from services.contacts.segments.checking import COLUMNS, Field, Known, day
from services.contacts.segments.language import (
    All,
    AnyOf,
    Channel,
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
    packed,
)  # fmt: skip

#: Times in `tallies` are seconds from here.
EPOCH = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_LEAST, _MOST = -(2**31) + 2, 2**31 - 1
#: What contacts in a set have of it (`sets.fact`), and the same with what machines did.
FACTS: Mapping[str, int] = {
    "selected": 1, "recipient": 2, "excluded": 3, "delivered": 4, "opened": 5, "clicked": 6, "bounced": 9,
    "unsubscribed": 10, "complained": 11,
}  # fmt: skip
CLICKED_ADDRESS, CLICKED_LINK, MACHINES = 7, 8, 10
BOUNCES: Mapping[str, int] = {"hard": 1, "soft": 2, "block": 3}
IMPORTS: Mapping[str, int] = {"included": 31, "added": 32, "updated": 33}
RANKED = 41
#: And what is counted (`tallies.kind`).
DEEDS: Mapping[str, int] = {
    "received": 4, "opened": 5, "clicked": 6, "page_seen": 20, "event": 21, "received_marketing": 26,
}  # fmt: skip
COUNTED_MACHINES = 100
#: What somebody does who is not quiet: opened, clicked, clicked in an SMS.
LIVELY = (5, 6, 25)
#: After so many days they are, where their tenant says nothing: half a year. Shorter, and who reads in summer alone is
#: lost; longer, and their address may be another's by then.
QUIET_DAYS = 180
_QUIET_DAYS = f"coalesce((settings -> 'at_risk' ->> 'days')::int, {QUIET_DAYS:d})"

_CHANNELS: Mapping[str, str] = {
    "addressable": "c.{0}_addressable",
    "not_addressable": "not c.{0}_addressable",
    "opted_in": "c.{0}_optin is true",
    "refused": "c.{0}_optin is false",
    "optin_unknown": "c.{0}_optin is null",
    "valid": "(c.{0}_status = 'valid') is true",
    "soft": "(c.{0}_status = 'soft') is true",
    "hard": "(c.{0}_status = 'hard') is true",
    "unsubscribed": "c.{0}_left",
    "opposed": "c.{0}_opposed",
}
_HARD = "((c.email_status = 'hard') is true)"
_COMPARED: Mapping[str, str] = {
    "equals": "=", "greater": ">", "at_least": ">=", "less": "<", "at_most": "<=", "before": "<", "on_or_before": "<=",
    "after": ">", "on_or_after": ">=",
}  # fmt: skip
#: Tests of text as patterns of LIKE, around the value.
_PATTERNS: Mapping[str, str] = {"begins_with": "{}%", "ends_with": "%{}", "contains": "%{}%"}
_LIKE = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})
_CHOICE_BITS = 16
_COLUMNS_OF_COUNT = (
    "count(*) as contacts, count(*) filter (where c.email_addressable) as email, "
    "count(*) filter (where c.sms_addressable) as sms, count(*) filter (where c.phone_addressable) as phone"
)


class Statement(NamedTuple):
    """SQL, and what is bound to `$1` …"""

    text: str
    parameters: Sequence[object]


@dataclass(frozen=True, slots=True)
class Compiled:
    """Who belongs, as parts of a statement. `$1` is the tenant."""

    joins: str
    where: str
    parameters: Sequence[object]

    def count(self) -> Statement:
        """One row: contacts, and how many of them are addressable by each channel (E31)."""
        return self._statement(_COLUMNS_OF_COUNT, "")

    def columns(self, columns: str) -> Statement:
        """These columns of theirs, of `contacts as c`. They are ours."""
        return self._statement(columns, "")

    def members(self) -> Statement:
        """Their numbers, in order."""
        return self._statement("c.contact", " order by c.contact")

    def kept(self, job: str) -> Statement:
        """Writes down who they are, as those of a job, in the order of their numbers."""
        at = len(self.parameters) + 1
        text = (
            "insert into target_members (tenant, job, chunk, contacts) "  # noqa: S608
            f"select $1::int, ${at}::text, c.contact >> 13, array_agg(c.contact order by c.contact) "
            f"from contacts as c{self.joins} where c.tenant = $1::int and {self.where} group by c.contact >> 13"
        )
        return Statement(text, (*self.parameters, job))

    def sample(self, most: int, seed: int) -> Statement:
        """Some of them, the same for the same seed."""
        at = len(self.parameters)
        order = f" order by hashint4extended(c.contact, ${at + 1}::bigint), c.contact limit ${at + 2}::bigint"
        return self._statement("c.contact", order, seed, most)

    def which(self, contacts: Sequence[int]) -> Statement:
        """Those of these who belong, in order."""
        at = len(self.parameters) + 1
        return self._statement("c.contact", f" and c.contact = any(${at}::int[]) order by c.contact", list(contacts))

    def _statement(self, columns: str, rest: str, *more: object) -> Statement:
        text = f"select {columns} from contacts as c{self.joins} where c.tenant = $1::int and {self.where}{rest}"  # noqa: S608
        return Statement(text, (*self.parameters, *more))


def compiled(tenant: int, criterion: Criterion, known: Known, now: dt.datetime) -> Compiled:
    """`now` with the time zone in which the tenant has its days. The tree has passed `check`."""
    compiling = _Compiling(tenant, known, now)
    where = compiling.expression(criterion)
    return Compiled("".join(compiling.joins), where, tuple(compiling.parameters))


class _Compiling:
    def __init__(self, tenant: int, known: Known, now: dt.datetime) -> None:
        self._known = known
        self._now = now
        self._today = now.date()
        self._done: dict[bytes, str] = {}
        self.parameters: list[object] = [tenant]
        self.joins: list[str] = []

    def expression(self, node: Criterion) -> str:
        """Who belongs: never null, and with brackets around it where it has parts."""
        key = packed(node)
        if key not in self._done:
            self._done[key] = self._made(node)
        return self._done[key]

    def _made(self, node: Criterion) -> str:
        match node:
            case All(of):
                return f"({' and '.join(self._parts(of))})"
            case AnyOf(of):
                return f"({' or '.join(self._parts(of))})"
            case NoneOf(of):
                return f"(not ({' or '.join(self._parts(of))}))"
            case OnField():
                return self._field(node)
            case OnChannel(channel, test):
                return f"({_CHANNELS[test].format(_column(channel))})"
            case OnSegments(test, segments):
                parts = " or ".join(self.expression(self._known.segments[number]) for number in segments)
                return f"({parts})" if test == "in" else f"(not ({parts}))"
            case OnImports():
                return self._imports(node)
            case OnOperations():
                return self._operations(node)
            case OnBehaviour():
                return self._behaviour(node)
            case OnActivity():
                return self._activity(node)
            case OnRisk(why):
                return _HARD if why == "hard" else self._quiet(_HARD if why == "any" else "false")

    def _parts(self, of: Sequence[Criterion]) -> list[str]:
        """What costs little first: it saves the rest."""
        return [self.expression(one) for one in sorted(of, key=_cost)]

    def _bound(self, value: object, kind: str) -> str:
        self.parameters.append(value)
        return f"${len(self.parameters)}::{kind}"

    # Fields

    def _field(self, node: OnField) -> str:
        field = self._known.field(node.field)
        assert field is not None, "checked"
        return _BY_KIND[field.kind](self, node, field)

    def text(self, node: OnField, field: Field) -> str:
        place = COLUMNS[node.field][1] if field.slot is None else f"c.folded[{field.slot:d}]"
        if node.test in ("empty", "not_empty"):
            return f"({place} {_IS[node.test]})"
        if not node.accents:
            place = _WITHOUT_ACCENTS.format(place)
        compare = folded if node.accents else _plain
        if node.test == "one_of":
            return f"(({place} = any({self._bound([compare(one) for one in node.values or ()], 'text[]')})) is true)"
        value = compare(str(node.value))
        negated, test = node.test.startswith("not_"), node.test.removeprefix("not_")
        truth = "is not true" if negated or test == "differs" else "is true"
        if test in _PATTERNS:
            pattern = _PATTERNS[test].format(value.translate(_LIKE))
            return f"(({place} like {self._bound(pattern, 'text')}) {truth})"
        return f"(({place} = {self._bound(value, 'text')}) {truth})"

    def number(self, node: OnField, field: Field) -> str:
        place = f"c.numbers[{field.slot:d}]"
        if node.test in ("empty", "not_empty"):
            return f"({place} {_IS[node.test]})"
        assert node.value is not None, "checked"
        return _compared(place, node.test, self._bound(float(node.value), "float8"))

    def date(self, node: OnField, field: Field) -> str:
        place = COLUMNS[node.field][1] if field.slot is None else f"c.dates[{field.slot:d}]"
        if node.test in ("empty", "not_empty"):
            return f"({place} {_IS[node.test]})"
        if node.days is None:
            return _compared(place, node.test, self._bound(day(str(node.value)), "date"))
        days = dt.timedelta(node.days)
        if node.test == "birthday_in_days":
            return self._birthday(place, self._today + days)
        first, last = (
            (self._today - days, self._today) if node.test == "in_last_days" else (self._today, self._today + days)
        )
        return f"(({place} between {self._bound(first, 'date')} and {self._bound(last, 'date')}) is true)"

    def _birthday(self, place: str, day_then: dt.date) -> str:
        days = [anniversary.month * 100 + anniversary.day for anniversary in (day_then,)]
        if days == [228] and not _is_leap(day_then.year):
            days.append(229)
        of_year = f"(extract(month from {place}) * 100 + extract(day from {place}))::int"
        return (
            f"(({of_year} = any({self._bound(days, 'int[]')}) and {place} <= {self._bound(day_then, 'date')}) is true)"
        )

    def choice(self, node: OnField, field: Field) -> str:
        first = field.number << _CHOICE_BITS
        some = f"width_bucket({first + 65535:d}, c.choices) > width_bucket({first - 1:d}, c.choices)"
        if node.test in ("empty", "not_empty"):
            return f"({some})" if node.test == "not_empty" else f"(not ({some}))"
        if node.values is None:
            values = [{True: "yes", False: "no"}[node.value] if isinstance(node.value, bool) else str(node.value)]
        else:
            values = node.values
        wanted = [folded(one) for one in dict.fromkeys(values)]
        # An array that is made once, before the rows are looked at.
        chosen = (
            "array(select choice from choices where tenant = $1::int and "  # noqa: S608
            f"field = {field.number:d} and folded = any({self._bound(wanted, 'text[]')}))"
        )
        if node.test == "all_of":
            return f"(c.choices @> {chosen} and cardinality({chosen}) = {len(set(wanted)):d})"
        if node.test in ("differs", "none_of"):
            return f"({some} and not c.choices && {chosen})"
        return f"(c.choices && {chosen})"

    # Sets

    def _imports(self, node: OnImports) -> str:
        fact = IMPORTS[node.test.removeprefix("not_")]
        numbers = self._bound(node.imports, "int[]")
        rows = f"sets where tenant = $1::int and fact = {fact:d} and item = 0 and subject = any({numbers})"
        found = self._in_set(f"select chunk, bit_or(members) as members from {rows} group by chunk")  # noqa: S608
        return f"(not {found})" if node.test.startswith("not_") else found

    def _activity(self, node: OnActivity) -> str:
        if node.at_least == 0:
            if node.at_most == 10:
                return "(true)"
            return f"(not {self._noted(node.at_most + 1, 10)})"
        return self._noted(node.at_least, node.at_most)

    def _noted(self, least: int, most: int) -> str:
        rows = (
            f"sets where tenant = $1::int and fact = {RANKED:d} and subject = 0 and item between {least:d} and {most:d}"
        )
        return self._in_set(f"select chunk, bit_or(members) as members from {rows} group by chunk")  # noqa: S608

    def _operations(self, node: OnOperations) -> str:
        operations, how_many = self._meant(node)
        fate = node.was.removeprefix("not_")
        fact, item = FACTS[fate], "0"
        if node.url is not None:
            fact, item = CLICKED_ADDRESS, self._named("url", node.url)
        elif node.position is not None:
            fact, item = CLICKED_LINK, f"{node.position:d}"
        elif node.reason is not None:
            item = self._named("reason", node.reason)
        elif node.bounce is not None:
            item = f"{BOUNCES[node.bounce]:d}"
        if node.machines:
            fact += MACHINES
        if node.was in ("not_opened", "not_clicked"):
            members = "coalesce(s.members & ~did.members, s.members)"
            rows = (
                f"sets as s left join sets as did on did.tenant = $1::int and did.fact = {fact:d} and "
                f"did.subject = s.subject and did.item = {item} and did.chunk = s.chunk"
            )
            fact, item = FACTS["delivered"], "0"
        else:
            members, rows = "s.members", "sets as s"
        where = f"s.tenant = $1::int and s.fact = {fact:d} and s.item = {item} and s.subject in ({operations})"
        joined, all_of_them = "bit_or", ""
        if node.match == "all":
            joined, all_of_them = "bit_and", f" having count(*) = ({how_many})"
        return self._in_set(
            f"select s.chunk, {joined}({members}) as members from {rows} where {where} group by s.chunk{all_of_them}"  # noqa: S608
        )

    def _meant(self, node: OnOperations) -> tuple[str, str]:
        """The operations that are meant, and how many there have to be for all of them."""
        where = "select {} from operations as o where o.tenant = $1::int"
        if node.operations is not None:
            keys = list(dict.fromkeys(node.operations))
            where += f" and o.key = any({self._bound(keys, 'text[]')})"
            return where.format("o.operation"), f"{len(keys):d}"
        if node.tag is not None:
            where += f" and o.tags @> {self._bound([node.tag], 'text[]')}"
        if node.category is not None:
            where += f" and o.category = {self._bound(node.category, 'text')}"
        if node.operation_kind is not None:
            where += f" and o.kind = {self._bound(node.operation_kind, 'text')}"
        since, until = self._period(node)
        if since is not None:
            where += f" and o.started_at >= {self._bound(since, 'timestamptz')}"
        if until is not None:
            where += f" and o.started_at < {self._bound(until, 'timestamptz')}"
        return where.format("o.operation"), where.format("count(*)")

    def _named(self, kind: str, text: str) -> str:
        """The number of a word; null if it has none, and then nobody did anything with it."""
        bound = self._bound(text, "text")
        where = f"tenant = $1::int and kind = '{kind}' and md5(text) = md5({bound}) and text = {bound}"
        return f"(select name from names where {where})"  # noqa: S608

    def _in_set(self, chunks: str) -> str:
        alias = self._join(chunks, "{0}.chunk = c.contact >> 13")
        # PostgreSQL knows nothing of the bits. Of `<> 0` it expects nearly everybody, of `= 1` next to nobody, and then
        # looks up one by one who is a million.
        return f"(coalesce(get_bit({alias}.members, c.contact & 8191), 0) <> 0)"

    # Behaviour

    def _behaviour(self, node: OnBehaviour) -> str:
        if node.at_least is not None:
            return "(true)" if node.at_least == 0 else self._did(node, ">=", node.at_least)
        if node.at_most is not None:
            return f"(not {self._did(node, '>=', node.at_most + 1)})"
        if node.exactly:
            return self._did(node, "=", node.exactly)
        return f"(not {self._did(node, '>=', 1)})"

    def _did(self, node: OnBehaviour, compare: str, times: int) -> str:
        """Who did it so often; never of nobody, who have no row: `times` is 1 or more."""
        kind = DEEDS[node.did] + (COUNTED_MACHINES if node.machines else 0)
        name = "0" if node.name is None else self._named("event", node.name)
        wanted = self._bound(times, "int")
        where = f"tenant = $1::int and kind = {kind:d} and name = {name} and n >= {wanted}"
        since, until = self._period(node)
        if since is None and until is None:
            where += f" and n {compare} {wanted}"
        else:
            first = self._bound(_seconds(since, _LEAST), "int")
            end = self._bound(_seconds(until, _MOST), "int")
            counted = f"width_bucket({end} - 1, times) - width_bucket({first} - 1, times)"
            where += f" and last >= {first} and {counted} {compare} {wanted}"
        alias = self._join(f"select contact from tallies where {where}", "{0}.contact = c.contact")  # noqa: S608
        return f"({alias}.contact is not null)"

    def _quiet(self, otherwise: str) -> str:
        """Who got something long ago, and did nothing since then, and had reason to: they have not left."""
        now = self._bound(_seconds(self._now, _MOST), "int")
        since = f"({now} - 86400 * (select {_QUIET_DAYS} from tenants where tenant = $1::int))"  # noqa: S608
        did = f"kind = any('{{{','.join(map(str, LIVELY))}}}') and name = 0 and last >= {since}"
        alias = self._join(
            f"select contact from tallies as r where tenant = $1::int and kind = {DEEDS['received']:d} and name = 0 "  # noqa: S608
            f"and times[1] < {since} and not exists (select from tallies as d where tenant = $1::int and {did} "
            "and d.contact = r.contact)",
            "{0}.contact = c.contact",
        )
        is_quiet = f"c.email is not null and not c.email_left and not {_HARD} and {alias}.contact is not null"
        return f"({otherwise} or ({is_quiet}))"

    def _period(self, node: OnOperations | OnBehaviour) -> tuple[dt.datetime | None, dt.datetime | None]:
        if node.last_days is not None:
            return self._now - dt.timedelta(node.last_days), None
        return node.since, node.until

    def _join(self, query: str, on: str) -> str:
        alias = f"j{len(self.joins) + 1:d}"
        self.joins.append(f" left join ({query}) as {alias} on {on.format(alias)}")
        return alias


_BY_KIND: Mapping[str, Callable[[_Compiling, OnField, Field], str]] = {
    "text": _Compiling.text,
    "number": _Compiling.number,
    "date": _Compiling.date,
    "choice": _Compiling.choice,
    "choices": _Compiling.choice,
    "yes_no": _Compiling.choice,
}
_IS = {"empty": "is null", "not_empty": "is not null"}
#: Only what has signs beyond ASCII is taken apart, which costs ten times as much.
_WITHOUT_ACCENTS = (
    "case when octet_length({0}) = length({0}) then {0} "
    f"else regexp_replace(normalize({{0}}, nfd), '[{MARKS}]+', '', 'g') end"
)
#: What is looked at first where several must or may hold: the row itself, then sets, then whoever did something.
_COSTS: Mapping[type, int] = {
    OnChannel: 0, OnField: 1, OnActivity: 2, OnImports: 2, OnOperations: 3, OnBehaviour: 4, OnRisk: 4,
}  # fmt: skip


def _cost(node: Criterion) -> int:
    return _COSTS.get(type(node), 5)


def _compared(place: str, test: str, bound: str) -> str:
    if test == "differs":
        return f"(({place} = {bound}) is not true)"
    return f"(({place} {_COMPARED[test]} {bound}) is true)"


def _plain(text: str) -> str:
    return without_accents(folded(text))


def _column(channel: Channel) -> str:
    return {"email": "email", "sms": "sms", "phone": "phone"}[channel]


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _seconds(time: dt.datetime | None, otherwise: int) -> int:
    """Of `tallies`: whole ones, those that began before `time` are before it."""
    if time is None:
        return otherwise
    whole = -((EPOCH - time) // dt.timedelta(seconds=1))
    return max(_LEAST, min(_MOST, whole))
