"""The operator's list of networks from which machines come, read at the start, and again at SIGHUP."""

from pathlib import Path

from services.tracking import networks
from services.tracking import settings as own
from services.tracking.networks import Asked, Found, Networks
from shared.process.reload import Prepared
from shared.process.settings import Settings, SettingsError

#: What comes with tracking.
SHIPPED = Path(networks.__file__).with_name("networks.toml")


def read(settings: Settings) -> Networks:
    """What the shipped file says, and the one that these settings name. SettingsError with every fault."""
    file = settings.of(own.Tracking).networks_file
    try:
        return networks.parse(SHIPPED.read_text("utf-8"), Path(file).read_text("utf-8") if file else "")
    except (OSError, ValueError) as error:
        raise SettingsError([f"tracking.networks_file: {file}: {fault}" for fault in str(error).splitlines()]) from None


class KnownNetworks:
    """Those in force, for the recipients' requests. SettingsError if they cannot be read."""

    settings = frozenset(("tracking.networks_file",))

    def __init__(self, settings: Settings) -> None:
        self._now = read(settings)

    def find(self, ip: str, asked: Asked, user_agent: str) -> Found | None:
        return self._now.find(ip, asked, user_agent)

    def prepare(self, settings: Settings) -> Prepared:
        """As `shared.process.reload.Part`."""
        found = read(settings)

        async def apply() -> None:
            self._now = found

        return Prepared(networks.differences(self._now, found), apply)
