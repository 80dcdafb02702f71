"""bounces: what comes back by mail becomes facts.

Reads:     mail at the return path, by SMTP with STARTTLS (`bounces.host`, `bounces.port`), LMTP, a Maildir, and HTTP:
           signed addresses b-…, u-… and f-…, and postmaster@, abuse@, fbl@ at `bounces.domain`. In Redis the jobs'
           records: whose a message is, and who its recipient.
Writes:    events Bounced (late), Complained, Unsubscribed (by mail), AutoReplied, Replied; kept mail.
Owns:      parsing of reports, the tables of wordings, the mail kept for inspection.
Promises:  250 to the final dot only after the facts are stored or the mail is kept; else 451, and the same mail
           brought again is the same events. What is not understood is kept with its reason, within bounds. No machine
           unsubscribes anybody, but a provider's button may, on its user's word. No report about us suppresses an
           address. Nobody can make a fact about a message without an address that we signed, or its Message-ID
           together with its recipient.

    smtp.py (SMTP, LMTP), maildir.py, inbound.py (HTTP)
      ↓ ways.py
    bounces.py ──→ verdict.py ──→ findings.py      each recipient of a report
      │    │                 │      ├──→ dsn.py         RFC 3464, 6533: its fields
      │    ╰─→ facts.py      │      ╰──→ prose.py       its text: copies.py, subjects.py, sentences.py
      │                      ├──→ arf.py          RFC 5965: feedback reports
      │                      ├──→ auto_reply.py   RFC 3834 and what there was before
      ↓                      ├──→ author.py       a mail system or a person
    ══bus══→ events          ╰──→ mail.py         bytes → fields and parts (charsets.py)
    kept.py ←── http.py                           the mail that nobody understood
                             classified.py        the same questions for the console's `classify`

What a reply says about an address is not decided here: the relay asks the same question (`shared/words/replies.py`).
"""
