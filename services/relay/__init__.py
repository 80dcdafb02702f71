"""relay: takes messages that are due, makes each one's mail, sends it, and records what became of it.

Reads       the ready queues by site (`shared.redis.ready`); the compiled content of jobs; the suppression list; who
            withdrew their consent to be tracked; the keys of sending domains; what is stopped; MX and TLSA records,
            MTA-STS policies; the operator's files of limits and source addresses.
Writes      the facts Delivered, Deferred, Bounced, Expired, Failed and Cancelled, and Suppressed where an address left;
            messages to be tried again; what all relays count together (permits, slots, paces); TLS reports.
Owns        routes, connections, limits, source addresses, retries, encryption to hosts, the DKIM signatures.
Promises    A message leaves the hands of a relay by a recorded end, by its retry time, or by being put back (1).
            Between MAIL FROM and the record a crash may repeat it, never else, and never of a job that is sent at most
            once (2). Suppression is checked again right before the attempt (4). A site that is slow holds its own share
            of messages and connections, no more (5). Limits hold over all relays, where the mail arrives (6).

Read `relay.py` first, then `held.py`, `workers.py` and `permission.py` (what is in hand, who attempts it, whether it
may go), `courier.py` (one message over one connection), `outcome.py` and `retry.py` (what a reply
means), `gate.py`, `line.py` and `aside.py` (what may go now, and what waits), `shaping.py` (what providers accept),
`render.py` and `dkim.py` (what is sent), `making.py` and `signatures.py` (when, and by which process it is made),
`policies.py` (how hosts are encrypted to), `dial.py` and `connection.py` (the protocol), `recorder.py`.
"""
