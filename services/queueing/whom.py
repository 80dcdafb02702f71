"""Whom a job goes to, where its recipients are no list of their own. Pure.

recipients_from     contacts, or who is in a set of recipients of other jobs
to, cc, bcc         up to fifty people who get one mail: each copy is a message with its own end, links and return
                    path, and the header of all names whoever stands in `to` and `cc`
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from services.queueing import characters
from services.queueing.pieces import Piece
from services.queueing.recipients import Recipient
from shared.mail import addresses
from shared.words import result_sets, targets
from shared.words.content import MAX_COPIES
from shared.words.described import says
from shared.words.errors import NOT_JSON, Fault, Problem
from shared.words.result_sets import Expression, ResultSet
from shared.words.targets import Target

#: The fields, in the order of the ordinals.
FIELDS = ("to", "cc", "bcc")
NOT_YET = "an open job is made without recipients; append them afterwards"
#: What a job says of one recipient by their clock: the copies of one mail go together.
_OF_EACH = ("window", "spread")


class RecipientsFrom(ResultSet, frozen=True, forbid_unknown_fields=True):
    """Contacts: those of a `segment`, or who meet `criteria`; or a set of recipients of other jobs, as `POST
    /v1/results` has it. Contacts are read when sending starts, and those who are not addressable by e-mail are
    selected and excluded. Their fields become variables."""

    segment: Annotated[
        int | str | None, says("The segment whose contacts are meant, by its number or its name.", 3)
    ] = None
    criteria: Annotated[
        dict[str, Any] | None,
        says(
            "Who is meant, without saving it (`POST /v1/segments/count`).",
            {"kind": "field", "field": "postcode", "test": "begins_with", "value": "75"},
        ),
    ] = None
    once_per_address: Annotated[
        bool,
        says(
            "Of contacts with one address the first that is addressable is sent to, and the others are excluded as "
            "`duplicate_address`. Otherwise each contact is sent to, whoever has its address.",
            True,
        ),
    ] = False


class Addressee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of those who get the same mail. They have no variables: what it shows is the job's."""

    email: Annotated[str, says("The address.", "ana@exemple.fr")]
    name: Annotated[str, says("The name that stands beside the address.", "Ana", max_length=200)] = ""


def read_selection(given: Piece | None, open_job: bool) -> tuple[Expression | Target | None, list[Fault]]:
    """Of `recipients_from`. Problem 400."""
    if given is None:
        return None, []
    if open_job:
        return None, [Fault("$.recipients_from", "an open job is made without recipients; append them afterwards")]
    if len(memoryview(given.json)) > result_sets.MAX_BYTES:
        return None, [Fault("$.recipients_from", f"longer than {result_sets.MAX_BYTES} bytes")]
    try:
        asked = msgspec.json.decode(given.json)
        if targets.is_target(asked):
            return targets.read(asked, "$.recipients_from")
        return result_sets.read(asked, "$.recipients_from")
    except NOT_JSON as fault:
        raise Problem("malformed_json", f"the body is not JSON: {fault}") from fault


def is_addressed(fields: Mapping[str, Any], known: Sequence[Fault]) -> bool:
    """Whether a job goes to people who see each other: `fields` are those that could be read, `known` what is wrong
    with the others."""
    return any(fields.get(name) for name in FIELDS) or not _wrong(known).isdisjoint(FIELDS)


def _wrong(known: Sequence[Fault]) -> set[str]:
    """The fields that could not be read."""
    return {one.at.removeprefix("$.").partition("[")[0] for one in known}


def read_addressees(
    fields: Mapping[str, Any], known: Sequence[Fault], *, also: Mapping[str, object], open_job: bool
) -> tuple[list[Recipient], list[Fault]]:
    """Those of such a job, in their order, and all that is wrong with them: nobody is left out of a mail that names
    them. `also` are the fields that would name others, null where they are not there."""
    wrong = _wrong(known)
    listed = [(f"$.{name}[{at}]", one) for name in FIELDS for at, one in enumerate(fields.get(name) or ())]
    what = "either `recipients`, `recipients_from`, or `to`: one of them"
    faults = [Fault(f"$.{name}", what) for name, given in also.items() if given is not None]
    if open_job:
        faults.append(Fault("$.to", NOT_YET))
    if fields.get("stream", "bulk") == "bulk" and "stream" not in wrong:
        what = "people see each other in mail of `transactional` and `one_to_one`, not of `bulk`: give `recipients`"
        faults.append(Fault("$.stream", what))
    if not fields.get("to") and "to" not in wrong:
        faults.append(Fault("$.to", "required: somebody stands in `to`, whoever is in `cc` and `bcc`"))
    if len(listed) > MAX_COPIES:
        what = f"{len(listed)} in `to`, `cc` and `bcc` together; at most {MAX_COPIES} see each other"
        faults.append(Fault("$.to", what))
    faults += [
        Fault(f"$.{name}", "not of a job with `to`: the copies of one mail go together")
        for name in _OF_EACH
        if fields.get(name) is not None
    ]
    faults += _faults_of(listed)
    return [Recipient(one.email, one.name) for _, one in listed], faults


def _faults_of(listed: Sequence[tuple[str, Addressee]]) -> list[Fault]:
    faults = []
    places: dict[str, str] = {}
    for at, one in listed:
        if (what := characters.word_fault(one.name)) is not None:
            faults.append(Fault(f"{at}.name", what))
        try:
            key = addresses.parse(one.email).key
        except addresses.InvalidAddress as error:
            faults.append(Fault(f"{at}.email", f"not an address: {error}"))
            continue
        if key in places:
            faults.append(Fault(f"{at}.email", f"stands in {places[key]} already"))
        places.setdefault(key, at)
    return faults


def header_fields(to: Sequence[Addressee], cc: Sequence[Addressee]) -> list[tuple[str, str]]:
    """To and Cc, folded and encoded; none of whom nobody stands in."""
    return [
        (field, addresses.format_mailboxes([(one.name, str(addresses.parse(one.email))) for one in listed], len(field)))
        for field, listed in (("To", to), ("Cc", cc))
        if listed
    ]
