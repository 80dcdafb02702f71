"""What scripts put together by hand, or keep of arrays, is what Python would have written: a field that is appended to
one of these Structs alone fails here."""

from typing import Any

import msgspec

from services.queueing.store import JobStore
from services.suppression.store import Addition, Lists
from shared.redis import jobs, keys, redis, stops
from shared.redis.addressed import Addressed
from shared.redis.recipients import Waiting, pack_waiting, pack_waiting_row
from shared.redis.stops import INVALID_RATE, Stop, StopList
from shared.redis.suppression import Said, SuppressionList
from shared.words import events, ids, scopes
from shared.words.scopes import Entry
from tests.jobs import new_job

P = 4
NOW_MS = 1_790_000_000_123
JOB = ids.new_job_id(NOW_MS, b"chance", P, 2)
#: From here on Python, too, writes an ordinal as the 32 bits that scripts always take.
FIRST = 2**16
#: As many, and as long, as Python writes with the lengths that scripts always take.
PEOPLE = [Waiting(email=f"a{number}@x.example", name="n" * 4_000, untracked=True) for number in range(20)]


def filled(struct: type[msgspec.Struct], **some: Any) -> Any:
    """One with each field at something else than its default."""
    values: dict[Any, Any] = {str: "x", int: 7, bool: True}
    return struct(**{field.name: values.get(field.type) for field in msgspec.structs.fields(struct)} | some)


async def entry(client: Any) -> bytes:
    ((_, fields),) = await client.xrange(keys.intake(2, 1))
    body: bytes = fields[b"b"]
    return body


async def test_a_job_that_is_stored_waits_as_python_would_write_it(client: redis.Client) -> None:
    store = JobStore(client, P, max_intake_chunks=5)

    await store.store(JOB, new_job(), [(FIRST, pack_waiting(FIRST, PEOPLE))], "queueing")

    assert await entry(client) == events.encode(events.Intake(tenant="acme", job=JOB, first_ordinal=FIRST))


async def test_a_job_that_is_started_waits_as_python_would_write_it(client: Any) -> None:
    store = JobStore(client, P, max_intake_chunks=5)
    await store.store(JOB, new_job(total=FIRST), [], "open")
    await store.append("acme", JOB, [(b"%8d" % at, pack_waiting_row(one)) for at, one in enumerate(PEOPLE)], NOW_MS)

    await store.start("acme", JOB, NOW_MS)

    assert await entry(client) == events.encode(events.Intake(tenant="acme", job=JOB, first_ordinal=FIRST))
    (chunk,) = await client.zrange(keys.job_recipients(2, JOB), 0, -1)
    assert chunk == pack_waiting(FIRST, PEOPLE)
    assert (await jobs.read(client, P, JOB, [jobs.HELD]))[jobs.HELD] == len(chunk)


async def test_whose_entries_wait_is_read_from_what_python_writes(client: Any) -> None:
    await client.xadd(
        keys.intake(2, 1), {"t": "Intake", "v": 1, "b": events.encode(filled(events.Intake, tenant="acme"))}
    )

    await JobStore(client, P, max_intake_chunks=5).count_intake(2)

    assert await client.hgetall(keys.intake_use(2, 1)) == {b"acme": b"1"}


async def test_a_stop_that_scripts_change_keeps_all_else(client: redis.Client) -> None:
    stop = filled(Stop, reason=INVALID_RATE, since_ms=NOW_MS, epoch=0, told_ms=0, consent_ms=0)
    name, stop_list = stops.of_job(JOB), StopList(client)
    await stop_list.add(name, stop)

    assert await stop_list.tell(name, stop, NOW_MS + 1)
    assert await stop_list.consent(name, stop, NOW_MS + 2)

    changed = msgspec.structs.replace(stop, told_ms=NOW_MS + 1, consent_ms=NOW_MS + 2)
    assert await stop_list.all() == {name: changed}
    assert await stop_list.resume(name, changed)


async def test_an_entry_that_scripts_change_keeps_all_else(client: redis.Client) -> None:
    lists, lookup = Lists(client, P), SuppressionList(client, P)
    first = Addition("acme", "a@x.example", "hard_bounce", NOW_MS, "list:été", "sms", "event", "first", 0, "e", JOB, 7)
    again = first._replace(at_ms=NOW_MS + 1, event="f", job="other", diagnostic="again")
    stronger = first._replace(reason="complaint", at_ms=NOW_MS + 2, source="import", event="g", job="", ordinal=-1)

    async def found() -> tuple[Entry, Said]:
        (one,) = await lookup.listed("acme", ["a@x.example"])
        (entry,) = one.entries
        return entry, one.said_of(entry)

    await lists.add([first])
    entry = scopes.entry("hard_bounce", "list:été", channel="sms", at_ms=NOW_MS)
    said = Said(*entry.place, "e", JOB, 7, "first")
    assert await found() == (entry, said)

    await lists.add([again])
    lasting = msgspec.structs.replace(entry, lasted_ms=1)
    assert await found() == (lasting, msgspec.structs.replace(said, diagnostic="again"))

    await lists.add([stronger])
    changed = scopes.entry("complaint", "list:été", channel="sms", source="import", at_ms=NOW_MS)
    assert await found() == (
        msgspec.structs.replace(changed, lasted_ms=2), Said(*entry.place, "g", "", -1, "first")
    )  # fmt: skip


async def test_a_value_of_the_map_is_what_python_would_write(client: redis.Client) -> None:
    lists, values = Lists(client, P), Addressed(client, P, keys.suppressions)
    addition = Addition("acme", "a@x.example", "manual", NOW_MS)
    await lists.add([addition, addition._replace(scope="list:été", reason="unsubscribed", expires_ms=2 * NOW_MS)])

    entries = [
        scopes.entry("manual", at_ms=NOW_MS),
        scopes.entry("unsubscribed", "list:été", at_ms=NOW_MS, expires_ms=2 * NOW_MS),
    ]
    assert await values.get("acme", "a@x.example") == msgspec.msgpack.encode(entries)
