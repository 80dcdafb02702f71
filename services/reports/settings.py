"""What can be set of reports."""

from shared.process.settings import NotNegative, Positive, Process


class Reports(Process, frozen=True, kw_only=True):
    #: A click so soon after the delivery is a machine's, whatever its agent; 0: the time does not matter.
    soon_ms: NotNegative = 1_000
    #: So many different links of one message clicked within `burst_ms` are a machine's clicks; 0: never.
    burst_links: NotNegative = 3
    burst_ms: NotNegative = 2_000
    #: The feed of a tenant tells so many kinds of jobs apart in each partition: their streams, lists and tags. Events
    #: of further ones are found by these as well, and are looked at one by one for it.
    kinds_per_tenant: Positive = 1_000
    #: Live streams of events (server-sent events) of one HTTP process at a time, of all tenants and of each. Each looks
    #: twice a second into every partition.
    live_streams: NotNegative = 200
    live_streams_per_tenant: NotNegative = 10
    #: Days for which statistics of a tenant are kept, hour by hour; those of a job are kept as long as it. Older ones
    #: come from the archive, if there is one. 0: there are no statistics; usage is counted all the same.
    statistics_days: NotNegative = 92
