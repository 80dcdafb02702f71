"""The Maildir in which mail is dropped: what is taken, put aside, left where it is, and by whom."""

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.bounces import maildir
from services.bounces.bounces import Received
from services.bounces.maildir import Maildir
from shared.words import events
from shared.words.errors import OperatorFault
from tests.unit.bounces.parts import DOMAIN, RETURN_PATH, UNSUBSCRIBE, Desk, sample

BOUNCE = sample("postfix-user-unknown.eml").replace(b"\r\n", b"\n")
DELIVERED = b"Return-Path: <>\nX-Original-To: %b\nDelivered-To: %b\n" % (RETURN_PATH.encode(), RETURN_PATH.encode())
MAX_BYTES = 100_000


def drop(folder: Path, name: str, raw: bytes) -> None:
    (folder / "tmp" / name).write_bytes(raw)
    (folder / "tmp" / name).rename(folder / "new" / name)


def names(folder: Path, *of: str) -> list[str]:
    return sorted(f"{one}/{file.name}" for one in of or ("new", "cur", "bad") for file in (folder / one).iterdir())


def watching(desk: Desk, folder: Path, *, keep: bool = False) -> Maildir:
    return Maildir(desk.bounces, folder, max_mail_bytes=MAX_BYTES, keep=keep)


async def test_a_mail_becomes_its_facts_and_is_removed(tmp_path: Path) -> None:
    desk = Desk()
    watched = watching(desk, tmp_path)
    drop(tmp_path, "1.a.host", DELIVERED + BOUNCE)

    await watched.look(asyncio.Event())

    assert [type(fact) for fact in desk.bus.facts] == [events.Bounced]
    assert names(tmp_path) == []


async def test_where_it_shall_be_kept_it_is_moved_as_one_that_was_seen(tmp_path: Path) -> None:
    desk = Desk()
    watched = watching(desk, tmp_path, keep=True)
    drop(tmp_path, "1.a.host", DELIVERED + BOUNCE)

    await watched.look(asyncio.Event())

    assert names(tmp_path) == ["cur/1.a.host:2,S"]


async def test_the_same_mail_by_smtp_and_by_file_is_one_event(tmp_path: Path) -> None:
    desk = Desk()
    watched = watching(desk, tmp_path)
    drop(tmp_path, "1.a.host", DELIVERED + BOUNCE)

    await watched.look(asyncio.Event())
    await desk.bounces.receive(Received("", (RETURN_PATH,), BOUNCE.replace(b"\n", b"\r\n")))

    assert len(desk.bus.batches) == 1


async def test_while_redis_is_away_it_stays_and_is_taken_later(tmp_path: Path) -> None:
    desk = Desk()
    watched = watching(desk, tmp_path)
    for number in range(30):
        drop(tmp_path, f"{number:02}.a.host", DELIVERED + BOUNCE)
    desk.bus.is_away = True

    wait_s = await watched.look(asyncio.Event())
    waited = names(tmp_path)
    desk.bus.is_away = False
    await watched.look(asyncio.Event())

    assert wait_s == maildir.AWAY_S
    assert len(waited) == 30
    assert names(tmp_path) == []
    assert len(desk.bus.facts) == 1  # thirty times the same


async def test_a_crash_between_the_facts_and_the_removal_makes_no_second_event(tmp_path: Path) -> None:
    desk = Desk()
    drop(tmp_path, "1.a.host", DELIVERED + BOUNCE) if (watched := watching(desk, tmp_path)) else None
    watched._put_away = lambda name: None  # type: ignore[method-assign]  # it dies before

    await watched.look(asyncio.Event())
    left = names(tmp_path)
    await watching(desk, tmp_path).look(asyncio.Event())

    assert left == ["new/1.a.host"]
    assert names(tmp_path) == []
    assert len(desk.bus.facts) == 1


async def test_what_is_no_mail_is_put_aside_and_holds_up_nobody(tmp_path: Path) -> None:
    desk = Desk()
    watched = watching(desk, tmp_path)
    new = tmp_path / "new"
    secret = tmp_path / "secret"
    secret.write_text("nobody's business")
    (new / "link").symlink_to(secret)
    (new / "folder").mkdir()
    os.mkfifo(new / "pipe")
    (new / "empty").write_bytes(b"")
    (new / "huge").write_bytes(b"x" * (MAX_BYTES + 1))
    (new / ".being-written").write_bytes(b"")
    drop(tmp_path, "good", DELIVERED + BOUNCE)

    await watched.look(asyncio.Event())

    assert names(tmp_path) == ["bad/empty", "bad/folder", "bad/huge", "bad/link", "bad/pipe", "new/.being-written"]
    assert secret.read_text() == "nobody's business"
    assert len(desk.bus.facts) == 1
    assert desk.drawer.mails == []


