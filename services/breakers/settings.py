"""What can be set of breakers."""

from shared.process.settings import Process


class Breakers(Process, frozen=True, kw_only=True):
    pass
