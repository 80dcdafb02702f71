"""What can be set of contacts."""

from typing import Annotated

from msgspec import Meta

from shared.process.settings import NotNegative, Process

#: What a pattern means stands beside it: that is what people are told.
PostgresUrl = Annotated[
    str,
    Meta(
        pattern=r"^$|^postgres(ql)?://[^\s]+$",
        description="postgresql://user:password@host:port/database, with ?sslmode=verify-full behind for TLS",
    ),
]


class Contacts(Process, frozen=True, kw_only=True):
    #: The PostgreSQL (15 or newer) that has the contacts; empty: `estafette run` starts one of its own, and whatever
    #: else is started has no contacts.
    url: PostgresUrl = ""
    #: Whether `estafette run` starts a PostgreSQL where `contacts.url` names none; false: there are no contacts then.
    private: bool = True
    #: Connections to PostgreSQL of each process that needs some.
    connections: Annotated[int, Meta(ge=1, le=500)] = 10
    #: A statement that takes longer is given up: whoever asked is answered 503.
    statement_seconds: Annotated[int, Meta(ge=1, le=3_600)] = 30
    #: A click so soon after the delivery is a machine's, as `reports.soon_ms` says for reports; 0: the time does not
    #: matter.
    soon_ms: NotNegative = 1_000
    #: So many different links of one message clicked within `burst_ms` are a machine's clicks, as
    #: `reports.burst_links` says for reports; 0: never.
    burst_links: NotNegative = 3
    burst_ms: NotNegative = 2_000
