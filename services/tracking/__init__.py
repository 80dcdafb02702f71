"""Tracking: the pixel, the links, the documents and the pages of a mail's recipients; what they do becomes facts.

Reads:     HTTP from recipients under `/o/`, `/c/`, `/d/`, `/u/`, `/p/`, `/a/`, `/v/`, `/w/`. All it has to know is
           in the signed token: no look-up for an opening, a click or a document. Who withdrew their consent to be
           tracked, and on which sites visitors are followed: read when it begins, and followed. For pages the tenant's
           look, the mail and how its recipient stands to the tenant, as far as Redis says so soon; to show a mail
           (`/v/`) its job and its recipient, of which it is made again, and where the links of its domain begin.
Writes:    events Opened, Clicked, DocumentOpened, Unsubscribed, OptedIn, PreferencesChanged, and of who agreed on a
           tenant's site PageViewed, VisitorActed, VisitorConsented; while Redis does not answer, the spool in
           `<data.dir>/spool`.
Owns:      the recipients' pages, the tables of machines and of their networks, the spool.
Promises:  a click answered is a click recorded. The pixel, the redirect and the answer to an unsubscription leave only
           after their fact is durable: in Redis or, when that does not answer within `tracking.spool_after_ms`, in a
           file that is replayed. If neither takes it the answer is 503. Links work while Redis is down, and as long as
           the key that signed them is kept. GET never unsubscribes, and sets no consent. Of who withdrew their
           consent no opening and no click is recorded, a second later, in mails already sent either. Nobody can make a
           redirect that we did not sign. What is not a person is marked as such, with the reason, and never dropped.
           HEAD is answered as GET is, and nothing is recorded.

    view_http.py ──→ viewing.py ──→ showing.py  a mail as a page
    visit_http.py ──→ visiting.py ──→ visits.py  what a site tells by `w.js`; tracking.py records it
    http.py ─┬→ tracking.py ──→ deciding.py ─┬→ machines.py    who asked: a person or which kind of machine;
    edge.py ─╯      │      │                 │                 networks.py from where
                    │      │                 ├→ pages.py       what recipients read; consent_pages.py the same;
                    │      │                 │                 words in *_words.py
                    │      │                 ╰→ choosing.py    what they said there
                    │      ╰──→ abouts.py ──→ about.py         what a page says of a mail and its recipient
                    ↓
                recorder.py ══bus══→ events
                    ╰──→ spool.py ──→ frames.py   files, and the bytes in them

Openings, of documents too, and clicks come by `edge.py`, before aiohttp has read them (`shared.net.quick`); all else,
and those of them that are odd in any way, by the routes of `http.py`. Both are one port, and the same answers.

A fact may arrive twice, if a crash or a very slow Redis came in between (`recorder.py`): then with the same event_id.

The routes are mounted in the process of all routes, or served by `python -m services.tracking` alone, which
`parts.py` puts together in the same way. Being ready does not depend on Redis: links work without it.
"""
