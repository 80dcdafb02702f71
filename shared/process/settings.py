"""Settings: frozen sections from `estafette.toml` and the environment, read once, checked whole, printed masked.

A setting is named `<section>.<field>`. Its value is, the last one found winning: the default below, the field in the
file (`[section]` / `field = …`), the variable `ESTAFETTE_<SECTION>_<FIELD>`. The file is `estafette.toml` where the
process was started, or the one that `ESTAFETTE_SETTINGS_FILE` names. A name that no setting has is a fault, as is a
value of the wrong type: `SettingsError` lists all of them at once.

Here is what is shared, and the machinery. Each service declares its own section in `services/<name>/settings.py`, and
`services/settings.py` joins them by the catalogue:

    settings = read()                       # of services.settings; in a process: environment and file
    settings = load({"ESTAFETTE_HTTP_PORT": "0"}, None)     # in a test
    mine = settings.of(Queueing)            # in a service

On Kubernetes set `enableServiceLinks: false`: a Service called `estafette-…` would otherwise inject such variables.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from shared.net.url_host import url_host as url_host
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

#: Up to the last @: a password may have any of `@`, `/` and `:` in it.
_USERINFO = re.compile(r"(?<=://)\S+(?=@)|(?<=sentinel_password=)[^\s&]+")


class SettingsError(OperatorFault, ValueError):
    """`faults` has one sentence for each thing that is wrong."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("settings:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = faults


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Fields with defaults. Its repr is masked. `CHECKS`: what a field must be beyond its type (`setting_checks`)."""

    CHECKS: ClassVar[Mapping[str, Callable[[str], None]]] = {}

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={masked(getattr(self, name))!r}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({fields})"


class Process(Section, frozen=True, kw_only=True):
    """A section of a process that is watched."""

    #: Where /metrics, /healthz and /readyz of this process are served; 0: a free port, printed at start.
    metrics_port: Port = 0

    @property
    def patience_seconds(self) -> float:
        """For so long at least its process hangs for nobody, whatever `lifecycle.hang_seconds` says."""
        return 0.0


class Data(Section, frozen=True, kw_only=True):
    #: Where this instance keeps its files: the data of its own Redis, keys, logs, the spool; relative to the working
    #: directory. Closed to other users at each start, and refused if it, or something in it, is another user's.
    dir: str = ".run"

    @property
    def path(self) -> Path:
        return Path(self.dir)


class Redis(Section, frozen=True, kw_only=True):
    #: `redis://host:port/0`, `redis+cluster://host:port,host:port` or `redis+sentinel://host:port,host:port/master`;
    #: with `user:password@` before the hosts if any, `rediss` for TLS, `?ssl_ca_certs=file` behind for an authority of
    #: your own, of Sentinels `sentinel_user`, `sentinel_password`; empty: `estafette run` starts a server.
    url: RedisUrl = ""
    #: Fixed at first start, checked at every start.
    partitions: Annotated[int, Meta(ge=1, le=1024)] = 8
    #: The installation's id, as `estafette installation show` tells it: no other data is worked on, and no empty Redis
    #: taken for a new one. For processes without a disk of their own; others remember it in `data.dir`.
    installation: Annotated[str, Meta(pattern=r"^$|^[a-z0-9][a-z0-9-]{0,63}$")] = ""
    #: Refuse a Redis that cannot promise to have written to disk what it has answered.
    require_durable: bool = False
    #: Replicas that must have what a promise rests on before it is answered (WAIT); 0: none, and a fail-over may forget
    #: what was answered just before. Too few in time: requests are answered 503, mail waits, `/readyz` is 503.
    wait_replicas: Annotated[int, Meta(ge=0, le=16)] = 0
    #: And have it on disk, the master too (WAITAOF, Redis 7.2 or newer): then `appendfsync everysec` is enough.
    wait_aof: bool = False
    #: How long that is waited for.
    wait_ms: Annotated[int, Meta(ge=10, le=4000)] = 1000
    #: `maxmemory` of the server that `estafette run` starts; 0: half of this machine's memory. Beyond, it refuses to
    #: write (nothing is evicted), and requests are answered 503 until there is room.
    max_memory_bytes: NotNegative = 0


class Http(Process, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: Port = 8080
    #: Whether several processes may listen at the same port (SO_REUSEPORT), each of which then gets its share of the
    #: new connections: several trackers of one machine, say.
    reuse_port: bool = False
    #: Connections that a process takes at a time, as far as its open files allow. While all are taken, an idle or slow
    #: one gives way to a new one; else that is told so and closed.
    max_connections: Positive = 10_000
    #: And from one address, or IPv6 /64; 0: any number, where a proxy in front brings everybody.
    max_connections_per_peer: NotNegative = 1_000
    #: Processes beside it in which contents with logic, and long ones, are compiled.
    compiling_processes: Annotated[int, Meta(ge=1, le=64)] = 2
    #: The /readyz of other processes that this one's answers for too, separated by commas; `estafette run` fills it.
    ready_urls: str = ""


class AgreedRelay(Process, frozen=True, kw_only=True):
    """What others know of the relay: where mail goes, and its files, which are looked at before anything is started."""

    #: `mailbox` (the catch-all of `make run`), `mx` (the recipient domain's hosts), or `smtp://host:port`.
    route: Route = "mailbox"
    mx_port: Port = 25
    #: Whether mail goes to hosts at loopback, private and other addresses that are not the whole world's, at addresses
    #: of this machine, or called as `helo`: on the route `mx` the owners of domains choose the hosts.
    private_networks: bool = False
    #: TOML: limits and rules that overrule those that come with the relay (`services/relay/traffic/shaping.toml`). Read
    #: again at SIGHUP.
    shaping_file: str = ""
    #: TOML: source addresses, the pools that they form, and how new ones are warmed up; empty: the system's address.
    #: Read again at SIGHUP.
    egress_file: str = ""


class AgreedTracking(Process, frozen=True, kw_only=True):
    """What others know of tracking: where links lead, and who stands in front."""

    #: What links in mails begin with; empty: `http://<http.host>:<http.port>`.
    base_url: HttpUrl = ""
    #: Reverse proxies of yours in front, each of which adds an address to X-Forwarded-For, at its end or
    #: in a line of its own, with its port or without; 0: nobody's word is taken.
    forwarded_hops: NotNegative = 0


class AgreedBounces(Process, frozen=True, kw_only=True):
    """What others know of bounces: where it listens, and for which domain."""

    host: str = "127.0.0.1"
    port: Port = 2525
    #: The domain of return paths and of unsubscribe mail addresses.
    domain: str = "bounces.localhost"


class AgreedArchive(Process, frozen=True, kw_only=True):
    """What others know of the archive: where it is, and how it is searched."""

    #: Where events are kept for good: a folder, or `s3://bucket/prefix` of any S3-compatible store (keys as the
    #: AWS SDK finds them: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a profile, the machine's role). Empty: there
    #: is no archive. Needs `pip install 'estafette[archive]'`.
    target: str = ""
    #: The S3 endpoint, as `http://minio:9000`; empty: that of AWS in `s3_region`.
    s3_endpoint: HttpUrl = ""
    s3_region: Annotated[str, Meta(pattern=r"^[a-z0-9-]{0,64}$", description="a region, as eu-west-3")] = ""
    #: How long a request may search the archive; what was found by then is answered.
    search_seconds: Annotated[int, Meta(ge=1, le=60)] = 5
    #: Searches of one process at a time, each with a thread; others wait for their turn.
    searches: Annotated[int, Meta(ge=1, le=32)] = 2
    #: Memory of all searches of one process, beside 30 MB for each of what is read from files.
    search_megabytes: Annotated[int, Meta(ge=64, le=65_536)] = 256


class AgreedMailbox(Process, frozen=True, kw_only=True):
    """What others know of the mailbox: where it listens."""

    host: str = "127.0.0.1"
    port: Port = 2526


class Quotas(Section, frozen=True, kw_only=True):
    """Of each tenant; `estafette tenants quota` gives one tenant others. What each counts: `shared/words/quotas.py`."""

    #: Of one HTTP process; a second's worth may come at once.
    requests_per_second: NotNegative = 200
    #: At the same time, of one HTTP process.
    requests_under_way: NotNegative = 100
    #: Opened and not started; they are removed after `queueing.open_job_days`.
    open_jobs: NotNegative = 1_000
    #: Recipients that wait to be queued, the content of open jobs, and the content that was sent in 24 hours.
    stored_bytes: NotNegative = 4 * 1024 * 1024 * 1024
    #: Held, and removed or given new keys in the last 24 hours.
    domains: NotNegative = 500
    #: In 24 hours.
    idempotency_keys: NotNegative = 2_000_000
    #: Of 500 recipients, that wait to be queued, in each lane. A job is let in whole while there are fewer.
    intake_chunks: NotNegative = 50_000
    #: Of who must not be mailed, such as `*@exemple.fr`; every process that mails keeps them.
    rules: Annotated[int, Meta(ge=0, le=100_000)] = 10_000
    #: That somebody is on, or has left. Leaving one is never refused.
    lists: NotNegative = 1_000

    def by_name(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


class Events(Section, frozen=True, kw_only=True):
    #: The API promises seven days; more is the operator's choice.
    retention_days: Annotated[int, Meta(ge=7, le=36_500)] = 7


class Jobs(Section, frozen=True, kw_only=True):
    #: A job, with its recipients, counts and timelines, is removed so long after its last message had its end, and
    #: not before its own time is over. Links in its mails go on working, and whoever leaves by one is off.
    retention_days: Annotated[int, Meta(ge=1, le=36_500)] = 90


class Dns(Section, frozen=True, kw_only=True):
    #: Addresses, each with or without a port, separated by commas; empty: the system's. They resolve for us.
    servers: str = ""
    #: For one try; there are two of each server.
    timeout_ms: Positive = 5_000
    #: Look-ups that one process has under way. Those that have taken a second count no more, up to five times as many.
    at_a_time: Positive = 100


class Tls(Section, frozen=True, kw_only=True):
    """Encryption to mail hosts. Files are PEM, read at start."""

    #: Shown to hosts that ask who we are: the certificate with those above it, and its key.
    client_certificate: str = ""
    client_key: str = ""
    #: Authorities that are believed beside the system's.
    ca_file: str = ""
    #: A validating resolver (`address` or `address:port`) reached over a path that nobody else writes to: this
    #: machine's own. Empty: no DANE.
    dane_resolver: str = ""
    #: Whether the MTA-STS policies of recipient domains are asked for (on the route `mx`).
    mta_sts: bool = True
    #: The port of policy hosts: RFC 8461 knows no other.
    mta_sts_port: Annotated[int, Meta(ge=1, le=65535)] = 443
    #: Whether policies are asked of, and reports sent to, web servers at private addresses.
    private_networks: bool = False
    #: The sender of TLS reports; empty: they are counted and not sent.
    report_from: Address = ""
    #: Who reports: a name, and where its receivers may ask. Empty: the domain, and the address, of `report_from`.
    organization: str = ""
    contact: str = ""

    @property
    def client(self) -> tuple[str, str] | None:
        """The files of the certificate and of its key, which may be one."""
        return (
            (self.client_certificate, self.client_key or self.client_certificate) if self.client_certificate else None
        )


class Secret(Section, frozen=True, kw_only=True):
    #: The master secret of links and return paths, the same for all processes: 32 random bytes in hex; empty:
    #: `<data.dir>/secret.key`, made at first start. Mode 600, or 640 or 440 for a group; others must not read it, but
    #: in a secret volume of Kubernetes.
    key_file: str = ""
    #: Former key files, the latest first, separated by commas: what they signed stays valid.
    previous_key_files: str = ""


class Metrics(Section, frozen=True, kw_only=True):
    #: Where every process's `metrics_port` listens.
    host: str = "127.0.0.1"


class Logs(Section, frozen=True, kw_only=True):
    #: Below it nothing is written. Read again at SIGHUP.
    level: Literal["debug", "info", "warning", "error"] = "info"
    #: Under `estafette run`: a process's log that has grown to so much is moved to `<process>.log.1`, that one to
    #: `<process>.log.2`, and so on.
    max_bytes: Annotated[int, Meta(ge=4096, le=MOST)] = 64 * 1024 * 1024
    #: So many of those are kept of each process.
    files: Annotated[int, Meta(ge=1, le=1000)] = 5


class Tracing(Section, frozen=True, kw_only=True):
    #: Where spans go: an OTLP receiver over HTTP, as `http://127.0.0.1:4318/v1/traces`. Empty: nothing is traced. Needs
    #: `pip install 'estafette[tracing]'`.
    url: HttpUrl = ""
    #: Of requests whose `traceparent` does not say, the share that is traced.
    sampled_percent: Annotated[int, Meta(ge=0, le=100)] = 100
    #: Of a job whose request is traced, so many messages are, the first ones.
    messages_per_job: NotNegative = 100


class Lifecycle(Section, frozen=True, kw_only=True):
    #: Between SIGTERM and the end: what is in flight by then is left to its lease.
    drain_seconds: NotNegative = 10
    #: Before that, `http`, `tracking` and `bounces` go on taking what comes while their /readyz says 503: for so long a
    #: proxy in front may not have asked yet. 0: they stop at once, as is right where nobody asks.
    grace_seconds: NotNegative = 0
    #: A process that hangs for so long is killed and started again: its loop does not turn, or, of a relay, its leases
    #: are not renewed while Redis answers. Twice `relay.lease_ms` at least, for a relay.
    hang_seconds: Annotated[int, Meta(ge=2, le=MOST)] = 30


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


def masked(value: object) -> object:
    """The value without the user and password of a URL."""
    return _USERINFO.sub("***", value) if isinstance(value, str) else value


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
