"""The sections of settings that several services agree on, each setting with its type, its default and what it is for.

What a setting must be beyond its type stands in the section's `CHECKS`; a section of one service alone is declared in
that service (`shared.process.settings`).
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from shared.process.setting_kinds import (
    MOST,
    Address,
    HttpUrl,
    NotNegative,
    Port,
    Positive,
    RedisUrl,
    Route,
)

#: Up to the last @: a password may have any of `@`, `/` and `:` in it.
_USERINFO = re.compile(r"(?<=://)\S+(?=@)|(?<=sentinel_password=)[^\s&]+")


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
    #: TOML: named routes (a smarthost with a login, a host within a network) and which mail goes by them instead of
    #: `route`; empty: none. Read again at SIGHUP, by queueing and the relay.
    routes_file: str = ""


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
    #: Recipients that wait to be queued, the content of open jobs, and the content that was sent in 24 hours, each with
    #: files of single recipients.
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


def masked(value: object) -> object:
    """The value without the user and password of a URL."""
    return _USERINFO.sub("***", value) if isinstance(value, str) else value
