"""Columns are what files have for years: appended, never changed."""

import msgspec

from shared.archive import names
from shared.archive.columns import COLUMNS, COMMON, DETAILS, DETAILS_OF, PERSONAL, VERSION
from shared.words import events

FIRST = ("event_id", "type", "occurred_at", "job", "ordinal", "email")
#: What version 2 has appended, behind all details.
SECOND = ("job_stream", "job_list", "job_tags")
#: And version 3 behind those.
THIRD = ("contact", "key", "import_number", "changed", "active", "contacts", "notes", "settings")
KINDS = {"text": str, "int16": int, "int32": int, "int64": int, "bool": bool, "time": int}


def test_every_detail_of_every_fact_has_a_column_of_its_kind() -> None:
    for name, fact in events.FACTS.items():
        kinds = {field.name: field.type for field in msgspec.structs.fields(fact)}
        for detail in DETAILS_OF[name]:
            assert KINDS[DETAILS[detail]] in (kinds[detail], *getattr(kinds[detail], "__args__", ())), (name, detail)
            assert (DETAILS[detail] == "time") is detail.endswith("_at"), (name, detail)


def test_columns_stay_where_they_are() -> None:
    assert tuple(COLUMNS)[: len(FIRST)] == FIRST
    assert tuple(COLUMNS)[-len(SECOND + THIRD) :] == SECOND + THIRD
    assert not set(COMMON) & set(DETAILS)
    assert VERSION == 3
    assert set(PERSONAL) <= set(COLUMNS)


def test_a_file_is_named_after_what_is_in_it() -> None:
    part = names.part(3, "1769850000000-0", "1769853599999-4")

    assert part == "part-3-1769850000000.0-1769853599999.4.parquet"
    assert names.parse_part(part) == (3, (1769850000000, 0), (1769853599999, 4))
    assert names.parse_part("day.parquet") is None
    assert names.of_hour(491_625, ["b", "a"]) == names.of_hour(491_625, ["a", "b"]) != names.of_hour(491_625, ["a"])
    assert names.is_of_hour(names.of_hour(491_625, ["a"]))
    assert names.parse_folder(names.folder("acme", "2026-01-31")) == ("acme", "2026-01-31")
    assert names.parse_folder("tenant=acme") is None
    assert names.day_of(names.day_begins_ms("2026-01-31")) == "2026-01-31"
