"""Lines in the log: what is about a message says which."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
#: Lines about a whole job.
OF_A_JOB = {
    "job_stored",
    "job_changed",
    "job_started",
    "started",
    "open_job_removed",
    "seeds_sent",
    "selected",
    "finished",
    "targeted",
    "not_targeted",
    "targeting_away",
}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Each call that writes a line, or binds what lines to come will have."""
    for top in ("services", "shared"):
        for file in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                written_by = ast.unparse(node.func.value).rpartition(".")[2].strip("_()")
                if node.func.attr in LEVELS | {"bind"} and ("log" in written_by or "get_logger" in written_by):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def test_there_are_lines_to_look_at() -> None:
    assert len(list(calls())) > 80


def test_a_line_that_names_a_job_names_the_message_or_is_about_the_whole_job() -> None:
    wrong = []
    for place, call in calls():
        named = {keyword.arg for keyword in call.keywords}
        word = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if "ordinal" in named or ("job" in named and "message" not in named and word not in OF_A_JOB):
            wrong.append(place)

    assert wrong == []
