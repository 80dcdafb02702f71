"""queueing: takes jobs, decides for each recipient whether and where it is queued.

Reads       jobs and whole mails over HTTP (`http.py`, `mails_http.py`); the stream `intake`, in which each entry names
            a chunk of a job; the suppression list; MX records.
Writes      the job and its chunks (`store.py`), `intake`, the ready queues by site, Accepted, Suppressed and Rejected.
Owns        jobs, their content (compiled once), ordinals, de-duplication, Idempotency-Key, the schedule, sending
            domains; how many marketing mails an address may get (`pressure_http.py`, `shared/redis/pressure.py`);
            who gets a copy of each bulk job (`seeds.py`).
Promises    A job is stored whole or not at all, before the 202. Each recipient of a started job is queued once, or
            ends as Suppressed or Rejected, whatever dies in between: a chunk's decisions are written down before they
            are carried out, and each step carries them out once (promises 1, 2 and 4).

Read `queueing.py` first, then `jobs.py` (what a job may look like) and `whom.py` (whom it goes to), `compile.py` (what
becomes of its content) or, of a mail that came whole, `given.py`; `store.py` (the scripts), `http.py`.
"""
