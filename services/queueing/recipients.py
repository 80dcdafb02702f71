"""What one recipient of a job may look like, and who is rejected, and why. Pure.

The same of each, whether they came in a job, as a line of JSON, or as a row of CSV.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from services.queueing import characters
from services.queueing.attachments import MAX_OWN_JSON_BYTES, OwnAttachment, read_own
from services.queueing.cut import MAX_SHOWN_CHARS, fault_of, refuse_not_json
from services.queueing.own_files import MOST_AT_ONCE
from services.queueing.trial import MAX_TRIED, Tried
from shared.mail import addresses
from shared.mail.templates import is_deeper
from shared.redis.recipients import Waiting, pack_waiting
from shared.words import once, own_files, timing
from shared.words.consent import Declared
from shared.words.described import says
from shared.words.errors import NOT_JSON, Fault
from shared.words.own_files import OwnFile
from shared.words.targets import MAX_VARIABLES_BYTES
from shared.words.variables import MAX_DEPTH

#: One recipient as JSON, in a job and as a line: with their variables, and what escapes add to them; and with files.
MAX_RECIPIENT_BYTES = 65_536
MAX_ROW_BYTES = MAX_RECIPIENT_BYTES + MAX_OWN_JSON_BYTES
#: Recipients of a chunk: what is decided and queued in one go.
CHUNK = 500
#: What is kept of an invalid address, for the caller to know it again. (A real one has 254 octets.)
MAX_EMAIL_CHARS = 320
#: What is kept with a recipient for the caller: a few ids.
MAX_METADATA = 50
#: Of what a tenant knows a recipient by.
MAX_KEY_CHARS = 200
#: Variables of one recipient, by name: more than a mail can show.
MAX_VARIABLES = 1_000

#: Of a recipient, and of a job for all of them.
Variables = Annotated[dict[Annotated[str, Meta(max_length=200)], Any], Meta(max_length=MAX_VARIABLES)]


class Recipient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`optin: false` of a person keeps a bulk mail from them; with `tracking_consent: false` they get plain links.
    Where nothing is said, what is known of the address holds (`/v1/consents`)."""

    email: Annotated[str, says("The address.", "ana@exemple.fr")]
    name: Annotated[str, says("The name that stands beside the address in `To`.", "Ana", max_length=200)] = ""
    variables: Annotated[Variables, says("What templates are filled with for this recipient.", {"prenom": "Ana"})] = {}
    time_zone: Annotated[
        str | None, says("That of their clock, for a `window`: a name of the IANA database.", "Europe/Paris")
    ] = None
    key: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARS)] | None,
        says(
            "What you know them by, as an order: who has the same is the same recipient, in this job and by `once` "
            "in others, and who has another is another, even at one address. By their address where null. In a CSV "
            "the column `recipient_key`.",
            "order-4711",
        ),
    ] = None
    metadata: Annotated[
        Annotated[
            dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=500)]],
            Meta(max_length=MAX_METADATA),
        ]
        | None,
        says("What is kept with the message and shown with it.", {"crm_id": "17"}),
    ] = None
    kind: Annotated[
        Literal["person", "professional"] | None,
        says("Whose address it is; what is known of it where null, else a person's.", "person"),
    ] = None
    optin: Annotated[
        bool | None, says("Whether the recipient agreed to be written to; what is known of them where null.", True)
    ] = None
    tracking_consent: Annotated[
        bool | None,
        says(
            "Whether the recipient agreed to be tracked; what is known of them where null, and who withdrew stays so.",
            True,
        ),
    ] = None
    attachments: Annotated[
        list[OwnAttachment],
        says("Files that only the mail of this recipient carries, behind those of the job: 10, of 2 MB in all."),
    ] = []


@dataclass(frozen=True)
class Rejected:
    """A recipient that will not be queued: the index in the request, the address as given, and a word."""

    index: int
    email: str
    reason: str


class _Attached(msgspec.Struct):
    """What of a long row may be long."""

    attachments: msgspec.Raw = msgspec.Raw(b"")


