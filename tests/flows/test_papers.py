"""Every command that the documents show is run: against an instance, in the order in which a reader meets them."""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.local import postgres_server
from tests.flows.stack import Stack
from tests.servers import ANY_METRICS_PORT, free_port, need

ROOT = Path(__file__).resolve().parents[2]
#: `docs/api.md` shows requests with ids that nobody has: it is made of the OpenAPI document, and tests/contract holds
#: each of its examples against the shape of what is sent and answered.
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "loadtests/README.md",
    *(page for page in sorted(ROOT.glob("docs/**/*.md")) if page != ROOT / "docs/api.md"),
]

#: What is not run here, each with its reason. Whatever a document shows beside these is.
NOT_RUN = {
    "docker ": "there is none here; tests/contract/test_compose.py reads what it is given",
    "helm ": "there is no cluster here; tests/contract/test_chart.py renders",
    "kubectl ": "there is no cluster here",
    "useradd ": "a user of this machine",
    "python3 -m venv /opt": "a place of this machine",
    "install -": "a place of this machine",
    "systemctl ": "tests/peers/test_systemd.py has the units read",
    "kill -HUP ": "tests/flows/test_reload.py sends it",
    "nft ": "the firewall of this machine",
    "journalctl ": "the journal of this machine",
    ".venv/bin/python -m services.http chart": "writes into the chart; tests/contract/test_chart_values.py holds it",
    "grep -h": "the job of the example is nobody's; tests/flows/test_operator.py follows one of its own",
    "make run": "the instance that the others are run against is started by the fixture, on free ports",
    "make demo": "test_the_demo_ends_with_figures_that_add_up runs it, in an instance of its own",
    "make test": "it would run this test",
    "FAILOVERS=3 make test": "as make test",
    "FULL_DISK_JOBS=88 make test": "as make test",
    "make check": "it would run this test",
    "make drill": "takes as long as its faults; tests/peers/test_drill.py tries some of them",
    "make chaos": "takes minutes; tests/unit/loadtests holds its account, tests/flows/test_kill.py the promise",
    "make format": "changes what is here",
    "make audit": "asks the world which versions have known faults",
    ".ci/run": "it would run this test",
    ".venv/bin/python -m loadtests.": "measures, and reads no package from the directory of this test",
    "make bench-": "measures, for minutes; tests/unit/loadtests and tests/edges/loadtests hold the parts",
    "ESTAFETTE_REDIS_URL=redis+cluster://127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 make run": "as make run",
}
#: What never ends: what it says when it works, "" if nothing.
ENDLESS = {
    "redis-server": "eady to accept connections",
    ".venv/bin/estafette serve": '"event":"ready"',
    ".venv/bin/estafette tail": "",
    ".venv/bin/estafette events demo --follow": "",
    "curl -sSN": "",
}
#: What is refused here, as the document says, because nobody has published the records, and a relay runs.
REFUSED = {
    ".venv/bin/estafette domains check": "not as they should be",
    ".venv/bin/estafette domains activate": "not activated",
    ".venv/bin/estafette restore": "relay is alive",
}

# The id of a job, as the README shows it: the reader has another.
_JOB = re.compile(r"^job=[0-9a-v]{20}\b", re.MULTILINE)
_PROLOGUE = r"""
set -euo pipefail
trap 'echo "failed: $BASH_COMMAND" >&2' ERR
curl() { command curl --fail-with-body "$@" | tee last.json; [ -e first.json ] || cp last.json first.json; }
endless() {  # what to wait for, then the command
  local sign=$1 log; shift
  log=$(mktemp -p "$PWD" log.XXXXXX)
  ( exec "$@" ) >"$log" 2>&1 &
  children="${children:-} $!"
  [ -n "$sign" ] || return 0
  for _ in $(seq 600); do
    grep -q -- "$sign" "$log" && return 0
    kill -0 $! || break
    sleep 0.1
  done
  echo "never came up: $*" >&2; cat "$log" >&2; exit 1
}
refused() {
  local sign=$1 said; shift
  if said=$("$@" 2>&1); then echo "was not refused: $*" >&2; exit 1; fi
  grep -q -- "$sign" <<<"$said" || { echo "$said" >&2; exit 1; }
}
trap 'for child in ${children:-}; do kill -TERM "$child" || true; done; wait' EXIT
"""


