"""What can be set of mailbox."""

from shared.process.settings import AgreedMailbox, Positive


class Mailbox(AgreedMailbox, frozen=True, kw_only=True):
    #: Messages kept; the oldest go first.
    keep: Positive = 1_000
