"""The catch-all mailbox: where `make run` sends to, so that a first mail can be read, clicked and unsubscribed from.

Reads:     SMTP at `mailbox.host`:`mailbox.port`; HTTP under `/mailbox`.
Writes:    the last `mailbox.keep` messages to Redis; for two kinds of test addresses a bounce or a complaint to the
           return path, by SMTP to the bounce service.
Owns:      the keys tagged `{mailbox}`.
Promises:  nothing is delivered anywhere; the final dot is answered with 250 when the message is stored; scripts in a
           message never run; memory is bounded (messages, bytes, connections, notices).

It is mounted only while `relay.route` is `mailbox`, and it is for trying and for tests: whoever reaches the page reads
every message.

    smtp.py ──→ mailbox.py ──→ behaviours.py   which reply an address gets, by its local part
                    │
                    ├──→ store.py ══Redis══→ http.py ──→ message.py, pages.py
                    ╰──→ outbox.py ─SMTP→ the return path, with what notices.py writes
"""