def blocks(document: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def outside(block: str) -> Iterator[tuple[str, bool]]:
    """The lines, each with whether it is a command or begins one: nothing in a here-document is."""
    end = ""
    for line in block.splitlines():
        yield line, not end
        begun = re.search(r"(?<!<)<<'?([A-Z]+)\b", line)
        end = begun[1] if begun else "" if line == end else end


def script(document: Path, replaced: dict[str, str]) -> str:
    """What a reader would type, but for what is in the tables above, and with `replaced` for what is their own."""
    lines = [_PROLOGUE]
    for block in blocks(document):
        for line, is_command in outside(block):
            for old, new in replaced.items():
                line = line.replace(old, new)
            lines.append(prepared(line) if is_command else line)
    lines.append('for child in ${children:-}; do kill -0 "$child"; done')  # none has ended by itself
    text = "\n".join(lines) + "\n"
    return _JOB.sub(lambda _: """job=$(sed -n 's/^{"id":"\\([^"]*\\)".*/\\1/p' first.json)""", text)


def prepared(line: str) -> str:
    if any(line.startswith(beginning) for beginning in NOT_RUN):
        return ":"
    before, and_then, last = line.rpartition(" && ")
    for table, word in ((ENDLESS, "endless"), (REFUSED, "refused")):
        for beginning, sign in table.items():
            if last.startswith(beginning):
                return f"{before}{and_then}{word} '{sign}' {last}"
    return line


def runnable(document: Path) -> bool:
    lines = [line for block in blocks(document) for line, is_command in outside(block) if is_command]
    return any(prepared(line) != ":" for line in lines)


def test_what_is_not_run_is_shown_somewhere() -> None:
    shown = [line for document in DOCUMENTS for block in blocks(document) for line, _ in outside(block)]

    for beginning in (*NOT_RUN, *ENDLESS, *REFUSED):
        assert any(beginning in line for line in shown), beginning


def instance(document: Path) -> dict[str, str]:
    """Settings of the one that its commands are run against: with a PostgreSQL where it needs one."""
    return {
        "ESTAFETTE_REDIS_PARTITIONS": "8",
        "ESTAFETTE_CONTACTS_PRIVATE": "true" if "/v1/contact" in document.read_text() else "false",
    }


@pytest.mark.parametrize(
    "document", [one for one in DOCUMENTS if runnable(one)], ids=lambda document: str(document.relative_to(ROOT))
)
async def test_every_command_of_a_document_works(document: Path, tmp_path: Path) -> None:
    need("curl")
    console = tmp_path / ".venv/bin/estafette"
    console.parent.mkdir(parents=True)
    console.write_text(f'#!/bin/sh\nexec {sys.executable} -m services.console.console "$@"\n')
    console.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "bin/redis-server").symlink_to(need("redis-server"))
    if instance(document)["ESTAFETTE_CONTACTS_PRIVATE"] == "true":
        programs = postgres_server.find(tmp_path / ".run/postgresql").programs
        for name in ("createdb", "pg_dump", "pg_restore", "psql"):
            (tmp_path / "bin" / name).symlink_to(programs / name)
    # Of the parts that are served one by one; the instance has its own.
    ports = {f"ESTAFETTE_{name}_PORT": str(free_port()) for name in ("HTTP", "BOUNCES", "MAILBOX")}
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")},
        **ports,
        **ANY_METRICS_PORT,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ESTAFETTE_DNS_SERVERS": "127.0.0.1:1",
    }

    async with Stack.running(tmp_path / ".run", instance(document)) as stack:
        typed = script(document, {"http://127.0.0.1:8080": stack.base, "6390": str(free_port())})
        (tmp_path / "typed.sh").write_text(typed)
        process = await asyncio.create_subprocess_exec(
            "bash", "typed.sh", cwd=tmp_path, env=environ, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        printed, _ = await process.communicate()

        assert process.returncode == 0, printed.decode(errors="replace")[-4000:]