async def test_a_mail_over_which_we_stumble_is_put_aside(tmp_path: Path) -> None:
    desk = Desk()

    class Stumbles:
        accepts = desk.bounces.accepts

        async def receive(self, received: Received) -> bool:
            raise ZeroDivisionError

    watched = Maildir(Stumbles(), tmp_path, max_mail_bytes=MAX_BYTES)
    drop(tmp_path, "1.a.host", DELIVERED + BOUNCE)

    await watched.look(asyncio.Event())

    assert names(tmp_path) == ["bad/1.a.host"]


async def test_a_mail_that_another_process_reads_is_left_to_it(tmp_path: Path) -> None:
    desk = Desk()
    watched = watching(desk, tmp_path)
    drop(tmp_path, "1.a.host", DELIVERED + BOUNCE)

    with (tmp_path / "new" / "1.a.host").open("rb") as taken:
        fcntl.flock(taken, fcntl.LOCK_EX)
        await watched.look(asyncio.Event())
        left = names(tmp_path)
    await watched.look(asyncio.Event())

    assert left == ["new/1.a.host"]
    assert names(tmp_path) == []


async def test_several_watch_one_maildir_and_each_mail_is_read_once(tmp_path: Path) -> None:
    reads: list[str] = []

    class Counts:
        accepts = Desk().bounces.accepts

        async def receive(self, received: Received) -> bool:
            await asyncio.sleep(0)
            reads.append(received.raw.decode())
            return False

    several = [Maildir(Counts(), tmp_path, max_mail_bytes=MAX_BYTES) for _ in range(4)]
    for number in range(200):
        drop(tmp_path, f"{number:03}.a.host", b"To: postmaster@%b\n\nnumber %d\n" % (DOMAIN.encode(), number))

    await asyncio.gather(*(one.look(asyncio.Event()) for one in several))

    assert sorted(reads) == sorted(set(reads))
    assert len(reads) == 200
    assert names(tmp_path) == []


_DIES = """\
import asyncio, os, sys
from pathlib import Path
from services.bounces.maildir import Maildir

class Dies:
    def accepts(self, address): return "signed"
    async def receive(self, received): os._exit(9)

asyncio.run(Maildir(Dies(), Path(sys.argv[1]), max_mail_bytes=100_000).look(asyncio.Event()))
"""


async def test_a_process_that_dies_over_a_mail_lets_go_of_it(tmp_path: Path) -> None:
    desk = Desk()
    watched = watching(desk, tmp_path)
    drop(tmp_path, "1.a.host", DELIVERED + BOUNCE)

    died = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", _DIES, str(tmp_path)], check=False)
    left = names(tmp_path)
    await watched.look(asyncio.Event())

    assert died.returncode == 9
    assert left == ["new/1.a.host"]
    assert len(desk.bus.facts) == 1


async def test_a_folder_that_goes_away_is_looked_for_again(tmp_path: Path) -> None:
    desk = Desk()
    folder = tmp_path / "drop"
    watched = watching(desk, folder)
    folder.rename(tmp_path / "away")

    waited_s = await watched.look(asyncio.Event())
    (tmp_path / "away").rename(folder)
    drop(folder, "1.a.host", DELIVERED + BOUNCE)
    await watched.look(asyncio.Event())

    assert waited_s == maildir.AWAY_S
    assert len(desk.bus.facts) == 1


def test_where_there_can_be_no_maildir_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OperatorFault, match=r"bounces\.maildir"):
        watching(Desk(), tmp_path / "file")


async def test_it_ends_when_the_process_shall_stop(tmp_path: Path) -> None:
    stopping = asyncio.Event()
    running = asyncio.create_task(watching(Desk(), tmp_path).run(stopping))

    stopping.set()

    await asyncio.wait_for(running, 60)


@pytest.mark.parametrize("header", ["Delivered-To", "X-Original-To", "Envelope-To", "To"])
async def test_whom_it_came_to_is_read_from_what_servers_note(header: str, tmp_path: Path) -> None:
    desk = Desk()
    watched = watching(desk, tmp_path)
    drop(tmp_path, "1", b"%b: <%b>\nSubject: unsubscribe\n\n" % (header.encode(), UNSUBSCRIBE.encode()))

    await watched.look(asyncio.Event())

    assert [type(fact) for fact in desk.bus.facts] == [events.Unsubscribed]
