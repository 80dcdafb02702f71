"""drops: events or suppressions of a tenant as CSV files, hour by hour or day by day, in a folder or on an SFTP server.

Reads       the feed of the tenant (`services.reports.feed`, and behind it the archive), the suppression list; requests
            over HTTP (`http.py`).
Writes      no stream; files `<tenant>-<drop>-<period>.csv`.
Owns        drops, their keys, and how far each is (`store.py`).
Promises    A period has one file. It is written beside its place as `.part`, and renamed once it is whole and durable:
            whoever sees the name sees all of it. Each period is placed once, in its order, whoever dies meanwhile and
            wherever; what is late is made up for. A drop that fails delays no other, and loses nothing as long as
            events are kept. No file leaves the tenant's own folder, and no connection reaches inside, unless the
            operator allows it.

Off unless `drops.enabled` is set. SFTP needs `pip install 'estafette[drop]'`; nothing else of Estafette does. It is a
process of its own, and a part of reports, because it reads the feed.

    drops.py ──→ periods.py              which period is due, and what its file is called
        │  ╰───→ store.py ══Redis══      how far a drop is: what was placed, what is being placed
        ├──→ rows.py, sources.py         events and suppressions as CSV
        ╰──→ folder.py, sftp.py          where files go
    http.py ──→ shown.py, target.py, ssh_keys.py

Read `drops.py` first.
"""
