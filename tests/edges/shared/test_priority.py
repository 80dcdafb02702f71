"""Who gives way takes less by the process' own number, and by the session's where Linux counts that."""

import subprocess
import sys
from pathlib import Path

import pytest

SAID = """
import os, sys
from pathlib import Path
from shared.process.priority import give_way
os.nice(int(sys.argv[1]))
os.setsid() if os.getpid() != os.getsid(0) else None
give_way(int(sys.argv[2]))
group = Path('/proc/self/autogroup')
print(os.nice(0), group.read_text().split()[-1] if group.exists() else 'none')
"""


@pytest.mark.parametrize(("inherited", "by", "level"), [(0, 0, 0), (0, 7, 7), (4, 0, 4), (4, 5, 9)])
def test_it_and_its_session_give_way(inherited: int, by: int, level: int) -> None:
    command = [sys.executable, "-c", SAID, str(inherited), str(by)]

    said = subprocess.run(command, check=True, capture_output=True, text=True, start_new_session=True).stdout.split()

    own, of_session = said
    assert int(own) == level
    assert of_session == (str(level) if Path("/proc/self/autogroup").exists() else "none")
