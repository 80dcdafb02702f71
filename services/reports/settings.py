"""What can be set of reports."""

from shared.process.settings import Process


class Reports(Process, frozen=True, kw_only=True):
    pass
