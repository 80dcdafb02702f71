"""Settings: frozen sections from `estafette.toml` and the environment, read once, checked whole, printed masked.

A setting is named `<section>.<field>`. Its value is, the last one found winning: the default below, the field in the
file (`[section]` / `field = …`), the variable `ESTAFETTE_<SECTION>_<FIELD>`. The file is `estafette.toml` where the
process was started, or the one that `ESTAFETTE_SETTINGS_FILE` names. A name that no setting has is a fault, as is a
value of the wrong type: `SettingsError` lists all of them at once.

Here is the machinery; what is shared stands in `sections.py`. Each service declares its own section in
`services/<name>/settings.py`, and `services/settings.py` joins them by the catalogue:

    settings = read()                       # of services.settings; in a process: environment and file
    settings = load({"ESTAFETTE_HTTP_PORT": "0"}, None)     # in a test
    mine = settings.of(Queueing)            # in a service

On Kubernetes set `enableServiceLinks: false`: a Service called `estafette-…` would otherwise inject such variables.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

import msgspec

from shared.net.url_host import url_host as url_host
from shared.process.sections import AgreedArchive as AgreedArchive
from shared.process.sections import AgreedBounces as AgreedBounces
from shared.process.sections import AgreedMailbox as AgreedMailbox
from shared.process.sections import AgreedRelay as AgreedRelay
from shared.process.sections import AgreedTracking as AgreedTracking
from shared.process.sections import Data as Data
from shared.process.sections import Dns as Dns
from shared.process.sections import Events as Events
from shared.process.sections import Http as Http
from shared.process.sections import Jobs as Jobs
from shared.process.sections import Lifecycle as Lifecycle
from shared.process.sections import Logs as Logs
from shared.process.sections import Metrics as Metrics
from shared.process.sections import Process as Process
from shared.process.sections import Quotas as Quotas
from shared.process.sections import Redis as Redis
from shared.process.sections import Secret as Secret
from shared.process.sections import Section as Section
from shared.process.sections import Tls as Tls
from shared.process.sections import Tracing as Tracing
from shared.process.sections import masked as masked
from shared.process.setting_checks import CHECKS
from shared.process.setting_kinds import MOST as MOST
from shared.process.setting_kinds import Address as Address
from shared.process.setting_kinds import HttpUrl as HttpUrl
from shared.process.setting_kinds import Networks as Networks
from shared.process.setting_kinds import NotNegative as NotNegative
from shared.process.setting_kinds import Port as Port
from shared.process.setting_kinds import Positive as Positive
from shared.process.setting_kinds import RedisUrl as RedisUrl
from shared.process.setting_kinds import Route as Route
from shared.process.setting_kinds import Seconds as Seconds
from shared.words.errors import OperatorFault

PREFIX = "ESTAFETTE_"
FILE_VARIABLE = "ESTAFETTE_SETTINGS_FILE"
DEFAULT_FILE = "estafette.toml"

S = TypeVar("S", bound="Section")


class SettingsError(OperatorFault, ValueError):
    """`faults` has one sentence for each thing that is wrong."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("settings:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = faults


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is shared, and of the sections of services what others agree on with them. `services/settings.py` adds what
    each service declares: `of` gives a service its own section."""

    #: Sections of services, which are told after `http`.
    OWN: ClassVar[tuple[str, ...]] = ()

    data: Data = Data()
    redis: Redis = Redis()
    http: Http = Http()
    relay: AgreedRelay = AgreedRelay()
    tracking: AgreedTracking = AgreedTracking()
    bounces: AgreedBounces = AgreedBounces()
    mailbox: AgreedMailbox = AgreedMailbox()
    archive: AgreedArchive = AgreedArchive()
    quotas: Quotas = Quotas()
    events: Events = Events()
    jobs: Jobs = Jobs()
    dns: Dns = Dns()
    tls: Tls = Tls()
    secret: Secret = Secret()
    metrics: Metrics = Metrics()
    logs: Logs = Logs()
    tracing: Tracing = Tracing()
    lifecycle: Lifecycle = Lifecycle()

    def of(self, kind: type[S]) -> S:
        """The section that is of this kind."""
        return next(found for name in self.__struct_fields__ if isinstance(found := getattr(self, name), kind))

    @property
    def base_url(self) -> str:
        """What links in mails begin with, without a slash at the end."""
        if self.tracking.base_url:
            return self.tracking.base_url.rstrip("/")
        return f"http://{url_host(self.http.host)}:{self.http.port}"

    @property
    def own_hosts(self) -> tuple[str, str]:
        """Where links lead and where return paths are: no tenant writes From these."""
        return urlsplit(self.base_url).hostname or "", self.bounces.domain

    @property
    def secret_file(self) -> Path:
        return Path(self.secret.key_file) if self.secret.key_file else self.data.path / "secret.key"

    @property
    def previous_secret_files(self) -> tuple[Path, ...]:
        return tuple(Path(part.strip()) for part in self.secret.previous_key_files.split(",") if part.strip())


@dataclass(frozen=True)
class InForce:
    """One setting as `estafette settings` prints it; `source` is `default`, the file's name or the variable's."""

    name: str
    value: object
    source: str


def settings_file(environ: Mapping[str, str]) -> Path | None:
    """The file that the environment names, else `estafette.toml` here, else none."""
    if named := environ.get(FILE_VARIABLE):
        return Path(named)
    here = Path(DEFAULT_FILE)
    return here if here.is_file() else None


def read(kind: type[Settings]) -> Settings:
    """The settings of this process: its environment and the file. SettingsError with every fault."""
    return load(kind, os.environ, settings_file(os.environ))


def load(kind: type[Settings], environ: Mapping[str, str], file: Path | None) -> Settings:
    """The settings of that environment and file. SettingsError with every fault."""
    sections: dict[str, dict[str, object]] = {}
    for found in explain(kind, environ, file):
        section, _, field = found.name.partition(".")
        sections.setdefault(section, {})[field] = found.value
    return msgspec.convert(sections, kind)


def explain(kind: type[Settings], environ: Mapping[str, str], file: Path | None) -> list[InForce]:
    """Every setting, in the order of this file (services after `http`), with its value (not masked) and where it came
    from."""
    sections = sections_of(kind)
    faults: list[str] = []
    given: dict[str, tuple[object, str]] = {}
    for name, value, source in (
        *_from_file(sections, file, faults),
        *_from_environment(sections, environ, faults),
    ):
        section, _, field = name.partition(".")
        taken = fields_of(sections[section])[field]
        try:
            # The environment has text only, so "8080" is a number and "true" a flag there; the file has types.
            checked = msgspec.convert(value, taken, strict=source == str(file))
            check = sections[section].CHECKS.get(field, CHECKS.get(name))
            if isinstance(checked, str) and check is not None:
                check(checked)
        except msgspec.ValidationError:
            faults.append(f"{name} ({source}): expected {expected(taken)}{_shown(value)}")
        except ValueError as error:
            faults.append(f"{name} ({source}): {error}{_shown(value)}")
        else:
            given[name] = (checked, source)
    if faults:
        raise SettingsError(faults)
    return [InForce(name, *given.get(name, (default, "default"))) for name, default in defaults(kind)]


def defaults(kind: type[Settings]) -> Iterator[tuple[str, Any]]:
    """The name and the default of every setting, in the order in which they are told."""
    made = kind()
    for section, struct in sections_of(kind).items():
        for field in fields_of(struct):
            yield f"{section}.{field}", getattr(getattr(made, section), field)


def _shown(value: object) -> str:
    """A URL with an @, or what was to be one, may have a password in it."""
    return "" if "@" in str(value) else f", not {value!r:.60}"


def expected(kind: Any) -> str:
    """What a field takes, in words."""
    described = msgspec.inspect.type_info(kind)
    if isinstance(described, msgspec.inspect.Metadata):
        described = described.type
    match described:
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.LiteralType(values):
            return f"one of {', '.join(map(str, values))}"
        case msgspec.inspect.IntType(ge=least, le=most):
            bounds = f", {least} or more" if most in (None, MOST) else f" from {least} to {most}"
            return "a whole number" + ("" if least is None else bounds)
        case _:
            metas = getattr(kind, "__metadata__", ())
            return next((meta.description for meta in metas if meta.description), "text")


def sections_of(kind: type[Settings]) -> dict[str, type[Section]]:
    """The sections by name, in the order in which they are told."""
    found = {field.name: field.type for field in msgspec.structs.fields(kind)}
    shared = [name for name in Settings.__struct_fields__ if name not in kind.OWN]
    behind = shared.index("http") + 1
    return {name: found[name] for name in (*shared[:behind], *kind.OWN, *shared[behind:])}


def fields_of(section: type[Section]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(section)}


def _from_file(
    sections: Mapping[str, type[Section]], file: Path | None, faults: list[str]
) -> Iterator[tuple[str, object, str]]:
    if file is None:
        return
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        faults.append(f"{file}: {error}")
        return
    for section, table in tables.items():
        if section not in sections:
            faults.append(f"{file}: unknown section [{section}]; there are {', '.join(sections)}")
        elif not isinstance(table, dict):
            faults.append(f"{file}: {section} is a section: write [{section}] and its fields below")
        else:
            fields = fields_of(sections[section])
            for field, value in table.items():
                if field in fields:
                    yield f"{section}.{field}", value, str(file)
                else:
                    faults.append(f"{file}: unknown field {section}.{field}; there are {', '.join(fields)}")


def _from_environment(
    sections: Mapping[str, type[Section]], environ: Mapping[str, str], faults: list[str]
) -> Iterator[tuple[str, object, str]]:
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        # A section may have an underscore in its name, so that of those that fit it is the longest.
        section = max((one for one in sections if f"{name}_".startswith(f"{one}_")), key=len, default=None)
        if section is None:
            unknown = name.partition("_")[0]
            faults.append(f"{variable}: unknown section {unknown!r}; there are {', '.join(sections)}")
            continue
        field, fields = name[len(section) + 1 :], fields_of(sections[section])
        if field not in fields:
            faults.append(f"{variable}: unknown field {section}.{field}; there are {', '.join(fields)}")
        else:
            yield f"{section}.{field}", value, variable
