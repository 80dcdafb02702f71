"""Promise 2 at its narrowest: a relay dies between the final dot and its reply, which nobody will ever see."""

import time
from collections import Counter
from functools import partial
from pathlib import Path

from tests.fakes.smtp_server import CLOSE, SILENT, SmtpServer, Step
from tests.flows.stack import Stack

CONNECTIONS = 3
#: The job's own rate, and what may come at once on top of it.
RATE, BURST = 40, 4


class Sink(SmtpServer):
    """Takes what it gets, and knows when. The final dots of who is in `withheld` are taken and never answered, once."""

    def __init__(self) -> None:
        super().__init__({"RCPT": self.recipient, "DOT": self.dotted})
        self.withheld: set[str] = set()
        self.dots = 0
        self.dotted_at: list[float] = []
        self.most_open = 0
        self._last = ""

    def recipient(self, argument: str) -> Step:
        self._last = argument.partition("<")[2].partition(">")[0]
        return "250 2.1.5 ok"

    def dotted(self, _argument: str) -> Step:
        self.dots += 1
        self.dotted_at.append(time.monotonic())
        self.most_open = max(self.most_open, self.open_connections)
        if self._last in self.withheld:
            self.withheld.remove(self._last)
            return SILENT
        return "250 2.0.0 taken"

    def taken(self) -> Counter[str]:
        """Who got how many mails that were answered with 250."""
        return Counter(envelope.rcpts[0].partition("<")[2].partition(">")[0] for envelope in self.envelopes)


async def dots(sink: Sink, number: int) -> bool:
    return sink.dots >= number


async def test_promise_2_a_relay_that_dies_after_the_final_dot_repeats_the_mail_once_or_not_at_all(
    tmp_path: Path,
) -> None:
    async with Sink() as sink:
        environ = {"ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}"}
        async with Stack.running(tmp_path / "run", environ) as stack:
            ends = {}
            for email, at_most_once in (("least@x.test", False), ("most@x.test", True)):
                before = sink.dots
                sink.withheld = {email}
                job_id = await stack.send(email, at_most_once=at_most_once)
                await stack.until(partial(dots, sink, before + 1))

                await stack.killed_and_back("relay")

                report = await stack.done(job_id)
                ends[email] = (report["counts"]["delivered"], report["counts"]["bounced"]["soft"], sink.dots - before)
                if at_most_once:
                    bounced = (await stack.message(f"{job_id}.0"))["timeline"][-1]

            assert ends == {"least@x.test": (1, 0, 2), "most@x.test": (0, 1, 1)}
            assert (bounced["type"], bounced["details"]["kind"]) == ("message.bounced", "soft")
            assert bounced["details"]["reason"] == "unknown_outcome"
            assert sink.taken() == {"least@x.test": 1}
            # It says nothing about the address: the next mail to it is sent.
            assert (await stack.call("GET", "/v1/suppressions/most@x.test"))[0] == 404
            await stack.done(await stack.send("most@x.test", at_most_once=True))
            assert sink.taken()["most@x.test"] == 1


async def test_promise_2_an_unknown_end_is_no_retry_for_a_relay_that_lives_either(tmp_path: Path) -> None:
    async with Sink() as sink:
        sink.script["DOT"] = [CLOSE, "250 2.0.0 taken"]
        environ = {"ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}"}
        async with Stack.running(tmp_path / "run", environ) as stack:
            report = await stack.done(await stack.send("most@x.test", at_most_once=True))

            assert (report["counts"]["delivered"], report["counts"]["bounced"]["soft"]) == (0, 1)
            assert sink.taken() == {}


async def test_promise_6_limits_hold_over_the_death_of_a_relay(tmp_path: Path) -> None:
    async with Sink() as sink:
        environ = {
            "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}",
            "ESTAFETTE_RELAY_CONNECTIONS_PER_SITE": str(CONNECTIONS),
        }
        async with Stack.running(tmp_path / "run", environ) as stack:
            emails = [f"u{number}@x.test" for number in range(RATE * 5)]
            job_id = await stack.send(*emails, rate=f"{RATE}/s burst {BURST}")
            await stack.until(lambda: dots(sink, RATE))

            await stack.killed_and_back("relay")
            report = await stack.done(job_id)

        assert report["counts"]["delivered"] == len(emails)
        assert sink.taken().keys() == set(emails)
        assert sink.dots <= len(emails) + CONNECTIONS  # what was between MAIL FROM and its record may come twice
        assert sink.most_open <= CONNECTIONS
        # A mail that may go is seen a little later, and on a busy machine with those of the moments before: on each
        # connection no more than one.
        assert most_within(sink.dotted_at, 1.0) <= RATE + BURST + CONNECTIONS


def most_within(times: list[float], seconds: float) -> int:
    """The most that came within any period of that length."""
    first = most = 0
    for last, at in enumerate(times):
        while at - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
