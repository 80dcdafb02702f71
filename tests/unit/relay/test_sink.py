"""What the sandbox answers: as the mailbox does, and to nobody else."""

import pytest

from services.relay.delivery.sink import NAME, Sink
from services.relay.traffic.egress import Source
from services.relay.words.hop import Hop


async def sent(sink: Sink, rcpt_to: str) -> str:
    (hop,) = await sink.hops("exemple.fr")
    connection = await sink.open(hop, Source("default"))
    reply = await connection.send("b@exemple.fr", rcpt_to, b"mail")
    return f"{reply.stage} {reply.codes}"


@pytest.mark.parametrize(
    ("address", "answers"),
    [
        ("ana@exemple.fr", ["dot 250 2.0.0"]),
        ("bounce-later@exemple.fr", ["dot 250 2.0.0"]),
        ("unknown7@exemple.fr", ["rcpt 550 5.1.1"]),
        ("full@exemple.fr", ["rcpt 452 4.2.2", "rcpt 452 4.2.2"]),
        ("greylist@exemple.fr", ["rcpt 451 4.7.1", "dot 250 2.0.0", "rcpt 451 4.7.1"]),
    ],
)
async def test_an_address_is_answered_as_by_the_mailbox(address: str, answers: list[str]) -> None:
    sink = Sink()

    assert [await sent(sink, address) for _ in answers] == answers


async def test_the_body_waits_for_the_word_that_it_may_go_as_with_any_host() -> None:
    asked: list[str] = []

    async def before_body() -> None:
        asked.append("begun")

    connection = await Sink().open(Hop(NAME, 0), Source("default"))
    await connection.send("b@x.fr", "unknown@x.fr", b"mail", before_body=before_body)
    assert asked == []
    await connection.send("b@x.fr", "ana@x.fr", b"mail", before_body=before_body)

    assert asked == ["begun"]
    assert connection.sent_count == 2
