"""The main path: what RCPT TO and the final dot are answered, and who hears back later."""

import pytest

from services.local.mailbox import mailbox as main_path
from services.local.mailbox.mailbox import Mail, Mailbox, StoreAway
from services.local.mailbox.notices import Sent
from shared.words.behaviours import Notice


class Shelf:
    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.is_away = False

    async def keep(self, mail: Mail) -> None:
        if self.is_away:
            raise StoreAway
        self.mails.append(mail)


class Tray:
    def __init__(self) -> None:
        self.notices: list[tuple[Notice, Sent]] = []

    def put(self, kind: Notice, about: Sent) -> None:
        self.notices.append((kind, about))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def tray() -> Tray:
    return Tray()


@pytest.fixture
def mailbox(shelf: Shelf, tray: Tray) -> Mailbox:
    return Mailbox(shelf, tray)


def mail(*recipients: str, return_path: str = "b-1@bounces.localhost") -> Mail:
    return Mail(return_path, recipients, b"Subject: hello\r\n\r\nhello\r\n")


def test_an_address_is_greylisted_once(mailbox: Mailbox) -> None:
    replies = [mailbox.recipient("greylist@example.org") for _ in range(3)]

    assert [reply[:3] for reply in replies] == ["451", "250", "250"]


def test_each_address_is_greylisted_by_itself(mailbox: Mailbox) -> None:
    mailbox.recipient("greylist1@example.org")

    assert mailbox.recipient("greylist2@example.org").startswith("451")
    assert mailbox.recipient("GREYLIST1@example.org").startswith("250")


def test_the_memory_of_greylisted_addresses_is_bounded(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_path, "MAX_GREYLISTED", 2)
    for number in range(3):
        mailbox.recipient(f"greylist{number}@example.org")

    assert mailbox.recipient("greylist2@example.org").startswith("250")
    assert mailbox.recipient("greylist0@example.org").startswith("451")


def test_a_full_mailbox_stays_full(mailbox: Mailbox) -> None:
    assert [mailbox.recipient("full@example.org")[:3] for _ in range(2)] == ["452", "452"]


async def test_a_message_is_answered_when_it_is_stored(mailbox: Mailbox, shelf: Shelf) -> None:
    reply = await mailbox.message(mail("ana@example.org"))

    assert reply.startswith("250")
    assert [kept.recipients for kept in shelf.mails] == [("ana@example.org",)]


async def test_a_message_that_cannot_be_stored_is_refused_for_now(mailbox: Mailbox, shelf: Shelf, tray: Tray) -> None:
    shelf.is_away = True

    reply = await mailbox.message(mail("complain@example.org"))

    assert reply.startswith("451 4.3.0")
    assert tray.notices == []


async def test_each_recipient_who_answers_does_so_to_the_return_path(mailbox: Mailbox, tray: Tray) -> None:
    await mailbox.message(mail("ana@example.org", "bounce-later@example.org", "complain@example.org"))

    assert [(kind, about.recipient, about.return_path) for kind, about in tray.notices] == [
        ("bounce", "bounce-later@example.org", "b-1@bounces.localhost"),
        ("complaint", "complain@example.org", "b-1@bounces.localhost"),
    ]


async def test_nobody_answers_a_message_without_return_path(mailbox: Mailbox, tray: Tray) -> None:
    await mailbox.message(mail("bounce-later@example.org", return_path=""))

    assert tray.notices == []
