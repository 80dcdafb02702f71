"""How many received mails a process opens and classifies in a second, beside Sisimai on the same mails in the same run.

The mails are those of `tests/data/bounces`: reports of every shape, and what is none. Speed is CPU seconds of one
process, so that a busy machine counts less; Sisimai's start is not counted, for it is asked for its own clock.
"""

import subprocess
import time
from pathlib import Path
from shutil import which
from typing import Any

import msgspec

from services.bounces import classified

MAILS = Path(__file__).resolve().parents[1] / "tests" / "data" / "bounces"
#: Long enough that the clock's grain is no matter, short enough to stand among other measures.
ROUNDS = 5
_SISIMAI = """
use Sisimai; use Time::HiRes qw(clock);
my $began = clock();
for my $file (@ARGV) { eval { Sisimai->dump($file) } }
printf "%.6f", clock() - $began;
"""


class Speed(msgspec.Struct, frozen=True):
    """`sisimai_mails_per_s` is None where Debian's libsisimai-perl is not installed."""

    mails: int
    mails_per_s: float
    sisimai_mails_per_s: float | None


def measure(rounds: int = ROUNDS) -> Speed:
    """The best of `rounds` over all mails, for both."""
    files = sorted(file for file in MAILS.rglob("*.eml") if file.parent.name != "hostile")
    raws = [file.read_bytes() for file in files]
    best_s = min(_once_s(raws) for _ in range(rounds + 1))
    sisimai_s = _sisimai_s(files)
    return Speed(len(raws), len(raws) / best_s, len(raws) / sisimai_s if sisimai_s else None)


def _once_s(raws: list[bytes]) -> float:
    began_s = time.process_time()
    for raw in raws:
        classified.of_mail(raw)
    return time.process_time() - began_s


def _sisimai_s(files: list[Path]) -> float | None:
    perl = which("perl")
    if perl is None or subprocess.run([perl, "-MSisimai", "-e1"], capture_output=True).returncode:
        return None
    ran: Any = subprocess.run([perl, "-e", _SISIMAI, *map(str, files)], capture_output=True, text=True, check=True)
    return float(ran.stdout)


if __name__ == "__main__":
    print(msgspec.json.encode(measure()).decode())
