"""`estafette classify`: a line of JSON for each reported recipient, of mails, mboxes, folders, or one reply."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.console.console import main
from tests.unit.bounces.parts import SAMPLES

KEYS = ["file", "kind", "recipient", "status", "class", "verdict", "about", "diagnostic"]
TWO = SAMPLES / "made" / "sendmail-two.eml"


def classify(*words: str | Path, given: bytes = b"") -> Result:
    return CliRunner().invoke(main, ["classify", *map(str, words)], input=given)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_recipient_is_a_line_with_these_names() -> None:
    result = classify(TWO)

    assert result.exit_code == 0
    first, second = lines(result)
    assert list(first) == KEYS
    assert first == {
        "file": str(TWO), "kind": "bounce", "recipient": "unknown.ana@far.test", "status": "5.1.1",
        "class": "unknown_user", "verdict": "hard", "about": "recipient",
        "diagnostic": "550 5.1.1 <unknown.ana@far.test>: Recipient address rejected: "
        "User unknown in virtual mailbox table",
    }  # fmt: skip
    assert [second[key] for key in ("recipient", "class", "verdict")] == ["full.ben@far.test", "mailbox_full", "soft"]


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    result = classify(tmp_path / "none.eml", TWO)

    assert result.exit_code == 1
    assert len(lines(result)) == 2
    assert f"{tmp_path / 'none.eml'}: No such file or directory" in result.stderr


def test_standard_input_is_a_mail() -> None:
    assert [line["file"] for line in lines(classify("-", given=TWO.read_bytes()))] == ["-", "-"]


def test_an_mbox_has_several_mails(tmp_path: Path) -> None:
    mails = [(SAMPLES / name).read_bytes() for name in ("made/dma-plain.eml", "written/reply-en.eml")]
    (tmp_path / "mbox").write_bytes(b"\n".join(b"From MAILER-DAEMON Thu Oct  9 2025\n" + mail for mail in mails))

    said = [(line["file"].rpartition(":")[2], line["kind"]) for line in lines(classify(tmp_path / "mbox"))]

    assert said == [("1", "bounce"), ("2", "reply")]


@pytest.mark.parametrize("folders", [("new", "cur", "tmp"), ("inbox",)])
def test_a_maildir_or_a_folder_is_read_mail_by_mail(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1").write_bytes(TWO.read_bytes())

    files = {Path(line["file"]).parent.name for line in lines(classify(tmp_path))}

    assert files == set(folders) - {"tmp"}  # what lies in there is not whole


@pytest.mark.parametrize(
    ("text", "kind", "verdict", "about"),
    [
        ("550 5.1.1 User unknown", "bounce", "hard", "recipient"),
        ("452 4.2.2 Mailbox full", "delay", "soft", "mailbox"),
        ("554 5.7.1 Blocked using zen.spamhaus.org", "bounce", "none", "sender"),
        ("5.1.2 Host unknown", "bounce", "hard", "host"),
    ],
)
def test_one_reply_is_a_line(text: str, kind: str, verdict: str, about: str) -> None:
    [line] = lines(classify("--text", text))

    assert (line["file"], line["kind"], line["verdict"], line["about"]) == (None, kind, verdict, about)
    assert line["diagnostic"] == text


@pytest.mark.parametrize("words", [[], [str(TWO), "--text", "550 no"]])
def test_files_or_a_reply_and_not_both(words: list[str]) -> None:
    result = classify(*words)

    assert result.exit_code == 2
    assert "--text" in result.stderr
