"""SQL by which a batch of lines becomes contacts, made of the places of the fields that it writes. Pure.

Nothing that a tenant wrote is part of a statement: it is made of the numbers of slots and of fields, which are ours,
and of the names of columns that all contacts have. What is compared and written is an element of an array
(`migrations/0001_contacts.sql`), so that a field that the file does not have stays as it is (E8).

`$1` is the tenant in all of them. Lines stand in the temporary table `staged`; `staged.contact` is the number for a
contact that is new, null where the key was known when numbers were taken.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from services.contacts.imports.columns import Field
from services.contacts.outbox import noting

#: Fields that are columns of every contact, and their columns.
COLUMNS = ("email", "mobile", "telephone")
#: Kinds of which something is chosen.
CHOSEN = ("choice", "choices", "yes_no")
#: The names under which the history tells what an import changes of the state of an address.
_STATES = ("email_optin", "email_left", "email_opposed", "email_status", "email_softs")

#: `line` is its number in the file. `texts` to `dates` are in the order of the shape; `choices`: of all its fields.
STAGED = (
    "line", "key", "contact", "email", "email_key", "mobile", "telephone",
    "texts", "folded", "numbers", "dates", "choices", "opts_in", "status",
)  # fmt: skip
MAKE_STAGED = """
SET LOCAL jit = off;
CREATE TEMPORARY TABLE IF NOT EXISTS staged (
    line int, key text, contact int, email text, email_key text, mobile text, telephone text,
    texts text[], folded text[], numbers float8[], dates date[], choices int[], opts_in boolean, status text
) ON COMMIT DELETE ROWS
"""


class Shape(NamedTuple):
    """What the statements for a layout depend on: columns, the slots by kind, the numbers of fields of which something
    is chosen, and whether the opt-in and the status are written."""

    columns: tuple[str, ...] = ()
    texts: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    dates: tuple[int, ...] = ()
    chosen: tuple[int, ...] = ()
    opt_in: bool = False
    status: bool = False


def shape_of(fields: Sequence[Field], *, opt_in: bool, status: bool) -> Shape:
    def slots(kind: str) -> tuple[int, ...]:
        return tuple(field.slot for field in in_slots(fields, kind))

    return Shape(
        tuple(field.name for field in fields if field.kind in ("address", "phone")),
        slots("text"),
        slots("number"),
        slots("date"),
        tuple(field.number for field in fields if field.kind in CHOSEN),
        opt_in,
        status,
    )


def in_slots(fields: Sequence[Field], kind: str) -> list[Field]:
    """Those of a kind that has slots, in their order: so the elements of a line mostly are an array of a contact as it
    stands."""
    return sorted((field for field in fields if field.kind == kind), key=lambda field: field.slot)


def names_of(fields: Sequence[Field]) -> list[str]:
    """The names of the fields in the order in which the statements of their shape tell changes."""
    by_kind = [[field.name for field in in_slots(fields, kind)] for kind in ("text", "number", "date")]
    return [*(name for names in by_kind for name in names), *(field.name for field in fields if field.kind in CHOSEN)]


@lru_cache(256)
def insert(shape: Shape) -> str:
    """Adds who is new, and notes that they are to be told; the numbers of those that were added. In the order of keys,
    so that two that add the same contacts never wait for each other in a circle. `$2` is the import."""
    told = noting.by_import("ContactAdded", "added", "$2", contact="contact", email="email_key", key="added.key")
    return f"""
