"""The facts of a batch about one tenant: who is meant, and what is written of them. Pure."""

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from services.contacts.behaviour import deeds
from services.contacts.behaviour.deeds import Deed
from shared.redis.bus import DeadLetter
from shared.redis.suppression import normalised
from shared.words import events

#: Recipients of a job that are one row (`recipients.contacts`), as a power of two.
CHUNK_BITS = 8
_IN_CHUNK = (1 << CHUNK_BITS) - 1

#: A message: its job and its ordinal.
Message = tuple[str, int]


class Happened(NamedTuple):
    """A fact of which something is noted. `address` is "" where the fact does not say it."""

    event: int
    at: datetime
    job: str
    ordinal: int | None
    address: str
    deed: Deed

    @property
    def message(self) -> Message | None:
        return (self.job, self.ordinal) if self.job and self.ordinal is not None else None


class Meant(NamedTuple):
    """A fact, and the contact whose it is. `by_address`: nothing but the address says so."""

    contact: int
    happened: Happened
    by_address: bool


class Row(NamedTuple):
    """A row of `behaviours`, in the order of its columns."""

    contact: int
    at: datetime
    event: int
    kind: int
    machine: bool
    operation: int
    name: int
    position: int


class Mark(NamedTuple):
    """A bit of a set, in the order of the parameters of `mark`."""

    fact: int
    operation: int
    item: int
    contact: int


def happened(fact: events.Fact) -> Happened | None:
    """None where nothing is noted of it. DeadLetter: no clock had that time."""
    deed = deeds.deed(fact)
    if deed is None:
        return None
    try:
        at = datetime.fromtimestamp(fact.occurred_at / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        raise DeadLetter(f"{fact.occurred_at} ms is no time") from None
    address = "" if fact.email is None else normalised(fact.email)
    return Happened(deeds.event_number(fact.event_id), at, fact.job, fact.ordinal, address, deed)


def chunk_of(message: Message) -> tuple[str, int]:
    return message[0], message[1] >> CHUNK_BITS


def place_of(message: Message) -> int:
    """In its chunk, from 0."""
    return message[1] & _IN_CHUNK


def meant(
    facts: Iterable[Happened],
    recipients: Mapping[Message, int],
    addressed: Mapping[Message, str],
    by_address: Mapping[str, int],
    there: Iterable[int],
) -> list[Meant]:
    """Facts with their contacts; whoever is not in the base is nobody. A message's recipient stays the one that they
    were (`recipients`: 0 for nobody), whoever has the address by now. `addressed`: whose messages are that say no
    address."""
    found, exist = [], {*there, *by_address.values()}
    for one in facts:
        message = one.message
        contact = None if message is None else recipients.get(message)
        if known := contact is not None and (contact > 0 or not one.address):
            assert contact is not None
        else:
            address = one.address or ("" if message is None else addressed.get(message, ""))
            contact = by_address.get(address, 0)
        if contact in exist:
            found.append(Meant(contact, one, by_address=not known))
    return found


def to_keep(
    facts: Iterable[Happened],
    recipients: Mapping[Message, int],
    addressed: Mapping[Message, str],
    by_address: Mapping[str, int],
) -> dict[Message, int]:
    """Whose each message is, of those that are not known yet, or were nobody's; 0: nobody's. A message that was never
    sent is left out: nothing comes of it, and its address may be that of another one."""
    kept: dict[Message, int] = {}
    for one in facts:
        message = one.message
        if message is None or one.deed.excluded:
            continue
        address = one.address or addressed.get(message, "")
        if not address or recipients.get(message, 0) > 0:
            continue
        contact = by_address.get(address, 0)
        if contact or message not in recipients:
            kept[message] = contact
    return kept


def rows(found: Iterable[Meant], operations: Mapping[str, int], names: Mapping[deeds.Word, int]) -> list[Row]:
    """Each once, in the order of the table's key."""
    made = {
        (one.contact, one.happened.at, one.happened.event): Row(
            one.contact,
            one.happened.at,
            one.happened.event,
            one.happened.deed.kind,
            one.happened.deed.machine,
            operations.get(one.happened.job, 0),
            0 if (word := one.happened.deed.word) is None else names[word],
            one.happened.deed.position,
        )
        for one in found
        if one.happened.deed.kind
    }
    return [made[key] for key in sorted(made)]


def words(found: Iterable[Meant]) -> list[deeds.Word]:
    """What needs a number, each once."""
    wanted: dict[deeds.Word, None] = {}
    for one in found:
        deed = one.happened.deed
        if deed.word is not None:
            wanted[deed.word] = None
        if deed.excluded:
            wanted[deeds.Word("reason", deed.excluded)] = None
    return list(wanted)


def marks(found: Iterable[Meant], operations: Mapping[str, int], names: Mapping[deeds.Word, int]) -> set[Mark]:
    """The bits that are right however often a fact comes: all but those of openings and clicks. Where an address is
    twice in a job, whoever has it is a recipient by the other message; only who was sent to as themselves is excluded
    (E16)."""
    made: set[Mark] = set()
    for contact, one, by_address in found:
        operation, deed = operations.get(one.job, 0), one.deed
        if not operation:
            continue
        made.update(Mark(fact, operation, item, contact) for fact, item in deed.marks)
        if deed.excluded and not (by_address and deed.excluded == deeds.DUPLICATE):
            made.add(Mark(deeds.EXCLUDED, operation, 0, contact))
            made.add(Mark(deeds.EXCLUDED, operation, names[deeds.Word("reason", deed.excluded)], contact))
    return made


def trails(new: Iterable[Row]) -> set[Mark]:
    """The bits of openings and clicks that are new."""
    return {
        Mark(fact, row.operation, item, row.contact)
        for row in new
        if row.operation
        for fact, item in deeds.trail(row.kind, row.name, row.position, machine=row.machine)
    }


def tallies(new: Iterable[Row], marketing: Container[int] = ()) -> list[tuple[int, int, int, int]]:
    """(kind, name, contact, seconds) of what is new, in the order of the parameters of `tally`. `marketing`: operations
    of the stream `bulk`."""
    return [
        (kind, name, row.contact, deeds.seconds(row.at))
        for row in new
        for kind, name in deeds.counted(row.kind, row.name, machine=row.machine, marketing=row.operation in marketing)
    ]


def last_actions(found: Iterable[Meant]) -> dict[int, datetime]:
    """When contacts last did something that counts as an interaction (K13)."""
    last: dict[int, datetime] = {}
    for contact, one, _ in found:
        if one.deed.acts and (contact not in last or one.at > last[contact]):
            last[contact] = one.at
    return last


def touched(made: Iterable[Mark]) -> set[tuple[int, int]]:
    """(operation, contact) of marks by which somebody may be both recipient and excluded."""
    apart = (deeds.RECIPIENT, deeds.EXCLUDED)
    return {(one.operation, one.contact) for one in made if one.fact in apart}


def arrays(listed: Iterable[Sequence[object]], width: int) -> list[str]:
    """Columns of numbers as arrays in the text form of PostgreSQL, which it reads with less work than the driver has to
    write the other one."""
    columns = list(zip(*listed, strict=True)) or [()] * width
    return ["{" + ",".join(map(str, column)) + "}" for column in columns]