_recipient_decoder = msgspec.json.Decoder(Recipient)
_attached_decoder = msgspec.json.Decoder(_Attached)


def read_recipient(row: bytes | msgspec.Raw | memoryview, at: str, begin: int | None = None) -> Recipient | Fault:
    """One recipient as JSON, or what is wrong with it. Problem 400 if it was cut out of a body, where it begins then,
    and is no JSON."""
    try:
        if len(memoryview(row)) > MAX_RECIPIENT_BYTES and (fault := _too_long(row, at)) is not None:
            return fault
        return _recipient_decoder.decode(row)
    except NOT_JSON as error:
        refuse_not_json(error, row, begin)
        return fault_of(at, error)


def _too_long(row: bytes | msgspec.Raw | memoryview, at: str) -> Fault | None:
    """What is, of a row or of its files. NOT_JSON."""
    size = len(memoryview(row))
    files = len(memoryview(_attached_decoder.decode(row).attachments)) if size <= MAX_ROW_BYTES else 0
    if size - files > MAX_RECIPIENT_BYTES:
        return Fault(at, f"longer than {MAX_RECIPIENT_BYTES} bytes without its attachments")
    if files > MAX_OWN_JSON_BYTES:
        return Fault(f"{at}.attachments", f"longer than {MAX_OWN_JSON_BYTES} bytes")
    return None


def fit_recipient(given: dict[str, Any], at: str) -> Recipient | Fault:
    """One recipient that did not come as JSON, under the same limits."""
    try:
        return msgspec.convert(given, Recipient)
    except msgspec.ValidationError as error:
        return fault_of(at, error)


def accept(
    recipients: Sequence[Recipient], stream: str, *, apart: bool = True
) -> tuple[list[Waiting], list[Rejected], list[Fault], dict[str, bytes]]:
    """Each recipient as they wait, at their place; those that are rejected; the faults that refuse them all; and the
    files of recipients, by their digests. `apart`: nobody gets it twice. A test may go to an address with the variables
    of several people."""
    waiting: list[Waiting] = []
    rejected: list[Rejected] = []
    faults: list[Fault] = []
    contents: dict[str, bytes] = {}
    seen: set[str] = set()
    for index, recipient in enumerate(recipients):
        at = f"$.recipients[{index}]"
        one = wait(recipient, stream, at, seen if apart else set())
        if isinstance(one, Fault):
            faults.append(one)
            continue
        if recipient.attachments:
            one = with_files(one, recipient, at, contents, faults)
        waiting.append(one)
        if one.rejected is not None:
            rejected.append(Rejected(index, one.email, one.rejected))
    if len(contents) > MOST_AT_ONCE:
        what = (
            f"{len(contents)} files of recipients; at most {MOST_AT_ONCE} in one request: open the job and append them"
        )
        faults.append(Fault("$.recipients", what))
    return waiting, rejected, faults, contents


def with_files(one: Waiting, recipient: Recipient, at: str, contents: dict[str, bytes], faults: list[Fault]) -> Waiting:
    """As they wait, with their files by reference; the bytes are among `contents` then, each once. Who is rejected
    needs none."""
    found = len(faults)
    files = read_own(recipient.attachments, at, faults)
    if one.rejected is not None or len(faults) > found:
        return one
    own = []
    for file in files:
        digest = own_files.digest_of(file.content)
        contents[digest] = file.content
        own.append(OwnFile(digest, file.filename, file.content_type, len(file.content)))
    return msgspec.structs.replace(one, files=own_files.packed(own))


def first_accepted(recipients: Sequence[Recipient], stream: str) -> list[Tried]:
    """Those that the content is tried with: the first that are not rejected."""
    tried: list[Tried] = []
    seen: set[str] = set()
    for recipient in recipients[: 100 * MAX_TRIED]:
        one = wait(recipient, stream, "", seen)
        if not isinstance(one, Fault) and one.rejected is None:
            tried.append(Tried(one.email, one.name, one.variables))
        if len(tried) == MAX_TRIED:
            break
    return tried


