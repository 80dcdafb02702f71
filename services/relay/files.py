"""The operator's files of the relay, read and found right: limits and rules (shaping), source addresses (egress).

The relay reads them at its start and at SIGHUP, the console to check them.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from services.relay.traffic import shaping
from services.relay.traffic.egress import Egress
from services.relay.traffic.rules import Rules
from services.relay.traffic.shaping import Shaping
from shared.process.settings import Settings, SettingsError

#: What comes with the relay: limits and rules of the large providers.
SHAPING_FILE = Path(shaping.__file__).with_name("shaping.toml")

T = TypeVar("T")


def read(settings: Settings) -> Rules:
    """What the files say that these settings name. SettingsError with every fault of both."""
    faults: list[str] = []
    limits = _or_faults(read_shaping, settings, faults)
    sources = _or_faults(read_egress, settings, faults)
    if limits is None or sources is None:
        raise SettingsError(faults)
    return Rules(limits, sources)


def read_shaping(settings: Settings) -> Shaping:
    """What comes with the relay, and the operator's file laid over it. SettingsError."""
    shipped = SHAPING_FILE.read_text("utf-8")
    return _read("shaping_file", settings.relay.shaping_file, partial(Shaping.parse, shipped))


def read_egress(settings: Settings) -> Egress:
    """The operator's file; without one, the address that the system takes. SettingsError."""
    return _read("egress_file", settings.relay.egress_file, Egress.parse)


def _or_faults(read_one: Callable[[Settings], T], settings: Settings, faults: list[str]) -> T | None:
    try:
        return read_one(settings)
    except SettingsError as error:
        faults += error.faults
        return None


def _read(setting: str, file: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(Path(file).read_text("utf-8") if file else "")
    except (OSError, ValueError) as error:
        raise SettingsError([f"relay.{setting}: {file}: {fault}" for fault in str(error).splitlines()]) from None
