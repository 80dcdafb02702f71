"""The way of the relay's own letters, which no limit counts. Pure."""

from services.relay.traffic.egress import DEFAULT, Source
from services.relay.words.reply import Reply


class Unlimited:
    """The passage of the relay's own letters (TLS reports): few, by the system's address, under no site's limits."""

    def source(self, address: str | None) -> Source:
        return Source(DEFAULT)

    async def enter(self, source: Source) -> None:
        return None

    def is_good(self, mails: int, *, idle: bool) -> bool:
        return True

    def heard(self, source: str, reply: Reply) -> None:
        return None

    def refused(self, source: str) -> None:
        return None

    async def leave(self) -> None:
        return None