WITH added AS (
INSERT INTO contacts (tenant, contact, key, email, email_key, mobile, telephone, texts, folded, numbers, dates, choices,
    email_optin, email_left, email_status, email_softs)
SELECT $1, s.contact, s.key, s.email, s.email_key, s.mobile, s.telephone, {_arrays(shape)}, coalesce(s.choices, '{{}}'),
    s.opts_in, coalesce(NOT s.opts_in, false), s.status::address_status, CASE WHEN s.status = 'soft' THEN 1 ELSE 0 END
FROM staged AS s WHERE s.contact IS NOT NULL ORDER BY s.key
ON CONFLICT (tenant, key, copy) DO NOTHING RETURNING contact, key, email_key
), told AS ({told}
)
SELECT contact FROM added"""  # noqa: S608  (places alone, as in all below)


def _arrays(shape: Shape) -> str:
    """The staged elements as a contact has them."""
    spread = (
        _spread("texts", shape.texts, "text"),
        _spread("folded", shape.texts, "text"),
        _spread("numbers", shape.numbers, "float8"),
        _spread("dates", shape.dates, "date"),
    )
    return ", ".join(spread)


def _spread(name: str, slots: Sequence[int], kind: str) -> str:
    """The staged elements, each in its slot."""
    if _are_first(slots):
        return f"s.{name}"
    place = {slot: index for index, slot in enumerate(slots, 1)}
    elements = (f"s.{name}[{place[slot]}]" if slot in place else "NULL" for slot in range(1, max(slots, default=0) + 1))
    return f"ARRAY[{', '.join(elements)}]::{kind}[]"


def _are_first(slots: Sequence[int]) -> bool:
    """Whether they are the first ones, and some."""
    return bool(slots) and tuple(slots) == tuple(range(1, len(slots) + 1))


#: A contact by its key. The limit is what makes PostgreSQL look each one up by the index: of a base that has just come
#: it knows nothing, and would rather read all of it for each batch.
_BY_KEY = "SELECT {what} FROM contacts WHERE tenant = $1 AND key = s.key AND copy = 0 LIMIT 1"

#: The staged lines, in the order in which contacts are held, but for those whose contact, one of `{added}`, was added
#: just now.
_THERE = """
(SELECT * FROM staged WHERE contact IS NULL OR contact <> ALL ({added}::int[]) ORDER BY key) AS s"""

#: Holds the contacts that were there, in the order of keys, until the transaction ends. `$2` were added just now.
HOLD = f"""
SELECT c.contact FROM {_THERE.format(added="$2")}
CROSS JOIN LATERAL ({_BY_KEY.format(what="contact")} FOR UPDATE) AS c"""  # noqa: S608

#: Those of these keys that nobody has.
NEW = f"""
SELECT s.key FROM unnest($2::text[]) AS s (key)
LEFT JOIN LATERAL ({_BY_KEY.format(what="contact")}) AS c ON true WHERE c.contact IS NULL"""  # noqa: S608

#: A run of numbers for contacts to come: the first of them.
NUMBERS = """
UPDATE tenants SET next_contact = next_contact + $2 WHERE tenant = $1 RETURNING next_contact - $2"""

#: What the lines say of addresses, for suppression, by the contacts as they are now. `$2` are contacts that were added
#: just now, and of whom alone it is said where `$4`; `$3` are lines by which contacts stand otherwise; `$5` says it.
SAY = f"""
INSERT INTO stated (tenant, source, addresses, optins, statuses, sure, lines)
SELECT $1, $5, array_agg(c.email_key ORDER BY s.line),
    array_agg(CASE s.opts_in WHEN true THEN 'yes' WHEN false THEN 'no' ELSE '' END ORDER BY s.line),
    array_agg(CASE WHEN s.status IN ('hard', 'valid') THEN s.status ELSE '' END ORDER BY s.line),
    array_agg(CASE WHEN c.contact = ANY ($2::int[]) THEN s.opts_in IS false OR coalesce(s.status = 'hard', false)
        ELSE s.line = ANY ($3::int[]) END ORDER BY s.line),
    array_agg(s.line ORDER BY s.line)
FROM staged AS s CROSS JOIN LATERAL ({_BY_KEY.format(what="contact, email_key")}) AS c
WHERE c.email_key IS NOT NULL AND (s.opts_in IS NOT NULL OR s.status IN ('hard', 'valid'))
    AND (NOT $4::boolean OR c.contact = ANY ($2::int[]))
HAVING count(*) > 0"""  # noqa: S608

#: Contacts join a set of an import.
MARK = """
SELECT mark($1, array_fill($2::int, n), array_fill($3::int, n), array_fill(0, n), $4::int[])
FROM (SELECT ARRAY[cardinality($4::int[])]) AS one (n)"""


@lru_cache(256)
def look(shape: Shape) -> str:
    """What the lines would do: each line with the contact that it is about, null if there is none, whether it would
    change something, and whether somebody would be mailed again. `$2` are the names of the shape's fields."""
    return f"""
SELECT s.line, c.contact, {_changes(shape)} AS changes, {_reactivates(shape)} AS reactivates
FROM staged AS s LEFT JOIN LATERAL ({_BY_KEY.format(what="*")}) AS c ON true{_chosen(shape)}
WHERE $2::text[] IS NOT NULL"""  # noqa: S608  (a shape without names has the parameter, too)


