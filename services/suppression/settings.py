"""What can be set of suppression."""

from shared.process.settings import Process


class Suppression(Process, frozen=True, kw_only=True):
    pass
