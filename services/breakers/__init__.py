"""breakers: stops what harms, and lets its tenant go on.

Reads       the stream `events` (group `breakers`); jobs as queueing stores them; requests over HTTP (`http.py`).
Writes      what is stopped (`shared.redis.stops`), with Stopped, Resumed and Warned.
Owns        the figures of jobs and tenants, and who was warned (`store.py`).
Promises    A fact counts once, however often it comes. Of what a breaker stopped nothing more is sent until an operator
            has consented and its tenant has resumed it; while this service stands still nothing new is stopped, and
            nothing that was stopped goes on.

Read `breakers.py` first, then `figures.py` and `renderings.py` (when it is too bad), `store.py` (the scripts),
`http.py` (pause, resume, consent).
"""