@lru_cache(256)
def update(shape: Shape) -> str:
    """Holds who was there, in the order of keys; changes them where something is another, and notes what, which is
    to be told. One row: the contacts that were there, those of them that changed, and the lines by which somebody is
    mailed again, or stands otherwise. `$2` are the names of the shape's fields, `$3` who changes it; `$4` are contacts
    that were added just now, `$5` is the import.

    It is an upsert of contacts that are all there, because that finds each by its key, whatever PostgreSQL knows of the
    base."""
    states = list(_states(shape))
    email = "met.email_key" if "email" in shape.columns else "met.had_email"
    told = noting.by_import(
        "ContactUpdated", "met", "$5", contact="met.met", email=email, key="met.key", changed="met.what"
    )
    names, values = ([f", {name}" for name, _, _ in states], [f", s.to_{name}" for name, _, _ in states])
    return f"""
WITH met AS MATERIALIZED (
    SELECT c.contact AS met, c.email_key AS had_email, s.*, {_what(shape)} AS what,
        {_reactivates(shape)} AS reactivates, {_turns(shape)} AS turns{_replaced(shape)}
        {"".join(f", {after} AS to_{name}" for name, _, after in states)}
    FROM {_THERE.format(added="$4")} CROSS JOIN LATERAL ({_BY_KEY.format(what="*")} FOR UPDATE) AS c{_chosen(shape)}
    WHERE $2::text[] IS NOT NULL
), written AS (
    INSERT INTO contacts AS c (tenant, contact, key, email, email_key, mobile, telephone, texts, folded, numbers, dates,
        choices{"".join(names)})
    SELECT $1, s.met, s.key, s.email, s.email_key, s.mobile, s.telephone, {_arrays(shape)},
        {"s.chosen" if shape.chosen else "'{}'"}{"".join(values)}
    FROM met AS s WHERE s.what <> '{{}}'
    ON CONFLICT (tenant, key, copy) DO UPDATE SET {", ".join(_assignments(shape))}
), noted AS (
    INSERT INTO changes (tenant, contact, source, what)
    SELECT $1, met, $3, what FROM met WHERE what <> '{{}}'
), told AS ({told} WHERE met.what <> '{{}}'
)
SELECT array_agg(met) AS held, array_agg(met) FILTER (WHERE what <> '{{}}') AS changed,
    array_agg(line) FILTER (WHERE what <> '{{}}' AND reactivates) AS again,
    array_agg(line) FILTER (WHERE what <> '{{}}' AND turns) AS turned
FROM met"""  # noqa: S608


def _changes(shape: Shape) -> str:
    """Words that are not known yet have no name, and change something all the same."""
    return f"({_what(shape)}) <> '{{}}'" + (" OR c.choices <> n.chosen" if shape.chosen else "")


def _chosen(shape: Shape) -> str:
    """What would be chosen then, found once (so says the offset), and not at all where it is what there is."""
    if not shape.chosen:
        return ""
    chosen = f"replaced_choices(c.choices, {_ints(shape.chosen)}, s.choices)"
    return f"""
    CROSS JOIN LATERAL (
        SELECT CASE WHEN c.choices = s.choices THEN c.choices ELSE {chosen} END OFFSET 0
    ) AS n (chosen)"""


def _replaced(shape: Shape) -> str:
    return ", n.chosen" if shape.chosen else ""


def _ints(numbers: Iterable[int]) -> str:
    return f"'{{{','.join(map(str, numbers))}}}'::int[]"


def _assignments(shape: Shape) -> Iterator[str]:
    for column in shape.columns:
        yield f"{column} = excluded.{column}"
    if "email" in shape.columns:
        yield "email_key = excluded.email_key"
    for name, slots in (
        ("texts", shape.texts),
        ("folded", shape.texts),
        ("numbers", shape.numbers),
        ("dates", shape.dates),
    ):
        if slots:
            yield f"{name} = {_replaced_elements(name, slots)}"
    if shape.chosen:
        yield "choices = excluded.choices"
    for name, _, _ in _states(shape):
        yield f"{name} = excluded.{name}"
    yield "updated_at = now()"


def _replaced_elements(name: str, slots: Sequence[int]) -> str:
    """All of an array at once: PostgreSQL copies it for each element that is assigned."""
    last = max(slots)
    elements = (f"{'excluded' if slot in slots else 'c'}.{name}[{slot}]" for slot in range(1, last + 1))
    first = f"excluded.{name}" if _are_first(slots) else f"ARRAY[{', '.join(elements)}]"
    return f"CASE WHEN cardinality(c.{name}) > {last} THEN {first} || c.{name}[{last + 1}:] ELSE {first} END"


