"""What is in the repository is what a clone can use: no link, and nothing that the machine makes for itself."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Each is made by a command of the Makefile, or by a tool of it; in the repository it would stand in the way of that.
MADE_HERE = {".venv", ".peers", ".audit", ".run", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}


def links(folder: Path = ROOT) -> Iterator[Path]:
    for file in folder.iterdir():
        if file.name in MADE_HERE | {".git"}:
            continue
        if file.is_symlink():
            yield file.relative_to(ROOT)
        elif file.is_dir():
            yield from links(file)


def test_no_file_is_a_link() -> None:
    assert list(links()) == []


def test_what_is_made_here_is_ignored_be_it_a_folder_or_a_link() -> None:
    # With a slash at its end a pattern is for folders alone, and `git add .` takes a link of that name.
    patterns = (ROOT / ".gitignore").read_text("utf-8").splitlines()

    assert set(patterns) >= MADE_HERE
