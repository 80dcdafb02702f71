"""relay: takes messages that are due, makes each one's mail, sends it, and records what became of it.

Reads       the ready queues by site (`shared.ready`); the compiled content of jobs; the suppression list; the keys of
            sending domains; MX records.
Writes      the facts Delivered, Deferred, Bounced, Expired, and Suppressed where an address left after queueing;
            messages to be tried again.
Owns        routes, connections, retries, the DKIM signature.
Promises    A message leaves the hands of a relay by a recorded end, by its retry time, or by being put back (1).
            Between MAIL FROM and the record a crash may repeat it, never else (2). Suppression is checked again right
            before the attempt (4). A site that is slow holds its own share of messages and connections, no more (5).

Read `relay.py` first, then `courier.py` (one message over one connection), `outcome.py` and `retry.py` (what a reply
means), `render.py` and `dkim.py` (what is sent), `smtp.py` (the protocol), `recorder.py`.
"""
