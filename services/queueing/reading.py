"""Reads the body of a job, field by field, so that all faults are found. Pure.

A shop sends the same mail all day, each time to somebody else. So what its fields say is remembered, by the bytes that
they are written with, and of such a body only the recipients are read.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from services.queueing import cut, whom
from services.queueing.cut import fault_of, refuse_not_json
from services.queueing.jobs import Draft, JobRequest, draft_of
from services.queueing.pieces import MAX_FAULTS, Piece, pieces, refused, rows_of
from services.queueing.recipients import Recipient, read_recipient
from shared.words.errors import NOT_JSON, Fault, Problem

#: Commas of a body: values take time and memory before anybody can say what is wrong with them, and the decoder gives
#: nothing back meanwhile. 10,000 recipients with forty values each have as many; decoding them takes some 50 ms.
MAX_VALUES = 400_000
#: And bytes of the fields of a job that hold values of any shape, before they are decoded.
MAX_FIELD_BYTES = {"variables": 400_000, "headers": 400_000, "tags": 10_000, "track": 1_000}
#: And of those that are one text: what compiling takes, each character written as the longest escape.
MAX_FIELD_BYTES |= {"html": 6_000_002, "text": 3_000_002, "mjml": 6_000_002, "amp": 1_200_002}
MAX_FIELD_BYTES |= {"subject": 20_000, "preheader": 20_000, "from": 20_000, "reply_to": 20_000, "template": 1_000}
MAX_FIELD_BYTES |= dict.fromkeys(whom.FIELDS, 200_000)

#: Fields that a job without a template has.
NEEDED_ALONE = ("from", "subject")
#: Bodies whose fields are remembered, and how long one may be: a process keeps some 10 MB of them at most.
MOST_REMEMBERED = 256
REMEMBERED_BYTES = 16_384
_APART = ("recipients", "recipients_from")

#: The fields of a job by their names in JSON, and what reads each by itself: making either takes longer than reading.
_KNOWN = {field.encode_name: field for field in msgspec.structs.fields(JobRequest)}
_FIELDS = {name: msgspec.json.Decoder(field.type) for name, field in _KNOWN.items() if name not in _APART}


class Fields(NamedTuple):
    """What the fields of a body say, but for who is mailed: each that fits, what is wrong with the others, and the job
    if all of them fit."""

    values: Mapping[str, Any]
    faults: Sequence[Fault]
    job: JobRequest | None
    #: Null and nothing say no more than that it is left out: a job that is changed comes back with all its fields.
    given: frozenset[str]


def read_draft(body: bytes, *, open_job: bool, now_ms: int, max_recipients: int, kept: bool = False) -> Draft:
    """All of a job but its content. `kept`: of an open job, whose recipients are stored. Problem if its fields do not
    fit."""
    if (values_count := cut.count(body, b",")) > MAX_VALUES:
        detail = f"about {values_count} values; at most {MAX_VALUES} in one request: open the job and append recipients"
        raise Problem("body_too_large", detail)
    raw = pieces(body)
    listed, selects = (raw.pop(name, None) for name in _APART)
    known_as = _written(raw) if len(body) <= REMEMBERED_BYTES else None
    fields = _read(raw) if known_as is None else _remembered(known_as)
    faults = list(fields.faults)
    selection, selection_faults = whom.read_selection(selects, open_job)
    if whom.is_addressed(fields.values, faults):
        also = {"recipients": listed, "recipients_from": selects}
        recipients, recipient_faults = whom.read_addressees(
            fields.values, faults, also=also, open_job=open_job and not kept
        )
    else:
        recipients, recipient_faults = _read_recipients(listed, open_job, max_recipients, selects is not None)
    recipients = [] if kept else recipients
    faults += selection_faults + recipient_faults
    if faults or fields.job is None:
        raise refused(faults)
    return draft_of(
        fields.job, recipients, now_ms, open_job=open_job, selection=selection, given=fields.given, known_as=known_as
    )


def _written(raw: Mapping[str, Piece]) -> tuple[tuple[str, bytes], ...]:
    """The fields as they are written."""
    return tuple([(name, bytes(piece.json)) for name, piece in raw.items()])


@lru_cache(MOST_REMEMBERED)
def _remembered(written: tuple[tuple[str, bytes], ...]) -> Fields:
    return _read({name: Piece(msgspec.Raw(value)) for name, value in written})


def _read(raw: Mapping[str, Piece]) -> Fields:
    unknown = (name for name in raw if name not in _KNOWN)
    faults = [Fault(f"$.{name}"[:100], "no such field") for name in islice(unknown, MAX_FAULTS)]
    values: dict[str, Any] = {}
    for name, one in _KNOWN.items():
        if name not in raw:
            if one.required or (name in NEEDED_ALONE and "template" not in raw):
                faults.append(Fault(f"$.{name}", "required"))
        elif name in MAX_FIELD_BYTES and len(memoryview(raw[name].json)) > MAX_FIELD_BYTES[name]:
            faults.append(Fault(f"$.{name}", f"longer than {MAX_FIELD_BYTES[name]} bytes"))
        else:
            try:
                values[name] = _FIELDS[name].decode(raw[name].json)
            except NOT_JSON as fault:
                refuse_not_json(fault, raw[name].json, raw[name].begin)
                faults.append(fault_of(f"$.{name}", fault))
    job = None if faults else JobRequest(**{_KNOWN[name].name: value for name, value in values.items()})
    return Fields(values, faults, job, frozenset(name for name, value in values.items() if value not in (None, "")))


def _read_recipients(
    given: Piece | None, open_job: bool, max_recipients: int, selects: bool
) -> tuple[list[Recipient], list[Fault]]:
    if given is None:
        return [], [] if open_job or selects else [Fault("$.recipients", "required")]
    if selects:
        return [], [Fault("$.recipients", "either `recipients` or `recipients_from`, not both")]
    if open_job:
        return [], [Fault("$.recipients", whom.NOT_YET)]
    try:
        rows = rows_of(given)
    except msgspec.ValidationError as fault:
        return [], [fault_of("$.recipients", fault)]
    except NOT_JSON as fault:
        raise Problem("malformed_json", f"the body is not JSON: {fault}") from fault
    if not rows:
        return [], [Fault("$.recipients", "at least one recipient is needed")]
    if len(rows) > max_recipients:
        what = f"{len(rows)} recipients; at most {max_recipients} in one request: open the job and append them"
        return [], [Fault("$.recipients", what)]
    recipients = []
    faults = []
    for index, row in enumerate(rows):
        recipient = read_recipient(row.json, f"$.recipients[{index}]", row.begin)
        if isinstance(recipient, Fault):
            faults.append(recipient)
        else:
            recipients.append(recipient)
    return recipients, faults
