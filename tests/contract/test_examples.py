"""Golden examples: bytes that lie in streams and archives somewhere, and will be read for ever."""

import json
from pathlib import Path
from typing import Any

import msgpack
import pytest

from shared.words import events
from tests.contract import make_examples
from tests.contract.fields import defaults, fields_of, message_of

EXAMPLES = sorted(make_examples.EXAMPLES.glob("*/*.json"))


def name_of(path: Path) -> str:
    return path.parent.name


def read(path: Path) -> tuple[dict[str, Any], bytes]:
    example = json.loads(path.read_text(encoding="utf-8"))
    assert set(example) == {"fields", "bytes"}
    return example["fields"], bytes.fromhex(example["bytes"])


def title(path: Path) -> str:
    return f"{name_of(path)}-{path.stem}"


def is_outgrown(path: Path) -> bool:
    """Whether it is of a newer writer whose unknown elements have got another meaning since."""
    fields, body = read(path)
    return len(msgpack.unpackb(body)) > len(fields) < len(events.MESSAGES[name_of(path)].__struct_fields__)


def test_every_message_has_its_examples_and_every_example_its_message() -> None:
    assert {name_of(path) for path in EXAMPLES} == set(events.MESSAGES)
    for name, message in events.MESSAGES.items():
        cases = {path.stem for path in EXAMPLES if name_of(path) == name}
        count = len(message.__struct_fields__)

        assert {f"full-{count}", f"minimal-{count}", f"newer-{count}"} <= cases
        assert not defaults(message) or any(case.startswith("older-") for case in cases)


def test_no_example_is_missing_and_none_was_changed() -> None:
    examples = list(make_examples.examples())

    assert len(examples) > 3 * len(events.MESSAGES) > 0
    for path, example in examples:
        written = make_examples.EXAMPLES / path

        assert json.loads(written.read_text(encoding="utf-8")) == example, path


@pytest.mark.parametrize("name", sorted(events.MESSAGES))
def test_the_full_example_shows_every_field_at_something_else_than_its_default(name: str) -> None:
    default = defaults(events.MESSAGES[name])

    fields, _ = read(make_examples.EXAMPLES / name / f"full-{len(events.MESSAGES[name].__struct_fields__)}.json")

    assert [key for key, value in fields.items() if key in default and value == default[key]] == []


@pytest.mark.parametrize("path", [path for path in EXAMPLES if not is_outgrown(path)], ids=title)
def test_an_example_is_read_as_the_fields_it_was_written_from(path: Path) -> None:
    fields, body = read(path)

    message = events.decode(name_of(path), body)

    grown = {key: value for key, value in defaults(type(message)).items() if key not in fields}
    assert fields_of(message) == {**fields, **grown}


@pytest.mark.parametrize("path", EXAMPLES, ids=title)
def test_an_example_is_written_as_the_same_bytes_again(path: Path) -> None:
    fields, body = read(path)
    array = msgpack.unpackb(body)

    written = events.encode(message_of(name_of(path), fields))

    common = min(len(array), len(fields))
    assert msgpack.unpackb(written)[:common] == array[:common]
    if len(array) == len(events.MESSAGES[name_of(path)].__struct_fields__) and not is_outgrown(path):
        assert written == body


@pytest.mark.parametrize("path", EXAMPLES, ids=title)
def test_the_independent_reader_finds_the_same_values(path: Path) -> None:
    fields, body = read(path)

    array = msgpack.unpackb(body)

    # A field's number is its place for ever: the name of an example's field never moves to another place.
    assert list(fields) == list(events.MESSAGES[name_of(path)].__struct_fields__)[: len(fields)]
    assert array[: len(fields)] == list(fields.values())[: len(array)]


def test_an_example_that_is_there_is_never_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_examples, "EXAMPLES", tmp_path)
    assert make_examples.main() == 0
    path = tmp_path / "Intake" / "full-3.json"
    path.write_text(path.read_text().replace("demo", "other"))
    before = {file: file.read_bytes() for file in tmp_path.glob("*/*.json")}

    assert make_examples.main() == 1

    assert {file: file.read_bytes() for file in tmp_path.glob("*/*.json")} == before
