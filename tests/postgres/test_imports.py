"""Imports into a real PostgreSQL, beside a model that has the base as a dictionary."""

import asyncio
import csv
import io
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.contacts import migrating
from services.contacts.database import Database
from tests.contacts_base import Base, new_base

_names = (f"tenant {number}" for number in itertools.count())


@pytest.fixture
async def base(empty: Database) -> AsyncIterator[Base]:
    await migrating.migrate(empty, migrating.steps())
    yield await new_base(empty, next(_names))


# What each import says, and what a dictionary makes of it

EMPTY = {"email": None, "mobile": None, "last_name": None, "town": None, "points": None, "birthday": None}
EMPTY |= {"colour": [], "tags": [], "member": [], "email_optin": None, "email_left": False, "email_status": None}
EMPTY |= {"email_softs": 0}
CELLS: dict[str, dict[str, Any]] = {
    "last_name": {"": None, "Ann": "Ann", "ann": "ann", "'; DROP TABLE contacts; --": "'; DROP TABLE contacts; --"},
    "town": {"": None, "Évry": "Évry", "Paris": "Paris"},
    "points": {"": None, "1,5": 1.5, "0": 0.0},
    "birthday": {"": None, "31/01/1990": date(1990, 1, 31)},
    "colour": {"": [], "Red": ["red"], "blue": ["blue"]},
    "tags": {"": [], "a": ["a"], "c|A": ["a", "c"]},
    "member": {"": [], "oui": ["yes"], "non": ["no"]},
    "mobile": {"": None, "06 12 34 56 78": "+33612345678"},
    "Opt-In Email": {"": False, "Non": False, "Oui": True},
    "Statut Email": {"": None, "Hard": "hard", "Soft": "soft", "Valide": "valid"},
}
KEYS = ("a@x.fr", "B@x.fr", "c@x.fr", "d@x.fr", "nobody")


@dataclass
class File:
    """Columns besides the address, rows of cells, and how it is imported."""

    columns: list[str]
    rows: list[tuple[str, list[str]]]
    only_new: bool = False

    def body(self) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=";")
        writer.writerow(["Email", *self.columns])
        writer.writerows([key, *cells] for key, cells in self.rows)
        return text.getvalue().encode()


@dataclass
class Model:
    base: dict[str, dict[str, Any]] = field(default_factory=dict)

    def import_(self, file: File) -> tuple[set[str], set[str], set[str], dict[str, int]]:
        last = {key.lower(): (key, cells) for key, cells in file.rows if "@" in key}
        added, updated, reactivated = set(), set(), 0
        for key, (email, cells) in last.items():
            before = self.base.get(key)
            if before is not None and file.only_new:
                continue
            after = dict(EMPTY if before is None else before) | {"email": email}
            for column, cell in zip(file.columns, cells, strict=True):
                self._set(after, column, CELLS[column][cell])
            if before is None:
                added.add(key)
            elif after != before:
                updated.add(key)
                reactivated += (before["email_left"] and not after["email_left"]) or (
                    before["email_status"] == "hard" and after["email_status"] == "valid"
                )
            self.base[key] = after
        readable = sum("@" in key for key, _ in file.rows)
        counts = {"added": len(added), "updated": len(updated), "unchanged": len(last) - len(added) - len(updated)}
        return set(last), added, updated, counts | {"replaced": readable - len(last), "reactivated": reactivated}

    def _set(self, contact: dict[str, Any], column: str, value: Any) -> None:
        if column == "Opt-In Email":
            contact |= {"email_optin": value, "email_left": not value}
        elif column != "Statut Email":
            contact[column] = value
        elif value is not None:
            softs = {"hard": contact["email_softs"], "soft": contact["email_softs"] + 1, "valid": 0}[value]
            stays = value == "soft" and contact["email_status"] == "hard"
            contact |= {"email_status": "hard" if stays else value, "email_softs": softs}


@st.composite
def files(draw: st.DrawFn) -> File:
    columns = draw(st.lists(st.sampled_from(list(CELLS)), unique=True, max_size=5))
    cells = st.tuples(*[st.sampled_from(list(CELLS[column])) for column in columns]).map(list)
    rows = draw(st.lists(st.tuples(st.sampled_from(KEYS), cells), max_size=9))
    return File(columns, [("a@x.fr", draw(cells)), *rows], draw(st.booleans()))


async def hold_to_the_model(database: Database, given_files: list[File]) -> None:
    base, model = await new_base(database, next(_names)), Model()
    for file in given_files:
        expected = model.import_(file)
        tried, import_ = await base.new_import(), await base.new_import()
        before = await base.contacts()

        await base.run(tried, file.body(), only_new=file.only_new, dry_run=True)
        assert await base.contacts() == before
        reading = await base.run(import_, file.body(), only_new=file.only_new)

        included, added, updated, counts = expected
        found = await base.contacts()
        assert {key: found[key] for key in sorted(found)} == {key: model.base[key] for key in sorted(model.base)}
        assert await base.members(import_) == (included, added, updated)
        assert await base.members(tried) == (set(), set(), set())
        assert included >= added | updated
        assert not added & updated
        assert await base.counts(import_) == counts
        assert await base.counts(tried) == counts
        assert await base.report(tried) == await base.report(import_)
        told = counts["added"] + counts["updated"] + counts["unchanged"] + counts["replaced"]
        assert told + reading.refused == len(file.rows)


@settings(max_examples=40, phases=(Phase.generate,), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(files(), min_size=1, max_size=3))
def test_e8_to_e15_any_files_one_after_the_other_make_what_the_model_says(
    made_url: str, given_files: list[File]
) -> None:
    async def run() -> None:
        database = Database(made_url, 2, 30)
        try:
            await hold_to_the_model(database, given_files)
        finally:
            await database.close()

    asyncio.run(run())


@pytest.fixture
def made_url(postgres_server: Any) -> Any:
    async def make() -> str:
        url: str = await postgres_server.new()
        database = Database(url, 2, 30)
        await migrating.migrate(database, migrating.steps())
        await database.close()
        return url

    url = asyncio.run(make())
    yield url
    asyncio.run(postgres_server.drop(url))