def _states(shape: Shape) -> Iterator[tuple[str, str, str]]:
    """Of what the opt-in and the status change: the column, what it is and what it becomes (E11, E12). Who is hard
    stays it when a soft bounce is told; the last diagnostic stays in any case."""
    after: dict[str, str] = {}
    if shape.opt_in:
        after |= {
            "email_optin": "coalesce(s.opts_in, c.email_optin)",
            "email_left": "coalesce(NOT s.opts_in, c.email_left)",
            "email_opposed": "c.email_opposed AND s.opts_in IS DISTINCT FROM true",
        }
    if shape.status:
        after |= {
            "email_status": "CASE WHEN s.status IS NULL OR (s.status = 'soft' AND c.email_status = 'hard') "
            "THEN c.email_status ELSE s.status::address_status END",
            "email_softs": "CASE s.status WHEN 'soft' THEN c.email_softs + 1 WHEN 'valid' THEN 0 "
            "ELSE c.email_softs END",
        }
    yield from ((name, f"c.{name}", after[name]) for name in _STATES if name in after)


def _what(shape: Shape) -> str:
    """An object of what changes, by name: what it was and what it becomes."""
    groups = [("", [f"'{column}', {_change(f'c.{column}', f's.{column}')}" for column in shape.columns])]
    place = 0
    for name, slots in (("texts", shape.texts), ("numbers", shape.numbers), ("dates", shape.dates)):
        told = []
        for index, slot in enumerate(slots, 1):
            place += 1
            told.append(f"($2::text[])[{place}], {_change(f'c.{name}[{slot}]', f's.{name}[{index}]')}")
        groups.append((_are_same(name, slots), told))
    told = []
    for number in shape.chosen:
        place += 1
        before, after = (_words(chosen, number) for chosen in ("c.choices", "n.chosen"))
        told.append(
            f"($2::text[])[{place}], CASE WHEN {before} <> {after} THEN jsonb_build_array({before}, {after}) END"
        )
    groups.append(("c.choices = n.chosen", told))
    groups.append(("", [f"'{name}', {_change(before, after)}" for name, before, after in _states(shape)]))
    objects = [one for same, told in groups for one in _objects(same, told)]
    return " || ".join(objects) or "'{}'::jsonb"


def _objects(same: str, told: Sequence[str]) -> Iterator[str]:
    """Objects of these pairs without those that are null; empty ones, which cost little, where all is the same."""
    for at in range(0, len(told), 40):  # a function takes a hundred arguments at most
        made = f"jsonb_strip_nulls(jsonb_build_object({', '.join(told[at : at + 40])}))"
        yield f"CASE WHEN {same} THEN '{{}}'::jsonb ELSE {made} END" if same else made


def _are_same(name: str, slots: Sequence[int]) -> str:
    if not _are_first(slots):
        return f"ARRAY[{', '.join(f'c.{name}[{slot}]' for slot in slots)}] = s.{name}" if slots else ""
    return f"(c.{name} = s.{name} OR c.{name}[:{len(slots)}] = s.{name})"


def _change(before: str, after: str) -> str:
    return f"CASE WHEN {before} IS DISTINCT FROM {after} THEN jsonb_build_array({before}, {after}) END"


def _words(chosen: str, number: int) -> str:
    """What is chosen of a field, as words."""
    return (
        "(SELECT coalesce(jsonb_agg(w.value ORDER BY w.choice), '[]') FROM choices AS w "  # noqa: S608
        f"WHERE w.tenant = $1 AND w.field = {number} AND w.choice = ANY ({chosen}))"
    )


def _reactivates(shape: Shape) -> str:
    """Whether somebody who had left, or whose address was given up, is mailed again."""
    ways = []
    if shape.opt_in:
        ways.append("(s.opts_in AND (c.email_left OR c.email_opposed))")
    if shape.status:
        ways.append("(s.status = 'valid' AND c.email_status = 'hard')")
    return f"coalesce({' OR '.join(ways)}, false)" if ways else "false"


def _turns(shape: Shape) -> str:
    """Whether the address of the contact stands otherwise by it: as `stated.said` says it of a request."""
    ways = []
    if shape.opt_in:
        ways += ["(s.opts_in AND (c.email_left OR c.email_opposed))", "(NOT s.opts_in AND NOT c.email_left)"]
    if shape.status:
        ways += [
            "(s.status = 'valid' AND c.email_status IN ('hard', 'soft'))",
            "(s.status = 'hard' AND c.email_status IS DISTINCT FROM 'hard')",
        ]
    return f"coalesce({' OR '.join(ways)}, false)" if ways else "false"
