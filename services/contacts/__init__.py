"""contacts: the base of contacts of each tenant, which a platform targets from.

Reads       HTTP; the stream `events` (group `contacts`).
Writes      `events`: AddressStated, what contacts say of their addresses (`stating.py`); ContactAdded, ContactUpdated,
            ContactAtRisk, ActivityRanked; PostgreSQL; contacts for jobs that are sent to them (`shared.redis.targets`).
Owns        contacts and their fields, in tables that are partitioned by tenant.
Promises    A contact that comes again under its key is the same contact, whatever way it comes. What was answered is
            in PostgreSQL. One tenant never sees another's: every statement names the tenant. The engine runs without
            this service, and goes on when PostgreSQL is away. What happened counts once, however often it is read.

Off unless `contacts.url` is set; `estafette run` starts a PostgreSQL of its own where it is not.

    http.py ──→ contacts.py ──→ base/store.py ══SQL              a request, its decision, its statements
                     ╰──→ base/fields.py, base/channels.py       what a value is, what may be sent to whom
    following.py ──→ facts.py                                   what happens to mail, and how contacts stand by it
           ╰──→ behaviour/ ──→ timeline_http.py                 what they did, once: rows, bits and counts
    segments_http.py, segments/                                 who is meant, as one statement
    stating.py                                                   suppression is told who left, is back, or is gone
    imports_http.py, imports/                                   files of contacts, and what became of them
    targeting/                                                  contacts as recipients of a job
    told_http.py, outbox/ ──→ events                            what is told of contacts, and nothing lost of it
    rank_http.py, rank/                                         how active each contact is among the others
    risk_http.py, risk/                                         who is gone, or has been quiet for long
    migrating.py, migrations/                                    the tables, step by step

Read `contacts.py` first.
"""
