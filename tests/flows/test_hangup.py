"""SIGHUP, to the supervisor and to each of its processes, ends none of them."""

import os
import re
import signal
from pathlib import Path

from services import catalogue
from tests.flows.stack import Stack

PROCESSES = (*(service.name for service in catalogue.of_an_instance("mailbox")), "redis", "relay.signing")


def ignores_hangup(pid: int) -> bool:
    """As the kernel tells it: bit n - 1 of the mask is signal n."""
    ignored = re.search(r"^SigIgn:\s+([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert ignored is not None
    return bool(int(ignored[1], 16) & 1 << signal.SIGHUP - 1)


async def test_a_hangup_ends_no_process_of_an_instance(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        assert stack._process is not None
        before = {name: stack.pid_of(name) for name in PROCESSES}

        everybody = (stack._process.pid, *before.values())

        async def have_begun() -> bool:
            return all(ignores_hangup(pid) for pid in everybody)

        await stack.until(have_begun)  # a signing process has libraries to read first
        for pid in everybody:
            os.kill(pid, signal.SIGHUP)
        job = await stack.send("ana@example.org")

        report = await stack.done(job)
        assert report["counts"]["delivered"] == 1
        assert {name: stack.pid_of(name) for name in PROCESSES} == before
        assert "is started again" not in (tmp_path / "run.log").read_text()
