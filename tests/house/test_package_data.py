"""What is no Python in our packages is installed with them: else it is there in a clone, and missing from a wheel."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: `docs` has no code: all of it is data, which the pages for people show.
FOLDERS = ("services", "shared", "docs")


def files(package: str, pattern: str) -> Iterator[Path]:
    """What a package installs by a pattern; `*` stands for every package."""
    if package != "*":
        return (ROOT / package.replace(".", "/")).glob(pattern)
    return (file for folder in FOLDERS for file in (ROOT / folder).rglob(pattern))


def test_every_file_beside_the_code_is_named_as_data_of_its_package() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]

    named = {file for package, patterns in data.items() for pattern in patterns for file in files(package, pattern)}
    there = {
        file
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc")
    }

    assert there == named
