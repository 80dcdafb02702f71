"""archive: every event for years, in Parquet files that whatever reads Parquet reads.

Reads       the stream `events` (group `archive`), recipients of jobs, who was erased, statistics of tenants.
Writes      files in a folder or in an S3-compatible store: `tenant=<name>/day=<YYYY-MM-DD>/….parquet`, and statistics.
Owns        those files; how far it is in each stream, and what is to be erased and removed (`store.py`).
Promises    An event counts as read once the file that has it is durable, and is in one file, at kill -9 too. Columns
            are only ever appended. Who was erased is in no file, some minutes after the erasure was done. While it
            stands still nothing is lost: the streams wait for it, and statistics do.

Off unless `archive.target` is set. Needs `pip install 'estafette[archive]'`; nothing else of Estafette does.

    archive.py ──→ tables.py ──→ columns.py       entries become tables, a table a tenant and day
        │    ╰───→ store.py ══Redis══             which batch is written, and that it is
        ╰────────→ target.py, names.py            where files are, and what they are called
    tending.py ──→ merging.py, forgetting.py      one file a day; who was erased
        ╰────────→ statistics.py ──→ counts.py    days of statistics, before Redis forgets them

Read `archive.py` first.
"""
