"""webhooks: tells other systems what happened, by requests to endpoints that tenants name (Standard Webhooks 1.0).

Reads       the stream `events` (group `webhooks`); jobs and recipients as queueing stores them; requests over HTTP
            (`http.py`).
Writes      WebhookDisabled, when an endpoint is asked no more.
Owns        endpoints and their secrets, what waits for each of them, the log of what was sent (`store.py`).
Promises    What an endpoint wants to be told is sent until it has taken it or the schedule has ended, whoever dies
            meanwhile; under one `webhook-id`, however often. The events of one message come in their order. An endpoint
            that does not answer delays no other. No request reaches an address inside, unless the operator allows it.

Read `webhooks.py` first (from the stream to the queues of endpoints), then `window.py` and `schedule.py` (what is sent
when), `delivering.py` (who sends it), `destination.py` and `sender.py` (where it may go, and how), `store.py` (the
scripts), `http.py`.
"""
