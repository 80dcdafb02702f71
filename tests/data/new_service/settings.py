"""What can be set of echo."""

from shared.process.settings import Positive, Process


class Echo(Process, frozen=True, kw_only=True):
    #: Events read in one go.
    batch: Positive = 100
