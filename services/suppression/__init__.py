"""Suppression: who must not be mailed, and why. Hard bounces, complaints and unsubscriptions enter by themselves.

Reads:     the stream `events` (group `suppression`): Bounced (hard), Complained, Unsubscribed; HTTP
           GET|PUT|DELETE /v1/suppressions/{address}, GET /v1/suppressions; whole lists by POST /v1/suppressions/import.
Writes:    `events`: Suppressed when an address enters a list, Reactivated when it leaves by the API.
Owns:      a list per tenant: `suppressed`, `suppressed_index`, and the marks in `suppression_applied`.
Promises:  a fact is on the list within a second, and what it means is applied once: a repeat of it does not list an
           address again that somebody has removed since. What the list says and what the events say is one step. An
           answer of 200 or 201 means that it is stored. A stronger reason is never replaced by a weaker one.

    suppression.py ──→ reasons.py               what a fact means for its address
          │
          ╰──→ store.py ══Redis══→ http.py      and everybody else looks up by shared/redis/suppression.py
                  ↑
    moving/ ──→ book.py                         files of addresses in, the whole list out
"""
