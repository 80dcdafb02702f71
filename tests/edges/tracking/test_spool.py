"""The spool on a real disk: what was taken is there, whoever dies."""

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.tracking import frames
from services.tracking.frames import Batch
from services.tracking.spool import Spool, SpoolRefused
from shared.words.events import Opened

JOB = "0cm9ug6jmd7m8000001g"
LIMIT = 1024 * 1024


def batch(number: int) -> Batch:
    return Batch(f"b{number}", (Opened(event_id=str(number), occurred_at=number, tenant="demo", job=JOB, ordinal=1),))


def frame(number: int) -> bytes:
    return frames.frame(batch(number))


def spool(folder: Path, name: str = "one", max_bytes: int = LIMIT, file_bytes: int = LIMIT) -> Spool:
    opened = Spool(folder, name, max_bytes, file_bytes)
    opened.open()
    return opened


def replayed(waiting: Spool) -> list[str]:
    """The names of all batches, in order; the spool is empty afterwards."""
    names = []
    while (path := waiting.oldest()) is not None:
        names += [one.name for one in waiting.read(path).batches]
        waiting.remove(path, keep_copy=False)
    return names


def files(folder: Path, suffix: str = ".frames") -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == suffix)


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The kernel refuses to let files of this process grow beyond: a full disk, near enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_batches_come_out_in_the_order_they_went_in(tmp_path: Path) -> None:
    waiting = spool(tmp_path, file_bytes=2 * len(frame(1)))

    for number in range(5):
        waiting.append(frame(number))

    assert len(files(tmp_path)) == 3
    assert replayed(waiting) == ["b0", "b1", "b2", "b3", "b4"]
    assert files(tmp_path) == []
    assert waiting.size == 0


def test_a_file_being_replayed_is_not_written_any_more(tmp_path: Path) -> None:
    waiting = spool(tmp_path)
    waiting.append(frame(1))

    path = waiting.oldest()
    waiting.append(frame(2))

    assert path is not None
    assert [one.name for one in waiting.read(path).batches] == ["b1"]
    assert replayed(waiting) == ["b1", "b2"]


def test_its_size_is_shown(tmp_path: Path) -> None:
    waiting = spool(tmp_path)
    waiting.append(frame(1))
    waiting.append(frame(2))

    assert REGISTRY.get_sample_value("estafette_tracking_spool_bytes") == 2 * len(frame(1)) == waiting.size
    replayed(waiting)
    assert REGISTRY.get_sample_value("estafette_tracking_spool_bytes") == 0


def test_only_its_user_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    waiting = spool(folder)
    waiting.append(frame(1))

    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_a_full_spool_refuses_and_takes_again_once_replayed(tmp_path: Path) -> None:
    waiting = spool(tmp_path, max_bytes=2 * len(frame(1)))
    waiting.append(frame(1))
    waiting.append(frame(2))

    with pytest.raises(SpoolRefused):
        waiting.append(frame(3))
    assert replayed(waiting) == ["b1", "b2"]

    waiting.append(frame(4))
    assert replayed(waiting) == ["b4"]


def test_a_write_that_the_disk_cuts_short_is_refused_and_harms_no_other(tmp_path: Path) -> None:
    waiting = spool(tmp_path)
    waiting.append(frame(1))

    with no_file_beyond(len(frame(1)) + 10), pytest.raises(SpoolRefused):
        waiting.append(frame(2))
    waiting.append(frame(3))

    assert replayed(waiting) == ["b1", "b3"]


def test_a_folder_that_vanished_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    waiting = spool(folder)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()

    with pytest.raises(SpoolRefused):
        waiting.append(frame(1))


def test_a_torn_last_frame_is_ignored(tmp_path: Path) -> None:
    waiting = spool(tmp_path)
    waiting.append(frame(1))
    path = tmp_path / files(tmp_path)[0]
    with path.open("ab") as torn:
        torn.write(frame(2)[:-3])

    assert replayed(waiting) == ["b1"]


def test_a_damaged_file_is_kept_aside(tmp_path: Path) -> None:
    waiting = spool(tmp_path)
    waiting.append(frame(1))
    path = waiting.oldest()
    assert path is not None

    waiting.remove(path, keep_copy=True)

    assert waiting.oldest() is None
    assert files(tmp_path, ".damaged") == ["tracking-one.00000000.damaged"]


def test_what_a_closed_spool_leaves_is_taken_over_by_the_next(tmp_path: Path) -> None:
    first = spool(tmp_path, "first")
    first.append(frame(1))
    first.close()

    second = spool(tmp_path, "second")
    second.append(frame(2))

    assert replayed(second) == ["b1", "b2"]
    second.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_living_process_keeps_its_files(tmp_path: Path) -> None:
    first, second = spool(tmp_path, "first"), spool(tmp_path, "second")
    first.append(frame(1))
    second.append(frame(2))

    third = spool(tmp_path, "third")

    assert replayed(third) == []
    assert replayed(second) == ["b2"]
    assert replayed(first) == ["b1"]


def test_two_that_look_round_share_what_the_dead_have_left(tmp_path: Path) -> None:
    first, second, dying = (spool(tmp_path, name) for name in ("first", "second", "dying"))
    dying.append(frame(1))
    second.append(frame(2))
    assert not first.look_round()  # while it lives
    dying.close()

    found = [second.look_round(), first.look_round(), second.look_round()]

    assert found == [True, False, False]
    assert replayed(first) == []
    assert sorted(replayed(second)) == ["b1", "b2"]
    first.close()
    second.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    spool(tmp_path, "one")

    with pytest.raises(FileExistsError):
        spool(tmp_path, "one")


@pytest.mark.parametrize("name", ["", "../x", "a.b", "a-b", "é"])
def test_a_name_that_would_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        Spool(tmp_path, name, LIMIT)


_WRITER = """
import sys
from pathlib import Path
from tests.edges.tracking.test_spool import frame, spool
waiting = spool(Path(sys.argv[1]), "child")
for number in range(1_000_000):
    waiting.append(frame(number))
    print(number, flush=True)
"""


def test_what_a_killed_process_was_told_is_there_and_taken_over(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(20)]
    living = spool(tmp_path, "living")
    assert replayed(living) == []

    process.kill()
    told += [int(line) for line in process.stdout.read().splitlines() if line]
    process.wait()
    process.stdout.close()
    next_one = spool(tmp_path, "next")
    names = replayed(next_one)

    assert names[: len(told)] == [f"b{number}" for number in told]
    # It may have died between the fsync and the word of it.
    assert len(names) - len(told) <= 1
    living.close()
    next_one.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
