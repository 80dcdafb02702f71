"""Suppression: who must not be mailed, and why. Hard bounces, complaints and unsubscriptions enter by themselves.

Reads:     the stream `events` (group `suppression`): Bounced (hard), Complained, Unsubscribed, and AddressStated, which
           a base of contacts says (`stated.py`); HTTP
           GET|PUT|DELETE /v1/suppressions/{address}, GET /v1/suppressions; whole lists (`moving/`); rules
           (`rules_http.py`), lists of recipients (`memberships_http.py`), escalation (`escalation_http.py`), people
           (`people_http.py`), retention (`retention_http.py`), consent (`consent_http.py`).
Writes:    `events`: Suppressed when an address enters a list, Reactivated when it leaves by the API or shows a sign of
           life, Acted when an operator changes what holds for everybody, Erased when nothing is left of an address but
           a hash, RetentionNear of whom nothing came for years.
Owns:      maps of each tenant: `suppressions`, `suppressions_said`, and the marks in `suppression_applied`; `rules` and
           `rule_versions`; `lists` and `list_map`; the counts of soft bounces.
Promises:  a fact is on the list within a second, and what it means is applied once: a repeat of it does not list an
           address again that somebody has removed since. What the list says and what the events say is one step. An
           answer of 200 or 201 means that it is stored. A stronger reason is never replaced by a weaker one.

Besides:   soft bounces in a row (`escalation.py` decides, `escalating.py` is the main path, on the same facts) in
           `bounce_counts`; what is kept of a person, and erasure (`people.py`, `forgetting.py`, `erasing.py`) in
           `erased`, `erasures`; when somebody was heard of last (`interactions.py`) in `interactions`, and erasure
           after years (`retention.py` decides, `retaining.py` is the main path, in the process of all routes); the
           hours of the day in which people open and click (`reactions.py`) in `usual_hours`, by which queueing goes.

Consent is here too: what addresses agreed to, and the proof of it. It reads OptedIn and PreferencesChanged, which come
from recipients' pages, and HTTP /v1/consents; it owns `consents`, `consent_log` and `consent_rules`, tells trackers and
relays who withdrew (`shared/redis/untracked.py`), and keeps who objects on the list (`objections.py`). What was said is
in the state, in the log and in the events in one step. What recipients chose of lists is applied by `choices.py`; how
their pages look is `looks`, HTTP /v1/look; where visitors are followed is `web_tracking`, HTTP /v1/web-tracking.

    suppression.py ──→ consenting.py ──→ consents.py, consent_store.py ══Redis══→ consent_http.py
    suppression.py ──→ reasons.py               what a fact means for its address
          │
          ╰──→ store.py ══Redis══→ http.py      and everybody else looks up by shared/redis/suppression.py
               rules.py ══Redis══→ rules_http.py        whether a rule concerns an address: shared/words/rules.py
               memberships.py ══Redis══→ memberships_http.py    who is on a list: shared/redis/members.py
               moving/ ──→ book.py                      files of addresses in, the whole list out
"""
