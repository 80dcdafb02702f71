"""Source addresses, end to end: who leaves by which, and what happens when a provider blocks one."""

from collections import Counter
from pathlib import Path

from tests.fakes.smtp_server import SmtpServer
from tests.flows.stack import Stack

EGRESS = """
[source.a1]
address = "127.0.0.2"
helo = "a1.estafette.example"
weight = 3

[source.a2]
address = "127.0.0.3"
helo = "a2.estafette.example"

[source.t1]
address = "127.0.0.4"
helo = "t1.estafette.example"

[pool.bulk]
sources = ["a1", "a2"]

[pool.codes]
sources = ["t1"]

[streams]
bulk = "bulk"
transactional = "codes"
"""
SHAPING = """
[route]
messages_per_connection = 1

[[rule]]
name = "our-address-is-listed"
site = "route:127.0.0.1:{port}"
match = 'your address is listed'
action = "rest_source"
for = "1h"
defer = true
example = "554 5.7.1 Your address is listed"
but_not = "554 5.7.1 Your message is spam"
"""


def environ(folder: Path, sink: SmtpServer) -> dict[str, str]:
    (folder / "egress.toml").write_text(EGRESS, "utf-8")
    (folder / "shaping.toml").write_text(SHAPING.format(port=sink.port), "utf-8")
    return {
        "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}",
        "ESTAFETTE_RELAY_EGRESS_FILE": str(folder / "egress.toml"),
        "ESTAFETTE_RELAY_SHAPING_FILE": str(folder / "shaping.toml"),
    }


async def test_mail_leaves_by_the_addresses_of_its_pool_each_by_its_name_and_weight(tmp_path: Path) -> None:
    async with SmtpServer() as sink, Stack.running(tmp_path / "run", environ(tmp_path, sink)) as stack:
        bulk = await stack.send(*(f"u{number}@x.test" for number in range(80)))
        code = await stack.send("ana@y.test", stream="transactional")
        await stack.done(bulk)
        await stack.done(code)

        names = {envelope.peer: envelope.helo for envelope in sink.envelopes}
        assert names == {
            "127.0.0.2": "a1.estafette.example",
            "127.0.0.3": "a2.estafette.example",
            "127.0.0.4": "t1.estafette.example",
        }
        shares = Counter(envelope.peer for envelope in sink.envelopes)
        assert shares["127.0.0.4"] == 1
        assert shares["127.0.0.2"] > shares["127.0.0.3"] >= 10
        assert (await stack.message(f"{code}.0"))["timeline"][-1]["details"]["source"] == "t1"


async def test_an_address_that_a_provider_blocks_rests_and_its_mail_goes_by_another(tmp_path: Path) -> None:
    sink = SmtpServer({"RCPT": ["554 5.7.1 Your address is listed", "250 ok"]})
    async with sink, Stack.running(tmp_path / "run", environ(tmp_path, sink)) as stack:
        blocked = await stack.send("ana@x.test")
        report = await stack.done(blocked)
        timeline = (await stack.message(f"{blocked}.0"))["timeline"]
        await stack.done(await stack.send(*(f"u{number}@x.test" for number in range(20))))

        # It is nobody's bounce, and the address that was refused is left alone.
        assert (report["counts"]["delivered"], report["counts"]["bounced"]["total"]) == (1, 0)
        assert [fact["type"] for fact in timeline] == ["message.accepted", "message.deferred", "message.delivered"]
        assert [fact["details"].get("source") for fact in timeline[1:]] == ["a1", "a2"]
        assert {envelope.peer for envelope in sink.envelopes} == {"127.0.0.3"}
