"""Files of one recipient: which are taken, and what is said of those that are not, each at its place."""

import json
from base64 import b64encode
from typing import Any

import pytest

from services.queueing import attachments, own_files, recipients
from services.queueing.appending import JsonRows
from services.queueing.attachments import MAX_OWN, MAX_OWN_BYTES, MAX_OWN_JSON_BYTES
from services.queueing.compile import Limits
from services.queueing.jobs import Job
from services.queueing.own_files import Batch
from services.queueing.recipients import MAX_RECIPIENT_BYTES, MAX_ROW_BYTES, Recipient, read_recipient
from shared.words import own_files as words
from shared.words.errors import Fault, Problem
from tests.jobs import read_job

NOW_MS = 1_790_000_000_123


def file(name: str = "facture.pdf", content: bytes = b"%PDF-1", **fields: Any) -> dict[str, Any]:
    given = {"filename": name, "content_type": "application/pdf", "content": b64encode(content).decode()}
    return given | fields


def read(*people: Any, **fields: Any) -> Job:
    body = {"from": "news@exemple.fr", "subject": "s", "text": "t", "stream": "transactional", **fields}
    body["recipients"] = [{"email": f"u{at}@x.test", "attachments": files} for at, files in enumerate(people)]
    wire = json.dumps(body).encode()
    return read_job(wire, open_job=False, now_ms=NOW_MS, max_recipients=100, limits=Limits())


def faults(*people: Any) -> dict[str, str]:
    with pytest.raises(Problem) as refused:
        read(*people)
    assert refused.value.word == "invalid_job"
    return {fault.at: fault.what for fault in refused.value.faults}


def test_a_file_that_several_get_is_there_once_and_named_by_each() -> None:
    terms = file("cgv.pdf", b"terms")

    job = read([file(content=b"for one"), terms], [file(content=b"for two"), terms | {"filename": "agb.pdf"}], [])

    assert sorted(job.files.values()) == [b"for one", b"for two", b"terms"]
    found = [words.unpacked(one.files) for one in job.waiting]
    assert [[(one.filename, job.files[one.digest]) for one in files] for files in found] == [
        [("facture.pdf", b"for one"), ("cgv.pdf", b"terms")],
        [("facture.pdf", b"for two"), ("agb.pdf", b"terms")],
        [],
    ]
    assert found[0][0].content_type == "application/pdf"
    stored = {one.content: one.uses for one in own_files.used(job.waiting, job.files)}
    assert stored == {b"for one": 1, b"for two": 1, b"terms": 2}


def test_what_is_wrong_with_files_is_all_told_at_its_place() -> None:
    at = "$.recipients[1].attachments"
    found = faults(
        [file()],
        [
            file("a.pdf", content_type="text/plain\nBcc: x@y.test"),
            file("b.pdf", content_type="message/rfc822"),
            file("../c.pdf"),
            file("d\n.pdf"),
            file("e.pdf") | {"content": "%%%"},
            file("a.pdf"),
        ],
    )

    assert set(found) == {
        f"{at}[0].content_type", f"{at}[1].content_type", f"{at}[2].filename", f"{at}[3].filename", f"{at}[4].content",
        f"{at}[5].filename",
    }  # fmt: skip
    assert found[f"{at}[4].content"].startswith("not base64")
    assert found[f"{at}[5].filename"] == "another attachment of this recipient has it"


def test_files_of_one_recipient_are_bounded_in_number_and_size() -> None:
    half = file("a.pdf", b"x" * (MAX_OWN_BYTES // 2))

    assert read([half, half | {"filename": "b.pdf"}]).waiting[0].files
    assert faults([half, half | {"filename": "b.pdf"}, file()]) == {
        "$.recipients[0].attachments": f"{MAX_OWN_BYTES + 6} bytes in all; at most {MAX_OWN_BYTES}"
    }
    many = [file(f"{number}.pdf") for number in range(MAX_OWN + 1)]
    assert faults(many) == {"$.recipients[0].attachments": f"{MAX_OWN + 1} attachments; at most {MAX_OWN}"}


def test_different_files_of_one_request_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are stored in one script, in which Redis answers nobody else."""
    monkeypatch.setattr(recipients, "MOST_AT_ONCE", 3)
    two = [file("a", b"1"), file("b", b"2")]

    assert len(read(two, two, [file("c", b"3")]).files) == 3
    assert faults(two, [file("a", b"3"), file("b", b"4")]) == {
        "$.recipients": "4 files of recipients; at most 3 in one request: open the job and append them"
    }


def test_a_recipients_file_is_never_shown_by_the_html() -> None:
    assert faults([file(content_id="logo")]) == {
        "$.recipients[0].attachments[0]": "Object contains unknown field `content_id`"
    }
    assert set(faults([{"content": ""}])) == {"$.recipients[0].attachments[0]"}


def test_who_is_rejected_brings_no_file() -> None:
    body = {"from": "n@exemple.fr", "subject": "s", "text": "t", "stream": "transactional"}
    people = [{"email": "a@x.test"}, {"email": "A@x.test", "attachments": [file()]}, {"email": "-"}]
    wire = json.dumps(body | {"recipients": people}).encode()

    job = read_job(wire, open_job=False, now_ms=NOW_MS, max_recipients=9, limits=Limits())

    assert [one.reason for one in job.rejected] == ["duplicate_address", "invalid_address"]
    assert [one.files for one in job.waiting] == ["", "", ""]
    assert (job.files, own_files.used(job.waiting, job.files)) == ({}, [])


def test_a_row_is_as_long_as_before_without_its_files() -> None:
    def row(variable: int, content: int) -> bytes:
        given = {"email": "a@x.test", "variables": {"a": "x" * variable}, "attachments": [{"content": "A" * content}]}
        given["attachments"][0]["filename"] = "a"  # type: ignore[index]
        return json.dumps(given).encode()

    assert isinstance(read_recipient(row(1_000, MAX_OWN_JSON_BYTES - 100), "line 1"), Recipient)
    assert read_recipient(row(MAX_RECIPIENT_BYTES, 100_000), "line 1") == Fault(
        "line 1", f"longer than {MAX_RECIPIENT_BYTES} bytes without its attachments"
    )
    assert read_recipient(row(1, MAX_OWN_JSON_BYTES), "line 1") == Fault(
        "line 1.attachments", f"longer than {MAX_OWN_JSON_BYTES} bytes"
    )
    assert isinstance(read_recipient(row(1, MAX_ROW_BYTES), "line 1"), Fault)


def test_a_line_of_an_upload_may_have_as_much_however_it_is_cut() -> None:
    line = json.dumps({"email": "a@x.test", "attachments": [file(content=b"x" * MAX_OWN_BYTES)]}).encode() + b"\n"
    rows = JsonRows()

    found = [one for at in range(0, len(line), 16_384) for one in rows.feed(line[at : at + 16_384])]

    assert [(number, type(one)) for number, one in found] == [(1, Recipient)]


def test_a_batch_says_who_has_which_file() -> None:
    batch = Batch()
    batch.add(3, words.packed([words.OwnFile("d" * words.DIGEST_CHARS, "a", "text/plain", 1)] * 2))

    assert batch.packed_uses == b"\0\0\0\3" + b"d" * words.DIGEST_CHARS
    assert len(words.digest_of(b"any")) == words.DIGEST_CHARS


def test_the_bounds_fit_what_base64_makes_of_the_bytes() -> None:
    wrapped = 4 * -(-attachments.MAX_OWN_BYTES // 3)
    assert wrapped + 2 * wrapped // 76 < MAX_OWN_JSON_BYTES
