"""Lua stands in files of its own, beside the module that calls it, and says at its head what goes in and comes out.

Whether it can be read at all is asked of Redis itself (`tests/redis/test_scripts.py`): it is the Lua that will run it.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What begins scripts is none by itself: it has no answer.
BEGINNINGS = ("_common", "_index_parked")
#: Beginnings that a module offers to those of other modules.
_MAPS = ROOT / "shared/redis/addressed_common.lua"
OFFERED = {
    "addressed.LUA": (_MAPS,),
    "members.LUA": (_MAPS, ROOT / "shared/redis/members_common.lua"),
    "histories.LUA": (ROOT / "shared/redis/histories_common.lua",),
}
OFFERED_FILES = {file for files in OFFERED.values() for file in files}
#: What Redis gives a script, and what of Lua ours take.
GIVEN = {
    "KEYS", "ARGV", "redis", "cmsgpack", "struct", "bit",
    "ipairs", "pairs", "pcall", "next", "tonumber", "tostring", "type", "unpack", "error", "math", "string", "table",
}  # fmt: skip
WORDS = {
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "until", "while",
}  # fmt: skip
#: Comments and texts, which name nothing.
SILENT = re.compile(r"--[^\n]*|'(?:[^'\\\n]|\\.)*'")
#: A name that stands by itself: no field (`a.b`) and no record of ours (`JOB.b`).
NAME = re.compile(r"(?<![\w.])(?![A-Z]+\.)([A-Za-z_]\w*)(?!\w)")
DECLARED = re.compile(r"\b(?:local function|local|for|function)\b *(\w+(?:,\s*\w+)*)? *(?:\(([\w, ]*)\))?")


def sources() -> list[Path]:
    return sorted(file for folder in ("services", "shared") for file in (ROOT / folder).rglob("*.py"))


def scripts() -> list[Path]:
    return sorted(file for folder in ("services", "shared") for file in (ROOT / folder).rglob("*.lua"))


def called_by(source: Path) -> Iterator[list[Path]]:
    """The files of each script that a module calls: `Script.of(__file__, "ready_common", "ready_lease")`. First, if it
    has one, the beginning that another module offers: `begins=addressed.LUA`."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Script.of"):
            offered = [ast.unparse(option.value) for option in node.keywords if option.arg == "begins"]
            names = [ast.literal_eval(name) for name in node.args[1:]]
            begins = [file for name in offered for file in OFFERED[name]]
            yield begins + [source.with_name(f"{name}.lua") for name in names]


def named_by(source: Path) -> set[Path]:
    return {file for files in called_by(source) for file in files} - OFFERED_FILES


def undeclared(script: str) -> set[str]:
    """Names that a script takes and nowhere declares. Redis finds them only where it comes by."""
    spoken = SILENT.sub("''", script)
    declared = {name for lists in DECLARED.findall(spoken) for name in re.findall(r"\w+", ",".join(lists))}
    return set(NAME.findall(spoken)) - declared - GIVEN - WORDS


def head(script: Path) -> str:
    """The comment that a script begins with, up to the first empty line."""
    return script.read_text("utf-8").split("\n\n")[0]


def test_no_script_stands_in_a_string_of_python() -> None:
    assert [str(source) for source in sources() if "redis.call(" in source.read_text("utf-8")] == []


def test_each_script_is_called_by_the_module_after_which_it_is_named_and_by_no_other() -> None:
    callers = {source: named_by(source) for source in sources()}

    assert [
        str(one)
        for one in scripts()
        if one not in OFFERED_FILES and not any(one in named for named in callers.values())
    ] == []
    for source, named in callers.items():
        assert [str(one) for one in named if not one.is_file() or not one.stem.startswith(f"{source.stem}_")] == []


def test_no_script_takes_a_name_that_it_does_not_declare() -> None:
    wrong = {
        str(files[-1]): names
        for source in sources()
        for files in called_by(source)
        if (names := undeclared("\n".join(file.read_text("utf-8") for file in files)))
    }

    assert wrong == {}


def test_a_name_is_found_that_a_script_does_not_declare() -> None:
    assert undeclared("local a = 1\nb = a + c.d -- e\nreturn f('g', JOB.h)\n") == {"b", "c", "f"}
    assert undeclared("local function a(b, c)\n  for d, e in pairs(b) do c[d] = e end\nend\nreturn a\n") == set()


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
