"""The operator's files of the relay, read and found right: limits, rules, source addresses, named routes.

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
from services.relay.traffic.smarthosts import Smarthost, Smarthosts
from shared.process import routing
from shared.process.routing import Route
from shared.process.settings import Settings, SettingsError

#: What comes with the relay: limits and rules of the large providers.
SHAPING_FILE = Path(shaping.__file__).with_name("shaping.toml")

T = TypeVar("T")


def read(settings: Settings) -> Rules:
    """What the files say that these settings name. SettingsError with every fault of all."""
    faults: list[str] = []
    limits = _or_faults(read_shaping, settings, faults)
    sources = _or_faults(read_egress, settings, faults)
    smarthosts = _or_faults(read_smarthosts, settings, faults)
    if limits is None or sources is None or smarthosts is None:
        raise SettingsError(faults)
    return Rules(limits, sources, smarthosts)


def read_shaping(settings: Settings) -> Shaping:
    """What comes with the relay, and the operator's file laid over it. SettingsError."""
    shipped = SHAPING_FILE.read_text("utf-8")
    return _read("shaping_file", settings.relay.shaping_file, partial(Shaping.parse, shipped))


def read_egress(settings: Settings) -> Egress:
    """The operator's file; without one, the address that the system takes. SettingsError."""
    return _read("egress_file", settings.relay.egress_file, Egress.parse)


def read_smarthosts(settings: Settings) -> Smarthosts:
    """The operator's routes with their passwords, by site. SettingsError."""
    faults: list[str] = []
    found = {route.site: _smarthost(route, faults) for route in routing.read(settings).routes.values()}
    if faults:
        raise SettingsError([f"relay.routes_file: {settings.relay.routes_file}: {fault}" for fault in faults])
    return found


def _smarthost(route: Route, faults: list[str]) -> Smarthost:
    """Nothing of the password is in a fault."""
    if not route.password_file:
        return Smarthost(route)
    try:
        password = Path(route.password_file).read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        faults.append(
            f"[route.{route.name}]: password_file: {route.password_file}: {error.strerror or 'it cannot be read'}"
        )
        return Smarthost(route)
    except UnicodeDecodeError:
        password = ""
    if not password or not password.isprintable():
        faults.append(f"[route.{route.name}]: password_file: {route.password_file}: it is not one line with a password")
    return Smarthost(route, password)


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
