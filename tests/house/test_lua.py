"""Lua stands in files of its own, beside the module that calls it, and says at its head what goes in and comes out.

Whether it can be read at all is asked of Redis itself (`tests/redis/test_scripts.py`): it is the Lua that will run it.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What begins scripts is none by itself: it has no answer.
BEGINNINGS = ("_common", "_index_parked")


def sources() -> list[Path]:
    return sorted(file for folder in ("services", "shared") for file in (ROOT / folder).rglob("*.py"))


def scripts() -> list[Path]:
    return sorted(file for folder in ("services", "shared") for file in (ROOT / folder).rglob("*.lua"))


def named_by(source: Path) -> set[Path]:
    """The files of the scripts that a module names: `Script.of(__file__, "bus_publish")`."""
    return {
        source.with_name(f"{name.value}.lua")
        for node in ast.walk(ast.parse(source.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Script.of")
        for name in node.args[1:]
        if isinstance(name, ast.Constant) and isinstance(name.value, str)
    }


def head(script: Path) -> str:
    """The comment that a script begins with, up to the first empty line."""
    return script.read_text("utf-8").split("\n\n")[0]


def test_no_script_stands_in_a_string_of_python() -> None:
    assert [str(source) for source in sources() if "redis.call(" in source.read_text("utf-8")] == []


def test_each_script_is_called_by_the_module_after_which_it_is_named_and_by_no_other() -> None:
    callers = {source: named_by(source) for source in sources()}

    assert [str(one) for one in scripts() if not any(one in named for named in callers.values())] == []
    for source, named in callers.items():
        assert [str(one) for one in named if not one.is_file() or not one.stem.startswith(f"{source.stem}_")] == []


def test_each_script_says_what_it_is_for_and_what_goes_in_and_comes_out() -> None:
    for script in scripts():
        lines = head(script).split("\n")

        assert all(line.startswith("--") for line in lines), script
        if script.stem.endswith(BEGINNINGS):
            assert lines[0].startswith("-- Begins"), script
        else:
            words = ("ARGV", "Answers") if script.stem.startswith("ready_") else ("KEYS", "ARGV", "Answers")
            for word in words:
                assert any(line.startswith(f"-- {word}  ") for line in lines), f"{script}: no {word}"
            assert not lines[0].startswith("-- KEYS"), f"{script}: says not what it is for"


def test_no_line_of_a_script_is_longer_than_one_of_python() -> None:
    assert [
        f"{script}:{number}"
        for script in scripts()
        for number, line in enumerate(script.read_text("utf-8").split("\n"), 1)
        if len(line) > 120 or line != line.rstrip()
    ] == []
