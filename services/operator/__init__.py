"""operator: what an engineer on call sees and does. The same over HTTP and at the console.

Reads       what waits (`shared.redis.waiting`), what relays found out (paces, rests, replies), what is stopped.
Writes      stops and marks that relays and queueing obey; Acted with each action: who, why, until when.
Owns        nothing: what it does is kept by those whom it concerns.
Promises    It shows without changing, in bounded time. Each action is an event; what is asked for twice is done once.

Read `operator.py` first (the actions), then `sites.py` (what is seen), `http.py` (the routes). The console
(`services/console`) has the same behind its nouns.
"""
