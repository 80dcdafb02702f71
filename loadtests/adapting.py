"""A provider that starts to answer 421 above a pace it does not tell, and later stops: what three relays send it.

In simulated time, with the functions by which relays decide (`shared.words.pace`) and the relays and providers
that their tests are made with. Part of `loadtests.bench_mix`; alone:

    python -m loadtests.adapting
"""

from dataclasses import dataclass

from tests.unit.relay.provider import Fixed, Relays

#: Minutes: when refusals begin, how long it may take to find the pace, when they end, how long until all is forgotten.
BEGINS, FINDS, RELENTS, FORGETS = 5, 3, 35, 30
#: What the provider takes a second, each against ten times as much to send.
PACES = (5, 100, 1000)
DEMAND = 10
#: Of what it takes it is to be sent at least this part in every minute, and of what it is sent at most this is refused.
LEAST, MOST_REFUSED = 0.8, 0.05
#: In a minute in which the relays look whether it takes more, by so much.
MOST = 1.05


@dataclass(frozen=True)
class Adapted:
    """From three minutes after the first refusal until the last: messages a second in the worst minutes, those sent in
    all, as parts of what the provider takes, and the part that was refused. `minutes_to_full`: after it relented."""

    per_s: float
    least: float
    sent: float
    most: float
    refused: float
    minutes_to_full: int | None

    @property
    def fault(self) -> str:
        """Why this is not what is wanted; "" if it is."""
        if self.least < LEAST or self.sent > 1 or self.most > MOST:
            return f"was sent between {self.least:.2f} and {self.most:.2f} of what it takes"
        if self.refused >= MOST_REFUSED:
            return f"refused {self.refused:.1%} of what it was sent"
        return "" if self.minutes_to_full is not None else "was not sent all again after it had relented"


def adapted(per_s: float) -> Adapted:
    provider = Fixed(per_s, 1)
    demand = DEMAND * per_s
    relays = Relays(lambda now_s: provider if BEGINS * 60 <= now_s < RELENTS * 60 else None, lambda now_s: demand)
    relays.run(RELENTS + FORGETS + 2)
    found = relays.minutes[BEGINS + FINDS : RELENTS]
    attempts = sum(minute.accepted + minute.refused for minute in found)
    full = (at for at, minute in enumerate(relays.minutes[RELENTS:]) if minute.accepted_per_s >= 0.99 * demand)
    return Adapted(
        per_s=per_s,
        least=min(minute.accepted_per_s for minute in found) / per_s,
        sent=attempts / (len(found) * 60 * per_s),
        most=max(minute.attempted_per_s for minute in found) / per_s,
        refused=sum(minute.refused for minute in found) / attempts,
        minutes_to_full=next(full, None) if relays.unlimited else None,
    )


def told() -> list[str]:
    """Prints what was found; what is wrong with it."""
    faults = []
    for per_s in PACES:
        one = adapted(per_s)
        print(
            f"421 above {per_s:>5}/s: three minutes later it is sent {one.least:.2f} to {one.most:.2f} of that, "
            f"{one.sent:.2f} in all; {one.refused:.1%} is refused; all of {DEMAND * per_s}/s again "
            f"{one.minutes_to_full} minutes after it relents"
        )
        if one.fault:
            faults.append(f"a provider of {per_s}/s {one.fault}")
    return faults


if __name__ == "__main__":
    print("\n".join(told()) or "as wanted")
