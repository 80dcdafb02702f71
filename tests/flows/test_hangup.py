"""SIGHUP, to the supervisor and to each of its processes, ends none of them."""

import os
import re
import signal
from pathlib import Path

from services import catalogue
from tests.flows.stack import Stack

PROCESSES = (*(service.name for service in catalogue.of_an_instance("mailbox")), "redis", "relay.signing")


def outlives_hangup(pid: int) -> bool:
    """It is ignored or caught, as the kernel tells it: bit n - 1 of the masks is signal n."""
    masks = re.findall(r"^Sig(?:Ign|Cgt):\s+([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert len(masks) == 2
    return any(int(mask, 16) & 1 << signal.SIGHUP - 1 for mask in masks)


async def test_a_hangup_ends_no_process_of_an_instance(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        assert stack._process is not None
        before = {name: stack.pid_of(name) for name in PROCESSES}

        everybody = (stack._process.pid, *before.values())

        async def have_begun() -> bool:
            return all(outlives_hangup(pid) for pid in everybody)

        await stack.until(have_begun)  # a signing process has libraries to read first
        for pid in everybody:
            os.kill(pid, signal.SIGHUP)
        job = await stack.send("ana@example.org")

        report = await stack.done(job)
        assert report["counts"]["delivered"] == 1
        assert {name: stack.pid_of(name) for name in PROCESSES} == before
        assert "is started again" not in (tmp_path / "run.log").read_text()
