"""What changes in a running relay when the operator's files are read again: limits, rules, source addresses, routes.

They come into force together, between two messages:

- A message that is under way ends under those that it began with; the next asks the new ones for its permit, and a
  connection that is opened asks them for its slot. What is counted in Redis stays counted: limits keep their names.
- Connections that the new ones would not have (`rules.Opened.may_stay`) are closed after the mail that is under way, or
  within a second if there is none.
- A named route that leads elsewhere now, or by another login, is tried at once, whatever it said before.
- What a limit held back is asked again at once. What is in line for source addresses by which it no longer leaves goes
  back to its ready queue, untried, and comes anew.
"""

from collections.abc import Callable, Collection
from typing import Protocol

from services.relay.traffic import smarthosts
from services.relay.traffic.rules import Rules, differences
from shared.process.reload import Prepared
from shared.process.settings import Settings


class Gate(Protocol):
    rules: Rules

    def adopt(self, rules: Rules) -> None:
        """From now on these rules are in force."""

    @property
    def pools(self) -> Collection[str]:
        """The pools that there are."""


class Relay(Protocol):
    async def reconsider(self) -> None:
        """Limits or source addresses are others now: what they held back is asked again."""


class Pools(Protocol):
    async def know_pools(self, pools: Collection[str]) -> None:
        """Operators move mail to these alone. RedisAway."""


class Hosts(Protocol):
    def forgive(self, routes: Collection[str]) -> None:
        """What was found out of the hosts of these routes does not count any more."""


class Reload:
    """`read` gives what the files say that settings name, or SettingsError; `pass_on` tells the child that tries
    messages alone."""

    settings = frozenset(("relay.shaping_file", "relay.egress_file", "relay.routes_file"))

    def __init__(
        self,
        read: Callable[[Settings], Rules],
        gate: Gate,
        relay: Relay,
        pools: Pools,
        hosts: Hosts,
        pass_on: Callable[[], None],
    ) -> None:
        self._read = read
        self._gate = gate
        self._relay = relay
        self._pools = pools
        self._hosts = hosts
        self._pass_on = pass_on
        self._are_pools_known = True

    def prepare(self, settings: Settings) -> Prepared:
        """As `shared.process.reload.Part`."""
        rules = self._read(settings)
        changes = differences(self._gate.rules, rules)

        async def apply() -> None:
            if changes:
                self._hosts.forgive(smarthosts.changed(self._gate.rules.smarthosts, rules.smarthosts))
                self._gate.adopt(rules)
                self._are_pools_known = False
                self._pass_on()
                await self._relay.reconsider()

        return Prepared(changes, apply)

    async def tend(self) -> None:
        """To be called every half second. RedisAway: operators learn of new pools later."""
        if not self._are_pools_known:
            await self._pools.know_pools(self._gate.pools)
            self._are_pools_known = True