def wait(recipient: Recipient, stream: str, at: str, seen: set[str]) -> Waiting | Fault:
    """The recipient as they wait to be queued, perhaps rejected. `seen` has who came before. Here everybody comes by,
    as JSON, a line of it, or a row of CSV."""
    if (fault := _characters_fault(recipient, at)) is not None:
        return fault
    if recipient.time_zone and timing.zone(recipient.time_zone) is None:
        return Fault(f"{at}.time_zone", "there is no such time zone in the IANA database")
    variables = _pack_variables(recipient, at)
    if isinstance(variables, Fault):
        return variables
    email, reason = recipient.email, None
    try:
        email = addresses.normal(recipient.email)
        reason = _duplicate(email.lower(), recipient.key, seen)
        if reason is None and stream == "bulk" and recipient.kind != "professional" and recipient.optin is False:
            reason = "not_opted_in"
    except addresses.InvalidAddress:
        email, reason = email[:MAX_EMAIL_CHARS], "invalid_address"
    return Waiting(
        email=email,
        name=recipient.name,
        variables=variables,
        metadata=recipient.metadata,
        rejected=reason,
        untracked=recipient.tracking_consent is False,
        declared=_declared(recipient),
        time_zone=recipient.time_zone or "",
        key=recipient.key or "",
    )


def _declared(recipient: Recipient) -> int:
    """Most lists say nothing."""
    if recipient.kind is None and recipient.optin is None and recipient.tracking_consent is None:
        return 0
    return Declared(recipient.kind, recipient.optin, recipient.tracking_consent).code


def _duplicate(address: str, key: str | None, seen: set[str]) -> str | None:
    """Why they are there already; None of who is not, and is from now on. Of who has a key its address is noted, too,
    so that who comes twice is told the same as without."""
    if key is None:
        if address in seen:
            return "duplicate_address"
        seen.add(address)
        return None
    who = once.identity(address, key)
    at = f"{who}\x00{address}"
    is_known, is_same = who in seen, at in seen
    seen |= {who, at}
    return None if not is_known else "duplicate_address" if is_same else once.DUPLICATE_KEY


def _characters_fault(recipient: Recipient, at: str) -> Fault | None:
    if (what := characters.word_fault(recipient.name)) is not None:
        return Fault(f"{at}.name", what)
    if recipient.key is not None and (what := characters.word_fault(recipient.key)) is not None:
        return Fault(f"{at}.key", what)
    for name, value in (recipient.metadata or {}).items():
        if (what := characters.word_fault(name) or characters.value_fault(value)) is not None:
            return Fault(f"{at}.metadata", what)
    return None


def _pack_variables(recipient: Recipient, at: str) -> msgspec.Raw | Fault:
    try:
        packed = msgspec.msgpack.encode(recipient.variables)
    except (OverflowError, UnicodeEncodeError, RecursionError) as error:
        return Fault(f"{at}.variables", f"cannot be stored: {error}")
    if len(packed) > MAX_VARIABLES_BYTES:
        return Fault(f"{at}.variables", f"{len(packed)} bytes; at most {MAX_VARIABLES_BYTES}")
    if is_deeper(recipient.variables, MAX_DEPTH):
        return Fault(f"{at}.variables", f"nested too deeply; at most {MAX_DEPTH} levels")
    if (wrong := characters.fault_inside(recipient.variables, packed)) is not None:
        return Fault(f"{at}.variables{wrong[0]}"[:MAX_SHOWN_CHARS], wrong[1])
    return msgspec.Raw(packed)


def seen_digest(waiting: Waiting) -> bytes:
    """Eight bytes by which an open job knows that it has them already."""
    return blake2b(once.identity(waiting.email, waiting.key).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def chunks(waiting: Sequence[Waiting]) -> list[tuple[int, bytes]]:
    """First ordinal and bytes of each chunk, as they are stored."""
    return [(first, pack_waiting(first, waiting[first : first + CHUNK])) for first in range(0, len(waiting), CHUNK)]
